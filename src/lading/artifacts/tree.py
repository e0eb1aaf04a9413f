"""A folder that an artifact is written into: what is to be there, and how it gets there without leaving the folder.

Everything is made in a scratch folder first, under numbers; what an artifact calls it is only ever a name in an open
directory, and no symbolic link is followed. Everything here is work for a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, Self

import msgspec

from lading.errors import Conflict, InvalidContent, LadingError, way_on
from lading.io.sources import CHUNK
from lading.io.threads import heed
from lading.model.descriptor import Descriptor
from lading.model.text import excerpt

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Item(msgspec.Struct, kw_only=True):
    """What is to be in the folder."""

    kind: Literal["file", "link", "directory"]
    staged: Path | None = None
    """Where a file is until then."""
    link: str = ""
    """What a symbolic link leads to."""
    mode: int = 0o777
    """Permissions of a directory, as far as the umask allows them; a file has its own already."""
    mtime: float | None = None
    """When a directory was modified, in seconds since the epoch; None for now."""


class Tree:
    """A folder that is written into; use it as a context manager.

    Args:
        folder: its path; it is made where it is missing, and may be a symbolic link.

    Raises:
        LadingError: it cannot be made, or is no folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        with _writing(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            self._root = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)

    def __enter__(self) -> Self:
        """It is open."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Close it; after a failure, remove the folders that were made for it."""
        os.close(self._root)
        if kind is not None:
            for path in self._made:
                with suppress(OSError):
                    path.rmdir()

    def has(self, path: str, content: Descriptor) -> bool:
        """Whether a file with this content is there.

        Raises:
            InvalidContent: a folder on the way is a link or a file.
        """
        above, _, name = path.rpartition("/")
        with self._opened(above, make=False) as parent:
            if parent is None:
                return False
            try:
                handle = os.open(name, _FILE, dir_fd=parent)
            except OSError:
                return False
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size != content.size:
                return False
            hasher = hashlib.new(content.digest.algorithm)
            for chunk in iter(partial(file.read, CHUNK), b""):
                heed()
                hasher.update(chunk)
        return hasher.hexdigest() == content.digest.hex

    def check(self, path: str, kind: str, *, clobber: bool) -> None:
        """See that something can get its place.

        Args:
            path: its path in the folder.
            kind: of the `Item`.
            clobber: whether it may take the place of a file that is there.

        Raises:
            InvalidContent: a folder on the way is a link or a file.
            Conflict: something else is there.
        """
        above, _, name = path.rpartition("/")
        with self._opened(above, make=False) as parent:
            if parent is None:
                return
            try:
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except FileNotFoundError:
                return
            except OSError as error:
                raise self._refused(path, error.strerror) from error
        if stat.S_ISDIR(found.st_mode) != (kind == "directory"):
            what = "a directory" if stat.S_ISDIR(found.st_mode) else "a file or a link"
            raise self._in_the_way(path, f"it is {what}, and {excerpt(path)} of the artifact is none")
        if kind != "directory" and not clobber:
            raise self._in_the_way(path, "it is another file than that of the artifact")

    def place(self, items: dict[str, Item]) -> None:
        """Give everything its place, each file at once; what else is in the folder stays.

        Args:
            items: what is to be there, by its path.

        Raises:
            LadingError: the folder cannot be written to.
        """
        new: list[tuple[str, Item]] = []
        for path, item in sorted(items.items()):
            heed()
            above, _, name = path.rpartition("/")
            with _writing(f"{self.folder}/{excerpt(path)}"), self._opened(above, make=True) as parent:
                assert parent is not None
                if item.kind == "directory":
                    with suppress(FileExistsError):
                        # Until the end, the user may write into it.
                        os.mkdir(name, item.mode & 0o777 | 0o700, dir_fd=parent)
                        new.append((path, item))
                else:
                    assert item.staged is not None
                    os.replace(item.staged, name, dst_dir_fd=parent)
        for path, item in reversed(new):
            with self._opened(path, make=False) as fd:
                if fd is not None:
                    os.fchmod(fd, os.fstat(fd).st_mode & item.mode & 0o777)
                    set_time(fd, item.mtime)

    @contextmanager
    def _opened(self, path: str, *, make: bool) -> Iterator[int | None]:
        """A directory, opened part by part, following no link; None where it is missing and is not to be made."""
        fd = os.open(".", _FOLDER, dir_fd=self._root)
        try:
            at = ""
            for part in path.split("/") if path else ():
                at = f"{at}/{part}".lstrip("/")
                try:
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=fd)
                    inner = os.open(part, _FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    yield None
                    return
                except OSError as error:
                    is_other = error.errno in (errno.ELOOP, errno.ENOTDIR)
                    cause = "it is a link or a file, and nothing is followed or replaced there"
                    raise self._refused(at, cause if is_other else error.strerror) from error
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _refused(self, path: str, cause: str | None) -> InvalidContent:
        return InvalidContent(
            f"{self.folder}/{excerpt(path)} cannot be written into",
            cause=cause,
            remedy="remove it, or pull into an empty folder",
            code="folder-in-the-way",
            fields={"path": path},
        )

    def _in_the_way(self, path: str, cause: str) -> Conflict:
        return Conflict(
            f"{self.folder}/{excerpt(path)} is there already",
            cause=cause,
            remedy="remove it, or pull into an empty folder",
            code="file-in-the-way",
            fields={"path": path},
        )


def set_time(fd: int, mtime: float | None) -> None:
    """Say when what is open was modified, as far as the file system can; None for what it says already."""
    if mtime is not None:
        with suppress(OSError, OverflowError):
            os.utime(fd, (mtime, mtime))


@contextmanager
def _writing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LadingError(f"{what} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
