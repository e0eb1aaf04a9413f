"""`lading manifest rm`: local lists that go."""

from __future__ import annotations

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common
from lading.errors import NotFound


@click.command(cls=Command, short_help="Remove local lists")
@click.argument("manifest_lists", nargs=-1, required=True, metavar="MANIFEST_LIST...")
@common(insecure=False)
def rm(options: Options, manifest_lists: tuple[str, ...]) -> None:
    """Remove local manifest lists. What is in the registry stays: for that there is `lading delete`."""
    from lading.drafts.store import DraftStore
    from lading.stores.location import registry_reference

    missing = DraftStore(on_wait=options.warn).remove(registry_reference(name) for name in manifest_lists)
    if missing:
        raise NotFound(
            f"No such manifest: {', '.join(map(str, missing))}",
            cause="there is no local manifest list of this name"
            if len(missing) == 1
            else "there are no local manifest lists of these names",
            remedy="see those there are: lading manifest ls",
        )
