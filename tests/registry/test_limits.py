"""The limits of one host, by a clock that a test turns."""

import asyncio
from collections.abc import Callable

import pytest

from lading.registry.limits import Limiter


class Clock:
    """Time that passes when somebody waits for it, and how long that was."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Callable[..., Limiter]:
    return lambda *limits: Limiter(*limits, clock=clock, sleep=clock.sleep)


async def test_no_more_are_under_way_than_may_be(make: Callable[..., Limiter]) -> None:
    limiter = make(3)
    under_way = most = 0

    async def work() -> None:
        nonlocal under_way, most
        await limiter.acquire()
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        limiter.release()

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3


async def test_first_come_first_served(make: Callable[..., Limiter]) -> None:
    limiter = make(1)
    order = []

    async def work(number: int) -> None:
        await limiter.acquire()
        order.append(number)
        await asyncio.sleep(0)
        limiter.release()

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))


async def test_who_is_cancelled_while_waiting_leaves_the_line(make: Callable[..., Limiter]) -> None:
    limiter = make(1)
    await limiter.acquire()
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    limiter.release()
    waiting[1].cancel()  # it has been given the place, and does not know yet
    await asyncio.wait(waiting, timeout=5)
    assert [task.cancelled() for task in waiting] == [True, True, False]
    limiter.release()
    await limiter.acquire()


async def test_who_is_cancelled_is_passed_over_before_knowing_it(make: Callable[..., Limiter]) -> None:
    limiter = make(1)
    await limiter.acquire()
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    limiter.release()
    await asyncio.wait(waiting, timeout=5)
    assert [task.cancelled() for task in waiting] == [True, False]


async def test_requests_begin_no_faster_than_they_may(make: Callable[..., Limiter], clock: Clock) -> None:
    limiter = make(8, 4.0)
    begun = await asyncio.gather(*(limiter.turn() for _ in range(5)))
    assert begun == [1000, 1000.25, 1000.5, 1000.75, 1001]
    clock.now += 100
    assert await limiter.turn() == 1101, "what was not used is not made up for"
    assert await limiter.turn() == 1101.25


async def test_without_a_rate_nobody_waits(make: Callable[..., Limiter], clock: Clock) -> None:
    limiter = make(8)
    await asyncio.gather(*(limiter.turn() for _ in range(5)))
    assert clock.waits == []


async def test_a_host_that_asks_for_it_is_left_alone(make: Callable[..., Limiter], clock: Clock) -> None:
    limiter = make(8)
    begun = await limiter.turn()
    limiter.slow_down(begun, 7)
    limiter.slow_down(begun, 3)
    assert await asyncio.gather(*(limiter.turn() for _ in range(3))) == [1007, 1007, 1007]
    assert sum(clock.waits) == 7


async def test_a_rate_is_kept_after_a_pause(make: Callable[..., Limiter]) -> None:
    limiter = make(8, 2.0)
    limiter.slow_down(await limiter.turn(), 10)
    assert await asyncio.gather(*(limiter.turn() for _ in range(3))) == [1010, 1010.5, 1011]


async def test_a_pause_that_grows_while_it_is_waited_for(make: Callable[..., Limiter], clock: Clock) -> None:
    limiter = make(8)
    limiter.slow_down(await limiter.turn(), 5)
    waiting = asyncio.create_task(limiter.turn())
    await asyncio.sleep(0)
    limiter.slow_down(clock(), 9)
    assert await waiting >= 1009


async def test_fewer_at_once_after_it_and_more_with_every_success(make: Callable[..., Limiter], clock: Clock) -> None:
    limiter = make(8)
    begun = clock()
    for _ in range(5):  # a crowd that was refused together counts once
        limiter.slow_down(begun, 0)
        clock.now += 1
    assert limiter.allowed == 4
    limiter.slow_down(clock(), 0)
    assert limiter.allowed == 2
    for _ in range(10):
        limiter.slow_down(clock(), 0)
        clock.now += 1
    assert limiter.allowed == 1, "one it is always asked"
    steps = 0
    while limiter.allowed < 8:
        limiter.succeeded()
        steps += 1
    assert 8 < steps < 60
    limiter.succeeded()
    assert limiter.allowed == 8


async def test_places_above_a_lowered_limit_are_not_given_again(make: Callable[..., Limiter], clock: Clock) -> None:
    limiter = make(4)
    for _ in range(4):
        await limiter.acquire()
    limiter.slow_down(clock(), 0)
    waiting = asyncio.create_task(limiter.acquire())
    for _ in range(2):
        limiter.release()
        await asyncio.sleep(0)
        assert not waiting.done()
    limiter.release()
    await waiting
