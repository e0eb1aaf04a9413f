"""Folders for temporary files, which are removed when the work is over, also after a process was killed.

This module knows folders, and nothing of what is in them. A process holds a lock on its folder; a folder without a lock
was left behind by a process that was killed, and is removed by the next process that makes one in the same place.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from lading.errors import LadingError, way_on

_NAME = re.compile(r"[0-9a-f]{32}")
_MARK = 0o1700
"""The mode of a folder of ours. What has such a name and another mode is somebody's: files of artifacts never have the
sticky bit."""
_MOST = 100
"""How much of the name of a file its folder has in its own, in bytes."""


@contextmanager
def beside(target: Path, on_left: Callable[[Path, Path], object] | None = None) -> Iterator[Path]:
    """A hidden folder beside a file that is to be made or replaced, so on the same file system.

    Args:
        target: the file.
        on_left: called with the new folder, and one that was left behind and is removed then.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileNotFoundError):
        target.lstat()  # what cannot be its name is found out now
    # As long as a name may be, one with more in it is too long.
    name = os.fsdecode(os.fsencode(target.name)[:_MOST])
    with _scratch(target.parent, f".{name}.", on_left) as folder:
        yield folder


@contextmanager
def anywhere() -> Iterator[Path]:
    """A folder in `TMPDIR`, or else where there is much room, such as `/var/tmp`.

    Raises:
        OSError: it cannot be made.
    """
    with _scratch(Path(_roomy()), ".lading.") as folder:
        yield folder


def file() -> BinaryIO:
    """A file without a name in `TMPDIR`, or else where there is much room.

    Raises:
        OSError: it cannot be made.
    """
    return cast("BinaryIO", tempfile.TemporaryFile(prefix="lading-", dir=_roomy()))


@contextmanager
def keeping(what: str, folder: Path | None = None) -> Iterator[None]:
    """Report what goes wrong with temporary files.

    Args:
        what: what is kept there, for the message.
        folder: the folder they are in, if they are in one.

    Raises:
        LadingError: a file cannot be made, read or written.
    """
    try:
        yield
    except OSError as error:
        parent = folder.parent if folder is not None else Path(_roomy())
        raise LadingError(
            f"{what} cannot be kept in a temporary file",
            cause=f"{error.strerror or error} ({parent})",
            remedy="set TMPDIR to a directory with more room" if parent == Path(_roomy()) else way_on(error),
        ) from error


def _roomy() -> str:
    # /tmp is memory on many machines. In either the folders have names that nobody can guess.
    has_other = not os.environ.get("TMPDIR") and os.access("/var/tmp", os.W_OK)  # noqa: S108
    return "/var/tmp" if has_other else tempfile.gettempdir()  # noqa: S108


@contextmanager
def _scratch(parent: Path, prefix: str, on_left: Callable[[Path, Path], object] | None = None) -> Iterator[Path]:
    if on_left is None:
        _sweep(parent, prefix)
    folder, lock = None, None
    while lock is None:
        folder = parent / f"{prefix}{uuid.uuid4().hex}"
        folder.mkdir(0o700)
        folder.chmod(_MARK)
        lock = _claim(folder)  # None where another process has removed it as one left behind
    assert folder is not None
    try:
        if on_left is not None:
            _sweep(parent, prefix, partial(on_left, folder))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path, prefix: str, on_left: Callable[[Path], object] | None = None) -> None:
    """Remove the folders that were left behind."""
    with suppress(OSError):
        for folder in parent.iterdir():
            if not (folder.name.startswith(prefix) and _NAME.fullmatch(folder.name, len(prefix))):
                continue
            lock = _claim(folder)
            if lock is not None:
                if on_left is not None:
                    on_left(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _claim(folder: Path) -> int | None:
    """Lock a folder that a process of this user made; None where another process has it, or it is gone."""
    import fcntl

    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened, there = os.fstat(lock), folder.stat(follow_symlinks=False)
        is_ours = opened.st_uid == os.getuid() and stat.S_IMODE(opened.st_mode) == _MARK
        if opened.st_ino == there.st_ino and is_ours:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
