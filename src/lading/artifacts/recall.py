"""What directories of artifacts were like when they were unpacked, so that they are known again without a download.

Of each archive there is a list of what was in it, and one digest over the contents of all its files. It is kept in the
user's cache, and costs a download where it is lost. Everything here is work for a thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from lading.artifacts.inside import Inside
from lading.io.shelf import Shelf
from lading.io.sources import CHUNK
from lading.io.tar_stream import Member
from lading.io.threads import heed
from lading.model.digest import Digest

_MOST = 256 * 1024 * 1024
"""How much is kept, in bytes."""
_VERSION = ".tree-1"
_INFLATED = 1024 * 1024
_LINE = 64 * 1024


class _Entry(msgspec.Struct, array_like=True):
    """Something in a directory: a `file`, `link`, `directory` or hard link (`same` as another file)."""

    path: str
    kind: str
    mode: int = 0
    size: int = 0
    link: str = ""


class Recording:
    """Takes down what is in an archive while it is unpacked."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._deflate = zlib.compressobj(1)
        self._hash = hashlib.sha256()
        self._is_spoilt = False

    def file(self, path: str, member: Member) -> None:
        """A file, whose content comes next."""
        if member.extents is not None:
            self.spoil()
        self._add(_Entry(path, "file", member.mode & 0o777, member.size))

    def content(self, piece: memoryview) -> None:
        """Content of a file."""
        self._hash.update(piece)

    def link(self, path: str, member: Member) -> None:
        """A symbolic link."""
        self._add(_Entry(path, "link", link=member.link))

    def hard_link(self, path: str, first: str) -> None:
        """Another name of a file."""
        self._add(_Entry(path, "same", link=first))

    def directory(self, path: str) -> None:
        """A directory."""
        self._add(_Entry(path, "directory"))

    def spoil(self) -> None:
        """Say that the archive has something in it that cannot be known again."""
        self._is_spoilt = True

    def finish(self) -> bytes | None:
        """What is kept; None where the archive cannot be known again."""
        if self._is_spoilt:
            return None
        self._add(_Entry(self._hash.hexdigest(), "end"))
        return bytes(self._packed + self._deflate.flush())

    def _add(self, entry: _Entry) -> None:
        if not self._is_spoilt:
            try:
                self._packed += self._deflate.compress(msgspec.json.encode(entry) + b"\n")
            except UnicodeEncodeError:  # a name that is no Unicode text
                self.spoil()


class Recall:
    """The archives that were unpacked before.

    Args:
        folder: where it is kept; None for nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self._shelf = Shelf(folder, _MOST)

    def keep(self, archive: Digest, recording: bytes | None) -> None:
        """Keep what was taken down of an archive."""
        if recording is not None:
            self._shelf.put(_name(archive), recording)

    def is_there(self, archive: Digest, inside: Inside, target: str) -> bool:
        """Whether all that was in an archive is there, and right.

        Args:
            archive: its digest.
            inside: the folder that it was unpacked into.
            target: the directory in there.
        """
        kept = self._shelf.get(_name(archive))
        if kept is None:
            return False
        try:
            return _is_same(kept, inside, target)
        except (OSError, msgspec.MsgspecError, zlib.error, UnicodeDecodeError):
            return False


def _is_same(kept: bytes, inside: Inside, target: str) -> bool:
    hasher = hashlib.sha256()
    for line in _lines(kept):
        heed()
        entry = msgspec.json.decode(line, type=_Entry)
        if entry.kind == "end":
            return entry.path == hasher.hexdigest()
        path = _joined(target, entry.path)
        if path and not _fits(entry, path, inside, target):
            return False
        if entry.kind == "file":
            with inside.file(path) as descriptor:
                for piece in iter(partial(os.read, descriptor, CHUNK), b""):
                    heed()
                    hasher.update(piece)
    return False


def _fits(entry: _Entry, path: str, inside: Inside, target: str) -> bool:
    """Whether what is there is of the kind that it should be; contents of files are looked at together."""
    found = inside.status(path)
    if found is None:
        return False
    if entry.kind == "directory":
        return stat.S_ISDIR(found.st_mode)
    if entry.kind == "link":
        return stat.S_ISLNK(found.st_mode) and inside.read_link(path) == entry.link
    if entry.kind == "file":
        mode = found.st_mode & 0o777
        # No more is allowed than should be, and to its owner no less: the umask decides on the rest.
        allows = not mode & ~entry.mode and mode & 0o700 == entry.mode & 0o700
        return stat.S_ISREG(found.st_mode) and allows and found.st_size == entry.size
    first = inside.status(_joined(target, entry.link))
    return first is not None and (
        os.path.samestat(first, found) or inside.same(path, inside, _joined(target, entry.link))
    )


def _joined(target: str, path: str) -> str:
    return "/".join(part for part in (target, path) if part)


def _lines(kept: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    held, data = b"", kept
    while (piece := inflate.decompress(data, _INFLATED)) or inflate.unconsumed_tail:
        data = inflate.unconsumed_tail
        *lines, held = (held + piece).split(b"\n")
        yield from lines
        if len(held) > _LINE:
            return


def _name(archive: Digest) -> str:
    return str(archive).replace(":", "-") + _VERSION
