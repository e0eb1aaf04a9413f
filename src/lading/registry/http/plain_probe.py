"""Finding out whether a port of this machine speaks plain HTTP, without the cost of TLS. Knows no requests.

Registries on one's own machine mostly do, and are to be asked with TLS first all the same. Beginning that with an HTTP
library costs 50 ms of CPU for keys that are not used; beginning it with fixed bytes costs one round trip.
"""

from __future__ import annotations

import asyncio

PATIENCE = 2.0
"""Seconds in which the port has to answer."""

# A ClientHello (RFC 8446 §4.1.2, as TLS 1.2 writes it) that offers two suites, two groups and four signatures. A server
# that speaks TLS answers with a handshake or an alert. The empty line ends it for a server that reads lines.
_BODY = (
    bytes.fromhex("0303")
    + bytes(range(64, 96))  # `random`: nothing will be encrypted
    + bytes.fromhex("000004c02fc0300100")
    + bytes.fromhex("001e000a00060004001d0017000d000a00080403080404010503000b00020100")
)
_HANDSHAKE = b"\x01" + len(_BODY).to_bytes(3, "big") + _BODY
_HELLO = b"\x16\x03\x01" + len(_HANDSHAKE).to_bytes(2, "big") + _HANDSHAKE + b"\r\n\r\n"


async def speaks_plain_http(host: str, port: int) -> bool:
    """Whether a server answers the beginning of a TLS conversation in plain HTTP; False where that is not certain.

    Args:
        host: its name or address; an IPv6 address may have brackets.
        port: where it listens.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host.strip("[]"), port)
            try:
                writer.write(_HELLO)
                return (await reader.read(5)).startswith(b"HTTP")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
