"""`lading registry`: registries that are served, and registries as they are reached."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("check", "limits", "config", "serve", "gc"))
def registry() -> None:
    """Run and examine registries."""
