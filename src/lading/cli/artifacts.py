"""What commands for artifacts share: files as they are typed, and annotations of files and manifests."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click
import msgspec

from lading.cli.drafts import as_text
from lading.cli.editing import key_value
from lading.cli.groups import Option
from lading.cli.options import Options
from lading.cli.times import source_created, source_date
from lading.model.media_types import is_media_type

if TYPE_CHECKING:
    from lading.artifacts.push import ArtifactFile
    from lading.artifacts.report import Guess

F = TypeVar("F", bound=Callable[..., Any])
_CREATED = "org.opencontainers.image.created"
_MANIFEST, _CONFIG = "$manifest", "$config"
_TITLE = "org.opencontainers.image.title"
_DESCRIPTOR = re.compile(r"/dev/fd/([0-9]{1,6})")
NO_GUESS: Callable[[Any], Any] = click.option(
    "--no-guess", cls=Option, is_rare=True, is_flag=True, help="Types are those that are said, or unknown."
)
_OF_CONTENT: tuple[Callable[[Any], Any], ...] = (
    click.option("--config", metavar="FILE[:TYPE]", help="A config; by default it is empty."),
    click.option("--annotation", "typed", multiple=True, metavar="KEY=VALUE", help="Of the manifest. Repeatable."),
    click.option("--annotation-file", metavar="FILE", help="Annotations of all, as oras has them (JSON)."),
)


def content_options(function: F) -> F:
    """Add what is said of the content of an artifact beside its files: see `take_content`."""
    for add in reversed(_OF_CONTENT):
        function = add(function)
    return function


def take_content(files: Sequence[str], given: dict[str, Any], *, strips: bool = False) -> list[ArtifactFile]:
    """The files of an artifact as they were typed.

    Args:
        files: as they were typed.
        given: the values of `content_options`, which become the arguments that `Artifacts.push` and its like have.
        strips: see `typed_file`.
    """
    said = annotations_of(given.pop("annotation_file"))
    typed = dict(key_value(as_text(text), "--annotation") for text in given.pop("typed"))
    if sum(file.partition(":")[0].rpartition("=")[2] == "-" for file in files) > 1:
        raise click.UsageError("standard input (-) can be read once")
    config = given.pop("config")
    given["config"] = typed_file(config, said, titled=False) if config is not None else None
    named = [typed_file(file, said, strips=strips) for file in files]
    if said.files:
        raise click.UsageError(f"--annotation-file: {next(iter(said.files))!r} is none of the files that are pushed")
    created = source_created()
    given["annotations"] = {**({_CREATED: created} if created is not None else {}), **said.manifest, **typed}
    given["config_annotations"] = said.config
    given["times"] = source_date() or 0
    return named


class FileAnnotations(msgspec.Struct):
    """What `--annotation-file` says, as oras has it."""

    manifest: dict[str, str] = {}
    config: dict[str, str] = {}
    files: dict[str, dict[str, str]] = {}
    """By the files, as they are typed."""


def typed_file(text: str, annotations: FileAnnotations, *, titled: bool = True, strips: bool = False) -> ArtifactFile:
    """A file from `[TITLE=]FILE[:TYPE]`. What is there under the whole text is that file, whatever is in its name.

    Args:
        text: what was typed.
        annotations: those of the files; the ones of this file are taken out.
        titled: whether it may have a title.
        strips: whether a file without a title has its own name for one, without the folders that it is in.
    """
    from lading.artifacts.push import ArtifactFile

    path, title, media_type = text, None, None
    if not os.path.lexists(text):
        before, colon, after = text.rpartition(":")
        if colon and (not after or is_media_type(after)):
            path, media_type = before, after or None
        if titled and not os.path.lexists(path):
            before, equals, after = path.partition("=")
            if equals:
                path, title = after, as_text(before)
    if not path or title == "":
        raise click.UsageError(f"{text!r} is no [TITLE=]FILE[:TYPE]")
    if path == "-" and titled and title is None:
        raise click.UsageError("what comes from standard input needs a title: write TITLE=-")
    content = path if (stream := _stream(path)) is None else stream
    said = annotations.files.pop(path, {})
    if strips and title is None and _TITLE not in said:
        title = os.path.basename(path.rstrip("/"))  # noqa: PTH119  # the text as it was typed
    return ArtifactFile(content=content, title=title, media_type=media_type, annotations=said)


def _stream(path: str) -> BinaryIO | bytes | None:
    """What is read once and has no path: `-`, a pipe that a shell makes of `<(…)`, the null device; else None."""
    from lading.io.threads import reader

    if path == "-":
        return reader(sys.stdin.fileno())
    found = _DESCRIPTOR.fullmatch(path)
    with suppress(OSError):
        if found is not None and stat.S_ISFIFO(os.fstat(int(found[1])).st_mode):
            return reader(int(found[1]))
    return b"" if path == os.devnull else None


def annotations_of(path: str | None) -> FileAnnotations:
    """What is in the file of `--annotation-file`.

    Args:
        path: of the file; None for no file.
    """
    if path is None:
        return FileAnnotations()
    from lading.io.sources import open_file

    with open_file(Path(path)) as file:
        try:
            found = msgspec.json.decode(file.read(), type=dict[str, dict[str, str]])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--annotation-file: {path} has no annotations as JSON ({error})") from None
    manifest, config = found.pop(_MANIFEST, {}), found.pop(_CONFIG, {})
    return FileAnnotations(manifest, config, found)


def shown_guesses(options: Options) -> Callable[[Sequence[Guess]], None]:
    """Tells on stderr what was guessed, before anything is sent: a line for each kind, and how to say otherwise.

    Args:
        options: the common flags.
    """

    def show(guesses: Sequence[Guess]) -> None:
        from lading.model.text import excerpt

        files: dict[tuple[str, str], list[str]] = {}
        for guess in guesses:
            files.setdefault((guess.kind, guess.media_type), []).append(excerpt(guess.file) or "a file without a name")
        for (kind, media_type), names in files.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            options.note(f"{names[0]}{more}: {kind} ({media_type})")
        whole = "; the artifact is made as is usual for that" if any(guess.whole for guess in guesses) else ""
        options.note(f"Guessed{whole}. To say otherwise: FILE:TYPE, --artifact-type TYPE or --no-guess")

    return show
