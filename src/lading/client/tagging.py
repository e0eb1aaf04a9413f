"""Tags and deletion in any store: what names what, giving names, and taking away.

Knows stores and locations; a client's `Context` reaches them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Literal, cast

from lading.client.context import Context
from lading.errors import Conflict, InvalidContent, InvalidReference, LadingError, NotFound, Unsupported, UsageError
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import INDEXES
from lading.model.reference import Reference, is_tag
from lading.model.tags import is_fallback, subject_of
from lading.model.text import moment
from lading.results import Deletion, TagChange, TagDetails, TagInfo
from lading.store import (
    AnyManifest,
    ListsReferrers,
    Readable,
    Store,
    SwapsTags,
    Untags,
    fetch_manifest,
    put_names,
    try_names,
)
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location, resolve_location
from lading.transfer.guard import Guard
from lading.transfer.referrers import listed_referrers
from lading.transfer.report import Failure
from lading.walk import Walk


async def tags_in(store: Readable, location: Location) -> AsyncIterator[str]:
    """The tags of a location's repository in the store's order; where it says no repository, whole names."""
    reference = location.reference if location.is_docker else None
    async for name in store.tags():
        if reference is None:
            yield name
        elif not is_tag(name):
            found = Reference.parse(name)
            if found.name == reference.name and found.tag is not None:
                yield found.tag


async def look_up(store: Readable, location: Location, tags: Iterable[str], *, details: bool = False) -> list[TagInfo]:
    """What each of these tags of a location names, in their order; nothing where the store lists it, and has it not.

    Of what cannot be read it is told why.

    Args:
        store: has the tags.
        location: the place that the store is.
        tags: the tags.
        details: read the manifest and a config, too: two requests for an image, one for an index and for each of its
            images, and sometimes two more for the config of the first.
    """

    async def look(tag: str) -> TagInfo:
        if location.is_registry and not is_tag(tag):
            return TagInfo(tag=tag, problem="such a name cannot be asked for")
        name = tag
        if location.is_docker and location.reference is not None:
            name = str(location.reference.with_tag(tag))
        try:
            if not details:
                return TagInfo(tag=tag, descriptor=await store.resolve(name))
            manifest = await fetch_manifest(store, name)
        except NotFound:
            return TagInfo(tag=tag)
        except (InvalidContent, Conflict) as error:
            return TagInfo(tag=tag, problem=str(error))
        try:
            found = await _details(store, location, manifest)
        except (InvalidContent, NotFound) as error:
            return TagInfo(tag=tag, descriptor=manifest.descriptor, problem=str(error))
        return TagInfo(tag=tag, descriptor=manifest.descriptor, details=found)

    return await gather(look(tag) for tag in tags)


async def _details(store: Readable, location: Location, manifest: AnyManifest) -> TagDetails:
    """When a manifest's image was made, how large it is, and for which platforms."""
    from lading.images.overview import overview

    view = await overview(store, location, manifest)
    return TagDetails(
        kind=view.kind,
        created=view.created or await _first_created(store, manifest),
        platforms=tuple(entry.platform for entry in view.entries if entry.platform and entry.attests is None),
        total_size=view.total_size,
        artifact_type=view.artifact_type,
    )


def newest(found: Iterable[TagInfo], count: int | None) -> list[TagInfo]:
    """Tags with their details, the newest image first; a tag whose image does not say when it was made comes last.

    Args:
        found: the tags.
        count: only so many; None for all.
    """

    def age(info: TagInfo) -> tuple[bool, float, str]:
        made = moment(info.details.created) if info.details is not None else None
        return made is None, -made.timestamp() if made is not None else 0, info.tag

    return sorted(found, key=age)[:count]


async def _first_created(store: Readable, manifest: AnyManifest) -> str | None:
    """When the first image of an index was made, as its config says."""
    if not isinstance(manifest, Index) or not manifest.images:
        return None
    from lading.images.platforms import image_config

    image = await fetch_manifest(store, manifest.images[0].content)
    config = await image_config(store, image) if isinstance(image, Manifest) else None
    return (config.created or None) if config is not None else None


_State = Literal["set", "new", "moved", "unchanged", "failed"]
_Before = dict[Location, AnyManifest | None]
"""For each new tag what it names now: None for what does not exist. What cannot be told is left out."""


async def plan(
    context: Context, source: Location, goals: Sequence[Location], if_digest: str | None, *, keep_going: bool = False
) -> list[TagChange]:
    """What giving a manifest more tags would change; see `AsyncClient.tag`."""
    guard = Guard.of(if_digest)
    async with context.open(source) as store:
        manifest, before = await _read(context, store, source, goals, is_sure=True)
    refused = _refused(guard, before, manifest, keep_going=keep_going)
    return _told(goals, {}, refused, manifest, before)


