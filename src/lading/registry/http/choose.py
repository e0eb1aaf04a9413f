"""Which of the two transports a host is spoken to with: rustls, or OpenSSL where its certificate needs it.

rustls takes no certificate that is marked as an authority's from a server (`CaUsedAsEndEntity`), and that is what the
command in Docker's documentation for registries makes (`openssl req -x509`); nor does it take a host's own certificate
for an authority, nor one of X.509's first version. OpenSSL verifies them all the same, and no less: chain, dates and
name. So a host that rustls refuses for one of these reasons is asked again with OpenSSL, and from then on with OpenSSL.

The library with rustls does not survive a fork, either: in a child of a process that has used it, OpenSSL it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from lading.registry.http.rustls import ReqwestTransport, is_usable
from lading.registry.http.transport import (
    Request,
    Response,
    Route,
    Transport,
    UntrustedCertificate,
    host_of,
)

if TYPE_CHECKING:
    from lading.registry.http.openssl import OpenSSLTransport


class EitherTransport:
    """The first transport, and the second one for hosts that need it; see `transport.Transport`.

    Args:
        route: how hosts are reached and known.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._rustls = ReqwestTransport(route)
        self._openssl: OpenSSLTransport | None = None
        self._known: dict[str, Transport] = {}
        """Which of them each host is spoken to with, over TLS."""

    def send(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Send a request; see `Transport.send`."""
        known = self._known.get(host_of(request.url))
        if known is None and not is_usable():
            known = self._with_openssl()
        if known is None and request.url.startswith("https:"):
            return self._first(request)
        return (known or self._rustls).send(request)

    async def close(self) -> None:
        """Close all connections. Which hosts need the second transport is kept."""
        await self._rustls.close()
        if self._openssl is not None:
            await self._openssl.close()

    @asynccontextmanager
    async def _first(self, request: Request) -> AsyncIterator[Response]:
        async with AsyncExitStack() as stack:
            chosen: Transport = self._rustls
            try:
                response = await stack.enter_async_context(chosen.send(request))
            except UntrustedCertificate as error:
                # Nothing was sent. Without an authority of the user's, OpenSSL knows no more issuers than rustls.
                if error.doubt is None or (error.doubt == "issuer" and not self._route.ca_files):
                    raise
                chosen = self._with_openssl()
                response = await stack.enter_async_context(chosen.send(request))
            self._known[host_of(request.url)] = chosen
            yield response

    def _with_openssl(self) -> Transport:
        if self._openssl is None:
            from lading.registry.http.openssl import OpenSSLTransport

            self._openssl = OpenSSLTransport(self._route)
        return self._openssl
