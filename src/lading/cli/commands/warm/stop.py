"""`lading warm stop`: the end of the process that is kept warm."""

from __future__ import annotations

from typing import TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


class WarmStopDocument(TypedDict):
    """`lading warm stop`."""

    stopped: bool
    """False where there was none."""


@click.command(cls=Command, short_help="End the process that is kept ready")
@format_option
@common(verbose_flag=False, insecure=False)
def stop(_: Options, format_: str) -> None:
    """End the process that is kept ready; commands that it runs go on to their ends.

    \b
    lading warm stop
    """
    from lading.cli.output import emit
    from lading.warm import control

    stopped = control.stop()
    said = "no process is kept warm any more" if stopped else "no process was kept warm"
    emit(WarmStopDocument(stopped=stopped), format_, lambda: said)
