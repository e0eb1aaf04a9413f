"""Layers put together to one: over the layers below it makes what they made, for every kind of container engine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import Unsupported
from lading.images.edits.merge import merged
from lading.images.files.indexing import Remembered
from lading.images.files.layers import LIMITS, Layer, LayerLimits
from lading.images.files.reading import Reading
from lading.model.digest import Digest
from lading.stores.overlay import Overlay
from support.images import digest_of
from support.layers import Entry, archive, padded

pytestmark = pytest.mark.asyncio


@pytest.fixture
async def overlay() -> AsyncIterator[Overlay]:
    async with Overlay() as made:
        yield made


async def merge(overlay: Overlay, below: int, *plains: bytes, limits: LayerLimits = LIMITS) -> bytes:
    """The archive that the layers from `below` on become."""
    layers = [
        Layer(number=number + 1, descriptor=await overlay.add(plain), diff_id=Digest(digest_of(plain)))
        for number, plain in enumerate(plains)
    ]
    reading = Reading(overlay, layers, Remembered(), name="it", digest=Digest.of(b""), platform=None)
    async with reading:
        done = await merged(reading, overlay, below, "none", limits=limits)
    async with overlay.open(done.layer.content) as reader:
        plain = b"".join([chunk async for chunk in reader])
    assert done.layer.diff_id == digest_of(plain)
    return plain


def names(plain: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return [f"{one.name}~{one.linkname}" if one.islnk() else one.name for one in tar]


CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "a file that is new brings the entry of its directory": (["d/@711 d/a=a", "d/b=b"], ["d", "d/b"]),
    "a file that is gone": (["d/ d/a=a d/b=b", "-d/a"], ["d", "d/.wh.a"]),
    "a file that was only above is not hidden": (["d/", "d/a=a", "-d/a"], []),
    "a directory that is gone": (["d/ d/a=a", "-d"], [".wh.d"]),
    "a directory that is made again": (["d/ d/a=a d/b=b", "-d", "d/ d/a=new"], ["d", "d/.wh.b", "d/a"]),
    "an opaque directory": (
        ["d/ d/a=a d/e/ d/e/f=f", "d/ !d d/e/ d/e/g=g"],
        ["d", "d/.wh.a", "d/e", "d/e/.wh.f", "d/e/g"],
    ),
    "a file over a directory": (["d/ d/a=a", "d=file"], ["d"]),
    "a directory over a file": (["d=file", "d/ d/a=a"], ["d", "d/a"]),
    "a link over a directory": (["d/ d/a=a e/", "d->e"], ["d"]),
    "a file below a link of a lower layer": (
        ["usr/ usr/lib/ lib->usr/lib", "lib/a=a"],
        ["usr", "usr/lib", "usr/lib/a"],
    ),
    "a file that is there again": (["a=a", "a=a"], ["a"]),
    "only a mode": (["d/ d/a=a", "d/@700"], ["d"]),
    "hard links, sorted": (["x=x", "c=c b~c a~c"], ["a", "b~a", "c~a"]),
    "a hard link into a layer below brings all its names": (["d/ d/a=a", "e/ e/b~d/a"], ["d", "d/a", "e", "e/b~d/a"]),
    "one of two names is gone": (["a=a b~a c~a", "-b"], [".wh.b"]),
    "one of two names is another file": (["a=a b~a", "b=b"], ["b"]),
    "nothing": (["a=a", ""], []),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_is_written(name: str, overlay: Overlay) -> None:
    layers, expected = CASES[name]
    plains = [archive(text, number) for number, text in enumerate(layers)]
    assert names(await merge(overlay, 1, *plains)) == list(expected)


async def test_a_flat_image_is_sorted_and_has_no_whiteouts(overlay: Overlay) -> None:
    plains = [archive("z=z d/ d/b=b d/a=a l->z"), archive("-z !d d/c=c e/f=f p| m~d/c")]
    flat = await merge(overlay, 0, *plains)
    assert names(flat) == ["d", "d/c", "e", "e/f", "l", "m~d/c", "p"]
    # The same file system in other layers is the same layer.
    other = [archive("e/@755 e/f=f"), archive("p| l->z"), archive("d/ m=c d/c~m")]
    entries = names(await merge(overlay, 0, *other))
    assert entries == names(flat)


async def test_everything_that_is_said_of_a_file_is_kept(overlay: Overlay) -> None:
    plain = archive(
        [
            Entry("d/", "5", mode=0o2750, uid=3, gid=2**31, mtime=5, pax={"gid": str(2**31)}),
            Entry(
                "d/f", content=b"f", mode=0o6755, pax={"SCHILY.xattr.security.capability": b"\1\0\n", "mtime": "7.25"}
            ),
            Entry("d/" + "é" * 100, content=b"long", pax={"path": "d/" + "é" * 100}),
            Entry("dev", "4", device=(8, 1), mode=0o660),
        ]
    )
    with tarfile.open(fileobj=io.BytesIO(await merge(overlay, 0, archive(""), plain))) as tar:
        directory, file, long, device = tar.getmembers()
    assert (directory.mode, directory.uid, directory.gid, directory.mtime) == (0o2750, 3, 2**31, 5)
    assert (file.mode, file.mtime) == (0o6755, 7.25)
    assert file.pax_headers["SCHILY.xattr.security.capability"] == "\1\0\n"
    assert long.name == "d/" + "é" * 100
    assert (device.type, device.devmajor, device.devminor, device.mode) == (tarfile.BLKTYPE, 8, 1, 0o660)


SPARSE = Entry(
    "GNUSparseFile.0/f",
    content=padded(b"1\n1000\n3\n") + b"abc",
    pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f", "GNU.sparse.realsize": "2000"},
)


async def test_a_sparse_file_is_written_with_its_holes(overlay: Overlay) -> None:
    with tarfile.open(fileobj=io.BytesIO(await merge(overlay, 0, archive([SPARSE])))) as tar:
        file = tar.extractfile("f")
        assert file is not None
        assert file.read() == bytes(1000) + b"abc" + bytes(997)


async def test_holes_without_end_are_refused(overlay: Overlay) -> None:
    with pytest.raises(Unsupported, match="cannot be merged"):
        await merge(overlay, 0, archive([SPARSE]), limits=LayerLimits(allowance=1996))


async def test_a_name_too_long_for_a_whiteout_is_hidden_by_a_marker(overlay: Overlay) -> None:
    long = "n" * 252
    lower = archive([Entry("d/", "5"), Entry(f"d/{long}", content=b"n", pax={"path": f"d/{long}"}), Entry("d/stays")])
    linked = archive([Entry("e", content=b"e"), Entry("d/linked", "1", link="e")])
    again = archive([Entry("d/.wh..wh..opq"), Entry("d/linked", "1", link="e"), Entry("d/stays")])
    found = names(await merge(overlay, 2, lower, linked, again))
    assert found == ["d", "d/.wh..wh..opq", "d/linked", "d/stays", "e~d/linked"]


# For random layers, against models that know nothing of how it is done


@dataclass(eq=False)
class File:
    kind: str
    text: str = ""
    mode: int = 0o644


Tree = dict[str, File]


@dataclass(frozen=True)
class Operation:
    path: str
    kind: str
    target: str = ""
    mode: int = 0o644


PATHS = ["a", "a/a", "a/b", "a/b/a", "b", "b/a", "b/a/a", "c"]
OPERATIONS = st.lists(
    st.builds(
        Operation,
        st.sampled_from(PATHS),
        st.sampled_from(["dir", "dir", "file", "file", "symlink", "fifo", "link", "gone", "gone", "opaque"]),
        st.sampled_from(PATHS),
        st.sampled_from([0o600, 0o644, 0o755]),
    ),
    max_size=7,
    unique_by=lambda one: (one.path, one.kind in ("gone", "opaque")),
)


def below(tree: Tree, path: str) -> list[str]:
    return [other for other in tree if other.startswith(f"{path}/")]


def remove(tree: Tree, path: str) -> None:
    for other in [path, *below(tree, path)]:
        tree.pop(other, None)


def add(tree: Tree, path: str, file: File) -> bool:
    """Put a file into a tree as tar would; False where that is not possible."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = tree.setdefault("/".join(parts[:depth]), File("dir", mode=0o755))
        if above.kind != "dir":
            return False
    there = tree.get(path)
    if there is not None and not (there.kind == "dir" and file.kind == "dir"):
        remove(tree, path)
    tree[path] = file
    return True


