"""Files of two images, compared: what is said beside an independent walk over both merged file systems."""

import random
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lading import AsyncClient, DiffReport
from lading.errors import LadingError
from support.images import Manifest
from support.layers import AnyLayer, Entry, archive, entries, image, padded, write_layout

Seen = tuple[Any, ...]


async def seen(client: AsyncClient, place: str) -> dict[str, Seen]:
    """The merged file system of an image, by path: what kind it is, who may do what, and its content."""
    async with client.images.open(place) as opened:
        found = (await opened.files(recursive=True)).entries + (await opened.files(directory=True)).entries
        tree = {}
        for entry in found:
            content = await opened.read(entry.path) if entry.type == "file" else entry.link or entry.device
            tree[entry.path] = (entry.type, content, entry.mode, (entry.uid, entry.gid), dict(entry.xattrs))
        return tree


def expected(a: Mapping[str, Seen], b: Mapping[str, Seen]) -> dict[str, tuple[str, ...]]:
    """What a plain comparison of two trees finds; what was moved is removed and added."""
    said: dict[str, tuple[str, ...]] = {}
    for path in {*a, *b}:
        if path not in a or path not in b:
            said[path] = ("added",) if path not in a else ("removed",)
            continue
        (kind, body, *rest), (other_kind, other_body, *other_rest) = a[path], b[path]
        aspects = [name for name, x, y in zip(("mode", "owner", "xattrs"), rest, other_rest, strict=True) if x != y]
        if "symlink" in (kind, other_kind) and "mode" in aspects:
            aspects.remove("mode")
        if kind != other_kind:
            aspects.append("type")
        elif body != other_body:
            aspects.append({"file": "content", "symlink": "link"}.get(kind, "device"))
            if kind == "file" and len(body) != len(other_body):
                aspects.append("size")
        if aspects:
            said[path] = ("changed", *sorted(aspects))
    return said


def told(report: DiffReport) -> dict[str, tuple[str, ...]]:
    """What a report says, in the same way."""
    (one,) = report.images
    assert one.files is not None
    said: dict[str, tuple[str, ...]] = {}
    for entry in one.files.entries:
        if entry.state == "moved":
            assert entry.a is not None
            said[entry.path] = ("added",)
            said[entry.a.path] = ("removed",)
        else:
            said[entry.path] = (entry.state, *sorted(entry.changes))
    assert len(said) == len(one.files.entries) + one.files.moved
    return said


async def compared(folder: Path, a: Sequence[AnyLayer], b: Sequence[AnyLayer], **more: Any) -> tuple[Any, Any]:
    places = [write_layout(folder / side, image(*layers)) for side, layers in (("a", a), ("b", b))]
    async with AsyncClient(remember=False) as client:
        trees = [await seen(client, place) for place in places]
        report = await client.diff(*places, files=True, **more)
        return told(report) if not report.is_same else {}, expected(*trees)


BASE = "bin/ bin/sh=shell@755 etc/ etc/a=1 etc/b=2 lib/ lib/x=x usr/ usr/lib->../lib d/ d/x=1 d/sub/ d/sub/y=2"
PAIRS: dict[str, tuple[list[AnyLayer], list[AnyLayer]]] = {
    "a file is added": ([BASE], [BASE, "n=new"]),
    "a file in a directory that only one has": ([BASE], [BASE, "n/ n/m/ n/m/f=f"]),
    "a file is deleted": ([BASE], [BASE, "-etc/a"]),
    "a directory is deleted": ([BASE], [BASE, "-d"]),
    "a directory is emptied": ([BASE], [BASE, "d/ !d"]),
    "a content of the same size": ([BASE, "etc/ etc/a=3"], [BASE, "etc/ etc/a=4"]),
    "a content of another size": ([BASE, "etc/ etc/a=3"], [BASE, "etc/ etc/a=44"]),
    "the same content in another layer": ([BASE], [BASE, "etc/ etc/a=1"]),
    "mode and owner": ([BASE], [BASE, "etc/@700,3,4 etc/a=1@4755,1,2"]),
    "a link": ([BASE, "s->a"], [BASE, "s->b"]),
    "a file for a directory": ([BASE], [BASE, "d=file"]),
    "a directory for a file": ([BASE], [BASE, "etc/a/ etc/a/n=n"]),
    "a link for a file": ([BASE], [BASE, "etc/ etc/a->b"]),
    "devices and pipes": ([BASE, "c#c1.3 p|"], [BASE, "c#c1.5 p#b1.1"]),
    "through a link of the base": ([BASE, "usr/lib/n=1"], [BASE, "usr/lib/n=2"]),
    "hard links": ([BASE, "h~etc/a"], [BASE, "h=2"]),
    "hard links within": ([BASE, "h=1 i~h"], [BASE, "h=2 i~h"]),
    "moved": ([BASE], [BASE, "-etc/a m/ m/a=1"]),
    "hidden in one, replaced in the other": ([BASE, "-d", "d/ d/n=n"], [BASE, "d/ d/n=n"]),
    "a file, then a directory": ([BASE, "d=f", "d/ d/n=n"], [BASE, "d/ d/n=n"]),
    "nothing in common": ([BASE], ["x=1"]),
    "no layers": ([BASE], []),
    "the root": ([BASE, "./@700 x=x"], [BASE, "x=x"]),
    "an implied directory": ([BASE, "q/r=1"], [BASE, "q/@700 q/r=1"]),
}


