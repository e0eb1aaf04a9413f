"""`lading image ls`: files in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, layer_option, platform_option

if TYPE_CHECKING:
    from lading.images.files.entries import FileEntry
    from lading.images.files.reading import Files


@click.command(cls=Command, short_help="List files in an image")
@click.argument("reference", type=values.location)
@click.argument("path", default="/")
@click.option("-l", "long", is_flag=True, help="Print permissions, owners, sizes, times and layers, too.")
@click.option("-R", "--recursive", is_flag=True, help="List what is in directories, too.")
@click.option("-d", "--directory", is_flag=True, help="List a directory itself, not what is in it.")
@layer_option
@platform_option(help="The image for this platform.")
@format_option
@common()
def ls(
    options: Options,
    reference: str,
    path: str,
    long: bool,
    recursive: bool,
    directory: bool,
    layer: str | None,
    platform: str | None,
    format_: str,
) -> None:
    """List files at PATH in the merged file system of an image. PATH may be a glob: * within a name, ** across.

    \b
    lading image ls alpine:3.20 /etc -l
    lading image ls alpine:3.20 '/usr/**/*.so' --format json
    """
    from lading.cli.output import emit

    found = options.run(
        lambda client: client.images.files(
            reference, path, platform=platform, recursive=recursive, directory=directory, layer=layer
        )
    )
    for warning in found.warnings:
        options.warn(warning)
    if found.entries or format_ != "text":
        emit(found, format_, lambda: _long(found) if long else [entry.path for entry in found.entries])


_KINDS = {"file": "-", "dir": "d", "symlink": "l", "char": "c", "block": "b", "fifo": "p"}


def _long(found: Files) -> list[str]:
    from lading.cli.output import table

    rows = [["MODE", "OWNER", "SIZE", "MODIFIED", "LAYER", "PATH"], *(_row(entry) for entry in found.entries)]
    return table(rows, right=(2,))


def _row(entry: FileEntry) -> list[str]:
    from lading.cli.output import short

    size = entry.device or str(entry.size)
    name = entry.path
    if entry.link is not None:
        name += f" -> {entry.link}"
    elif entry.hard_link is not None:
        name += f" = {entry.hard_link}"
    return [_mode(entry), f"{entry.uid}:{entry.gid}", size, _time(entry.mtime), short(entry.layer), name]


def _mode(entry: FileEntry) -> str:
    """The type and the permissions as `ls` writes them: `drwxr-xr-x`."""
    letters = [letter if entry.mode >> (8 - at) & 1 else "-" for at, letter in enumerate("rwxrwxrwx")]
    for bit, at, letter in ((0o4000, 2, "s"), (0o2000, 5, "s"), (0o1000, 8, "t")):
        if entry.mode & bit:
            letters[at] = letter if letters[at] == "x" else letter.upper()
    return _KINDS[entry.type] + "".join(letters)


def _time(seconds: float | None) -> str:
    from datetime import UTC, datetime

    if seconds is None:
        return "-"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return str(int(seconds))
