"""Replacing a folder as a whole: the file system's part of an atomic change.

This module knows folders and files, and nothing of what is in them.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

Stamp = tuple[int, int, int]
"""Inode, time of change in nanoseconds, and size: together they tell whether a file is still the same."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_REMOVALS = ".removals"


def stamp(status: os.stat_result) -> Stamp:
    """What tells one state of a file from another."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def write_file(path: Path, data: bytes) -> None:
    """Write a new file, readable for all as far as the umask allows."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


def put_in_place(new: Path, path: Path, staged: Path, removals: Callable[[], list[str]]) -> bool:
    """Make a complete new folder appear at `path`, in one step for everyone who looks.

    Where the file system cannot exchange two folders, `new` becomes `staged` in one step, and is then carried over
    file by file; `finish_staged` completes that if it is interrupted.

    Args:
        new: the folder; where there was another one before, that is here afterwards.
        path: where it should be.
        staged: a place beside `new`, on the same file system.
        removals: gives the names of the files at `path` that are to go, where they are removed one by one.

    Returns:
        Whether a former folder is at `new` now.
    """
    try:
        new.rename(path)  # Fails where there is a folder with anything in it.
        return False
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EXDEV):
            raise
    if exchange(new, path):
        return True
    write_file(new / _REMOVALS, json.dumps(removals()).encode())
    new.rename(staged)
    finish_staged(staged, path)
    return False


def finish_staged(staged: Path, path: Path) -> None:
    """Carry a staged folder over to its place, if there is one."""
    if not staged.is_dir():
        return
    path.mkdir(0o755, parents=True, exist_ok=True)
    for file in sorted(staged.iterdir()):
        if file.name != _REMOVALS:
            file.replace(path / file.name)
    listed = staged / _REMOVALS
    if listed.exists():
        for name in json.loads(listed.read_bytes()):
            (path / name).unlink(missing_ok=True)
    remove_tree(staged)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step (Linux `renameat2`); False where that cannot be done."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    result: int = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return result == 0