async def tag(
    context: Context, source: Location, goals: Sequence[Location], if_digest: str | None, *, keep_going: bool = False
) -> list[TagChange]:
    """Give a manifest more tags; see `AsyncClient.tag`."""
    guard = Guard.of(if_digest)
    if keep_going and len(goals) > 1:
        return await _tag_each(context, source, goals, guard)
    here = [goal for goal in goals if goal.place == source.place]
    elsewhere = [goal for goal in goals if goal.place != source.place]
    changes: dict[Location, TagChange] = {}
    async with context.change(source, writing=True) if here else context.open(source) as store:
        manifest, before = await _read(context, store, source, here, is_sure=bool(guard))
        _refused(guard, before, manifest)
        names = {goal.name or "": (str(goal), _digest(before.get(goal))) for goal in here}
        if elsewhere:
            changes = await _copy_as_it_is(context, store, source, manifest, elsewhere, guard)
            await guard.check_again(store, names)
        if isinstance(store, Store):
            check = guard.of_names(names, manifest.digest)
            await put_names(store, manifest, _to_set(store, names, manifest), check=check)
    return _told(goals, changes, {}, manifest, before)


async def _tag_each(context: Context, source: Location, goals: Sequence[Location], guard: Guard) -> list[TagChange]:
    """Give a manifest those of some tags that it can be given.

    Raises:
        LadingError: it can be given none of them.
    """
    here = [goal for goal in goals if goal.place == source.place]
    elsewhere = [goal for goal in goals if goal.place != source.place]
    changes: dict[Location, TagChange] = {}
    async with context.change(source, writing=True) if here else context.open(source) as store:
        manifest, before = await _read(context, store, source, here, is_sure=bool(guard))
        failed = _refused(guard, before, manifest, keep_going=True)
        for goal in elsewhere:
            try:
                changes |= await _copy_as_it_is(context, store, source, manifest, [goal], guard)
            except LadingError as error:
                failed[goal] = error
        allowed = {goal.name or "": goal for goal in here if goal not in failed}
        if isinstance(store, Store):
            names = {name: (str(goal), _digest(before.get(goal))) for name, goal in allowed.items()}
            check = guard.of_names(names, manifest.digest)
            refused = await try_names(store, manifest, _to_set(store, names, manifest), check=check)
            failed |= {allowed[name]: error for name, error in refused.items()}
    return _told(goals, changes, failed, manifest, before)


def _to_set(store: Store, names: Mapping[str, tuple[str, Digest | None]], manifest: AnyManifest) -> list[str]:
    """The names that are to be set: a registry need not be told again what was just seen there."""
    return [name for name, (_, now) in names.items() if now != manifest.digest or not store.traits.is_remote]


def _told(
    goals: Sequence[Location],
    changes: Mapping[Location, TagChange],
    failed: Mapping[Location, LadingError],
    manifest: AnyManifest,
    before: _Before,
) -> list[TagChange]:
    """What became of each tag.

    Raises:
        LadingError: all of them failed.
    """
    if len(failed) == len(set(goals)) and failed:
        raise next(iter(failed.values()))
    return [
        _change(goal, manifest, before, failed.get(goal)) if goal in failed or goal not in changes else changes[goal]
        for goal in goals
    ]


async def _read(
    context: Context, store: Readable, source: Location, goals: Sequence[Location], *, is_sure: bool
) -> tuple[AnyManifest, _Before]:
    """Read a manifest, and beside it what its new tags name now.

    Args:
        context: reaches the places of new tags.
        store: what the manifest is in.
        source: the manifest.
        goals: the new tags.
        is_sure: whether it is told at any cost, and an error where it cannot be.
    """
    before: _Before = {}

    async def look(goal: Location) -> None:
        if not is_sure and not store.traits.resolves_cheaply:
            return
        with suppress(*(() if is_sure else (LadingError,))):
            before[goal] = await _present(context, store, source, goal)

    async def read() -> AnyManifest:
        return await fetch_location(store, source)

    manifest, *_ = await gather([read(), *map(look, goals)])
    assert manifest is not None
    return manifest, {goal: before[goal] for goal in goals if goal in before}


