"""A store as far as one repository in it goes: its tags, each looked up once. Knows stores, and not which ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from lading.errors import LadingError
from lading.io.tasks import Once
from lading.model.descriptor import Descriptor
from lading.model.encoding import SIZE_LIMIT
from lading.store import (
    AnyManifest,
    Readable,
    Reader,
    Source,
    Traits,
    fetch_manifest,
    from_bytes,
    from_store,
    is_manifest,
)
from lading.transfer.referrers import listed_referrers

T = TypeVar("T")

_KEPT = 64
"""How many manifests and lists of referrers are kept that were read last."""
_SMALL = 64 * 1024
"""The largest manifest that is kept, in bytes."""


class View:
    """A store to be copied from, as it was found when it was looked at: what a tag names does not change meanwhile.

    Args:
        store: has the content.
        name: what it is called in messages.
        found: what each of its tags names, or why that is not known.
        others: tags that are not copied as such, and by which what refers to others is found; by their names in the
            store.
        beside: a store that may have some of the manifests already: they are read there.
        tags: all tags of the store, where they were listed: what lists referrers under a tag is among them.
        read: manifests that were read already.
    """

    def __init__(
        self,
        store: Readable,
        name: str,
        found: dict[str, Descriptor | LadingError],
        *,
        others: Mapping[str, str] | None = None,
        beside: Readable | None = None,
        tags: Collection[str] | None = None,
        read: Iterable[AnyManifest] = (),
    ) -> None:
        self.store = store
        self.name = name
        self.found = found
        self.others: Mapping[str, str] = others or {}
        self._beside = beside
        self._tags = frozenset(tags) if tags is not None else None
        self._recent = _Recent()
        self._before: dict[str, AnyManifest] = {manifest.digest: manifest for manifest in read}

    @property
    def traits(self) -> Traits:
        """It is as remote as the store, and has tags."""
        return Traits(is_remote=self.store.traits.is_remote)

    async def resolve(self, name: str) -> Descriptor:
        """What a tag or digest stands for.

        Raises:
            LadingError: what was found when the tag was looked up.
        """
        found = self.found.get(name)
        if isinstance(found, LadingError):
            raise found
        return found if found is not None else await self.store.resolve(self.others.get(name, name))

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """The manifest with a tag or digest; it is read beside the store where it is there, too."""
        found = self.found.get(name)
        if isinstance(found, LadingError):
            raise found
        name = found.digest if found is not None else self.others.get(name, name)
        return await self._shared(name, limit)

    async def _shared(self, name: str, limit: int) -> AnyManifest:
        found = await self._recent.do(f"manifest {name}", lambda: self._read(name, limit))
        if found.size > _SMALL:
            self._recent.forget(f"manifest {name}")
        return found

    async def _read(self, name: str, limit: int) -> AnyManifest:
        if (before := self._before.pop(name, None)) is not None:
            return before
        if self._beside is not None and ":" in name:
            try:
                return await fetch_manifest(self._beside, name, limit)
            except LadingError:
                pass  # it is not there, or damaged
        return await fetch_manifest(self.store, name, limit)

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob; it is verified while it streams. A manifest is read as `fetch` does."""
        if is_manifest(content):
            found = await self._shared(content.digest, SIZE_LIMIT)
            yield Reader(content, from_bytes(found.raw)())
            return
        async with self.store.open(content) as reader:
            yield reader

    def source(self, content: Descriptor) -> Source:
        """Content as a source of the store."""
        return from_store(self.store, content)

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is there."""
        return await self.store.contains(content)

    async def tags(self) -> AsyncIterator[str]:
        """The tags that were found, and the others."""
        for tag in dict.fromkeys([*self.found, *self.others]):
            yield tag

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests whose `subject` is this one."""
        for referrer in await self._recent.do(f"referrers {subject.digest}", lambda: self._listed(subject)):
            if not artifact_type or referrer.artifact_type == artifact_type:
                yield referrer

    async def _listed(self, subject: Descriptor) -> list[Descriptor]:
        return [referrer async for referrer in listed_referrers(self.store, subject, self._all_tags)]

    async def _all_tags(self) -> Collection[str] | None:
        return self._tags


class _Recent:
    """What was read last: several tags and indexes may want the same. Of any number only some are kept."""

    def __init__(self) -> None:
        self._read: dict[str, Once] = {}

    async def do(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work gives; it is done once for all that want it about now."""
        once = self._read.pop(key, None) or Once()
        self._read[key] = once
        if len(self._read) > _KEPT:
            self.forget(next(iter(self._read)))
        return await once.do(key, work)

    def forget(self, key: str) -> None:
        """Keep it no longer."""
        self._read.pop(key, None)
