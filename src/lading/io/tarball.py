"""Tar archives as files: compression told by the first bytes, and one-pass reading; `tar_writer` writes them.

This module knows tar and compression, and nothing of images. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, NamedTuple, cast

from lading.errors import InvalidContent, UsageError
from lading.io.deflate import GzipWriter, ZstdWriter
from lading.io.threads import heed

Compression = Literal["none", "gzip", "zstd", "bzip2", "xz"]

CHUNK = 1024 * 1024
"""How much is read and written at once, in bytes."""
SNIFFED = 6
"""How many of the first bytes tell the compression."""

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_SUFFIXES: dict[str, Compression] = {
    ".gz": "gzip",
    ".tgz": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".tzst": "zstd",
    ".bz2": "bzip2",
    ".tbz": "bzip2",
    ".tbz2": "bzip2",
    ".xz": "xz",
    ".txz": "xz",
}
_LINKS = 16
_ZSTD_REMEDY = "install the Python package backports.zstd"


def sniff(head: bytes) -> Compression:
    """The compression of data that begins with these bytes; `SNIFFED` of them are enough.

    A zstd stream may begin with a skippable frame (RFC 8878 §3.1.2).
    """
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
        return "zstd"
    return next((compression for magic, compression in _MAGIC if head.startswith(magic)), "none")


def compression_for(name: str) -> Compression:
    """The compression that the name of a file asks for: `gzip` for `image.tar.gz`, `none` for `image.tar`."""
    return _SUFFIXES.get(Path(name).suffix.lower(), "none")


def has_zstd() -> bool:
    """Whether this Python reads and writes zstd."""
    return zstd_module() is not None


def zstd_module() -> ModuleType | None:
    """What reads and writes zstd: Python's own module, or else the one that is installed; None without either."""
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


@contextmanager
def decompressed(file: BinaryIO) -> Iterator[tuple[BinaryIO, Compression]]:
    """Read a file or pipe without its compression, whatever that is.

    Args:
        file: open for reading, at the beginning of the data; it need not seek, and is not closed.

    Yields:
        A file to read from, forward only, and the compression there was.

    Raises:
        InvalidContent: it is zstd, and this Python has no zstd.
    """
    head = b""
    while len(head) < SNIFFED and (more := file.read(SNIFFED - len(head))):
        head += more
    compression = sniff(head)
    whole = cast("BinaryIO", io.BufferedReader(_Prefixed(head, file), CHUNK))
    if compression == "none":
        yield whole, compression
        return
    if compression == "zstd" and not has_zstd():
        raise InvalidContent("the archive is compressed with zstd, which cannot be read here", remedy=_ZSTD_REMEDY)
    with _through(whole, compression, "rb") as plain:
        yield plain, compression


@contextmanager
def compressed(file: BinaryIO, compression: Compression, level: int | None = None) -> Iterator[BinaryIO]:
    """Write to a file through a compression; equal data gives equal bytes.

    Args:
        file: open for writing; it is not closed.
        compression: which one.
        level: of gzip from 1 to 9, of zstd from 1 to 22; None for the usual one.

    Raises:
        UsageError: it is zstd, and this Python has no zstd.
    """
    if compression == "none":
        yield file
    elif compression in ("gzip", "zstd"):
        with _packer(file, compression, level) as packed:
            yield cast("BinaryIO", packed)
    else:
        with _through(file, compression, "wb") as through:
            yield through


def _packer(file: BinaryIO, compression: Compression, level: int | None) -> GzipWriter | ZstdWriter:
    if compression == "gzip":
        return GzipWriter(file, level)
    module = zstd_module()
    if module is None:
        raise UsageError("zstd cannot be written here", remedy=_ZSTD_REMEDY)
    return ZstdWriter(file, module, level)


