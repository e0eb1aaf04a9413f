"""One request and its answer, with pyreqwest: HTTP/1.1, HTTP/2 and rustls. The only module that knows pyreqwest."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from lading.errors import TLSFailure, UsageError
from lading.registry.http.transport import (
    UNREADABLE,
    Answer,
    ConnectFailed,
    ConnectionBroken,
    ConnectionRefused,
    ConnectTimedOut,
    Headers,
    LibraryTransport,
    NameNotFound,
    PlainHTTP,
    ProxyLogin,
    ProxyRefused,
    Request,
    Route,
    StreamedBody,
    UntrustedCertificate,
    bad_proxy,
    certificate_wanted,
    certificates,
    host_of,
    identity,
    stalled,
    unusable,
)

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.exceptions import DetailedPyreqwestError
    from pyreqwest.http import HeaderMap
    from pyreqwest.proxy import ProxyBuilder
    from pyreqwest.request import StreamRequest


_used_in: int | None = None
"""The process that the library's threads are in, once they have begun."""

_strangers: set[int] = set()
"""Threads that run Python code and are neither of `threading` nor of the library: those of debuggers and embedders."""


def is_usable() -> bool:
    """Whether the library works in this process: in a fork of one that has used it, it would wait for ever.

    It has one set of threads in a process, which a forked child does not have and which are not begun again.
    """
    return _used_in is None or _used_in == os.getpid()


class ReqwestTransport(LibraryTransport):
    """HTTP/1.1 and HTTP/2 with pyreqwest (Rust's reqwest, rustls)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client: Client | None = None

    async def close(self) -> None:
        """Close all connections. The transport can be used again, with new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()
            await _library_at_rest()

    def _begin(self, request: Request, upload: StreamedBody | None) -> AbstractAsyncContextManager[Answer]:
        return _answer(self._prepare(request, upload))

    def _explain(self, error: Exception, host: str, seconds: float, proxy: str | None) -> Exception:
        return _failure(error, host, seconds, proxy)

    def _prepare(self, request: Request, upload: StreamedBody | None) -> StreamRequest:
        try:
            builder = self._connected().request(request.method, request.url)
            for name, value in request.headers:
                builder = builder.header(name, value, is_sensitive=name.lower() in _SENSITIVE)
            if upload is not None:
                builder = builder.body_stream(upload)
                if request.size is not None:
                    builder = builder.header("Content-Length", str(request.size))
            elif isinstance(request.body, bytes) and request.body:
                builder = builder.body_bytes(request.body)
            elif request.method in _WITH_LENGTH:
                # Without it some registries answer 411.
                builder = builder.header("Content-Length", "0")
            return builder.build_streamed()
        except ValueError as error:
            # The library's words would repeat the header it does not like.
            raise UsageError(
                f"a request to {host_of(request.url)} cannot be sent",
                cause="its address or a header has a character that HTTP does not allow",
            ) from error

    def _connected(self) -> Client:
        if self._client is not None:
            return self._client
        global _used_in  # noqa: PLW0603  # one for the process
        if _used_in is None:
            _used_in = os.getpid()
            _strangers.update(_unknown_threads())
        from datetime import timedelta

        from pyreqwest.client import ClientBuilder

        from lading._version import __version__

        builder = (
            ClientBuilder()
            .user_agent(f"lading/{__version__}")
            .follow_redirects(False)
            .referer(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .connect_timeout(timedelta(seconds=self._connect_timeout))
            .http2(True)
            # The default of 64 KiB makes a fast line with a long way wait; eight streams share a connection.
            .http2_initial_stream_window_size(2 * 1024 * 1024)
            .http2_initial_connection_window_size(16 * 1024 * 1024)
        )
        route = self._route
        if route.insecure:
            builder = builder.danger_accept_invalid_certs(True)
        if route.address is not None:
            builder = builder.resolve(*route.address, 0)
        file = "the system trust store"
        try:
            for file in route.ca_files:
                for pem in certificates(file):
                    builder = builder.add_root_certificate_pem(pem)
            file = route.cert_file or file
            if route.cert_file is not None:
                builder = builder.identity_pem(identity(route))
            for via in _proxies(route):
                builder = builder.proxy(via)
            self._client = (builder if route.http_proxy or route.https_proxy else builder.no_proxy()).build()
        except (OSError, ValueError) as error:
            raise unusable(file, error) from None
        return self._client


_ROUNDS = 1000
"""For how many milliseconds to wait for the threads of the library."""

_SENSITIVE = frozenset({"authorization", "cookie", "proxy-authorization"})
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})


@asynccontextmanager
async def _answer(prepared: StreamRequest) -> AsyncIterator[Answer]:
    async with prepared as answer:
        reader = answer.body_reader

        async def read() -> bytes | memoryview:
            chunk = await reader.read_chunk()
            return memoryview(chunk) if chunk is not None else b""

        yield Answer(answer.status, Headers(_fields(answer.headers)), read)


async def _library_at_rest() -> None:
    """Wait until no thread of the HTTP library runs Python code, for a second at most.

    Its threads hand results over to the event loop, which may go on, and end the process, before such a thread has
    returned. An interpreter that ends meanwhile aborts ("PyGILState_Release: thread state must be current"). A thread
    that runs all that time is not the library's, and is not waited for again.
    """
    stayed = _unknown_threads()
    for _ in range(_ROUNDS):
        if not (running := _unknown_threads()):
            return
        stayed &= running
        await asyncio.sleep(0.001)
    _strangers.update(stayed)


