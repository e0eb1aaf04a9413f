"""An artifact as it is pulled: which of its layers are files, what they are called, and how they come into a folder.

This module reads from a store, and not from a place that a user names. Whatever the artifact says, nothing is written
outside of the folder, and nothing gets its place before all of it is there and verified.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

import msgspec

from lading.artifacts.titles import TITLE, UNPACK, clash, fault, leads_outside, tidy
from lading.artifacts.tree import Item, Tree, set_time
from lading.errors import InvalidContent, NotFound, UsageError
from lading.images.files.layers import LayerContent, read_layer
from lading.io import scratch
from lading.io.tar_stream import Member
from lading.io.tar_writer import DIRECTORY, FILE, HARD_LINK, SYMLINK
from lading.io.tasks import gather
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_EMPTY
from lading.model.text import excerpt
from lading.store import Readable


class PulledFile(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory of an artifact that is in the folder now."""

    document_fields: ClassVar[tuple[str, ...]] = ("title", "path", "digest", "size", "media_type", "state")

    title: str
    """What the artifact calls it; its digest where it has no title."""
    path: str | None
    """Where it is; None for a file object."""
    digest: Digest
    """Of its blob."""
    size: int
    """Of its blob, in bytes."""
    media_type: str
    state: Literal["written", "kept"]
    """`kept`: it was there already."""


