"""Pushing a draft: first what its registry lacks of its entries, then the list.

This module knows stores in general (`connect` gives the store of a reference), and neither HTTP nor how drafts are
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TypedDict

import msgspec

from lading.arguments import several
from lading.drafts.content import open_source
from lading.drafts.draft import Draft, DraftEntry, check_type
from lading.drafts.store import DraftStore, no_draft
from lading.errors import LadingError, NotFound, UsageError
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result, described
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.reference import Reference, is_tag
from lading.model.text import counted
from lading.store import AnyManifest, Connect, Readable, Store, put_manifest
from lading.stores.location import registry_reference
from lading.transfer.graph import Copier, CopyCounts
from lading.transfer.guard import Guard, find_named

_MISSING = {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"}


class PushDocument(TypedDict):
    """What `PushedDraft.to_document` gives."""

    reference: Reference
    """The list's name with its digest."""
    digest: Digest
    media_type: str
    size: int
    """In bytes."""
    tags: tuple[str, ...]
    """Those that name the list now, its own first."""
    copied: list[str]
    """The entries that were brought from another repository."""
    blobs_mounted: int
    blobs_uploaded: int
    bytes_uploaded: int
    dry_run: bool


class PushedDraft(Result, msgspec.Struct, frozen=True):
    """What push did, or with `dry_run` would do."""

    reference: Reference
    """The list's name with the digest it has now."""
    index: Index
    tags: tuple[str, ...]
    copied: tuple[DraftEntry, ...] = ()
    """The entries that were brought from another repository, in order."""
    transfer: CopyCounts = msgspec.field(default_factory=CopyCounts)
    dry_run: bool = False
    warnings: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """What was pushed, as a JSON object; see `PushDocument`."""
        return described(
            PushDocument(
                reference=self.reference,
                digest=self.digest,
                media_type=self.index.media_type,
                size=self.index.size,
                tags=self.tags,
                copied=[f"{self.reference.name}@{entry.digest}" for entry in self.copied],
                blobs_mounted=self.transfer.mounted,
                blobs_uploaded=self.transfer.uploaded,
                bytes_uploaded=self.transfer.bytes,
                dry_run=self.dry_run,
            )
        )

    def __repr__(self) -> str:
        """Such as `<PushedDraft localhost:5000/app@sha256:… 2 entries>`."""
        return f"<PushedDraft {self.reference} {counted(len(self.index.manifests), 'entry', 'entries')}>"

    @property
    def digest(self) -> Digest:
        """The digest of the list."""
        return self.index.digest


async def push(
    connect: Connect,
    store: DraftStore,
    target: Reference | str,
    *,
    tags: Iterable[str] | str = (),
    if_digest: str | None = None,
    dry_run: bool = False,
    purge: bool = False,
) -> PushedDraft:
    """Push a draft; see `Drafts.push`."""
    target = registry_reference(target)
    guard = Guard.of(if_digest) if if_digest != "origin" else None
    draft = store.load(target)
    if guard is None:
        guard = Guard(draft.origin or "absent")
    index = _pushable(draft)
    names = _tag_names(target, tags)
    foreign = tuple(entry for entry in draft.entries if entry.location or entry.reference.name != target.name)
    reference = msgspec.structs.replace(target, digest=index.digest)
    repository = connect(target)
    before: dict[str, tuple[str, Digest | None]] = {}
    if guard:
        name = target.tag or target.locator
        found = await find_named(repository, name)
        before[name] = (str(target), found.digest if found is not None else None)
        guard.check(*before[name], index.digest)
    if dry_run:
        return PushedDraft(reference, index, names, foreign, dry_run=True)
    copier = Copier(repository)
    await gather(_bring(copier, connect, entry) for entry in foreign)
    await guard.check_again(repository, before)
    await _put(repository, draft, index, names)
    warnings = draft.warnings + await asyncio.to_thread(_after_push, store, draft, index.digest, purge)
    return PushedDraft(reference, index, names, foreign, copier.done, warnings=warnings)


def _pushable(draft: Draft) -> Index:
    if not draft.entries:
        raise NotFound(
            f"{draft.reference} has no entries",
            remedy="add some",
            code="empty-draft",
            fields={"draft": str(draft.reference)},
        )
    for entry in draft.entries:
        if not entry.has_platform and not (entry.listed and entry.platform is None):
            raise UsageError(
                f"manifest {entry.reference} must have an OS and Architecture to be pushed to a registry",
                cause="its config does not say for which platform it is",
                remedy="annotate the entry with them",
                code="platform-unknown",
                fields={"draft": str(draft.reference), "entry": str(entry.reference)},
            )
    check_type(draft)
    return draft.index


def _tag_names(target: Reference, tags: Iterable[str] | str) -> tuple[str, ...]:
    own = (target.tag,) if target.tag else ()
    names = tuple(dict.fromkeys((*own, *several(tags))))
    for name in names:
        if not is_tag(name):
            raise UsageError(f"{name!r} is not a tag", cause=f"further tags are of the same repository, {target.name}")
    return names


async def _bring(copier: Copier, connect: Connect, entry: DraftEntry) -> None:
    content: Descriptor | AnyManifest = entry.descriptor.content
    if entry.raw is not None:
        content = parse(entry.raw, entry.descriptor.media_type, digest=entry.digest, what=str(entry.reference))
    try:
        if not entry.location:
            await copier.copy(connect(entry.reference), content)
        # What was pushed before is there, even if it is no longer here.
        elif not await copier.target.contains(entry.descriptor):
            async with open_source(entry.location) as source:
                await copier.copy(source, content)
    except LadingError as error:
        error.cause = f"needed for the entry {entry.location or entry.reference}" + (
            f"; {error.cause}" if error.cause else ""
        )
        raise


async def _put(repository: Store, draft: Draft, index: Index, names: Sequence[str]) -> None:
    try:
        await put_manifest(repository, index, names[:1])
    except LadingError as error:
        missing = await _missing(repository, draft) if error.registry_code in _MISSING else []
        if not missing:
            raise
        raise NotFound(
            f"{repository.name} does not have {missing[0].reference}"
            + (f" and {len(missing) - 1} more entries" if missing[1:] else ""),
            cause=error.cause or error.message,
            remedy="amend the draft, which looks its tags up again",
            code="entries-missing",
            fields={"draft": str(draft.reference), "entries": [str(entry.reference) for entry in missing]},
            status=error.status,
            registry_code=error.registry_code,
        ) from error
    await gather(put_manifest(repository, index, (name,)) for name in names[1:])


async def _missing(repository: Readable, draft: Draft) -> list[DraftEntry]:
    present = await gather(repository.contains(entry.descriptor) for entry in draft.entries)
    return [entry for entry, there in zip(draft.entries, present, strict=True) if not there]


def _after_push(store: DraftStore, draft: Draft, digest: Digest, purge: bool) -> tuple[str, ...]:
    if purge:
        if store.remove_if_same(draft):
            return ()
        return (f"{draft.reference} was changed while it was pushed, and has not been removed",)

    def change(now: Draft | None) -> Draft:
        if now is None:
            raise no_draft(draft.reference)
        return msgspec.structs.replace(now, origin=digest)

    # Pushed is pushed: that it cannot be remembered (in a read-only folder, say) does not make it a failure.
    with suppress(LadingError):
        store.update(draft.reference, change)
    return ()
