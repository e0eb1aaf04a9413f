"""Tags and deletion in any store: what names what, giving names, and taking away.

Knows stores and locations, and nothing of how the stores are reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress

from lading.errors import InvalidContent, NotFound, Unsupported, UsageError
from lading.io.tasks import gather
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.media_types import INDEXES
from lading.model.reference import Reference, is_tag
from lading.results import Deletion, TagChange, TagInfo
from lading.store import AnyManifest, Readable, Store, Untags, fetch_manifest
from lading.stores.location import Location
from lading.stores.opening import resolve_location
from lading.transfer.guard import Guard


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


async def look_up(store: Readable, location: Location, tags: Iterable[str]) -> list[TagInfo]:
    """What each of these tags of a location names, in their order; a tag that vanished meanwhile is left out."""

    async def look(tag: str) -> TagInfo | None:
        name = tag
        if location.is_docker and location.reference is not None:
            name = str(location.reference.with_tag(tag))
        try:
            found = await store.resolve(name)
        except NotFound:
            return None
        return TagInfo(tag=tag, descriptor=found)

    return [info for info in await gather(look(tag) for tag in tags) if info is not None]


def planned(goals: Sequence[Location], manifest: AnyManifest, before: Sequence[Digest | None]) -> list[TagChange]:
    """What giving a manifest these names would change."""
    return [
        TagChange(
            reference=goal,
            digest=manifest.digest,
            previous=now,
            state="new" if now is None else "unchanged" if now == manifest.digest else "moved",
        )
        for goal, now in zip(goals, before, strict=True)
    ]


def tag_to_remove(location: Location) -> str:
    """The tag that a location says, to be removed.

    Raises:
        UsageError: it says none, or a digest besides.
    """
    if location.own_tag is None or location.pinned is not None:
        raise UsageError(f"{location} names no tag", remedy="give REPOSITORY:TAG")
    return location.own_tag


async def untag(store: Store, location: Location, guard: Guard) -> None:
    """Remove the tag that a location says, and leave the manifest.

    Raises:
        UsageError: it says none, or a digest besides.
        Conflict: it names something else than the guard expects.
        Unsupported: no tags are removed there; nothing was changed.
    """
    tag = tag_to_remove(location)
    if not isinstance(store, Untags):
        raise Unsupported(f"lading removes no tags from {store.name}; nothing was changed")
    if guard:
        guard.check(str(location), (await resolve_location(store, location)).digest)
    await store.untag(tag)


async def delete(store: Store, location: Location, guard: Guard) -> Deletion:
    """Delete the manifest that a location names, and with it every tag that names it.

    Raises:
        Conflict: it names something else than the guard expects.
        Unsupported: nothing is deleted there; nothing was changed.
    """
    found = await resolve_location(store, location)
    guard.check(str(location), found.digest)
    try:
        await store.delete(found)
    except Unsupported as error:
        if location.reference is not None and location.is_registry:
            error.message = f"{location.reference.registry} does not let {location} be deleted"
        raise
    tag = location.own_tag
    return Deletion(reference=location, digest=found.digest, tags=[tag] if tag else [])


async def deletion(store: Readable, location: Location) -> Deletion:
    """What deleting this would take: every tag that names it, and the indexes that list it.

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
    )


async def _listing(store: Readable, digest: Digest, infos: Sequence[TagInfo]) -> list[str]:
    """The tags of the indexes that list a digest, however deeply."""
    indexes: dict[Digest, Index] = {}

    async def read(content: Digest) -> None:
        # An index that cannot be read is broken already.
        with suppress(NotFound, InvalidContent):
            found = await fetch_manifest(store, content)
            if isinstance(found, Index):
                indexes[content] = found

    unread = {info.digest for info in infos if info.digest and info.media_type in INDEXES} - {digest}
    seen: set[Digest] = set()
    while unread:
        seen |= unread
        await gather(read(content) for content in unread)
        nested = (entry for index in indexes.values() for entry in index.manifests if entry.media_type in INDEXES)
        unread = {entry.digest for entry in nested} - seen - {digest}
    broken: set[Digest] = set()
    more: set[Digest] = {digest}
    while more:
        broken |= more
        more = {
            name
            for name, index in indexes.items()
            if name not in broken and any(entry.digest in broken for entry in index.manifests)
        }
    return [info.tag for info in infos if info.digest in broken and info.digest != digest]
