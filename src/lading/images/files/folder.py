"""A folder that the files of an image are written into; nothing is ever written outside of it.

Every path is opened part by part from the folder on, and no symbolic link is followed. This module knows files, and
neither layers nor where contents come from.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from lading.errors import Conflict, LadingError, way_on
from lading.images.files.delivery import Sink
from lading.images.files.filesystem import Inode, Node
from lading.io.tar_stream import Member
from lading.io.threads import heed

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Lost:
    """What could not be kept."""

    def __init__(self) -> None:
        self.is_whole: bool = True
        """Whether all files are there."""
        self._found: dict[str, tuple[str, int]] = {}

    def add(self, text: str, path: str, *, is_file: bool = False) -> None:
        """Say what was not kept.

        Args:
            text: what, in words that follow the path.
            path: of which file.
            is_file: whether it is the file itself.
        """
        first, count = self._found.get(text, (path, 0))
        self._found[text] = (first, count + 1)
        self.is_whole = self.is_whole and not is_file

    def said(self) -> tuple[str, ...]:
        """A sentence for each thing, with the first file that it is about."""
        return tuple(
            f"{path}{f' (and {count - 1} more)' if count > 1 else ''} {text}"
            for text, (path, count) in self._found.items()
        )


def made(target: Path) -> bool:
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


def emptied(target: Path, is_made: bool) -> None:
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


class Folder:
    """A folder that an image is written into.

    Args:
        target: the folder; it is opened, and closed with `close`.
    """

    def __init__(self, target: Path) -> None:
        self.lost: Lost = Lost()
        """What could not be kept."""
        try:
            self._root = os.open(target, _FOLDER)
        except OSError as error:
            raise LadingError(f"{target} cannot be written to", cause=error.strerror, remedy=way_on(error)) from error
        self._is_root = os.geteuid() == 0
        self._ids = (os.geteuid(), os.getegid())
        self._parent: tuple[str, int] | None = None
        self._open: int | None = None
        self._failed: str | None = None
        self._merged: set[str] = set()
        """Directories that are one with another here."""
        self._others: dict[str, list[str]] = {}
        """Other names of a file, by the first one."""
        self._names: dict[str, str | None] = {}
        """Under which name a file is there, by its first one, where that is another; None for one that is not."""

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            os.close(self._open)
            self._open = None
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None
        os.close(self._root)

    def begin(self, others: Sequence[tuple[str, Node]], links: Iterable[tuple[str, str]]) -> None:
        """Make directories, and files without content; only the user may enter until the end.

        Args:
            others: paths of what has no content, each directory before what is in it, and what is there.
            links: other names of files, each with the first one.
        """
        for path, first in links:
            self._others.setdefault(first, []).append(path)
        for path, node in others:
            heed()
            member = node.inode.member
            if member.type == "5" and path != ".":
                self._in_directory(path, partial(self._make_directory, path))
            elif member.type == "0":
                sink = self.sink(path, node.inode)
                sink.write(b"")
                sink.end()

    def _make_directory(self, path: str, parent: int, name: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            # The folder was empty: what is there has another name in the image. A link there is not followed.
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise
            self._merged.add(path)
            self.lost.add("is one directory with another: this file system takes its name for that one's", path)

    def sink(self, path: str, inode: Inode) -> Sink:
        """Where the content of a file goes."""

        def write(piece: bytes | memoryview) -> None:
            fd = self._opened(path)
            view = memoryview(piece)
            while view and fd is not None:
                try:
                    view = view[os.write(fd, view) :]
                except OSError as error:
                    raise _no_more(error) from error

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
            self._open = self._failed = None

        return Sink(write, hole, end)

    def _opened(self, path: str) -> int | None:
        """The file with a name, or with another of its names where this one cannot be had; None where none can."""
        if self._open is None and self._failed != path:
            for name in (path, *self._others.get(path, ())):
                if self._in_directory(name, self._make_file):
                    if name != path:
                        self._names[path] = name
                    return self._open
            self._failed = path
            self._names[path] = None
        return self._open

    def _make_file(self, parent: int, name: str) -> None:
        self._open = os.open(name, _NEW, 0o600, dir_fd=parent)

    def end(self, others: Sequence[tuple[str, Node]], links: Iterable[tuple[str, str]]) -> None:
        """Make links and devices, and give directories what is said of them, the innermost first.

        Args:
            others: as for `begin`.
            links: as for `begin`.
        """
        for path, node in others:
            heed()
            member = node.inode.member
            if member.type in "2346" and not self._in_directory(path, partial(self._special, path, member)):
                self._names[path] = None
        for path, first in links:
            heed()
            there = self._names.get(first, first)
            if there is None:
                self.lost.add("is a hard link to what was left out", path, is_file=True)
            elif there != path:
                self._in_directory(path, partial(self._link, there))
        for path, node in reversed(others):
            heed()
            if node.inode.member.type == "5" and path not in self._merged and not (path == "." and node.is_implied):
                with self._told(path, is_file=True):
                    fd = self._directory("" if path == "." else path)
                    try:
                        self._describe(fd, path, node.inode.member, is_implied=node.is_implied)
                    finally:
                        os.close(fd)

    def _link(self, there: str, parent: int, name: str) -> None:
        descriptor = self._directory(there.rpartition("/")[0])
        try:
            os.link(there.rpartition("/")[2], name, src_dir_fd=descriptor, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(descriptor)

    def _special(self, path: str, member: Member, parent: int, name: str) -> None:
        if member.type == "2":
            os.symlink(member.link, name, dir_fd=parent)
        elif member.type == "6":
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif self._is_root:
            kind = stat.S_IFCHR if member.type == "3" else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(*member.device), dir_fd=parent)
        else:
            self.lost.add("is a device, which only root makes", path)
            self._names[path] = None
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
        except (OSError, OverflowError) as error:
            self._tell(error, path, text, is_file=is_file)

    def _tell(self, error: Exception, path: str, text: str = "could not be written", *, is_file: bool = False) -> None:
        if isinstance(error, OSError) and error.errno in _FATAL:
            raise _no_more(error) from error
        if isinstance(error, FileExistsError):
            self.lost.add("was left out: this file system takes its name for that of another file", path, is_file=True)
        elif isinstance(error, NotADirectoryError | FileNotFoundError):
            self.lost.add("was left out with the directory that it is in", path, is_file=True)
        else:
            self.lost.add(f"{text} ({getattr(error, 'strerror', None) or error})", path, is_file=is_file)

    def _in_directory(self, path: str, work: Callable[[int, str], None]) -> bool:
        """Do something with a name in its directory, which is open; what fails is told. Returns whether it was done."""
        above, _, name = path.rpartition("/")
        try:
            if self._parent is None or self._parent[0] != above:
                if self._parent is not None:
                    os.close(self._parent[1])
                    self._parent = None
                self._parent = (above, self._directory(above))
            work(self._parent[1], name)
        except (OSError, OverflowError) as error:
            self._tell(error, path, is_file=True)
            return False
        return True

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


_FATAL = frozenset({errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT})
"""The disk fails, no space is left, the file system is read-only, the quota is used up."""


def _no_more(error: OSError) -> LadingError:
    return LadingError("the folder cannot be written to", cause=error.strerror, remedy=way_on(error))


def _nanoseconds(seconds: float) -> tuple[int, int]:
    whole = int(seconds // 1)
    moment = whole * 10**9 + round((seconds - whole) * 1e9)
    return moment, moment
