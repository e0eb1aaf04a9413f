"""`Client.indexes`: indexes in any place, made of images from any place, and changed; bound to a client.

This module opens places, reads what an index is made of, and has the result copied; what becomes of entries is in
`images/indexes`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from lading.arguments import several
from lading.client.context import Context
from lading.client.index_work import Reading, Writing, check_replaceable, the_index
from lading.errors import NotFound, UsageError
from lading.images.indexes.annotating import PlatformChange, annotated
from lading.images.indexes.editing import IndexType, extended, filtered, made, without
from lading.images.indexes.entries import GivenEntry, IndexFilter
from lading.images.indexes.listing import listing
from lading.images.indexes.report import EntryChange, IndexListing, IndexReport
from lading.images.indexes.sources import IndexSource
from lading.io.blocking import Face, blocking
from lading.io.tasks import JOBS
from lading.model.index import Index, is_attestation
from lading.model.platform import Platform
from lading.store import Readable
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location
from lading.transfer.guard import Guard
from lading.transfer.report import CopyOptions
from lading.transfer.transform import Graph

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers
    from lading.transfer.events import OnEvent

Change = Callable[[Index], tuple[Index, list[EntryChange]]]


class Indexes:
    """Indexes, made and changed in any place that holds some: registries, layouts, and their archives.

    Args:
        context: the client's.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def entries(self, reference: AnyLocation, *, recursive: bool = False) -> IndexListing:
        """What an index lists: one request.

        Args:
            reference: its tag or digest, in a registry or any other location.
            recursive: read nested indexes, too, and list their entries after them.

        Raises:
            NotFound: there is none.
            InvalidContent: it is the manifest of an image or an artifact.
        """
        location = as_location(reference).full()
        async with self._context.open(location, mirrored=True) as store:
            index = the_index(await fetch_location(store, location), location)
            return await listing(store, index, str(location), recursive=recursive)

    async def create(
        self,
        target: Iterable[AnyLocation] | AnyLocation,
        sources: Iterable[IndexSource | AnyLocation] | IndexSource | AnyLocation,
        *,
        empty: bool = False,
        append: bool = False,
        nested: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: bool = True,
        annotations: Mapping[str, str] | None = None,
        entry_annotations: Mapping[str, Mapping[str, str]] | None = None,
        manifest_annotations: Mapping[str, Mapping[str, str]] | None = None,
        artifact_type: str = "",
        subject: AnyLocation | None = None,
        type: IndexType | None = None,
        allow_duplicate_platforms: bool = False,
        ignore_missing: bool = False,
        referrers: Referrers = "keep",
        if_digest: str | None = None,
        clobber: bool = True,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> IndexReport:
        """Make an index of images, artifacts and other indexes, and write it with all that its target lacks.

        What comes from the target's own repository costs nothing but reading it; what is elsewhere in its registry is
        mounted, and anything else copied. The tag is set last.

        Args:
            target: the name of the index, in a registry or any other location; or several.
            sources: what it is made of, in order, wherever that is.
            empty: make it of nothing, to be added to later; there are no sources then. It is OCI's, unless `type` says
                otherwise.
            append: add to the index that the (first) target names: it keeps what it says.
            nested: list an index among the sources itself; else its entries are taken.
            platforms: of an index among the sources, only the images for these.
            attestations: whether the attestations of these images come along.
            annotations: of the index itself.
            entry_annotations: of entries, by the platform that they are for; by the empty text for all images.
            manifest_annotations: of the manifests of images, by platform likewise; these get other digests.
            artifact_type: of the index itself.
            subject: a manifest in the target's repository that the index refers to.
            type: the format, `docker` or `oci`; None for Docker's where everything in it is Docker's, else OCI's.
            allow_duplicate_platforms: whether two images may be for one platform; clients take the first.
            ignore_missing: leave out sources that are not there.
            referrers: what becomes of what refers to what comes from elsewhere, such as signatures and SBOMs: `keep` it
                where it is, and say so; `copy` it, too; `drop` it, and ask nothing. With `append` also what becomes of
                what refers to the index as it was; see `Referrers` of `lading.edits`.
            if_digest: write only if each target names this digest, or does not exist (`absent`): looked at before
                anything is sent, and again just before the tag is set. With `append` it is also refused where the index
                changes meanwhile.
            clobber: False leaves tags alone that name something else.
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: a source, or a child of it, is not there, or none has an image for one of the platforms.
            Conflict: two images are for one platform; or a tag is not to be changed. Nothing was written.
            UsageError: an index of that type cannot hold what it is given.
        """
        goals = _locations(target)
        given = [IndexSource.of(source) for source in _each(sources)]
        wanted = IndexFilter.of(platforms, attestations)
        if not goals:
            raise UsageError("there is no target")
        if bool(given) == empty or (empty and append):
            raise UsageError(
                "an empty index is a new one, made of nothing" if empty else "an index is made of something",
                remedy="name what it is made of, or say that it is to be empty, not both",
                code="index-of-nothing",
            )
        if append and manifest_annotations:
            raise UsageError("manifests are not annotated where they are added to an index that is there")
        options = CopyOptions(guard=Guard.of(if_digest, clobber=clobber), dry_run=dry_run, jobs=jobs)
        writing = Writing(self._context, goals, options, on_event, referrers=referrers)
        what = str(goals[0])
        async with AsyncExitStack() as stack:
            reading = Reading(self._context, stack, goals, dry_run)
            before = await reading.target(goals[0]) if append else None
            found, notes = await reading.sources(given, wanted, nested=nested, ignore_missing=ignore_missing)
            found = _annotated_entries(found, entry_annotations or {})
            if before is not None:
                index, changes = extended(before, found, allow_duplicates=allow_duplicate_platforms, what=what)
                if annotations or type is not None:
                    index, _ = annotated(index, index_annotations=annotations, type=type, what=what)
            elif (copied := reading.same_as_source(found)) is not None and not (
                annotations or artifact_type or subject is not None or type is not None
            ):
                index, changes = copied, [EntryChange.of("added", entry) for entry in copied.manifests]
            else:
                refers_to = await reading.subject(goals[0], subject) if subject is not None else None
                index, changes = made(
                    found,
                    type=type or ("oci" if empty else None),
                    annotations=annotations,
                    artifact_type=artifact_type,
                    subject=refers_to,
                    allow_duplicates=allow_duplicate_platforms,
                    what=what,
                )
            content: Readable | None = None
            if manifest_annotations:
                content, index = await _annotated_manifests(reading.homes, index, manifest_annotations, what, stack)
                changes = [EntryChange.of("added", entry) for entry in index.manifests]
            return await writing.write(
                index, changes, reading, content=content, before=before, in_place=append, notes=notes
            )

    async def add(
        self,
        target: AnyLocation,
        sources: Iterable[IndexSource | AnyLocation] | IndexSource | AnyLocation,
        *,
        targets: Iterable[AnyLocation] | AnyLocation = (),
        replace: bool = False,
        nested: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: bool = True,
        allow_duplicate_platforms: bool = False,
        referrers: Referrers = "keep",
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> IndexReport:
        """Add images, artifacts and indexes to an index; everything else that it says stays.

        Args:
            target: the index. Its tag moves, unless another client moved it meanwhile.
            sources: what is added, as for `create`.
            targets: where the result is written to instead; then the index stays as it is.
            replace: whether an image takes the place of the one for its platform, with that one's attestations.
            nested: list an index among the sources itself; else its entries are taken.
            platforms: of an index among the sources, only the images for these.
            attestations: whether the attestations of these images come along.
            allow_duplicate_platforms: whether two images may be for one platform.
            referrers: what becomes of what refers to the index as it was, and to what comes from elsewhere, as for
                `create`.
            if_digest: only if the target names this digest; with `targets`, only if each of these does, or does not
                exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: there is no such index; or what `create` raises.
            Conflict: two images are for one platform; or the tag names something else by now. Nothing was written.
        """
        given = [IndexSource.of(source) for source in _each(sources)]
        if not given:
            raise UsageError("nothing was named to be added")
        wanted = IndexFilter.of(platforms, attestations)
        location = as_location(target).full()
        options = CopyOptions(dry_run=dry_run, jobs=jobs)
        async with self._changing(location, targets, if_digest, options, referrers, on_event) as (
            reading,
            writing,
            before,
        ):
            found, notes = await reading.sources(given, wanted, nested=nested)
            index, changes = extended(
                before, found, replace=replace, allow_duplicates=allow_duplicate_platforms, what=str(location)
            )
            return await writing.write(index, changes, reading, before=before, notes=notes)

    async def remove(
        self,
        target: AnyLocation,
        *entries: str,
        platforms: Iterable[Platform | str] | Platform | str = (),
        targets: Iterable[AnyLocation] | AnyLocation = (),
        referrers: Referrers = "keep",
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> IndexReport:
        """Take entries out of an index, with the attestations about them; everything else that it says stays.

        Args:
            target: the index. Its tag moves, unless another client moved it meanwhile.
            entries: each by its digest, or the digest's first digits, its platform, or its position: `@0` is the first.
            platforms: all images that are for one of these.
            targets: where the result is written to instead; then the index stays as it is.
            referrers: what becomes of what refers to the index as it was; see `Referrers` of `lading.edits`.
            if_digest: see `add`.
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: there is no such index, or no such entry.
            UsageError: a text means several entries.
            Conflict: nothing would be left; or the tag names something else by now. Nothing was written.
        """
        wanted = IndexFilter.of(platforms, True).platforms
        if not entries and not wanted:
            raise UsageError("no entry was named to be taken out")
        location = as_location(target).full()
        return await self._change(
            location,
            lambda index: without(index, entries, wanted, what=str(location)),
            targets,
            if_digest,
            CopyOptions(dry_run=dry_run, jobs=jobs),
            referrers,
            on_event,
        )

    async def filter(
        self,
        reference: AnyLocation,
        platforms: Iterable[Platform | str] | Platform | str = (),
        *,
        targets: Iterable[AnyLocation] | AnyLocation = (),
        in_place: bool = False,
        exact: bool = False,
        attestations: bool = True,
        referrers: Referrers = "keep",
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> IndexReport:
        """Take of an index only the images for some platforms; everything else that it says stays.

        Args:
            reference: the index.
            platforms: the platforms; there has to be an image for each of them. Empty for all.
            targets: where the result is written to.
            in_place: give it the tag of the index, unless another client moved that meanwhile.
            exact: whether `linux/arm` means only what is for `linux/arm`, and not every arm.
            attestations: whether the attestations of the images are kept.
            referrers: what becomes of what refers to the index as it was; see `Referrers` of `lading.edits`.
            if_digest: see `add`.
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: there is no such index, or nothing for one of the platforms.
            Conflict: nothing would be left; or the tag names something else by now. Nothing was written.
        """
        wanted = IndexFilter.of(platforms, attestations).platforms
        places = _locations(targets)
        if in_place == bool(places):
            why = "goes either to targets, or in the place of what it is made of" if in_place else "goes nowhere"
            raise UsageError(f"the result {why}", remedy="name a target", code="no-target")
        if not wanted and attestations:
            raise UsageError("nothing was said of what is to be kept", remedy="name a platform")
        location = as_location(reference).full()
        return await self._change(
            location,
            lambda index: filtered(index, wanted, exact=exact, attestations=attestations, what=str(location)),
            places,
            if_digest,
            CopyOptions(dry_run=dry_run, jobs=jobs),
            referrers,
            on_event,
        )

    async def annotate(
        self,
        target: AnyLocation,
        entry: str | None = None,
        *,
        os: str = "",
        architecture: str = "",
        variant: str = "",
        os_version: str = "",
        os_features: Iterable[str] | str = (),
        clear: Iterable[str] | str = (),
        artifact_type: str | None = None,
        annotations: Mapping[str, str] | None = None,
        remove_annotations: Iterable[str] | str = (),
        index_annotations: Mapping[str, str] | None = None,
        remove_index_annotations: Iterable[str] | str = (),
        type: IndexType | None = None,
        targets: Iterable[AnyLocation] | AnyLocation = (),
        referrers: Referrers = "keep",
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> IndexReport:
        """Change what an index says about one of its entries, or about itself.

        Args:
            target: the index. Its tag moves, unless another client moved it meanwhile.
            entry: the entry, as `remove` takes it; None where only the index is annotated.
            os: operating system; aliases become Go's names. Empty leaves it as it is, here and below.
            architecture: aliases become Go's names, and bring their variant (`armhf` is `arm`, `v7`).
            variant: of the architecture.
            os_version: version of the operating system.
            os_features: added to the features that are there, each once.
            clear: fields to empty first: `os`, `architecture`, `variant`, `os_version`, `os_features`, `features`.
            artifact_type: of the entry; empty takes it away.
            annotations: set on the entry.
            remove_annotations: keys to remove from the entry.
            index_annotations: set on the index.
            remove_index_annotations: keys to remove from the index.
            type: the format of the index from now on.
            targets: where the result is written to instead; then the index stays as it is.
            referrers: what becomes of what refers to the index as it was; see `Referrers` of `lading.edits`.
            if_digest: see `add`.
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: there is no such index, or no such entry.
            UsageError: several entries are meant, or the index cannot hold what it is given.
            Conflict: the tag names something else by now. Nothing was written.
        """
        platform = PlatformChange(
            os=os,
            architecture=architecture,
            variant=variant,
            os_version=os_version,
            os_features=several(os_features),
            clear=several(clear),
        )
        location = as_location(target).full()
        return await self._change(
            location,
            lambda index: annotated(
                index,
                entry,
                platform=platform,
                artifact_type=artifact_type,
                annotations=annotations,
                remove_annotations=several(remove_annotations),
                index_annotations=index_annotations,
                remove_index_annotations=several(remove_index_annotations),
                type=type,
                what=str(location),
            ),
            targets,
            if_digest,
            CopyOptions(dry_run=dry_run, jobs=jobs),
            referrers,
            on_event,
        )

    async def _change(
        self,
        location: Location,
        change: Change,
        targets: Iterable[AnyLocation] | AnyLocation,
        if_digest: str | None,
        options: CopyOptions,
        referrers: Referrers,
        on_event: OnEvent | None,
    ) -> IndexReport:
        async with self._changing(location, targets, if_digest, options, referrers, on_event) as (
            reading,
            writing,
            before,
        ):
            index, changes = change(before)
            return await writing.write(index, changes, reading, before=before)

    @asynccontextmanager
    async def _changing(
        self,
        location: Location,
        targets: Iterable[AnyLocation] | AnyLocation,
        if_digest: str | None,
        options: CopyOptions,
        referrers: Referrers,
        on_event: OnEvent | None,
    ) -> AsyncIterator[tuple[Reading, Writing, Index]]:
        """An index that is to be changed, with what reads for it, and what writes the result."""
        goals = _locations(targets)
        in_place = not goals
        guard = Guard.of(if_digest)
        if in_place:
            check_replaceable(location)
            goals = [location]
        async with AsyncExitStack() as stack:
            reading = Reading(self._context, stack, goals, options.dry_run)
            before = await reading.target(location)
            if in_place:
                guard.check(str(location), before.digest)
            options = msgspec.structs.replace(options, guard=Guard() if in_place else guard)
            writing = Writing(self._context, goals, options, on_event, in_place=in_place, referrers=referrers)
            yield reading, writing, before


class SyncIndexes(Face[Indexes]):
    """`Indexes` for programs without an event loop: the same methods, each returning its result."""

    entries: Final = blocking(Indexes.entries)
    create: Final = blocking(Indexes.create)
    add: Final = blocking(Indexes.add)
    remove: Final = blocking(Indexes.remove)
    filter: Final = blocking(Indexes.filter)
    annotate: Final = blocking(Indexes.annotate)


def _each(
    sources: Iterable[IndexSource | AnyLocation] | IndexSource | AnyLocation,
) -> Sequence[IndexSource | AnyLocation]:
    return (sources,) if isinstance(sources, IndexSource) else several(sources)


def _locations(places: Iterable[AnyLocation] | AnyLocation) -> list[Location]:
    """Locations, each once, with the tags that they stand for."""
    given: tuple[AnyLocation, ...] = several(places)
    return list(dict.fromkeys(as_location(place).full() for place in given))


def _annotated_entries(given: list[GivenEntry], wanted: Mapping[str, Mapping[str, str]]) -> list[GivenEntry]:
    """Entries with annotations, by the platform that they are for; what is meant for none is refused."""
    for text, new in wanted.items():
        platform = Platform.parse(text) if text else None
        meant = 0
        for at, entry in enumerate(given):
            own = entry.descriptor.platform
            if is_attestation(entry.descriptor) or (
                platform is not None and (own is None or not own.satisfies(platform))
            ):
                continue
            meant += 1
            said = {**entry.descriptor.annotations, **new}
            descriptor = msgspec.structs.replace(entry.descriptor, annotations=said)
            given[at] = msgspec.structs.replace(entry, descriptor=descriptor, document=None)
        if not meant:
            raise NotFound(f"no source has an image for {text}, which is to be annotated", code="no-platform")
    return given


async def _annotated_manifests(
    content: Readable, index: Index, wanted: Mapping[str, Mapping[str, str]], what: str, stack: AsyncExitStack
) -> tuple[Readable, Index]:
    """An index whose images have other annotations, by the platform that they are for, and what has it all.

    Args:
        content: has what the index lists.
        index: the index.
        wanted: the annotations.
        what: what the index is called in messages.
        stack: closes what is made for it.
    """
    from lading.images.edits.annotations import SetAnnotation
    from lading.images.edits.apply import edit
    from lading.stores.overlay import Overlay

    overlay = await stack.enter_async_context(Overlay(content))
    await overlay.put(index)
    graph = Graph(store=overlay, manifest=index, title=what, resources=stack)
    for text, new in wanted.items():
        edits = [SetAnnotation(name, value) for name, value in new.items()]
        # What refers to the sources is looked for, or brought along, for all of them.
        annotating = edit(edits, [Platform.parse(text)] if text else [], referrers="drop")
        graph = await annotating(graph)
    assert isinstance(graph.manifest, Index)
    return graph.store, graph.manifest
