"""`lading image squash`: the upper layers of an image as one."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.editing import run_edit, target_options
from lading.cli.groups import Command
from lading.cli.layer_edits import compression, compression_option
from lading.cli.options import Options, common
from lading.cli.times import source_created


@click.command(cls=Command, short_help="Put the upper layers of an image together to one")
@click.argument("reference", type=values.location, metavar="REF")
@click.option("--from", "from_layer", metavar="LAYER", required=True, help="The lowest layer that is put together.")
@target_options
@compression_option
@common(pushes=True)
def squash(options: Options, reference: str, from_layer: str, **given: Any) -> None:
    """Put the layers of an image from LAYER to the top together to one; write the result to TARGET.

    The layers below stay as they are. LAYER is a number from 1, a digest or a diff ID or the beginning of one, or a
    part of the text in the history that says what made it.

    \b
    lading image squash reg.example/app:1.4 --from 3 -t 1.4-small
    lading image squash reg.example/app:1.4 --from "COPY . /app" --in-place
    """
    from lading.images.edits.squash import Squash

    name, level = compression(text) if (text := given.pop("compression")) is not None else (None, None)
    edit = Squash(from_layer=from_layer, compression=name, level=level, created=source_created())
    run_edit(options, reference, [edit], given)
