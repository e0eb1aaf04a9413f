"""Edits of layers as options: what is typed becomes an edit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.editing import EditOption

if TYPE_CHECKING:
    from lading.images.edits.edit import Edit
    from lading.model.media_types import LayerCompression

F = TypeVar("F", bound=Callable[..., Any])
_COMPRESSIONS: dict[str, LayerCompression] = {"gzip": "gzip", "zstd": "zstd", "none": "none"}


def compression(text: str) -> tuple[LayerCompression, int | None]:
    """A compression and its level from `gzip`, `gzip:9`, `zstd:19` or `none`.

    Args:
        text: what was typed.
    """
    name, colon, level = text.partition(":")
    if name not in _COMPRESSIONS or (colon and not (level.isdecimal() and level.isascii())):
        raise click.UsageError(f"--compression: {text!r} is not gzip, zstd or none, with a level such as gzip:9 or not")
    return _COMPRESSIONS[name], int(level) if colon else None


def compression_option(function: F) -> F:
    """Add how a new layer is compressed."""
    text = "Of the new layer: gzip, zstd or none."
    return click.option("--compression", metavar="NAME[:LEVEL]", help=text)(function)


def layer_edit_options(function: F) -> F:
    """Add the edits of layers to an `EditCommand`."""
    for options, is_rare in ((_RARE, True), (_OPTIONS, False)):
        for name, make, metavar, text in reversed(options):
            kind: dict[str, Any] = {"metavar": metavar} if metavar else {"is_flag": True}
            function = click.option(name, cls=EditOption, make=make, help=text, is_rare=is_rare, **kind)(function)
    return function


def _strip(path: str) -> Edit:
    from lading.images.edits.files import StripFiles

    return StripFiles((path,))


def _replace(text: str) -> Edit:
    from lading.images.edits.files import ReplaceFile

    path, equals, name = text.partition("=")
    if not path or not equals:
        raise click.UsageError(f"--replace-file: {text!r} is not PATH=FILE")
    try:
        return ReplaceFile(path, Path(name).read_bytes())
    except OSError as error:
        raise click.UsageError(f"--replace-file: {name} cannot be read ({error.strerror})") from error


def _remove(layer: str) -> Edit:
    from lading.images.edits.remove_layers import RemoveLayers

    return RemoveLayers(layer=layer)


def _remove_made(expression: str) -> Edit:
    from lading.images.edits.remove_layers import RemoveLayers

    return RemoveLayers(created_by=expression)


def _time(text: str) -> Edit:
    from lading.images.edits.files import SetFileTimes

    return SetFileTimes(**_seconds(text, "--file-time", only_later=False))


def _time_max(text: str) -> Edit:
    from lading.images.edits.files import SetFileTimes

    return SetFileTimes(**_seconds(text, "--file-time-max", only_later=True))


def _archive_time(text: str) -> Edit:
    return _archive_times(text, "--archive-time", only_later=False)


def _archive_time_max(text: str) -> Edit:
    return _archive_times(text, "--archive-time-max", only_later=True)


def _archive_times(text: str, option: str, *, only_later: bool) -> Edit:
    from lading.images.edits.files import SetArchiveTimes

    path, equals, said = text.partition("=")
    if not path or not equals:
        raise click.UsageError(f"{option}: {text!r} is not PATH=TIME")
    return SetArchiveTimes(path=path, **_seconds(said, option, only_later=only_later))


def _seconds(text: str, option: str, *, only_later: bool) -> dict[str, Any]:
    """What is said of times of files, which are in whole seconds."""
    from lading.cli.times import times

    time, after, more = times(text, option, only_later=only_later)
    found: dict[str, Any] = {**more}
    for name, moment in (("seconds", time), ("after", after)):
        if moment is not None:
            found[name] = int(moment.timestamp())
    return found


def _compressed(text: str) -> Edit:
    from lading.images.edits.compression import Recompress

    return Recompress(*compression(text))


def _reproducible(_: str) -> Edit:
    from lading.cli.times import source_date
    from lading.images.edits.files import MakeReproducible

    return MakeReproducible(latest=source_date())


_OPTIONS: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--strip-file", _strip, "PATH", "Leave a file, a directory or what matches a glob out of all layers."),
    ("--replace-file", _replace, "PATH=FILE", "Give a file the content of FILE, in the layer it comes from."),
    ("--remove-layer", _remove, "LAYER", "Take a layer away: its number from 1, digest or diff ID."),
    ("--remove-layer-created-by", _remove_made, "REGEX", "Take away layers by what the history says made them."),
    ("--file-time", _time, "TIME[,skip=N]", "Set the times of files, but for the N lowest layers."),
    ("--file-time-max", _time_max, "TIME[,base=REF]", "Only times that are later, and none of REF's layers."),
    ("--compression", _compressed, "NAME[:LEVEL]", "Compress layers with gzip or zstd, or not (none)."),
    (
        "--reproducible",
        _reproducible,
        "",
        "Leave owners' names, access and change times out of layers; no file later than SOURCE_DATE_EPOCH.",
    ),
)
_RARE: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--archive-time", _archive_time, "PATH=TIME[,skip=N]", "Set the times in a tar archive that lies in a layer."),
    ("--archive-time-max", _archive_time_max, "PATH=TIME[,base=REF]", "Only those that are later."),
)
