"""The places of a mirror, each opened once: what they list, and the hosts that they are at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

from lading.errors import NotFound, Unsupported
from lading.io.tasks import Once
from lading.mirror.breaker import Breakers
from lading.mirror.plan import HostLimits
from lading.registry.hosts.settings import DOCKER_HUB
from lading.registry.session import Session
from lading.store import Readable, Store
from lading.stores.location import Location, parse_location

T = TypeVar("T")
_WRITABLE = ("registry", "oci")


class Open(Protocol):
    """Opens a location, such as `AsyncClient.open`."""

    def __call__(
        self, place: Location, /, *, writing: bool = False, mirrored: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        """The store."""


class Places:
    """The places of a mirror.

    Args:
        open: opens a location.
        session: gives what carries the requests.
    """

    def __init__(self, open: Open, session: Callable[[], Session]) -> None:
        self._open = open
        self._session = session
        self._stack = AsyncExitStack()
        self._once = Once(again=False)
        self.breakers: Breakers = Breakers()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Places]:
        """Close at the end what was opened meanwhile."""
        async with self._stack:
            yield self

    @property
    def session(self) -> Session:
        """What carries the requests."""
        return self._session()

    async def read(self, location: str) -> Readable:
        """A place, to be read.

        Raises:
            NotFound: there is no such directory or file.
        """
        store: Readable = await self._once.do(("read", location), lambda: self._opened(location, writing=False))
        return store

    async def write(self, location: str) -> Store:
        """A place, to be written to; it is made where there is none.

        Raises:
            Unsupported: a mirror does not write there.
        """
        check_writable(parse_location(location))
        store: Store = await self._once.do(("write", location), lambda: self._opened(location, writing=True))
        return store

    async def _opened(self, location: str, *, writing: bool) -> Any:
        return await self._stack.enter_async_context(self._open(parse_location(location), writing=writing))

    async def asked(self, locations: Sequence[str], work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do work that asks some places, unless the host of one was given up."""
        hosts = [host for location in locations if (host := host_of(location)) is not None]
        return await self.breakers.through(hosts, work)

    async def tags(self, location: str) -> list[str]:
        """All tags of a place that is read.

        Raises:
            NotFound: there is no such place.
        """
        store = await self.read(location)
        return [tag async for tag in store.tags()]

    async def tags_there(self, location: str) -> list[str]:
        """All tags of a target; it has none where it does not exist."""
        try:
            return await self.tags(location)
        except NotFound:
            return []

    async def repositories(self, registry: str) -> list[str]:
        """All repositories of a registry."""
        from lading.registry.lists import repositories

        return [name async for name in repositories(self.session, registry)]

    @contextmanager
    def limited(self, hosts: dict[str, HostLimits]) -> Iterator[None]:
        """Hold what is said for hosts while the context lasts."""
        before = []
        for name, limits in hosts.items():
            limiter, tally = self.session.limits(name), self.session.tally(name)
            jobs, rate = limiter.limit(limits.jobs, limits.requests_per_second)
            before.append((limiter, jobs, rate, tally, tally.keep))
            tally.keep = limits.keep_pulls
        try:
            yield
        finally:
            for limiter, jobs, rate, tally, keep in before:
                limiter.limit(jobs, rate if rate is not None else float("inf"))
                tally.keep = keep

    def requests(self) -> dict[str, dict[str, int]]:
        """How many requests each host got so far, by method in lower case."""
        return {
            name: {**{method.lower(): number for method, number in tally.requests.items()}, "limited": tally.limited}
            for name, tally in self.session.tallies().items()
        }

    def pulls_left(self) -> dict[str, int]:
        """How many pulls hosts said are left."""
        tallies = self.session.tallies().items()
        return {name: tally.pulls_left for name, tally in tallies if tally.pulls_left is not None}


def host_of(location: str) -> str | None:
    """The host that a location is at; None where it is on this machine."""
    reference = parse_location(location).reference
    if reference is None:
        return None
    return DOCKER_HUB[0] if reference.registry in DOCKER_HUB else reference.registry


def check_writable(location: Location) -> None:
    """Refuse a target that a mirror does not write to.

    Raises:
        Unsupported: it is one.
    """
    if location.kind not in _WRITABLE or location.is_stream:
        raise Unsupported(
            f"{location} is no target of a mirror",
            cause="a mirror writes to registries and to layouts (oci:DIR)",
            remedy="copy to a layout, and from there",
        )
