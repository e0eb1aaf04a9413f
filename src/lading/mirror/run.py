"""Carrying a plan out: many images at once, each blob once for each registry, and each tag as the plan saw it.

It copies by `transfer.operation`, and deletes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import msgspec

from lading.errors import (
    Denied,
    InvalidContent,
    LadingError,
    NotFound,
    RateLimited,
    RegistryFailure,
    Unreachable,
    UsageError,
)
from lading.io.tasks import Limits, Once, gather
from lading.mirror.config import Amount
from lading.mirror.places import Places, host_of
from lading.mirror.plan import CHANGES, Item, Leg, MirrorPlan, Policy, Trouble
from lading.mirror.planning import finder_of, mark_of, target_key
from lading.mirror.report import ItemReport, MirrorReport, Outcome, counts_of
from lading.mirror.state import State
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.platform import Platform
from lading.store import Readable, Store
from lading.stores.location import parse_location
from lading.transfer.events import Meter, OnEvent
from lading.transfer.graph import Copier
from lading.transfer.guard import Guard
from lading.transfer.operation import copy
from lading.transfer.place import Place, is_digest
from lading.transfer.referrers import Finder
from lading.transfer.report import CopyOptions, CopyReport
from lading.transfer.shelf import Shelf
from lading.transfer.transform import Transform

_IMAGES = 16
"""How many images are copied at once; the limits of the hosts count besides."""
_BLOBS = 16
OnItem = Callable[[ItemReport], None]
"""Is told what became of a tag, as soon as that is known."""


class Shard(msgspec.Struct, frozen=True):
    """One part of several that a mirror is divided into, by target repository."""

    number: int
    """From 0 on."""
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `I/N`.

        Raises:
            UsageError: it is none.
        """
        number, _, of = text.partition("/")
        if not (number.isdigit() and of.isdigit() and len(text) < 12 and int(number) < int(of)):
            raise UsageError(f"{text!r} is no shard", remedy="write I/N, such as 0/4, 1/4, 2/4 and 3/4 for four")
        return cls(int(number), int(of))

    def has(self, target: str) -> bool:
        """Whether a target is in it."""
        return int.from_bytes(hashlib.sha256(target.encode()).digest()[:8], "big") % self.of == self.number


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What of a plan is carried out, and how far."""

    only: tuple[str, ...] = ()
    """The names of the mirrors that count; all, if there are none."""
    shard: Shard | None = None
    targets: frozenset[tuple[str, str]] | None = None
    """By mirror, the tags at targets that count; None for all."""
    max_failures: Amount | None = None
    """How many tags may fail before the rest is left."""

    def of(self, plan: MirrorPlan) -> MirrorPlan:
        """The part of a plan that is carried out.

        Raises:
            UsageError: it has no mirror of a name.
        """
        names = {leg.mirror for leg in plan.legs} | {trouble.mirror for trouble in plan.troubles}
        for name in self.only:
            if name not in names:
                raise UsageError(f"the plan has no mirror called {name!r}")
        legs = [leg for leg in plan.legs if not self.only or leg.mirror in self.only]
        if self.shard is not None:
            legs = [leg for leg in legs if self.shard.has(leg.target)]
        if self.targets is not None:
            wanted = self.targets
            legs = [
                msgspec.structs.replace(
                    leg, items=tuple(item for item in leg.items if (leg.mirror, title(leg, item.tag)) in wanted)
                )
                for leg in legs
            ]
        troubles = tuple(
            trouble
            for trouble in plan.troubles
            if (not self.only or trouble.mirror in self.only)
            and (self.targets is None or (trouble.mirror, trouble.reference) in self.targets)
        )
        return msgspec.structs.replace(plan, legs=tuple(legs), troubles=troubles)


class Run:
    """One run of a plan.

    Args:
        places: opens what the plan names.
        state: where runs leave what later ones need.
        plan: the plan, or the part of it that is carried out.
        max_failures: how many tags may fail before the rest is left; None for any number.
        on_event: is told what is copied.
        on_item: is told what became of each tag.
    """

    def __init__(
        self,
        places: Places,
        state: State,
        plan: MirrorPlan,
        *,
        max_failures: Amount | None = None,
        on_event: OnEvent | None = None,
        on_item: OnItem | None = None,
    ) -> None:
        self._places = places
        self._state = state
        self._plan = plan
        self._on_item = on_item or (lambda _: None)
        self._started = datetime.now(UTC)
        self._before = places.requests()
        self._limits, self._meter = Limits(_BLOBS), Meter(on_event)
        self._once: dict[int, Once] = {}
        self._shelves: dict[str, Shelf] = {}
        self._finders: dict[tuple[int, str], Finder] = {}
        self._items: list[ItemReport] = []
        total = sum(item.state in CHANGES for _, item in plan.items())
        self._may_fail = max_failures.of(total) if max_failures is not None else None
        self._failed = 0

    async def run(self) -> None:
        """Do all of it; what fails leaves the rest to be done."""
        for trouble in self._plan.troubles:
            self._tell(
                ItemReport(mirror=trouble.mirror, source="", target=trouble.reference, outcome="failed", error=trouble)
            )
        with self._state.together():
            for leg in self._plan.legs:
                begun = self._state.begun(target_key(leg.target))
                for item in leg.items:
                    if item.state not in CHANGES:
                        self._leave(leg, item, begun)
        images = asyncio.Semaphore(_IMAGES)

        async def one(job: list[_Part]) -> None:
            async with images:
                await self._image(job)

        with self._places.limited(self._plan.hosts):
            await self._ask_for_limits()
            await gather(one(job) for job in self._jobs())

    def report(self, *, interrupted: bool = False) -> MirrorReport:
        """What was done so far; of what was not, that it was skipped."""
        told = {(item.mirror, item.target) for item in self._items}
        left = [
            _report(leg, item, "skipped")
            for leg, item in self._plan.items()
            if (leg.mirror, title(leg, item.tag)) not in told
        ]
        places = {(leg.mirror, title(leg, item.tag)): at for at, (leg, item) in enumerate(self._plan.items())}
        items = sorted([*self._items, *left], key=lambda item: places.get((item.mirror, item.target), -1))
        counts = counts_of(items)
        bad = counts["failed"] + counts["skipped"]
        report = MirrorReport(
            started=self._started,
            ended=datetime.now(UTC),
            outcome=(
                "interrupted" if interrupted else "done" if not bad else "failed" if bad == len(items) else "partial"
            ),
            counts=counts,
            bytes_written=sum(item.bytes for item in items),
            bytes_mounted=sum(item.mounted for item in items),
            requests=_since(self._before, self._places.requests()),
            plan_requests=self._plan.requests,
            pulls_left=self._places.pulls_left(),
            items=tuple(items),
        )
        mirrors: dict[str, list[ItemReport]] = {}
        for item in items:
            mirrors.setdefault(item.mirror, []).append(item)
        for mirror, of_mirror in mirrors.items():
            own = counts_of(of_mirror)
            good = not own["failed"] and not own["skipped"]
            ended = "interrupted" if interrupted and not good else "done" if good else "failed"
            self._state.ran(mirror, report.started, report.ended, ended, own)
        return report

    def _leave(self, leg: Leg, item: Item, begun: Mapping[str, Digest]) -> None:
        """Note what needs nothing to be done."""
        if item.state == "unchanged" and item.digest is not None and item.source_digest is not None:
            key = target_key(leg.target)
            ours = begun.get(item.tag) == item.digest  # a run died before it could say so
            self._state.saw(key, item.tag, leg.source, item.source_digest, item.digest, written=ours)
            if item.tag in begun:
                self._state.end(key, item.tag)
        elif item.state == "vanished":
            self._state.vanished(target_key(leg.target), item.tag)
        self._tell(_report(leg, item, item.state))

    def _jobs(self) -> Iterator[list[_Part]]:
        """The images of each mirror, by digest: each with the parts of targets that get the image."""
        jobs: dict[tuple[str, str, Policy, Digest], list[_Part]] = {}
        for leg in self._plan.legs:
            digests: dict[Digest, list[Item]] = {}
            for item in leg.items:
                if item.state in CHANGES and item.source_digest is not None:
                    digests.setdefault(item.source_digest, []).append(item)
            for digest, items in digests.items():
                jobs.setdefault((leg.mirror, leg.source, leg.policy, digest), []).append(_Part(leg, digest, items))
        yield from jobs.values()

    async def _image(self, job: Sequence[_Part]) -> None:
        """Copy one image to its targets, one after another: all but the first get it from the first."""
        done: _Part | None = None
        for part in job:
            if self._may_fail is not None and self._failed > self._may_fail:
                return
            ended = time.monotonic()
            try:
                report = await self._part(part, done)
            except LadingError as error:
                self._failures(part, error, ended)
                continue
            done = done or part
            for at, item in enumerate(part.items):
                self._tell(
                    msgspec.structs.replace(
                        _report(part.leg, item, item.state),
                        bytes=report.copied.bytes if at == 0 else 0,
                        mounted=report.copied.mounted_bytes if at == 0 else 0,
                        seconds=round(time.monotonic() - ended, 3),
                    )
                )

    async def _part(self, part: _Part, done: _Part | None) -> CopyReport:
        """Copy one image to one target."""
        leg = part.leg
        if done is not None:
            # One read, several writes: what is at the first target need not be read from the source again.
            result = done.items[0].digest or part.digest
            policy = msgspec.structs.replace(leg.policy, platforms=leg.policy.platforms if leg.policy.sparse else ())
            with suppress(Denied, InvalidContent, NotFound, RegistryFailure, Unreachable):
                return await self._places.asked(
                    [done.leg.target, leg.target], partial(self._copied, part, done.leg.target, result, policy)
                )
        return await self._places.asked(
            [leg.source, leg.target], partial(self._copied, part, leg.source, part.digest, leg.policy)
        )

    async def _copied(self, part: _Part, source: str, digest: Digest, policy: Policy) -> CopyReport:
        key = target_key(part.leg.target)
        origin = await self._places.read(source)
        target = await self._places.write(part.leg.target)
        tags = [item.tag for item in part.items if not is_digest(item.tag)]
        for item in part.items:
            self._state.begin(key, item.tag, item.digest)
        try:
            await self._back_up(part, target)
            finder = self._finder(origin, policy)
            options = CopyOptions(
                tags=tuple(tags[1:]),
                transforms=_transforms(policy),
                referrers=bool(policy.what_refers),
                guard=Guard(steady=True),
                known={item.tag: _named(item) for item in part.items if not is_digest(item.tag)},
            )
            report = await copy(
                Place(origin, digest),
                [Place(target, tags[0] if tags else str(digest))],
                options,
                copiers=[self._copier(target, part.leg.target)],
                finder=finder,
            )
        except LadingError as error:
            if not isinstance(error, Unreachable):  # else it may have been done, and nobody heard of it
                for item in part.items:
                    self._state.end(key, item.tag)
            raise
        for item in part.items:
            assert item.digest is not None
            written = item.state != "referrers"
            self._state.saw(key, item.tag, part.leg.source, part.digest, item.digest, written=written)
            self._state.end(key, item.tag)
        self._note_referrers(part, source, finder)
        return report

    def _note_referrers(self, part: _Part, source: str, finder: Finder) -> None:
        """Keep what was found to refer to an image, and is at the target now."""
        how = part.leg.policy.what_refers
        if not how:
            return
        known = self._state.referrers(target_key(source), part.digest, how)
        if source == part.leg.source and part.digest in finder.found:
            subjects, found = finder.found[part.digest]
            known = subjects, mark_of(found)
        if known is not None:
            self._state.learn_referrers(target_key(part.leg.target), part.digest, how, *known)

    async def _back_up(self, part: _Part, target: Store) -> None:
        """Give what tags name now other tags, before they move."""
        for item in part.items:
            if item.backup is not None and item.previous is not None:
                options = CopyOptions(referrers=False)
                await copy(Place(target, item.previous), [Place(target, item.backup)], options)

    def _copier(self, target: Store, location: str) -> Copier:
        """What copies one image into a target, and knows what the others have brought to it and to its registry."""
        host = host_of(location)
        shelf = self._shelf(host) if host is not None else None
        once = self._once.setdefault(id(target), Once())
        return Copier(target, limits=self._limits, meter=self._meter, once=once, shelf=shelf)

    def _shelf(self, host: str) -> Shelf:
        if host not in self._shelves:

            def recall(digest: Digest) -> Store | None:
                name = self._state.home(host, digest)
                return self._repository(f"{host}/{name}") if name is not None else None

            def brought(digest: Digest, store: Store) -> None:
                self._state.shelved(host, digest, store.name.partition("/")[2])

            self._shelves[host] = Shelf(recall, brought)
        return self._shelves[host]

    def _repository(self, name: str) -> Store | None:
        from lading.registry.repository import Repository

        reference = parse_location(name).reference
        return Repository(self._places.session, reference.registry, reference.repository) if reference else None

    def _finder(self, source: Readable, policy: Policy) -> Finder:
        key = (id(source), policy.what_refers)
        if key not in self._finders:
            self._finders[key] = finder_of(source, policy)
        return self._finders[key]

    async def _ask_for_limits(self) -> None:
        """Ask hosts how many pulls are left, where some are to be kept and none has said so: one request each."""
        for name, limits in self._plan.hosts.items():
            if limits.keep_pulls is None or self._places.session.tally(name).pulls_left is not None:
                continue
            first = next((job[0] for job in self._jobs() if host_of(job[0].leg.source) == name), None)
            if first is not None:
                with suppress(LadingError):
                    await (await self._places.read(first.leg.source)).resolve(first.digest)

    # What is said

    def _failures(self, part: _Part, error: LadingError, begun: float) -> None:
        """Tell what failed of an image; where the host has no pulls to spare, it only waits for the next run."""
        waits = isinstance(error, RateLimited) and error.code == "pulls-kept"
        if isinstance(error, NotFound) and error.code == "manifest-not-found":
            error.remedy = "make the plan again: the source has something else now"
        for item in part.items:
            name = title(part.leg, item.tag)
            self._failed += not waits
            report = _report(part.leg, item, "skipped" if waits else "failed")
            trouble = Trouble.of(error, part.leg.mirror, name)
            seconds = round(time.monotonic() - begun, 3)
            self._tell(msgspec.structs.replace(report, error=trouble, seconds=seconds))

    def _tell(self, item: ItemReport) -> None:
        self._items.append(item)
        self._on_item(item)


class _Part(msgspec.Struct, frozen=True):
    """An image and the tags that it gets at one target."""

    leg: Leg
    digest: Digest
    """That of the source."""
    items: list[Item]


def title(leg: Leg, tag: str) -> str:
    """The name of a tag at the target of a leg."""
    return f"{leg.target}{'@' if is_digest(tag) else ':'}{tag}"


def _report(leg: Leg, item: Item, outcome: Outcome) -> ItemReport:
    return ItemReport(
        mirror=leg.mirror,
        source=leg.source,
        target=title(leg, item.tag),
        outcome=outcome,
        digest=item.digest,
        previous=item.previous,
    )


def _named(item: Item) -> Descriptor | None:
    """What the plan saw that a tag names."""
    return Descriptor(digest=item.previous, size=0) if item.previous is not None else None


def _transforms(policy: Policy) -> tuple[Transform, ...]:
    if not policy.platforms:
        return ()
    from lading.images.platforms import only

    return (only([Platform.parse(one) for one in policy.platforms], sparse=policy.sparse),)


def _since(before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """How many requests there were since then; hosts that got none are left out."""
    found = {
        host: {method: number - before.get(host, {}).get(method, 0) for method, number in methods.items()}
        for host, methods in now.items()
    }
    return {host: methods for host, methods in found.items() if any(methods.values())}
