"""What the repositories of a folder share: blobs, by hard links, and a place for what has not come whole yet.

This module knows files and digests, and nothing of layouts or of what content means. In the folder of the registry:

    FOLDER/.lading/blobs/ALGORITHM/HEX      a link to a blob that some repository has
    FOLDER/.lading/uploads/PROCESS          held by a process for as long as it runs
    FOLDER/.lading/uploads/PROCESS-RANDOM   what that process is receiving

A process that ended, however it ended, holds its file no longer: then what it was receiving is rubbish.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from lading.errors import InvalidContent
from lading.io.files import make_folder, make_folder_inside, open_inside, path_inside, sync_folder
from lading.model.digest import Digest
from lading.stores.layout.files import ABSENT, CHUNK, claim
from lading.stores.layout.reader import blob_path

OURS = ".lading"
"""The folder that is no repository: no component of a repository's name begins with a dot."""
_UPLOADS = f"{OURS}/uploads"


class SharedFiles:
    """What the repositories in a folder share.

    Args:
        folder: the folder of the registry.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: tuple[Path, weakref.finalize[..., SharedFiles]] | None = None

    def temporary(self) -> Path:
        """A path for a file that is to be moved into place when it is whole; it goes when this process ends."""
        if self._process is None:
            uploads = make_folder_inside(self._folder, _UPLOADS)
            while (file := claim(path := uploads / uuid.uuid4().hex)) is None:
                pass
            self._process = path, weakref.finalize(self, _release, path, file)
        path = self._process[0]
        return path.with_name(f"{path.name}-{uuid.uuid4().hex}")

    def close(self) -> None:
        """Say that this process receives nothing any more."""
        if self._process is not None:
            self._process[1]()
            self._process = None

    def keep(self, temporary: Path, digest: Digest, target: Path) -> None:
        """Move a whole and verified file into place; its bytes and its name last when this returns.

        Where another repository has the same content, it is on the disk once.

        Args:
            temporary: the file.
            digest: its digest.
            target: where it goes; what is there is replaced.
        """
        shared = self._shared(digest)
        if _same(temporary, shared) and self._linked(shared, link := self.temporary()):
            temporary.unlink()
            temporary = link
        else:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            self._share(temporary, shared)
        make_folder(target.parent)
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # renaming a link over another one of the same file does nothing
        sync_folder(target.parent)

    def link(self, source: Path, digest: Digest, target: Path) -> bool:
        """Give content another name; False if it is not there."""
        try:
            # It is about to be referred to: no collector may take it for forgotten.
            os.utime(source, follow_symlinks=False)
            make_folder(target.parent)
            os.link(source, target, follow_symlinks=False)
            self._share(source, self._shared(digest))
        except FileExistsError:
            with contextlib.suppress(*ABSENT):
                os.utime(target)
            return target.is_file()
        except ABSENT:
            return False
        except OSError:  # another file system, or one without links
            copy = self.temporary()
            with _opened(source) as content, copy.open("xb") as file:
                shutil.copyfileobj(content, file, CHUNK)
                file.flush()
                os.fsync(file.fileno())
            copy.replace(target)
        sync_folder(target.parent)
        return True

    def links(self, digest: Digest) -> int:
        """How many repositories share content; 0 if it is not shared at all."""
        try:
            return self._shared(digest).lstat().st_nlink - 1
        except ABSENT:
            return 0

    def drop(self, digest: Digest) -> bool:
        """Let go of content that no repository has any more; whether that was so."""
        path = self._shared(digest)
        with contextlib.suppress(*ABSENT):
            if path.lstat().st_nlink == 1:
                path.unlink()
                return True
        return False

    def sweep(self, before: float, *, dry_run: bool = False) -> list[int]:
        """Remove what processes were receiving when they ended.

        Args:
            before: what belongs to no process at all goes if it is older than this, in seconds since the epoch.
            dry_run: remove nothing.

        Returns:
            The sizes of what went, in bytes.
        """
        uploads = path_inside(self._folder, f"{_UPLOADS}/file").parent
        try:
            names = sorted(file.name for file in uploads.iterdir())
        except FileNotFoundError:
            return []
        swept: list[int] = []
        processes = {name for name in names if "-" not in name}
        for process in processes:
            swept += self._sweep_process(uploads / process, names, dry_run)
        for name in names:
            path = uploads / name
            if name.partition("-")[0] not in processes and (size := _remove(path, dry_run, before)) is not None:
                swept.append(size)
        return swept

    def _shared(self, digest: Digest) -> Path:
        """Where content is that repositories share."""
        return path_inside(self._folder, f"{OURS}/{blob_path(digest)}")

    def _sweep_process(self, path: Path, names: Iterable[str], dry_run: bool) -> list[int]:
        """Remove what one process was receiving, if it has ended; the sizes of what went, in bytes."""
        if (self._process is not None and self._process[0] == path) or (file := claim(path)) is None:
            return []
        with file:
            swept = [
                size
                for name in names
                if name.partition("-")[0] == path.name != name
                and (size := _remove(path.with_name(name), dry_run)) is not None
            ]
            if not dry_run:
                path.unlink(missing_ok=True)
        return swept

    def _linked(self, shared: Path, link: Path) -> bool:
        """Give what is shared another name, unless it has just gone."""
        try:
            os.link(shared, link, follow_symlinks=False)
        except OSError:
            return False
        os.utime(link, follow_symlinks=False)
        return True

    def _share(self, file: Path, shared: Path) -> None:
        """Make content known to all repositories, in the place of what is damaged; where there are links."""
        with contextlib.suppress(OSError):
            make_folder(shared.parent)
            link = self.temporary()
            os.link(file, link, follow_symlinks=False)
            link.replace(shared)
            link.unlink(missing_ok=True)


def _release(path: Path, file: io.FileIO) -> None:
    with file, contextlib.suppress(OSError):
        path.unlink()


def _opened(file: Path) -> BinaryIO:
    """Open a file; nothing but a file, and no link."""
    return os.fdopen(open_inside(file.parent, file.name), "rb")


def _same(file: Path, other: Path) -> bool:
    """Whether both are there and have the same bytes."""
    with contextlib.suppress(InvalidContent, *ABSENT), _opened(file) as one, _opened(other) as two:
        if os.fstat(one.fileno()).st_size != os.fstat(two.fileno()).st_size:
            return False
        while chunk := one.read(CHUNK):
            if chunk != two.read(CHUNK):
                return False
        return True
    return False


def _remove(path: Path, dry_run: bool, before: float = float("inf")) -> int | None:
    """Remove a file that is older than `before`; its size in bytes, or None if it stays or is gone already."""
    with contextlib.suppress(*ABSENT):
        status = path.lstat()
        if status.st_mtime >= before:
            return None
        if not dry_run:
            path.unlink()
        return status.st_size
    return None
