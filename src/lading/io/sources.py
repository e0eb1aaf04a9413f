"""Sources: content to be written, which is read as often, and from as far on, as writing it takes.

This module knows bytes and files, and nothing of formats or of where content lives.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from lading.errors import Conflict, LadingError, NotFound, way_on

CHUNK = 1024 * 1024
"""How much is read from a file at once, in bytes."""
PIECE = 256 * 1024
"""How much of a stream is handed on at once where much comes, in bytes: with more the memory of the processor is too
small, with less threads take turns more often."""

Body = Callable[[], AsyncIterator[bytes]]
"""Something that begins reading the same bytes anew each time it is called."""


class Source(ABC):
    """Content to be written. Each reading begins anew, so that a write can be tried again or go on where it stopped."""

    digest: str | None = None
    """What a reading from the first byte to the last must hash to, else it ends with an exception; None where it is
    not verified."""
    is_examined: bool = False
    """Whether its digest was computed a moment ago, and a reading ends with an exception if it was changed since."""
    origin: object = None
    """The store that it is read from, where that is known."""

    def __call__(self) -> AsyncIterator[bytes]:
        """Read it from the first byte."""
        return self.since(0)

    @abstractmethod
    def since(self, start: int) -> AsyncIterator[bytes]:
        """Read it from the byte at `start` to the end; from any but the first it is not verified."""

    def sent(self, start: int) -> AsyncIterator[bytes]:
        """Read it as `since` does, to send it where its digest is computed: what is examined is not hashed again."""
        return self.since(start)


class Bytes(Source):
    """A source of bytes in memory.

    Args:
        data: all of them.
        origin: the store that they are from.
    """

    def __init__(self, data: bytes, origin: object = None) -> None:
        self.data = data
        self.origin = origin

    async def since(self, start: int) -> AsyncIterator[bytes]:
        """Read them from the byte at `start`."""
        if start < len(self.data):
            yield self.data[start:]


def from_bytes(data: bytes) -> Source:
    """A source of bytes in memory."""
    return Bytes(data)


def from_file(path: Path, status: os.stat_result | None = None) -> Source:
    """A source that reads a file, which has to stay as it is.

    Args:
        path: the file.
        status: what it was like when its digest was computed; None where that is not known.

    Reading raises NotFound where there is no such file, LadingError where it cannot be read, and Conflict where its
    status is another by then.
    """
    return _File(path, status)


def is_unchanged(file: BinaryIO, status: os.stat_result) -> bool:
    """Whether an open file is the one that had this status, and was not written to since, as far as its times tell."""
    now = os.fstat(file.fileno())
    return os.path.samestat(now, status) and (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def file_changed(what: object) -> Conflict:
    """The error of a file that others write to while it is read."""
    return Conflict(
        f"{what} was changed while it was read", remedy="do it again when nothing writes to it", code="file-changed"
    )


def from_chunks(read: Body) -> Source:
    """A source of what a function gives; to read it from an offset, what comes before is read and left out.

    Args:
        read: begins anew with each call, such as an asynchronous generator function without parameters.
    """
    return _Chunks(read)


def open_file(path: Path) -> BinaryIO:
    """Open a file to be read.

    Raises:
        NotFound: there is no such file.
        LadingError: it cannot be read.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"the file {path} does not exist", remedy="check its path") from None
    except OSError as error:
        raise LadingError(f"{path} cannot be read", cause=error.strerror, remedy=way_on(error)) from error


async def in_pieces(chunks: AsyncIterator[bytes], size: int = PIECE) -> AsyncIterator[bytes]:
    """The same bytes in fewer pieces, of `size` bytes or more: each of them costs a turn of a thread."""
    held: list[bytes] = []
    length = 0
    async with closing(chunks):
        async for chunk in chunks:
            held.append(chunk)
            length += len(chunk)
            if length >= size:
                yield b"".join(held)
                held, length = [], 0
    if held:
        yield b"".join(held)


@asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close a stream at the end, read or not: what it holds open is not left to the garbage collector."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


class _File(Source):
    def __init__(self, path: Path, status: os.stat_result | None) -> None:
        self._path = path
        self._status = status
        self.is_examined = status is not None

    async def since(self, start: int) -> AsyncIterator[bytes]:
        from lading.io.threads import in_thread

        with await in_thread(open_file, self._path) as file:
            file.seek(start)
            while chunk := await in_thread(self._next, file):
                yield chunk

    def _next(self, file: BinaryIO) -> bytes:
        chunk = file.read(CHUNK)
        # After each piece: what was changed is not sent to its end.
        if self._status is not None and not is_unchanged(file, self._status):
            raise file_changed(self._path)
        return chunk


class _Chunks(Source):
    def __init__(self, read: Body) -> None:
        self._read = read

    async def since(self, start: int) -> AsyncIterator[bytes]:
        async with closing(self._read()) as chunks:
            async for chunk in chunks:
                if start < len(chunk):
                    yield chunk[start:]
                start = max(0, start - len(chunk))
