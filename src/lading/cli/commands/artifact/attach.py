"""`lading artifact attach`: files as an artifact that refers to an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lading.cli import values
from lading.cli.artifacts import NO_GUESS, content_options, shown_guesses, take_content
from lading.cli.copying import JOBS, PROGRESS, show_copy
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option
from lading.cli.referrers import REFERRERS_IN

if TYPE_CHECKING:
    from lading.artifacts.attach import AttachReport


@click.command(cls=Command, short_help="Attach files, such as an SBOM, to an image")
@click.argument("subject", type=values.location, metavar="SUBJECT")
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--artifact-type", metavar="TYPE", help="What it is; otherwise that is guessed.")
@content_options
@platform_option(help="Of an index, attach to the image for this platform.")
@REFERRERS_IN
@NO_GUESS
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done.")
@JOBS
@PROGRESS
@format_option
@common()
def attach(options: Options, subject: str, files: tuple[str, ...], **given: Any) -> None:
    """Attach each FILE to SUBJECT, in an artifact without a tag that refers to it; what is there is not sent.

    FILE is [TITLE=]FILE[:TYPE], a file, a directory, or - for standard input; see them with lading artifact ls.

    \b
    lading artifact attach reg.example/app:1 sbom.spdx.json
    lading artifact attach oci:app:1 --artifact-type x/y --annotation tested=yes
    """
    named = take_content(files, given)
    given |= {"guess": not given.pop("no_guess"), "on_guess": shown_guesses(options)}
    format_, style = given.pop("format_"), given.pop("progress")
    show_copy(
        options,
        lambda client, on_event: client.artifacts.attach(subject, *named, on_event=on_event, **given),
        [given["referrers_in"] or subject],
        format_,
        style,
        dry_run=given["dry_run"],
        told=_told,
    )


def _told(report: AttachReport) -> str:
    verb = "Would attach" if report.dry_run else "Attached"
    return f"{verb if report.is_new else 'Attached already'} to {report.subject}"
