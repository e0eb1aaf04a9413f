"""One request and its answer over HTTP: the seam between lading and an HTTP library, and what is the same for each.

A transport sends what it is given: it follows no redirect and tries nothing twice. What it adds
is that cancelling ends a request at once (an upload, too), that nothing is waited for without end, and that
failures are told apart. `rustls` and `openssl` are what it is made of; it knows no registries.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol, Self

import msgspec
from msgspec import structs

from lading.errors import InvalidContent, TLSFailure, Unreachable, UsageError, way_on
from lading.io.sources import PIECE, Body

READ_LIMIT = 4 * 1024 * 1024
"""The largest body that `Response.read` takes unless told otherwise, in bytes."""

CONNECT_TIMEOUT = 15.0
"""Seconds for a connection to come about, TLS included."""
STALL_TIMEOUT = 60.0
"""Seconds in which something has to move: the next bytes of a body, either way, or the answer to a question."""
ANSWER_TIMEOUT = 300.0
"""Seconds for the answer after a body was sent: a registry may need long to put a large upload where it belongs."""

LEAST_RATE = 1024
"""How fast a body has to come, in bytes per second over `STALL_TIMEOUT`: what is slower is as good as still."""
SLOWEST = 16 * 1024
"""How fast a body that is read whole has to come on the average, in bytes per second, after the first minute."""

_EXCERPT_TIMEOUT = 10.0
_SOON = 0.05
"""For how long the bytes of a body are gathered at most, in seconds, so that what comes slowly is handed on at once."""


class NameNotFound(Unreachable):
    """There is no host of that name. Nothing was sent."""

    code = "unknown-host"


class ConnectionRefused(Unreachable):
    """The host is there, and nothing listens. Nothing was sent."""

    code = "connection-refused"


class ConnectFailed(Unreachable):
    """No connection came about for another reason. Nothing was sent."""


class ConnectionBroken(Unreachable):
    """The connection ended or stalled before the answer was complete. The request may have been carried out."""

    code = "connection-broken"


class ConnectTimedOut(ConnectFailed):
    """No connection came about in time: the host, or the proxy that leads to it, lies still."""


class Stalled(ConnectionBroken):
    """The answer did not come in time, or came to a halt, or next to one."""


class ProxyRefused(Unreachable):
    """The proxy that leads to the host does not let the request through."""

    code = "proxy-refused"


class ProxyLogin(ProxyRefused):
    """The proxy that leads to the host asks for a login, or does not take the one that it got."""

    code = "proxy-login"


class UntrustedCertificate(TLSFailure):
    """The host speaks TLS, with a certificate that cannot be verified. Nothing was sent."""

    code = "untrusted-certificate"
    doubt: Literal["form", "issuer"] | None = None
    """What OpenSSL may judge otherwise: a form of certificate that rustls never takes, or an unknown issuer."""


class CertificateWanted(TLSFailure):
    """The host wants a client's certificate, and got none, or one that it does not accept."""

    code = "certificate-wanted"


class PlainHTTP(TLSFailure):
    """The host was asked with TLS and answered in plain text. Nothing was sent."""

    code = "plain-http"