def _unknown_threads() -> set[int]:
    """The threads that run Python code and may be the library's."""
    known = {thread.ident for thread in threading.enumerate()} | _strangers
    return {ident for ident in sys._current_frames() if ident not in known}  # noqa: SLF001  # no other way to ask


def _fields(headers: HeaderMap) -> list[tuple[str, str]]:
    """Names and values; a field with a value that the HTTP library takes for no text is left out, but for a warning."""
    fields = []
    values = iter(headers.values())
    for name in headers.keys():  # noqa: SIM118  # each as often as it has values
        try:
            fields.append((name, next(values)))
        except ValueError:
            if name == "warning":
                fields.append((name, UNREADABLE))
    return fields


def _proxies(route: Route) -> Iterator[ProxyBuilder]:
    from pyreqwest.proxy import ProxyBuilder

    try:
        if route.http_proxy is not None:
            yield ProxyBuilder.http(route.http_proxy)
        if route.https_proxy is not None:
            yield ProxyBuilder.https(route.https_proxy)
    except ValueError:
        raise bad_proxy() from None


def _failure(error: Exception, host: str, seconds: float, proxy: str | None = None) -> Exception:  # noqa: C901  # one text after the other
    """What a failure of the library means.

    The library tells kinds apart by the texts of its chain of causes only. The first of them repeats the request's
    address, which may hold a signature, so no text is repeated that has an address in it.
    """
    # One list of texts, each with what it means. The order matters (the text of a refused certificate is also that of a
    # connection that failed): in several functions it would be harder to see.
    from pyreqwest.exceptions import DetailedPyreqwestError

    if type(error) is TimeoutError:  # ours: the library's own are subclasses of it
        return stalled(host, seconds)
    if not isinstance(error, DetailedPyreqwestError):
        return error
    causes = _causes(error)
    last = causes[-1] if causes else ""
    text = " / ".join(causes).lower()
    if "invalidcontenttype" in text:
        return PlainHTTP(f"{host} speaks plain HTTP, and lading asked with TLS")
    if "invalid peer certificate" in text:
        untrusted = UntrustedCertificate(f"the certificate of {host} cannot be verified", cause=_certificate(last))
        if "causedasendentity" in text or "unsupportedcertversion" in text:
            untrusted.doubt = "form"
        elif "unknownissuer" in text or "badsignature" in text:
            untrusted.doubt = "issuer"
        return untrusted
    if "fatal alert" in text and any(alert in text for alert in ("certificate", "unknownca", "accessdenied")):
        return certificate_wanted(host, "required" in text)
    timed_out = "timed out" in text or "deadline" in text
    if proxy is not None and "(connect)" in text:
        if "proxy authorization" in text:
            return ProxyLogin(f"the proxy {proxy} asks for a login")
        if "tunnel error" in text and "unsuccessful" in text:
            cause = f"it refused to connect to {host}, or failed to"
            return ProxyRefused(f"{host} could not be reached through the proxy {proxy}", cause=cause)
        if timed_out:
            cause = "no connection came about in time"
            return ConnectTimedOut(f"{host} could not be reached through the proxy {proxy}", cause=cause)
        return ConnectFailed(f"{host} could not be reached through the proxy {proxy}", cause=_plain(last))
    if "dns error" in text:
        if "temporary" in text or "try again" in text:
            return ConnectFailed(f"{host} could not be reached", cause="its address could not be looked up for now")
        return NameNotFound(f"{host} could not be reached", cause="there is no host of that name")
    if "(connect)" in text:
        if "connection refused" in text:
            return ConnectionRefused(f"{host} could not be reached", cause="the connection was refused")
        if "handshake eof" in text:
            return ConnectFailed(f"{host} could not be reached", cause="it ended the connection when TLS began")
        if "handshake" in text or "alert" in text or "received corrupt message" in text:
            return TLSFailure(f"{host} could not be spoken to with TLS", cause=_plain(last))
        if timed_out:
            return ConnectTimedOut(f"{host} could not be reached", cause="no connection came about in time")
        return ConnectFailed(f"{host} could not be reached", cause=_plain(last))
    if "invalid http" in text or "parsed" in text or "too large" in text:
        return ConnectionBroken(f"{host} does not speak HTTP as it should", cause=_plain(last))
    return ConnectionBroken(f"the connection to {host} broke", cause=_plain(last))


def _causes(error: DetailedPyreqwestError) -> list[str]:
    return [cause["message"] for cause in error.details.get("causes") or []]


_NAMED = r'\w+\("?([^")]+)"?\)'
"""A name as Rust shows it to programmers: `DnsName("registry.example")`, `IpAddress(10.1.2.3)`."""


def _certificate(text: str) -> str:
    lowered = text.lower()
    if "causedasendentity" in lowered:
        return "it is that of an authority, which is not trusted here"
    if "unknownissuer" in lowered or "badsignature" in lowered:
        return "it is signed by an authority that is not trusted here"
    if "expired" in lowered:
        return "it has expired"
    if "not valid yet" in lowered or "notvalidyet" in lowered:
        return "it is not valid yet"
    if "not valid for name" in lowered:
        names = re.findall(_NAMED, text.partition("only valid for ")[2])
        return "it is for another name" + (f": {', '.join(names)}" if names else "")
    return _plain(text)


def _plain(text: str) -> str:
    """A cause in the library's words, without what only a programmer of it would want to know."""
    text = text.partition(" (os error")[0].strip()
    if not text or "://" in text:
        return "no more is known"
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
