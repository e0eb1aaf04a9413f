"""The walk over a graph of manifests in a store: whatever follows what manifests list does so with it.

The limits are those of `lading.model.reach`. This module knows stores, and nothing of what is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from lading.errors import RegistryFailure
from lading.io.tasks import Once
from lading.model.descriptor import Descriptor
from lading.model.reach import Reach
from lading.store import AnyManifest, Readable, fetch_manifest


class Walk:
    """One walk over what a manifest leads to: each content is read once, and so much of it as the limits allow.

    Args:
        name: what the walk begins with, as messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._reach = Reach(name)
        self._once = Once(again=False)

    def enter(self, manifests: Iterable[Descriptor], depth: int) -> None:
        """Count manifests that are listed, before any of them is read.

        Args:
            manifests: those that one manifest lists, or that refer to it: for each only once.
            depth: how many levels they are below the beginning: 1 for those that it lists itself.

        Raises:
            InvalidContent: they are too deep, or too many.
        """
        self._reach.enter(sum(1 for _ in manifests), depth)

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
        self._reach.count(manifest.size)

    async def _fetch(self, store: Readable, content: Descriptor | str) -> AnyManifest:
        found = await fetch_manifest(store, content)
        self.count(found)
        return found


def is_refused(error: RegistryFailure) -> bool:
    """Whether a registry fails at one content again and again, which it does where that is damaged in its storage.

    Other failures are of the registry as a whole, or of what is before it, and pass.
    """
    return error.status == _INTERNAL


_INTERNAL = 500
