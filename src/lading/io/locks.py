"""Locks that processes wait for: how long, and who is told what is waited for.

Knows files, and nothing of what is in them.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from lading.errors import Conflict
from lading.io.files import lock_inside

OnWait = Callable[[str], None]
"""Called with a sentence, once, when a lock has been waited for some seconds."""

SILENT = 3.0
"""How long a lock is waited for before that is said, in seconds."""
PAUSE = 0.005
"""How long to wait between two tries to get a lock, in seconds."""
_SLOW = 0.1
_WRITING = 600.0
"""How long to wait for another process that writes a whole file, which may have to come from far, in seconds."""

_around: ContextVar[frozenset[Path]] = ContextVar("lading_around", default=frozenset())
"""The locks that the code around this holds."""


class Wait:
    """A wait for a lock that another process holds.

    Args:
        what: what that process writes to.
        lock: the file that is the lock.
        patience: how long to wait, in seconds.
        on_wait: is told after some seconds.
    """

    def __init__(self, what: Path, lock: Path, patience: float, on_wait: OnWait | None) -> None:
        self._what = what
        self._lock = lock
        self._patience = patience
        self._on_wait = on_wait
        self._began = time.monotonic()

    def pause(self) -> float:
        """How long to wait until the next try, in seconds.

        Raises:
            Conflict: it was waited for long enough.
        """
        waited = time.monotonic() - self._began
        if waited > self._patience:
            raise Conflict(
                f"another process has been writing to {self._what} for {self._patience:g} s",
                remedy=f"end it, or see which process holds {self._lock}",
            )
        if waited > SILENT and self._on_wait is not None:
            self._on_wait(f"waiting for another process that writes to {self._what}: it holds {self._lock}")
            self._on_wait = None
        return (PAUSE if waited < SILENT else _SLOW) * (0.5 + random.random())


@asynccontextmanager
async def writing(file: Path, on_wait: OnWait | None = None) -> AsyncIterator[None]:
    """Be the only one that replaces a file, until the context ends: so nobody's change is lost.

    Args:
        file: the file, which need not be there.
        on_wait: is told after some seconds that another process has the lock, which is a hidden file beside it.

    Raises:
        Conflict: another process has had it for ten minutes; or it is being written here already, around this.
        OSError: the lock cannot be made.
    """
    lock = file.with_name(f".{file.name}.lock")
    if lock in _around.get():
        raise Conflict(f"{file} is being written to already", cause="the one that does so waits for this one")
    wait = Wait(file, lock, _WRITING, on_wait)
    while True:
        handle = _take(lock)
        if handle is not None:
            break
        await asyncio.sleep(wait.pause())
    before = _around.get()
    _around.set(before | {lock})
    try:
        yield
    finally:
        _around.set(before)
        lock.unlink(missing_ok=True)  # while it is held: who waits for this file looks whether it is still there
        os.close(handle)


def _take(lock: Path) -> int | None:
    handle = lock_inside(lock.parent, lock.name)
    if handle is not None:
        with suppress(FileNotFoundError):
            if lock.lstat().st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)
    return None
