"""Making a plan: both sides are listed at once, tags are chosen, and what they name is compared. It writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar

import msgspec

from lading.arguments import several
from lading.errors import Conflict, LadingError, NotFound, Unsupported, UsageError
from lading.io.tasks import Once, gather, task_group
from lading.mirror.config import Mirror, MirrorFile, OnMove
from lading.mirror.file import EVERYTHING
from lading.mirror.places import Places, check_writable
from lading.mirror.plan import HostLimits, Item, Leg, MirrorPlan, Policy, Trouble
from lading.mirror.rules import Patterns, Verdict, choose_tags, needs_times
from lading.mirror.state import KnownTag, State
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.platform import Platform
from lading.model.reference import is_tag
from lading.model.tags import is_fallback, subject_of
from lading.model.text import counted, moment
from lading.store import Readable, fetch_manifest, read_config
from lading.stores.location import parse_location
from lading.transfer.guard import find_named
from lading.transfer.place import is_digest
from lading.transfer.referrers import Finder
from lading.transfer.transform import Graph

T = TypeVar("T")
_ASKED = 64
"""How many questions are put at once; the limits of the hosts count besides."""
_SHOWN = 5


async def make_plan(
    places: Places, state: State, file: MirrorFile, *, only: Sequence[str] = (), state_name: str | None = None
) -> MirrorPlan:
    """Find out what a mirror file would change.

    Args:
        places: opens what it names.
        state: what earlier runs knew.
        file: the file.
        only: the names of the mirrors that count; all, if there are none.
        state_name: the name of the state.

    Raises:
        UsageError: there is no mirror of such a name.
    """
    return await Planner(places, state).plan(chosen_mirrors(file, only), file, state_name)


async def explain(places: Places, state: State, file: MirrorFile, only: Sequence[str]) -> dict[str, list[Verdict]]:
    """What the rules say of every tag of every source, by source.

    Raises:
        UsageError: there is no mirror of such a name.
        LadingError: a source cannot be listed.
    """
    planner = Planner(places, state)
    found: dict[str, list[Verdict]] = {}
    for mirror in chosen_mirrors(file, only):
        for source, _ in await planner.pairs(mirror):
            found[source] = await planner.verdicts(mirror, source, await planner.listed(source))
    return found


def chosen_mirrors(file: MirrorFile, only: Sequence[str]) -> list[Mirror]:
    """The mirrors of these names; all, if there are none.

    Raises:
        UsageError: there is none of a name.
    """
    mirrors = file.settled()
    names = [mirror.name for mirror in mirrors]
    for name in only:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            raise UsageError(
                f"there is no mirror called {name!r}",
                remedy=f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names[:_SHOWN])}",
            )
    return [mirror for mirror in mirrors if not only or mirror.name in only]


def policy_of(mirror: Mirror) -> Policy:
    """What goes along with each image of a mirror."""
    types = () if isinstance(mirror.referrers, bool) or mirror.referrers is None else mirror.referrers
    refers = bool(mirror.referrers)
    return Policy(
        referrers=refers,
        artifact_types=types,
        digest_tags=mirror.digest_tags if mirror.digest_tags is not None else refers,
        platforms=tuple(several(mirror.platforms or ())),
        sparse=bool(mirror.sparse),
    )


class Planner:
    """What asks both sides, each thing once.

    Args:
        places: opens them.
        state: what earlier runs knew.
    """

    def __init__(self, places: Places, state: State) -> None:
        self._places = places
        self._state = state
        self._asking = asyncio.Semaphore(_ASKED)
        self._once = Once(again=False)
        self._finders: dict[tuple[str, str], Finder] = {}
        self._troubles: list[Trouble] = []

    async def plan(self, mirrors: Sequence[Mirror], file: MirrorFile, state_name: str | None) -> MirrorPlan:
        """What these mirrors of a file would change."""
        hosts = {
            name: HostLimits(jobs=host.jobs, requests_per_second=host.requests_per_second, keep_pulls=host.keep_pulls)
            for name, host in file.hosts.items()
        }
        before = _sum(self._places.requests())
        with self._places.limited(hosts):
            legs = [leg for group in await gather(self._mirror(mirror) for mirror in mirrors) for leg in group]
        legs = self._without_twice(legs)
        return MirrorPlan(
            made=datetime.now(UTC),
            state=state_name,
            hosts=hosts,
            legs=tuple(legs),
            troubles=tuple(self._troubles),
            requests=_sum(self._places.requests()) - before,
            pulls_left=self._places.pulls_left(),
        )

    async def _mirror(self, mirror: Mirror) -> list[Leg]:
        """The legs of one mirror."""
        try:
            _check_done(mirror)
            pairs = await self.pairs(mirror)
        except LadingError as error:
            self._trouble(error, mirror, mirror.source)
            return []
        legs = [leg for legs in await gather(self._source(mirror, *pair) for pair in pairs) for leg in legs]
        if legs and not any(leg.chosen for leg in legs) and not mirror.optional:
            self._trouble(_nothing_chosen(mirror.source, "no repository has one like that"), mirror, mirror.source)
        return legs

    async def pairs(self, mirror: Mirror) -> list[tuple[str, tuple[str, ...]]]:
        """The sources of a mirror, each with its targets.

        Raises:
            NotFound: there is no repository below the path.
        """
        if not mirror.source.endswith(EVERYTHING):
            return [(mirror.source, tuple(several(mirror.to)))]
        above = mirror.source.removesuffix(EVERYTHING)
        reference = parse_location(f"{above}/any").reference
        assert reference is not None
        path = reference.repository.removesuffix("any")
        catalog = partial(self._places.repositories, reference.registry)
        found = [name for name in await self._asked([f"{above}/any"], catalog) if name.startswith(path)]
        if not found:
            raise NotFound(f"{reference.registry} has no repository below {path or '/'}", code="nothing-chosen")
        rest = [name.removeprefix(path) for name in sorted(found)]
        return [
            (f"{reference.registry}/{path}{name}", tuple(f"{target}/{name}" for target in several(mirror.to)))
            for name in rest
        ]

    async def _source(self, mirror: Mirror, source: str, targets: Sequence[str]) -> list[Leg]:
        """What goes from one source to its targets."""
        async with task_group() as group:
            choosing = group.create_task(self._tried(mirror, source, partial(self._chosen, mirror, source)))
            legs = [
                group.create_task(self._tried(mirror, target, partial(self._leg, mirror, source, target, choosing)))
                for target in targets
            ]
        return [found for leg in legs if (found := leg.result()) is not None]

    # The source

    async def listed(self, source: str) -> list[str]:
        """The tags of a source; of one that is a tag itself, that one."""
        location = parse_location(source)
        if location.is_named:
            return [location.pinned or location.own_tag or ""]
        return await self._once.do(("tags", source), lambda: self._asked([source], lambda: self._places.tags(source)))

    async def _chosen(self, mirror: Mirror, source: str) -> tuple[list[str], list[str]]:
        """All tags of a source, and the tags that the rules choose."""
        tags = await self.listed(source)
        verdicts = await self.verdicts(mirror, source, tags)
        chosen = [verdict.tag for verdict in verdicts if verdict.is_taken]
        if not chosen and not mirror.optional and not mirror.source.endswith(EVERYTHING):
            some = ", ".join(tags[:_SHOWN]) + (" …" if len(tags) > _SHOWN else "")
            raise _nothing_chosen(source, f"it has {counted(len(tags), 'tag')}: {some}" if tags else "it has no tags")
        return tags, chosen

    async def verdicts(self, mirror: Mirror, source: str, tags: Sequence[str]) -> list[Verdict]:
        """What the rules say of each tag."""
        if parse_location(source).is_named:
            return [Verdict(tag, is_taken=True, rule=None, because="is named in 'from'") for tag in tags]
        # The list of referrers is no image: as a tag it would take the place of the one in the target.
        takes = [pattern for pattern in several(mirror.tags) if not pattern.startswith("!")]
        made = {tag for tag in tags if is_fallback(tag) or (not takes and subject_of(tag) is not None)}
        others = [tag for tag in tags if tag not in made and is_tag(tag)]
        rules: dict[str, Any] = {
            "patterns": mirror.tags,
            "newest": mirror.newest,
            "newer_than": mirror.newer_than,
        }
        wanted = needs_times(others, **rules)
        times = dict(zip(wanted, await gather(self.created(source, tag) for tag in wanted), strict=True))
        verdicts = choose_tags(others, **rules, times=times, now=datetime.now(UTC))
        because = "is made of a digest: 'referrers' and 'digest-tags' say whether it goes along"
        for tag in tags:
            if tag in made or not is_tag(tag):
                said = because if tag in made else "is another name than a tag"
                verdicts.append(Verdict(tag, is_taken=False, rule=None, because=said))
        return verdicts

    async def created(self, source: str, tag: str) -> datetime | None:
        """When the image of a tag was made: two requests for a digest that is new, and one for any other."""
        digest = (await self._named(source, tag)).digest
        known = self._state.created([digest])
        if digest in known:
            return known[digest]

        async def read() -> datetime | None:
            store = await self._places.read(source)
            manifest = await fetch_manifest(store, digest)
            if isinstance(manifest, Index):
                if not manifest.images:
                    return None
                manifest = await fetch_manifest(store, manifest.images[0].content)
            config = None if isinstance(manifest, Index) else await read_config(store, manifest)
            return moment(config.created) if config is not None else None

        made = await self._once.do(("created", digest), lambda: self._asked([source], read))
        self._state.learn_created(digest, made)
        return made

    async def _named(self, source: str, tag: str) -> Descriptor:
        """What a tag of a source names; it is asked for once."""

        async def find() -> Descriptor:
            return await (await self._places.read(source)).resolve(tag)

        found: Descriptor = await self._once.do(("named", source, tag), lambda: self._asked([source], find))
        return found

    async def _result(self, source: str, tag: str, origin: Digest, policy: Policy) -> Digest:
        """What a target gets of a manifest; where platforms are chosen, that is read, once."""
        if not policy.how:
            return origin
        known = self._state.made(origin, policy.how)
        if known is not None:
            return known

        async def read() -> Digest:
            from lading.images.platforms import only

            store = await self._places.read(source)
            manifest = await fetch_manifest(store, origin)
            async with AsyncExitStack() as resources:
                graph = Graph.of(store, manifest, f"{store.name}:{tag}", resources)
                changed = await only([Platform.parse(one) for one in policy.platforms])(graph)
                return changed.manifest.digest

        made: Digest = await self._once.do(("made", origin, policy.how), lambda: self._asked([source], read))
        self._state.learn_made(origin, policy.how, made)
        return made

    # The targets

    async def _leg(
        self, mirror: Mirror, source: str, target: str, choosing: asyncio.Task[tuple[list[str], list[str]] | None]
    ) -> Leg | None:
        check_writable(parse_location(target))
        policy, known = policy_of(mirror), self._state.tags(target_key(target))
        side = _Side(mirror, source, target, policy, known)
        if not side.is_one and not known:
            side.there = set(await self.listed_there(target))  # while the source is listed
        found = await choosing
        if found is None:
            return None
        tags, chosen = found
        if side.there is None and not side.is_one and side.is_worth_a_list(chosen, self._state):
            side.there = set(await self.listed_there(target))
        items = await gather(self._tag(side, tag) for tag in chosen)
        kept = [item for item in items if item is not None]
        return Leg(
            mirror=mirror.name,
            source=place_of(source),
            target=place_of(target),
            policy=policy,
            items=(*kept, *(() if side.is_one else self._gone(side, set(tags)))),
            chosen=len(chosen),
        )

    async def listed_there(self, target: str) -> list[str]:
        """The tags of a target; none where it does not exist."""
        return await self._asked([target], lambda: self._places.tags_there(target))

    async def _tag(self, side: _Side, tag: str) -> Item | None:
        """What becomes of one tag; None where that could not be found out, which is said."""
        name = side.name_of(tag)
        try:
            return await self._compared(side, tag, name)
        except LadingError as error:
            if isinstance(error, NotFound) and error.code == "manifest-not-found":
                error.message, error.code = f"{side.source}:{tag} is listed, and there is nothing there", "tag-dangling"
            self._trouble(error, side.mirror, side.title(name))
            return None

    async def _compared(self, side: _Side, tag: str, name: str) -> Item:
        known = side.known.get(name)
        if known is not None and side.is_settled(tag, name, known, self._state):
            item = Item(tag=name, state="unchanged", digest=known.digest, original=_other(known), previous=known.digest)
        else:
            async with task_group() as group:
                looking = group.create_task(self._found(side, name))
                origin = await self._origin(side.source, tag)
            found = looking.result()
            digest = await self._result(side.source, tag, origin, side.policy)
            item = self._judged(side, name, origin, digest, found)
        if item.state == "unchanged" and side.policy.what_refers and await self._has_news(side, item):
            return msgspec.structs.replace(item, state="referrers")
        return item

    async def _origin(self, source: str, tag: str) -> Digest:
        return Digest(tag) if is_digest(tag) else (await self._named(source, tag)).digest

    async def _found(self, side: _Side, name: str) -> Digest | None:
        """What a tag names at the target; where all tags were listed, only that of one that was is asked for."""
        if side.there is not None and not is_digest(name) and name not in side.there:
            return None

        async def find() -> Digest | None:
            try:
                store = await self._places.read(side.target)
            except NotFound:
                return None  # a layout that is not there yet
            found = await find_named(store, name)
            return found.digest if found is not None else None

        return await self._asked([side.target], find)

    def _judged(self, side: _Side, name: str, origin: Digest, digest: Digest, found: Digest | None) -> Item:
        original = origin if origin != digest else None
        item = Item(tag=name, state="unchanged", digest=digest, original=original, previous=found)
        if found == digest:
            return item
        if found is None:
            return msgspec.structs.replace(item, state="new")
        on_move = side.mirror.on_move or OnMove("replace")
        if on_move.action == "fail":
            raise Conflict(
                f"{side.title(name)} names something else than the source, and is not to move",
                cause=f"it names {found}, the source has {digest}",
                remedy="see which of them is right; on-move = 'replace' takes what the source has",
                code="tag-moved",
            )
        if on_move.action == "keep":
            return msgspec.structs.replace(item, state="kept", because="it is not to move")
        return msgspec.structs.replace(item, state="moved", backup=on_move.backup_tag(name) or None)

    def _gone(self, side: _Side, tags: set[str]) -> Iterator[Item]:
        """The tags of the target that the source has no longer, as far as this mirror brought them."""
        for name, known in sorted(side.known.items()):
            if (
                (side.there is None or name in side.there)
                and name not in tags
                and known.source == place_of(side.source)
            ):
                yield Item(tag=name, state="vanished", previous=known.digest, since=known.vanished)

    async def _has_news(self, side: _Side, item: Item) -> bool:
        """Whether something refers to an image now that may not be at the target."""
        assert item.digest is not None
        source_digest = item.original or item.digest
        known = self._state.referrers(target_key(side.target), source_digest, side.policy.what_refers)
        if known is None:
            return True
        subjects, mark = known
        key = (side.source, side.policy.what_refers)

        async def look() -> str:
            if key not in self._finders:
                names = None if side.is_one else await self.listed(side.source)
                self._finders[key] = finder_of(await self._places.read(side.source), side.policy, names)
            found = await self._finders[key].of([Descriptor(digest=subject, size=0) for subject in subjects])
            return mark_of(found)

        now: str = await self._once.do(("refers", *key, source_digest), lambda: self._asked([side.source], look))
        return now != mark

    # What goes wrong

    async def _tried(self, mirror: Mirror, reference: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        try:
            return await work()
        except LadingError as error:
            self._trouble(error, mirror, reference)
            return None

    def _trouble(self, error: LadingError, mirror: Mirror, reference: str) -> None:
        self._troubles.append(Trouble.of(error, mirror.name, reference))

    async def _asked(self, locations: Sequence[str], work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._asking:
            return await self._places.asked(locations, work)

    def _without_twice(self, legs: Sequence[Leg]) -> list[Leg]:
        """The legs without the tags that several of them would write, which are said."""
        writers: dict[tuple[str, str], list[str]] = {}
        for leg in legs:
            for item in leg.items:
                if item.state != "vanished":
                    writers.setdefault((target_key(leg.target), item.tag), []).append(f"{leg.mirror} ({leg.source})")
        twice = {key: names for key, names in writers.items() if len(names) > 1}
        for (target, tag), names in twice.items():
            title = _title(target, tag)
            error = Conflict(
                f"{title} would be written by {len(names)} entries, and is written by none",
                cause=", ".join(names),
                remedy="choose other tags in one of them, or another target",
                code="tag-written-twice",
            )
            self._troubles.append(Trouble.of(error, names[0].partition(" (")[0], title))
        return [
            msgspec.structs.replace(
                leg, items=tuple(item for item in leg.items if (target_key(leg.target), item.tag) not in twice)
            )
            for leg in legs
        ]


class _Side:
    """One target of a source, and what is known of it."""

    def __init__(
        self,
        mirror: Mirror,
        source: str,
        target: str,
        policy: Policy,
        known: Mapping[str, KnownTag],
    ) -> None:
        self.mirror = mirror
        self.source = source
        self.target = target
        self.policy = policy
        self.there: set[str] | None = None
        """The tags at the target; None where they were not listed, and each is asked for."""
        self.known = known
        """What earlier runs knew of them."""
        self.is_one: bool = parse_location(source).is_named
        self._immutable = Patterns(mirror.immutable) if mirror.immutable else None

    def name_of(self, tag: str) -> str:
        """What a tag of the source is called at the target."""
        target, source = parse_location(self.target), parse_location(self.source)
        if target.is_named:
            return target.own_tag or tag
        return (is_digest(tag) and source.own_tag) or tag

    def title(self, name: str) -> str:
        """What a tag of the target is called in messages."""
        return _title(place_of(self.target), name)

    def is_settled(self, tag: str, name: str, known: KnownTag, state: State) -> bool:
        """Whether a tag need not be asked for: it never moves, and is at the target as it was mirrored."""
        if self.there is None or name not in self.there:
            return False
        return self._need_not_be_asked(tag, known, state)

    def is_worth_a_list(self, chosen: Sequence[str], state: State) -> bool:
        """Whether a list of the target's tags saves questions: of tags that are new, or that never move."""
        known = {tag: self.known.get(self.name_of(tag)) for tag in chosen}
        return any(one is None or self._need_not_be_asked(tag, one, state) for tag, one in known.items())

    def _need_not_be_asked(self, tag: str, known: KnownTag, state: State) -> bool:
        if self._immutable is None or known.source != place_of(self.source):
            return False
        result = state.made(known.origin, self.policy.how) if self.policy.how else known.origin
        return result == known.digest and self._immutable.judge(tag).is_taken


