"""Blobs as validation reads them: each once, whole, and verified, whatever has it and however many do.

This module knows what a blob turns out to be, and nothing of what is said of it: that is judged elsewhere.
"""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

import msgspec

from lading.errors import DigestMismatch, InvalidContent, LadingError, NotFound, RegistryFailure
from lading.images.files.layers import LayerContent, ReadLayer, read_layer
from lading.io.sources import closing, in_pieces
from lading.io.tar_stream import Member
from lading.io.tasks import Limits
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.store import Measures, Readable, from_store
from lading.transfer.events import Meter
from lading.walk import is_refused

IN_TOTO, DSSE = STATEMENTS = ("application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json")
"""The media types of statements (in-toto attestation framework), plain and signed."""
_LARGEST_STATEMENT = 16 * 1024 * 1024
"""How large a statement may be of which the subjects are looked at, in bytes."""


Packed = bytes | list[Member]


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that is to be read, and what for."""

    store: Readable
    blob: Descriptor
    """Media type, digest and size alone."""
    platform: str | None = None
    """Of the image that it is for, where one is known."""
    is_layer: bool = False
    """Whether it is to be unpacked."""
    diff_id: Digest | None = None
    """What it should be without compression, where that takes another algorithm than sha256."""
    is_statement: bool = False
    """Whether its subjects are to be read."""
    is_kept: bool = False
    """Whether its bytes are wanted: of configs."""


class BlobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a blob turned out to be."""

    state: Literal["whole", "missing", "damaged"] = "whole"
    cause: str = ""
    """How it is damaged."""
    size: int | None = None
    """In bytes; None where that is not known."""
    raw: bytes = b""
    """Where it was to be kept."""
    diff_id: Digest | None = None
    """Of a layer that could be unpacked."""
    compression: str = ""
    """Of such a layer: `none`, `gzip` or `zstd`, as its bytes say."""
    problem: str = ""
    """Why it cannot be unpacked, or is no statement."""
    packed: Packed = b""
    """The entries of a layer."""
    subjects: frozenset[str] | None = None
    """The digests that a statement is about; None for anything else, or what is too large to be looked at."""

    @property
    def members(self) -> list[Member]:
        """The entries of a layer that could be unpacked; made each time."""
        if isinstance(self.packed, list):
            return self.packed
        return msgspec.msgpack.decode(zlib.decompress(self.packed), type=list[Member])


class Blobs:
    """Reads blobs, so many at once as the limits allow, and counts them.

    Args:
        limits: how many, and how many bytes of them, are under way at once.
        meter: is told what is read.
        is_fast: whether only configs are read, and everything else is asked for.
    """

    def __init__(self, limits: Limits, meter: Meter, *, is_fast: bool = False) -> None:
        self.is_fast = is_fast
        self.count: int = 0
        """How many were read or asked for."""
        self.bytes: int = 0
        """The bytes that were read."""
        self._limits = limits
        self._meter = meter
        self._configs: dict[tuple[str, Digest], BlobFacts] = {}

    async def look(self, need: Need) -> BlobFacts:
        """Read a blob; where that is enough, ask for it.

        What is damaged is a fact, and no error.

        Raises:
            LadingError: the store cannot be asked.
        """
        key = (need.store.name, need.blob.digest)
        if key in self._configs and not (need.is_layer or need.is_statement or need.is_kept):
            return self._configs[key]
        self.count += 1
        if self.is_fast and not need.is_kept:
            return await self._asked(need)
        self._meter.found(need.blob)
        async with self._limits.place(need.blob.size):
            try:
                found = await self._read(need)
            except NotFound:
                found = BlobFacts(state="missing")
            except DigestMismatch as error:
                found = await self._damaged(need, error)
            except RegistryFailure as error:
                if not is_refused(error):
                    raise
                found = BlobFacts(state="damaged", cause=error.message)
        if need.is_kept:
            self._configs[key] = msgspec.structs.replace(found, raw=b"")
        return found

    async def _asked(self, need: Need) -> BlobFacts:
        try:
            if isinstance(need.store, Measures):
                return BlobFacts(size=await need.store.blob_size(need.blob.digest))
            is_there = await need.store.contains(need.blob)
        except NotFound:
            is_there = False
        return BlobFacts() if is_there else BlobFacts(state="missing")

    async def _damaged(self, need: Need, error: DigestMismatch) -> BlobFacts:
        """What is damaged, unless it is as its digest says, and only of another size than its descriptor has."""
        size = None
        if isinstance(need.store, Measures):
            try:
                size = await need.store.blob_size(need.blob.digest)
            except NotFound:
                return BlobFacts(state="missing")
        if size is not None and size != need.blob.size:
            of_its_size = msgspec.structs.replace(need.blob, size=size)
            try:
                return await self._read(msgspec.structs.replace(need, blob=of_its_size))
            except DigestMismatch as other:
                error = other
        return BlobFacts(state="damaged", cause=error.cause or error.message, size=size)

    async def _read(self, need: Need) -> BlobFacts:
        source = self._meter.counted(need.store.name, need.blob, need.platform, from_store(need.store, need.blob))
        stream = _Stream(in_pieces(source()))
        try:
            if need.is_layer:
                facts = await _unpacked(need, stream)
            else:
                wants = need.is_kept or (need.is_statement and need.blob.size <= _LARGEST_STATEMENT)
                raw = b"".join([piece async for piece in stream.pieces() if wants])
                facts = _plain(need, raw if wants else None)
        finally:
            await stream.close()
            self.bytes += source.moved
        self._meter.finished(need.store.name, need.blob, "copied", source.done)
        return msgspec.structs.replace(facts, size=need.blob.size)


