"""Decompression of a stream as it comes: gzip, zstd or none, told by the bytes, in pieces of bounded size.

This module knows compression, and nothing of what is compressed. Everything here is work for a thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from lading.errors import InvalidContent
from lading.io.spans import Mark, MarkedGzip, deflated, is_worth_marking, library
from lading.io.tarball import SNIFFED, Compression, bad_data, sniff, zstd_module
from lading.io.threads import heed

PIECE = 1024 * 1024
"""The largest piece that is given out, in bytes."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"


class _Frame(Protocol):
    """One gzip member or zstd frame that is being decompressed."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def take(self, data: bytes) -> Iterator[bytes]: ...


class Inflater:
    """Takes the bytes of a stream as they come, and gives what is in it.

    A stream may have several gzip members (RFC 1952 §2.2) or zstd frames (RFC 8878 §3.1), skippable ones included.
    Anything else after the end of one is an error, as it is for container engines.

    Args:
        what: what the stream is called in an error.
        on_mark: called with places from where the stream can be read on.
    """

    def __init__(self, what: str, on_mark: Callable[[Mark], None] | None = None) -> None:
        self._on_mark = on_mark
        self._mark: Mark | None = None
        self.compression: Compression | None = None
        """None until the first bytes have come; of an empty stream to its end."""
        self.consumed: int = 0
        """How many bytes have been given to `feed`."""
        self.produced: int = 0
        """How many bytes have been given out."""
        self._what = what
        self._head = b""
        self._frame: _Frame | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the stream; yields what is in them.

        Raises:
            InvalidContent: the stream is damaged, or compressed in a way that is not read.
        """
        self.consumed += len(data)
        if self.compression is None:
            self._head += data
            if len(self._head) < SNIFFED:
                return
            data = self._begun()
        yield from self._pieces(data)

    def finish(self) -> Iterator[bytes]:
        """Say that the stream has ended; yields what is left.

        Raises:
            InvalidContent: it is cut off.
        """
        if self.compression is None and self._head:
            yield from self._pieces(self._begun())
        if self._frame is not None or (self.compression != "none" and self._head):
            raise self._damaged("it ends too early")

    def _begun(self) -> bytes:
        data, self._head = self._head, b""
        self.compression = sniff(data)
        if self.compression not in ("none", "gzip", "zstd"):
            raise InvalidContent(
                f"{self._what} cannot be read", cause=f"it is compressed with {self.compression}, which layers are not"
            )
        if self.compression == "zstd" and zstd_module() is None:
            raise InvalidContent(
                f"{self._what} cannot be read",
                cause="it is compressed with zstd",
                remedy="install the Python package backports.zstd",
            )
        return data

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self.compression == "none":
            for start in range(0, len(data), PIECE):
                heed()
                if is_worth_marking(self._mark, self.produced):
                    self._marked(Mark(self.produced, self.produced))
                piece = data[start : start + PIECE]
                self.produced += len(piece)
                yield piece
            return
        while data:
            if self._frame is None:
                data = self._head + data
                self._head = b""
                self._frame = self._next(data, self.consumed - len(data))
                if self._frame is None:
                    return
            try:
                for piece in self._frame.take(data):
                    heed()
                    self.produced += len(piece)
                    yield piece
            except bad_data() as error:
                raise self._damaged(str(error)) from None
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data
                self._frame = None

    def _next(self, data: bytes, start: int) -> _Frame | None:
        """What the next member or frame begins with; None where more bytes are needed to tell."""
        magic = _GZIP if self.compression == "gzip" else _ZSTD
        if len(data) < len(magic):
            self._head = data
            return None
        skippable = self.compression == "zstd" and data[1:4] == _SKIPPABLE and 0x50 <= data[0] <= 0x5F
        if not data.startswith(magic) and not skippable:
            raise self._damaged(f"something follows the {self.compression} data that is not {self.compression}")
        begin = Mark(start, self.produced)
        if is_worth_marking(self._mark, self.produced):
            self._marked(begin)
        if self.compression == "zstd":
            return _Zstd()
        found = library() if self._on_mark is not None else None
        return _Gzip() if found is None else MarkedGzip(found, begin, self._marked, PIECE)

    def _marked(self, mark: Mark) -> None:
        self._mark = mark
        if self._on_mark is not None:
            self._on_mark(mark)

    def _damaged(self, cause: str) -> InvalidContent:
        return InvalidContent(f"{self._what} is damaged", cause=cause)


class _Gzip:
    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def take(self, data: bytes) -> Iterator[bytes]:
        while not self.eof:
            piece = self._inflate.decompress(data, PIECE)
            data = self._inflate.unconsumed_tail
            if piece:
                yield piece
            if len(piece) < PIECE and not data:
                return


class _Zstd:
    def __init__(self) -> None:
        module: Any = zstd_module()
        self._inflate = module.ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._inflate.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflate.unused_data)

    def take(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._inflate.decompress(data, PIECE)
            data = b""
            if piece:
                yield piece
            if self._inflate.eof or self._inflate.needs_input:
                return


def read_on(compression: str, mark: Mark, data: bytes) -> Iterator[bytes]:
    """Read a stream on from a mark.

    Args:
        compression: of the stream: `none`, `gzip` or `zstd`.
        mark: where to read on.
        data: the compressed bytes from there.
    """
    if compression == "none":
        yield data
    elif mark.window is not None:
        yield from deflated(mark, data, PIECE)
    else:
        yield from Inflater("the stream").feed(data)
