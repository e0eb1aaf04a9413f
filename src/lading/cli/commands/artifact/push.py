"""`lading artifact push`: files as an artifact."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.artifacts import NO_GUESS, content_options, shown_guesses, take_content
from lading.cli.copying import IF_DIGEST, JOBS, NO_CLOBBER, PROGRESS, show_copy
from lading.cli.editing import beside
from lading.cli.groups import Command, Option
from lading.cli.options import Options, common, format_option, platform_option


@click.command(cls=Command, short_help="Put files into a registry as an artifact")
@click.argument("reference", type=values.location, metavar="REF")
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--artifact-type", metavar="TYPE", help="What it is; otherwise that is guessed.")
@content_options
@click.option("--subject", metavar="REF", help="What it refers to: a tag or digest beside it.")
@platform_option(help="What it is for; the config says so.")
@click.option("--index", is_flag=True, help="REF is an index: put it in there, for its platform.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="One more tag. Repeatable.")
@click.option(
    "--image-spec",
    cls=Option,
    is_rare=True,
    type=click.Choice(["1.1", "1.0", "v1.1", "v1.0"]),
    help="1.0: the type is that of the config, for old registries (1.1).",
)
@NO_GUESS
@click.option("--strip-dirs", cls=Option, is_rare=True, is_flag=True, help="Titles are names without folders.")
@click.option("--by-digest", cls=Option, is_rare=True, is_flag=True, help="Give it no tag.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done.")
@IF_DIGEST
@NO_CLOBBER
@JOBS
@PROGRESS
@format_option
@common(pushes=True)
def push(options: Options, reference: str, files: tuple[str, ...], **given: Any) -> None:
    """Put each FILE into the artifact REF as a layer. The same files give the same digest; what is there is not sent.

    FILE is [TITLE=]FILE[:TYPE], a file, a directory, or - for standard input. SOURCE_DATE_EPOCH says when.

    \b
    lading artifact push reg.example/notes:1 a.txt:text/plain docs
    lading artifact push oci:notes:1 a.txt=- --artifact-type text/x-notes
    """
    subject = given.pop("subject")
    named = take_content(files, given, strips=given.pop("strip_dirs"))
    given["subject"] = beside(reference, subject) if subject is not None else None
    given["image_spec"] = (given["image_spec"] or "").removeprefix("v") or None
    given["guess"] = not given.pop("no_guess")
    format_, style = given.pop("format_"), given.pop("progress")
    given["clobber"] = not given.pop("no_clobber")
    show_copy(
        options,
        lambda client, on_event: client.artifacts.push(
            reference, *named, on_guess=shown_guesses(options), on_event=on_event, **given
        ),
        [reference],
        format_,
        style,
        dry_run=given["dry_run"],
    )
