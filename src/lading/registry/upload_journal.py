"""The journal of uploads under way, by which the next run goes on where this one was interrupted.

It has one small file for each upload, with the address at which the registry takes the rest. Nothing depends on it: a
file that is lost, damaged or not ours costs an upload from the beginning, and nothing else. It sends nothing.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from lading.errors import InvalidContent
from lading.io.files import open_inside
from lading.model.digest import Digest

JOURNALED = 4 * 1024 * 1024
"""The smallest blob whose upload is remembered, in bytes: less is sent again faster than it is asked for."""
KEPT = 7 * 24 * 3600.0
"""How long an upload is remembered, in seconds; registries forget theirs after about a week."""
_SIZE_LIMIT = 64 * 1024


class Journal:
    """The uploads that were begun and not finished, by registry, repository and digest.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_pruned = False

    def find(self, registry: str, repository: str, digest: Digest) -> str | None:
        """The address of an upload that no other process goes on with; None where none is known."""
        path = self._path(registry, repository, digest)
        try:
            with os.fdopen(open_inside(path.parent, path.name), "rb") as file:
                raw = file.read(_SIZE_LIMIT + 1)
            if len(raw) > _SIZE_LIMIT:
                return None
            entry = msgspec.json.decode(raw, type=_Record)
        except (OSError, InvalidContent, msgspec.DecodeError, UnicodeDecodeError):
            return None
        named = (entry.registry, entry.repository, entry.digest) == (registry, repository, digest)
        fresh = -60 < time.time() - entry.changed < KEPT
        return entry.location if named and fresh and not _is_busy(entry.process) else None

    def keep(self, registry: str, repository: str, digest: Digest, location: str) -> None:
        """Remember an upload, and remove what is too old to be of use; nothing is done where no file can be written."""
        self._prune()
        path = self._path(registry, repository, digest)
        entry = _Record(registry, repository, str(digest), location, os.getpid(), time.time())
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.urandom(8).hex()}")
            # The address may be all that it takes to write to the upload: only its owner may read the file.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(msgspec.json.encode(entry))
            temporary.replace(path)

    def forget(self, registry: str, repository: str, digest: Digest) -> None:
        """The upload is finished, or lost."""
        with suppress(OSError):
            self._path(registry, repository, digest).unlink()

    def _prune(self) -> None:
        if self._is_pruned:
            return
        self._is_pruned = True
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    if time.time() - path.lstat().st_mtime > KEPT:
                        path.unlink()

    def _path(self, registry: str, repository: str, digest: Digest) -> Path:
        name = hashlib.sha256(f"{registry}\0{repository}\0{digest}".encode()).hexdigest()
        return self._folder / f"{name}.json"


class _Record(msgspec.Struct):
    registry: str
    repository: str
    digest: str
    location: str
    process: int
    changed: float
    """Seconds since the epoch."""


def _is_busy(process: int) -> bool:
    """Whether another process, which has the upload, is alive."""
    if process == os.getpid() or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
