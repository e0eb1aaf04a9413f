"""Files of two images beside each other: their merged file systems are compared, and contents where sizes do not tell.

A layer that both have is read once, those at the bottom that both share only where something depends on them. This
module reads layers through `images/files`, and knows nothing of what is in files.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Literal, NamedTuple

from lading.images.diff.base import is_base_needed
from lading.images.diff.fingerprints import FingerprintCatcher, fingerprint_sink
from lading.images.diff.results import FileChange, FilesDiff
from lading.images.diff.trees import Difference, Tree, attributes, differences
from lading.images.files.delivery import MakeSink, Sink
from lading.images.files.entries import entry_of
from lading.images.files.filesystem import Filesystem, Inode
from lading.images.files.indexing import LayerIndex, Remembered
from lading.images.files.layers import Layer
from lading.images.files.reading import Reading
from lading.io.tasks import gather
from lading.io.threads import heed, in_thread
from lading.model.digest import Digest

Key = tuple[str, int]


class Side(NamedTuple):
    """One of the two: what reads it, and its file system."""

    reading: Reading
    tree: Tree

    async def contents(self, wanted: Iterable[tuple[str, Inode]], sink: MakeSink) -> None:
        """Read contents of files.

        Args:
            wanted: of each the path and the file.
            sink: says where one goes.
        """
        by_layer: dict[int, dict[int, tuple[str, Inode]]] = defaultdict(dict)
        for path, inode in wanted:
            by_layer[inode.layer][inode.member.offset] = (path, inode)
        await self.reading.contents(by_layer, sink)


class ComparedFiles:
    """The file systems of two images, and what differs between them; see `compare_files`.

    Attributes:
        a: one side.
        b: the other.
        found: at which paths they differ.
    """

    def __init__(self, a: Side, b: Side, found: list[Difference]) -> None:
        self.a: Side = a
        self.b: Side = b
        self.found: list[Difference] = found

    @property
    def warnings(self) -> tuple[str, ...]:
        """What container engines do not agree on in these images."""
        sides = {side.reading.name: side.tree.files.warnings for side in (self.a, self.b)}
        return tuple(f"{name}: {warning}" for name, said in sides.items() for warning in said)

    async def result(self) -> FilesDiff:
        """What differs, as a result."""
        return await in_thread(self._result)

    def _result(self) -> FilesDiff:
        digests = [tuple(layer.digest for layer in side.reading.layers) for side in (self.a, self.b)]
        entries, size = [], 0
        for number, one in enumerate(self.found):
            if not number % 1000:
                heed()
            in_a = one.path_in_a or one.path
            size += _size(one.file_in_b) - _size(one.file_in_a)
            entries.append(
                FileChange(
                    state=state_of(one),
                    path=one.path,
                    changes=tuple(one.aspects),
                    a=entry_of(in_a, one.a, digests[0]) if one.a is not None else None,
                    b=entry_of(one.path, one.b, digests[1]) if one.b is not None else None,
                )
            )
        states = [entry.state for entry in entries]
        return FilesDiff(
            added=states.count("added"),
            removed=states.count("removed"),
            changed=states.count("changed"),
            moved=states.count("moved"),
            size=size,
            entries=tuple(entries),
        )


async def compare_files(
    a: Reading,
    b: Reading,
    remembered: Remembered,
    *,
    times: bool = False,
    wants: Callable[[str], bool] | None = None,
    keep: bool = False,
) -> ComparedFiles:
    """Compare the files of two images. What is not in the user's cache is read once, and verified.

    Args:
        a: one image.
        b: the other.
        remembered: what was read before.
        times: whether times of modification count.
        wants: says which paths are looked at.
        keep: whether blobs from afar are kept, since contents will be asked for.

    Raises:
        InvalidContent: a layer is damaged, or one that container engines refuse.
    """
    known = _Known(remembered, keep)
    sides = await known.sides(a, b)
    found = await in_thread(differences, sides[0].tree, sides[1].tree, times=times, wants=wants)
    await known.settle(sides, found)
    return ComparedFiles(*sides, await in_thread(_moved, sides, found, known, times))


def state_of(one: Difference) -> Literal["added", "removed", "changed", "moved"]:
    """Whether a path was added, removed, moved or changed.

    Args:
        one: the path.
    """
    if one.path_in_a is not None:
        return "moved"
    return "added" if one.a is None else "removed" if one.b is None else "changed"


class _Known:
    """What is known of layers, by their diff IDs: their entries, and the fingerprints of contents."""

    def __init__(self, remembered: Remembered, keep: bool) -> None:
        self._remembered = remembered
        self._keep = keep
        self._indexes: dict[Digest, LayerIndex] = {}
        self._fingerprints: dict[str, dict[int, bytes]] = {}

    async def sides(self, a: Reading, b: Reading) -> tuple[Side, Side]:
        """The file systems of both: without the layers that both have at the bottom, where these do not matter."""
        base = _shared(a.layers, b.layers)
        upper = [reading.layers[base:] for reading in (a, b)]
        await self._read((a, upper[0]), (b, upper[1]))
        members = [[self._indexes[layer.diff_id].members for layer in layers] for layers in upper]
        if base and not await in_thread(is_base_needed, *members):
            return await in_thread(self._side, a, upper[0]), await in_thread(self._side, b, upper[1])
        await self._read((a, a.layers[:base]))
        return await in_thread(self._side, a, a.layers), await in_thread(self._side, b, b.layers)

    async def settle(self, sides: Sequence[Side], found: list[Difference]) -> None:
        """Find out which contents differ, of those that may: the others are no longer in question."""
        asked: list[dict[Key, tuple[str, Inode]]] = [{}, {}]
        for one in found:
            if one.is_open:
                _ask(asked, sides, one, one.path)
        gone, new = _movable(found)
        sizes = {_size(one.file_in_a) for one in gone} & {_size(one.file_in_b) for one in new}
        for one in (*gone, *new):
            if _size(one.file_in_a or one.file_in_b) in sizes:
                _ask(asked, sides, one, one.path)
        for side, wanted in zip(sides, asked, strict=True):
            await self._take(side, wanted)
        for one in found:
            if one.is_open and self.of(sides[0], one.file_in_a) != self.of(sides[1], one.file_in_b):
                one.aspects.insert(0, "content")
        found[:] = [one for one in found if one.aspects or one.a is None or one.b is None]

    def of(self, side: Side, inode: Inode | None) -> bytes | None:
        """The fingerprint of a file; None where it was not asked for."""
        if inode is None:
            return None
        diff_id, offset = side.tree.key(inode)
        return self._fingerprints.get(diff_id, {}).get(offset)

    async def _read(self, *wanted: tuple[Reading, Sequence[Layer]]) -> None:
        """Read layers, each once, whichever of the images has it."""
        once = {layer.diff_id: (reading, layer) for reading, layers in reversed(wanted) for layer in layers}
        await gather(self._read_layer(*one) for one in once.values() if one[1].diff_id not in self._indexes)

    async def _read_layer(self, reading: Reading, layer: Layer) -> None:
        catcher = FingerprintCatcher()
        self._indexes[layer.diff_id] = await reading.index(layer, catcher=catcher, keep=self._keep)
        if catcher.is_used:
            catcher.finish()
            await self._learn(layer.diff_id, catcher.found)

    async def _take(self, side: Side, wanted: dict[Key, tuple[str, Inode]]) -> None:
        """Take the fingerprints of contents that have none yet."""
        for diff_id in {diff_id for diff_id, _ in wanted} - self._fingerprints.keys():
            self._fingerprints[diff_id] = await in_thread(self._remembered.fingerprints, Digest(diff_id))
        missing = [one for (diff_id, offset), one in wanted.items() if offset not in self._fingerprints[diff_id]]
        taken: dict[str, dict[int, bytes]] = defaultdict(dict)

        def sink(_path: str, inode: Inode) -> Sink:
            diff_id, offset = side.tree.key(inode)
            return fingerprint_sink(lambda found: taken[diff_id].__setitem__(offset, found))

        await side.contents(missing, sink)
        for diff_id, found in taken.items():
            await self._learn(Digest(diff_id), found)

    async def _learn(self, diff_id: Digest, found: dict[int, bytes]) -> None:
        known = self._fingerprints.setdefault(diff_id, {})
        known.update(found)
        await in_thread(self._remembered.keep_fingerprints, diff_id, known)

    def _side(self, reading: Reading, layers: Sequence[Layer]) -> Side:
        files = Filesystem(reading.name)
        for layer in layers:
            heed()
            files.apply(layer.number - 1, self._indexes[layer.diff_id].members)
        return Side(reading, Tree(files, [str(layer.diff_id) for layer in reading.layers]))


def _shared(a: Sequence[Layer], b: Sequence[Layer]) -> int:
    """How many layers are the lowest of both."""
    count = 0
    for one, other in zip(a, b, strict=False):
        if one.diff_id != other.diff_id:
            break
        count += 1
    return count


def _movable(found: Iterable[Difference]) -> tuple[list[Difference], list[Difference]]:
    """Files with content that only A has, and those that only B has."""
    alone = [one for one in found if (one.a is None) != (one.b is None)]
    gone = [one for one in alone if one.file_in_a is not None and one.file_in_a.member.size]
    new = [one for one in alone if one.file_in_b is not None and one.file_in_b.member.size]
    return gone, new


def _ask(asked: list[dict[Key, tuple[str, Inode]]], sides: Sequence[Side], one: Difference, path: str) -> None:
    for wanted, side, inode in zip(asked, sides, (one.file_in_a, one.file_in_b), strict=True):
        if inode is not None:
            wanted[side.tree.key(inode)] = (path, inode)


def _moved(sides: Sequence[Side], found: list[Difference], known: _Known, times: bool) -> list[Difference]:
    """The same with files that were moved as one: those that kept their name first."""
    gone, new = _movable(found)
    contents = {
        id(one): known.of(sides[0], one.file_in_a) or known.of(sides[1], one.file_in_b) for one in (*gone, *new)
    }
    left: dict[int, Difference] = {id(one): one for one in gone if contents[id(one)] is not None}
    for by_name in (True, False):

        def place(one: Difference, by_name: bool = by_name) -> Hashable:
            name = one.path.rpartition("/")[2] if by_name else ""
            return _size(one.file_in_a or one.file_in_b), contents[id(one)], name

        places: dict[Hashable, deque[Difference]] = defaultdict(deque)
        for one in left.values():
            places[place(one)].append(one)
        for one in new:
            if one.a is None and places[place(one)]:
                other = places[place(one)].popleft()
                one.a, one.path_in_a = left.pop(id(other)).a, other.path
                if one.a is not None and one.b is not None:
                    one.aspects = attributes(one.a, one.b, times=times)
    moved = {id(one.a) for one in new if one.a is not None}
    return [one for one in found if one.path_in_a is not None or one.b is not None or id(one.a) not in moved]


def _size(inode: Inode | None) -> int:
    return inode.member.size if inode is not None else 0
