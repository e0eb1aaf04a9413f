"""What is done with drafts and registries together: create, add, pull, and asking how they stand.

This module knows stores in general (`connect` gives the one of a reference) and nothing of HTTP or of how drafts are
kept. Registries are asked concurrently and in full before a draft is changed; a draft is changed as a whole or not
at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

import msgspec

from lading.drafts.draft import Draft, DraftEntry, ListType
from lading.drafts.edit import check_type, must_exist
from lading.drafts.sidecar import name_of
from lading.drafts.sources import (
    Connect,
    Resolver,
    Taking,
    described,
    distinct_entries,
    entry_of,
    fetch_child,
    found_for,
    platform_of,
    tagged,
)
from lading.drafts.store import DraftStore
from lading.errors import Conflict, InvalidContent, LadingError, NotFound, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import MANIFESTS, OCI_INDEX
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import AnyManifest, fetch_manifest
from lading.stores.location import (
    AnyLocation,
    as_location,
    registry_reference,
)
from lading.transfer.graph import gather


class Change(msgspec.Struct, frozen=True):
    """What became of one entry."""

    kind: Literal["added", "moved", "kept", "removed"]
    entry: DraftEntry
    """The entry as it is now, or as it was if it is removed."""
    old: Digest | None = None
    """The digest before, of an entry that moved."""

    def __str__(self) -> str:
        """One line for people, such as `localhost:5000/app:arm64 moved from 11aa22bb33cc to 0d17b565c37b`."""
        of = f" ({self.entry.platform})" if self.entry.source and self.entry.platform else ""
        subject = attested(self.entry.descriptor)
        if subject:
            of = f" (attestation of {subject.partition(':')[2][:12]})"
        name = f"{self.entry.location or self.entry.source or self.entry.reference}{of}"
        if self.kind == "moved" and self.old is not None:
            return f"{name} moved from {self.old.short} to {self.entry.digest.short}"
        return f"{name} {self.kind}" + ("" if self.kind == "kept" else f" ({self.entry.digest.short})")


class Created(msgspec.Struct, frozen=True):
    """What create, add or pull did."""

    draft: Draft
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """How a draft stands against its registry."""

    draft: Draft
    state: Literal["absent", "same", "older", "differs", "unknown"]
    """`older`: the registry has what the draft was last pulled or pushed as; `unknown`: it could not be asked."""
    digest: Digest | None = None
    """What the registry has."""
    added: int = 0
    """How many entries of the draft have no counterpart in the registry's list."""
    moved: int = 0
    """How many entries are in both for the same platform, with different digests."""
    removed: int = 0
    """How many entries of the registry's list have no counterpart in the draft."""
    error: LadingError | None = None

    def __str__(self) -> str:
        """The state in a few words, as a table shows it."""
        if self.state == "unknown":
            return f"not known: {self.error.message if self.error else 'it was not asked'}"
        if self.state in ("absent", "same"):
            return "not there" if self.state == "absent" else "same"
        counts = (("moved", self.moved), ("added", self.added), ("removed", self.removed))
        parts = [f"{count} {'entry' if count == 1 else 'entries'} {did}" for did, count in counts if count]
        return f"{self.state}: {', '.join(parts)}" if parts else self.state


async def create(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    sources: Iterable[AnyLocation],
    *,
    amend: bool = False,
    replace: bool = False,
    platforms: Iterable[Platform | str] = (),
    attestations: bool = True,
    annotations: Mapping[str, str] | None = None,
    type: ListType | None = None,
) -> Created:
    """Make a draft of images, in the order given; an index among them gives all of its own.

    Args:
        connect: gives the store of a reference.
        store: where the draft is kept.
        target: the draft's name.
        sources: images and indexes, of any registry; or in a layout or an archive, from which they are pushed with
            the list. `NAME:TAG@DIGEST` means the digest.
        amend: extend a draft that is there: its tags are looked up again, and the sources added.
        replace: start over where there is one.
        platforms: what to take from an index; empty for all.
        attestations: whether the attestations of an index come along.
        annotations: of the list itself.
        type: what it is pushed as; None for what an amended draft says already, else `auto`.

    Raises:
        Conflict: there is such a draft, and neither `amend` nor `replace`.
        NotFound: a source, or a child of an index, is not there, or none is for one of the platforms.
        UsageError: the sources cannot be put into a list of that type.
    """
    target = registry_reference(target)
    if amend and replace:
        raise UsageError("a draft is either amended or replaced, not both")
    if not (amend or replace) and store.exists(target):
        raise _exists(target)
    before = store.load(target) if amend and store.exists(target) else None
    named = dict.fromkeys(as_location(source).full() for source in sources)
    if not named and before is None:
        raise UsageError(f"no image was named for {target}")
    taken = Taking(tuple(_platform(wanted) for wanted in platforms), attestations)
    resolver = Resolver(connect, before)
    again = {location.reference for location in named if location.is_registry}
    stale = [source for source in tagged(before) if source not in again]
    work = [resolver.renewed(source) for source in stale]
    work += [resolver.resolve_place(location, target, taken) for location in named]
    found = dict(await gather(work))
    taken.check(entry for source, entries in found.items() if source not in stale for entry in entries or ())
    change = _Merging(target, found, frozenset(stale), resolver, amend, replace, annotations or {}, type)
    return await change.apply(store)


