"""What lint looks at: a manifest with everything under it, read from any store, many requests at once.

This module reads; it judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from lading.errors import InvalidContent, NotFound
from lading.images.platforms import image_config
from lading.io.tasks import Once, gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import INDEXES, MANIFESTS, is_foreign_layer
from lading.model.platform import Platform
from lading.model.text import excerpt
from lading.store import AnyManifest, Readable, fetch_manifest

READ_LIMIT = 64 * 1024 * 1024
"""How large a manifest may be to be looked at, in bytes: more than registries take, which is then a finding."""

_DEPTH_LIMIT = 16


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


StoreOf = Callable[[int], Readable]
"""Where the entry at a position is; -1 for the manifest itself."""


async def gather_facts(
    name: str,
    manifest: AnyManifest,
    store_of: StoreOf,
    *,
    names: Sequence[str] = (),
    against: tuple[str, tuple[Platform, ...]] | None = None,
) -> Facts:
    """Read all that is under a manifest; each blob is asked for once.

    Args:
        name: what to call it.
        manifest: an image or an index.
        store_of: where its content is.
        names: what its entries are called, where they are in a registry or a draft.
        against: what to compare it with, and the platforms of that.
    """
    reader = _Reader()
    if isinstance(manifest, Index):
        entries = enumerate(manifest.manifests)
        parts = await gather(reader.part(store_of(at), entry, at, 1) for at, entry in entries)
    else:
        parts = [await reader.read(store_of(-1), Part(entry=manifest.descriptor, manifest=manifest), 1)]
    return Facts(
        name=name,
        manifest=manifest,
        parts=tuple(parts),
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


class _Reader:
    """Reads parts; what several of them share is read once."""

    def __init__(self) -> None:
        self._once = Once()
        self._present: dict[tuple[str, Digest], bool] = {}

    async def part(self, store: Readable, entry: Descriptor, position: int, depth: int) -> Part:
        part = Part(entry=entry, position=position)
        if entry.media_type and entry.media_type not in MANIFESTS:
            # Whatever it is, clients do not read it either; that it is there can be seen all the same.
            there = await store.contains(entry.content)
            return msgspec.structs.replace(part, state="unread" if there else "missing")
        try:
            # Without its size: that one does not fit is a finding, and no reason to stop.
            manifest = await fetch_manifest(store, str(entry.digest), READ_LIMIT)
        except NotFound:
            # A layout finds by its digest only what it can read.
            there = await store.contains(entry.content)
            return msgspec.structs.replace(part, state="it is no manifest" if there else "missing")
        except InvalidContent as error:
            return msgspec.structs.replace(part, state=error.cause or str(error))
        return await self.read(store, msgspec.structs.replace(part, manifest=manifest), depth)

    async def read(self, store: Readable, part: Part, depth: int) -> Part:
        manifest = part.manifest
        if isinstance(manifest, Index):
            if depth >= _DEPTH_LIMIT:
                return msgspec.structs.replace(part, state=f"lists are nested more than {_DEPTH_LIMIT} deep")
            entries = enumerate(manifest.manifests)
            parts = await gather(self.part(store, entry, at, depth + 1) for at, entry in entries)
            return msgspec.structs.replace(part, parts=tuple(parts))
        assert isinstance(manifest, Manifest)
        blobs = [blob for blob in dict.fromkeys(manifest.children) if not _is_elsewhere(blob)]
        there = await gather(self._is_there(store, blob) for blob in blobs)
        missing = tuple(blob for blob, is_there in zip(blobs, there, strict=True) if not is_there)
        config = None
        if manifest.config is not None and manifest.config not in missing:
            try:
                config = await image_config(store, manifest)
            except InvalidContent as error:
                part = msgspec.structs.replace(part, state=f"its config: {error.cause or error}")
            except NotFound:
                missing = (manifest.config, *missing)
        return msgspec.structs.replace(part, config=config, missing=missing)

    async def _is_there(self, store: Readable, blob: Descriptor) -> bool:
        key = (store.name, blob.digest)

        async def ask() -> None:
            self._present[key] = await store.contains(blob.content)

        await self._once.do(key, ask)
        return self._present[key]


def _is_elsewhere(blob: Descriptor) -> bool:
    return bool(blob.urls) or is_foreign_layer(blob.media_type) or bool(blob.data)
