"""Changing what a draft says about its entries and about itself.

This module knows drafts and their store, and not registries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from lading.arguments import several
from lading.drafts.draft import Draft, DraftEntry, ListType, check_type
from lading.drafts.store import DraftStore, must_exist, no_draft
from lading.errors import UsageError
from lading.images.indexes.annotating import PlatformChange
from lading.model.document import Result
from lading.model.media_types import DOCKER_LIST, OCI_INDEX
from lading.model.reference import Reference
from lading.stores.location import registry_reference


class AnnotatedDraft(Result, msgspec.Struct, frozen=True):
    """What annotate did."""

    draft: Draft
    """The draft as it is now."""
    entry: DraftEntry | None
    """The entry as it is now; None where only the list was annotated."""
    warnings: tuple[str, ...] = ()
    """That no client is known to ask for the platform, and that the list becomes an OCI index."""


def annotate(
    store: DraftStore,
    target: Reference | str,
    image: str | None = None,
    *,
    os: str = "",
    architecture: str = "",
    variant: str = "",
    os_version: str = "",
    os_features: Iterable[str] | str = (),
    features: Iterable[str] | str = (),
    clear: Iterable[str] | str = (),
    annotations: Mapping[str, str] | None = None,
    remove_annotations: Iterable[str] | str = (),
    index_annotations: Mapping[str, str] | None = None,
    remove_index_annotations: Iterable[str] | str = (),
    type: ListType | None = None,
) -> AnnotatedDraft:
    """Change what a draft says about one of its entries, or about itself; see `Drafts.annotate`."""
    target = registry_reference(target)
    clear, no_annotations, no_index_annotations = map(several, (clear, remove_annotations, remove_index_annotations))
    platform = PlatformChange(
        os=os,
        architecture=architecture,
        variant=variant,
        os_version=os_version,
        os_features=several(os_features),
        features=several(features),
        clear=clear,
    )
    on_entry = bool(platform or annotations or no_annotations)
    if image is None and on_entry:
        raise UsageError("which image of the list is meant was not said")
    entry: DraftEntry | None = None
    warnings: list[str] = []

    def change(draft: Draft | None) -> Draft:
        nonlocal entry
        if draft is None:
            raise no_draft(target)
        before = draft.media_type
        if image is not None:
            old = draft.find(image)
            entry = _with_platform(old, platform)
            entry = _with_annotations(entry, annotations or {}, no_annotations)
            draft = _replace_entry(draft, old, entry)
            if platform.settings:
                warnings.extend(_doubts(entry))
        kept = {key: value for key, value in draft.annotations.items() if key not in no_index_annotations}
        draft = msgspec.structs.replace(
            draft, annotations=kept | dict(index_annotations or {}), type=type or draft.type
        )
        check_type(draft)
        if (before, draft.media_type) == (DOCKER_LIST, OCI_INDEX):
            warnings.append(f"{target} becomes an OCI image index: a Docker manifest list holds no annotations")
        return draft

    must_exist(store, target)
    draft = store.update(target, change)
    return AnnotatedDraft(draft, entry, tuple(warnings))


def _replace_entry(draft: Draft, old: DraftEntry, new: DraftEntry) -> Draft:
    return msgspec.structs.replace(draft, entries=tuple(new if entry is old else entry for entry in draft.entries))


def _with_platform(entry: DraftEntry, change: PlatformChange) -> DraftEntry:
    if not change:
        return entry
    return msgspec.structs.replace(
        entry,
        descriptor=msgspec.structs.replace(entry.descriptor, platform=change.apply(entry.platform)),
        found=entry.found or entry.descriptor,
        overrides=tuple(sorted({*entry.overrides, *change.settings, *change.clear})),
    )


def _with_annotations(entry: DraftEntry, new: Mapping[str, str], removed: Collection[str]) -> DraftEntry:
    old = entry.descriptor.annotations
    annotations = {key: value for key, value in old.items() if key not in removed} | dict(new)
    if annotations == old:
        return entry
    return msgspec.structs.replace(
        entry,
        descriptor=msgspec.structs.replace(entry.descriptor, annotations=annotations),
        found=entry.found or entry.descriptor,
    )


def _doubts(entry: DraftEntry) -> list[str]:
    platform = entry.platform
    if platform is None or platform.is_known or (platform.os, platform.architecture) == ("unknown", "unknown"):
        return []
    return [f"{platform} is no platform that clients are known to ask for ({entry.reference})"]