class SourceFailure(Exception):
    """The source of a request's body failed; the host has no part in it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("the source of the body failed")
        self.error = error


UNREADABLE = "\ufffd"
"""Stands for the value of a `Warning` field that the HTTP library does not give: that there is one can be told."""


class Headers:
    """Header fields, looked up without regard to case.

    Args:
        fields: names and values in their order.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of a field; `default` where it is absent."""
        name = name.lower()
        return next((value for key, value in self._fields if key == name), default)

    def getall(self, name: str) -> list[str]:
        """Every value of a field, in their order."""
        name = name.lower()
        return [value for key, value in self._fields if key == name]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Names, in lower case, and values."""
        return iter(self._fields)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How a host is reached, and how it is known. Its `repr` shows nothing: a proxy's address may hold a password."""

    insecure: bool = False
    """Accept any certificate."""
    ca_files: tuple[str, ...] = ()
    """PEM files of authorities to trust beside the system's (`SSL_CERT_FILE`, `SSL_CERT_DIR` replace the system's)."""
    cert_file: str | None = None
    """A PEM file with the certificate that is shown to a host that asks for one."""
    key_file: str | None = None
    """The PEM file of its key."""
    address: tuple[str, str] | None = None
    """A host's name, and the IP address that is used for it instead of what a look-up gives."""
    http_proxy: str | None = None
    """The address of the proxy that leads to hosts without TLS; None for none; the environment is not asked."""
    https_proxy: str | None = None
    """The address of the proxy that leads to hosts with TLS."""

    def __repr__(self) -> str:
        """That it is one."""
        return "<Route>"

    def proxy(self, url: str) -> str | None:
        """The proxy that leads to an address."""
        return self.https_proxy if url.startswith("https:") else self.http_proxy


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent. Its `repr` shows no header: they may hold secrets."""

    method: str
    url: str
    """Absolute, as `urls.origin` takes it."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Body | None = None
    size: int | None = None
    """How many bytes a body that is read has, where that is known; it is checked."""

    def __repr__(self) -> str:
        """The method, and the address without its query."""
        return f"<Request {self.method} {self.url.partition('?')[0]}>"


