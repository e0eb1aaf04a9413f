"""Several things that a command does, of which one may fail while the others go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from lading.cli import values
from lading.errors import LadingError, UsageError

if TYPE_CHECKING:
    import asyncio

    from lading.cli.options import Options
    from lading.client import AsyncClient
    from lading.transfer.report import Failure

T = TypeVar("T")

_AT_ONCE = 16
"""How many references are worked on at a time; each host has its own limit beside it."""
_LONGEST = 4096
"""Characters that a line of standard input has at most."""


class Several:
    """Keeps what failed.

    Args:
        keep_going: whether the others go on; else the first failure is raised.
    """

    def __init__(self, *, keep_going: bool) -> None:
        self.failed: list[Failure] = []
        self._keep_going = keep_going

    @contextmanager
    def each(self, reference: str) -> Iterator[None]:
        """One of them, which is called so."""
        try:
            yield
        except LadingError as error:
            if not self._keep_going:
                raise
            from lading.cli.wording import remedied
            from lading.transfer.report import Failure

            self.failed.append(remedied(Failure.of(error, reference)))


def references(words: Sequence[str]) -> list[str]:
    """The references that a command is given; `-` stands for those on standard input, one a line.

    Args:
        words: the arguments; aliases in them are replaced already.

    Raises:
        UsageError: standard input is no text, or `-` is there twice.
    """
    if words.count(values.STDIN) > 1:
        raise UsageError("standard input can be read once", cause="- is there twice")
    return [found for word in words for found in (_lines() if word == values.STDIN else [word])]


def _lines() -> Iterator[str]:
    try:
        for number, line in enumerate(sys.stdin, 1):
            if len(line) > _LONGEST:
                raise UsageError(f"line {number} of standard input is no reference", cause="it is too long")
            if line.strip():
                yield values.location(line.strip())
    except UnicodeDecodeError:
        raise UsageError("standard input is not UTF-8 text", remedy="give references, one a line") from None


def for_each(
    options: Options,
    words: Sequence[str],
    work: Callable[[AsyncClient, str], Coroutine[Any, Any, T]],
    show: Callable[[str, T], int | None],
) -> int:
    """Do the same with each of several references, with one client, several at a time.

    What is found is shown in the order of the references, as soon as it and all before it are there. What fails is told
    as an error, and the others go on.

    Args:
        options: the common flags.
        words: the arguments of the command.
        work: finds something out.
        show: prints what was found of a reference; gives an exit code, or None for 0.

    Returns:
        The exit code: the highest of all.
    """
    from lading.cli import say_error

    async def main(client: AsyncClient) -> int:
        from collections import deque

        from lading.io.tasks import task_group

        async def one(reference: str) -> T | LadingError:
            try:
                return await work(client, reference)
            except LadingError as error:
                return error

        code = 0
        begun: deque[tuple[str, asyncio.Task[T | LadingError]]] = deque()

        async def end_first() -> int:
            reference, task = begun.popleft()
            result = await task
            if isinstance(result, LadingError):
                say_error(result)
                return result.exit_code
            return show(reference, result) or 0

        async with task_group() as group:
            for reference in wanted:
                if len(begun) == _AT_ONCE:
                    code = max(code, await end_first())
                begun.append((reference, group.create_task(one(reference))))
            while begun:
                code = max(code, await end_first())
        return code

    wanted = references(words)
    return options.run(main) if wanted else 0
