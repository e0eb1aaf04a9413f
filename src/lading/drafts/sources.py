"""What sources stand for: the entries of images and indexes, in registries or anywhere else.

This module reads stores, of any kind, and knows nothing of how drafts are kept or pushed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from lading.drafts.docker_files import embed, file_name
from lading.drafts.draft import Draft, DraftEntry
from lading.errors import InvalidContent, LadingError, NotFound, UsageError
from lading.model.descriptor import EMPTY, Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest, parse
from lading.model.media_types import INDEXES, MANIFESTS
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import AnyManifest, Store, fetch_manifest, read_config
from lading.stores.location import (
    AnyLocation,
    as_location,
    fetch_location,
    open_local,
    parse_location,
    registry_reference,
    resolve_location,
)
from lading.transfer.graph import gather

Connect = Callable[[Reference], Store]
"""Gives the store that holds a reference's repository; it need not reach it yet."""

_DEPTH_LIMIT = 16


@asynccontextmanager
async def open_source(location: str) -> AsyncIterator[Store]:
    """The store on this machine that an entry was taken from.

    Raises:
        NotFound: it is no longer there.
    """
    place = parse_location(location)
    async with open_local(place, writing=False) as store:
        if place.kind == "docker-daemon":
            await resolve_location(store, place)
        yield store


@asynccontextmanager
async def homes_of(draft: Draft, connect: Connect) -> AsyncIterator[list[Store]]:
    """Where the content of each entry is: on this machine, or in its repository if it is not or no longer here."""
    async with AsyncExitStack() as stack:
        here: dict[str, Store] = {}
        for location in {entry.location for entry in draft.entries if entry.location}:
            with suppress(NotFound):
                here[location] = await stack.enter_async_context(open_source(location))
        yield [here.get(entry.location) or connect(entry.reference) for entry in draft.entries]


class Taking(msgspec.Struct, frozen=True):
    """What is taken of an index."""

    platforms: tuple[Platform, ...] = ()
    attestations: bool = True

    def of(self, index: Index) -> tuple[Descriptor, ...]:
        """The children to take, nested indexes among them."""
        chosen = index.manifests
        if self.platforms:
            chosen = index.select(self.platforms, attestations=self.attestations)
            # What a nested index holds is only known when it is read.
            taken = {id(entry) for entry in chosen}
            chosen = tuple(e for e in index.manifests if id(e) in taken or e.media_type in INDEXES)
        return chosen if self.attestations else tuple(entry for entry in chosen if not is_attestation(entry))

    def check(self, entries: Iterable[DraftEntry]) -> None:
        """Refuse a platform that nothing was found for."""
        found = tuple(entry.platform for entry in entries if entry.platform and not attested(entry.descriptor))
        for wanted in self.platforms:
            if not any(platform.satisfies(wanted) for platform in found):
                there = ", ".join(dict.fromkeys(str(platform) for platform in found))
                raise NotFound(f"no source has an image for {wanted}", cause=f"there are {there}" if there else None)


