"""`lading blob delete`: a blob, also one that a manifest refers to."""

from __future__ import annotations

import click

from lading.cli import values
from lading.cli.blobs import named_blob
from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Delete a blob")
@click.argument("blob", type=values.location, metavar="PLACE@DIGEST")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; look whether it is there.")
@common()
def delete(options: Options, blob: str, yes: bool, dry_run: bool) -> None:
    """Delete a blob. A registry does not look whether a manifest needs it; asks before.

    \b
    lading blob delete reg.example/app@sha256:1f… --yes
    """
    from lading.cli.output import emit

    place, digest = named_blob(blob)
    if dry_run:
        options.run(lambda client: client.blobs.describe(place, digest))
        emit({}, "text", lambda: [f"would delete {place}@{digest}"])
        return
    if not yes:
        options.need_somebody("nothing was deleted")
        options.ask(f"Delete {place}@{digest}? Manifests that need it are broken then.", "nothing was deleted")
    options.run(lambda client: client.blobs.delete(place, digest))
    emit({}, "text", lambda: [f"deleted {place}@{digest}"])
