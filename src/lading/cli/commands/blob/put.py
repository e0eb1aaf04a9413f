"""`lading blob put`: a blob from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from lading.cli import values
from lading.cli.blobs import blob_document
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option
from lading.model.media_types import OCTET_STREAM


@click.command(cls=Command, short_help="Put a file into a repository as a blob")
@click.argument("place", type=values.location, metavar="REPOSITORY")
@click.argument("file", metavar="FILE|-")
@click.option("--digest", metavar="DIGEST", help="Put it only if it has this digest.")
@click.option("--media-type", default=OCTET_STREAM, metavar="TYPE", help="Of the descriptor that is printed.")
@format_option
@common(pushes=True)
def put(options: Options, place: str, file: str, digest: str | None, media_type: str, format_: str) -> None:
    """Put FILE, or standard input, into a repository or a layout as a blob, and print the name of the blob.

    What is there already is not sent; an upload that was interrupted goes on.

    \b
    lading blob put reg.example/app layer.tar.gz
    lading blob put oci:app - --media-type text/plain
    """
    from lading.cli.output import emit
    from lading.model.digest import Digest

    expected = Digest(digest) if digest is not None else None
    data: Any = sys.stdin.buffer if file == "-" else Path(file)
    content = options.run(lambda client: client.blobs.put(place, data, media_type=media_type, digest=expected))
    document = blob_document(place, content)
    emit(document, format_, lambda: [document["reference"]])
