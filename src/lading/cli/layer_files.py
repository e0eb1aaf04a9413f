"""Files on disk as new layers: the options, and what is typed for a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.drafts import as_text
from lading.cli.layer_edits import compression, compression_option
from lading.cli.times import source_date

if TYPE_CHECKING:
    from lading.images.edits.new_layer import LayerFrom
    from lading.io.folder_tar import Packing

F = TypeVar("F", bound=Callable[..., Any])


def first_file_options(function: F) -> F:
    """Add the options that are wanted every day."""
    for add in reversed(
        (
            click.option("--owner", metavar="UID:GID|keep", default="0:0", help="Of files (0:0)."),
            click.option("--chmod", metavar="MODE", help="Change permissions: 755, or u=rwX,go=rX."),
            click.option("--ignore-file", metavar="FILE", help="What to leave out, as in .dockerignore."),
        )
    ):
        function = add(function)
    return function


def more_file_options(function: F) -> F:
    """Add the others."""
    for add in reversed(
        (
            compression_option,
            click.option("--created-by", metavar="TEXT", help="What the history says of the layers."),
            click.option("--times", type=click.Choice(["keep"]), help="Keep when files were modified."),
            click.option("--xattrs", is_flag=True, help="Keep extended attributes of files."),
        )
    ):
        function = add(function)
    return function


def taken_layers(files: Sequence[str], given: dict[str, Any]) -> list[LayerFrom]:
    """What layers are to be made of.

    Args:
        files: what was typed: archives, or `DIR:/PATH` and `FILE:/PATH`.
        given: the values of the options, which are taken out.
    """
    packing = _packing(given)
    name, level = compression(given.pop("compression") or "gzip")
    created_by, created = given.pop("created_by"), source_date() or 0
    how = {"created_by": as_text(created_by) if created_by is not None else None, "created": created}
    layers = [_layer(file, packing=packing, compression=name, level=level, **how) for file in files]
    if sum(layer.path == "-" for layer in layers) > 1:
        raise click.UsageError("standard input (-) can be read once")
    return layers


def _layer(text: str, **how: Any) -> LayerFrom:
    from lading.images.edits.new_layer import LayerFrom

    path, colon, place = text.rpartition(":/")
    if not colon:
        path, found = text, None
    else:
        found = f"/{place}"
    if not path or (path == "-" and found is not None):
        raise click.UsageError(f"{text!r} is no FILE, no DIR:/PATH and no FILE:/PATH")
    return LayerFrom(path=path, place=found, **how)


def _packing(given: dict[str, Any]) -> Packing:
    from lading.io.folder_tar import Packing
    from lading.io.ignore_file import Ignore
    from lading.io.modes import ModeChange

    chmod, ignore = given.pop("chmod"), given.pop("ignore_file")
    return Packing(
        owner=_owner(given.pop("owner")),
        times="keep" if given.pop("times") else source_date() or 0,
        modes=ModeChange(chmod) if chmod is not None else None,
        xattrs=given.pop("xattrs"),
        ignore=Ignore(_lines(ignore)) if ignore is not None else Ignore(),
    )


def _owner(text: str) -> Any:
    if text == "keep":
        return "keep"
    user, _, group = text.partition(":")
    if not (user.isdigit() and (group or user).isdigit() and user.isascii() and group.isascii()):
        raise click.UsageError(f"--owner: {text!r} is not UID:GID")
    owner = int(user), int(group or user)
    if max(owner) >= 2**32 - 1:
        raise click.UsageError(f"--owner: {text!r} is too large")
    return owner


def _lines(path: str) -> list[str]:
    from lading.io.sources import open_file

    with open_file(Path(path)) as file:
        return file.read().decode("utf-8", "surrogateescape").splitlines()
