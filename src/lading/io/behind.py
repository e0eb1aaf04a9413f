"""Work on the pieces of a stream, in a thread and in their order, while the next ones come.

So receiving, hashing and writing go on at once, and the event loop does none of it. This module knows threads, and
nothing of what is done in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from lading.io.threads import heed, in_thread

_LEAST = 256 * 1024
"""How much a thread is begun for before the end, in bytes."""
_MOST = 512 * 1024
"""How much waits for a thread that is at work, in bytes; then whoever brings more waits, too."""


class Behind:
    """Calls a function with each piece that it is given, in a thread. Leaving its context waits for all of them.

    Where the context is left by an error, what was given before is worked on all the same; after a cancellation it is
    dropped, or kept if that is asked for. Either way no thread is at work afterwards.

    Args:
        work: takes a piece; after it has failed once, it is not called again.
        keeps: whether what was given is worked on after a cancellation, too: for files that are gone on with later.
    """

    def __init__(self, work: Callable[[bytes], object], *, keeps: bool = False) -> None:
        self._work = work
        self._keeps = keeps
        self._waiting: list[bytes] = []
        self._size = 0
        self._job: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.end()
            elif isinstance(error, Exception) or self._keeps:
                with suppress(Exception):
                    await self.end()
        finally:
            if self._job is not None:
                self._job.cancel()
                await asyncio.gather(self._job, return_exceptions=True)

    async def give(self, piece: bytes) -> None:
        """Hand over the next piece; wait where there is more than a thread keeps up with.

        Raises what the function raised for an earlier piece.
        """
        self._waiting.append(piece)
        self._size += len(piece)
        is_idle = self._job is None or self._job.done()
        if self._size >= (_LEAST if is_idle else _MOST):
            await self._turn()

    async def end(self) -> None:
        """Wait until all that was given is done.

        Raises what the function raised.
        """
        if self._waiting:
            await self._turn()
        await self._done()

    async def _turn(self) -> None:
        await self._done()
        pieces, self._waiting, self._size = self._waiting, [], 0
        self._job = asyncio.ensure_future(in_thread(self._work_on, pieces))

    async def _done(self) -> None:
        if self._job is None:
            return
        try:
            await (asyncio.shield(self._job) if self._keeps else self._job)
        except Exception:
            self._job = None
            self._waiting.clear()
            raise
        self._job = None

    def _work_on(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if not self._keeps:
                heed()
            self._work(piece)
