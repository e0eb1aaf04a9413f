"""`lading pull`: a copy to this machine."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.copying import copy_options, run_copy
from lading.cli.groups import Command
from lading.cli.options import Options, common
from lading.errors import UsageError


@click.command(cls=Command, short_help="Bring an image to this machine: engine, archive or layout")
@click.argument("reference", type=values.location, metavar="REF")
@click.argument("location", required=False)
@copy_options
@common()
def pull(options: Options, reference: str, location: str | None, **given: Any) -> None:
    """Bring what REF names to LOCATION, by default into the container engine, under the same name.

    Into an engine or a Docker archive comes the image for this machine's platform, unless --platform says otherwise.

    \b
    lading pull alpine:3.20
    lading pull ghcr.io/acme/web:1.4 oci:web:1.4
    """
    from lading.cli.wording import typed
    from lading.stores.location import parse_location

    here = parse_location(location) if location is not None else None
    if here is not None and here.is_registry:
        across = f"lading copy {typed(reference)} {typed(str(location))}"
        raise UsageError(
            f"{location} is in a registry, not on this machine",
            remedy=f"into a directory: oci:{location}      between registries: {across}",
        )
    target = location
    if target is None:
        named = parse_location(reference).full().reference
        if named is None or named.digest is not None:
            raise UsageError(
                f"{reference} gives no name for the image in the container engine",
                remedy=f"name it: lading pull {typed(reference)} docker-daemon:NAME",
            )
        target = f"docker-daemon:{named}"
    try:
        run_copy(options, reference, (target,), given)
    except UsageError as error:
        if location is None and "command" in error.message:
            error.remedy = f"say where to instead: lading pull {typed(reference)} oci:DIR"
        raise
