"""Contents of files on their way: what is stored comes piece by piece, and goes to sinks with the holes between.

This module knows members of archives, and reads nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from lading.images.files.filesystem import Inode
from lading.io.inflate import read_on
from lading.io.spans import Span
from lading.io.tar_stream import Member
from lading.io.threads import heed

_CHUNK = 1024 * 1024


class Sink:
    """Where the content of one file goes.

    Args:
        write: takes the content, piece by piece; holes of a sparse file as zeros, where `hole` is None.
        hole: takes the length of a hole, in bytes.
        end: called after the last piece.
    """

    def __init__(
        self,
        write: Callable[[bytes | memoryview], object],
        hole: Callable[[int], None] | None = None,
        end: Callable[[], None] | None = None,
    ) -> None:
        self.write = write
        self.hole: Callable[[int], None] = hole or self._zeros
        self.end: Callable[[], None] = end or (lambda: None)

    def _zeros(self, length: int) -> None:
        zeros = bytes(min(length, _CHUNK))
        while length:
            heed()
            taken = min(length, len(zeros))
            self.write(zeros[:taken])
            length -= taken


Wanted = Mapping[int, tuple[str, Inode]]
"""Contents of a layer by their offsets in it: of each the path and the file."""
MakeSink = Callable[[str, Inode], Sink]


class Content:
    """The content of one file on its way to its sink: what is stored comes piece by piece, and holes are put between.

    Args:
        member: the file.
        sink: where it goes.
    """

    def __init__(self, member: Member, sink: Sink) -> None:
        self._sink = sink
        self._pieces = spread(member)

    def bring(self, piece: bytes | memoryview) -> None:
        """Bring what is stored, with the holes before it."""
        view = memoryview(piece)
        while view:
            hole, length = self._pieces[0]
            if hole:
                self._sink.hole(hole)
            taken = view[:length]
            self._sink.write(taken)
            view = view[len(taken) :]
            self._pieces[0] = (0, length - len(taken))
            if not self._pieces[0][1]:
                del self._pieces[0]

    def end(self) -> None:
        """End it, with the holes at its end."""
        for hole, _ in self._pieces:
            if hole:
                self._sink.hole(hole)
        self._sink.end()


class Delivery:
    """Brings contents to their sinks.

    Args:
        wanted: which contents.
        sink: says where one goes.
    """

    def __init__(self, wanted: Wanted, sink: MakeSink) -> None:
        self.is_begun: bool = False
        """Whether any content was delivered."""
        self._wanted = wanted
        self._sink = sink
        self._current: Content | None = None

    def begin(self, member: Member) -> bool:
        """Look at a member; returns whether it is wanted."""
        entry = self._wanted.get(member.offset) if member.type == "0" else None
        self._current = Content(member, self._sink(*entry)) if entry is not None else None
        return entry is not None

    def content(self, piece: bytes | memoryview) -> None:
        """Bring content, with the holes before it."""
        assert self._current is not None
        self.is_begun = True
        self._current.bring(piece)

    def end(self) -> None:
        """End the content, with the holes at its end."""
        assert self._current is not None
        self._current.end()

    def kept(self, file: BinaryIO) -> None:
        """Bring everything from a file with the layer without compression."""
        descriptor = file.fileno()
        for offset, (_, inode) in sorted(self._wanted.items()):
            member = inode.member
            self.begin(member)
            for at in range(0, member.stored, _CHUNK):
                heed()
                self.content(os.pread(descriptor, min(member.stored - at, _CHUNK), offset + at))
            self.end()

    def part(self, compression: str, span: Span, data: bytes, member: Member, until: int) -> None:
        """Bring what is of a member in a part of a layer.

        Args:
            compression: of the layer.
            span: where the part begins.
            data: the bytes of the part.
            member: the member.
            until: where the part ends in the archive.
        """
        at, end = span.mark.produced, min(member.offset + member.stored, until)
        for piece in read_on(compression, span.mark, data):
            heed()
            first, last = max(0, member.offset - at), min(len(piece), end - at)
            if first < last:
                self.content(memoryview(piece)[first:last])
            at += len(piece)
            if at >= end:
                return


def spread(member: Member) -> list[tuple[int, int]]:
    """How the content of a file lies in it: for each piece the hole before it and its length, and a hole at the end.

    Args:
        member: the file.
    """
    pieces, at = [], 0
    for offset, length in member.extents if member.extents is not None else ((0, member.stored),):
        pieces.append((offset - at, length))
        at = offset + length
    pieces = [(hole, length) for hole, length in pieces if hole or length]
    return [*pieces, (member.size - at, 0)] if member.size > at else pieces
