"""`lading manifest remove`: images out of a local list."""

from __future__ import annotations

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Remove images from a local list")
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@common(insecure=False)
def remove(options: Options, manifest_list: str, manifests: tuple[str, ...]) -> None:
    """Remove images from the local MANIFEST_LIST, named as in create, or by digest or platform."""
    from lading.cli.output import say
    from lading.drafts.remove import remove as take_out
    from lading.drafts.store import DraftStore

    removed = take_out(DraftStore(on_wait=options.warn), manifest_list, manifests)
    for entry in removed.entries:
        options.note(f"{entry.reference} removed ({entry.platform or 'no platform'}, {entry.digest.short})")
    say(str(removed.draft.reference))
