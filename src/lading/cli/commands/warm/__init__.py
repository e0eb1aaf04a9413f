"""`lading warm`: a process that is kept ready, so that commands need not be loaded each time."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("start", "status", "stop"))
def warm() -> None:
    """Keep a process ready that runs commands at once, with LADING_WARM=1."""
