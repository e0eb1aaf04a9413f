"""Layers put together to one: what they make over the layers below, with whiteouts for what they hide there.

This module knows layers and the file systems that they make, and neither manifests nor configs. What it writes is what
every container engine understands: each directory before what is in it and with its own entry, all names of a file
together, a whiteout for each name that is gone, and no opaque marker but where a name is too long for a whiteout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast

import msgspec

from lading.errors import Unsupported
from lading.images.edits.layer_file import LayerFile, WrittenLayer
from lading.images.files.delivery import MakeSink, Sink, spread
from lading.images.files.filesystem import OPAQUE, WHITEOUT, Filesystem, Inode, Node
from lading.images.files.layers import LIMITS, LayerLimits
from lading.images.files.reading import Reading
from lading.io import scratch
from lading.io.tar_stream import Member
from lading.io.tar_writer import TarWriter
from lading.io.tasks import gather
from lading.io.threads import heed, in_thread
from lading.model.media_types import LayerCompression
from lading.model.text import counted
from lading.stores.overlay import Overlay

_CHUNK = 1024 * 1024
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY = "0", "1", "2", "5"


class MergedLayer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of several layers."""

    layer: WrittenLayer
    entries: int
    """How many members it has."""
    warnings: tuple[str, ...]
    """What container engines do not agree on in the layers that were merged."""


async def merged(
    reading: Reading,
    overlay: Overlay,
    below: int,
    compression: LayerCompression,
    *,
    level: int | None = None,
    limits: LayerLimits = LIMITS,
) -> MergedLayer:
    """Put the upper layers of an image together.

    Args:
        reading: the image.
        overlay: gets the new layer.
        below: how many layers stay below, fewer than there are; 0 for the whole file system in one layer.
        compression: of the new layer.
        level: of the compression; None for what is usual.
        limits: how much the new layer may be.

    Raises:
        InvalidContent: a layer is damaged, or one that container engines refuse.
        Unsupported: sparse files would become too large: they are written with their holes.
    """
    indexes = await gather(reading.index(layer, keep=True) for layer in reading.layers)
    lower, whole = Filesystem(reading.name), Filesystem(reading.name)

    def plan() -> _Plan:
        for number, index in enumerate(indexes):
            if number < below:
                lower.apply(number, index.members)
            whole.apply(number, index.members)
        return _Plan(lower, whole, below)

    planned = await in_thread(plan)
    planned.check(reading.name, limits)
    algorithm = reading.layers[below].digest.algorithm
    with scratch.file() as spool, LayerFile(overlay, compression, level, algorithm=algorithm) as file:
        await reading.contents(planned.contents, planned.spooled(spool))
        await in_thread(planned.write, spool, file)
        layer = await in_thread(file.finish)
    return MergedLayer(layer=layer, entries=len(planned.members), warnings=whole.warnings)


