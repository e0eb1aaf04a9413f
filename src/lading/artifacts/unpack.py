"""An archive that is a directory of an artifact, as it is unpacked: its members become files inside a folder.

Nothing of the archive is believed: what would be outside of its directory, or leads there, is refused. Everything here
is work for a thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lading.artifacts.inside import Inside, set_time
from lading.artifacts.recall import Recording
from lading.artifacts.titles import fault, leads_outside, tidy
from lading.errors import InvalidContent, LadingError, way_on
from lading.images.files.layers import LIMITS, beyond
from lading.io.tar_stream import Member
from lading.io.tar_writer import DIRECTORY, FILE, HARD_LINK, SYMLINK
from lading.io.threads import heed
from lading.model.text import counted, excerpt

_NAMED = 5
"""How many of the members that are left out are named."""
_AGAIN = 1000
"""How many members may take the place of earlier ones: for each of them the names in its directory are looked at."""


class Unpacking:
    """The members of an archive, as they come, and as files in a folder.

    Args:
        folder: nothing is there but what is unpacked.
        root: the directory that all members have to be in; empty for any.
        target: what that directory is called in the folder.
        what: what the archive is called in messages.
        size: of the blob, in bytes.
        recording: takes down what is unpacked.
        is_alone: whether nothing else comes into that directory.
    """

    def __init__(
        self, folder: Path, root: str, target: str, what: str, size: int, recording: Recording, *, is_alone: bool
    ) -> None:
        self.what = what
        self.closed_folders: dict[str, int] = {}
        """Directories that their owner may not write to or look into, with what they are to allow in the end."""
        self._inside = Inside(folder)
        self._links = Inside(folder)
        self._root = root
        self._target = target
        self._most = LIMITS.allowance + LIMITS.ratio * size
        self._recording = recording
        self._is_alone = is_alone
        self._folders: dict[str, tuple[int, float]] = {}
        self._left_out: list[str] = []
        self._more = self._again = 0
        self._file = -1
        self._member: Member | None = None
        self._extents: Iterator[tuple[int, int]] | None = None
        self._at = self._room = 0

    @property
    def notes(self) -> list[str]:
        """What was left out."""
        said = [
            f"{excerpt(path)} is left out: it is neither a file nor a directory nor a link" for path in self._left_out
        ]
        return [*said, f"{counted(self._more, 'more member')} of that kind left out"] if self._more else said

    def member(self, member: Member) -> bool:
        """Take a member; returns whether it has content.

        Raises:
            InvalidContent: it would be outside of the directory, or leads there.
            LadingError: it cannot be written.
        """
        heed()
        inner = self._inner(member.name, member.name)
        path = "/".join(part for part in (self._target, inner) if part)
        if not path:
            return False
        with self._writing(member.name):
            if member.type == FILE:
                return self._begin(path, inner, member)
            if member.type == SYMLINK:
                self._symlink(path, inner, member)
            elif member.type == HARD_LINK:
                self._hard_link(path, inner, member)
            elif member.type == DIRECTORY:
                self._directory(path, inner, member)
            elif len(self._left_out) < _NAMED:
                self._left_out.append(path)
            else:
                self._more += 1
        return False

    def write(self, piece: memoryview) -> None:
        """Take content of a file; of a sparse one what is stored."""
        if self._file < 0:
            return
        self._recording.content(piece)
        with self._writing(""):
            while piece:
                if self._extents is None:
                    piece = piece[os.write(self._file, piece) :]
                    continue
                while not self._room:
                    self._at, self._room = next(self._extents)
                done = os.pwrite(self._file, piece[: self._room], self._at)
                self._at, self._room, piece = self._at + done, self._room - done, piece[done:]

    def end(self) -> None:
        """End a file."""
        if self._file >= 0 and self._member is not None:
            if self._extents is not None:
                with self._writing(self._member.name):
                    os.ftruncate(self._file, self._member.size)
            set_time(self._file, self._member.mtime)
        self._close_file()

    def finish(self) -> None:
        """Say that the archive has ended: directories get their permissions and times, the innermost first."""
        if self._target and self._inside.status(self._target) is None:
            self._inside.make_folder(self._target)
        for path, (mode, mtime) in reversed(self._folders.items()):
            heed()
            if mode & 0o700 != 0o700:
                self.closed_folders[path] = mode
            self._inside.describe(path, mode | 0o700, mtime)

    def close(self) -> None:
        """Close what is open."""
        self._close_file()
        self._inside.close()
        self._links.close()

    def _inner(self, name: str, said: str) -> str:
        """The path of a member in the directory; empty for the directory itself."""
        path = tidy(name)
        cause = "it is an absolute path" if name.startswith("/") else fault(path or "x")
        if cause is None and self._root and path != self._root and not path.startswith(f"{self._root}/"):
            cause = "it is outside of the directory"
        if cause is not None:
            raise self._refused(said, cause)
        return path[len(self._root) :].lstrip("/") if self._root else path

    def _begin(self, path: str, inner: str, member: Member) -> bool:
        if member.extents is not None and member.size > self._most:
            raise beyond(self.what, f"a sparse file in it has {member.size} bytes")
        self._make_room(path, member)
        self._file = self._inside.new_file(path, member.mode & 0o777)
        self._member = member
        self._extents = iter(member.extents) if member.extents is not None else None
        self._at = self._room = 0
        self._recording.file(inner, member)
        return True

    def _symlink(self, path: str, inner: str, member: Member) -> None:
        if not inner or leads_outside(inner.rpartition("/")[0], member.link) or "\0" in member.link:
            raise self._refused(member.name, f"it is a link that leads out of it, to {excerpt(member.link)}")
        self._make_room(path, member)
        parent, name = self._inside.parent(path, make=True)
        os.symlink(member.link, name, dir_fd=parent)
        with suppress(OSError, OverflowError):
            os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)
        self._recording.link(inner, member)

    def _hard_link(self, path: str, inner: str, member: Member) -> None:
        there = self._inner(member.link, member.name)
        source = "/".join(part for part in (self._target, there) if part)
        found = self._links.status(source) if source != path else None
        if found is None or not stat.S_ISREG(found.st_mode):
            raise self._refused(member.name, "it is a hard link to what is no file before it in the directory")
        self._make_room(path, member)
        parent, name = self._inside.parent(path, make=True)
        first, first_name = self._links.parent(source)
        os.link(first_name, name, src_dir_fd=first, dst_dir_fd=parent, follow_symlinks=False)
        self._recording.hard_link(inner, there)

    def _directory(self, path: str, inner: str, member: Member) -> None:
        self._inside.make_folder(path, member.mode & 0o777 | 0o700)
        self._folders[path] = (member.mode & 0o777, member.mtime)
        self._recording.directory(inner)

    def _make_room(self, path: str, member: Member) -> None:
        """Remove what an earlier member of the same name has made: the last one counts."""
        found = self._inside.status(path)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            raise self._refused(member.name, "it is a directory and something else, too")
        above, _, name = path.rpartition("/")
        self._again += 1
        if self._again > _AGAIN:
            raise beyond(self.what, f"it has more than {_AGAIN} members that another one takes the place of")
        if not self._is_alone or name not in self._inside.names(above):
            raise self._refused(member.name, "another file has this name, or one that is the same here")
        parent, name = self._inside.parent(path)
        os.unlink(name, dir_fd=parent)
        self._recording.spoil()

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self._refused(name, "a directory that it is in is a link or a file") from error
            raise LadingError(
                f"{self.what} cannot be unpacked", cause=f"{excerpt(name)}: {error.strerror}", remedy=way_on(error)
            ) from error

    def _refused(self, name: str, cause: str) -> InvalidContent:
        return InvalidContent(
            f"{self.what} cannot be unpacked", cause=f"{excerpt(name)}: {cause}", code="unfit-artifact"
        )
