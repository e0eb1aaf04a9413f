"""A request as it was asked for: its host, its path, and the statuses that are answers. It sends nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, urlencode

import msgspec

from lading.errors import LadingError, Unsupported, UsageError
from lading.io.sources import Body
from lading.registry import urls
from lading.registry.auth.scopes import Scope, repository_of
from lading.registry.host import Host
from lading.registry.http.transport import Response
from lading.registry.quirks import hosted

PING = "/v2/"
"""The path at which a registry says whether it asks for a login, and how (distribution-spec §Determining Support)."""
_LISTS = r"/v2/(?:_catalog|.+/tags/list|.+/referrers/[^/?]+)(?:\?.*)?"

Send = Callable[..., AbstractAsyncContextManager[Response]]
"""Sends a request to one repository: takes the method and the path below the repository, and what `Session.request`
takes by name."""


class Call(msgspec.Struct, frozen=True):
    """A request as it was asked for."""

    method: str
    host: Host
    path: str
    scopes: tuple[Scope, ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes | Body | None
    size: int | None
    accept: Collection[int]
    what: str
    is_tentative: bool = False
    """Whether another request decides where the registry fails to answer this one."""

    def url(self, scheme: str) -> str:
        """Its address.

        Raises:
            Unsupported: it is not at the registry.
        """
        base = f"{scheme}://{self.host.address}"
        url = base + self.path if self.path.startswith("/") else self.path
        try:
            matches = urls.origin(url) == urls.origin(base)
        except ValueError as error:
            raise UsageError(f"{self.what} cannot be asked for", cause=str(error)) from None
        if not matches:
            raise Unsupported(
                f"{self.host.name} is at {base}, and not at {urls.origin(url).url}",
                cause="what was begun at a registry can only be continued there",
            )
        return url

    @property
    def is_for_list(self) -> bool:
        """Whether it asks for a list, which may be shorter for who shows no credentials."""
        return self.method == "GET" and re.fullmatch(_LISTS, self.path) is not None

    def missing_repository(self, failure: LadingError) -> str | None:
        """The repository that has to be made before what was refused; None where that is not why."""
        reads = self.method in {"GET", "HEAD"}
        if failure.registry_code != "NAME_UNKNOWN" or reads or hosted(self.host.name).amazon is None:
            return None
        return repository_of(self.scopes)


def is_doubtful(error: LadingError) -> bool:
    """Whether a HEAD that failed so says nothing of what a GET would be answered.

    Some registries, proxies and storages answer HEAD with 403, 404, 405 or 500, and GET with what was asked for.
    """
    return error.status in range(300, 600) and error.status not in (407, 408, 429)


def as_query(path: str, query: Sequence[tuple[str, str]]) -> str:
    """Parameters, to be added to a path."""
    if not query:
        return ""
    return ("&" if "?" in path else "?") + urlencode(query, quote_via=quote, safe="")
