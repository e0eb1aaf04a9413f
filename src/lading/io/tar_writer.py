"""Tar archives as they are written: the same members and contents give the same bytes; knows nothing of layers.

Headers are USTAR (POSIX.1-2017 pax §ustar Interchange Format). What does not fit is in the PAX records of that member,
and nothing else is: a long name or one that is not ASCII, a long link, a large number, an extended attribute. The
archive ends after two blocks of zeros. Everything here is work for a thread.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import BinaryIO

from lading.errors import InvalidContent
from lading.io.tar_stream import BLOCK, HEADER_ONLY, META, XATTR, Member
from lading.io.threads import heed

FILE, HARD_LINK, SYMLINK, DIRECTORY = "0", "1", "2", "5"
"""Type flags of members."""
_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_SUM = slice(148, 156)
_PAX_NAME = b"././@PaxHeader"
_SMALL = 8**7
"""What a mode, an owner or a device has to be below to fit into a header."""
_LARGE = 8**11
"""What a size or a time has to be below to fit into a header."""
_ZEROS = bytes(64 * 1024)


class TarWriter:
    """Writes an archive, in the order of the calls. A member is begun, its content is written, and it is ended.

    Args:
        file: open for writing; it need not seek, and is not closed.
        fractions: whether times keep what they have below a second; container engines leave that out.
    """

    def __init__(self, file: BinaryIO, *, fractions: bool = False) -> None:
        self._file = file
        self._fractions = fractions
        self._left: int | None = None
        self._padding = 0

    def add(self, member: Member, content: bytes | Iterable[bytes | memoryview] = ()) -> None:
        """Add a member with all its content.

        Args:
            member: what the header says. `offset`, `stored` and `extents` do not count: a sparse file is written whole.
            content: its bytes, or pieces of them: as many bytes as the member's `size`.

        Raises:
            As `begin`, `write` and `end`.
        """
        self.begin(member)
        for piece in (content,) if isinstance(content, bytes) else content:
            self.write(piece)
        self.end()

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add a plain file.

        Args:
            name: its path.
            data: its content.
        """
        self.add(plain_file(name, len(data)), data)

    def begin(self, member: Member) -> None:
        """Begin a member of any type.

        Raises:
            InvalidContent: no archive can say it: a device number is too large, an attribute has `=` in its name.
            ValueError: the member before has not ended.
        """
        if self._left is not None:
            raise ValueError("a member has not ended")
        self._file.write(headers(member, fractions=self._fractions))
        self._left = 0 if member.type in HEADER_ONLY else member.size
        self._padding = -self._left % BLOCK

    def write(self, piece: bytes | memoryview) -> None:
        """Write the next bytes of the member that was begun.

        Raises:
            ValueError: they are more than its size.
        """
        if self._left is None or len(piece) > self._left:
            raise ValueError("more bytes than were announced")
        heed()
        self._left -= len(piece)
        self._file.write(piece)

    def zeros(self, length: int) -> None:
        """Write a hole of a sparse file, in bytes."""
        while length:
            taken = min(length, len(_ZEROS))
            self.write(_ZEROS[:taken])
            length -= taken

    def end(self) -> None:
        """End the member that was begun.

        Raises:
            ValueError: bytes of it are missing.
        """
        if self._left != 0:
            raise ValueError(f"{self._left} bytes of the member are missing")
        self._left = None
        self._file.write(_ZEROS[: self._padding])

    def close(self) -> None:
        """End the archive; the file stays open.

        Raises:
            ValueError: a member has not ended.
        """
        if self._left is not None:
            raise ValueError("a member has not ended")
        self._file.write(_ZEROS[: 2 * BLOCK])


def plain_file(name: str, size: int, *, mode: int = 0o644) -> Member:
    """A file of user and group 0, from 1970.

    Args:
        name: its path.
        size: of its content, in bytes.
        mode: its permissions.
    """
    return Member(name=name, type=FILE, mode=mode, uid=0, gid=0, size=size, mtime=0)


def directory(name: str, *, mode: int = 0o755) -> Member:
    """A directory of user and group 0, from 1970.

    Args:
        name: its path, with or without a slash at the end.
        mode: its permissions.
    """
    return Member(name=name.rstrip("/") + "/", type=DIRECTORY, mode=mode, uid=0, gid=0, size=0, mtime=0)


