"""Reading the folder of a list as it is at one moment, while Docker and lading may write to it.

This module knows the files in the folder, and not what lading remembers beside them.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import msgspec

from lading.drafts.atomic_folder import Stamp, stamp
from lading.drafts.docker_files import SIZE_LIMIT, decode_entry, file_name, looks_like_a_name
from lading.drafts.draft import DraftEntry
from lading.errors import InvalidContent

_FRESH = 1.0


class ListFolder(msgspec.Struct):
    """What is in the folder of a list at one moment."""

    identity: tuple[int, int]
    """Its inode, and the time of its last change in nanoseconds."""
    changed: float
    """When it or an entry in it last changed, in seconds since the epoch."""
    entries: dict[str, DraftEntry] = {}
    """The entries, by the names of their files."""
    ids: list[str] = []
    """The identifier of the list that lading wrote an entry for, for each entry that has one."""
    stamps: dict[str, Stamp] = {}
    """The stamps of all that is in the folder, by name."""
    foreign: tuple[str, ...] = ()
    """The names of what is no entry."""

    @classmethod
    def read(cls, path: Path) -> ListFolder | None:
        """Read it as it was at one moment.

        Raises:
            FileNotFoundError: it changed meanwhile; try again.
            InvalidContent: a file is malformed.
        """
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            status = os.fstat(handle)
            folder = cls((status.st_ino, status.st_mtime_ns), status.st_mtime)
            for name in os.listdir(handle):  # noqa: PTH208
                folder._add(handle, name, path)
            # A folder that was replaced while it was read may have been half removed already.
            now = path.stat()
            if (now.st_ino, now.st_mtime_ns) != folder.identity:
                raise FileNotFoundError(path)
            return folder
        finally:
            os.close(handle)

    def _add(self, handle: int, name: str, path: Path) -> None:
        status = os.lstat(name, dir_fd=handle)
        self.stamps[name] = stamp(status)
        what = os.fsencode(path / name).decode("utf-8", "backslashreplace")
        try:
            if not stat.S_ISREG(status.st_mode):
                kind = "a link" if stat.S_ISLNK(status.st_mode) else "no file"
                raise InvalidContent(f"{what} is not a file", cause=f"it is {kind}")
            entry, list_id = decode_entry(_content(handle, name), what)
        except InvalidContent as error:
            if (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)) and looks_like_a_name(name):
                error.code, error.fields = "damaged-draft", {"file": what}
                error.remedy = error.remedy or "make the list anew"
                raise
            self.foreign = (*self.foreign, name)
            return
        self.changed = max(self.changed, status.st_mtime)
        usual = file_name(entry.reference)
        self.entries[name] = entry if name == usual else msgspec.structs.replace(entry, file=name)
        if list_id:
            self.ids.append(list_id)


def stamps_of(path: Path) -> dict[str, Stamp]:
    """The stamps of all that is in a folder, by name; none where there is no folder."""
    return {entry.name: stamp(entry.stat(follow_symlinks=False)) for entry in os.scandir(path)} if path.is_dir() else {}


def is_fresh(path: Path) -> bool:
    """Whether something in a folder changed a second ago or later."""
    newest = max((changed for _, changed, _ in stamps_of(path).values()), default=0)
    return time.time_ns() - newest < _FRESH * 1e9


def _content(handle: int, name: str) -> bytes:
    # Another program may have put something else there meanwhile: a link is not followed, a pipe not waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=handle), "rb") as file:
        return file.read(SIZE_LIMIT + 1)
