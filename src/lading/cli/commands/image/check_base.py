"""`lading image check-base`: whether the base of an image is still the one that it was built on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.images.base_check import BaseReport, ImageBase


@click.command(cls=Command, short_help="See whether the base is still the one built on")
@click.argument("reference", type=values.location)
@click.option("--base", type=values.location, metavar="REF", help="The base; by default what annotations say.")
@click.option("--digest", metavar="DIGEST", help="What the base was; by default what annotations say.")
@click.option("--no-config", is_flag=True, help="Where layers are compared, compare no histories.")
@platform_option(multiple=True, help="Of an index only the image for this platform. Repeatable.")
@format_option
@common()
def check_base(
    options: Options,
    reference: str,
    base: str | None,
    digest: str | None,
    no_config: bool,
    platforms: tuple[str, ...],
    format_: str,
) -> None:
    """See whether the base of an image is still the one that it was built on. Exit code 1: it has changed.

    The base's digest is compared, where it is known; else its layers have to be
    the image's first ones, and its history the beginning of the image's.

    \b
    lading image check-base reg.example/app:1.4
    lading image check-base reg.example/app:1.4 --base reg.example/base:3
    """
    from lading.cli.output import emit

    found = options.run(
        lambda client: client.images.check_base(
            reference, base=base, digest=digest, platforms=platforms, layers_only=no_config
        )
    )
    emit(found, format_, lambda: [] if options.quiet else _text(found))
    if not found.is_current:
        if format_ == "text" and (way := _way_on(found)):
            options.note(way)
        raise click.exceptions.Exit(1)


def _text(found: BaseReport) -> list[str]:
    """A line for each thing that became of a base, with the images that it is so for."""
    alike: dict[str, list[ImageBase]] = {}
    for image in found.images:
        alike.setdefault(_said(found.reference, image), []).append(image)
    if len(alike) == 1:
        return list(alike)
    return [f"{', '.join(str(image.platform) for image in images)}: {said}" for said, images in alike.items()]


def _way_on(found: BaseReport) -> str | None:
    """The command that puts images on their base as it is now, where it is known what it was, and that is the same."""
    from lading.cli.wording import typed
    from lading.stores.location import parse_location

    bases = {(image.base, image.previous) for image in found.images if not image.is_current}
    base, previous = next(iter(bases))
    if len(bases) > 1 or previous is None:
        return None
    old = f"{parse_location(base).place}@{previous}"
    command = f"lading image rebase {typed(found.reference)} --old-base {typed(old)} --new-base {typed(base)} -t TAG"
    return f"to put it on the base as it is now: {command}"


def _said(reference: str, image: ImageBase) -> str:
    if image.reason is None:
        return f"{image.base} is still the base of {reference}"
    if image.compared == "digest":
        return f"{image.base} is not the base of {reference} any more: {image.reason}"
    return f"{image.base}, which is {image.current} now, is not the base of {reference}: {image.reason}"
