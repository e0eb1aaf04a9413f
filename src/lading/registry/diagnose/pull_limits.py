"""How many pulls a registry still allows, where it tells: Docker Hub does, in headers of manifests."""

from __future__ import annotations

import re

import msgspec

from lading.errors import NotFound
from lading.model.document import Result
from lading.model.media_types import ACCEPT
from lading.registry.auth.scopes import Scope
from lading.registry.call import PING
from lading.registry.failures import no_registry
from lading.registry.hosts.settings import DOCKER_HUB
from lading.registry.http.transport import Headers
from lading.registry.session import Session

_HUB_PROBE = ("ratelimitpreview/test", "latest")
"""What Docker has there for asking; a HEAD of it counts as no pull."""


class PullLimits(Result, msgspec.Struct, frozen=True):
    """What a registry says of its limits."""

    registry: str
    """The registry that was asked."""
    tells: bool
    """Whether it says anything of limits."""
    limit: int | None = None
    """How many pulls are allowed in a window."""
    remaining: int | None = None
    """How many of them are left."""
    window: int | None = None
    """How long the window is, in seconds."""
    counted_by: str | None = None
    """Whose pulls are counted: an address, or an account."""


async def pull_limits(
    session: Session, registry: str, repository: str | None = None, name: str | None = None
) -> PullLimits:
    """Ask a registry for its limits, with one request that counts as no pull.

    Args:
        session: carries the request.
        registry: the registry's name.
        repository: a repository of it; None for one that Docker Hub has for this, and for none elsewhere.
        name: a tag or digest in it.

    Raises:
        NotFound: there is no such manifest.
        Unsupported: it is no registry.
    """
    if repository is None and registry == DOCKER_HUB[0]:
        repository, name = _HUB_PROBE
    if repository is None:
        async with session.request("GET", registry, PING, what=registry) as response:
            return read_limits(registry, response.headers)
    path = f"/v2/{repository}/manifests/{name or 'latest'}"
    what = f"{registry}/{repository}{'@' if ':' in (name or '') else ':'}{name or 'latest'}"
    # A registry has only what is accepted.
    headers = {"Accept": ", ".join(ACCEPT)}
    try:
        async with session.request(
            "HEAD", registry, path, scopes=(Scope(repository),), headers=headers, what=what
        ) as response:
            if response.is_html:
                raise no_registry(registry, "it answered with a web page")
            return read_limits(registry, response.headers)
    except NotFound:
        async with session.request("GET", registry, PING, what=registry):
            raise  # else it is no registry at all


def read_limits(registry: str, headers: Headers) -> PullLimits:
    """What the headers of an answer say: `100;w=21600` is a hundred in six hours."""
    limit, window = _read(headers.get("ratelimit-limit") or headers.get("x-ratelimit-limit"))
    remaining, other_window = _read(headers.get("ratelimit-remaining") or headers.get("x-ratelimit-remaining"))
    source = (headers.get("docker-ratelimit-source") or "")[:100]
    return PullLimits(
        registry=registry,
        tells=limit is not None or remaining is not None,
        limit=limit,
        remaining=remaining,
        window=window if window is not None else other_window,
        counted_by=source or None,
    )


def _read(text: str | None) -> tuple[int | None, int | None]:
    match = re.match(r"\s*(\d{1,12})(?:\s*;\s*w=(\d{1,9}))?", text or "")
    if match is None:
        return None, None
    return int(match[1]), int(match[2]) if match[2] else None
