"""`lading manifest`: Docker's commands with Docker's arguments and output, and what Docker lacks."""

from __future__ import annotations

import click

from lading.cli.groups import Group

_NAMES = ("create", "annotate", "inspect", "push", "rm", "ls", "add", "remove", "pull", "prune")


@click.group(cls=Group, package=__name__, names=_NAMES, short_help="Put images for several platforms under one name")
def manifest() -> None:
    """Put images for several platforms under one name, on Docker's own local store.

    create, annotate, inspect, push and rm are Docker's, so `docker manifest` can be an alias of this.
    """
