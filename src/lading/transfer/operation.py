"""A copy as it is asked for: one source, transforms in order, any number of targets, and a guard on their names.

Everything that writes to a store, but for drafts and single blobs, is such an operation. This module puts the others
of the room together. It knows stores, and not which ones: the caller finds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Literal

import msgspec

from lading.errors import Conflict, LadingError, NotFound, UsageError
from lading.io.tasks import Limits, Once, gather, task_group
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import MANIFESTS, SCHEMA1
from lading.model.patterns import choose
from lading.model.tags import is_fallback
from lading.model.text import counted, excerpt
from lading.store import AnyManifest, ChecksReferrers, HasSiblings, Readable, Remembers, Store, fetch_manifest
from lading.transfer.events import Meter, OnEvent
from lading.transfer.graph import Copier, CopyCounts
from lading.transfer.guard import find_named
from lading.transfer.place import Place, is_digest
from lading.transfer.referrers import Finder, LeftBehind, Referrer, found_there, left_behind
from lading.transfer.report import CopiedImage, CopiedTag, CopyOptions, CopyReport, Failure, Note
from lading.transfer.transform import Attached, Graph

_IMAGES = 8
"""How many tags are copied at once."""


async def copy(
    source: Place | Graph,
    targets: Sequence[Place],
    options: CopyOptions,
    on_event: OnEvent | None = None,
    *,
    copiers: Sequence[Copier] = (),
    finder: Finder | None = None,
) -> CopyReport:
    """Copy from one place to others.

    Args:
        source: what to copy: a name in a store, with `all_tags` the store; or a manifest that has been read.
        targets: where to; those in one registry get it from the first of them. One without a name gets the content by
            its digest alone.
        options: what goes along, and how.
        on_event: is told what happens.
        copiers: what copies into some of the targets' stores, where several operations share that: what one of them has
            brought is there for the others. The report counts all that they did.
        finder: what finds referrers, where several operations from one store share what it knows.

    Raises:
        UsageError: the options do not go with the targets, or one of these cannot be written to.
        Conflict: the guard does not hold; no name was changed that it is about.
        NotFound: the source lacks something; no name was changed.
    """
    if not targets:
        raise UsageError("there is nowhere to copy to")
    for target in targets:
        if not isinstance(target.store, Store):
            raise UsageError(f"{target.store.name} is only read", cause="it cannot be a target")
        if options.referrers and not target.store.traits.takes_indexes:
            raise UsageError(
                f"{target.store.name} holds no referrers",
                remedy="copy without referrers, or to an oci-archive",
                code="holds-no-referrers",
            )
    return await _Operation(source, targets, options, on_event, copiers, finder).run()


class _Target:
    """One store that is written to, and the names that were asked for there."""

    def __init__(self, place: Place, copier: Copier) -> None:
        self.place = place
        self.copier = copier
        self.names = [place.name]

    @property
    def store(self) -> Store:
        """What is written to."""
        return self.copier.target

    async def had(self, content: Descriptor) -> bool:
        """Whether it had a manifest before; where asking costs a request, as far as that was asked already."""
        if self.store.traits.is_remote:
            return self.copier.knows(content.digest)
        return await self.store.contains(content)


class _Naming:
    """The names that one image gets in one target."""

    def __init__(self, target: _Target, names: Sequence[str | None]) -> None:
        self.target = target
        self.names = list(dict.fromkeys(names))
        self.found: dict[str, Descriptor] = {}
        """What the existing names stood for when they were looked at."""
        self.asked: set[str] = set()
        """The names that were looked at."""
        self.changes: list[CopiedTag] = []
        """What becomes of each, once that is planned."""

    async def look(self, names: Sequence[str], *, surely: bool, known: Mapping[str, Descriptor | None]) -> None:
        """Find out what names stand for, where that is not known; `surely` where something depends on it."""
        asked = [name for name in names if name not in known]
        looks = await gather(find_named(self.target.store, name, surely=surely) for name in asked)
        self.asked.update(names)
        self.found |= {name: now for name in names if (now := known.get(name)) is not None}
        self.found |= {name: now for name, now in zip(asked, looks, strict=True) if now is not None}

    async def look_late(self) -> None:
        """Find out what the only name stands for, and so what becomes of it."""
        (name,), (change,) = self.names, self.changes
        assert name is not None
        await self.look([name], surely=False, known={})
        now = self.found.get(name)
        change.previous = now.digest if now is not None else None
        change.state = _state(change.previous, change.digest)

    async def is_done(self, digest: Digest) -> bool:
        """Whether every name stands for a manifest already that is there with all it lists."""
        for name in self.names:
            now = self.found.get(name) if name is not None else None
            if now is None or now.digest != digest or not await self.target.copier.is_whole(now):
                return False
        return True

    @property
    def is_kept(self) -> bool:
        """Whether all names are left alone."""
        return all(change.state == "kept" for change in self.changes)

    @property
    def is_unchanged(self) -> bool:
        """Whether all names stand for the content already."""
        return all(change.state == "unchanged" for change in self.changes)

    def to_set(self, *, again: bool) -> list[str]:
        """The tags that are to be set; with `again` also the tags that stand for the content already."""
        return [
            name
            for name, change in zip(self.names, self.changes, strict=True)
            if name is not None
            and not is_digest(name)
            and change.state != "kept"
            and (again or change.state != "unchanged")
        ]

    def before(self, names: Sequence[str]) -> dict[str, tuple[str, Digest | None]]:
        """For each name what it is called, and what it stood for when it was looked at."""
        found = {name: self.found.get(name) for name in names}
        return {
            name: (self.target.place.title(name), now.digest if now is not None else None)
            for name, now in found.items()
        }


class _NoManifest(Exception):  # it is no failure: such a thing is left out
    """What a tag names has this media type."""


class _Operation:
    def __init__(
        self,
        source: Place | Graph,
        targets: Sequence[Place],
        options: CopyOptions,
        on_event: OnEvent | None,
        copiers: Sequence[Copier],
        finder: Finder | None = None,
    ) -> None:
        if isinstance(source, Graph) and source.transforms:
            options = msgspec.structs.replace(options, transforms=(*source.transforms, *options.transforms))
        self._graph = source if isinstance(source, Graph) else None
        self._source = source if isinstance(source, Place) else Place(source.store)
        self._options = options
        self._finder = finder or Finder(self._source.store, options.artifact_types)
        self._left_behind = LeftBehind(self._source.store)
        self._notes: list[str] = []
        self._failed: list[Failure] = []
        self._once = Once()
        self._read: dict[Digest, AnyManifest] = {}
        limits, meter = Limits(options.jobs), Meter(on_event)
        self._targets: list[_Target] = []
        for place in targets:
            store = place.store
            same = next((target for target in self._targets if _is_same(target.store, store)), None)
            if same is not None:
                same.names.append(place.name)
            elif isinstance(store, Store):
                copier = next((shared for shared in copiers if shared.target is store), None)
                self._targets.append(
                    _Target(
                        place,
                        copier
                        or Copier(store, limits=limits, meter=meter, verify=options.verify, dry_run=options.dry_run),
                    )
                )

    async def run(self) -> CopyReport:
        options = self._options
        if options.all_tags:
            images = await self._every_tag()
        else:
            images = await self._brought(self._graph or self._source.name or "latest")
        self._tell_what_stayed(images)
        counts = CopyCounts()
        for target in self._targets:
            for field in CopyCounts.__struct_fields__:
                setattr(counts, field, getattr(counts, field) + getattr(target.copier.done, field))
        return CopyReport(
            images=images,
            copied=counts,
            steps=[step for target in self._targets for step in target.copier.steps],
            notes=self._notes,
            failed=self._failed,
            dry_run=options.dry_run,
        )

    async def _every_tag(self) -> list[CopiedImage]:
        store = self._source.store
        tags = [tag async for tag in store.tags() if self._source.has(tag)]
        self._left_behind.tags = tags
        chosen = choose(tags, self._options.include, self._options.exclude)
        if self._options.chosen is not None:
            chosen = list(self._options.chosen)
        elif not self._options.include:
            # The list of referrers is no image: as a tag it would take the place of the one in the target.
            chosen = [tag for tag in chosen if not is_fallback(tag)]
        if not chosen:
            raise NotFound(
                f"{store.name} has no tags" + (" like that" if tags else ""),
                remedy="list the tags that there are" if tags else None,
                code="no-tags-to-copy",
                fields={"store": store.name, "tags": tags},
            )
        chosen = self._taken(chosen)
        places = asyncio.Semaphore(_IMAGES)

        async def one(name: str) -> list[CopiedImage]:
            async with places:
                try:
                    return await self._brought(name)
                except _NoManifest as found:
                    self._note(f"{self._source.title(name)} stayed behind: it is no manifest, but {found}")
                except LadingError as error:
                    _explain(error, self._source.title(name))
                    if not self._options.keep_going:
                        raise
                    self._failed.append(Failure.of(error, self._source.title(name)))
                return []

        images = [image for images in await gather(one(tag) for tag in chosen) for image in images]
        if not images and not self._failed:
            raise NotFound(f"{store.name} has nothing to copy", cause="what its tags name is no manifest")
        return images

    async def _brought(self, source: str | Graph) -> list[CopiedImage]:
        """Copy one image. Where that fails and the others go on, each name in each target is tried alone.

        Raises:
            LadingError: nothing of it could be done.
        """
        namings = [_Naming(target, self._names(target, source)) for target in self._targets]
        try:
            return [await self._image(source, namings)]
        except LadingError as error:
            each = [_Naming(naming.target, [name]) for naming in namings for name in naming.names]
            if not self._options.keep_going or len(each) == 1:
                raise
            first = error
        images: list[CopiedImage] = []
        failed: list[Failure] = []
        for naming in each:
            try:
                images.append(await self._image(source, [naming]))
            except LadingError as error:
                failed.append(Failure.of(error, naming.target.place.title(naming.names[0])))
        if not images:
            raise first
        self._failed += failed
        return images

    def _taken(self, chosen: Sequence[str]) -> list[str]:
        """Those of the source's names under which every target can have something; the others are told of.

        Raises:
            Conflict: two of them would be the same name in a target.
            NotFound: there are none.
        """
        store = self._source.store
        names = [{name: target.place.name_of(name, store) for name in chosen} for target in self._targets]
        taken = [name for name in chosen if all(there[name] is not None for there in names)]
        for name in chosen:
            if name not in taken:
                title = self._source.title(name)
                text = f"{title} stayed behind: its name has no tag"
                # What a registry or Docker lists so, nobody can ask it for.
                is_asked_for = not (store.traits.is_remote or store.traits.is_named_by_references)
                self._note(Note(text, "name-without-tag", {"what": title}) if is_asked_for else text)
        if not taken or any(len({there[name] for name in taken}) < len(taken) for there in names):
            why = "has names that are the same tag" if taken else "has no tags"
            raise (Conflict if taken else NotFound)(
                f"{store.name} {why}",
                cause=", ".join((taken or chosen)[:5]),
                remedy="copy them one by one" + (", or choose among them by a pattern" if taken else ""),
                code=None if store.traits.is_remote and not taken else "names-of-one-tag",
                fields={"store": store.name, "names": chosen, "first": self._source.title(chosen[0])},
            )
        return taken

    async def _image(self, source: str | Graph, namings: Sequence[_Naming]) -> CopiedImage:
        """Copy a graph, or what a name of the source stands for, to where these names are."""
        root = await self._look(source, namings)
        found = root if isinstance(root, Digest) else root.digest
        referrers: list[Referrer] = []
        graph: Graph | None = None
        async with AsyncExitStack() as resources:
            if not await self._is_done(found, namings):
                graph = await self._prepare(source, root, namings, resources)
                self._note(*graph.notes)
                referrers = await self._referrers(graph)
            digest = graph.manifest.digest if graph is not None else found
            self._plan(namings, digest)
            if graph is not None:
                await self._write(graph, referrers, namings)
        return CopiedImage(
            source=source.title if isinstance(source, Graph) else self._source.title(source),
            digest=digest,
            media_type=graph.manifest.media_type if graph is not None else _media_type(root, namings),
            targets=[change for naming in namings for change in naming.changes],
            original=found if found != digest else None,
            referrers=len(referrers) + (len(graph.attached) if graph is not None else 0),
            platform=str(graph.platform) if graph is not None and graph.platform is not None else None,
        )

    # Looking

    def _names(self, target: _Target, source: str | Graph) -> list[str | None]:
        if not self._options.all_tags or isinstance(source, Graph):
            return [*target.names, *map(target.place.named, self._options.tags)]
        return [target.place.name_of(source, self._source.store)]

    async def _look(self, source: str | Graph, namings: Sequence[_Naming]) -> Descriptor | Digest:
        """What the source's name stands for. What the targets' names stand for is found out at the same time."""

        async def find() -> Descriptor | Digest:
            if isinstance(source, Graph):
                return source.manifest.descriptor
            if is_digest(source) and self._source.store.traits.is_remote:
                return Digest(source)
            if not self._options.all_tags and self._source.store.traits.reads_as_it_resolves:
                manifest = await fetch_manifest(self._source.store, source)
                self._read[manifest.digest] = manifest
                return manifest.descriptor
            found = await self._source.store.resolve(source)
            if self._options.all_tags and found.media_type and found.media_type not in MANIFESTS | SCHEMA1:
                raise _NoManifest(excerpt(found.media_type))
            return found

        surely, known = bool(self._options.guard) or self._options.dry_run, self._options.known
        async with task_group() as group:
            finding = group.create_task(find())
            for naming in namings:
                group.create_task(naming.look(self._worth_looking(source, naming), surely=surely, known=known))
        return finding.result()

    def _worth_looking(self, source: str | Graph, naming: _Naming) -> list[str]:
        """The names of which is asked first what they stand for: the guard wants to know, or it is worth what it costs.

        Where a question costs a request, that is what was put there before, since it is likely to be there still.
        Another name is asked for late, if what is copied is new there.
        """
        options, store = self._options, naming.target.store
        names = [name for name in naming.names if name is not None]
        if options.guard:
            return names
        if not options.looks or not store.traits.resolves_cheaply:
            return []
        is_told = options.tells or options.dry_run or options.all_tags or len(self._targets) > 1
        if is_told or not isinstance(store, Remembers):
            return names
        if len(names) == 1 and _is_same(store, self._source.store):
            return names
        likely = {name: before for name in names if (before := store.remembered(name)) is not None}
        if isinstance(source, Graph) and not options.transforms:
            likely = {name: before for name, before in likely.items() if before == source.manifest.digest}
        return [name for name in names if name in options.known or name in likely]

    async def _is_done(self, digest: Digest, namings: Sequence[_Naming]) -> bool:
        """Whether every name stands for the source's content already, and nothing else was asked for."""
        options = self._options
        if options.verify or options.referrers or options.transforms:
            return False
        return all([await naming.is_done(digest) for naming in namings])

    async def _prepare(
        self, source: str | Graph, root: Descriptor | Digest, namings: Sequence[_Naming], resources: AsyncExitStack
    ) -> Graph:
        """Read what is to be copied, and transform it; meanwhile targets are asked whether they have it."""

        async def read() -> Graph:
            if isinstance(source, Graph):
                graph = source.changed(resources=resources)
            else:
                # By digest: the tag may move meanwhile.
                name = root if isinstance(root, Digest) else root.digest
                manifest = self._read.get(name) or await fetch_manifest(self._source.store, name)
                graph = Graph.of(self._source.store, manifest, self._source.title(source), resources)
            for transform in self._options.transforms:
                graph = await transform(graph)
            return graph

        async with task_group() as group:
            reading = group.create_task(read())
            for copier, content in self._worth_asking(root, namings):
                group.create_task(copier.ask(content))
        return reading.result()

    def _worth_asking(
        self, root: Descriptor | Digest, namings: Sequence[_Naming]
    ) -> Iterator[tuple[Copier, Descriptor]]:
        """The remote targets that may have under another name what is copied as it is."""
        if not isinstance(root, Descriptor) or self._options.transforms or not self._options.looks:
            return
        graph = self._graph
        for naming in namings:
            target = naming.target
            if graph is not None and (
                not target.copier.may_skip(graph.store, graph.manifest)
                or (graph.manifest.subject is not None and isinstance(target.store, ChecksReferrers))
            ):
                continue
            is_remote = target.store.traits.is_remote
            if is_remote and any(now.digest == root.digest for now in naming.found.values()):
                target.copier.believe(root)
            elif is_remote and not _is_same(target.store, self._source.store):
                yield target.copier, root.content

    async def _referrers(self, graph: Graph) -> list[Referrer]:
        """What refers to the content and goes along."""
        if not self._options.referrers:
            return []
        found = await self._finder.of(graph.subjects)
        root = graph.subjects[0]
        left = sum(referrer.subject == root.digest for referrer in found) if _is_changed(graph) else 0
        if left:
            refer = "1 referrer" if left == 1 else f"{left} referrers"
            verb = "refers" if left == 1 else "refer"
            self._note(f"{refer} of {graph.title} {verb} to {root.digest}, which the copy does not have")
        return found

    # Writing

    def _plan(self, namings: Sequence[_Naming], digest: Digest) -> None:
        """Find out what becomes of each name; raise Conflict where one is not to be changed."""
        guard = self._options.guard
        for naming in namings:
            for name in naming.names:
                change = self._change(naming, name, digest)
                if self._options.all_tags and change.state == "moved" and not guard.clobber:
                    change.state = "kept"
                else:
                    guard.check(change.reference, change.previous, digest)
                naming.changes.append(change)

    def _change(self, naming: _Naming, name: str | None, digest: Digest) -> CopiedTag:
        """What becomes of a name, if the guard lets it be changed; None for the content without a name."""
        place = naming.target.place
        title = place.title(name or digest)
        now = naming.found.get(name) if name is not None else None
        previous = now.digest if now is not None else None
        if name is not None and is_digest(name) and name != digest:
            raise Conflict(f"{title} cannot be what is copied", cause=f"that has the digest {digest}")
        change = CopiedTag(
            reference=title,
            full=place.full_title(name, digest),
            digest=digest,
            state=_state(previous, digest),
            previous=previous,
        )
        if name is None or is_digest(name) or name not in naming.asked:
            change.state = "set"
        return change

    async def _write(self, graph: Graph, referrers: Sequence[Referrer], namings: Sequence[_Naming]) -> None:
        """Write to every target, and ask beside the last request what stays behind.

        Targets that share a registry are written to one after another: all but the first get the content from there.
        """
        chains: list[list[tuple[_Naming, bool]]] = []
        for naming in namings:
            if naming.is_kept:
                continue
            is_asked_for = self._options.verify or referrers or graph.only is not None
            is_whole = naming.is_unchanged and not is_asked_for
            is_whole = is_whole and await naming.target.copier.is_whole(graph.manifest.descriptor)
            chain = next((chain for chain in chains if _is_sibling(chain[0][0].target, naming.target)), None)
            if chain is None:
                chains.append(chain := [])
            # One that has all of it already comes first: the others get it from there.
            chain.insert(0 if is_whole else len(chain), (naming, is_whole))
        questions = [graph] if await self._may_leave_referrers(graph, namings) else []
        async with task_group() as group:

            def ask() -> None:
                while questions:
                    asked = questions.pop()
                    group.create_task(
                        self._left_behind.look(asked.title, asked.subjects[0], is_changed=_is_changed(asked))
                    )

            for chain in chains:
                group.create_task(self._write_along(graph, referrers, chain, ask, group))

    async def _write_along(
        self,
        graph: Graph,
        referrers: Sequence[Referrer],
        chain: Sequence[tuple[_Naming, bool]],
        at_last: Callable[[], None],
        group: asyncio.TaskGroup,
    ) -> None:
        options = self._options
        source: Readable = graph.store
        before: Readable | None = None
        for naming, is_whole in chain:
            copier = naming.target.copier
            if is_whole:
                before = source = copier.target
                continue
            copier.planned_from = before
            there = await self._found_there(graph, referrers, naming)
            for referrer in _each_once(referrers):
                if referrer.tag is None and referrer.content.digest in there:
                    copier.leave(referrer.content)
                    continue
                tag = naming.target.place.named(referrer.tag) if referrer.tag is not None else None
                bring = partial(self._bring_referrer, copier, referrer.content, tag, is_new=not naming.is_unchanged)
                await self._once.do((id(copier), referrer.content.digest, tag), bring)
            for attached in self._attached(graph, copier.target):
                names = [attached.tag] if attached.tag is not None else []
                await copier.copy(graph.store, attached.content, names=names)
            if await self._is_left(graph, naming):
                copier.leave(graph.manifest.descriptor)
                before = source = copier.target
                continue
            names = naming.to_set(again=options.verify)
            looks: list[asyncio.Task[None]] = []

            def look(naming: _Naming = naming, looks: list[asyncio.Task[None]] = looks) -> None:
                looks.append(group.create_task(naming.look_late()))

            last = self._last(naming, names, looks, at_last)
            check = options.guard.of_names(naming.before(names), graph.manifest.digest)
            await copier.copy(
                source,
                graph.manifest,
                names=names,
                only=graph.only,
                before_names=last,
                if_new=look if self._may_look_late(naming) else None,
                check=check,
            )
            before = copier.target
            if not options.dry_run:
                source = before

    def _may_look_late(self, naming: _Naming) -> bool:
        """Whether it is asked what the name stands for, if what is copied is new there: then it is worth it."""
        name, target = naming.names[0], naming.target.store.traits
        is_open = len(naming.names) == 1 and name is not None and not is_digest(name) and name not in naming.asked
        return is_open and self._options.looks and target.resolves_cheaply

    async def _found_there(self, graph: Graph, referrers: Sequence[Referrer], naming: _Naming) -> set[Digest]:
        """The referrers that a target has, whole, and lists; they are looked for where it had the content itself."""
        target = naming.target
        subjects = {referrer.subject for referrer in referrers if referrer.tag is None}
        had = naming.is_unchanged or await target.had(graph.manifest.descriptor)
        if self._options.verify or not (subjects and had):
            return set()
        there = await found_there(target.store, subjects, target.copier.contains)
        contents = {referrer.content.digest: referrer.content for referrer in referrers}
        return {digest for digest in there & contents.keys() if await target.copier.is_whole(contents[digest])}

    async def _is_left(self, graph: Graph, naming: _Naming) -> bool:
        """Whether the content is there already under all its names, and only what refers to it was to be brought."""
        if self._options.verify or graph.only is not None or not naming.is_unchanged:
            return False
        return await naming.target.copier.is_whole(graph.manifest.descriptor)

    async def _bring_referrer(self, copier: Copier, content: Descriptor, tag: str | None, *, is_new: bool) -> None:
        """Copy a referrer; where the image was there, its tag may name it already."""
        if tag is not None and not is_new and not self._options.verify:
            now = await find_named(copier.target, tag, surely=False)
            if now is not None and now.digest == content.digest and await copier.is_whole(now):
                return
        await copier.copy(self._source.store, content, names=[tag] if tag is not None else [])

    def _attached(self, graph: Graph, target: Readable) -> Sequence[Attached]:
        """What is written beside a graph; nothing where it could not be found, and that is said."""
        if target.traits.takes_indexes or not graph.attached:
            return graph.attached
        count = len(graph.attached)
        left = counted(count, "referrer")
        self._note(left_behind(f"{left} of {graph.title}", count, target.name))
        return ()

    def _last(
        self,
        naming: _Naming,
        names: Sequence[str],
        looks: Sequence[asyncio.Task[None]],
        at_last: Callable[[], None],
    ) -> Callable[[], Awaitable[None]]:
        """What is done when all is there but the names."""

        async def check() -> None:
            if not self._options.dry_run:
                await self._options.guard.check_again(naming.target.store, naming.before(names))
            for looking in looks:
                await looking
            at_last()

        return check

    # What to say

    async def _may_leave_referrers(self, graph: Graph, namings: Sequence[_Naming]) -> bool:
        """Whether it is to be asked what stays behind: nothing was said of it, and a target gets what it had not."""
        root = graph.subjects[0]
        source = self._source.store
        is_said = self._options.referrers is not None or self._left_behind.is_told_by_tags(root.digest)
        # The registry itself may be out of reach, where only its mirrors are.
        if is_said or source.traits.is_mirrored:
            return False
        targets = [naming.target for naming in namings if not naming.is_kept]
        if _is_changed(graph):
            return any(not naming.is_kept and not naming.is_unchanged for naming in namings)
        return not all([_is_same(target.store, source) or await target.had(root) for target in targets])

    def _tell_what_stayed(self, images: Sequence[CopiedImage]) -> None:
        if self._options.referrers is None:
            without = [target.store.name for target in self._targets if not target.store.traits.takes_indexes]
            self._note(*self._left_behind.notes(images, without[0] if without else None))
        layers = {digest: layer for target in self._targets for digest, layer in target.copier.foreign.items()}
        if layers:
            first = next(iter(layers.values())).urls[0]
            count = "1 foreign layer was" if len(layers) == 1 else f"{len(layers)} foreign layers were"
            self._note(f"{count} not copied: clients get them from where the manifest says, such as {first}")

    def _note(self, *texts: str) -> None:
        self._notes += [text for text in texts if text not in self._notes]


