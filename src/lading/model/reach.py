"""What a manifest leads to, visited: every walk over a graph goes by these rules, and within the same limits.

Pure: how content is read, and what is looked for, the caller knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from lading.errors import InvalidContent
from lading.model.digest import Digest

T = TypeVar("T")

DEPTH = 16
"""How many levels of manifests there may be below the one that a walk begins with."""
MANIFESTS = 10_000
"""How many entries the indexes that one leads to may have together, each index counted once."""
BYTES = 32 * 1024 * 1024
"""How many bytes they may have together."""

DEEP, LARGE = LIMITS = ("graph-too-deep", "graph-too-large")
"""The codes of the errors that a walk ends with: for whoever deals with content that cannot be read."""


class Reach:
    """How far one walk has come, and whether it may go on.

    Args:
        name: what the walk begins with, as messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries = 0
        self._bytes = 0

    def enter(self, entries: int, depth: int) -> None:
        """Count manifests that are listed, before any of them is read.

        Args:
            entries: how many one manifest lists, or how many refer to it.
            depth: how many levels they are below the beginning: 1 for those that it lists itself.

        Raises:
            InvalidContent: they are too deep, or too many.
        """
        if depth > DEPTH:
            raise self._error(DEEP, "is nested too deeply", f"it has more than {DEPTH} levels", DEPTH)
        self._entries += entries
        if self._entries > MANIFESTS:
            cause = f"lading follows {MANIFESTS:,} entries of one graph, and it lists {self._entries:,} or more"
            raise self._error(LARGE, "leads to too many manifests", cause, MANIFESTS)

    def count(self, size: int) -> None:
        """Count the bytes of a manifest that was read.

        Raises:
            InvalidContent: there are too many bytes of manifests.
        """
        self._bytes += size
        if self._bytes > BYTES:
            cause = f"lading reads {BYTES:,} bytes of the manifests of one graph"
            raise self._error(LARGE, "leads to manifests that are too large together", cause, BYTES)

    def _error(self, code: str, said: str, cause: str, limit: int) -> InvalidContent:
        return InvalidContent(
            f"{self.name} {said}",
            cause=cause,
            remedy="take what it lists one by one, by its digests",
            code=code,
            fields={"reference": self.name, "limit": limit},
        )


def visit(
    roots: Iterable[T],
    digest_of: Callable[[T], Digest],
    within: Callable[[T, int], Collection[T]],
    reach: Reach | None = None,
    entered: set[Digest] | None = None,
) -> Iterator[T]:
    """Everything that some contents lead to, in the order in which it is listed.

    What is listed several times is given as often, and gone into once: before it is given.

    Args:
        roots: where to begin.
        digest_of: the digest of a content.
        within: what a content lists that is to be visited; it is told how many levels the content is below the roots.
        reach: the limits, which count from here on; None where they were kept when all of it was read.
        entered: what was gone into before, by its digest. What is gone into is added as soon as all that it leads to
            has been visited: of what ends at a limit it is not.

    Raises:
        InvalidContent: the reach ends.
    """
    entered = set() if entered is None else entered
    path: list[Digest] = []
    waiting = [iter(roots)]
    try:
        while waiting:
            item = next(waiting[-1], None)
            if item is None:
                waiting.pop()
                del path[len(waiting) - 1 :]
                continue
            digest = digest_of(item)
            if digest in entered:
                yield item
                continue
            entered.add(digest)
            path.append(digest)
            inner = within(item, len(waiting) - 1)
            yield item
            if inner and reach is not None:
                reach.enter(len(inner), len(waiting))
            waiting.append(iter(inner))
    finally:
        entered.difference_update(path)