@pytest.mark.parametrize("name", PAIRS)
async def test_what_is_said_is_what_a_walk_finds(name: str, tmp_path: Path) -> None:
    found, truth = await compared(tmp_path, *PAIRS[name])
    assert found == truth
    back, truth = await compared(tmp_path / "back", *reversed(PAIRS[name]))
    assert back == truth
    assert found or name == "the same content in another layer"


NAMES = ["a", "d", "d/a", "d/e", "d/e/a", "s", "s/a", "f"]
WORDS = st.one_of(
    st.sampled_from([f"{name}={text}" for name in NAMES for text in ("1", "2", "33")]),
    st.sampled_from([f"{name}/" for name in NAMES] + [f"{name}/@700" for name in NAMES]),
    st.sampled_from([f"-{name}" for name in NAMES]),
    st.sampled_from(["s->d", "s->a", "f~a", "d/a~a", "!d", "!s", "p|", "a=1@600,1,1", "./@711"]),
)
LAYERS = st.lists(
    st.lists(WORDS, max_size=6, unique_by=lambda word: word.partition("@")[0].strip("-/!").partition("=")[0])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=st.lists(WORDS, max_size=8), a=LAYERS, b=LAYERS)
@example(base=["d/", "d/a=1"], a=[["-d"], ["d/", "d/e=1"]], b=[["d/", "d/e=1"]])
@example(base=["s->d", "d/"], a=[["s/a=1"]], b=[["s/a=2"]])
async def test_any_two_images(base: list[str], a: list[list[str]], b: list[list[str]], tmp_path: Path) -> None:
    folder = tmp_path / str(random.random())
    sides = [[" ".join(base), *map(" ".join, layers)] for layers in (a, b)]
    try:
        found, truth = await compared(folder, *sides)
    except LadingError as error:
        assert error.code == "malformed-layer"  # noqa: PT017
        return
    assert found == truth


SKIPPED: dict[str, tuple[list[AnyLayer], list[AnyLayer]]] = {
    "contents alone": ([BASE, "app/ app/a=1 app/b=2"], [BASE, "app/ app/a=3 app/b=2"]),
    "modes and owners": ([BASE, "app/ app/a=1"], [BASE, "app/@700 app/a=1@600,3,4"]),
    "the same is hidden": ([BASE, "-etc d/ d/x=3 -d/sub"], [BASE, "-etc d/ d/x=4 -d/sub"]),
}


@pytest.mark.parametrize("name", SKIPPED)
async def test_a_base_of_both_is_not_read_where_it_does_not_matter(name: str, tmp_path: Path) -> None:
    """It is not even there."""
    layers = SKIPPED[name]
    _, truth = await compared(tmp_path / "whole", *layers)
    made = [image(*side) for side in layers]
    places = [write_layout(tmp_path / side, one) for side, one in zip("ab", made, strict=True)]
    for side, one in zip("ab", made, strict=True):
        remove_layer(tmp_path / side, one, 0)
    async with AsyncClient(remember=False) as client:
        assert told(await client.diff(*places, files=True)) == truth


def remove_layer(folder: Path, made: Manifest, number: int) -> None:
    import json

    digest = json.loads(made.content)["layers"][number]["digest"]
    (folder / "blobs" / digest.replace(":", "/")).unlink()


