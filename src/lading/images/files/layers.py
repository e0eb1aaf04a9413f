"""Layers as they are read: the tar archive in a blob, in one pass, verified against its digest and its diff ID.

This module knows one layer at a time; how layers make a file system is the business of `filesystem`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

import msgspec

from lading.errors import DigestMismatch, InvalidContent, InvalidDigest, LadingError, NotFound
from lading.io.inflate import PIECE, Inflater
from lading.io.sources import CHUNK, closing, in_pieces
from lading.io.spans import Mark, Span, SpanRecorder
from lading.io.tar_stream import Member, TarStream
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import is_foreign_layer
from lading.store import Readable, from_store

GIBIBYTE = 1024**3
_ZEROS = bytes(PIECE)
_AT_ONCE = 4 * 1024 * 1024
"""How many bytes of a blob a thread gets at once: each turn of one takes its time where a machine is busy."""


class LayerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a layer may be; more is taken for an attack. Real layers are far below."""

    ratio: int = 250
    """How many times larger than its blob it may be without compression, beyond the `allowance`."""
    allowance: int = GIBIBYTE
    """How large it may be in any case, in bytes."""
    entries: int = 1_000_000
    """How many entries it may have."""
    plenty: int = 100_000
    """How many entries it may have however small its blob is."""
    entry: int = 8
    """How many bytes of its blob there have to be for each entry, where it has `plenty`."""
    path: int = 4095
    """How long a path or a link's target may be, in bytes; no more can be opened on Linux."""
    name: int = 255
    """How long a part of a path may be, in bytes."""
    depth: int = 1024
    """How many parts a path may have."""


LIMITS = LayerLimits()


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of an image (image-spec layer): what its manifest and its config say of it."""

    number: int
    """Which one it is, from 1: the lowest."""
    descriptor: Descriptor
    diff_id: Digest
    """The digest of the layer without compression, as the config says."""

    @property
    def digest(self) -> Digest:
        """Of the blob."""
        return self.descriptor.digest


class LayerContent(msgspec.Struct, frozen=True, kw_only=True):
    """Where the content of a layer is, and what it should be."""

    store: Readable
    descriptor: Descriptor
    diff_id: str | None = None
    """The digest of the layer without compression, as the config says; None where none is known."""
    what: str = "the layer"
    """What the layer is called in an error."""
    kept: BinaryIO | None = None
    """A file with the blob, verified, at its beginning."""
    stream: Callable[[Descriptor], AsyncIterator[bytes]] | None = None
    """Reads the blob, verified, another way than from the store alone."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the blob, verified, in pieces of a few megabytes.

        Raises:
            NotFound: it is not there.
        """
        if self.kept is not None:
            while chunk := await in_thread(self.kept.read, CHUNK):
                yield chunk
            return
        if self.stream is not None:
            async with closing(self.stream(self.descriptor)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        source = from_store(self.store, self.descriptor)
        try:
            async with closing(in_pieces(source(), _AT_ONCE)) as pieces:
                async for piece in pieces:
                    yield piece
        except NotFound as error:
            if not is_foreign_layer(self.descriptor.media_type):
                raise
            raise NotFound(
                f"{self.what} is not in {self.store.name}",
                cause="it is a foreign layer, which is kept elsewhere",
                code="foreign-layer",
                fields={"urls": list(self.descriptor.urls), "digest": str(self.descriptor.digest)},
            ) from error


class ReadLayer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a layer by reading all of it."""

    diff_id: Digest
    archive: Digest
    """Of the archive to its end, without what follows there: tools pad archives in different ways."""
    size: int
    """Without compression, in bytes."""
    compression: str
    """`none`, `gzip` or `zstd`, as its bytes say."""
    spans: list[Span]
    """From where it can be read on."""


