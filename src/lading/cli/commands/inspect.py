"""`lading inspect`: what a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.client import AsyncClient
    from lading.images.overview import Entry, Overview


@click.command(cls=Command, short_help="Show what a name stands for: platforms, sizes, annotations")
@click.argument("references", type=values.location, nargs=-1, required=True, metavar="REFERENCE...")
@platform_option(multiple=True, help="Only the entries of an index for this platform. Repeatable.")
@option("--no-trunc", is_flag=True, help="Print digests whole.")
@option("--raw", is_flag=True, help="Print the manifest's exact bytes instead.")
@format_option
@common()
def inspect(
    options: Options, references: tuple[str, ...], platforms: tuple[str, ...], no_trunc: bool, raw: bool, format_: str
) -> None:
    """Show what REFERENCE names: type, digest, platforms, sizes, annotations, attestations.

    `-` reads references from standard input, one a line.

    \b
    lading inspect alpine:3.20
    lading inspect alpine:3.20 --format '{{ digest }}'
    """
    from lading.cli.output import emit, emit_bytes, say

    several = values.are_several(references)
    if raw:
        if len(platforms) > 1 or format_ != "text" or several:
            raise click.UsageError("--raw goes with one reference, and neither --format nor more than one --platform")
        chosen = platforms[0] if platforms else None
        manifest = options.run(lambda client: client.get(references[0], platform=chosen))
        emit_bytes(manifest.raw)
        return
    shown = 0

    async def look(client: AsyncClient, reference: str) -> Overview:
        return await client.inspect(reference, platforms=platforms)

    def show(_: str, found: Overview) -> None:
        nonlocal shown
        if shown and format_ == "text":
            say("")
        shown += 1
        emit(found, format_, lambda: _overview(found, len(platforms) > 0, no_trunc), is_line=several)

    if several:
        from lading.cli.several import for_each

        if code := for_each(options, references, look, show):
            raise click.exceptions.Exit(code)
        return
    show("", options.run(lambda client: look(client, references[0])))


_KINDS = {
    "application/vnd.oci.image.index.v1+json": "OCI image index",
    "application/vnd.docker.distribution.manifest.list.v2+json": "Docker manifest list",
    "application/vnd.oci.image.manifest.v1+json": "OCI image manifest",
    "application/vnd.docker.distribution.manifest.v2+json": "Docker image manifest",
    "application/vnd.oci.artifact.manifest.v1+json": "OCI artifact manifest",
}


def _overview(found: Overview, filtered: bool, whole: bool) -> list[str]:
    from lading.cli.output import paint, short, table

    images = [entry for entry in found.entries if entry.attests is None]
    lines = [paint(str(found.reference), "cyan")]
    lines += [f"  {name.ljust(10)} {value}" for name, value in _facts(found, images, filtered)]
    lines += _annotations(found.annotations)
    if found.kind == "index":
        lines += ["", *table([_HEAD, *(_row(entry, whole) for entry in images)], right=(2, 3), indent="  ")]
        lines += _attestations(found.entries)
        for entry in images:
            lines += _annotations(entry.annotations, f" of {entry.platform or short(entry.digest)}")
    else:
        lines += _runs(found.config)
    return lines


def _facts(found: Overview, images: list[Entry], filtered: bool) -> list[tuple[str, str]]:
    """What is said in a line of its own: its name and its value."""
    facts = [("digest", str(found.digest)), ("type", _type(found, images, filtered))]
    if found.kind != "index" and images[0].platform:
        version = f" (version {images[0].os_version})" if images[0].os_version else ""
        facts.append(("platform", images[0].platform + version))
    if found.artifact_type:
        facts.append(("artifact", found.artifact_type))
    if found.subject:
        facts.append(("subject", found.subject))
    if found.created:
        facts.append(("created", found.created.partition("T")[0]))
    facts.append(("size", _size(found, images, filtered)))
    return facts


def _type(found: Overview, images: list[Entry], filtered: bool) -> str:
    """The kind of manifest in words; of an index with how many entries it has."""
    from lading.cli.output import count

    kind = _KINDS.get(found.media_type, found.media_type)
    if found.kind == "artifact":
        kind = f"{kind} of an artifact"
    if found.kind == "index":
        shown = f"{len(images)} of {found.entry_count}" if filtered else str(found.entry_count)
        noun = "platform" if all(entry.platform for entry in images) else "entry"
        plural = {"platform": "platforms", "entry": "entries"}[noun]
        kind += f", {shown} {noun if found.entry_count == 1 else plural}"
        if found.attestation_count:
            kind += f", {count(found.attestation_count, 'attestation')}"
    return kind


def _size(found: Overview, images: list[Entry], filtered: bool) -> str:
    """What a pull transfers, and for how much of the index or of the image that holds."""
    from lading.cli.output import count, size

    total = size(found.total_size)
    if found.kind != "index":
        return f"{total} in {count(images[0].layers or 0, 'layer')}"
    missing = sum(entry.state == "missing" for entry in images)
    return total + (f" for {len(images) - missing} of {found.entry_count}" if filtered or missing else " in all")


_HEAD = ["PLATFORM", "DIGEST", "LAYERS", "SIZE", ""]


def _row(entry: Entry, whole: bool) -> list[str]:
    from lading.cli.output import short, size

    platform = entry.platform or "-"
    if entry.os_version:
        platform += f" {entry.os_version}"
    nested = entry.state == "present" and entry.total_size is None
    note = ""
    if entry.state == "missing":
        note = "not in this repository"
    elif nested:
        note = "an index with " + ("1 entry" if entry.layers == 1 else f"{entry.layers} entries")
    elif entry.artifact_type:
        note = f"artifact {entry.artifact_type}"
    elif entry.state == "present" and entry.layers is None:
        note = entry.media_type or "of no media type"
    layers = "-" if nested or entry.layers is None else str(entry.layers)
    return [platform, short(entry.digest, whole), layers, size(entry.total_size), note]


def _annotations(annotations: Mapping[str, str], owner: str = "") -> list[str]:
    if not annotations:
        return []
    return ["", f"  annotations{owner}", *(f"    {key}={value}" for key, value in sorted(annotations.items()))]


def _attestations(entries: list[Entry]) -> list[str]:
    platforms = {str(entry.digest): entry.platform for entry in entries if entry.attests is None}
    subjects = [
        platforms.get(entry.attests) or "an entry that is not listed" for entry in entries if entry.attests is not None
    ]
    if not subjects:
        return []
    what = "an attestation" if len(subjects) == 1 else f"{len(subjects)} attestations"
    return ["", f"  with {what}, of {', '.join(dict.fromkeys(subjects))}"]


_RUNS = {
    "Entrypoint": "entrypoint",
    "Cmd": "cmd",
    "User": "user",
    "WorkingDir": "workdir",
    "ExposedPorts": "ports",
    "Env": "env",
    "Labels": "labels",
}


def _runs(config: dict[str, object]) -> list[str]:
    import json

    shown = []
    for key, name in _RUNS.items():
        value = config.get(key)
        if isinstance(value, dict):
            items = sorted(value) if key == "ExposedPorts" else [f"{k}={v}" for k, v in sorted(value.items())]
        elif isinstance(value, list):
            items = [json.dumps(value, ensure_ascii=False)] if key in ("Entrypoint", "Cmd") else value
        else:
            items = [value] if value else []
        shown += [f"  {('' if number else name).ljust(10)} {item}" for number, item in enumerate(items) if value]
    return ["", *shown] if shown else []
