"""Indexes as they are changed: entries added, taken out, chosen and annotated. Each gives another index, or the same.

This module reads nothing: it knows the model, and neither stores nor how an index is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from lading.errors import Conflict, NotFound, UsageError
from lading.images.edits.field_order import DESCRIPTOR, set_field
from lading.images.indexes.entries import GivenEntry
from lading.images.indexes.report import EntryChange
from lading.images.platforms import no_platform
from lading.model.descriptor import Descriptor
from lading.model.encoding import Document
from lading.model.index import Index, attested, by_digest, by_platform, is_attestation
from lading.model.media_types import DOCKER_LIST, INDEXES, OCI_INDEX, is_docker
from lading.model.platform import Platform

IndexType = Literal["docker", "oci"]
"""Whose format an index is in: `oci` is an OCI image index, `docker` a Docker manifest list."""
MEDIA_TYPES: Mapping[IndexType, str] = {"docker": DOCKER_LIST, "oci": OCI_INDEX}
FIELDS = ("os", "architecture", "variant", "os_version", "os_features", "features")
"""The fields of a `Platform` that can be cleared."""


# What is made


def made(
    given: Sequence[GivenEntry],
    *,
    type: IndexType | None = None,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str = "",
    subject: Descriptor | None = None,
    allow_duplicates: bool = False,
    what: str,
) -> tuple[Index, list[EntryChange]]:
    """An index of entries.

    Args:
        given: the entries, in order.
        type: its format; None for Docker's where all of it is Docker's, else OCI's.
        annotations: of the index itself.
        artifact_type: of the index itself.
        subject: the manifest that it refers to.
        allow_duplicates: whether two images may be for one platform.
        what: what it is called in messages.

    Raises:
        Conflict: two images are for one platform.
        UsageError: a Docker manifest list cannot hold it.
    """
    only_oci = bool(annotations or artifact_type or subject)
    entries = [entry.descriptor for entry in given]
    kind = type or ("oci" if only_oci or any(map(_only_oci, entries)) else "docker")
    if kind == "docker" and only_oci:
        lost = "annotations" if annotations else "an artifact type" if artifact_type else "a subject"
        raise _docker_loses(what, lost, "new")
    if kind == "docker" and any(entry.annotations for entry in entries):
        lost = "attestations" if any(map(is_attestation, entries)) else "annotations of entries"
        raise _docker_loses(what, lost, "new")
    base: Document = {"artifactType": artifact_type} if artifact_type else {}
    base["manifests"] = []
    if subject is not None:
        base["subject"] = subject.content.to_document()
    empty = Index.build((), MEDIA_TYPES[kind], annotations, base=base)
    return extended(empty, given, allow_duplicates=allow_duplicates, what=what)


def extended(
    index: Index,
    given: Iterable[GivenEntry],
    *,
    replace: bool = False,
    allow_duplicates: bool = False,
    what: str,
) -> tuple[Index, list[EntryChange]]:
    """An index with more entries, at its end.

    Args:
        index: the index.
        given: the entries. What is listed for the same already is left as it is.
        replace: whether an image takes the place of those for its platform, with their attestations.
        allow_duplicates: whether two images may be for one platform.
        what: what the index is called in messages.

    Raises:
        Conflict: an image is for a platform that another image is for.
        UsageError: the index is a Docker manifest list, which cannot hold it.
    """
    entries = list(index.manifests)
    changes: list[EntryChange] = []
    spelling: dict[Descriptor, Document] = {}
    there = {_meaning(entry) for entry in entries}
    fresh: list[Descriptor] = []
    for one in given:
        entry = one.descriptor
        if _meaning(entry) in there:
            changes.append(EntryChange.of("kept", entry))
            continue
        there.add(_meaning(entry))
        if one.document is not None:
            spelling[entry] = one.document
        others = [] if allow_duplicates else [at for at, other in enumerate(entries) if _clash(other, entry, replace)]
        if not others:
            entries.append(entry)
            changes.append(EntryChange.of("added", entry))
        elif not replace or any(entries[at] in fresh for at in others):
            raise _duplicate(what, entries[others[0]], entry)
        else:
            changes.append(EntryChange.of("replaced", entry, entries[others[0]].digest))
            old = {entries[at].digest for at in others}
            entries[others[0]] = entry
            gone = {id(entries[at]) for at in others[1:]}
            entries, removed = _without(entries, gone, old)
            changes += removed
        fresh.append(entry)
    if index.media_type == DOCKER_LIST and any(entry.annotations for entry in fresh):
        lost = "attestations" if any(map(is_attestation, fresh)) else "annotations of entries"
        raise _docker_loses(what, lost, "docker")
    return index.changed(entries, spelling=spelling), changes


def without(
    index: Index, entries: Iterable[str] = (), platforms: Iterable[Platform] = (), *, what: str
) -> tuple[Index, list[EntryChange]]:
    """An index without some of its entries, and without the attestations of these.

    Args:
        index: the index.
        entries: each by its digest, or the digest's first digits, its platform, or its position: `@0` is the first.
        platforms: all images that are for one of these.
        what: what the index is called in messages.

    Raises:
        NotFound: there is no such entry.
        UsageError: a text means several.
        Conflict: nothing would be left.
    """
    gone: set[int] = set()
    for text in entries:
        gone |= {id(entry) for entry in found(index, text, what)}
    for platform in platforms:
        meant = index.select([platform], attestations=False)
        if not meant:
            raise no_platform(what, [platform], index)
        gone |= {id(entry) for entry in meant}
    digests = {entry.digest for entry in index.manifests if id(entry) in gone}
    left, removed = _without(list(index.manifests), gone, digests)
    if not left:
        raise _empty(what)
    return index.changed(left), removed


def filtered(
    index: Index, platforms: Sequence[Platform] = (), *, exact: bool = False, attestations: bool = True, what: str
) -> tuple[Index, list[EntryChange]]:
    """An index with only the images for some platforms, and their attestations.

    Args:
        index: the index.
        platforms: the platforms; there has to be something for each. Empty for all.
        exact: whether `linux/arm` means only what is for `linux/arm` (which is `linux/arm/v7`), and not every arm.
        attestations: whether the attestations of what is kept are kept.
        what: what the index is called in messages.

    Raises:
        NotFound: nothing is for one of the platforms.
        Conflict: nothing would be left.
    """
    kept = index.manifests
    if platforms:
        for platform in platforms:
            if not _for_platforms(index, [platform], exact):
                raise no_platform(what, [platform], index)
        kept = _for_platforms(index, platforms, exact)
    if not attestations:
        kept = tuple(entry for entry in kept if not is_attestation(entry))
    if not kept:
        raise _empty(what)
    ids = {id(entry) for entry in kept}
    removed = [EntryChange.of("removed", entry) for entry in index.manifests if id(entry) not in ids]
    return index.changed(kept), removed


# What is said of entries


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


def found(index: Index, text: str, what: str) -> list[Descriptor]:
    """The entries that a text means: several only where they list one manifest.

    Args:
        index: the index.
        text: the digest of an entry, or its first digits, its platform, or its position: `@0` is the first.
        what: what the index is called in messages.

    Raises:
        NotFound: there is no such entry.
        UsageError: several manifests are meant.
    """
    entries = index.manifests
    if text.startswith("@") and text[1:].isdecimal():
        meant = list(entries[int(text[1:]) : int(text[1:]) + 1]) if len(text) < _LONG else []
    else:
        meant = by_digest(entries, text, _itself) or by_platform(entries, text, _itself)
    fields = {"index": what, "entry": text}
    if not meant:
        shown = [f"{entry.platform or 'no platform'} ({entry.digest.short})" for entry in index.images[:_SHOWN]]
        more = ", …" if len(index.images) > _SHOWN else ""
        raise NotFound(
            f"{what} has no entry {text}",
            cause=f"it has {', '.join(shown)}{more}" if shown else "it lists no images",
            code="index-entry-not-found",
            fields=fields,
        )
    if len({entry.digest for entry in meant}) > 1:
        shown = [f"@{at} ({entry.digest.short})" for at, entry in enumerate(entries) if entry in meant]
        raise UsageError(
            f"{text} means more than one entry of {what}",
            cause=f"they are {', '.join(shown[:_SHOWN])}",
            remedy="say which by its position or digest",
            code="ambiguous-index-entry",
            fields=fields,
        )
    return meant


def _respelled(document: Document, entry: Descriptor) -> Document:
    """An entry as it is spelled, with what is said of it now; fields that lading does not know stay."""
    new, said = dict(document), entry.to_document()
    for key in ("annotations", "platform", "artifactType"):
        if said.get(key) != document.get(key):
            set_field(new, key, said.get(key), DESCRIPTOR)
    return new


_SHOWN = 4
_LONG = 12


def _itself(entry: Descriptor) -> Descriptor:
    return entry


def _meaning(entry: Descriptor) -> tuple[object, ...]:
    """What an entry is listed for: two of one manifest that are listed for the same are one."""
    if is_attestation(entry):
        return entry.digest, attested(entry)
    platform = entry.platform
    return entry.digest, platform.normalized() if platform is not None else None


def _clash(one: Descriptor, other: Descriptor, loose: bool) -> bool:
    """Whether both are images for one platform; `loose` where another revision of an OS version is the same."""
    if one.platform is None or other.platform is None or is_attestation(one) or is_attestation(other):
        return False
    if other.platform.os in ("", "unknown") or one.digest == other.digest:
        return False
    return _key(one.platform, loose) == _key(other.platform, loose)


def _key(platform: Platform, loose: bool) -> Platform:
    known = platform.normalized()
    # The next image for a version of Windows has another revision: 10.0.17763.1817 is followed by 10.0.17763.1879.
    return msgspec.structs.replace(known, os_version=".".join(known.os_version.split(".")[:3])) if loose else known


def _without(
    entries: list[Descriptor], gone: Collection[int], digests: Collection[str]
) -> tuple[list[Descriptor], list[EntryChange]]:
    """Entries without some of them, by their ids, and without attestations of manifests that are listed no more."""
    listed = {entry.digest for entry in entries if id(entry) not in gone}
    lost = {digest for digest in digests if digest not in listed}
    left: list[Descriptor] = []
    removed: list[EntryChange] = []
    for entry in entries:
        if id(entry) in gone or attested(entry) in lost:
            removed.append(EntryChange.of("removed", entry))
        else:
            left.append(entry)
    return left, removed


def _for_platforms(index: Index, platforms: Sequence[Platform], exact: bool) -> tuple[Descriptor, ...]:
    if not exact:
        return index.select(platforms)
    wanted = {platform.normalized() for platform in platforms}
    taken = {entry.digest for entry in index.images if entry.platform is not None and _exactly(entry.platform, wanted)}
    return tuple(
        entry
        for entry in index.manifests
        if (
            attested(entry) in taken
            if is_attestation(entry)
            else entry.platform is not None and _exactly(entry.platform, wanted)
        )
    )


def _exactly(platform: Platform, wanted: Collection[Platform]) -> bool:
    known = platform.normalized()
    return any(
        (known.os, known.architecture, known.variant) == (one.os, one.architecture, one.variant)
        and one.os_version in ("", known.os_version)
        for one in wanted
    )


def _only_oci(entry: Descriptor) -> bool:
    """Whether Docker's format has no place for an entry."""
    return bool(
        entry.annotations
        or entry.artifact_type
        or entry.media_type in INDEXES
        or not is_docker(entry.media_type)
        or entry.platform is None
    )


