"""The `index.json` of a layout in a directory: remembered while it stays as it is, changed safely by many at once.

This module knows how processes share the file, and nothing of what its entries mean. A change is one rename under a
lock, and readers never wait. Changes that wait for the lock at the same time are written together.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from lading.errors import InvalidContent
from lading.io.files import lock_inside, make_folder_inside, path_inside, sync_folder
from lading.io.locks import OnWait, Wait
from lading.io.threads import in_thread
from lading.model.digest import ALGORITHMS
from lading.model.encoding import Document
from lading.stores.layout.files import changing, replace
from lading.stores.layout.listing import Listing

OURS = ".lading"
"""The folder in a layout that holds lading's own files."""
LOCK = "lock"
"""The file in it that is held while `index.json` is changed."""

_PATIENCE = 60
"""How long to wait for another process that holds the lock, in seconds."""
_SETTLED = 0.1
"""How old a file has to be to be remembered, in seconds: then the next change gives it another time."""
_READS = 20
_PAUSE = 0.02
"""How often a file that another tool is writing is read, and how long to wait between, in seconds."""


class IndexFile:
    """The `index.json` of a layout.

    Args:
        layout: the directory.
        name: what the layout is called in messages.
        read: reads and checks the file.
        on_wait: is told when another process holds the lock for some seconds.
    """

    def __init__(self, layout: Path, name: str, read: Callable[[], Listing], on_wait: OnWait | None = None) -> None:
        self.path: Path = layout / "index.json"
        self._layout = layout
        self._name = name
        self._read = read
        self._on_wait = on_wait
        self._known: tuple[_Stamp, Listing] | None = None
        self._changes: list[_Change] = []

    def known(self) -> Listing | None:
        """What the file says, where it has not changed since it was read: that costs one `stat`."""
        known = self._known  # taken once: another thread may forget it while the file is looked at
        return known[1] if known is not None and known[0] == _stamp(self.path) else None

    def listing(self) -> Listing:
        """What the file says now.

        Raises:
            InvalidContent: it is malformed.
        """
        known = self.known()
        if known is not None:
            return known
        for attempt in range(_READS):
            before = _stamp(self.path)
            try:
                listing = self._read()
            except InvalidContent:
                # Some tools truncate the file before they write it.
                if before is None or attempt == _READS - 1 or before.age() > 1:
                    raise
                time.sleep(_PAUSE)
            else:
                self._known = (before, listing) if before is not None and before.age() > _SETTLED else None
                return listing
        raise AssertionError("unreachable")

    async def change(self, make: Callable[[list[Document]], None]) -> None:
        """Change what is listed.

        Args:
            make: changes the list in place. It runs in a thread while the lock is held; where it raises, its change
                is left out.

        Raises:
            Conflict: another process has been writing for a minute.
        """
        mine = _Change(make)
        self._changes.append(mine)
        try:
            async with self.locked(lambda: mine.done):
                if not mine.done:
                    taken, self._changes = self._changes, []
                    await in_thread(self._apply, taken)
        finally:
            if mine in self._changes:
                self._changes.remove(mine)
        if mine.error is not None:
            raise mine.error

    def write(self, listing: Listing) -> None:
        """Replace the file. The caller holds the lock."""
        # The names of what it lists have to be on the disk before it is.
        for algorithm in ALGORITHMS:
            sync_folder(path_inside(self._layout, f"blobs/{algorithm}"))
        before = _stamp(self.path)
        # Its time is later than that of the file before, if only by a nanosecond, so that readers see the change.
        moment = max(time.time_ns(), before.modified + 1 if before is not None else 0)
        status = replace(self.temporary(), self.path, listing.encode(), moment)
        sync_folder(self._layout)
        self._known = (_Stamp.of(status), listing) if status.st_mtime_ns == moment else None

    def folder(self) -> Path:
        """The folder of lading's own files; it is made where it is missing."""
        return make_folder_inside(self._layout, OURS)

    def temporary(self) -> Path:
        """A path that no other file has, for a file that will be moved into place."""
        return self.folder() / uuid.uuid4().hex

    @asynccontextmanager
    async def locked(self, enough: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
        """Hold the lock.

        Args:
            enough: whether the lock is no longer needed; as soon as it says so, the context is entered without it.

        Raises:
            Conflict: another process has held the lock for a minute.
        """
        lock: int | None = None
        wait = Wait(self._layout, self._layout / OURS / LOCK, _PATIENCE, self._on_wait)
        while not enough():
            with changing(self._name):
                self.folder()
                lock = lock_inside(self._layout, f"{OURS}/{LOCK}")
            if lock is not None:
                break
            await asyncio.sleep(wait.pause())
        try:
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def _apply(self, changes: Sequence[_Change]) -> None:
        try:
            listing = self.listing()
            before = documents = listing.documents
            for change in changes:
                attempt = documents.copy()
                try:
                    change.make(attempt)
                except Exception as error:  # noqa: BLE001  # those who wait hear of it
                    change.error = error
                else:
                    documents = attempt
            if documents != before:
                with changing(self._name):
                    self.write(listing.changed(documents))
        except BaseException as failure:  # noqa: BLE001  # those who wait hear of it
            for change in changes:
                change.error = change.error or failure
        for change in changes:
            change.done = True


class _Stamp(NamedTuple):
    """What tells one state of a file from another."""

    inode: int
    modified: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Stamp:
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)

    def age(self) -> float:
        return time.time() - self.modified / 1e9


def _stamp(path: Path) -> _Stamp | None:
    try:
        return _Stamp.of(path.lstat())
    except OSError:
        return None


class _Change:
    """A change that waits to be made."""

    def __init__(self, make: Callable[[list[Document]], None]) -> None:
        self.make = make
        self.done = False
        self.error: BaseException | None = None
