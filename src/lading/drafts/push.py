"""Pushing a draft: first what its registry lacks of its entries, then the list.

This module knows stores in general (`connect` gives the store of a reference), and neither HTTP nor how drafts are
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any, TypedDict

import msgspec

from lading.arguments import several
from lading.drafts.content import open_source
from lading.drafts.draft import Draft, DraftEntry, check_type
from lading.drafts.store import DraftStore, no_draft
from lading.errors import Conflict, LadingError, NotFound, UsageError
from lading.io.tasks import gather
from lading.model.digest import Digest
from lading.model.document import Result, described
from lading.model.index import Index
from lading.model.reference import Reference, is_tag
from lading.model.text import counted
from lading.store import Connect, Readable, put_names, try_names
from lading.stores.homes import Homes, Opens
from lading.stores.location import registry_reference
from lading.transfer.events import OnEvent
from lading.transfer.graph import CopyCounts
from lading.transfer.guard import Guard, find_named
from lading.transfer.operation import copy
from lading.transfer.place import Place
from lading.transfer.report import CopyOptions, CopyReport, Failure
from lading.transfer.transform import Graph

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
    failed: tuple[Failure, ...]
    """The tags that could not be set, where the others were to be set all the same."""


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
    failed: tuple[Failure, ...] = ()
    """The tags that could not be set, where the others were to be set all the same."""

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
                failed=self.failed,
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
    keep_going: bool = False,
    on_event: OnEvent | None = None,
) -> PushedDraft:
    """Push a draft; see `Drafts.push`."""
    target = registry_reference(target)
    given = Guard.of(if_digest) if if_digest != "origin" else None
    draft = store.load(target)
    guard = given if given is not None else Guard(draft.origin or "absent")
    index = _pushable(draft)
    names = _tag_names(target, tags)
    foreign = tuple(entry for entry in draft.entries if entry.location or entry.reference.name != target.name)
    reference = msgspec.structs.replace(target, digest=index.digest)
    repository = connect(target)
    if dry_run or not target.tag:
        # What has no tag is guarded by its digest, which stands for the same for ever.
        await _check(guard, repository, target, index.digest)
    if dry_run:
        return PushedDraft(reference, index, names, foreign, dry_run=True)
    options = CopyOptions(guard=guard if target.tag else Guard(), looks=False, referrers=False)
    place = Place(repository, names[0] if names else None)
    failed: dict[str, LadingError] = {}
    report = CopyReport(images=[], copied=CopyCounts(), steps=[])
    try:
        report = await _bring(connect, draft, frozenset(entry.digest for entry in foreign), place, options, on_event)
    except LadingError as error:
        # What the condition forbids is not pushed under other tags either.
        if not keep_going or len(names) < 2 or (isinstance(error, Conflict) and error.status is None):
            raise
        failed[names[0]] = error
    if keep_going:
        failed |= await try_names(repository, index, names[1:])
    else:
        await put_names(repository, index, names[1:])
    if names and len(failed) == len(names):
        raise failed[names[0]]
    warnings = draft.warnings
    if not failed:
        warnings += await asyncio.to_thread(_after_push, store, draft, index.digest, purge)
    return PushedDraft(
        reference,
        index,
        tuple(name for name in names if name not in failed),
        foreign,
        report.copied,
        warnings=(*warnings, *report.notes),
        failed=tuple(Failure.of(error, f"{target.name}:{name}") for name, error in failed.items()),
    )


async def _check(guard: Guard, repository: Readable, target: Reference, wanted: Digest) -> None:
    """Refuse to push where the name does not stand for what the guard expects; free without a condition."""
    if guard:
        now = await find_named(repository, target.tag or target.locator)
        guard.check(str(target), now.digest if now is not None else None, wanted)


async def _bring(
    connect: Connect,
    draft: Draft,
    foreign: frozenset[Digest],
    place: Place,
    options: CopyOptions,
    on_event: OnEvent | None,
) -> CopyReport:
    """Copy the list to its place, with the entries that are elsewhere."""
    async with AsyncExitStack() as resources:
        homes = _homes(draft, connect, resources)
        index, title = draft.index, str(draft.reference)
        graph = Graph(store=homes, manifest=index, title=title, subjects=(index.descriptor,), only=foreign)
        try:
            return await copy(graph, [place], options, on_event)
        except LadingError as error:
            failed = next((entry for entry in draft.entries if entry.digest == error.fields.get("entry")), None)
            if failed is not None:
                needed = f"needed for the entry {failed.location or failed.reference}"
                error.cause = f"{needed}; {error.cause}" if error.cause else needed
            elif error.registry_code in _MISSING:
                raise await _explained(error, place.store, draft) from error
            raise


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


def _homes(draft: Draft, connect: Connect, resources: AsyncExitStack) -> Homes:
    """The content of a draft's entries, each where it is: on this machine, or in a repository.

    What is on this machine is opened when it is read: what the registry has already may be gone here.

    Args:
        draft: the draft.
        connect: gives the store of a reference.
        resources: closes what is opened.
    """
    homes = Homes(str(draft.reference))
    opening: dict[str, Opens] = {}
    stores: dict[str, Readable] = {}

    def opens(location: str) -> Opens:
        async def opened() -> Readable:
            if location not in stores:
                stores[location] = await resources.enter_async_context(open_source(location))
            return stores[location]

        return opened

    for entry in draft.entries:
        name = entry.reference.name
        home: Readable | Opens
        if entry.location:
            home = opening.setdefault(entry.location, opens(entry.location))
        else:
            home = stores.get(name) or stores.setdefault(name, connect(entry.reference))
        manifest = entry.manifest() if entry.raw is not None else None
        homes.add(entry.descriptor, home, manifest=manifest, title=str(entry.reference))
    return homes


async def _explained(error: LadingError, repository: Readable, draft: Draft) -> LadingError:
    """The error that a registry does not have what it is said to have, with the entries that it lacks."""
    missing = await _missing(repository, draft)
    if not missing:
        return error
    return NotFound(
        f"{repository.name} does not have {missing[0].reference}"
        + (f" and {len(missing) - 1} more entries" if missing[1:] else ""),
        cause=error.cause or error.message,
        remedy="amend the draft, which looks its tags up again",
        code="entries-missing",
        fields={"draft": str(draft.reference), "entries": [str(entry.reference) for entry in missing]},
        status=error.status,
        registry_code=error.registry_code,
    )


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