class Pulled(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was pulled of an artifact."""

    reference: str
    digest: Digest
    """Of the manifest."""
    files: tuple[PulledFile, ...]
    notes: tuple[str, ...] = ()
    """What of it could not be kept."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which files of an artifact are pulled: a file has to match one of the titles and one of the media types."""

    titles: tuple[str, ...] = ()
    """Patterns such as `*.txt`; none for all."""
    media_types: tuple[str, ...] = ()
    """Patterns such as `text/*`; none for all."""


class _File(msgspec.Struct, frozen=True):
    title: str
    layer: Descriptor

    @property
    def is_directory(self) -> bool:
        return self.layer.annotations.get(UNPACK) == "true" and TITLE in self.layer.annotations


def files_of(manifest: Manifest, wanted: Wanted, what: str) -> list[_File]:
    """The files of an artifact that are wanted; a layer without a title is called by its digest.

    Args:
        manifest: of the artifact.
        wanted: which.
        what: what it is called in messages.

    Raises:
        InvalidContent: a title leads out of the folder, or two cannot be in one.
        NotFound: none is wanted.
    """
    files: list[_File] = []
    unnamed: set[Digest] = set()
    for layer in manifest.layers:
        is_again = not layer.annotations.get(TITLE) and layer.digest in unnamed
        if layer.media_type == OCI_EMPTY or is_again:
            continue
        title = layer.annotations.get(TITLE, "")
        named = title or str(layer.digest).replace(":", "-")
        if (wanted.titles and not any(fnmatchcase(named, one) for one in wanted.titles)) or (
            wanted.media_types and not any(fnmatchcase(layer.media_type, one) for one in wanted.media_types)
        ):
            continue
        file = _File(tidy(named), layer)
        cause = fault(file.title) if not (file.is_directory and not file.title) else None
        if cause is not None:
            raise _refused(what, f"the title {excerpt(title)!r}: {cause}", "bad-title")
        if not title:
            unnamed.add(layer.digest)
        files.append(file)
    two = clash([file.title for file in files])
    if two is not None:
        raise _refused(
            what, f"{excerpt(two[0])!r} and {excerpt(two[1])!r} cannot both be in one folder", "titles-clash"
        )
    if not files and (wanted.titles or wanted.media_types):
        raise NotFound(
            f"{what} has no such file", remedy="look at its manifest", code="no-such-file", fields={"reference": what}
        )
    return files


async def to_stream(store: Readable, manifest: Manifest, wanted: Wanted, file: BinaryIO, what: str) -> Pulled:
    """Write the only file that is wanted to a file object; of a directory its archive.

    Raises:
        UsageError: there are several.
        NotFound: there is none.
    """
    files = files_of(manifest, wanted, what)
    if len(files) != 1:
        raise UsageError(
            f"{what} has {len(files)} files, and one can be written there",
            remedy="choose one by its title",
            code="several-files",
        )
    async with store.open(files[0].layer.content) as reader:
        async for chunk in reader:
            await in_thread(file.write, chunk)
    return Pulled(reference=what, digest=manifest.digest, files=(_pulled(files[0], None, "written"),))


async def to_folder(
    store: Readable, manifest: Manifest, wanted: Wanted, folder: Path, what: str, *, clobber: bool, jobs: int
) -> Pulled:
    """Write the files that are wanted into a folder.

    Raises:
        InvalidContent: the artifact or the folder would have something written elsewhere; nothing was written.
        Conflict: something else is there, and is to stay, or cannot go; nothing was written.
        NotFound: the artifact has no such file, or its place lacks the blob.
        DigestMismatch: a blob is damaged; nothing was written.
    """
    files = files_of(manifest, wanted, what)
    async with AsyncExitStack() as stack:
        tree = stack.enter_context(await in_thread(Tree, folder))
        kept = {
            file.title for file in files if not file.is_directory and await in_thread(tree.has, file.title, file.layer)
        }
        for file in files:
            if file.title and file.title not in kept:
                kind = "directory" if file.is_directory else "file"
                await in_thread(tree.check, file.title, kind, clobber=clobber)
        with scratch.keeping(what, folder / "new"):
            staging = stack.enter_context(scratch.beside(folder / "lading"))
        stage = _Stage(store, staging, what)
        places = asyncio.Semaphore(jobs)
        blobs: dict[Digest, list[_File]] = {}
        for file in files:
            if file.title not in kept:
                blobs.setdefault(file.layer.digest, []).append(file)

        async def one(same: list[_File]) -> None:
            async with places:
                await stage.bring(same)

        await gather(map(one, blobs.values()))
        for path, item in stage.items.items():
            await in_thread(tree.check, path, item.kind, clobber=clobber)
        await in_thread(tree.place, stage.items)
        image = (f"{what} is an image: its layers are written as they are",) if manifest.is_image else ()
        return Pulled(
            reference=what,
            digest=manifest.digest,
            files=tuple(
                _pulled(file, folder / file.title, "kept" if file.title in kept else "written") for file in files
            ),
            notes=(*image, *stage.notes),
        )


class _Stage:
    """Files on their way into a folder."""

    def __init__(self, store: Readable, staging: Path, what: str) -> None:
        self.items: dict[str, Item] = {}
        self.notes: list[str] = []
        self._store = store
        self._staging = staging
        self._what = what
        self._number = 0

    async def bring(self, same: Sequence[_File]) -> None:
        """Bring a blob that is one file or several: each gets a copy of its own."""
        plain: Path | None = None
        for file in same:
            if file.is_directory:
                await self._unpack(file)
                continue
            staged = self.new()
            if plain is None:
                await self._download(file.layer, staged)
                plain = staged
            else:
                await in_thread(shutil.copyfile, plain, staged)
            self.items[file.title] = Item(kind="file", staged=staged)

    def new(self) -> Path:
        """The path of a new file."""
        self._number += 1
        return self._staging / str(self._number)

    async def _download(self, layer: Descriptor, path: Path) -> None:
        with scratch.keeping(self._what, self._staging):
            file = await in_thread(path.open, "xb")
        with file:
            async with self._store.open(layer.content) as reader:
                async for chunk in reader:
                    with scratch.keeping(self._what, self._staging):
                        await in_thread(file.write, chunk)
            with scratch.keeping(self._what, self._staging):
                await in_thread(file.flush)

    async def _unpack(self, file: _File) -> None:
        unpacking = _Unpacking(self, file.title, f"{excerpt(file.title)} of {self._what}")
        content = LayerContent(store=self._store, descriptor=file.layer, what=unpacking.what)
        try:
            await read_layer(content, unpacking.member, on_content=unpacking.write, on_end=unpacking.end)
        finally:
            unpacking.close()
        if file.title:
            unpacking.items.setdefault(file.title, Item(kind="directory"))
        self.items |= unpacking.items
        self.notes += unpacking.notes


class _Unpacking:
    """The members of an archive as items, as they come; contents go into numbered files. All of it is in threads."""

    def __init__(self, stage: _Stage, root: str, what: str) -> None:
        self.items: dict[str, Item] = {}
        self.notes: list[str] = []
        self.what = what
        self._stage = stage
        self._root = root
        self._fd: int | None = None
        self._item: Item | None = None

    def member(self, member: Member) -> bool:
        """Take a member; returns whether it has content.

        Raises:
            InvalidContent: it would be outside of the directory, or leads there.
        """
        path = tidy(member.name)
        if member.name.startswith("/") or fault(path or "x") is not None:
            raise self._refused(member.name, fault(path) or "it is an absolute path")
        if path != self._root and self._root and not path.startswith(f"{self._root}/"):
            raise self._refused(member.name, "it is outside of the directory")
        if not path:
            return False
        self._check_way(path)
        item = Item(kind="directory", mode=member.mode, mtime=member.mtime)
        if member.extents is not None:
            raise self._refused(member.name, "it is a sparse file")
        if member.type == FILE:
            item.kind, item.staged = "file", self._stage.new()
            self._fd = os.open(item.staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, member.mode & 0o777)
            self._item = item
        elif member.type == SYMLINK:
            self._link(path, item, member)
        elif member.type == HARD_LINK:
            there = self.items.get(tidy(member.link))
            if there is None or there.kind != "file" or there.staged is None or member.link.startswith("/"):
                raise self._refused(member.name, "it is a hard link to what is no file before it in the directory")
            item.kind, item.staged = "file", self._stage.new()
            os.link(there.staged, item.staged)
        elif member.type != DIRECTORY:
            self.notes.append(f"{excerpt(path)} is left out: it is neither a file nor a directory nor a link")
            return False
        before = self.items.get(path)
        if before is not None and "directory" in (before.kind, item.kind) and before.kind != item.kind:
            raise self._refused(member.name, "it is a directory and something else, too")
        self.items[path] = item
        return member.type == FILE

    def _check_way(self, path: str) -> None:
        parts = path.split("/")
        for length in range(1, len(parts)):
            above = self.items.get("/".join(parts[:length]))
            if above is not None and above.kind != "directory":
                raise self._refused(path, "a directory that it is in is a link or a file")

    def _link(self, path: str, item: Item, member: Member) -> None:
        inner = path.removeprefix(self._root).lstrip("/") if self._root else path
        if path == self._root or leads_outside(inner.rpartition("/")[0], member.link) or "\0" in member.link:
            raise self._refused(member.name, f"it is a link that leads out of it, to {excerpt(member.link)}")
        item.kind, item.link, item.staged = "link", member.link, self._stage.new()
        item.staged.symlink_to(member.link)
        with suppress(OSError, OverflowError):
            os.utime(item.staged, (member.mtime, member.mtime), follow_symlinks=False)

    def write(self, piece: memoryview) -> None:
        """Take content."""
        while piece and self._fd is not None:
            with scratch.keeping(self.what, self._stage.new()):
                piece = piece[os.write(self._fd, piece) :]

    def end(self) -> None:
        """End a file."""
        if self._fd is not None and self._item is not None:
            set_time(self._fd, self._item.mtime)
        self.close()

    def close(self) -> None:
        """Close what is open."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _refused(self, name: str, cause: str) -> InvalidContent:
        return InvalidContent(
            f"{self.what} cannot be unpacked", cause=f"{excerpt(name)}: {cause}", code="unfit-artifact"
        )


def _refused(what: str, cause: str, code: str) -> InvalidContent:
    return InvalidContent(f"{what} cannot be written into a folder", cause=cause, code=code)


def _pulled(file: _File, path: Path | None, state: Literal["written", "kept"]) -> PulledFile:
    layer = file.layer
    where = str(path) if path is not None else None
    return PulledFile(
        title=file.title, path=where, digest=layer.digest, size=layer.size, media_type=layer.media_type, state=state
    )
