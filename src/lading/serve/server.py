"""Running the embedded registry: on this event loop, on a thread of its own, or until a signal comes.

This module knows sockets and uvicorn, and nothing of what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import h11
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from lading.errors import Conflict, UsageError, way_on
from lading.serve.protocol.routes import ANSWERED

_log = logging.getLogger("lading.serve.http")
_log.setLevel(logging.ERROR)
# What had not ended when the server did is no failure of it.
_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)))

_ZERO_COPY = "http.response.zerocopysend"
_GRACE = 3  # seconds that requests have to end when the server stops
_LONG_GRACE = 9  # where there is a process to stop: programs that send SIGTERM often wait for 10
_KEEP_ALIVE = 75  # seconds that an idle connection is kept
_PATIENCE = 60.0  # seconds that a client may be silent in the middle of something
_HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers
_PLAIN_ANSWER = b'{"errors":[{"code":"UNSUPPORTED","message":"plain HTTP was sent to a port of TLS; use https://"}]}'
_PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_PLAIN_ANSWER), _PLAIN_ANSWER)
_RENEWAL = 1  # seconds between looks at the certificate


class TLS(NamedTuple):
    """A certificate to serve with."""

    certificate: str | os.PathLike[str]
    """A file (PEM) with the certificate and the chain up to its authority."""
    key: str | os.PathLike[str]
    """A file (PEM) with its private key, which is not encrypted."""


class _Handshakes(ssl.SSLContext):
    """Answers clients that speak plain HTTP to a port of TLS: with 400 and words, instead of a broken connection."""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        """The server's side of one connection, as the event loop asks for it."""
        made = cast("_Handshake", super().wrap_bio(incoming, outgoing, *args, **options))
        made.incoming, made.outgoing = incoming, outgoing
        return made


class _Handshake(ssl.SSLObject):
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    _is_plain: bool | None = None  # None until something has come

    def do_handshake(self) -> None:
        if self._is_plain is None and self.incoming.pending:
            came = self.incoming.read()
            self._is_plain = came[:1].isalpha()  # a method of HTTP, where TLS begins with the byte 22
            if self._is_plain:
                self.outgoing.write(_PLAIN_HTTP)
            else:
                self.incoming.write(came)
        if self._is_plain:
            self.incoming.read()
            raise ssl.SSLWantReadError  # what is outgoing is sent now; the client closes, or time for a handshake ends
        super().do_handshake()


