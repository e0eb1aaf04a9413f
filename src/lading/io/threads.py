"""Blocking work in threads, which ends soon after its caller was cancelled, and pipes that notice it.

This module knows threads and file descriptors, and nothing of what is read or written.
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
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_BUFFER = 1024 * 1024
_PATIENCE = 0.1
"""How long to wait for a pipe before asking whether to stop, in seconds."""

_stop: ContextVar[threading.Event | None] = ContextVar("lading_stop", default=None)


class Stopped(Exception):
    """The caller of `in_thread` was cancelled, so that the result of the work is no longer needed."""


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a thread. If the caller is cancelled, wait for its end: it may use a file or a lock.

    A function that may take long calls `heed` often, which ends it after a cancellation. Where it returns all the same,
    its result is closed, if that has a `close`.
    """
    stop = threading.Event()
    context = copy_context()
    context.run(_stop.set, stop)
    work = partial(context.run, function, *args, **kwargs)
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled() and running.exception() is None:
            close = getattr(running.result(), "close", None)
            if close is not None:
                close()
        raise


def heed() -> None:
    """Go on, unless the caller of `in_thread` was cancelled.

    Raises:
        Stopped: it was.
    """
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise Stopped


def reader(fd: int) -> BinaryIO:
    """A file descriptor as a file to read from; waiting for an empty pipe ends as `heed` does."""
    return cast("BinaryIO", io.BufferedReader(_Reader(fd), _BUFFER))


def writer(fd: int) -> BinaryIO:
    """A file descriptor as a file to write to; waiting for a full pipe ends as `heed` does.

    It has no buffer: what was written is out.
    """
    return cast("BinaryIO", _Writer(fd))


class _Reader(io.RawIOBase):
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        _await(self._fd, select.POLLIN)
        return os.readv(self._fd, [buffer])


class _Writer:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        waits = os.get_blocking(fd) and not stat.S_ISREG(os.fstat(fd).st_mode)
        # A pipe that is ready takes so many bytes without blocking.
        self._most = select.PIPE_BUF if waits else _BUFFER

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            _await(self._fd, select.POLLOUT)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._fd, view[: self._most]) :]
        return len(data)

    def flush(self) -> None:
        pass


def _await(fd: int, event: int) -> None:
    poll = select.poll()
    poll.register(fd, event)
    while not poll.poll(_PATIENCE * 1000):
        heed()
    heed()
