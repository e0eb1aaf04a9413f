"""What holds of every store that is written in place; and sharing between stores in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from lading.errors import DigestMismatch, InvalidContent, InvalidReference, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.model.media_types import OCI_MANIFEST
from lading.store import FetchesManifests, Mounts, PutsManifests, Untags, from_bytes, from_chunks, read
from lading.stores.memory import Memory
from support import images

Fill = Callable[..., Awaitable[Descriptor]]

BLOB = Descriptor.of(b"some bytes", "application/octet-stream")


def test_what_they_can(store: Any) -> None:
    for capability in (FetchesManifests, PutsManifests, Untags):
        assert isinstance(store, capability)


async def test_content_comes_back_as_it_was_written(store: Any, fill: Fill, index: images.Manifest) -> None:
    content = await fill(store, index, "1", "latest")

    for name in ("1", "latest", index.digest):
        assert await store.resolve(name) == content
        assert (await store.fetch(name)).raw == index.content
    for child in index.children:
        found = await store.resolve(child.digest)
        assert await read(store, found) == child.content
        for digest, blob in child.blobs.items():
            described = Descriptor(digest=Digest(digest), size=len(blob))
            assert await store.contains(described)
            async with store.open(described) as reader:
                assert await reader.read() == blob
    assert [tag async for tag in store.tags()] == ["1", "latest"]


async def test_what_is_not_there(store: Any, fill: Fill, image: images.Manifest) -> None:
    await fill(store, image, "1")
    assert not await store.contains(BLOB)
    with pytest.raises(NotFound):
        async with store.open(BLOB):
            pass
    for name in ("2", BLOB.digest):
        with pytest.raises(NotFound):
            await store.resolve(name)
        with pytest.raises(NotFound):
            await store.fetch(name)
    for content in (BLOB, Descriptor.of(b"{}", OCI_MANIFEST)):
        with pytest.raises(NotFound):
            await store.delete(content)
    with pytest.raises(NotFound):
        await store.untag("2")
    with pytest.raises(NotFound):
        await store.tag(Descriptor.of(b"{}", OCI_MANIFEST), "3")
    assert [tag async for tag in store.tags()] == ["1"]


@pytest.mark.parametrize("given", [b"other bytes", b"some byte", b"some bytes and more", b"SOME BYTES"])
async def test_bytes_that_are_not_those_promised_are_not_written(store: Any, given: bytes) -> None:
    with pytest.raises(DigestMismatch):
        await store.write(BLOB, from_bytes(given))
    assert not await store.contains(BLOB)
    await store.write(BLOB, from_bytes(b"some bytes"))
    assert await store.contains(BLOB)


async def test_an_empty_blob(store: Any) -> None:
    empty = Descriptor.of(b"", "application/octet-stream")
    await store.write(empty, from_bytes(b""))
    assert await read(store, empty) == b""


async def test_a_manifest_that_is_none_is_not_written(store: Any) -> None:
    page = Descriptor.of(b"<html>", OCI_MANIFEST)
    with pytest.raises(InvalidContent):
        await store.write(page, from_bytes(b"<html>"))
    assert not await store.contains(page)


async def test_a_manifest_with_other_bytes_is_not_written(store: Any, image: images.Manifest) -> None:
    wrong = msgspec.structs.replace(parse(image.content), raw=image.content + b" ")
    with pytest.raises(DigestMismatch):
        await store.put(wrong, "1")
    with pytest.raises(NotFound):
        await store.resolve(image.digest)


async def test_a_manifest_is_written_like_any_content(store: Any, image: images.Manifest) -> None:
    content = Descriptor.of(image.content, image.media_type)
    await store.write(content, from_bytes(image.content))
    assert await store.resolve(content.digest) == content
    assert [tag async for tag in store.tags()] == []


async def test_a_tag_moves_and_goes_and_the_manifest_stays(store: Any, fill: Fill) -> None:
    first = await fill(store, images.make_image(seed="first"), "1")
    second = await fill(store, images.make_image(seed="second"), "1", "2")
    assert await store.resolve("1") == second
    await store.tag(first, "2")
    assert await store.resolve("2") == first
    await store.untag("1")
    with pytest.raises(NotFound):
        await store.resolve("1")
    assert await store.resolve(second.digest) == second
    assert [tag async for tag in store.tags()] == ["2"]


@pytest.mark.parametrize("name", ["", ".x", "a b", "a//b", "ü", "a\nb"])
async def test_what_cannot_be_a_tag(store: Any, fill: Fill, image: images.Manifest, name: str) -> None:
    content = await fill(store, image)
    with pytest.raises(InvalidReference):
        await store.tag(content, name)
    assert [tag async for tag in store.tags()] == []


@pytest.mark.parametrize("name", ["a/b", "localhost:5000/app:1", "x" * 129])
async def test_only_a_layout_has_names_that_are_no_tags(fill: Fill, image: images.Manifest, name: str) -> None:
    memory = Memory()
    content = await fill(memory, image)
    with pytest.raises(InvalidReference):
        await memory.tag(content, name)
    assert [tag async for tag in memory.tags()] == []


async def test_referrers(store: Any, fill: Fill, image: images.Manifest, signature: images.Manifest) -> None:
    subject = await fill(store, image, "1")
    assert [found async for found in store.referrers(subject)] == []
    content = await fill(store, signature)
    report = images.make_artifact("application/vnd.example.report", subject=image)
    await fill(store, report)

    found = [found async for found in store.referrers(subject)]
    assert [item.digest for item in found] == [signature.digest, report.digest]
    assert found[0].content == content
    assert found[0].annotations == {"by": "somebody"}
    assert found[0].artifact_type == "application/vnd.example.signature"
    filtered = [found async for found in store.referrers(subject, "application/vnd.example.report")]
    assert [item.digest for item in filtered] == [report.digest]
    await store.delete(content)
    assert [item.digest async for item in store.referrers(subject)] == [report.digest]


async def test_a_deleted_manifest_goes_with_its_tags(store: Any, fill: Fill, image: images.Manifest) -> None:
    content = await fill(store, image, "1", "2")
    await store.delete(content)
    assert [tag async for tag in store.tags()] == []
    with pytest.raises(NotFound):
        await store.resolve(content.digest)
    blob = Descriptor(digest=Digest(next(iter(image.blobs))), size=len(next(iter(image.blobs.values()))))
    await store.delete(blob)
    assert not await store.contains(blob)


async def test_a_source_that_breaks_off(store: Any) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.write(BLOB, from_chunks(breaking))
    assert not await store.contains(BLOB)


async def test_a_blob_is_shared_between_stores_in_memory(fill: Fill, image: images.Manifest) -> None:
    source, target = Memory(), Memory()
    assert isinstance(target, Mounts)
    content = await fill(source, image)
    blob = parse(image.content).children[0]
    assert await target.mount(blob, source)
    assert await read(target, blob) == image.config
    assert not await target.mount(BLOB, source)
    assert not await target.mount(content, source)
