"""Which entries images and indexes give to another index, or to a draft of one.

This module reads stores of any kind, and does not know what is made of the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Self

import msgspec

from lading.arguments import several
from lading.errors import InvalidContent, NotFound
from lading.images.platforms import platforms_in_configs
from lading.io.tasks import Once, gather
from lading.model.descriptor import EMPTY, Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGES, INDEXES
from lading.model.platform import Platform
from lading.model.text import excerpt
from lading.store import AnyManifest, Readable, may_be_manifest, read_config
from lading.walk import Walk


class IndexFilter(msgspec.Struct, frozen=True):
    """Which children of an index become entries."""

    platforms: tuple[Platform, ...] = ()
    """The platforms whose images are wanted; empty for all."""
    attestations: bool = True
    """Whether the attestations of these images are wanted, too."""

    @classmethod
    def of(cls, platforms: Iterable[Platform | str] | Platform | str, attestations: bool) -> Self:
        """A filter for these platforms, or their texts such as `linux/arm64`.

        Raises:
            InvalidPlatform: a text is not a platform.
        """
        parsed = (Platform.parse(wanted) if isinstance(wanted, str) else wanted for wanted in several(platforms))
        return cls(tuple(parsed), attestations)

    def children(self, index: Index, known: Mapping[Digest, Platform] | None = None) -> tuple[Descriptor, ...]:
        """The children that are wanted, and all nested indexes: what those hold is known when they are read.

        Args:
            index: what lists them.
            known: the platforms of entries that say none.
        """
        chosen = index.manifests
        if self.platforms:
            wanted = {id(child) for child in index.select(self.platforms, attestations=self.attestations, known=known)}
            chosen = tuple(child for child in chosen if id(child) in wanted or child.media_type in INDEXES)
        return chosen if self.attestations else tuple(child for child in chosen if not is_attestation(child))

    def check(self, entries: Iterable[Descriptor], seen: Iterable[Platform] = ()) -> None:
        """Refuse a platform that nothing was found for.

        Args:
            entries: those that were found.
            seen: the platforms that there are besides.

        Raises:
            NotFound: none of the entries is an image for one of the platforms.
        """
        found = tuple(entry.platform for entry in entries if entry.platform and not attested(entry))
        for wanted in self.platforms:
            if not any(platform.satisfies(wanted) for platform in found):
                there = ", ".join(dict.fromkeys(str(platform) for platform in (*found, *seen)))
                raise NotFound(f"no source has an image for {wanted}", cause=f"there are {there}" if there else None)


class GivenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that a source gives."""

    descriptor: Descriptor
    """What an index says about it."""
    manifest: AnyManifest | None = None
    """Its manifest; None where it was not read, or is none."""
    document: Document | None = None
    """The descriptor as the source lists it, in its order; None where the source does not list it so."""


