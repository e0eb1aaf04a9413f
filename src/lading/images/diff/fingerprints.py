"""Fingerprints of contents: files with one size and one fingerprint have the same content, holes included.

A hole of a sparse file costs nothing: blocks of zeros are left out, and every other has its place in what is hashed.
This module knows contents as they come, and nothing of paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from lading.images.files.delivery import Content, Sink
from lading.images.files.indexing import Catcher
from lading.io.tar_stream import Member

_BLOCK = 64 * 1024
_ZEROS = bytes(_BLOCK)


class Fingerprint:
    """Takes a content piece by piece, and holes by their lengths."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._number = 0
        self._held = bytearray()

    def write(self, piece: bytes | memoryview) -> None:
        """Take a piece."""
        view, at = memoryview(piece), 0
        if self._held:
            at = _BLOCK - len(self._held)
            self._held += view[:at]
            if len(self._held) < _BLOCK:
                return
            self._block(self._held)
            self._held = bytearray()
        while len(view) - at >= _BLOCK:
            self._block(view[at : at + _BLOCK])
            at += _BLOCK
        self._held += view[at:]

    def hole(self, length: int) -> None:
        """Take a hole."""
        if self._held:
            filled = min(length, _BLOCK - len(self._held))
            self.write(_ZEROS[:filled])
            length -= filled
        if not self._held:
            self._number += length // _BLOCK
            self._held += _ZEROS[: length % _BLOCK]

    def finish(self) -> bytes:
        """The fingerprint of all that was taken."""
        if self._held:
            self._block(self._held)
            self._held = bytearray()
        return self._hash.digest()

    def _block(self, block: bytearray | memoryview) -> None:
        if bytes(block).strip(b"\0"):
            self._hash.update(self._number.to_bytes(8, "big"))
            self._hash.update(block)
        self._number += 1


def fingerprint_sink(keep: Callable[[bytes], object]) -> Sink:
    """A sink that takes the fingerprint of a content.

    Args:
        keep: called with the fingerprint.
    """
    taken = Fingerprint()

    def end() -> None:
        keep(taken.finish())

    return Sink(taken.write, taken.hole, end)


class FingerprintCatcher(Catcher):
    """Takes the fingerprints of all files of a layer while it is read."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.found: dict[int, bytes] = {}
        """By their offsets in the archive; they count when the layer was verified."""
        self.is_used: bool = False
        """Whether the layer was read."""
        self._content: Content | None = None

    def begin(self, member: Member) -> bool:
        """Look at a member."""
        self.finish()
        self.is_used = True
        if member.type != "0" or not member.size:
            return False
        offset = member.offset
        sink = fingerprint_sink(lambda taken: self.found.__setitem__(offset, taken))
        self._content = Content(member, sink)
        return True

    def content(self, piece: memoryview) -> None:
        """Take content of the member."""
        assert self._content is not None
        self._content.bring(piece)

    def finish(self) -> None:
        """End the content that was taken last."""
        if self._content is not None:
            self._content.end()
        self._content = None
