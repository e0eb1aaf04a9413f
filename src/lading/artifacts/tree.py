"""A folder that an artifact is written into: whether its files can come there, and how they do.

All of them are beside it first, in the way they are to be, and nothing in the folder is changed before it is known that
everything gets its place. Everything here is work for a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self

from lading.artifacts.inside import Inside
from lading.errors import Conflict, InvalidContent, LadingError, way_on
from lading.io.sources import CHUNK
from lading.io.threads import heed
from lading.model.descriptor import Descriptor
from lading.model.text import excerpt


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
        with writing(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            self.inside: Inside = Inside(folder)

    def __enter__(self) -> Self:
        """It is open."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Close it; after a failure, remove the folders that were made for it."""
        self.inside.close()
        if kind is not None:
            for path in self._made:
                with suppress(OSError):
                    path.rmdir()

    def has(self, path: str, content: Descriptor) -> bool:
        """Whether a file with this content is there."""
        try:
            with self.inside.file(path) as descriptor:
                if os.fstat(descriptor).st_size != content.size:
                    return False
                hasher = hashlib.new(content.digest.algorithm)
                for chunk in iter(partial(os.read, descriptor, CHUNK), b""):
                    heed()
                    hasher.update(chunk)
        except OSError:
            return False
        return hasher.hexdigest() == content.digest.hex

    def check(self, path: str, *, is_folder: bool | None) -> None:
        """See that something may get its place, before it is downloaded.

        Args:
            path: its path in the folder.
            is_folder: whether it is a directory; None where that is not known yet.

        Raises:
            InvalidContent: a folder on the way is a link or a file.
            Conflict: something of another kind is there.
        """
        parts = path.split("/")
        for length in range(1, len(parts)):
            above = "/".join(parts[:length])
            found = self._status(above)
            if found is None:
                return
            if not stat.S_ISDIR(found.st_mode):
                raise self._refused(above)
        if is_folder is not None and (found := self._status(path)) is not None:
            self._check_kind(path, found, is_folder=is_folder)

    def place(self, new: Path, old: Path, *, clobber: bool) -> set[str]:
        """Give everything its place, each file at once; what else is in the folder stays.

        A directory that is not there gets its place as a whole. Where something cannot get its place, everything is
        put back.

        Args:
            new: a folder on the same file system with all that is to be there.
            old: a folder on the same file system for what is replaced.
            clobber: whether files that are there and differ are replaced.

        Returns:
            The paths of what got its place: of a directory that was not there only its own.

        Raises:
            InvalidContent: a folder on the way is a link or a file; nothing was changed.
            Conflict: something else is there; nothing was changed.
            LadingError: the folder cannot be written to.
        """
        with Inside(new) as source:
            moves = self._planned(source, clobber=clobber)
            undo: list[Callable[[], None]] = []
            try:
                for number, (path, is_there) in enumerate(moves):
                    with writing(f"{self.folder}/{excerpt(path)}"):
                        self._move(source, path, old / str(number) if is_there else None, undo)
            except BaseException:
                for step in reversed(undo):
                    with suppress(OSError):
                        step()
                raise
        return {path for path, _ in moves}

    def _planned(self, source: Inside, *, clobber: bool) -> list[tuple[str, bool]]:
        """What has to be moved, and whether something is replaced by it."""
        moves: list[tuple[str, bool]] = []
        folders = [""]
        while folders:
            folder = folders.pop()
            for name in source.names(folder):
                heed()
                path = f"{folder}/{name}" if folder else name
                new, found = source.status(path), self._status(path)
                assert new is not None
                if found is None:
                    moves.append((path, False))
                    continue
                is_folder = stat.S_ISDIR(new.st_mode)
                self._check_kind(path, found, is_folder=is_folder)
                if is_folder:
                    folders.append(path)
                elif not self._is_same(source, path, new, found, any_mode=not clobber):
                    if not clobber:
                        raise self._in_the_way(path, "it is another file than that of the artifact")
                    moves.append((path, True))
        return moves

    def _move(self, source: Inside, path: str, kept: Path | None, undo: list[Callable[[], None]]) -> None:
        above, _, name = path.rpartition("/")
        here, there = source.folder(above), self.inside.folder(above)
        assert here is not None
        assert there is not None
        if kept is not None:
            try:
                os.link(name, kept, src_dir_fd=there, follow_symlinks=False)
            except OSError:  # the file is somebody else's, or the file system has no hard links
                os.rename(name, kept, src_dir_fd=there)
            undo.append(partial(self._put_back, path, kept))
        os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
        if kept is None:
            undo.append(partial(self._take_back, source, path))

    def _put_back(self, path: str, kept: Path) -> None:
        parent, name = self.inside.parent(path)
        os.rename(kept, name, dst_dir_fd=parent)

    def _take_back(self, source: Inside, path: str) -> None:
        there, name = self.inside.parent(path)
        here, _ = source.parent(path)
        os.rename(name, name, src_dir_fd=there, dst_dir_fd=here)

    def _is_same(
        self, source: Inside, path: str, new: os.stat_result, found: os.stat_result, *, any_mode: bool
    ) -> bool:
        """Whether what is there is right."""
        if stat.S_IFMT(new.st_mode) != stat.S_IFMT(found.st_mode):
            return False
        if stat.S_ISLNK(new.st_mode):
            return source.read_link(path) == self.inside.read_link(path)
        if new.st_size != found.st_size or (new.st_mode != found.st_mode and not any_mode):
            return False
        return source.same(path, self.inside, path)

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return self.inside.status(path)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self._refused(path.rpartition("/")[0]) from error
            raise self._refused(path, error.strerror) from error

    def _check_kind(self, path: str, found: os.stat_result, *, is_folder: bool) -> None:
        if stat.S_ISDIR(found.st_mode) != is_folder:
            what = "a directory" if stat.S_ISDIR(found.st_mode) else "a file or a link"
            raise self._in_the_way(path, f"it is {what}, and {excerpt(path)} of the artifact is none")

    def _refused(self, path: str, cause: str | None = None) -> InvalidContent:
        return InvalidContent(
            f"{self.folder}/{excerpt(path)} cannot be written into",
            cause=cause or "it is a link or a file, and nothing is followed or replaced there",
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


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Report what goes wrong where something is written.

    Raises:
        LadingError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise LadingError(f"{what} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
