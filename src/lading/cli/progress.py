"""Showing a copy while it goes on: bars on a terminal, a line every few seconds elsewhere, JSON for machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from lading.cli.output import short, size

if TYPE_CHECKING:
    from rich.progress import TaskID

    from lading.transfer.events import Event, OnEvent

Style = Literal["auto", "tty", "plain", "json", "none"]
STYLES: tuple[Style, ...] = ("auto", "tty", "plain", "json", "none")

_EVERY = 5.0
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
    import msgspec

    click.echo(msgspec.json.encode(event, enc_hook=str), err=True)


class _Lines:
    """One line every few seconds; a copy that is over before has none."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()

    def tell(self, event: Event) -> None:
        from lading.transfer.events import Totals

        now = time.monotonic()
        if not isinstance(event, Totals) or now - self._told < _EVERY:
            return
        self._told = now
        percent = event.done * 100 // event.size if event.size else 100
        rate = event.done / (now - self._started)
        left = f", {(event.size - event.done) / rate:.0f} s left" if rate else ""
        click.echo(f"  {percent}%  {size(event.done)} of {size(event.size)}, {size(int(rate))}/s{left}", err=True)


@contextmanager
def _bars() -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield _Bars(progress)


class _Bars:
    """One line per blob that is under way, and one for all of it."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._total: TaskID = progress.add_task("total", total=None)
        self._blobs: dict[tuple[str, str], TaskID] = {}

    def tell(self, event: Event) -> None:
        from lading.transfer.events import Finished, Progressed, Started

        if isinstance(event, Started):
            # What is over in no time would only flicker.
            if event.size >= _LARGE:
                label = f"{event.platform or '':14} {short(event.digest)}"
                key = (event.target, event.digest)
                self._blobs[key] = self._progress.add_task(label, total=event.size)
        elif isinstance(event, Progressed):
            task = self._blobs.get((event.target, event.digest))
            if task is not None:
                self._progress.update(task, completed=event.done)
        elif isinstance(event, Finished):
            task = self._blobs.pop((event.target, event.digest), None)
            if task is not None:
                self._progress.remove_task(task)
        else:
            self._progress.update(self._total, total=event.size, completed=event.done)
