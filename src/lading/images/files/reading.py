"""Files of an image, as they are asked for: which layers that takes, and where their contents come from.

This module puts layers and the file system together. It reads a layer no more often than it must: what is found in the
layers at the top is not looked for below, and the blobs of a store that is far away are kept until the work is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import BinaryIO, Self

import msgspec

from lading.errors import DigestMismatch, LadingError, NotFound
from lading.images.files.delivery import Delivery, MakeSink, Sink, Wanted, spread
from lading.images.files.entries import FileEntry, entries_of, entry_of, is_glob, matching
from lading.images.files.filesystem import Filesystem, Node, not_there
from lading.images.files.indexing import Catcher, LayerIndex, Remembered
from lading.images.files.layers import Layer, LayerContent, read_layer
from lading.images.files.search import Found, Search
from lading.images.files.toc import read_parts
from lading.io import scratch
from lading.io.spans import are_intact, range_of
from lading.io.tar_stream import Member
from lading.io.tasks import Limits, gather
from lading.io.threads import heed, in_thread
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.platform import Platform
from lading.store import Readable, read_part

_AT_ONCE = 3
"""How many layers are read at once: each has a thread at work, and a few megabytes."""
_CHUNK = 1024 * 1024
_SMALL = 4 * _CHUNK
"""How large a layer is, in bytes, that is kept in case that something else of it is asked for; parts of larger ones are
read again."""
_SPANS = 4
"""How many spans of a layer are asked for at once: a few megabytes."""
_MOST_OF_LAYER = 0.5
"""Where more of a layer is needed, all of it is read."""


class Files(Result, msgspec.Struct, frozen=True, kw_only=True):
    """Files of an image."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    platform: Platform | None
    entries: tuple[FileEntry, ...]
    """Sorted by path."""
    warnings: tuple[str, ...] = ()
    """What container engines do not agree on, or do not keep."""


