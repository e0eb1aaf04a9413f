"""An overview of whatever a reference names: for people, and as one document for programs.

This module reads manifests and configs from any store; how they are shown is not its concern.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from lading.errors import InvalidContent, NotFound
from lading.images.platforms import image_config, is_for_any, no_platform, platforms_in_configs
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.reach import LIMITS
from lading.model.text import size_text
from lading.store import AnyManifest, Readable, may_be_manifest
from lading.stores.location import Location
from lading.walk import Walk

CREATED = "org.opencontainers.image.created"


class Entry(Result, msgspec.Struct, kw_only=True):
    """One entry of an index, or the image itself where there is no index."""

    digest: Digest
    media_type: str
    size: int
    """Of the manifest, in bytes."""
    platform: str | None = None
    """`OS/ARCH[/VARIANT]`; None where the index does not say."""
    os_version: str | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = {}
    attests: str | None = None
    """The digest of the entry that this one attests to, as its annotation says: empty where it does not, and
    None for anything that is no attestation."""
    state: Literal["present", "missing", "not read"] = "present"
    """`missing`: the index lists it, but the repository does not have it. `not read`: attestations."""
    layers: int | None = None
    """How many layers, or how many entries for a nested index."""
    total_size: int | None = None
    """What a pull transfers, in bytes: config and layers; of an entry that is no manifest its own size. None for a
    nested index or what was not read."""
    created: str | None = None
    """RFC 3339, where the manifest says so."""


class Overview(Result, msgspec.Struct, kw_only=True):
    """What a reference names."""

    reference: Location
    digest: Digest
    media_type: str
    kind: Literal["index", "image", "artifact"]
    size: int
    """Of the manifest itself, in bytes."""
    total_size: int
    """Config and layers of everything that was read, and entries that are no manifests, in bytes; a layer that several
    images share counts once."""
    entries: list[Entry]
    """The entries that were asked for, images first; for an image or artifact, itself."""
    entry_count: int
    """How many images the index has, whether asked for or not."""
    attestation_count: int = 0
    """How many attestations (provenance, SBOM) the index has."""
    created: str | None = None
    """RFC 3339, as found; of an index without a time of its own the latest of its images'."""
    artifact_type: str | None = None
    subject: Digest | None = None
    """The digest of the manifest that this one refers to."""
    annotations: Mapping[str, str] = {}
    config: dict[str, object] = {}
    """How a container of the image runs (`Env`, `Cmd`, `Labels` …); empty for an index."""

    def __repr__(self) -> str:
        """Such as `<Overview docker.io/library/nginx:1.27.0 98f8ec75657d index of 8 70.5 MB>`."""
        kind = f"index of {self.entry_count}" if self.kind == "index" else self.kind
        return f"<Overview {self.reference} {self.digest.short} {kind} {size_text(self.total_size)}>"


async def overview(
    store: Readable, reference: Location, manifest: AnyManifest, platforms: Sequence[Platform] = ()
) -> Overview:
    """Describe a manifest, reading all its children at once.

    Args:
        store: where the manifest came from.
        reference: what it is called.
        manifest: the manifest.
        platforms: which entries of an index to read; all where there are none. An image has to be for one of them.

    Raises:
        NotFound: it has nothing for these platforms.
    """
    if isinstance(manifest, Index):
        return await _of_index(store, reference, manifest, platforms)
    return await _of_manifest(store, reference, manifest, platforms)


async def _of_index(store: Readable, reference: Location, index: Index, platforms: Sequence[Platform]) -> Overview:
    chosen = await entries_for(store, index, str(reference), platforms)
    images = [entry for entry in chosen if not is_attestation(entry)]
    attestations = [entry for entry in chosen if is_attestation(entry)]
    walk = Walk(str(reference))
    walk.enter(images, 1)
    found = await gather(_child(walk, store, entry) for entry in images)
    entries = [_entry(entry, child) for entry, child in zip(images, found, strict=True)]
    entries += [_entry(entry, None) for entry in attestations]
    return Overview(
        reference=reference,
        digest=index.digest,
        media_type=index.media_type,
        kind="index",
        size=index.size,
        total_size=_pulled(
            *(child.children for child in found if isinstance(child, Manifest)),
            [entry for entry, child in zip(images, found, strict=True) if child is True],
        ),
        entries=entries,
        entry_count=len(index.images),
        attestation_count=len(index.attestations),
        created=index.annotations.get(CREATED) or _latest(entries),
        artifact_type=index.artifact_type or None,
        subject=index.subject.digest if index.subject else None,
        annotations=index.annotations,
    )


