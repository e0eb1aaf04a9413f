"""`lading digest`: the digest that a name has now."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.client import AsyncClient


class DigestDocument(TypedDict):
    """`lading digest`."""

    reference: str
    """`REPOSITORY@DIGEST`."""
    digest: str


@click.command(cls=Command, short_help="Print the digest of a name")
@click.argument("references", type=values.location, nargs=-1, required=True, metavar="REFERENCE...")
@platform_option(help="The digest of an index's entry for this platform.")
@option("--full", is_flag=True, help="Print REPOSITORY@DIGEST.")
@format_option
@common()
def digest(options: Options, references: tuple[str, ...], platform: str | None, full: bool, format_: str) -> None:
    """Print the digest that REFERENCE names; of several, each with its reference.

    `-` reads references from standard input, one a line.

    \b
    lading digest alpine:3.20
    lading digest alpine:3.20 --platform linux/arm64
    """
    from lading.cli.output import emit
    from lading.stores.location import parse_location

    several = values.are_several(references)

    async def look(client: AsyncClient, reference: str) -> DigestDocument:
        location = parse_location(reference).full()
        found = await client.digest(location, platform=platform)
        return DigestDocument(reference=str(location.with_digest(found)), digest=found)

    def show(reference: str, document: DigestDocument) -> None:
        one = f"{document['digest']}  {reference}" if several else document["digest"]
        emit(document, format_, lambda: document["reference"] if full else one, is_line=several)

    if several:
        from lading.cli.several import for_each

        if code := for_each(options, references, look, show):
            raise click.exceptions.Exit(code)
        return
    show(references[0], options.run(lambda client: look(client, references[0])))
