"""`lading image size`: how large images are, and what for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command, Option
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.images.files.usage import FilesReport
    from lading.images.sizes import ImageSize, SizeReport


class SizeDocument(TypedDict):
    """`lading image size`."""

    total: int
    """What all of them need together, in bytes; what several share counts once."""
    images: list[ImageSize]
    files: FilesReport | None
    """What the bytes are used for; null where neither `--files` nor `--max-reclaimable` asks for it."""


@click.command(cls=Command, short_help="Show how large images are, and what for")
@click.argument("references", nargs=-1, required=True, type=values.location, metavar="REFERENCE…")
@click.option("--files", is_flag=True, help="Read the layers: the largest files, and what later layers hide.")
@click.option("--top", cls=Option, type=click.IntRange(min=1), default=20, metavar="N", help="How many files (20).")
@click.option(
    "--max-reclaimable", type=values.share, metavar="SIZE|PERCENT", help="Exit with 1 where more is hidden: 20MB, 5%."
)
@platform_option(multiple=True, help="Of an index only the images for this platform. Repeatable.")
@format_option
@common()
def size(
    options: Options,
    references: tuple[str, ...],
    files: bool,
    top: int,
    max_reclaimable: values.Share | None,
    platforms: tuple[str, ...],
    format_: str,
) -> None:
    """Show how large images are: each, what only it has, and all together. Of an index all its images.

    Reclaimable is what later layers overwrite or delete, so that a pull brings it in vain.

    \b
    lading image size reg.example/app:1.4 reg.example/app:1.3
    lading image size reg.example/app:1.4 --files --max-reclaimable 5%
    """
    from lading.cli.output import emit

    looks = files or max_reclaimable is not None
    if looks and (len(references) > 1 or len(platforms) > 1):
        raise click.UsageError("--files and --max-reclaimable are about one image")
    platform, first = next(iter(platforms), None), next(iter(references))

    async def look(client: AsyncClient) -> tuple[SizeReport, FilesReport | None]:
        sizes = await client.images.sizes(references, platforms=platforms)
        if not looks:
            return sizes, None
        return sizes, await client.images.largest(first, platform=platform, most=top)

    sizes, found = options.run(look)
    document = SizeDocument(total=sizes.total, images=list(sizes.images), files=found)
    for warning in found.warnings if found is not None else ():
        options.warn(warning)
    emit(document, format_, lambda: _text(sizes, found))
    if found is not None and max_reclaimable is not None:
        most = max_reclaimable.of(found.size)
        if found.reclaimable > most:
            from lading.cli.output import size as shown

            options.note(f"{shown(found.reclaimable)} are reclaimable, and {shown(most)} are allowed")
            raise click.exceptions.Exit(1)


def _text(sizes: SizeReport, found: FilesReport | None) -> list[str]:
    from lading.cli.output import size as shown
    from lading.cli.output import table

    rows = [["IMAGE", "PLATFORM", "LAYERS", "SIZE", "UNIQUE"]]
    rows += [
        [one.reference, str(one.platform or "-"), str(one.layers), shown(one.size), shown(one.unique)]
        for one in sizes.images
    ]
    if len(sizes.images) > 1:
        rows.append(["all together", "", "", shown(sizes.total), ""])
    lines = table(rows, right=(2, 3, 4))
    if found is not None:
        lines += ["", *_files(found)]
    return lines


def _files(found: FilesReport) -> list[str]:
    from lading.cli.output import short, table
    from lading.cli.output import size as shown

    share = f" ({100 * found.reclaimable / found.size:.1f} %)" if found.size else ""
    lines = [
        f"files        {shown(found.size)} in all layers, {shown(found.visible)} of it visible",
        f"reclaimable  {shown(found.reclaimable)}{share}",
    ]
    if found.files:
        rows = [["LARGEST", "LAYER", "PATH"]]
        rows += [[shown(one.size), short(one.layer), one.path] for one in found.files]
        lines += ["", *table(rows, right=(0,))]
    if found.hidden:
        rows = [["RECLAIMABLE", "LAYER", "", "BY LAYER", "PATH"]]
        rows += [[shown(one.size), str(one.layer), one.reason, str(one.hidden_by), one.path] for one in found.hidden]
        lines += ["", *table(rows, right=(0, 1, 3))]
    return lines
