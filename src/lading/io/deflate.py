"""Compression of a stream as it is written: gzip or zstd, the same bytes each time; knows nothing of what is in it.

What is written is cut into blocks of one size, whatever the pieces were that it came in. gzip's blocks are compressed
in several threads at once; how many there are changes nothing of the result, which is one gzip member (RFC 1952).
Everything here is work for a thread.
"""

from __future__ import annotations

import os
import struct
import zlib
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import ModuleType, TracebackType
from typing import BinaryIO, Self

from lading.io.threads import heed

GZIP_LEVEL = 5
"""The level of gzip unless said otherwise, from 1 to 9."""
ZSTD_LEVEL = 3
"""The level of zstd unless said otherwise, from 1 to 22."""
# Measured on 120 MB of programs and Python modules, one thread, in MB/s and in percent of the plain size: zlib 4 writes
# 87 (32.0 %), 5 64 (31.2 %), 6 42 (30.9 %). Faster libraries (zlib-ng, isal) choose by what the processor can do, and
# digests with it: the bytes of zlib hardly differ between machines and versions.
_BLOCK = 1024 * 1024
_WINDOW = 32 * 1024
_SAMPLES, _SAMPLE = 8, 2048
"""How many pieces of a block are tried beside a window in its middle, and how large each is, in bytes."""
_DENSE = 0.98
"""To what part of its size the sample of a block has to shrink for the block to be compressed."""
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""No name, no time, no system (RFC 1952 §2.3)."""
_THREADS = 8
"""How many at most."""


class _Blocks(ABC):
    """Takes bytes in any pieces, and hands them on in blocks. It is ended by leaving its context."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end(bytes(self._held))

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            taken = view[: _BLOCK - len(self._held)]
            self._held += taken
            view = view[len(taken) :]
            if len(self._held) == _BLOCK:
                heed()
                self._block(bytes(self._held))
                self._held.clear()
        return len(data)

    @abstractmethod
    def _block(self, data: bytes) -> None:
        """Compress a block that is not the last one."""

    @abstractmethod
    def _end(self, data: bytes) -> None:
        """Compress the last block, which may be empty."""


class GzipWriter(_Blocks):
    """Compresses with gzip.

    Args:
        file: open for writing; it is not closed.
        level: from 1 to 9; None for the usual one.
    """

    def __init__(self, file: BinaryIO, level: int | None = None) -> None:
        super().__init__(file)
        self._level = GZIP_LEVEL if level is None else level
        self._crc, self._size = 0, 0
        self._before = b""
        self._threads = min(_THREADS, os.cpu_count() or 1)
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Future[bytes]] = deque()
        file.write(_HEADER)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the stream, unless something failed."""
        try:
            super().__exit__(kind, error, trace)
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def _block(self, data: bytes) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "lading-gzip")
        if len(self._pending) > self._threads:
            self._file.write(self._pending.popleft().result())
        self._pending.append(self._pool.submit(self._work(data, zlib.Z_SYNC_FLUSH)))

    def _end(self, data: bytes) -> None:
        last = self._work(data, zlib.Z_FINISH)
        for block in self._pending:
            heed()
            self._file.write(block.result())
        self._file.write(last() + struct.pack("<LL", self._crc, self._size & 0xFFFFFFFF))

    def _work(self, data: bytes, flush: int) -> partial[bytes]:
        work = partial(_deflated, data, self._before, self._level, flush)
        self._before = data[-_WINDOW:]
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        return work


class ZstdWriter(_Blocks):
    """Compresses with zstd.

    Args:
        file: open for writing; it is not closed.
        module: what does it.
        level: from 1 to 22; None for the usual one.
    """

    def __init__(self, file: BinaryIO, module: ModuleType, level: int | None = None) -> None:
        super().__init__(file)
        self._frame = module.ZstdCompressor(level=ZSTD_LEVEL if level is None else level)

    def _block(self, data: bytes) -> None:
        self._file.write(self._frame.compress(data))

    def _end(self, data: bytes) -> None:
        self._file.write(self._frame.compress(data) + self._frame.flush())


def _deflated(data: bytes, before: bytes, level: int, flush: int) -> bytes:
    """A piece of a deflate stream (RFC 1951) that ends between two bytes, after `before`."""
    frame = zlib.compressobj(0 if _is_dense(data) else level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return frame.compress(data) + frame.flush(flush)


def _is_dense(data: bytes) -> bool:
    """Whether compressing a block is in vain, as of what is compressed, encrypted or random: it is only wrapped then.

    It depends on nothing but the block, and costs a few percent of what it saves.
    """
    if len(data) < 4 * _WINDOW:
        return False
    step, middle = len(data) // _SAMPLES, len(data) // 2
    sample = b"".join(data[at : at + _SAMPLE] for at in range(0, step * _SAMPLES, step))
    sample += data[middle : middle + _WINDOW]
    return len(zlib.compress(sample, 1)) > _DENSE * len(sample)
