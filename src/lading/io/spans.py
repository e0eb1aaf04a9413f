"""Places in a compressed stream from where it can be read on, and what lies between them, so that it is verified.

gzip has no such places of its own. Its blocks begin at any bit, and need the 32 KiB before them: zlib's inflate stops
between blocks where it is asked to (`Z_BLOCK`), which Python's module does not ask for. So the C library is called,
where there is one; without it, only gzip members and zstd frames begin anew. To read on takes Python's zlib alone.
"""

from __future__ import annotations

import ctypes
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

SPAN = 4 * 1024 * 1024
"""How much output there is between two places within a gzip member, in bytes: about a megabyte of input."""
_BEGINNING = 64 * 1024
_WINDOW = 32 * 1024
_NAMES = ("libz.so.1", "libz.1.dylib")
_ON, _BLOCK = 0, 5
_OK, _END, _NOTHING = 0, 1, -5


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A place in a stream from where it can be read on."""

    consumed: int
    """Its offset in the compressed stream."""
    produced: int
    """Its offset in the stream without compression."""
    bits: int = 0
    """How many bits of the byte before it are still to be read."""
    byte: int = 0
    """That byte."""
    window: bytes | None = None
    """The output before it, compressed; None where nothing of that is needed: a member or a frame begins there."""


class Span(msgspec.Struct, array_like=True, frozen=True):
    """What lies between a mark and the next."""

    mark: Mark
    digest: bytes
    """The SHA-256 of the compressed bytes."""


class SpanRecorder:
    """Takes a stream as it comes, with the marks in it, and gives its spans."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._mark: Mark | None = None
        self._hash = hashlib.sha256()
        self._position = 0

    def feed(self, chunk: bytes, marks: Sequence[Mark]) -> None:
        """Take the next bytes of the compressed stream, and the marks that were found in them."""
        start, at = self._position, 0
        for mark in marks:
            end = mark.consumed - start
            if not at <= end <= len(chunk):
                continue
            if self._mark is not None:
                self._hash.update(memoryview(chunk)[at:end])
                self._spans.append(Span(self._mark, self._hash.digest()))
            self._mark, self._hash, at = mark, hashlib.sha256(), end
        self._hash.update(memoryview(chunk)[at:])
        self._position = start + len(chunk)

    def finish(self) -> list[Span]:
        """Say that the stream has ended."""
        if self._mark is not None:
            self._spans.append(Span(self._mark, self._hash.digest()))
        return self._spans


def range_of(spans: Sequence[Span], start: int, end: int, size: int) -> tuple[int, int, int]:
    """Which spans have some of the output.

    Args:
        spans: all of them.
        start: offset of the first byte of output.
        end: offset behind the last one.
        size: of the compressed stream, in bytes.

    Returns:
        The numbers of the first span and of the one behind the last; and how many compressed bytes they have.
    """
    from bisect import bisect_left, bisect_right

    first = max(0, bisect_right(spans, start, key=lambda span: span.mark.produced) - 1)
    last = max(first + 1, bisect_left(spans, end, key=lambda span: span.mark.produced))
    behind = spans[last].mark.consumed if last < len(spans) else size
    return first, last, behind - spans[first].mark.consumed


def are_intact(spans: Sequence[Span], data: bytes) -> bool:
    """Whether bytes are what neighbouring spans had when they were recorded.

    Args:
        spans: the spans.
        data: the compressed bytes from the first one's mark to the end of the last.
    """
    starts = [span.mark.consumed - spans[0].mark.consumed for span in spans]
    view = memoryview(data)
    return all(
        hashlib.sha256(view[start:end]).digest() == span.digest
        for span, start, end in zip(spans, starts, [*starts[1:], len(data)], strict=True)
    )


def realigned(mark: Mark, data: bytes) -> bytes:
    """Compressed bytes from a mark on, so that the first bit that is to be read begins a byte.

    Args:
        mark: where they begin.
        data: the bytes.
    """
    if not mark.bits:
        return data
    number = int.from_bytes(data, "little") << mark.bits | mark.byte >> (8 - mark.bits)
    return number.to_bytes(len(data) + 1, "little")


def deflated(mark: Mark, data: bytes, most: int) -> Iterator[bytes]:
    """Read a gzip member on from a mark within it, to the end of its bytes or of the member.

    Args:
        mark: where to read on.
        data: the compressed bytes from there.
        most: how much is given out at once, in bytes.

    Returns:
        The bytes that follow the member, trailer and all that comes next; none where it does not end in these.
    """
    assert mark.window is not None
    shifted = realigned(mark, data)
    inflate = zlib.decompressobj(-15, zdict=zlib.decompress(mark.window))
    rest = shifted
    while not inflate.eof:
        piece = inflate.decompress(rest, most)
        rest = inflate.unconsumed_tail
        if piece:
            yield piece
        if len(piece) < most and not rest and not inflate.eof:
            return
    # In the bytes as they were, the member ends at one of two places: the next one, or nothing, is behind its trailer.
    end = len(shifted) - len(inflate.unused_data)
    for at in (end - 1, end) if mark.bits else (end,):
        following = data[at + 8 :]
        if not following or following.startswith(b"\x1f\x8b"):
            yield from _members(following, most)
            return


