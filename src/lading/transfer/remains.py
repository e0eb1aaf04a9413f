"""What refers to what is copied and does not go along: found beside the copy, and said at its end.

Knows stores, and not which ones; and nothing of how content is moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from lading.errors import LadingError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, is_attestation
from lading.model.tags import subject_of
from lading.store import AnyManifest
from lading.transfer.referrers import Finder
from lading.transfer.report import CopiedImage

_PATIENCE = 15.0
"""Seconds for finding out what would stay behind."""


class Remains:
    """Collects what stays behind in one source.

    Args:
        finder: looks for referrers there.
    """

    def __init__(self, finder: Finder) -> None:
        self.tags: Sequence[str] = ()
        """All tags of the source, where they were listed."""
        self._finder = finder
        self._found: dict[str, set[Digest]] = {}
        self._unknown: list[str] = []

    def is_tagged(self, subject: Digest) -> bool:
        """Whether tags that were listed say already that something refers to a manifest."""
        return any(subject_of(tag) == subject for tag in self.tags)

    async def find(self, what: str, subjects: Sequence[Descriptor]) -> None:
        """Find what refers to an image; that it could not be found out is no reason not to copy.

        Args:
            what: what the image is called.
            subjects: its manifest first, and then those that it lists.
        """
        root, *entries = subjects
        try:
            async with asyncio.timeout(_PATIENCE):
                self._found[what] = await self._finder.direct(root, entries, with_tags=not self.tags)
        except (LadingError, TimeoutError) as error:
            cause = error.message if isinstance(error, LadingError) else "no answer came"
            self._unknown.append(f"whether something refers to {what}, such as signatures, was not found out: {cause}")

    def notes(self, images: Sequence[CopiedImage], holder: str | None) -> Iterator[str]:
        """What a user should know of it.

        Args:
            images: what was copied.
            holder: what one of the targets is called that holds no referrers; None where all of them do.
        """
        copied = {
            image.original or image.digest
            for image in images
            if any(change.state != "kept" for change in image.targets)
        }
        chosen = {image.source.rpartition(":")[2] for image in images}
        tags = [tag for tag in self.tags if tag not in chosen and subject_of(tag) in copied]
        if tags:
            yield f"{_count(tags, 'tag')} with signatures or referrers stayed behind: {_way(tags, None)}"
        found = {what: left for what, referrers in self._found.items() if (left := referrers - copied)}
        if found:
            left = set[Digest]().union(*found.values())
            what = next(iter(found)) if len(found) == 1 else f"{len(found)} images"
            yield f"{_count(left, 'referrer')} of {what} stayed behind: {_way(left, holder)}"
        yield from self._unknown


def subjects_of(found: AnyManifest, chosen: AnyManifest) -> list[Descriptor]:
    """What the referrers of a copy would refer to.

    Args:
        found: the manifest in the source.
        chosen: what of it is copied: itself, an index with some of its entries, or one of those.
    """
    if isinstance(chosen, Index):
        entries = [entry for entry in chosen.manifests if not is_attestation(entry)]
    else:
        entries = [chosen.descriptor] if chosen is not found else []
    return [found.descriptor, *entries]


def _count(things: Sequence[str] | set[Digest], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"


def _way(things: Sequence[str] | set[Digest], holder: str | None) -> str:
    return f"{holder} holds none" if holder else f"--referrers brings {'them' if len(things) > 1 else 'it'} along"