class _Stream:
    """The bytes of a blob, which can be read on after whoever read them has failed.

    Args:
        pieces: its bytes, verified at their end.
    """

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self.failure: LadingError | None = None
        """What ended the bytes themselves."""
        self._pieces = pieces

    async def pieces(self) -> AsyncIterator[bytes]:
        """Those that were not read yet."""
        try:
            async for piece in self._pieces:
                yield piece
        except LadingError as error:
            self.failure = error
            raise

    async def close(self) -> None:
        async with closing(self._pieces):
            pass


class _Streamed(LayerContent, frozen=True, kw_only=True):
    """A layer whose bytes are under way."""

    stream: Any = None

    async def chunks(self) -> AsyncIterator[bytes]:
        async with closing(self.stream.pieces()) as pieces:
            async for piece in pieces:
                yield piece


async def _unpacked(need: Need, stream: _Stream) -> BlobFacts:
    """What a layer is, read to its last byte: what is wrong in it does not say that its bytes are wrong."""
    members: list[Member] = []

    def on_member(member: Member) -> bool:
        members.append(member)
        return False

    said = str(need.diff_id) if need.diff_id is not None else None
    content = _Streamed(store=need.store, descriptor=need.blob, diff_id=said, what="the layer", stream=stream)
    try:
        read = await read_layer(content, on_member)
    except InvalidContent as error:
        if stream.failure is not None or error.remedy is not None:
            raise
        async for _ in stream.pieces():
            members.clear()
        if error.code == "wrong-diff-id":
            return BlobFacts(diff_id=error.fields["found"])
        return BlobFacts(problem=error.cause or error.message)
    return await in_thread(_layer, read, members)


def _layer(read: ReadLayer, members: list[Member]) -> BlobFacts:
    packed: Packed = members
    with suppress(UnicodeEncodeError):  # names that are no UTF-8 have no place in the format
        packed = zlib.compress(msgspec.msgpack.encode(members), 1)
    return BlobFacts(diff_id=read.diff_id, compression=read.compression, packed=packed)


def _plain(need: Need, raw: bytes | None) -> BlobFacts:
    if raw is None or not need.is_statement:
        return BlobFacts(raw=raw or b"")
    try:
        return BlobFacts(subjects=_subjects(raw, need.blob.media_type))
    except (ValueError, RecursionError) as error:
        return BlobFacts(problem=str(error).partition("\n")[0])


class _Subject(msgspec.Struct):
    digest: dict[str, str] = {}


class _Statement(msgspec.Struct):
    subject: list[_Subject] = []


class _Envelope(msgspec.Struct):
    payload: str = ""


def _subjects(raw: bytes, media_type: str) -> frozenset[str]:
    """The digests that a statement is about (in-toto attestation framework §Statement, §Envelope)."""
    if media_type == DSSE:
        raw = b64decode(msgspec.json.decode(raw, type=_Envelope).payload)
    statement = msgspec.json.decode(raw, type=_Statement)
    return frozenset(f"{name}:{value}" for subject in statement.subject for name, value in subject.digest.items())