def entry(operation: Operation, text: str) -> Entry:
    kind = {"dir": "5", "file": "0", "symlink": "2", "fifo": "6", "link": "1"}[operation.kind]
    link = {"symlink": "nowhere", "link": operation.target}.get(operation.kind, "")
    return Entry(operation.path, kind, text.encode() if kind == "0" else b"", mode=operation.mode, link=link)


def apply(tree: Tree, operations: Sequence[Operation], number: int) -> list[Entry]:
    """Apply a layer as the specification says; returns the entries of those operations that are possible."""
    written = []
    lower = dict(tree)
    for one in operations:
        if one.kind == "gone" and one.path in lower:
            remove(tree, one.path)
            parent, slash, name = one.path.rpartition("/")
            if parent:
                add(tree, parent, tree.get(parent) or File("dir", mode=0o755))
            written.append(Entry(f"{parent}{slash}.wh.{name}", mode=0))
        elif one.kind == "opaque" and lower.get(one.path, File("")).kind == "dir":
            for other in below(tree, one.path):
                remove(tree, other)
            written.append(Entry(f"{one.path}/.wh..wh..opq", mode=0))
            add(tree, one.path, tree.get(one.path) or File("dir", mode=0o755))
    for one in sorted(operations, key=lambda one: (one.kind == "link", one.path)):
        if one.kind in ("gone", "opaque"):
            continue
        trial = dict(tree)
        linked = trial.get(one.target)
        if one.kind == "link" and (linked is None or linked.kind == "dir" or one.target == one.path):
            continue
        text = f"{number}{one.path}"
        file = File(one.kind, text if one.kind == "file" else "", 0o777 if one.kind == "symlink" else one.mode)
        made = linked if one.kind == "link" else file
        assert made is not None
        if add(trial, one.path, made) and (one.kind != "link" or one.target in trial):
            if one.kind == "link":
                made.mode = 0o777 if made.kind == "symlink" else one.mode
            tree.clear()
            tree.update(trial)
            written.append(entry(one, text))
    return written


