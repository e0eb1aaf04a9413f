"""`lading blob copy`: a blob from one place to another."""

from __future__ import annotations

import click

from lading.cli import values
from lading.cli.blobs import blob_document, named_blob
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


@click.command(cls=Command, short_help="Copy a blob to another repository")
@click.argument("blob", type=values.location, metavar="PLACE@DIGEST")
@click.argument("target", type=values.location, metavar="TARGET")
@format_option
@common(pushes=True)
def copy(options: Options, blob: str, target: str, format_: str) -> None:
    """Copy a blob into the repository or layout TARGET. Within a registry it is mounted: no byte of it moves.

    \b
    lading blob copy reg.example/app@sha256:1f… reg.example/other
    """
    from lading.cli.output import emit

    place, digest = named_blob(blob)
    content = options.run(lambda client: client.blobs.copy(place, digest, target))
    document = blob_document(target, content)
    emit(document, format_, lambda: [document["reference"]])
