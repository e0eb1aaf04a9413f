"""Running the embedded registry: on this event loop, on a thread of its own, or until a signal comes.

This module knows sockets and uvicorn, and nothing of what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lading.errors import Conflict, UsageError

_log = logging.getLogger("lading.serve.http")
_log.setLevel(logging.ERROR)

_GRACE = 3  # seconds that requests have to end when the server stops
_KEEP_ALIVE = 75  # seconds that an idle connection is kept


class _Protocol(H11Protocol):
    """Says nothing about clients that try TLS first, as many do: they are answered, and that is all."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _log


class _Server(uvicorn.Server):
    """Leaves signals to whoever owns the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def running(application: Any, address: str) -> AsyncIterator[str]:
    """Serve an ASGI application on the current event loop; gives its URL.

    Raises:
        UsageError: the address is malformed, or not one of this machine.
        Conflict: the address is in use.
    """
    host, port = parse_address(address)
    listener = _listen(host, port)
    config = uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
    )
    server = _Server(config)
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listener.getsockname()[1]}"
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.001)
        yield url
    finally:
        server.should_exit = True
        await task


@contextlib.contextmanager
def background(application: Any, address: str) -> Iterator[str]:
    """Serve an ASGI application on an event loop in a thread of its own; gives its URL."""
    started: Future[tuple[str, Callable[[], None]]] = Future()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        async with running(application, address) as url:
            started.set_result((url, lambda: _call(loop, ended.set)))
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="lading registry", daemon=True)
    thread.start()
    try:
        url, end = started.result()
    except BaseException:
        thread.join()
        raise
    try:
        yield url
    finally:
        end()
        thread.join()


def serve(application: Any, address: str, ready: Callable[[str], None]) -> None:
    """Serve an ASGI application until SIGINT or SIGTERM; `ready` is called with its URL."""

    async def main() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with running(application, address) as url:
            ready(url)
            await ended.wait()

    asyncio.run(main())


def parse_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT` or `[IPV6]:PORT`.

    Raises:
        UsageError: it has another form.
    """
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or not (port.isascii() and port.isdecimal()) or int(port) > 65535 or (":" in bare and host == bare):
        raise UsageError(f"{text!r} is not an address", remedy="an address is HOST:PORT, such as 127.0.0.1:5000")
    return bare, int(port)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "choose another one; port 0 takes any that is free"
            raise Conflict(f"{host}:{port} is in use", remedy=remedy) from None
        cause = str(error.strerror).partition(" (while")[0]  # the rest says the address again
        raise UsageError(f"cannot listen on {host}:{port}", cause=cause) from None


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(callback)