def members(plain: bytes) -> Iterator[tuple[str, File | str]]:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for one in tar:
            if one.islnk():
                yield one.name, one.linkname
                continue
            kind = {b"5": "dir", b"0": "file", b"2": "symlink", b"6": "fifo"}[one.type]
            file = tar.extractfile(one) if kind == "file" else None
            yield one.name, File(kind, file.read().decode() if file is not None else "", one.mode)


def in_place(tree: Tree, plain: bytes) -> None:
    """Apply a layer member after member onto a tree, as containerd's and Docker's naive drivers do."""
    for path, found in members(plain):
        parent, _, name = path.rpartition("/")
        assert name != ".wh..wh..opq"
        assert not parent or tree[parent].kind == "dir"
        if name.startswith(".wh."):
            remove(tree, f"{parent}/{name[4:]}".lstrip("/"))
        elif isinstance(found, str):
            assert add(tree, path, tree[found])
        else:
            assert add(tree, path, found)


def overlaid(tree: Tree, plain: bytes) -> None:
    """Unpack a layer alone, and lay it over a tree, as overlay file systems do."""
    upper: Tree = {}
    hidden: set[str] = set()
    for path, found in members(plain):
        parent, _, name = path.rpartition("/")
        assert not parent or upper[parent].kind == "dir"
        if name.startswith(".wh."):
            hidden.add(f"{parent}/{name[4:]}".lstrip("/"))
        else:
            assert add(upper, path, upper[found] if isinstance(found, str) else found)
    assert not hidden & upper.keys()
    for path in hidden:
        assert path in tree, "a whiteout of nothing"
        remove(tree, path)
    for path, file in upper.items():
        assert add(tree, path, file)


def shown(tree: Tree) -> dict[str, tuple[object, ...]]:
    """A tree as values, with all names of a file."""
    return {
        path: (file.kind, file.text, file.mode, *sorted(other for other in tree if tree[other] is file))
        for path, file in tree.items()
    }


@dataclass
class Layers:
    plains: list[bytes] = field(default_factory=list)
    trees: list[dict[str, tuple[object, ...]]] = field(default_factory=list)


def layers_of(operations: Sequence[Sequence[Operation]]) -> Layers:
    found, tree = Layers(), Tree()
    for number, one in enumerate(operations):
        found.plains.append(archive(apply(tree, one, number)))
        found.trees.append(shown(tree))
    return found


def rebuilt(operations: Sequence[Sequence[Operation]]) -> Tree:
    tree = Tree()
    for number, one in enumerate(operations):
        apply(tree, one, number)
    return tree


@settings(max_examples=300)
@given(st.lists(OPERATIONS, min_size=1, max_size=5), st.integers(0, 4))
async def test_merged_layers_make_what_they_made(operations: list[list[Operation]], at: int) -> None:
    from_layer = at % len(operations)
    layers = layers_of(operations)
    async with Overlay() as overlay:
        plain = await merge(overlay, from_layer, *layers.plains)
        again = await merge(overlay, from_layer, *layers.plains[:from_layer], plain)
    assert again == plain
    for engine in (in_place, overlaid):
        tree = rebuilt(operations[:from_layer])
        engine(tree, plain)
        assert shown(tree) == layers.trees[-1]
