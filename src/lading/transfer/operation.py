"""A copy as it is asked for: from one place to several, of one name or many, with all that may go along.

Puts the parts of this room together. Knows stores, and not which ones; whoever calls finds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec

from lading.errors import Conflict, NotFound, UsageError
from lading.io.tasks import Limits, first_failure, gather
from lading.model.descriptor import Descriptor
from lading.model.digest import ALGORITHMS, Digest
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.patterns import choose
from lading.model.platform import Platform
from lading.model.reference import Reference, is_tag
from lading.model.tags import is_fallback
from lading.store import AnyManifest, HasSiblings, Readable, Store, fetch_manifest, read
from lading.transfer.events import Meter, OnEvent
from lading.transfer.graph import Copied, Copier
from lading.transfer.guard import find_named
from lading.transfer.referrers import Finder, Referrer
from lading.transfer.remains import Remains, subjects_of
from lading.transfer.report import CopiedImage, CopiedTag, CopyOptions, CopyReport
from lading.transfer.selection import choose_entries

_IMAGES = 8

_FEW = 4
"""Beside how many blobs some more requests find room among those that are under way at once."""
_MOMENT = 0.01
"""Seconds in which those have taken the connections that are open already."""


class Place(msgspec.Struct, frozen=True):
    """A store, and a name in it."""

    store: Store
    name: str | None = None
    """A tag or a digest; None where none was said."""
    is_remote: bool = True
    """Whether asking it costs a request."""
    takes_indexes: bool = True
    """Whether it holds indexes, or only images of one platform."""
    is_partial: bool = False
    """Whether an index may be there of which only some platforms are, and what is there is meant."""
    is_mirrored: bool = False
    """Whether content comes from elsewhere than the lists of referrers, which may be out of reach."""
    is_asked: bool = True
    """Whether it is worth asking what a name stands for before it is written."""
    repository: str | None = None
    """What tags are in, where names are whole references and one repository is meant."""

    def named(self, tag: str) -> str:
        """What a tag is called in this place."""
        return f"{self.repository}:{tag}" if self.repository is not None else tag

    def has(self, name: str) -> bool:
        """Whether a name of the store is in this place: in its repository, where it is one of many."""
        return self.repository is None or (not is_tag(name) and Reference.parse(name).name == self.repository)

    def title(self, name: str | None) -> str:
        """What a manifest of this place is called."""
        if name is None:
            return self.store.name
        return f"{self.store.name}{'@' if is_digest(name) else ':'}{name}"

    def full_title(self, name: str | None, digest: Digest) -> str:
        """What it is called for good: with its digest, where the place knows digests."""
        if name is None or is_digest(name):
            return self.title(digest)
        return f"{self.title(name)}@{digest}" if self.takes_indexes else self.title(name)


def this_platform() -> Platform:
    """The platform of images that run on this machine: Linux, whatever runs the engine's virtual machine."""
    import platform as machine

    return Platform.parse(f"linux/{machine.machine().lower()}")


def is_digest(name: str) -> bool:
    """Whether a name is a digest, and no tag or reference."""
    return name.partition(":")[0] in ALGORITHMS and "/" not in name


async def copy(
    source: Place, targets: Sequence[Place], options: CopyOptions, on_event: OnEvent | None = None
) -> CopyReport:
    """Copy from one place to others.

    Args:
        source: what to copy; with `all_tags`, its store.
        targets: where to; those in one registry get it from the first of them.
        options: what goes along, and how.
        on_event: is told what happens.

    Raises:
        UsageError: the options do not go together.
        Conflict: a name has another digest than `if_digest`, or exists and is not to be changed; nothing was written.
        NotFound: the source lacks something; no tag was changed.
    """
    check(source, targets, options)
    return await _Operation(source, targets, options, on_event).run()


