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
from lading.drafts.entries import EntryFinder, IndexFilter, tagged
from lading.drafts.merge import Change, Created, merge, recall
from lading.drafts.store import DraftStore, draft_exists, must_exist, no_draft
from lading.errors import UsageError
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import Connect
from lading.stores.location import AnyLocation, as_location, registry_reference
from lading.transfer.graph import gather


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
        raise draft_exists(target)
    before = store.load(target) if amend and store.exists(target) else None
    places: tuple[AnyLocation, ...] = several(sources)
    named = dict.fromkeys(as_location(place).full() for place in places)
    if not named and before is None:
        raise UsageError(f"no image was named for {target}")
    wanted = IndexFilter.of(platforms, attestations)
    finder = EntryFinder(connect, before)
    again = {location.reference for location in named if location.is_registry}
    stale = frozenset(source for source in tagged(before) if source not in again)
    work = [finder.find_again(source) for source in tagged(before) if source in stale]
    work += [finder.find(location, target, wanted) for location in named]
    found = dict(await gather(work))
    wanted.check(entry for source, entries in found.items() if source not in stale for entry in entries or ())
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
    return Created(draft, tuple(changes), (*draft.warnings, *finder.warnings))


async def add(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    sources: Iterable[AnyLocation] | AnyLocation,
    *,
    platforms: Iterable[Platform | str] | Platform | str = (),
    attestations: bool = True,
) -> Created:
    """Add images to a draft, and leave its other entries as they are. See `create`.

    Raises:
        NotFound: there is no such draft.
    """
    target = registry_reference(target)
    must_exist(store, target)
    places: tuple[AnyLocation, ...] = several(sources)
    named = dict.fromkeys(as_location(place).full() for place in places)
    wanted = IndexFilter.of(platforms, attestations)
    finder = EntryFinder(connect, store.load(target))
    found = dict(await gather(finder.find(location, target, wanted) for location in named))
    wanted.check(entry for entries in found.values() for entry in entries or ())
    changes: list[Change] = []

    def change(now: Draft | None) -> Draft:
        if now is None:
            raise no_draft(target)
        draft, changes[:] = merge(recall(now, finder.recalled), found)
        check_type(draft)
        return draft

    draft = await asyncio.to_thread(store.update, target, change)
    return Created(draft, tuple(changes), (*draft.warnings, *finder.warnings))
