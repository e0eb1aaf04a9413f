"""One host as a session knows it: its settings, its scheme, its credentials and tokens, and the slots for requests.

A request that streams from one host to another needs a slot at both. Two of them in opposite directions would wait for
each other for ever, each with the slot that the other needs: `slots` takes them in one order. This module sends nothing
but the few bytes that find out whether a host on this machine speaks plain HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import cached_property, partial

from lading.errors import TLSFailure, Unreachable
from lading.registry import urls
from lading.registry.auth.attempts import Attempts
from lading.registry.auth.authentication import Authenticator, Reply
from lading.registry.auth.credentials import Credentials
from lading.registry.cache import Cache, HostCache
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import DOCKER_HUB, HostConfig
from lading.registry.http.transport import (
    CertificateWanted,
    ConnectFailed,
    ConnectionRefused,
    Response,
    Route,
    UntrustedCertificate,
)
from lading.registry.limits import Limiter, Tally
from lading.registry.routing import headers_for, route_to

AskForHost = Callable[["Host", str, str, Sequence[tuple[str, str]], bytes | None], Awaitable[Reply]]
"""Sends a request to a token service for a host: method, address, header fields and body."""

DOWN_TIME = 60.0
"""How long a mirror that could not be reached is passed over, in seconds."""
HUB_ADDRESS = "registry-1.docker.io"


class Host:
    """What a session knows of a host, and its limits.

    Args:
        name: its name, as in references.
        config: how it is spoken to.
        insecure: whether plain HTTP, and TLS that cannot be verified, is accepted.
        addresses: IP addresses by `HOST:PORT`, which are used instead of what a look-up gives.
        cache: what earlier sessions learned of hosts, and where this one keeps what it learns.
        credentials: where to find credentials for it; None for anonymous access.
        asking: held while a helper or AWS is asked for credentials, so that users are asked one thing at a time.
        alone: whether the best credentials are all that is tried.
        ask: sends requests to its token service.
    """

    def __init__(
        self,
        name: str,
        config: HostConfig,
        *,
        insecure: bool,
        addresses: Mapping[str, str],
        cache: Cache,
        credentials: Credentials | None,
        asking: asyncio.Lock,
        alone: bool,
        ask: AskForHost,
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
        self.cache: HostCache = cache.host(name, verified=self.schemes == ("https",))
        """What earlier sessions learned of it, and where this one keeps what it learns."""
        if self.cache.scheme == "http" and len(self.schemes) == 2:
            self.schemes = ("http", "https")
        self._is_met = self.cache.scheme in self.schemes
        self._meeting: asyncio.Event | None = None
        self.headers: tuple[tuple[str, str], ...] = tuple(config.headers.items())
        """What is sent to it beside what a request needs."""
        self.is_named: bool = False
        """Whether it is a registry that was asked for, rather than one that a mirror, a redirect or a realm named."""
        self.is_registry: bool | None = None
        """Whether it answers as one where registries say that they are; None as long as nobody had reason to ask."""
        self.limits: Limiter = Limiter(config.jobs, config.requests_per_second)
        self.tally: Tally = Tally(name)
        """What it was asked for."""
        self._route: Route | None = None
        self._down_until = 0.0
        self._asking = asking
        self.introducing: asyncio.Lock = asyncio.Lock()
        """Held while it is asked how it wants to be answered, which is done once."""
        self.is_introduced: bool = False
        """Whether that was done."""
        self._ask = partial(ask, self)
        self.attempts: Attempts = Attempts(name, credentials, asking, alone=alone)
        """The credentials for it."""
        self.authenticator: Authenticator = Authenticator(name, self.attempts, self._ask, self.cache, self.url)
        """Answers its challenges."""

    @cached_property
    def guest(self) -> Authenticator:
        """Answers its challenges without credentials, for requests that another host redirected to it."""
        return Authenticator(self.name, Attempts(self.name, None, self._asking), self._ask, HostCache(self.name))

    @property
    def route(self) -> Route:
        """How it is reached."""
        if self._route is None:
            self._route = route_to(self.address, self.config, self.insecure, self._addresses)
        return self._route

    @property
    def is_known(self) -> bool:
        """Whether it has said whether it asks for a login, and how."""
        return self.is_introduced or self.authenticator.challenge is not None or self.cache.asks_nothing

    def name_by(self, config: Config, named: Collection[str]) -> None:
        """Give it what is configured for registries that are asked for; see `Session.expect`."""
        self.headers = (*self.headers, *headers_for(config.override, self.name, named))
        self.config = config.for_host(self.name)
        self.is_named, self._route = True, None

    def is_down(self) -> bool:
        """Whether it could not be reached within the last `DOWN_TIME`."""
        return time.monotonic() < self._down_until

    def went_down(self) -> None:
        """Note that it could not be reached: for a while it is passed over where another host has the same."""
        self._down_until = time.monotonic() + DOWN_TIME

    @property
    def url(self) -> str:
        """Its address, as far as it is known."""
        return f"{self.schemes[0]}://{self.address}"

    async def listen(self) -> None:
        """Find out whether a host on this machine speaks plain HTTP, where it is likely and nothing says otherwise."""
        likely = urls.is_loopback(self.hostname) and self._port is not None and not self.config.ca_files
        if not likely or self.schemes != ("https", "http"):
            return
        from lading.registry.http.plain_probe import speaks_plain_http

        if await speaks_plain_http(self.hostname, self._port or 0):
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
        """Let the first request find out how the host is spoken to; later ones wait here until the host has answered.

        A request for which a slot has been taken already does not wait: the first one may be waiting for it.
        """
        has_slot = self._taken_slot() is not None
        while not self._is_met and self._meeting is not None and not has_slot:
            await self._meeting.wait()
        leads = not self._is_met and self._meeting is None
        if leads:
            self._meeting = asyncio.Event()
        try:
            yield
        finally:
            if leads and self._meeting is not None:  # no answer came: the next request finds out
                self._meeting.set()
                self._meeting = None

    def met(self) -> None:
        """Note that the host has answered: requests that wait for that go on."""
        self._is_met = True
        if self._meeting is not None:
            self._meeting.set()
            self._meeting = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Take one of the slots for requests under way; first come, first served.

        Within a slot that this context (see `contextvars`) has taken already, there is no second one to wait for: tasks
        that wait for a slot while they hold one may all wait for ever.
        """
        outer = self._taken_slot()
        if outer is None:
            await self.limits.acquire()
        slot = _Slot()
        _slots.set({**_slots.get(), self: slot})
        try:
            yield
        finally:
            slot.taken = False
            if outer is None:
                self.limits.release()
            if _slots.get().get(self) is slot:  # else this ends in another task than it began in
                others = {host: other for host, other in _slots.get().items() if host is not self}
                _slots.set(others if outer is None else {**others, self: outer})

    def _taken_slot(self) -> _Slot | None:
        slot = _slots.get().get(self)
        return slot if slot is not None and slot.taken else None


@asynccontextmanager
async def slots(hosts: Iterable[Host]) -> AsyncIterator[None]:
    """Take a slot at each of several hosts, for content that streams from one to another.

    Args:
        hosts: the hosts. The slots are taken in one order, whichever way the content streams; requests to these hosts
            within need none of their own.
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