class Reading:
    """Reads files of one image; use it as an asynchronous context manager, which keeps blobs that were brought.

    Args:
        store: what it is in.
        layers: its layers, from the lowest up.
        remembered: what was read before.
        name: what it is called in messages.
        digest: of its manifest.
        platform: what it is for.
    """

    def __init__(
        self,
        store: Readable,
        layers: Sequence[Layer],
        remembered: Remembered,
        *,
        name: str,
        digest: Digest,
        platform: Platform | None,
    ) -> None:
        self.name: str = name
        self.digest: Digest = digest
        self._store = store
        self.layers: Sequence[Layer] = layers
        self.platform: Platform | None = platform
        self._remembered = remembered
        self._resources = AsyncExitStack()
        self._kept: dict[Digest, BinaryIO] = {}
        self._locks: dict[Digest, asyncio.Lock] = {}
        self._tables: dict[int, LayerIndex] = {}
        self._limits = Limits(jobs=_AT_ONCE)

    async def __aenter__(self) -> Self:
        """Nothing is read yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove what was kept."""
        await self._resources.aclose()

    async def files(self, path: str, *, recursive: bool, directory: bool, layer: int | str | None) -> Files:
        """See `Image.files`."""
        if layer is None and not recursive and not is_glob(path):
            found = await self._search(path)
            if found is not None:
                return self._result(entries_of([(found.path, found.node)], self._digests), ())
        files = await self.filesystem(layer)
        chosen = _chosen(files, path, self.name, recursive=recursive, directory=directory)
        return self._result(await in_thread(lambda: list(entries_of(chosen, self._digests))), files.warnings)

    async def extract(self, path: str, file: BinaryIO, layer: int | str | None) -> FileEntry:
        """See `Image.extract`."""
        spool = self._resources.enter_context(scratch.file())
        caught: dict[tuple[int, int], int] = {}
        found = await self._search(path, spool=spool, caught=caught) if layer is None else None
        if found is None:
            found = Found(*(await self.filesystem(layer)).find(path))
        member = found.node.inode.member
        if member.type != "0":
            raise _no_file(self.name, path, member)
        number = found.node.inode.layer
        place = caught.get((number, member.offset))
        if place is None:
            # It is given out when all of the layer was verified.
            start = await in_thread(spool.seek, 0, 2)
            sink = Sink(spool.write, hole=lambda _: None)
            await self.contents({number: {member.offset: (found.path, found.node.inode)}}, lambda _path, _inode: sink)
            place = start
        await in_thread(_copied, spool, place, member, file)
        return entry_of(found.path, found.node, self._digests)

    async def filesystem(self, layer: int | str | None = None, *, keep: bool = False) -> Filesystem:
        """The merged file system.

        Args:
            layer: one layer alone, as it is in its archive; see `Image.files`.
            keep: whether layers that have to be read are kept without compression, since contents will be asked for.
        """
        layers = self.layers if layer is None else (find_layer(self.layers, layer, self.name),)
        indexes = await gather(self.index(one, keep=keep, tables=not keep) for one in layers)
        files = Filesystem(self.name)

        def merge() -> None:
            for one, index in zip(layers, indexes, strict=True):
                apply = files.apply if layer is None else files.lay
                apply(one.number - 1, _heeding(index.members))

        await in_thread(merge)
        return files

    async def index(
        self, layer: Layer, *, catcher: Catcher | None = None, keep: bool = False, tables: bool = False
    ) -> LayerIndex:
        """The entries of a layer.

        Args:
            layer: the layer.
            catcher: gets contents, if the layer has to be read.
            keep: whether the layer is kept without compression, if it has to be read.
            tables: whether a table of contents will do, where the layer has one.
        """
        content = self._content(layer)
        known = await self._remembered.known(content)
        if known is None and tables:
            known = await self._remembered.table(content)
            if known is not None:
                self._tables[layer.number - 1] = known
        if known is not None:
            return known
        # An image may have a layer more than once, which is read once.
        async with self._locks.setdefault(layer.digest, asyncio.Lock()), self._limits.place(0):
            known = await self._remembered.known(content)
            if known is not None:
                return known
            file = self._resources.enter_context(scratch.file()) if keep else None
            index = await self._remembered.get(content, catcher=catcher, keep=file)
            if file is not None:
                self._kept[layer.digest] = file
        return index

    async def contents(self, wanted: Mapping[int, Wanted], sink: MakeSink) -> None:
        """Read contents of files, each layer once, in the order of its archive.

        Args:
            wanted: for the numbers of layers, from 0, what is wanted of them.
            sink: says where a content goes; called when it begins.
        """
        if len(wanted) > 1:
            # All but what is needed only in part is brought at once.
            await gather(self._keep_whole(self.layers[number], one) for number, one in wanted.items())
        for number, one in sorted(wanted.items()):
            await self._contents_of(self.layers[number], Delivery(one, sink), one)

    async def _keep_whole(self, layer: Layer, wanted: Wanted) -> None:
        """Keep a layer without compression, where most of it is wanted."""
        content = self._content(layer)
        async with self._locks.setdefault(layer.digest, asyncio.Lock()), self._limits.place(0):
            if layer.digest in self._kept or layer.number - 1 in self._tables:
                return
            index = await self._remembered.known(content)
            if index is not None and _ranges(index, content.descriptor.size, wanted) is not None:
                return
            file = self._resources.enter_context(scratch.file())
            await read_layer(content, lambda _: False, keep=file)
            self._kept[layer.digest] = file

    async def _contents_of(self, layer: Layer, delivery: Delivery, wanted: Wanted) -> None:
        content, kept = self._content(layer), self._kept.get(layer.digest)
        table = self._tables.get(layer.number - 1)
        if table is not None:
            for _, (_, inode) in sorted(wanted.items(), reverse=True):
                delivery.begin(inode.member)
                await read_parts(content, table.parts.get(inode.member.offset, []), delivery.content)
                await in_thread(delivery.end)
            return
        if kept is not None:
            await in_thread(delivery.kept, kept)
            return
        if await self._parts_of(content, delivery, wanted):
            return
        await read_layer(content, delivery.begin, on_content=delivery.content, on_end=delivery.end)

    async def _parts_of(self, content: LayerContent, delivery: Delivery, wanted: Wanted) -> bool:
        """Read only what is needed of a layer that was read before; False where all of it had better be read again."""
        index = await self._remembered.known(content)
        if index is None or not index.spans:
            return False
        size = content.descriptor.size
        ranges = _ranges(index, size, wanted)
        if ranges is None:
            return False
        for member, first, last in ranges:
            delivery.begin(member)
            for at in range(first, last, _SPANS):
                spans = index.spans[at : min(at + _SPANS, last)]
                start, behind = spans[0].mark.consumed, at + len(spans)
                end = index.spans[behind].mark.consumed if behind < len(index.spans) else size
                try:
                    data = await read_part(content.store, content.descriptor, start, end - start)
                except LadingError:
                    data = b""
                if not await in_thread(are_intact, spans, data):
                    if not delivery.is_begun:
                        return False  # what is wrong is said when all of it is read
                    raise DigestMismatch(f"{content.what} has changed since it was read before")
                until = index.spans[behind].mark.produced if behind < len(index.spans) else index.size
                await in_thread(delivery.part, index.compression, spans[0], data, member, until)
            await in_thread(delivery.end)
        return True

    async def _search(
        self,
        path: str,
        *,
        spool: BinaryIO | None = None,
        caught: dict[tuple[int, int], int] | None = None,
    ) -> Found | None:
        """Look for a path from the top down; None where all layers have to be merged to tell.

        What is there at the path itself is caught in the spool on the way.
        """
        looking = Search(path, follow=spool is not None)
        plain = "/".join(part for part in path.split("/") if part not in ("", "."))
        for layer in reversed(self.layers):
            catcher = None
            if spool is not None and caught is not None:
                catcher = _catching(plain, layer.number - 1, spool, caught)
            is_small = layer.descriptor.size <= _SMALL
            index = await self.index(layer, catcher=catcher, keep=is_small, tables=True)
            answer = await in_thread(looking.add, layer.number - 1, index.members)
            if answer == "absent":
                raise not_there(self.name, path)
            if answer == "unclear":
                return None
            if isinstance(answer, Found):
                return answer
        return None

    @property
    def _digests(self) -> tuple[Digest, ...]:
        return tuple(layer.digest for layer in self.layers)

    def _content(self, layer: Layer) -> LayerContent:
        return LayerContent(
            store=self._store,
            descriptor=layer.descriptor,
            diff_id=layer.diff_id,
            what=f"layer {layer.number} of {self.name}",
        )

    def _result(self, entries: Iterable[FileEntry], warnings: tuple[str, ...]) -> Files:
        return Files(
            reference=self.name,
            digest=self.digest,
            platform=self.platform,
            entries=tuple(entries),
            warnings=warnings,
        )


