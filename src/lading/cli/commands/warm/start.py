"""`lading warm start`: from now on, commands are run by a process that has loaded everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.warm.keeper import Status


class WarmStartDocument(TypedDict):
    """`lading warm start`."""

    pid: int
    idle: float
    """After how many seconds without a command it ends."""
    new: bool
    """False where there was one already, which goes on as it was begun."""


@click.command(cls=Command, short_help="Keep a process ready")
@option("--idle", type=values.duration, default="10m", metavar="TIME", help="End after so long without one (10m).")
@option("--foreground", is_flag=True, help="Be that process, for a manager of services.")
@format_option
@common(verbose_flag=False, insecure=False)
def start(_: Options, idle: float, foreground: bool, format_: str) -> None:
    """Keep a process ready that has loaded everything, and runs commands that are started with LADING_WARM=1.

    \b
    lading warm start
    LADING_WARM=1 lading digest alpine:3.20
    """
    from lading.cli.output import emit
    from lading.warm import control

    if foreground:
        _be_it(idle)
        return
    there, is_new = control.start(["warm", "start", "--foreground", "--idle", f"{idle}s"])
    document = WarmStartDocument(pid=there.pid, idle=there.idle, new=is_new)
    emit(document, format_, lambda: _line(there, is_new))


def _line(there: Status, is_new: bool) -> str:
    from lading.cli.output import span

    first = "a process is kept warm" if is_new else "a process is kept warm already"
    return f"{first}: {there.pid}, which ends after {span(there.idle)} without a command"


def _be_it(idle: float) -> None:
    from lading.cli import main
    from lading.warm import control, keeper, rehearsal

    control.check()
    control.load_everything()
    keeper.keep(idle, main, lambda: rehearsal.rehearse(main))
