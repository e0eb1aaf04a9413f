"""Layers written anew: what is not changed stays byte for byte, and what is left out leaves no link behind."""

import gzip
import io
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Conflict, DigestMismatch, InvalidContent
from lading.images.edits.rewrite import Entry, Rewritten, recompressed, rewritten
from lading.images.files.layers import LayerContent
from lading.io.tarball import zstd_module
from lading.model.descriptor import Descriptor
from lading.stores.overlay import Overlay
from support.images import digest_of
from support.layers import END, Blob, archive, entries, padded
from support.layers import Entry as Written

pytestmark = pytest.mark.asyncio


@pytest.fixture
async def overlay() -> AsyncIterator[Overlay]:
    async with Overlay() as made:
        yield made


async def content(overlay: Overlay, blob: bytes, plain: bytes) -> LayerContent:
    return LayerContent(store=overlay, descriptor=await overlay.add(blob), diff_id=digest_of(plain))


async def read(overlay: Overlay, found: Descriptor) -> bytes:
    async with overlay.open(found) as reader:
        return b"".join([chunk async for chunk in reader])


def leave_out(*paths: str) -> Callable[[Entry], None]:
    def change(entry: Entry) -> None:
        entry.is_dropped = entry.path in paths

    return change


async def anew(
    overlay: Overlay, plain: bytes, change: Callable[[Entry], None], **options: Any
) -> tuple[bytes, Rewritten]:
    done = await rewritten(overlay, await content(overlay, plain, plain), change, "none", **options)
    assert done is not None
    new = await read(overlay, done.layer.content)
    assert done.layer.diff_id == digest_of(new) == done.layer.content.digest
    return new, done


