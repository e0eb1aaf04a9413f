"""What a backup and a restore have in common: a repository's part of them, what is planned, and the report.

This module copies with operations, and has no copier of its own. It knows stores, and not which ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from lading.artifacts.backups.names import Group, Names
from lading.artifacts.backups.view import View
from lading.errors import Conflict, InvalidReference, LadingError
from lading.io.tasks import JOBS, Limits, gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.patterns import choose
from lading.model.reference import check_tag
from lading.model.tags import is_fallback, subject_of
from lading.model.text import counted
from lading.store import HasSiblings, Readable, Store
from lading.stores.layout.layout import Layout
from lading.stores.location import AnyLocation, Location, as_location
from lading.transfer.events import Meter, OnEvent
from lading.transfer.graph import Copier, CopyCounts
from lading.transfer.guard import Guard
from lading.transfer.operation import copy
from lading.transfer.place import Place
from lading.transfer.report import CopyOptions, CopyReport, Failure
from lading.transfer.shelf import Shelf

_REPOSITORIES = 4
"""How many repositories are under way at once."""


class PlannedTag(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What becomes, or would become, of one tag."""

    reference: str
    """What it is called where it goes."""
    source: str
    """What it is called where it comes from."""
    state: Literal["new", "moved", "unchanged", "kept", "gone"]
    """`kept`: there is another one, and it is left alone. `gone`: the source no longer has it, and the backup has."""
    digest: Digest | None
    """What the source's names; null where it is gone."""
    previous: Digest | None = None
    """What the target's named before."""


OnPlan = Callable[[Sequence[PlannedTag]], None]
"""Called with what becomes of each tag, before anything is written."""


class BackupReport(CopyReport, kw_only=True):
    """What a backup or a restore did, or would do: what became of each tag, and what was copied."""

    tags: list[PlannedTag] = msgspec.field(default_factory=list)
    """Every tag that was asked for, in its order, and those that are gone."""
    pruned: int = 0
    """How many tags that are gone were removed from the backup."""
    pruned_bytes: int = 0
    """How many bytes of content were removed with them."""

    def __repr__(self) -> str:
        """Such as `<BackupReport 12 tags 3 images 5 manifests 31 blobs 251 MB>`."""
        return super().__repr__().replace("<CopyReport", f"<BackupReport {counted(len(self.tags), 'tag')}")


