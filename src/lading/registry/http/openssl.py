"""One request and its answer, with aiohttp: for hosts with certificates of a form that rustls never takes.

The second implementation of `transport.Transport`, which does and refuses the same things. It is slower to load and to
run, and speaks HTTP/1.1 only; `choose` says when it is used. Certificates are verified in full: chain, dates
and name. The only module that knows aiohttp.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lading.errors import TLSFailure, UsageError
from lading.registry.http.transport import (
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
    stalled,
    unusable,
)

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

_FIELD_LIMIT = 64 * 1024
_SYSTEM_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class OpenSSLTransport(LibraryTransport):
    """HTTP/1.1 with aiohttp and OpenSSL."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Close all connections. The transport can be used again, with new ones."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _begin(self, request: Request, upload: StreamedBody | None) -> AbstractAsyncContextManager[Answer]:
        return self._answer(self._connected(), request, upload)

    def _explain(self, error: Exception, host: str, seconds: float, proxy: str | None) -> Exception:
        return _failure(error, host, seconds, proxy)

    @asynccontextmanager
    async def _answer(
        self, session: ClientSession, request: Request, upload: StreamedBody | None
    ) -> AsyncIterator[Answer]:
        from yarl import URL

        headers = list(request.headers)
        data: Any = upload
        if upload is not None:
            if request.size is not None:
                headers.append(("Content-Length", str(request.size)))
        elif isinstance(request.body, bytes) and request.body:
            data = request.body
        elif request.method in {"POST", "PUT", "PATCH"}:
            headers.append(("Content-Length", "0"))
        if any("\n" in value or "\r" in value or "\0" in value for pair in headers for value in pair):
            raise UsageError(
                f"a request to {host_of(request.url)} cannot be sent",
                cause="its address or a header has a character that HTTP does not allow",
            )
        via = _via(self._route.proxy(request.url), request.url)
        answer = await session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=headers,
            data=data,
            allow_redirects=False,
            proxy=via,
        )
        try:
            yield Answer(answer.status, Headers(_fields(answer)), answer.content.readany)
        finally:
            # The connection is used again where the answer was read to its end, and given up otherwise.
            if answer.content.at_eof():
                answer.release()
            else:
                answer.close()
            await answer.wait_for_close()

    def _connected(self) -> ClientSession:
        if self._session is not None:
            return self._session
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        from lading._version import __version__

        connector = TCPConnector(
            ssl=context(self._route),
            limit=0,  # how many there are is the session's business
            resolver=_resolver(self._route),
            use_dns_cache=False,
        )
        self._session = ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            headers={"User-Agent": f"lading/{__version__}"},
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
            timeout=ClientTimeout(total=None, sock_connect=self._connect_timeout, connect=self._connect_timeout),
            max_line_size=_FIELD_LIMIT,
            max_field_size=_FIELD_LIMIT,
            trust_env=False,  # it would send what ~/.netrc has, too
        )
        # There is no other way to have it send a request once only; aiohttp's own tests use this one.
        self._session._retry_connection = False  # noqa: SLF001  # there is no other way to tell aiohttp
        return self._session


def context(route: Route) -> ssl.SSLContext:
    """What TLS is agreed on with.

    Raises:
        UsageError: a file of the route cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    if route.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    # A chain may end at any trusted certificate, as with Go: also at a host's own that another authority signed.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    paths = ssl.get_default_verify_paths()
    made.set_default_verify_paths()
    if not (paths.cafile or paths.capath):  # a Python that was built somewhere else
        for file in filter(lambda path: Path(path).is_file(), _SYSTEM_ROOTS):
            made.load_verify_locations(cafile=file)
            break
    file = ""
    try:
        for file in route.ca_files:
            certificates(file)
            made.load_verify_locations(cafile=file)
        if route.cert_file is not None:
            file = route.cert_file
            made.load_cert_chain(route.cert_file, route.key_file, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise unusable(file, error) from None
    return made


def _no_password() -> str:
    raise ValueError("the key has a password")


def _resolver(route: Route) -> Any:
    if route.address is None:
        return None
    from aiohttp.abc import AbstractResolver, ResolveResult

    address = route.address[1]

    class Resolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [
                ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            ]

        async def close(self) -> None:
            """There is nothing to close."""

    return Resolver()


def _via(proxy: str | None, url: str) -> URL | None:
    """The address of the proxy that leads to a request's host."""
    from yarl import URL

    if proxy is None:
        return None
    if not proxy.startswith("http"):
        raise UsageError(
            f"{host_of(url)} cannot be reached through a SOCKS proxy",
            cause="with OpenSSL, which its certificate or a forked process needs, only HTTP proxies are used",
        )
    try:
        return URL(proxy)
    except ValueError:
        raise bad_proxy() from None