ODD = {
    "a PAX header with records that nothing knows": [
        Written("f", content=b"f", pax={"VENDOR.kept": "yes", "comment": "hello", "SCHILY.xattr.user.a": b"\0\1"})
    ],
    "a long name of GNU tar": [Written("d/" + "n" * 200, content=b"f", is_gnu=True)],
    "a long name, and a prefix": [Written("n" * 90, content=b"f", prefix=b"p" * 90)],
    "a device, a pipe and links": entries("c#c5.1 b#b8.0 p| s->f f=f h~f"),
    "names of owners": [Written("f", raw={265: b"user", 297: b"group"})],
    "a global header": [Written("g", pax={"comment": "for all"}, pax_type="g", content=b"c")],
    "a time with a fraction": [Written("f", pax={"mtime": "1700000000.123456789", "atime": "1.5"})],
    "old times of GNU tar": [Written("f", is_gnu=True, raw={345: b"00000000012\0", 357: b"00000000013\0"})],
    "a large file": [Written("f", content=b"x" * 3_000_000)],
    "a sparse file": [
        Written(
            "GNUSparseFile.0/f",
            content=padded(b"1\n1000\n3\n") + b"abc",
            pax={
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": "f",
                "GNU.sparse.realsize": "2000",
            },
        )
    ],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("end", [END, bytes(10240), b"", END + b"garbage" * 500])
async def test_what_is_not_changed_stays_byte_for_byte(name: str, end: bytes, overlay: Overlay) -> None:
    before, after = Written("gone-1", content=b"1" * 700), Written("gone-2", content=b"2")
    plain = archive([before, *ODD[name], after], end=end)
    new, done = await anew(overlay, plain, leave_out("gone-1", "gone-2"))
    assert new == archive(ODD[name], end=end)
    assert done.dropped == 2
    assert done.entries == len(ODD[name])


async def test_a_layer_of_which_nothing_changes_is_not_written(overlay: Overlay) -> None:
    plain = archive("a=a d/")
    assert await rewritten(overlay, await content(overlay, plain, plain), leave_out("other"), "gzip") is None


@pytest.mark.parametrize("cut", [1, 100, 511])
async def test_a_cut_in_the_last_padding_is_as_it_was(cut: int, overlay: Overlay) -> None:
    plain = archive("gone=g a=a", end=b"")[:-cut]
    new, _ = await anew(overlay, plain, leave_out("gone"))
    assert new == archive("a=a", end=b"", number=0)[:-cut]


LINKS: dict[str, tuple[str, Sequence[str], str]] = {
    "the file moves to the first link": (
        "a=text@4711,1,2 b~a@4711,1,2 c~a@4711,1,2",
        ["a"],
        "b=text@4711,1,2 c~b@4711,1,2",
    ),
    "a link": ("a=text b~a c~b", ["b"], "a=text c~a"),
    "the file and a link": ("a=text b~a c~b d~a", ["a", "b"], "c=text d~c"),
    "all of them": ("x=x a=text b~a", ["a", "b"], "x=x"),
    "a symbolic link with a hard link": ("a->x b~a@777", ["a"], "b->x"),
    "a device with a hard link": ("a#c5.1@600 b~a@600", ["a"], "b#c5.1@600"),
    "what the link says counts": ("a=text@600,1,1 b~a@644,7,8", ["a"], "b=text@644,7,8"),
    "an empty file": ("a= b~a", ["a"], "b="),
}


@pytest.mark.parametrize("name", LINKS)
async def test_a_file_that_is_left_out_stays_under_its_other_names(name: str, overlay: Overlay) -> None:
    before, gone, after = LINKS[name]
    new, _ = await anew(overlay, archive(before), leave_out(*gone))
    assert new == archive(after)


async def test_a_large_sparse_file_moves_to_a_long_name(overlay: Overlay) -> None:
    long = "d/" + "é" * 120
    sparse = ODD["a sparse file"][0]
    plain = archive([sparse, Written(long, "1", link="f", pax={"path": long, "SCHILY.xattr.user.b": "b"})])
    new, _ = await anew(overlay, plain, leave_out("f"))
    with tarfile.open(fileobj=io.BytesIO(new)) as tar:
        (member,) = tar.getmembers()
        assert member.name == long
        assert member.pax_headers["SCHILY.xattr.user.b"] == "b"
        file = tar.extractfile(member)
        assert file is not None
        assert file.read() == bytes(1000) + b"abc" + bytes(997)


async def test_a_link_to_what_is_left_out_of_a_lower_layer_is_refused(overlay: Overlay) -> None:
    plain = archive("x=x b~a")
    layer = await content(overlay, plain, plain)
    with pytest.raises(Conflict, match="a cannot be left out") as caught:
        await rewritten(overlay, layer, leave_out("x"), "none", is_gone=lambda path: path == "a")
    assert caught.value.fields == {"path": "b", "target": "a"}


async def test_content_is_replaced(overlay: Overlay) -> None:
    def change(entry: Entry) -> None:
        if entry.path == "f":
            entry.content = b"new" * 1000

    plain = archive([*entries("a=a"), *ODD["a sparse file"], *entries("z=z")])
    new, _ = await anew(overlay, plain, change)
    with tarfile.open(fileobj=io.BytesIO(new)) as tar:
        found = {member.name: member for member in tar.getmembers()}
        assert found["GNUSparseFile.0/f"].size == 3000
        assert found["z"].size == 1


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
async def test_a_layer_is_compressed_in_another_way(compression: Any, overlay: Overlay) -> None:
    module = zstd_module()
    if compression == "zstd" and module is None:
        pytest.skip("zstd is not there")
    plain = archive("a=a d/ b~a", end=bytes(10240))
    made = await recompressed(overlay, await content(overlay, gzip.compress(plain), plain), compression, level=9)
    blob = await read(overlay, made.content)
    undo = {"gzip": gzip.decompress, "none": bytes, "zstd": getattr(module, "decompress", None)}[compression]
    assert undo is not None
    assert undo(blob) == plain
    assert made.diff_id == digest_of(plain)
    assert (made.content.digest, made.content.size) == (digest_of(blob), len(blob))


async def test_a_layer_that_is_not_what_it_should_be_leaves_nothing(overlay: Overlay) -> None:
    plain = archive("a=a gone=g")
    layer = LayerContent(store=overlay, descriptor=await overlay.add(plain), diff_id=digest_of(b"other"))
    with pytest.raises(DigestMismatch):
        await rewritten(overlay, layer, leave_out("gone"), "none")
    with pytest.raises(DigestMismatch):
        await recompressed(overlay, layer, "gzip")
    assert list(overlay.folder.iterdir()) == []


async def test_headers_without_end_are_refused(overlay: Overlay) -> None:
    meta = Written("x", pax={"comment": "c" * 1_000_000}, pax_type="x").archived()[:-512]
    blob = Blob.of(meta * 20 + archive("a=a"))
    with pytest.raises(InvalidContent, match="looks like an attack"):
        await rewritten(overlay, await content(overlay, blob.content, blob.plain), leave_out("a"), "none")


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=8, unique_by=lambda pair: pair[0]), st.sets(NAMES), st.integers(0, 3))
async def test_names_of_one_file_stay_names_of_one_file(
    made: list[tuple[str, str]], gone: set[str], number: int
) -> None:
    """An independent model: each name has a text; names that are linked have the same one."""
    texts: dict[str, str] = {}
    words = []
    for name, other in made:
        if other in texts and other != name:
            texts[name] = texts[other]
            words.append(f"{name}~{other}")
        else:
            texts[name] = name * (number * 300 + 1)
            words.append(f"{name}={texts[name]}")
    plain = archive(" ".join([*words, "x=x"]))
    async with Overlay() as overlay:
        done = await rewritten(overlay, await content(overlay, plain, plain), leave_out(*gone, "x"), "none")
        assert done is not None
        new = await read(overlay, done.layer.content)
    found: dict[str, str] = {}
    inodes: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(new)) as tar:
        for member in tar:
            if member.islnk():
                assert member.linkname in found
                inodes[member.name] = inodes[member.linkname]
                found[member.name] = found[member.linkname]
            else:
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read().decode()
                inodes[member.name] = member.name
    left = {name: text for name, text in texts.items() if name not in gone}
    assert found == left
    for one in left:
        for other in left:
            assert (inodes[one] == inodes[other]) == (texts[one] == texts[other])