async def add(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    sources: Iterable[AnyLocation],
    *,
    platforms: Iterable[Platform | str] = (),
    attestations: bool = True,
) -> Created:
    """Add images to a draft, and leave its other entries as they are. See `create`.

    Raises:
        NotFound: there is no such draft.
    """
    target = registry_reference(target)
    must_exist(store, target)
    named = dict.fromkeys(as_location(source).full() for source in sources)
    taken = Taking(tuple(_platform(wanted) for wanted in platforms), attestations)
    resolver = Resolver(connect, store.load(target))
    found = dict(await gather(resolver.resolve_place(location, target, taken) for location in named))
    taken.check(entry for entries in found.values() for entry in entries or ())
    return await _Merging(target, found, frozenset(), resolver, amend=True).apply(store)


async def pull(
    connect: Connect,
    store: DraftStore,
    source: Reference | str,
    target: Reference | str | None = None,
    *,
    replace: bool = False,
    platforms: Iterable[Platform | str] = (),
    attestations: bool = True,
) -> Created:
    """Make a draft of a list that is in a registry, to change it and push it again.

    What the list says is kept as it is, nested indexes included; its digest is remembered as the draft's `origin`.

    Args:
        connect: gives the store of a reference.
        store: where the draft is kept.
        source: the list.
        target: the draft's name; None for that of the source.
        replace: overwrite a draft of that name.
        platforms: what to take of it; empty for all.
        attestations: whether its attestations come along.

    Raises:
        NotFound: the list, or a child of it, is not there.
        Conflict: there is such a draft.
        InvalidContent: the source is an image.
    """
    source = registry_reference(source)
    target = source if target is None else registry_reference(target)
    if not replace and store.exists(target):
        raise _exists(target, amend=False)
    repository = connect(source)
    index = await fetch_manifest(repository, source.locator)
    if not isinstance(index, Index):
        raise InvalidContent(
            f"{source} is an image, not a list", remedy=f"make a list of it: lading manifest create NAME {source}"
        )
    taken = Taking(tuple(_platform(wanted) for wanted in platforms), attestations)
    chosen = taken.of(index)
    manifests = await gather(fetch_child(repository, index, child) for child in chosen)
    entries = distinct_entries(
        entry_of(source.with_digest(child.digest), child, manifest, listed=True)
        for child, manifest in zip(chosen, manifests, strict=True)
    )
    taken.check(entries)
    known = ("schemaVersion", "mediaType", "manifests", "annotations")
    draft = Draft(
        reference=target,
        entries=entries,
        annotations=index.annotations,
        base={key: value for key, value in index.document.items() if key not in known},
        pulled=index.raw,
        origin=index.digest,
    )
    if draft.media_type != index.media_type:
        draft = msgspec.structs.replace(draft, type="oci" if index.media_type == OCI_INDEX else "docker")
    check_type(draft)
    changes = tuple(Change("added", entry) for entry in entries)

    def change(now: Draft | None) -> Draft:
        if now is not None and not replace:
            raise _exists(target, amend=False)
        return draft

    return Created(await asyncio.to_thread(store.update, target, change, replace=replace), changes)


async def status(connect: Connect, drafts: Iterable[Draft]) -> tuple[Status, ...]:
    """Ask the registries, all at once, how drafts stand against what is there; a failure is part of the answer."""
    return tuple(await gather(_status(connect, draft) for draft in drafts))


