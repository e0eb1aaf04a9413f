"""`Client.mirror`: planning, running and watching mirrors, bound to a client's stores. This module only binds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from lading.arguments import several
from lading.errors import UsageError
from lading.folders import user_folder
from lading.io.blocking import Face, blocking
from lading.mirror.config import Amount, MirrorFile
from lading.mirror.file import read_mirror_file
from lading.mirror.places import Open, Places
from lading.mirror.plan import MirrorPlan, Trouble
from lading.mirror.planning import chosen_mirrors, explain, make_plan
from lading.mirror.prune import Delete, Foresee, PrunePlan, PruneReport, Untag, plan_prune, prune
from lading.mirror.report import MirrorReport
from lading.mirror.rules import Verdict
from lading.mirror.run import OnItem, Run, Selection, Shard
from lading.mirror.state import KnownRun, State
from lading.mirror.watch import Clock, Watch
from lading.registry.session import Session
from lading.transfer.events import OnEvent

_NAME = r"[\w.-]{1,100}"


class Mirrors:
    """Mirrors by a file that says what is kept where: what would change, and the change itself.

    Args:
        open: opens a location, such as `AsyncClient.open`.
        session: gives what carries the requests.
        note: is told what was got over.
        untag: removes a tag, such as `AsyncClient.untag`.
        delete: deletes a manifest, such as `AsyncClient.delete`.
        foresee: tells what that would take, such as `AsyncClient.deletion`.
    """

    def __init__(
        self,
        open: Open,
        session: Callable[[], Session],
        note: Callable[[str], None],
        untag: Untag,
        delete: Delete,
        foresee: Foresee,
    ) -> None:
        self._open = open
        self._session = session
        self._note = note
        self._untag = untag
        self._delete = delete
        self._foresee = foresee

    async def plan(
        self, config: MirrorFile | Path | str, *, only: Iterable[str] | str = (), state: str | None = None
    ) -> MirrorPlan:
        """Find out what a mirror file would change: both sides are listed, and nothing is written to them.

        Args:
            config: the file, or what it says.
            only: the names of the mirrors that count; all, if there are none.
            state: the name under which runs keep what later ones need; by default one of the file's own. What is no
                file has none unless it is said.

        Returns:
            The plan; what could not be planned is in its `troubles`.

        Raises:
            UsageError: the file is not valid, or there is no mirror of a name.
        """
        file, name = await _loaded(config, state)
        kept = self._state(name)
        try:
            async with Places(self._open, self._session).opened() as places:
                return await make_plan(places, kept, file, only=several(only), state_name=name)
        finally:
            kept.close()

    async def explain(
        self, config: MirrorFile | Path | str, *, only: Iterable[str] | str = (), state: str | None = None
    ) -> dict[str, list[Verdict]]:
        """What the rules say of every tag of every source: only sources are asked.

        Args:
            config: the file, or what it says.
            only: the names of the mirrors that count; all, if there are none.
            state: as of `plan`.

        Returns:
            By source, a verdict for each tag.

        Raises:
            UsageError: the file is not valid, or there is no mirror of a name.
            LadingError: a source cannot be listed.
        """
        file, name = await _loaded(config, state)
        kept = self._state(name)
        try:
            async with Places(self._open, self._session).opened() as places:
                return await explain(places, kept, file, several(only))
        finally:
            kept.close()

    async def run(
        self,
        plan: MirrorPlan,
        *,
        only: Iterable[str] | str = (),
        shard: str | None = None,
        unfinished: MirrorReport | None = None,
        max_failures: int | str | None = None,
        on_event: OnEvent | None = None,
        on_item: OnItem | None = None,
        on_cancelled: Callable[[MirrorReport], None] | None = None,
    ) -> MirrorReport:
        """Carry a plan out. A tag is changed only where it still names what the plan saw; nothing is deleted.

        Args:
            plan: the plan.
            only: the names of the mirrors that count; all, if there are none.
            shard: `I/N`: of N parts, by target repository, only part I, from 0 on.
            unfinished: the report of an earlier run: only what failed or was skipped then.
            max_failures: how many tags may fail, or how many percent such as `10%`, before the rest is left.
            on_event: is told what is copied.
            on_item: is told what became of each tag.
            on_cancelled: is given the report where the run is cancelled.

        Returns:
            What was done; what failed is in it, too.

        Raises:
            UsageError: something that is given cannot be understood.
        """
        selection = Selection(
            only=tuple(several(only)),
            shard=Shard.parse(shard) if shard is not None else None,
            targets=frozenset(unfinished.unfinished) if unfinished is not None else None,
        )
        allowed = _amount(max_failures) if max_failures is not None else None
        chosen = selection.of(plan)
        kept = self._state(plan.state)
        try:
            async with Places(self._open, self._session).opened() as places:
                run = Run(places, kept, chosen, max_failures=allowed, on_event=on_event, on_item=on_item)
                try:
                    await run.run()
                except asyncio.CancelledError:
                    report = run.report(interrupted=True)
                    if on_cancelled is not None:
                        on_cancelled(report)
                    raise
                return run.report()
        finally:
            kept.close()

    async def watch(
        self,
        file: Path | str,
        *,
        only: Iterable[str] | str = (),
        on_report: Callable[[MirrorReport], None] = lambda _: None,
        on_trouble: Callable[[Trouble], None] = lambda _: None,
        on_begun: Callable[[Watch], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> bool:
        """Run the mirrors of a file when their turn comes, until that is ended; all run once at the beginning.

        Args:
            file: the file; where it changes, it is read again.
            only: the names of the mirrors that count; all, if there are none.
            on_report: is told what each turn did.
            on_trouble: is told why a turn did not come about.
            on_begun: is given the watch: its `status`, and its `end`, which lets end what is under way.
            clock: says what time it is; by default, this machine.

        Returns:
            Whether the last run of every mirror went well.

        Raises:
            UsageError: the file is not valid, has no mirror of a name, or does not say when.
        """
        path = Path(file)
        name = State.name_of(path)

        async def turn(config: MirrorFile, names: Iterable[str]) -> MirrorReport:
            plan = await self.plan(config, only=names, state=name)
            return await self.run(plan, only=names)

        def known(mirror: str) -> list[KnownRun]:
            kept = self._state(name)
            try:
                return kept.runs(mirror)
            finally:
                kept.close()

        watch = Watch(
            path,
            turn,
            only=several(only),
            known=known,
            on_report=on_report,
            on_trouble=on_trouble,
            on_note=self._note,
            clock=clock,
        )
        on_begun(watch)
        await watch.run()
        return not watch.has_failed

    async def plan_prune(
        self,
        config: MirrorFile | Path | str,
        *,
        only: Iterable[str] | str = (),
        max: int | str | None = None,
        state: str | None = None,
    ) -> PrunePlan:
        """Find out what a mirror file has deleted at targets: what vanished, and what no rule retains.

        It writes nothing but the state, which keeps since when a source lacks a tag.

        Args:
            config: the file, or what it says.
            only: the names of the mirrors that count; all, if there are none.
            max: how many tags, or how many percent such as `10%`, may go of a repository, in place of the file's.
            state: as of `plan`.

        Returns:
            The plan; where something is in doubt, nothing is deleted, and `troubles` has the reason.

        Raises:
            UsageError: the file is not valid, or something that is given cannot be understood.
        """
        file, name = await _loaded(config, state)
        allowed = _amount(max) if max is not None else None
        kept = self._state(name)
        try:
            async with Places(self._open, self._session).opened() as places:
                return await plan_prune(places, kept, file, only=several(only), max=allowed, state_name=name)
        finally:
            kept.close()

    async def prune(self, plan: PrunePlan) -> PruneReport:
        """Delete what a plan says: each tag only if it still names what the plan saw, and nothing else with it.

        Args:
            plan: what `plan_prune` gave.

        Returns:
            What was deleted; what failed is in it, too.
        """
        kept = self._state(plan.state)
        try:
            return await prune(plan, kept, self._untag, self._delete, self._foresee)
        finally:
            kept.close()

    async def status(
        self, config: MirrorFile | Path | str, *, only: Iterable[str] | str = (), state: str | None = None
    ) -> dict[str, list[KnownRun]]:
        """The last runs of each mirror, the newest first; nothing is asked.

        Args:
            config: the file, or what it says.
            only: the names of the mirrors that count; all, if there are none.
            state: as of `plan`.

        Raises:
            UsageError: the file is not valid, or there is no mirror of a name.
        """
        file, name = await _loaded(config, state)
        kept = self._state(name)
        try:
            return {mirror.name: kept.runs(mirror.name) for mirror in chosen_mirrors(file, several(only))}
        finally:
            kept.close()

    def _state(self, name: str | None) -> State:
        return State(state_path(name) if name is not None else None, self._note)


class SyncMirrors(Face[Mirrors]):
    """`Mirrors` for programs without an event loop: the same methods, each returning its result."""

    plan: Final = blocking(Mirrors.plan)
    explain: Final = blocking(Mirrors.explain)
    run: Final = blocking(Mirrors.run)
    watch: Final = blocking(Mirrors.watch)
    plan_prune: Final = blocking(Mirrors.plan_prune)
    prune: Final = blocking(Mirrors.prune)
    status: Final = blocking(Mirrors.status)


def state_path(name: str) -> Path:
    """Where a state is kept.

    Raises:
        UsageError: no state has such a name.
    """
    if not re.fullmatch(_NAME, name) or name.startswith("."):
        raise UsageError(f"{name!r} is no name of a state", remedy="take letters, digits, '-', '_' and '.'")
    return user_folder("state") / "sync" / f"{name}.db"


async def _loaded(config: MirrorFile | Path | str, state: str | None) -> tuple[MirrorFile, str | None]:
    """What a file says, and the name of its state."""
    if isinstance(config, MirrorFile):
        return config, state
    path = Path(config)
    return await asyncio.to_thread(read_mirror_file, path), state or State.name_of(path)


def _amount(value: int | str) -> Amount:
    try:
        return Amount.read(value)
    except ValueError as error:
        raise UsageError(str(error)) from None
