"""Tar archives read strictly as they come, in the way that container engines read layers; knows nothing of layers.

Python's `tarfile` takes much for the end of an archive that engines refuse: a wrong checksum, a single block of
zeros, a link with data behind it. Here what engines refuse is an error. Formats: v7, USTAR, GNU long names, PAX
(POSIX.1-2017 pax §Interchange Format) with the sparse files of GNU tar. Everything here is work for a thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lading.errors import InvalidContent
from lading.model.text import excerpt

BLOCK = 512
_META_LIMIT = 1024 * 1024
"""How large extended headers and long names may be, in bytes."""
_SIZE_LIMIT = 2**63 - 1
_ZEROS = bytes(BLOCK)
HEADER_ONLY = frozenset("123456")
META = frozenset("xgLK")
XATTR = "SCHILY.xattr."
_TEXTS = frozenset({"path", "linkpath", "uname", "gname"})

Extents = tuple[tuple[int, int], ...]
"""Where a sparse file has data: offset and length of each piece, in bytes."""


class Member(msgspec.Struct, kw_only=True, array_like=True, omit_defaults=True, gc=False):
    """One member of an archive, with what its headers say. Names that are not UTF-8 have surrogate escapes."""

    name: str
    type: str
    """The type flag: `0` for a file, `1` a hard link, `2` a symbolic link, `3` and `4` devices, `5` a directory …"""
    mode: int
    uid: int
    gid: int
    size: int
    """Of a file's content, in bytes; 0 for anything else."""
    mtime: float
    """Seconds since the epoch."""
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = {}
    offset: int = 0
    """Where its content is in the archive, in bytes."""
    stored: int = 0
    """How many bytes of content are in the archive: fewer than `size` in a sparse file."""
    extents: Extents | None = None
    """Of a sparse file, where it has data."""

    def __post_init__(self) -> None:
        """A whole number of seconds is one, also where it was kept with a fraction."""
        if type(self.mtime) is float and self.mtime.is_integer():
            self.mtime = int(self.mtime)