async def entries_for(store: Readable, index: Index, what: str, platforms: Sequence[Platform]) -> Sequence[Descriptor]:
    """The entries of an index for some platforms, with their attestations; all where no platform is asked for.

    Args:
        store: what the index is in.
        index: the index.
        what: what it is called.
        platforms: the platforms.

    Raises:
        NotFound: it has nothing for them.
    """
    if not platforms:
        return index.manifests
    known = await platforms_in_configs(store, index, platforms, Walk(what))
    chosen = index.select(platforms, known=known)
    if not chosen:
        raise no_platform(what, platforms, index, known)
    return chosen


async def _of_manifest(
    store: Readable, reference: Location, manifest: Manifest, platforms: Sequence[Platform]
) -> Overview:
    config = await image_config(store, manifest)
    if platforms and not is_for_any(config, platforms):
        raise no_platform(str(reference), platforms, config)
    platform = config.platform if config is not None and config.platform.os else None
    created = (config.created if config is not None else "") or manifest.annotations.get(CREATED)
    content = msgspec.structs.replace(
        manifest.descriptor, platform=platform, artifact_type=artifact_type_of(manifest) or ""
    )
    return Overview(
        reference=reference,
        digest=manifest.digest,
        media_type=manifest.media_type,
        kind="image" if manifest.is_image else "artifact",
        size=manifest.size,
        total_size=_pulled(manifest.children),
        entries=[msgspec.structs.replace(_entry(content, manifest), created=created or None)],
        entry_count=1,
        created=created or None,
        artifact_type=artifact_type_of(manifest),
        subject=manifest.subject.digest if manifest.subject else None,
        annotations=manifest.annotations,
        config=config.config if config is not None else {},
    )


def _pulled(*blobs: Iterable[Descriptor]) -> int:
    """Config and layers in bytes; what several manifests share counts once."""
    return sum({blob.digest: blob.size for each in blobs for blob in each}.values())


def _latest(entries: Iterable[Entry]) -> str | None:
    """When the newest of them was made; None where none says so."""
    return max((entry.created for entry in entries if entry.created), default=None)


def artifact_type_of(manifest: Manifest) -> str | None:
    """What kind of artifact a manifest is (image-spec manifest §artifactType); None for an image."""
    if manifest.is_image:
        return None
    return manifest.artifact_type or (manifest.config.media_type if manifest.config else None)


async def _child(walk: Walk, store: Readable, entry: Descriptor) -> AnyManifest | bool:
    """The manifest of an entry; of what is none, whether it is there."""
    if may_be_manifest(entry):
        try:
            return await walk.fetch(store, entry.content)
        except NotFound:
            if entry.media_type:
                return False
        except InvalidContent as error:
            if entry.media_type or error.code in LIMITS:
                raise
    # A layer of a cache, say, or something of a kind that lading does not read: the index says what there is to say.
    return await walk.contains(store, entry.content)


def _entry(
    entry: Descriptor,
    found: AnyManifest | bool | None,
) -> Entry:
    """An entry as it is shown.

    Args:
        entry: what the index says.
        found: its manifest; whether it is there, where it is none; None where it was not read.
    """
    image = found if isinstance(found, Manifest) else None
    index = found if isinstance(found, Index) else None
    blob_size = entry.size if found is True else None
    return Entry(
        digest=entry.digest,
        media_type=entry.media_type,
        size=entry.size,
        platform=str(entry.platform) if entry.platform is not None else None,
        os_version=(entry.platform.os_version or None) if entry.platform is not None else None,
        artifact_type=entry.artifact_type or (artifact_type_of(image) if image else None),
        annotations=entry.annotations,
        attests=attested(entry) or ("" if is_attestation(entry) else None),
        state="not read" if found is None else "present" if found else "missing",
        layers=len(image.layers) if image else len(index.manifests) if index else None,
        total_size=image.total_size if image else blob_size,
        created=(entry.annotations.get(CREATED) or (image.annotations.get(CREATED) if image else None)),
    )
