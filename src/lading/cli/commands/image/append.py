"""`lading image append`: new layers of archives and of files on disk, on an image or on none."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.editing import run_change, target_options
from lading.cli.groups import Command
from lading.cli.layer_files import first_file_options, more_file_options, taken_layers
from lading.cli.options import Options, common

_NOTHING = "scratch"


@click.command(cls=Command, short_help="Put files on an image as new layers")
@click.argument("base", type=values.location, metavar="BASE")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@first_file_options
@target_options
@more_file_options
@common(pushes=True)
def append(options: Options, base: str, files: tuple[str, ...], **given: Any) -> None:
    """Put files on BASE, an image, an index or scratch, as a new layer each; write the result to TARGET.

    FILE is a tar archive, also with gzip or zstd, or - for one from standard input; or DIR:/PATH or FILE:/PATH for its
    place in the image. The same files give the same digest; SOURCE_DATE_EPOCH is their time, else 1970.

    \b
    lading image append reg.example/base:1 site:/srv/www -t reg.example/app:1
    lading image append scratch rootfs.tar.gz --platform linux/arm64 -t oci:out:1
    """
    layers = taken_layers(files, given)
    reference = None if base == _NOTHING else base
    run_change(options, reference, lambda client, **how: client.images.append(reference, *layers, **how), given)
