"""A reverse proxy that counts: what really went over the wire, how much of it at once, in how many rounds.

It also breaks things on demand: `proxy.intercept` answers in the registry's place or alters what passes.
"""

import http.client
import re
import select
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from support.certs import Authority
from support.http import CHUNK, Connection, Headers, Reply, Request, Server, as_chunks, head

_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Proxy-Connection", "TE", "Trailer", "Upgrade")


@dataclass(frozen=True, kw_only=True)
class Alter:
    """How an exchange is changed on its way through.

    `drop="request"` closes the client's connection before anything is forwarded; `drop="response"` forwards,
    lets the registry do its work, and then closes without an answer. `truncate` closes after that many bytes
    of the response's body (its announced length stays), `truncate_request` after that many of the request's.
    With `reset`, what is closed is reset. `corrupt` flips a bit of the response's body at that offset,
    `corrupt_request` of the request's. `delay` waits that many seconds before forwarding, `pause` before each
    piece of either body; with `hold`, both bodies stop after that many bytes, until the event is set. `status`,
    `set_headers`, `remove_headers` change the head.
    """

    drop: Literal["request", "response"] | None = None
    truncate: int | None = None
    truncate_request: int | None = None
    reset: bool = False
    corrupt: int | None = None
    corrupt_request: int | None = None
    delay: float = 0
    pause: float = 0
    hold: tuple[int, threading.Event] | None = None
    status: int | None = None
    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()


Action = Reply | Alter
Intercept = Callable[[Request], Action | None]


def when(
    action: Action,
    *,
    method: str | None = None,
    path: str | None = None,
    times: int | None = None,
    after: int = 0,
) -> Intercept:
    """An intercept for requests of that method and path (a pattern): the first `times` `after` so many."""
    seen = 0
    lock = threading.Lock()

    def intercept(request: Request) -> Action | None:
        nonlocal seen
        if method is not None and request.method != method:
            return None
        if path is not None and re.search(path, request.path) is None:
            return None
        with lock:
            seen += 1
            hit = seen > after and (times is None or seen <= after + times)
        return action if hit else None

    return intercept


def first_of(*intercepts: Intercept) -> Intercept:
    """One intercept of several: the first that has something to say."""

    def intercept(request: Request) -> Action | None:
        return next((action for one in intercepts if (action := one(request)) is not None), None)

    return intercept


@dataclass
class Exchange:
    """A request and its response as they went over the wire. Times are `time.monotonic()` seconds.

    `status` is 0 as long as nothing was answered. `ended` is taken just before the last byte is sent, so that
    what a client does because of an answer always starts after that answer ended. The bytes are those of the
    bodies, without their framing.
    """

    method: str
    path: str
    query: str
    headers: Headers
    connection: int
    started: float
    status: int = 0
    response_headers: Headers = field(default_factory=Headers)
    ended: float = 0
    request_body_bytes: int = 0
    response_bytes: int = 0

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")


