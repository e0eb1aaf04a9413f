"""`lading image export`: the merged file system of an image."""

from __future__ import annotations

from pathlib import Path

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, layer_option, platform_option


@click.command(cls=Command, short_help="Write the file system of an image as a tar archive, or into a folder")
@click.argument("reference", type=values.location)
@click.argument("target", default="-", metavar="[FILE|FOLDER|-]")
@layer_option
@platform_option(help="The image for this platform.")
@common()
def export(options: Options, reference: str, target: str, layer: str | None, platform: str | None) -> None:
    """Write the merged file system of an image as a tar archive to FILE or standard output, or into FOLDER.

    A FOLDER is there and empty, or ends in a slash. An ordinary user gets all files, and is told what is not kept.

    \b
    lading image export alpine:3.20 | tar -t
    lading image export alpine:3.20 root/
    """
    from lading.cli.output import count, size, stream

    # A path keeps its slash, which says that it is a folder.
    out = stream() if target == "-" else target
    done = options.run(lambda client: client.images.export(reference, out, platform=platform, layer=layer))
    for warning in (*done.warnings, *done.lost):
        options.warn(warning)
    if done.target is not None:
        options.note(f"wrote {count(done.entries, 'file')} ({size(done.size)}) to {Path(done.target)}")
    if not done.is_whole:
        raise click.exceptions.Exit(1)