async def test_a_layer_of_both_is_read_once(tmp_path: Path) -> None:
    layers: list[list[AnyLayer]] = [[BASE, "n=1"], [BASE, "m=2"]]
    made = [image(*side) for side in layers]
    places = [write_layout(tmp_path / side, one) for side, one in zip("ab", made, strict=True)]
    remove_layer(tmp_path / "b", made[1], 0)
    async with AsyncClient(remember=False) as client:
        assert told(await client.diff(*places, files=True)) == {"n": ("removed",), "m": ("added",)}


# Contents


def sparse(name: str, size: int, *pieces: tuple[int, bytes]) -> Entry:
    numbers = "".join(f"{offset}\n{len(data)}\n" for offset, data in pieces)
    content = padded(f"{len(pieces)}\n{numbers}".encode()) + b"".join(data for _, data in pieces)
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(size), "GNU.sparse.name": name}
    return Entry("x", content=content, pax=pax)


PLAIN = (bytes(70_000) + b"one").ljust(200_000, b"\0") + b"two"
SIZE = len(PLAIN)
SPARSE: dict[str, tuple[Entry, Entry, bool]] = {
    "the same": (Entry("a", content=PLAIN), sparse("a", SIZE, (70_000, b"one"), (200_000, b"two")), True),
    "other holes": (
        sparse("a", SIZE, (69_000, bytes(1000) + b"one"), (200_000, b"two")),
        sparse("a", SIZE, (70_000, b"one\0\0"), (200_000, b"two")),
        True,
    ),
    "another place": (Entry("a", content=PLAIN), sparse("a", SIZE, (70_001, b"one"), (200_000, b"two")), False),
    "a block further": (
        sparse("a", SIZE, (0, b"one")),
        sparse("a", SIZE, (65_536, b"one")),
        False,
    ),
    "as large as a disk": (
        sparse("a", 2**62, (2**61, b"one")),
        sparse("a", 2**62, (2**61, b"on"), (2**61 + 2, b"e")),
        True,
    ),
}


