"""The work on an index that touches places: reading what it is made of, and having the result written.

Knows stores and locations; a client's `Context` reaches them. What becomes of entries is in `images/indexes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from lading.client.context import Context
from lading.errors import InvalidContent, InvalidDigest, NotFound, UsageError
from lading.images.indexes.entries import Flattening, GivenEntry, IndexFilter
from lading.images.indexes.report import EntryChange, IndexReport
from lading.images.indexes.sources import IndexSource, entries_given
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.reference import is_tag
from lading.store import AnyManifest, Readable
from lading.stores.homes import Homes
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location, resolve_location
from lading.transfer.guard import Guard
from lading.transfer.referrers import LeftBehind, refers_to_original
from lading.transfer.report import CopiedImage, CopiedTag, CopyOptions, CopyReport, Note
from lading.transfer.transform import Graph

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers
    from lading.transfer.events import OnEvent

_Read = tuple[IndexSource, Location, Readable, AnyManifest]


def check_replaceable(location: Location) -> None:
    """Refuse to change what a location names where it names no tag.

    Raises:
        UsageError: it does not.
    """
    if location.own_tag is None or location.pinned is not None:
        raise UsageError(
            f"{location} names no tag, and only what a tag names can be replaced",
            remedy="name a tag, or a target",
            code="in-place-without-tag",
            fields={"location": str(location)},
        )


class Reading:
    """Reads what an index is made of; the stores stay open until the index is written.

    Args:
        context: the client's.
        stack: closes what is opened.
        goals: where the index is written to.
        dry_run: whether nothing is written.
    """

    def __init__(self, context: Context, stack: AsyncExitStack, goals: Sequence[Location], dry_run: bool) -> None:
        self.homes: Homes = Homes(str(goals[0]))
        """The content of the index, each where it is."""
        self.name: str = str(goals[0])
        """What the index is called in messages."""
        self.stack: AsyncExitStack = stack
        """Closes what is opened."""
        self._context = context
        self._goal = goals[0]
        self._opened: dict[str, Readable] = {}
        self._places = set() if dry_run else {goal.place for goal in goals}
        self._registries = {goal.reference.registry for goal in goals if goal.is_registry and goal.reference}
        self._only_index: Index | None = None
        self._goal_places = {goal.place for goal in goals}
        self.roots: list[tuple[str, Descriptor]] = []
        """The sources that are entries themselves, and come from elsewhere, with what they are called."""

    def is_foreign(self, entry: Descriptor) -> bool:
        """Whether an entry comes from elsewhere than where the index goes."""
        home = self.homes.home_of(entry)
        return home is not None and home.name not in self._goal_places

    async def target(self, location: Location) -> Index:
        """The index that is to be changed."""
        self.name = str(location)
        store = await self._open(location)
        index = the_index(await fetch_location(store, location), location)
        for entry in (index.descriptor, *index.manifests):
            self.homes.add(entry, store)
        return index

    async def subject(self, target: Location, subject: AnyLocation) -> Descriptor:
        """The manifest that the index refers to: it is in the index's own repository."""
        location = beside(target, subject)
        if location.place != target.place:
            raise UsageError(
                f"{location} is not in {target.place}",
                cause="what an index refers to is in its own repository",
                code="subject-elsewhere",
            )
        return await resolve_location(await self._open(location), location)

    async def sources(
        self, sources: Sequence[IndexSource], wanted: IndexFilter, *, nested: bool, ignore_missing: bool = False
    ) -> tuple[list[GivenEntry], list[str]]:
        """The entries that sources give, in order, and what a user should know of them."""
        flattening = Flattening(wanted)
        notes: list[str] = []

        async def read(source: IndexSource) -> _Read | None:
            location = self._location(source)
            store = self._opened[location.place]
            try:
                return source, location, store, await fetch_location(store, location)
            except NotFound:
                if not ignore_missing:
                    raise
                notes.append(f"{location} was not found, and left out")
                return None

        async def entries(one: _Read) -> tuple[GivenEntry, ...]:
            source, location, store, manifest = one
            return await entries_given(store, manifest, source, flattening, str(location), nested=nested)

        for source in sources:
            await self._open(self._location(source))
        found = [one for one in await gather(map(read, sources)) if one is not None]
        if sources and not found:
            raise NotFound("none of the sources was found", code="no-source-found")
        given: list[GivenEntry] = []
        for (_, location, store, _), more in zip(found, await gather(map(entries, found)), strict=True):
            if len(more) == 1 and location.place not in self._goal_places:
                self.roots.append((str(location), more[0].descriptor))
            for entry in more:
                self.homes.add(entry.descriptor, store, manifest=entry.manifest)
                if entry.descriptor.platform is None and isinstance(entry.manifest, Index) is False:
                    notes += _without_platform(entry, location)
            given += more
        wanted.check((entry.descriptor for entry in given), flattening.platforms)
        only = found[0][3] if len(found) == 1 else None
        self._only_index = only if isinstance(only, Index) else None
        return given, [*flattening.warnings, *notes]

    def same_as_source(self, given: Sequence[GivenEntry]) -> Index | None:
        """The index that is the only source, where all of it is taken as it is."""
        index = self._only_index
        is_same = index is not None and index.manifests == tuple(entry.descriptor for entry in given)
        return index if is_same else None

    def _location(self, source: IndexSource) -> Location:
        """Where a source is; of a digest alone, beside the index."""
        text = source.reference
        return _digest_beside(self._goal, text) or as_location(text).full()

    async def _open(self, location: Location) -> Readable:
        key = location.place
        if key not in self._opened:
            # What is mounted within a registry is what that has: a mirror may have something older.
            is_near = location.reference is not None and location.reference.registry in self._registries
            opening = self._context.open(
                location,
                writing=location.is_registry and location.place in self._places,
                mirrored=not is_near,
            )
            self._opened[key] = await self.stack.enter_async_context(opening)
        return self._opened[key]


