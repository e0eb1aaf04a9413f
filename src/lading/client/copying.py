"""A copy from what a user names: opens the places, finds what a location leaves open, and composes the transforms.

Knows which stores there are, and nothing of how content is moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from lading.client.context import Context
from lading.client.sync_store import SyncReadable
from lading.errors import Conflict, InvalidReference, NotFound, UsageError
from lading.model.platform import Platform
from lading.model.reference import DEFAULT_TAG, Reference, check_name, is_name, is_tag
from lading.model.tags import tag_in
from lading.registry.repository import Repository
from lading.store import Readable, Store
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import open_to_read, open_to_write, resolve_location
from lading.transfer.events import OnEvent
from lading.transfer.operation import copy
from lading.transfer.place import Place, is_digest
from lading.transfer.report import CopyOptions, CopyReport
from lading.transfer.transform import Graph, HasGraph, Transform

if TYPE_CHECKING:
    from lading.images.convert import Compression, Format
    from lading.registry.auth.credentials import Credentials

_LIKE_A_TAG = r"latest|v?[0-9][0-9A-Za-z._-]*"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What of an image or index is copied, and how it is encoded; the fields are arguments of `AsyncClient.copy`.

    Raises:
        UsageError: they do not go together.
    """

    platforms: tuple[Platform, ...] = ()
    sparse: bool = False
    format: Format | None = None
    compression: Compression | None = None

    def __post_init__(self) -> None:
        """Refuse what does not go together before anything is opened."""
        if self.sparse and not self.platforms:
            raise UsageError(
                "a sparse copy takes some entries of an index, and no platforms were given",
                remedy="say which platforms",
                code="sparse-without-platforms",
            )
        if self.sparse and (self.format or self.compression):
            raise UsageError(
                "a sparse copy keeps the index as it is, and another format or compression changes it",
                code="sparse-and-encoded",
            )

    def transforms(self, source: Readable, targets: Sequence[Readable]) -> tuple[Transform, ...]:
        """What makes this of a manifest, for a copy between these stores."""
        found: list[Transform] = []
        holders = [target.name for target in targets if not target.traits.takes_indexes]
        if self.platforms or holders or source.traits.is_partial:
            from lading.images.platforms import no_index, one_image, only, what_is_there

            if source.traits.is_partial and not self.sparse:
                found.append(what_is_there(is_told=not self.platforms))
            if holders and len(holders) < len(targets):
                found.append(no_index(f"not every target takes one: {holders[0]} does not"))
            if len(holders) == len(targets):
                from lading.images.machine import engine_platform

                found.append(one_image(self.platforms, engine_platform(), holders[0]))
            elif self.platforms:
                is_told = any(target.traits.is_remote for target in targets)
                found.append(only(self.platforms, sparse=self.sparse, is_told=is_told))
        if self.format or self.compression:
            from lading.images.convert import convert

            found.append(convert(self.format, self.compression))
        return tuple(found)


class _Source(msgspec.Struct, frozen=True):
    """Where a copy comes from, and how a user named that."""

    place: Place
    location: Location | None = None
    """None where a store was given."""

    @property
    def is_docker(self) -> bool:
        return self.place.store.traits.is_named_by_references

    @property
    def reference(self) -> Reference | None:
        """The whole name of what is copied, where it has one."""
        return self.location.reference if self.location is not None else None

    @property
    def own_tag(self) -> str | None:
        """The tag that the content has there."""
        if self.location is not None:
            return self.location.own_tag
        name = self.place.name
        return name if name is not None and is_tag(name) else None


