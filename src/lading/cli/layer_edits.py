"""Edits of layers as options: what is typed becomes an edit."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
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


def source_date() -> int | None:
    """What `SOURCE_DATE_EPOCH` says, in seconds since the epoch; None where it says nothing."""
    said = os.environ.get("SOURCE_DATE_EPOCH")
    if not said:
        return None
    if not (said.isdecimal() and said.isascii() and int(said) < 8**11):
        raise click.UsageError(f"SOURCE_DATE_EPOCH is {said!r}, which is no number of seconds since 1970")
    return int(said)


def source_created() -> str | None:
    """What `SOURCE_DATE_EPOCH` says, in RFC 3339; None where it says nothing."""
    seconds = source_date()
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z") if seconds is not None else None


def compression_option(function: F) -> F:
    """Add how a new layer is compressed."""
    text = "Of the new layer: gzip, zstd or none."
    return click.option("--compression", metavar="NAME[:LEVEL]", help=text)(function)


def layer_edit_options(function: F) -> F:
    """Add the edits of layers to an `EditCommand`."""
    for name, make, metavar, text in reversed(_OPTIONS):
        kind: dict[str, Any] = {"metavar": metavar} if metavar else {"is_flag": True}
        function = click.option(name, cls=EditOption, make=make, help=text, **kind)(function)
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

    seconds, skip = _moment(text, "--file-time")
    return SetFileTimes(seconds=seconds, skip=skip)


def _time_max(text: str) -> Edit:
    from lading.images.edits.files import SetFileTimes

    seconds, skip = _moment(text, "--file-time-max")
    return SetFileTimes(seconds=seconds, after=seconds, skip=skip)


def _moment(text: str, option: str) -> tuple[int, int]:
    """A time, and how many layers keep theirs, from `TIME[,skip=N]`."""
    said, _, skipped = text.partition(",skip=")
    if skipped and not (skipped.isdecimal() and skipped.isascii()):
        raise click.UsageError(f"{option}: {skipped!r} is no number of layers")
    if said.isdecimal() and said.isascii():
        return int(said), int(skipped or 0)
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise click.UsageError(
            f"{option}: {said!r} is no time such as 2024-05-01T12:00:00Z, and no number of seconds since 1970"
        ) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()), int(skipped or 0)


def _compressed(text: str) -> Edit:
    from lading.images.edits.compression import Recompress

    return Recompress(*compression(text))


def _reproducible(_: str) -> Edit:
    from lading.images.edits.files import MakeReproducible

    return MakeReproducible(latest=source_date())


_OPTIONS: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--strip-file", _strip, "PATH", "Leave a file, a directory or what matches a glob out of all layers."),
    ("--replace-file", _replace, "PATH=FILE", "Give a file the content of FILE, in the layer it comes from."),
    ("--remove-layer", _remove, "LAYER", "Take a layer away: its number from 1, digest or diff ID."),
    ("--remove-layer-created-by", _remove_made, "REGEX", "Take away layers by what the history says made them."),
    ("--file-time", _time, "TIME[,skip=N]", "Set the times of files, but for the N lowest layers."),
    ("--file-time-max", _time_max, "TIME[,skip=N]", "Set the times of files that are later."),
    ("--compression", _compressed, "NAME[:LEVEL]", "Compress layers with gzip or zstd, or not (none)."),
    (
        "--reproducible",
        _reproducible,
        "",
        "Leave owners' names, access and change times out of layers; no file later than SOURCE_DATE_EPOCH.",
    ),
)
