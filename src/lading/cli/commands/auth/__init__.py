"""`lading auth`: which credentials are used, and why."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("explain", "token", "ls", "get"))
def auth() -> None:
    """See which credentials are used, and why."""
