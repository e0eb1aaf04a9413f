"""What `artifact pull` and `artifact get` share: which files of an artifact are written, and where to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from lading.cli.copying import JOBS, PROGRESS
from lading.cli.drafts import as_text
from lading.cli.options import Options, format_option

if TYPE_CHECKING:
    from lading.artifacts.pull import Pulled

F = TypeVar("F", bound=Callable[..., Any])
_LEFT = "Files get their names when all of them are there; the same command does the rest"
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-o", "--output", default=".", metavar="DIR|FILE|-", help="Where to; - for standard output (.)."),
    click.option("--title", "titles", multiple=True, metavar="PATTERN", help="Only files called so. Repeatable."),
    click.option(
        "--media-type", "media_types", multiple=True, metavar="PATTERN", help="Only of these types. Repeatable."
    ),
    click.option(
        "--rename",
        multiple=True,
        metavar="[TITLE=]PATH",
        help="Give a file another path; the only one without TITLE. Repeatable.",
    ),
    click.option("--flatten", is_flag=True, help="Leave out the folders in titles."),
    click.option("--config", metavar="PATH", help="Write the config there, too."),
    click.option("--no-clobber", is_flag=True, help="Replace no file that is there and differs."),
    JOBS,
    PROGRESS,
    format_option,
)


def file_options(function: F) -> F:
    """Add which files of an artifact are written, and where to: see `write_files`."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


def write_files(
    options: Options,
    work: Callable[..., Coroutine[Any, Any, Pulled]],
    given: dict[str, Any],
) -> None:
    """Write files of an artifact, and print their paths.

    Args:
        options: the common flags.
        work: called with the client, the target, and what `Artifacts.pull` takes beside these.
        given: the values of `file_options`, and of other options that `work` takes.
    """
    output, format_, progress = given.pop("output"), given.pop("format_"), given.pop("progress")
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
    target: str | BinaryIO = stream() if output == "-" else output
    with shown_progress(progress, quiet=options.quiet or format_ != "text") as on_event:
        done = options.run(
            lambda client: work(client, target, on_event=on_event, **given), left="" if output == "-" else _LEFT
        )
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
