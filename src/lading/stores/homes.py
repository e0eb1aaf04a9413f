"""Content of several stores as one: each manifest is read from its home, and so is all that it leads to.

This module knows stores, and neither which ones nor what is made of the content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lading.errors import NotFound
from lading.model.descriptor import Descriptor
from lading.model.encoding import SIZE_LIMIT
from lading.model.manifest import parse
from lading.model.tags import subject_of
from lading.store import (
    AnyManifest,
    Readable,
    Reader,
    Source,
    Stored,
    Traits,
    fetch_manifest,
    from_bytes,
    from_store,
    is_manifest,
    read,
)

Opens = Callable[[], Awaitable[Readable]]
"""Opens a store when something is read of it."""


class _Home:
    """Where a manifest is, and what it leads to."""

    def __init__(self, store: Readable | Opens, title: str) -> None:
        self.title = title
        self._opens: Opens | None = None if isinstance(store, Readable) else store
        self.opened: Readable | None = store if isinstance(store, Readable) else None

    async def open(self, opening: asyncio.Lock) -> Readable:
        async with opening:
            if self.opened is None:
                assert self._opens is not None
                self.opened = await self._opens()
        return self.opened


class Homes:
    """A store of what is in other stores; nothing is written to it.

    Args:
        name: what it is called in messages.
    """

    traits: Traits = Traits(is_remote=True)

    def __init__(self, name: str) -> None:
        self.name = name
        self._homes: dict[str, _Home] = {}
        """By digest; of what a manifest leads to, too, once the manifest was read."""
        self._contents: dict[str, Descriptor] = {}
        self._read: dict[str, AnyManifest] = {}
        self._opening = asyncio.Lock()

    def add(
        self,
        content: Descriptor,
        home: Readable | Opens,
        *,
        manifest: AnyManifest | None = None,
        title: str = "",
    ) -> None:
        """Say where a manifest is; what was said of it before counts.

        Args:
            content: its descriptor.
            home: the store that has it, or what opens that store.
            manifest: the manifest, where it was read.
            title: what it is called in messages; by default what the store is called, with the digest.
        """
        self._contents.setdefault(content.digest, content.content)
        there = self._homes.setdefault(content.digest, _Home(home, title))
        if manifest is not None and manifest.digest == content.digest:
            self._keep(manifest, there)

    def home_of(self, content: Descriptor) -> Readable | None:
        """The store that has it, as far as that is known and open."""
        home = self._homes.get(content.digest)
        return home.opened if home is not None else None

    async def resolve(self, name: str) -> Descriptor:
        """A manifest that was added, by its digest; or what a tag names that is made of the digest, as cosign makes it.

        Raises:
            NotFound: there is none.
        """
        content = self._contents.get(name)
        if content is None and subject_of(name) is not None:
            home = self._home(name)
            content = await (await home.open(self._opening)).resolve(name)
            self._homes.setdefault(content.digest, home)
        if content is None:
            raise NotFound(f"{self.name} has no entry {name}")
        return content

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """A manifest that was added, or one that such a manifest lists; or what a tag names: see `resolve`.

        Raises:
            NotFound: it is not there, or no manifest.
        """
        known = self._read.get(name)
        if known is not None:
            return known
        home = self._home(name)
        manifest = await fetch_manifest(await home.open(self._opening), name, limit)
        self._keep(manifest, home)
        return manifest

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest, or a blob of one that was read before.

        Raises:
            NotFound: it is not there.
        """
        home = self._home(content.digest)
        if is_manifest(content):
            known = self._read.get(content.digest)
            raw = known.raw if known is not None else await read(await home.open(self._opening), content)
            if known is None:
                what = home.title or f"{self.name}@{content.digest}"
                self._keep(parse(raw, content.media_type, digest=content.digest, what=what), home)
            yield Reader(content, from_bytes(raw)())
        else:
            async with (await home.open(self._opening)).open(content) as reader:
                yield reader

    def source(self, content: Descriptor) -> Source:
        """A manifest that was added, or content of one that was read before, as a source of the store that has it."""
        home = self._home(content.digest)
        return from_store(home.opened, content) if home.opened is not None else Stored(self, content)

    async def contains(self, content: Descriptor) -> bool:
        """Whether it is known of."""
        return content.digest in self._homes

    async def tags(self) -> AsyncIterator[str]:
        """The tags that are made of the digests of what was added, as cosign makes them; nothing else has a name."""
        opened = {id(home.opened): home.opened for home in self._homes.values() if home.opened is not None}
        for store in opened.values():
            async for tag in store.tags():
                subject = subject_of(tag)
                if subject in self._contents and self._homes[subject].opened is store:
                    yield tag

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """What refers to a manifest in the store that has it; and has its home there, too."""
        home = self._homes.get(subject.digest)
        if home is None:
            return
        async for referrer in (await home.open(self._opening)).referrers(subject, artifact_type):
            self._homes.setdefault(referrer.digest, home)
            yield referrer

    def _home(self, name: str) -> _Home:
        home = self._homes.get(name) or self._homes.get(subject_of(name) or "")
        if home is None:
            raise NotFound(f"{self.name} does not have {name}")
        return home

    def _keep(self, manifest: AnyManifest, home: _Home) -> None:
        self._read[manifest.digest] = manifest
        for child in manifest.children:
            self._homes.setdefault(child.digest, home)
