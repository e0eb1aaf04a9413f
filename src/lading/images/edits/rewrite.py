"""A layer written anew with some of its members changed, in one verified pass; everything else stays byte for byte.

This module knows one layer at a time, and neither images nor why a member is changed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO, Self

import msgspec

from lading.errors import Conflict
from lading.images.edits.layer_file import LayerFile, WrittenLayer
from lading.images.files.filesystem import below_root
from lading.images.files.layers import LayerContent, beyond, read_layer
from lading.io import scratch
from lading.io.tar_headers import Headers
from lading.io.tar_stream import BLOCK, Member
from lading.io.threads import heed, in_thread
from lading.model.digest import Digest
from lading.model.media_types import LayerCompression
from lading.model.text import excerpt
from lading.stores.overlay import Overlay

_HEADERS = 16 * 1024 * 1024
"""How large the headers of one member may be together, in bytes."""
_CHUNK = 1024 * 1024
_END = bytes(2 * BLOCK)


class Entry:
    """A member of a layer while the layer is rewritten.

    Attributes:
        member: what its headers say.
        path: where it is, without a leading slash; of a name that leads out of the root the name itself.
        headers: its headers, which can be changed.
        is_dropped: whether it is left out.
        content: what its content is replaced with, also a file; None keeps it.
    """

    __slots__ = ("content", "headers", "is_dropped", "member", "path")

    def __init__(self, member: Member, raw: bytes) -> None:
        self.member: Member = member
        self.path: str = path_of(member.name)
        self.headers: Headers = Headers(raw)
        self.is_dropped: bool = False
        self.content: bytes | BinaryIO | None = None


Change = Callable[[Entry], None]
"""What is done to each member: it may change the headers, give other content, or leave the member out."""


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a layer."""

    layer: WrittenLayer
    entries: int
    """How many members it has now."""
    dropped: int
    """How many were left out."""


def path_of(name: str) -> str:
    """The path of a member: `./a/` is `a`, and the root is the empty text."""
    parts = below_root(name)
    return name if parts is None else "/".join(parts)


async def rewritten(
    overlay: Overlay,
    content: LayerContent,
    change: Change,
    compression: LayerCompression,
    *,
    level: int | None = None,
    is_gone: Callable[[str], bool] | None = None,
    begin: bytes | None = None,
) -> Rewritten | None:
    """Write a layer anew.

    A file that is left out, and that hard links of the same layer lead to, moves to the first of these names.

    Args:
        overlay: gets the new blob.
        content: the layer as it is.
        change: what is done to each of its members; called in a thread, in the order of the archive.
        compression: of the new blob.
        level: of the compression; None for what is usual.
        is_gone: says of a path whether it is left out of every layer: a hard link of this one to it is refused then.
        begin: members that come first; then the layer is changed in any case, and ends after two blocks of zeros.

    Returns:
        The new layer; None where no member was changed, so that the layer stays as it is.

    Raises:
        DigestMismatch: the layer is not what its descriptor says, or has another diff ID.
        InvalidContent: it is damaged, no tar archive that engines take, or too large.
        Conflict: a hard link of another layer leads to what is left out.
    """
    algorithm = content.descriptor.digest.algorithm
    diff = Digest(content.diff_id).algorithm if content.diff_id is not None else "sha256"
    file = LayerFile(overlay, compression, level, algorithm=algorithm, diff_algorithm=diff)
    with file, Rewriter(content.what, change, file, is_gone, begin) as rewriter:
        await read_layer(content, rewriter.member, on_plain=rewriter.plain)
        await in_thread(rewriter.finish)
        if not rewriter.is_changed:
            return None
        written = await in_thread(file.finish)
    return Rewritten(layer=written, entries=rewriter.entries, dropped=rewriter.dropped)


async def recompressed(
    overlay: Overlay, content: LayerContent, compression: LayerCompression, *, level: int | None = None
) -> WrittenLayer:
    """Compress a layer in another way; its diff ID stays.

    Args:
        overlay: gets the new blob.
        content: the layer as it is.
        compression: of the new blob.
        level: of the compression; None for what is usual.

    Raises:
        DigestMismatch: the layer is not what its descriptor says, or has another diff ID.
        InvalidContent: it is damaged, no tar archive that engines take, or too large.
    """
    diff = Digest(content.diff_id).algorithm if content.diff_id is not None else "sha256"
    algorithm = content.descriptor.digest.algorithm
    with LayerFile(overlay, compression, level, algorithm=algorithm, diff_algorithm=diff) as file:
        await read_layer(content, lambda _: False, on_plain=file.write)
        return await in_thread(file.finish)


