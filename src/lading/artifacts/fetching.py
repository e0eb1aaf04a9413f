"""Blobs of an artifact as they are downloaded: into files, and as a stream that is kept in a file beside.

What was begun before goes on where it stopped, and what is interrupted is kept for later, in the user's cache. This
module knows blobs and not what they are called.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from lading.artifacts.inside import Inside
from lading.io import scratch
from lading.io.behind import Behind
from lading.io.sources import PIECE, Source, closing, in_pieces
from lading.io.threads import heed, in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier
from lading.store import Readable, from_store
from lading.transfer.events import Counted, Meter

BLOBS = "blobs"
"""What the folder of downloads is called in a scratch folder."""
KEPT_FROM = 4 * 1024 * 1024
"""How much of a blob has to be there to be kept, in bytes: less is downloaded again faster than it is asked for."""
_MOST = 16 * 1024**3
"""How much is kept of interrupted downloads, in bytes."""
_STALE = 7 * 24 * 3600.0


class Partials:
    """The beginnings of blobs whose download was interrupted, for the next one. Everything here is work for a thread.

    A file that is lost, damaged or not ours costs a download from the beginning, and nothing else.

    Args:
        folder: where they are kept; None for nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def take(self, digest: Digest, target: Path) -> None:
        """Move the beginning of a blob to a path, if one is kept; only one process gets it."""
        if self._folder is None or not self._is_ours(self._folder):
            return
        kept = self._folder / _name(digest)
        with suppress(OSError):
            found = kept.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return
            taken = kept.with_name(f".{kept.name}.{os.urandom(8).hex()}")
            kept.rename(taken)
            mode = _mode_of_new(target)
            _move(taken, target)
            target.chmod(mode)

    def keep(self, folder: Path) -> None:
        """Move beginnings of blobs from a folder here, where they are large enough; the rest is left there."""
        if self._folder is None:
            return
        for path in _files(folder):
            with suppress(OSError):
                size = path.lstat().st_size
                if size < KEPT_FROM:
                    continue
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not self._is_ours(self._folder):
                    return
                self._make_room(size)
                path.chmod(0o600)
                new = self._folder / f".{path.name}.{os.urandom(8).hex()}"
                _move(path, new)
                new.rename(self._folder / path.name)

    def _make_room(self, size: int) -> None:
        """Remove what is too old, and what is too much with another one of this size."""
        assert self._folder is not None
        total = size
        for age, length, path in sorted((-s.st_mtime, s.st_size, p) for p, s in _statuses(self._folder)):
            total += length
            if total > _MOST or time.time() + age > _STALE:
                with suppress(OSError):
                    path.unlink()

    @staticmethod
    def _is_ours(folder: Path) -> bool:
        try:
            found = folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


