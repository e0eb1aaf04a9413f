"""Work behind a stream: in a thread, in order, with room for little, and with nothing left behind."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from lading.io.behind import Behind
from lading.io.threads import Stopped, heed

PIECE = 256 * 1024


def numbered(count: int) -> list[bytes]:
    return [bytes([number]) * PIECE for number in range(count)]


async def through(work: Callable[[bytes], object], pieces: list[bytes], error: Exception | None = None) -> None:
    async with Behind(work) as behind:
        for piece in pieces:
            await behind.give(piece)
        if error is not None:
            raise error


async def test_pieces_are_worked_on_in_order_and_off_the_event_loop() -> None:
    done: list[bytes] = []
    threads: set[int] = set()

    def work(piece: bytes) -> None:
        threads.add(threading.get_ident())
        done.append(piece)

    await through(work, [b"", b"few", *numbered(20), b"last"])
    assert b"".join(done) == b"few" + b"".join(numbered(20)) + b"last"
    assert threading.get_ident() not in threads


async def test_more_is_taken_while_a_thread_is_at_work_and_no_more_than_a_little() -> None:
    go, given = threading.Event(), 0

    async def give() -> None:
        nonlocal given
        async with Behind(lambda _: go.wait(20)) as behind:
            for piece in numbered(40):
                await behind.give(piece)
                given += 1

    giving = asyncio.create_task(give())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 2 <= given <= 8
    assert not giving.done()
    go.set()
    await giving
    assert given == 40


async def test_a_failure_is_raised_and_nothing_after_it_is_worked_on() -> None:
    done: list[bytes] = []

    def work(piece: bytes) -> None:
        if piece[0] == 2:
            raise OSError("the disk is full")
        done.append(piece)

    with pytest.raises(OSError, match="full"):
        await through(work, numbered(40))
    assert done == numbered(2)


async def test_what_came_before_a_failure_of_the_stream_is_worked_on() -> None:
    done: list[bytes] = []
    with pytest.raises(ValueError, match="broke"):
        await through(done.append, [b"few"], ValueError("it broke"))
    assert done == [b"few"]


@pytest.mark.parametrize("keeps", [True, False])
async def test_after_a_cancellation_no_thread_is_at_work(keeps: bool) -> None:
    begun, ended = threading.Event(), threading.Event()
    done: list[bytes] = []

    def work(piece: bytes) -> None:
        begun.set()
        try:
            while not keeps and not ended.is_set():
                heed()
            done.append(piece)
        except Stopped:
            ended.set()
            raise

    async def give() -> None:
        async with Behind(work, keeps=keeps) as behind:
            await behind.give(numbered(1)[0])
            await behind.give(b"few")
            await asyncio.to_thread(begun.wait, 20)
            await asyncio.Event().wait()

    before = asyncio.all_tasks()
    giving = asyncio.create_task(give())
    await asyncio.to_thread(begun.wait, 20)
    giving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving
    assert asyncio.all_tasks() == before
    assert done == ([*numbered(1), b"few"] if keeps else [])
    assert ended.is_set() != keeps