class Response:
    """An answer whose body has not been read yet. Valid within the `async with` it came from.

    Args:
        status: the HTTP status.
        headers: its fields.
        url: where it came from, after all redirects.
        chunks: its body.
    """

    def __init__(self, status: int, headers: Headers, url: str, chunks: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.url = url
        self._chunks = chunks

    @property
    def coding(self) -> str:
        """The coding that the body has, by its label; empty for none."""
        return coding_of(self.headers)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, in chunks of any size; only once.

        Raises:
            Unreachable: while iterating: the connection broke or stalled before the body was complete.
        """
        return self._chunks

    @property
    def is_html(self) -> bool:
        """Whether it says that it is a page for people."""
        return (self.headers.get("content-type") or "").lower().startswith("text/html")

    async def peek(self) -> bytes:
        """The first bytes of the body, which is still there as a whole afterwards."""
        begun = self._chunks
        first = await anext(begun, b"")

        async def chunks() -> AsyncIterator[bytes]:
            yield first
            async for chunk in begun:
                yield chunk

        self._chunks = chunks()
        return first

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """Read the whole body, a document; a coding that was not asked for is undone.

        Args:
            limit: the largest size accepted, in bytes.

        Raises:
            InvalidContent: it is larger than `limit`.
            Unreachable: the connection broke, stalled, or is slower than `SLOWEST`.
        """
        try:
            async with asyncio.timeout(STALL_TIMEOUT + limit / SLOWEST):
                raw = await self._read(limit)
        except TimeoutError:
            raise Stalled(f"{host_of(self.url)} is too slow", cause="its answer took too long") from None
        if not self.coding or raw.lstrip()[:1] in {b"", b"{", b"["}:
            return raw
        from lading.registry.http.coding import decode

        return decode(raw, self.coding, limit, f"the answer of {host_of(self.url)}")

    async def _read(self, limit: int) -> bytes:
        announced = self.headers.get("content-length") or ""
        if announced.isdecimal() and int(announced) > limit:
            raise self._too_large(f"{announced} bytes were announced, and {limit} are allowed")
        parts = []
        size = 0
        async for chunk in self._chunks:
            size += len(chunk)
            if size > limit:
                raise self._too_large(f"more than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def excerpt(self, limit: int) -> bytes:
        """The first `limit` bytes of the body, or as much of it as comes without trouble."""
        data = b""
        with contextlib.suppress(Unreachable, TimeoutError):
            async with asyncio.timeout(_EXCERPT_TIMEOUT):
                async for chunk in self._chunks:
                    data += chunk
                    if len(data) >= limit:
                        break
        if self.coding and data[:1] not in {b"", b"{", b"[", b"<"}:
            from lading.registry.http.coding import beginning

            data = beginning(data, self.coding, limit)
        return data[:limit]

    def _too_large(self, cause: str) -> InvalidContent:
        return InvalidContent(f"the answer of {host_of(self.url)} is too large", cause=cause, code="too-large")


class Transport(Protocol):
    """Sends requests: the seam between lading and an HTTP library."""

    def send(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Send a request; the response is closed at the end of the `async with`, and with it the connection's use.

        An error status is no error here. Cancelling the task ends the request and stops reading its body. The first
        bytes of the answer's body may have been read already, so that a small one is there whole, or not at all.

        Raises:
            Unreachable: no answer came; the subclasses in this module say why, and whether anything was sent.
            TLSFailure: the TLS that was asked for could not be agreed on.
            SourceFailure: reading the body failed; it has the source's own error.
        """

    async def close(self) -> None:
        """Close all connections."""


class Answer(msgspec.Struct, frozen=True):
    """What a library has of an answer, before its body."""

    status: int
    headers: Headers
    read: Callable[[], Awaitable[bytes | memoryview]]
    """Gives the next bytes of the body, which may be few; none at its end."""


class LibraryTransport(ABC):
    """What a transport does with either library: wait, but not without end; stream bodies; tell failures apart.

    Args:
        route: how hosts are reached and known.
        connect_timeout: seconds, see `CONNECT_TIMEOUT`.
        stall_timeout: seconds, see `STALL_TIMEOUT`.
        answer_timeout: seconds, see `ANSWER_TIMEOUT`.
    """

    def __init__(
        self,
        route: Route = Route(),  # noqa: B008  # it is a value
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        stall_timeout: float = STALL_TIMEOUT,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self._route = route
        self._connect_timeout = connect_timeout
        self._stall_timeout = stall_timeout
        self._answer_timeout = answer_timeout

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Response]:
        """Send a request; see `Transport.send`. What comes is asked for as it is, without a coding."""
        if not any(name.lower() == "accept-encoding" for name, _ in request.headers):
            request = structs.replace(request, headers=(*request.headers, ("Accept-Encoding", "identity")))
        limit = self._answer_timeout if isinstance(request.body, bytes) and request.body else self._stall_timeout
        patience = asyncio.timeout(limit)

        def wait(seconds: float | None) -> None:
            nonlocal limit
            limit = seconds or limit
            with contextlib.suppress(RuntimeError):  # the answer is there, ahead of the body's end
                patience.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

        async with contextlib.AsyncExitStack() as stack:
            upload: StreamedBody | None = None
            if callable(request.body):
                upload = StreamedBody(request.body, request.size, wait, self._stall_timeout, self._answer_timeout)
                await stack.enter_async_context(upload)
            begun = self._begin(request, upload)
            try:
                with heeding():
                    async with patience:
                        answer = await stack.enter_async_context(begun)
            except Exception as error:  # noqa: BLE001  # a library's own
                if upload is not None and upload.failure is not None:
                    raise SourceFailure(upload.failure) from None
                raise self._explained(error, request.url, limit) from None
            if answer.status == 407 and (proxy := self._route.proxy(request.url)) is not None:
                raise proxy_login(host_of(request.url), _without_login(proxy), has_login=_has_login(proxy))
            chunks = self._chunks(answer, request.url)
            stack.push_async_callback(chunks.aclose)
            yield Response(answer.status, answer.headers, request.url, chunks)

    @abstractmethod
    async def close(self) -> None:
        """Close all connections. The transport can be used again, with new ones."""

    @abstractmethod
    def _begin(self, request: Request, upload: StreamedBody | None) -> AbstractAsyncContextManager[Answer]:
        """Get ready to send a request, with the body `upload` where there is one; it is sent on entering."""

    @abstractmethod
    def _explain(self, error: Exception, host: str, seconds: float, proxy: str | None) -> Exception:
        """What a failure of the library means."""

    def _explained(self, error: Exception, url: str, seconds: float) -> Exception:
        host, proxy = host_of(url), self._route.proxy(url)
        explained = self._explain(error, host, seconds, _without_login(proxy) if proxy is not None else None)
        if isinstance(explained, ProxyLogin) and proxy is not None:
            return proxy_login(host, _without_login(proxy), has_login=_has_login(proxy))
        return explained

    async def _chunks(self, answer: Answer, url: str) -> AsyncGenerator[bytes, None]:
        """A body as it comes, as long as it does not come to a halt, or next to one.

        What comes fast is handed on in pieces: libraries give 16 KiB and less, and each chunk costs everybody who
        passes it on.
        """
        loop = asyncio.get_running_loop()
        patience, got = self._stall_timeout, 0
        is_over = False
        while not is_over:
            held: list[bytes | memoryview] = []
            size = 0
            failure: Exception | None = None
            deadline = loop.time() + patience
            try:
                async with asyncio.timeout_at(deadline) as timeout:
                    while size < PIECE and not is_over:
                        with heeding():
                            chunk = await answer.read()
                            # Before a cancellation is heeded: it may be that of the timeout.
                            held.append(chunk)
                            is_over = not chunk
                        if not size:
                            timeout.reschedule(loop.time() + _SOON)
                        size += len(chunk)
                        got += len(chunk)
                        if got >= LEAST_RATE * self._stall_timeout:
                            got, deadline = 0, loop.time() + self._stall_timeout
            except Exception as error:  # noqa: BLE001  # a library's own
                if type(error) is not TimeoutError or not held:
                    failure = error
            patience = deadline - loop.time()
            if piece := b"".join(held):
                yield piece
            if type(failure) is TimeoutError:
                # How many came is not known: the library may hold back some until there are more.
                cause = f"less than {LEAST_RATE} bytes per second came for {self._stall_timeout:g} seconds"
                raise Stalled(f"{host_of(url)} stopped answering", cause=cause)
            if failure is not None:
                raise self._explained(failure, url, self._stall_timeout)


class StreamedBody:
    """Hands a source to the HTTP library, one chunk ahead, and takes it back when the request is over.

    The library asks for each chunk in a task of its own, and goes on asking when the request was cancelled. So the
    source is read in one task, that of a pump, which sees the caller's context and ends with the request; and the
    library's next question is answered with an error, on which it gives the connection up.
    """

    def __init__(
        self,
        source: Body,
        size: int | None,
        wait: Callable[[float | None], None],
        stall_timeout: float,
        answer_timeout: float,
    ) -> None:
        self.failure: BaseException | None = None
        """Why the source could not be read to its end, if it could not."""
        self._source = source
        self._size = size
        self._wait = wait
        self._stall_timeout, self._answer_timeout = stall_timeout, answer_timeout
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._over = asyncio.Event()
        self._was_told = False
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._context = contextvars.copy_context()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        if self._pump is not None:
            self._pump.cancel()
            # Waited for, so that what the source holds open is closed when the request ends.
            await asyncio.wait([self._pump])
        self._answer_open_question()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._over.is_set():
            return self._ended()
        if self._pump is None:  # not before it is needed: a connection that fails leaves the source alone
            loop = asyncio.get_running_loop()
            self._pump = loop.create_task(self._read(), context=self._context)
        self._wait(None)  # how long a source may take is the source's business
        chunk = await self._chunks.get()
        if self._over.is_set():
            return self._ended()
        if self.failure is not None:
            raise _Aborted
        if chunk is None:
            self._wait(self._answer_timeout)
            raise StopAsyncIteration
        self._wait(self._stall_timeout)
        return chunk

    def _ended(self) -> bytes:
        """The chunk for a question that comes when the request is over: an empty one first, and then an error.

        An error at once could reach no task of the library, and would go to the event loop's handler.
        """
        if self._was_told:
            raise _Aborted
        self._was_told = True
        return b""

    async def _read(self) -> None:
        chunks = self._source()
        sent = 0
        try:
            async for chunk in chunks:
                sent += len(chunk)
                if self._size is not None and sent > self._size:
                    break
                if chunk:
                    await self._chunks.put(chunk)
            if self._size is not None and sent != self._size:
                raise InvalidContent(
                    "what was to be sent has another size than was said",
                    cause=f"expected {self._size} bytes, and there are {'more' if sent > self._size else sent}",
                )
        except BaseException as error:
            self.failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
            if self.failure is not None:
                self._answer_open_question()
        if self.failure is None:
            await self._chunks.put(None)

    def _answer_open_question(self) -> None:
        """Wake up the library's task that waits for a chunk: there will be none."""
        with contextlib.suppress(asyncio.QueueFull):
            self._chunks.put_nowait(None)


class _Aborted(Exception):
    """Tells the HTTP library to give a connection up; never seen outside."""


@contextlib.contextmanager
def heeding() -> Iterator[None]:
    """Heed that the task is cancelled while it waits for the library, which may lose that.

    Where its answer, or its failure, comes at the same moment, the task would go on as if nothing had been.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def certificates(file: str) -> list[bytes]:
    """The certificates of a PEM file, one by one: the library takes no bundle.

    Raises:
        ValueError: it has none.
    """
    end = b"-----END CERTIFICATE-----"
    parts = Path(file).read_bytes().split(end)
    found = [part[part.find(b"-----BEGIN CERTIFICATE-----") :] + end + b"\n" for part in parts[:-1]]
    if not found:
        raise ValueError("no certificate")
    return found


def identity(route: Route) -> bytes:
    """A client's certificate with its key, one after the other."""
    files = dict.fromkeys(file for file in (route.cert_file, route.key_file) if file is not None)
    return b"\n".join(Path(file).read_bytes() for file in files)


def unusable(file: str, error: OSError | ValueError) -> UsageError:
    """The error of a file of certificates or keys that cannot be used; what is in it is not repeated."""
    if isinstance(error, OSError) and error.strerror and error.errno in {2, 13, 20, 21}:
        return UsageError(f"{file} cannot be used", cause=error.strerror.lower(), remedy=way_on(error))
    return UsageError(f"{file} cannot be used", cause="expected a PEM file of certificates, or of one with its key")


def certificate_wanted(host: str, none_shown: bool) -> CertificateWanted:
    """The error of a host that did not like what it was shown of the client."""
    cause = "none was shown" if none_shown else "it does not accept the one that was shown"
    return CertificateWanted(f"{host} wants to see a client's certificate", cause=cause)


def bad_proxy() -> UsageError:
    """The error of a proxy's address that cannot be read; it is not repeated, since it may hold a password."""
    return UsageError("a proxy of the environment cannot be used", cause="its address cannot be read")


def proxy_login(host: str, proxy: str, *, has_login: bool) -> ProxyLogin:
    """The error of a proxy that asks for a login (HTTP 407).

    Args:
        host: the host that it leads to.
        proxy: the proxy, without a login.
        has_login: whether it was shown one.
    """
    cause = "it does not take the login that its address has" if has_login else "its address has none"
    return ProxyLogin(f"the proxy {proxy}, which leads to {host}, asks for a login", cause=cause)


def stalled(host: str, seconds: float) -> Stalled:
    """The error of an answer that did not come in time."""
    return Stalled(f"{host} stopped answering", cause=f"its answer did not come within {seconds:g} seconds")


def _without_login(proxy: str) -> str:
    return host_of(proxy).rpartition("@")[2]


def _has_login(proxy: str) -> bool:
    return "@" in host_of(proxy)


def coding_of(headers: Headers) -> str:
    """The content coding of an answer, by its label (RFC 9110 §8.4); empty for none."""
    named = [coding.strip() for value in headers.getall("content-encoding") for coding in value.split(",")]
    return ", ".join(coding for coding in named if coding.lower() not in {"", "identity"})


def length_of(headers: Headers) -> int | None:
    """How long an answer's body is said to be, in bytes."""
    text = headers.get("content-length") or ""
    return int(text) if text.isascii() and text.isdigit() else None


def host_of(url: str) -> str:
    """Host and port of an address."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0]
