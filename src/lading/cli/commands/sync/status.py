"""`lading sync status`: how the last runs of mirrors ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli.groups import Command
from lading.cli.mirrors import ONLY, counted_states, lines
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.mirror.state import KnownRun


class MirrorRunDocument(TypedDict):
    """A run, for one mirror."""

    started: str
    ended: str | None
    outcome: str
    """`done`, `failed` or `interrupted`."""
    counts: dict[str, int]
    """How many tags had each outcome."""


class MirrorStatusDocument(TypedDict):
    """A mirror."""

    name: str
    last_success: str | None
    """When the last run ended in which nothing failed; of the last 20."""
    runs: list[MirrorRunDocument]
    """The last 20, the newest first."""


class StatusDocument(TypedDict):
    """`lading sync status`."""

    mirrors: list[MirrorStatusDocument]


@click.command(cls=Command, short_help="Show how the last runs of mirrors ended")
@click.argument("file", metavar="FILE")
@ONLY
@format_option
@common(insecure=False)
def status(options: Options, file: str, only: tuple[str, ...], format_: str) -> None:
    """Show how the last runs of the mirrors of FILE ended, by what they left on this machine. Nothing is asked.

    It ends with 1 if the last run of one was no success, or there was none.

    \b
    lading sync status mirror.toml
    """
    from lading.cli.output import emit

    found = options.run(lambda client: client.mirror.status(file, only=only))
    document = StatusDocument(mirrors=[_mirror(name, runs) for name, runs in found.items()])
    emit(document, format_, lambda: lines([_line(name, runs) for name, runs in found.items()]))
    if not all(runs and runs[0].outcome == "done" for runs in found.values()):
        raise click.exceptions.Exit(1)


def _mirror(name: str, runs: list[KnownRun]) -> MirrorStatusDocument:
    good = next((run for run in runs if run.outcome == "done"), None)
    return MirrorStatusDocument(
        name=name,
        last_success=good.ended.isoformat() if good is not None and good.ended is not None else None,
        runs=[
            MirrorRunDocument(
                started=run.started.isoformat(),
                ended=run.ended.isoformat() if run.ended is not None else None,
                outcome=run.outcome,
                counts=run.counts,
            )
            for run in runs
        ],
    )


def _line(name: str, runs: list[KnownRun]) -> list[str]:
    from datetime import UTC, datetime

    from lading.cli.output import ago

    if not runs:
        return [name, "never ran", ""]

    def when(run: KnownRun) -> str:
        return ago((datetime.now(UTC) - (run.ended or run.started)).total_seconds())

    last, good = runs[0], next((run for run in runs if run.outcome == "done"), None)
    told = counted_states(last.counts)
    if last.outcome != "done":
        told += f"; last success {when(good)}" if good is not None else "; no success yet"
    return [name, f"{last.outcome} {when(last)}", told]
