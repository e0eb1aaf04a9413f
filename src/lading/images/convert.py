"""Encoding images anew: in the other format's words, or with their layers compressed otherwise.

Digests change, and so signatures and attestations of the original do not cover the result. What is new is kept in
temporary files over the source; the result is then copied like anything else.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from lading.errors import NotFound, Unsupported, UsageError
from lading.io.scratch import keeping
from lading.io.tarball import compressed, decompressed, has_zstd, reading
from lading.io.tasks import Limits, Once, gather
from lading.io.threads import heed, in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import ATTESTATION_OF, Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_CONFIGS,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    LayerType,
    is_docker,
)
from lading.store import AnyManifest, may_be_manifest
from lading.stores.overlay import Overlay
from lading.transfer.report import Note
from lading.transfer.transform import Graph, Transform
from lading.walk import Walk

Format = Literal["oci", "docker"]
Compression = Literal["gzip", "zstd", "none"]

ABOUT_ENCODING = ("io.github.containers.zstd-chunked.", "containerd.io/snapshot/stargz/", "io.containers.estargz.")
"""How the annotations begin that say where files are in a blob: in another blob they are elsewhere."""
ZSTD_ENTRY = "io.github.containers.compression.zstd"
"""The annotation of an index's entry whose image has zstd layers."""
_NO_ANNOTATIONS = "annotations were left out: Docker's format has no place for them"
_CHUNK = 1024 * 1024


def convert(format: Format | None, compression: Compression | None, limits: Limits | None = None) -> Transform:
    """Encode images anew: manifests in a format, layers in a compression; digests change.

    Args:
        format: the format of the manifests; None keeps what they have.
        compression: of the layers; None keeps what they have.
        limits: how many layers may be under way at once.

    Raises:
        UsageError: the two do not go together, or zstd cannot be written here.
    """
    if format == "docker" and compression == "zstd":
        raise no_zstd("the format oci, or the compression gzip")
    if compression == "zstd" and not has_zstd():
        raise UsageError("zstd cannot be written here", remedy="pip install backports.zstd, or use Python 3.14")
    limits = limits or Limits()

    async def transform(graph: Graph) -> Graph:
        overlay = await graph.resources.enter_async_context(Overlay(graph.store))
        converter = _Converter(overlay, format, compression, limits, graph.title)
        manifest = await converter.convert(graph.manifest)
        return graph.changed(*converter.notes, manifest=manifest, store=overlay)

    return transform


