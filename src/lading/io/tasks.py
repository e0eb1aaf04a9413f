"""Many tasks at once: run all of them, share the result that several want, and limit how much is under way.

This module knows tasks, and nothing of content.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Generic, TypeVar

from lading.errors import LadingError

T = TypeVar("T")
Work = Coroutine[Any, Any, T]

JOBS = 8
"""How many blobs are under way at once, unless said otherwise."""
BYTES = 2 * 1024**3
"""How many bytes the blobs that are under way may have together; one counts for a quarter of it at most."""


async def gather(work: Iterable[Work[T]]) -> list[T]:
    """Run all of it at once and return the results in order; the first failure cancels the rest and is raised."""
    async with task_group() as group:
        tasks = [group.create_task(item) for item in work]
    return [task.result() for task in tasks]


async def settle(work: Iterable[Work[T]]) -> list[T | LadingError]:
    """Run all of it at once, each whatever becomes of the rest; returns the results, or the failures instead."""

    async def one(item: Work[T]) -> T | LadingError:
        try:
            return await item
        except LadingError as error:
            return error

    return await gather(one(item) for item in work)


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that fails with one exception: the first that a user should see."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """That exception: a LadingError, where there is one."""
    flat = list(_leaves(failures))
    return next((failure for failure in flat if isinstance(failure, LadingError)), flat[0])


def _leaves(failures: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure


class Once:
    """Runs work once for all tasks that want its result. Work is cancelled when no task waits for it any more.

    Args:
        again: whether work that failed runs again for the next task that wants it; else that has the same failure.
    """

    def __init__(self, *, again: bool = True) -> None:
        self._again = again
        self._shared: dict[Hashable, _Shared[Any]] = {}

    async def do(self, key: Hashable, work: Callable[[], Work[T]]) -> T:
        """Do the work, or wait until it has been done; returns its result."""
        shared: _Shared[T] | None = self._shared.get(key)
        if shared is None or shared.is_cancelled or (self._again and shared.is_failed):
            shared = self._shared[key] = _Shared(work())
        return await shared.wait()


class _Shared(Generic[T]):
    def __init__(self, work: Work[T]) -> None:
        self._task = asyncio.ensure_future(work)
        # Read its exception, so that asyncio does not report it: the tasks that waited may have failures of their own.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._waiting = 0

    @property
    def is_cancelled(self) -> bool:
        return self._task.cancelling() > 0 or self._task.cancelled()

    @property
    def is_failed(self) -> bool:
        return self._task.done() and not self._task.cancelled() and self._task.exception() is not None

    async def wait(self) -> T:
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task])


class Limits:
    """Limits how many blobs, and how many bytes of them, are under way at once; the smallest that waits is next.

    Args:
        jobs: how many blobs.
        size: how many bytes together.
    """

    def __init__(self, jobs: int = JOBS, size: int = BYTES) -> None:
        self._jobs = jobs
        self._size = size
        self._most = max(1, size // 4)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    @asynccontextmanager
    async def place(self, size: int) -> AsyncIterator[None]:
        """Wait until a blob of so many bytes may begin; inside the context it is under way."""
        weight = min(size, self._most)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (weight, next(self._order), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(weight)
            raise
        try:
            yield
        finally:
            self._release(weight)

    def _release(self, weight: int) -> None:
        self._jobs += 1
        self._size += weight
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._jobs:
            weight, _, turn = self._waiting[0]
            if turn.done():
                heapq.heappop(self._waiting)
                continue
            if weight > self._size:
                return
            heapq.heappop(self._waiting)
            self._jobs -= 1
            self._size -= weight
            turn.set_result(None)
