"""`lading image history`: how an image came about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, formats, platform_option

if TYPE_CHECKING:
    from lading.images.history import History, HistoryStep

_WIDTH = 70


@click.command(cls=Command, short_help="Show how the layers of an image came about")
@click.argument("reference", type=values.location)
@click.option("--no-trunc", is_flag=True, help="Print digests and commands whole.")
@platform_option(help="The image for this platform.")
@formats("dockerfile")
@common()
def history(options: Options, reference: str, no_trunc: bool, platform: str | None, format_: str) -> None:
    """Show how an image came about, from the first step on, each step beside its layer.

    \b
    lading image history alpine:3.20
    lading image history alpine:3.20 --format dockerfile
    """
    from lading.cli.output import emit

    found = options.run(lambda client: client.images.history(reference, platform=platform))
    for warning in found.warnings:
        options.warn(warning)
    if format_ == "dockerfile":
        from lading.images.history import dockerfile

        emit(found, "text", lambda: dockerfile(found.steps).splitlines())
        return
    emit(found, format_, lambda: _table(found, no_trunc))


def _table(found: History, whole: bool) -> list[str]:
    from lading.cli.output import table

    rows = [["LAYER", "DIGEST", "SIZE", "CREATED", "COMMAND"], *(_row(step, whole) for step in found.steps)]
    return table(rows, right=(0, 2))


def _row(step: HistoryStep, whole: bool) -> list[str]:
    from lading.cli.output import short, size

    command = " ".join((step.instruction or step.created_by or step.comment or "-").split())
    if not whole and len(command) > _WIDTH:
        command = f"{command[: _WIDTH - 1]}…"
    number = str(step.number) if step.number is not None else "-"
    created = (step.created or "-").partition("T")[0]
    return [number, short(step.layer, whole), size(step.size), created, command]