async def prune(
    connect: Connect, store: DraftStore, *, older_than: timedelta | None = None, dry_run: bool = False
) -> tuple[Reference, ...]:
    """Remove the drafts that their registries have exactly as they are.

    Args:
        connect: gives the store of a reference.
        store: where the drafts are.
        older_than: only those that have not changed for that long.
        dry_run: change nothing.

    Returns:
        The names of those removed, or that would be.
    """
    old = set(store.prune(older_than=older_than, dry_run=True))
    candidates = [draft for draft in store.list() if draft.reference in old and not draft.problem]
    same = [each.draft for each in await status(connect, candidates) if each.state == "same"]
    return tuple(draft.reference for draft in same if dry_run or store.remove_if_same(draft))


async def describe(connect: Connect, reference: AnyLocation) -> tuple[AnyManifest, tuple[DraftEntry, ...]]:
    """A manifest in a registry, with its entries as Docker describes them (`docker manifest inspect -v`).

    Returns:
        The manifest, and what it lists: one entry for an image, all of them for an index. A child that is not in
        the registry has no `raw`.
    """
    reference = registry_reference(reference)
    repository = connect(reference)
    manifest = await fetch_manifest(repository, reference.locator)
    if isinstance(manifest, Manifest):
        platform = await platform_of(repository, manifest)
        return manifest, (entry_of(reference, described(manifest, platform), manifest),)

    async def child(descriptor: Descriptor) -> DraftEntry:
        found: AnyManifest | None = None
        try:
            if descriptor.media_type in MANIFESTS:
                found = await fetch_manifest(repository, descriptor.content)
        except NotFound:
            pass
        platform = descriptor.platform or Platform()
        bare = msgspec.structs.replace(descriptor.content, platform=platform)
        name = msgspec.structs.replace(reference, digest=descriptor.digest)
        return entry_of(name, bare, found)

    return manifest, tuple(await gather(child(descriptor) for descriptor in manifest.manifests))


# Changing a draft


class _Merging(msgspec.Struct):
    """What create and add do to a draft, once everything is found."""

    target: Reference
    found: Mapping[Reference, tuple[DraftEntry, ...] | None]
    """What each source stands for; None where that could not be found out."""
    renewed: frozenset[Reference]
    """The sources that were not named, but looked up again because the draft had them."""
    resolver: Resolver
    amend: bool = False
    replace: bool = False
    annotations: Mapping[str, str] = {}
    type: ListType | None = None
    changes: list[Change] = []

    async def apply(self, store: DraftStore) -> Created:
        draft = await asyncio.to_thread(store.update, self.target, self._change, replace=self.replace)
        return Created(draft, tuple(self.changes), (*draft.warnings, *self.resolver.warnings))

    def _change(self, now: Draft | None) -> Draft:
        if now is not None and not (self.amend or self.replace):
            raise _exists(self.target)
        draft = now if now is not None and self.amend else Draft(reference=self.target)
        draft = _recalled(draft, self.resolver.found)
        for source, entries in self.found.items():
            # What was removed while it was looked up again stays removed.
            if entries is not None and (source not in self.renewed or _entries_of(draft, source)):
                draft = _bring_in(draft, source, entries, self.changes)
        annotations = draft.annotations | dict(self.annotations)
        draft = msgspec.structs.replace(draft, annotations=annotations, type=self.type or draft.type)
        check_type(draft)
        return draft


def _recalled(draft: Draft, found: Mapping[Digest, Descriptor]) -> Draft:
    entries = (msgspec.structs.replace(entry, found=entry.found or found.get(entry.digest)) for entry in draft.entries)
    return msgspec.structs.replace(draft, entries=tuple(entries))


def _entries_of(draft: Draft, source: Reference) -> list[DraftEntry]:
    return [entry for entry in draft.entries if source in (entry.source, entry.reference)]


