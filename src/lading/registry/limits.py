"""How many requests a host gets, and how fast: what is configured, and less where the host asks for less.

A host that answers 429 (or 503 with a time) gets nothing until that time has passed, and fewer requests at once after
it; each one that succeeds lets it recover. And what a host was asked for, and how many pulls it says are left. Knows no
requests, and nothing of other hosts.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from lading.errors import RateLimited, UsageError


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
            if not turn.cancelled():  # it had just been given the place
                self.release()
            elif turn in self._waiting:  # it had not been passed over yet
                self._waiting.remove(turn)
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

    def limit(self, jobs: int | None = None, rate: float | None = None) -> tuple[int, float | None]:
        """Allow so many requests at once, and so many to begin in a second; what is None stays as it is.

        Returns:
            What was allowed before, to be given back by another call.
        """
        before = self._jobs, 1 / self._interval if self._interval else None
        if jobs is not None:
            self._jobs = jobs
            self.allowed = float(jobs)
        if rate is not None:
            self._interval = 1 / rate
        self._admit()
        return before

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


class Tally:
    """The requests to one host, by method, and its pulls: manifests that are read, of which some registries count.

    Args:
        name: what the host is called in messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.requests: Counter[str] = Counter()
        """How many of each method were sent, retries included."""
        self.limited: int = 0
        """How many were answered that there are too many."""
        self.pulls_left: int | None = None
        """How many pulls the host said last are left; None where it says nothing of it."""
        self.keep: int | None = None
        """How many of them are left for others."""
        self._under_way = 0

    def begin(self, method: str, url: str) -> bool:
        """A request is about to be sent.

        Returns:
            Whether it is a pull: then `end` has to be called.

        Raises:
            RateLimited: it is a pull, and no more are left than are to be kept.
        """
        is_pull = method == "GET" and "/manifests/" in url
        is_counted = is_pull and self.keep is not None and self.pulls_left is not None
        if is_counted and (self.pulls_left or 0) - self._under_way <= (self.keep or 0):
            raise RateLimited(
                f"{self._name} has {self.pulls_left} pulls left, and {self.keep} are kept for others",
                remedy="go on when the limit has been renewed",
                code="pulls-kept",
                fields={"registry": self._name, "left": self.pulls_left, "keep": self.keep},
            )
        self._under_way += is_pull
        self.requests[method] += 1
        return is_pull

    def end(self, told: str | None, *, is_pull: bool) -> None:
        """A request was answered, or failed.

        Args:
            told: what the answer says of the pulls that are left (`ratelimit-remaining`), if it does.
            is_pull: what `begin` said.
        """
        self._under_way -= is_pull
        if found := re.match(r"\s*(\d{1,12})", told or ""):
            self.pulls_left = int(found[1])