async def read_layer(
    content: LayerContent,
    on_member: Callable[[Member], bool],
    *,
    on_content: Callable[[memoryview], None] | None = None,
    on_end: Callable[[], None] | None = None,
    on_plain: Callable[[bytes], object] | None = None,
    keep: BinaryIO | None = None,
    limits: LayerLimits = LIMITS,
) -> ReadLayer:
    """Read a layer from its first byte to its last.

    What compression it has is told by its bytes, whatever its media type says. Everything is called in threads, one
    call at a time, and before the layer is verified as a whole: what came of it is to be used after this has returned.

    Args:
        content: the layer.
        on_member: called with each member of the archive; returns whether its content is wanted.
        on_content: called with content that is wanted, piece by piece; of a sparse file with what is stored.
        on_end: called when that content has ended.
        on_plain: called with each piece of the archive, before the members in it.
        keep: a file that gets the layer without compression, with holes for zeros.
        limits: how much the layer may be.

    Raises:
        DigestMismatch: the blob is not what its descriptor says, or what is in it has another diff ID.
        InvalidContent: it is damaged, no tar archive, or beyond the limits.
        NotFound: it is not there.
    """
    reading = _Reading(content, on_member, on_plain, keep, limits)
    reading.tar = TarStream(content.what, reading.member, on_content, on_end)
    work: asyncio.Task[None] | None = None
    try:
        async with closing(content.chunks()) as chunks:
            async for chunk in chunks:
                if work is not None:
                    await work
                # The next bytes are on their way while these are being read.
                work = asyncio.create_task(in_thread(reading.feed, chunk))
        if work is not None:
            await work
    finally:
        if work is not None and not work.done():
            work.cancel()
            await asyncio.wait([work])
    return await in_thread(reading.finish)


class _Reading:
    tar: TarStream

    def __init__(
        self,
        content: LayerContent,
        on_member: Callable[[Member], bool],
        on_plain: Callable[[bytes], object] | None,
        keep: BinaryIO | None,
        limits: LayerLimits,
    ) -> None:
        self._content = content
        self._on_member = on_member
        self._on_plain = on_plain
        self._members = 0
        self._keep = keep
        self._limits = limits
        self._marks: list[Mark] = []
        self._spans = SpanRecorder()
        self._inflater = Inflater(content.what, self._marks.append)
        self._expected = diff_id_of(content)
        self._hash = hashlib.new(self._expected.algorithm if self._expected is not None else "sha256")
        self._archive = self._hash

    def member(self, member: Member) -> bool:
        limits = self._limits
        self._members += 1
        if self._members > limits.entries:
            raise beyond(self._content.what, f"it has more than {limits.entries} entries")
        if self._members > limits.plenty and self._inflater.consumed < self._members * limits.entry:
            raise beyond(self._content.what, f"it has {self._members} entries in {self._inflater.consumed} bytes")
        return self._on_member(member)

    def feed(self, chunk: bytes) -> None:
        for piece in self._inflater.feed(chunk):
            self._take(piece)
        self._spans.feed(chunk, self._marks)
        self._marks.clear()

    def finish(self) -> ReadLayer:
        for piece in self._inflater.finish():
            self._take(piece)
        found = Digest(f"{self._hash.name}:{self._hash.hexdigest()}")
        if self._expected is not None and found != self._expected:
            raise DigestMismatch(
                f"{self._content.what} is not what the config says",
                cause=f"its diff ID is {found}, and the config says {self._expected}",
                code="wrong-diff-id",
                fields={"layer": str(self._content.descriptor.digest), "found": found, "expected": self._expected},
            )
        self.tar.finish()
        if self._keep is not None:
            self._keep.truncate(self._inflater.produced)
        return ReadLayer(
            diff_id=found,
            archive=Digest(f"{self._archive.name}:{self._archive.hexdigest()}"),
            size=self._inflater.produced,
            compression=self._inflater.compression or "none",
            spans=self._spans.finish(),
        )

    def _take(self, piece: bytes) -> None:
        inflater, limits = self._inflater, self._limits
        if inflater.produced > limits.allowance + limits.ratio * inflater.consumed:
            raise beyond(
                self._content.what, f"it is more than {limits.ratio} times as large as its blob without compression"
            )
        before = None if self.tar.is_ended else self._hash.copy()
        self._hash.update(piece)
        if self._keep is not None:
            if piece == _ZEROS:
                self._keep.seek(len(piece), os.SEEK_CUR)
            else:
                self._keep.write(piece)
        if self._on_plain is not None:
            self._on_plain(piece)
        self.tar.feed(piece)
        if before is not None and self.tar.is_ended:
            before.update(piece[: self.tar.position - inflater.produced + len(piece)])
            self._archive = before


def diff_id_of(content: LayerContent) -> Digest | None:
    """The diff ID that a layer should have; None where none is said.

    Raises:
        InvalidContent: what the config says is no digest.
    """
    if content.diff_id is None:
        return None
    try:
        return Digest(content.diff_id)
    except InvalidDigest as error:
        raise InvalidContent(f"the diff ID of {content.what} is malformed", cause=error.message) from None


def beyond(what: str, cause: str) -> LadingError:
    """The error that a layer is larger than real ones are.

    Args:
        what: what the layer is called.
        cause: in what it is.
    """
    return InvalidContent(f"{what} is refused: it looks like an attack", cause=cause, code="too-large-layer")