class Writing:
    """Writes an index and what it lists to where it goes.

    Args:
        context: the client's.
        goals: where it goes.
        options: how it is copied.
        on_event: called with what happens.
        in_place: whether the first of them is what was read.
        referrers: what becomes of what refers to the index as it was, and to what comes from elsewhere.
    """

    def __init__(
        self,
        context: Context,
        goals: Sequence[Location],
        options: CopyOptions,
        on_event: OnEvent | None,
        *,
        in_place: bool = False,
        referrers: Referrers = "keep",
    ) -> None:
        self._context = context
        self._goals = goals
        self._referrers = referrers
        self._options = msgspec.structs.replace(options, referrers=referrers == "copy")
        self._on_event = on_event
        self._in_place = in_place

    async def write(
        self,
        index: Index,
        changes: list[EntryChange],
        reading: Reading,
        *,
        content: Readable | None = None,
        before: Index | None = None,
        in_place: bool = False,
        notes: Sequence[str] = (),
    ) -> IndexReport:
        """Write the index, children first, its tags last.

        Args:
            index: the index.
            changes: what became of its entries.
            reading: what it was made with.
            content: has what it lists; None for what was read.
            before: the index as it was read.
            in_place: whether the first target is what was read, and is changed only while it names that.
            notes: what a user should know.
        """
        first = self._goals[0]
        foreign = [entry for entry in index.manifests if reading.is_foreign(entry)]
        graph = Graph(
            store=content or reading.homes,
            manifest=index,
            title=str(first),
            subjects=(index.descriptor, *foreign),
        )
        guarded = before if self._in_place or in_place else None
        changed = before if before is not None and before.digest != index.digest else None
        if changed is not None and self._referrers == "copy":
            graph = await self._with_referrers(graph, changed, reading)
        copying: list[Any] = [self._copies(graph, index, guarded), self._left_behind(reading, before, changed)]
        reports, left = await gather(copying)
        return _report(index, changes, reports, before.digest if before is not None else None, [*notes, *left])

    async def _with_referrers(self, graph: Graph, before: Index, reading: Reading) -> Graph:
        """The same with what refers to the index as it was, made anew for what it is now."""
        from lading.images.edits.referrers import refer
        from lading.stores.overlay import Overlay

        overlay = await reading.stack.enter_async_context(Overlay(graph.store))
        await overlay.put(graph.manifest)
        old = graph.changed(store=reading.homes, manifest=before, subjects=(before.descriptor,))
        renamed = {before.digest: graph.manifest.descriptor}
        return await refer(old, graph.changed(store=overlay), renamed, "copy")

    async def _copies(self, graph: Graph, index: Index, before: Index | None) -> list[CopyReport]:
        """Write to all targets; with `before` to the first only while it names that."""
        first, *others = self._goals
        if before is None:
            return [await self._copy(graph, self._goals, self._options)]
        self._options.guard.check(str(first), before.digest, index.digest)
        known = {first.own_tag or "": before.descriptor}
        options = msgspec.structs.replace(self._options, guard=Guard(before.digest), known=known)
        is_same = index.digest == before.digest
        reports = [_unchanged(index, first) if is_same else await self._copy(graph, [first], options)]
        if others:
            reports.append(await self._copy(graph, others, self._options))
        return reports

    async def _left_behind(self, reading: Reading, before: Index | None, changed: Index | None) -> list[str]:
        """What refers to the sources from elsewhere, or to the index as it was, and does not come along."""
        if self._referrers != "keep":
            return []
        left = LeftBehind(reading.homes)
        known = {entry.digest for entry in before.manifests} if before is not None else set[Digest]()
        fresh = {root.digest: (title, root) for title, root in reading.roots if root.digest not in known}
        asked: list[Any] = [left.look(title, root) for title, root in fresh.values()]
        note, *_ = await gather([refers_to_original(reading.homes, reading.name, _descriptors(changed)), *asked])
        behind: list[str] = [
            Note(one, "sources-referrers-left-behind", one.fields) if isinstance(one, Note) else one
            for one in left.notes((), None)
        ]
        return [*behind, note] if note is not None else behind

    async def _copy(self, graph: Graph, goals: Sequence[Location], options: CopyOptions) -> CopyReport:
        from lading.client.copying import Copying

        return await Copying(self._context, options, None).run(graph, goals, self._on_event)


