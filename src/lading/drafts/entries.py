"""Finding the entries that images and indexes give, in registries or any other store.

This module reads stores of any kind, and does not know how drafts are kept or pushed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

import msgspec

from lading.arguments import several
from lading.drafts.docker_files import embed, with_files
from lading.drafts.draft import Draft, DraftEntry
from lading.errors import InvalidContent, LadingError, NotFound, UsageError
from lading.io.tasks import Once, gather
from lading.model.descriptor import EMPTY, Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest, parse
from lading.model.media_types import INDEXES
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.model.text import excerpt
from lading.store import AnyManifest, Connect, Readable, fetch_manifest, may_be_manifest, read_config
from lading.stores.location import Location, registry_reference
from lading.stores.opening import fetch_location, open_to_read
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

    def children(self, index: Index) -> tuple[Descriptor, ...]:
        """The children that are wanted, and all nested indexes: what those hold is known when they are read."""
        chosen = index.manifests
        if self.platforms:
            wanted = {id(child) for child in index.select(self.platforms, attestations=self.attestations)}
            chosen = tuple(child for child in chosen if id(child) in wanted or child.media_type in INDEXES)
        return chosen if self.attestations else tuple(child for child in chosen if not is_attestation(child))

    def check(self, entries: Iterable[DraftEntry]) -> None:
        """Refuse a platform that nothing was found for.

        Raises:
            NotFound: none of the entries is an image for one of the platforms.
        """
        found = tuple(entry.platform for entry in entries if entry.platform and not attested(entry.descriptor))
        for wanted in self.platforms:
            if not any(platform.satisfies(wanted) for platform in found):
                there = ", ".join(dict.fromkeys(str(platform) for platform in found))
                raise NotFound(f"no source has an image for {wanted}", cause=f"there are {there}" if there else None)


class EntryFinder:
    """Finds the entries that images and indexes give.

    Args:
        connect: gives the store of a reference.
        before: the draft as it is; its manifests are not fetched again.
    """

    def __init__(self, connect: Connect, before: Draft | None) -> None:
        self._connect = connect
        self._stores: dict[str, Readable] = {}
        self._before = before.entries if before is not None else ()
        self._known = {entry.digest: entry for entry in self._before if entry.raw}
        self._once = Once()
        self.warnings: list[str] = []
        """Which sources could not be looked up again."""
        self.recalled: dict[Digest, Descriptor] = {}
        """What the registry says of manifests whose entries in the draft have no `found`, by digest."""

    async def find_all(
        self, sources: Sequence[Location], target: Reference, wanted: IndexFilter, *, again: Sequence[Reference] = ()
    ) -> dict[Reference, tuple[DraftEntry, ...] | None]:
        """The entries that each source gives: one for an image, any number for an index.

        Args:
            sources: images and indexes, in any store.
            target: the draft's name. A manifest that is not in a registry has the reference that it will have after
                the push: its digest, in the draft's repository.
            wanted: what to take of an index.
            again: sources that the draft has entries of. They are looked up for the same platforms.

        Returns:
            The entries by the reference of their source; None, and a warning in `warnings`, for one of `again` that
            could not be looked up.

        Raises:
            NotFound: a source, or a child of it, is not there, or none has an image for one of the platforms.
            InvalidContent: a source is no image and no index, or lists no manifest at all.
            UsageError: a source is standard input, which the push could not read again.
        """
        work = [self._find_again(source) for source in again]
        work += [self._find(source, target, wanted) for source in sources]
        found = dict(await gather(work))
        wanted.check(entry for source, entries in found.items() if source not in again for entry in entries or ())
        return found

    async def _find(
        self, source: Location, target: Reference, wanted: IndexFilter
    ) -> tuple[Reference, tuple[DraftEntry, ...] | None]:
        if source.is_registry:
            reference = registry_reference(source)
            return reference, await self._in_registry(reference, wanted)
        if source.is_stream:
            raise UsageError(f"{source} is read once, and a list is pushed later", remedy="copy it to a layout first")
        async with open_to_read(source) as store:
            manifest = await fetch_location(store, source)
            reference = target.with_digest(manifest.digest)
            entries = await self._entries_of(reference, store, manifest, wanted, str(source))
        where = str(source.absolute())
        return reference, tuple(msgspec.structs.replace(entry, location=where) for entry in entries)

    async def _find_again(self, source: Reference) -> tuple[Reference, tuple[DraftEntry, ...] | None]:
        entries = [entry for entry in self._before if source in (entry.source, entry.reference)]
        platforms = tuple(entry.found_platform for entry in entries if not is_attestation(entry.descriptor))
        wanted = IndexFilter(platforms, any(is_attestation(entry.descriptor) for entry in entries))
        try:
            return source, await self._in_registry(source, wanted)
        except LadingError as error:
            why = "is no longer there" if isinstance(error, NotFound) else f"could not be looked up ({error})"
            self.warnings.append(f"{source} {why}: its entry stays at {entries[0].digest.short}")
            return source, None

    async def _in_registry(self, source: Reference, wanted: IndexFilter) -> tuple[DraftEntry, ...]:
        if source.name not in self._stores:
            self._stores[source.name] = self._connect(source)
        store = self._stores[source.name]
        return await self._entries_of(source, store, await fetch_manifest(store, source.locator), wanted, str(source))

    async def _entries_of(
        self, source: Reference, store: Readable, manifest: AnyManifest, wanted: IndexFilter, what: str
    ) -> tuple[DraftEntry, ...]:
        """The entries that a manifest gives, which is called `what`."""
        if isinstance(manifest, Index):
            found = await self._flatten(source, store, manifest, wanted, Walk(what), 1)
            if not found and manifest.manifests and not any(map(may_be_manifest, manifest.manifests)):
                raise InvalidContent(f"{what} lists nothing that is a manifest", cause=_types(manifest))
            return with_files(found)
        known = self._known.get(manifest.digest)
        if known is not None and known.reference == source:
            return (known,)
        platform, _ = await gather((platform_of(store, manifest), self._recall(source, store)))
        return (entry_of(source, described(manifest, platform or Platform()), manifest),)

    async def _flatten(
        self, source: Reference, store: Readable, index: Index, wanted: IndexFilter, walk: Walk, depth: int
    ) -> tuple[DraftEntry, ...]:
        """The entries of an index and of the indexes within it, each once: a list that is pushed holds images only.

        Args:
            source: what the entries are of.
            store: where they are.
            index: what lists them.
            wanted: what to take of it.
            walk: what they are read with.
            depth: how many levels they are below the source.
        """
        children = wanted.children(index)
        walk.enter(children, depth)

        async def entries_of(child: Descriptor) -> tuple[DraftEntry, ...]:
            manifest = await fetch_child(walk, store, child, self._known.get(child.digest))
            if manifest is None:
                kind = excerpt(child.media_type) or "of no media type"
                self.warnings.append(f"{walk.name} lists {child.digest.short}, which is no manifest ({kind}): left out")
                return ()
            child = msgspec.structs.replace(child, media_type=child.media_type or manifest.media_type)
            if isinstance(manifest, Index):
                work = partial(self._flatten, source, store, manifest, wanted, walk, depth + 1)
                return await self._once.do((source, manifest.digest), work)
            if child.platform is None and manifest.is_image:
                reading = partial(platform_of, store, manifest)
                child = msgspec.structs.replace(
                    child, platform=await self._once.do((store.name, child.digest), reading)
                )
            return (entry_of(source.with_digest(child.digest), child, manifest, source=source, listed=True),)

        found = await gather(entries_of(child) for child in children)
        # What several entries lead to is the same tuple.
        return distinct_entries(entry for entries in {id(each): each for each in found}.values() for entry in entries)

    async def _recall(self, source: Reference, store: Readable) -> None:
        """Find out what Docker found before it annotated: what differs from that was set by hand, and is to stay."""
        for entry in self._before:
            if entry.reference == source and entry.found is None and entry.raw:
                manifest = parse(entry.raw, entry.descriptor.media_type, digest=entry.digest)
                with suppress(LadingError):
                    if isinstance(manifest, Manifest):
                        self.recalled[entry.digest] = described(manifest, await platform_of(store, manifest))


def tagged(draft: Draft | None) -> list[Reference]:
    """The sources of a draft that are named by a tag, and may be another manifest by now; none where it is None."""
    entries = draft.entries if draft is not None else ()
    sources = dict.fromkeys(entry.source or entry.reference for entry in entries)
    return [source for source in sources if source.digest is None]


async def fetch_child(
    walk: Walk, store: Readable, child: Descriptor, known: DraftEntry | None = None
) -> AnyManifest | None:
    """A child of an index, from the registry or from what a draft has of it already; None for what is no manifest.

    Args:
        walk: what it is read with.
        store: where it is.
        child: its entry in the index.
        known: what a draft has of it.

    Raises:
        NotFound: the index lists it, but the registry does not have it.
        InvalidContent: it is said to be a manifest, and is none.
    """
    if not may_be_manifest(child):
        return None
    if known is not None and known.raw:
        return parse(known.raw, child.media_type, digest=child.digest)
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


def entry_of(
    reference: Reference,
    descriptor: Descriptor,
    manifest: AnyManifest | None,
    *,
    source: Reference | None = None,
    listed: bool = False,
) -> DraftEntry:
    """The entry of a manifest that was just found; see `DraftEntry` for the arguments."""
    return DraftEntry(
        reference=reference,
        descriptor=descriptor,
        raw=manifest.raw if manifest is not None else None,
        embedded=embed(manifest.raw, descriptor.media_type) if manifest is not None else b"",
        found=descriptor,
        source=source,
        listed=listed,
    )


def _types(index: Index) -> str:
    """What kinds of things an index lists."""
    kinds = dict.fromkeys(excerpt(entry.media_type) for entry in index.manifests)
    return f"what it lists is {', '.join([*kinds][:3])}"


def distinct_entries(entries: Iterable[DraftEntry]) -> tuple[DraftEntry, ...]:
    """Entries without repetitions."""
    distinct: dict[tuple[Reference, bytes], DraftEntry] = {}
    for entry in entries:
        distinct.setdefault((entry.reference, entry.descriptor.to_json()), entry)
    return tuple(distinct.values())
