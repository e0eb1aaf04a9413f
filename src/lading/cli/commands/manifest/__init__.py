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
    """Put images for several platforms under one name; get and put any manifest.

    create, annotate, inspect, push and rm are Docker's, so `docker manifest` can be an alias of this. get, put, head,
    diff and delete are about manifests in any place, and know no local lists.
    """
