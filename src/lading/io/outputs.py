"""What a user names to be written: a file, which is there whole or as it was; or a pipe or a device, which stays one.

This module knows nothing of what is written.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lading.io import scratch
from lading.io.files import sync_folder, write_file
from lading.io.threads import heed, writer

_PAUSE = 0.02
"""Seconds between two looks at a pipe that nobody reads yet."""
_LINKS = 40
"""How many links a kernel follows."""


def is_stream(path: Path) -> bool:
    """Whether a path leads to a pipe, a device or an open file (`/dev/null`, `/dev/stdout`), which nothing replaces."""
    try:
        found = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(found) or stat.S_ISDIR(found)) or _is_open_file(path)


def check_output(path: Path) -> None:
    """Find out, before much is done, that there can be no file.

    Raises:
        OSError: there is a folder, or the path is none.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


class Stream:
    """A pipe, a device or an open file, to write into; a context manager. Everything here is work for a thread.

    Args:
        path: where it is.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._fd = _opened(path)

    def __enter__(self) -> BinaryIO:
        return writer(self._fd)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def write_output(path: Path, data: bytes) -> None:
    """Write a file; it takes the place of what is there when all of it is written. A stream is written into.

    Raises:
        OSError: it cannot be written.
    """
    if is_stream(path):
        with Stream(path) as file:
            file.write(data)
        return
    check_output(path)
    with scratch.beside(path) as folder:
        new = folder / "new"
        write_file(new, data)
        new.replace(path)
        sync_folder(path.parent)


def _opened(path: Path) -> int:
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
        # Nobody has opened the other end of the pipe yet.
        heed()
        time.sleep(_PAUSE)


def _is_open_file(path: Path) -> bool:
    """Whether links lead to a descriptor of a process, such as `/proc/self/fd/1`."""
    with suppress(OSError):
        for _ in range(_LINKS):
            folder = path.parent.resolve()
            if folder.name == "fd" and folder.parts[1:2] == ("proc",):
                return True
            path = folder / path.readlink()
    return False
