"""New layers for images, made of tar archives and of files on disk; each is checked before anybody has it.

This module knows overlays, which new layers are kept in, and nothing of the images that get them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from lading.errors import InvalidContent, UsageError
from lading.images.edits.layer_file import LayerFile, WrittenLayer
from lading.images.edits.layer_work import check_level
from lading.images.files.filesystem import WHITEOUT, Filesystem, below_root
from lading.images.files.layers import LIMITS, LayerContent, beyond, read_layer
from lading.io.folder_tar import PACKING, Packed, Packing, pack_file, pack_folder
from lading.io.scratch import keeping
from lading.io.sources import Source, from_file, open_file
from lading.io.tar_stream import Member
from lading.io.tar_writer import TarWriter
from lading.io.tarball import SNIFFED, decompressed, reading, sniff
from lading.io.threads import in_thread, reader
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import LayerCompression
from lading.model.text import excerpt
from lading.stores.overlay import Overlay
from lading.transfer.events import OnEvent, PackingMeter

STREAM = "-"
"""The path that stands for standard input."""
_LINKS = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})
"""Directories at the top that are links in the images of most distributions."""
_MADE_HERE = " # lading"
"""What is behind an instruction that no build was made of, as BuildKit does it."""


class NewLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that can be put on any number of images, while what it was made for is open."""

    descriptor: Descriptor
    """Of its blob; the media type depends on the image."""
    diff_id: Digest
    """Of the archive without compression."""
    compression: LayerCompression
    level: int | None = None
    """Of the compression, where it was chosen."""
    source: Source
    """Its blob."""
    created_by: str
    """What the history says of it, in the words of a Dockerfile."""
    created: int
    """When it was made, as the history says, in seconds since the epoch."""
    name: str = "the new layer"
    """What it is called in messages."""
    top: tuple[str, ...] = ()
    """What is at the root of an archive, which says itself where its files are."""
    replaces: tuple[str, ...] = ()
    """Directories in it that are symbolic links in most images, which engines may replace with them."""
    notes: tuple[str, ...] = ()
    """What a user should know of it: a sentence each."""


class LayerFrom(msgspec.Struct, frozen=True, kw_only=True):
    """What a new layer is made of."""

    path: str
    """A tar archive; a directory; with `place` any file; or `-`, an archive from standard input."""
    place: str | None = None
    """The absolute path in the image that a file or what is in a directory gets; None for an archive, which says it
    itself, and for `/`. A file whose place ends in a slash keeps its name."""
    packing: Packing = PACKING
    """What is kept of files on disk."""
    compression: LayerCompression = "gzip"
    """Of the layer, unless it is an archive with gzip or zstd already."""
    level: int | None = None
    """Of the compression: gzip from 1 to 9, zstd from 1 to 22; None for the usual one."""
    created_by: str | None = None
    """What the history says of it; None for how it would be made in a Dockerfile."""
    created: int = 0
    """When it was made, as the history says, in seconds since the epoch."""

    def __post_init__(self) -> None:
        """Refuse a level that there is not."""
        check_level(self.compression, self.level)


async def new_layer(overlay: Overlay, made_of: LayerFrom, on_event: OnEvent | None = None) -> NewLayer:
    """Make a layer; it has to be used while the overlay is open.

    Args:
        overlay: gets the blob; an archive on disk that has gzip or zstd already is read where it is.
        made_of: what the layer is made of.
        on_event: called with how far it is (`PackingProgressed`).

    Raises:
        NotFound: there is no such file.
        UsageError: a file that is no archive needs a place in the image; or a place is none.
        InvalidContent: the archive is damaged, or has what container engines refuse; code `malformed-layer`.
        Conflict: a file was changed while it was read; code `file-changed`.
    """
    meter = PackingMeter(on_event, made_of.path)
    made = await _new_layer(overlay, made_of, meter)
    meter.over()
    return made


async def _new_layer(overlay: Overlay, made_of: LayerFrom, meter: PackingMeter) -> NewLayer:
    if made_of.path == STREAM and made_of.place is None:
        with reader(sys.stdin.fileno()) as file:
            return await _of_archive(overlay, made_of, _Stream(file, meter), "standard input", None)
    if made_of.place is not None or await in_thread(os.path.isdir, made_of.path):
        return await _of_files(overlay, made_of, meter)
    with await in_thread(open_file, Path(made_of.path)) as file:
        status = os.fstat(file.fileno())
        is_regular = stat.S_ISREG(status.st_mode)
        meter.size = status.st_size if is_regular else None
        stream = _Stream(file if is_regular else reader(file.fileno()), meter)
        return await _of_archive(overlay, made_of, stream, made_of.path, Path(made_of.path) if is_regular else None)


# Archives


