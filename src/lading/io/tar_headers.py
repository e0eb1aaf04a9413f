"""The headers of one member of a tar archive, changed without losing what nothing here knows.

This module knows the formats of headers (POSIX.1-2017 pax §Interchange Format, the GNU tar manual), and nothing of
layers. Headers that were read strictly before (`tar_stream`) are taken to be well formed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lading.io.tar_stream import BLOCK, XATTR, Member

_OCTAL_LIMIT = 8**11
_EXTENDED, _LONG_NAME, _LONG_LINK = "x", "L", "K"
_USTAR, _GNU, _STAR = b"ustar\0", b"ustar  \0", b"tar\0"
_MAGIC, _STAR_MAGIC = slice(257, 265), slice(508, 512)
_NAME, _MODE, _UID, _GID, _SIZE, _MTIME = (
    slice(0, 100),
    slice(100, 108),
    slice(108, 116),
    slice(116, 124),
    slice(124, 136),
    slice(136, 148),
)
_CHECKSUM, _TYPE, _LINK, _OWNERS = slice(148, 156), 156, slice(157, 257), slice(265, 329)
_SPARSE = b"GNU.sparse."
_NAMES_OF = {b"path": _LONG_NAME, b"linkpath": _LONG_LINK}


class Headers:
    """All that stands in an archive before the content of a member: its headers, and the map of a sparse file.

    Args:
        raw: the bytes from the end of the member before to the beginning of the content.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parts: list[tuple[bytes, bytes]] | None = None
        self._records: list[tuple[bytes, bytes]] = []
        self._block = bytearray()
        self._map = b""
        self._instead: bytes | None = None
        self.is_changed: bool = False
        """Whether anything was changed."""

    def __bytes__(self) -> bytes:
        """The headers as they are written; the same bytes as before where nothing was changed."""
        if self._instead is not None:
            return self._instead
        if not self.is_changed:
            return self._raw
        before = b"".join(block + padded(content) for block, content in self._others)
        if self._records:
            content = b"".join(pax_record(key, value) for key, value in self._records)
            before += _extended(len(content)) + padded(content)
        block = self._block
        block[_CHECKSUM] = b" " * 8
        block[_CHECKSUM] = b"%06o\0 " % sum(block)
        return before + bytes(block) + self._map

    def set_times(self, change: Callable[[float], float]) -> None:
        """Change the times: of modification, and of access and of change where they are said.

        Args:
            change: gives for a time in seconds since the epoch the one to be written: the same, or one from 0 to
                8**11 - 1 in whole seconds.
        """
        records, block = self._read(), self._block
        said = [_time(value) for key, value in records if key == b"mtime" and value]
        old = said[-1] if said else _number(block[_MTIME])
        if (new := change(old)) != old:
            self._replace(b"mtime")
            self._set_number(_MTIME, int(new))
        for key in (b"atime", b"ctime"):
            for value in [value for other, value in self._records if other == key and value]:
                if (new := change(_time(value))) != _time(value):
                    self._replace(key, b"%d" % int(new))
        for field in self._other_times:
            there = _number_or_none(block[field])
            if there and (new := change(there)) != there:
                self._set_number(field, int(new))

    def drop_owner_names(self) -> None:
        """Leave out the names of the user and of the group; the numbers count."""
        self._read()
        for key in (b"uname", b"gname"):
            self._replace(key)
        if self._block[_MAGIC].startswith(b"ustar") and any(self._block[_OWNERS]):
            self._block[_OWNERS] = bytes(64)
            self.is_changed = True

    def drop_other_times(self) -> None:
        """Leave out the times of access and of change, and the time of creation that Windows has."""
        self._read()
        for key in (b"atime", b"ctime", b"LIBARCHIVE.creationtime"):
            self._replace(key)
        field = slice(345, 369) if self._is_gnu else slice(476, 500) if self._is_star else slice(0, 0)
        if any(self._block[field].strip(b"0 \0")):
            self._block[field] = bytes(24)
            self.is_changed = True

    def rename(self, name: str) -> None:
        """Give the member another path."""
        self._read()
        text = _encoded(name)
        if any(key == b"GNU.sparse.name" for key, _ in self._records):
            self._replace(b"GNU.sparse.name", text)
            return
        self._set_text(b"path", _NAME, text)
        if self._block[_MAGIC].startswith(_USTAR):
            end = 476 if self._is_star else 500
            self._block[345:end] = bytes(end - 345)

    def link_to(self, target: str) -> None:
        """Give a link another target."""
        self._read()
        self._set_text(b"linkpath", _LINK, _encoded(target))

    def set_size(self, size: int) -> None:
        """Say that the member is a plain file with content of another size, in bytes."""
        self._read()
        self._map = b""
        self._records = [(key, value) for key, value in self._records if not key.startswith(_SPARSE)]
        self._replace(b"size", b"%d" % size if size >= _OCTAL_LIMIT else None)
        self._set_number(_SIZE, size if size < _OCTAL_LIMIT else 0)
        self._block[_TYPE] = ord("0")
        self.is_changed = True

    def describe(self, member: Member, xattrs: Mapping[str, bytes]) -> None:
        """Give the member the mode, the owner and the time of another, and attributes.

        Args:
            member: the other one.
            xattrs: which attributes it has.
        """
        self._read()
        self._set_number(_MODE, member.mode)
        for key, field, number in ((b"uid", _UID, member.uid), (b"gid", _GID, member.gid)):
            is_large = number >= 8**7
            self._replace(key, b"%d" % number if is_large else None)
            self._set_number(field, 0 if is_large else number)
        self._replace(b"mtime", None if member.mtime == int(member.mtime) else repr(member.mtime).encode())
        self._set_number(_MTIME, int(member.mtime))
        for name, value in sorted(xattrs.items()):
            self._replace(XATTR.encode() + _encoded(name), value)

    def add_record(self, key: bytes, value: bytes) -> None:
        """Give the member a PAX record, in the place of another one of that key."""
        self._read()
        self._replace(key, value)

    def replace(self, raw: bytes) -> None:
        """Write other headers in the place of these."""
        self.is_changed = True
        self._instead = raw

    # What they say

    @property
    def records(self) -> list[tuple[bytes, bytes]]:
        """The PAX records, in order."""
        return list(self._read())

    @property
    def owners(self) -> tuple[bytes, bytes]:
        """The names of the user and of the group that the header has fields for."""
        self._read()
        if not self._block[_MAGIC].startswith(b"ustar"):
            return b"", b""
        return _text(self._block[265:297]), _text(self._block[297:329])

    @property
    def size(self) -> int:
        """What the field of the size says, whether there is content or not."""
        self._read()
        return _number(self._block[_SIZE])

    @property
    def modified(self) -> int:
        """What the field of the time of modification says, in seconds since the epoch."""
        self._read()
        return _number(self._block[_MTIME])

    @property
    def other_times(self) -> tuple[int | None, int | None]:
        """What the fields say of the times of access and of change; None where they say nothing."""
        self._read()
        fields = [self._block[field] for field in self._other_times]
        if not fields:
            return None, None
        first, second = (_number_or_none(field) if self._is_star or field[0] else None for field in fields)
        return first, second

    @property
    def global_headers(self) -> bytes:
        """The global headers that stand before them."""
        self._read()
        return b"".join(block + padded(content) for block, content in self._others if chr(block[_TYPE]) == "g")

    # Parts

    @property
    def _other_times(self) -> tuple[slice, ...]:
        """The fields of the times of access and of change, in a format that has some."""
        at = 345 if self._is_gnu else 476 if self._is_star else None
        return () if at is None else (slice(at, at + 12), slice(at + 12, at + 24))

    def _read(self) -> list[tuple[bytes, bytes]]:
        """Take the headers apart, which is done once."""
        if self._parts is not None:
            return self._records
        raw, at, parts = self._raw, 0, []
        while True:
            block = raw[at : at + BLOCK]
            at += BLOCK
            if chr(block[_TYPE]) not in "xgLK":
                break
            size = _number(block[_SIZE])
            content = raw[at : at + size]
            at += size + -size % BLOCK
            if chr(block[_TYPE]) == _EXTENDED:
                self._records = _records(content)  # of several the last counts
            else:
                parts.append((block, content))
        self._parts, self._block, self._map = parts, bytearray(block), raw[at:]
        return self._records

    @property
    def _is_gnu(self) -> bool:
        return self._block[_MAGIC].startswith(_GNU)

    @property
    def _is_star(self) -> bool:
        return self._block[_STAR_MAGIC].startswith(_STAR)

    @property
    def _others(self) -> list[tuple[bytes, bytes]]:
        return self._parts or []

    def _replace(self, key: bytes, value: bytes | None = None) -> None:
        """Set a record, or remove it."""
        records = self._records
        first = next((number for number, (other, _) in enumerate(records) if other == key), len(records))
        kept = [(other, there) for other, there in records if other != key]
        if value is not None:
            kept.insert(first, (key, value))
        self.is_changed = self.is_changed or kept != records
        self._records = kept

    def _set_text(self, key: bytes, field: slice, text: bytes) -> None:
        kind, length = _NAMES_OF[key], field.stop - field.start
        self._parts = [part for part in self._others if chr(part[0][_TYPE]) != kind]
        self._replace(key, None if len(text) <= length and text.isascii() else text)
        self._block[field] = text[:length].rstrip(b"/").ljust(length, b"\0")
        self.is_changed = True

    def _set_number(self, field: slice, number: int) -> None:
        length = field.stop - field.start
        if 0 <= number < 8 ** (length - 1):
            text = b"%0*o\0" % (length - 1, number)
        else:
            text = (number & ((1 << (8 * length)) - 1) | 1 << (8 * length - 1)).to_bytes(length, "big")
        if self._block[field] != text:
            self._block[field] = text
            self.is_changed = True