class _Plan:
    """The members of the new layer in their order, and where their contents are.

    Args:
        lower: what the layers below make.
        whole: what all layers make.
        below: how many layers are below.
    """

    def __init__(self, lower: Filesystem, whole: Filesystem, below: int) -> None:
        self.members: list[tuple[Member, Inode | None]] = []
        """Each with the file of which the content follows it."""
        self.contents: dict[int, dict[int, tuple[str, Inode]]] = {}
        """The contents by layer and offset."""
        self._below = below
        self._first: dict[int, str] = {}
        """Of files with several names, the name that has the content."""
        self._places: dict[tuple[int, int], int] = {}
        self._touched = {
            id(node.inode) for _, node in whole.walk("", whole.root) if node.inode.is_shared and node.layer >= below
        }
        """Files with several names of which one is written: all of them are."""
        known = -1
        while known != len(self._touched):
            known = len(self._touched)
            self.members.clear()
            self.contents.clear()
            self._first.clear()
            self._all(lower.root, whole.root)

    def check(self, what: str, limits: LayerLimits) -> None:
        """Raise Unsupported where the holes of sparse files are too large."""
        holes = sum(member.size - inode.member.stored for member, inode in self.members if inode is not None)
        if holes > limits.allowance:
            raise Unsupported(
                f"the layers of {what} cannot be merged",
                cause=f"its sparse files would be written with {counted(holes, 'byte')} of zeros",
                code="sparse-files",
                fields={"zeros": holes, "limit": limits.allowance},
            )

    def spooled(self, spool: BinaryIO) -> MakeSink:
        """Keeps contents in a file as they come, which is in the order of the layers."""

        def sink(_: str, inode: Inode) -> Sink:
            self._places[inode.layer, inode.member.offset] = spool.tell()
            return Sink(spool.write, hole=lambda _: None)

        return sink

    def write(self, spool: BinaryIO, file: LayerFile) -> None:
        """Write the layer, with the contents that were kept."""
        writer = TarWriter(cast("BinaryIO", file), fractions=True)
        for member, inode in self.members:
            writer.begin(member)
            if inode is not None:
                spool.seek(self._places[inode.layer, inode.member.offset])
                for hole, length in spread(inode.member):
                    writer.zeros(hole)
                    for at in range(0, length, _CHUNK):
                        writer.write(spool.read(min(length - at, _CHUNK)))
            writer.end()
        writer.close()

    # What is written

    def _all(self, lower: Node, whole: Node) -> None:
        """Go through both file systems, side by side."""
        trail = [_Step("", whole, self._is_new(whole, None))]
        if trail[0].is_new:
            self._put(trail)
        trail[0].is_written = True
        stack = [self._inside(trail, lower)]
        while stack:
            heed()
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                trail.pop()
                continue
            step, below = found
            trail.append(step)
            if step.is_new:
                self._put(trail)
            if step.node.children is None:
                trail.pop()
            else:
                stack.append(self._inside(trail, below))

    def _inside(self, trail: list[_Step], lower: Node | None) -> Iterator[tuple[_Step, Node | None]]:
        """What is in a directory, each with what is there in the layers below; what is gone is hidden first."""
        here = trail[-1]
        children = here.node.children or {}
        there = (lower.children if lower is not None else None) or {}
        gone = sorted(there.keys() - children.keys())
        if any(name.startswith(WHITEOUT) or len(_encoded(WHITEOUT + name)) > LIMITS.name for name in gone):
            # Nothing hides such a name but a marker that hides all, so that what stays is written anew.
            self._put(trail)
            self._hide(here.path, OPAQUE)
            gone, there, here.is_whole = [], {}, True
        for name in gone:
            self._put(trail)
            self._hide(here.path, WHITEOUT + name)
        prefix = f"{here.path}/" if here.path else ""
        for name, child in sorted(children.items()):
            below = there.get(name)
            is_new = here.is_whole or self._is_new(child, below)
            yield _Step(prefix + name, child, is_new, here.is_whole), below

    def _is_new(self, node: Node, lower: Node | None) -> bool:
        if node.layer >= self._below or id(node.inode) in self._touched:
            return True
        # A hard link that is gone again may have changed what it led to.
        return lower is not None and node.inode.is_shared and node.inode.member != lower.inode.member

    def _put(self, trail: list[_Step]) -> None:
        """Write what a trail leads to, after the directories on the way."""
        for step in trail:
            if not step.is_written:
                step.is_written = True
                self._member(step.path, step.node)

    def _member(self, path: str, node: Node) -> None:
        inode = node.inode
        member = inode.member
        kind, link, size = member.type, member.link if member.type == _SYMLINK else "", member.size
        if inode.is_shared:
            self._touched.add(id(inode))
        first = self._first.setdefault(id(inode), path) if inode.is_shared else path
        if first != path:
            kind, link = _HARD_LINK, first
        has_content = kind == _FILE and size > 0
        written = Member(
            name=f"{path or '.'}/" if kind == _DIRECTORY else path,
            type=kind,
            mode=0o777 if member.type == _SYMLINK else member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            size=size if has_content else 0,
            mtime=member.mtime,
            link=link,
            device=member.device,
            xattrs=member.xattrs,
        )
        self.members.append((written, inode if has_content else None))
        if has_content:
            self.contents.setdefault(inode.layer, {})[member.offset] = (path, inode)

    def _hide(self, path: str, name: str) -> None:
        at = f"{path}/{name}" if path else name
        self.members.append((Member(name=at, type=_FILE, mode=0, uid=0, gid=0, size=0, mtime=0), None))


class _Step:
    """A name on the way down.

    Attributes:
        path: where it is.
        node: what is there.
        is_new: whether it is to be written.
        is_whole: whether all that is in it is to be written.
        is_written: whether it is written.
    """

    __slots__ = ("is_new", "is_whole", "is_written", "node", "path")

    def __init__(self, path: str, node: Node, is_new: bool, is_whole: bool = False) -> None:
        self.path: str = path
        self.node: Node = node
        self.is_new: bool = is_new
        self.is_whole: bool = is_whole
        self.is_written: bool = False


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
