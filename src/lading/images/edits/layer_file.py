"""A new layer while it is written: a tar archive that is compressed into a file of an overlay as it comes.

This module knows no formats but that of compression: what the archive has in it is the business of its writer.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

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
        self._algorithm = algorithm
        self._hash = hashlib.new(diff_algorithm)
        self._stack = ExitStack()
        self._path: Path | None = None

    def __enter__(self) -> Self:
        """Make the file."""
        with keeping(self._overlay.name), ExitStack() as stack:
            path = self._path = self._overlay.folder / uuid.uuid4().hex
            self._blob = _Blob(stack.enter_context(path.open("xb")), self._algorithm)
            packed = compressed(cast("BinaryIO", self._blob), self._compression, self._level)
            self._packed = stack.enter_context(packed)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file, unless it was finished."""
        if self._path is not None:
            with suppress(OSError):
                self._stack.__exit__(kind, error, trace)
            self._path.unlink(missing_ok=True)

    def write(self, piece: bytes | bytearray | memoryview) -> int:
        """Write the next bytes of the archive."""
        self._hash.update(piece)
        with keeping(self._overlay.name):
            self._packed.write(piece)
        return len(piece)

    def finish(self) -> WrittenLayer:
        """End the layer, and put it into the overlay."""
        assert self._path is not None
        path, blob = self._path, self._blob
        with keeping(self._overlay.name):
            self._stack.close()
        self._path = None
        content = Descriptor(media_type="", digest=_digest(blob.hash), size=blob.size)
        self._overlay.refer(content, from_file(path, path.stat()))
        return WrittenLayer(content=content, diff_id=_digest(self._hash), compression=self._compression)


class _Blob:
    """The file that gets the compressed bytes."""

    def __init__(self, file: BinaryIO, algorithm: str) -> None:
        self.hash = hashlib.new(algorithm)
        self.size = 0
        self._file = file

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _digest(found: Any) -> Digest:
    return Digest(f"{found.name}:{found.hexdigest()}")