class Wanted(msgspec.Struct, frozen=True):
    """A repository that is backed up or restored to, and which of its tags."""

    location: Location
    tags: tuple[str, ...] = ()
    """All, if there are none, and no digest."""
    digest: Digest | None = None

    @classmethod
    def of(cls, place: AnyLocation) -> Wanted:
        """What a place names: `REPOSITORY`, `REPOSITORY:TAG`, `REPOSITORY:TAG,TAG`, `REPOSITORY@DIGEST`.

        Raises:
            InvalidReference: it is none of these.
        """
        more: list[str] = []
        try:
            location = as_location(place)
        except InvalidReference:
            first, *more = str(place).split(",")
            if not more:
                raise
            location = as_location(first)
        tag = location.reference.tag if location.reference is not None else location.tag
        if more and tag is None:
            raise InvalidReference(f"{str(place)!r} names no tags", remedy="write them like reg.example/app:1.0,1.1")
        for one in more:
            check_tag(one)
        tags = tuple(dict.fromkeys([tag, *more])) if tag is not None else ()
        return cls(location, tags, location.pinned)

    @property
    def is_whole(self) -> bool:
        """Whether all tags are wanted."""
        return not self.tags and self.digest is None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """How something is backed up or restored.

    Raises:
        UsageError: the options do not go together.
        InvalidPattern: a pattern cannot be read.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    referrers: bool | None = None
    artifact_types: tuple[str, ...] = ()
    untagged: bool = False
    clobber: bool = True
    dry_run: bool = False
    keep_going: bool = False
    jobs: int = JOBS

    def __post_init__(self) -> None:
        """Refuse what does not go together before anything is opened."""
        choose((), self.include, self.exclude)
        self.options()

    def options(self, **more: Any) -> CopyOptions:
        """The same for an operation."""
        return CopyOptions(
            referrers=self.referrers,
            artifact_types=self.artifact_types,
            guard=Guard(clobber=self.clobber),
            dry_run=self.dry_run,
            keep_going=self.keep_going,
            jobs=self.jobs,
            **more,
        )


class Part(msgspec.Struct, kw_only=True):
    """One repository, from where it is to where it goes."""

    view: View
    chosen: list[str]
    """The tags that are copied."""
    digests: list[Digest] = []
    """The manifests that are copied by their digests alone."""
    target: Place
    """Without a name; its repository is that of full names."""
    repository: str | None = None
    """The repository; None where that is not known."""
    known: dict[str, Descriptor | None] = {}
    """What the names in the target stand for."""
    gone: list[PlannedTag] = []
    failed: list[Failure] = []
    """What is known to fail already."""
    notes: list[str] = []

    def planned(self, *, clobber: bool = True) -> list[PlannedTag]:
        """What becomes of each tag of which it is known what it names."""
        found = []
        for tag in self.chosen:
            content = self.view.found[tag]
            if isinstance(content, LadingError):
                continue
            name = self.target.named(tag)
            now = self.known.get(name)
            state: Literal["new", "unchanged", "moved", "kept"] = "new"
            if now is not None:
                state = "unchanged" if now.digest == content.digest else "moved" if clobber else "kept"
            found.append(
                PlannedTag(
                    reference=self.target.title(name),
                    source=f"{self.view.name}:{tag}",
                    state=state,
                    digest=content.digest,
                    previous=now.digest if now is not None else None,
                )
            )
        return [*found, *self.gone]

    def digest_name(self, digest: Digest) -> str | None:
        """The name that a manifest without a tag gets where names are full ones."""
        return f"{self.target.repository}@{digest}" if self.target.repository is not None else None


class Bringing:
    """Copies the parts of a backup or a restore, several at once, and puts their reports together.

    Args:
        request: how.
        on_event: is told what happens.
    """

    def __init__(self, request: Request, on_event: OnEvent | None = None) -> None:
        self.report: BackupReport = BackupReport(images=[], copied=CopyCounts(), steps=[], dry_run=request.dry_run)
        self._request = request
        self._limits = Limits(request.jobs)
        self._meter = Meter(on_event)
        self._places = asyncio.Semaphore(_REPOSITORIES)
        self._copiers: list[Copier] = []
        self._shelves: list[tuple[Store, Shelf]] = []

    def plan(self, parts: Iterable[Part], on_plan: OnPlan | None) -> None:
        """Say what becomes of each tag.

        Raises:
            Conflict: two tags would have one name.
        """
        taken: set[tuple[int, str]] = set()
        for part in parts:
            for tag in part.chosen:
                name = part.target.named(tag)
                if (id(part.target.store), name) in taken:
                    raise Conflict(
                        f"two tags would be {part.target.title(name)}", remedy="write them to places of their own"
                    )
                taken.add((id(part.target.store), name))
            self.report.tags += part.planned(clobber=self._request.clobber)
            self.note(*part.notes)
            self.report.failed += part.failed
        if on_plan is not None:
            on_plan(self.report.tags)

    async def bring(self, parts: Iterable[Part]) -> None:
        """Copy all of it.

        Raises:
            LadingError: something failed, and the rest is not to go on.
        """
        await gather(self._bring(part) for part in parts)

    def done(self) -> BackupReport:
        """The report, with all that was copied."""
        report = self.report
        report.steps = [step for copier in self._copiers for step in copier.steps]
        for copier in self._copiers:
            for field in CopyCounts.__struct_fields__:
                setattr(report.copied, field, getattr(report.copied, field) + getattr(copier.done, field))
        return report

    def reached(self) -> set[Digest]:
        """What was brought, or was there."""
        return {step.digest for copier in self._copiers for step in copier.steps}

    async def copy(self, part: Part, chosen: Sequence[str], digests: Sequence[Digest]) -> None:
        """Copy some tags of a part under their names, and some manifests by their digests."""
        if chosen:
            options = self._request.options(all_tags=True, chosen=tuple(chosen), known=part.known)
            self._add(await self._copy(Place(part.view), part.target, options))
        for digest in digests:
            target = Place(part.target.store, part.digest_name(digest))
            try:
                self._add(await self._copy(Place(part.view, digest), target, self._request.options()))
            except LadingError as error:
                self.fail(error, f"{part.view.name}@{digest}")

    def fail(self, error: LadingError, reference: str) -> None:
        """Note a failure, where the rest is to go on.

        Raises:
            LadingError: the failure, where it is not.
        """
        if not self._request.keep_going:
            raise error
        self.report.failed.append(Failure.of(error, reference))

    def note(self, *texts: str) -> None:
        """Note what the user should know, once."""
        self.report.notes += [text for text in texts if text not in self.report.notes]

    async def _bring(self, part: Part) -> None:
        async with self._places:
            await self.copy(part, part.chosen, part.digests)

    async def _copy(self, source: Place, target: Place, options: CopyOptions) -> CopyReport:
        return await copy(source, [target], options, copiers=[self._copier(target.store)])

    def _copier(self, store: Readable) -> Copier:
        """What copies into a store: one for all that goes there, so that what repositories share is brought once."""
        found = next((copier for copier in self._copiers if copier.target is store), None)
        if found is None:
            assert isinstance(store, Store)
            shelf = self._shelf(store)
            found = Copier(store, limits=self._limits, meter=self._meter, dry_run=self._request.dry_run, shelf=shelf)
            self._copiers.append(found)
        return found

    def _shelf(self, store: Store) -> Shelf | None:
        """What is known to be in the registry of a repository; None of other stores."""
        if not isinstance(store, HasSiblings):
            return None
        shelf = next((known for sibling, known in self._shelves if store.is_sibling(sibling)), None)
        if shelf is None:
            shelf = Shelf()
            self._shelves.append((store, shelf))
        return shelf

    def _add(self, report: CopyReport) -> None:
        self.report.images += report.images
        self.report.failed += report.failed
        self.note(*report.notes)


def is_digest_tag(tag: str) -> bool:
    """Whether a tag is made of a digest, and leads to what refers to that."""
    return is_fallback(tag) or subject_of(tag) is not None


def known(target: Place, group: Group, tags: Iterable[str]) -> dict[str, Descriptor | None]:
    """What the names of tags in a target stand for, by what a layout lists; one of several is left open."""
    return {
        target.named(tag): group.contents.get(tag)
        for tag in tags
        if tag not in group.contents or group.contents[tag] is not None
    }


async def own(parts: Iterable[Part], names: Names, *, is_dry: bool) -> None:
    """Note in a layout of which repository the tags are that are written without one."""
    for part in parts:
        store = part.target.store
        if is_dry or part.repository is None or part.target.repository is not None or not isinstance(store, Layout):
            continue
        group, _ = names.to_write(part.repository, alone=True)
        await store.own(part.repository, {tag for tag, name in group.names.items() if tag == name})