def _descriptors(index: Index | None) -> list[Descriptor]:
    return [index.descriptor] if index is not None else []


def beside(target: Location, name: AnyLocation) -> Location:
    """Where a name is that may be a tag or a digest beside a target, and no reference."""
    if isinstance(name, str) and is_tag(name):
        return target.with_tag(name)
    return _digest_beside(target, name) or as_location(name).full()


def _digest_beside(target: Location, name: AnyLocation) -> Location | None:
    with suppress(InvalidDigest):
        return target.with_digest(Digest(name.removeprefix("@"))) if isinstance(name, str) else None
    return None


def the_index(manifest: AnyManifest, location: Location) -> Index:
    """The index that a location names.

    Raises:
        InvalidContent: it is the manifest of an image or an artifact.
    """
    if not isinstance(manifest, Index):
        raise InvalidContent(
            f"{location} is the manifest of an image, not an index",
            remedy="make an index of it",
            code="is-no-index",
            fields={"reference": str(location)},
        )
    return manifest


def _without_platform(entry: GivenEntry, location: Location) -> list[str]:
    if entry.manifest is None or entry.descriptor.artifact_type:
        return []
    return [f"{location} does not say for which platform it is: clients that look for one do not find it"]


def _unchanged(index: Index, location: Location) -> CopyReport:
    """The report of an index that stays as it is."""
    from lading.transfer.graph import CopyCounts

    full = str(location.with_tag(location.own_tag or ""))
    full = f"{full}@{index.digest}"
    tag = CopiedTag(reference=str(location), full=full, digest=index.digest, state="unchanged", previous=index.digest)
    image = CopiedImage(source=str(location), digest=index.digest, media_type=index.media_type, targets=[tag])
    return CopyReport(images=[image], copied=CopyCounts(), steps=[])


def _report(
    index: Index,
    changes: list[EntryChange],
    reports: Sequence[CopyReport],
    previous: Digest | None,
    notes: Sequence[str],
) -> IndexReport:
    first = reports[0]
    for other in reports[1:]:
        first.images += other.images
        first.steps += other.steps
        first.notes += [note for note in other.notes if note not in first.notes]
        for name in first.copied.__struct_fields__:
            setattr(first.copied, name, getattr(first.copied, name) + getattr(other.copied, name))
    fields = {name: getattr(first, name) for name in CopyReport.__struct_fields__}
    fields["notes"] = [*notes, *first.notes]
    return IndexReport(
        **fields,
        digest=index.digest,
        media_type=index.media_type,
        size=index.size,
        changes=changes,
        previous=previous,
        manifest=index.to_document(),
        raw=index.raw,
    )
