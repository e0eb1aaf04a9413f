"""`lading registry gc`: what nothing refers to is removed from a registry's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lading.serve import Garbage


class GarbageItemDocument(TypedDict):
    """Content that nothing refers to."""

    repository: str
    digest: str
    size: int
    """In bytes."""
    media_type: str | None
    """Of a manifest; null for a blob."""


class GarbageDocument(TypedDict):
    """`lading registry gc`."""

    folder: str
    removed: list[GarbageItemDocument]
    unfinished: int
    """How many files that were never finished went: uploads of processes that ended, and the like."""
    bytes: int
    """The room that all of it took on the disk; content that another repository keeps takes it still."""
    failed: dict[str, str]
    """The repositories in which nothing was removed, because something there cannot be read, with the reasons."""
    dry_run: bool


@click.command(cls=Command, short_help="Remove what nothing refers to from a registry's folder")
@click.argument("folder")
@click.option(
    "--older-than", type=values.age, default="24h", metavar="TIME", help="Leave what was used more lately (24h)."
)
@click.option("--untagged", is_flag=True, help="Remove manifests without a tag, too.")
@click.option("--dry-run", is_flag=True, help="Remove nothing; print what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask about manifests without a tag.")
@format_option
@common(verbose_flag=False, insecure=False)
def gc(
    options: Options, folder: str, older_than: float, untagged: bool, dry_run: bool, yes: bool, format_: str
) -> None:
    """Remove what nothing refers to from the FOLDER of a registry, which may be running, or from a layout, oci:DIR.

    Manifests stay, tagged or not, with all that they refer to and all that refers to them. With --untagged, those go
    that have no tag, unless one that stays leads to them.

    \b
    lading registry gc ./registry --dry-run
    lading registry gc ./registry --untagged --older-than 7d --yes
    """
    import asyncio
    from pathlib import Path

    from lading.cli.output import emit
    from lading.errors import NotFound
    from lading.serve import FolderStorage

    layout = folder.startswith("oci:")
    if not layout and not Path(folder).is_dir():
        raise NotFound(
            f"{folder} does not exist",
            cause="a registry keeps its content in a folder or in memory",
            remedy="name the folder that it has",
        )

    def collect(only_look: bool) -> Garbage:
        storage = None if layout else FolderStorage(folder, read_only=True, on_wait=options.warn)
        gc = storage.gc if storage is not None else _of_layout(options, folder)
        return asyncio.run(gc(dry_run=only_look, grace=older_than, untagged=untagged))

    if untagged and not (dry_run or yes):
        options.need_somebody("nothing was removed")
        _ask(options, collect(True))
    found = collect(dry_run)
    document = _document(folder, found, dry_run)
    if format_ == "text":
        if dry_run and found.content and not options.quiet:
            emit(document, format_, lambda: _table(document))
        options.note(_summary(document))
    else:
        emit(document, format_, str)
    for name, error in found.failed:
        options.warn(f"nothing was removed from {name}: {error}")
    if found.failed:
        raise click.exceptions.Exit(found.failed[0][1].exit_code)


def _of_layout(options: Options, text: str) -> Callable[..., Coroutine[Any, Any, Garbage]]:
    """The collection of a layout's garbage, told like a registry's."""
    from lading.cli.wording import typed
    from lading.errors import UsageError
    from lading.serve.storage.folder import Garbage
    from lading.stores.layout.layout import Layout
    from lading.stores.location import parse_location

    location = parse_location(text)
    if location.is_named:
        raise UsageError(f"{text} names one manifest", remedy=f"to delete it: lading delete {typed(text)}")

    async def gc(**how: Any) -> Garbage:
        found = await Layout(location.path, on_wait=options.warn).gc(**how)
        return Garbage(tuple((location.place, item) for item in found.content), found.parts, found.bytes)

    return gc


def _ask(options: Options, going: Garbage) -> None:
    """Ask before manifests go that somebody may know by their digests."""
    from lading.cli.output import say

    manifests = [f"{name}@{item.digest}" for name, item in going.content if item.media_type]
    if not manifests:
        return
    say(*(f"would remove {manifest}" for manifest in manifests), err=True)
    options.ask("Remove?", "nothing was removed")


def _document(folder: str, found: Garbage, dry_run: bool) -> GarbageDocument:

    return GarbageDocument(
        folder=folder,
        removed=[
            GarbageItemDocument(
                repository=name, digest=str(item.digest), size=item.size, media_type=item.media_type or None
            )
            for name, item in found.content
        ],
        unfinished=found.unfinished,
        bytes=found.bytes,
        failed={name: str(error) for name, error in found.failed},
        dry_run=dry_run,
    )


def _table(document: GarbageDocument) -> list[str]:
    from lading.cli.output import short, size, table

    rows = [
        [item["repository"], "manifest" if item["media_type"] else "blob", short(item["digest"]), size(item["size"])]
        for item in document["removed"]
    ]
    return table([["REPOSITORY", "WHAT", "DIGEST", "SIZE"], *rows], right=[3])


def _summary(document: GarbageDocument) -> str:
    from lading.cli.output import count, size

    manifests = sum(item["media_type"] is not None for item in document["removed"])
    blobs = len(document["removed"]) - manifests
    numbers = {"manifest": manifests, "blob": blobs, "unfinished file": document["unfinished"]}
    parts = [count(number, noun) for noun, number in numbers.items() if number]
    if not parts:
        return "Nothing to remove"
    what = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return f"{'Would remove' if document['dry_run'] else 'Removed'} {what}: {size(document['bytes'])}"