def _check_docker(index: Index, entries: Sequence[Descriptor], annotations: Mapping[str, str], what: str) -> None:
    """Refuse what a Docker manifest list has no place for, unless it is in the list already."""
    case: Literal["docker", "oci"] = "docker" if index.media_type == DOCKER_LIST else "oci"
    known = set(index.manifests) if case == "docker" else set[Descriptor]()
    fresh = [entry for entry in entries if entry not in known]
    if any(entry.annotations for entry in fresh):
        raise _docker_loses(what, "attestations" if any(map(is_attestation, fresh)) else "annotations of entries", case)
    if annotations and (case == "oci" or dict(annotations) != dict(index.annotations)):
        raise _docker_loses(what, "annotations", case)
    if case == "oci" and (index.subject is not None or index.artifact_type):
        raise _docker_loses(what, "its subject" if index.subject is not None else "its artifact type", case)


def _docker_loses(what: str, lost: str, case: Literal["new", "docker", "oci"]) -> UsageError:
    """The error of what a Docker manifest list has no place for.

    Args:
        what: what the index is called.
        lost: what the list would lose.
        case: whether the index is made, or is a Docker list already, or is an OCI index still.
    """
    return UsageError(
        f"{what} cannot be a Docker manifest list",
        cause=f"such a list would lose {lost}",
        remedy="make it an OCI index" + (", or leave out the attestations" if lost == "attestations" else ""),
        code="docker-index-loses",
        fields={"index": what, "attestations": lost == "attestations", "case": case},
    )


def _duplicate(what: str, one: Descriptor, other: Descriptor) -> Conflict:
    return Conflict(
        f"{what} would have two images for {other.platform}",
        cause=f"they are {one.digest.short} and {other.digest.short}, and clients take the first",
        remedy="leave one out, or allow it",
        code="duplicate-platform",
        fields={"index": what, "platform": str(other.platform), "digests": [str(one.digest), str(other.digest)]},
    )


def _empty(what: str) -> Conflict:
    return Conflict(
        f"nothing would be left of {what}",
        cause="an index without entries is of no use to any client",
        remedy="delete it instead",
        code="index-empty",
        fields={"index": what},
    )
