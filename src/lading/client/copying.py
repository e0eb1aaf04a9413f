"""From locations to places: opens the stores that are copied between, and finds what a location leaves open.

The only module of this room that knows which stores there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import msgspec

from lading.errors import Conflict, UsageError
from lading.model.reference import DEFAULT_TAG, Reference, is_tag
from lading.registry.repository import Repository
from lading.store import Readable, Store
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import open_to_read, open_to_write, resolve_location
from lading.transfer.events import OnEvent
from lading.transfer.operation import Place, copy
from lading.transfer.report import CopyOptions, CopyReport

Connect = Callable[[Reference, bool], Repository]
"""The repository of a reference; the flag says whether it will be written to."""

_LIKE_A_TAG = r"latest|v?[0-9][0-9A-Za-z._-]*"


async def copy_between(
    connect: Connect,
    source: AnyLocation,
    targets: Sequence[AnyLocation],
    options: CopyOptions,
    on_event: OnEvent | None = None,
    *,
    own_tags: bool = False,
    connect_source: Connect | None = None,
) -> CopyReport:
    """Open the places, copy, and close them.

    Args:
        connect: finds repositories.
        source: where from.
        targets: where to.
        options: how.
        on_event: is told what happens.
        own_tags: where neither side names a tag, everything in the source keeps the tags that it has there.
        connect_source: finds the source's repository, where it is found in another way than those of the targets.
    """
    here, there = as_location(source), [as_location(target) for target in targets]
    if any(target.is_stream for target in there) and len(there) > 1:
        raise UsageError("standard output takes one copy only")
    if options.all_tags:
        for location in (here, *there):
            if location.is_named:
                raise UsageError(
                    f"{location} names one tag",
                    cause="all tags are copied, each under its own name",
                    remedy=f"leave out the tag: {location.place}",
                )
    async with AsyncExitStack() as stack:
        origin = await _open_source(stack, connect_source or connect, here)
        if own_tags and here.name is None and not options.all_tags and not any(target.is_named for target in there):
            own = [tag async for tag in origin.store.tags()]
            if own:
                options = msgspec.structs.replace(options, all_tags=True)
        if not options.all_tags:
            here, name = await _settled(origin.store, here)
            origin = msgspec.structs.replace(origin, name=name)
        opened = _Targets(stack, connect, here, options)
        places = [await opened.open(target) for target in there]
        report = await copy(origin, places, options, on_event)
        for target, place in zip(there, places, strict=True):
            if target.is_docker and place.name is None and not options.tags and not options.all_tags:
                name = f"{target.place}:REPOSITORY:TAG"
                report.notes.append(f"the image has no name in {target.place}: to give it one, write {name}")
        return report


async def _open_source(stack: AsyncExitStack, connect: Connect, location: Location) -> Place:
    if location.reference is not None and location.is_registry:
        repository = connect(location.reference, False)
        return Place(repository, location.name, is_mirrored=repository.traits.is_mirrored)
    store = await stack.enter_async_context(open_to_read(location))
    name = location.reference.name if location.reference is not None else None
    return Place(cast("Store", store), location.name, is_remote=False, is_partial=location.is_docker, repository=name)


async def _settled(store: Readable, location: Location) -> tuple[Location, str]:
    """The location, and the name in its store, with what it left open found out."""
    if location.name is None:
        digest = (await resolve_location(store, location)).digest
        names = [name async for name in store.tags()]
        # What is copied without being named keeps the one name that it has.
        if len(names) == 1 and (await store.resolve(names[0])).digest == digest:
            location = _renamed(location, names[0])
        return location, digest
    if location.kind == "docker-archive" and location.word is not None:
        # It is read as a name first: then it means `latest`; or else it is the tag of the one image that has it.
        names = [name async for name in store.tags()]
        full = [Reference.parse(name) for name in names if not is_tag(name)]
        tagged = [name for name in full if name.tag == location.word]
        if Reference.parse(location.word) not in full and len(tagged) == 1:
            location = msgspec.structs.replace(location, reference=tagged[0])
    return location, location.name or ""


def _renamed(location: Location, name: str) -> Location:
    if not location.is_docker:
        return location.with_tag(name) if is_tag(name) else location
    return location if is_tag(name) else msgspec.structs.replace(location, reference=Reference.parse(name))


class _Targets:
    """Opens the places that are written to, each once however many names in it were given."""

    def __init__(self, stack: AsyncExitStack, connect: Connect, source: Location, options: CopyOptions) -> None:
        self._stack = stack
        self._connect = connect
        self._source = source
        self._options = options
        self._stores: dict[tuple[str, Path], Store] = {}

    async def open(self, location: Location) -> Place:
        if location.reference is not None and location.is_registry:
            return self._in_registry(location, location.reference)
        if location.is_docker:
            return await self._in_docker(location)
        name = None if self._options.all_tags else location.name or self._source.own_tag
        return Place(await self._store(location), name, is_remote=False)

    def _in_registry(self, location: Location, reference: Reference) -> Place:
        options = self._options
        repository = self._connect(reference, not options.dry_run)
        return Place(repository, None if options.all_tags else location.name)

    async def _in_docker(self, location: Location) -> Place:
        """A place where names are whole references."""
        options, source = self._options, self._source
        wanted, known = location.reference, source.reference
        if location.pinned is not None:
            raise UsageError(
                f"{location} cannot be written", cause="a digest cannot be given: it is that of the content"
            )
        if location.word is not None:
            wanted = self._meant(location, location.word)
        reference = wanted or known
        if reference is None and (options.tags or (options.all_tags and not source.is_docker)):
            raise UsageError(
                f"{location} has no repository for the tags to be in", remedy=f"name one: {location}:REPOSITORY"
            )
        is_archive = location.kind == "docker-archive"
        if is_archive and not options.guard.clobber and Path(location.path).is_file():
            raise Conflict(
                f"{location.path} exists, and was not changed", cause="a Docker archive is written as a whole"
            )
        store = await self._store(location)
        if not is_archive:
            async for _ in store.tags():
                break  # the engine answers: better to know before the download than after it
        has_name = reference is not None and reference.digest is None and not options.all_tags
        keeps_names = options.all_tags and source.is_docker and wanted is None
        return Place(
            store,
            str(reference.with_tag(reference.tag or DEFAULT_TAG)) if reference is not None and has_name else None,
            is_remote=False,
            takes_indexes=False,
            is_asked=is_archive,
            repository=reference.name if reference is not None and not keeps_names else None,
        )

    def _meant(self, location: Location, word: str) -> Reference | None:
        """What a bare word names: what looks like a tag is one in the repository of the source."""
        known = self._source.reference
        if known is not None and (word == known.tag or re.fullmatch(_LIKE_A_TAG, word)):
            return known.with_tag(word)
        if re.fullmatch(_LIKE_A_TAG, word):
            raise UsageError(
                f"{location} has no repository for the tag {word} to be in",
                remedy=f"give the whole name: {location.place}:REPOSITORY:{word}",
            )
        return location.reference

    async def _store(self, location: Location) -> Store:
        key = (location.kind, Path(location.path).absolute())
        if key not in self._stores:
            self._stores[key] = await self._stack.enter_async_context(open_to_write(location))
        return self._stores[key]
