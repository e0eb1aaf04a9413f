"""`lading index remove`: entries out of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.indexes import places, run_index, target_option, written_options
from lading.cli.options import Options, common, platform_option

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers


@click.command(cls=Command, short_help="Take entries out of an index")
@click.argument("reference", type=values.location, metavar="TARGET")
@click.argument("entries", nargs=-1, metavar="[ENTRY...]")
@platform_option(multiple=True, help="All images for this platform. Repeatable.")
@target_option(instead=True)
@written_options
@common()
def remove(
    options: Options,
    reference: str,
    entries: tuple[str, ...],
    platforms: tuple[str, ...],
    targets: tuple[str, ...],
    referrers: Referrers,
    if_digest: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Take entries out of the index TARGET, with the attestations about them.

    ENTRY: a digest or its first digits, a platform, or a position such as @0.
    The old index stays, by its digest. Where another client moved the tag meanwhile, nothing is changed.

    \b
    lading index remove reg.example/app:1.4 linux/s390x
    lading index remove reg.example/app:1.4 @3 0d17b565c37b
    """
    if not entries and not platforms:
        raise click.UsageError("name an ENTRY that goes, or the platforms with --platform")
    there = places(reference, targets)
    run_index(
        options,
        there or [reference],
        format_,
        lambda client, on_event: client.indexes.remove(
            reference,
            *entries,
            platforms=platforms,
            targets=there,
            referrers=referrers,
            if_digest=if_digest,
            dry_run=dry_run,
            on_event=on_event,
        ),
    )
