"""What `docker manifest inspect` finds and prints: a draft, or what a registry has.

This module knows stores in general (`connect` gives the store of a reference), and neither HTTP nor how drafts are
kept.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from lading.drafts.docker_inspect import docker_inspect, docker_inspect_verbose, inspect_draft
from lading.drafts.draft import DraftEntry
from lading.drafts.entries import entry_of
from lading.drafts.store import DraftStore
from lading.errors import NotFound
from lading.images.indexes.entries import described, platform_of
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import AnyManifest, Connect, fetch_manifest, may_be_manifest
from lading.stores.location import AnyLocation, registry_reference
from lading.walk import Walk


async def inspect(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    image: str | None = None,
    *,
    verbose: bool = False,
    remote: bool = False,
) -> bytes:
    """What `docker manifest inspect` prints; see `Drafts.inspect`."""
    reference = registry_reference(target)
    if image is not None or (not remote and store.exists(reference)):
        return inspect_draft(await asyncio.to_thread(store.load, reference), image, verbose=verbose)
    if verbose:
        return await inspect_remote_verbose(connect, reference)
    return docker_inspect(await fetch_manifest(connect(reference), reference.locator))


async def inspect_remote_verbose(connect: Connect, reference: AnyLocation) -> bytes:
    """What `docker manifest inspect -v` prints of a manifest in a registry, byte for byte.

    Raises:
        NotFound: it is not there.
        UsageError: the location is not in a registry.
    """
    manifest, entries = await _described(connect, reference)
    return docker_inspect_verbose(entries if isinstance(manifest, Index) else entries[0])


async def _described(connect: Connect, reference: AnyLocation) -> tuple[AnyManifest, tuple[DraftEntry, ...]]:
    """A manifest in a registry, with its entries as Docker describes them (`docker manifest inspect -v`).

    Returns:
        The manifest, and what it lists: one entry for an image, all of them for an index. A child that is not in
        the registry has no `raw`.
    """
    reference = registry_reference(reference)
    repository = connect(reference)
    manifest = await fetch_manifest(repository, reference.locator)
    if isinstance(manifest, Manifest):
        platform = await platform_of(repository, manifest)
        return manifest, (entry_of(reference, described(manifest, platform), manifest),)

    walk = Walk(str(reference))
    walk.enter(filter(may_be_manifest, manifest.manifests), 1)

    async def child(descriptor: Descriptor) -> DraftEntry:
        found: AnyManifest | None = None
        if may_be_manifest(descriptor):
            with suppress(NotFound):
                found = await walk.fetch(repository, descriptor.content)
        platform = descriptor.platform or Platform()
        bare = msgspec.structs.replace(descriptor.content, platform=platform)
        name = msgspec.structs.replace(reference, digest=descriptor.digest)
        return entry_of(name, bare, found)

    return manifest, tuple(await gather(child(descriptor) for descriptor in manifest.manifests))