class CountingProxy(Server):
    """A reverse proxy in front of `upstream` (a URL), on a loopback port of its own.

    The Host header passes unchanged, so that the registry's absolute addresses lead back here. Bodies stream
    in both directions. `latency` (seconds) is waited before each request is forwarded. With `tokens`, the URL
    of a token service, challenges are rewritten to come here too, and what goes to `/token` is forwarded
    there: then the whole conversation is counted. `upstream_tls` is the authority of an https upstream, `tls`
    that of the proxy's own listener.
    """

    def __init__(
        self,
        upstream: str,
        *,
        tls: Authority | None = None,
        upstream_tls: Authority | None = None,
        tokens: str | None = None,
        latency: float = 0,
        hostname: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls=tls, hostname=hostname)
        self.latency = latency
        self.intercept: Intercept | None = None
        self._upstream = urllib.parse.urlsplit(upstream)
        self._tokens = None if tokens is None else urllib.parse.urlsplit(tokens)
        self._trust = None if upstream_tls is None else upstream_tls.client_context()
        self._exchanges: list[Exchange] = []
        self._recording = threading.Lock()
        self._forwarders: dict[int, _Forwarder] = {}

    @property
    def exchanges(self) -> list[Exchange]:
        """Every exchange since the last reset, in the order the requests came."""
        with self._recording:
            return list(self._exchanges)

    @property
    def lines(self) -> list[str]:
        """Every request since the last reset as `METHOD path?query`."""
        return [exchange.line for exchange in self.exchanges]

    def count(self, method: str | None = None, path: str = "") -> int:
        """How many requests of that method (any) had the pattern in their path."""
        return sum(
            method in {None, exchange.method} and re.search(path, exchange.path) is not None
            for exchange in self.exchanges
        )

    @property
    def max_in_flight(self) -> int:
        """How many exchanges were under way at once, at most."""
        events = [(exchange.started, 1) for exchange in self.exchanges]
        events += [(exchange.ended, -1) for exchange in self.exchanges if exchange.ended]
        highest = current = 0
        for _, step in sorted(events):
            current += step
            highest = max(highest, current)
        return highest

    def rounds(self) -> int:
        """How many round trips waited for one another: the longest chain of exchanges without overlap."""
        chain = 0
        last = float("-inf")
        for exchange in sorted(self.exchanges, key=lambda exchange: exchange.ended or float("inf")):
            if exchange.started >= last:
                chain += 1
                last = exchange.ended or float("inf")
        return chain

    def reset(self) -> None:
        super().reset()
        with self._recording:
            self._exchanges.clear()

    def opened(self, connection: Connection) -> None:
        self._forwarders[connection.number] = _Forwarder(self._trust)

    def closed(self, connection: Connection) -> None:
        self._forwarders.pop(connection.number).close()

    def answer(self, request: Request, connection: Connection) -> bool:
        exchange = Exchange(
            request.method, request.path, request.query, request.headers, request.connection, time.monotonic()
        )
        with self._recording:
            self._exchanges.append(exchange)
        action = self.intercept(request) if self.intercept is not None else None
        if isinstance(action, Reply):
            if not action.early:
                exchange.request_body_bytes = len(request.body)
            exchange.status = 0 if action.drop else action.status
            exchange.response_headers = Headers.of(action.headers)
            exchange.response_bytes = len(action.body)
            exchange.ended = time.monotonic() + action.delay
            return connection.send(request, action)
        alter = action or Alter()
        again = False
        try:
            again = self._forward(request, connection, exchange, alter)
        except http.client.HTTPException as problem:
            raise ConnectionError(f"the upstream of {exchange.line} broke off") from problem
        finally:
            exchange.ended = exchange.ended or time.monotonic()
            if alter.reset and not again:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return again

    def _forward(self, request: Request, connection: Connection, exchange: Exchange, alter: Alter) -> bool:
        if alter.drop == "request":
            return False
        if self.latency or alter.delay:
            time.sleep(self.latency + alter.delay)
        upstream = self._tokens if self._tokens and request.path == "/token" else self._upstream
        forwarder = self._forwarders[connection.number]
        response = forwarder.send(upstream, request, exchange, alter, forwarded_proto=self.scheme)
        if alter.drop == "response":
            response.read()
            return False
        status = alter.status or response.status
        headers = self._response_headers(response, alter)
        bodiless = request.method == "HEAD" or status in {204, 304}
        length = response.headers.get("Content-Length")
        pieces = _altered(_held(_pieces(response), alter.hold), alter.truncate, alter.corrupt, alter.pause)
        body: Iterable[bytes] = () if bodiless else _measured(pieces, exchange)
        if not bodiless and length is None:
            headers.append(("Transfer-Encoding", "chunked"))
            body = as_chunks(body, end=alter.truncate is None)
        exchange.status = status
        exchange.response_headers = headers
        self._send(connection, exchange, head(status, headers), body)
        response.read()
        return alter.truncate is None and (request.complete or not request.has_body)

    def _response_headers(self, response: http.client.HTTPResponse, alter: Alter) -> Headers:
        changed = (*_HOP, *alter.remove_headers, *(name for name, _ in alter.set_headers))
        headers = Headers(response.headers.items()).without(*changed)
        headers += alter.set_headers
        if self._tokens is None:
            return headers
        realm = f"{self._tokens.scheme}://{self._tokens.netloc}/token"
        return Headers(
            (name, value.replace(realm, f"{self.url}/token") if name.lower() == "www-authenticate" else value)
            for name, value in headers
        )

    def _send(self, connection: Connection, exchange: Exchange, start: bytes, body: Iterable[bytes]) -> None:
        """Send head and body, always one piece behind, so that `ended` is known before the last is sent.

        The head goes with the first piece: a client that needs only the head may go on before the body came.
        """
        pieces = iter(body)
        pending = start + next(pieces, b"")
        for piece in pieces:
            connection.socket.sendall(pending)
            pending = piece
        exchange.ended = time.monotonic()
        connection.socket.sendall(pending)


