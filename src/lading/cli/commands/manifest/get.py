"""`lading manifest get`: the exact bytes of a manifest."""

from __future__ import annotations

from pathlib import Path

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, platform_option


@click.command(cls=Command, short_help="Print the exact bytes of a manifest")
@click.argument("reference", type=values.location, metavar="REF")
@platform_option(help="Of an index, the image for this platform.")
@click.option("-o", "--output", metavar="FILE", help="Write them there.")
@click.option("--pretty", is_flag=True, help="Lay the JSON out for people.")
@common()
def get(options: Options, reference: str, platform: str | None, output: str | None, pretty: bool) -> None:
    """Print the manifest or index that REF names, byte for byte as it is in its place, verified.

    Local lists are not looked at; lading manifest inspect does that.

    \b
    lading manifest get reg.example/app:1.4
    lading manifest get oci:app:1.4 --platform linux/arm64 -o manifest.json
    """
    from lading.cli.output import emit_bytes, emit_json
    from lading.errors import LadingError, way_on
    from lading.io.outputs import write_output
    from lading.model.encoding import reindent

    raw = options.run(lambda client: client.get(reference, platform=platform)).raw
    if output not in (None, "-"):
        try:
            write_output(Path(str(output)), raw)
        except OSError as error:
            raise LadingError(f"{output} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
    elif pretty:
        emit_json(reindent(raw, "  "))
    else:
        emit_bytes(raw)