def _state(previous: Digest | None, digest: Digest) -> Literal["unchanged", "moved", "new"]:
    """What becomes of a name."""
    return "unchanged" if previous == digest else "moved" if previous else "new"


def _is_changed(graph: Graph) -> bool:
    """Whether what is written is another manifest than the one that was read."""
    return graph.manifest.digest != graph.subjects[0].digest


def _explain(error: LadingError, title: str) -> None:
    """Say in an error for which of all tags it is, and what a tag that names nothing is."""
    if error.code == "manifest-not-found" and error.fields.get("reference") == title:
        error.message, error.code = f"{title} is listed, and there is nothing that it names", "tag-dangling"
        error.remedy = "keep going, and the others are copied all the same"
    elif title not in error.message:
        error.message = f"{title}: {error.message}"
    error.fields["source"] = title


def _each_once(referrers: Sequence[Referrer]) -> list[Referrer]:
    each: dict[tuple[Digest, str | None], Referrer] = {}
    for referrer in referrers:
        each.setdefault((referrer.content.digest, referrer.tag), referrer)
    return list(each.values())


def _is_same(first: Readable, second: Readable) -> bool:
    return first is second or (isinstance(first, HasSiblings) and first.is_same(second))


def _is_sibling(first: _Target, second: _Target) -> bool:
    return isinstance(first.store, HasSiblings) and first.store.is_sibling(second.store)


def _media_type(root: Descriptor | Digest, namings: Sequence[_Naming]) -> str:
    """The media type of content that was there already."""
    if isinstance(root, Descriptor):
        return root.media_type
    return next((now.media_type for naming in namings for now in naming.found.values()), "")
