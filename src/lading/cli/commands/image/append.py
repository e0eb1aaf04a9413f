"""`lading image append`: new layers of archives and of files on disk, on an image or on none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lading.cli import values
from lading.cli.drafts import as_text
from lading.cli.editing import run_change, target_options
from lading.cli.groups import Command
from lading.cli.layer_edits import compression, compression_option, source_date
from lading.cli.options import Options, common

if TYPE_CHECKING:
    from lading.images.edits.new_layer import LayerFrom
    from lading.io.folder_tar import Packing

_NOTHING = "scratch"


@click.command(cls=Command, short_help="Put files on an image as new layers")
@click.argument("base", type=values.location, metavar="BASE")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--owner", metavar="UID:GID|keep", default="0:0", help="Of files (0:0).")
@click.option("--chmod", metavar="MODE", help="Change permissions: 755, or u=rwX,go=rX.")
@click.option("--ignore-file", metavar="FILE", help="What to leave out, as in .dockerignore.")
@target_options
@compression_option
@click.option("--created-by", metavar="TEXT", help="What the history says of the layers.")
@click.option("--times", type=click.Choice(["keep"]), help="Keep when files were modified.")
@click.option("--xattrs", is_flag=True, help="Keep extended attributes of files.")
@common(pushes=True)
def append(options: Options, base: str, files: tuple[str, ...], **given: Any) -> None:
    """Put files on BASE, an image, an index or scratch, as a new layer each; write the result to TARGET.

    FILE is a tar archive, also with gzip or zstd, or - for one from standard input; or DIR:/PATH or FILE:/PATH for its
    place in the image. The same files give the same digest; SOURCE_DATE_EPOCH is their time, else 1970.

    \b
    lading image append reg.example/base:1 site:/srv/www -t reg.example/app:1
    lading image append scratch rootfs.tar.gz --platform linux/arm64 -t oci:out:1
    """
    packing = _packing(given)
    name, level = compression(given.pop("compression") or "gzip")
    created_by, created = given.pop("created_by"), source_date() or 0
    how = {"created_by": as_text(created_by) if created_by is not None else None, "created": created}
    layers = [_layer(file, packing=packing, compression=name, level=level, **how) for file in files]
    if sum(layer.path == "-" for layer in layers) > 1:
        raise click.UsageError("standard input (-) can be read once")
    reference = None if base == _NOTHING else base
    run_change(options, reference, lambda client, **how: client.images.append(reference, *layers, **how), given)


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
