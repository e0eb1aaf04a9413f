"""The merged file system of an image as a tar archive, or in a folder: which it is, and in which order it is written.

This module writes what `reading` finds; how files come into a folder is the business of `folder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

from lading.errors import LadingError, NotFound, way_on
from lading.images.files.delivery import Sink
from lading.images.files.filesystem import Filesystem, Inode, Node
from lading.images.files.folder import Folder, Lost, emptied, made
from lading.images.files.reading import Reading
from lading.io import scratch
from lading.io.outputs import Stream, is_stream
from lading.io.tar_stream import Member
from lading.io.tar_writer import DIRECTORY, HARD_LINK, SYMLINK, TarWriter
from lading.io.threads import heed, in_thread
from lading.model.digest import Digest
from lading.model.document import Result


class Exported(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was written of an image."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    target: str | None
    """The file or folder; None for a file object."""
    entries: int
    """How many files of any type."""
    size: int
    """Of the contents of files, in bytes."""
    lost: tuple[str, ...] = ()
    """What could not be kept, one sentence each."""
    is_whole: bool = True
    """Whether all files are there."""
    warnings: tuple[str, ...] = ()
    """What container engines do not agree on, or do not keep."""


async def export(reading: Reading, target: Path | str | BinaryIO, layer: int | str | None) -> Exported:
    """See `Image.export`."""
    if isinstance(target, Path | str):
        path = Path(target)
        if path.is_dir() or str(target).endswith("/"):
            return await _into_folder(reading, path, layer)
        try:
            if await in_thread(is_stream, path):
                with await in_thread(Stream, path) as stream:
                    return msgspec.structs.replace(await _as_tar(reading, stream, layer), target=str(path))
        except OSError as error:
            raise LadingError(f"{path} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
        if not path.parent.is_dir():
            raise NotFound(
                f"{path} cannot be written",
                cause=f"there is no folder {path.parent}",
                remedy="make it, or name another",
            )
        try:
            with scratch.beside(path) as folder:
                new = folder / "archive"
                with new.open("wb") as file:
                    exported = await _as_tar(reading, file, layer)
                new.replace(path)
        except OSError as error:
            raise LadingError(f"{path} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
        return msgspec.structs.replace(exported, target=str(path))
    return await _as_tar(reading, target, layer)


async def _as_tar(reading: Reading, file: BinaryIO, layer: int | str | None) -> Exported:
    files = await reading.filesystem(layer, keep=True)
    writer = TarWriter(file, fractions=True)
    plan = await in_thread(_Plan, files)

    def begin() -> None:
        for path, node in plan.others:
            heed()
            writer.add(_header(path, node.inode.member))

    def sink(path: str, inode: Inode) -> Sink:
        started = False

        def write(piece: bytes | memoryview) -> None:
            nonlocal started
            if not started:
                writer.begin(_header(path, inode.member))
                started = True
            writer.write(piece)

        return Sink(write, end=writer.end)

    def end() -> None:
        for path, first in plan.links:
            member = plan.inodes[first].member
            writer.add(msgspec.structs.replace(member, name=path, type=HARD_LINK, size=0, link=first))
        writer.close()

    await in_thread(begin)
    await reading.contents(plan.wanted(), sink)
    await in_thread(end)
    return _exported(reading, plan, files)


def _header(path: str, member: Member) -> Member:
    is_link = member.type == SYMLINK
    name = f"{path}/" if member.type == DIRECTORY else path
    link = member.link if is_link else ""
    return msgspec.structs.replace(member, name=name, link=link, mode=0o777 if is_link else member.mode)


class _Plan:
    """In which order an image is written: directories and what has no content, then contents, then hard links."""

    def __init__(self, files: Filesystem) -> None:
        self.others: list[tuple[str, Node]] = []
        self.contents: list[tuple[str, Inode]] = []
        self.links: list[tuple[str, str]] = []
        """Other names of files, each with the first one."""
        self.inodes: dict[str, Inode] = {}
        """What has other names, by the first one."""
        self.unresolved: list[str] = []
        """Hard links of a single layer to what is in a layer below."""
        self.entries = 0
        self.size = 0
        first: dict[int, str] = {}
        if not files.root.is_implied:
            self.others.append((".", files.root))
        for path, node in files.walk("", files.root):
            heed()
            self.entries += 1
            inode = node.inode
            if inode.member.type == "1":
                self.unresolved.append(path)
                continue
            if inode.is_shared:
                known = first.setdefault(id(inode), path)
                if known != path:
                    self.links.append((path, known))
                    self.inodes[known] = inode
                    continue
            if inode.member.type == "0" and inode.member.size:
                self.contents.append((path, inode))
                self.size += inode.member.size
            else:
                self.others.append((path, node))

    def wanted(self) -> dict[int, dict[int, tuple[str, Inode]]]:
        """The contents by layer and offset."""
        wanted: dict[int, dict[int, tuple[str, Inode]]] = {}
        for path, inode in self.contents:
            wanted.setdefault(inode.layer, {})[inode.member.offset] = (path, inode)
        return wanted


async def _into_folder(reading: Reading, target: Path, layer: int | str | None) -> Exported:
    is_made = await in_thread(made, target)
    try:
        files = await reading.filesystem(layer, keep=True)
        plan = await in_thread(_Plan, files)
        folder = await in_thread(Folder, target)
    except BaseException:
        await in_thread(emptied, target, is_made)
        raise
    try:
        await in_thread(folder.begin, plan.others, plan.links)
        await reading.contents(plan.wanted(), folder.sink)
        await in_thread(folder.end, plan.others, plan.links)
    except BaseException:
        await in_thread(emptied, target, is_made)
        raise
    finally:
        folder.close()
    exported = _exported(reading, plan, files, folder.lost)
    return msgspec.structs.replace(exported, target=str(target))


def _exported(reading: Reading, plan: _Plan, files: Filesystem, lost: Lost | None = None) -> Exported:
    lost = lost or Lost()
    for path in plan.unresolved:
        lost.add("is a hard link to a file of another layer, and was left out", path, is_file=True)
    return Exported(
        reference=reading.name,
        digest=reading.digest,
        target=None,
        entries=plan.entries - len(plan.unresolved),
        size=plan.size,
        lost=lost.said(),
        is_whole=lost.is_whole,
        warnings=(*files.warnings, *_windows(reading.name, files)),
    )


def _windows(name: str, files: Filesystem) -> tuple[str, ...]:
    """What is lost of an image for Windows, as its layers tell (`Files` and `Hives` at the root)."""
    if not {"Files", "Hives"} <= (files.root.children or {}).keys():
        return ()
    return (f"{name} is for Windows: its files are below Files, and their attributes and owners there are left out",)
