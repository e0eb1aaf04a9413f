"""A storage in a folder: every repository is an OCI image layout directory, which other tools read and write.

This module knows where the layout of a repository is, and nothing of HTTP; what is in a layout, and how processes
share one, `lading.stores.layout.layout` knows. The repository `a/b` is the layout `FOLDER/a/b`, tags are
`org.opencontainers.image.ref.name` annotations, and every manifest that was pushed is listed in `index.json`.

What has been acknowledged is on the disk, the bytes and the names: a killed process loses nothing of it, nor does a
machine without power. Any number of processes may serve one folder, and others write its layouts meanwhile.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import msgspec

from lading.errors import InvalidContent, LadingError, UsageError, way_on
from lading.io.files import make_folder, path_inside
from lading.io.locks import OnWait
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import Document
from lading.model.manifest import parse
from lading.model.media_types import OCI_MANIFEST
from lading.model.reference import is_tag
from lading.serve.storage.shared import SharedFiles
from lading.serve.storage.storage import (
    CHUNK,
    Incomplete,
    Listed,
    OpenBlob,
    StoredManifest,
    StoredRepository,
    Upload,
    call,
    is_repository,
)
from lading.stores.layout.files import ABSENT, replace
from lading.stores.layout.layout import GRACE, Layout
from lading.stores.layout.listing import Listing, add, plain, untag
from lading.stores.layout.reader import blob_path, leads_on

_RESERVED = frozenset({"blobs", "index.json", "oci-layout"})  # components that are files of the layout above
_ESCAPE = "_"  # no component begins with it
_REMEMBERED = 256  # layouts that are kept in mind although no request uses them


class Garbage(msgspec.Struct, frozen=True):
    """What a garbage collection removed, or would remove."""

    content: tuple[tuple[str, Descriptor], ...] = ()
    """What nothing refers to, each with the name of its repository: manifests with their media types, blobs without."""
    unfinished: int = 0
    """How many files that were never finished: uploads of processes that ended, and the like."""
    bytes: int = 0
    """How much room all of it took on the disk; content that another repository keeps takes it still."""
    failed: tuple[tuple[str, LadingError], ...] = ()
    """The repositories that could not be looked through, each with the reason; nothing in them was removed."""


class FolderStorage:
    """A storage in a folder, which is made if it does not exist.

    Args:
        path: the folder. Repositories are folders in it: `FOLDER/library/alpine/index.json`. A component of a
            repository's name that would be a file of the layout above it (`blobs`, `index.json`,
            `oci-layout`) has an underscore before it. What repositories share is in `FOLDER/.lading`.
        read_only: whether it must exist, and nothing in it is changed.
        on_wait: is told when another process holds the lock of a repository for some seconds.

    Raises:
        UsageError: there can be no such folder, there is none, or it cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False, on_wait: OnWait | None = None) -> None:
        self.path: Path = Path(path)
        self.refuses = "this registry is read-only" if read_only else None
        """Why nothing can be pushed to it; None where something can."""
        self._on_wait = on_wait
        self.shared: SharedFiles = SharedFiles(self.path)
        self._used: weakref.WeakValueDictionary[Path, _RepositoryLayout] = weakref.WeakValueDictionary()
        self._remembered: OrderedDict[Path, _RepositoryLayout] = OrderedDict()
        try:
            if read_only:
                os.scandir(self.path).close()
            else:
                make_folder(self.path)
                probe = self.shared.temporary()
                probe.touch()
                probe.unlink()
        except OSError as error:
            raise UsageError(
                f"cannot keep a registry in {self.path}", cause=error.strerror, remedy=way_on(error)
            ) from None

    async def repositories(self) -> Collection[str]:
        """The names of the repositories that exist, in any order."""
        return await in_thread(self._walk)

    def repository(self, name: str) -> StoredRepository:
        """The repository with this valid name, whether it exists or not."""
        return _FolderRepository(self.layout(name), self)

    async def size(self) -> int:
        """How many bytes it holds, with those of uploads that are not complete."""
        return await in_thread(self._measure)

    async def sweep(self, before: float) -> None:
        """Remove the uploads whose process has ended, and those that got no bytes since `before`."""
        await in_thread(self.shared.sweep, before)

    async def close(self) -> None:
        """Say that nothing is being received any more."""
        self.shared.close()

    async def gc(self, *, dry_run: bool = False, grace: float = GRACE, untagged: bool = False) -> Garbage:
        """Remove what nothing refers to. The registry may be running, in this process or in others.

        These are kept: manifests that have a tag or are listed without one, the content that they refer to, manifests
        whose subject is kept, and what is being uploaded.

        Args:
            dry_run: remove nothing, and only say what would go.
            grace: what was pushed or asked for within that many seconds stays: a client may be about to refer to it.
                A client that comes too late is told that the content is not there, and pushes it again.
            untagged: take manifests without a tag for unlisted, too, unless something kept leads to them.

        Returns:
            What was removed. Of a repository with a manifest that cannot be read nothing is removed.
        """
        content: list[tuple[str, Descriptor]] = []
        failed: list[tuple[str, LadingError]] = []
        parts, size = 0, 0
        links: dict[Digest, int] = {}
        for name in sorted(await self.repositories()):
            try:
                collected = await self.layout(name).gc(dry_run=dry_run, grace=grace, untagged=untagged)
            except LadingError as error:
                failed.append((name, error))
                continue
            parts += collected.parts
            size += collected.bytes
            for item in collected.content:
                content.append((name, item))
                links.setdefault(item.digest, 0)
                links[item.digest] += 1
        sizes = {item.digest: item.size for _, item in content}
        for digest, gone in links.items():
            # Each repository counted what it had, and on the disk that was the same file.
            left = await in_thread(self.shared.links, digest)
            if dry_run:
                shared, freed = left > 0, gone >= left
            else:
                freed = await in_thread(self.shared.drop, digest)
                shared = freed or left > 0
            if shared:
                size -= sizes[digest] * (gone - freed)
        uploads = await in_thread(self.shared.sweep, time.time() - grace, dry_run=dry_run)
        return Garbage(tuple(content), parts + len(uploads), size + sum(uploads), tuple(failed))

    def layout(self, name: str) -> _RepositoryLayout:
        """The layout of a repository: one object for all requests at the same time, so that they write together."""
        parts = (_ESCAPE + part if part in _RESERVED else part for part in name.split("/"))
        path = self.path.joinpath(*parts)
        layout = self._used.get(path)
        if layout is None:
            layout = self._used[path] = _RepositoryLayout(path, self.shared, self._on_wait)
        self._remembered[path] = layout
        self._remembered.move_to_end(path)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return layout

    def _measure(self) -> int:
        sizes: dict[tuple[int, int], int] = {}
        for folder, _, files in os.walk(self.path):
            for name in files:
                with suppress(*ABSENT):
                    status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - there are many
                    sizes[status.st_dev, status.st_ino] = status.st_size
        return sum(sizes.values())

    def _walk(self) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if name not in _RESERVED and not name.startswith(".")]
            if "index.json" in files and folder != str(self.path):
                parts = Path(folder).relative_to(self.path).parts
                found.append("/".join(part.removeprefix(_ESCAPE) for part in parts))
        return [name for name in found if is_repository(name)]