def _members(data: bytes, most: int) -> Iterator[bytes]:
    while data:
        inflate = zlib.decompressobj(31)
        while not inflate.eof:
            piece = inflate.decompress(data, most)
            data = inflate.unconsumed_tail
            if piece:
                yield piece
            if len(piece) < most and not data and not inflate.eof:
                return
        data = inflate.unused_data


class MarkedGzip:
    """One gzip member that is decompressed with marks between its blocks.

    Args:
        library: the C library.
        mark: where the member begins.
        on_mark: called with each mark within it.
        most: how much is given out at once, in bytes.
    """

    def __init__(self, library: Any, mark: Mark, on_mark: Callable[[Mark], None], most: int) -> None:
        self.eof: bool = False
        self.unused_data: bytes = b""
        self._library = library
        self._begin = mark
        self._last = mark.produced
        self._on_mark = on_mark
        self._most = most
        self._before = 0
        self._out = ctypes.create_string_buffer(most)
        self._stream = _Stream()
        code = library.inflateInit2_(
            ctypes.byref(self._stream), 31, library.zlibVersion(), ctypes.c_int(ctypes.sizeof(_Stream))
        )
        if code != _OK:
            raise MemoryError

    def __del__(self) -> None:
        """Give its memory back."""
        if hasattr(self, "_stream"):
            self._library.inflateEnd(ctypes.byref(self._stream))

    def take(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes; yields what is in them.

        Raises:
            zlib.error: they are damaged.
        """
        stream, address, filled = self._stream, ctypes.addressof(self._out), 0
        stream.next_in = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        stream.avail_in = len(data)
        code = _OK
        while code == _OK:
            room = self._most - filled
            stream.next_out, stream.avail_out = address + filled, room
            # To stop between blocks takes a call for each, and so does it only where a mark is due.
            is_due = self._begin.produced + stream.total_out - self._last >= SPAN
            code = self._library.inflate(ctypes.byref(stream), _BLOCK if is_due else _ON)
            filled += room - stream.avail_out
            if code not in (_OK, _END, _NOTHING):
                raise zlib.error((stream.msg or b"it is no gzip data").decode("ascii", "replace"))
            if is_due and code == _OK and stream.data_type & 0xC0 == 0x80:
                self._look(data)
            if filled == self._most:
                yield ctypes.string_at(address, filled)
                filled, code = 0, _OK if code == _NOTHING else code
        if filled:
            yield ctypes.string_at(address, filled)
        if code == _END:
            self.eof = True
            self.unused_data = data[len(data) - stream.avail_in :]
        self._before = data[-1] if data else self._before

    def _look(self, data: bytes) -> None:
        """Between two blocks: mark the place, if the last mark is far enough."""
        stream = self._stream
        produced = self._begin.produced + stream.total_out
        if produced - self._last < SPAN:
            return
        bits = stream.data_type & 7
        position = len(data) - stream.avail_in
        byte = (data[position - 1] if position else self._before) if bits else 0
        window, length = ctypes.create_string_buffer(_WINDOW), ctypes.c_uint(0)
        self._library.inflateGetDictionary(ctypes.byref(stream), window, ctypes.byref(length))
        packed = zlib.compress(window.raw[: length.value], 1)
        self._last = produced
        self._on_mark(Mark(self._begin.consumed + stream.total_in, produced, bits, byte, packed))


def is_worth_marking(mark: Mark | None, produced: int) -> bool:
    """Whether the beginning of a member or a frame is a place to remember: the last one is far enough."""
    return mark is None or produced - mark.produced >= _BEGINNING


@cache
def library() -> Any:
    """The C library zlib; None where there is none that can be called."""
    for name in _NAMES:
        try:
            found = ctypes.CDLL(name)
            for function in ("inflateInit2_", "inflate", "inflateEnd", "inflateGetDictionary"):
                getattr(found, function).restype = ctypes.c_int
            found.inflateInit2_.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
            found.inflate.argtypes = (ctypes.c_void_p, ctypes.c_int)
            found.inflateEnd.argtypes = (ctypes.c_void_p,)
            found.inflateGetDictionary.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
            found.zlibVersion.restype = ctypes.c_char_p
        except (OSError, AttributeError):
            continue
        return found
    return None


class _Stream(ctypes.Structure):
    """`z_stream` of zlib.h."""

    _fields_ = [
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    ]
