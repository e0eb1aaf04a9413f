"""`lading manifest head`: what a manifest is, without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.model.descriptor import Descriptor
    from lading.stores.location import Location


class HeadDocument(TypedDict):
    """`lading manifest head`."""

    reference: str
    digest: str
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""


@click.command(cls=Command, short_help="Say what a manifest is: digest, media type, size")
@click.argument("reference", type=values.location, metavar="REF")
@format_option
@common()
def head(options: Options, reference: str, format_: str) -> None:
    """Print the digest, the media type and the size of the manifest that REF names, with one request.

    \b
    lading manifest head reg.example/app:1.4
    """
    from lading.cli.output import emit
    from lading.stores.location import parse_location

    location = parse_location(reference).full()
    found = options.run(lambda client: _resolved(client, location))
    document = HeadDocument(reference=str(location), digest=found.digest, media_type=found.media_type, size=found.size)
    emit(document, format_, lambda: [f"{found.digest}  {found.media_type}  {found.size}"])


async def _resolved(client: AsyncClient, location: Location) -> Descriptor:
    from lading.stores.opening import resolve_location

    async with client.open(location, mirrored=True) as store:
        return await resolve_location(store, location)
