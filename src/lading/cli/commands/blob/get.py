"""`lading blob get`: the content of a blob."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

import click

from lading.cli import values
from lading.cli.blobs import named_blob
from lading.cli.groups import Command
from lading.cli.options import Options, common

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.model.digest import Digest


@click.command(cls=Command, short_help="Print a blob, or write it to a file")
@click.argument("blob", type=values.location, metavar="PLACE@DIGEST")
@click.option("-o", "--output", metavar="FILE", help="Write it there; what was interrupted goes on.")
@click.option("--range", "part", metavar="FIRST-LAST", help="Only these bytes, from 0; they cannot be verified.")
@common()
def get(options: Options, blob: str, output: str | None, part: str | None) -> None:
    """Print a blob of a repository or a layout, exactly as it is, verified.

    The last bytes are printed only if the digest is right; FILE is there whole or not at all.

    \b
    lading blob get reg.example/app@sha256:1f… --range 0-1023
    lading blob get oci:app@sha256:1f… -o layer.tar.gz
    """
    from lading.cli.output import stream

    place, digest = named_blob(blob)
    if part is not None:
        if output is not None:
            raise click.UsageError("--range prints; it does not go with --output")
        first, last = _range(part)
        piece = options.run(lambda client: client.blobs.read_part(place, digest, first, last - first + 1))
        stream().write(piece)
        return
    if output not in (None, "-"):
        target = str(output)
        options.run(lambda client: client.blobs.download(place, digest, target))
        return
    out = stream()
    options.run(lambda client: _print(client, place, digest, out))


async def _print(client: AsyncClient, place: str, digest: Digest, out: BinaryIO) -> None:
    from lading.io.threads import in_thread

    async with client.blobs.open(place, digest) as reader:
        async for chunk in reader:
            await in_thread(out.write, chunk)
        await in_thread(out.flush)


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(?a)(\d{1,18})-(\d{1,18})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise click.UsageError(f"--range: {text!r} is not FIRST-LAST, such as 0-1023")
    return int(found[1]), int(found[2])