class Copying:
    """One copy: what is given with a call of `AsyncClient.copy`.

    Args:
        context: the client's.
        options: how it is copied; which transforms that takes is found out when the places are open.
        shape: what is copied; None for what was read, as it is.
        keeps_tags: where neither side names a tag, everything keeps the tags that it has in the source.
        by_digest: no tag is given.
        source_credentials: where to find those for the source; None for where the client finds them.
        target_credentials: the same for the targets.

    Raises:
        UsageError: these do not go together.
    """

    def __init__(
        self,
        context: Context,
        options: CopyOptions,
        shape: Shape | None,
        *,
        keeps_tags: bool = False,
        by_digest: bool = False,
        source_credentials: Credentials | None = None,
        target_credentials: Credentials | None = None,
    ) -> None:
        if by_digest and (options.tags or options.all_tags):
            raise UsageError(
                "a copy by digest gives no tags, and some were asked for",
                remedy="leave out the tags",
                code="by-digest-and-tags",
            )
        self._context = context
        self._options = options
        self._shape = shape
        self._keeps_tags = keeps_tags and not by_digest
        self._by_digest = by_digest
        self._source_credentials = source_credentials
        self._target_credentials = target_credentials
        self._written: set[str] = set()
        """The registries that are written to."""
        self._stores: dict[tuple[str, Path], Store] = {}
        """What is written to on this machine, each opened once however many names in it were given."""

    async def run(
        self,
        source: AnyLocation | HasGraph | Place | Readable,
        targets: Sequence[AnyLocation | Place | Store],
        on_event: OnEvent | None = None,
    ) -> CopyReport:
        """Open the places, copy, and close them."""
        given = source.graph() if isinstance(source, HasGraph) else _asynchronous(source)
        here = given if isinstance(given, Graph | Place | Readable) else as_location(given)
        there: list[Location | Place | Store] = [
            target if isinstance(target, Place | Store) else as_location(target)
            for target in map(_asynchronous, targets)
        ]
        self._check(here, there)
        self._written = {
            target.reference.registry
            for target in there
            if isinstance(target, Location) and target.reference is not None
        }
        async with AsyncExitStack() as stack:
            origin = await self._open_source(stack, here)
            if self._keeps_tags:
                await self._keep_tags(origin, (here, *there))
            if not self._options.all_tags and not isinstance(here, Graph):
                origin = await _settled(origin)
            places = [await self._open_target(stack, origin, target) for target in there]
            stores = [place.store for place in places]
            transforms = self._shape.transforms(origin.place.store, stores) if self._shape is not None else ()
            options = msgspec.structs.replace(self._options, transforms=transforms)
            report = await copy(here if isinstance(here, Graph) else origin.place, places, options, on_event)
        report.notes += self._nameless(there, places)
        return report

    async def _keep_tags(self, origin: _Source, given: Sequence[Location | Graph | Place | Readable]) -> None:
        """Copy all tags where no side names one, and the source has any; a target that takes names takes all."""
        if all(_said(place) is None and not (isinstance(place, Location) and not place.has_names) for place in given):
            takes_names = all(isinstance(place, Location) and place.takes_names for place in given[1:])
            tags = [tag async for tag in origin.place.store.tags()]
            self._options = msgspec.structs.replace(
                self._options, all_tags=any(takes_names or tag_in(tag) is not None for tag in tags)
            )

    def _nameless(self, targets: Sequence[Location | Place | Store], places: Sequence[Place]) -> Iterator[str]:
        """A note for each target of Docker's in which the image got no name."""
        if self._options.tags or self._options.all_tags or self._by_digest:
            return
        for target, place in zip(targets, places, strict=True):
            if isinstance(target, Location) and target.is_docker and place.name is None:
                name = f"{target.place}:REPOSITORY:TAG"
                yield f"the image has no name in {target.place}: to give it one, write {name}"

    def _check(self, source: Location | Graph | Place | Readable, targets: Sequence[Location | Place | Store]) -> None:
        locations = [target for target in targets if isinstance(target, Location)]
        if any(target.is_stream for target in locations) and len(targets) > 1:
            raise UsageError("standard output takes one copy only")
        for location in locations:
            if not location.has_names and (self._options.tags or self._options.all_tags):
                raise UsageError(
                    f"nothing has a name in {location}, and tags were asked for", remedy="write an image layout"
                )
            if location.is_position:
                raise UsageError(f"{location} cannot be written", cause="a position is that of something that is read")
        if self._by_digest:
            for target in targets:
                name = _said(target)
                if name is not None and not is_digest(name):
                    raise UsageError(
                        f"{_title(target)} names a tag, and a copy by digest gives none",
                        remedy="leave out the tag",
                        code="by-digest-and-tags",
                    )
        if self._options.all_tags:
            for place in (source, *targets):
                if _said(place) is not None:
                    raise UsageError(
                        f"{_title(place)} names one tag",
                        cause="all tags are copied, each under its own name",
                        remedy=f"leave out the tag: {place.place}" if isinstance(place, Location) else None,
                    )

    # The source

    async def _open_source(self, stack: AsyncExitStack, source: Location | Graph | Place | Readable) -> _Source:
        if isinstance(source, Graph):
            return _Source(Place(source.store))
        if isinstance(source, Place):
            return _Source(source)
        if not isinstance(source, Location):
            return _Source(Place(source))
        if source.reference is not None and source.is_registry:
            return _Source(Place(self._connect(source.reference, self._source_credentials), source.name), source)
        store = await stack.enter_async_context(open_to_read(source))
        repository = source.reference.name if source.reference is not None else None
        return _Source(Place(store, source.name, repository), source)

    # The targets

    async def _open_target(self, stack: AsyncExitStack, source: _Source, target: Location | Place | Store) -> Place:
        if isinstance(target, Place):
            return target
        options = self._options
        if not isinstance(target, Location):
            return Place(target, None if options.all_tags or self._by_digest else source.own_tag)
        if target.reference is not None and target.is_registry:
            name = target.pinned if self._by_digest else target.name
            repository = self._connect(target.reference, self._target_credentials, writing=not options.dry_run)
            return Place(repository, None if options.all_tags else name)
        if target.is_docker:
            return await self._in_docker(stack, source, target)
        name = target.pinned
        if name is None and target.has_names and not self._by_digest:
            name = target.tag or source.own_tag
        if name is not None and not is_digest(name):
            check_name(name)
        self._check_kept(target, name)
        return Place(await self._store(stack, target), None if options.all_tags else name)

    def _connect(self, reference: Reference, credentials: Credentials | None, *, writing: bool = False) -> Repository:
        session = self._context.session_with(credentials)
        session.widen(reference.registry, self._options.jobs)
        # What is copied within a registry is what that has: a mirror may have something older.
        mirrored = reference.registry not in self._written
        return Repository(session, reference.registry, reference.repository, writing=writing, mirrored=mirrored)

    async def _in_docker(self, stack: AsyncExitStack, source: _Source, location: Location) -> Place:
        """A place where names are whole references."""
        options = self._options
        wanted = _wanted(source, location)
        reference = wanted or source.reference
        if reference is None and (options.tags or (options.all_tags and not source.is_docker)):
            raise UsageError(
                f"{location} has no repository for the tags to be in", remedy=f"name one: {location}:REPOSITORY"
            )
        name = None
        if reference is not None and reference.digest is None and not options.all_tags and not self._by_digest:
            name = str(reference.with_tag(reference.tag or DEFAULT_TAG))
        if not options.all_tags:
            self._check_kept(location, name)
        store = await self._docker_store(stack, location)
        keeps_names = options.all_tags and source.is_docker and wanted is None
        return Place(store, name, reference.name if reference is not None and not keeps_names else None)

    def _check_kept(self, location: Location, name: str | None) -> None:
        """Raise Conflict where what has no name would take the place of what is there, which is to be left alone."""
        if name is None and location.is_replaced and not self._options.guard.clobber and Path(location.path).exists():
            raise Conflict(f"{location.path} exists, and was not changed", cause="what is copied there has no name")

    async def _docker_store(self, stack: AsyncExitStack, location: Location) -> Store:
        """An archive, or an engine that answers."""
        store = await self._store(stack, location)
        if location.kind != "docker-archive":
            async for _ in store.tags():
                break  # the engine answers: better to know before the download than after it
        return store

    async def _store(self, stack: AsyncExitStack, location: Location) -> Store:
        key = (location.kind, Path(location.path).resolve())
        if key not in self._stores:
            self._stores[key] = await stack.enter_async_context(open_to_write(location, self._context.note))
        return self._stores[key]


