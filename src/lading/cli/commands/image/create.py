"""`lading image create`: an image of files, on a base or on none, without a build."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.config_edits import daily_options, first_options, rare_options
from lading.cli.editing import EditCommand, new_image_options, run_change, taken_edits
from lading.cli.layer_files import first_file_options, more_file_options, taken_layers
from lading.cli.options import Options, common


@click.command(cls=EditCommand, short_help="Make an image of files, on a base or on none")
@click.argument("target", type=values.location, metavar="TARGET")
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--from", "from_", type=values.location, metavar="BASE", help="What it is built on, if anything.")
@first_options
@new_image_options
@first_file_options
@daily_options
@more_file_options
@rare_options
@common(pushes=True)
def create(options: Options, target: str, files: tuple[str, ...], from_: str | None, **given: Any) -> None:
    """Make the image TARGET of BASE, of FILEs as layers, and of what the options say of its config.

    FILE: a tar archive, DIR:/PATH or FILE:/PATH. Of a BASE for several platforms all images, or those for --platform.

    \b
    lading image create reg.example/app:1 --from debian:12 app:/app --cmd /app/run
    lading image create oci:out:1 rootfs.tar.gz --platform linux/arm64
    """
    edits, layers = taken_edits(given), taken_layers(files, given)
    given["targets"] = (target, *given["targets"])

    run_change(
        options, target, lambda client, **how: client.images.create(*layers, base=from_, edits=edits, **how), given
    )
