"""Edits of how an image is written down: its format, external URLs, content in descriptors, kinds of digests.

This module knows manifests while they are edited. Nothing of what a container sees changes.
"""

from __future__ import annotations

import base64
from typing import Literal

from lading.errors import Unsupported, UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.images.edits.field_order import DESCRIPTOR, set_field
from lading.images.edits.index_editing import IndexEditing
from lading.images.edits.layer_work import name_layers
from lading.model.encoding import Document
from lading.model.index import is_attestation
from lading.model.media_types import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    LayerType,
    is_docker,
    is_foreign_layer,
)
from lading.model.text import excerpt
from lading.store import fetch_manifest, may_be_manifest
from lading.transfer.report import Note

Algorithm = Literal["sha256", "sha512"]

_ONLY_OCI = ("annotations", "artifactType", "subject")
_LAYOUTS = {"oci": b"{}", "docker": b"{\n   "}
_LARGEST = 1024 * 1024
_NO_ANNOTATIONS = "annotations were left out: Docker's format has no place for them"
_NO_ATTESTATIONS = "attestations were left out: Docker's format has no place for them"


class SetFormat(Edit, frozen=True):
    """Write an image in OCI's words or in Docker's: media types, and what the other has no place for is left out.

    The result is that of a copy in this format. An index becomes Docker's only together with all its images.
    """

    format: Literal["oci", "docker"]

    @property
    def changes_every_index(self) -> bool:
        """Indexes in the index, too."""
        return True

    async def apply(self, image: Editing) -> None:
        """Change the media types.

        Raises:
            Unsupported: it is an artifact or has a layer that Docker's format has no type for.
        """
        if not image.is_image:
            self._check(image.title, is_possible=self.format == "oci", cause="it is an artifact, not an image")
            return
        types = [self._layer_type(image, layer.content.media_type) for layer in image.layers]
        manifest_type, config_type = (
            (DOCKER_MANIFEST, DOCKER_CONFIG) if self.format == "docker" else (OCI_MANIFEST, OCI_CONFIG)
        )
        config: Document = image.manifest["config"]
        said = (
            image.manifest.get("mediaType"),
            config.get("mediaType"),
            [one.content.media_type for one in image.layers],
        )
        if said == (manifest_type, config_type, types):
            return
        image.layout = _LAYOUTS[self.format]
        if self.format == "docker":
            documents = [image.manifest, config, *(layer.descriptor for layer in image.layers)]
            if any(document.get("annotations") for document in documents):
                image.notes.append(_NO_ANNOTATIONS)
            for key in _ONLY_OCI:
                image.manifest.pop(key, None)
        image.manifest["config"] = self._descriptor(config, config_type)
        for layer, media_type in zip(image.layers, types, strict=True):
            layer.descriptor = self._descriptor(layer.descriptor, media_type)
        others = {key: value for key, value in image.manifest.items() if key not in ("schemaVersion", "mediaType")}
        image.manifest.clear()
        image.manifest.update({"schemaVersion": 2, "mediaType": manifest_type} | others)

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Change the index.

        Raises:
            Unsupported: it lists something that Docker's format has no place for.
        """
        wanted = DOCKER_LIST if self.format == "docker" else OCI_INDEX
        if index.document.get("mediaType") == wanted or (self.format == "docker" and not index.is_whole):
            return
        if self.format == "docker":
            self._fit(index)
        index.layout = _LAYOUTS[self.format]
        entries = [self._descriptor(entry, str(entry.get("mediaType") or "")) for entry in index.entries]
        others = {key: value for key, value in index.document.items() if key not in ("schemaVersion", "mediaType")}
        index.document = {"schemaVersion": 2, "mediaType": wanted} | others | {"manifests": entries}

    def _fit(self, index: IndexEditing) -> None:
        """Leave out of an index what Docker's format has no place for; a note says what is lost."""
        gone = [n for n, entry in enumerate(index.listed) if is_attestation(entry)]
        if gone:
            index.notes.append(_NO_ATTESTATIONS)
            index.remove(gone)
        for entry in index.listed:
            self._check(
                index.title, is_possible=is_docker(entry.media_type), cause=f"it lists {excerpt(entry.media_type)}"
            )
        if index.document.get("annotations") or any(entry.get("annotations") for entry in index.entries):
            index.notes.append(_NO_ANNOTATIONS)
        for key in _ONLY_OCI:
            index.document.pop(key, None)

    def _layer_type(self, image: Editing, media_type: str) -> str:
        kind = LayerType.parse(media_type)
        if kind is None:
            self._check(image.title, is_possible=self.format == "oci", cause=f"a layer is {excerpt(media_type)}")
            return media_type
        is_zstd = self.format == "docker" and kind.compression == "zstd"
        self._check(image.title, is_possible=not is_zstd, cause="a layer is compressed with zstd")
        return str(LayerType(self.format, kind.compression, kind.is_foreign))

    def _descriptor(self, document: Document, media_type: str) -> Document:
        """A descriptor with its fields in the order of the format, without those that the format has not."""
        changed = document | ({"mediaType": media_type} if media_type else {})
        docker = self.format == "docker"
        if docker:
            changed = {
                key: value for key, value in changed.items() if key not in ("annotations", "data", "artifactType")
            }
        order = ("mediaType", "size", "digest") if docker else DESCRIPTOR[0]
        return {key: changed[key] for key in order if key in changed} | changed

    @staticmethod
    def _check(title: str, *, is_possible: bool, cause: str) -> None:
        if not is_possible:
            raise Unsupported(
                f"{title} cannot be put in Docker's format",
                cause=cause,
                code="no-docker-format",
                fields={"reference": title},
            )


