"""Finding the entries that images and indexes give, in registries or any other store.

This module reads stores of any kind, and does not know how drafts are kept or pushed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from lading.drafts.docker_files import embed, with_files
from lading.drafts.draft import Draft, DraftEntry
from lading.errors import LadingError, NotFound, UsageError
from lading.images.indexes.entries import Flattening, IndexFilter, check_lists_manifests, described, platform_of
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest, parse
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import AnyManifest, Connect, Readable, fetch_manifest
from lading.stores.location import Location, registry_reference
from lading.stores.opening import fetch_location, open_to_read
from lading.walk import Walk


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
        self._seen: list[Platform] = []
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
        named = (entries or () for source, entries in found.items() if source not in again)
        wanted.check((entry.descriptor for entries in named for entry in entries), self._seen)
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
            found = await self._flatten(source, store, manifest, wanted, what)
            if not found:
                check_lists_manifests(manifest, what)
            return with_files(found)
        known = self._known.get(manifest.digest)
        if known is not None and known.reference == source:
            return (known,)
        platform, _ = await gather((platform_of(store, manifest), self._recall(source, store)))
        return (entry_of(source, described(manifest, platform or Platform()), manifest),)

    async def _flatten(
        self, source: Reference, store: Readable, index: Index, wanted: IndexFilter, what: str
    ) -> tuple[DraftEntry, ...]:
        """The entries of an index and of the indexes within it, each once: a list that is pushed holds images only."""

        def known(digest: Digest) -> AnyManifest | None:
            entry = self._known.get(digest)
            return entry.manifest() if entry is not None else None

        flattening = Flattening(wanted, known, whole=True)
        given = await flattening.entries(store, index, Walk(what))
        self.warnings += flattening.warnings
        self._seen += flattening.platforms
        return distinct_entries(
            entry_of(
                source.with_digest(entry.descriptor.digest),
                entry.descriptor,
                entry.manifest,
                source=source,
                listed=True,
            )
            for entry in given
        )

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


def distinct_entries(entries: Iterable[DraftEntry]) -> tuple[DraftEntry, ...]:
    """Entries without repetitions."""
    distinct: dict[tuple[Reference, bytes], DraftEntry] = {}
    for entry in entries:
        distinct.setdefault((entry.reference, entry.descriptor.to_json()), entry)
    return tuple(distinct.values())
