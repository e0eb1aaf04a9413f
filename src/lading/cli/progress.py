"""Showing a copy while it goes on: bars on a terminal, a line every few seconds elsewhere, JSON for machines."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from lading.cli.output import say, short, size
from lading.model.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from lading.transfer.events import Event, OnEvent, PackingProgressed, Progressed, Started, Totals

Style = Literal["auto", "tty", "plain", "json", "none"]
STYLES: tuple[Style, ...] = ("auto", "tty", "plain", "json", "none")

_EVERY = 5.0
_WINDOW = 10.0
_PLATFORM = 14
_BAR = 5  # the least that is a bar
_NARROWEST = 2 + _PLATFORM + 13 + 1 + _BAR + 1 + 4
_SIZES = 17  # such as `180/1234 MB`, with the space before it
_RATES = 22
_LARGE = 256 * 1024


@contextmanager
def shown_progress(style: Style, *, quiet: bool = False) -> Iterator[OnEvent | None]:
    """Show on stderr what events tell while the context lasts.

    Args:
        style: how; `auto` is bars on a terminal, and lines elsewhere.
        quiet: show nothing unless it was asked for by name.
    """
    if style == "auto":
        style = "none" if quiet else "tty" if sys.stderr.isatty() else "plain"
    if style == "tty" and os.environ.get("TERM") in ("dumb", "unknown"):
        style = "plain"  # nothing can be drawn there
    if style == "none":
        yield None
    elif style == "json":
        yield _json
    elif style == "plain":
        yield _Lines().tell
    else:
        with _bars() as bars:
            yield bars.tell


def _json(event: Event) -> None:
    import json

    import msgspec

    say(json.dumps(msgspec.to_builtins(event, enc_hook=str)), err=True)


class _Lines:
    """One line every few seconds; a copy that is over before has none."""

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._rate = _Rate()

    def tell(self, event: Event) -> None:
        from lading.transfer.events import PackingProgressed, Totals

        if not isinstance(event, Totals | PackingProgressed):
            return
        if isinstance(event, Totals):
            self._rate.add(event.moved)
        if time.monotonic() - self._told < _EVERY:
            return
        self._told = time.monotonic()
        if isinstance(event, PackingProgressed):
            of = f" of {size(event.size)}" if event.size is not None else ""
            say(f"  packing {printable(event.source)}: {size(event.done)}{of}", err=True)
            return
        percent = event.done * 100 // event.size if event.size else 100
        words = [f"{size(event.done)} of {size(event.size)}", *self._rate.words(event.size - event.done)]
        say(f"  {percent}%  {', '.join(words)}", err=True)


class Count:
    """How many of many are done: one line every few seconds.

    Args:
        what: what is counted, and what becomes of it.
        quiet: show nothing.
    """

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._quiet = quiet
        self._told = time.monotonic()

    def tell(self, done: int, size: int) -> None:
        """So many are done, of so many that are known."""
        if not self._quiet and time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            say(f"  {done * 100 // size if size else 100}%  {done:,} of {size:,} {self._what}", err=True)


class _Rate:
    """How fast a number grows, by the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        """The number is this now."""
        now = time.monotonic()
        self._seen.append((now, count))
        while now - self._seen[0][0] > _WINDOW and len(self._seen) > 2:
            self._seen.popleft()

    def words(self, left: int) -> list[str]:
        """The rate, and how long so much takes that is left; nothing while that is not known."""
        if len(self._seen) < 2:
            return []
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        rate = (last - first) / (end - start) if end > start else 0
        return [f"{size(int(rate))}/s", *([_left(left / rate)] if left else [])] if rate > 0 else []


