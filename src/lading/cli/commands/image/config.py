"""`lading image config`: the config of an image."""

from __future__ import annotations

from typing import Any, TypedDict, cast

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option
from lading.model.config import ImageConfig


class ConfigDocument(TypedDict, total=False):
    """`lading image config`: what the config has, fields that lading does not know included."""

    created: str
    """RFC 3339, as found."""
    author: str
    architecture: str
    os: str
    variant: str
    """Of the architecture."""
    config: dict[str, Any]
    """How a container runs: `Env`, `Entrypoint`, `Cmd`, `Labels` …"""
    rootfs: dict[str, Any]
    """Its `diff_ids` are the digests of the layers without compression."""
    history: list[dict[str, Any]]
    """How each layer came about."""


@click.command(cls=Command, short_help="Print the config of an image")
@click.argument("reference", type=values.location)
@click.option("--raw", is_flag=True, help="Print its exact bytes instead.")
@platform_option(help="The image for this platform.")
@format_option
@common()
def config(options: Options, reference: str, raw: bool, platform: str | None, format_: str) -> None:
    """Print the config of an image: what it runs, on which platform, and how it came about.

    \b
    lading image config alpine:3.20 --format '{{ config.Env }}'
    """
    from lading.cli.output import emit, emit_bytes
    from lading.client import AsyncClient

    async def look(client: AsyncClient) -> ImageConfig:
        async with client.images.open(reference, platform=platform) as image:
            return await image.config()

    if raw and format_ != "text":
        raise click.UsageError("--raw and --format exclude each other")
    found = options.run(look)
    if raw:
        emit_bytes(found.raw)
        return
    emit(cast("ConfigDocument", found.to_document()), "json" if format_ == "text" else format_, lambda: "")
