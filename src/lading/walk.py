"""The walk over a graph of manifests: whatever follows what manifests list does so with it, within the same limits.

This module knows stores, and nothing of what is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from lading.errors import InvalidContent
from lading.io.tasks import Once
from lading.model.descriptor import Descriptor
from lading.store import AnyManifest, Readable, fetch_manifest

DEPTH = 16
"""How many levels of manifests there may be below the one that a walk begins with."""
MANIFESTS = 10_000
"""How many entries the indexes that one leads to may have together, each index counted once."""
BYTES = 32 * 1024 * 1024
"""How many bytes they may have together."""

DEEP, LARGE = LIMITS = ("graph-too-deep", "graph-too-large")
"""The codes of the errors that a walk ends with: for whoever deals with content that cannot be read."""


class Walk:
    """One walk over what a manifest leads to: each content is read once, and so much of it as the limits allow.

    Args:
        name: what the walk begins with, as messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries = 0
        self._bytes = 0
        self._once = Once(again=False)

    def enter(self, manifests: Iterable[Descriptor], depth: int) -> None:
        """Count manifests that are listed, before any of them is read.

        Args:
            manifests: those that one manifest lists, or that refer to it: for each only once.
            depth: how many levels they are below the beginning: 1 for those that it lists itself.

        Raises:
            InvalidContent: they are too deep, or too many.
        """
        if depth > DEPTH:
            raise self._error(DEEP, "is nested too deeply", f"it has more than {DEPTH} levels", DEPTH)
        self._entries += sum(1 for _ in manifests)
        if self._entries > MANIFESTS:
            cause = f"lading follows {MANIFESTS:,} entries of one graph, and it lists {self._entries:,} or more"
            raise self._error(LARGE, "leads to too many manifests", cause, MANIFESTS)

    async def fetch(self, store: Readable, content: Descriptor | str) -> AnyManifest:
        """Read a manifest, or get what was read before; a failure likewise.

        Args:
            store: where it is.
            content: its descriptor; or its digest, where what the descriptor says besides is not to be believed.

        Raises:
            NotFound: it is not there.
            InvalidContent: it is not a manifest that lading reads, or there are too many bytes of manifests.
        """
        said = content if isinstance(content, str) else (content.digest, content.size, content.media_type)
        return await self._once.do((store.name, said), partial(self._fetch, store, content))

    async def contains(self, store: Readable, content: Descriptor) -> bool:
        """Whether content is there that is no manifest; each is asked for once."""
        return await self._once.do((store.name, content.digest, "is there"), partial(store.contains, content))

    def count(self, manifest: AnyManifest) -> None:
        """Count the bytes of a manifest that was read otherwise.

        Raises:
            InvalidContent: there are too many bytes of manifests.
        """
        self._bytes += manifest.size
        if self._bytes > BYTES:
            cause = f"lading reads {BYTES:,} bytes of the manifests of one graph"
            raise self._error(LARGE, "leads to manifests that are too large together", cause, BYTES)

    async def _fetch(self, store: Readable, content: Descriptor | str) -> AnyManifest:
        found = await fetch_manifest(store, content)
        self.count(found)
        return found

    def _error(self, code: str, said: str, cause: str, limit: int) -> InvalidContent:
        return InvalidContent(
            f"{self.name} {said}",
            cause=cause,
            remedy="take what it lists one by one, by its digests",
            code=code,
            fields={"reference": self.name, "limit": limit},
        )
