"""Tables of contents that some layers have: eStargz and zstd:chunked say what is in a layer, and where.

A table is verified by the digest that the layer's descriptor has of it, each content by the digest that the table has.
So a layer need not be read to be listed. This module reads parts of blobs, and knows nothing of images.
"""

from __future__ import annotations

import io
import re
import tarfile
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from lading.errors import InvalidContent, LadingError
from lading.images.files.layers import LayerContent
from lading.io.inflate import Inflater
from lading.io.tar_stream import Member
from lading.io.tarball import reading
from lading.io.threads import in_thread
from lading.model.digest import Digest, verify
from lading.store import read_part

STARGZ = "containerd.io/snapshot/stargz/toc.digest"
CHUNKED = ("io.github.containers.zstd-chunked.manifest-", "io.containers.zstd-chunked.manifest-")
_FOOTER = 51
_FOOTER_FORM = rb"(?s).{16}([0-9a-f]{16})STARGZ.*"
_STARGZ_NAME = "stargz.index.json"
_LIMIT = 64 * 1024 * 1024
"""How large a table may be, in bytes."""
_AT_ONCE = 4 * 1024 * 1024
"""How much of a layer is asked for at once, in bytes, where a content has several parts."""
_TYPES = {"reg": "0", "hardlink": "1", "symlink": "2", "char": "3", "block": "4", "dir": "5", "fifo": "6"}


class Part(msgspec.Struct, array_like=True, frozen=True):
    """Where a part of a content is in a blob."""

    start: int
    """Offset of its first compressed byte."""
    end: int
    """Offset behind its last."""
    skip: int
    """How many bytes come before it without compression."""
    size: int
    """Of the part without compression, in bytes."""
    digest: str
    """Of the part without compression."""


class Table(msgspec.Struct, frozen=True):
    """What a layer says is in it."""

    members: list[Member]
    """Each with an offset of its own, which is negative: where it is in the archive is not said."""
    parts: dict[int, list[Part]]
    """The parts of contents, by the offsets of their members."""


def has_table(content: LayerContent) -> bool:
    """Whether the descriptor of a layer says that it has a table."""
    annotations = content.descriptor.annotations
    return STARGZ in annotations or any(f"{prefix}position" in annotations for prefix in CHUNKED)


async def read_table(content: LayerContent) -> Table | None:
    """Read the table of a layer; None where it has none that is what its descriptor says.

    Args:
        content: the layer.
    """
    try:
        found = await (_stargz(content) if STARGZ in content.descriptor.annotations else _chunked(content))
        return await in_thread(_table, *found)
    except (LadingError, msgspec.MsgspecError, ValueError, KeyError):
        return None


async def read_parts(content: LayerContent, parts: list[Part], write: Any) -> None:
    """Read a content, part by part, each verified before it is given out.

    Args:
        content: the layer that has it.
        parts: its parts.
        write: called with each.

    Raises:
        DigestMismatch: a part is not what the table says.
    """
    at = 0
    while at < len(parts):
        last = at + 1
        while last < len(parts) and parts[last].end - parts[at].start <= _AT_ONCE:
            last += 1
        start, end = parts[at].start, max(part.end for part in parts[at:last])
        data = await read_part(content.store, content.descriptor, start, end - start)
        for part in parts[at:last]:
            piece = await in_thread(_part, data[part.start - start : part.end - start], part, content.what)
            await in_thread(write, piece)
        at = last


def _part(data: bytes, part: Part, what: str) -> bytes:
    whole, wanted = bytearray(), part.skip + part.size
    for piece in Inflater(what).feed(data):
        whole += piece
        if len(whole) >= wanted:
            break
    return verify(bytes(whole[part.skip : wanted]), Digest(part.digest), part.size, name=f"a part of {what}")


async def _chunked(content: LayerContent) -> tuple[bytes, int]:
    """The table of a zstd:chunked layer, and where the contents end: one request."""
    annotations = content.descriptor.annotations
    prefix = next(prefix for prefix in CHUNKED if f"{prefix}position" in annotations)
    start, length, size, kind = (int(number) for number in annotations[f"{prefix}position"].split(":"))
    if kind != 1 or not (0 < start < content.descriptor.size and 0 < length <= _LIMIT and 0 < size <= _LIMIT):
        raise InvalidContent("the table of contents is of an unknown kind, or too large")
    packed = await read_part(content.store, content.descriptor, start, length)
    verify(packed, Digest(annotations[f"{prefix}checksum"]), length)
    return await in_thread(_inflated, packed), start


