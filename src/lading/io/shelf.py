"""A folder of files that later runs may use: each has a name, and is lost without harm. It knows nothing of formats.

What is kept is readable by its owner only, and what somebody else could have changed is not read. Where the folder
becomes too large, what was not used for the longest time goes first.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from lading.errors import InvalidContent
from lading.io.files import open_inside

_CHECKED_EACH = 60.0
_STALE = 30 * 24 * 3600.0


class Shelf:
    """Files by name.

    Args:
        folder: where they are; None for none, so that nothing is kept.
        most: how large all of them may be together, in bytes.
    """

    def __init__(self, folder: Path | None, most: int) -> None:
        self._folder = folder
        self._most = most
        self._checked = 0.0

    def get(self, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is that can be trusted."""
        if self._folder is None:
            return None
        try:
            if not _is_ours(self._folder.lstat(), stat.S_ISDIR):
                return None
            with os.fdopen(open_inside(self._folder, name), "rb") as file:
                if not _is_ours(os.fstat(file.fileno()), stat.S_ISREG):
                    return None
                os.utime(file.fileno())
                return file.read()
        except (OSError, InvalidContent):
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep something; nothing is done where that cannot be."""
        if self._folder is None or len(content) > self._most // 4:
            return
        temporary = f".{name}.{os.urandom(8).hex()}"
        with suppress(OSError, InvalidContent):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(self._folder.lstat(), stat.S_ISDIR):
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            try:
                with os.fdopen(open_inside(self._folder, temporary, flags, 0o600), "wb") as file:
                    file.write(content)
                (self._folder / temporary).replace(self._folder / name)
            except BaseException:
                with suppress(OSError):
                    (self._folder / temporary).unlink()
                raise
            self._prune(self._folder)

    def _prune(self, folder: Path) -> None:
        if time.monotonic() - self._checked < _CHECKED_EACH and self._checked:
            return
        self._checked = time.monotonic()
        found = [(path.lstat(), path) for path in folder.iterdir()]
        total = sum(status.st_size for status, _ in found)
        for status, path in sorted(found, key=lambda one: one[0].st_mtime):
            if total > self._most or time.time() - status.st_mtime > _STALE:
                path.unlink()
                total -= status.st_size


def _is_ours(status: os.stat_result, is_kind: object) -> bool:
    assert callable(is_kind)
    return bool(is_kind(status.st_mode)) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
