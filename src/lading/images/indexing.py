"""What layers hold, each read once: a client keeps the entries of layers that it has read.

This module knows blobs of layers and their entries, and nothing of images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import msgspec

from lading.errors import DigestMismatch
from lading.images.layers import LIMITS, LayerContent, LayerLimits, beyond, diff_id_of, read_layer
from lading.io.tar_stream import Member

_KEPT = 500_000
"""How many entries are kept, of all layers together."""


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


class LayerIndexes:
    """The indexes of layers that were read."""

    def __init__(self) -> None:
        self._known: dict[str, LayerIndex] = {}

    def known(self, content: LayerContent) -> LayerIndex | None:
        """The index of a layer that was read before; None for another.

        Raises:
            DigestMismatch: it has another diff ID than it should have.
        """
        index = self._known.get(content.descriptor.digest)
        expected = diff_id_of(content)
        if index is None or (expected is not None and index.diff_id.partition(":")[0] != expected.algorithm):
            return None
        if expected is not None and index.diff_id != expected:
            raise DigestMismatch(
                f"{content.what} is not what the config says",
                cause=f"its diff ID is {index.diff_id}, and the config says {expected}",
                code="wrong-diff-id",
            )
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
            keep: a file that gets a copy of the blob, if it has to be read.
            limits: how much the layer may be.
        """
        known = self.known(content)
        if known is not None:
            return known
        members: list[Member] = []

        def on_member(member: Member) -> bool:
            if len(members) == limits.entries:
                raise beyond(content.what, f"it has more than {limits.entries} entries")
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
        )
        self._keep(index)
        return index

    def _keep(self, index: LayerIndex) -> None:
        self._known[index.digest] = index
        while len(self._known) > 1 and sum(len(kept.members) for kept in self._known.values()) > _KEPT:
            del self._known[next(iter(self._known))]
