"""Blobs that several repositories of one registry share: the first brings each, the others mount it from there.

Knows stores, and not which ones.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from lading.errors import LadingError
from lading.io.tasks import Once
from lading.model.digest import Digest
from lading.store import Store


class Shelf:
    """What is in one registry, by blob: a repository that has it.

    Args:
        recall: a repository that had a blob once, from what earlier runs knew; it may have lost it since.
        on_brought: is told of each blob that is in a repository now.
    """

    def __init__(
        self,
        recall: Callable[[Digest], Store | None] = lambda _: None,
        on_brought: Callable[[Digest, Store], None] = lambda *_: None,
    ) -> None:
        self._recall = recall
        self._on_brought = on_brought
        self._homes: dict[Digest, Store] = {}
        self._once = Once()

    def has(self, digest: Digest, store: Store) -> None:
        """A blob is in a repository."""
        self._homes[digest] = store
        self._on_brought(digest, store)

    async def home(self, digest: Digest, target: Store, bring: Callable[[], Coroutine[Any, Any, None]]) -> Store | None:
        """Where a blob is in the registry; it is brought to the target where that is not known.

        While one repository gets it, the others wait: it is brought over the network once.

        Args:
            digest: which blob.
            target: the repository that is to have it.
            bring: brings it there.

        Returns:
            A repository that is said to have it; None where the target has it now.
        """
        known = self._homes.get(digest) or self._recall(digest)
        if known is not None:
            return known
        leads = False

        async def lead() -> Store:
            nonlocal leads
            leads = True
            await bring()
            self.has(digest, target)
            return target

        try:
            home = await self._once.do(digest, lead)
        except LadingError:
            if leads:
                raise
            await bring()  # what failed there need not fail here
            self.has(digest, target)
            return None
        return None if home is target else home