def _asynchronous(place: Any) -> Any:
    """A place; of the face of a store, which waits for the very thread that this runs on, the store itself."""
    if isinstance(place, SyncReadable):
        return place.store
    if isinstance(place, Place) and isinstance(store := cast("Any", place.store), SyncReadable):
        return msgspec.structs.replace(place, store=store.store)
    return place


def _said(place: Location | Graph | Place | Readable) -> str | None:
    """The name of the manifest that a user said: a tag or reference, else a digest; None where none was said."""
    if isinstance(place, Location):
        tag = place.tag or (place.reference.tag if place.reference is not None else None)
        return tag or place.pinned
    return place.name if isinstance(place, Place) else None


def _title(place: Location | Graph | Place | Readable) -> str:
    """What a place is called in messages."""
    if isinstance(place, Location):
        return str(place)
    if isinstance(place, Graph):
        return place.title
    return place.title(place.name) if isinstance(place, Place) else place.name


async def _settled(source: _Source) -> _Source:
    """The source with what its user left open found out: the only manifest's name, or the one that a word means."""
    location = source.location
    if source.place.name is None:
        return await _unnamed(source)
    if location is not None and location.kind == "docker-archive" and location.word is not None:
        return await _by_word(source, location, location.word)
    return source


async def _unnamed(source: _Source) -> _Source:
    """The source with the digest of its only manifest, which keeps the one name that it has."""
    store, location = source.place.store, source.location
    digest = await _only(store, location)
    names = [name async for name in store.tags()]
    place = msgspec.structs.replace(source.place, name=digest)
    if len(names) == 1 and (await store.resolve(names[0])).digest == digest:
        if location is None:
            return _Source(msgspec.structs.replace(place, name=names[0]))
        location = _renamed(location, names[0])
    return _Source(place, location)