def _fields(answer: ClientResponse) -> list[tuple[str, str]]:
    """Names and values; a field with a value that is no text is left out, but for a warning."""
    fields = []
    for name, value in answer.raw_headers:
        with contextlib.suppress(UnicodeDecodeError):
            text = value.decode(errors="replace") if name.lower() == b"warning" else value.decode("ascii")
            fields.append((name.decode("ascii"), text))
    return fields


def _failure(error: Exception, host: str, seconds: float, proxy: str | None = None) -> Exception:
    """What a failure of the library means; its own texts may have an address in them, and are not repeated."""
    import aiohttp

    if isinstance(error, aiohttp.ServerTimeoutError):
        through = f" through the proxy {proxy}" if proxy is not None else ""
        return ConnectTimedOut(f"{host} could not be reached{through}", cause="no connection came about in time")
    if isinstance(error, TimeoutError):
        return stalled(host, seconds)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _untrusted(error.certificate_error, host)
    if isinstance(error, aiohttp.ClientSSLError):
        return _tls_failure(error.os_error, host)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return ProxyLogin(f"the proxy {proxy} asks for a login")
        cause = f"it answered {error.status}"
        return ProxyRefused(f"{host} could not be reached through the proxy {proxy}", cause=cause)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ConnectFailed(f"{host} could not be reached through the proxy {proxy}", cause=_words(error))
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unconnected(error.os_error, host)
    if isinstance(error, aiohttp.ClientResponseError):
        return ConnectionBroken(f"{host} does not speak HTTP as it should", cause="its answer cannot be read")
    if isinstance(error, ssl.SSLError):
        return _tls_failure(error, host)
    if isinstance(error, aiohttp.InvalidURL):
        return UsageError(f"a request to {host} cannot be sent", cause="its address cannot be read")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ConnectionBroken(f"the connection to {host} broke", cause="the answer ended too early")
    if _is_about_client(str(error)):
        return certificate_wanted(host, "REQUIRED" in str(error))
    if isinstance(error, aiohttp.ClientError | OSError):
        return ConnectionBroken(f"the connection to {host} broke", cause=_words(error))
    return error


def _unconnected(error: OSError, host: str) -> Exception:
    message = f"{host} could not be reached"
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return ConnectFailed(message, cause="its address could not be looked up for now")
        return NameNotFound(message, cause="there is no host of that name")
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(message, cause="the connection was refused")
    if isinstance(error, ConnectionResetError):
        return ConnectFailed(message, cause="it ended the connection when TLS began")
    return ConnectFailed(message, cause=_words(error))


def _untrusted(error: Exception, host: str) -> UntrustedCertificate:
    import ssl

    code = getattr(error, "verify_code", None)
    cause = _CAUSES.get(code or 0, "")
    if code in _UNKNOWN_ISSUER:
        cause = "it is signed by an authority that is not trusted here"
    elif code in {62, 64}:
        cause = "it is for another name"
    elif not cause and isinstance(error, ssl.SSLCertVerificationError):
        cause = error.verify_message
    untrusted = UntrustedCertificate(f"the certificate of {host} cannot be verified", cause=cause or "no more is known")
    untrusted.doubt = "issuer" if code in _UNKNOWN_ISSUER else None
    return untrusted


_UNKNOWN_ISSUER = frozenset({7, 18, 19, 20, 21})
_CAUSES = {9: "it is not valid yet", 10: "it has expired", 23: "it was revoked"}


def _tls_failure(error: OSError, host: str) -> TLSFailure | ConnectFailed:
    reason = (getattr(error, "reason", None) or "").upper()
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}:
        return PlainHTTP(f"{host} speaks plain HTTP, and lading asked with TLS")
    if _is_about_client(reason):
        return certificate_wanted(host, "REQUIRED" in reason)
    if "EOF" in reason or not reason:
        return ConnectFailed(f"{host} could not be reached", cause="it ended the connection when TLS began")
    words = reason.replace("_", " ").lower()
    return TLSFailure(f"{host} could not be spoken to with TLS", cause=words)


def _is_about_client(text: str) -> bool:
    return "ALERT" in text and any(alert in text for alert in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED"))


def _words(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    strerror = inner.strerror if isinstance(inner, OSError) else None
    if not strerror or "://" in strerror or ("host" in strerror and "[" in strerror):
        return "it ended the connection" if isinstance(error, ConnectionError) or not strerror else "no more is known"
    return strerror[:1].lower() + strerror[1:]