def _bring_in(draft: Draft, source: Reference, entries: Sequence[DraftEntry], changes: list[Change]) -> Draft:
    """The draft with these entries in place of those it had of the source, or at its end."""
    old = _entries_of(draft, source)
    rest = {name_of(entry): entry for entry in draft.entries if entry not in old}
    place = next((at for at, entry in enumerate(draft.entries) if entry in old), len(draft.entries))
    before = [entry for entry in draft.entries[:place] if name_of(entry) in rest]
    after = [entry for entry in draft.entries[place:] if name_of(entry) in rest]
    new: list[DraftEntry] = []
    left = list(old)
    for entry in entries:
        if name_of(entry) in rest:
            changes.append(Change("kept", rest[name_of(entry)]))
            continue
        former = _former(left, entry, alone=len(entries) == 1 == len(old))
        if former is not None:
            left.remove(former)
        new.append(_with_overrides(former, entry))
        changes.append(_change(former, new[-1]))
    changes.extend(Change("removed", entry) for entry in left)
    ordered = draft.ordered or bool(new and not old)
    return msgspec.structs.replace(draft, entries=(*before, *new, *after), ordered=ordered)


def _former(old: list[DraftEntry], entry: DraftEntry, *, alone: bool) -> DraftEntry | None:
    """The entry that another takes the place of."""
    same = [each for each in old if each.digest == entry.digest and name_of(each) == name_of(entry)]
    if same or alone:
        return (same or old)[0]
    if is_attestation(entry.descriptor):
        return None
    found = [each for each in old if not is_attestation(each.descriptor) and found_for(each) == found_for(entry)]
    return found[0] if found else None


def _change(former: DraftEntry | None, entry: DraftEntry) -> Change:
    if former is None:
        return Change("added", entry)
    if former.digest == entry.digest:
        return Change("kept", entry)
    return Change("moved", entry, former.digest)


def _with_overrides(former: DraftEntry | None, entry: DraftEntry) -> DraftEntry:
    """What was found, with what was annotated by hand on the entry before it."""
    if former is None:
        return entry
    if former.digest == entry.digest:
        if former.raw:
            return former
        found = former.found or entry.found
        return msgspec.structs.replace(former, raw=entry.raw, embedded=entry.embedded, found=found)
    annotated = former.descriptor.annotations.items()
    own = dict(annotated - (former.found.annotations if former.found else former.descriptor.annotations).items())
    fields = former.overridden
    platform = entry.platform
    if fields:
        kept = {name: getattr(former.platform or Platform(), name) for name in fields}
        platform = msgspec.structs.replace(platform or Platform(), **kept)
    descriptor = msgspec.structs.replace(
        entry.descriptor, platform=platform, annotations=entry.descriptor.annotations | own
    )
    return msgspec.structs.replace(entry, descriptor=descriptor, overrides=former.overrides, extra=former.extra)


def _exists(target: Reference, *, amend: bool = True) -> Conflict:
    extend = "extend it with --amend, or " if amend else ""
    return Conflict(
        f"there is a local manifest list {target} already",
        cause="refusing to amend an existing manifest list with no --amend flag" if amend else None,
        remedy=f"{extend}start over with --replace",
    )


async def _status(connect: Connect, draft: Draft) -> Status:
    target = draft.reference
    try:
        if draft.problem:
            raise InvalidContent(draft.problem)
        digest = draft.index.digest
        repository = connect(target)
        found = await repository.resolve(target.tag or target.locator)
        if found.digest == digest:
            return Status(draft, "same", found.digest)
        there = await fetch_manifest(repository, found.digest)
    except NotFound:
        return Status(draft, "absent")
    except LadingError as error:
        return Status(draft, "unknown", error=error)
    ours = [entry.descriptor for entry in draft.entries]
    theirs = list(there.manifests) if isinstance(there, Index) else [there.descriptor]
    state: Literal["older", "differs"] = "older" if found.digest == draft.origin else "differs"
    added, moved, removed = _compare(ours, theirs)
    return Status(draft, state, found.digest, added=added, moved=moved, removed=removed)


def _compare(ours: Sequence[Descriptor], theirs: Sequence[Descriptor]) -> tuple[int, int, int]:
    """How many entries were added, moved and removed: moved is what both have for a platform, with other digests."""
    in_both = {entry.digest for entry in ours} & {entry.digest for entry in theirs}
    new = Counter(str(entry.platform) for entry in ours if entry.digest not in in_both)
    old = Counter(str(entry.platform) for entry in theirs if entry.digest not in in_both)
    return (new - old).total(), (new & old).total(), (old - new).total()


# Small things


def _platform(text: Platform | str) -> Platform:
    return Platform.parse(text) if isinstance(text, str) else text
