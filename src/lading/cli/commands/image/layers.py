"""`lading image layers`: the layers of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.images.layer_list import LayerEntry, LayerList

_WIDTH = 60


@click.command(cls=Command, short_help="List the layers of an image")
@click.argument("reference", type=values.location)
@click.option("--shared-with", type=values.location, metavar="REF", help="Say which layers this image has as well.")
@click.option("--no-trunc", is_flag=True, help="Print digests and commands whole.")
@platform_option(help="The image for this platform.")
@format_option
@common()
def layers(
    options: Options, reference: str, shared_with: str | None, no_trunc: bool, platform: str | None, format_: str
) -> None:
    """List the layers of an image, from the lowest up: what each is, what made it, and who else has it.

    \b
    lading image layers reg.example/app:1.4 --shared-with reg.example/app:1.3
    """
    from lading.cli.output import emit

    found = options.run(lambda client: client.images.layers(reference, platform=platform, shared_with=shared_with))
    for warning in found.warnings:
        options.warn(warning)
    emit(found, format_, lambda: _table(found, no_trunc))


def _table(found: LayerList, whole: bool) -> list[str]:
    from lading.cli.output import table

    head = ["LAYER", "DIGEST", "DIFF ID", "SIZE", "TYPE", "ALSO IN", "COMMAND"]
    return table([head, *(_row(layer, whole) for layer in found.layers)], right=(0, 3))


def _row(layer: LayerEntry, whole: bool) -> list[str]:
    from lading.cli.output import short, size

    command = " ".join((layer.instruction or layer.created_by or "-").split())
    if not whole and len(command) > _WIDTH:
        command = f"{command[: _WIDTH - 1]}…"
    also = [*layer.platforms, *(["the other image"] if layer.is_shared else [])]
    kind = layer.media_type.removeprefix("application/vnd.").removesuffix("+json")
    return [
        str(layer.number),
        short(layer.digest, whole),
        short(layer.diff_id, whole),
        size(layer.size),
        kind,
        ", ".join(also) or "-",
        command,
    ]
