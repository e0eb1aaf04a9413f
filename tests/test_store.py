"""What every store gives: content that is verified while it is read, and manifests by any name."""

import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import DigestMismatch, InvalidContent, NotFound
from lading.model.descriptor import EMPTY, Descriptor
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT
from lading.model.index import Index
from lading.model.media_types import DOCKER_LIST, OCI_ARTIFACT_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from lading.store import (
    AnyManifest,
    FetchesManifests,
    PutsManifests,
    Reader,
    Source,
    Store,
    Traits,
    fetch_manifest,
    from_bytes,
    from_store,
    is_manifest,
    put_manifest,
    read,
)


class Shelf:
    """The least that is a store."""

    name = "the shelf"
    traits = Traits()

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.names: dict[str, Descriptor] = {}

    async def resolve(self, name: str) -> Descriptor:
        if name in self.names:
            return self.names[name]
        if name not in self.content:
            raise NotFound(f"{self.name} has no {name}")
        return Descriptor(media_type=self.types[name], digest=Digest(name), size=len(self.content[name]))

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        if content.digest not in self.content:
            raise NotFound(f"{self.name} has no {content.digest}")
        data = self.content[content.digest]
        yield Reader(content, _chunks([data[at : at + 7] for at in range(0, len(data), 7)]))

    async def contains(self, content: Descriptor) -> bool:
        return content.digest in self.content

    async def write(self, content: Descriptor, source: Source) -> None:
        self.content[content.digest] = await Reader(content, source()).read()
        self.types[content.digest] = content.media_type

    async def tag(self, content: Descriptor, name: str) -> None:
        if content.digest not in self.content:
            raise NotFound(f"{self.name} has no {content.digest}")
        self.names[name] = content

    async def tags(self) -> AsyncIterator[str]:
        for name in self.names:
            yield name

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        for found in list[Descriptor]():
            yield found

    async def delete(self, content: Descriptor) -> None:
        del self.content[content.digest]


