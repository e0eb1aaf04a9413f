"""Which indexes this user has copied only in part to a registry, so that a later copy of the whole brings the rest.

A registry says that it has an index, and not whether it has what that lists. One empty file per index in the user's
cache: a mark that is lost, or was made elsewhere, costs what `--verify` is for.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from lading.model.digest import Digest
from lading.registry.hosts.settings import user_folder

_KEPT = 365 * 24 * 3600.0


def sparse_indexes(registry: str, repository: str) -> Sparse:
    """Those of a repository; only this run's where `LADING_CACHE=0` says that nothing is to be remembered."""
    if os.environ.get("LADING_CACHE") == "0":
        return Sparse(None, "")
    return Sparse(user_folder("cache") / "sparse", f"{registry}\0{repository}")


class Sparse:
    """The digests of indexes that were copied in part.

    Args:
        folder: where they are remembered; None where they are not.
        place: what they are in.
    """

    def __init__(self, folder: Path | None, place: str) -> None:
        self._folder = folder
        self._place = place

    def __contains__(self, digest: object) -> bool:
        """Whether an index was copied in part, as far as is known."""
        return self._folder is not None and self._path(self._folder, digest).exists()

    def add(self, digest: Digest) -> None:
        """Remember that an index is copied in part; where the cache cannot be written, it is not remembered."""
        if self._folder is None:
            return
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._folder.iterdir():
                if time.time() - path.stat().st_mtime > _KEPT:
                    path.unlink(missing_ok=True)
            self._path(self._folder, digest).touch()

    def discard(self, digest: Digest) -> None:
        """All of it is there now."""
        if self._folder is not None:
            with suppress(OSError):
                self._path(self._folder, digest).unlink(missing_ok=True)

    def _path(self, folder: Path, digest: object) -> Path:
        return folder / hashlib.sha256(f"{self._place}\0{digest}".encode()).hexdigest()
