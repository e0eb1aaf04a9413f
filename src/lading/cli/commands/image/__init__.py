"""`lading image`: what is in an image, without pulling it; and images that are changed without a build."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(
    cls=Group,
    package=__name__,
    names=(
        "config",
        "history",
        "layers",
        "size",
        "ls",
        "cat",
        "export",
        "check-base",
        "create",
        "append",
        "edit",
        "flatten",
        "squash",
        "rebase",
    ),
)
def image() -> None:
    """Look into images, and change them without a build.

    Of an index, the image is meant that a container engine on this machine runs; --platform chooses another.
    """
