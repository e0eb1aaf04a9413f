"""A store as far as one repository in it goes: its tags, each looked up once. Knows stores, and not which ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from lading.errors import LadingError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT
from lading.store import AnyManifest, Readable, Reader, Source, Traits, fetch_manifest, from_store


class View:
    """A store to be copied from, as it was found when it was looked at: what a tag names does not change meanwhile.

    Args:
        store: has the content.
        name: what it is called in messages.
        found: what each of its tags names, or why that is not known.
        others: tags that are not copied as such, and by which what refers to others is found; by their names in the
            store.
        beside: a store that may have some of the manifests already: they are read there.
        lacks_referrers: says of a manifest whether it is known that nothing refers to it.
    """

    def __init__(
        self,
        store: Readable,
        name: str,
        found: dict[str, Descriptor | LadingError],
        *,
        others: Mapping[str, str] | None = None,
        beside: Readable | None = None,
        lacks_referrers: Callable[[Digest], bool] | None = None,
    ) -> None:
        self.store = store
        self.name = name
        self.found = found
        self.others: Mapping[str, str] = others or {}
        self._beside = beside
        self._lacks_referrers = lacks_referrers

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
        if self._beside is not None and ":" in name:
            try:
                return await fetch_manifest(self._beside, name, limit)
            except LadingError:
                pass  # it is not there, or damaged
        return await fetch_manifest(self.store, name, limit)

    def open(self, content: Descriptor) -> AbstractAsyncContextManager[Reader]:
        """Read a manifest or blob; it is verified while it streams."""
        return self.store.open(content)

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
        if self._lacks_referrers is None or not self._lacks_referrers(subject.digest):
            async for referrer in self.store.referrers(subject, artifact_type):
                yield referrer
