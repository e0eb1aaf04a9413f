"""`lading index ls`: what an index lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.images.indexes.report import IndexListing, ListedEntry


@click.command(cls=Command, short_help="List the entries of an index")
@click.argument("reference", type=values.location)
@click.option("-R", "--recursive", is_flag=True, help="List the entries of nested indexes, too.")
@click.option("--no-trunc", is_flag=True, help="Print digests and types whole.")
@format_option
@common()
def ls(options: Options, reference: str, recursive: bool, no_trunc: bool, format_: str) -> None:
    """List the entries of an index, as it lists them: one request.

    An entry is named by its position (@0), its digest or its platform in lading index remove and annotate.

    \b
    lading index ls reg.example/app:1.4
    lading index ls reg.example/app:1.4 --format json
    """
    from lading.cli.output import emit

    found = options.run(lambda client: client.indexes.entries(reference, recursive=recursive))
    emit(found, format_, lambda: _lines(options, found, no_trunc))


def _lines(options: Options, found: IndexListing, whole: bool) -> list[str]:
    from lading.cli.output import table

    if options.quiet:
        return [entry.digest for entry in found.entries]
    head = ["ENTRY", "PLATFORM", "DIGEST", "SIZE", "TYPE", "ANNOTATIONS"]
    return table([head, *(_row(entry, whole) for entry in found.entries)], right=(3,))


def _row(entry: ListedEntry, whole: bool) -> list[str]:
    from lading.cli.output import short, size

    kind = entry.artifact_type or entry.media_type
    platform = str(entry.platform) if entry.platform is not None else "-"
    if entry.os_version:
        platform += f":{entry.os_version}"
    if entry.attests is not None:
        platform = f"attestation of {short(entry.attests) or 'nothing'}"
    annotations = [f"{key}={value}" for key, value in entry.annotations.items() if not key.startswith(_ATTESTATION)]
    if entry.state == "missing":
        annotations.insert(0, "missing: not looked into")
    return [
        f"{'  ' * entry.depth}@{entry.position}",
        platform,
        short(entry.digest, whole),
        size(entry.size),
        kind if whole else kind.removeprefix("application/vnd.").removesuffix("+json"),
        ", ".join(annotations),
    ]


_ATTESTATION = "vnd.docker.reference."
