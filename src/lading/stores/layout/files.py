"""Files of a layout: each is written beside its place, verified, synced, and renamed into place when it is whole.

This module knows files, and content only by its descriptor.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lading.errors import Conflict, DigestMismatch, InvalidContent, LadingError, way_on
from lading.io.behind import Behind
from lading.io.files import make_folder, open_inside
from lading.io.sources import closing
from lading.io.threads import heed
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier

CHUNK = 1024 * 1024
"""How much is read and written at once, in bytes."""
KEPT = 1024 * 1024
"""The smallest blob of which a part is kept when the rest does not come, in bytes."""

ABSENT = (FileNotFoundError, NotADirectoryError)
"""How the file system says that there is no such file."""

_FICLONE = 0x40049409  # of Linux
_RANDOM = re.compile(r"[0-9a-f]{32}")
_CATCH_UP = 16 * CHUNK
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PartialBlob:
    """A file that holds the first bytes of a blob, and becomes the blob.

    The file of a large blob has a name that the next writer of this content finds; one process at a time writes to it.
    While one does, other processes that write the same content use files with random names.
    """

    def __init__(
        self, path: Path, file: io.FileIO, content: Descriptor, *, named: bool, is_verified: bool = False
    ) -> None:
        self._path = path
        self._file = file
        self._named = named
        self._verifier = Verifier(content.digest, content.size, is_hashed=not is_verified)

    @classmethod
    def begin(cls, folder: Path, content: Descriptor, offset: int, *, is_verified: bool = False) -> PartialBlob:
        """Begin a file in `folder`, or continue one.

        Args:
            folder: where it is.
            content: the blob.
            offset: continue after so many bytes, which `catch_up` has to verify first; 0 begins a file.
            is_verified: whether what comes is verified on its way, from the first byte on.

        Raises:
            Conflict: the bytes are not there any more, or another process is writing after them.
        """
        path = _part_path(folder, content.digest)
        file = claim(path) if content.size >= KEPT or offset else None
        if file is None and not offset:
            path = folder / uuid.uuid4().hex
            return cls(path, _claimed(path), content, named=False, is_verified=is_verified)
        if file is None or os.fstat(file.fileno()).st_size < offset:
            if file is not None:
                file.close()
            raise Conflict(
                f"{content.digest} cannot be continued", cause="what had come of it is gone, or in use by another"
            )
        file.truncate(offset)
        return cls(path, file, content, named=True, is_verified=is_verified and not offset)

    def catch_up(self, offset: int) -> bool:
        """Verify some of the first `offset` bytes.

        Returns:
            Whether all of them are verified now.
        """
        until = min(offset, self._verifier.seen + _CATCH_UP)
        while missing := until - self._verifier.seen:
            chunk = self._file.read(min(CHUNK, missing))
            if not chunk:
                raise DigestMismatch(f"{self._path} became shorter while it was read")
            self._verifier.update(chunk)
        return until == offset

    def append(self, data: bytes) -> None:
        """Write the next bytes, and verify them where that was not done on their way."""
        self._verifier.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def finish(self, target: Path) -> None:
        """Move it into place.

        Raises:
            DigestMismatch: it is not what it should be.
        """
        self._verifier.finish()
        os.fsync(self._file.fileno())
        move(self._path, target)
        self._file.close()

    def close(self) -> None:
        """Close it where nobody writes to it, as `in_thread` does with what comes too late."""
        self.give_up()

    def give_up(self, error: BaseException | None = None) -> None:
        """Close the file. It stays for the next writer, unless that cannot use it: then it is removed."""
        full = any(isinstance(item, OSError) and item.errno in _NO_ROOM for item in (error, error and error.__cause__))
        if not self._named or full or isinstance(error, DigestMismatch):
            with suppress(OSError):
                self._path.unlink()
        self._file.close()


def part_size(folder: Path, digest: Digest) -> int:
    """The size of a partial blob in bytes; 0 where there is none, or a process is writing to it."""
    import fcntl

    try:
        path = _part_path(folder, digest)
        with io.FileIO(open_inside(path.parent, path.name)) as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            status = os.fstat(file.fileno())
            return status.st_size if status.st_nlink == 1 else 0
    except (*ABSENT, BlockingIOError):
        return 0


@contextmanager
def reporting(name: str) -> Iterator[None]:
    """Report what the file system refuses as a LadingError, except that a file is absent."""
    try:
        yield
    except ABSENT:
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise LadingError(
            f"cannot use {name}", cause=f"{error.strerror or error}{where}", remedy=way_on(error)
        ) from error


@contextmanager
def changing(name: str) -> Iterator[None]:
    """Report what the file system refuses as a LadingError, also that a file or folder is absent."""
    try:
        with reporting(name):
            yield
    except ABSENT as error:
        raise LadingError(
            f"cannot write to {name}", cause=f"{error.strerror} ({error.filename})", remedy=way_on(error)
        ) from error


async def pour(chunks: AsyncIterator[bytes], append: Callable[[bytes], None]) -> None:
    """Read a stream to its end, and pass its bytes to `append`, in a thread; what came before a failure, too."""
    async with closing(chunks), Behind(append, keeps=True) as appended:
        async for chunk in chunks:
            await appended.give(chunk)


def replace(temporary: Path, target: Path, data: bytes, modified: int | None = None) -> os.stat_result:
    """Write a file whole: to a temporary path first, which is then renamed.

    Args:
        temporary: the temporary path.
        target: the path of the file.
        data: its bytes.
        modified: its modification time, in nanoseconds since the epoch; by default the present.

    Returns:
        The status of the file.
    """
    try:
        with _claimed(temporary) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            if modified is not None:
                os.utime(file.fileno(), ns=(modified, modified))
            os.fsync(file.fileno())
            status = os.fstat(file.fileno())
            move(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return status


def matches(file: BinaryIO, digest: Digest) -> bool:
    """Whether the bytes from a file's position to its end have a digest."""
    hasher = hashlib.new(digest.algorithm)
    while chunk := file.read(CHUNK):
        heed()
        hasher.update(chunk)
    return hasher.hexdigest() == digest.hex


