"""`lading artifact pull`: the files of an artifact."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.copying import JOBS
from lading.cli.drafts import as_text
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option


@click.command(cls=Command, short_help="Write the files of an artifact into a folder")
@click.argument("reference", type=values.location, metavar="REF")
@click.option("-o", "--output", default=".", metavar="DIR|-", help="Where to; - for standard output (.).")
@click.option("--title", "titles", multiple=True, metavar="PATTERN", help="Only files called so. Repeatable.")
@click.option("--media-type", "media_types", multiple=True, metavar="PATTERN", help="Only of these types. Repeatable.")
@platform_option(help="Of an index, the artifact for this platform.")
@click.option("--no-clobber", is_flag=True, help="Replace no file that is there and differs.")
@JOBS
@format_option
@common()
def pull(options: Options, reference: str, output: str, format_: str, **given: Any) -> None:
    """Write the files of an artifact into a folder, and print their paths; what is there and right stays.

    Nothing is written elsewhere, whatever the artifact says. A layer without a title is called by its digest.

    \b
    lading artifact pull reg.example/notes:1 -o notes
    lading artifact pull reg.example/notes:1 --title '*.json' -o -
    """
    from lading.cli.output import count, emit, stream

    if output == "-" and format_ != "text":
        raise click.UsageError("--format prints to standard output, where the file goes")
    given["titles"] = tuple(map(as_text, given["titles"]))
    given["clobber"] = not given.pop("no_clobber")
    target = stream() if output == "-" else output
    done = options.run(lambda client: client.artifacts.pull(reference, target, **given))
    for note in done.notes:
        options.warn(note)
    if output == "-":
        return
    kept = sum(file.state == "kept" for file in done.files)
    if format_ == "text":
        options.note(f"Wrote {count(len(done.files) - kept, 'file')}" + (f", {kept} already there" if kept else ""))
    emit(done, format_, lambda: [file.path or "" for file in done.files])
