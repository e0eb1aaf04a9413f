"""`lading index filter`: some platforms of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.indexes import no_attestations_option, places, run_index, written_options
from lading.cli.options import Options, common, platform_option

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers


@click.command(cls=Command, short_help="Take some platforms of an index")
@click.argument("reference", type=values.location)
@platform_option(multiple=True, help="What is kept, with its attestations. Repeatable.")
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Where it goes: a location, or a tag. Repeatable.",
)
@click.option("--in-place", is_flag=True, help="Give it the tag of REFERENCE.")
@click.option("--exact", is_flag=True, help="linux/arm is not every arm, but linux/arm/v7.")
@no_attestations_option
@written_options
@common(pushes=True)
def filter(  # noqa: A001  # the name of the command
    options: Options,
    reference: str,
    platforms: tuple[str, ...],
    targets: tuple[str, ...],
    in_place: bool,
    exact: bool,
    no_attestations: bool,
    referrers: Referrers,
    if_digest: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Take of an index only the images for some platforms; whatever else it says stays.

    \b
    lading index filter reg.example/app:1.4 --platform linux/amd64 -t 1.4-amd64
    lading index filter reg.example/app:1.4 --no-attestations --in-place
    """
    if in_place == bool(targets):
        raise click.UsageError("say where the result goes: either -t TARGET, or --in-place")
    if not platforms and not no_attestations:
        raise click.UsageError("say what is kept with --platform OS/ARCH")
    there = places(reference, targets)
    run_index(
        options,
        there or [reference],
        format_,
        lambda client, on_event: client.indexes.filter(
            reference,
            platforms,
            targets=there,
            in_place=in_place,
            exact=exact,
            attestations=not no_attestations,
            referrers=referrers,
            if_digest=if_digest,
            dry_run=dry_run,
            on_event=on_event,
        ),
    )
