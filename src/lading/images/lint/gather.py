"""What lint looks at: a manifest with everything under it, read from any store, many requests at once.

This module reads; it judges nothing.
"""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import msgspec

from lading.errors import InvalidContent, NotFound
from lading.images.platforms import image_config
from lading.io.tasks import Once, gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import INDEXES, is_foreign_layer
from lading.model.platform import Platform
from lading.model.reach import DEEP, LARGE, visit
from lading.model.text import excerpt
from lading.store import AnyManifest, Readable, may_be_manifest
from lading.walk import Walk

_AT_ONCE = 64
TOO_LARGE = "it is too large"
"""The state of what has more bytes than lading reads of a manifest."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an index with what it leads to; or an image, which is its own only part."""

    entry: Descriptor
    position: int = 0
    """In the list, from 0."""
    manifest: AnyManifest | None = None
    """None where it is missing, unreadable, or was not read."""
    state: str = "present"
    """`present`, `missing` (the store has no such manifest), `unread` (not asked for), or what makes it unreadable."""
    config: ImageConfig | None = None
    missing: tuple[Descriptor, ...] = ()
    """Its blobs that the store does not have."""
    parts: tuple[Part, ...] = ()
    """Of a nested index."""

    def __repr__(self) -> str:
        """Such as `<Part <Descriptor …> missing>`."""
        return f"<Part {self.entry} {excerpt(self.state)}>"

    @property
    def platform(self) -> Platform | None:
        """What the list says; None where it says nothing."""
        found = self.entry.platform
        return found if found is not None and found != Platform() else None

    @property
    def is_attestation(self) -> bool:
        """Whether it attests to another entry."""
        return is_attestation(self.entry)

    @property
    def is_artifact(self) -> bool:
        """Whether it is known to be no image."""
        if self.entry.artifact_type or self.is_attestation:
            return True
        return isinstance(self.manifest, Manifest) and not self.manifest.is_image

    @property
    def is_nested(self) -> bool:
        """Whether it is an index itself."""
        return self.entry.media_type in INDEXES or isinstance(self.manifest, Index)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the rules are asked about."""

    name: str
    """What it is called in findings."""
    manifest: AnyManifest
    parts: tuple[Part, ...]
    names: tuple[str, ...] = ()
    """What the entries are called, in their order: in a registry by digest, in a draft as they were named."""
    against: str | None = None
    """The name of what it is compared with."""
    expected: tuple[Platform, ...] = ()
    """The platforms that has."""

    def __repr__(self) -> str:
        """Such as `<Facts localhost:5000/app:1.0 <Index …>>`."""
        return f"<Facts {self.name} {self.manifest}>"

    @property
    def images(self) -> tuple[Part, ...]:
        """The parts that are images or may be."""
        return tuple(part for part in self.parts if not part.is_attestation)


def each_once(parts: Iterable[Part], seen: set[Digest] | None = None) -> Iterator[Part]:
    """The parts and all that is within them; a list that several of them are is gone into once.

    Args:
        parts: some entries of a list.
        seen: the lists that were gone into before; those that are gone into now are added.
    """
    return visit(parts, lambda part: part.entry.digest, lambda part, _: part.parts, entered=seen)


OnPart = Callable[[Part, bool], None]
"""Is told of a part as soon as it is read, and whether it is an entry of the list itself, not of one within it."""
OnProgress = Callable[[int, int], None]
"""Is told how many entries have been read, and of how many that are known by now."""
StoreOf = Callable[[int], Readable]
"""Where the entry at a position is; -1 for the manifest itself."""


async def gather_facts(
    name: str,
    manifest: AnyManifest,
    store_of: StoreOf,
    *,
    names: Sequence[str] = (),
    against: tuple[str, tuple[Platform, ...]] | None = None,
    on_part: OnPart | None = None,
    on_progress: OnProgress | None = None,
) -> Facts:
    """Read all that is under a manifest; each manifest is read once, and each blob is asked for once.

    Args:
        name: what to call it.
        manifest: an image or an index.
        store_of: where its content is.
        names: what its entries are called, where they are in a registry or a draft.
        against: what to compare it with, and the platforms of that.
        on_part: is told of each part of an index, in the order in which they are read.
        on_progress: is told how far it is with them.

    Raises:
        InvalidContent: there is more than a walk follows.
    """
    reader = _Reader(name, on_part, on_progress)
    if isinstance(manifest, Index):
        parts = await reader.parts(manifest, store_of, 1)
    else:
        parts = ((await reader.read(store_of(-1), manifest, 1)).as_part(manifest.descriptor),)
    return Facts(
        name=name,
        manifest=manifest,
        parts=parts,
        names=tuple(names),
        against=against[0] if against else None,
        expected=against[1] if against else (),
    )


def listed_facts(name: str, index: Index) -> Facts:
    """What an index alone says, with nothing read: enough for the rules about entries and platforms."""
    parts = tuple(Part(entry=entry, position=at, state="unread") for at, entry in enumerate(index.manifests))
    return Facts(name=name, manifest=index, parts=parts)


async def platforms_of(store: Readable, manifest: AnyManifest) -> tuple[Platform, ...]:
    """The platforms that a manifest has images for."""
    if isinstance(manifest, Index):
        said = (entry.platform for entry in manifest.images)
        return tuple(platform for platform in said if platform is not None and platform.os not in ("", "unknown"))
    config = await image_config(store, manifest)
    return (config.platform,) if config is not None else ()


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry leads to, wherever that is listed; see `Part` for the fields."""

    manifest: AnyManifest | None = None
    state: str = "present"
    config: ImageConfig | None = None
    missing: tuple[Descriptor, ...] = ()
    parts: tuple[Part, ...] = ()

    def as_part(self, entry: Descriptor, position: int = 0) -> Part:
        """The part that it is as one entry of a list."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return Part(entry=entry, position=position, **fields)


class _Reader:
    """Reads parts; what several entries lead to is read once.

    Args:
        name: what the manifest that is looked at is called.
        on_part: is told of each entry of an index.
        on_progress: is told how far it is.
    """

    def __init__(self, name: str, on_part: OnPart | None, on_progress: OnProgress | None) -> None:
        self._walk = Walk(name)
        self._once = Once()
        self._on_part = on_part
        self._on_progress = on_progress
        self._listed = 0
        self._read = 0
        # Each image is read whole before the last ones are begun, so that what is wrong with it is told early.
        self._places = Semaphore(_AT_ONCE)

    async def parts(self, index: Index, store_of: StoreOf, depth: int) -> tuple[Part, ...]:
        """The entries of an index, which are `depth` levels below the beginning."""
        self._walk.enter(filter(may_be_manifest, index.manifests), depth)
        self._listed += len(index.manifests)
        self._tell_progress()

        async def part(at: int, entry: Descriptor) -> Part:
            found = (await self._found(store_of(at), entry, depth)).as_part(entry, at)
            self._read += 1
            if self._on_part is not None:
                self._on_part(found, depth == 1)
            self._tell_progress()
            return found

        return tuple(await gather(part(at, entry) for at, entry in enumerate(index.manifests)))

    def _tell_progress(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._read, self._listed)

    async def read(self, store: Readable, manifest: AnyManifest, depth: int) -> _Found:
        """A manifest with what is under it."""
        if isinstance(manifest, Index):
            try:
                parts = await self.parts(manifest, lambda _: store, depth + 1)
            except InvalidContent as error:
                if error.code != DEEP:
                    raise
                return _Found(manifest=manifest, state=str(error.cause))
            return _Found(manifest=manifest, parts=parts)
        return await self._image(store, manifest)

    async def _image(self, store: Readable, manifest: Manifest) -> _Found:
        blobs = [blob for blob in dict.fromkeys(manifest.children) if not _is_elsewhere(blob)]
        there = await gather(self._is_there(store, blob.content) for blob in blobs)
        missing = tuple(blob for blob, is_there in zip(blobs, there, strict=True) if not is_there)
        config, state = None, "present"
        if manifest.config is not None and manifest.config not in missing:
            try:
                reading = partial(image_config, store, manifest)
                config = await self._once.do((store.name, manifest.config.digest, "config"), reading)
            except InvalidContent as error:
                state = f"its config: {error.cause or error}"
            except NotFound:
                missing = (manifest.config, *missing)
        return _Found(manifest=manifest, state=state, config=config, missing=missing)

    async def _found(self, store: Readable, entry: Descriptor, depth: int) -> _Found:
        content = entry.content
        key = (store.name, content.digest, content.size, content.media_type)
        return await self._once.do(key, lambda: self._look(store, content, depth))

    async def _look(self, store: Readable, content: Descriptor, depth: int) -> _Found:
        async with self._places:
            manifest = await self._fetched(store, content)
            if isinstance(manifest, _Found):
                return manifest
            if isinstance(manifest, Manifest):
                return await self._image(store, manifest)
        return await self.read(store, manifest, depth)  # without a place, which the entries of a list need

    async def _fetched(self, store: Readable, content: Descriptor) -> AnyManifest | _Found:
        """The manifest of an entry; or what was found instead."""
        if not may_be_manifest(content):
            # Whatever it is, clients do not read it either; that it is there can be seen all the same.
            return _Found(state="unread" if await self._is_there(store, content) else "missing")
        try:
            # Without its size: that one does not fit is a finding, and no reason to stop.
            return await self._walk.fetch(store, content.digest)
        except NotFound:
            # A layout finds by its digest only what it can read.
            return _Found(state="it is no manifest" if await self._is_there(store, content) else "missing")
        except InvalidContent as error:
            if error.code == LARGE:
                raise
            return _Found(state=TOO_LARGE if error.code == "too-large" else error.cause or str(error))

    async def _is_there(self, store: Readable, content: Descriptor) -> bool:
        return await self._once.do((store.name, content.digest), lambda: store.contains(content))


def _is_elsewhere(blob: Descriptor) -> bool:
    return bool(blob.urls) or is_foreign_layer(blob.media_type) or bool(blob.data)
