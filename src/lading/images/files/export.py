"""The merged file system of an image as a tar archive, or in a folder; nothing is ever written outside of it.

This module writes what `reading` finds. In a folder, every path is opened part by part from the folder on, and no
symbolic link is followed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from lading.errors import Conflict, LadingError, NotFound, way_on
from lading.images.files.filesystem import Filesystem, Inode, Node
from lading.images.files.reading import Reading, Sink
from lading.io import scratch
from lading.io.tar_stream import Member
from lading.io.tar_writer import DIRECTORY, HARD_LINK, SYMLINK, TarWriter
from lading.io.threads import heed, in_thread
from lading.model.digest import Digest
from lading.model.document import Result

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Exported(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was written of an image."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    target: str | None
    """The file or folder; None for a file object."""
    entries: int
    """How many files of any type."""
    size: int
    """Of the contents of files, in bytes."""
    lost: tuple[str, ...] = ()
    """What could not be kept, one sentence each."""
    is_whole: bool = True
    """Whether all files are there."""
    warnings: tuple[str, ...] = ()
    """What container engines do not agree on, or do not keep."""


async def export(reading: Reading, target: Path | str | BinaryIO, layer: int | str | None) -> Exported:
    """See `Image.export`."""
    if isinstance(target, Path | str):
        path = Path(target)
        if path.is_dir() or str(target).endswith("/"):
            return await _into_folder(reading, path, layer)
        if not path.parent.is_dir():
            raise NotFound(
                f"{path} cannot be written",
                cause=f"there is no folder {path.parent}",
                remedy="make it, or name another",
            )
        try:
            with scratch.beside(path) as folder:
                new = folder / "archive"
                with new.open("wb") as file:
                    exported = await _as_tar(reading, file, layer)
                new.replace(path)
        except OSError as error:
            raise LadingError(f"{path} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
        return msgspec.structs.replace(exported, target=str(path))
    return await _as_tar(reading, target, layer)


async def _as_tar(reading: Reading, file: BinaryIO, layer: int | str | None) -> Exported:
    files = await reading.filesystem(layer, keep=True)
    writer = TarWriter(file, fractions=True)
    plan = await in_thread(_Plan, files)

    def begin() -> None:
        for path, node in plan.others:
            heed()
            writer.add(_header(path, node.inode.member))

    def sink(path: str, inode: Inode) -> Sink:
        started = False

        def write(piece: bytes | memoryview) -> None:
            nonlocal started
            if not started:
                writer.begin(_header(path, inode.member))
                started = True
            writer.write(piece)

        return Sink(write, end=writer.end)

    def end() -> None:
        for path, first in plan.links:
            member = plan.inodes[first].member
            writer.add(msgspec.structs.replace(member, name=path, type=HARD_LINK, size=0, link=first))
        writer.close()

    await in_thread(begin)
    await reading.contents(plan.wanted(), sink)
    await in_thread(end)
    return _exported(reading, plan, files)


def _header(path: str, member: Member) -> Member:
    is_link = member.type == SYMLINK
    name = f"{path}/" if member.type == DIRECTORY else path
    link = member.link if is_link else ""
    return msgspec.structs.replace(member, name=name, link=link, mode=0o777 if is_link else member.mode)


class _Plan:
    """In which order an image is written: directories and what has no content, then contents, then hard links."""

    def __init__(self, files: Filesystem) -> None:
        self.others: list[tuple[str, Node]] = []
        self.contents: list[tuple[str, Inode]] = []
        self.links: list[tuple[str, str]] = []
        """Other names of files, each with the first one."""
        self.inodes: dict[str, Inode] = {}
        """What has other names, by the first one."""
        self.unresolved: list[str] = []
        """Hard links of a single layer to what is in a layer below."""
        self.entries = 0
        self.size = 0
        first: dict[int, str] = {}
        if not files.root.is_implied:
            self.others.append((".", files.root))
        for path, node in files.walk("", files.root):
            heed()
            self.entries += 1
            inode = node.inode
            if inode.member.type == "1":
                self.unresolved.append(path)
                continue
            if inode.is_shared:
                known = first.setdefault(id(inode), path)
                if known != path:
                    self.links.append((path, known))
                    self.inodes[known] = inode
                    continue
            if inode.member.type == "0" and inode.member.size:
                self.contents.append((path, inode))
                self.size += inode.member.size
            else:
                self.others.append((path, node))

    def wanted(self) -> dict[int, dict[int, tuple[str, Inode]]]:
        """The contents by layer and offset."""
        wanted: dict[int, dict[int, tuple[str, Inode]]] = {}
        for path, inode in self.contents:
            wanted.setdefault(inode.layer, {})[inode.member.offset] = (path, inode)
        return wanted


def _exported(reading: Reading, plan: _Plan, files: Filesystem, lost: _Lost | None = None) -> Exported:
    lost = lost or _Lost()
    for path in plan.unresolved:
        lost.add("is a hard link to a file of another layer, and was left out", path, is_file=True)
    return Exported(
        reference=reading.name,
        digest=reading.digest,
        target=None,
        entries=plan.entries - len(plan.unresolved),
        size=plan.size,
        lost=lost.said(),
        is_whole=lost.is_whole,
        warnings=files.warnings,
    )


# Into a folder


class _Lost:
    """What could not be kept."""

    def __init__(self) -> None:
        self.is_whole = True
        self._found: dict[str, tuple[str, int]] = {}

    def add(self, text: str, path: str, *, is_file: bool = False) -> None:
        first, count = self._found.get(text, (path, 0))
        self._found[text] = (first, count + 1)
        self.is_whole = self.is_whole and not is_file

    def said(self) -> tuple[str, ...]:
        return tuple(
            f"{path}{f' (and {count - 1} more)' if count > 1 else ''} {text}"
            for text, (path, count) in self._found.items()
        )


async def _into_folder(reading: Reading, target: Path, layer: int | str | None) -> Exported:
    is_made = await in_thread(_made, target)
    try:
        files = await reading.filesystem(layer, keep=True)
        plan = await in_thread(_Plan, files)
        folder = await in_thread(_Folder, target)
    except BaseException:
        await in_thread(_emptied, target, is_made)
        raise
    try:
        await in_thread(folder.begin, plan)
        await reading.contents(plan.wanted(), folder.sink)
        await in_thread(folder.end, plan)
    except BaseException:
        await in_thread(_emptied, target, is_made)
        raise
    finally:
        folder.close()
    exported = _exported(reading, plan, files, folder.lost)
    return msgspec.structs.replace(exported, target=str(target))


def _made(target: Path) -> bool:
    """Make a folder, or see that it is empty; returns whether it was made.

    Raises:
        Conflict: there is something in it.
        LadingError: it cannot be made.
    """
    try:
        if not target.exists():
            target.mkdir()
            return True
        is_empty = not any(target.iterdir())
    except OSError as error:
        raise LadingError(f"{target} cannot be written to", cause=error.strerror, remedy=way_on(error)) from error
    if is_empty:
        return False
    raise Conflict(
        f"{target} is not empty",
        remedy="give a folder that is empty, or that does not exist",
        code="folder-not-empty",
        fields={"folder": str(target)},
    )


def _emptied(target: Path, is_made: bool) -> None:
    """Leave a folder as it was: empty, or not there."""
    with contextlib.suppress(OSError):
        for path in target.iterdir():
            if path.is_dir() and not path.is_symlink():
                _writable(path)
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        if is_made:
            target.rmdir()


def _writable(folder: Path) -> None:
    for at, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(at).chmod(0o700)


class _Folder:
    """A folder that an image is written into.

    Args:
        target: the folder; it is opened, and closed with `close`.
    """

    def __init__(self, target: Path) -> None:
        self.lost = _Lost()
        try:
            self._root = os.open(target, _FOLDER)
        except OSError as error:
            raise LadingError(f"{target} cannot be written to", cause=error.strerror, remedy=way_on(error)) from error
        self._is_root = os.geteuid() == 0
        self._ids = (os.geteuid(), os.getegid())
        self._parent: tuple[str, int] | None = None
        self._open: int | None = None
        self._is_failed = False

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open)
            self._open = None
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None
        os.close(self._root)

    def begin(self, plan: _Plan) -> None:
        """Make directories, and files without content; only the user may enter until the end."""
        for path, node in plan.others:
            heed()
            member = node.inode.member
            if member.type == "5":
                with self._at(path) as (parent, name):
                    if path != ".":
                        os.mkdir(name, 0o700, dir_fd=parent)
            elif member.type == "0":
                sink = self.sink(path, node.inode)
                sink.write(b"")
                sink.end()

    def sink(self, path: str, inode: Inode) -> Sink:
        """Where the content of a file goes."""

        def write(piece: bytes | memoryview) -> None:
            fd = self._opened(path)
            view = memoryview(piece)
            while view and fd is not None:
                view = view[os.write(fd, view) :]

        def hole(length: int) -> None:
            fd = self._opened(path)
            if fd is not None:
                os.lseek(fd, length, os.SEEK_CUR)

        def end() -> None:
            fd = self._opened(path)
            if fd is not None:
                with self._told(path, is_file=True):
                    os.ftruncate(fd, inode.member.size)
                self._describe(fd, path, inode.member)
                os.close(fd)
            self._open, self._is_failed = None, False

        return Sink(write, hole, end)

    def _opened(self, path: str) -> int | None:
        if self._open is None and not self._is_failed:
            self._is_failed = True
            with self._at(path) as (parent, name):
                self._open = os.open(name, _NEW, 0o600, dir_fd=parent)
                self._is_failed = False
        return self._open

    def end(self, plan: _Plan) -> None:
        """Make links and devices, and give directories what is said of them, the innermost first."""
        for path, first in plan.links:
            heed()
            with self._at(path) as (parent, name):
                descriptor = self._directory(first.rpartition("/")[0])
                try:
                    os.link(
                        first.rpartition("/")[2], name, src_dir_fd=descriptor, dst_dir_fd=parent, follow_symlinks=False
                    )
                finally:
                    os.close(descriptor)
        for path, node in plan.others:
            heed()
            if node.inode.member.type in "2346":
                self._special(path, node.inode.member)
        for path, node in reversed(plan.others):
            heed()
            if node.inode.member.type == "5" and not (path == "." and node.is_implied):
                with self._at(path):
                    fd = self._directory("" if path == "." else path)
                    try:
                        self._describe(fd, path, node.inode.member, is_implied=node.is_implied)
                    finally:
                        os.close(fd)

    def _special(self, path: str, member: Member) -> None:
        with self._at(path) as (parent, name):
            if member.type == "2":
                os.symlink(member.link, name, dir_fd=parent)
            elif member.type == "6":
                os.mkfifo(name, 0o600, dir_fd=parent)
            elif self._is_root:
                kind = stat.S_IFCHR if member.type == "3" else stat.S_IFBLK
                with self._told(path, "is a device, and could not be made", is_file=True):
                    os.mknod(name, kind | 0o600, os.makedev(*member.device), dir_fd=parent)
            else:
                self.lost.add("is a device, which only root makes", path)
                return
            self._describe_name(parent, name, path, member)

    def _describe(self, fd: int, path: str, member: Member, *, is_implied: bool = False) -> None:
        mode = member.mode & 0o7777
        if self._is_owned(path, member):
            with self._told(path, "has an owner that cannot be kept"):
                os.fchown(fd, member.uid, member.gid)
        elif mode & 0o6000:
            mode &= 0o1777
        with self._told(path, "has permissions that cannot be kept"):
            os.fchmod(fd, mode)
        for key, value in member.xattrs.items():
            with self._told(path, f"has the attribute {key}, which cannot be kept"):
                os.setxattr(fd, key, value)
        if not is_implied:
            with self._told(path, "has a time that cannot be kept"):
                os.utime(fd, ns=_nanoseconds(member.mtime))

    def _describe_name(self, parent: int, name: str, path: str, member: Member) -> None:
        """What is said of what cannot be opened: a link, a pipe or a device."""
        with contextlib.suppress(FileNotFoundError):
            if self._is_owned(path, member):
                with self._told(path, "has an owner that cannot be kept"):
                    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
            if member.type != "2":
                with self._told(path, "has permissions that cannot be kept"):
                    os.chmod(name, member.mode & 0o7777, dir_fd=parent)
            if member.xattrs:
                self.lost.add("has attributes that cannot be kept", path)
            with self._told(path, "has a time that cannot be kept"):
                os.utime(name, ns=_nanoseconds(member.mtime), dir_fd=parent, follow_symlinks=False)

    def _is_owned(self, path: str, member: Member) -> bool:
        """Whether a file is to be given its owner; an ordinary user cannot."""
        if not self._is_root and (member.uid, member.gid) != self._ids:
            text = "has an owner that only root sets"
            if member.mode & 0o6000 and member.type != "2":
                text = "has an owner that only root sets, and so no setuid or setgid"
            self.lost.add(text, path)
        return self._is_root

    @contextlib.contextmanager
    def _told(self, path: str, text: str = "could not be written", *, is_file: bool = False) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            self.lost.add("was left out: this file system takes its name for that of another file", path, is_file=True)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno in _FATAL:
                raise LadingError(
                    "the folder cannot be written to", cause=error.strerror, remedy=way_on(error)
                ) from error
            self.lost.add(f"{text} ({getattr(error, 'strerror', None) or error})", path, is_file=is_file)

    @contextlib.contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory of a path, opened, and the name in there; what fails is told."""
        above, _, name = path.rpartition("/")
        with self._told(path, is_file=True):
            if self._parent is None or self._parent[0] != above:
                if self._parent is not None:
                    os.close(self._parent[1])
                    self._parent = None
                self._parent = (above, self._directory(above))
            yield self._parent[1], name

    def _directory(self, path: str) -> int:
        """Open a directory, part by part, following no link."""
        descriptor = os.open(".", _FOLDER, dir_fd=self._root)
        for part in path.split("/") if path else ():
            try:
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor


_FATAL = frozenset({28, 30, 122})
"""No space is left, the file system is read-only, the quota is used up."""


def _nanoseconds(seconds: float) -> tuple[int, int]:
    whole = int(seconds // 1)
    moment = whole * 10**9 + round((seconds - whole) * 1e9)
    return moment, moment