class _Converter:
    """Encodes one image or index anew; layers that several images of it share once.

    Args:
        overlay: where new content goes.
        format: the format of the manifests; None keeps what they have.
        compression: of the layers; None keeps what they have.
        limits: how many layers may be under way at once.
        title: what it is called in messages.
    """

    def __init__(
        self, overlay: Overlay, format: Format | None, compression: Compression | None, limits: Limits, title: str
    ) -> None:
        self.notes: list[str] = []
        """What was lost on the way, one sentence each."""
        self._title = title
        self._overlay = overlay
        self._format = format
        self._compression: Compression | None = compression
        self._limits = limits
        self._layers: dict[Digest, asyncio.Task[Descriptor]] = {}
        self._walk = Walk(title)
        self._once = Once()

    async def convert(self, manifest: AnyManifest) -> AnyManifest:
        """The same image, index or artifact, encoded anew; unchanged where there is nothing to change.

        Raises:
            Unsupported: it cannot be said in the other format.
        """
        try:
            return await self._convert(manifest, 1)
        finally:
            for task in self._layers.values():
                task.cancel()
            await asyncio.gather(*self._layers.values(), return_exceptions=True)

    async def _convert(self, manifest: AnyManifest, depth: int) -> AnyManifest:
        """Encode a manifest anew; what it lists is `depth` levels below the beginning."""
        changed = await (self._index(manifest, depth) if isinstance(manifest, Index) else self._image(manifest))
        if changed.raw == manifest.raw:
            return manifest
        await self._overlay.put(changed)
        return changed

    async def _index(self, index: Index, depth: int) -> Index:
        kept = index.manifests if self._format != "docker" else self._fit_for_docker(index)
        self._walk.enter(filter(may_be_manifest, kept), depth)
        converted = await gather(self._entry(entry, depth) for entry in kept)
        renamed = {str(old.digest): str(new.digest) for old, new in zip(kept, converted, strict=True)}
        entries = [_pointed(entry, renamed) for entry in converted]
        attested = sum(new != old for new, old in zip(entries, converted, strict=True))
        if attested:
            self._note(attestations_kept(attested, self._title))
        media_type = {"oci": OCI_INDEX, "docker": DOCKER_LIST, None: index.media_type}[self._format]
        if media_type == index.media_type and entries == list(index.manifests):
            return index
        if self._format == "docker":
            entries = [msgspec.structs.replace(entry, annotations={}) for entry in entries]
            return Index.build(entries, media_type)
        return Index.build(entries, media_type, index.annotations, base=index.document)

    def _fit_for_docker(self, index: Index) -> list[Descriptor]:
        """The entries that Docker's format has a place for; a note says what is lost."""
        kept = [entry for entry in index.manifests if not is_attestation(entry)]
        if len(kept) < len(index.manifests):
            self._note("attestations were left out: Docker's format has no place for them")
        if index.annotations or any(entry.annotations for entry in kept):
            self._note(_NO_ANNOTATIONS)
        return kept

    async def _entry(self, entry: Descriptor, depth: int) -> Descriptor:
        if not may_be_manifest(entry) or is_attestation(entry):
            return entry

        async def anew() -> AnyManifest:
            return await self._convert(await self._walk.fetch(self._overlay, entry.content), depth + 1)

        # What several entries lead to is encoded once.
        try:
            new = await self._once.do((entry.digest, entry.size, entry.media_type), anew)
        except NotFound:
            if entry.media_type:
                raise
            return entry  # a blob
        if new.digest == entry.digest and not entry.media_type:
            return entry
        changed = msgspec.structs.replace(entry, media_type=new.media_type, digest=new.digest, size=new.size, data="")
        if self._compression in (None, "zstd"):
            return changed
        return _without(changed, ZSTD_ENTRY)

    async def _image(self, manifest: Manifest) -> Manifest:
        config = manifest.config
        if config is None or config.media_type not in IMAGE_CONFIGS or manifest.artifact_type:
            return self._artifact(manifest)
        to_docker = is_docker(manifest.media_type) if self._format is None else self._format == "docker"
        if self._format is None and to_docker and self._compression == "zstd":
            raise no_zstd("the format oci")
        layers = await gather(self._layer(layer, to_docker) for layer in manifest.layers)
        media_type = DOCKER_MANIFEST if to_docker else OCI_MANIFEST
        config = msgspec.structs.replace(config, media_type=DOCKER_CONFIG if to_docker else OCI_CONFIG)
        if (media_type, config, layers) == (manifest.media_type, manifest.config, list(manifest.layers)):
            return manifest
        document = copy.deepcopy(manifest.document) | {"mediaType": media_type}
        if to_docker:
            document, (config, *layers) = self._without_annotations(document, [config, *layers])
        document = {"schemaVersion": 2, "mediaType": media_type} | document
        document["config"] = config.to_document(size_first=to_docker)
        document["layers"] = [layer.to_document(size_first=to_docker) for layer in layers]
        return Manifest.build(document, media_type)

    def _artifact(self, manifest: Manifest) -> Manifest:
        """An artifact as it is: it has one format only."""
        if self._format == "docker":
            raise Unsupported(
                f"{self._overlay.name}@{manifest.digest} cannot be put in Docker's format",
                cause="it is an artifact, not an image",
            )
        return manifest

    def _without_annotations(
        self, document: dict[str, Any], contents: Sequence[Descriptor]
    ) -> tuple[dict[str, Any], list[Descriptor]]:
        """A manifest's document, and the descriptors of its contents, without what Docker's format has no place for."""
        extra = {"annotations", "artifactType", "subject"} & document.keys()
        if extra or any(content.annotations or content.data for content in contents):
            self._note(_NO_ANNOTATIONS)
        document = {key: value for key, value in document.items() if key not in extra}
        return document, [msgspec.structs.replace(content, annotations={}, data="") for content in contents]

    async def _layer(self, layer: Descriptor, to_docker: bool) -> Descriptor:
        kind = LayerType.parse(layer.media_type)
        if kind is None:
            if to_docker and self._format == "docker":
                raise Unsupported(
                    f"{self._overlay.name} cannot be put in Docker's format",
                    cause=f"a layer is {layer.media_type}",
                )
            return layer
        wanted = kind.compression if kind.is_foreign or self._compression is None else self._compression
        if to_docker and wanted == "zstd" and self._format == "docker":
            raise no_zstd("the compression gzip")
        if wanted != kind.compression:
            layer = await self._packed(layer, wanted)
        media_type = str(LayerType("docker" if to_docker else "oci", wanted, kind.is_foreign))
        return msgspec.structs.replace(layer, media_type=media_type)

    async def _packed(self, layer: Descriptor, wanted: Compression) -> Descriptor:
        task = self._layers.get(layer.digest)
        if task is None:
            task = self._layers[layer.digest] = asyncio.ensure_future(self._repack(layer, wanted))
        new = await asyncio.shield(task)
        changed = msgspec.structs.replace(layer, digest=new.digest, size=new.size, data="")
        # Where lazy pullers find files in it: in the new encoding they are elsewhere.
        return _without(changed, *ABOUT_ENCODING)

    async def _repack(self, layer: Descriptor, wanted: Compression) -> Descriptor:
        what = f"the layer {layer.digest}"
        async with self._limits.place(layer.size):
            old = self._overlay.folder / f"{layer.digest.hex}.old"
            new = self._overlay.folder / f"{layer.digest.hex}.{wanted}"
            try:
                with keeping(what):
                    with old.open("wb") as file:
                        async with self._overlay.open(layer) as reader:
                            async for chunk in reader:
                                await in_thread(file.write, chunk)
                    await in_thread(_pack, old, new, wanted, what)
                return await self._overlay.add(new, layer.media_type)
            finally:
                old.unlink(missing_ok=True)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _pack(old: Path, new: Path, wanted: Compression, what: str) -> None:
    with (
        reading(what),
        old.open("rb") as packed,
        decompressed(packed) as (plain, _),
        new.open("wb") as file,
        compressed(file, wanted) as out,
    ):
        while chunk := plain.read(_CHUNK):
            heed()
            out.write(chunk)