def headers(member: Member, *, fractions: bool = False) -> bytes:
    """The blocks before the content of a member: its header, and a PAX header before that where it is needed.

    Args:
        member: what they say.
        fractions: whether the time keeps what it has below a second.

    Raises:
        InvalidContent: they cannot say it.
        ValueError: it is no member, but an extended header.
    """
    if member.type in META or len(member.type) != 1:
        raise ValueError(f"{member.type!r} is the type of no member")
    if any(not 0 <= one < _SMALL for one in member.device):
        raise _impossible(member, f"its device {member.device[0]}:{member.device[1]} is not possible")
    records: dict[bytes, bytes] = {}
    name, link = _encoded(member.name), _encoded(member.link)
    parts = _split(name)
    if parts is None:
        records[b"path"], parts = name, (b"", _shortened(name, member.type))
    if not link.isascii() or len(link) > 100:
        records[b"linkpath"], link = link, _shortened(link, member.type)
    size = 0 if member.type in HEADER_ONLY else member.size
    seconds = math.floor(member.mtime)
    for key, value, limit in (
        (b"uid", member.uid, _SMALL),
        (b"gid", member.gid, _SMALL),
        (b"size", size, _LARGE),
        (b"mtime", seconds, _LARGE),
    ):
        if not 0 <= value < limit:
            records[key] = b"%d" % value
    if fractions and seconds != member.mtime:
        records[b"mtime"] = f"{member.mtime:.9f}".rstrip("0").rstrip(".").encode()
    for attribute, content in member.xattrs.items():
        if "=" in attribute:
            raise _impossible(member, f"the name of its attribute {attribute} has an equals sign in it")
        records[_encoded(XATTR + attribute)] = content
    before = _pax(records) if records else b""
    return before + _block(
        parts, member.mode & 0o7777, (member.uid, member.gid), size, seconds, member.type, link, member.device
    )


def _block(
    parts: tuple[bytes, bytes],
    mode: int,
    owner: tuple[int, int],
    size: int,
    seconds: int,
    kind: str,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    prefix, name = parts
    block = bytearray(
        _HEADER.pack(
            name,
            b"%07o" % mode,
            *(b"%07o" % (one if 0 <= one < _SMALL else 0) for one in owner),
            b"%011o" % (size if size < _LARGE else 0),
            b"%011o" % (seconds if 0 <= seconds < _LARGE else 0),
            b" " * 8,
            kind.encode("latin-1"),
            link,
            b"ustar\x0000",
            b"",
            b"",
            b"%07o" % device[0],
            b"%07o" % device[1],
            prefix,
        )
    )
    block[_SUM] = b"%06o\0 " % sum(block)
    return bytes(block)


def _pax(records: dict[bytes, bytes]) -> bytes:
    """A PAX header with its records, sorted (POSIX.1-2017 pax §pax Extended Header)."""
    if any(key in (b"path", b"linkpath") and not _is_utf8(value) for key, value in records.items()):
        records = {**records, b"hdrcharset": b"BINARY"}
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    padding = -len(content) % BLOCK
    return _block((b"", _PAX_NAME), 0o644, (0, 0), len(content), 0, "x") + content + _ZEROS[:padding]


def _record(key: bytes, value: bytes) -> bytes:
    """A record, which begins with its own length."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """A name in the two parts that a header has for it, the first one often empty; None where it does not fit."""
    if not name.isascii():
        return None
    if len(name) <= 100:
        return b"", name
    at = name.rfind(b"/", 0, min(156, len(name) - 1))
    return (name[:at], name[at + 1 :]) if at > 0 and len(name) - at - 1 <= 100 else None


def _shortened(name: bytes, kind: str) -> bytes:
    """What stands in a header in the place of a name that does not fit; only a directory ends in a slash."""
    short = name.decode("utf-8", "replace").encode("ascii", "replace")[:100]
    return short if kind == DIRECTORY else short.rstrip(b"/")


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _impossible(member: Member, cause: str) -> InvalidContent:
    return InvalidContent(f"{member.name} cannot be put in an archive", cause=cause, code="malformed-layer")