def _records(content: bytes) -> list[tuple[bytes, bytes]]:
    records = []
    while content:
        length = int(content.partition(b" ")[0])
        key, _, value = content[content.index(b" ") + 1 : length - 1].partition(b"=")
        records.append((key, value))
        content = content[length:]
    return records


def pax_record(key: bytes, value: bytes) -> bytes:
    """A PAX record, which begins with its own length."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _extended(size: int) -> bytes:
    """The header before records, which says nothing but that."""
    block = bytearray(BLOCK)
    block[:16] = b"././@PaxHeader\0\0"
    for field, number in ((_MODE, 0o644), (_UID, 0), (_GID, 0), (_SIZE, size), (_MTIME, 0)):
        length = field.stop - field.start
        block[field] = b"%0*o\0" % (length - 1, number)
    block[_TYPE] = ord(_EXTENDED)
    block[257:265] = b"ustar\x0000"
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


def _number(field: bytes | bytearray) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(1 << (8 * len(field) - 1))
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    return int(bytes(field).strip(b" \0").partition(b"\0")[0] or b"0", 8)


def _number_or_none(field: bytes | bytearray) -> int | None:
    """A number of a field that nobody has read strictly; None for what is none."""
    try:
        return _number(field)
    except ValueError:
        return None


def _text(field: bytes | bytearray) -> bytes:
    return bytes(field).partition(b"\0")[0]


def _time(value: bytes) -> float:
    """A time as records say it, to the nanosecond."""
    whole, _, fraction = value.partition(b".")
    seconds, rest = int(whole), int(fraction[:9].ljust(9, b"0") or b"0") / 1e9
    if not rest:
        return seconds
    return seconds - rest if whole.startswith(b"-") else seconds + rest


def padded(content: bytes) -> bytes:
    """Content as it is in an archive: in whole blocks."""
    return content + bytes(-len(content) % BLOCK)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
