"""What is in the tar file of a Docker archive: its members by name, found in one pass, read in any order.

This module knows tar, and nothing of images. Everything but `Members.chunks` blocks: call it in a thread. A file
that is not compressed is indexed where it is; a pipe, or what is compressed as a whole, goes to a temporary file as
it comes, and the digests of its members are computed on the way.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from lading.errors import InvalidContent
from lading.io import scratch
from lading.io.tarball import (
    CHUNK,
    SNIFFED,
    Compression,
    decompressed,
    member_name,
    reading,
    sniff,
)
from lading.io.threads import heed, in_thread, reader
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT

_BLOCK = 512
_MEMBERS_LIMIT = 100_000
_LINKS_LIMIT = 16
_USTAR = slice(257, 262)


class Member(NamedTuple):
    """A file in the archive."""

    name: str
    offset: int
    """Where its content begins in the tar file, in bytes."""
    size: int
    """In bytes."""
    digest: Digest | None
    """Computed while it was read; None in a file that was only indexed."""


class Members:
    """An indexed tar file.

    Args:
        file: the tar file, open and without compression; `close` closes it.
        what: what the archive is called in an error.
    """

    def __init__(self, file: BinaryIO, what: str) -> None:
        self.what = what
        self._file = file
        self._members: dict[str, Member] = {}
        self._links: dict[str, str | None] = {}

    @classmethod
    def from_path(cls, path: Path, what: str) -> Members:
        """Index a file; a pipe, or a file that is compressed as a whole, becomes a temporary file.

        Args:
            path: of the file.
            what: what the archive is called in an error.

        Raises:
            InvalidContent: it is no tar archive, truncated or damaged.
            OSError: the file cannot be read.
        """
        with ExitStack() as stack:
            file = stack.enter_context(path.open("rb", buffering=0))
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            if not regular or sniff(os.pread(file.fileno(), SNIFFED, 0)) != "none":
                return cls.from_stream(reader(file.fileno()), what)
            members = cls(cast("BinaryIO", file), what)
            members._index()
            stack.pop_all()
            return members

    @classmethod
    def from_stream(cls, stream: BinaryIO, what: str) -> Members:
        """Read a pipe of any compression to its end, in one pass, into a temporary file.

        Raises:
            InvalidContent: it is no tar archive, truncated or damaged.
        """
        with scratch.keeping(what):
            members = cls(scratch.file(), what)
        try:
            with _reading(what), decompressed(stream) as (plain, _):
                members._spool(plain)
        except BaseException:
            members.close()
            raise
        return members

    def close(self) -> None:
        """Close the file; a temporary one is gone then."""
        with suppress(OSError):  # of what could not be written, which has been reported
            self._file.close()

    def has(self, name: str) -> bool:
        """Whether a file of this name can be read."""
        try:
            self.find(name)
        except InvalidContent:
            return False
        return True

    def find(self, name: str) -> Member:
        """The file that a path within the archive leads to, through any symbolic and hard links.

        Raises:
            InvalidContent: there is none, it is no file, or the path leads out of the archive.
        """
        path = _target([], name)
        if path is None:
            raise self._bad(name, "it leads out of the archive")
        for _ in range(_LINKS_LIMIT):
            if path in self._members:
                return self._members[path]
            path = self._follow(path, name)
        raise self._bad(name, "its links go in a circle")

    def read(self, name: str, limit: int = SIZE_LIMIT) -> bytes:
        """Read a file whole.

        Raises:
            InvalidContent: there is none, or it is larger than `limit` bytes.
        """
        member = self.find(name)
        if member.size > limit:
            raise self._bad(name, f"it has {member.size} bytes, and {limit} are allowed")
        return self.piece(member, 0, member.size)

    def compression(self, member: Member) -> Compression:
        """How a file is compressed, by its first bytes."""
        head = self.piece(member, 0, min(member.size, _BLOCK))
        # The first file of a tar may have any name, also one that begins like compressed data.
        return "none" if head[_USTAR] == b"ustar" else sniff(head)

    def digest(self, member: Member) -> Digest:
        """The digest of a file, which is read for it where that has not been done."""
        if member.digest is not None:
            return member.digest
        return hashed(self._pieces(member))[0]

    def unpacked(self, member: Member) -> tuple[Digest, int]:
        """The digest and the size, in bytes, that a compressed file has without its compression."""
        with reading(f"{member.name} in {self.what}"), decompressed(self._stream(member)) as (plain, _):
            return hashed(iter(partial(plain.read, CHUNK), b""))

    async def chunks(self, member: Member, *, unpack: bool = False) -> AsyncIterator[bytes]:
        """The bytes of a file, without its compression if `unpack`; they are read in a thread."""
        if unpack:
            with reading(f"{member.name} in {self.what}"), decompressed(self._stream(member)) as (plain, _):
                while chunk := await in_thread(plain.read, CHUNK):
                    yield chunk
            return
        for start in range(0, member.size, CHUNK):
            size = min(CHUNK, member.size - start)
            chunk = await in_thread(self.piece, member, start, size)
            yield chunk

    def _index(self) -> None:
        with _reading(self.what):
            end = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                for entry in tar:
                    self._add(entry, None)
                    if entry.isreg() and entry.offset_data + entry.size > end:
                        raise tarfile.ReadError("unexpected end of data")

    def _spool(self, plain: BinaryIO) -> None:
        copying = cast("BinaryIO", _Copying(plain, self._file, self.what))
        with tarfile.open(fileobj=copying, mode="r|", bufsize=CHUNK) as tar:
            for entry in tar:
                content = None if entry.issparse() or not entry.isreg() else tar.extractfile(entry)
                digest = None
                if content is not None:
                    digest, size = hashed(iter(partial(content.read, CHUNK), b""))
                    if size != entry.size:
                        raise tarfile.ReadError("unexpected end of data")
                self._add(entry, digest)
        # A program that writes into the pipe would fail if it were closed before the end.
        while plain.read(CHUNK):
            pass
        with scratch.keeping(self.what):
            self._file.flush()

    def _add(self, entry: tarfile.TarInfo, digest: Digest | None) -> None:
        name = member_name(entry)
        # As when it is unpacked: a later member replaces an earlier one with its name.
        for found in (self._members, self._links):
            found.pop(name, None)
        if entry.isreg() and not entry.issparse():
            self._members[name] = Member(name, entry.offset_data, entry.size, digest)
        elif entry.issym():
            self._links[name] = _target(name.split("/")[:-1], entry.linkname)
        elif entry.islnk():
            self._links[name] = _target([], entry.linkname)
        if len(self._members) + len(self._links) > _MEMBERS_LIMIT:
            raise InvalidContent(f"{self.what} has too many files", cause=f"{_MEMBERS_LIMIT} are allowed")

    def _follow(self, name: str, asked: str) -> str:
        """Where a path goes on at the first link in it."""
        parts = name.split("/")
        for length in range(1, len(parts) + 1):
            link = "/".join(parts[:length])
            if link in self._links:
                target = self._links[link]
                if target is None:
                    raise self._bad(asked, "a link leads out of the archive")
                return "/".join([target, *parts[length:]])
        raise self._bad(asked, "there is no such file in it")

    def _pieces(self, member: Member) -> Iterator[bytes]:
        for start in range(0, member.size, CHUNK):
            yield self.piece(member, start, min(CHUNK, member.size - start))

    def piece(self, member: Member, start: int, size: int) -> bytes:
        """Read `size` bytes of a member from its byte `start`: by position, so that many threads can read at once."""
        parts = []
        while size:
            part = os.pread(self._file.fileno(), size, member.offset + start)
            if not part:
                raise InvalidContent(f"{self.what} is damaged", cause="it has become shorter while it was read")
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _stream(self, member: Member) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Stream(self, member), CHUNK))

    def _bad(self, name: str, cause: str) -> InvalidContent:
        return InvalidContent(f"{self.what} is malformed", cause=f"{shown(name)}: {cause}")


def shown(text: str) -> str:
    """A text of unknown origin without control characters, cut to the length of a line."""
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 100 else f"{text[:100]}…"


def hashed(chunks: Iterator[bytes]) -> tuple[Digest, int]:
    """The digest and the size, in bytes, of what comes in chunks."""
    hasher, size = hashlib.sha256(), 0
    for chunk in chunks:
        heed()
        hasher.update(chunk)
        size += len(chunk)
    return Digest(f"sha256:{hasher.hexdigest()}"), size


@contextmanager
def _reading(what: str) -> Iterator[None]:
    # What tarfile itself does not expect to find in a header.
    try:
        with reading(what):
            yield
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidContent(f"{what} is not a tar archive, or damaged", cause=str(error)[:200]) from None


def _target(folder: list[str], path: str) -> str | None:
    """The plain path that `path` means in a folder of the archive, whose top is `/`; None where it leads out of it."""
    parts = [] if path.startswith("/") else list(folder)
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class _Copying:
    """Reads from a file, and writes what is read to another one."""

    def __init__(self, source: BinaryIO, copy: BinaryIO, what: str) -> None:
        self._source = source
        self._copy = copy
        self._what = what

    def read(self, size: int) -> bytes:
        chunk = self._source.read(size)
        with scratch.keeping(self._what):
            self._copy.write(chunk)
        return chunk


class _Stream(io.RawIOBase):
    """A member as a file that is read forward."""

    def __init__(self, members: Members, member: Member) -> None:
        self._members = members
        self._member = member
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._member.size - self._position)
        chunk = self._members.piece(self._member, self._position, size)
        buffer[:size] = chunk
        self._position += size
        return size