class _Protocol(H11Protocol):
    """Ends connections whose client is silent in the middle of a request, or reads no answer.

    It says nothing about clients that try TLS first, as many do: they are answered, and that is all. Files go from
    the disk to the network without being read, unless they have to be encrypted (ASGI, Zero Copy Send).
    """

    patience = _PATIENCE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _log
        self.app = functools.partial(self._with_files, self.app)
        self._sending: asyncio.Future[None] | None = None  # done when a part of a file is sent
        self._since = 0.0  # when it was last not the client's turn, or the client did its part
        self._unsent = 0
        self._looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's is
        super().connection_made(transport)
        self._since = self.loop.time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._looking is not None:
            self._looking.cancel()
        if self._sending is not None and not self._sending.done():
            self._sending.set_result(None)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            self._since = self.loop.time()  # but headers, however slowly they come, have to be complete in time

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP. For the application of a request in whose body it came, the client has left."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
            cast("dict[str, Any]", cycle.scope)[ANSWERED] = 400
        super().send_400_response(msg)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._since = self.loop.time()

    def _look(self) -> None:
        """Look, a few times while patience lasts, whether the client still does its part."""
        now = self.loop.time()
        if not self._waits():
            self._since = now
        elif now - self._since > self.patience:
            self.transport.abort()
            return
        self._looking = self.loop.call_later(self.patience / 4, self._look)

    def _waits(self) -> bool:
        """Whether the client has to do something now, and has done nothing."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            return self.timeout_keep_alive_task is None  # else it is between requests, where uvicorn looks after it
        if self._sending is not None:
            return True
        if self.flow.write_paused:
            return self._unsent >= before
        return cycle.more_body and not self.flow.read_paused and not cycle.waiting_for_100_continue

    async def _with_files(self, application: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an application that may give a file instead of its bytes."""

        async def send_any(message: Message) -> None:
            if message["type"] == _ZERO_COPY:
                await self._send_file(message["file"], message["offset"], message["count"])
            else:
                await send(message)

        if scope["scheme"] == "http" and hasattr(os, "sendfile"):
            scope["extensions"] = {_ZERO_COPY: {}}
        await application(scope, receive, send_any)

    async def _send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file.

        Raises:
            ConnectionError: the client has gone.
        """
        if self.transport.is_closing():
            raise ConnectionAbortedError("the client has gone")
        # Of the range h11 looks at the length alone, and gives it back where the bytes go.
        part: Any = range(count)
        pieces: list[Any] = self.conn.send_with_data_passthrough(h11.Data(data=part)) or []
        for piece in pieces:
            if isinstance(piece, bytes):
                self.transport.write(piece)
                continue
            self.transport.set_write_buffer_limits(0)
            await self.flow.drain()  # until what comes before it is gone
            self.transport.set_write_buffer_limits()
            if not self.transport.is_closing():
                await self._splice(file, offset, offset + count)
            if self.transport.is_closing():
                raise ConnectionAbortedError("the client has gone")

    async def _splice(self, file: BinaryIO, offset: int, stop: int) -> None:
        """Let the kernel send a part of a file, until the connection is lost."""
        # loop.sendfile would neither say how far it has come nor end when the connection does.
        ended = self._sending = self.loop.create_future()
        out = os.dup(self.transport.get_extra_info("socket").fileno())

        def go_on() -> None:
            nonlocal offset
            try:
                sent = os.sendfile(out, file.fileno(), offset, stop - offset)
            except BlockingIOError:
                return
            except OSError as error:
                sent = 0
                self.transport.abort()
                if not isinstance(error, ConnectionError):
                    _log.error("cannot send %s: %s", file.name, error)
            offset += sent
            self._since = self.loop.time()
            if (not sent or offset == stop) and not ended.done():
                ended.set_result(None)

        self.loop.add_writer(out, go_on)
        try:
            await ended
        finally:
            self._sending = None
            self.loop.remove_writer(out)
            os.close(out)


class _Server(uvicorn.Server):
    """Leaves signals to the program that owns the process, and ends as soon as it can instead of at the next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Tick until the end is asked for."""
        tick = 0
        while not await self.on_tick(tick):
            tick += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and wait until those that there are have ended."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        told: set[Any] = set()
        pause = 0.001
        while True:
            for connection in self.server_state.connections - told:
                told.add(connection)
                connection.shutdown()
            for seconds in (0, 0, pause):  # what was just accepted is a connection two rounds of the loop later
                await asyncio.sleep(seconds)
            if not self.server_state.connections and not self.server_state.tasks:
                break
            pause = min(2 * pause, 0.1)
        for server in self.servers:
            await server.wait_closed()
        await self.lifespan.shutdown()

    def end(self) -> None:
        """Ask for the end."""
        self.should_exit = True
        self._ending.set()

    def hurry(self) -> None:
        """Break off what is still under way."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for request in list(self.server_state.tasks):
            request.cancel()


@contextlib.asynccontextmanager
async def running(
    application: Any, address: str, tls: TLS | None = None, *, patience: float = _PATIENCE
) -> AsyncIterator[str]:
    """Serve an ASGI application on the current event loop; gives its URL.

    Args:
        application: what answers.
        address: `HOST:PORT`; port 0 takes any that is free.
        tls: the certificate; without one, plain HTTP is spoken.
        patience: how many seconds a client may be silent in the middle of a request or an answer.

    Raises:
        UsageError: the address is malformed, or not one of this machine, or the certificate cannot be used.
        Conflict: the address is in use.
    """
    async with _running(application, address, tls, patience, _GRACE) as (url, _):
        yield url


