"""Headers of members of tar archives as Go's `archive/tar` writes them in the PAX format, byte for byte.

This module knows that form (POSIX.1-2017 pax §pax Interchange Format, and what Go makes of it), and nothing of layers.
Headers that were read strictly before (`tar_stream`) are taken to be well formed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from lading.io.tar_headers import Headers, padded, pax_record
from lading.io.tar_stream import BLOCK, HEADER_ONLY, Member

_DERIVED = frozenset({b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime", b"atime", b"ctime"})
"""Records that say what the header has a field for: they are written where the field is too small for it."""
_NAME = 100
_OWNER = 32


def pax_headers(headers: Headers, member: Member, *, name: str, link: str, more: Mapping[bytes, bytes]) -> bytes:
    """The headers of a member under another name, as Go writes them; global headers before them stay.

    Args:
        headers: as they were read.
        member: what they say.
        name: the path that the member gets.
        link: the target that a link gets.
        more: records that the member gets, beside those that it has.
    """
    said = dict(headers.records)
    # A record with nothing in it leaves what the header says.
    uname, gname = (said.get(key) or field for key, field in zip((b"uname", b"gname"), headers.owners, strict=True))
    path, target = _encoded(name), _encoded(link)
    records = {key: value for key, value in said.items() if key not in _DERIVED and not key.startswith(b"GNU.sparse.")}
    records |= more
    for key, text, room in (
        (b"path", path, _NAME),
        (b"linkpath", target, _NAME),
        (b"uname", uname, _OWNER),
        (b"gname", gname, _OWNER),
    ):
        if not text.isascii() or len(text) > room or said.get(key) == text:
            records[key] = text
    size = headers.size if member.type in HEADER_ONLY else member.size
    numbers = ((b"uid", member.uid, 7), (b"gid", member.gid, 7), (b"size", size, 11))
    for key, number, digits in numbers:
        if not 0 <= number < 8**digits or said.get(key) == b"%d" % number:
            records[key] = b"%d" % number
    records |= _times(headers, said)
    block = _block(
        path,
        kind=member.type,
        mode=member.mode,
        owner=(member.uid, member.gid),
        size=size,
        seconds=int(_seconds(headers, said)),
        link=target,
        names=(uname, gname),
        device=member.device,
    )
    before = headers.global_headers
    if records:
        content = b"".join(pax_record(key, records[key]) for key in sorted(records))
        folder, _, base = path.rpartition(b"/")
        before += _block(posixpath.join(folder, b"PaxHeaders.0", base), kind="x", size=len(content)) + padded(content)
    return before + block


def directory_header(name: str, mode: int) -> bytes:
    """The header of a directory of user and group 0, from 1970.

    Args:
        name: its path.
        mode: its permissions.
    """
    return _block(_encoded(name), kind="5", mode=mode)


def _times(headers: Headers, said: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The records of times: of modification only where the field cannot say it."""
    found: dict[bytes, bytes] = {}
    modified = _seconds(headers, said)
    text = _moment(said[b"mtime"]) if said.get(b"mtime") else b"%d" % modified
    if b"." in text or not 0 <= modified < 8**11 or said.get(b"mtime") == text:
        found[b"mtime"] = text
    for key, field in zip((b"atime", b"ctime"), headers.other_times, strict=True):
        if said.get(key):
            found[key] = _moment(said[key])
        elif field is not None:
            found[key] = b"%d" % field
    return found


def _seconds(headers: Headers, said: Mapping[bytes, bytes]) -> int:
    """The time of modification in whole seconds, rounded down."""
    if not said.get(b"mtime"):
        return headers.modified
    whole, _, fraction = _moment(said[b"mtime"]).partition(b".")
    return int(whole) - (1 if fraction and whole.startswith(b"-") else 0)


def _moment(value: bytes) -> bytes:
    """A time of a record, to the nanosecond, with no zeros at its end."""
    whole, _, fraction = value.partition(b".")
    fraction = fraction[:9].rstrip(b"0")
    sign = b"-" if whole.startswith(b"-") and (fraction or int(whole)) else b""
    return sign + b"%d" % abs(int(whole)) + (b"." + fraction if fraction else b"")


def _block(
    name: bytes,
    *,
    kind: str,
    mode: int = 0,
    owner: tuple[int, int] = (0, 0),
    size: int = 0,
    seconds: int = 0,
    link: bytes = b"",
    names: tuple[bytes, bytes] = (b"", b""),
    device: tuple[int, int] = (0, 0),
) -> bytes:
    block = bytearray(BLOCK)
    for at, width, text in (
        (0, _NAME, name),
        (157, _NAME, link),
        (265, _OWNER, names[0]),
        (297, _OWNER, names[1]),
    ):
        plain = bytes(byte for byte in text if 0 < byte < 128)
        field = plain[:width]
        if len(plain) > width or kind == "x":
            field = field.rstrip(b"/")
        block[at : at + width] = field.ljust(width, b"\0")
    for at, width, number in (
        (100, 8, mode),
        (108, 8, owner[0]),
        (116, 8, owner[1]),
        (124, 12, size),
        (136, 12, seconds),
        # The header before records says nothing of devices.
        *(((329, 8, device[0]), (337, 8, device[1])) if kind != "x" else ()),
    ):
        fits = 0 <= number < 8 ** (width - 1)
        block[at : at + width] = b"%0*o\0" % (width - 1, number if fits else 0)
    block[156:157] = kind.encode("latin-1")
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
