"""`lading copy`: images, indexes and artifacts from anywhere to anywhere."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.copying import copy_options, run_copy
from lading.cli.groups import Command, option
from lading.cli.options import Options, authfile_option, common
from lading.cli.referrers import ARTIFACT_TYPES


@click.command(cls=Command, short_help="Copy images, indexes and artifacts from anywhere to anywhere")
@click.argument("source", type=values.location, metavar="SRC")
@click.argument("targets", type=values.location, metavar="DST...", nargs=-1, required=True)
@option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="One more tag in each target. Repeatable.")
@option("--all-tags", is_flag=True, help="Every tag of SRC, under its own name.")
@option("--include", multiple=True, metavar="PATTERN", help="Of all tags, only such. Repeatable.")
@option("--exclude", multiple=True, metavar="PATTERN", help="Of all tags, none such. Repeatable.")
@copy_options
@option("--sparse", is_flag=True, help="With --platform: keep the index as it is.")
@ARTIFACT_TYPES
@authfile_option("--src-authfile", help="Credentials for SRC alone.")
@authfile_option("--dst-authfile", help="Credentials for DST alone.")
@common(pushes=True)
def copy(options: Options, source: str, targets: tuple[str, ...], **given: Any) -> None:
    """Copy SRC to each DST with all that it refers to; digests stay the same.

    SRC and DST: references, oci:DIR:TAG, oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME, dir:DIR.
    PATTERN: a glob, re:EXPRESSION, or semver:RANGE.

    \b
    lading copy ghcr.io/acme/web:1.4 reg.example/web:1.4 -t latest
    lading copy --all-tags --include 'semver:>=1.2' ghcr.io/acme/web oci:web
    """
    run_copy(options, source, targets, given)
