"""A new layer while it is written: a tar archive that is compressed into a file of an overlay as it comes.

This module knows no formats but that of compression: what the archive has in it is the business of its writer.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self, cast

import msgspec

from lading.io.scratch import keeping
from lading.io.sources import from_file
from lading.io.tarball import compressed
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import LayerCompression
from lading.stores.overlay import Overlay


class WrittenLayer(msgspec.Struct, frozen=True, kw_only=True):
    """The blob of a layer in an overlay, of which the media type depends on the image that gets it."""

    content: Descriptor
    """Digest and size; without a media type."""
    diff_id: Digest
    compression: LayerCompression


class LayerFile:
    """A layer that is being written; use it as a context manager, which removes what was not finished.

    Args:
        overlay: gets the blob.
        compression: of the blob.
        level: of the compression; None for what is usual.
        algorithm: of the digest of the blob.
        diff_algorithm: of the diff ID.
    """

    def __init__(
        self,
        overlay: Overlay,
        compression: LayerCompression,
        level: int | None = None,
        *,
        algorithm: str = "sha256",
        diff_algorithm: str = "sha256",
    ) -> None:
        self._overlay = overlay
        self._compression: LayerCompression = compression
        self._level = level
        self._hash = hashlib.new(algorithm)
        self._size = 0
        self._diff = hashlib.new(diff_algorithm)
        self._stack = ExitStack()
        self._path: Path | None = None

    def __enter__(self) -> Self:
        """Make the file."""
        with keeping(self._overlay.name):
            path = self._path = self._overlay.folder / uuid.uuid4().hex
            self._file = self._stack.enter_context(path.open("xb"))
            packed = compressed(cast("BinaryIO", self), self._compression, self._level)
            self._packed = self._stack.enter_context(packed)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file, unless it was finished."""
        if self._path is not None:
            self._stack.close()
            self._path.unlink(missing_ok=True)

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Add the next bytes of the archive."""
        self._diff.update(piece)
        with keeping(self._overlay.name):
            self._packed.write(piece)

    def write(self, data: bytes) -> int:
        """Take compressed bytes."""
        self._hash.update(data)
        self._size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Nothing is held back here."""

    def finish(self) -> WrittenLayer:
        """End the layer, and put it into the overlay."""
        assert self._path is not None
        path = self._path
        with keeping(self._overlay.name):
            self._stack.close()
        self._path = None
        content = Descriptor(
            media_type="", digest=Digest(f"{self._hash.name}:{self._hash.hexdigest()}"), size=self._size
        )
        self._overlay.refer(content, from_file(path))
        diff_id = Digest(f"{self._diff.name}:{self._diff.hexdigest()}")
        return WrittenLayer(content=content, diff_id=diff_id, compression=self._compression)
