"""Files inside a folder, reached from one open directory to the next, so that no symbolic link is ever followed.

This module knows files, and nothing of artifacts. Everything here is work for a thread, and for one at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from lading.io.sources import CHUNK
from lading.io.threads import heed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Inside:
    """A folder, to work in; use it as a context manager, or `close` it.

    Paths in it have slashes and neither `.` nor `..`. Everything raises `OSError` where a folder on the way is a link
    (`ELOOP` or `ENOTDIR`) or something else than a folder (`ENOTDIR`).

    Args:
        folder: its path, which may be a link itself.
    """

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        # The folder that was used last: what comes next is mostly in it, or in a folder in it.
        self._path = ""
        self._fd = self._root

    def __enter__(self) -> Self:
        """It is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close what is open."""
        self._leave()
        os.close(self._root)

    def folder(self, path: str, *, make: bool = False) -> int | None:
        """The open descriptor of a folder, which is good until the next call; None where it is missing.

        Args:
            path: its path; empty for the folder itself.
            make: whether folders that are missing are made.
        """
        if path == self._path:
            return self._fd
        if self._path and not path.startswith(f"{self._path}/"):
            self._leave()
        rest = path[len(self._path) :].lstrip("/")
        for part in rest.split("/") if rest else ():
            try:
                inner = self._open(part)
            except FileNotFoundError:
                if not make:
                    return None
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=self._fd)
                inner = self._open(part)
            if self._fd != self._root:
                os.close(self._fd)
            self._fd = inner
            self._path = f"{self._path}/{part}" if self._path else part
        return self._fd

    def parent(self, path: str, *, make: bool = False) -> tuple[int | None, str]:
        """The folder that something is in, as `folder` gives it, and its name in there."""
        above, _, name = path.rpartition("/")
        return self.folder(above, make=make), name

    def status(self, path: str) -> os.stat_result | None:
        """What is there, a link not followed; None where nothing is."""
        parent, name = self.parent(path)
        if parent is None:
            return None
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self, path: str) -> list[str]:
        """What is in a folder, in order."""
        parent = self.folder(path)
        if parent is None:
            return []
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries)

    def read_link(self, path: str) -> str:
        """What a symbolic link leads to."""
        parent, name = self.parent(path)
        return os.readlink(name, dir_fd=parent)

    @contextmanager
    def file(self, path: str) -> Iterator[int]:
        """The descriptor of a file that is there, for reading; nothing but a file is waited for.

        Raises:
            OSError: it is not there, or is no file.
        """
        parent, name = self.parent(path)
        if parent is None:
            raise FileNotFoundError(path)
        descriptor = os.open(name, _FILE, dir_fd=parent)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{path} is no file")
            yield descriptor
        finally:
            os.close(descriptor)

    def same(self, path: str, other: Inside, there: str) -> bool:
        """Whether a file has the same content as one in this or another folder."""
        with suppress(OSError), self.file(path) as one, other.file(there) as two:
            if os.fstat(one).st_size != os.fstat(two).st_size:
                return False
            while piece := os.read(one, CHUNK):
                heed()
                if os.read(two, len(piece)) != piece:
                    return False
            return True
        return False

    def new_file(self, path: str, mode: int) -> int:
        """Make a file, with the folders above it, and open it for writing.

        Raises:
            FileExistsError: something is there.
        """
        parent, name = self.parent(path, make=True)
        return os.open(name, _NEW, mode, dir_fd=parent)

    def make_folder(self, path: str, mode: int = 0o777) -> None:
        """Make a folder, unless it is there, with those above it."""
        parent, name = self.parent(path, make=True)
        with suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=parent)
        self.folder(path)

    def describe(self, path: str, mode: int | None = None, mtime: float | None = None) -> None:
        """Say of a folder what it allows, as far as the umask did when it was made, and when it was modified.

        Args:
            path: of the folder.
            mode: its permissions at most; None to leave them.
            mtime: in seconds since the epoch; None to leave it.
        """
        descriptor = self.folder(path)
        if descriptor is None:
            return
        if mode is not None:
            os.fchmod(descriptor, os.fstat(descriptor).st_mode & mode & 0o777)
        set_time(descriptor, mtime)

    def _open(self, part: str) -> int:
        return os.open(part, _FOLDER, dir_fd=self._fd)

    def _leave(self) -> None:
        if self._fd != self._root:
            os.close(self._fd)
        self._path, self._fd = "", self._root


def set_time(descriptor: int, mtime: float | None) -> None:
    """Say when what is open was modified, as far as the file system can; None for what it says already."""
    if mtime is not None:
        with suppress(OSError, OverflowError):
            os.utime(descriptor, (mtime, mtime))
