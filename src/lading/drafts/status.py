"""How drafts differ from what their registries have, and removing the drafts that do not.

This module knows stores in general (`connect` gives the store of a reference), and neither HTTP nor how drafts are
kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec

from lading.drafts.draft import Draft
from lading.drafts.store import DraftStore
from lading.errors import InvalidContent, LadingError, NotFound
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result, described
from lading.model.index import Index
from lading.model.reference import Reference
from lading.store import Connect, fetch_manifest


class DraftStatus(Result, msgspec.Struct, frozen=True):
    """How a draft differs from what its registry has."""

    draft: Draft
    state: Literal["absent", "same", "older", "differs", "unknown"]
    """`absent`: the registry has no such tag; `same`: it has exactly the draft; `older`: it has what the draft was last
    pulled or pushed as; `differs`: it has something else; `unknown`: it could not be asked."""
    digest: Digest | None = None
    """What the tag names in the registry."""
    added: int = 0
    """How many entries of the draft have no counterpart in the registry's list."""
    moved: int = 0
    """How many entries are in both for the same platform, with different digests."""
    removed: int = 0
    """How many entries of the registry's list have no counterpart in the draft."""
    error: LadingError | None = None
    """Why the registry could not be asked."""

    def to_document(self) -> dict[str, Any]:
        """The draft as a JSON object, with what its registry has; see `DraftDocument`."""
        return described(self.draft.described_with(self.state, self.digest))

    def __str__(self) -> str:
        """The state in a few words, as a table shows it."""
        if self.state == "unknown":
            return f"not known: {self.error.message if self.error else 'it was not asked'}"
        if self.state in ("absent", "same"):
            return "not there" if self.state == "absent" else "same"
        counts = (("moved", self.moved), ("added", self.added), ("removed", self.removed))
        parts = [f"{count} {'entry' if count == 1 else 'entries'} {did}" for did, count in counts if count]
        return f"{self.state}: {', '.join(parts)}" if parts else self.state


async def status(connect: Connect, drafts: Iterable[Draft]) -> tuple[DraftStatus, ...]:
    """How drafts differ from what their registries have; see `Drafts.status`."""
    return tuple(await gather(_status(connect, draft) for draft in drafts))


async def prune(
    connect: Connect, store: DraftStore, *, older_than: timedelta | None = None, dry_run: bool = False
) -> tuple[Reference, ...]:
    """Remove the drafts that their registries have exactly as they are; see `Drafts.prune`."""
    old = set(store.prune(older_than=older_than, dry_run=True))
    candidates = [draft for draft in store.list() if draft.reference in old and not draft.problem]
    same = [each.draft for each in await status(connect, candidates) if each.state == "same"]
    return tuple(draft.reference for draft in same if dry_run or store.remove_if_same(draft))


async def _status(connect: Connect, draft: Draft) -> DraftStatus:
    target = draft.reference
    try:
        if draft.problem:
            raise InvalidContent(draft.problem)
        digest = draft.index.digest
        repository = connect(target)
        found = await repository.resolve(target.tag or target.locator)
        if found.digest == digest:
            return DraftStatus(draft, "same", found.digest)
        there = await fetch_manifest(repository, found.digest)
    except NotFound:
        return DraftStatus(draft, "absent")
    except LadingError as error:
        return DraftStatus(draft, "unknown", error=error)
    ours = [entry.descriptor for entry in draft.entries]
    theirs = list(there.manifests) if isinstance(there, Index) else [there.descriptor]
    state: Literal["older", "differs"] = "older" if found.digest == draft.origin else "differs"
    added, moved, removed = _compare(ours, theirs)
    return DraftStatus(draft, state, found.digest, added=added, moved=moved, removed=removed)


def _compare(ours: Sequence[Descriptor], theirs: Sequence[Descriptor]) -> tuple[int, int, int]:
    """How many entries were added, moved and removed: moved is what both have for a platform, with other digests."""
    in_both = {entry.digest for entry in ours} & {entry.digest for entry in theirs}
    new = Counter(str(entry.platform) for entry in ours if entry.digest not in in_both)
    old = Counter(str(entry.platform) for entry in theirs if entry.digest not in in_both)
    return (new - old).total(), (new & old).total(), (old - new).total()