class Fetching:
    """Downloads of blobs into a folder, where each is called by its digest.

    Args:
        store: which has the blobs.
        folder: where files are kept meanwhile.
        partials: what was begun before.
        meter: is told what is downloaded.
        what: what the blobs are of, in messages.
    """

    def __init__(self, store: Readable, folder: Path, partials: Partials, meter: Meter, what: str) -> None:
        self._store = store
        self._folder = folder
        self._partials = partials
        self._meter = meter
        self._what = what
        self.resumed: set[Digest] = set()
        """The blobs that were begun before."""
        self.shared: set[Digest] = set()
        """The blobs that are read several times, and so are kept also where they are small."""
        self._counted: dict[Digest, Counted] = {}

    def path(self, layer: Descriptor) -> Path:
        """Where a blob is kept."""
        return self._folder / _name(layer.digest)

    async def file(self, layer: Descriptor) -> Path:
        """Download a blob; returns the path of its file.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is damaged.
        """
        async with closing(self._kept(layer)) as pieces:
            async for _ in pieces:
                pass
        return self.path(layer)

    async def stream(self, layer: Descriptor) -> AsyncIterator[bytes]:
        """The bytes of a blob; large ones are kept, too, so that an interrupted download can go on.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is damaged; raised after the last piece.
        """
        is_kept = layer.size >= KEPT_FROM or layer.digest in self.shared
        pieces = self._kept(layer) if is_kept else in_pieces(self._source(layer)())
        async with closing(pieces):
            async for piece in pieces:
                yield piece

    def done(self, layer: Descriptor) -> int:
        """How many bytes of a blob the meter knows of."""
        counted = self._counted.get(layer.digest)
        return counted.done if counted is not None else 0

    def forget(self, layer: Descriptor) -> None:
        """Remove what there is of a blob."""
        self.path(layer).unlink(missing_ok=True)
        self.resumed.discard(layer.digest)

    async def _kept(self, layer: Descriptor) -> AsyncIterator[bytes]:
        """The bytes of a blob, which come into its file, too."""
        path = self.path(layer)
        with scratch.keeping(self._what, self._folder):
            file = await in_thread(self._opened, layer, path)
        verifier = Verifier(layer.digest, layer.size, f"{layer.digest} in {self._store.name}")
        with file:
            while piece := await in_thread(_taken_in, file, verifier):
                self.resumed.add(layer.digest)
                yield piece
            if verifier.seen < layer.size or not layer.size:
                source = self._source(layer)
                # Read from its first byte, it is verified already.
                check = verifier if verifier.seen or source.digest != layer.digest else None

                def add(piece: bytes, check: Verifier | None = check) -> None:
                    with scratch.keeping(self._what, self._folder):
                        _add(file, check, piece)

                async with closing(source.since(verifier.seen)) as pieces, Behind(add, keeps=True) as added:
                    async for piece in pieces:
                        await added.give(piece)
                        yield piece
                if check is None:
                    return
            verifier.finish()

    def _source(self, layer: Descriptor) -> Source:
        source = self._meter.counted(self._what, layer, None, from_store(self._store, layer))
        self._counted[layer.digest] = source
        return source

    def _opened(self, layer: Descriptor, path: Path) -> BinaryIO:
        if layer.size >= KEPT_FROM and not path.exists():
            self._partials.take(layer.digest, path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        if os.fstat(descriptor).st_size > layer.size:
            os.ftruncate(descriptor, 0)  # it is something else
        return cast("BinaryIO", os.fdopen(descriptor, "r+b", 0))


def take_over(left: Path, target: Path, digests: Iterable[Digest]) -> None:
    """Move beginnings of blobs out of the scratch folder of a process that was killed; nobody else may have made it.

    Args:
        left: the scratch folder.
        target: where they go.
        digests: of the blobs.
    """
    with suppress(OSError), Inside(left) as inside:
        for digest in digests:
            found = inside.status(f"{BLOBS}/{_name(digest)}")
            if found is not None and stat.S_ISREG(found.st_mode):
                parent, name = inside.parent(f"{BLOBS}/{_name(digest)}")
                os.rename(name, target / name, src_dir_fd=parent)


def _mode_of_new(path: Path) -> int:
    """Make an empty file, and see what the umask allows."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _taken_in(file: BinaryIO, verifier: Verifier) -> bytes:
    heed()
    piece = file.read(PIECE)
    verifier.update(piece)
    return piece


def _add(file: BinaryIO, verifier: Verifier | None, piece: bytes) -> None:
    if verifier is not None:
        verifier.update(piece)
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def _name(digest: Digest) -> str:
    return str(digest).replace(":", "-")


def _files(folder: Path) -> list[Path]:
    return [path for path, found in _statuses(folder) if stat.S_ISREG(found.st_mode)]


def _statuses(folder: Path) -> list[tuple[Path, os.stat_result]]:
    try:
        return [(path, path.lstat()) for path in folder.iterdir()]
    except OSError:
        return []


def _move(path: Path, target: Path) -> None:
    try:
        path.rename(target)
    except OSError:  # on another file system
        try:
            shutil.copyfile(path, target)
        finally:
            path.unlink(missing_ok=True)
