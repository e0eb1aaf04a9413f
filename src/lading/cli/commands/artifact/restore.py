"""`lading artifact restore`: what is in a backup back in repositories."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.backups import show_backup
from lading.cli.copying import JOBS, NO_CLOBBER, PROGRESS
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


@click.command(cls=Command, short_help="Bring a backup back into repositories")
@click.argument("source", type=values.location, metavar="SRC")
@click.argument("destination", type=values.location, metavar="[DST]", required=False)
@click.option("--map", "typed", multiple=True, metavar="OLD=NEW", help="Where a repository of SRC goes. Repeatable.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Of all tags, only such. Repeatable.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Of all tags, none such. Repeatable.")
@click.option("--no-referrers", is_flag=True, help="No signatures, SBOMs and the like.")
@click.option("--untagged", is_flag=True, help="Manifests without a tag, too.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done.")
@NO_CLOBBER
@click.option("--keep-going", is_flag=True, help="Restore what can be of several tags or repositories.")
@JOBS
@PROGRESS
@format_option
@common(pushes=True)
def restore(options: Options, source: str, destination: str | None, format_: str, **given: Any) -> None:
    """Bring SRC, a backup of lading or oras, back to DST; SRC is oci:DIR or oci-archive:FILE, and stays as it is.

    DST is a repository; REPOSITORY:TAG[,TAG...]; a namespace for several, with a slash at its end; or a layout.

    \b
    lading artifact restore oci:backup reg.example/app
    lading artifact restore oci-archive:all.tar reg.example/from-backup/
    """
    maps: dict[str, str] = {}
    for text in given.pop("typed"):
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise click.UsageError(f"{text!r} is no OLD=NEW")
        maps[old] = values.location(new)
    given["clobber"] = not given.pop("no_clobber")
    given["referrers"] = not given.pop("no_referrers")
    show_backup(
        options,
        lambda client, **told: client.artifacts.restore(source, destination, maps=maps, **given, **told),
        format_,
        given.pop("progress"),
        target=destination,
        dry_run=given["dry_run"],
    )
