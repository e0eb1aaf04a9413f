"""How much the embedded registry may hold: a quota, and the answers where there is no room.

It knows how many bytes the storage holds, and nothing of what they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable

from lading.serve.protocol.problems import Problem
from lading.serve.storage.storage import Storage

_STALE = 60  # seconds after which the storage is measured again: others may use it, too
_HASTE = 5  # seconds between measurements while it is full


class Quota:
    """How much a storage may hold.

    What is taken is counted; what is given back is found by measuring the storage again when it seems to be full.

    Args:
        storage: what is measured.
        limit: in bytes; None for no limit.
        clock: gives the time, in seconds since the epoch.
    """

    def __init__(self, storage: Storage, limit: int | None, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._limit = limit
        self._clock = clock
        self._used = 0
        self._writing = 0
        self._measured = float("-inf")
        self._changed = True
        self._measuring = asyncio.Lock()

    def changed(self) -> None:
        """Take note that something was removed."""
        self._changed = True

    async def check(self, amount: int) -> None:
        """Make sure that there is place.

        Args:
            amount: for so many bytes.

        Raises:
            Problem: there is not.
        """
        if self._limit is None:
            return
        if self._is_due(_STALE) or (self._used + amount > self._limit and (self._changed or self._is_due(_HASTE))):
            await self._measure()
        if self._used + amount > self._limit:
            raise full(f"it may hold {self._limit} bytes, and holds {self._used}")

    @contextlib.asynccontextmanager
    async def room(self, amount: int) -> AsyncIterator[None]:
        """Count what is stored meanwhile; raises what `check` raises."""
        await self.check(amount)
        self._used += amount
        self._writing += amount
        try:
            yield
        finally:
            self._writing -= amount

    def _is_due(self, age: float) -> bool:
        return self._clock() - self._measured >= age

    async def _measure(self) -> None:
        known = self._measured
        async with self._measuring:
            if self._measured != known:
                return  # another request has just measured
            self._changed = False
            # What is being written is counted, whether it is seen or not.
            before = self._used - self._writing
            found = await self._storage.size()
            self._used += found - before
            self._measured = self._clock()


def full(cause: str) -> Problem:
    """The answer where there is no place. Clients do not try again after a 403, as they would after a 507."""
    return Problem(403, "DENIED", f"the registry is full: {cause}")


def full_disk(error: OSError) -> Problem | None:
    """The answer where the disk has no place; None for any other error."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return full(str(error.strerror).lower())
    return None