async def _stargz(content: LayerContent) -> tuple[bytes, int]:
    """The table of an eStargz layer, and where the contents end: two requests."""
    size = content.descriptor.size
    footer = await read_part(content.store, content.descriptor, size - _FOOTER, _FOOTER)
    found = re.fullmatch(_FOOTER_FORM, footer)
    start = int(found[1], 16) if found is not None else size
    if not 0 <= start < size - _FOOTER <= start + _LIMIT:
        raise InvalidContent("there is no table of contents where it should be")
    packed = await read_part(content.store, content.descriptor, start, size - _FOOTER - start)
    archive = await in_thread(_inflated, packed)
    with reading("the table of contents"), tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(_STARGZ_NAME)
        raw = file.read() if file is not None else b""
    verify(raw, Digest(content.descriptor.annotations[STARGZ]))
    return raw, start


def _inflated(packed: bytes) -> bytes:
    out, inflater = bytearray(), Inflater("the table of contents")
    for piece in inflater.feed(packed):
        out += piece
        if len(out) > _LIMIT:
            raise InvalidContent("the table of contents is too large")
    return bytes(out)


def _table(raw: bytes, end: int) -> Table:
    document = msgspec.json.decode(raw, type=_Document)
    if document.version != 1:
        raise InvalidContent("the table of contents is of an unknown version")
    starts = sorted({entry.offset for entry in document.entries if entry.offset} | {end})
    follows = dict(pairwise(starts))
    members: list[Member] = []
    contents: list[list[_Entry]] = []
    for entry in document.entries:
        if entry.type == "chunk":
            contents[-1].append(entry)
            continue
        contents.append([entry])
        members.append(_member(entry, -len(contents)))
    parts = {
        member.offset: _parts(member.size, entries, follows, end)
        for member, entries in zip(members, contents, strict=True)
        if member.size
    }
    return Table(members, parts)


def _parts(size: int, entries: list[_Entry], follows: Mapping[int, int], end: int) -> list[Part]:
    parts, at = [], 0
    for number, entry in enumerate(entries):
        is_last = number == len(entries) - 1
        length = size - at if is_last else entry.chunkSize
        digest = entry.chunkDigest or (entry.digest if len(entries) == 1 else "")
        behind = follows.get(entry.offset, end)
        if is_last and entries[0].endOffset:
            behind = entries[0].endOffset
        if not (0 < entry.offset < behind <= end and length > 0 and entry.innerOffset >= 0):
            raise InvalidContent("the table of contents is malformed")
        parts.append(Part(entry.offset, behind, entry.innerOffset, length, str(Digest(digest))))
        at += length
    return parts


def _member(entry: _Entry, offset: int) -> Member:
    if entry.type not in _TYPES:
        raise InvalidContent("the table of contents has an entry of an unknown type")
    return Member(
        name=entry.name,
        type=_TYPES[entry.type],
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size if entry.type == "reg" else 0,
        mtime=datetime.fromisoformat(entry.modtime).timestamp() if entry.modtime else 0,
        link=entry.linkName,
        device=(entry.devMajor, entry.devMinor),
        xattrs={key: b64decode(value) for key, value in entry.xattrs.items()},
        offset=offset,
        stored=entry.size if entry.type == "reg" else 0,
    )


class _Entry(msgspec.Struct):
    """An entry of a table, in the words of both formats."""

    name: str
    type: str
    size: int = 0
    modtime: str = ""
    linkName: str = ""  # noqa: N815
    mode: int = 0
    uid: int = 0
    gid: int = 0
    offset: int = 0
    endOffset: int = 0  # noqa: N815
    innerOffset: int = 0  # noqa: N815
    devMajor: int = 0  # noqa: N815
    devMinor: int = 0  # noqa: N815
    xattrs: dict[str, str] = {}
    digest: str = ""
    chunkOffset: int = 0  # noqa: N815
    chunkSize: int = 0  # noqa: N815
    chunkDigest: str = ""  # noqa: N815


class _Document(msgspec.Struct):
    version: int
    entries: list[_Entry]
