"""Replacing a folder as a whole: the file system's part of an atomic change.

This module knows folders and files, and not what is in them.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lading.errors import InvalidContent
from lading.io.files import make_folder, open_inside, path_inside, sync_folder, write_file

Stamp = tuple[int, int, int]
"""Inode, time of change in nanoseconds, and size: together they tell whether a file is still the same."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_REMOVALS = ".removals"


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file's state."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, if it is there; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def put_in_place(new: Path, path: Path, staged: Path, removals: Callable[[], list[str]]) -> bool:
    """Make a complete new folder appear at `path`, in one step for every reader, and make it last.

    Where the file system cannot exchange two folders, `new` becomes `staged` in one step, and is then carried over
    file by file; `finish_staged` completes that if it is interrupted.

    Args:
        new: the folder, its files synced; where there was another one at `path`, that is here afterwards.
        path: where it should be.
        staged: a path beside `new`, on the same file system.
        removals: gives the names of the files at `path` that are to go, where they are removed one by one.

    Returns:
        Whether a former folder is at `new` now.
    """
    sync_folder(new)
    try:
        new.rename(path)  # Fails where there is a folder with anything in it.
        exchanged = False
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EXDEV):
            raise
        exchanged = exchange(new, path)
        if not exchanged:
            write_file(new / _REMOVALS, json.dumps(removals()).encode())
            sync_folder(new)
            new.rename(staged)
            sync_folder(staged.parent)
            finish_staged(staged, path)
    sync_folder(path.parent)
    return exchanged


def finish_staged(staged: Path, path: Path) -> None:
    """Carry a staged folder over to its place, if there is one."""
    if not staged.is_dir():
        return
    path_inside(staged.parent, f"{staged.name}/file")  # refuses a link
    make_folder(path, 0o755)
    for file in sorted(staged.iterdir()):
        if file.name != _REMOVALS:
            file.replace(path / file.name)
    for name in _removals(staged):
        (path / name).unlink(missing_ok=True)
    sync_folder(path)
    remove_tree(staged)


def _removals(staged: Path) -> list[str]:
    """The names of the files that are to go; what is no name of a file in a folder is left out."""
    try:
        with os.fdopen(open_inside(staged, _REMOVALS), "rb") as file:
            names = json.loads(file.read())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise InvalidContent(f"{staged / _REMOVALS} is malformed", cause=str(error), remedy="remove it") from error
    found = names if isinstance(names, list) else []
    return [name for name in found if isinstance(name, str) and name == Path(name).name and name not in ("", "..")]


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step (Linux `renameat2`); False where that cannot be done."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    result: int = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return result == 0