class Resolver:
    """Finds the entries that sources stand for.

    Args:
        connect: gives the store of a reference.
        before: the draft as it is, whose manifests need not be fetched again.
    """

    def __init__(self, connect: Connect, before: Draft | None) -> None:
        self._connect = connect
        self._stores: dict[str, Store] = {}
        self._known = {entry.digest: entry for entry in (before.entries if before else ()) if entry.raw}
        self._before = before
        self.warnings: list[str] = []
        self.found: dict[Digest, Descriptor] = {}
        """What is known by now of entries whose `found` is None."""

    async def resolve(self, source: Reference, taken: Taking) -> tuple[DraftEntry, ...] | None:
        """The entries of an image (one) or of an index (any number); never None."""
        store = self._store(source)
        return await self._entries_of(source, store, await fetch_manifest(store, source.locator), taken)

    async def resolve_place(
        self, place: AnyLocation, target: Reference, taken: Taking
    ) -> tuple[Reference, tuple[DraftEntry, ...] | None]:
        """The reference and the entries of a source anywhere.

        What is not in a registry is called as it will be after the push: by its digest, in the list's repository.
        """
        location = as_location(place).full()
        if location.is_registry:
            reference = registry_reference(location)
            return reference, await self.resolve(reference, taken)
        if location.is_stream:
            raise UsageError(f"{location} is read once, and a list is pushed later", remedy="copy it to a layout first")
        async with open_local(location, writing=False) as store:
            manifest = await fetch_location(store, location)
            reference = target.with_digest(manifest.digest)
            entries = await self._entries_of(reference, store, manifest, taken)
        where = str(location.absolute())
        return reference, tuple(msgspec.structs.replace(entry, location=where) for entry in entries)

    async def _entries_of(
        self, source: Reference, store: Store, manifest: AnyManifest, taken: Taking
    ) -> tuple[DraftEntry, ...]:
        if isinstance(manifest, Index):
            return distinct_entries(await self._flatten(source, store, manifest, taken, 0))
        known = self._known.get(manifest.digest)
        if known is not None and known.reference == source:
            return (known,)
        platform, _ = await gather((platform_of(store, manifest), self._recall(source, store)))
        return (entry_of(source, described(manifest, platform or Platform()), manifest),)

    async def renewed(self, source: Reference) -> tuple[Reference, tuple[DraftEntry, ...] | None]:
        """Look up again what a draft has of a source; None, and a warning, where that cannot be done."""
        return source, await self._renew(source)

    async def _renew(self, source: Reference) -> tuple[DraftEntry, ...] | None:
        entries = [entry for entry in self._all() if source in (entry.source, entry.reference)]
        platforms = tuple(found_for(entry) for entry in entries if not is_attestation(entry.descriptor))
        taken = Taking(platforms, any(is_attestation(entry.descriptor) for entry in entries))
        try:
            return await self.resolve(source, taken)
        except LadingError as error:
            why = "is no longer there" if isinstance(error, NotFound) else f"could not be looked up ({error})"
            self.warnings.append(f"{source} {why}: its entry stays at {entries[0].digest.short}")
            return None

    async def _recall(self, source: Reference, store: Store) -> None:
        """Find out what Docker found before it annotated: what differs from that was set by hand, and is to stay."""
        for entry in self._all():
            if entry.reference == source and entry.found is None and entry.raw:
                manifest = parse(entry.raw, entry.descriptor.media_type, digest=entry.digest)
                with suppress(LadingError):
                    if isinstance(manifest, Manifest):
                        self.found[entry.digest] = described(manifest, await platform_of(store, manifest))

    async def _flatten(
        self, source: Reference, store: Store, index: Index, taken: Taking, depth: int
    ) -> tuple[DraftEntry, ...]:
        if depth > _DEPTH_LIMIT:
            raise InvalidContent(f"{source} is nested too deeply")

        async def entries_of(child: Descriptor) -> tuple[DraftEntry, ...]:
            known = self._known.get(child.digest)
            manifest = await fetch_child(store, index, child, known)
            if isinstance(manifest, Index):
                return await self._flatten(source, store, manifest, taken, depth + 1)
            if child.platform is None and manifest.is_image:
                child = msgspec.structs.replace(child, platform=await platform_of(store, manifest))
            return (entry_of(source.with_digest(child.digest), child, manifest, source=source, listed=True),)

        found = await gather(entries_of(child) for child in taken.of(index))
        return tuple(entry for entries in found for entry in entries)

    def _all(self) -> tuple[DraftEntry, ...]:
        return self._before.entries if self._before is not None else ()

    def _store(self, reference: Reference) -> Store:
        if reference.name not in self._stores:
            self._stores[reference.name] = self._connect(reference)
        return self._stores[reference.name]


def tagged(draft: Draft | None) -> list[Reference]:
    """The sources of a draft that may mean something else by now."""
    entries = draft.entries if draft is not None else ()
    sources = dict.fromkeys(entry.source or entry.reference for entry in entries)
    return [source for source in sources if source.digest is None]


async def fetch_child(store: Store, index: Index, child: Descriptor, known: DraftEntry | None = None) -> AnyManifest:
    """A child of an index, from the registry or from what a draft has of it already.

    Raises:
        NotFound: the index lists it, but the registry does not have it.
        InvalidContent: it is no manifest.
    """
    if child.media_type not in MANIFESTS:
        raise InvalidContent(
            f"{store.name}@{index.digest} lists {child.digest}, which is no manifest",
            cause=f"its media type is {child.media_type or 'not given'}",
        )
    if known is not None and known.raw:
        return parse(known.raw, child.media_type, digest=child.digest)
    try:
        return await fetch_manifest(store, child.content)
    except NotFound as error:
        raise NotFound(
            f"{store.name} lists {child.digest}"
            + (f" for {child.platform}" if child.platform else "")
            + ", but does not have it",
            remedy="choose the platforms that are there: --platform OS/ARCH",
            status=error.status,
            code=error.code,
        ) from error


async def platform_of(store: Store, manifest: Manifest) -> Platform:
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


def distinct_entries(entries: Iterable[DraftEntry]) -> tuple[DraftEntry, ...]:
    """Entries without repetitions; where one manifest is listed for several platforms, each has a file."""
    distinct: list[DraftEntry] = []
    used: set[str] = set()
    for entry in entries:
        if any((entry.reference, entry.descriptor) == (other.reference, other.descriptor) for other in distinct):
            continue
        usual = file_name(entry.reference)
        names = (usual, *(f"{usual}.{number}" for number in range(2, len(distinct) + 3)))
        file = next(name for name in names if name not in used)
        used.add(file)
        distinct.append(entry if file == usual else msgspec.structs.replace(entry, file=file))
    return tuple(distinct)


def found_for(entry: DraftEntry) -> Platform:
    """The platform an entry was found to be for, in the form in which its next build has it too."""
    platform = (entry.found.platform if entry.found else entry.platform) or Platform()
    return _build(platform.normalized())


def _build(platform: Platform) -> Platform:
    # The next image for a version of Windows has another revision: 10.0.17763.1817 is followed by 10.0.17763.1879.
    version = ".".join(platform.os_version.split(".")[:3])
    return msgspec.structs.replace(platform, os_version=version)
