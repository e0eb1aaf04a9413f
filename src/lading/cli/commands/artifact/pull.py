"""`lading artifact pull`: the files of an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lading.cli import values
from lading.cli.copying import JOBS, PROGRESS
from lading.cli.drafts import as_text
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.cli.progress import Style


@click.command(cls=Command, short_help="Write the files of an artifact into a folder")
@click.argument("reference", type=values.location, metavar="REF")
@click.option("-o", "--output", default=".", metavar="DIR|FILE|-", help="Where to; - for standard output (.).")
@click.option("--title", "titles", multiple=True, metavar="PATTERN", help="Only files called so. Repeatable.")
@click.option("--media-type", "media_types", multiple=True, metavar="PATTERN", help="Only of these types. Repeatable.")
@click.option(
    "--rename",
    multiple=True,
    metavar="[TITLE=]PATH",
    help="Give a file another path; the only one without TITLE. Repeatable.",
)
@click.option("--flatten", is_flag=True, help="Leave out the folders in titles.")
@click.option("--config", metavar="PATH", help="Write the config there, too.")
@platform_option(help="Of an index, the artifact for this platform.")
@click.option("--no-clobber", is_flag=True, help="Replace no file that is there and differs.")
@JOBS
@PROGRESS
@format_option
@common()
def pull(options: Options, reference: str, output: str, format_: str, progress: Style, **given: Any) -> None:
    """Write the files of an artifact into a folder, and print their paths; what is there and right stays.

    Nothing is written elsewhere, whatever the artifact says. A FILE is what the only file is to be: with its ending.

    \b
    lading artifact pull reg.example/notes:1 -o notes
    lading artifact pull reg.example/notes:1 --title '*.json' -o -
    """
    from lading.cli.output import count, emit, stream
    from lading.cli.progress import shown_progress

    if output == "-" and format_ != "text":
        raise click.UsageError("--format prints to standard output, where the file goes")
    if output == "-" and any(given[name] for name in ("rename", "flatten", "config", "no_clobber")):
        raise click.UsageError("--rename, --flatten, --config and --no-clobber are about a folder, and not about -o -")
    given["titles"] = tuple(map(as_text, given["titles"]))
    given["rename"] = dict(_renamed(as_text(text)) for text in given["rename"])
    given["config"] = as_text(given["config"]) if given["config"] is not None else None
    given["clobber"] = not given.pop("no_clobber")
    target = stream() if output == "-" else output
    with shown_progress(progress, quiet=options.quiet or format_ != "text") as on_event:
        done = options.run(lambda client: client.artifacts.pull(reference, target, on_event=on_event, **given))
    for note in done.notes:
        options.warn(note)
    if output == "-":
        return
    kept = sum(file.state == "kept" for file in done.files)
    if format_ == "text":
        options.note(f"Wrote {count(len(done.files) - kept, 'file')}" + (f", {kept} already there" if kept else ""))
    emit(done, format_, lambda: [file.path or "" for file in done.files])


def _renamed(text: str) -> tuple[str, str]:
    """The title and the path that `--rename` gives; an empty title for the only file."""
    title, equals, path = text.partition("=")
    return (title, path) if equals else ("", text)
