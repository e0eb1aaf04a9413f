"""What a host shows when TLS is agreed on: its certificate, trusted or not, and which protocols it speaks.

For looking only: nothing is sent to the host, and no answer of its is believed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lading.errors import Unreachable
from lading.model.document import Result
from lading.registry import urls
from lading.registry.http.transport import CONNECT_TIMEOUT, Route

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""


class ServerCertificate(Result, msgspec.Struct, frozen=True):
    """The certificate that a host shows."""

    subject: str
    """Whose it is."""
    issuer: str
    """Who signed it; the same as `subject` where it is signed by itself."""
    names: list[str]
    """The names and addresses that it is for."""
    not_before: datetime
    """When it begins to be valid."""
    not_after: datetime
    """When it expires."""
    chain: list[str]
    """Who signed whom, as far as the host says and this Python can tell; itself first."""


class Handshake(msgspec.Struct, frozen=True):
    """What was agreed on."""

    version: str
    """Of TLS, such as `TLSv1.3`."""
    http2: bool
    """Whether the host speaks HTTP/2."""
    certificate: ServerCertificate | None


async def look_at(address: str, route: Route) -> Handshake:
    """Shake hands with a host, twice: once for its certificate as it is, and once for what is in it.

    Args:
        address: its name, with the port where it has one.
        route: how it is reached.

    Raises:
        Unreachable: no TLS came about.
    """
    host, port = urls.split_port(address)
    hostname = host.strip("[]")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            seen = await _shake(hostname, port or 443, route, _trusting(route, None))
            if not seen.der:
                return Handshake(seen.version, seen.protocol == "h2", None)
            # OpenSSL tells what is in a certificate only when it trusts it: so this one is trusted, for looking only.
            seen = await _shake(hostname, port or 443, route, _trusting(route, seen.der))
    except TimeoutError:
        raise Unreachable(f"{address} could not be reached", cause="no connection came about in time") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no TLS came about"
        raise Unreachable(f"{address} could not be spoken to with TLS", cause=str(reason).lower()) from None
    return Handshake(seen.version, seen.protocol == "h2", _certificate(seen))


class _Seen(NamedTuple):
    """What is seen of a connection, as long as it is open."""

    version: str
    protocol: str | None
    der: bytes
    said: Mapping[str, Any]
    signers: list[str]


def _trusting(route: Route, der: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    if route.cert_file is not None:
        with suppress(OSError, ValueError):  # the request itself says what is wrong with it
            context.load_cert_chain(route.cert_file, route.key_file, password="")
    if der is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        context.load_verify_locations(cadata=der)
    return context


async def _shake(hostname: str, port: int, route: Route, context: ssl.SSLContext) -> _Seen:
    """Agree on TLS, through a proxy where one leads there."""
    there = route.address[1] if route.address is not None else hostname
    if route.https_proxy is None:
        reader, writer = await asyncio.open_connection(there, port)
    else:
        proxy = urls.origin(_without_user(route.https_proxy))
        secure = proxy.scheme == "https"
        reader, writer = await asyncio.open_connection(proxy.host.strip("[]"), proxy.port, ssl=secure or None)
        name = f"[{hostname}]" if ":" in hostname else hostname
        lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}", *_proxy_login(route.https_proxy)]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200" not in answer.split(b"\r\n")[0]:
            writer.close()
            raise ValueError("the proxy refuses")
    try:
        await writer.start_tls(context, server_hostname=hostname)
        agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
        unverified = getattr(getattr(agreed, "_sslobj", None), "get_unverified_chain", None)  # from Python 3.13 on
        return _Seen(
            version=agreed.version() or "",
            protocol=agreed.selected_alpn_protocol(),
            der=agreed.getpeercert(binary_form=True) or b"",
            said=agreed.getpeercert() or {} if context.verify_mode == ssl.CERT_REQUIRED else {},
            signers=[
                _name(link.get_info().get("subject", ())) for link in (unverified() if unverified else None) or ()
            ],
        )
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _without_user(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _proxy_login(url: str) -> list[str]:
    import base64
    from urllib.parse import unquote

    user, at, _ = url.partition("://")[2].rpartition("@")
    if not at:
        return []
    login = base64.b64encode(":".join(map(unquote, user.split(":", 1))).encode()).decode("ascii")
    return [f"Proxy-Authorization: Basic {login}"]


def _certificate(seen: _Seen) -> ServerCertificate | None:
    said = seen.said
    if not said:
        return None
    subject, issuer = _name(said.get("subject", ())), _name(said.get("issuer", ()))
    chain = [subject]
    for name in (*seen.signers, issuer):
        if name != chain[-1]:
            chain.append(name)
    return ServerCertificate(
        subject=subject,
        issuer=issuer,
        names=[str(value) for kind, value in said.get("subjectAltName", ()) if kind in ("DNS", "IP Address")],
        not_before=_time(said["notBefore"]),
        not_after=_time(said["notAfter"]),
        chain=chain,
    )


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A name in a certificate: its common name, else what else there is of it."""
    pairs = [pair for part in parts for pair in part]
    common = [value for key, value in pairs if key == "commonName"]
    return common[0] if common else ", ".join(value for _, value in pairs) or "(no name)"


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