async def _present(context: Context, store: Readable, source: Location, goal: Location) -> AnyManifest | None:
    """What a new tag names now; None where it does not exist, or what it would be in."""
    try:
        if goal.place == source.place:
            return await fetch_manifest(store, goal.name or "")
        async with context.open(goal) as other:
            return await fetch_manifest(other, goal.name or "")
    except NotFound:
        return None


def _refused(
    guard: Guard, before: _Before, manifest: AnyManifest, *, keep_going: bool = False
) -> dict[Location, LadingError]:
    """The tags that the guard does not let be changed.

    Raises:
        Conflict: there is one, and the others are not to be changed either.
    """
    refused: dict[Location, LadingError] = {}
    for goal, now in before.items():
        try:
            guard.check(str(goal), _digest(now), manifest.digest)
        except Conflict as error:
            if not keep_going:
                raise
            refused[goal] = error
    return refused


def _digest(manifest: AnyManifest | None) -> Digest | None:
    return manifest.digest if manifest is not None else None


def _change(goal: Location, manifest: AnyManifest, before: _Before, error: LadingError | None = None) -> TagChange:
    """What becomes of a tag that gets this manifest, unless there was an error."""
    failure = Failure.of(error, str(goal)) if error is not None else None
    if goal not in before:
        state: _State = "failed" if failure else "set"
        return TagChange(reference=goal, digest=manifest.digest, state=state, failure=failure)
    now = before[goal]
    state = "new"
    if now is not None:
        state = "unchanged" if now.digest == manifest.digest else "moved"
    state = "failed" if failure else state
    return TagChange(
        reference=goal,
        digest=manifest.digest,
        state=state,
        previous=_digest(now),
        previous_type=now.media_type if now is not None else None,
        previous_platforms=len(now.images) if isinstance(now, Index) else None,
        failure=failure,
    )


def goal_of(source: Location, target: AnyLocation) -> Location:
    """Where a new tag is to be: a tag of the source's own repository, or another location.

    Raises:
        InvalidReference: it has a digest.
        UsageError: it names no tag.
    """
    if isinstance(target, str) and is_tag(target):
        return source.with_tag(target)
    goal = as_location(target).full()
    if goal.pinned is not None:
        raise InvalidReference(f"{goal} cannot be a new tag", cause="it has a digest")
    if goal.own_tag is None:
        raise UsageError(f"{goal} names no tag", remedy=f"give {goal}:{'REPOSITORY:' if goal.is_docker else ''}TAG")
    return goal.with_tag(goal.own_tag)


def tag_to_remove(location: Location) -> str:
    """The tag that a location says, to be removed.

    Raises:
        UsageError: it says none, or a digest besides.
    """
    if location.own_tag is None or location.pinned is not None:
        raise UsageError(f"{location} names no tag", remedy="give REPOSITORY:TAG")
    return location.own_tag


async def untag(store: Store, location: Location, if_digest: str | None) -> None:
    """Remove the tag that a location says, and leave the manifest.

    Raises:
        UsageError: it says none, or a digest besides.
        Conflict: it names something else than `if_digest`.
        Unsupported: no tags are removed there; nothing was changed.
    """
    tag = tag_to_remove(location)
    if not isinstance(store, Untags):
        raise Unsupported(f"lading removes no tags from {store.name}; nothing was changed")
    guard = Guard.of(if_digest)
    if guard:
        guard.check(str(location), (await resolve_location(store, location)).digest)
        if isinstance(store, SwapsTags):
            swapping = cast("SwapsTags", store)  # which pyright takes for a Store in the first place
            await swapping.untag(tag, check=guard.of_names({tag: (str(location), None)}))
            return
    await store.untag(tag)


async def delete(store: Store, location: Location, if_digest: str | None) -> Deletion:
    """Delete the manifest that a location names, and with it every tag that names it.

    Raises:
        Conflict: it names something else than `if_digest`.
        Unsupported: nothing is deleted there; nothing was changed.
    """
    guard = Guard.of(if_digest)
    manifest: AnyManifest | None = None
    if isinstance(store, ListsReferrers):
        manifest = await _manifest(store, location)
    found = manifest.descriptor if manifest is not None else await resolve_location(store, location)
    guard.check(str(location), found.digest)
    try:
        if guard and location.own_tag is not None and isinstance(store, SwapsTags):
            name = location.name or location.own_tag
            swapping = cast("SwapsTags", store)  # which pyright takes for a Store in the first place
            await swapping.delete(found, name=name, check=guard.of_names({name: (str(location), None)}))
        elif isinstance(store, ListsReferrers):
            await cast("ListsReferrers", store).delete(found, manifest=manifest)
        else:
            await store.delete(found)
    except Unsupported as error:
        if location.reference is not None and location.is_registry:
            error.message = f"{location.reference.registry} does not let {location} be deleted"
        raise
    tag = location.own_tag
    return Deletion(reference=location, digest=found.digest, tags=[tag] if tag else [])


