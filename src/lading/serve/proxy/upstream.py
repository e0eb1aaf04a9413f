"""The registry behind a pull-through cache, reached as lading reaches any registry.

This is the only module of `lading.serve` that knows the client's side. The credentials are the user's own: they go to
that registry, and never to a client of this one.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path

from lading.model.reference import Reference
from lading.registry.auth.docker_config import docker_headers
from lading.registry.auth.lookup import default_sources
from lading.registry.auth.scopes import parse_registry
from lading.registry.hosts.configuration import Config
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve.proxy.proxy import FRESH, ProxyStorage, heard
from lading.serve.storage.storage import Storage

_RETRIES = 2  # a client is waiting, and will try again

log: logging.Logger = logging.getLogger("lading.serve.upstream")


def proxy_of(
    registry: str,
    cache: Storage,
    *,
    insecure: bool = False,
    docker_config: Path | str | None = None,
    config: Config | None = None,
    fresh: float = FRESH,
    clock: Callable[[], float] = time.monotonic,
) -> ProxyStorage:
    """A storage with all that another registry has: what it lacks is fetched there, verified and kept.

    `library/nginx` here is `library/nginx` there; in front of Docker Hub, so is `nginx`.

    Args:
        registry: the other registry's host, such as `docker.io` or `registry.example:5000`.
        cache: the storage that keeps what was fetched.
        insecure: accept plain HTTP and any certificate from it.
        docker_config: the folder of Docker's `config.json`; by default `$DOCKER_CONFIG`, else `~/.docker`.
        config: lading's configuration; by default read from its file.
        fresh: how long a tag is taken for what it was, in seconds, before the other registry is asked again.
        clock: gives the time in seconds.

    Returns:
        The storage, which nothing can be pushed to. Closing it closes `cache`, too.

    Raises:
        InvalidReference: `registry` is not HOST[:PORT].
        UsageError: the configuration cannot be read.
    """
    host = parse_registry(registry)
    folder = Path(docker_config) if docker_config is not None else None
    credentials = default_sources(docker_config_dir=folder)

    @functools.lru_cache(maxsize=256)
    def once(said: str) -> None:
        log.warning("%s", said)

    def on_warning(name: str, text: str) -> None:
        said = f"{name} says: {text}"
        once(said)
        heard(said)

    # Blobs have connections of their own: a question about a tag does not wait for them.
    quick, slow = (
        Session(
            credentials=credentials,
            headers=docker_headers(folder),
            config=config or Config.load(),
            insecure=insecure,
            on_warning=on_warning,
            repeat_warnings=True,
            on_note=log.warning,
            on_request=log.debug,
            retries=_RETRIES,
        )
        for _ in range(2)
    )

    def connect(name: str, large: bool) -> Repository:
        reference = Reference.parse_repository(f"{host}/{name}")
        return Repository(slow if large else quick, reference.registry, reference.repository)

    async def close() -> None:
        await quick.close()
        await slow.close()

    return ProxyStorage(cache, connect, host, fresh=fresh, clock=clock, close=close)
