"""`lading push`: a copy from this machine to a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lading.cli import values
from lading.cli.copying import copy_options, run_copy
from lading.cli.groups import Command, option
from lading.cli.options import Options, common
from lading.errors import UsageError


@click.command(cls=Command, short_help="Bring an image from this machine to a registry")
@click.argument("location")
@click.argument("references", type=values.location, metavar="REF...", nargs=-1, required=True)
@option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="One more tag in each target. Repeatable.")
@option("--by-digest", is_flag=True, help="Give no tag: it is there by its digest.")
@copy_options
@common(pushes=True)
def push(options: Options, location: str, references: tuple[str, ...], **given: Any) -> None:
    """Bring what LOCATION names to each REF.

    Where neither says a tag, everything in LOCATION keeps the tags that it has there.

    \b
    lading push docker-daemon:nginx:1.27 reg.example/nginx:1.27 -t latest
    lading push oci-archive:images.tar reg.example/app
    """
    from lading.cli.wording import typed
    from lading.stores.location import parse_location

    if parse_location(location).is_registry:
        if (path := Path(location)).exists():
            ways = [f"{kind}:{location}" for kind in (["oci"] if path.is_dir() else ["docker-archive", "oci-archive"])]
            remedy = f"if what is here is meant: {' or '.join(map(typed, ways))}"
            raise UsageError(f"{location} is read as a reference", remedy=remedy)
        across = f"lading copy {typed(location)} REF"
        raise UsageError(
            f"{location} is in a registry, not on this machine",
            remedy=f"from the container engine: docker-daemon:{location}      between registries: {across}",
        )
    run_copy(options, location, references, given | {"all_tags": None if not given["tags"] else False})