async def _manifest(store: Readable, location: Location) -> AnyManifest | None:
    """What is to be deleted; None where it cannot be read, which is no reason not to delete it."""
    try:
        return await fetch_location(store, location)
    except InvalidContent:
        return None


async def deletion(store: Readable, location: Location) -> Deletion:
    """What deleting this would take: every tag that names it, the indexes that list it, and what refers to it.

    Raises:
        Unsupported: nothing is deleted there.
    """
    found = await resolve_location(store, location)
    if location.is_docker and isinstance(store, Store):
        await store.delete(found)  # which says what to do instead, before everything there is looked at
    digest = found.digest
    infos = await look_up(store, location, [tag async for tag in tags_in(store, location)])
    return Deletion(
        reference=location,
        digest=digest,
        tags=[info.tag for info in infos if info.digest == digest],
        listed_in=await _listing(store, digest, infos),
        referrers=await _referring(store, found, infos),
    )


async def _referring(store: Readable, subject: Descriptor, infos: Sequence[TagInfo]) -> list[Digest]:
    """What refers to a manifest, as far as that can be had: by a list, or by a tag that is made of its digest."""
    found: set[Digest] = set()
    with suppress(LadingError):
        found = {item.digest async for item in listed_referrers(store, subject.content)}
    cosigns = (info for info in infos if subject_of(info.tag) == subject.digest and not is_fallback(info.tag))
    return sorted(found | {info.digest for info in cosigns if info.digest is not None})


async def _listing(store: Readable, digest: Digest, infos: Sequence[TagInfo]) -> list[str]:
    """The tags of the indexes that list a digest, however deeply."""
    tagged = {info.digest for info in infos if info.digest and info.media_type in INDEXES}
    listing = _ancestors(digest, await _indexes(store, tagged - {digest}, digest))
    # A list of referrers does without one of them.
    return [info.tag for info in infos if info.digest in listing and not is_fallback(info.tag)]


async def _indexes(store: Readable, tagged: set[Digest], leaf: Digest) -> dict[Digest, Index]:
    """These indexes and all that are nested in them, each read once; what `leaf` lists is left alone."""
    indexes: dict[Digest, Index] = {}

    async def read(content: Digest) -> Index | None:
        # An index that cannot be read is broken already.
        with suppress(NotFound, InvalidContent):
            found = await fetch_manifest(store, content)
            if isinstance(found, Index):
                indexes[content] = found
                return found
        return None

    walk, depth = Walk(f"what is tagged in {store.name}"), 0
    unread, seen = tagged, {leaf}
    while unread:
        seen |= unread
        found = await gather(read(content) for content in unread)
        nested = {entry.digest: entry for index in found if index is not None for entry in index.manifests}
        more = [entry for entry in nested.values() if entry.media_type in INDEXES and entry.digest not in seen]
        depth += 1
        if more:
            walk.enter(more, depth)
        unread = {entry.digest for entry in more}
    return indexes


def _ancestors(digest: Digest, indexes: Mapping[Digest, Index]) -> set[Digest]:
    """The indexes that list a digest, directly or by an index within them."""
    found = {digest}
    more = {digest}
    while more:
        more = {
            name
            for name, index in indexes.items()
            if name not in found and any(entry.digest in found for entry in index.manifests)
        }
        found |= more
    return found - {digest}


async def _copy_as_it_is(
    context: Context, store: Readable, source: Location, manifest: AnyManifest, goals: Sequence[Location], guard: Guard
) -> dict[Location, TagChange]:
    """Copy a manifest that was read to other places, say what stays behind, and what became of the tags."""
    from lading.client.copying import Copying
    from lading.transfer.report import CopyOptions
    from lading.transfer.transform import Graph

    async with AsyncExitStack() as resources:
        graph = Graph.of(store, manifest, str(source), resources)
        copying = Copying(context, CopyOptions(guard=guard, tells=True), None)
        report = await copying.run(graph, goals)
    for note in report.notes:
        context.note(note)
    changes = {}
    for copied in (tag for image in report.images for tag in image.targets):
        state = "set" if copied.state == "kept" else copied.state
        for goal in goals:
            if str(goal) == copied.reference:
                changes[goal] = TagChange(reference=goal, digest=manifest.digest, state=state, previous=copied.previous)
    return changes
