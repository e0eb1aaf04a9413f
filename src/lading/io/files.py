"""Files and names that last when a machine loses its power, and files inside a place that somebody else prepared.

The bytes of a file last once the file is synced, its name once its folder is. Inside a place, such as a layout, no
link is followed, and nothing but a file is opened: what is in there leads nowhere else, and no pipe is waited for. The
place itself is what the user said, and may be a link. This module knows nothing of what is in the files.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from lading.errors import InvalidContent

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def path_inside(place: Path, name: str) -> Path:
    """The path of a file inside a place, once it is sure that the folders on the way to it are no links.

    Args:
        place: the folder that the user said.
        name: the path of the file in there, with slashes.

    Raises:
        InvalidContent: one of the folders is a link.
    """
    path = place
    *folders, last = name.split("/")
    for folder in folders:
        path = path / folder
        with suppress(OSError):
            if stat.S_ISLNK(path.lstat().st_mode):
                raise _refused(path, stat.S_IFLNK)
    return path / last


def status_inside(place: Path, name: str) -> os.stat_result:
    """The status of a file inside a place.

    Raises:
        InvalidContent: it is something else than a file, or a folder on the way to it is a link.
        OSError: it is not there.
    """
    path = path_inside(place, name)
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise _refused(path, status.st_mode)
    return status


def open_inside(place: Path, name: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Open a file inside a place.

    Args:
        place: the folder that the user said.
        name: the path of the file in there, with slashes.
        flags: as `os.open` takes them.
        mode: who may do what with a file that is made, as far as the umask allows.

    Returns:
        The descriptor.

    Raises:
        InvalidContent: it is something else than a file, or a folder on the way to it is a link.
        OSError: it cannot be opened.
    """
    path = path_inside(place, name)
    try:
        # Opening a pipe would block until another process opens its other end.
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            with suppress(OSError):
                if not stat.S_ISREG(found := path.lstat().st_mode):
                    raise _refused(path, found) from error
        raise
    found = os.fstat(handle).st_mode
    if not stat.S_ISREG(found):
        os.close(handle)
        raise _refused(path, found)
    return handle


def make_folder_inside(place: Path, name: str) -> Path:
    """Make a folder inside a place, with the folders above it that are missing; sync their names.

    Raises:
        InvalidContent: it, or a folder above it, is a link.
    """
    folder = path_inside(place, f"{name}/file").parent
    make_folder(folder)
    return folder


def lock_inside(place: Path, name: str) -> int | None:
    """Lock a file inside a place, which is made where it is missing, until the descriptor is closed.

    Returns:
        The descriptor; None where another process, or another part of this one, has the lock.

    Raises:
        InvalidContent: it is something else than a file, or a folder on the way to it is a link.
        OSError: it cannot be opened, or the file system has no locks.
    """
    import fcntl

    handle = open_inside(place, name, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and sync it; it takes the place of what is there. All may read it as far as the umask allows."""
    with suppress(FileNotFoundError):
        path.unlink()  # a link is removed, and not followed
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder, with the missing folders above it, as far as the umask allows the mode; sync their names."""
    if path.is_dir():
        return
    make_folder(path.parent, mode)
    path.mkdir(mode, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder, where the file system can."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refused(path: Path, mode: int) -> InvalidContent:
    if stat.S_ISLNK(mode):
        return InvalidContent(
            f"{path} is a link",
            cause="no link is followed in there, wherever it leads",
            remedy="remove it, or put what it leads to in its place",
        )
    kind = next((name for is_it, name in _KINDS if is_it(mode)), "something else")
    return InvalidContent(f"{path} is not a file", cause=f"it is {kind}", remedy="remove it")
