"""`lading blob`: single blobs, in registries and layouts."""

from __future__ import annotations

import click

from lading.cli.groups import Group


@click.group(cls=Group, package=__name__, names=("get", "put", "head", "copy", "delete"))
def blob() -> None:
    """Get, put, copy and delete single blobs: layers, configs, files."""
