"""What the bytes of an image are used for: the largest files, and what layers hold in vain.

This module counts what the file system gives while layers are applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from lading.images.files.entries import FileEntry, entries_of
from lading.images.files.filesystem import Filesystem, Inode
from lading.io.tasks import gather
from lading.io.threads import heed, in_thread
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.platform import Platform

if TYPE_CHECKING:
    from lading.images.files.reading import Reading


class Reclaimable(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A file that a later layer hides for good."""

    path: str
    size: int
    """In bytes."""
    layer: int
    """The number of the layer that has it, from 1."""
    hidden_by: int
    """The number of the layer that hides it, from 1."""
    reason: Literal["overwritten", "deleted"]


class FilesReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What the bytes of an image are used for."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    platform: Platform | None
    size: int
    """The contents of all files in all layers, in bytes."""
    visible: int
    """Of that, what is in the merged file system."""
    reclaimable: int
    """Of that, what later layers overwrite or delete, each file once."""
    files: tuple[FileEntry, ...]
    """The largest files, largest first."""
    hidden: tuple[Reclaimable, ...]
    """What is reclaimable, largest first."""
    warnings: tuple[str, ...] = ()


async def files_report(reading: Reading, most: int) -> FilesReport:
    """What the bytes of an image are used for; its layers are read.

    Args:
        reading: the image.
        most: how many files are listed at most.
    """
    hidden: list[Reclaimable] = []

    def on_hidden(path: str, inode: Inode, number: int, is_replaced: bool) -> None:
        if inode.member.size:
            hidden.append(
                Reclaimable(
                    path=path,
                    size=inode.member.stored,
                    layer=inode.layer + 1,
                    hidden_by=number + 1,
                    reason="overwritten" if is_replaced else "deleted",
                )
            )

    found = await gather(reading.index(layer) for layer in reading.layers)
    files = Filesystem(reading.name, on_hidden=on_hidden)

    def count() -> FilesReport:
        total = 0
        for layer, index in zip(reading.layers, found, strict=True):
            heed()
            files.apply(layer.number - 1, index.members)
            total += sum(member.stored for member in index.members if member.type == "0")
        regular = [
            (path, node)
            for path, node in files.walk("", files.root)
            if node.inode.member.type == "0" and node.inode.member.size
        ]
        once = {id(node.inode): (path, node) for path, node in reversed(regular)}
        largest = sorted(once.values(), key=lambda item: (-item[1].inode.member.size, item[0]))[:most]
        hidden.sort(key=lambda one: (-one.size, one.path, one.layer))
        return FilesReport(
            reference=reading.name,
            digest=reading.digest,
            platform=reading.platform,
            size=total,
            visible=sum(node.inode.member.stored for _, node in once.values()),
            reclaimable=sum(one.size for one in hidden),
            files=tuple(entries_of(largest, tuple(layer.digest for layer in reading.layers))),
            hidden=tuple(hidden[:most]),
            warnings=files.warnings,
        )

    return await in_thread(count)