class _RepositoryLayout(Layout):
    """The layout of one repository, with what a registry does besides."""

    def __init__(self, path: Path, shared: SharedFiles, on_wait: OnWait | None = None) -> None:
        super().__init__(path, create=True, name=str(path), on_wait=on_wait)
        self._shared = shared
        self._graph: _Graph | None = None

    def file(self, digest: Digest) -> Path:
        """Where content is."""
        return path_inside(self.path, blob_path(digest))

    def open_file(self, digest: Digest) -> BinaryIO:
        """Open content to be read."""
        return self._open(blob_path(digest))

    async def look(self) -> Listing:
        """What is listed now; nothing where there is no layout yet."""
        known = self._index.known()
        return known if known is not None else await in_thread(self._listing)

    def exists(self) -> bool:
        """Whether there is a layout."""
        return self._index.path.exists()

    def find(self, digest: Digest) -> Descriptor | None:
        """A manifest, listed or below an index that is, as other tools do it."""
        listed = self._listing().listed(digest)
        if listed is not None or not self.file(digest).exists():
            return listed
        return self.graph().manifests.get(digest)

    def graph(self) -> _Graph:
        """All manifests that the index leads to, and what they refer to."""
        listing = self._listing()
        if self._graph is None or self._graph.listing is not listing:
            manifests: dict[Digest, Descriptor] = {}
            referrers: dict[Digest, list[Descriptor]] = {}
            left_out: list[Descriptor] = []
            for content, summary in self._walk(listing.entries, left_out=left_out):
                if summary.subject is not None and content.digest not in manifests:
                    referrers.setdefault(summary.subject, []).append(summary.as_referrer)
                manifests[content.digest] = content
            self._graph = _Graph(listing, manifests, referrers, tuple(left_out))
        return self._graph

    def touch(self, digest: Digest) -> int | None:
        """The size of content in bytes, None where there is none; it counts as asked for."""
        try:
            size = self._size(blob_path(digest))
            self._touch(self.file(digest))
            return size
        except ABSENT:
            return None

    async def make(self) -> None:
        """Make the layout, if there is none; what a manifest needs is looked for when it is put."""
        self._is_made = False
        await self._make()

    async def publish(self, manifest: StoredManifest, tags: Sequence[str], needs: Collection[Digest]) -> None:
        """Write a manifest and list it under tags, if all is there that it needs."""

        def check() -> None:
            if missing := [digest for digest in needs if not self.file(digest).exists()]:
                raise Incomplete(missing)

        def change(entries: list[Document]) -> None:
            check()  # a collector may have been here
            for tag in tags or (None,):
                add(entries, entry, tag)

        content = Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=len(manifest.raw))
        entry = plain(content)
        check()
        await self._put(manifest.raw, content, change)

    async def forget(self, tag: str) -> bool:
        """Take a tag away; False if there is none."""
        found = False

        def change(entries: list[Document]) -> None:
            nonlocal found
            before = entries.copy()
            untag(entries, tag)
            found = entries != before

        if self.exists():
            await self._index.change(change)
        return found

    async def remove(self, digest: Digest) -> bool:
        """Remove a manifest with its tags, and list what only it has listed; False if there is none."""
        if not self.exists():
            return False
        async with self._index.locked():
            return await in_thread(self._take_out, digest)

    def _take_out(self, digest: Digest) -> bool:
        content = self.find(digest)
        if content is None:
            return False
        listing = self._listing()
        left = listing.changed([entry for entry in listing.documents if entry["digest"] != digest])
        summary = self._look(content, listed=True)
        documents = left.documents
        children = [child for child in summary.children if leads_on(child)] if summary is not None else []
        if not all(left.listed(child.digest) for child in children):
            # What is not seen, because a list leads to too much, is listed once more.
            kept = {item.digest for item, _ in self._walk(left.entries, left_out=[])}
            for child in children:
                if child.digest not in kept and self.file(child.digest).exists():
                    add(documents, plain(child), None)
        self._index.write(left.changed(documents))
        self.file(digest).unlink(missing_ok=True)
        self._summaries.pop(digest, None)
        self._graph = None
        self._shared.drop(digest)
        return True

    def _absent(self) -> Listing:
        # Beside the layout of a repository there are those of the repositories below it.
        return Listing.empty()

    def _replace(self, path: str, data: bytes) -> None:
        replace(self._shared.temporary(), self.path / path, data)


