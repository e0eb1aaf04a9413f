"""`lading image rebase`: an image on another base, without a build."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.editing import run_change, target_options
from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Put an image on another base")
@click.argument("reference", type=values.location, metavar="REF")
@click.option("--old-base", type=values.location, metavar="OLD", help="What it is built on (as annotations say).")
@click.option("--new-base", type=values.location, metavar="NEW", help="What it is to be built on (the same name).")
@target_options
@common(pushes=True)
def rebase(options: Options, reference: str, old_base: str | None, new_base: str | None, **given: Any) -> None:
    """Put an image, or all images of an index, on another base, and write the result to TARGET.

    The layers of OLD are replaced by those of NEW. What the image changed of the config of OLD stays as it is, the rest
    becomes that of NEW. An image that is not built on OLD is refused.

    \b
    lading image rebase reg.example/app:1.4 --new-base debian:12 -t 1.4.1
    lading image rebase oci:app:1 --old-base oci:a:1 --new-base oci:b:1 -t 2
    """
    run_change(
        options,
        reference,
        lambda client, **settings: client.images.rebase(reference, old_base=old_base, new_base=new_base, **settings),
        given,
    )
