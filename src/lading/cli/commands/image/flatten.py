"""`lading image flatten`: all layers of an image as one."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.editing import run_edit, target_options
from lading.cli.groups import Command
from lading.cli.layer_edits import compression, compression_option
from lading.cli.options import Options, common
from lading.cli.times import source_created


@click.command(cls=Command, short_help="Put all layers of an image together to one")
@click.argument("reference", type=values.location, metavar="REF")
@target_options
@compression_option
@common(pushes=True)
def flatten(options: Options, reference: str, **given: Any) -> None:
    """Put all layers of an image, or of each image of an index, together to one; write the result to TARGET.

    The files are the same, those that later layers hide are gone, and the config says what it said.

    \b
    lading image flatten reg.example/app:1.4 -t 1.4-flat
    lading image flatten reg.example/app:1.4 -t oci:app:flat --compression zstd
    """
    from lading.images.edits.squash import Flatten

    name, level = compression(text) if (text := given.pop("compression")) is not None else (None, None)
    run_edit(options, reference, [Flatten(compression=name, level=level, created=source_created())], given)
