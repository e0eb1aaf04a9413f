"""`lading artifact push`: files as an artifact."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.artifacts import annotations_of, typed_file
from lading.cli.copying import IF_DIGEST, JOBS, NO_CLOBBER, PROGRESS, show_copy
from lading.cli.drafts import as_text
from lading.cli.editing import beside, key_value
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option
from lading.cli.times import source_created, source_date

_CREATED = "org.opencontainers.image.created"


@click.command(cls=Command, short_help="Put files into a registry as an artifact")
@click.argument("reference", type=values.location, metavar="REF")
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--artifact-type", metavar="TYPE", help="What the artifact is, such as application/spdx+json.")
@click.option("--config", metavar="FILE[:TYPE]", help="A config; by default it is empty.")
@click.option("--annotation", "typed", multiple=True, metavar="KEY=VALUE", help="Of the manifest. Repeatable.")
@click.option("--annotation-file", metavar="FILE", help="Annotations of all, as oras has them (JSON).")
@click.option("--subject", metavar="REF", help="What it refers to: a tag or digest beside it.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="One more tag. Repeatable.")
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
    said = annotations_of(given.pop("annotation_file"))
    typed = dict(key_value(as_text(text), "--annotation") for text in given.pop("typed"))
    if sum(file.partition(":")[0].rpartition("=")[2] == "-" for file in files) > 1:
        raise click.UsageError("standard input (-) can be read once")
    config, subject = given.pop("config"), given.pop("subject")
    given["config"] = typed_file(config, said, titled=False) if config is not None else None
    given["subject"] = beside(reference, subject) if subject is not None else None
    named = [typed_file(file, said) for file in files]
    if said.files:
        raise click.UsageError(f"--annotation-file: {next(iter(said.files))!r} is none of the files that are pushed")
    created = source_created()
    given["annotations"] = {**({_CREATED: created} if created is not None else {}), **said.manifest, **typed}
    given["config_annotations"] = said.config
    given["times"] = source_date() or 0
    format_, style = given.pop("format_"), given.pop("progress")
    given["clobber"] = not given.pop("no_clobber")
    show_copy(
        options,
        lambda client, on_event: client.artifacts.push(reference, *named, on_event=on_event, **given),
        [reference],
        format_,
        style,
        dry_run=given["dry_run"],
    )
