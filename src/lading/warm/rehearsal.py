"""Does once, before the warm process forks, what takes longer the first time: patterns are compiled, types looked at.

Requests are answered in this process. Nothing of the user's is read, nothing is sent and nothing is kept: there is no
credential, no cache and no network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lading.model.digest import Digest
from lading.model.media_types import OCI_MANIFEST
from lading.registry.hosts.configuration import Config
from lading.registry.http.transport import Headers, Request, Response, Route
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.stores.location import parse_location

REFERENCE = "registry.invalid/rehearsal/app:1"
_MANIFEST = b"""{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":
"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
"size":2},"layers":[]}"""


def rehearse() -> None:
    """Do so."""
    asyncio.run(_ask())


async def _ask() -> None:
    reference = parse_location(REFERENCE).full().reference
    assert reference is not None
    async with Session(config=Config(others=True), transport=_Within) as session:
        repository = Repository(session, reference.registry, reference.repository)
        await repository.resolve("1")
        await repository.fetch("1")


class _Within:
    """A registry within this process, which has one manifest, by any name; see `transport.Transport`."""

    def __init__(self, _: Route) -> None:
        pass

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Response]:
        """Answer it."""

        async def chunks() -> AsyncIterator[bytes]:
            if request.method != "HEAD":
                yield _MANIFEST

        fields = {
            "Content-Type": OCI_MANIFEST,
            "Content-Length": str(len(_MANIFEST)),
            "Docker-Content-Digest": Digest.of(_MANIFEST),
        }
        yield Response(200, Headers(fields.items()), request.url, chunks())

    async def close(self) -> None:
        """Nothing is open."""
