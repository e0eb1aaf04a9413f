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

import io
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from lading.errors import Conflict, DigestMismatch, InvalidContent, NotFound
from lading.io.files import lock_inside, make_folder_inside, open_inside, path_inside, status_inside
from lading.io.locks import OnWait
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import ALGORITHMS, Digest, verify
from lading.model.encoding import SIZE_LIMIT, Document
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.media_types import OCI_INDEX
from lading.model.reference import check_name, is_tag
from lading.model.tags import fallback_tag
from lading.store import AnyManifest, Check, Readable, Reader, Source, is_manifest
from lading.stores.layout.files import (
    ABSENT,
    PartialBlob,
    changing,
    left_behind,
    matches,
    move,
    part_size,
    pour,
    replace,
    share,
    sweep,
)
from lading.stores.layout.index_file import LOCK, OURS, IndexFile
from lading.stores.layout.listing import (
    IMAGE_NAME,
    REF_NAME,
    Listing,
    add,
    find,
    is_digest,
    lists_referrers,
    name_in_full,
    names_of,
    plain,
    untag,
)
from lading.stores.layout.reader import LayoutReader, blob_path
from lading.stores.location import Location
from lading.stores.manifest_summary import Summary

__all__ = ["GRACE", "IMAGE_NAME", "REF_NAME", "Collected", "Layout", "LayoutFolder"]

GRACE = 24 * 60 * 60
"""How old what nothing refers to has to be before it is collected, in seconds: a writer may be about to refer to it."""

_PARTS = frozenset({"oci-layout", "index.json", "blobs", "ingest", OURS})
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_TOUCHED = 1
"""How old a file's modification time has to be before it is set anew, in seconds: blobs are looked at often."""


class Collected(msgspec.Struct, frozen=True):
    """What a garbage collection removed, or would remove."""

    content: tuple[Descriptor, ...] = ()
    """The manifests that were listed, with their media types, and the other content that nothing refers to, without."""
    bytes: int = 0
    """The size of all of it and of the partial blobs, in bytes."""
    parts: int = 0
    """How many partial blobs."""


@asynccontextmanager
async def open_to_read(location: Location) -> AsyncIterator[Layout]:
    """The layout of a location; see `lading.stores.opening`."""
    layout = Layout(location.path)
    await layout.check()
    yield layout


@asynccontextmanager
async def open_to_write(location: Location, on_wait: OnWait | None = None) -> AsyncIterator[Layout]:
    """The layout of a location, which is made with the first write; see `lading.stores.opening`."""
    layout = Layout(location.path, create=True, on_wait=on_wait)
    await layout.check()
    yield layout


