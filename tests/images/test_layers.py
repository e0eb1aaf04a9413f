"""Layers as blobs: their compression, what they should be, and how much of them there may be."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from lading import AsyncClient
from lading.errors import DigestMismatch, InvalidContent
from lading.images.files.indexing import Remembered
from lading.images.files.layers import LIMITS, LayerContent, LayerLimits
from lading.io.tarball import zstd_module
from lading.model.descriptor import Descriptor
from lading.store import from_bytes
from lading.stores.memory import Memory
from support.images import digest_of
from support.layers import END, LAYER, Blob, Entry, archive, image, padded, write_layout, zstd_frame

PLAIN = archive("c=content d/ d/e=e")
HALF = len(PLAIN) // 2 - 3
SKIPPED = struct.pack("<II", 0x184D2A5F, 3) + b"abc"


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


GOOD: dict[str, tuple[bytes, str]] = {
    "gzip": (zipped(PLAIN), "+gzip"),
    "gzip with a name and a comment": (
        b"\x1f\x8b\x08\x18\0\0\0\0\0\xffname\0comment\0" + zipped(PLAIN)[10:],
        "+gzip",
    ),
    "gzip in two members": (zipped(PLAIN[:HALF]) + zipped(PLAIN[HALF:]), "+gzip"),
    "gzip with an empty member": (zipped(PLAIN) + zipped(b""), "+gzip"),
    "gzip in stored blocks": (gzip.compress(PLAIN, 0, mtime=0), "+gzip"),
    "no compression": (PLAIN, ""),
    "no compression, called gzip": (PLAIN, "+gzip"),
    "gzip, called none": (zipped(PLAIN), ""),
    "gzip, called zstd": (zipped(PLAIN), "+zstd"),
    "zstd": (zstd_frame(PLAIN), "+zstd"),
    "zstd, called gzip": (zstd_frame(PLAIN), "+gzip"),
    "zstd in two frames": (zstd_frame(PLAIN[:HALF]) + SKIPPED + zstd_frame(PLAIN[HALF:]), "+zstd"),
    "zstd, skipped first": (SKIPPED + zstd_frame(PLAIN), "+zstd"),
    "zstd, skipped last": (zstd_frame(PLAIN) + SKIPPED, "+zstd"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_the_bytes_say_how_a_layer_is_compressed(name: str, tmp_path: Path) -> None:
    content, suffix = GOOD[name]
    place = write_layout(tmp_path, image(Blob(content, PLAIN, LAYER + suffix)))
    async with AsyncClient() as client, client.images.open(place) as opened:
        found = await opened.files(recursive=True)
        assert [entry.path for entry in found.entries] == ["c", "d", "d/e"]
        assert await opened.read("c") == b"content"


@pytest.mark.parametrize("plain", [b"", END, archive("c=c", end=b""), archive("c=c") + b"garbage" * 99])
async def test_a_layer_may_end_as_engines_allow(plain: bytes, tmp_path: Path) -> None:
    place = write_layout(tmp_path, image("a=a", Blob(plain, plain, LAYER)))
    async with AsyncClient() as client:
        found = await client.images.files(place)
    assert [entry.path for entry in found.entries] == (["a", "c"] if b"c" in plain[:1] else ["a"])


DAMAGED: dict[str, bytes] = {
    "gzip and zeros": zipped(PLAIN) + bytes(512),
    "gzip and garbage": zipped(PLAIN) + b"garbage!",
    "gzip and one byte": zipped(PLAIN) + b"\x1f",
    "gzip that is cut": zipped(PLAIN)[:-20],
    "gzip without its end": zipped(PLAIN)[:-4],
    "gzip with a wrong sum": zipped(PLAIN)[:-8] + bytes(4) + zipped(PLAIN)[-4:],
    "gzip that is cut in its header": zipped(PLAIN)[:5],
    "gzip that is cut in its second member": zipped(PLAIN[:HALF]) + zipped(PLAIN[HALF:])[:30],
    "zstd that is cut": zstd_frame(PLAIN)[:-20],
    "zstd and garbage": zstd_frame(PLAIN) + b"garbage!",
    "zstd and zeros": zstd_frame(PLAIN) + bytes(3),
    "bzip2": b"BZh91AY&SY" + bytes(40),
    "xz": b"\xfd7zXZ\x00" + bytes(40),
    "no archive": b"hello " * 200,
    "a web page": b"<html>" + b" " * 600,
}


@pytest.mark.parametrize("name", DAMAGED)
async def test_damage_is_said(name: str, tmp_path: Path) -> None:
    place = write_layout(tmp_path, image("a=a", Blob(DAMAGED[name], PLAIN)))
    async with AsyncClient() as client:
        with pytest.raises(InvalidContent, match="layer 2 of") as found:
            await client.images.files(place)
    assert found.value.exit_code == 7


OTHER = digest_of(b"other")
ROOTS: dict[str, dict[str, object]] = {
    "too few": {"rootfs": {"type": "layers", "diff_ids": [OTHER]}},
    "too many": {"rootfs": {"type": "layers", "diff_ids": [OTHER] * 3}},
    "none": {"rootfs": {"type": "layers"}},
    "no root": {"rootfs": None},
    "wrong": {"rootfs": {"type": "layers", "diff_ids": [digest_of(archive("a=a")), OTHER]}},
    "no digest": {"rootfs": {"type": "layers", "diff_ids": [digest_of(archive("a=a")), "sha256:none"]}},
    "of another kind": {"rootfs": {"type": "layers", "diff_ids": [1, 2]}},
}


@pytest.mark.parametrize("name", ROOTS)
async def test_diff_ids_have_to_fit(name: str, tmp_path: Path) -> None:
    place = write_layout(tmp_path, image("a=a", "b=b", config=ROOTS[name]))
    async with AsyncClient() as client:
        for _ in range(2):  # what was read is remembered, and is no better for that
            with pytest.raises(InvalidContent):
                await client.images.files(place)
        with pytest.raises(InvalidContent):
            await client.images.read(place, "b")


async def test_a_layer_that_is_right_in_one_image_is_wrong_in_another(tmp_path: Path) -> None:
    right = write_layout(tmp_path / "right", image("a=a"))
    wrong = write_layout(tmp_path / "wrong", image("a=a", config={"rootfs": {"diff_ids": [OTHER]}}))
    async with AsyncClient() as client:
        assert (await client.images.files(right)).entries
        with pytest.raises(DigestMismatch, match="not what the config says"):
            await client.images.files(wrong)


async def test_a_blob_that_is_not_what_its_digest_says(tmp_path: Path) -> None:
    made = image("a=a", "b=b")
    place = write_layout(tmp_path, made)
    digest = made.document["layers"][0]["digest"]
    path = tmp_path / "blobs" / digest.replace(":", "/")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    async with AsyncClient() as client:
        with pytest.raises(DigestMismatch):
            await client.images.files(place)
        with pytest.raises(DigestMismatch):
            await client.images.read(place, "a")


async def test_history_need_not_fit_the_layers(tmp_path: Path) -> None:
    histories: list[list[dict[str, object]]] = [[], [{"created_by": str(n)} for n in range(4)], [{"empty_layer": True}]]
    for number, history in enumerate(histories):
        place = write_layout(tmp_path / str(number), image("a=a", "b=b", history=history))
        async with AsyncClient() as client:
            assert [entry.path for entry in (await client.images.files(place)).entries] == ["a", "b"]
            told = await client.images.history(place)
        assert [step.number for step in told.steps if step.number is not None] == [1, 2]
        assert bool(told.warnings) == bool(history)


# Attacks


async def scanned(content: bytes, limits: LayerLimits = LIMITS) -> int:
    """Read a layer; returns how many entries it has."""
    store, descriptor = Memory(), Descriptor.of(content, LAYER)
    await store.write(descriptor, from_bytes(content))
    index = await Remembered().get(LayerContent(store=store, descriptor=descriptor), limits=limits)
    return len(index.members)


def zstd_compressed(content: bytes) -> bytes:
    module = zstd_module()
    assert module is not None
    compressed: bytes = module.compress(content)
    return compressed


@pytest.mark.parametrize("compressed", [zipped, zstd_compressed])
async def test_a_layer_that_inflates_without_end_is_refused(compressed: Callable[[bytes], bytes]) -> None:
    content = compressed(archive([Entry("zeros", content=bytes(4 << 20))]))
    assert await scanned(content) == 1
    with pytest.raises(InvalidContent, match="looks like an attack"):
        await scanned(content, LayerLimits(allowance=1 << 20, ratio=10))


async def test_a_layer_of_too_many_entries_is_refused(tmp_path: Path) -> None:
    content = zipped(archive("a=a b=b c=c"))
    assert await scanned(content, LayerLimits(entries=3)) == 3
    with pytest.raises(InvalidContent, match="looks like an attack"):
        await scanned(content, LayerLimits(entries=2))
    many = zipped(archive([Entry("a")] * 2000))
    assert await scanned(many) == 2000
    with pytest.raises(InvalidContent, match="looks like an attack"):
        await scanned(many, LayerLimits(plenty=1000))


async def test_a_hole_of_a_terabyte_is_listed_in_no_time(tmp_path: Path) -> None:
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    entry = Entry("x", content=padded(b"1\n0\n1\n") + b"x", pax=pax | {"GNU.sparse.name": "huge"})
    place = write_layout(tmp_path, image([entry]))
    async with AsyncClient() as client:
        (found,) = (await client.images.files(place)).entries
        assert (found.path, found.size) == ("huge", 1 << 40)
        with pytest.raises(InvalidContent, match="too large"):
            await client.images.read(place, "huge", limit=1000)
