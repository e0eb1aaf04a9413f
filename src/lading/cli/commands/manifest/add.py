"""`lading manifest add`: more images for a local list."""

from __future__ import annotations

import click

from lading.cli.drafts import attestations_option, platforms_option, tell_made
from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Add images to a local list")
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@platforms_option
@attestations_option
@common()
def add(
    options: Options, manifest_list: str, manifests: tuple[str, ...], platforms: tuple[str, ...], no_attestations: bool
) -> None:
    """Add images to the local MANIFEST_LIST; its other entries stay as they are."""
    from lading.cli.output import say

    added = options.run(
        lambda client: client.drafts.add(
            manifest_list, manifests, platforms=platforms, attestations=not no_attestations
        )
    )
    tell_made(options, added)
    say(str(added.draft.reference))