def _ranges(index: LayerIndex, size: int, wanted: Wanted) -> list[tuple[Member, int, int]] | None:
    """Of each file the spans that it is in: the first, and the one behind the last; None where most of it is wanted.

    Args:
        index: of the layer.
        size: of its blob, in bytes.
        wanted: the files.
    """
    if not index.spans:
        return None
    members = [inode.member for _, (_, inode) in sorted(wanted.items())]
    ranges = [range_of(index.spans, at.offset, at.offset + at.stored, size) for at in members]
    if sum(length for _, _, length in ranges) > size * _MOST_OF_LAYER:
        return None
    return [(member, first, last) for member, (first, last, _) in zip(members, ranges, strict=True)]


def find_layer(layers: Sequence[Layer], wanted: int | str, what: str) -> Layer:
    """The layer that is meant.

    Args:
        layers: all of them.
        wanted: its number from 1, or its digest or diff ID, or the beginning of one.
        what: what the image is called in an error.

    Raises:
        NotFound: there is none, or several begin so.
    """
    text = str(wanted)
    if text.isdigit() and 1 <= int(text) <= len(layers):
        return layers[int(text) - 1]
    if len(text.removeprefix("sha256:")) >= 4:
        names = [(layer, name) for layer in layers for name in (layer.digest, layer.diff_id)]
        found = {layer.number: layer for layer, name in names if text in (name[: len(text)], name.hex[: len(text)])}
        if len({layer.digest for layer in found.values()}) == 1:
            return next(iter(found.values()))
        if found:
            raise NotFound(
                f"{what} has several layers that {text} may mean",
                remedy="give more of the digest, or a number",
                code="layer-not-found",
                fields={"layer": text, "count": len(layers)},
            )
    raise NotFound(
        f"{what} has no layer {text}",
        cause=f"its layers are 1 to {len(layers)}" if layers else "it has no layers",
        code="layer-not-found",
        fields={"layer": text, "count": len(layers)},
    )


def _chosen(files: Filesystem, path: str, what: str, *, recursive: bool, directory: bool) -> list[tuple[str, Node]]:
    try:
        at, node = files.find(path, follow=False)
        if node.inode.member.type == "2" and not directory:
            there = files.find(path)
            at, node = there if there[1].children is not None else (at, node)
        if node.children is None or directory:
            return [(at, node)]
        if recursive:
            return list(files.walk(at, node))
        return [(f"{at}/{name}" if at else name, child) for name, child in sorted(node.children.items())]
    except NotFound:
        if not is_glob(path):
            raise
    matches = list(matching(files, path))
    if not matches:
        raise not_there(what, path, "nothing matches it")
    if recursive and not directory:
        below = dict(matches)
        for at, node in matches:
            below.update(files.walk(at, node))
        return sorted(below.items())
    return matches


def _catching(path: str, number: int, spool: BinaryIO, caught: dict[tuple[int, int], int]) -> Catcher:
    def wants(member: Member) -> Callable[[memoryview], object] | None:
        if member.type != "0" or member.name.strip("./") != path.strip("./"):
            return None
        caught[number, member.offset] = spool.seek(0, 2)
        return spool.write

    return Catcher(wants)


def _copied(spool: BinaryIO, start: int, member: Member, file: BinaryIO) -> None:
    """Give out the content of a file with its holes, of which nothing is kept."""
    spool.seek(start)
    sink = Sink(file.write)
    for hole, length in spread(member):
        if hole:
            sink.hole(hole)
        for at in range(0, length, _CHUNK):
            heed()
            file.write(spool.read(min(length - at, _CHUNK)))


def _heeding(members: Iterable[Member]) -> Iterable[Member]:
    for number, member in enumerate(members):
        if not number % 1000:
            heed()
        yield member


def _no_file(what: str, path: str, member: Member) -> LadingError:
    from lading.images.files.filesystem import TYPES

    names = {"dir": "a directory", "char": "a device", "block": "a device", "fifo": "a pipe", "symlink": "a link"}
    return LadingError(
        f"{path} of {what} is no file",
        cause=f"it is {names[TYPES[member.type]]}",
        code="not-a-file",
        fields={"path": path, "type": TYPES[member.type]},
    )
