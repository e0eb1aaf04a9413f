"""`lading sync`: mirrors by a file that says what is kept where."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("plan", "run", "watch", "prune", "status"))
def sync() -> None:
    """Mirror repositories by a file that says what is kept where."""
