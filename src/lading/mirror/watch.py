"""Running mirrors when their turn comes, for as long as a process lives: schedules, changes of the file, notifications.

What a turn does, planning and running is done elsewhere; this module decides when.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from lading.errors import LadingError, UsageError
from lading.io.tasks import task_group
from lading.mirror.config import Mirror, MirrorFile
from lading.mirror.file import EVERYTHING, read_mirror_file
from lading.mirror.plan import Trouble
from lading.mirror.report import MirrorReport
from lading.mirror.schedule import Schedule
from lading.mirror.state import KnownRun
from lading.model.document import Result
from lading.stores.location import parse_location

_LOOK = timedelta(seconds=30)
"""How often the file is looked at."""
_SETTLE = timedelta(seconds=2)
"""How long after a notification a mirror runs: an image and what refers to it come one after another."""
Turn = Callable[[MirrorFile, Collection[str]], Awaitable[MirrorReport]]
"""Plans and runs the mirrors of these names."""


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now(self) -> datetime:
        """The present time, with a zone."""
        ...

    async def wait(self, until: datetime, woken: asyncio.Event) -> None:
        """Wait until a time, or until an event is set."""
        ...


class SystemClock:
    """That of this machine."""

    def now(self) -> datetime:
        """The present time."""
        return datetime.now(UTC)

    async def wait(self, until: datetime, woken: asyncio.Event) -> None:
        """Wait until a time, or until an event is set."""
        with suppress(TimeoutError):
            async with asyncio.timeout((until - self.now()).total_seconds()):
                await woken.wait()


class MirrorStatus(Result, msgspec.Struct, kw_only=True):
    """How one mirror is doing."""

    mirror: str
    is_running: bool = False
    next: datetime | None = None
    """When its turn comes; null while it runs."""
    last_attempt: datetime | None = None
    """When its last run began."""
    last_success: datetime | None = None
    """When the last run ended in which nothing failed."""
    failed_consecutive: int = 0
    """How many runs have failed since then."""
    seconds: float = 0.0
    """How long the last run took."""
    counts: dict[str, int] = {}
    """How many tags had each outcome in the last run."""
    bytes_written: int = 0
    """Of blobs, since the process began."""
    bytes_mounted: int = 0
    troubles: list[Trouble] = []
    """What failed in the last run."""


class WatchStatus(Result, msgspec.Struct, kw_only=True):
    """How all of it is doing."""

    file: str
    started: datetime
    reloaded: datetime
    """When the file that holds was read."""
    problem: str | None = None
    """Why the file that is there now does not hold."""
    mirrors: list[MirrorStatus] = []
    requests: dict[str, dict[str, int]] = {}
    """By host, how many of each method were sent since the process began."""
    pulls_left: dict[str, int] = {}
    """By host, how many pulls it said last are left."""


class Watch:
    """Mirrors that run when their turn comes. All run at once at the beginning, and a mirror that is new in the file.

    Args:
        file: the mirror file; it is read again where it changes.
        turn: plans and runs mirrors.
        only: the names of the mirrors that count; all, if there are none.
        known: gives the last runs of a mirror, the newest first.
        on_report: is told what a turn did.
        on_trouble: is told why a turn did not come about.
        on_note: is told what was noticed, such as a change of the file.
        clock: says what time it is.
        chance: gives a part, from 0 to 1, of each jitter.

    Raises:
        UsageError: the file is not valid, or none of the mirrors says when.
    """

    def __init__(
        self,
        file: Path,
        turn: Turn,
        *,
        only: Iterable[str] = (),
        known: Callable[[str], list[KnownRun]] = lambda _: [],
        on_report: Callable[[MirrorReport], None] = lambda _: None,
        on_trouble: Callable[[Trouble], None] = lambda _: None,
        on_note: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._file = file
        self._turn = turn
        self._only = tuple(only)
        self._known = known
        self._on_report, self._on_trouble, self._on_note = on_report, on_trouble, on_note
        self._clock = clock or SystemClock()
        self._chance = chance
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ending = False
        self._again: set[str] = set()  # changed, or notified of, while they ran
        self._states: dict[str, MirrorStatus] = {}
        self._stamp = _stamp(file)
        self._config = self._read()
        now = self._clock.now()
        self.status: WatchStatus = WatchStatus(file=str(file), started=now, reloaded=now)
        """How all of it is doing."""
        self._settle_on(self._config, now)

    @property
    def has_failed(self) -> bool:
        """Whether the last run of a mirror failed."""
        return any(state.failed_consecutive for state in self.status.mirrors)

    async def run(self) -> None:
        """Run mirrors until `end` is called and what runs then is done."""
        self._loop = asyncio.get_running_loop()
        async with task_group() as turns:
            while not self._is_ending:
                self._look()
                now = self._clock.now()
                due = [state for state in self.status.mirrors if state.next is not None and state.next <= now]
                if due:
                    for state in due:
                        state.is_running, state.next, state.last_attempt = True, None, now
                    turns.create_task(self._take_turn([state.mirror for state in due], self._config))
                coming = [state.next for state in self.status.mirrors if state.next is not None]
                await self._clock.wait(min([*coming, now + _LOOK]), self._woken)
                self._woken.clear()

    def end(self) -> None:
        """Begin no turn any more; may be called from any thread."""
        self._is_ending = True
        self._wake()

    def reload(self) -> None:
        """Read the file again, though it looks the same; may be called from any thread."""
        self._stamp = None
        self._wake()

    def notify(self, repositories: Iterable[str]) -> list[str]:
        """Say that something has changed in repositories: their mirrors run soon.

        Args:
            repositories: without the registries, which others call by other names.

        Returns:
            The names of the mirrors.
        """
        changed = set(repositories)
        found = [mirror.name for mirror in self._mirrors() if any(_is_of(mirror, one) for one in changed)]
        soon = self._clock.now() + _SETTLE
        for name in found:
            state = self._states[name]
            if state.is_running:
                self._again.add(name)
            else:
                state.next = min(filter(None, (state.next, soon)))
        self._wake()
        return found

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._woken.set)

    async def _take_turn(self, names: list[str], config: MirrorFile) -> None:
        """Run mirrors in one run: what they share is copied once."""
        began = self._clock.now()
        try:
            try:
                report = await self._turn(config, names)
            except LadingError as error:
                for name in names:
                    self._ended(name, began, None, [Trouble.of(error, name, name)])
                self._on_trouble(Trouble.of(error, names[0], ", ".join(names)))
            else:
                for name in names:
                    self._ended(name, began, report, [one for one in report.troubles if one.mirror == name])
                self._count(report)
                self._on_report(report)
        finally:
            now = self._clock.now()
            mirrors = {mirror.name: mirror for mirror in self._mirrors()}
            for name in names:
                state = self._states[name]
                state.is_running = False
                if name in mirrors:
                    state.next = self._next(mirrors[name], began, now)
                    if name in self._again:
                        self._again.discard(name)
                        state.next = min(filter(None, (state.next, now + _SETTLE)))
            self._woken.set()

    def _ended(self, name: str, began: datetime, report: MirrorReport | None, troubles: list[Trouble]) -> None:
        """Note how a mirror's turn went."""
        state, now = self._states[name], self._clock.now()
        state.seconds = round((now - began).total_seconds(), 3)
        state.troubles = troubles
        own = [item for item in report.items if item.mirror == name] if report is not None else []
        state.counts = {}
        for item in own:
            state.counts[item.outcome] = state.counts.get(item.outcome, 0) + 1
        state.bytes_written += sum(item.bytes for item in own)
        state.bytes_mounted += sum(item.mounted for item in own)
        if troubles or state.counts.get("skipped") or state.counts.get("failed"):
            state.failed_consecutive += 1
        else:
            state.failed_consecutive, state.last_success = 0, now

    def _count(self, report: MirrorReport) -> None:
        """Add what a run asked for."""
        for host, methods in report.requests.items():
            known = self.status.requests.setdefault(host, {})
            for method, number in methods.items():
                known[method] = known.get(method, 0) + number
        self.status.pulls_left.update(report.pulls_left)

    def _next(self, mirror: Mirror, began: datetime, now: datetime) -> datetime | None:
        """When the next turn of a mirror comes."""
        if mirror.every is not None:
            turn = max(began + mirror.every, now)
        elif mirror.schedule is not None:
            found = Schedule.parse(mirror.schedule).after(now)
            if found is None:
                return None
            turn = found
        else:
            return None
        return turn + (mirror.jitter or timedelta()) * self._chance()

    # The file

    def _look(self) -> None:
        """Read the file again if it has changed; where it cannot be read, what it said before holds."""
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            config = self._read()
        except UsageError as error:
            self.status.problem = str(error)
            self._on_note(f"{self._file} has changed and does not hold: {error}")
            return
        was, self._config = self._config, config
        if self.status.problem is not None or config != was:
            self._on_note(f"{self._file} was read again")
        self.status.problem, self.status.reloaded = None, self._clock.now()
        self._settle_on(was, self.status.reloaded)

    def _read(self) -> MirrorFile:
        """What the file says.

        Raises:
            UsageError: it is not valid, or none of its mirrors would ever run.
        """
        config = read_mirror_file(self._file)
        names = {mirror.name for mirror in config.settled()}
        for name in self._only:
            if name not in names:
                raise UsageError(f"{self._file} has no mirror called {name!r}")
        if not _timed(config, self._only):
            raise UsageError(
                f"{self._file} does not say when",
                remedy="write such as every = '6h' or schedule = '0 */6 * * *', in [defaults] or in a mirror",
                code="no-schedule",
            )
        return config

    def _mirrors(self) -> list[Mirror]:
        return _timed(self._config, self._only)

    def _settle_on(self, was: MirrorFile, now: datetime) -> None:
        """Take over the mirrors of the file: those that are new have their turn now, others where they said when."""
        before = {mirror.name: mirror for mirror in _timed(was, self._only)}
        for mirror in self._mirrors():
            state = self._states.get(mirror.name)
            if state is None:
                state = self._states[mirror.name] = self._remembered(mirror.name)
                state.next = now
            elif mirror != before.get(mirror.name):
                if state.is_running:
                    self._again.add(mirror.name)
                else:
                    state.next = now
        present = {mirror.name for mirror in self._mirrors()}
        for name, state in list(self._states.items()):
            if name not in present and not state.is_running:
                del self._states[name]
        self.status.mirrors = [self._states[mirror.name] for mirror in self._mirrors()]

    def _remembered(self, name: str) -> MirrorStatus:
        """What earlier processes did for a mirror."""
        state = MirrorStatus(mirror=name)
        runs = self._known(name)
        if runs:
            state.last_attempt = runs[0].started
            state.counts = runs[0].counts
        for run in runs:
            if run.outcome == "done":
                state.last_success = run.ended
                break
            state.failed_consecutive += 1
        return state


def _timed(config: MirrorFile, only: Collection[str]) -> list[Mirror]:
    """The mirrors that say when, of those that count."""
    return [
        mirror
        for mirror in config.settled()
        if (mirror.every is not None or mirror.schedule is not None) and (not only or mirror.name in only)
    ]


def _is_of(mirror: Mirror, repository: str) -> bool:
    """Whether a mirror's source is, or has, a repository."""
    source, is_many = mirror.source.removesuffix(EVERYTHING), mirror.source.endswith(EVERYTHING)
    if is_many:
        path = source.partition("/")[2]
        return not path or repository == path or repository.startswith(f"{path}/")
    with suppress(LadingError):
        reference = parse_location(source).reference
        return reference is not None and reference.repository == repository
    return False


def _stamp(file: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = file.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
