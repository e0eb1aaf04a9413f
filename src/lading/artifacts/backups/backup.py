"""Whole repositories in an image layout or an archive: what is new is downloaded, what moved is moved, nothing is lost.

The tags of one repository are tags in the layout, where every tool finds them; those of several are full names. This
module knows what a repository and a layout are, and copies with operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Any, cast

import msgspec

from lading.artifacts.backups.names import Group, Names
from lading.artifacts.backups.parts import (
    BackupReport,
    Bringing,
    OnPlan,
    Part,
    PlannedTag,
    Request,
    Wanted,
    is_digest_tag,
    known,
    own,
)
from lading.artifacts.backups.view import View
from lading.errors import InvalidContent, LadingError, NotFound, UsageError
from lading.io.tasks import settle
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.patterns import choose
from lading.model.reference import is_tag
from lading.model.tags import is_fallback, subject_of, tag_in
from lading.model.text import counted, excerpt
from lading.registry.repository import Repository
from lading.store import AnyManifest, Measures, Readable, Store, fetch_manifest
from lading.stores.layout.layout import GRACE, Layout
from lading.stores.layout.listing import names_of
from lading.stores.layout.reader import LayoutReader
from lading.stores.location import Location
from lading.stores.overlay import Overlay
from lading.transfer.events import OnEvent
from lading.transfer.place import Place
from lading.transfer.report import Failure, Note

_READ = 64
"""How many manifests are read while it is found out what the tags name, in each repository."""
Open = Callable[..., AbstractAsyncContextManager[Any]]
"""Gives the store of a location, as `AsyncClient.open` does."""


class BackupOptions(Request, frozen=True, kw_only=True):
    """How repositories are backed up."""

    prune: bool = False
    """Whether tags that are gone, and what only they and tags that moved led to, are removed from the backup."""


class _Source(msgspec.Struct):
    """A repository that is open, and what of it is wanted."""

    store: Readable
    wanted: Wanted
    repository: str | None
    names: Names | None = None
    """What a layout has; None for a registry."""
    title: str = ""


async def backup(
    open: Open,
    wanted: Sequence[Wanted],
    target: Location,
    options: BackupOptions,
    on_event: OnEvent | None,
    on_plan: OnPlan | None,
) -> BackupReport:
    """Back repositories up; see `Artifacts.backup`."""
    _check(wanted, target)
    work = Bringing(options, on_event)
    async with AsyncExitStack() as stack:
        store, names = await _open_target(stack, open, target, options)
        sources: list[_Source] = []
        for one in _together(wanted):
            try:
                sources += await _open_source(stack, open, one, options)
            except LadingError as error:
                work.fail(error, str(one.location))
        is_alone = len({source.repository for source in sources}) == 1
        found = await settle(_survey(source, store, names, is_alone, options) for source in sources)
        parts: list[Part] = []
        for source, part in zip(sources, found, strict=True):
            if isinstance(part, LadingError):
                work.fail(part, source.title)
            else:
                parts.append(part)
        work.plan(parts, on_plan)
        await own(parts, names, is_dry=options.dry_run)
        await work.bring(parts)
        for part in parts:
            if isinstance(part.view.store, Repository):
                await _bring_subjects(work, part, options)
        if options.prune:
            await _prune(work, parts, store, GRACE if target.kind == "oci" else 0)
    return work.done()


# Opening


def _check(wanted: Sequence[Wanted], target: Location) -> None:
    if not wanted:
        raise UsageError("there is nothing to back up", remedy="name a repository")
    if target.kind not in ("oci", "oci-archive"):
        raise UsageError(
            f"{target} is no place for a backup",
            remedy="write an image layout, oci:DIR, or an archive, oci-archive:FILE",
        )
    if target.is_named:
        raise UsageError(
            f"{target} names a tag",
            cause="every tag keeps its name in a backup",
            remedy=f"leave out the tag: {target.place}",
        )
    for one in wanted:
        if not one.location.is_registry and one.location.kind not in ("oci", "oci-archive"):
            raise UsageError(f"{one.location} is neither a repository in a registry nor an image layout")
        if not one.location.is_registry and is_same_file(one.location, target):
            raise UsageError(f"{one.location.place} would be backed up into itself")


def is_same_file(first: Location, second: Location) -> bool:
    """Whether two locations on this machine are in one folder or file."""
    return not first.is_stream and Path(first.path).resolve() == Path(second.path).resolve()


def _together(wanted: Sequence[Wanted]) -> list[Wanted]:
    """What is wanted, each repository once: of one that is named several times all that was said."""
    found: dict[str, Wanted] = {}
    others: dict[str, Wanted] = {}
    for one in wanted:
        if one.digest is not None or not one.location.is_registry:
            others[str(one.location)] = one
            continue
        before = found.get(one.location.place)
        tags = one.tags if before is None else (*before.tags, *one.tags) if before.tags and one.tags else ()
        found[one.location.place] = Wanted(one.location, tuple(dict.fromkeys(tags)))
    return [*found.values(), *others.values()]


async def _open_target(
    stack: AsyncExitStack, open: Open, location: Location, options: BackupOptions
) -> tuple[Store, Names]:
    """The layout or archive that is written to, and what it has. In a dry run an archive is only read."""
    reader: Any = None
    entries: tuple[Descriptor, ...] = ()
    if location.kind == "oci" or not options.dry_run:
        reader = await stack.enter_async_context(open(location, writing=True))
    elif not location.is_stream and Path(location.path).exists():
        reader = await stack.enter_async_context(open(location))
    if reader is not None:
        entries = await reader.entries()
    return reader if isinstance(reader, Store) else Overlay(reader, name=location.place), Names(entries)


async def _open_source(stack: AsyncExitStack, open: Open, wanted: Wanted, options: BackupOptions) -> list[_Source]:
    location = wanted.location
    store = await stack.enter_async_context(open(location))
    if isinstance(store, Repository):
        store.session.widen(store.registry, options.jobs)
        return [_Source(store, wanted, store.name, title=store.name)]
    layout = cast("LayoutReader", store)
    names = Names(await layout.entries(), await layout.roots())
    if wanted.digest is not None:
        names.groups = {None: Group(None)}
    elif location.tag is not None:
        await layout.resolve(location.tag)  # which says what there is
        names.only(location.tag)
        wanted = Wanted(location)
    if not names.groups:
        raise NotFound(f"{layout.name} has no tags", code="no-tags-to-copy", fields={"store": layout.name})
    return [
        _Source(layout, wanted, name, names, f"{layout.name}:{name}" if name else layout.name) for name in names.groups
    ]


# What there is, and what becomes of it


async def _survey(source: _Source, store: Store, names: Names, is_alone: bool, options: BackupOptions) -> Part:
    """Find out what the tags of a repository name, there and in the backup."""
    wanted = source.wanted
    is_listed = wanted.is_whole or bool(options.referrers) or options.untagged or options.prune
    listed = await _listed(source) if is_listed else []
    tags = [tag for tag in listed if is_tag(tag)]
    chosen = [*wanted.tags]
    if wanted.is_whole:
        chosen = choose([tag for tag in tags if not is_digest_tag(tag)], options.include, options.exclude)
        if not chosen and not (options.untagged and (tags or source.names is not None)):
            raise _no_tags(source.title, listed)
    group, is_bare = names.to_write(source.repository, alone=is_alone)
    target = Place(store, None, None if is_bare else source.repository)
    before = known(target, group, chosen)
    read: list[AnyManifest] = []
    is_worth_it = source.store.traits.reads_as_it_resolves and not options.dry_run
    fresh = [tag for tag in chosen if is_worth_it and before.get(target.named(tag)) is None][:_READ]

    async def look(tag: str) -> Descriptor:
        name = _name_in(source, tag)
        if tag in fresh:  # it will be copied: to read it costs what the question does
            with suppress(InvalidContent):
                manifest = await fetch_manifest(source.store, name)
                read.append(manifest)
                return manifest.descriptor
        return await source.store.resolve(name)

    looks = await settle(map(look, chosen))
    failed = [(tag, look) for tag, look in zip(chosen, looks, strict=True) if isinstance(look, LadingError)]
    if failed and wanted.tags:
        # Who names tags is told before anything is written; what is listed and cannot be read is another case.
        if not options.keep_going:
            raise failed[0][1]
        found = {tag: look for tag, look in zip(chosen, looks, strict=True) if isinstance(look, Descriptor)}
        chosen, looks = [*found], [*found.values()]
    part = Part(
        view=View(
            source.store,
            source.title,
            dict(zip(chosen, looks, strict=True)),
            others={tag: _name_in(source, tag) for tag in tags if is_digest_tag(tag) and tag not in chosen},
            beside=store,
            tags=listed if is_listed and isinstance(source.store, Repository) else None,
            read=read,
        ),
        chosen=chosen,
        target=target,
        repository=source.repository,
        known={name: now for name, now in before.items() if name in map(target.named, chosen)},
        notes=_nameless(source, listed),
        failed=[Failure.of(error, f"{source.title}:{tag}") for tag, error in failed] if wanted.tags else [],
    )
    if wanted.digest is not None:
        part.digests.append(wanted.digest)
    if options.untagged and source.names is not None:
        part.digests += source.names.of(source.repository).untagged
        part.notes += source.names.stray_notes(source.store.name)
    if is_listed:
        part.gone = [
            PlannedTag(
                reference=target.title(group.names[tag]),
                source=f"{source.title}:{tag}",
                state="gone",
                digest=None,
                previous=content.digest if content is not None else None,
            )
            for tag, content in group.contents.items()
            if tag not in listed and not is_digest_tag(tag)
        ]
    return part


async def _listed(source: _Source) -> list[str]:
    if source.names is not None:
        return list(source.names.of(source.repository).names)
    return [tag async for tag in source.store.tags()]


def _nameless(source: _Source, listed: Sequence[str]) -> list[str]:
    if source.names is not None:
        return source.names.notes(source.store.name)
    return [f"{source.title}:{excerpt(tag)} stayed behind: its name has no tag" for tag in listed if not is_tag(tag)]


def _name_in(source: _Source, tag: str) -> str:
    """What a tag of a repository is called in the store."""
    return source.names.of(source.repository).names.get(tag, tag) if source.names is not None else tag


def _no_tags(title: str, tags: Sequence[str]) -> NotFound:
    return NotFound(
        f"{title} has no tags" + (" like that" if tags else ""),
        remedy="list the tags that there are" if tags else None,
        code="no-tags-to-copy",
        fields={"store": title, "tags": list(tags)},
    )


# What has no tag


async def _bring_subjects(work: Bringing, part: Part, options: BackupOptions) -> None:
    """Bring the manifests without a tag that tags made of digests lead to: a registry lists no others."""
    by_subject: dict[Digest, list[str]] = {}
    for tag in part.view.others:
        if (subject := subject_of(tag)) is not None:
            by_subject.setdefault(subject, []).append(tag)
    reached = work.reached()
    left = [subject for subject in by_subject if subject not in reached and not await _has(part.target.store, subject)]
    if not options.untagged:
        if left and options.referrers:
            what = f"{counted(len(left), 'manifest')} of {part.view.name} without a tag"
            work.note(Note(f"{what} stayed behind, to which something refers", "untagged-left-behind", {"what": what}))
        return
    work.note(
        f"{part.view.name} does not list its manifests without a tag:"
        " those came along that something with a tag leads to"
    )
    looks = dict(zip(left, await settle(part.view.store.resolve(subject) for subject in left), strict=True))
    for subject, found in looks.items():
        if isinstance(found, LadingError) and not isinstance(found, NotFound):
            work.fail(found, f"{part.view.name}@{subject}")
    # What refers to something that is gone is a tag like any other.
    tags = [tag for subject in left if isinstance(looks[subject], NotFound) for tag in by_subject[subject]]
    tags = [tag for tag in tags if not is_fallback(tag)]
    part.view.found |= dict(zip(tags, await settle(map(part.view.store.resolve, tags)), strict=True))
    await work.copy(part, tags, [subject for subject, found in looks.items() if isinstance(found, Descriptor)])


async def _has(store: Readable, digest: Digest) -> bool:
    if not isinstance(store, Measures):
        return False
    with suppress(NotFound):
        await store.blob_size(digest)
        return True
    return False


# What is gone


async def _prune(work: Bringing, parts: Sequence[Part], store: Store, grace: float) -> None:
    """Remove the tags that are gone, and what only they and the tags that moved led to."""
    gone = {part.view.name: part.gone for part in parts}
    work.report.pruned = sum(map(len, gone.values()))
    if not isinstance(store, Layout) or work.report.dry_run:
        return
    changes = [change for image in work.report.images for change in image.targets]
    dropped = {change.previous for change in changes if change.state == "moved" and change.previous is not None}
    for part in parts:
        for tag in part.gone:
            await store.untag(tag.reference.removeprefix(f"{store.name}:"))
            if tag.previous is not None:
                dropped.add(tag.previous)
    # What refers to them goes with them, as far as they do: a tag of another repository, or an index, may lead to them.
    removed = await _drop(work, store, await _with_referrers(store, dropped), grace)
    signatures: set[Digest] = set()
    for entry in await store.entries():
        name = next(filter(None, map(tag_in, names_of(entry))), "")
        if subject_of(name) in removed and not is_fallback(name):
            signatures.add(entry.digest)
            await store.untag(names_of(entry)[0])
    await _drop(work, store, signatures, grace)


async def _with_referrers(store: Layout, digests: set[Digest]) -> set[Digest]:
    """Manifests with what refers to them, and to that."""
    found, waiting = {*digests}, [*digests]
    while waiting:
        subject = Descriptor(digest=waiting.pop(), size=0)
        referrers = {referrer.digest async for referrer in store.referrers(subject)} - found
        found |= referrers
        waiting += referrers
    return found


async def _drop(work: Bringing, store: Layout, digests: set[Digest], grace: float) -> set[Digest | None]:
    """Remove manifests that no tag is left of, with what only they led to; returns what was removed."""
    named = {entry.digest for entry in await store.entries() if names_of(entry)}
    if not digests - named:
        return set()
    removed = await store.gc(grace=grace, drop=digests - named)
    work.report.pruned_bytes += removed.bytes
    return {content.digest for content in removed.content}
