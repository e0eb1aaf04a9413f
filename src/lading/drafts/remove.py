"""Taking entries out of a draft.

This module knows drafts and their store, and not registries.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lading.drafts.docker_files import name_of
from lading.drafts.draft import Draft, DraftEntry
from lading.drafts.store import DraftStore, must_exist, no_draft
from lading.model.document import Result
from lading.model.index import attested
from lading.model.reference import Reference
from lading.stores.location import registry_reference


class RemovedEntries(Result, msgspec.Struct, frozen=True):
    """What remove did."""

    draft: Draft
    """The draft as it is now."""
    entries: tuple[DraftEntry, ...]
    """The entries that were removed, the attestations of removed images among them."""


def remove(store: DraftStore, target: Reference | str, images: Iterable[str]) -> RemovedEntries:
    """Remove entries from a draft, with the attestations about them; see `Drafts.remove`."""
    target = registry_reference(target)
    named = tuple(images)
    gone: list[DraftEntry] = []

    def change(draft: Draft | None) -> Draft:
        if draft is None:
            raise no_draft(target)
        chosen = {name_of(draft.find(image)) for image in named}
        digests = {entry.digest for entry in draft.entries if name_of(entry) in chosen}
        digests -= {entry.digest for entry in draft.entries if name_of(entry) not in chosen}
        gone[:] = [e for e in draft.entries if name_of(e) in chosen or attested(e.descriptor) in digests]
        return msgspec.structs.replace(draft, entries=tuple(e for e in draft.entries if e not in gone))

    must_exist(store, target)
    return RemovedEntries(store.update(target, change), tuple(gone))