class TarStream:
    """Takes the bytes of an archive as they come, and calls for each member and its content.

    Args:
        what: what the archive is called in an error.
        on_member: called with each member; returns whether its content is wanted.
        on_content: called with the content that is wanted, piece by piece; of a sparse file with what is stored.
        on_end: called when the content of a member has ended that was wanted, empty content included.
    """

    def __init__(
        self,
        what: str,
        on_member: Callable[[Member], bool],
        on_content: Callable[[memoryview], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.position: int = 0
        """How many bytes of the archive have been read: at its end, how long it is."""
        self._what = what
        self._on_member = on_member
        self._on_content = on_content
        self._on_end = on_end
        self._held = b""
        self._zeros = False
        self.is_ended: bool = False
        """Whether its end has come: what follows is not looked at."""
        self._left = 0
        self._padding = 0
        self._is_wanted = False
        self._meta: tuple[str, bytearray] | None = None
        self._records: dict[str, bytes] = {}
        self._long_name: bytes | None = None
        self._long_link: bytes | None = None
        self._sparse: _Sparse | None = None
        self._last: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidContent: the archive is malformed.
        """
        view, at, end = memoryview(data), 0, len(data)
        while at < end and not self.is_ended:
            if self._left:
                taken = min(self._left, end - at)
                self._content(view[at : at + taken])
                self._left -= taken
                if not self._left:
                    self._content_ended()
            elif self._padding:
                taken = min(self._padding, end - at)
                self._padding -= taken
            else:
                taken = min(BLOCK - len(self._held), end - at)
                block = self._held + bytes(view[at : at + taken])
                self._held = block if len(block) < BLOCK else b""
                self.position += taken
                at += taken
                if len(block) == BLOCK:
                    self._block(block)
                continue
            self.position += taken
            at += taken

    def finish(self) -> None:
        """Say that the archive has ended; blocks of zeros at the end may be missing, as they may for engines.

        Raises:
            InvalidContent: it is cut off.
        """
        if self.is_ended:
            return
        if self._held or self._left:
            raise self._malformed("it ends too early")

    # Content

    def _content(self, piece: memoryview) -> None:
        if self._meta is not None:
            self._meta[1].extend(piece)
        elif self._sparse is not None and not self._sparse.is_read:
            rest = self._sparse.take(piece)
            if rest is not None:
                self._begin_sparse(self._sparse, self._left - len(piece) + len(rest))
                if rest and self._is_wanted and self._on_content is not None:
                    self._on_content(rest)
        elif self._is_wanted and self._on_content is not None:
            self._on_content(piece)

    def _content_ended(self) -> None:
        if self._meta is not None:
            self._read_meta(*self._meta)
            self._meta = None
            return
        if self._sparse is not None and not self._sparse.is_read:
            raise self._malformed("the map of a sparse file ends too early")
        self._sparse = None
        if self._is_wanted and self._on_end is not None:
            self._on_end()

    def _begin_sparse(self, sparse: _Sparse, stored: int) -> None:
        member = sparse.member
        member.extents = sparse.extents
        member.offset += member.stored - stored
        member.stored = stored
        self._check_sparse(member)
        self._is_wanted = self._on_member(member)

    # Headers

    def _block(self, block: bytes) -> None:
        if block == _ZEROS:
            self.is_ended = self._zeros
            self._zeros = True
            return
        if self._zeros:
            raise self._malformed("a header follows a block of zeros")
        kind = chr(block[156])
        header = self._header(block)
        if kind in META:
            if not 0 <= header.size <= _META_LIMIT:
                raise self._malformed("an extended header is too large")
            self._left, self._padding = header.size, -header.size % BLOCK
            self._meta = (kind, bytearray())
            if not header.size:
                self._content_ended()
            return
        self._member(header, kind)

    def _header(self, block: bytes) -> Member:
        said = self._octal(block[148:156])
        plain = sum(block) - sum(block[148:156]) + 8 * 32
        if said != plain:
            signed = plain - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
            if said != signed:
                raise self._malformed("the checksum of a header is wrong")
        name = _text(block[:100])
        magic = block[257:265]
        device = (0, 0)
        if magic.startswith(b"ustar\0"):
            is_star = block[508:512] == b"tar\0"
            prefix = _text(block[345 : 476 if is_star else 500])
            name = prefix + b"/" + name if prefix else name
        if magic.startswith(b"ustar\0") or magic == b"ustar  \0":
            device = (self._number(block[329:337]), self._number(block[337:345]))
        return Member(
            name=_decoded(name),
            type=chr(block[156]),
            mode=self._number(block[100:108]),
            uid=self._number(block[108:116]),
            gid=self._number(block[116:124]),
            size=self._number(block[124:136]),
            mtime=self._number(block[136:148]),
            link=_decoded(_text(block[157:257])),
            device=device,
        )

    def _member(self, member: Member, kind: str) -> None:
        records, self._records = self._records, {}
        if records:
            self._merge(member, records)
        # An empty one does not count.
        member.name, self._long_name = _decoded(self._long_name or b"") or member.name, None
        member.link, self._long_link = _decoded(self._long_link or b"") or member.link, None
        if kind == "\0":
            member.type = kind = "5" if member.name.endswith("/") else "0"
        if kind in HEADER_ONLY:
            member.size = 0
        if not 0 <= member.size <= _SIZE_LIMIT:
            raise self._malformed(f"the size of {member.name!r} is not possible")
        self._last = member.name
        member.offset, member.stored = self.position, member.size
        self._left, self._padding = member.size, -member.size % BLOCK
        self._sparse = self._sparse_of(member, records) if records else None
        if self._sparse is not None and kind in HEADER_ONLY:
            raise self._malformed(f"{member.name!r} is said to be sparse, and is no file")
        if self._sparse is None or self._sparse.is_read:
            if self._sparse is not None:
                member.extents = self._sparse.extents
                self._check_sparse(member)
            self._is_wanted = self._on_member(member)
        if not self._left:
            self._content_ended()

    def _read_meta(self, kind: str, content: bytearray) -> None:
        data = bytes(content)
        if kind == "x":
            self._records = self._pax(data)
        elif kind == "g":
            self._pax(data)  # it has to be well formed, and is heeded by no engine, nor is what was said just before
            self._records, self._long_name, self._long_link = {}, None, None
        elif kind == "L":
            self._long_name = _text(data)
        else:
            self._long_link = _text(data)

    # PAX

    def _pax(self, data: bytes) -> dict[str, bytes]:
        records: dict[str, bytes] = {}
        spots: list[bytes] = []
        while data:
            length_text, space, _ = data.partition(b" ")
            length = int(length_text) if length_text.isdigit() and len(length_text) < 10 else 0
            record = data[len(length_text) + 1 : length]
            key, equals, value = record[:-1].partition(b"=")
            if not (space and 5 <= length <= len(data) and record.endswith(b"\n") and key and equals):
                raise self._malformed("a PAX record is malformed")
            name = _decoded(key)
            if b"\0" in (value if name in _TEXTS else key):
                raise self._malformed(f"the PAX record {name!r} has a zero byte in it")
            data = data[length:]
            if name in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
                if (name == "GNU.sparse.offset") != (len(spots) % 2 == 0) or b"," in value:
                    raise self._malformed("the map of a sparse file is malformed")
                spots.append(value)
            else:
                records[name] = value
        if spots:
            records["GNU.sparse.map"] = b",".join(spots)
        return records

    def _merge(self, member: Member, records: Mapping[str, bytes]) -> None:
        for key, value in records.items():
            if key == XATTR:
                raise self._malformed("an attribute has no name")
            if key.startswith(XATTR):
                member.xattrs = {**member.xattrs, key.removeprefix(XATTR): value}
            elif not value:
                continue  # the header counts again
            elif key == "path":
                member.name = _decoded(value)
            elif key == "linkpath":
                member.link = _decoded(value)
            elif key in ("uid", "gid", "size"):
                setattr(member, key, self._decimal(key, value))
            elif key in ("mtime", "atime", "ctime"):
                seconds = self._time(key, value)
                if key == "mtime":
                    member.mtime = seconds

    def _decimal(self, key: str, value: bytes) -> int:
        digits = value[1:] if value[:1] in (b"-", b"+") else value
        if not digits.isdigit() or len(digits) > 19 or abs(int(value)) > _SIZE_LIMIT:
            raise self._malformed(f"the PAX record {key} is no number")
        return int(value)

    def _time(self, key: str, value: bytes) -> float:
        whole, point, fraction = value.partition(b".")
        seconds = self._decimal(key, whole)
        if point and not (fraction.isdigit() or not fraction):
            raise self._malformed(f"the PAX record {key} is no time")
        nanoseconds = int(fraction[:9].ljust(9, b"0")) if fraction else 0
        if not nanoseconds or abs(seconds) > 2**52:
            return seconds
        if whole.startswith(b"-"):
            return seconds - nanoseconds / 1e9
        # A fraction never makes it the next second, as near as that may be.
        return min(seconds + nanoseconds / 1e9, math.nextafter(seconds + 1, seconds))

    # Sparse files

    def _sparse_of(self, member: Member, records: Mapping[str, bytes]) -> _Sparse | None:
        version = (records.get("GNU.sparse.major", b""), records.get("GNU.sparse.minor", b""))
        in_content = version == (b"1", b"0")
        is_known = version in ((b"1", b"0"), (b"0", b"0"), (b"0", b"1"))
        if not is_known and (any(version) or not records.get("GNU.sparse.map")):
            return None
        if name := records.get("GNU.sparse.name"):
            member.name = _decoded(name)
        if size := records.get("GNU.sparse.size") or records.get("GNU.sparse.realsize"):
            member.size = self._decimal("GNU.sparse.size", size)
        sparse = _Sparse(member, self._malformed)
        if not in_content:
            count = self._decimal("GNU.sparse.numblocks", records.get("GNU.sparse.numblocks", b""))
            numbers = records.get("GNU.sparse.map", b"")
            spots = numbers.split(b",") if numbers else []
            if len(spots) != 2 * count:
                raise self._malformed("the map of a sparse file is malformed")
            sparse.set([self._decimal("GNU.sparse.map", spot) for spot in spots])
        return sparse

    def _check_sparse(self, member: Member) -> None:
        at = 0
        for offset, length in member.extents or ():
            if offset < at or length < 0 or offset + length > member.size:
                raise self._malformed("the map of a sparse file is malformed")
            at = offset + length
        if sum(length for _, length in member.extents or ()) != member.stored:
            raise self._malformed("the map of a sparse file does not fit its content")

    # Numbers

    def _octal(self, field: bytes) -> int:
        digits = field.strip(b" \0").partition(b"\0")[0]
        if not digits:
            return 0
        if not digits.isdigit():
            raise self._malformed("a number in a header is malformed")
        try:
            return int(digits, 8)
        except ValueError:
            raise self._malformed("a number in a header is malformed") from None

    def _number(self, field: bytes) -> int:
        if not field[0] & 0x80:
            return self._octal(field)
        value = int.from_bytes(field, "big") & ~(1 << (8 * len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if not -_SIZE_LIMIT - 1 <= value <= _SIZE_LIMIT:
            raise self._malformed("a number in a header is too large")
        return value

    def _malformed(self, cause: str) -> InvalidContent:
        where = f"after entry {excerpt(self._last)}" if self._last is not None else "at its first entry"
        return InvalidContent(
            f"{self._what} is no tar archive that engines take",
            cause=f"{where}: {cause}",
            code="malformed-layer",
            fields={"after": self._last},
        )


class _Sparse:
    """A sparse file whose map may stand before its content (GNU tar manual §PAX Format, Version 1.0)."""

    def __init__(self, member: Member, malformed: Callable[[str], InvalidContent]) -> None:
        self.member = member
        self._malformed = malformed
        self.extents: Extents = ()
        self.is_read = False
        self._map = bytearray()
        self._lines = 0
        self._wanted: int | None = None

    def set(self, numbers: list[int]) -> None:
        self.extents = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        self.is_read = True

    def take(self, piece: memoryview) -> memoryview | None:
        """Read the map, in whole blocks, from the content; returns what follows it, None while there is more of it."""
        at = 0
        while not self.is_read and at < len(piece):
            taken = min(BLOCK - len(self._map) % BLOCK, len(piece) - at)
            block = bytes(piece[at : at + taken])
            self._map += block
            self._lines += block.count(b"\n")
            at += taken
            if len(self._map) % BLOCK == 0:
                self._look()
        return piece[at:] if self.is_read else None

    def _look(self) -> None:
        """Read the map if all its lines are there: how many pieces there are, then offset and length of each."""
        if self._wanted is None and self._lines:
            self._wanted = 1 + 2 * self._number(bytes(self._map).partition(b"\n")[0])
        if self._wanted is not None and self._lines >= self._wanted:
            _, *numbers = [self._number(line) for line in bytes(self._map).split(b"\n")[: self._wanted]]
            self.set(numbers)
        elif len(self._map) > _META_LIMIT:
            raise self._malformed("the map of a sparse file is malformed")

    def _number(self, line: bytes) -> int:
        if not line.isdigit() or len(line) > 19:
            raise self._malformed("the map of a sparse file is malformed")
        return int(line)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decoded(text: Any) -> str:
    return bytes(text).decode("utf-8", "surrogateescape")
