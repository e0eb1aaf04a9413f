"""Content codings (RFC 9110 §8.4): lading asks for none, and undoes what comes all the same, as other clients do.

A label does not say enough: some storages have kept a compressed layer with `Content-Encoding: gzip`, and send it as it
is. So whoever reads decides whether there is something to be undone.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from lading.errors import InvalidContent

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_PIECE = 1024 * 1024


async def decoded(chunks: AsyncIterator[bytes], coding: str, what: str) -> AsyncIterator[bytes]:
    """A body without its coding.

    Args:
        chunks: the body.
        coding: the value of `Content-Encoding`.
        what: what it is the body of, for messages.

    Raises:
        InvalidContent: while iterating: the coding is not one that lading knows, or the body is not in it.
    """
    decoder = Decoder(coding, what)
    async for chunk in chunks:
        for piece in decoder.feed(chunk):
            yield piece
    decoder.finish()


def decode(raw: bytes, coding: str, limit: int, what: str) -> bytes:
    """A whole body without its coding; as it is where it is only said to be compressed.

    Raises:
        InvalidContent: as `decoded` has it; or it is larger than `limit`.
    """
    decoder = Decoder(coding, what)
    if not decoder.may_be_of(raw):
        return raw
    data = b""
    for piece in decoder.feed(raw):
        data += piece
        if len(data) > limit:
            raise InvalidContent(f"{what} is too large", cause=f"more than {limit} bytes", code="too-large")
    decoder.finish()
    return data


def beginning(raw: bytes, coding: str, limit: int) -> bytes:
    """The beginning of a body without its coding; as it is where that cannot be undone."""
    data = b""
    with suppress(InvalidContent):
        for piece in Decoder(coding, "").feed(raw):
            data += piece
            if len(data) >= limit:
                break
    return (data or raw)[:limit]


class Decoder:
    """Undoes a coding piece by piece."""

    def __init__(self, coding: str, what: str) -> None:
        self._coding, self._what = coding, what
        window = _WINDOWS.get(coding.strip().lower())
        if window is None:
            raise self._unreadable("lading cannot undo it")
        self._window = window
        self._decoder = zlib.decompressobj(window)
        self._begun = False

    def may_be_of(self, raw: bytes) -> bool:
        """Whether a body may have the coding, by its first bytes."""
        return self._window != 31 or raw.startswith(b"\x1f\x8b")

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk brings, in pieces of limited size."""
        if not self._begun and chunk and self._window == 15 and (chunk[0] & 15 != 8):
            self._decoder = zlib.decompressobj(-15)  # some servers leave the frame out
        self._begun = self._begun or bool(chunk)
        while chunk:
            if self._decoder.eof:
                if self._window != 31 or chunk[:1] != b"\x1f":
                    return
                self._decoder = zlib.decompressobj(self._window)
            try:
                piece = self._decoder.decompress(chunk, _PIECE)
            except zlib.error:
                raise self._unreadable("its bytes are none of that coding") from None
            chunk = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            InvalidContent: it ended too early.
        """
        if self._begun and not self._decoder.eof:
            raise self._unreadable("it ends too early")

    def _unreadable(self, cause: str) -> InvalidContent:
        name = "".join(character for character in self._coding[:40] if character.isprintable())
        return InvalidContent(f"{self._what} came with the coding {name!r}, which was not asked for", cause=cause)