class RemoveExternalUrls(Edit, frozen=True):
    """Have layers be where the image is: the URLs that they may be fetched from are taken away.

    A foreign layer becomes a plain one; one that is not where the image is stays as it is, and that is said.
    """

    async def apply(self, image: Editing) -> None:
        """Take the URLs away."""
        for layer in image.layers:
            kind = LayerType.parse(layer.content.media_type)
            if "urls" not in layer.descriptor and not (kind and kind.is_foreign):
                continue
            if is_foreign_layer(layer.content.media_type) and not await image.overlay.contains(layer.content):
                said = (
                    f"the foreign layer {layer.content.digest.short} of {image.title} is not there, and keeps its URLs"
                )
                image.notes.append(Note(said, "foreign-layer-absent", {"digest": str(layer.content.digest)}))
                continue
            document = {key: value for key, value in layer.descriptor.items() if key != "urls"}
            if kind is not None:
                document["mediaType"] = str(LayerType(kind.family, kind.compression))
            layer.descriptor = document


class SetInlineData(Edit, frozen=True):
    """Embed small content in the descriptors that name it (`data`, image-spec descriptor); larger content never."""

    limit: int
    """The most that is embedded, in bytes; below 0 nothing is any more."""

    def __post_init__(self) -> None:
        """Refuse what no manifest has room for."""
        if self.limit > _LARGEST:
            raise UsageError(f"{self.limit} bytes cannot be embedded", cause=f"the most is {_LARGEST}")

    @property
    def changes_every_index(self) -> bool:
        """Indexes in the index, too."""
        return True

    async def apply(self, image: Editing) -> None:
        """Embed layers now, and the config when it is encoded.

        Raises:
            Unsupported: Docker's format has no place for embedded content.
        """
        if image.is_image:
            image.data_limit = self.limit
        for layer in image.layers:
            raw = None
            if layer.content.size <= self.limit:
                async with image.overlay.open(layer.content) as reader:
                    raw = await reader.read()
            document = dict(layer.descriptor)
            embed(document, raw)
            layer.descriptor = document
        self._check(image.title, image.family == "docker" and self.limit >= 0)

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Embed the manifests that the index lists."""
        self._check(index.title, index.is_docker and self.limit >= 0)
        for entry, document in zip(index.listed, index.entries, strict=True):
            small = entry.size <= self.limit and may_be_manifest(entry)
            embed(document, (await fetch_manifest(index.overlay, entry.content)).raw if small else None)

    @staticmethod
    def _check(title: str, is_docker: bool) -> None:
        if is_docker:
            raise Unsupported(
                f"{title} cannot have content in descriptors",
                cause="Docker's format has no place for that",
                remedy="make it an OCI image",
                code="docker-has-no-place",
                fields={"reference": title, "field": "data"},
            )


class SetDigestAlgorithm(Edit, frozen=True):
    """Name the layers, the config, the manifest and the index by digests of this algorithm; diff IDs stay.

    Most registries know sha256 only. In image layouts both can be.
    """

    algorithm: Algorithm

    @property
    def changes_every_index(self) -> bool:
        """Indexes in the index, too."""
        return True

    async def apply(self, image: Editing) -> None:
        """Choose the algorithm, and name the layers; what an artifact has keeps its names."""
        image.algorithm = self.algorithm
        if image.is_image:
            image.config_algorithm = self.algorithm
            await name_layers(image, self.algorithm)

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Choose the algorithm."""
        index.algorithm = self.algorithm


def embed(document: Document, raw: bytes | None) -> None:
    """Embed content in the descriptor that names it, or take it away.

    Args:
        document: the descriptor, which is changed.
        raw: the content.
    """
    set_field(document, "data", base64.b64encode(raw).decode() if raw is not None else None, DESCRIPTOR)