@contextmanager
def read_tar(file: BinaryIO, what: str) -> Iterator[tarfile.TarFile]:
    """Read a tar archive of any compression in one pass, from a file or a pipe.

    Members come in the order of the archive; read the content of one (`TarFile.extractfile`) before going on to the
    next. At the end the input is read to its end, so that the program that writes it does not fail.

    Args:
        file: open for reading, at its beginning; it is not closed.
        what: what the archive is called in an error.

    Raises:
        InvalidContent: it is no tar archive, truncated or damaged.
    """
    with reading(what), decompressed(file) as (plain, _):
        with tarfile.open(fileobj=plain, mode="r|", bufsize=CHUNK) as tar:
            yield tar
        while plain.read(CHUNK):
            pass


class Extent(NamedTuple):
    """Where the content of a member is in an archive that is not compressed."""

    offset: int
    """Of the first byte."""
    size: int
    """In bytes."""


def extents(file: BinaryIO, what: str) -> dict[str, Extent] | None:
    """Where each file of an archive is, so that it can be read in any order; links stand for what they point at.

    Args:
        file: open for reading and able to seek, at its beginning.
        what: what the archive is called in an error.

    Returns:
        The files by their `member_name`; of two with one name the last, as it would be after unpacking. None where
        the archive is compressed or has sparse files: it has to be unpacked then.

    Raises:
        InvalidContent: it is no tar archive, truncated or damaged.
    """
    if sniff(file.read(SNIFFED)) != "none":
        return None
    file.seek(0)
    found: dict[str, Extent] = {}
    links: dict[str, str] = {}
    with reading(what), tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            name = member_name(member)
            if member.isreg():
                if member.issparse():
                    return None
                found[name] = Extent(member.offset_data, member.size)
                links.pop(name, None)
            elif member.islnk() or member.issym():
                links[name] = link_target(member)
                found.pop(name, None)
    for name, first in links.items():
        target = first
        for _ in range(_LINKS):
            if target not in links:
                break
            target = links[target]
        if target in found:
            found[name] = found[target]
    return found


def link_target(member: tarfile.TarInfo) -> str:
    """The `member_name` of a link's target: a hard link's is relative to the top, a symbolic one's to its folder."""
    folder = "" if member.islnk() or member.linkname.startswith("/") else member.name.rpartition("/")[0]
    return _tidy(f"{folder}/{member.linkname}")


def bad_data() -> tuple[type[BaseException], ...]:
    """What is raised where an archive or its compression is damaged."""
    errors: tuple[type[BaseException], ...] = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)
    module = zstd_module()
    return errors if module is None else (*errors, module.ZstdError)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Report what is wrong with an archive or its compression as InvalidContent; other errors pass."""
    try:
        yield
    except tarfile.ReadError as error:
        cause = "it is empty" if "empty" in str(error) else str(error)
        raise InvalidContent(f"{what} is not a tar archive, or damaged", cause=cause) from None
    except bad_data() as error:
        raise InvalidContent(f"{what} is damaged", cause=str(error) or type(error).__name__) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip and bzip2 report bad data in this way.
        raise InvalidContent(f"{what} is damaged", cause=str(error)) from None


def member_name(member: tarfile.TarInfo) -> str:
    """The name of a member without empty and `.` components: `./blobs//x` is `blobs/x`. That of the top is empty.

    A name that leads out of the archive (`../x`) stays recognisable by its first component.
    """
    return _tidy(member.name)


class _Prefixed(io.RawIOBase):
    """A file of which the first bytes have been read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        heed()
        chunk = self._head[: len(buffer)] if self._head else self._rest.read(len(buffer))
        self._head = self._head[len(chunk) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _tidy(name: str) -> str:
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _through(file: BinaryIO, compression: Compression, mode: Literal["rb", "wb"]) -> BinaryIO:
    open_with: Any = {
        "gzip": gzip.open,
        "bzip2": bz2.open,
        "xz": lzma.open,
        "zstd": getattr(zstd_module(), "open", None),
    }[compression]
    return cast("BinaryIO", open_with(file, mode))
