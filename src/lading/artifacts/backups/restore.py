"""What is in an image layout or an archive back in repositories, or in another layout.

The layout is only read, whoever wrote it. This module knows layouts and where they go, and copies with operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import msgspec

from lading.artifacts.backups.backup import Open, is_same_file
from lading.artifacts.backups.names import Group, Names
from lading.artifacts.backups.parts import (
    BackupReport,
    Bringing,
    OnPlan,
    Part,
    Request,
    Wanted,
    is_digest_tag,
    known,
    own,
)
from lading.artifacts.backups.view import View
from lading.errors import Conflict, LadingError, NotFound, UsageError
from lading.io.tasks import settle
from lading.model.descriptor import Descriptor
from lading.model.patterns import choose
from lading.model.reference import Reference
from lading.model.tags import is_fallback, subject_of
from lading.registry.repository import Repository
from lading.store import Store
from lading.stores.layout.layout import Layout
from lading.stores.layout.reader import LayoutReader
from lading.stores.location import AnyLocation, Location, as_location
from lading.transfer.events import OnEvent
from lading.transfer.guard import find_named
from lading.transfer.place import Place

_FEW = 3
"""Of so many tags each is asked for; of more only those that the target lists."""


class Goal(msgspec.Struct, frozen=True):
    """Where what is restored goes."""

    wanted: Wanted | None
    """A repository or a layout; None where only `maps` say it."""
    namespace: str | None = None
    """A registry, with or without a path in it: every repository keeps its own below it."""
    maps: Mapping[str, Location] = {}
    """By names of repositories in the backup: where they go."""

    @classmethod
    def of(cls, target: AnyLocation | None, maps: Mapping[str, AnyLocation]) -> Goal:
        """A goal from what a user says: a target that ends in a slash is a namespace."""
        if target is None and not maps:
            raise UsageError("there is nowhere to restore to", remedy="name a repository")
        goes = {_as_named(name): as_location(place) for name, place in maps.items()}
        if isinstance(target, str) and target.endswith("/") and not _is_local(target):
            return cls(None, target.rstrip("/"), goes)
        return cls(Wanted.of(target) if target is not None else None, None, goes)


async def restore(
    open: Open, source: Location, goal: Goal, request: Request, on_event: OnEvent | None, on_plan: OnPlan | None
) -> BackupReport:
    """Restore a backup; see `Artifacts.restore`."""
    if source.kind not in ("oci", "oci-archive"):
        raise UsageError(
            f"{source} is no backup",
            cause="a backup is an image layout, oci:DIR, or an archive, oci-archive:FILE",
            remedy="copy it" if source.is_registry else None,
        )
    work = Bringing(request, on_event)
    async with AsyncExitStack() as stack:
        reader: LayoutReader = await stack.enter_async_context(open(source))
        names = Names(await reader.entries(), await reader.roots())
        digest = source.pinned or (goal.wanted.digest if goal.wanted is not None else None)
        if digest is not None:
            await reader.resolve(digest)
            names.groups = {None: Group(None, untagged=[digest])}
        elif source.tag is not None:
            await reader.resolve(source.tag)  # which says what there is
            names.only(source.tag)
        parts: list[Part] = []
        stores = _Stores(stack, open, source, request)
        goals = _goals(names, goal, reader.name)
        for group, location in goals:
            try:
                parts.append(await _part(reader, group, location, goal, stores, len(goals) == 1))
            except LadingError as error:
                work.fail(error, str(location))
        if request.untagged:
            work.note(*names.stray_notes(reader.name))
        work.note(*names.notes(reader.name))
        work.plan(parts, on_plan)
        for part in parts:
            await own([part], stores.names(part), is_dry=request.dry_run)
        await work.bring(parts)
    return work.done()


class _Stores:
    """What is written to, each opened once."""

    def __init__(self, stack: AsyncExitStack, open: Open, source: Location, request: Request) -> None:
        self._stack = stack
        self._open = open
        self._source = source
        self.request = request
        self._opened: dict[str, tuple[Store, Names]] = {}

    async def open(self, location: Location) -> tuple[Store, Names]:
        """The store of a location, and what it has, where that is a layout."""
        if not location.is_registry and location.kind not in ("oci", "oci-archive"):
            raise UsageError(f"{location} is neither a repository in a registry nor an image layout")
        if not location.is_registry and is_same_file(location, self._source):
            raise UsageError(f"{location.place} would be restored into itself")
        if location.place not in self._opened:
            writing = not (self.request.dry_run and location.is_registry)
            store: Store = await self._stack.enter_async_context(self._open(location, writing=writing))
            entries: tuple[Descriptor, ...] = ()
            if isinstance(store, Repository):
                store.session.widen(store.registry, self.request.jobs)
            if isinstance(store, Layout):
                entries = await store.entries()
            self._opened[location.place] = store, Names(entries)
        return self._opened[location.place]

    def names(self, part: Part) -> Names:
        """What the target of a part has."""
        return next(names for store, names in self._opened.values() if store is part.target.store)


def _goals(names: Names, goal: Goal, title: str) -> list[tuple[Group, Location]]:
    """Each repository of the backup that is restored, with where it goes.

    Raises:
        NotFound: there is nothing, or nothing of a repository that was named.
        UsageError: it is not said where each goes.
        Conflict: two would go to one place.
    """
    groups = names.groups
    if not groups:
        raise NotFound(f"{title} has nothing to restore", cause="it lists no manifests with a tag")
    known = ", ".join(name for name in groups if name is not None)
    for name in goal.maps:
        if name not in groups:
            raise NotFound(f"{title} has nothing of {name}", cause=f"it has {known or 'tags of no named repository'}")
    goes = dict(goal.maps)
    rest = [group for name, group in groups.items() if name not in goes]
    found = [(groups[name], location) for name, location in goes.items()]
    if goal.namespace is not None:
        found += [(group, _below(goal.namespace, group, title)) for group in rest]
    elif goal.wanted is not None and not rest:
        raise UsageError(
            f"nothing is left for {goal.wanted.location}", cause="it is said of every repository where it goes"
        )
    elif goal.wanted is not None:
        if len(rest) > 1 and goal.wanted.location.is_registry:
            raise UsageError(
                f"{title} has {len(rest)} repositories, and {goal.wanted.location.place} is one",
                cause=known,
                remedy="say where each goes, or name a namespace for all: reg.example/backup/",
                code="several-repositories",
                fields={"first": next(group.repository for group in rest if group.repository), "repositories": known},
            )
        found += [(group, goal.wanted.location) for group in rest]
    places = [location.place for _, location in found if location.is_registry]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise Conflict(f"two repositories of {title} would go to {twice}", remedy="restore them one after the other")
    return found


def _below(namespace: str, group: Group, title: str) -> Location:
    if group.repository is None:
        raise UsageError(
            f"{title} does not say which repository its tags are of", remedy=f"name it: {namespace}/REPOSITORY"
        )
    host, _, path = namespace.partition("/")
    own_path = Reference.parse_repository(group.repository).repository
    return as_location(f"{host}/{path}/{own_path}" if path else f"{host}/{own_path}")


def _as_named(name: str) -> str:
    """A repository as a backup has it."""
    return Reference.parse_repository(name).name


def _is_local(target: str) -> bool:
    """Whether a text names a place on this machine."""
    try:
        return not as_location(target).is_registry
    except LadingError:
        return False


async def _part(
    reader: LayoutReader,
    group: Group,
    location: Location,
    goal: Goal,
    stores: _Stores,
    is_alone: bool,
) -> Part:
    """Find out what the tags of a repository name, in the backup and where they go."""
    request = stores.request
    title = f"{reader.name}:{group.repository}" if group.repository is not None and not group.is_bare else reader.name
    tags = goal.wanted.tags if goal.wanted is not None and goal.wanted.location is location else ()
    chosen = [*tags]
    if not tags:
        ordinary = [tag for tag in group.names if not is_digest_tag(tag)]
        ordinary += [tag for tag in group.names if tag not in ordinary and await _is_left_over(reader, tag)]
        chosen = choose(ordinary, request.include, request.exclude)
    for tag in tags:
        if tag not in group.names:
            await reader.resolve(tag)  # which says what there is
    digests = group.untagged if (request.untagged and not tags) or not group.names else []
    if not chosen and not digests:
        raise NotFound(
            f"{title} has no tags" + (" like that" if group.names else ""),
            code="no-tags-to-copy",
            fields={"store": title, "tags": list(group.names)},
        )
    store, names = await stores.open(location)
    looks = await settle(reader.resolve(group.names.get(tag, tag)) for tag in chosen)
    part = Part(
        view=View(
            reader,
            title,
            dict(zip(chosen, looks, strict=True)),
            others={tag: name for tag, name in group.names.items() if is_digest_tag(tag) and tag not in chosen},
        ),
        chosen=chosen,
        digests=digests,
        target=Place(store),
        repository=group.repository,
    )
    if location.is_registry:
        part.known = await _standing(store, chosen)
    else:
        there, is_bare = names.to_write(group.repository, alone=is_alone)
        part.target = Place(store, None, None if is_bare else group.repository)
        part.known = known(part.target, there, chosen)
    return part


async def _is_left_over(reader: LayoutReader, tag: str) -> bool:
    """Whether a tag that is made of a digest leads to nothing that is there, so that it is a tag like any other."""
    subject = subject_of(tag)
    if subject is None or is_fallback(tag):
        return False
    try:
        await reader.blob_size(subject)
    except NotFound:
        return True
    return False


async def _standing(store: Store, tags: Sequence[str]) -> dict[str, Descriptor | None]:
    """What tags in a registry stand for; None for those that are not there."""
    there = set(tags)
    if len(tags) > _FEW:
        try:
            there = {tag async for tag in store.tags()}
        except NotFound:
            there = set()
    asked = [tag for tag in tags if tag in there]
    looks = await settle(find_named(store, tag) for tag in asked)
    # Where asking failed, it will be asked again, and said then.
    found = {tag: look for tag, look in zip(asked, looks, strict=True) if not isinstance(look, LadingError)}
    return {tag: None for tag in tags if tag not in there} | found
