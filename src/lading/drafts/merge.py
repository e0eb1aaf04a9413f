"""Putting entries that were found into a draft, and what became of each entry.

This module knows drafts as values, and neither registries nor how drafts are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from lading.drafts.docker_files import name_of, with_files
from lading.drafts.draft import Draft, DraftEntry
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.index import attested, is_attestation
from lading.model.platform import Platform
from lading.model.reference import Reference


class Change(Result, msgspec.Struct, frozen=True):
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


class CreatedDraft(Result, msgspec.Struct, frozen=True):
    """What create, add or pull did."""

    draft: Draft
    """The draft as it is now."""
    changes: tuple[Change, ...] = ()
    """One for each entry that a source gave, or that was removed because its source no longer gives it."""
    warnings: tuple[str, ...] = ()
    """What was found odd in the draft's files, and which entries could not be looked up again."""


def recall(draft: Draft, found: Mapping[Digest, Descriptor]) -> Draft:
    """The draft with `found` filled in for the entries that lack it.

    Args:
        draft: a draft.
        found: what the registry says of a manifest, by its digest.
    """
    entries = (msgspec.structs.replace(entry, found=entry.found or found.get(entry.digest)) for entry in draft.entries)
    return msgspec.structs.replace(draft, entries=tuple(entries))


def merge(
    draft: Draft,
    found: Mapping[Reference, tuple[DraftEntry, ...] | None],
    *,
    renewed: Collection[Reference] = (),
) -> tuple[Draft, list[Change]]:
    """The draft with the entries of these sources, and what became of each entry.

    A source's entries take the place of the entries that the draft has of this source, or go to the end. What was
    annotated by hand on an entry is kept on the entry that takes its place.

    Args:
        draft: a draft.
        found: the entries that each source gives; None for a source that could not be looked up: its entries stay.
        renewed: the sources that were looked up again because the draft has entries of them. Where the draft has none
            any more, they were removed meanwhile, and stay removed.
    """
    changes: list[Change] = []
    for source, entries in found.items():
        if entries is not None and (source not in renewed or _entries_of(draft, source)):
            draft = _replace_source(draft, source, entries, changes)
    return draft, changes


def _entries_of(draft: Draft, source: Reference) -> list[DraftEntry]:
    return [entry for entry in draft.entries if source in (entry.source, entry.reference)]


def _replace_source(draft: Draft, source: Reference, entries: Sequence[DraftEntry], changes: list[Change]) -> Draft:
    """The draft with these entries in the place of the entries that it has of the source, or at its end."""
    old = _entries_of(draft, source)
    replaced = {name_of(entry) for entry in old}
    rest = {_meaning(entry): entry for entry in draft.entries if name_of(entry) not in replaced}
    place = next((at for at, entry in enumerate(draft.entries) if name_of(entry) in replaced), len(draft.entries))
    before = [entry for entry in draft.entries[:place] if name_of(entry) not in replaced]
    after = [entry for entry in draft.entries[place:] if name_of(entry) not in replaced]
    new: list[DraftEntry] = []
    left = list(old)
    for entry in entries:
        known = rest.get(_meaning(entry))
        if known is not None:
            changes.append(Change("kept", known))
            continue
        former = _former(left, entry, alone=len(entries) == 1 == len(old))
        if former is not None:
            left.remove(former)
        new.append(_with_overrides(former, entry))
        changes.append(_change(former, new[-1]))
    changes.extend(Change("removed", entry) for entry in left)
    ordered = draft.ordered or bool(new and not old)
    others = {name_of(entry) for entry in (*before, *after)}
    return msgspec.structs.replace(draft, entries=(*before, *with_files(new, others), *after), ordered=ordered)


def _meaning(entry: DraftEntry) -> tuple[Reference, object]:
    """What an entry was listed for: two of one manifest that were listed for the same are one.

    An image is listed for its platform, and an attestation for what it is about; anything else is what is said of it.
    """
    found = entry.found or entry.descriptor
    if is_attestation(found):
        return entry.reference, attested(found)
    if found.platform is not None and found.platform.os not in ("", "unknown"):
        return entry.reference, found.platform.normalized()
    return entry.reference, found.to_json()


def _former(old: list[DraftEntry], entry: DraftEntry, *, alone: bool) -> DraftEntry | None:
    """The entry whose place another one takes: the same manifest, or else the one for the same platform."""
    same = [each for each in old if each.digest == entry.digest and _meaning(each) == _meaning(entry)]
    if same or alone:
        return (same or old)[0]
    if is_attestation(entry.descriptor):
        return None
    images = (each for each in old if not is_attestation(each.descriptor))
    return next((each for each in images if each.found_platform == entry.found_platform), None)


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
        entry.descriptor, platform=platform, annotations={**entry.descriptor.annotations, **own}
    )
    return msgspec.structs.replace(entry, descriptor=descriptor, overrides=former.overrides, extra=former.extra)
