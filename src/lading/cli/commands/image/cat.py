"""`lading image cat`: a file in an image."""

from __future__ import annotations

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, layer_option, platform_option


@click.command(cls=Command, short_help="Print a file in an image")
@click.argument("reference", type=values.location)
@click.argument("path")
@layer_option
@platform_option(help="The image for this platform.")
@common()
def cat(options: Options, reference: str, path: str, layer: str | None, platform: str | None) -> None:
    """Print the file at PATH in the merged file system of an image. Links are followed within the image.

    \b
    lading image cat alpine:3.20 /etc/os-release
    """
    from lading.cli.output import emit_bytes, is_terminal, stream

    if is_terminal():
        emit_bytes(options.run(lambda client: client.images.read(reference, path, platform=platform, layer=layer)))
        return
    out = stream()
    options.run(lambda client: client.images.extract(reference, path, out, platform=platform, layer=layer))
