"""`lading digest`: the digest that a name has now."""

from __future__ import annotations

from typing import TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option, platform_option


class DigestDocument(TypedDict):
    """`lading digest`."""

    reference: str
    """`REPOSITORY@DIGEST`."""
    digest: str


@click.command(cls=Command, short_help="Print the digest of a name")
@click.argument("reference", type=values.location)
@platform_option(help="The digest of an index's entry for this platform.")
@option("--full", is_flag=True, help="Print REPOSITORY@DIGEST.")
@format_option
@common()
def digest(options: Options, reference: str, platform: str | None, full: bool, format_: str) -> None:
    """Print the digest that REFERENCE names.

    \b
    lading digest alpine:3.20
    lading digest alpine:3.20 --platform linux/arm64
    """
    from lading.cli.output import emit
    from lading.stores.location import parse_location

    location = parse_location(reference).full()
    found = options.run(lambda client: client.digest(location, platform=platform))
    document = DigestDocument(reference=str(location.with_digest(found)), digest=found)
    emit(document, format_, lambda: document["reference"] if full else found)