def check(source: Place, targets: Sequence[Place], options: CopyOptions) -> None:
    """Raise UsageError where what is asked for does not go together."""
    if not targets:
        raise UsageError("there is nowhere to copy to")
    if options.jobs < 1:
        raise UsageError(f"jobs is {options.jobs}", cause="at least one blob has to be under way")
    for tag in options.tags:
        if not is_tag(tag):
            raise UsageError(
                f"{tag!r} is not a tag",
                cause="-t takes tags of the target's repository",
                remedy="name what is elsewhere as one more DST" if "/" in tag or ":" in tag else None,
            )
    if options.all_tags and (options.tags or options.guard.expected):
        raise UsageError("--all-tags goes with neither --tag nor --if-digest", cause="every tag keeps its name")
    if (options.include or options.exclude) and not options.all_tags:
        raise UsageError("--include and --exclude choose among all tags", remedy="add --all-tags")
    if options.sparse and not options.platforms:
        raise UsageError("--sparse copies some entries of an index", remedy="say which with --platform")
    if options.sparse and (options.format or options.compression):
        raise UsageError("--sparse keeps the index as it is, and --to and --compression change it")
    if options.referrers:
        for target in targets:
            if not target.takes_indexes:
                raise UsageError(
                    f"{target.store.name} holds no referrers", remedy="leave out --referrers, or write an oci-archive"
                )
    if options.artifact_types and not options.referrers:
        raise UsageError("--artifact-type chooses among referrers", remedy="add --referrers")


