"""The `docker` or `podman` command as a child process: what it says, and pipes to and from it.

This module knows processes and how the commands report failures, and nothing of images.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import BinaryIO, Protocol, TypeVar

from lading.errors import Denied, InvalidContent, LadingError, NotFound, Unreachable, UsageError
from lading.io.tarball import CHUNK
from lading.io.threads import in_thread, reader, writer

T = TypeVar("T", bound="_Closable")

ENVIRONMENT = "LADING_DOCKER"
"""The environment variable that names the command."""

_KEPT = 1024 * 1024  # bytes of output that are kept: of more, the last
_CAUSE_LIMIT = 200
_GRACE = 0.5  # seconds a program has to end when it is asked to
_NOISE = re.compile(r"^(?:Error response from daemon: |Error: )+", re.IGNORECASE)
_NOBODY = re.compile(
    r"cannot connect to|unable to connect|error during connect|is the docker daemon running|connection refused"
    r"|no such host|i/o timeout|failed to connect|dial (?:tcp|unix)|unable to resolve docker endpoint|ssh: ",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"permission denied while trying to connect|dial unix \S+ connect: permission denied", re.IGNORECASE
)
_ABSENT = re.compile(r"no such image|image not known|no such object|reference does not exist", re.IGNORECASE)


class Program:
    """The command of a container engine.

    Args:
        program: its name or path. By default what the environment variable LADING_DOCKER says, else `docker`, else
            `podman`, whichever is on PATH first in that order.

    Raises:
        UsageError: there is no such command.
    """

    def __init__(self, program: str | None = None) -> None:
        wanted = program or os.environ.get(ENVIRONMENT)
        found = next(filter(None, map(shutil.which, [wanted] if wanted else ["docker", "podman"])), None)
        if found is None:
            raise UsageError(
                f"there is no command {wanted}" if wanted else "there is neither a docker nor a podman command",
                cause="a container engine is reached through its command",
                remedy=f"install it, or name another one with {ENVIRONMENT}",
            )
        self.path = found
        self.name: str = os.path.basename(found)  # noqa: PTH119  # it is a text, and stays one

    async def run(self, *args: str) -> str:
        """Run a command to its end.

        Returns:
            What it wrote to standard output.

        Raises:
            NotFound: it says that there is no such image.
            Unreachable: the engine does not answer.
            Denied: the engine may not be used.
            LadingError: it failed in another way.
        """
        async with self._started(args, stdout=PIPE) as running:
            return await running.end()

    async def read(self, args: Sequence[str], work: Callable[[BinaryIO], T]) -> T:
        """Run a command, and let `work` read its standard output in a thread.

        Raises:
            As `run`, and what `work` raises; if both fail, what the program says is the reason.
        """
        with _pipe() as (source, target):
            async with self._started(args, stdout=target.fd) as running:
                target.close()
                try:
                    result = await in_thread(_read, work, source.fd)
                except InvalidContent:
                    await running.end()
                    raise
                try:
                    await running.end()
                except BaseException:
                    result.close()
                    raise
                return result

    async def feed(self, args: Sequence[str], work: Callable[[BinaryIO], None]) -> str:
        """Run a command, and let `work` write its standard input in a thread.

        Returns:
            What it wrote to standard output.

        Raises:
            As `run`, and what `work` raises.
        """
        with _pipe() as (source, target):
            os.set_blocking(target.fd, False)
            async with self._started(args, stdin=source.fd) as running:
                source.close()
                # A program that has heard enough says why.
                with suppress(BrokenPipeError):
                    await in_thread(lambda: work(writer(target.fd)))
                target.close()
                return await running.end()

    @asynccontextmanager
    async def _started(
        self, args: Sequence[str], *, stdin: int = DEVNULL, stdout: int = PIPE
    ) -> AsyncIterator[_Running]:
        try:
            process = await asyncio.create_subprocess_exec(self.path, *args, stdin=stdin, stdout=stdout, stderr=PIPE)
        except OSError as error:
            from lading.io.programs import why_not_found

            is_missing = isinstance(error, FileNotFoundError)
            raise UsageError(
                f"{self.path} cannot be run",
                cause=why_not_found(self.path, os.environ) if is_missing else error.strerror,
                remedy=f"name another one with {ENVIRONMENT}",
            ) from None
        running = _Running(self.name, process)
        try:
            yield running
        finally:
            await running.stop()


class _Closable(Protocol):
    def close(self) -> None: ...


class _Running:
    def __init__(self, program: str, process: Process) -> None:
        self._program = program
        self._process = process
        self._heard = [asyncio.create_task(_last(stream)) for stream in (process.stdout, process.stderr)]

    async def end(self) -> str:
        """Wait until it has ended; returns its standard output."""
        said, complaint = await asyncio.gather(*self._heard)
        if await self._process.wait() != 0:
            raise _failure(self._program, complaint, self._process.returncode)
        return said

    async def stop(self) -> None:
        """End it, if it has not ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await asyncio.wait([asyncio.ensure_future(self._process.wait())], timeout=_GRACE)
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            # What it started itself may keep its pipes open.
            await asyncio.wait([asyncio.ensure_future(self._process.wait())], timeout=_GRACE)
        for task in self._heard:
            task.cancel()
        await asyncio.gather(*self._heard, return_exceptions=True)


class _End:
    """One end of a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._open = True

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.fd)


@contextmanager
def _pipe() -> Iterator[tuple[_End, _End]]:
    source, target = map(_End, os.pipe())
    try:
        yield source, target
    finally:
        source.close()
        target.close()


def _read(work: Callable[[BinaryIO], T], fd: int) -> T:
    stream = reader(fd)
    try:
        return work(stream)
    except InvalidContent:
        # The program should end by itself: then it is known whether it failed.
        while stream.read(CHUNK):
            pass
        raise


async def _last(stream: asyncio.StreamReader | None) -> str:
    """The last of what a stream says."""
    text = b""
    while stream is not None and (chunk := await stream.read(CHUNK)):
        text = (text + chunk)[-_KEPT:]
    return text.decode(errors="replace")


def _failure(program: str, complaint: str, code: int | None) -> LadingError:
    cause = summary(complaint) or f"{program} ended with exit code {code}"
    if _DENIED.search(complaint):
        return Denied(
            f"the container engine does not let you use {program}",
            cause=cause,
            remedy="be root or a member of the engine's group, or use a context of your own",
        )
    if _NOBODY.search(complaint):
        return Unreachable(
            f"{program} does not reach its container engine",
            cause=cause,
            remedy=f"start the engine, or say where it is (DOCKER_HOST, docker context use); try: {program} version",
        )
    if _ABSENT.search(complaint):
        return NotFound(f"{program} has no such image", cause=cause, remedy=f"see what there is: {program} images")
    return LadingError(f"{program} failed", cause=cause)


def summary(complaint: str) -> str:
    """What a program says last, as one line that does nothing to a terminal."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    text = "".join(char for char in _NOISE.sub("", lines[-1] if lines else "") if char.isprintable())
    return text if len(text) <= _CAUSE_LIMIT else f"{text[:_CAUSE_LIMIT]}…"
