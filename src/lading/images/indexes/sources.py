"""What an index is made of: sources in any store, read as far as an index needs it.

This module reads stores that are opened for it, and does not know what becomes of the entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lading.errors import InvalidContent, UsageError
from lading.images.indexes.editing import extended
from lading.images.indexes.entries import Flattening, GivenEntry, IndexFilter, check_lists_manifests, platform_of
from lading.images.overview import artifact_type_of
from lading.model.descriptor import Descriptor
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS, IMAGES
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable
from lading.stores.homes import Homes
from lading.stores.location import AnyLocation
from lading.transfer.transform import Graph
from lading.walk import Walk


class IndexSource(msgspec.Struct, frozen=True):
    """What goes into an index, and what the index is to say of it.

    Raises:
        InvalidPlatform: the platform is none.
    """

    reference: AnyLocation
    """A tag or digest, in a registry or any other location."""
    platform: Platform | str | None = None
    """What it is for; what is not said of it is taken from the image's config. None for all of that."""
    annotations: Mapping[str, str] | None = None
    """Of its entry; None for those that an index it comes from has."""
    artifact_type: str | None = None
    """Of its entry; None for its own."""
    descriptor: Descriptor | None = None
    """What is known of it: its media type and size have to be those."""

    def __post_init__(self) -> None:
        """Read the platform."""
        if isinstance(self.platform, str):
            msgspec.structs.force_setattr(self, "platform", Platform.parse(self.platform))

    @classmethod
    def of(cls, source: IndexSource | AnyLocation) -> IndexSource:
        """A source; of a location the one with nothing more said of it."""
        return source if isinstance(source, IndexSource) else cls(source)

    @property
    def says_more(self) -> bool:
        """Whether something is said of its entry."""
        return self.platform is not None or self.annotations is not None or self.artifact_type is not None


async def entries_given(
    store: Readable, manifest: AnyManifest, source: IndexSource, flattening: Flattening, what: str, *, nested: bool
) -> tuple[GivenEntry, ...]:
    """The entries that a source gives: one for an image, an artifact or a nested index, else those of the index.

    Args:
        store: what it is in.
        manifest: its manifest.
        source: what is to be said of it.
        flattening: takes the entries out of an index.
        what: what it is called in messages.
        nested: whether an index is an entry itself.

    Raises:
        NotFound: something that has to be read is not there.
        InvalidContent: it is not what its descriptor says; or it lists no manifests.
        UsageError: something is said of one entry, and the source gives several.
    """
    _check(manifest, source, what)
    if not isinstance(manifest, Index):
        return (_described(await _entry_of(store, manifest, source), source),)
    if nested:
        descriptor = msgspec.structs.replace(manifest.descriptor, artifact_type=manifest.artifact_type)
        if isinstance(source.platform, Platform):
            descriptor = msgspec.structs.replace(descriptor, platform=source.platform)
        return (_described(GivenEntry(descriptor=descriptor, manifest=manifest), source),)
    given = await flattening.entries(store, manifest, Walk(what))
    if not given:
        check_lists_manifests(manifest, what)
    if not source.says_more:
        return given
    images = [entry for entry in given if not is_attestation(entry.descriptor)]
    if len(images) != 1:
        raise UsageError(
            f"{what} gives {len(images)} entries, and something is said of one",
            remedy="choose one by its platform or digest",
            code="source-of-several-entries",
            fields={"source": what},
        )
    (image,) = images
    return tuple(_described(_with_platform(entry, source), source) if entry is image else entry for entry in given)


async def extended_by(
    base: Graph, others: Sequence[Graph], *, replace: bool, nested: bool, allow_duplicates: bool
) -> tuple[Homes, Index]:
    """An index with the entries that others give, and a store that has all that it lists.

    Args:
        base: the index.
        others: what is added.
        replace: see `extended`, here and below.
        nested: whether an index is an entry itself.
        allow_duplicates: whether two images may be for one platform.

    Raises:
        Conflict: two images are for one platform.
        UsageError: one of the others is still to be changed.
    """
    assert isinstance(base.manifest, Index)
    homes = Homes(base.title)
    for entry in base.manifest.manifests:
        homes.add(entry, base.store)
    given: list[GivenEntry] = []
    for graph in others:
        if graph.transforms:
            raise UsageError(f"{graph.title} has edits that are not applied", remedy="write it somewhere first")
        source, flattening = IndexSource(graph.manifest.digest), Flattening(IndexFilter())
        found = await entries_given(graph.store, graph.manifest, source, flattening, graph.title, nested=nested)
        for one in found:
            homes.add(one.descriptor, graph.store, manifest=one.manifest)
        given += found
    index, _ = extended(base.manifest, given, replace=replace, allow_duplicates=allow_duplicates, what=base.title)
    return homes, index


def filled(wanted: Platform, known: Platform) -> Platform:
    """A platform as it is said, with what is not said of it as the config has it.

    Args:
        wanted: what is said.
        known: what the config says.
    """
    if not wanted.os and not wanted.architecture:
        wanted = msgspec.structs.replace(wanted, os=known.os, architecture=known.architecture)
    if (wanted.os, wanted.architecture) == (known.os, known.architecture) and not wanted.variant:
        wanted = msgspec.structs.replace(wanted, variant=known.variant)
    if wanted.os == known.os:
        return msgspec.structs.replace(
            wanted,
            os_version=wanted.os_version or known.os_version,
            os_features=wanted.os_features or known.os_features,
        )
    return wanted


def _check(manifest: AnyManifest, source: IndexSource, what: str) -> None:
    said = source.descriptor
    if said is None:
        return
    if said.size != manifest.size:
        raise InvalidContent(
            f"{what} is not what its descriptor says", cause=f"it has {manifest.size} bytes, not {said.size}"
        )
    if said.media_type not in ("", manifest.media_type):
        raise InvalidContent(
            f"{what} is not what its descriptor says", cause=f"it is {manifest.media_type}, not {said.media_type}"
        )


async def _entry_of(store: Readable, manifest: Manifest, source: IndexSource) -> GivenEntry:
    descriptor = msgspec.structs.replace(manifest.descriptor, artifact_type=artifact_type_of(manifest) or "")
    known = Platform()
    # The config of an artifact for a platform is that of an image, which says so.
    has_config = manifest.config is not None and manifest.config.media_type in IMAGE_CONFIGS
    if has_config or (manifest.media_type in IMAGES and not descriptor.artifact_type):
        known = await platform_of(store, manifest)
    platform = filled(source.platform, known) if isinstance(source.platform, Platform) else known
    if platform != Platform():
        descriptor = msgspec.structs.replace(descriptor, platform=platform)
    return GivenEntry(descriptor=descriptor, manifest=manifest)


def _with_platform(entry: GivenEntry, source: IndexSource) -> GivenEntry:
    if not isinstance(source.platform, Platform):
        return entry
    platform = filled(source.platform, entry.descriptor.platform or Platform())
    changed = msgspec.structs.replace(entry.descriptor, platform=platform)
    return msgspec.structs.replace(entry, descriptor=changed, document=None)


def _described(entry: GivenEntry, source: IndexSource) -> GivenEntry:
    """An entry with what is to be said of it."""
    descriptor = entry.descriptor
    if source.annotations is not None:
        descriptor = msgspec.structs.replace(descriptor, annotations=dict(source.annotations))
    if source.artifact_type is not None:
        descriptor = msgspec.structs.replace(descriptor, artifact_type=source.artifact_type)
    return entry if descriptor == entry.descriptor else GivenEntry(descriptor=descriptor, manifest=entry.manifest)