class _Graph(NamedTuple):
    """Where an index leads to."""

    listing: Listing
    manifests: dict[Digest, Descriptor]
    referrers: dict[Digest, list[Descriptor]]
    left_out: tuple[Descriptor, ...]
    """The listed manifests that lead to more than a walk follows."""


class _FolderRepository:
    def __init__(self, layout: _RepositoryLayout, folder: FolderStorage) -> None:
        self.layout = layout
        self.folder = folder

    async def exists(self) -> bool:
        return self.layout.exists()

    async def tags(self) -> Listed[str]:
        return Listed([tag for tag in (await self.layout.look()).tags() if is_tag(tag)])

    async def referrers(self, subject: Digest) -> Listed[Descriptor]:
        graph = await in_thread(self.layout.graph)
        warning = ""
        if graph.left_out:
            what = f"{graph.left_out[0].digest} leads to more manifests than are looked through"
            warning = f"this list may lack some: {what}"
        return Listed(graph.referrers.get(subject, ()), warning)

    async def manifest(self, name: str) -> StoredManifest | None:
        listing = await self.layout.look()
        if ":" in name:
            content = listing.listed(name) or await in_thread(self.layout.find, Digest(name))
        else:
            named = listing.named(name)
            content = named[0] if len({entry.digest for entry in named}) == 1 else None
        if content is None:
            return None
        try:
            with self.layout.open_file(content.digest) as file:
                raw = file.read()
        except ABSENT:
            return None
        verify(raw, content.digest, name=str(self.layout.file(content.digest)))
        return StoredManifest(raw, content.media_type or _media_type(raw), content.digest)

    async def put_manifest(
        self, manifest: StoredManifest, tags: Sequence[str] = (), needs: Collection[Digest] = ()
    ) -> None:
        await self.layout.publish(manifest, tags, needs)

    async def delete_manifest(self, digest: Digest) -> bool:
        return await self.layout.remove(digest)

    async def untag(self, tag: str) -> bool:
        return await self.layout.forget(tag)

    async def blob(self, digest: Digest) -> OpenBlob | None:
        try:
            return _FolderBlob(self.layout.open_file(digest))
        except ABSENT:
            return None

    async def blob_size(self, digest: Digest) -> int | None:
        return self.layout.touch(digest)

    async def mount(self, digest: Digest, source: str) -> bool:
        other = self.folder.layout(source).file(digest)
        if self.folder.layout(source).touch(digest) is None:
            return False
        await self.layout.make()
        return await in_thread(self.folder.shared.link, other, digest, self.layout.file(digest))

    async def delete_blob(self, digest: Digest) -> bool:
        try:
            self.layout.file(digest).unlink()
        except ABSENT:
            return False
        self.folder.shared.drop(digest)
        return True

    async def upload(self) -> Upload:
        return _FolderUpload(self.layout, self.folder.shared)


