"""Manifests in a registry as Docker describes them.

This module knows stores in general (`connect` gives the one of a reference) and nothing of how Docker prints.
"""

from __future__ import annotations

import msgspec

from lading.drafts.draft import DraftEntry
from lading.drafts.entries import (
    Connect,
    described,
    entry_of,
    platform_of,
)
from lading.errors import NotFound
from lading.model.descriptor import Descriptor
from lading.model.manifest import Manifest
from lading.model.media_types import MANIFESTS
from lading.model.platform import Platform
from lading.store import AnyManifest, fetch_manifest
from lading.stores.location import (
    AnyLocation,
    registry_reference,
)
from lading.transfer.graph import gather


async def describe(connect: Connect, reference: AnyLocation) -> tuple[AnyManifest, tuple[DraftEntry, ...]]:
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

    async def child(descriptor: Descriptor) -> DraftEntry:
        found: AnyManifest | None = None
        try:
            if descriptor.media_type in MANIFESTS:
                found = await fetch_manifest(repository, descriptor.content)
        except NotFound:
            pass
        platform = descriptor.platform or Platform()
        bare = msgspec.structs.replace(descriptor.content, platform=platform)
        name = msgspec.structs.replace(reference, digest=descriptor.digest)
        return entry_of(name, bare, found)

    return manifest, tuple(await gather(child(descriptor) for descriptor in manifest.manifests))
