"""Names of the internet that lead to servers on this machine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from lading.registry.http.rustls import ReqwestTransport
from lading.registry.http.transport import NameNotFound, PlainHTTP, Request, Response, Route


class Server(Protocol):
    """Something on this machine that answers."""

    @property
    def url(self) -> str: ...


class Elsewhere:
    """A transport for names that exist only in a test: each leads to a server on this machine.

    `https` is answered by the server as if it spoke TLS, unless it is one of `plain`.
    """

    def __init__(self, servers: Mapping[str, Server], plain: frozenset[str] = frozenset()) -> None:
        self.servers = servers
        self.plain = plain
        self.insecure: set[str] = set()

    def __call__(self, route: Route) -> "_Leading":
        return _Leading(self, route.insecure)


class _Leading:
    def __init__(self, elsewhere: Elsewhere, insecure: bool) -> None:
        self._elsewhere = elsewhere
        self._insecure = insecure
        self._transport = ReqwestTransport()

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Response]:
        scheme, _, rest = request.url.partition("://")
        host, _, path = rest.partition("/")
        if self._insecure:
            self._elsewhere.insecure.add(host)
        if scheme == "https" and host in self._elsewhere.plain:
            raise PlainHTTP(f"{host} speaks plain HTTP, and lading asked with TLS")
        server = self._elsewhere.servers.get(host)
        if server is None:
            raise NameNotFound(f"{host} could not be reached", cause="there is no host of that name")
        local = Request(
            method=request.method,
            url=f"{server.url}/{path}",
            headers=(*request.headers, ("X-Scheme", scheme)),
            body=request.body,
            size=request.size,
        )
        async with self._transport.send(local) as response:
            response.url = request.url
            yield response

    async def close(self) -> None:
        await self._transport.close()