class _Operation:
    def __init__(self, source: Place, targets: Sequence[Place], options: CopyOptions, on_event: OnEvent | None) -> None:
        self._source = source
        self._options = options
        self._limits = Limits(options.jobs)
        self._finder = Finder(source.store, options.artifact_types)
        self._notes: list[str] = []
        self._remains = Remains(self._finder)
        meter = Meter(on_event)
        self._targets: list[_Target] = []
        for place in targets:
            same = next((target for target in self._targets if _is_same(target.place.store, place.store)), None)
            if same is not None:
                same.names.append(place.name)
                continue
            copier = Copier(
                place.store,
                limits=self._limits,
                meter=meter,
                verify=options.verify,
                dry_run=options.dry_run,
            )
            self._targets.append(_Target(place, copier, [place.name]))

    async def run(self) -> CopyReport:
        if self._options.all_tags:
            images = await self._every_tag()
        else:
            images = [await self._image(self._source.name or "latest", None)]
        self._hint_at_referrers(images)
        self._hint_at_foreign_layers()
        copied = Copied()
        for target in self._targets:
            for field in Copied.__struct_fields__:
                setattr(copied, field, getattr(copied, field) + getattr(target.copier.done, field))
        return CopyReport(
            images=images,
            copied=copied,
            steps=[step for target in self._targets for step in target.copier.steps],
            notes=self._notes,
            dry_run=self._options.dry_run,
        )

    async def _every_tag(self) -> list[CopiedImage]:
        tags = [tag async for tag in self._source.store.tags() if self._source.has(tag)]
        self._remains.tags = tags
        chosen = choose(tags, self._options.include, self._options.exclude)
        if not self._options.include:
            # The list of referrers is no image: as a tag it would take the place of the one in the target.
            chosen = [tag for tag in chosen if not is_fallback(tag)]
        if not chosen:
            raise NotFound(
                f"{self._source.store.name} has no tags" + (" like that" if tags else ""),
                remedy=f"see them: lading tags {self._source.store.name}" if tags else None,
            )
        places = asyncio.Semaphore(_IMAGES)

        async def one(name: str) -> CopiedImage:
            async with places:
                return await self._image(name, _tag_of(name))

        if len({_tag_of(name) for name in chosen}) < len(chosen):
            raise Conflict(
                f"{self._source.store.name} has names that are the same tag",
                cause=", ".join(chosen[:5]),
                remedy="copy them one by one, or choose with --include",
            )
        return await gather(one(tag) for tag in chosen)

    async def _image(self, name: str, as_tag: str | None) -> CopiedImage:
        """Copy what a name of the source stands for, under its tag or under the names of the targets."""
        goals = [(target, self._names(target, name, as_tag)) for target in self._targets]
        content, before = await self._look(name, goals)
        tasks = _Tasks(self._source, name)
        async with AsyncExitStack() as stack:
            digest = content if isinstance(content, Digest) else content.digest
            if not await self._is_done(digest, goals, before):
                async with _group() as group:
                    group.create_task(self._prepare(stack, tasks, content))
                    for copier, wanted in self._worth_asking(content, goals, before):
                        group.create_task(copier.ask(wanted))
                digest = tasks.ready.digest
            changes = self._changes(goals, before, digest, as_tag is not None)
            tasks.previous = {title: now.digest for title, now in before.items() if now is not None}
            if tasks.manifest is not None:
                may_leave = await self._may_leave_referrers(tasks, goals, changes)
                async with _group() as group:
                    if may_leave:
                        if isinstance(tasks.ready, Manifest) and len(tasks.ready.children) <= _FEW:
                            asyncio.get_running_loop().call_later(_MOMENT, tasks.may_look.set)
                        group.create_task(self._find_remains(tasks))
                    await self._carry_out(tasks, goals, changes)
                    tasks.may_look.set()
        media_type = tasks.manifest.media_type if tasks.manifest else _media_type(content, before)
        original = content if isinstance(content, Digest) else content.digest
        return CopiedImage(
            source=self._source.title(name),
            digest=digest,
            media_type=media_type,
            targets=[change for group in changes for change in group],
            original=original if original != digest else None,
            referrers=len(tasks.referrers),
            platform=str(tasks.platform) if tasks.platform is not None else None,
        )

    def _names(self, target: _Target, name: str, as_tag: str | None) -> list[str | None]:
        place = target.place
        if as_tag is not None:
            return [name if not place.takes_indexes and place.repository is None else place.named(as_tag)]
        return list(dict.fromkeys([*target.names, *map(place.named, self._options.tags)]))

    async def _look(
        self, name: str, goals: Sequence[_Goal]
    ) -> tuple[Descriptor | Digest, dict[str, Descriptor | None]]:
        """What the source's name stands for, and what those of the targets stand for now: all at once."""

        async def find() -> Descriptor | Digest:
            return (
                Digest(name) if is_digest(name) and self._source.is_remote else await self._source.store.resolve(name)
            )

        asked = [
            (target.place, wanted)
            for target, names in goals
            for wanted in names
            if wanted is not None and (target.place.is_asked or self._options.guard)
        ]
        asking = gather(find_named(place.store, wanted) for place, wanted in asked)
        async with _group() as group:
            finding, looking = group.create_task(find()), group.create_task(asking)
        content, found = finding.result(), looking.result()
        return content, {place.title(wanted): now for (place, wanted), now in zip(asked, found, strict=True)}

    async def _is_done(self, digest: Digest, goals: Sequence[_Goal], before: dict[str, Descriptor | None]) -> bool:
        """Whether every name has the source's digest already, and nothing else was asked for."""
        options = self._options
        if options.verify or options.platforms or options.referrers or options.format or options.compression:
            return False
        for target, names in goals:
            for name in names:
                now = before.get(target.place.title(name)) if name is not None else None
                if now is None or now.digest != digest or not await target.copier.is_whole(now):
                    return False
        return True

    def _worth_asking(
        self, content: Descriptor | Digest, goals: Sequence[_Goal], before: dict[str, Descriptor | None]
    ) -> Iterator[tuple[Copier, Descriptor]]:
        """Which targets may have what will be copied under another name; those within reach of a request only."""
        options = self._options
        if not isinstance(content, Descriptor) or options.platforms or options.format or options.compression:
            return
        for target, names in goals:
            place = target.place
            found = [before.get(place.title(name)) if name is not None else None for name in names]
            is_done = all(now is not None and now.digest == content.digest for now in found)
            if place.is_remote and not is_done and not _is_same(place.store, self._source.store):
                yield target.copier, content.content

    async def _prepare(self, stack: AsyncExitStack, tasks: _Tasks, content: Descriptor | Digest) -> None:
        """Read what is to be copied, and make of it what was asked for."""
        options = self._options
        what = self._source.title(tasks.name)
        # By digest: the tag may move meanwhile.
        found = await fetch_manifest(self._source.store, content if isinstance(content, Digest) else content.digest)
        if isinstance(found, Index) and self._source.is_partial and not options.sparse:
            found = await self._present_part(found, what)
        tasks.manifest = found
        if isinstance(found, Index) and not all(target.place.takes_indexes for target in self._targets):
            tasks.manifest = await self._one_image(found, what)
            if not options.platforms and len(found.images) > 1:
                tasks.platform = this_platform()
        elif options.platforms:
            if not isinstance(found, Index):
                await self._check_platform(found, what)
            elif options.sparse:
                chosen = choose_entries(found, options.platforms, what)
                tasks.only = {entry.digest for entry in chosen.manifests} if chosen is not found else None
                if tasks.only is not None and any(target.place.is_remote for target in self._targets):
                    missing = sum(entry.digest not in tasks.only for entry in found.manifests)
                    self._note(
                        f"{missing} of the {len(found.manifests)} entries of {what} stayed behind: of what is in a "
                        "registry, only a copy that verifies brings them later"
                    )
            else:
                tasks.manifest = choose_entries(found, options.platforms, what)
        tasks.subjects = subjects_of(found, tasks.manifest)
        if options.referrers:
            entries = None
            if isinstance(found, Index) and options.platforms:
                entries = found.select(options.platforms)
            tasks.referrers = await self._finder.of(found, entries)
        if options.format or options.compression:
            await self._convert(stack, tasks)
        if tasks.manifest.digest != found.digest and options.referrers and tasks.referrers:
            left = [referrer for referrer in tasks.referrers if referrer.subject == found.digest]
            if left:
                self._note(f"{len(left)} referrers of {what} refer to {found.digest}, which the copy does not have")

    async def _present_part(self, index: Index, what: str) -> AnyManifest:
        """What there is of an index: engines list all platforms of an image, and have those that they run."""
        entries = index.manifests
        there = await gather(self._source.store.contains(entry.content) for entry in entries)
        present = [entry for entry, is_there in zip(entries, there, strict=True) if is_there]
        images = [entry for entry in present if not is_attestation(entry)]
        if len(present) == len(entries) or not images:
            return index
        if len(images) < len(index.images) and not self._options.platforms:
            platforms = ", ".join(str(entry.platform) for entry in images)
            self._note(f"of the {len(index.images)} platforms of {what} only {platforms} is there, and was copied")
        if len(present) == 1:
            return await fetch_manifest(self._source.store, images[0].content)
        return Index.build(present, index.media_type, index.annotations, base=index.document)

    async def _one_image(self, index: Index, what: str) -> AnyManifest:
        """The image for one platform, for targets that hold nothing else."""
        if any(target.place.takes_indexes for target in self._targets):
            raise UsageError(
                f"{what} is an index, and not every target takes one",
                remedy="copy it to container engines and Docker archives by themselves",
            )
        platforms = self._options.platforms or (this_platform(),)
        if len(platforms) > 1:
            raise UsageError(f"{self._targets[0].place.store.name} takes one platform", remedy="give one --platform")
        chosen = choose_entries(index, platforms, what)
        return await fetch_manifest(self._source.store, chosen.images[0].content)

    async def _check_platform(self, manifest: AnyManifest, what: str) -> None:
        from lading.model.config import ImageConfig

        platforms = self._options.platforms
        if isinstance(manifest, Index) or not manifest.is_image or manifest.config is None:
            raise NotFound(f"{what} has nothing for {platforms[0]}", cause="it is an artifact")
        config = ImageConfig.parse(await read(self._source.store, manifest.config))
        if not any(config.platform.satisfies(platform) for platform in platforms):
            raise NotFound(f"{what} has nothing for {platforms[0]}", cause=f"it is an image for {config.platform}")

    async def _convert(self, stack: AsyncExitStack, tasks: _Tasks) -> None:
        from lading.stores.overlay import Overlay
        from lading.transfer.convert import Converter

        overlay = await stack.enter_async_context(Overlay(tasks.source))
        converter = Converter(overlay, self._options.format, self._options.compression, self._limits)
        old = tasks.ready.digest
        tasks.manifest = await converter.convert(tasks.ready)
        tasks.source = overlay
        for note in converter.notes:
            self._note(note)
        if tasks.manifest.digest != old:
            self._note(
                f"{self._source.title(tasks.name)} has another digest now: "
                "signatures and attestations of the original do not cover it"
            )

    # Writing

    async def _check_again(self, place: Place, names: Sequence[str], tasks: _Tasks) -> None:
        """All is there but the tags: raise Conflict where one was given to something else since it was looked at."""
        tasks.may_look.set()
        if not self._options.dry_run:
            looked_at = {name: (title := place.title(name), tasks.previous.get(title)) for name in names}
            await self._options.guard.check_again(place.store, looked_at)

    def _changes(
        self,
        goals: Sequence[_Goal],
        before: dict[str, Descriptor | None],
        digest: Digest,
        one_of_many: bool,
    ) -> list[list[CopiedTag]]:
        """What becomes of each name; raises where one is not to be changed."""
        guard = self._options.guard
        changes: list[list[CopiedTag]] = []
        for target, names in goals:
            group = []
            for name in names:
                title = target.place.title(name or digest)
                now = before.get(title)
                previous = now.digest if now is not None else None
                if name is not None and is_digest(name) and name != digest:
                    raise Conflict(f"{title} cannot be what is copied", cause=f"that has the digest {digest}")
                full = target.place.full_title(name, digest)
                change = CopiedTag(reference=title, full=full, digest=digest, state="new", previous=previous)
                if name is None or is_digest(name) or not (target.place.is_asked or previous):
                    change.state = "set"
                elif previous is not None:
                    change.state = "unchanged" if previous == digest else "moved"
                if one_of_many and change.state == "moved" and not guard.clobber:
                    change.state = "kept"
                else:
                    guard.check(title, previous, digest)
                group.append(change)
            changes.append(group)
        return changes

    async def _carry_out(self, tasks: _Tasks, goals: Sequence[_Goal], changes: Sequence[list[CopiedTag]]) -> None:
        """Write to every target; to those that share a registry one after another, each from the one before."""
        chains: list[list[tuple[_Target, list[str] | None]]] = []
        for (target, names), group in zip(goals, changes, strict=True):
            if all(change.state == "kept" for change in group):
                continue
            wanted = [
                name
                for name, change in zip(names, group, strict=True)
                if name is not None
                and not is_digest(name)
                and change.state != "kept"
                and (change.state != "unchanged" or self._options.verify)
            ]
            is_asked_for = self._options.verify or tasks.referrers or tasks.only is not None
            is_same = all(change.state == "unchanged" for change in group)
            is_done = is_same and not is_asked_for and await target.copier.is_whole(tasks.ready.descriptor)
            chain = next((chain for chain in chains if _is_sibling(chain[0][0], target)), None)
            if chain is None:
                chains.append(chain := [])
            # From one that has all of it already, the others get it.
            chain.insert(0 if is_done else len(chain), (target, None if is_done else wanted))
        await gather(self._along(tasks, chain) for chain in chains)

    async def _along(self, tasks: _Tasks, chain: Sequence[tuple[_Target, list[str] | None]]) -> None:
        source = tasks.source
        before: Store | None = None
        for target, names in chain:
            if names is None:
                before = source = target.place.store
                continue
            copier = target.copier
            copier.planned_from = before
            for referrer in _each_once(tasks.referrers):
                name = [referrer.tag] if referrer.tag is not None else []
                await copier.copy(self._source.store, referrer.content, names=name)
            check = partial(self._check_again, target.place, names, tasks)
            await copier.copy(source, tasks.ready, names=names, only=tasks.only, check=check)
            before = target.place.store
            if not self._options.dry_run:
                source = before

    # What to say

    def _hint_at_referrers(self, images: Sequence[CopiedImage]) -> None:
        """Say that signatures stay behind."""
        if not self._options.referrers:
            without = [target.place.store.name for target in self._targets if not target.place.takes_indexes]
            for note in self._remains.notes(images, without[0] if without else None):
                self._note(note)

    async def _may_leave_referrers(
        self, tasks: _Tasks, goals: Sequence[_Goal], changes: Sequence[list[CopiedTag]]
    ) -> bool:
        """Whether a target has not had before what may have referrers: else it has them, or it was said."""
        root = tasks.subjects[0]
        if self._options.referrers or self._source.is_mirrored or self._remains.is_tagged(root.digest):
            return False
        targets = [
            target
            for (target, _), group in zip(goals, changes, strict=True)
            if any(change.state != "kept" for change in group) and not _is_same(target.place.store, self._source.store)
        ]
        return not all([await target.has(root) for target in targets])

    async def _find_remains(self, tasks: _Tasks) -> None:
        # Beside the last request, over the connections that blobs have used, and not in their way; unless they are few.
        await tasks.may_look.wait()
        await self._remains.find(self._source.title(tasks.name), tasks.subjects)

    def _hint_at_foreign_layers(self) -> None:
        layers = {digest: layer for target in self._targets for digest, layer in target.copier.foreign.items()}
        if layers:
            first = next(iter(layers.values())).urls[0]
            count = "1 foreign layer was" if len(layers) == 1 else f"{len(layers)} foreign layers were"
            self._note(f"{count} not copied: clients get them from where the manifest says, such as {first}")

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


