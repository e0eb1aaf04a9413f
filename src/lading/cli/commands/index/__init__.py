"""`lading index`: indexes in registries and layouts, made and changed where they are."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("create", "add", "remove", "filter", "annotate", "ls"))
def index() -> None:
    """Make indexes of images from anywhere, and change them: nothing is kept on this machine.

    Docker's way, with a local list that is pushed later, is lading manifest.
    """
