"""Deleting at targets: what a source has no longer, and what a rule does not retain. In doubt, nothing is deleted.

A deletion is planned first, and each tag has to name then what the plan saw. It takes a tag away, and a manifest only
where the registry removes no tags, nothing else names or lists the manifest, and nothing refers to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, Protocol

import msgspec

from lading.arguments import several
from lading.errors import Conflict, LadingError, Unsupported
from lading.io.tasks import gather
from lading.mirror.config import Amount, Mirror, MirrorFile, Newest, Prune, Retain
from lading.mirror.places import Places
from lading.mirror.plan import Trouble, exit_code_of
from lading.mirror.planning import Planner, chosen_mirrors, place_of, target_key
from lading.mirror.rules import Patterns, Verdict, retained
from lading.mirror.state import KnownTag, State
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.tags import subject_of
from lading.model.text import counted
from lading.results import Deletion
from lading.stores.location import Location, parse_location

_DEFAULT = Prune()


class Untag(Protocol):
    """Removes a tag, such as `AsyncClient.untag`."""

    def __call__(self, reference: Location, *, if_digest: str | None = None) -> Awaitable[None]:
        """Remove it only if it names this digest."""


class Delete(Protocol):
    """Deletes a manifest, such as `AsyncClient.delete`."""

    def __call__(self, reference: Location, *, if_digest: str | None = None) -> Awaitable[Deletion]:
        """Delete it only if the tag names this digest."""


class Foresee(Protocol):
    """Tells what deleting a manifest would take, such as `AsyncClient.deletion`."""

    def __call__(self, reference: Location) -> Awaitable[Deletion]:
        """The tags that name it, the indexes that list it, and what refers to it."""


class PruneItem(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A tag at a target that goes, or that stays though its source has it no longer."""

    mirror: str
    target: str
    """The location of the repository or layout."""
    tag: str
    goes: bool
    """Whether it is deleted."""
    because: str
    """Why, in words that go on from the tag."""
    digest: Digest | None = None
    """What it names; it is deleted only if it still does."""


