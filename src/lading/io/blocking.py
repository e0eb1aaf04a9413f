"""Asynchronous code for programs without an event loop: a loop on a private thread, and methods that wait for it.

Knows nothing of what runs there. A synchronous face is a `Face` whose methods are made with `blocking`:

    class SyncDrafts(Face[Drafts]):
        create: Final = blocking(Drafts.create)
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator
from concurrent import futures
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import Context, copy_context
from functools import wraps
from types import FunctionType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from lading.errors import LadingError, UsageError
from lading.io.forks import call_after_fork

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
P_contra = ParamSpec("P_contra")  # noqa: PLC0105
T_co = TypeVar("T_co", covariant=True)


class Run(Protocol):
    """Runs asynchronous work to its end."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """Run it, and return what it returns or raise what it raises."""


class Runner:
    """Runs asynchronous work on an event loop of its own, in a private thread that the first call begins.

    Any number of threads may use it at once. A forked child gets a loop and a thread of its own. The thread ends when
    the runner is closed, or is no longer referred to.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._forgotten: weakref.finalize[..., Any] | None = None
        self._of_parent: list[object] = []
        call_after_fork(self._after_fork)

    def run(self, work: Coroutine[Any, Any, T], /) -> T:
        """Run work and wait for it; if the caller is interrupted meanwhile, the work is cancelled.

        Raises:
            LadingError: another thread has closed the runner.
            UsageError: it is called by the work itself, which would wait for itself.
        """
        return _result(self._begin(work))

    @contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Iterator[tuple[T, Run]]:
        """Enter an asynchronous context manager and leave it again, both in one task.

        Returns:
            What it gives; and what runs work as if that were done within the `async with`.
        """
        begun: futures.Future[tuple[T, Context, asyncio.Future[None]]] = futures.Future()

        async def hold() -> None:
            async with manager as value:
                left = asyncio.get_running_loop().create_future()
                begun.set_result((value, copy_context(), left))
                await left

        holding = self._begin(hold())
        try:
            futures.wait(
                [cast("futures.Future[Any]", begun), cast("futures.Future[Any]", holding)],
                return_when=futures.FIRST_COMPLETED,
            )
        except BaseException:
            holding.cancel()
            raise
        if not begun.done():
            _result(holding)
        value, context, left = begun.result()

        def within(work: Coroutine[Any, Any, S], /) -> S:
            return context.copy().run(self.run, work)

        try:
            yield value, within
        except BaseException:
            _from_outside(left, left.cancel)
            futures.wait((holding,))
            raise
        _from_outside(left, left.set_result, None)
        _result(holding)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End what is under way and the thread; the next call begins anew.

        Args:
            last: what is run before the loop ends.
        """
        if threading.current_thread() is self._thread:
            raise _circle()
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            thread = self._thread
            asyncio.run_coroutine_threadsafe(_end(last), self._loop).result()
            self._loop = self._thread = None
            if self._forgotten is not None:
                self._forgotten()
            thread.join()

    def _after_fork(self) -> None:
        # The loop and the thread are the parent's; the lock, too, which another of its threads may hold.
        self._of_parent += (self._loop, self._thread)
        if self._forgotten is not None:
            self._forgotten.detach()
        self._lock, self._loop, self._thread = threading.Lock(), None, None

    def _begin(self, work: Coroutine[Any, Any, T]) -> futures.Future[T]:
        if threading.current_thread() is self._thread:
            work.close()
            raise _circle()
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run_until_stopped, args=(loop,), name="lading", daemon=True)
                self._thread.start()
                self._forgotten = weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)
                self._forgotten.atexit = False
            return asyncio.run_coroutine_threadsafe(work, self._loop)


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    is_stopped = False
    while not is_stopped:
        try:
            loop.run_forever()
            is_stopped = True
        except (KeyboardInterrupt, SystemExit):
            continue  # raised by what a task called: the task has it, and the thread that waits for the task gets it
    loop.close()


async def _end(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _circle() -> UsageError:
    return UsageError(
        "a client was called by what it had called itself, and would wait for itself",
        remedy="do that after the call that is under way",
    )


def _result(future: futures.Future[T]) -> T:
    try:
        return future.result()
    except futures.CancelledError:
        raise LadingError("the client was closed while it was at work", cause="another thread closed it") from None
    except BaseException:
        future.cancel()
        raise


def _from_outside(future: asyncio.Future[Any], change: Callable[..., object], *args: object) -> None:
    """Change a future of a loop that another thread runs, unless it is done or its loop has ended."""

    def apply() -> None:
        if not future.done():
            change(*args)

    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(apply)


class Blocking(Protocol[P_contra, T_co]):
    """A method that waits; for type checkers, which see the parameters of the asynchronous one."""

    @overload
    def __get__(self, face: None, owner: type[Any]) -> Callable[Concatenate[Any, P_contra], T_co]: ...
    @overload
    def __get__(self, face: object, owner: type[Any] | None = None) -> Callable[P_contra, T_co]: ...


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Blocking[P, T]:
    """The method of a `Face` that calls an asynchronous method and waits for it; a function like any other.

    Args:
        method: the method of the asynchronous class, or of the protocol that the object has.
    """
    name = method.__name__

    @wraps(method)
    def call(face: Face[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        return face._runner.run(getattr(face._inner, name)(*args, **kwargs))  # noqa: SLF001  # of the class that this is for

    return cast("Blocking[P, T]", call)


class Face(Generic[T]):
    """The base of synchronous faces: they have the methods of an asynchronous object, and each waits for its end.

    Args:
        inner: the asynchronous object.
        runner: what runs its methods.
    """

    def __init__(self, inner: T, runner: Runner) -> None:
        self._inner = inner
        self._runner = runner

    def __init_subclass__(cls) -> None:
        for name, member in vars(cls).items():
            if isinstance(member, FunctionType) and hasattr(member, "__wrapped__"):
                member.__module__, member.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"


def each(items: AsyncIterable[T], run: Run) -> Iterator[T]:
    """The items of an asynchronous iterable, one after the other, as they are asked for.

    An iterable that is not read to its end is closed by the event loop when it is no longer referred to.
    """
    iterator: AsyncIterator[T] = aiter(items)

    async def following() -> tuple[T] | None:
        try:
            return (await anext(iterator),)
        except StopAsyncIteration:
            return None

    while (item := run(following())) is not None:
        yield item[0]
