"""`lading manifest`: Docker's commands with Docker's arguments and output, and what Docker lacks."""

from __future__ import annotations

import click

from lading.cli.groups import Group

_LISTS = ("create", "annotate", "inspect", "push", "rm", "ls", "add", "remove", "pull", "prune")
_RAW = ("get", "put", "head", "diff", "delete")


@click.group(
    cls=Group, package=__name__, names=(*_LISTS, *_RAW), short_help="Put images for several platforms under one name"
)
def manifest() -> None:
    """Docker's lists for several platforms, and any manifest as it is."""
