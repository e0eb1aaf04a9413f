"""Files and names that last when a machine loses its power.

The bytes of a file last once the file is synced, its name once its folder is. This module knows nothing of what is in
the files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole and sync it; one that is there is overwritten. All may read it as far as the umask allows."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing, as far as the umask allows the mode; sync their names."""
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
