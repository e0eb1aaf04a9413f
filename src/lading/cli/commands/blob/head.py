"""`lading blob head`: whether a blob is there, and how large it is."""

from __future__ import annotations

import click

from lading.cli import values
from lading.cli.blobs import blob_document, named_blob
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


@click.command(cls=Command, short_help="Say whether a blob is there, and its size")
@click.argument("blob", type=values.location, metavar="PLACE@DIGEST")
@format_option
@common()
def head(options: Options, blob: str, format_: str) -> None:
    """Print the digest and the size of a blob in bytes, with one request; exit with 3 where it is not there.

    \b
    lading blob head reg.example/app@sha256:1f…
    """
    from lading.cli.output import emit

    place, digest = named_blob(blob)
    document = blob_document(place, options.run(lambda client: client.blobs.describe(place, digest)))
    emit(document, format_, lambda: [f"{document['digest']}  {document['size']}"])
