"""`lading artifact`: any files in a registry."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("push", "pull", "attach", "get", "edit", "ls", "backup", "restore"))
def artifact() -> None:
    """Keep any files in a registry, as oras does."""
