"""Indexes as they are changed: entries added, taken out, chosen and annotated. Each gives another index, or the same.

This module reads nothing: it knows the model, and neither stores nor how an index is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from lading.errors import Conflict, NotFound, UsageError
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
        raise docker_loses(what, lost, "new")
    if kind == "docker" and any(entry.annotations for entry in entries):
        lost = "attestations" if any(map(is_attestation, entries)) else "annotations of entries"
        raise docker_loses(what, lost, "new")
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
        raise docker_loses(what, lost, "docker")
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


def docker_loses(what: str, lost: str, case: Literal["new", "docker", "oci"]) -> UsageError:
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