@contextlib.asynccontextmanager
async def _running(
    application: Any, address: str, tls: TLS | None, patience: float, grace: int
) -> AsyncIterator[tuple[str, _Server]]:
    host, port = parse_address(address)
    context = None if tls is None else _load_certificate(tls)
    listener = _listen(host, port)

    class Protocol(_Protocol):
        pass

    Protocol.patience = patience
    config = uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD_LIMIT,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    config.load()
    config.ssl = context
    server = _Server(config)
    name = f"[{host}]" if ":" in host else host
    url = f"{'http' if context is None else 'https'}://{name}:{listener.getsockname()[1]}"
    task = asyncio.create_task(server.serve(sockets=[listener]))
    renewing = None
    try:
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.001)
        if tls is not None and context is not None:
            renewing = asyncio.create_task(_renew(tls, context))
        yield url, server
    finally:
        if renewing is not None:
            renewing.cancel()
        server.end()
        try:
            await asyncio.wait_for(asyncio.shield(task), grace)
        except TimeoutError:
            _log.error(
                "broke off %d requests that did not end within %d seconds", len(server.server_state.tasks), grace
            )
            server.hurry()
            await task


@contextlib.contextmanager
def background(application: Any, address: str, tls: TLS | None = None, *, patience: float = _PATIENCE) -> Iterator[str]:
    """Serve an ASGI application on a thread of its own; takes, gives and raises what `running` does."""
    started: Future[tuple[str, Callable[[], None]]] = Future()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        async with running(application, address, tls, patience=patience) as url:
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


def serve(application: Any, address: str, ready: Callable[[str], None], tls: TLS | None = None) -> None:
    """Serve an ASGI application until SIGINT or SIGTERM; `ready` is called with its URL.

    What is under way when the signal comes may end; a second signal ends it.
    """

    async def main() -> None:
        ended = asyncio.Event()
        async with _running(application, address, tls, _PATIENCE, _LONG_GRACE) as (url, server):

            def end() -> None:
                if ended.is_set():
                    server.hurry()
                ended.set()

            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, end)
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
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "choose another one; port 0 takes any that is free"
            raise Conflict(f"{host}:{port} is in use", remedy=remedy) from None
        cause = str(error.strerror).partition(" (while")[0]  # the rest says the address again
        raise UsageError(f"cannot listen on {host}:{port}", cause=cause) from None
    # Its connections inherit it. asyncio would see to it, if create_server said that these are TCP sockets.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _load_certificate(tls: TLS) -> ssl.SSLContext:
    context = _Handshakes(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Handshake
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_into(context, tls)
    return context


def _load_into(context: ssl.SSLContext, tls: TLS) -> None:
    for file in tls:
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {file}", cause=error.strerror, remedy=way_on(error)) from None
    try:
        context.load_cert_chain(tls.certificate, tls.key, _no_password)
    except ssl.SSLError as error:
        reason = (error.reason or "malformed").replace("_", " ").lower()
        cause = "they are not of each other" if reason == "key values mismatch" else f"OpenSSL says {reason}"
        raise UsageError(f"cannot serve with {tls.certificate} and {tls.key}", cause=cause) from None
    except _Encrypted:
        remedy = f"decrypt it: openssl pkey -in {tls.key} -out FILE"
        raise UsageError(f"the key in {tls.key} is encrypted", remedy=remedy) from None


class _Encrypted(Exception):
    """A key needs a password."""


def _no_password() -> str:
    raise _Encrypted


async def _renew(tls: TLS, context: ssl.SSLContext) -> None:
    """Use the certificate that is there: new connections get a new one as soon as it has replaced the old one."""
    known = _look_at(tls)
    while True:
        await asyncio.sleep(_RENEWAL)
        found = _look_at(tls)
        if found == known:
            continue
        known = found
        try:
            _load_certificate(tls)
            _load_into(context, tls)
        except UsageError as error:
            _log.error("the certificate has changed and cannot be used, so the one before is: %s", error)


def _look_at(tls: TLS) -> list[tuple[int, int, int] | None]:
    return [_stamp(Path(file)) for file in tls]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        status = file.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(callback)