class _Target:
    """One store that is written to, and the names that were asked for there."""

    def __init__(self, place: Place, copier: Copier, names: list[str | None]) -> None:
        self.place = place
        self.copier = copier
        self.names = names

    async def has(self, content: Descriptor) -> bool:
        """Whether it had a manifest before; where asking costs a request, as far as that was asked already."""
        return self.copier.knows(content.digest) if self.place.is_remote else await self.place.store.contains(content)


_Goal = tuple[_Target, list[str | None]]


class _Tasks:
    """What is to be copied, once it has been read."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self.source: Readable = place.store
        self.manifest: AnyManifest | None = None
        self.platform: Platform | None = None
        """The platform that was chosen for the user, where a target holds no indexes."""
        self.only: Collection[Digest] | None = None
        self.subjects: list[Descriptor] = []
        """What the copy's referrers would refer to: what was found in the source, and those of its entries that go."""
        self.referrers: list[Referrer] = []
        self.may_look = asyncio.Event()
        """Requests for what nobody waits for are in the way of no others any more."""
        self.previous: dict[str, Digest] = {}
        """The digests that the names in the targets had before."""

    @property
    def ready(self) -> AnyManifest:
        if self.manifest is None:
            raise RuntimeError("nothing has been read yet")
        return self.manifest


@asynccontextmanager
async def _group() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None


def _each_once(referrers: Sequence[Referrer]) -> list[Referrer]:
    seen: dict[tuple[Digest, str | None], Referrer] = {}
    for referrer in referrers:
        seen.setdefault((referrer.content.digest, referrer.tag), referrer)
    return list(seen.values())


def _tag_of(name: str) -> str:
    """The tag of a name in the source, which in a Docker archive is a whole reference."""
    return name if is_tag(name) else Reference.parse(name).tag or name


def _is_same(first: Readable, second: Readable) -> bool:
    return first is second or (isinstance(first, HasSiblings) and first.is_same(second))


def _is_sibling(first: _Target, second: _Target) -> bool:
    store = first.place.store
    return isinstance(store, HasSiblings) and store.is_sibling(second.place.store)


def _media_type(content: Descriptor | Digest, before: dict[str, Descriptor | None]) -> str:
    known = [content] if isinstance(content, Descriptor) else [now for now in before.values() if now is not None]
    return known[0].media_type if known else ""
