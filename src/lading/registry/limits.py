"""How many requests a host gets, and how fast: what is configured, and less where the host asks for less.

A host that answers 429 (or 503 with a time) gets nothing until that time has passed, and fewer requests at once after
it; each one that succeeds lets it recover. Knows no requests, and nothing of other hosts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from lading.errors import UsageError


class Limiter:
    """The limits of one host.

    Args:
        jobs: how many requests may be under way at once.
        rate: how many may begin in a second; None for any number.
        clock: tells the time, in seconds.
        sleep: waits for so many seconds.

    Raises:
        UsageError: there are no jobs at all, and every request would wait for ever.
    """

    def __init__(
        self,
        jobs: int,
        rate: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if jobs < 1:
            raise UsageError(f"jobs is {jobs}", cause="without one no request is ever sent", remedy="give 1 or more")
        self.allowed: float = float(jobs)
        """How many may be under way at once for now; of a part of one, none."""
        self._jobs = jobs
        self._interval = 1 / rate if rate else 0.0
        self._clock = clock
        self._sleep = sleep
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._line = asyncio.Lock()
        self._next = 0.0
        """When the next request may begin."""
        self._slowed = -1.0
        """When it was last slowed down."""

    async def acquire(self) -> None:
        """Take a place among the requests under way; first come, first served. `release` gives it back."""
        if self._taken < int(self.allowed) and not self._waiting:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # it had just been given the place
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._admit()

    async def turn(self) -> float:
        """Wait until a request may begin, by rate and by what the host asked for.

        Returns:
            When it begins, for `succeeded` and `slow_down`.
        """
        if self._interval or self._next > self._clock():
            async with self._line:
                while (wait := self._next - self._clock()) > 0:  # it may have been put off meanwhile
                    await self._sleep(wait)
                self._next = self._clock() + self._interval
        return self._clock()

    def widen(self, jobs: int) -> None:
        """Let at least so many requests be under way at once."""
        more = max(0, jobs - self._jobs)
        self._jobs += more
        self.allowed += more
        self._admit()

    def succeeded(self) -> None:
        """A request was answered as it should be: the host may be asked a little more at once."""
        if self.allowed < self._jobs:
            self.allowed = min(self._jobs, self.allowed + 1 / self.allowed)
            self._admit()

    def slow_down(self, begun: float, seconds: float) -> None:
        """The host asks for fewer requests.

        Args:
            begun: when the request began that it says so of: what began before the last time says nothing new.
            seconds: how long to leave it alone.
        """
        now = self._clock()
        self._next = max(self._next, now + seconds)
        if begun > self._slowed:
            self._slowed = now
            self.allowed = max(1.0, self.allowed / 2)

    def _admit(self) -> None:
        while self._waiting and self._taken < int(self.allowed):
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
