"""`lading index add`: more entries for an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.indexes import (
    duplicates_option,
    nested_option,
    no_attestations_option,
    places,
    run_index,
    sources,
    sources_platform_option,
    target_option,
    written_options,
)
from lading.cli.options import Options, common

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers


@click.command(cls=Command, short_help="Add images to an index")
@click.argument("reference", type=values.location, metavar="TARGET")
@click.argument("sources_", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--replace", is_flag=True, help="An image takes the place of the one for its platform.")
@sources_platform_option
@no_attestations_option
@nested_option
@duplicates_option
@target_option(instead=True)
@written_options
@common(pushes=True)
def add(
    options: Options,
    reference: str,
    sources_: tuple[str, ...],
    replace: bool,
    platforms: tuple[str, ...],
    no_attestations: bool,
    nested: bool,
    allow_duplicate_platforms: bool,
    targets: tuple[str, ...],
    referrers: Referrers,
    if_digest: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Add images, artifacts and indexes from anywhere to the index TARGET.

    SOURCE: a location, or SOURCE=OS/ARCH[/VARIANT] to say its platform.
    The old index stays, by its digest. Where another client moved the tag meanwhile, nothing is changed.

    \b
    lading index add reg.example/app:1.4 reg.example/app:1.4-s390x
    lading index add --replace reg.example/app:1.4 oci:build:arm=linux/arm/v7
    """
    given, there = sources(sources_), places(reference, targets)
    run_index(
        options,
        there or [reference],
        format_,
        lambda client, on_event: client.indexes.add(
            reference,
            given,
            targets=there,
            replace=replace,
            nested=nested,
            platforms=platforms,
            attestations=not no_attestations,
            allow_duplicate_platforms=allow_duplicate_platforms,
            referrers=referrers,
            if_digest=if_digest,
            dry_run=dry_run,
            on_event=on_event,
        ),
    )
