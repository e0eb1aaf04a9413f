"""A relay of bytes that cuts connections: after so many bytes, as often as it is told to."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """Passes TCP connections on to `upstream` (HOST:PORT). Runs on the test's own event loop.

    The next connection that has sent `cut_after` bytes is cut, and `cuts` more like it.
    """

    def __init__(self, upstream: str, *, cut_after: int = 0, cuts: int = 0) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self.cut_after = cut_after
        self.cuts = cuts
        self.sent = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.host = f"127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_connected(self) -> bool:
        return bool(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            below, above = await asyncio.open_connection(*self._upstream)
            back = asyncio.create_task(self._back(below, writer))
            try:
                await self._forth(reader, above)
            finally:
                above.close()
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                writer.close()
        self._tasks.discard(task)

    async def _forth(self, reader: asyncio.StreamReader, above: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(65536):
            if self.cuts and passed + len(data) > self.cut_after:
                self.cuts -= 1
                return
            passed += len(data)
            self.sent += len(data)
            above.write(data)
            await above.drain()

    async def _back(self, below: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await below.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