def _left(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s left"
    return f"{whole // 60} min left" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min left"


@contextmanager
def _bars(console: Console | None = None) -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column

    def text(shown: str, width: int | None = None, justify: Literal["left", "right"] = "left") -> ProgressColumn:
        column = Column(no_wrap=True, min_width=width, justify=justify)
        return TextColumn(shown, markup=False, justify=justify, table_column=column)

    console = console or Console(stderr=True)
    # What is always there, and what finds a place beside it.
    room = console.width - _NARROWEST
    columns: list[ProgressColumn] = []
    if room >= _SIZES:
        columns.append(text("{task.fields[sizes]}", _SIZES - 1, "right"))
        room -= _SIZES
    if room >= _RATES:
        columns.append(text("{task.fields[rate]}", _RATES - 1))
        room -= _RATES
    bar = BarColumn(
        bar_width=min(20, _BAR + max(0, room)), complete_style="cyan", finished_style="green", pulse_style="cyan"
    )
    always = (text("  {task.description}"), bar, text("{task.percentage:>3.0f}%"))
    progress = Progress(*always, *columns, console=console, transient=True)
    bars = _Bars(progress)
    with progress:
        yield bars


class _Bars:
    """One line per blob that is under way, and one for all of it below."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._total: TaskID | None = None
        self._all = _Rate()
        self._blobs: dict[tuple[str, str], tuple[TaskID, _Rate]] = {}
        self._packing: dict[str, TaskID] = {}

    def tell(self, event: Event) -> None:
        from lading.transfer.events import Finished, PackingProgressed, Progressed, Started

        if isinstance(event, PackingProgressed):
            self._pack(event)
        elif isinstance(event, Started):
            # What is over in no time would only flicker.
            if event.size >= _LARGE:
                self._begin(event)
        elif isinstance(event, Progressed):
            known = self._blobs.get((event.target, event.digest))
            if known is not None:
                task, rate = known
                rate.add(event.done)
                words = rate.words(event.size - event.done)[:1]
                self._progress.update(task, completed=event.done, sizes=_sizes(event), rate=_aligned(words))
        elif isinstance(event, Finished):
            known = self._blobs.pop((event.target, event.digest), None)
            if known is not None:
                self._progress.remove_task(known[0])
                self._fit()
        else:
            self._all.add(event.moved)
            rate_of_all = _aligned(self._all.words(event.size - event.done))
            self._progress.update(
                self._last(), total=event.size, completed=event.done, sizes=_sizes(event), rate=rate_of_all
            )

    def _pack(self, event: PackingProgressed) -> None:
        task = self._packing.get(event.source)
        if event.is_over:
            if task is not None:
                self._progress.remove_task(self._packing.pop(event.source))
            return
        if task is None:
            name = printable(event.source)
            name = name if len(name) <= _PLATFORM + 5 else f"…{name[-_PLATFORM - 4 :]}"
            label = f"packing {name}".ljust(_PLATFORM + 13)
            task = self._packing[event.source] = self._progress.add_task(label, total=event.size, sizes="", rate="")
        self._progress.update(task, completed=event.done, sizes=_sizes(event), rate="")

    def _begin(self, event: Started) -> None:
        # Tasks are drawn in the order in which they came: the total goes, and comes again below.
        total = self._total
        label = f"{printable(event.platform or ''):{_PLATFORM}} {short(event.digest)}"
        task = self._progress.add_task(label, total=event.size, sizes="", rate="")
        self._blobs[event.target, event.digest] = (task, _Rate())
        if total is not None:
            shown = next(known for known in self._progress.tasks if known.id == total)
            self._progress.remove_task(total)
            self._total = None
            self._progress.update(self._last(), total=shown.total, completed=shown.completed, **shown.fields)
        self._fit()

    def _fit(self) -> None:
        """In a low window the first blobs have lines, and what all of it has come to always has one."""
        room = max(0, self._progress.console.height - 2)
        for number, (task, _) in enumerate(self._blobs.values()):
            self._progress.update(task, visible=number < room)

    def _last(self) -> TaskID:
        if self._total is None:
            self._total = self._progress.add_task("total".ljust(_PLATFORM + 13), total=None, sizes="", rate="")
        return self._total


def _sizes(event: Progressed | Totals | PackingProgressed) -> str:
    """How much of how much, in one unit: `38.2/62.4 MB`; how much, where it is not known of how much."""
    if event.size is None:
        return size(event.done)
    number, unit = size(event.size).split()
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    digits = 1 if "." in number else 0
    return f"{event.done / scale:>{len(number)}.{digits}f}/{number} {unit}"


def _aligned(words: list[str]) -> str:
    """A rate, and how long it takes, in their columns."""
    return "  ".join([*(word.rjust(9) for word in words[:1]), *words[1:]])