async def _by_word(source: _Source, location: Location, word: str) -> _Source:
    """The source with the name that a bare word means in a Docker archive.

    It is read as a name first: then it means `latest`; or else it is the tag of the one image that has it.
    """
    names = [name async for name in source.place.store.tags()]
    full = []
    for name in names:
        with suppress(InvalidReference):
            full += [Reference.parse(name)] if not is_tag(name) else []
    tagged = [name for name in full if name.tag == word]
    if Reference.parse(word) in full or len(tagged) != 1:
        return source
    location = msgspec.structs.replace(location, reference=tagged[0])
    return _Source(msgspec.structs.replace(source.place, name=location.name), location)


async def _only(store: Readable, location: Location | None) -> str:
    """The digest of the only manifest of a store."""
    if location is not None:
        return (await resolve_location(store, location)).digest
    names = [name async for name in store.tags()]
    digests = {(await store.resolve(name)).digest for name in names}
    if not digests:
        raise NotFound(f"{store.name} has no tags", remedy="say which manifest, as Place(store, digest)")
    if len(digests) > 1:
        shown = ", ".join(names[:5])
        raise Conflict(f"{store.name} has several manifests", cause=shown, remedy="say which, as Place(store, name)")
    return digests.pop()


def _renamed(location: Location, name: str) -> Location:
    if not location.is_docker:
        return location.with_tag(name) if is_tag(name) or (location.takes_names and is_name(name)) else location
    with suppress(InvalidReference):
        return location if is_tag(name) else msgspec.structs.replace(location, reference=Reference.parse(name))
    return location


def _wanted(source: _Source, location: Location) -> Reference | None:
    """The name that a location of Docker's gives to what is written; None where it gives none."""
    if location.pinned is not None:
        raise UsageError(f"{location} cannot be written", cause="a digest cannot be given: it is that of the content")
    return location.reference if location.word is None else _meant(source, location, location.word)


def _meant(source: _Source, location: Location, word: str) -> Reference | None:
    """What a bare word names: what looks like a tag is one in the repository of the source."""
    known = source.reference
    if known is not None and (word == known.tag or re.fullmatch(_LIKE_A_TAG, word)):
        return known.with_tag(word)
    if re.fullmatch(_LIKE_A_TAG, word):
        raise UsageError(
            f"{location} has no repository for the tag {word} to be in",
            remedy=f"give the whole name: {location.place}:REPOSITORY:{word}",
        )
    return location.reference