class PrunePlan(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What is going to be deleted."""

    made: datetime
    state: str | None = None
    """The name of the state that it goes with."""
    items: tuple[PruneItem, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    """Where nothing is deleted because something is in doubt."""

    @property
    def going(self) -> tuple[PruneItem, ...]:
        """The tags that are deleted."""
        return tuple(item for item in self.items if item.goes)


class Pruned(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tag that was to be deleted."""

    mirror: str
    target: str
    """The name of the tag."""
    digest: Digest
    outcome: Literal["deleted", "failed", "planned"]
    """`planned`: in a dry run, it would be deleted."""
    because: str
    error: Trouble | None = None


class PruneReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted."""

    document_fields: ClassVar[tuple[str, ...]] = ("items", "kept", "troubles", "dry_run")

    items: tuple[Pruned, ...]
    kept: tuple[PruneItem, ...] = ()
    """What stays though its source has it no longer."""
    troubles: tuple[Trouble, ...] = ()
    """Where nothing was deleted because something was in doubt."""
    dry_run: bool = False

    @property
    def failures(self) -> list[Trouble]:
        """All that went wrong."""
        return [*self.troubles, *(item.error for item in self.items if item.error is not None)]

    @property
    def exit_code(self) -> int:
        """0 where nothing went wrong; the exit code of what did, where that is of one kind; else 1."""
        return exit_code_of([trouble.exit for trouble in self.failures])


async def plan_prune(
    places: Places,
    state: State,
    file: MirrorFile,
    *,
    only: Sequence[str] = (),
    max: Amount | None = None,
    state_name: str | None = None,
) -> PrunePlan:
    """Find out what a mirror file has deleted at targets.

    Args:
        places: opens what it names.
        state: what earlier runs knew.
        file: the file.
        only: the names of the mirrors that count; all, if there are none.
        max: the most that goes of a repository, in place of what the file says.
        state_name: the name of the state.

    Raises:
        UsageError: there is no mirror of such a name.
    """
    pruner = _Pruner(places, state, max)
    mirrors = [one for one in chosen_mirrors(file, only) if one.prune is not None or one.retain]
    await pruner.prune(mirrors, file.settled() if mirrors else ())
    return PrunePlan(
        made=datetime.now(UTC), state=state_name, items=tuple(pruner.items), troubles=tuple(pruner.troubles)
    )


def planned(plan: PrunePlan) -> PruneReport:
    """What a plan would do."""
    items = tuple(
        Pruned(
            mirror=item.mirror,
            target=f"{item.target}:{item.tag}",
            digest=item.digest,
            outcome="planned",
            because=item.because,
        )
        for item in plan.going
        if item.digest is not None
    )
    kept = tuple(item for item in plan.items if not item.goes)
    return PruneReport(items=items, kept=kept, troubles=plan.troubles, dry_run=True)


async def prune(plan: PrunePlan, state: State, untag: Untag, delete: Delete, foresee: Foresee) -> PruneReport:
    """Delete what a plan says, one tag after another; what fails leaves the rest to be done.

    Args:
        plan: the plan.
        state: where it is kept what is there.
        untag: removes a tag.
        delete: deletes a manifest.
        foresee: tells what that would take.
    """
    done: list[Pruned] = []
    for item in plan.going:
        location = parse_location(item.target).with_tag(item.tag)
        assert item.digest is not None
        error: LadingError | None = None
        try:
            await _remove(location, item.digest, untag, delete, foresee)
        except LadingError as failure:
            error = failure
        else:
            state.forget(target_key(item.target), item.tag)
        done.append(
            Pruned(
                mirror=item.mirror,
                target=str(location),
                digest=item.digest,
                outcome="deleted" if error is None else "failed",
                because=item.because,
                error=Trouble.of(error, item.mirror, str(location)) if error is not None else None,
            )
        )
    kept = tuple(item for item in plan.items if not item.goes)
    return PruneReport(items=tuple(done), kept=kept, troubles=plan.troubles)


async def _remove(location: Location, digest: Digest, untag: Untag, delete: Delete, foresee: Foresee) -> None:
    """Take a tag away, and nothing else.

    Raises:
        Conflict: it names something else now; or where no tags are removed, something else would go or break.
    """
    try:
        await untag(location, if_digest=digest)
    except Unsupported:
        taken = await foresee(location)
        others = sorted(set(taken.tags) - {location.own_tag})
        reasons = [
            f"{', '.join(others)} would go with it" if others else "",
            f"{', '.join(taken.listed_in)} would break" if taken.listed_in else "",
            f"{counted(len(taken.referrers), 'referrer')} would refer to nothing" if taken.referrers else "",
        ]
        if any(reasons):
            raise Conflict(
                f"{location} stays: the registry removes no tags, but only whole manifests",
                cause="; ".join(filter(None, reasons)),
                remedy="delete these, too, or have them kept",
                code="deletion-takes-more",
            ) from None
        await delete(location, if_digest=digest)


class _Pruner:
    def __init__(self, places: Places, state: State, max: Amount | None) -> None:
        self._planner = Planner(places, state)
        self._places = places
        self._state = state
        self._max = max
        self.items: list[PruneItem] = []
        self.troubles: list[Trouble] = []

    async def prune(self, mirrors: Sequence[Mirror], every: Sequence[Mirror]) -> None:
        """Plan what goes.

        Args:
            mirrors: those that delete.
            every: all of the file: what one of them brings to a target is not for another to delete.
        """
        pairs: list[tuple[Mirror, str, str]] = []
        for mirror in every:
            try:
                found = await self._planner.pairs(mirror)
            except LadingError as error:
                # What it brings where is not known, then, and anything could be that.
                self.troubles.append(Trouble.of(error, mirror.name, mirror.source))
                return
            pairs += [(mirror, source, target) for source, targets in found for target in targets]
        for mirror, source, target in pairs:
            if mirror not in mirrors or parse_location(source).is_named:
                continue
            others = [pair[:2] for pair in pairs if pair[0] is not mirror and target_key(pair[2]) == target_key(target)]
            try:
                self.items += await self._target(mirror, source, target, others)
            except LadingError as error:
                self.troubles.append(Trouble.of(error, mirror.name, target))

    async def _target(
        self, mirror: Mirror, source: str, target: str, others: Sequence[tuple[Mirror, str]]
    ) -> list[PruneItem]:
        """What goes of one target, and what stays though it is gone from the source.

        Raises:
            LadingError: a side cannot be listed, or something is in doubt.
        """
        tags = await self._planner.listed(source)
        if not tags:
            raise _doubt(f"{source} has no tags at all: nothing is deleted at {target}", "source-empty")
        mirrored: set[str] = set()
        for one, where in [(mirror, source), *others]:
            verdicts = await self._planner.verdicts(one, where, await self._planner.listed(where))
            mirrored.update(verdict.tag for verdict in verdicts if verdict.is_taken)
            places = [parse_location(text) for text in several(one.to)]
            mirrored.update(place.own_tag or "" for place in places if place.is_named)
        there = [tag for tag in await self._planner.listed_there(target) if subject_of(tag) is None]
        known = self._state.tags(target_key(target))
        # What another source brought is not gone from this one.
        mine = [tag for tag in there if tag not in known or known[tag].source == place_of(source)]
        ours = {tag: one for tag, one in known.items() if one.source == place_of(source)}
        allowed = self._max or (mirror.prune or _DEFAULT).max
        items, named = await self._not_retained(mirror, target, there, mirrored)
        mine = [tag for tag in mine if tag not in named]
        items += await self._vanished(mirror, source, target, set(tags) | mirrored, mine, ours, allowed)
        items.sort(key=lambda item: item.tag)
        going = sum(item.goes for item in items)
        if going > allowed.of(len(there)):
            raise _doubt(
                f"{going} of the {counted(len(there), 'tag')} of {target} would go, and at most {allowed} may:"
                " nothing is deleted there",
                "too-much-to-prune",
            )
        return items

    async def _vanished(
        self,
        mirror: Mirror,
        source: str,
        target: str,
        tags: set[str],
        there: Sequence[str],
        known: Mapping[str, KnownTag],
        allowed: Amount,
    ) -> list[PruneItem]:
        rules = mirror.prune
        if rules is None or rules.vanished is None:
            return []
        stood = [tag for tag, one in known.items() if one.vanished is None]
        fresh = [tag for tag in stood if tag not in tags and tag in there]
        if len(fresh) > allowed.of(len(stood)):
            raise _doubt(
                f"{len(fresh)} of the {counted(len(stood), 'tag')} that {source} had are gone at once, and at most"
                f" {allowed} may: nothing is deleted at {target}",
                "source-shrank",
            )
        gone = [tag for tag in there if tag not in tags and (tag in known or not rules.owned_only)]
        alone = [tag for tag in there if tag not in tags and tag not in known and rules.owned_only]
        own = "was not written by this mirror"
        items = [PruneItem(mirror=mirror.name, target=target, tag=tag, goes=False, because=own) for tag in alone]
        keep = Patterns(rules.keep) if several(rules.keep) else None
        judged = [self._judged(mirror, source, target, tag, rules, known.get(tag), keep) for tag in gone]
        return items + await gather(judged)

    async def _judged(
        self,
        mirror: Mirror,
        source: str,
        target: str,
        tag: str,
        rules: Prune,
        known: KnownTag | None,
        keep: Patterns | None,
    ) -> PruneItem:
        """What becomes of one tag that the source has no longer."""
        item = PruneItem(mirror=mirror.name, target=target, tag=tag, goes=False, because="")
        digest = await self._named(target, tag)
        key, now = target_key(target), datetime.now(UTC)
        if known is None:
            self._state.adopt(key, tag, place_of(source), digest)
        elif known.vanished is None:
            self._state.vanished(key, tag)
        since = known.vanished if known is not None and known.vanished is not None else now
        because = ""
        if keep is not None and (kept := keep.judge(tag, "keep")).is_taken:
            because = kept.because
        elif rules.owned_only and (known is None or not known.written):
            because = "was not written by this mirror"
        elif known is not None and known.written and known.digest != digest:
            because = "names something else than this mirror wrote"
        elif rules.vanished is not None and now - since < rules.vanished:
            because = f"vanished from the source {_ago(now - since)}, and stays for {_span(rules.vanished)}"
        if because:
            return msgspec.structs.replace(item, because=because)
        because = f"vanished from the source {_ago(now - since)}"
        return msgspec.structs.replace(item, goes=True, because=because, digest=digest)

    async def _not_retained(
        self, mirror: Mirror, target: str, tags: Sequence[str], mirrored: set[str]
    ) -> tuple[list[PruneItem], set[str]]:
        """What goes by the rules of what is retained, and the tags that they name.

        What the source has and is mirrored stays: it would only come again.
        """
        if not mirror.retain:
            return [], set()
        timed = any(_goes_by_time(rule) for rule in mirror.retain)
        matched = {tag for rule in mirror.retain for tag in tags if Patterns(rule.match).judge(tag).is_taken}
        wanted = sorted(matched) if timed else []
        times = dict(zip(wanted, await gather(self._planner.created(target, tag) for tag in wanted), strict=True))
        keep = mirror.prune.keep if mirror.prune is not None else ()
        verdicts: list[Verdict] = retained(tags, mirror.retain, keep=keep, times=times, now=datetime.now(UTC))
        items = [
            PruneItem(
                mirror=mirror.name,
                target=target,
                tag=verdict.tag,
                goes=verdict.tag not in mirrored,
                because=verdict.because if verdict.tag not in mirrored else f"{verdict.because}; it is still mirrored",
                digest=await self._named(target, verdict.tag),
            )
            for verdict in verdicts
            if not verdict.is_taken
        ]
        return items, matched

    async def _named(self, target: str, tag: str) -> Digest:
        async def find() -> Digest:
            return (await (await self._places.read(target)).resolve(tag)).digest

        return await self._places.asked([target], find)


def _goes_by_time(rule: Retain) -> bool:
    """Whether a rule has to know when images were made."""
    if rule.newer_than is not None:
        return True
    by = rule.newest.by if isinstance(rule.newest, Newest) else "created" if rule.newest else "name"
    return by in (None, "created")


def _doubt(message: str, code: str) -> LadingError:
    return LadingError(message, remedy="see whether that is right; then allow more with 'max'", code=code)


def _ago(time: timedelta) -> str:
    return f"{time.days} days ago" if time.days > 1 else "lately" if not time.days else "a day ago"


def _span(time: timedelta) -> str:
    return f"{time.days} days" if time.days > 1 else f"{time.total_seconds() / 3600:g} h"