def share(place: Path, name: str, copy: Path) -> None:
    """Make a copy of a file that takes no room: it shares the blocks where the file system can, else it is a link.

    Args:
        place: the layout that the file is in.
        name: its path in there.
        copy: the path of the copy.

    Raises:
        InvalidContent: the file is none, or a folder on the way to it is a link.
        OSError: it is not there, or neither can be done.
    """
    import fcntl

    source = place / name
    try:
        with io.FileIO(open_inside(place, name)) as whole, _create(copy, os.O_EXCL) as file:
            fcntl.ioctl(file.fileno(), _FICLONE, whole.fileno())
    except OSError:
        copy.unlink(missing_ok=True)
        os.link(source, copy, follow_symlinks=False)
        # A link has the time of the file: without a new one, a garbage collection might take it for forgotten.
        os.utime(copy)


def move(temporary: Path, target: Path) -> None:
    """Rename a file into place; its folder is made where it is missing."""
    try:
        temporary.replace(target)
    except FileNotFoundError:
        make_folder(target.parent)
        temporary.replace(target)


def _part_path(folder: Path, digest: Digest) -> Path:
    return folder / f"{digest.algorithm}-{digest.hex}"


def left_behind(folder: Path) -> list[Path]:
    """The files with random names in a folder: on their way into place, or left by a process that was killed."""
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if _RANDOM.fullmatch(entry.name)]
    except ABSENT:
        return []


def sweep(paths: Iterable[Path]) -> None:
    """Remove files that no process holds the lock of: those who wrote them were killed."""
    import fcntl

    for path in paths:
        with suppress(OSError, InvalidContent), io.FileIO(open_inside(path.parent, path.name)) as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.lstat().st_ino == os.fstat(file.fileno()).st_ino:
                path.unlink()


def _claimed(path: Path) -> io.FileIO:
    """Make and lock a file whose name no other process knows."""
    while (file := claim(path)) is None:
        pass  # the file was taken for left behind, and is removed at this moment
    return file


def _create(path: Path, flags: int = 0) -> io.FileIO:
    return io.FileIO(open_inside(path.parent, path.name, os.O_RDWR | os.O_CREAT | flags), "r+")


def claim(path: Path) -> io.FileIO | None:
    """Open and lock a file that one process at a time may write; None where another process has it."""
    import fcntl

    while True:
        file = _create(path)
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that had it may have moved it into place meanwhile: then this is the blob itself.
            status = os.fstat(file.fileno())
            if path.lstat().st_ino == status.st_ino:
                if status.st_nlink == 1:
                    return file
                path.unlink()  # it has another name elsewhere, and what is there is not to be written to
        except BlockingIOError:
            file.close()
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()
