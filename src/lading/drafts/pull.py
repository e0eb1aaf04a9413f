"""Making a draft of a list that is in a registry, to change it and push it again.

This module knows stores in general (`connect` gives the store of a reference), and neither HTTP nor how drafts are
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from lading.drafts.docker_files import with_files
from lading.drafts.draft import Draft, check_type
from lading.drafts.entries import distinct_entries, entry_of
from lading.drafts.merge import Change, CreatedDraft
from lading.drafts.store import DraftStore, draft_exists
from lading.errors import InvalidContent
from lading.images.indexes.entries import IndexFilter, fetch_child
from lading.images.platforms import platforms_in_configs
from lading.io.tasks import gather
from lading.model.index import Index
from lading.model.media_types import OCI_INDEX
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import Connect, fetch_manifest
from lading.stores.location import registry_reference
from lading.walk import Walk

_KNOWN = ("schemaVersion", "mediaType", "manifests", "annotations")


async def pull(
    connect: Connect,
    store: DraftStore,
    source: Reference | str,
    target: Reference | str | None = None,
    *,
    replace: bool = False,
    platforms: Iterable[Platform | str] | Platform | str = (),
    attestations: bool = True,
) -> CreatedDraft:
    """Make a draft of a list that is in a registry; see `Drafts.pull`."""
    source = registry_reference(source)
    target = source if target is None else registry_reference(target)
    if not replace and store.exists(target):
        raise draft_exists(target, amend=False)
    repository = connect(source)
    index = await fetch_manifest(repository, source.locator)
    if not isinstance(index, Index):
        raise InvalidContent(
            f"{source} is an image, not a list",
            remedy="make a list of it",
            code="not-an-index",
            fields={"reference": str(source)},
        )
    wanted = IndexFilter.of(platforms, attestations)
    walk = Walk(str(source))
    known = await platforms_in_configs(repository, index, wanted.platforms, walk)
    chosen = wanted.children(index, known)
    walk.enter(chosen, 1)
    manifests = await gather(fetch_child(walk, repository, child) for child in chosen)
    listed = (
        entry_of(source.with_digest(child.digest), child, manifest, listed=True)
        for child, manifest in zip(chosen, manifests, strict=True)
    )
    entries = with_files(distinct_entries(listed))
    wanted.check(
        msgspec.structs.replace(entry.descriptor, platform=known.get(entry.digest, entry.descriptor.platform))
        for entry in entries
    )
    draft = Draft(
        reference=target,
        entries=entries,
        annotations=dict(index.annotations),
        base={key: value for key, value in index.document.items() if key not in _KNOWN},
        pulled=index.raw,
        origin=index.digest,
    )
    if draft.media_type != index.media_type:
        draft = msgspec.structs.replace(draft, type="oci" if index.media_type == OCI_INDEX else "docker")
    check_type(draft)
    changes = tuple(Change("added", entry) for entry in entries)

    def change(now: Draft | None) -> Draft:
        if now is not None and not replace:
            raise draft_exists(target, amend=False)
        return draft

    return CreatedDraft(await asyncio.to_thread(store.update, target, change, replace=replace), changes)
