"""An OCI image layout directory, as a Store (image-spec image-layout).

This module knows the layout's files and how to change them safely; what manifests mean is the model's business.
Several processes may read and write one layout at once: content appears under its name whole, by renaming, and
`index.json` changes by one rename under a lock. Readers never wait. What lading needs besides is in one folder:

    DIR/oci-layout, DIR/index.json, DIR/blobs/ALGORITHM/HEX     the layout
    DIR/.lading/lock                                            held while index.json is changed
    DIR/.lading/ALGORITHM-HEX                                   content of which a part has come
    DIR/.lading/RANDOM                                          a file on its way into place
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import stat
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from lading.errors import Conflict, DigestMismatch, InvalidContent, LadingError, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import ALGORITHMS, Digest, verify
from lading.model.encoding import SIZE_LIMIT, Document, encode_compact
from lading.model.manifest import parse
from lading.model.reference import check_tag
from lading.store import AnyManifest, Reader, Source, is_manifest
from lading.stores.layout_entries import IMAGE_NAME, REF_NAME, Listing, add, is_digest, names_of, untag
from lading.stores.layout_parts import Part, in_thread, part_size, pour, replace, sync_folder
from lading.stores.layout_reader import Facts, LayoutReader, blob_path

__all__ = ["GRACE", "IMAGE_NAME", "REF_NAME", "Collected", "Layout", "LayoutFolder"]

GRACE = 24 * 60 * 60
"""How old what nothing refers to has to be before it is collected, in seconds: a writer may be about to refer to it."""

_OURS = ".lading"
_LOCK = "lock"
_PARTS = frozenset({"oci-layout", "index.json", "blobs", "ingest", _OURS})
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_PATIENCE = 60  # how long to wait for another process that changes index.json, in seconds
_POLL = 0.005
_TOUCHED = 60  # content that was touched within that many seconds is not touched again
_SETTLED = 0.1  # a file that old, in seconds, would have another time if it had been changed since
_READS = 20
_PAUSE = 0.02
_ABSENT = (FileNotFoundError, NotADirectoryError)


class Collected(msgspec.Struct, frozen=True):
    """What a garbage collection removed, or would remove."""

    content: tuple[Descriptor, ...] = ()
    """Manifests and blobs that nothing refers to, without media types."""
    bytes: int = 0
    """Their size altogether, with that of parts that were never finished."""
    parts: int = 0
    """How many unfinished files."""


class LayoutFolder(LayoutReader):
    """An image layout in a directory, for reading.

    Args:
        path: the directory.
        name: what it is called in messages; by default its path.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        super().__init__(name or f"oci:{os.fspath(path)}")
        self.path = Path(path)

    async def check(self) -> None:
        """Make sure that there is a layout, or that one can be made where that is allowed.

        Raises:
            NotFound: the directory does not exist.
            InvalidContent: it is something else than a layout.
        """
        await in_thread(self._listing)

    def _open(self, path: str) -> BinaryIO:
        # Something else than a file, such as a pipe, must not make anybody wait.
        file = io.FileIO(os.open(self.path / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        return io.BufferedReader(file)

    def _size(self, path: str) -> int:
        status = (self.path / path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise InvalidContent(f"{self._where(path)} is not a file")
        return status.st_size

    def _where(self, path: str) -> str:
        return str(self.path / path)

    def _absent(self) -> Listing:
        if (self.path / "oci-layout").is_file():
            return Listing.empty()
        if self.path.is_dir():
            raise InvalidContent(f"{self.path} is not an image layout", cause="it has no index.json")
        if self.path.exists():
            raise InvalidContent(
                f"{self.path} is not an image layout",
                cause="it is not a directory",
                remedy=f"if it is an archive: oci-archive:{self.path}",
            )
        raise NotFound(f"{self.path} does not exist")


class Layout(LayoutFolder):
    """An image layout in a directory.

    Args:
        path: the directory.
        create: make a layout with the first write, where the directory is missing or empty.
        verify: believe nothing that is there: `contains` reads blobs too, and so a `write` replaces damaged ones.
        name: what it is called in messages; by default its path.

    Nothing is removed unless `delete` or `gc` is called: a manifest that loses its tag stays listed without one.
    A `write` of content that is there does nothing, unless it has another size, is a damaged manifest, was found
    damaged by a read, or `verify` finds it damaged: then it is replaced.
    """

    def __init__(
        self, path: str | os.PathLike[str], create: bool = False, *, verify: bool = False, name: str | None = None
    ) -> None:
        super().__init__(path, name=name)
        self._create = create
        self._verify = verify
        self._known: tuple[_Stamp, Listing] | None = None
        self._changes: list[_Change] = []

    async def write(self, content: Descriptor, source: Source, offset: int = 0) -> None:
        """Write a manifest or blob: it appears whole under its name, or not at all.

        What came of a large blob before the source failed is kept for `resumed`.

        Args:
            content: what it must turn out to be.
            source: its bytes.
            offset: how many bytes `resumed` said are kept; the source gives those after them.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
            Conflict: what was kept is gone, or somebody else is writing it; write it from the beginning.
        """
        if is_manifest(content):
            raw = await Reader(content, source()).read(SIZE_LIMIT)
            await self.put(parse(raw, content.media_type, digest=content.digest, what=self._named(content.digest)))
        elif not await self.contains(content):
            await self._make()
            await self._write(content, source, offset)
            self._damaged.discard(content.digest)

    async def resumed(self, content: Descriptor) -> int:
        """How many bytes of a blob are kept from a write that broke off, not verified yet; 0 for none."""
        return await in_thread(self._resumed, content)

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Write a manifest and list it under a tag, or without one.

        Entries that say nothing but the digest of an index's children go when the index comes: it lists them.

        Raises:
            DigestMismatch: its bytes do not have its digest.
            InvalidReference: the name cannot be a tag.
        """
        verify(manifest.raw, manifest.digest)
        if name is not None:
            check_tag(name)
        await self._make()
        if not await self.contains(manifest.descriptor):
            await in_thread(self._write_manifest, manifest)
            self._damaged.discard(manifest.digest)
        await self._change(lambda entries: add(entries, manifest, name))

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give a manifest that is here a tag; the tag moves if it exists.

        Raises:
            NotFound: the manifest is not here.
        """
        await self.put(await self.fetch(content.digest), name)

    async def untag(self, name: str) -> None:
        """Remove a tag; the manifest stays listed without it.

        Raises:
            NotFound: there is no such tag.
            Conflict: it is the tag of several manifests.
        """
        if is_digest(name):
            raise NotFound(f"{name} is a digest, not a tag")
        (await in_thread(self._listing)).find(name, self.name)
        await self._change(lambda entries: untag(entries, name))

    async def delete(self, content: Descriptor) -> None:
        """Delete a manifest with all its tags, or a blob.

        What a deleted manifest refers to stays; `gc` removes it when nothing else does.

        Raises:
            NotFound: it is not here.
            Conflict: a manifest here refers to it.
        """
        await in_thread(self._listing)
        async with self._locked():
            await in_thread(self._delete, content)

    async def gc(self, *, dry_run: bool = False, grace: float = GRACE, untagged: bool = False) -> Collected:
        """Remove the content that nothing refers to.

        Kept is what `index.json` lists, all that leads on from there, and manifests whose subject is kept.

        Args:
            dry_run: remove nothing, and only say what would go.
            grace: what was written or asked for within that many seconds stays: somebody may be about to refer to
                it. 0 only if nobody is writing.
            untagged: take entries without a tag for unlisted, too.

        Returns:
            What went.

        Raises:
            InvalidContent: a manifest cannot be read, and nobody knows what it refers to; nothing was removed.
        """
        await in_thread(self._listing)
        if dry_run:
            return await in_thread(self._collect, grace, untagged, True)
        async with self._locked():
            return await in_thread(self._collect, grace, untagged, False)

    # Reading, and more

    def _absent(self) -> Listing:
        if not self._create:
            return super()._absent()
        # One look only: another process may be making it at this moment.
        try:
            names = {file.name for file in self.path.iterdir()}
        except FileNotFoundError:
            return Listing.empty()
        except NotADirectoryError:
            return super()._absent()
        if "oci-layout" in names or names <= _PARTS:
            return Listing.empty()
        raise Conflict(
            f"{self.path} is not an image layout",
            cause="it has other files, and no index.json",
            remedy="choose a directory that is new or empty",
        )

    def _listing(self, *, fresh: bool = False) -> Listing:
        index = self.path / "index.json"
        if not fresh and self._known is not None and self._known[0] == _stamp(index):
            return self._known[1]
        for attempt in range(_READS):
            before = _stamp(index)
            try:
                listing = super()._listing()
            except InvalidContent:
                # Some tools truncate the file before they write it.
                if before is None or attempt == _READS - 1 or before.age() > 1:
                    raise
                time.sleep(_PAUSE)
            else:
                self._known = (before, listing) if before is not None and before.age() > _SETTLED else None
                return listing
        raise AssertionError("unreachable")

    def _contains(self, content: Descriptor, *, verify: bool = False) -> bool:
        if not super()._contains(content, verify=verify or self._verify):
            return False
        # It is about to be referred to: a garbage collection must not take it for forgotten.
        path = self.path / blob_path(content.digest)
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _TOUCHED:
                os.utime(path)
        return path.exists()

    # Writing

    async def _make(self) -> None:
        """Make the layout, if there is none."""
        if (self.path / "index.json").exists() and (self.path / "oci-layout").exists():
            return
        await in_thread(self._listing)
        async with self._locked():
            await in_thread(self._make_files)

    def _make_files(self) -> None:
        with self._changing():
            (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (self.path / "oci-layout").exists():
                self._replace("oci-layout", _VERSION)
            if not (self.path / "index.json").exists():
                self._write_index(Listing.empty().document)

    async def _write(self, content: Descriptor, source: Source, offset: int) -> None:
        def begin() -> Part:
            with self._changing():
                return Part.begin(self._ours(), content, offset)

        def append(data: bytes) -> None:
            with self._changing():
                part.append(data)

        def finish() -> None:
            with self._changing():
                part.finish(self.path / blob_path(content.digest))

        part = await in_thread(begin)
        try:
            while offset and not await in_thread(part.catch_up, offset):
                pass
            # There may be nothing left to come, only to be moved into place.
            if not offset or offset < content.size:
                await pour(source, append)
            await in_thread(finish)
        except BaseException as error:
            part.give_up(error)
            raise

    def _resumed(self, content: Descriptor) -> int:
        if is_manifest(content):
            return 0
        with self._changing():
            size = part_size(self.path / _OURS, content.digest)
        return size if size <= content.size else 0

    def _write_manifest(self, manifest: AnyManifest) -> None:
        with self._changing():
            self._replace(blob_path(manifest.digest), manifest.raw)

    async def _change(self, change: Callable[[list[Document]], None]) -> None:
        """Change the entries of `index.json`; changes that wait at the same time are written together."""
        mine = _Change(change)
        self._changes.append(mine)
        try:
            async with self._locked(lambda: mine.done):
                if not mine.done:
                    taken, self._changes = self._changes, []
                    await in_thread(self._apply, taken)
        finally:
            if mine in self._changes:
                self._changes.remove(mine)
        if mine.error is not None:
            raise mine.error

    def _apply(self, changes: Sequence[_Change]) -> None:
        error: BaseException | None = None
        try:
            listing = self._listing(fresh=True)
            entries = listing.documents
            for change in changes:
                change.make(entries)
            if entries != (listing.document.get("manifests") or []):
                with self._changing():
                    self._write_index(listing.document | {"manifests": entries})
        except BaseException as failure:
            error = failure
        for change in changes:
            change.error, change.done = error, True

    def _write_index(self, document: Document) -> None:
        # What it names has to last before it does.
        for algorithm in ALGORITHMS:
            sync_folder(self.path / "blobs" / algorithm)
        self._replace("index.json", encode_compact(document))
        sync_folder(self.path)
        self._known = None

    def _delete(self, content: Descriptor) -> None:
        listing = self._listing(fresh=True)
        path = self.path / blob_path(content.digest)
        for parent, facts in self._walk(listing.entries):
            if any(child.digest == content.digest for child in facts.children):
                raise Conflict(
                    f"{self._named(content.digest)} cannot be deleted",
                    cause=f"{parent.digest} refers to it",
                    remedy="delete that first",
                )
        kept = [entry for entry in listing.documents if entry["digest"] != content.digest]
        with self._changing():
            if len(kept) == len(listing.entries) and not path.exists():
                raise self._is_missing(content)
            if len(kept) != len(listing.entries):
                self._write_index(listing.document | {"manifests": kept})
            path.unlink(missing_ok=True)
            self._facts.pop(content.digest, None)

    # Collecting

    def _collect(self, grace: float, untagged: bool, dry_run: bool) -> Collected:
        listing = self._listing(fresh=True)
        before = time.time() - grace
        with self._changing():
            files = self._files()
            kept = self._kept([entry for entry in listing.entries if not untagged or names_of(entry)], files)
            gone = [
                Descriptor(digest=digest, size=size)
                for digest, size in files.items()
                if digest not in kept and self._remove(blob_path(digest), before, dry_run)
            ]
            parts = [
                size
                for name, size in _sizes(self.path / _OURS)
                if name != _LOCK and self._remove(f"{_OURS}/{name}", before, dry_run)
            ]
            left = {content.digest for content in gone}
            entries = [entry for entry in listing.documents if entry["digest"] not in left]
            if not dry_run and len(entries) != len(listing.entries):
                self._write_index(listing.document | {"manifests": entries})
        return Collected(tuple(gone), sum(content.size for content in gone) + sum(parts), len(parts))

    def _files(self) -> dict[Digest, int]:
        """The size of all content; what has no digest for a name was put there by somebody, and is left alone."""
        return {
            Digest(f"{algorithm}:{name}"): size
            for algorithm in ALGORITHMS
            for name, size in _sizes(self.path / "blobs" / algorithm)
            if is_digest(f"{algorithm}:{name}")
        }

    def _kept(self, roots: Sequence[Descriptor], files: Mapping[Digest, int]) -> set[Digest]:
        kept = {entry.digest for entry in roots}
        for _, facts in self._walk(roots, strict=True):
            kept.update(child.digest for child in facts.children)
        # A signature that nothing lists belongs to what it signs all the same.
        referrers = [
            (digest, found.subject)
            for digest, size in files.items()
            if digest not in kept and (found := self._look_into(digest, size)) and found.subject is not None
        ]
        while new := [digest for digest, subject in referrers if subject in kept and digest not in kept]:
            for digest in new:
                kept |= self._kept([Descriptor(digest=digest, size=files[digest])], {})
        return kept

    def _look_into(self, digest: Digest, size: int) -> Facts | None:
        """What a file says, if it is a manifest."""
        if size > SIZE_LIMIT:
            return None
        with self._open(blob_path(digest)) as file:
            if not file.read(64).lstrip().startswith(b"{"):
                return None
        try:
            return self._look(Descriptor(digest=digest, size=size))
        except DigestMismatch:
            return None

    def _remove(self, path: str, before: float, dry_run: bool) -> bool:
        """Remove a file, unless somebody asked for it of late; whether it goes."""
        file = self.path / path
        aside = self._ours() / uuid.uuid4().hex
        with suppress(FileNotFoundError):
            if file.stat().st_mtime > before:
                return False
            if not dry_run:
                # Moved away first: who is about to refer to it has touched it by now, or does not find it any more.
                file.replace(aside)
                if aside.stat().st_mtime > before:
                    aside.replace(file)
                    return False
                aside.unlink()
            return True
        return False

    def _ours(self) -> Path:
        folder = self.path / _OURS
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _replace(self, path: str, data: bytes) -> None:
        replace(self._ours() / uuid.uuid4().hex, self.path / path, data)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Report whatever the file system refuses as a LadingError."""
        try:
            with self._reporting():
                yield
        except _ABSENT as error:
            raise LadingError(f"cannot write to {self.name}", cause=f"{error.strerror} ({error.filename})") from error

    @asynccontextmanager
    async def _locked(self, enough: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
        """Hold the lock of `index.json`; or go on without it as soon as there is `enough`."""
        from filelock import FileLock, Timeout

        with self._changing():
            lock = FileLock(self._ours() / _LOCK)
        until = time.monotonic() + _PATIENCE
        while not enough():
            with self._changing(), suppress(Timeout):
                lock.acquire(blocking=False)
                break
            if time.monotonic() > until:
                raise Conflict(
                    f"another process has been writing to {self.path} for {_PATIENCE} s",
                    remedy=f"end it, or see who holds {self.path / _OURS / _LOCK}",
                )
            await asyncio.sleep(_POLL * (0.5 + random.random()))
        try:
            yield
        finally:
            lock.release()


class _Stamp(NamedTuple):
    """What tells one state of a file from another."""

    inode: int
    modified: int
    size: int

    def age(self) -> float:
        return time.time() - self.modified / 1e9


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """The files in a folder, with their sizes in bytes; others may be at work there."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if file.is_file():
                yield file.name, file.stat().st_size


class _Change:
    """A change of the entries of `index.json` that waits to be made."""

    def __init__(self, make: Callable[[list[Document]], None]) -> None:
        self.make = make
        """Changes the list in place."""
        self.done = False
        self.error: BaseException | None = None
