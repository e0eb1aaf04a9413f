"""An OCI archive: an image layout in a tar file, as a Store.

This module knows archives and layouts, and nothing of what is in them. Reading takes the content from where it is in
the archive, or unpacks a compressed one; writing goes to a layout beside the archive, which takes its place at the
end, whole.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from lading.errors import Conflict, InvalidContent, LadingError, NotFound, UsageError, way_on
from lading.io import scratch
from lading.io.files import sync_folder
from lading.io.locks import OnWait, writing
from lading.io.tar_writer import TarWriter, plain_file
from lading.io.tarball import (
    Compression,
    Extent,
    compressed,
    compression_for,
    extents,
    link_target,
    member_name,
    read_tar,
)
from lading.io.threads import heed, in_thread, reader, writer
from lading.model.encoding import Document, encode_compact
from lading.stores.layout.files import CHUNK
from lading.stores.layout.layout import Layout, LayoutFolder
from lading.stores.layout.listing import REF_NAME, Listing
from lading.stores.layout.reader import LayoutReader, blob_path
from lading.stores.location import Location

STREAM = "-"
"""The path that stands for standard input and standard output."""


def open_to_read(location: Location) -> AbstractAsyncContextManager[LayoutReader]:
    """The archive of a location; see `lading.stores.opening`."""
    return read_archive(location.path)


def open_to_write(location: Location, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Layout]:
    """The archive of a location, which is made where there is none; see `lading.stores.opening`."""
    return write_archive(location.path, on_wait=on_wait)


@asynccontextmanager
async def read_archive(path: str | os.PathLike[str]) -> AsyncIterator[LayoutReader]:
    """Open an OCI archive to be read.

    Args:
        path: the file; `-` for standard input.

    Raises:
        NotFound: there is no such file.
        InvalidContent: it is no OCI archive, or damaged.
    """
    path = os.fspath(path)
    name = str(Location(kind="oci-archive", path=path))
    file = await in_thread(_open_for_any_order, path, name)
    if file is not None:
        with file:
            files = await in_thread(extents, file, path)
            if files is not None:
                store = _PackedLayout(name, Path(path), file, files)
                await in_thread(store._listing)  # noqa: SLF001  # of its own room
                yield store
                return
    with ExitStack() as stack:
        with _reporting(name):
            folder = stack.enter_context(scratch.anywhere())
        await in_thread(_unpack, path, folder, name)
        yield LayoutFolder(folder, name=name)


@asynccontextmanager
async def write_archive(
    path: str | os.PathLike[str], *, compression: Compression | None = None, on_wait: OnWait | None = None
) -> AsyncIterator[Layout]:
    """Open an OCI archive to be written to: what is written is added when the `with` ends without an exception.

    With an exception, or where nothing was written, the file stays as it was. Equal content gives equal bytes. Who
    writes to it at the same time waits, and finds what was written.

    Args:
        path: the file, which is made where it does not exist; `-` for standard output.
        compression: of what is written; by default what the name of the file says (`.tar.gz`, `.tar.zst`), else none.
        on_wait: is told when another process has been writing to it for some seconds.

    Raises:
        InvalidContent: there is a file that is no OCI archive, or damaged.
        NotFound: there is no directory for the file.
        Conflict: another process has been writing to it for ten minutes; or another program has changed the file
            meanwhile: it stays as that left it.
    """
    path = os.fspath(path)
    name = str(Location(kind="oci-archive", path=path))
    target = Path(os.path.realpath(path))
    # Of the path as it is given: what /dev/fd/63 of a shell leads to has no other.
    before = None if path == STREAM else _stamp(Path(path))
    replaced = path != STREAM and (before is None or stat.S_ISREG(before.st_mode))
    _check_target(path, target, before, replaced, name)
    async with AsyncExitStack() as stack:
        with _reporting(name):
            if replaced:
                await stack.enter_async_context(writing(target, on_wait))
                before = _stamp(target)
            # On the file system that has to have the room in the end.
            folder = stack.enter_context(scratch.beside(target) if replaced else scratch.anywhere())
        if replaced and before is not None and before.st_size:
            await in_thread(_unpack, path, folder, name)
        found = _state(folder)
        store = Layout(folder, create=True, name=name)
        yield store
        if _state(folder) == found:
            return  # nothing was written, and so nothing is
        await store._make()
        for digest in store.replaced_lists - {entry.digest for entry in await store.entries()}:
            (folder / blob_path(digest)).unlink(missing_ok=True)
        await in_thread(_pack, folder, target if replaced else path, before, compression or compression_for(path), name)


def _check_target(path: str, target: Path, before: os.stat_result | None, replaced: bool, name: str) -> None:
    """Raise where nothing can be written: the path is a directory, or there is no directory for a file to replace."""
    if before is not None and stat.S_ISDIR(before.st_mode):
        raise _is_directory(path)
    if replaced and not target.parent.is_dir():
        raise NotFound(f"{name} cannot be written", cause=f"there is no directory {target.parent}")


class _PackedLayout(LayoutReader):
    """A layout in an archive that is not compressed: every file is read where it is."""

    def __init__(self, name: str, path: Path, file: BinaryIO, files: Mapping[str, Extent]) -> None:
        super().__init__(name)
        self._path = path
        self._file = file
        self._files = files

    def _open(self, path: str) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Window(self._file, self._extent(path))))

    def _size(self, path: str) -> int:
        return self._extent(path).size

    def _where(self, path: str) -> str:
        return f"{path} in {self._path}"

    def _absent(self) -> Listing:
        raise _no_layout(self._path)

    def _extent(self, path: str) -> Extent:
        extent = self._files.get(path)
        if extent is None:
            raise FileNotFoundError(path)
        return extent


class _Window(io.RawIOBase):
    """A part of a file, read by position, so that several can be read at the same time."""

    def __init__(self, file: BinaryIO, extent: Extent) -> None:
        self._file = file
        self._offset, self._left = extent

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        count = os.preadv(self._file.fileno(), [view], self._offset)
        self._offset += count
        self._left -= count
        return count


def _open_for_any_order(path: str, name: str) -> BinaryIO | None:
    """Open the file, unless it is a pipe or another thing that is read in one order and once."""
    if path == STREAM:
        return None
    with _reporting(name):
        if stat.S_ISDIR(Path(path).stat().st_mode):
            raise _is_directory(path)
        return Path(path).open("rb") if Path(path).is_file() else None


def _unpack(path: str, folder: Path, name: str) -> None:
    """Unpack the files of a layout. Other members, and links to other members, are left out."""
    links: dict[str, str] = {}
    with _reporting(name), _opened(path) as file, read_tar(file, path if path != STREAM else "standard input") as tar:
        for member in tar:
            wanted = member_name(member)
            if not (wanted in ("oci-layout", "index.json") or _is_blob(wanted)):
                continue
            target = folder / wanted
            if member.islnk() or member.issym():
                links[wanted] = link_target(member)
            elif member.isreg() and (content := tar.extractfile(member)) is not None:
                with scratch.keeping(name, folder):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as out:
                        for chunk in iter(partial(content.read, CHUNK), b""):
                            heed()
                            out.write(chunk)
    with _reporting(name):
        for link, source in links.items():
            if _is_blob(source) and (folder / source).is_file() and not (folder / link).exists():
                (folder / link).parent.mkdir(parents=True, exist_ok=True)
                (folder / link).hardlink_to(folder / source)
    if not (folder / "index.json").exists():
        raise _no_layout(path)


def _state(folder: Path) -> tuple[bytes, dict[Path, int]]:
    """What tells whether a layout was changed: what it lists, and which blobs it has."""
    index = folder / "index.json"
    blobs = {path: path.stat().st_ino for path in (folder / "blobs").rglob("*") if path.is_file()}
    return index.read_bytes() if index.exists() else b"", blobs


def _is_blob(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == "blobs" and ".." not in parts


def _pack(folder: Path, target: Path | str, before: os.stat_result | None, compression: Compression, name: str) -> None:
    """Write the layout in a folder to an archive: to a new file that takes its place, or into a stream."""
    with _reporting(name):
        if isinstance(target, str):
            with _stream(target) as out:
                _write_tar(folder, out, compression)
            return
        temporary = folder / "archive"
        with temporary.open("xb") as file:
            _write_tar(folder, file, compression)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            temporary.chmod(stat.S_IMODE(before.st_mode))
        now = _stamp(target)
        if _identity(now) != _identity(before):
            raise Conflict(
                f"{name} was changed by somebody else", cause="while it was written here", remedy="do it again"
            )
        temporary.replace(target)
        sync_folder(target.parent)


def _write_tar(folder: Path, file: BinaryIO, compression: Compression) -> None:
    listing = Listing.read((folder / "index.json").read_bytes(), "index.json")
    entries = sorted(listing.documents, key=_by_name)
    files = sorted(str(path.relative_to(folder)) for path in (folder / "blobs").rglob("*") if path.is_file())
    with compressed(file, compression) as out:
        tar = TarWriter(out)
        for path in files:
            with (folder / path).open("rb") as blob:
                tar.add(plain_file(path, os.fstat(blob.fileno()).st_size), iter(partial(blob.read, CHUNK), b""))
        tar.add_bytes("index.json", listing.changed(entries).encode())
        tar.add_bytes("oci-layout", (folder / "oci-layout").read_bytes())
        tar.close()


def _by_name(entry: Document) -> tuple[str, str, bytes]:
    return (entry.get("annotations") or {}).get(REF_NAME) or "", entry["digest"], encode_compact(entry)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == STREAM:
        yield reader(sys.stdin.fileno())
    else:
        with Path(path).open("rb") as file:
            yield reader(file.fileno())


@contextmanager
def _stream(path: str) -> Iterator[BinaryIO]:
    if path == STREAM:
        yield writer(sys.stdout.fileno())
    else:
        with Path(path).open("wb") as file:
            yield writer(file.fileno())


@contextmanager
def _reporting(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(
            f"{name} cannot be opened", cause=f"there is no {error.filename}", remedy="check its path"
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise LadingError(
            f"cannot use {name}", cause=f"{error.strerror or error}{where}", remedy=way_on(error)
        ) from error


def _stamp(path: Path) -> os.stat_result | None:
    with suppress(OSError):
        return path.stat()
    return None


def _identity(status: os.stat_result | None) -> tuple[int, int, int] | None:
    return None if status is None else (status.st_ino, status.st_mtime_ns, status.st_size)


def _is_directory(path: str) -> UsageError:
    return UsageError(f"{path} is a directory, not an archive", remedy=f"if it is an image layout: oci:{path}")


def _no_layout(path: Path | str) -> InvalidContent:
    return InvalidContent(
        f"{path} is not an OCI archive",
        cause="it has no index.json",
        remedy=f"if docker save wrote it: docker-archive:{path}",
    )