def finder_of(store: Readable, policy: Policy, names: Sequence[str] | None = None) -> Finder:
    """What finds the referrers that a policy takes along; `names` are all tags, where these were listed."""
    return Finder(store, policy.artifact_types, lists=policy.referrers, tags=policy.digest_tags, names=names)


def mark_of(found: Sequence[Any]) -> str:
    """A mark of referrers: it is another one where something is new."""
    return Digest.of("\n".join(sorted(f"{one.content.digest} {one.tag or ''}" for one in found)).encode())


def place_of(location: str) -> str:
    """The repository, layout or archive of a location, without a tag or digest."""
    return parse_location(location).place


def target_key(location: str) -> str:
    """What a target is called in the state, from wherever it is looked at."""
    return parse_location(location).absolute().place


def _nothing_chosen(source: str, cause: str) -> LadingError:
    return LadingError(
        f"no tag of {source} is chosen",
        cause=cause,
        remedy="say other 'tags', or optional = true if that is all right",
        code="nothing-chosen",
    )


def _title(place: str, name: str) -> str:
    return f"{place}{'@' if is_digest(name) else ':'}{name}"


def _other(known: KnownTag) -> Digest | None:
    return known.origin if known.origin != known.digest else None


def _sum(requests: Mapping[str, Mapping[str, int]]) -> int:
    return sum(number for methods in requests.values() for method, number in methods.items() if method != "limited")


def _check_done(mirror: Mirror) -> None:
    """Refuse what is not done yet, before anything of it is mirrored.

    Raises:
        Unsupported: signatures are to be verified.
    """
    if mirror.verify is not None:
        raise Unsupported(
            f"nothing is mirrored of {mirror.name}: signatures are not verified yet",
            remedy="take 'verify' out of the file, or mirror it by other means",
            code="verify-not-done",
        )