async def _of_archive(overlay: Overlay, made_of: LayerFrom, stream: _Stream, what: str, path: Path | None) -> NewLayer:
    """A layer of an archive, which is read once.

    Args:
        overlay: gets the blob.
        made_of: what the layer is made of.
        stream: the archive, at its beginning.
        what: what it is called in messages.
        path: where it can be read again; None for a stream.
    """
    found = sniff(await in_thread(stream.peek))
    members: list[Member] = []
    as_it_is = found in ("gzip", "zstd")
    try:
        if as_it_is:
            written = await _kept(overlay, stream, what, path, members)
        else:
            written = await _packed(overlay, made_of, stream, what, members)
    except InvalidContent as error:
        if members or error.code != "malformed-layer":
            raise
        raise _no_archive(what, error.cause) from None
    files = await in_thread(_checked, what, members)
    notes = [f"{what}: {warning.removeprefix('layer 1: ')}" for warning in files.warnings]
    if not as_it_is and found != "none":
        notes.append(f"{what} has the compression {found}, which layers cannot have: it was compressed anew")
    if not members:
        notes.append(f"{what} is a tar archive with nothing in it")
    name = _said(os.path.basename(what)) if made_of.path != STREAM else str(written.diff_id)  # noqa: PTH119
    top = files.root.children or {}
    folders = {name for name, node in top.items() if node.children is not None}
    return msgspec.structs.replace(
        written,
        level=made_of.level,
        name=what,
        created=made_of.created,
        created_by=made_of.created_by or f"ADD {name} /{_MADE_HERE}",
        top=tuple(sorted(top)),
        replaces=tuple(sorted(folders & _LINKS)),
        notes=tuple(notes),
    )


async def _kept(overlay: Overlay, stream: _Stream, what: str, path: Path | None, members: list[Member]) -> NewLayer:
    """An archive that is compressed as layers are: its bytes stay as they are."""
    there = path
    with ExitStack() as stack:
        if there is None:
            with keeping(overlay.name):
                there = overlay.folder / uuid.uuid4().hex
                stream.copy = stack.enter_context(there.open("xb"))
            stack.callback(there.unlink, missing_ok=True)
        read = await read_layer(_content(overlay, stream, what), _into(members))
        if not read.size:
            raise _no_archive(what, "it is empty")
        if stream.copy is not None:
            with keeping(overlay.name):
                await in_thread(stream.copy.flush)
            stack.pop_all()
            stream.copy.close()
    content = Descriptor(media_type="", digest=Digest(f"sha256:{stream.hash.hexdigest()}"), size=stream.size)
    compression: LayerCompression = "zstd" if read.compression == "zstd" else "gzip"
    return _made(WrittenLayer(content=content, diff_id=read.diff_id, compression=compression), from_file(there))


async def _packed(overlay: Overlay, made_of: LayerFrom, stream: _Stream, what: str, members: list[Member]) -> NewLayer:
    """An archive that is plain, or compressed as no layer is: it is compressed on the way."""
    produced = 0

    with (
        reading(what),
        decompressed(cast("BinaryIO", stream)) as (plain, _),
        LayerFile(overlay, made_of.compression, made_of.level) as file,
    ):

        def write(piece: bytes) -> None:
            nonlocal produced
            produced += len(piece)
            if produced > LIMITS.allowance + LIMITS.ratio * stream.size:
                raise beyond(what, f"it is more than {LIMITS.ratio} times as large without compression")
            file.write(piece)

        await read_layer(_content(overlay, plain, what), _into(members), on_plain=write)
        if not produced:
            raise _no_archive(what, "it is empty")
        written = await in_thread(file.finish)
    return _made(written, overlay.source(written.content))


def _made(written: WrittenLayer, source: Source) -> NewLayer:
    return NewLayer(
        descriptor=written.content,
        diff_id=written.diff_id,
        compression=written.compression,
        source=source,
        created_by="",
        created=0,
    )


def _no_archive(what: str, cause: str | None) -> InvalidContent:
    return InvalidContent(
        f"{what} is no tar archive",
        cause=cause,
        remedy="to put the file itself into the image, give it a place there",
        code="no-archive",
        fields={"file": what},
    )


def _content(overlay: Overlay, file: Any, what: str) -> LayerContent:
    """What is read as a layer, of which neither digest nor size are known."""
    unknown = Descriptor(media_type="", digest=Digest.of(b""), size=0)
    return LayerContent(store=overlay, descriptor=unknown, what=what, kept=file)


def _into(members: list[Member]) -> Callable[[Member], bool]:
    def keep(member: Member) -> bool:
        members.append(member)
        return False

    return keep