class _FolderBlob:
    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self.file: BinaryIO | None = file
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        self._file.seek(start)
        async for chunk in _read_chunks(self._file, stop - start):
            yield chunk


class _FolderUpload:
    def __init__(self, layout: _RepositoryLayout, shared: SharedFiles) -> None:
        self.size = 0
        self._layout = layout
        self._shared = shared
        self._path = shared.temporary()
        self._path.touch(exist_ok=False)

    async def append(self, data: bytes) -> None:
        await call(len(data), self._write, data)
        self.size += len(data)

    async def chunks(self, start: int = 0) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(start)
            async for chunk in _read_chunks(file, self.size - start):
                yield chunk

    async def commit(self, digest: Digest) -> None:
        await self._layout.make()
        await in_thread(self._shared.keep, self._path, digest, self._layout.file(digest))

    async def discard(self) -> None:
        self._path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        with self._path.open("r+b") as file:  # not kept open: many may be waiting for their next chunk
            file.seek(self.size)
            file.write(data)


async def _read_chunks(file: BinaryIO, length: int) -> AsyncIterator[bytes]:
    while length:
        size = min(length, CHUNK)
        chunk = await call(size, file.read, size)
        if not chunk:
            return
        length -= len(chunk)
        yield chunk


def _media_type(raw: bytes) -> str:
    """What a manifest is whose index does not say it."""
    try:
        return parse(raw).media_type
    except InvalidContent:
        return OCI_MANIFEST