def _without(content: Descriptor, *prefixes: str) -> Descriptor:
    kept = {key: value for key, value in content.annotations.items() if not key.startswith(prefixes)}
    return msgspec.structs.replace(content, annotations=kept)


def _pointed(entry: Descriptor, renamed: dict[str, str]) -> Descriptor:
    """An attestation says by digest what it is about."""
    about = entry.annotations.get(ATTESTATION_OF)
    if about is None or renamed.get(about, about) == about:
        return entry
    new = renamed[about]
    return msgspec.structs.replace(entry, annotations={**entry.annotations, ATTESTATION_OF: new})


def attestations_kept(count: int, title: str) -> Note:
    """The note that an index lists attestations of images as they were.

    Args:
        count: how many.
        title: what the index is called.
    """
    said = "1 attestation" if count == 1 else f"{count} attestations"
    return Note(
        f"{said} of {title} {'is' if count == 1 else 'are'} kept, and about the images as they were before the edit",
        "attestations-of-originals",
        {"reference": title, "count": count},
    )


def no_zstd(instead: str) -> UsageError:
    """The error that Docker's format has no zstd layers.

    Args:
        instead: what is there instead.
    """
    return UsageError(
        "Docker's format has no zstd layers",
        remedy=f"choose {instead}",
        code="zstd-for-docker",
        fields={"instead": instead},
    )