def _checked(what: str, members: list[Member]) -> Filesystem:
    """What an archive makes on its own.

    Raises:
        InvalidContent: engines refuse it.
    """
    files = Filesystem(what)
    try:
        files.apply(0, members)
    except InvalidContent as error:
        cause = (error.cause or "").removeprefix("layer 1, ")
        raise InvalidContent(
            f"{what} is no layer that engines take", cause=cause, code=error.code, fields={**error.fields, "file": what}
        ) from None
    return files


class _Stream:
    """An archive as it is read: its digest is computed, and a copy written where one is wanted."""

    def __init__(self, file: BinaryIO, meter: PackingMeter) -> None:
        self._meter = meter
        self.hash = hashlib.sha256()
        self.size = 0
        self.copy: BinaryIO | None = None
        self._file = file
        self._head = b""

    def peek(self) -> bytes:
        """The first bytes, which will be read again."""
        self._head = self._file.read(SNIFFED)
        return self._head

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end."""
        head, self._head = self._head[:size], self._head[size:]
        data = head + self._file.read(size - len(head))
        self.hash.update(data)
        self.size += len(data)
        self._meter.read(len(data))
        if self.copy is not None:
            with keeping("the new layer"):
                self.copy.write(data)
        return data


# Files on disk


async def _of_files(overlay: Overlay, made_of: LayerFrom, meter: PackingMeter) -> NewLayer:
    """A layer of a directory, or of one file."""
    if made_of.path == STREAM:
        raise UsageError("standard input cannot have a place in the image", remedy="give an archive there, or a file")
    is_folder = await in_thread(os.path.isdir, made_of.path)
    if not is_folder:
        with suppress(OSError):
            meter.size = (await in_thread(os.stat, made_of.path)).st_size
    place = "/".join(_place(made_of))
    if not is_folder and (not place or (made_of.place or "").endswith("/")):
        place = f"{place}/{os.path.basename(made_of.path)}".lstrip("/")  # noqa: PTH119

    def work() -> tuple[WrittenLayer, Packed]:
        with LayerFile(overlay, made_of.compression, made_of.level) as file:
            tar = _LayerWriter(cast("BinaryIO", file), meter)
            packed = (pack_folder if is_folder else pack_file)(made_of.path, tar, place, made_of.packing)
            tar.close()
            return file.finish(), packed

    written, packed = await in_thread(work)
    name = _said(os.path.basename(os.path.abspath(made_of.path)))  # noqa: PTH100, PTH119
    return msgspec.structs.replace(
        _made(written, overlay.source(written.content)),
        level=made_of.level,
        name=made_of.path,
        created=made_of.created,
        created_by=made_of.created_by or f"COPY {name} /{_said(place)}{_MADE_HERE}",
        replaces=tuple(sorted(packed.top & _LINKS)),
        notes=tuple(_notes(made_of.path, packed)),
    )


class _LayerWriter(TarWriter):
    """An archive that becomes a layer, where some names have a meaning (image-spec layer §Whiteouts).

    Args:
        file: gets the archive.
        meter: is told of the contents of files.
    """

    def __init__(self, file: BinaryIO, meter: PackingMeter) -> None:
        super().__init__(file)
        self._meter = meter

    def write(self, piece: bytes | memoryview) -> None:
        """Write the next bytes of the member that was begun."""
        super().write(piece)
        self._meter.read(len(piece))

    def begin(self, member: Member) -> None:
        """Begin a member; refuse one that would be taken for a whiteout, or that no engine could unpack."""
        parts = member.name.removesuffix("/").split("/")
        cause = None
        if any(part.startswith(WHITEOUT) for part in parts):
            cause = "its name says in a layer that something else is deleted"
        elif len(member.name.encode("utf-8", "surrogateescape")) > LIMITS.path:
            cause = f"its path is longer than {LIMITS.path} bytes"
        if cause is not None:
            raise InvalidContent(f"{excerpt(member.name)} cannot be in a layer", cause=cause, code="malformed-layer")
        super().begin(member)


def _place(made_of: LayerFrom) -> list[str]:
    """The path in the image, part by part.

    Raises:
        UsageError: it is none.
    """
    if made_of.place is None:
        return []
    parts = below_root(made_of.place)
    if parts is None or not made_of.place.startswith("/") or "\0" in made_of.place:
        raise UsageError(f"{made_of.place!r} is no absolute path in an image")
    return parts


def _said(name: str) -> str:
    """A name as a history can have it: of one line, and of Unicode."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _notes(what: str, packed: Packed) -> Iterator[str]:
    if not packed.entries:
        yield f"{what} has nothing in it that goes into the layer"
    for paths, text in (
        (packed.sockets, "left out: no layer can have sockets"),
        (packed.privileged, "setuid or setgid, and stay so"),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            yield f"{what}: {excerpt(paths[0])}{more} {'are' if more else 'is'} {text}"
