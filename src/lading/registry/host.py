"""One host as a session knows it: how it is spoken to, whether it has answered, and the places for requests to it.

Who waits for a place while holding one must not be waited for by whoever has it: `slots` sees to that. It sends
nothing but the few bytes that find out whether a host on this machine speaks plain HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar

from lading.errors import TLSFailure, Unreachable
from lading.registry import urls
from lading.registry.auth.attempts import Attempts
from lading.registry.auth.authentication import Authenticator
from lading.registry.cache import Cache, HostCache
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import DOCKER_HUB, HostConfig
from lading.registry.http.plain_probe import speaks_plain_http
from lading.registry.http.transport import (
    CertificateWanted,
    ConnectFailed,
    ConnectionRefused,
    Response,
    Route,
    UntrustedCertificate,
)
from lading.registry.limits import Limiter
from lading.registry.routing import headers_for, route_to

DOWN_TIME = 60.0
"""How long a mirror that could not be reached is passed over, in seconds."""
HUB_ADDRESS = "registry-1.docker.io"


class Host:
    """What a session knows of a host, and its limits.

    Args:
        name: its name, as in references.
        config: how it is spoken to.
        insecure: whether plain HTTP, and TLS that cannot be verified, is accepted.
        addresses: of `HOST:PORT`s, where they are, whatever is looked up.
    """

    authenticator: Authenticator
    attempts: Attempts
    guest: Authenticator
    """Answers its challenges without credentials, where another host led here."""
    cache: HostCache
    """What earlier sessions learned of it, and where this one writes what it learns."""

    def __init__(
        self,
        name: str,
        config: HostConfig,
        insecure: bool,
        addresses: Mapping[str, str],
    ) -> None:
        self.name = name
        self.address: str = HUB_ADDRESS if name == DOCKER_HUB[0] else name
        self.hostname: str
        self.hostname, self._port = urls.split_port(self.address)
        self.config: HostConfig = config
        self.insecure = insecure
        self._addresses = addresses
        self.schemes: tuple[str, ...] = ("https",)
        """Those to be tried, in their order; only one, once the host has answered."""
        if config.plain_http:
            self.schemes = ("http",)
        elif insecure or urls.is_loopback(self.hostname):
            self.schemes = ("https", "http")
        self.headers: tuple[tuple[str, str], ...] = tuple(config.headers.items())
        """What is sent to it beside what a request needs."""
        self.is_named: bool = False
        """Whether it is a registry that was asked for, and not where that one led."""
        self.limits: Limiter = Limiter(config.jobs, config.requests_per_second)
        self._route: Route | None = None
        self._down_until = 0.0
        self._is_met = False
        self._meeting: asyncio.Event | None = None

    @property
    def route(self) -> Route:
        """How it is reached."""
        if self._route is None:
            self._route = route_to(self.address, self.config, self.insecure, self._addresses)
        return self._route

    def name_by(self, config: Config, named: Collection[str]) -> None:
        """Give it what is meant for registries that are named; see `Session.expect`."""
        self.headers = (*self.headers, *headers_for(config.override, self.name, named))
        self.config = config.for_host(self.name)
        self.is_named, self._route = True, None

    def is_down(self) -> bool:
        """Whether it could not be reached a moment ago."""
        return time.monotonic() < self._down_until

    def went_down(self) -> None:
        """It could not be reached: it is left alone for a while where there is another way."""
        self._down_until = time.monotonic() + DOWN_TIME

    @property
    def url(self) -> str:
        """Its address, as far as it is known."""
        return f"{self.schemes[0]}://{self.address}"

    def remember(self, cache: Cache) -> None:
        """Take what earlier sessions learned."""
        self.cache = cache.host(self.name, verified=self.schemes == ("https",))
        if self.cache.scheme == "http" and len(self.schemes) == 2:
            self.schemes = ("http", "https")
        self._is_met = self.cache.scheme in self.schemes

    async def listen(self) -> None:
        """Find out whether a host on this machine speaks plain HTTP, where it is likely and nothing says otherwise."""
        likely = urls.is_loopback(self.hostname) and self._port is not None and not self.config.ca_files
        if likely and self.schemes == ("https", "http") and await speaks_plain_http(self.hostname, self._port or 0):
            self.schemes = ("http",)

    def may_speak_http_after(self, error: Unreachable) -> bool:
        """Whether what failed with https may be tried with http."""
        if isinstance(error, ConnectionRefused):
            return self._port is None  # else it is the same port that nothing listens on
        return isinstance(error, TLSFailure | ConnectFailed) and not isinstance(
            error, UntrustedCertificate | CertificateWanted
        )

    def wants_tls(self, response: Response) -> bool:
        """Whether an answer to plain HTTP says that TLS is spoken there."""
        there = (response.headers.get("location") or "").lower()
        return response.status in {400, 426} or there.startswith(f"https://{self.address.lower()}/")

    @asynccontextmanager
    async def introduction(self) -> AsyncIterator[None]:
        """The first request finds out how the host is spoken to; others wait until it has heard from it.

        Except for those within it: it would wait for them, too.
        """
        within = self._outer_slot() is not None
        while not self._is_met and self._meeting is not None and not within:
            await self._meeting.wait()
        leads = not self._is_met and self._meeting is None
        if leads:
            self._meeting = asyncio.Event()
        try:
            yield
        finally:
            if leads and self._meeting is not None:  # it heard nothing: the next one's turn
                self._meeting.set()
                self._meeting = None

    def met(self) -> None:
        """The host has answered: whoever waits for that may go on."""
        self._is_met = True
        if self._meeting is not None:
            self._meeting.set()
            self._meeting = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the places for requests under way; first come, first served.

        Who has one already, further out in the same course of action, needs no other: waiting for one while
        holding one is how everybody waits for ever.
        """
        outer = self._outer_slot()
        if outer is None:
            await self.limits.acquire()
        place = _Slot()
        _slots.set({**_slots.get(), self: place})
        try:
            yield
        finally:
            place.taken = False
            if outer is None:
                self.limits.release()
            if _slots.get().get(self) is place:  # else this ends in another task than it began in
                others = {host: other for host, other in _slots.get().items() if host is not self}
                _slots.set(others if outer is None else {**others, self: outer})

    def _outer_slot(self) -> _Slot | None:
        """The place that the present course of action has already."""
        place = _slots.get().get(self)
        return place if place is not None and place.taken else None


@asynccontextmanager
async def slots(hosts: Iterable[Host]) -> AsyncIterator[None]:
    """A place at each of several hosts, for content that streams from one to another.

    They are taken in one order, whichever way it streams: of two that need the same places, neither waits for what
    the other has while having what that one waits for.

    Args:
        hosts: those; requests to them within need no place of their own.
    """
    async with AsyncExitStack() as stack:
        for host in sorted(dict.fromkeys(hosts), key=lambda host: (host.name, id(host))):
            await stack.enter_async_context(host.slot())
        yield


class _Slot:
    def __init__(self) -> None:
        self.taken = True


_NO_SLOTS: Mapping[Host, _Slot] = {}
_slots: ContextVar[Mapping[Host, _Slot]] = ContextVar("lading_slots", default=_NO_SLOTS)