class _Forwarder:
    """The upstream end of one client's connection, kept open like it."""

    def __init__(self, trust: ssl.SSLContext | None) -> None:
        self._trust = trust
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def send(
        self,
        upstream: urllib.parse.SplitResult,
        request: Request,
        exchange: Exchange,
        alter: Alter,
        *,
        forwarded_proto: str,
    ) -> http.client.HTTPResponse:
        connection = self._connection(upstream)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.without("Connection", "Expect", "X-Forwarded-Proto"):
                connection.putheader(name, value)
            connection.putheader("X-Forwarded-Proto", forwarded_proto)
            connection.endheaders()
            for piece in self._body(request, exchange, alter):
                try:
                    connection.send(piece)
                except (BrokenPipeError, ConnectionResetError):  # answered before it had read everything
                    break
            if alter.truncate_request is not None:
                raise ConnectionAbortedError("cut, as the test says")
            return connection.getresponse()
        except BaseException:
            self._connections.pop(upstream.netloc).close()
            raise

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _connection(self, upstream: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        if upstream.netloc not in self._connections:
            host, port = upstream.hostname or "", upstream.port
            self._connections[upstream.netloc] = (
                http.client.HTTPSConnection(host, port, context=self._trust)
                if upstream.scheme == "https"
                else http.client.HTTPConnection(host, port)
            )
        return self._connections[upstream.netloc]

    @staticmethod
    def _body(request: Request, exchange: Exchange, alter: Alter) -> Iterator[bytes]:
        def counted() -> Iterator[bytes]:
            body = _held(request.chunks(), alter.hold)
            for piece in _altered(body, alter.truncate_request, alter.corrupt_request, alter.pause):
                exchange.request_body_bytes += len(piece)
                yield piece

        return as_chunks(counted()) if request.chunked else counted()


def _measured(body: Iterable[bytes], exchange: Exchange) -> Iterator[bytes]:
    for piece in body:
        exchange.response_bytes += len(piece)
        yield piece


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read1(CHUNK):
        yield piece


def _held(body: Iterable[bytes], hold: tuple[int, threading.Event] | None) -> Iterator[bytes]:
    position = 0
    for piece in body:
        if hold is not None and position + len(piece) > hold[0]:
            hold[1].wait()
        yield piece
        position += len(piece)


def _altered(body: Iterable[bytes], truncate: int | None, corrupt: int | None, pause: float) -> Iterator[bytes]:
    position = 0
    for original in body:
        piece = original
        if pause:
            time.sleep(pause)
        if corrupt is not None and position <= corrupt < position + len(piece):
            at = corrupt - position
            piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
        if truncate is not None and position + len(piece) > truncate:
            yield piece[: truncate - position]
            return
        position += len(piece)
        yield piece


class Tunnel(Server):
    """A proxy for TLS: connects to where it is asked to, or answers with another `status`.

    With `to`, a `HOST:PORT`, whatever is asked for is there: names of the internet lead to this machine.
    """

    def __init__(self, to: str | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.status = 200
        self._to = to

    def answer(self, request: Request, connection: Connection) -> bool:
        self.asked.append(f"{request.method} {request.target}")
        if self.status != 200:
            return connection.send(request, Reply(status=self.status))
        host, _, port = (self._to or request.target).rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            connection.socket.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            both = [there, connection.socket]
            while both:
                for one in select.select(both, [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return False
                    (both[1] if one is there else there).sendall(data)
        return False
