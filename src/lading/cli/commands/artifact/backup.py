"""`lading artifact backup`: whole repositories in an image layout or an archive."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.backups import show_backup
from lading.cli.copying import JOBS, PROGRESS
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option
from lading.cli.referrers import ARTIFACT_TYPES


@click.command(cls=Command, short_help="Keep whole repositories in a layout or an archive")
@click.argument("repositories", type=values.location, metavar="REPOSITORY...", nargs=-1, required=True)
@click.argument("destination", type=values.location, metavar="DST")
@click.option("--include", multiple=True, metavar="PATTERN", help="Of all tags, only such. Repeatable.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Of all tags, none such. Repeatable.")
@click.option("--referrers", is_flag=True, help="Signatures, SBOMs and the like, too.")
@ARTIFACT_TYPES
@click.option("--untagged", is_flag=True, help="Manifests without a tag, too, as far as they can be found.")
@click.option("--prune", is_flag=True, help="Remove from DST what the repositories no longer have.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done.")
@click.option("--keep-going", is_flag=True, help="Back up what can be of several tags or repositories.")
@JOBS
@PROGRESS
@format_option
@common()
def backup(options: Options, repositories: tuple[str, ...], destination: str, format_: str, **given: Any) -> None:
    """Keep each REPOSITORY, or REPOSITORY:TAG[,TAG...], in DST: oci:DIR or oci-archive:FILE.

    Again into the same, only what is new is downloaded. Prints the tags that are new, moved or gone.

    \b
    lading artifact backup reg.example/app oci:backup --referrers
    lading artifact backup reg.example/app reg.example/web oci-archive:all.tar
    """
    given["referrers"] = given["referrers"] or None
    show_backup(
        options,
        lambda client, **told: client.artifacts.backup(repositories, destination, **given, **told),
        format_,
        given.pop("progress"),
        target=destination,
        dry_run=given["dry_run"],
    )
