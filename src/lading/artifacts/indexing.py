"""An artifact as an entry of an index, one for each platform: the index with it, before that is copied.

This module reads stores that are opened for it; it does not write, and knows no names of users.
"""

from __future__ import annotations

import msgspec

from lading.artifacts.kinds import TOFU_PROVIDER, TOFU_PROVIDER_TARGET
from lading.artifacts.push import Packaged
from lading.errors import Conflict
from lading.images.indexes.editing import extended, made
from lading.images.indexes.entries import GivenEntry
from lading.images.indexes.report import EntryChange
from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import DOCKER_LIST
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable
from lading.stores.homes import Homes


class Grouped(msgspec.Struct, frozen=True, kw_only=True):
    """An index with an artifact in it."""

    index: Index
    store: Readable
    """Has what the index lists."""
    changes: list[EntryChange]


def entry_of(packaged: Packaged, platform: Platform) -> Descriptor:
    """What an index says of an artifact: what it is, and what for."""
    manifest = packaged.manifest
    return msgspec.structs.replace(
        manifest.descriptor,
        platform=platform,
        artifact_type=_type(manifest),
        annotations=packaged.entry_annotations,
    )


def grouped(
    there: AnyManifest | None, store: Readable, artifact: Readable, packaged: Packaged, platform: Platform, what: str
) -> Grouped:
    """An index with an artifact as its entry for a platform; every other entry stays.

    An entry for the same platform gives its place to the artifact where it is an artifact of the same type: it is the
    same one, pushed again. Any other is left, and refused.

    Args:
        there: what the name stands for; None for nothing.
        store: where that is.
        artifact: where the artifact is.
        packaged: the artifact.
        platform: what it is for.
        what: what the index is called in messages.

    Raises:
        Conflict: the name stands for no index that can list artifacts, or something of another type is listed for the
            platform.
    """
    entry = entry_of(packaged, platform)
    if there is not None and (isinstance(there, Manifest) or there.media_type == DOCKER_LIST):
        kind = "a Docker manifest list, which cannot list artifacts" if isinstance(there, Index) else "not an index"
        raise Conflict(
            f"{what} is {kind}",
            remedy="choose another tag for the index",
            code="no-artifact-index",
            fields={"reference": what},
        )
    homes = Homes(what)
    homes.add(entry, artifact, manifest=packaged.manifest)
    given = GivenEntry(descriptor=entry, manifest=packaged.manifest)
    if there is None:
        provider = TOFU_PROVIDER if entry.artifact_type == TOFU_PROVIDER_TARGET else ""
        index, changes = made([given], type="oci", artifact_type=provider, what=what)
        return Grouped(index=index, store=homes, changes=changes)
    for other in there.manifests:
        _check_replaceable(other, entry, what)
        homes.add(other, store)
    index, changes = extended(there, [given], replace=True, what=what)
    return Grouped(index=index, store=homes, changes=changes)


def _check_replaceable(other: Descriptor, entry: Descriptor, what: str) -> None:
    """Refuse to put an artifact in the place of what is something else."""
    is_same = (
        other.platform is not None
        and entry.platform is not None
        and other.platform.normalized() == entry.platform.normalized()
    )
    if is_same and other.artifact_type != entry.artifact_type and other.digest != entry.digest:
        kind = f"an artifact of type {other.artifact_type}" if other.artifact_type else "an image"
        raise Conflict(
            f"{what} lists something else for {entry.platform}",
            cause=f"{other.digest.short} is {kind}, and the artifact is of type {entry.artifact_type}",
            remedy="take it out of the index first, or choose another tag for the index",
            code="entry-of-another-type",
            fields={"index": what, "digest": str(other.digest)},
        )


def _type(manifest: Manifest) -> str:
    config = manifest.config
    return manifest.artifact_type or (config.media_type if config is not None else "")
