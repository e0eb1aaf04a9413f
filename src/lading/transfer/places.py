"""From locations to places: opens the stores that are copied between, and finds what a location leaves open.

The only module of this room that knows which stores there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import msgspec

from lading.errors import UsageError
from lading.model.reference import Reference
from lading.registry.journal import Journal
from lading.registry.repository import Repository
from lading.store import Store
from lading.stores.location import Location, open_local, parse_location, resolve_location
from lading.transfer.events import OnEvent
from lading.transfer.operation import Place, copy
from lading.transfer.report import CopyOptions, CopyReport

Connect = Callable[[Reference, bool], Repository]
"""The repository of a reference; the flag says whether it will be written to."""
AnyLocation = Location | Reference | str

_DOCKER = ("docker-archive", "docker-daemon")


async def copy_between(
    connect: Connect,
    source: AnyLocation,
    targets: Sequence[AnyLocation],
    options: CopyOptions,
    on_event: OnEvent | None = None,
    *,
    own_tags: bool = False,
) -> CopyReport:
    """Open the places, copy, and close them.

    Args:
        connect: finds repositories.
        source: where from.
        targets: where to.
        options: how.
        on_event: is told what happens.
        own_tags: where neither side names a tag, everything in the source keeps the tags that it has there.
    """
    here, there = as_location(source), [as_location(target) for target in targets]
    if any(target.is_stream for target in there) and len(there) > 1:
        raise UsageError("standard output takes one copy only")
    if options.all_tags:
        for place in (source, *targets):
            if _says_tag(place):
                raise UsageError(f"{place} names one tag", cause="all tags are copied, each under its own name")
    async with AsyncExitStack() as stack:
        origin = await _open_source(stack, connect, here)
        if own_tags and here.name is None and not options.all_tags and not any(map(_says_tag, targets)):
            own = [tag async for tag in origin.store.tags()]
            if own:
                options = msgspec.structs.replace(options, all_tags=True)
        if origin.name is None and not options.all_tags:
            origin = msgspec.structs.replace(origin, name=await _only(origin.store, here))
        places = [await _open_target(stack, connect, target, here, options) for target in there]
        return await copy(origin, places, options, on_event)


def as_location(place: AnyLocation) -> Location:
    """A location from its text or from a reference."""
    if isinstance(place, Location):
        return place
    if isinstance(place, Reference):
        return Location(kind="registry", reference=place)
    return parse_location(place)


async def _open_source(stack: AsyncExitStack, connect: Connect, location: Location) -> Place:
    if location.reference is not None and location.is_registry:
        return Place(connect(location.reference, False), location.name)
    store = await stack.enter_async_context(open_local(location, writing=False))
    return Place(store, location.name, is_remote=False)


async def _only(store: Store, location: Location) -> str:
    """The digest of the only manifest that there is."""
    if location.kind == "docker-archive":
        return str((await store.resolve("")).digest)
    return str((await resolve_location(store, location)).digest)


async def _open_target(
    stack: AsyncExitStack, connect: Connect, location: Location, source: Location, options: CopyOptions
) -> Place:
    if location.reference is not None and location.is_registry:
        repository = connect(location.reference, not options.dry_run)
        journal = Journal.of_user()
        if journal is not None and not options.dry_run:
            journal.prune()
            repository.uploads.journal = journal
        return Place(repository, None if options.all_tags else location.name)
    store = await stack.enter_async_context(open_local(location, writing=True))
    name = location.name
    if name is None:
        name = _borrowed_name(location, source)
    if options.all_tags:
        name = None
    if location.kind in _DOCKER:
        if location.reference is not None and location.reference.digest is not None:
            raise UsageError(f"{location} cannot be written", cause="a container engine gives digests itself")
        takes = location.kind == "docker-archive"
        if not takes:
            async for _ in store.tags():
                break  # the engine answers: better to know before the download than after it
        return Place(store, name, is_remote=False, takes_indexes=False, is_asked=takes)
    return Place(store, name, is_remote=False)


def _borrowed_name(location: Location, source: Location) -> str | None:
    """What a copy is called where the target does not say: as in the source."""
    reference = source.reference
    if location.kind in _DOCKER:
        return str(reference) if reference is not None and reference.digest is None else None
    return reference.tag if reference is not None else source.tag


def _says_tag(target: AnyLocation) -> bool:
    if isinstance(target, str):
        location = parse_location(target)
        if location.reference is None or not location.is_registry:
            return location.name is not None
        bare = Reference.parse_repository(target.removeprefix("docker://"))
        return bare.tag is not None or bare.digest is not None
    return as_location(target).name is not None
