"""Blocking work in threads that can be told to stop, and pipes that notice it.

This module knows threads and file descriptors, and nothing of Docker.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import stat
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

from lading.stores.tarball import CHUNK

T = TypeVar("T")

_PATIENCE = 0.1  # seconds until a pipe on which nothing happens asks whether it should stop


class Stopped(Exception):
    """The work was told to stop."""


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work in a thread. If this is cancelled, the work is told to stop, and waited for.

    Args:
        work: gets an event, and raises Stopped soon after that was set.
    """
    stop = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise


def reader(fd: int, stop: threading.Event) -> BinaryIO:
    """A file descriptor as a file to read from, of which reading raises Stopped once `stop` is set."""
    return cast("BinaryIO", io.BufferedReader(_Reader(fd, stop), CHUNK))


def writer(fd: int, stop: threading.Event) -> BinaryIO:
    """A file descriptor as a file to write to, of which writing raises Stopped once `stop` is set.

    It has no buffer: what was written is out.
    """
    return cast("BinaryIO", _Writer(fd, stop))


class _Reader(io.RawIOBase):
    def __init__(self, fd: int, stop: threading.Event) -> None:
        self._fd = fd
        self._stop = stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        _await(self._fd, select.POLLIN, self._stop)
        return os.readv(self._fd, [buffer])


class _Writer:
    def __init__(self, fd: int, stop: threading.Event) -> None:
        self._fd = fd
        self._stop = stop
        waits = os.get_blocking(fd) and not stat.S_ISREG(os.fstat(fd).st_mode)
        # A pipe that is ready takes so much without waiting for its reader.
        self._most = select.PIPE_BUF if waits else CHUNK

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            _await(self._fd, select.POLLOUT, self._stop)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._fd, view[: self._most]) :]
        return len(data)

    def flush(self) -> None:
        pass


def _await(fd: int, event: int, stop: threading.Event) -> None:
    poll = select.poll()
    poll.register(fd, event)
    while not poll.poll(_PATIENCE * 1000):
        if stop.is_set():
            raise Stopped
    if stop.is_set():
        raise Stopped
