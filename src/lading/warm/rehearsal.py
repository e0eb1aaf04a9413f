"""Has commands run once, before there is one, with a registry in this process: the first time takes longer.

Patterns are compiled, types are looked at, and memory becomes the process's own. Nothing of the user's is read, nothing
is sent and nothing is kept: for a rehearsal the user has no files, no cache and no network.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

from lading.model.digest import Digest
from lading.model.media_types import OCI_MANIFEST
from lading.registry.http.transport import Headers, Request, Response, Route
from lading.registry.session import Session

_REFERENCE = "registry.invalid/rehearsal/app:1"
_COMMANDS = (["digest", _REFERENCE], ["inspect", _REFERENCE], ["tag", "-q", _REFERENCE, "2"])
_ENVIRONMENT = {"HOME": "/nonexistent", "LADING_CACHE": "0", "LADING_WARM": "0"}
_CONFIG = b"{}"
_MANIFEST = b"""{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":
"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
"size":2},"layers":[]}"""


def rehearse(run: Callable[[list[str]], int]) -> list[int]:
    """Do so.

    Args:
        run: runs a command, given its arguments; returns its exit code.

    Returns:
        The exit codes.
    """
    with _alone(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return [run(list(arguments)) for arguments in _COMMANDS]


@contextmanager
def _alone() -> Iterator[None]:
    """Have an environment in which there is nothing of the user's, and no registry but the one in this process."""
    before, transport = dict(os.environ), Session.transport
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    Session.transport = _Within
    try:
        yield
    finally:
        Session.transport = transport
        os.environ.clear()
        os.environ.update(before)


class _Within:
    """A registry within this process, which has one image, by any name; see `transport.Transport`."""

    def __init__(self, _: Route) -> None:
        pass

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Response]:
        """Answer it."""
        content = _CONFIG if "/blobs/" in request.url else _MANIFEST

        async def chunks() -> AsyncIterator[bytes]:
            if request.method == "GET":
                yield content

        fields = {
            "Content-Type": OCI_MANIFEST,
            "Content-Length": str(len(content)),
            "Docker-Content-Digest": Digest.of(content),
        }
        yield Response(201 if request.method == "PUT" else 200, Headers(fields.items()), request.url, chunks())

    async def close(self) -> None:
        """Nothing is open."""
