"""Uploads that break off, are refused, or were begun by another run."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.model.descriptor import Descriptor
from lading.registry.journal import Journal
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Source, from_bytes, read, since
from support import images
from support.http import Reply, Request
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry
from transfer.relay import Relay

MIB = 1024 * 1024
BLOB = images.noise("a blob", 8 * MIB)
CONTENT = Descriptor.of(BLOB, "application/octet-stream")


@asynccontextmanager
async def connected(host: str, repository: str, journal: Journal | None = None) -> AsyncIterator[Repository]:
    async with Session(backoff=0.01, retries=1) as session:
        store = Repository(session, host, repository)
        store.uploads.journal = journal
        yield store


async def test_an_upload_that_breaks_off_goes_on_where_the_registry_says(elsewhere: str, repository: str) -> None:
    async with Relay(elsewhere, cut_after=3 * MIB, cuts=2) as relay, connected(relay.host, repository) as store:
        await store.write(CONTENT, from_bytes(BLOB))
        assert relay.cuts == 0
        assert relay.sent < len(BLOB) + 0.5 * MIB
        assert await read(store, CONTENT, len(BLOB)) == BLOB


async def test_the_next_run_goes_on_where_this_one_was_interrupted(
    elsewhere: str, repository: str, tmp_path: Path
) -> None:
    journal = Journal(tmp_path)
    async with Relay(elsewhere) as relay:
        async with connected(relay.host, repository, journal) as store:
            with pytest.raises(LadingError, match="the source is gone"):
                await store.write(CONTENT, broken(6 * MIB))
        assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]
        async with connected(relay.host, repository, journal) as another:
            await another.write(CONTENT, from_bytes(BLOB))
            assert await read(another, CONTENT, len(BLOB)) == BLOB
        assert relay.sent < len(BLOB) + 0.5 * MIB
    assert list(tmp_path.iterdir()) == []


def broken(after: int) -> Source:
    """A source that ends with a failure."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, after, 65536):
            yield BLOB[start : start + 65536]
        raise LadingError("the source is gone")

    return chunks


@pytest.mark.parametrize("damage", ["not JSON", "another's", "too old", "busy", "lost", "wrong bytes"])
async def test_a_journal_that_is_of_no_use_costs_nothing_but_the_upload(
    damage: str, elsewhere: str, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    key = (elsewhere, repository, CONTENT.digest)
    journal.keep(*key, f"/v2/{repository}/blobs/uploads/nothing")
    (path,) = tmp_path.iterdir()
    if damage == "not JSON":
        path.write_bytes(b"\x00\xff{")
    elif damage == "another's":
        path.write_text(path.read_text().replace(repository, "somebody/else"))
    elif damage == "too old":
        monkeypatch.setattr("time.time", lambda: 1.0)
        journal.keep(*key, "/v2/x")
        monkeypatch.undo()
    elif damage == "busy":
        path.write_text(path.read_text().replace(f'"process":{os.getpid()}', '"process":1'))
    elif damage == "wrong bytes":
        with images.RegistryClient(elsewhere, repository) as client:
            _, headers, _ = client.request("POST", "/blobs/uploads/", expect=202)
            client.request("PATCH", headers["Location"], b"x" * 5 * MIB, expect=202, absolute=True)
        journal.keep(*key, headers["Location"])
    if damage not in ("lost", "wrong bytes"):
        assert journal.find(*key) is None
    async with connected(elsewhere, repository, journal) as store:
        await store.write(CONTENT, from_bytes(BLOB))
        assert await store.contains(CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_no_journal_is_kept_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LADING_CACHE", "0")
    assert Journal.of_user() is None
    monkeypatch.delenv("LADING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    journal = Journal.of_user()
    assert journal is not None
    tmp_path.chmod(0o500)
    journal.keep("r", "a", CONTENT.digest, "/v2/a")  # a cache that cannot be written is no failure
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("kind", ["embedded", "docker-registry"])
async def test_a_large_blob_goes_in_chunks(kind: str, elsewhere: str, registry: RealRegistry, repository: str) -> None:
    host = elsewhere if kind == "embedded" else registry.host
    with CountingProxy(f"http://{host}") as proxy:
        async with connected(proxy.host, repository) as store:
            store.uploads.chunk = 3 * MIB
            await store.write(CONTENT, from_bytes(BLOB))
            assert await read(store, CONTENT, len(BLOB)) == BLOB
        sent = [exchange for exchange in proxy.exchanges if exchange.method == "PATCH"]
        assert [exchange.headers.get("content-range") for exchange in sent] == [
            "0-3145727",
            "3145728-6291455",
            "6291456-8388607",
        ]


async def test_a_registry_that_wants_larger_chunks_gets_them(elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        least = Alter(set_headers=(("OCI-Chunk-Min-Length", str(4 * MIB)),))
        proxy.intercept = when(least, method="POST")
        async with connected(proxy.host, repository) as store:
            store.uploads.chunk = 1 * MIB
            await store.write(CONTENT, from_bytes(BLOB))
        assert proxy.count("PATCH") == 2


@pytest.mark.parametrize("status", [400, 404, 405, 415, 416, 501])
async def test_a_registry_without_chunks_gets_the_blob_whole(status: int, elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = lambda request: Reply(status=status) if request.method == "PATCH" else None
        async with connected(proxy.host, repository) as store:
            store.uploads.chunk = 3 * MIB
            for blob in (BLOB, BLOB[1:]):
                content = Descriptor.of(blob, "application/octet-stream")
                await store.write(content, from_bytes(blob))
                assert await store.contains(content)
        assert proxy.count("PATCH") == 1


async def test_what_is_too_large_for_a_gateway_is_sent_in_smaller_parts(elsewhere: str, repository: str) -> None:
    def gateway(request: Request) -> Reply | None:
        return Reply(status=413) if int(request.headers.get("content-length") or 0) > 2 * MIB else None

    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = gateway
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await store.contains(CONTENT)


async def test_an_answer_that_is_lost_does_not_send_the_blob_twice(registry: RealRegistry, repository: str) -> None:
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = when(Alter(drop="response"), method="PUT", times=1)
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
        assert sum(exchange.request_body_bytes for exchange in proxy.exchanges) == len(BLOB)


async def test_a_download_that_breaks_again_and_again_goes_on(registry: RealRegistry, repository: str) -> None:
    async with connected(registry.host, repository) as store:
        await store.write(CONTENT, from_bytes(BLOB))
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = when(Alter(truncate=MIB), method="GET", times=6)
        async with connected(proxy.host, repository) as store:
            assert await read(store, CONTENT, len(BLOB)) == BLOB
            async with store.open_from(CONTENT, 5 * MIB) as chunks:
                assert b"".join([chunk async for chunk in chunks]) == BLOB[5 * MIB :]


async def test_any_source_can_be_read_from_the_middle() -> None:
    assert b"".join([chunk async for chunk in since(from_bytes(BLOB), 5)]) == BLOB[5:]
    assert [chunk async for chunk in since(from_bytes(b"abc"), 3)] == []