class Flattening:
    """Takes the entries out of indexes, and out of indexes within them.

    Args:
        wanted: what to take of an index.
        known: gives a manifest that need not be read; None for what is not known.
        whole: whether the manifest of each entry is read, and what is no manifest left out; else a manifest is read
            only where it says what the index does not.
    """

    def __init__(
        self,
        wanted: IndexFilter,
        known: Callable[[Digest], AnyManifest | None] = lambda _: None,
        *,
        whole: bool = False,
    ) -> None:
        self._wanted = wanted
        self._known = known
        self._whole = whole
        self._once = Once()
        self.warnings: list[str] = []
        """What was left out."""
        self.platforms: list[Platform] = []
        """Those of all images that were seen, whether they are wanted or not."""

    async def entries(self, store: Readable, index: Index, walk: Walk, depth: int = 1) -> tuple[GivenEntry, ...]:
        """The entries of an index and of the indexes within it; what is listed twice is there twice.

        Args:
            store: where they are.
            index: what lists them.
            walk: what they are read with.
            depth: how many levels they are below the source.

        Raises:
            NotFound: a child that has to be read is not there.
            InvalidContent: the index is nested too deeply, or lists too much.
        """
        known = await platforms_in_configs(store, index, self._wanted.platforms, walk)
        children = self._wanted.children(index, known)
        walk.enter(children, depth)
        self.platforms += [entry.platform for entry in index.images if entry.platform is not None]
        documents = index.document.get("manifests") or []
        spelled = {id(child): document for child, document in zip(index.manifests, documents, strict=True)}
        found = await gather(self._below(store, child, spelled[id(child)], walk, depth) for child in children)
        # What several entries lead to is the same tuple.
        return tuple(entry for entries in {id(each): each for each in found}.values() for entry in entries)

    async def _below(
        self, store: Readable, child: Descriptor, document: Document, walk: Walk, depth: int
    ) -> tuple[GivenEntry, ...]:
        if not self._is_read(child):
            return (GivenEntry(descriptor=child, document=document),)
        manifest = await fetch_child(walk, store, child, self._known(child.digest))
        if manifest is None:
            if not self._whole:
                return (GivenEntry(descriptor=child, document=document),)
            kind = excerpt(child.media_type) or "of no media type"
            self.warnings.append(f"{walk.name} lists {child.digest.short}, which is no manifest ({kind}): left out")
            return ()
        said = child
        child = msgspec.structs.replace(child, media_type=child.media_type or manifest.media_type)
        if isinstance(manifest, Index):
            work = partial(self.entries, store, manifest, walk, depth + 1)
            return await self._once.do((walk, manifest.digest), work)
        if child.platform is None and manifest.is_image:
            platform = await self._once.do((store.name, child.digest), partial(platform_of, store, manifest))
            child = msgspec.structs.replace(child, platform=platform)
        same = child is said or child == said
        return (GivenEntry(descriptor=child, manifest=manifest, document=document if same else None),)

    def _is_read(self, child: Descriptor) -> bool:
        if self._whole or not child.media_type or child.media_type in INDEXES:
            return True
        return child.media_type in IMAGES and child.platform is None and not child.artifact_type


async def fetch_child(
    walk: Walk, store: Readable, child: Descriptor, known: AnyManifest | None = None
) -> AnyManifest | None:
    """A child of an index, from its store or as it is known already; None for what is no manifest.

    Args:
        walk: what it is read with.
        store: where it is.
        child: its entry in the index.
        known: the manifest, where it need not be read.

    Raises:
        NotFound: the index lists it, but the store does not have it.
        InvalidContent: it is said to be a manifest, and is none.
    """
    if not may_be_manifest(child):
        return None
    if known is not None:
        return known
    try:
        return await walk.fetch(store, child.content)
    except NotFound as error:
        if not child.media_type and await walk.contains(store, child.content):
            return None
        raise NotFound(
            f"{store.name} lists {child.digest}"
            + (f" for {child.platform}" if child.platform else "")
            + ", but does not have it",
            remedy="choose the platforms that are there",
            code="child-missing",
            fields={"store": store.name, "digest": str(child.digest), "platform": str(child.platform or "")},
            status=error.status,
            registry_code=error.registry_code,
        ) from error


async def platform_of(store: Readable, manifest: Manifest) -> Platform:
    """What the config says of the platform; nothing, where an artifact has a config of its own kind."""
    if manifest.config is not None and manifest.config.digest == EMPTY.digest:
        return Platform()
    try:
        found = await read_config(store, manifest)
    except InvalidContent:
        if manifest.is_image:
            raise
        return Platform()
    return found.platform if found is not None else Platform()


def described(manifest: Manifest, platform: Platform) -> Descriptor:
    """What a list says about a manifest that is for this platform."""
    return msgspec.structs.replace(manifest.descriptor, platform=platform)


def check_lists_manifests(index: Index, what: str) -> None:
    """Refuse an index in which nothing is a manifest.

    Args:
        index: the index.
        what: what it is called in messages.

    Raises:
        InvalidContent: it is one.
    """
    if index.manifests and not any(map(may_be_manifest, index.manifests)):
        kinds = dict.fromkeys(excerpt(entry.media_type) for entry in index.manifests)
        raise InvalidContent(
            f"{what} lists nothing that is a manifest", cause=f"what it lists is {', '.join([*kinds][:3])}"
        )
