"""Copying a content graph from one store to another: children first, each blob once, nothing twice.

This module knows stores, and not which ones: what a store can do better (mount, put) it is asked with `isinstance`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import cast

import msgspec

from lading.errors import (
    Denied,
    DigestMismatch,
    InvalidContent,
    LadingError,
    NotFound,
    RegistryFailure,
    Unreachable,
)
from lading.io.sources import Source
from lading.io.tasks import Limits, Once, gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import MANIFESTS, is_foreign_layer
from lading.store import (
    AnyManifest,
    Check,
    ChecksGraphs,
    ChecksManifests,
    ChecksReferrers,
    GivesSources,
    Glances,
    HasSiblings,
    Mounts,
    Readable,
    Remembers,
    Store,
    fetch_manifest,
    from_store,
    is_manifest,
    may_be_manifest,
    put_manifest,
    put_names,
)
from lading.transfer.events import Meter, Outcome
from lading.transfer.shelf import Shelf
from lading.walk import Walk

_SMALL = 64 * 1024
_NOT_GIVEN_OUT = (NotFound, InvalidContent, RegistryFailure, Unreachable)
"""How a store fails to read what it says that it has."""


class CopyCounts(Result, msgspec.Struct):
    """What a copy did, or would do."""

    manifests: int = 0
    """How many manifests were written."""
    uploaded: int = 0
    """How many blobs were uploaded."""
    mounted: int = 0
    """How many blobs were mounted from a sibling."""
    present: int = 0
    """How many blobs and manifests were there already; what a manifest among them leads to is not counted."""
    bytes: int = 0
    """How many bytes of blobs were uploaded; of a blob that an earlier run began, the rest."""
    mounted_bytes: int = 0
    """How many bytes the mounted blobs have."""
    present_bytes: int = 0
    """How many bytes the blobs and manifests have that were there already."""


class Step(Result, msgspec.Struct, frozen=True):
    """What became, or would become, of one blob or manifest."""

    digest: Digest
    media_type: str
    size: int
    outcome: Outcome
    platform: str | None = None
    """The platform of the image it is for, where one is known."""


class Copier:
    """Copies any number of graphs into one target; what it has brought there once it does not bring again.

    Args:
        target: the store to write to.
        limits: how much may be under way at once; several copiers may share one.
        meter: what is told of it; several copiers may share one.
        verify: believe no target that it has something: walk everything, and read it back.
        dry_run: write nothing, and say what would be done.
        once: what has been brought to the target already, where several copiers share that.
        shelf: what is in the target's registry already, where several targets in it share that.
    """

    def __init__(
        self,
        target: Store,
        *,
        limits: Limits | None = None,
        meter: Meter | None = None,
        verify: bool = False,
        dry_run: bool = False,
        once: Once | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self.target = target
        self.foreign: dict[Digest, Descriptor] = {}
        """The layers that were left where their `urls` say (image-spec layer §Non-Distributable Layers)."""
        self.planned_from: Readable | None = None
        """In a dry run: a store that will have everything by then, and from which it would be mounted."""
        # What the target can do is asked once: the question costs more than most answers.
        self._siblings = target if isinstance(target, HasSiblings) else None
        self._mounts = target if isinstance(target, Mounts) else None
        self._claims = self._mounts if self._mounts is not None and not self._mounts.asks_first else None
        self._seems_to_contain = target.seems_to_contain if isinstance(target, Glances) else target.contains
        self._steps: dict[tuple[Digest, bool], Step] = {}
        self._sent: dict[Digest, int] = {}
        self._limits = limits or Limits()
        self._meter = meter or Meter()
        self._verify = verify
        self._dry_run = dry_run
        self._once = once or Once()
        self._shelf = shelf
        self._asked: dict[Digest, bool] = {}

    @property
    def steps(self) -> list[Step]:
        """What became of each blob and manifest, children before parents."""
        return list(self._steps.values())

    @property
    def done(self) -> CopyCounts:
        """All of it, counted."""
        done = CopyCounts()
        for step in self._steps.values():
            if step.outcome == "present":
                done.present += 1
                done.present_bytes += step.size
            elif step.media_type in MANIFESTS:
                done.manifests += 1
            elif step.outcome == "mounted":
                done.mounted += 1
                done.mounted_bytes += step.size
            else:
                done.uploaded += 1
                done.bytes += self._sent.get(step.digest, step.size)
        return done

    async def is_whole(self, content: Descriptor) -> bool:
        """Whether a manifest that the target is known to have is there with all it lists.

        A store that sees all it has at no cost is asked. Any other is believed: most registries take an index only when
        they have what it lists, and to ask for its entries costs a request each.
        """
        return not isinstance(self.target, ChecksGraphs) or await self.target.contains_all(content)

    async def _contains(self, content: Descriptor) -> bool:
        """Whether the target has a manifest with all it lists; see `is_whole`."""
        if not await self.is_whole(content):
            return False
        known = True if isinstance(self.target, ChecksGraphs) else self._asked.get(content.digest)
        return await self._seems_to_contain(content) if known is None else known

    async def _has(self, manifest: AnyManifest) -> bool:
        """Whether the target has a manifest with all it lists; one with a subject has to be found by that, too."""
        if manifest.subject is None or not isinstance(self.target, ChecksReferrers):
            return await self._contains(manifest.descriptor)
        if self._asked.get(manifest.digest) is False or not await self.is_whole(manifest.descriptor):
            return False
        return await self.target.has_referrer(manifest)

    async def copy(
        self,
        source: Readable,
        content: Descriptor | AnyManifest,
        *,
        names: Sequence[str] = (),
        only: Collection[Digest] | None = None,
        before_names: Callable[[], Awaitable[None]] | None = None,
        if_new: Callable[[], None] | None = None,
        check: Check | None = None,
    ) -> AnyManifest:
        """Copy a manifest with everything it refers to, children before parents, tags last.

        Args:
            source: the store to read from.
            content: the manifest, or its descriptor where it has to be read from `source` first.
            names: the tags it gets in the target; none leaves it there by digest.
            only: bring only these of an index's entries; None for all.
            before_names: is called when all is there but the tags; what it raises leaves those as they are.
            if_new: is called when the target was asked for the manifest, and has it not.
            check: of a tag; see `put_manifest`.

        Returns:
            The manifest.

        Raises:
            NotFound: the source lacks something; nothing that refers to it was written.
        """
        if isinstance(content, Descriptor) and not names and check is None and only is None and before_names is None:
            # What refers to several images is brought once.
            return await self._once.do((content.digest, "graph"), partial(self._copy, source, content))
        return await self._copy(source, content, tuple(dict.fromkeys(names)), only, before_names, if_new, check)

    async def _copy(
        self,
        source: Readable,
        content: Descriptor | AnyManifest,
        names: tuple[str, ...] = (),
        only: Collection[Digest] | None = None,
        before_names: Callable[[], Awaitable[None]] | None = None,
        if_new: Callable[[], None] | None = None,
        check: Check | None = None,
    ) -> AnyManifest:
        manifest = await fetch_manifest(source, content) if isinstance(content, Descriptor) else content
        if isinstance(self.target, ChecksManifests):
            self.target.check_manifest(manifest)
        may_skip = only is None and self.may_skip(source, manifest)
        is_there = may_skip and await self._has(manifest)
        self._meter.found(manifest.descriptor)
        if may_skip and not is_there and if_new is not None:
            if_new()
        if not is_there:
            walk = Walk(f"{source.name}@{manifest.digest}")
            walk.count(manifest)
            await self._children(source, manifest, walk, None, 1, only)
        if before_names is not None:
            await before_names()
        await self._put(manifest, names, is_there=is_there, check=check)
        return manifest

    def leave(self, content: Descriptor) -> None:
        """Count a manifest that is there already, and is left as it is."""
        self._meter.found(content)
        self._count(content, "present", None)

    async def contains(self, content: Descriptor) -> bool:
        """Ask whether the target has a manifest."""
        return await self._seems_to_contain(content)

    async def ask(self, content: Descriptor) -> None:
        """Find out whether the target has a manifest, while that is still being read: later it costs a round trip."""
        if not self._verify:
            self._asked[content.digest] = await self._seems_to_contain(content)

    def believe(self, content: Descriptor) -> None:
        """Take it that the target has a manifest: it has said what one of its tags names."""
        if not self._verify:
            self._asked[content.digest] = True

    def knows(self, digest: Digest) -> bool:
        """Whether the target was asked for a manifest, and had it."""
        return self._asked.get(digest, False)

    def may_skip(self, source: Readable, manifest: AnyManifest) -> bool:
        """Whether it is worth asking if the target has a manifest: not where finding out costs what it saves."""
        if self._verify or self._is_same(source):
            return False
        if isinstance(manifest, Index) and all(self._is_at_home(source, child) for child in manifest.manifests):
            return False
        if self._dry_run or manifest.digest in self._asked or isinstance(manifest, Index):
            return True
        return not self._is_sibling(source) and not self._is_as_cheap_to_put(manifest)

    def _is_as_cheap_to_put(self, manifest: Manifest) -> bool:
        """Whether to bring a manifest costs no more than to ask for it: it has one blob, and was not put before."""
        blobs = {child.digest: child for child in manifest.children}
        is_small = len(blobs) < 2 and all(blob.size <= _SMALL for blob in blobs.values())
        return is_small and isinstance(self.target, Remembers) and self.target.remembered(manifest.digest) is None

    async def _children(
        self,
        source: Readable,
        manifest: AnyManifest,
        walk: Walk,
        platform: str | None,
        depth: int,
        only: Collection[Digest] | None = None,
    ) -> None:
        if self._is_same(source) and not self._verify:
            return
        children = [child for child in manifest.children if only is None or child.digest in only]
        if isinstance(manifest, Index):
            walk.enter(filter(may_be_manifest, children), depth)
        await gather(self._child(source, manifest, child, walk, platform, depth) for child in children)

    async def _child(
        self, source: Readable, parent: AnyManifest, child: Descriptor, walk: Walk, platform: str | None, depth: int
    ) -> None:
        if isinstance(parent, Index) and not child.media_type:
            child = await self._typed(walk, source, child)
        if is_manifest(child):
            work = partial(self._subtree, source, child, walk, _label(child) or platform, depth)
        elif is_foreign_layer(child.media_type) and child.urls:
            self.foreign[child.digest] = child  # clients fetch it from its `urls`: it need not be where it is named
            return
        else:
            # That of an image is another one for each image; those of artifacts are shared, above all the empty one.
            is_config = isinstance(parent, Manifest) and parent.is_image and child is parent.config
            work = partial(self._blob, source, child, platform, is_config)
        # Content that several parents share is brought by the first that asks; the others wait for it.
        try:
            await self._once.do((child.digest, is_manifest(child)), work)
        except LadingError as error:
            # Of what an index lists, the entry that it went wrong for: the outermost is the last to be said.
            if is_manifest(child):
                error.fields["entry"] = child.digest
            raise

    async def _typed(self, walk: Walk, source: Readable, child: Descriptor) -> Descriptor:
        """An entry without a media type, with the one that it has if it is a manifest: it may be a blob."""
        try:
            found = await walk.fetch(source, child.content)
        except NotFound:
            return child
        return msgspec.structs.replace(child, media_type=found.media_type)

    async def _subtree(self, source: Readable, child: Descriptor, walk: Walk, platform: str | None, depth: int) -> None:
        self._meter.found(child)
        if not self._verify and (self._is_at_home(source, child) or await self._contains(child)):
            self._count(child, "present", platform)
            return
        try:
            manifest = await fetch_manifest(source, child.content)
        except NotFound as error:
            raise NotFound(
                f"{source.name} lists {child.digest}, but does not have it",
                cause=f"entry for {child.platform}" if child.platform else None,
                remedy="choose the platforms that are there",
                code="index-incomplete",
                fields={
                    "store": source.name,
                    "digest": str(child.digest),
                    "platform": str(child.platform) if child.platform else None,
                },
            ) from error
        walk.count(manifest)
        await self._children(source, manifest, walk, platform, depth + 1)
        await self._put(manifest, (), platform=platform)

    async def _put(
        self,
        manifest: AnyManifest,
        names: tuple[str, ...],
        *,
        platform: str | None = None,
        is_there: bool = False,
        check: Check | None = None,
    ) -> None:
        if self._verify and not self._dry_run:
            is_there = await self._has_manifest(manifest)
        if not self._dry_run and not (is_there and not names):
            await put_manifest(self.target, manifest, names[:1], check=check)
            await put_names(self.target, manifest, names[1:], check=check)
        self._count(manifest.descriptor, "present" if is_there else "copied", platform)

    # Blobs

    async def _blob(self, source: Readable, blob: Descriptor, platform: str | None, is_config: bool) -> None:
        supply = from_store(source, blob)
        source = cast("Readable", supply.origin)  # where it is read from: a store below, perhaps
        self._meter.found(blob)
        if self._is_same(source) and not self._verify:
            self._count(blob, "present", platform)
        elif self._dry_run:
            self._count(blob, await self._plan(source, blob), platform)
        elif self._verify and await self._is_intact(blob):
            self._count(blob, "present", platform)
        elif self._is_sibling(source) and self._mounts is not None:
            await self._mount(self._mounts, supply, blob, platform, is_config)
        elif self._shelf is not None and self._mounts is not None:
            await self._shelve(self._shelf, self._mounts, supply, blob, platform, is_config)
        else:
            await self._ask_and_send(supply, blob, platform, is_config)

    async def _shelve(
        self, shelf: Shelf, mounts: Mounts, supply: Source, blob: Descriptor, platform: str | None, is_config: bool
    ) -> None:
        """Bring a blob to the registry, unless it is there: then it is mounted from where it is."""
        home = await shelf.home(
            blob.digest, self.target, partial(self._ask_and_send, supply, blob, platform, is_config)
        )
        if home is None:
            return  # it was brought just now
        if await mounts.mount(blob, home):
            self._count(blob, "present" if self._is_same(home) else "mounted", platform)
        else:
            await self._send(supply, blob, platform)
            shelf.has(blob.digest, self.target)

    async def _mount(
        self, mounts: Mounts, supply: Source, blob: Descriptor, platform: str | None, is_config: bool
    ) -> None:
        source = cast("Readable", supply.origin)
        # A mount in a registry costs one request whether the blob is there or not: it comes before the question.
        if mounts.asks_first and self._is_worth_asking(blob, is_config) and await self._seems_to_contain(blob):
            self._count(blob, "present", platform)
        elif await mounts.mount(blob, source) and (not self._verify or await self._is_intact(blob)):
            self._count(blob, "mounted", platform)
        else:
            await self._send(supply, blob, platform)

    async def _ask_and_send(self, supply: Source, blob: Descriptor, platform: str | None, is_config: bool) -> None:
        is_asked = self._is_worth_asking(blob, is_config)
        claims = self._claims if is_asked and blob.size <= _SMALL else None
        if is_asked and claims is None and await self._seems_to_contain(blob):
            self._count(blob, "present", platform)
        else:
            await self._send(supply, blob, platform, claims)

    async def _send(self, supply: Source, blob: Descriptor, platform: str | None, claims: Mounts | None = None) -> None:
        async with self._limits.place(blob.size):
            if claims is not None and await claims.mount(blob, self.target):
                self._count(blob, "present", platform)
                return
            read = self._meter.counted(self.target.name, blob, platform, supply)
            await self.target.write(blob, read)
        self._sent[blob.digest] = read.moved
        if self._verify and (damage := await self._damage(blob)) is not None:
            raise _not_given_out(self.target, blob, damage)
        self._count(blob, "copied", platform, read.done)

    def _is_worth_asking(self, blob: Descriptor, is_config: bool) -> bool:
        """Whether the target is asked if it has a blob; the config of an image that is not there is sent unasked."""
        if self._verify:
            return False
        return isinstance(self.target, ChecksGraphs) or not (is_config and blob.size <= _SMALL)

    async def _plan(self, source: Readable, blob: Descriptor) -> Outcome:
        if await self._seems_to_contain(blob):
            return "present"
        return "mounted" if self._mounts is not None and self._is_sibling(self.planned_from or source) else "copied"

    async def _has_manifest(self, manifest: AnyManifest) -> bool:
        try:
            return (await fetch_manifest(self.target, manifest.descriptor)).raw == manifest.raw
        except _NOT_GIVEN_OUT:
            return False

    async def _is_intact(self, content: Descriptor) -> bool:
        return await self._damage(content) is None

    async def _damage(self, content: Descriptor) -> LadingError | None:
        """Why the target does not give a blob out whole, as it must be; None where it does: it is read.

        A target that cannot be reached for all that fails at the write that follows.
        """
        try:
            async with self._limits.place(content.size), self.target.open(content) as reader:
                async for _ in reader:
                    pass
        except _NOT_GIVEN_OUT as error:
            return error
        except Denied as error:
            if error.code != "storage-refused":
                raise
            return error
        return None

    def _is_same(self, source: Readable) -> bool:
        return source is self.target or (self._siblings is not None and self._siblings.is_same(source))

    def _is_at_home(self, source: Readable, content: Descriptor) -> bool:
        """Whether a source of content from several stores has it from the target itself."""
        return isinstance(source, GivesSources) and self._is_same(cast("Readable", source.source(content).origin))

    def _is_sibling(self, source: Readable) -> bool:
        if self._siblings is not None:
            return self._siblings.is_sibling(source)
        return self._mounts is not None and type(self.target) is type(source)

    def _count(self, content: Descriptor, outcome: Outcome, platform: str | None, counted: int = 0) -> None:
        # What this run has brought is there for the next that asks, and was brought all the same.
        key = (content.digest, is_manifest(content))
        before = self._steps.get(key)
        if before is None or before.outcome == "present":
            self._steps[key] = Step(content.digest, content.media_type, content.size, outcome, platform)
        self._meter.finished(self.target.name, content, outcome, counted)


def _not_given_out(target: Readable, blob: Descriptor, damage: LadingError) -> LadingError:
    """The error of a store that takes a blob, and does not give it out as it was written."""
    kind = DigestMismatch if isinstance(damage, InvalidContent) else RegistryFailure
    return kind(
        f"{target.name} says that it has {blob.digest}, and does not give it out as it was written",
        cause=str(damage),
        remedy="writing it again did not help: who runs it has to look at what it stores, and at its cache",
        code="not-given-out",
        fields={"store": target.name, "digest": str(blob.digest)},
        status=damage.status,
    )


def _label(entry: Descriptor) -> str | None:
    if entry.platform is None:
        return None
    return "attestation" if is_attestation(entry) else str(entry.platform)
