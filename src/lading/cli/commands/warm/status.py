"""`lading warm status`: whether a process is kept warm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.warm.keeper import Status


class WarmStatusDocument(TypedDict):
    """`lading warm status`."""

    pid: int | None
    """Null where no process is kept warm; so are the others then."""
    commands: int | None
    """How many commands it has run."""
    idle: float | None
    """After how many seconds without a command it ends."""
    age: float | None
    """How long ago it began, in seconds."""


@click.command(cls=Command, short_help="Say whether a process is kept ready")
@format_option
@common(verbose_flag=False, insecure=False)
def status(_: Options, format_: str) -> None:
    """Say whether a process is kept ready, and what it did; without one, the exit code is 1.

    \b
    lading warm status
    lading warm status --format '{{ commands }}'
    """
    from lading.cli.output import emit
    from lading.warm import control

    there = control.status()
    document = WarmStatusDocument(
        pid=there.pid if there else None,
        commands=there.commands if there else None,
        idle=there.idle if there else None,
        age=round(max(0.0, time.time() - there.began), 1) if there else None,
    )
    emit(document, format_, lambda: _line(there))
    if there is None:
        raise click.exceptions.Exit(1)


def _line(there: Status | None) -> str:
    from lading.cli.output import ago, count, span

    if there is None:
        return "no process is kept warm"
    did = f"it has run {count(there.commands, 'command')}, and ends after {span(there.idle)} without one"
    return f"a process is kept warm: {there.pid}, begun {ago(time.time() - there.began)}; {did}"
