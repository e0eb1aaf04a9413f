"""Files that people change while the registry runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from lading.errors import LadingError, UsageError, way_on

T = TypeVar("T")

log: logging.Logger = logging.getLogger("lading.serve")


class Watched(Generic[T]):
    """What a text file says now. While it cannot be read, what it said last goes on to hold.

    Args:
        path: the file.
        read: makes a value of its text and its name; raises `UsageError` if it cannot.

    Raises:
        UsageError: it cannot be read now.
    """

    def __init__(self, path: str | os.PathLike[str], read: Callable[[str, str], T]) -> None:
        self._path = Path(path)
        self._read = read
        self._stamp: object = None
        try:
            self._stamp = self._look()
            self._value = self._load()
        except OSError as error:
            raise UsageError(f"cannot read {path}", cause=error.strerror, remedy=way_on(error)) from None

    @property
    def value(self) -> T:
        """What it says."""
        try:
            stamp: object = self._look()
        except OSError as error:
            stamp = error.errno
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._value = self._load()
            except (LadingError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                log.warning("%s has changed and cannot be read, so nothing changes: %s", self._path, reason)
        return self._value

    def _look(self) -> object:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _load(self) -> T:
        try:
            return self._read(self._path.read_text(encoding="utf-8"), str(self._path))
        except UnicodeDecodeError:
            raise UsageError(f"cannot read {self._path}", cause="it is not UTF-8 text") from None
