"""`lading manifest diff`: how two manifests differ, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.store import AnyManifest


class ManifestDiffDocument(TypedDict):
    """`lading manifest diff`."""

    is_same: bool
    """Whether both have one digest."""
    digests: list[str]
    manifests: list[dict[str, Any]]
    """Both, decoded."""


@click.command(cls=Command, short_help="Say how two manifests differ, as JSON")
@click.argument("a", type=values.location)
@click.argument("b", type=values.location)
@platform_option(multiple=True, help="The image for this platform; twice: of A, then of B.")
@format_option
@common()
def diff(options: Options, a: str, b: str, platforms: tuple[str, ...], format_: str) -> None:
    """Print the lines of JSON in which two manifests or indexes differ. Exits with 1 where they do.

    What differs in words, in configs and in files: lading diff.

    \b
    lading manifest diff reg.example/app:1.4 reg.example/app:1.5
    """
    from lading.cli.json_difference import json_difference
    from lading.cli.output import emit

    if len(platforms) > 2:
        raise click.UsageError("--platform is given once, or twice: of A, then of B")
    chosen = (*platforms, *platforms[-1:], None, None)[:2]
    one, other = options.run(lambda client: _both(client, (a, b), chosen))
    document = ManifestDiffDocument(
        is_same=one.digest == other.digest,
        digests=[one.digest, other.digest],
        manifests=[one.document, other.document],
    )
    emit(document, format_, lambda: _lines(one, other, json_difference(one.document, other.document)))
    if one.digest != other.digest:
        raise click.exceptions.Exit(1)


def _lines(one: AnyManifest, other: AnyManifest, lines: list[str]) -> list[str]:
    if one.digest != other.digest and not lines:
        return ["the JSON says the same, and its bytes differ"]
    return lines


async def _both(
    client: AsyncClient, places: tuple[str, str], platforms: tuple[str | None, ...]
) -> tuple[AnyManifest, AnyManifest]:
    from lading.io.tasks import gather

    one, other = await gather(
        client.get(place, platform=platform) for place, platform in zip(places, platforms, strict=True)
    )
    return one, other