class QuickShelf(Shelf):
    """A store that reads and writes a manifest in one round trip."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        self.calls.append(f"fetch {name}")
        return await fetch_manifest(self, await self.resolve(name), limit)

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        self.calls.append(f"put {name}")
        await self.write(manifest.descriptor, from_bytes(manifest.raw))
        if name:
            await self.tag(manifest.descriptor, name)


async def _chunks(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _reader(promised: bytes, *chunks: bytes) -> Reader:
    return Reader(Descriptor.of(promised, "application/octet-stream"), _chunks(chunks))


# --- Reader


@given(st.lists(st.binary(max_size=6), max_size=6))
async def test_content_in_any_chunks(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)

    assert await _reader(whole, *chunks).read() == whole
    given_out = [chunk async for chunk in _reader(whole, *chunks)]
    assert b"".join(given_out) == whole
    assert all(given_out)


@pytest.mark.parametrize(
    "chunks, said",
    [
        ((b"abc", b"de"), "is not complete"),
        ((b"abc", b"deX"), "does not match its digest"),
        ((b"Xbc", b"def"), "does not match its digest"),
        ((b"abc", b"def", b"g"), "is larger than it should be"),
        ((b"abc", b"defg"), "is larger than it should be"),
        ((), "is not complete"),
    ],
)
async def test_the_last_chunk_is_held_back_until_all_is_verified(chunks: tuple[bytes, ...], said: str) -> None:
    given_out = b""

    async def take() -> None:
        nonlocal given_out
        async for chunk in _reader(b"abcdef", *chunks):
            given_out += chunk

    with pytest.raises(DigestMismatch, match=said):
        await take()
    assert len(given_out) < 6
    with pytest.raises(DigestMismatch, match=said):
        await _reader(b"abcdef", *chunks).read()


async def test_a_reader_is_read_once() -> None:
    # A second reading could only give what is left, and would call it verified.
    reader = _reader(b"abcdef", b"abc", b"def")
    assert await reader.read() == b"abcdef"
    with pytest.raises(RuntimeError, match="has been read"):
        await reader.read()

    begun = _reader(b"abcdef", b"ab", b"cd", b"ef")
    async for chunk in begun:
        assert chunk == b"ab"
        break
    with pytest.raises(RuntimeError, match="has been read"):
        await begun.read()


async def test_a_limit() -> None:
    assert await _reader(b"abc", b"abc").read(3) == b"abc"
    with pytest.raises(InvalidContent, match=r"too large \(3 bytes, and 2 are allowed\)"):
        await _reader(b"abc", b"abc").read(2)
    with pytest.raises(DigestMismatch):  # more than promised is no way round it
        await _reader(b"ab", b"abc").read(2)


async def test_nothing_is_content_too() -> None:
    assert await _reader(b"").read() == b""
    assert [chunk async for chunk in _reader(b"", b"", b"")] == []


# --- manifests


INDEX = Index.build([EMPTY.content], OCI_INDEX, {"a": "b"})


@pytest.fixture(params=[Shelf, QuickShelf])
def store(request: pytest.FixtureRequest) -> Store:
    shelf: Store = request.param()
    return shelf


async def test_a_manifest_by_every_name(store: Store) -> None:
    await put_manifest(store, INDEX, ["1", "latest"])

    for name in ("1", "latest", INDEX.digest, INDEX.descriptor):
        assert await fetch_manifest(store, name) == INDEX
    assert [name async for name in store.tags()] == ["1", "latest"]


async def test_a_manifest_without_a_tag(store: Store) -> None:
    await put_manifest(store, INDEX)

    assert await fetch_manifest(store, INDEX.digest) == INDEX
    assert [name async for name in store.tags()] == []


async def test_a_manifest_that_is_not_there(store: Store) -> None:
    for name in ("1", INDEX.digest, INDEX.descriptor):
        with pytest.raises(NotFound):
            await fetch_manifest(store, name)


async def test_one_round_trip_where_the_store_can() -> None:
    store = QuickShelf()
    await put_manifest(store, INDEX, ["1", "2"])
    await put_manifest(store, INDEX)
    await fetch_manifest(store, "1")
    await fetch_manifest(store, INDEX.descriptor)

    assert store.calls == ["put 1", "put 2", "put None", "fetch 1"]
    assert isinstance(store, FetchesManifests)
    assert isinstance(store, PutsManifests)
    assert not isinstance(Shelf(), FetchesManifests | PutsManifests)


async def test_a_damaged_manifest(store: Store) -> None:
    assert isinstance(store, Shelf)
    await put_manifest(store, INDEX, ["1"])
    store.content[INDEX.digest] = INDEX.raw[:-1] + b" "

    for name in ("1", INDEX.descriptor):
        with pytest.raises(DigestMismatch, match="does not match its digest"):
            await fetch_manifest(store, name)


async def test_a_manifest_that_is_too_large(store: Store) -> None:
    await put_manifest(store, INDEX, ["1"])

    assert await fetch_manifest(store, "1", INDEX.size) == INDEX
    for name in ("1", INDEX.descriptor):
        with pytest.raises(InvalidContent, match="too large"):
            await fetch_manifest(store, name, INDEX.size - 1)


async def test_a_manifest_that_is_none() -> None:
    store = Shelf()
    page = Descriptor.of(b"<html>", OCI_MANIFEST)
    await store.write(page, from_bytes(b"<html>"))

    with pytest.raises(InvalidContent, match=f"^the shelf@{page.digest} is not valid JSON"):
        await fetch_manifest(store, page)


async def test_a_descriptor_that_says_another_kind() -> None:
    store = Shelf()
    await put_manifest(store, INDEX)

    with pytest.raises(InvalidContent, match="is ambiguous"):
        await fetch_manifest(store, Descriptor.of(INDEX.raw, DOCKER_LIST))


# --- sources


async def test_a_source_can_be_read_again(store: Store) -> None:
    blob = Descriptor.of(b"some bytes of a layer", "application/octet-stream")
    await store.write(blob, from_bytes(b"some bytes of a layer"))

    for source in (from_bytes(b"some bytes of a layer"), from_store(store, blob)):
        for _ in range(2):
            assert b"".join([chunk async for chunk in source()]) == b"some bytes of a layer"
    assert await read(store, blob) == b"some bytes of a layer"
    with pytest.raises(InvalidContent, match="too large"):
        await read(store, blob, 3)


async def test_from_one_store_to_another() -> None:
    source, target = Shelf(), Shelf()
    blob = Descriptor.of(b"layer", "application/octet-stream")
    await source.write(blob, from_bytes(b"layer"))
    await target.write(blob, from_store(source, blob))
    assert target.content == source.content

    source.content[blob.digest] = b"Layer"
    with pytest.raises(DigestMismatch):
        await Shelf().write(blob, from_store(source, blob))


def test_which_descriptors_are_manifests() -> None:
    for media_type in (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, OCI_ARTIFACT_MANIFEST):
        assert is_manifest(Descriptor.of(b"", media_type))
    for media_type in (OCI_CONFIG, "", "application/json"):
        assert not is_manifest(Descriptor.of(b"", media_type))


class _Watched:
    """A hash that says in which thread it was fed."""

    def __init__(self, inner: Any, threads: set[int]) -> None:
        self._inner, self._threads = inner, threads

    def update(self, data: bytes) -> None:
        self._threads.add(threading.get_ident())
        self._inner.update(data)

    def hexdigest(self) -> str:
        return str(self._inner.hexdigest())


@pytest.mark.parametrize("size, is_here", [(1000, True), (3_000_000, False)])
async def test_what_is_large_is_hashed_in_a_thread(size: int, is_here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"x" * size
    content = Descriptor(digest=Digest.of(data), size=size, media_type="a/b")
    threads: set[int] = set()
    new = hashlib.new
    monkeypatch.setattr(hashlib, "new", lambda name: _Watched(new(name), threads))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, 100_000):
            yield data[start : start + 100_000]

    assert await Reader(content, chunks()).read() == data
    assert (threads == {threading.get_ident()}) is is_here
    assert (threading.get_ident() in threads) is is_here


async def test_what_is_too_much_is_not_handed_out() -> None:
    data = b"x" * 1_000_000
    content = Descriptor(digest=Digest.of(data), size=len(data), media_type="a/b")
    got: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield data[:100_000]

    async def take() -> None:
        async for chunk in Reader(content, chunks()):
            got.append(chunk)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(DigestMismatch, match="larger"):
        await take()
    assert sum(map(len, got)) <= len(data)
