"""What an index says of its entries and of itself, changed. Each function gives another value, or the same.

This module reads nothing: it knows the model, and neither stores nor how an index is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec

from lading.errors import UsageError
from lading.images.edits.field_order import DESCRIPTOR, set_field
from lading.images.indexes.editing import MEDIA_TYPES, IndexType, docker_loses, found
from lading.images.indexes.report import EntryChange
from lading.model.descriptor import Descriptor
from lading.model.encoding import Document
from lading.model.index import Index, is_attestation
from lading.model.media_types import DOCKER_LIST
from lading.model.platform import Platform

FIELDS = ("os", "architecture", "variant", "os_version", "os_features", "features")
"""The fields of a `Platform` that can be cleared."""


class PlatformChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of an entry's platform; empty for what it is."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    """Added to those there are."""
    features: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    """Fields that are emptied first; see `FIELDS`."""

    def __post_init__(self) -> None:
        """Refuse what is no field."""
        unknown = set(self.clear) - set(FIELDS)
        if unknown:
            raise UsageError(f"{min(unknown)} is no field that can be cleared", cause=f"those are {', '.join(FIELDS)}")

    @property
    def settings(self) -> dict[str, str | tuple[str, ...]]:
        """What is set, by field; aliases become Go's names."""
        given = Platform(os=self.os, architecture=self.architecture).canonical()
        values: dict[str, str | tuple[str, ...]] = {
            "os": given.os,
            "architecture": given.architecture,
            "variant": self.variant or given.variant,
            "os_version": self.os_version,
            "os_features": self.os_features,
            "features": self.features,
        }
        return {name: value for name, value in values.items() if value}

    def __bool__(self) -> bool:
        """Whether anything is to be changed."""
        return bool(self.settings or self.clear)

    def apply(self, platform: Platform | None) -> Platform:
        """The platform as it is to be."""
        before = platform or Platform()
        values: dict[str, Any] = {name: getattr(before, name) for name in FIELDS}
        values |= {name: getattr(Platform(), name) for name in self.clear}
        for name, value in self.settings.items():
            values[name] = tuple(dict.fromkeys((*values[name], *value))) if isinstance(value, tuple) else value
        return Platform(**values)


def annotated(
    index: Index,
    entry: str | None = None,
    *,
    platform: PlatformChange | None = None,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
    remove_annotations: Collection[str] = (),
    index_annotations: Mapping[str, str] | None = None,
    remove_index_annotations: Collection[str] = (),
    type: IndexType | None = None,
    what: str,
) -> tuple[Index, list[EntryChange]]:
    """An index that says something else of one of its entries, or of itself.

    Args:
        index: the index.
        entry: the entry, as `without` takes it; None where only the index is annotated.
        platform: what changes of the entry's platform.
        artifact_type: of the entry; empty takes it away.
        annotations: set on the entry.
        remove_annotations: keys that are removed from the entry.
        index_annotations: set on the index.
        remove_index_annotations: keys that are removed from the index.
        type: the format of the index from now on.
        what: what the index is called in messages.

    Raises:
        NotFound: there is no such entry.
        UsageError: several are meant; or no entry was named, and something is to be said of one; or the index is a
            Docker manifest list, which cannot hold it.
    """
    entries = list(index.manifests)
    changes: list[EntryChange] = []
    spelling: dict[Descriptor, Document] = {}
    if entry is None and (platform or artifact_type is not None or annotations or remove_annotations):
        raise UsageError("which entry of the index is meant was not said")
    for old in found(index, entry, what) if entry is not None else ():
        new = old
        if platform:
            new = msgspec.structs.replace(new, platform=platform.apply(old.platform))
        if artifact_type is not None:
            new = msgspec.structs.replace(new, artifact_type=artifact_type)
        kept = {key: value for key, value in old.annotations.items() if key not in remove_annotations}
        new = msgspec.structs.replace(new, annotations={**kept, **(annotations or {})})
        if new != old:
            at = next(at for at, one in enumerate(entries) if one is old)
            entries[at] = new
            spelling[new] = _respelled(index.spelling[old], new)
            changes.append(EntryChange.of("changed", new))
    own = {key: value for key, value in index.annotations.items() if key not in remove_index_annotations}
    own |= index_annotations or {}
    kind = MEDIA_TYPES[type] if type is not None else index.media_type
    if kind == DOCKER_LIST:
        _check_docker(index, entries, own, what)
    return index.changed(entries, media_type=kind, annotations=own, spelling=spelling), changes


def _respelled(document: Document, entry: Descriptor) -> Document:
    """An entry as it is spelled, with what is said of it now; fields that lading does not know stay."""
    new, said = dict(document), entry.to_document()
    for key in ("annotations", "platform", "artifactType"):
        if said.get(key) != document.get(key):
            set_field(new, key, said.get(key), DESCRIPTOR)
    return new


def _check_docker(index: Index, entries: Sequence[Descriptor], annotations: Mapping[str, str], what: str) -> None:
    """Refuse what a Docker manifest list has no place for, unless it is in the list already."""
    case: Literal["docker", "oci"] = "docker" if index.media_type == DOCKER_LIST else "oci"
    known = set(index.manifests) if case == "docker" else set[Descriptor]()
    fresh = [entry for entry in entries if entry not in known]
    if any(entry.annotations for entry in fresh):
        raise docker_loses(what, "attestations" if any(map(is_attestation, fresh)) else "annotations of entries", case)
    if annotations and (case == "oci" or dict(annotations) != dict(index.annotations)):
        raise docker_loses(what, "annotations", case)
    if case == "oci" and (index.subject is not None or index.artifact_type):
        raise docker_loses(what, "its subject" if index.subject is not None else "its artifact type", case)