@pytest.mark.parametrize("name", SPARSE)
async def test_holes_are_content(name: str, tmp_path: Path) -> None:
    a, b, is_same = SPARSE[name]
    places = [write_layout(tmp_path / side, image([entry])) for side, entry in (("a", a), ("b", b))]
    async with AsyncClient(remember=False) as client:
        report = await client.diff(*places, files=True)
    assert told(report) == ({} if is_same else {"a": ("changed", "content")})


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400)), at=st.integers(0, 200_000))
def test_a_fingerprint_is_of_the_content_however_it_comes(data: bytes, cuts: list[int], at: int) -> None:
    from lading.images.diff.fingerprints import Fingerprint

    content = bytes(at) + data
    whole, pieces = Fingerprint(), Fingerprint()
    whole.write(content)
    pieces.hole(at // 2)
    pieces.write(bytes(at - at // 2))
    start = 0
    for cut in sorted({*cuts, len(data)}):
        pieces.write(data[start:cut])
        start = max(start, cut)
    taken = pieces.finish()
    assert whole.finish() == taken
    other = Fingerprint()
    other.write(content + b"x")
    assert other.finish() != taken


async def test_contents_are_compared_from_the_cache(tmp_path: Path) -> None:
    """What was read of a layer once is enough: the next comparison needs no layer at all."""
    made = [image(BASE, f"etc/ etc/a={text} etc/n={text}") for text in ("3", "4")]
    places = [write_layout(tmp_path / side, one) for side, one in zip("ab", made, strict=True)]
    async with AsyncClient() as client:
        first = told(await client.diff(*places, files=True))
    for side, one in zip("ab", made, strict=True):
        remove_layer(tmp_path / side, one, 1)
    async with AsyncClient() as client:
        assert told(await client.diff(*places, files=True)) == first
    assert first == {"etc/a": ("changed", "content"), "etc/n": ("changed", "content")}


async def test_contents_of_layers_that_were_listed_before(tmp_path: Path) -> None:
    """Their entries are known, and their contents are read now."""
    places = [write_layout(tmp_path / text, image(BASE, f"etc/ etc/a={text}")) for text in ("3", "4")]
    async with AsyncClient() as client:
        for place in places:
            await client.images.files(place, recursive=True)
        assert told(await client.diff(*places, files=True)) == {"etc/a": ("changed", "content")}


async def test_a_damaged_layer_is_no_answer(tmp_path: Path) -> None:
    places = [write_layout(tmp_path / text, image(f"a={text}")) for text in ("3", "4")]
    for blob in (tmp_path / "4" / "blobs" / "sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    async with AsyncClient(remember=False) as client:
        with pytest.raises(LadingError) as failed:
            await client.diff(*places, files=True)
    assert failed.value.exit_code == 7


# What is told of files


async def test_moved(tmp_path: Path) -> None:
    a = "d/ d/one=content@600 d/two=content d/three=other e=empty x=1"
    b = "n/ n/two=content n/four=content@755 m/ m/three=other e=empty x=1"
    places = [write_layout(tmp_path / side, image(layer)) for side, layer in (("a", a), ("b", b))]
    async with AsyncClient(remember=False) as client:
        (one,) = (await client.diff(*places, files=True)).images
    assert one.files is not None
    moved = {
        found.path: (found.a.path, found.changes)
        for found in one.files.entries
        if found.a is not None and found.b is not None
    }
    assert moved == {
        "n/two": ("d/two", ()),
        "n/four": ("d/one", ("mode",)),
        "m/three": ("d/three", ()),
    }
    assert (one.files.added, one.files.removed, one.files.moved, one.files.size) == (2, 1, 3, 0)


async def test_times_count_where_they_are_asked_for(tmp_path: Path) -> None:
    entries_of = [[Entry("a", content=b"a", mtime=time), Entry("d/", "5", mode=0o755, mtime=5)] for time in (5, 6)]
    places = [write_layout(tmp_path / side, image(one)) for side, one in zip("ab", entries_of, strict=True)]
    async with AsyncClient(remember=False) as client:
        assert told(await client.diff(*places, files=True)) == {}
        assert told(await client.diff(*places, files=True, times=True)) == {"a": ("changed", "mtime")}


@pytest.mark.parametrize(
    "paths, found",
    [
        (["etc"], {"etc/a", "etc/n"}),
        (["/etc/a", "app/*"], {"etc/a", "app/x"}),
        (["**/n"], {"etc/n"}),
        (["none"], set()),
        (["/"], {"etc/a", "etc/n", "app", "app/x"}),
    ],
)
async def test_only_some_paths(paths: list[str], found: set[str], tmp_path: Path) -> None:
    layers = [(BASE, "etc/ etc/a=9"), (BASE, "etc/ etc/a=8 etc/n=n app/ app/x=x")]
    places = [write_layout(tmp_path / side, image(*one)) for side, one in zip("ab", layers, strict=True)]
    async with AsyncClient(remember=False) as client:
        assert told(await client.diff(*places, files=True, paths=paths)).keys() == found


async def test_extended_attributes(tmp_path: Path) -> None:
    sides = [[Entry("a", content=b"a", pax={"SCHILY.xattr.user.x": value})] for value in ("1", "2")]
    places = [write_layout(tmp_path / side, image(one)) for side, one in zip("ab", sides, strict=True)]
    async with AsyncClient(remember=False) as client:
        assert told(await client.diff(*places, files=True)) == {"a": ("changed", "xattrs")}


def test_descriptions_are_read() -> None:
    assert len(archive(entries(BASE))) > 512 * 10


async def test_memory_is_flat_however_large_files_are(tmp_path: Path) -> None:
    size = 48 * 1024 * 1024
    contents = [bytes(size) + end for end in (b"1", b"2")]
    places = [
        write_layout(tmp_path / end.decode(), image([Entry("large", content=content), Entry("t", content=end)]))
        for content, end in zip(contents, (b"1", b"2"), strict=True)
    ]
    del contents
    async with AsyncClient(remember=False) as client:
        await client.diff(*places)  # everything is loaded
        tracemalloc.start()
        try:
            report = await client.diff(*places, files=True, content=True)
            assert tracemalloc.get_traced_memory()[1] < 24 * 1024 * 1024
        finally:
            tracemalloc.stop()
    assert told(report) == {"large": ("changed", "content"), "t": ("changed", "content")}
    assert [(one.path, one.state) for one in report.images[0].contents or ()] == [("large", "too-large"), ("t", "text")]
