"""One circuit breaker for each host: a host that is away fails what is asked of it once and for all, and nothing else.

Knows no requests: it is told what failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lading.errors import Unreachable

T = TypeVar("T")
LIMIT = 5
"""How many failures to reach a host, one after another, give it up."""


class Breakers:
    """The breakers of all hosts of a run."""

    def __init__(self) -> None:
        self._failed: Counter[str] = Counter()
        self._last: dict[str, Unreachable] = {}

    async def through(self, hosts: list[str], work: Callable[[], Awaitable[T]]) -> T:
        """Do work that asks some hosts.

        Args:
            hosts: their names.
            work: what is done.

        Raises:
            Unreachable: one of them was given up; or what the work raises.
        """
        self._check(hosts)
        try:
            done = await work()
        except Unreachable as error:
            host = error.fields.get("registry")
            if isinstance(host, str):
                self._failed[host] += 1
                self._last[host] = error
            raise
        for host in hosts:
            self._failed.pop(host, None)
        return done

    def _check(self, hosts: list[str]) -> None:
        for host in hosts:
            if self._failed[host] >= LIMIT:
                last = self._last[host]
                raise Unreachable(
                    f"{host} was given up: it could not be reached {LIMIT} times, one after another",
                    cause=last.cause or last.message,
                    remedy=last.remedy,
                    code="host-given-up",
                    fields={"registry": host},
                )
