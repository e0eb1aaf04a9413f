"""Copying a content graph from one store to another: children first, each blob once, nothing twice.

This module knows stores, and not which ones: what a store can do better (mount, put) it is asked with `isinstance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeVar

import msgspec

from lading.errors import InvalidContent, LadingError, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import MANIFESTS, is_foreign_layer
from lading.store import AnyManifest, Mounts, Store, fetch_manifest, from_store, put_manifest

_T = TypeVar("_T")
_Work = Coroutine[Any, Any, _T]
_DEPTH_LIMIT = 16


class Copied(msgspec.Struct):
    """What a copy did."""

    manifests: int = 0
    """How many manifests were written."""
    uploaded: int = 0
    """How many blobs were uploaded."""
    mounted: int = 0
    """How many blobs were mounted from a sibling."""
    present: int = 0
    """How many blobs and manifests were there already."""
    bytes: int = 0
    """How many bytes of blobs were uploaded."""


class Copier:
    """Copies any number of graphs into one target; what it has brought there once it does not bring again.

    Args:
        target: the store to write to.
    """

    def __init__(self, target: Store) -> None:
        self.target = target
        self.done = Copied()
        self._pending: dict[Digest, asyncio.Task[None]] = {}

    async def copy(self, source: Store, content: Descriptor | AnyManifest, *, names: Iterable[str] = ()) -> AnyManifest:
        """Copy a manifest with everything it refers to, children before parents, tags last.

        Args:
            source: the store to read from.
            content: the manifest, or its descriptor where it has to be read from `source` first.
            names: the tags it gets in the target; none leaves it there by digest.

        Returns:
            The manifest.

        Raises:
            NotFound: the source lacks something; nothing that refers to it was written.
        """
        manifest = await self._manifest(source, content)
        await self._children(source, manifest, 0)
        await put_manifest(self.target, manifest, tuple(names))
        self.done.manifests += 1
        return manifest

    async def _manifest(self, source: Store, content: Descriptor | AnyManifest) -> AnyManifest:
        return await fetch_manifest(source, content) if isinstance(content, Descriptor) else content

    async def _children(self, source: Store, manifest: AnyManifest, depth: int) -> None:
        if depth > _DEPTH_LIMIT:
            raise InvalidContent(f"{source.name}@{manifest.digest} is nested too deeply")
        if isinstance(manifest, Index):
            await gather(
                self._once(child, partial(self._subtree, source, child, depth + 1)) for child in manifest.manifests
            )
        else:
            await gather(self._once(blob, partial(self._blob, source, blob)) for blob in _blobs(manifest))

    async def _once(self, content: Descriptor, work: Callable[[], _Work[None]]) -> None:
        # Content that several parents share is brought by the first that asks; the others wait for it.
        task = self._pending.get(content.digest)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._pending[content.digest] = asyncio.ensure_future(work())
        await task

    async def _subtree(self, source: Store, child: Descriptor, depth: int) -> None:
        if child.media_type not in MANIFESTS:
            await self._blob(source, child)
            return
        if await self.target.contains(child):
            self.done.present += 1
            return
        try:
            manifest = await fetch_manifest(source, child.content)
        except NotFound as error:
            raise NotFound(
                f"{source.name} lists {child.digest}, but does not have it",
                cause=f"entry for {child.platform}" if child.platform else None,
                remedy="choose the platforms that are there with --platform",
            ) from error
        await self._children(source, manifest, depth)
        await put_manifest(self.target, manifest)
        self.done.manifests += 1

    async def _blob(self, source: Store, blob: Descriptor) -> None:
        # A mount costs one request whether the blob is there or not, so it comes before the question.
        if isinstance(self.target, Mounts) and await self.target.mount(blob, source):
            self.done.mounted += 1
        elif await self.target.contains(blob):
            self.done.present += 1
        else:
            await self.target.write(blob, from_store(source, blob))
            self.done.uploaded += 1
            self.done.bytes += blob.size


async def gather(work: Iterable[_Work[_T]]) -> list[_T]:
    """Run everything at once and return the results in order; the first failure ends the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item) for item in work]
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    return [task.result() for task in tasks]


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception of a task group that a user should see: one that is no bug, where there is one."""
    flat = list(_leaves(failures))
    return next((failure for failure in flat if isinstance(failure, LadingError)), flat[0])


def _leaves(failures: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure


def _blobs(manifest: Manifest) -> Iterable[Descriptor]:
    # Foreign layers are not in the registry they are named in; clients fetch them from their `urls`.
    return (blob for blob in manifest.children if not (is_foreign_layer(blob.media_type) and blob.urls))
