"""`lading manifest prune`: the local lists that their registries have as they are go."""

from __future__ import annotations

import click

from lading.cli.groups import Command, Option
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Remove the local lists that are pushed")
@click.option(
    "--older-than",
    cls=Option,
    metavar="DAYS",
    type=click.FloatRange(min=0),
    help="Only lists not changed for that long.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; print what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common()
def prune(options: Options, older_than: float | None, dry_run: bool, yes: bool) -> None:
    """Remove the local lists that their registries have exactly as they are."""
    from datetime import timedelta

    from lading.cli.output import say

    age = timedelta(days=older_than) if older_than is not None else None
    if not (dry_run or yes):
        options.need_somebody("nothing was removed")
        going = options.run(lambda client: client.drafts.prune(older_than=age, dry_run=True))
        if not going:
            options.note("there is nothing to prune")
            return
        say(*(f"would remove {name}" for name in going), err=True)
        options.ask("Remove?", "nothing was removed")
    gone = options.run(lambda client: client.drafts.prune(older_than=age, dry_run=dry_run))
    if not gone:
        options.note("there is nothing to prune")
    verb = "would remove" if dry_run else "removed"
    say(*(str(name) if options.quiet else f"{verb} {name}" for name in gone))
