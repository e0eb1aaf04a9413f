"""`lading artifact pull`: the files of an artifact."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.artifact_files import file_options, write_files
from lading.cli.groups import Command
from lading.cli.options import Options, common, platform_option


@click.command(cls=Command, short_help="Write the files of an artifact into a folder")
@click.argument("reference", type=values.location, metavar="REF")
@platform_option(help="Of an index, the artifact for this platform.")
@file_options
@common()
def pull(options: Options, reference: str, **given: Any) -> None:
    """Write the files of an artifact into a folder, and print their paths; what is there and right stays.

    Nothing is written elsewhere, whatever the artifact says. A FILE is what the only file is to be: with its ending.

    \b
    lading artifact pull reg.example/notes:1 -o notes
    lading artifact pull reg.example/notes:1 --title '*.json' -o -
    """
    write_files(options, lambda client, target, **more: client.artifacts.pull(reference, target, **more), given)
