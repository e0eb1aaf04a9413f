"""Making drafts of images and indexes, and adding to them.

Registries are asked concurrently and in full before a draft is changed; a draft is changed as a whole or not at all.
This module knows stores in general (`connect` gives the store of a reference), and neither HTTP nor how drafts are
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from lading.arguments import several
from lading.drafts.draft import Draft, ListType, check_type
from lading.drafts.entries import EntryFinder, tagged
from lading.drafts.merge import Change, CreatedDraft, merge, recall
from lading.drafts.store import DraftStore, draft_exists, must_exist, no_draft
from lading.errors import UsageError
from lading.images.indexes.entries import IndexFilter
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import Connect
from lading.stores.location import AnyLocation, Location, as_location, registry_reference


async def create(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    sources: Iterable[AnyLocation] | AnyLocation,
    *,
    amend: bool = False,
    replace: bool = False,
    platforms: Iterable[Platform | str] | Platform | str = (),
    attestations: bool = True,
    annotations: Mapping[str, str] | None = None,
    type: ListType | None = None,
) -> CreatedDraft:
    """Make a draft of images; see `Drafts.create`."""
    target = registry_reference(target)
    if amend and replace:
        raise UsageError("a draft is either amended or replaced, not both")
    if not (amend or replace) and store.exists(target):
        raise draft_exists(target)
    before = store.load(target) if amend and store.exists(target) else None
    named = _locations(sources)
    if not named and before is None:
        raise UsageError(f"no image was named for {target}")
    finder = EntryFinder(connect, before)
    stale = [source for source in tagged(before) if as_location(source) not in named]
    found = await finder.find_all(named, target, IndexFilter.of(platforms, attestations), again=stale)
    changes: list[Change] = []

    def change(now: Draft | None) -> Draft:
        if now is not None and not (amend or replace):
            raise draft_exists(target)
        draft = recall(now, finder.recalled) if now is not None and amend else Draft(reference=target)
        draft, changes[:] = merge(draft, found, renewed=stale)
        given = draft.annotations | dict(annotations or {})
        draft = msgspec.structs.replace(draft, annotations=given, type=type or draft.type)
        check_type(draft)
        return draft

    draft = await asyncio.to_thread(store.update, target, change, replace=replace)
    return CreatedDraft(draft, tuple(changes), (*draft.warnings, *finder.warnings))


async def add(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    sources: Iterable[AnyLocation] | AnyLocation,
    *,
    platforms: Iterable[Platform | str] | Platform | str = (),
    attestations: bool = True,
) -> CreatedDraft:
    """Add images to a draft, and leave its other entries as they are; see `Drafts.add`."""
    target = registry_reference(target)
    must_exist(store, target)
    finder = EntryFinder(connect, store.load(target))
    found = await finder.find_all(_locations(sources), target, IndexFilter.of(platforms, attestations))
    changes: list[Change] = []

    def change(now: Draft | None) -> Draft:
        if now is None:
            raise no_draft(target)
        draft, changes[:] = merge(recall(now, finder.recalled), found)
        check_type(draft)
        return draft

    draft = await asyncio.to_thread(store.update, target, change)
    return CreatedDraft(draft, tuple(changes), (*draft.warnings, *finder.warnings))


def _locations(sources: Iterable[AnyLocation] | AnyLocation) -> list[Location]:
    """The sources in their order, each once."""
    places: tuple[AnyLocation, ...] = several(sources)
    return list(dict.fromkeys(as_location(place).full() for place in places))