class LayoutFolder(LayoutReader):
    """An image layout in a directory, for reading.

    Args:
        path: the directory.
        name: what it is called in messages; by default its path.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        super().__init__(name or str(Location(kind="oci", path=os.fspath(path))))
        self.path: Path = Path(path)

    async def check(self) -> None:
        """Make sure that there is a layout, or that one can be made where that is allowed.

        Raises:
            NotFound: the directory does not exist.
            InvalidContent: it is something else than a layout.
        """
        await in_thread(self._listing)

    def _open(self, path: str) -> BinaryIO:
        return io.BufferedReader(io.FileIO(open_inside(self.path, path)))

    def _size(self, path: str) -> int:
        return status_inside(self.path, path).st_size

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
        raise NotFound(
            f"the directory {self.path} does not exist",
            remedy="check its path; a layout comes about when something is copied into it",
        )


class Layout(LayoutFolder):
    """An image layout in a directory.

    Args:
        path: the directory.
        create: make a layout with the first write, where the directory is missing or empty.
        verify: read every blob that is asked for with `contains`; so `write` replaces damaged ones.
        name: what it is called in messages; by default its path.
        on_wait: is told when another process holds the layout's lock for some seconds.

    Nothing is removed unless `delete` or `gc` is called: a manifest that loses its tag stays listed without one.
    A `write` of content that is there does nothing, unless it has another size, is a damaged manifest, was found
    damaged by a read, or `verify` finds it damaged: then it is replaced.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        create: bool = False,
        *,
        verify: bool = False,
        name: str | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        super().__init__(path, name=name)
        self._create = create
        self._is_made = False
        self._is_tidy = False
        self._verify = verify
        self.repository: str | None = None
        """The repository that tags which are written here are of: their entries get the full name, too."""
        self.replaced_lists: set[Digest] = set()
        """The lists of referrers that this object has replaced by other ones; nothing refers to them."""
        self._index = IndexFile(self.path, self.name, super()._listing, on_wait)

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob: it appears whole under its name, or not at all.

        If the source of a large blob fails, the bytes that it gave are kept, and the next write continues after them.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
        """
        if is_manifest(content):
            raw = await Reader(content, source()).read(SIZE_LIMIT)
            await self.put(parse(raw, content.media_type, digest=content.digest, what=self._named(content.digest)))
        elif not await self.contains(content):
            await self._make()
            kept = await in_thread(self._kept_part, content)
            try:
                await self._write(content, source, kept)
            except (Conflict, DigestMismatch):
                if not kept:
                    raise
                await self._write(content, source, 0)  # the kept bytes are gone or wrong: write all of them
            self._damaged.discard(content.digest)

    swaps_tags = True

    async def put(self, manifest: AnyManifest, name: str | None = None, *, check: Check | None = None) -> None:
        """Write a manifest and list it under a name, or without one; `check` is called while the lock is held.

        An entry of an index's child that says nothing but what the index says of it is removed when the index is
        written. A manifest with a subject is also listed under the subject's fallback tag, where regctl looks for it.

        Raises:
            DigestMismatch: its bytes do not have its digest.
            InvalidReference: the name cannot be one.
        """
        verify(manifest.raw, manifest.digest)
        if name is not None:
            check_name(name)
        children = {child.digest for child in manifest.children}
        entry = plain(msgspec.structs.replace(manifest.descriptor, artifact_type=manifest.artifact_type))

        def change(entries: list[Document]) -> None:
            if check is not None and name is not None:
                check(name, self._named_in(entries, name))
            add(entries, entry, name, children)
            if name is not None and is_tag(name) and self.repository is not None:
                name_in_full(entries, self.repository, {name})
            if manifest.subject is not None:
                self._list_referrer(entries, fallback_tag(manifest.subject.digest), manifest.as_referrer)

        await self._put(manifest.raw, manifest.descriptor, change)

    async def own(self, repository: str, tags: Collection[str] = ()) -> None:
        """Take a repository for that of the tags which are written from now on, and of these, which are here already.

        Args:
            repository: its full name.
            tags: their entries get the full name, too.
        """
        self.repository = repository
        if tags:
            await self._index.change(lambda entries: name_in_full(entries, repository, tags))

    async def has_referrer(self, manifest: AnyManifest) -> bool:
        """Whether a manifest is here, and listed: an interrupted write may have left it unlisted."""
        listing = await in_thread(self._listing)
        is_listed = any(entry.digest == manifest.digest for entry in listing.entries)
        return is_listed and await self.contains(manifest.descriptor)

    asks_first = True

    def is_same(self, other: Readable) -> bool:
        """Whether the other is this directory."""
        try:
            return isinstance(other, LayoutFolder) and self.path.samefile(other.path)
        except OSError:
            return False

    def is_sibling(self, other: Readable) -> bool:
        """Whether the other is on this file system, so that both can share files."""
        return isinstance(other, LayoutFolder) and _device(self.path) == _device(other.path)

    async def mount(self, content: Descriptor, source: Readable) -> bool:
        """Share the file of a blob with another layout on this file system; its content is verified.

        Returns:
            False where that cannot be done, or the other's file is missing or damaged.
        """
        if not isinstance(source, LayoutFolder) or is_manifest(content) or not self.is_sibling(source):
            return False
        await self._make()
        if not await in_thread(self._mount, content, source):
            return False
        self._damaged.discard(content.digest)
        return True

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give a manifest that is here a tag; the tag moves if it exists.

        Raises:
            NotFound: the manifest is not here.
        """
        await self.put(await self.fetch(content.digest), name)

    async def untag(self, name: str, *, check: Check | None = None) -> None:
        """Remove a tag; the manifest stays listed without it. `check` is called while the lock is held.

        Raises:
            NotFound: there is no such tag.
            Conflict: it is the tag of several manifests.
        """
        if is_digest(name):
            raise NotFound(f"{name} is a digest, not a tag")
        (await in_thread(self._listing)).find(name, self.name)

        def change(entries: list[Document]) -> None:
            if check is not None:
                check(name, self._named_in(entries, name))
            untag(entries, name)

        await self._index.change(change)

    async def delete(self, content: Descriptor, *, name: str | None = None, check: Check | None = None) -> None:
        """Delete a manifest with all its tags, or a blob.

        What a deleted manifest refers to stays; `gc` removes it when nothing else does. `check` is called for the tag
        `name` while the lock is held.

        Raises:
            NotFound: it is not here.
            Conflict: a manifest here refers to it.
            InvalidContent: another one leads to more than a walk follows, so that this is not known.
        """
        await in_thread(self._listing)
        async with self._index.locked():
            if check is not None and name is not None:
                check(name, self._named_in((await in_thread(self._listing)).documents, name))
            await in_thread(self._delete, content)

    async def gc(
        self, *, dry_run: bool = False, grace: float = GRACE, untagged: bool = False, drop: Collection[Digest] = ()
    ) -> Collected:
        """Remove the content that nothing refers to.

        What `index.json` lists is kept, with everything that it leads to, and manifests whose subject is kept.

        Args:
            dry_run: remove nothing, and only say what would go.
            grace: content that was written or asked for within that many seconds is kept, because a writer may be
                about to refer to it. Give 0 only if nothing writes to the layout.
            untagged: remove the entries without a tag, too.
            drop: remove these entries, too, as far as they have no tag and nothing else leads to them.

        Returns:
            What was removed.

        Raises:
            InvalidContent: a manifest cannot be read, or leads to more than a walk follows, so that what is referred to
                is not known; nothing was removed.
        """
        # Read all manifests before taking the lock: under it, only those that were written since have to be read.
        planned = await in_thread(self._collect, grace, untagged, drop, True)
        if dry_run:
            return planned
        async with self._index.locked():
            return await in_thread(self._collect, grace, untagged, drop, False)

    # Reading, and more

    def _absent(self) -> Listing:
        if not self._create:
            return super()._absent()
        # List the directory once: another process may be making the layout at this moment.
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

    def _listing(self) -> Listing:
        return self._index.listing()

    def _contains(self, content: Descriptor, *, verify: bool = False) -> bool:
        if not super()._contains(content, verify=verify or self._verify):
            return False
        path = self.path / blob_path(content.digest)
        self._touch(path)
        return path.exists()

    def _touch(self, path: Path) -> None:
        """Make content young for garbage collections of other processes: a manifest may be about to refer to it."""
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _TOUCHED:
                os.utime(path, follow_symlinks=False)

    # Writing

    async def _make(self) -> None:
        """Make the layout, if there is none.

        Raises:
            Conflict: it was there before, and is gone with what was written to it.
        """
        if not (self._index.path.exists() and (self.path / "oci-layout").exists()):
            if self._is_made:
                self._is_made = False
                raise Conflict(
                    f"{self.path} is no longer there",
                    cause="it was removed, moved or unmounted while it was written to",
                    remedy="do it again",
                )
            await in_thread(self._listing)
            async with self._index.locked():
                await in_thread(self._make_files)
        if not self._is_tidy:
            self._is_tidy = True
            await in_thread(self._tidy)
        self._is_made = True

    def _tidy(self) -> None:
        """Remove what writers left that were killed, unless others hold the lock: they may be moving files."""
        with self._changing():
            left = left_behind(path_inside(self.path, f"{OURS}/file").parent)
            if left and (lock := lock_inside(self.path, f"{OURS}/{LOCK}")) is not None:
                try:
                    sweep(left)
                finally:
                    os.close(lock)

    def _make_files(self) -> None:
        with self._changing():
            make_folder_inside(self.path, "blobs/sha256")
            if not (self.path / "oci-layout").exists():
                self._replace("oci-layout", _VERSION)
            if not self._index.path.exists():
                self._index.write(Listing.empty())

    async def _write(self, content: Descriptor, source: Source, offset: int) -> None:
        def begin() -> PartialBlob:
            with self._changing():
                return PartialBlob.begin(self._index.folder(), content, offset, is_verified=is_verified)

        def append(data: bytes) -> None:
            with self._changing():
                part.append(data)

        def finish() -> None:
            with self._changing():
                part.finish(path_inside(self.path, blob_path(content.digest)))

        is_verified = not offset and source.digest == content.digest
        part = await in_thread(begin)
        try:
            while offset and not await in_thread(part.catch_up, offset):
                pass
            # There may be nothing left to come, only to be moved into place.
            if not offset or offset < content.size:
                await pour(source.since(offset), append)
            await in_thread(finish)
        except BaseException as error:
            part.give_up(error)
            raise

    def _mount(self, content: Descriptor, source: LayoutFolder) -> bool:
        import fcntl

        copy = self._index.temporary()
        path = blob_path(content.digest)
        try:
            share(source.path, path, copy)
            # What was verified is what is kept: it is the same file, or has its blocks.
            with io.FileIO(open_inside(copy.parent, copy.name)) as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)  # so that it is not taken for left behind
                if os.fstat(file.fileno()).st_size != content.size or not matches(file, content.digest):
                    return False
                os.fsync(file.fileno())
                move(copy, path_inside(self.path, path))
        except OSError:
            return False
        finally:
            copy.unlink(missing_ok=True)
        return True

    def _kept_part(self, content: Descriptor) -> int:
        """How many bytes of a blob are kept from a write that broke off, not verified yet; 0 for none."""
        with self._changing():
            size = part_size(path_inside(self.path, f"{OURS}/part").parent, content.digest)
        return size if size <= content.size else 0

    async def _put(self, raw: bytes, content: Descriptor, change: Callable[[list[Document]], None]) -> None:
        """Write the bytes of a manifest, then change `index.json`."""
        path = blob_path(content.digest)

        def write() -> None:
            with self._changing():
                self._replace(path, raw)
            self._damaged.discard(content.digest)

        def make(entries: list[Document]) -> None:
            if not (self.path / path).exists():
                write()  # another process has deleted it meanwhile
            change(entries)

        await self._make()
        if not await in_thread(self._contains, content, verify=True):
            await in_thread(write)
        await self._index.change(make)

    def _named_in(self, entries: Sequence[Document], name: str) -> Digest | None:
        """What a name stands for in a state of the list; None where it does not exist."""
        try:
            found = Listing.empty().changed(entries).find(name, self.name)
        except NotFound:
            return None
        return found.digest if found is not None else None

    def _delete(self, content: Descriptor) -> None:
        listing = self._listing()
        path = path_inside(self.path, blob_path(content.digest))
        lists = {entry.digest: tag for entry in listing.entries if (tag := lists_referrers(entry))}
        self._check_unlisted(listing, content, lists)
        kept = [entry for entry in listing.documents if entry["digest"] != content.digest]
        with self._changing():
            if len(kept) == len(listing.entries) and not path.exists():
                raise self._is_missing(content)
            for tag in lists.values():
                self._unlist_referrer(kept, tag, content)
            if kept != listing.documents:
                self._index.write(listing.changed(kept))
            path.unlink(missing_ok=True)
            self._summaries.pop(content.digest, None)

    def _check_unlisted(self, listing: Listing, content: Descriptor, lists: Collection[Digest]) -> None:
        """Raise Conflict where another manifest than a list of referrers has the content as a child."""
        # What it leads to itself does not refer to it, and may be more than a walk follows.
        others = [entry for entry in listing.entries if entry.digest != content.digest]
        for parent, summary in self._walk(others):
            if parent.digest not in lists and any(child.digest == content.digest for child in summary.children):
                raise Conflict(
                    f"{self._named(content.digest)} cannot be deleted",
                    cause=f"{parent.digest} refers to it",
                    remedy="delete that first",
                )

    # Referrers

    def _list_referrer(self, entries: list[Document], tag: str, referrer: Descriptor) -> None:
        """List a referrer where tools look that read no subjects; the caller holds the lock."""
        listed = self._referrer_list(entries, tag)
        known = listed.manifests if listed is not None else ()
        if all(other.digest != referrer.digest for other in known):
            self._replace_list(entries, tag, listed, sorted((*known, referrer), key=lambda other: other.digest))

    def _unlist_referrer(self, entries: list[Document], tag: str, referrer: Descriptor) -> None:
        """Take a referrer out of a list of referrers; the caller holds the lock."""
        listed = self._referrer_list(entries, tag)
        if listed is not None and any(other.digest == referrer.digest for other in listed.manifests):
            left = [other for other in listed.manifests if other.digest != referrer.digest]
            self._replace_list(entries, tag, listed, left)

    def _referrer_list(self, entries: Sequence[Document], tag: str) -> Index | None:
        entry = find(entries, tag)
        try:
            found = self._fetch(entry["digest"]) if entry is not None else None
        except (NotFound, InvalidContent):
            return None
        return found if isinstance(found, Index) else None

    def _replace_list(
        self, entries: list[Document], tag: str, before: Index | None, referrers: Sequence[Descriptor]
    ) -> None:
        if before is not None:
            entries[:] = [entry for entry in entries if entry["digest"] != before.digest]
            self.replaced_lists.add(before.digest)
        if referrers:
            annotations = before.annotations if before is not None else None
            new = Index.build(referrers, OCI_INDEX, annotations, base=before.document if before is not None else None)
            if not self._contains(new.descriptor, verify=True):
                with self._changing():
                    self._replace(blob_path(new.digest), new.raw)
            add(entries, plain(new.descriptor), tag)

    # Collecting

    def _collect(self, grace: float, untagged: bool, drop: Collection[Digest], dry_run: bool) -> Collected:
        before = time.time() - grace
        with self._changing():
            listing = self._listing()
            files = self._files()
            kept = self._kept_by(listing, files, before, untagged, drop)
            unlisted = {entry.digest: entry.media_type for entry in listing.entries if entry.digest not in kept}
            if unlisted and not dry_run:
                # Change the list before any file: an interruption leaves no entry without its content.
                left = [entry for entry in listing.documents if entry["digest"] not in unlisted]
                self._index.write(listing.changed(left))
            gone = [
                Descriptor(media_type=unlisted.get(digest, ""), digest=digest, size=size)
                for digest, size in files.items()
                if digest not in kept
                and self._remove(blob_path(digest), time.time() if digest in unlisted else before, dry_run)
            ]
            parts = [
                size
                for name, size in _sizes(self.path, OURS)
                if name != LOCK and self._remove(f"{OURS}/{name}", before, dry_run)
            ]
        return Collected(tuple(gone), sum(content.size for content in gone) + sum(parts), len(parts))

    def _kept_by(
        self,
        listing: Listing,
        files: Mapping[Digest, int],
        before: float,
        untagged: bool,
        drop: Collection[Digest],
    ) -> set[Digest]:
        """The digests of what a garbage collection keeps because of what is listed."""
        if not untagged and not drop:
            return self._kept(listing.entries, files)
        lists = [entry for entry in listing.entries if lists_referrers(entry)]
        roots = [
            entry
            for entry in listing.entries
            if (names_of(entry) and entry not in lists)
            or (self._is_young(entry, before) if untagged else entry not in lists and entry.digest not in drop)
        ]
        kept = self._kept(roots, files)
        # A list of referrers is kept with its subject.
        left, gone = {fallback_tag(digest) for digest in kept}, {fallback_tag(digest) for digest in drop}
        lists = [
            entry
            for entry in lists
            if (tag := lists_referrers(entry)) in left or not (untagged or tag in gone or entry.digest in drop)
        ]
        return kept | self._kept(lists, {})

    def _is_young(self, content: Descriptor, before: float) -> bool:
        with suppress(FileNotFoundError):
            return (self.path / blob_path(content.digest)).stat().st_mtime > before
        return False

    def _files(self) -> dict[Digest, int]:
        """The size of all content, in bytes. Files whose name is no digest are not lading's, and left out."""
        return {
            Digest(f"{algorithm}:{name}"): size
            for algorithm in ALGORITHMS
            for name, size in _sizes(self.path, f"blobs/{algorithm}")
            if is_digest(f"{algorithm}:{name}")
        }

    def _kept(self, roots: Sequence[Descriptor], files: Mapping[Digest, int]) -> set[Digest]:
        kept = {entry.digest for entry in roots}
        for _, summary in self._walk(roots, strict=True):
            kept.update(child.digest for child in summary.children)
        # A signature that no index lists is kept with what it signs, and with what it refers to.
        referrers: dict[Digest, list[Descriptor]] = {}
        for digest, size in files.items():
            found = self._look_into(digest, size) if digest not in kept else None
            if found is not None and found.subject is not None:
                referrers.setdefault(found.subject, []).append(Descriptor(digest=digest, size=size))
        waiting = [digest for digest in referrers if digest in kept]
        while waiting:
            more = self._kept([new for new in referrers.pop(waiting.pop()) if new.digest not in kept], {}) - kept
            kept |= more
            waiting += more & referrers.keys()
        return kept

    def _look_into(self, digest: Digest, size: int) -> Summary | None:
        """The summary of a file, if it holds a manifest."""
        if size > SIZE_LIMIT:
            return None
        try:
            with self._open(blob_path(digest)) as file:
                if not file.read(64).lstrip().startswith(b"{"):
                    return None
            return self._look(Descriptor(digest=digest, size=size))
        except (DigestMismatch, *ABSENT):  # another process may have deleted it
            return None

    def _remove(self, path: str, before: float, dry_run: bool) -> bool:
        """Remove a file that was not touched since `before`.

        Returns:
            Whether it was removed, or would be in a dry run.
        """
        file = path_inside(self.path, path)
        aside = self._index.temporary()
        with suppress(FileNotFoundError):
            if file.stat().st_mtime > before:
                return False
            if not dry_run:
                # Move it first: a writer that is about to refer to it touched it before that, or no longer finds it.
                file.replace(aside)
                if aside.stat().st_mtime > before:
                    aside.replace(file)
                    return False
                aside.unlink()
            return True
        return False

    def _replace(self, path: str, data: bytes) -> None:
        replace(self._index.temporary(), path_inside(self.path, path), data)

    def _changing(self) -> AbstractContextManager[None]:
        return changing(self.name)


def _device(path: Path) -> int | None:
    """The device of the file system that a directory is on, or will be on when it is made."""
    for place in (path, *path.absolute().parents):
        with suppress(OSError):
            return place.stat().st_dev
    return None


def _sizes(place: Path, name: str) -> Iterator[tuple[str, int]]:
    """The files in a folder of a layout, with their sizes in bytes; other processes may remove some meanwhile."""
    folder = path_inside(place, f"{name}/file").parent
    try:
        files = sorted(folder.iterdir())
    except ABSENT:
        return
    for file in files:
        with suppress(*ABSENT):
            status = file.lstat()
            if stat.S_ISREG(status.st_mode):
                yield file.name, status.st_size
