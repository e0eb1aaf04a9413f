"""HTTP/1.1 as the support servers speak it: read a request, send a reply, on threads of their own.

Written by hand, over sockets, because a test has to see and to break what a well-behaved library hides: the
raw headers in their order, which connection a request came on, a body that ends too early.
"""

import contextlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self

from support.certs import Authority

CHUNK = 64 * 1024

Pairs = Mapping[str, str] | Sequence[tuple[str, str]]


class Headers(list[tuple[str, str]]):
    """Header fields in the order they came, looked up without regard to case."""

    @classmethod
    def of(cls, fields: Pairs) -> Self:
        return cls(fields.items() if isinstance(fields, Mapping) else fields)

    def get(self, name: str, default: str | None = None) -> str | None:
        return next(iter(self.all(name)), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self if key.lower() == name.lower()]

    def without(self, *names: str) -> "Headers":
        unwanted = {name.lower() for name in names}
        return Headers((key, value) for key, value in self if key.lower() not in unwanted)


@dataclass(eq=False)
class Request:
    """A request as it arrived. The body is read from the connection when it is first asked for."""

    method: str
    target: str
    headers: Headers
    connection: int
    _stream: BinaryIO
    _socket: socket.socket
    _begun: bool = field(default=False, init=False)
    complete: bool = field(default=False, init=False)
    """Whether the body was read to its end, so that another request can follow."""
    _read: bytes | None = field(default=None, init=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def params(self) -> dict[str, list[str]]:
        return urllib.parse.parse_qs(self.query, keep_blank_values=True)

    @property
    def body(self) -> bytes:
        # No cached_property: on Python 3.11 it has one lock for all requests, and one slow body holds up the rest.
        if self._read is None:
            self._read = b"".join(self.chunks())
        return self._read

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length not in {None, 0}

    @property
    def chunked(self) -> bool:
        return "chunked" in (self.headers.get("Transfer-Encoding") or "").lower()

    @property
    def content_length(self) -> int | None:
        length = self.headers.get("Content-Length")
        return None if length is None else int(length)

    def abandon(self) -> None:
        """Leave what was not read of the body unread."""
        self._begun = True

    def chunks(self) -> Iterator[bytes]:
        """The body as it streams in. Only once; raises `ConnectionError` when it ends too early."""
        if self._begun:
            return
        self._begun = True
        if self.has_body and (self.headers.get("Expect") or "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.chunked:
            yield from read_chunked(self._stream)
        else:
            yield from read_exactly(self._stream, self.content_length or 0)
        self.complete = True


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a server answers, well or badly.

    `content_length` announces another length than the body has (None in `headers` terms: the true one); with
    a larger one the connection is closed after the body, which the client sees as truncated. `chunked` sends
    the body in chunks without a length. `delay` waits that many seconds first. `early` answers before the
    request's body is read, and closes. `close` closes afterwards. `drop` closes without a word.
    """

    status: int = 200
    headers: Pairs = ()
    body: bytes = b""
    content_length: int | None = None
    chunked: bool = False
    delay: float = 0
    early: bool = False
    close: bool = False
    drop: bool = False


class Server:
    """A server on a free loopback port, one thread per connection. Subclasses say what to `answer`.

    With `tls` it speaks TLS as that authority's server. `connections` counts the accepted ones.
    """

    def __init__(self, *, tls: Authority | None = None, hostname: str = "127.0.0.1") -> None:
        self._hostname = hostname
        self._tls = None if tls is None else tls.server_context()
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._failures: list[Exception] = []
        self._accepted = 0
        self._before_reset = 0
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._port = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def host(self) -> str:
        return f"{self._hostname}:{self.port}"

    @property
    def scheme(self) -> str:
        return "http" if self._tls is None else "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted, since the last reset."""
        with self._lock:
            return self._accepted - self._before_reset

    def reset(self) -> None:
        """Forget what was recorded. Open connections stay open, and are not counted again."""
        with self._lock:
            self._before_reset = self._accepted

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=512)
        self._port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close the listener and every connection. `start` opens the same port again.

        What went wrong in a connection's thread, other than the connection itself, is raised here.
        """
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._acceptor is not None:
            self._acceptor.join()
        self._listener = self._acceptor = None
        self.disconnect()
        for thread in self._threads:
            thread.join(timeout=5)
        self._threads.clear()
        if self._failures:
            raise self._failures.pop(0)

    def disconnect(self) -> None:
        """Close every open connection, as a load balancer does with those that idle."""
        with self._lock:
            for connection in self._open.values():
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # under the TLS, if there is any

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, request: Request, connection: "Connection") -> bool:
        """Answer one request; the result says whether the connection may be used again."""
        raise NotImplementedError

    def opened(self, connection: "Connection") -> None:
        """A connection begins."""

    def closed(self, connection: "Connection") -> None:
        """A connection has ended, for whatever reason."""

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._accepted += 1
                number = self._accepted
                self._open[number] = client
            thread = threading.Thread(target=self._serve, args=(number, client), daemon=True)
            self._threads = [old for old in self._threads if old.is_alive()] + [thread]
            thread.start()

    def _serve(self, number: int, client: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                client = self._secured(client)
                with self._lock:
                    self._open[number] = client
                self._converse(Connection(number, client))
        except Exception as failure:
            self._failures.append(failure)
        finally:
            with self._lock:
                del self._open[number]
            client.close()

    def _secured(self, client: socket.socket) -> socket.socket:
        """The connection with TLS as configured. Who speaks the other protocol is told so, as Go does."""
        handshake = 0x16
        speaks_tls = client.recv(1, socket.MSG_PEEK) == bytes([handshake])
        if self._tls is None:
            if speaks_tls:
                client.recv(CHUNK)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
                raise ConnectionAbortedError("TLS to a plain server")
            return client
        if not speaks_tls:
            client.recv(CHUNK)
            client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
            raise ConnectionAbortedError("plain HTTP to a TLS server")
        return self._tls.wrap_socket(client, server_side=True)

    def _converse(self, connection: "Connection") -> None:
        self.opened(connection)
        try:
            with connection.stream:
                while (request := connection.read()) is not None:
                    again = self.answer(request, connection)
                    if not again or wants_close(request.headers):
                        return
        finally:
            self.closed(connection)


class Connection:
    """One client's connection: reads requests, sends replies."""

    def __init__(self, number: int, client: socket.socket) -> None:
        self.number = number
        self.socket = client
        self.stream = client.makefile("rb")

    def read(self) -> Request | None:
        line = self.stream.readline()
        if not line.strip():
            return None
        words = line.decode("latin-1").split()
        if len(words) != 3:
            raise ConnectionAbortedError(f"not a request line: {line!r}")
        method, target, _version = words
        headers = Headers()
        while field_line := self.stream.readline().rstrip(b"\r\n"):
            name, _, value = field_line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return Request(method, target, headers, self.number, self.stream, self.socket)

    def send(self, request: Request, reply: Reply) -> bool:
        """Send a reply; the result says whether the connection may be used again."""
        if reply.early:
            request.abandon()
        else:
            _ = request.body
        if reply.delay:
            time.sleep(reply.delay)
        if reply.drop:
            return False
        headers = Headers.of(reply.headers)
        if reply.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif headers.get("Content-Length") is None and reply.status >= 200 and reply.status != 204:
            length = len(reply.body) if reply.content_length is None else reply.content_length
            headers.append(("Content-Length", str(length)))
        close = reply.close or (request.has_body and not request.complete)
        if close:
            headers.append(("Connection", "close"))
        body = b"" if request.method == "HEAD" or reply.status in {204, 304} else reply.body
        if reply.chunked and request.method != "HEAD":
            body = b"".join(as_chunks([body]))
        self.socket.sendall(head(reply.status, headers) + body)
        lied = reply.content_length is not None and reply.content_length != len(reply.body)
        return not close and not lied


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """The status line and the header fields, down to the empty line."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def wants_close(headers: Headers) -> bool:
    return "close" in (headers.get("Connection") or "").lower()


def read_exactly(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        chunk = stream.read(min(length, CHUNK))
        if not chunk:
            raise ConnectionError(f"the body ended {length} bytes too early")
        length -= len(chunk)
        yield chunk


def read_chunked(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        line = stream.readline()
        if not line:
            raise ConnectionError("the body ended without its last chunk")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            while stream.readline().strip():
                pass
            return
        yield from read_exactly(stream, size)
        stream.readline()


def as_chunks(parts: Iterable[bytes], *, end: bool = True) -> Iterator[bytes]:
    """A body in the chunked coding, its end included."""
    for part in parts:
        if part:
            yield b"%x\r\n%s\r\n" % (len(part), part)
    if end:
        yield b"0\r\n\r\n"