class Rewriter:
    """Takes an archive apart and puts it together again.

    What has come of the archive and is not written yet is held: the headers of a member until it is known what becomes
    of it, and no content.

    Args:
        what: what the archive is called in messages.
        change: what is done to each of its members.
        file: gets the new archive.
        is_gone: see `rewritten`.
        begin: likewise.
    """

    def __init__(
        self,
        what: str,
        change: Change,
        file: LayerFile | BinaryIO,
        is_gone: Callable[[str], bool] | None = None,
        begin: bytes | None = None,
    ) -> None:
        self.entries: int = 0
        """How many members it has now."""
        self.dropped: int = 0
        """How many were left out."""
        self.is_changed: bool = begin is not None
        """Whether anything is another than it was."""
        self._has_own_end = begin is not None
        self._what = what
        self._change = change
        self._is_gone = is_gone
        self._write = file.write
        if begin:
            self._write(begin)
        self._held = bytearray()
        self._at = 0
        """Where in the archive that begins which is held."""
        self._until = 0
        """Where in the archive the member ends that was looked at last, with its padding."""
        self._take: Callable[[bytes], object] = self._write
        """What gets the content of that member."""
        self._is_behind = False
        self._spool: BinaryIO | None = None
        self._dropped: dict[str, _Dropped] = {}
        self._moved: dict[str, str] = {}
        """Of files that were left out, the names that they have now."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was put aside."""
        if self._spool is not None:
            self._spool.close()

    def plain(self, piece: bytes) -> None:
        """Take the next bytes of the archive, before they are read."""
        self._advance()
        self._held += piece

    def member(self, member: Member) -> bool:
        """Look at a member whose headers have been read."""
        self._advance()
        raw = bytes(self._held[: member.offset - self._at])
        del self._held[: len(raw)]
        self._at = member.offset
        self._until = member.offset + member.stored + -member.stored % BLOCK
        entry = Entry(member, raw)
        self._change(entry)
        if entry.is_dropped:
            self._drop(entry, raw)
        elif entry.content is not None:
            self._replace(entry, entry.content)
        else:
            self._keep(entry)
        return False

    def finish(self) -> None:
        """Write what follows the last member."""
        self._advance()
        if self._has_own_end:
            # The end of an archive may be cut in the last padding.
            self._take(bytes(max(0, self._until - self._at)))
            self._write(_END)
        else:
            self._write(self._held)
        self._held.clear()

    def _advance(self) -> None:
        """Bring what is held of the content of the last member, and of what follows the last one of all."""
        if self._at < self._until and self._held:
            taken = bytes(self._held[: self._until - self._at])
            del self._held[: len(taken)]
            self._at += len(taken)
            self._take(taken)
        if self._at < self._until or not self._held:
            return
        self._is_behind = self._is_behind or (len(self._held) >= BLOCK and not any(self._held[:BLOCK]))
        if self._is_behind:
            if not self._has_own_end:
                self._write(self._held)
            self._at += len(self._held)
            self._held.clear()
        elif len(self._held) > _HEADERS:
            raise beyond(self._what, f"the headers of one of its members have more than {_HEADERS} bytes")

    def _keep(self, entry: Entry) -> None:
        self.entries += 1
        self._take = self._write
        if entry.member.type == "1" and not self._has_own_end:
            said = path_of(entry.member.link)
            target = self._target(said)
            dropped = self._dropped.get(target)
            if dropped is not None and dropped.member is not None and target not in self._moved:
                self._move(entry, target, dropped, dropped.member)
                return
            target = self._moved.get(target, target)
            if target != said:
                entry.headers.link_to(target)
            elif self._is_gone is not None and self._is_gone(target):
                raise _dangling(self._what, entry.path, target)
        self.is_changed = self.is_changed or entry.headers.is_changed
        self._write(bytes(entry.headers))

    def _drop(self, entry: Entry, raw: bytes) -> None:
        """Leave a member out; what other names may lead to is put aside."""
        self.is_changed = True
        self.dropped += 1
        member = entry.member
        if member.type == "5":
            self._take = _nowhere
            return
        if member.type == "1":
            target = self._target(path_of(member.link))
            if target != entry.path:
                self._dropped[entry.path] = _Dropped(link=target)
            self._take = _nowhere
            return
        if self._spool is None:
            self._spool = scratch.file()
        spool = self._spool
        start = spool.seek(0, 2)
        spool.write(raw)
        length = len(raw) + self._until - member.offset
        self._dropped[entry.path] = _Dropped(member=member, start=start, headers=len(raw), length=length)
        self._take = spool.write

    def _target(self, path: str) -> str:
        """What a hard link leads to: not to another one that was left out, but to what that leads to."""
        dropped = self._dropped.get(path)
        return dropped.link if dropped is not None and dropped.link is not None else path

    def _move(self, entry: Entry, target: str, dropped: _Dropped, member: Member) -> None:
        """Write a file that was left out under the name of a hard link that leads to it."""
        spool = self._spool
        assert spool is not None
        spool.seek(dropped.start)
        headers = Headers(spool.read(dropped.headers))
        headers.rename(entry.member.name)
        headers.describe(entry.member, {**member.xattrs, **entry.member.xattrs})
        self._write(bytes(headers))
        left = dropped.length - dropped.headers
        while left:
            heed()
            piece = spool.read(min(left, _CHUNK))
            # The end of an archive may be cut in the last padding.
            self._write(piece or bytes(left))
            left -= len(piece) or left
        self._moved[target] = path_of(entry.member.name)

    def _replace(self, entry: Entry, content: bytes | BinaryIO) -> None:
        self.entries += 1
        self.is_changed = True
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        entry.headers.set_size(size)
        self._write(bytes(entry.headers))
        while piece := file.read(_CHUNK):
            heed()
            self._write(piece)
        self._write(bytes(-size % BLOCK))
        self._take = _nowhere


class _Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A member that was left out: a hard link, or what is in the spool."""

    link: str | None = None
    member: Member | None = None
    start: int = 0
    headers: int = 0
    length: int = 0


def _nowhere(_: bytes) -> None:
    pass


def _dangling(what: str, path: str, target: str) -> Conflict:
    return Conflict(
        f"{excerpt(target)} cannot be left out",
        cause=f"{excerpt(path)} in {what} is a hard link to it",
        remedy=f"leave {excerpt(path)} out as well",
        code="hard-link-left",
        fields={"path": path, "target": target},
    )
