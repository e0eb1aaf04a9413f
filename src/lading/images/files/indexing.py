"""What was read before, and need not be read again: the entries of layers, manifests and configs.

A client remembers them, and leaves them in the user's cache for later ones. This module knows blobs of layers and their
entries, and nothing of images.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from lading.errors import DigestMismatch
from lading.images.files.layers import LIMITS, LayerContent, LayerLimits, diff_id_of, read_layer
from lading.images.files.toc import Part, has_table, read_table
from lading.io.shelf import Shelf
from lading.io.spans import Span
from lading.io.tar_stream import Member
from lading.io.threads import in_thread
from lading.model.digest import Digest

_KEPT = 500_000
"""How many entries are kept in memory, of all layers together."""
_MOST = 512 * 1024 * 1024
"""How much is kept in the user's cache, in bytes."""
_VERSION, _TABLE, _CONTENTS = ".index-2", ".table-1", ".contents-1"


class LayerIndex(msgspec.Struct, kw_only=True):
    """The entries of one layer, with where their contents are."""

    digest: str
    """Of the blob."""
    diff_id: str
    size: int
    """Without compression, in bytes."""
    compression: str
    """`none`, `gzip` or `zstd`, as its bytes say."""
    members: list[Member]
    spans: list[Span] = []
    """From where the layer can be read on."""
    parts: dict[int, list[Part]] = {}
    """Where contents are, by the offsets of their members: of a layer that has a table of contents and was not read."""


class Catcher:
    """Catches the contents of members while a layer is read.

    Args:
        wants: says of each member whether its content is wanted, and then where it goes.
    """

    def __init__(self, wants: Callable[[Member], Callable[[memoryview], object] | None]) -> None:
        self._wants = wants
        self._write: Callable[[memoryview], object] | None = None

    def begin(self, member: Member) -> bool:
        """Look at a member."""
        self._write = self._wants(member)
        return self._write is not None

    def content(self, piece: memoryview) -> None:
        """Take content of the member."""
        if self._write is not None:
            self._write(piece)


class Remembered:
    """What was read before: the indexes of layers, and manifests and configs.

    Args:
        folder: where it is kept for later; None for nowhere.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._known: dict[str, LayerIndex] = {}
        self._shelf = Shelf(folder, _MOST)

    def document(self, digest: Digest) -> bytes | None:
        """A manifest or a config by its digest; None for one that is not remembered."""
        raw = self._shelf.get(_name(digest))
        return raw if raw is not None and Digest.of(raw, digest.algorithm) == digest else None

    def keep_document(self, digest: Digest, raw: bytes) -> None:
        """Remember a manifest or a config.

        Args:
            digest: its digest.
            raw: its bytes.
        """
        self._shelf.put(_name(digest), raw)

    def fingerprints(self, diff_id: Digest) -> dict[int, bytes]:
        """What was found out about the contents of a layer's files: by their offsets in its archive."""
        packed = self._shelf.get(f"{_name(diff_id)}{_CONTENTS}")
        try:
            return msgspec.msgpack.decode(packed, type=dict[int, bytes]) if packed is not None else {}
        except msgspec.MsgspecError:
            return {}

    def keep_fingerprints(self, diff_id: Digest, found: Mapping[int, bytes]) -> None:
        """Remember what was found out about the contents of a layer's files.

        Args:
            diff_id: the digest of the layer without compression.
            found: by their offsets in its archive.
        """
        self._shelf.put(f"{_name(diff_id)}{_CONTENTS}", msgspec.msgpack.encode(found))

    async def known(self, content: LayerContent) -> LayerIndex | None:
        """The index of a layer that was read before; None for another.

        Raises:
            DigestMismatch: it has another diff ID than it should have.
        """
        digest = content.descriptor.digest
        index = self._known.get(digest) or await in_thread(self._load, digest, f"{_name(digest)}{_VERSION}")
        expected = diff_id_of(content)
        if index is None or (expected is not None and index.diff_id.partition(":")[0] != expected.algorithm):
            return None
        if expected is not None and index.diff_id != expected:
            raise DigestMismatch(
                f"{content.what} is not what the config says",
                cause=f"its diff ID is {index.diff_id}, and the config says {expected}",
                code="wrong-diff-id",
            )
        self._keep(index)
        return index

    async def get(
        self,
        content: LayerContent,
        *,
        catcher: Catcher | None = None,
        keep: BinaryIO | None = None,
        limits: LayerLimits = LIMITS,
    ) -> LayerIndex:
        """The index of a layer, which is read where that was not done before.

        Args:
            content: the layer.
            catcher: gets contents, if the layer has to be read.
            keep: a file that gets the layer without compression, if it has to be read.
            limits: how much the layer may be.
        """
        known = await self.known(content)
        if known is not None:
            return known
        members: list[Member] = []

        def on_member(member: Member) -> bool:
            members.append(member)
            return catcher is not None and catcher.begin(member)

        on_content = catcher.content if catcher is not None else None
        read = await read_layer(content, on_member, on_content=on_content, keep=keep, limits=limits)
        index = LayerIndex(
            digest=str(content.descriptor.digest),
            diff_id=str(read.diff_id),
            size=read.size,
            compression=read.compression,
            members=members,
            spans=read.spans,
        )
        self._keep(index)
        await in_thread(self._save, index, f"{_name(content.descriptor.digest)}{_VERSION}")
        return index

    async def table(self, content: LayerContent) -> LayerIndex | None:
        """What a layer says is in it, without reading all of it; None where it does not say it, or not reliably.

        Args:
            content: the layer.
        """
        if not has_table(content):
            return None
        # Who says which table is the right one is the descriptor: the same blob may have another elsewhere.
        said = sorted(f"{key}={value}" for key, value in content.descriptor.annotations.items())
        name = f"{_name(content.descriptor.digest)}-{Digest.of(repr(said).encode()).hex}{_TABLE}"
        known = await in_thread(self._load, content.descriptor.digest, name)
        if known is not None:
            return known
        table = await read_table(content)
        if table is None:
            return None
        index = LayerIndex(
            digest=str(content.descriptor.digest),
            diff_id="",
            size=0,
            compression="",
            members=table.members,
            parts=table.parts,
        )
        await in_thread(self._save, index, name)
        return index

    def _load(self, digest: Digest, name: str) -> LayerIndex | None:
        packed = self._shelf.get(name)
        try:
            index = msgspec.msgpack.decode(zlib.decompress(packed), type=LayerIndex) if packed is not None else None
        except (zlib.error, msgspec.MsgspecError):
            return None
        return index if index is not None and index.digest == digest else None

    def _save(self, index: LayerIndex, name: str) -> None:
        # Names that are no UTF-8 have no place in the format.
        with suppress(UnicodeEncodeError):
            packed = zlib.compress(msgspec.msgpack.encode(index), 1)
            self._shelf.put(name, packed)

    def _keep(self, index: LayerIndex) -> None:
        self._known[index.digest] = index
        while len(self._known) > 1 and sum(len(kept.members) for kept in self._known.values()) > _KEPT:
            del self._known[next(iter(self._known))]


def _name(digest: Digest) -> str:
    return digest.replace(":", "-")
