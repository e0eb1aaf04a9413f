"""`lading manifest put`: a manifest from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


class PutDocument(TypedDict):
    """`lading manifest put`."""

    reference: str
    """Its full name, with the digest."""
    digest: str
    media_type: str
    size: int
    """In bytes."""
    dry_run: bool


@click.command(cls=Command, short_help="Put a manifest, byte for byte")
@click.argument("target", type=values.location, metavar="REF")
@click.argument("file", metavar="FILE|-")
@click.option("--by-digest", is_flag=True, help="Give no tag: it is there by its digest alone.")
@click.option("--media-type", metavar="TYPE", help="Of a manifest that does not say its own.")
@click.option("--if-digest", metavar="DIGEST", help="Only if the tag names this now, or is `absent`.")
@click.option("--dry-run", is_flag=True, help="Put nothing; look whether it could be put.")
@format_option
@common(pushes=True)
def put(
    options: Options,
    target: str,
    file: str,
    by_digest: bool,
    media_type: str | None,
    if_digest: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Put the manifest or index in FILE, or from standard input, under the name REF, byte for byte.

    What it refers to has to be there: what is missing is said before anything is sent.

    \b
    lading manifest put reg.example/app:2 manifest.json
    lading manifest put reg.example/app manifest.json --by-digest
    """
    from lading.cli.output import emit
    from lading.io.sources import open_file
    from lading.model.encoding import SIZE_LIMIT
    from lading.model.manifest import parse
    from lading.stores.location import parse_location

    if file == "-":
        raw = sys.stdin.buffer.read(SIZE_LIMIT + 1)
    else:
        with open_file(Path(file)) as opened:
            raw = opened.read(SIZE_LIMIT + 1)
    manifest = parse(raw, media_type, what=file if file != "-" else "the manifest")
    location = parse_location(target)
    if by_digest:
        if location.is_named and location.pinned != manifest.digest:
            raise click.UsageError(f"{target} names a tag, and --by-digest gives none")
        location = location.with_digest(manifest.digest)
    else:
        location = location.full()
    options.run(lambda client: client.put(manifest, location, if_digest=if_digest, look=True, dry_run=dry_run))
    document = PutDocument(
        reference=f"{location.with_digest(manifest.digest) if by_digest else location}"
        + ("" if by_digest or location.pinned else f"@{manifest.digest}"),
        digest=manifest.digest,
        media_type=manifest.media_type,
        size=manifest.size,
        dry_run=dry_run,
    )
    emit(document, format_, lambda: [document["reference"]])
