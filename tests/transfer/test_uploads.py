"""Uploads that break off, are refused, or were begun by another run."""

import asyncio
import http.client
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lading.errors import Conflict, InvalidContent, LadingError, RegistryFailure, Unreachable
from lading.model.descriptor import Descriptor
from lading.registry.cache import Cache
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.registry.upload_journal import Journal
from lading.registry.uploads import CHUNK
from lading.store import Source, from_bytes, from_chunks, from_store, read
from support import images
from support.fakes import error_reply
from support.http import Reply, Request
from support.proxy import Action, Alter, CountingProxy, when
from support.registry import RealRegistry
from transfer.relay import Relay

MIB = 1024 * 1024
BLOB = images.noise("a blob", 8 * MIB)
CONTENT = Descriptor.of(BLOB, "application/octet-stream")


@asynccontextmanager
async def connected(host: str, repository: str, cache: Path | None = None) -> AsyncIterator[Repository]:
    async with Session(backoff=0.01, retries=1, cache=Cache(cache)) as session:
        yield Repository(session, host, repository)


async def test_an_upload_that_breaks_off_goes_on_where_the_registry_says(elsewhere: str, repository: str) -> None:
    async with Relay(elsewhere, cut_after=3 * MIB, cuts=2) as relay, connected(relay.host, repository) as store:
        await store.write(CONTENT, from_bytes(BLOB))
        assert relay.cuts == 0
        assert relay.sent < len(BLOB) + 0.5 * MIB
        assert await read(store, CONTENT, len(BLOB)) == BLOB


async def test_the_next_run_goes_on_where_this_one_was_interrupted(
    elsewhere: str, repository: str, tmp_path: Path
) -> None:
    folder = tmp_path / "uploads"
    async with Relay(elsewhere) as relay:
        async with connected(relay.host, repository, tmp_path) as store:
            with pytest.raises(LadingError, match="the source is gone"):
                await store.write(CONTENT, broken(6 * MIB))
        assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
        (journal,) = folder.iterdir()
        await put_away(relay, elsewhere, repository, json.loads(journal.read_bytes())["location"])
        async with connected(relay.host, repository, tmp_path) as another:
            await another.write(CONTENT, from_bytes(BLOB))
            assert await read(another, CONTENT, len(BLOB)) == BLOB
        assert relay.sent < len(BLOB) + 0.5 * MIB
    assert list(folder.iterdir()) == []


async def put_away(relay: Relay, host: str, repository: str, location: str) -> None:
    """Wait until a registry has put away what came of an upload through a relay."""
    with images.RegistryClient(host, repository) as client:
        received = 0
        while relay.is_connected or received < relay.sent - 65536:  # the heads of requests were sent, too
            await asyncio.sleep(0.01)
            _, headers, _ = await asyncio.to_thread(client.request, "GET", location, expect=204, absolute=True)
            received = int(headers["Range"].removeprefix("0-")) + 1


def broken(after: int) -> Source:
    """A source that ends with a failure."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, after, 65536):
            yield BLOB[start : start + 65536]
        raise LadingError("the source is gone")

    return from_chunks(chunks)


@pytest.mark.parametrize("damage", ["not JSON", "another's", "too old", "busy", "lost", "wrong bytes"])
async def test_a_journal_that_is_of_no_use_costs_nothing_but_the_upload(
    damage: str, elsewhere: str, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "uploads"
    journal = Journal(folder)
    key = (elsewhere, repository, CONTENT.digest)
    journal.keep(*key, f"/v2/{repository}/blobs/uploads/nothing")
    (path,) = folder.iterdir()
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
    async with connected(elsewhere, repository, tmp_path) as store:
        await store.write(CONTENT, from_bytes(BLOB))
        assert await store.contains(CONTENT)
    assert list(folder.iterdir()) == []


def test_a_journal_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("a file")
    journal = Journal(tmp_path / "uploads")
    journal.keep("r", "a", CONTENT.digest, "/v2/a")
    assert journal.find("r", "a", CONTENT.digest) is None
    journal.forget("r", "a", CONTENT.digest)


def test_a_journal_forgets_what_is_too_old(tmp_path: Path) -> None:
    Journal(tmp_path).keep("r", "a", CONTENT.digest, "/v2/a")
    (old,) = tmp_path.iterdir()
    os.utime(old, (0, 0))
    Journal(tmp_path).keep("r", "b", CONTENT.digest, "/v2/b")
    assert old not in tmp_path.iterdir()


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


@pytest.mark.parametrize("reply", [Reply(status=413), error_reply(413, "SIZE_INVALID", "too large")], ids=["", "code"])
async def test_what_is_too_large_for_a_gateway_is_sent_in_smaller_parts(
    elsewhere: str, repository: str, reply: Reply
) -> None:
    def gateway(request: Request) -> Reply | None:
        return reply if int(request.headers.get("content-length") or 0) > 2 * MIB else None

    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = gateway
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await store.contains(CONTENT)


async def test_what_another_client_brought_meanwhile_is_there(registry: RealRegistry, repository: str) -> None:
    """Nexus keeps what it has, and says so to the second of two that bring the same blob at once."""
    words = f"docker/v2/-/blobs/{CONTENT.digest} cannot be updated"
    async with connected(registry.host, repository) as other:
        await other.write(CONTENT, from_bytes(BLOB))
    with CountingProxy(registry.url) as proxy:
        reply = error_reply(400, "BLOB_UPLOAD_INVALID", "blob upload invalid", detail=words)
        proxy.intercept = when(reply, method="PUT", path="/blobs/uploads/")
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert proxy.count("PUT") == 1
            missing = images.noise("kept", MIB)
            with pytest.raises(Conflict, match="keeps"):
                await store.write(Descriptor.of(missing, "application/octet-stream"), from_bytes(missing))


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
            rest = from_store(store, CONTENT).since(5 * MIB)
            assert b"".join([chunk async for chunk in rest]) == BLOB[5 * MIB :]


# What a registry, or what is before it, refuses or fails to answer


@pytest.mark.parametrize("kind", ["embedded", "docker-registry"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_blob_that_is_there_although_the_answer_was_a_failure_is_not_sent_again(
    status: int, kind: str, elsewhere: str, registry: RealRegistry, repository: str
) -> None:
    host = elsewhere if kind == "embedded" else registry.host
    with CountingProxy(f"http://{host}") as proxy:
        proxy.intercept = when(Alter(status=status), method="PUT", times=1)
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await read(store, CONTENT, len(BLOB)) == BLOB
        assert sum(exchange.request_body_bytes for exchange in proxy.exchanges) == len(BLOB)


@pytest.mark.parametrize("kind", ["embedded", "docker-registry"])
async def test_what_a_gateway_gave_up_in_the_middle_is_not_added_to_what_had_arrived(
    kind: str, elsewhere: str, registry: RealRegistry, repository: str
) -> None:
    """Sent again to the same address, the blob would come after its own beginning."""
    host = elsewhere if kind == "embedded" else registry.host

    def gateway(request: Request) -> Reply | None:
        if request.method != "PUT" or not request.has_body:
            return None
        proxy.intercept = None
        connection = http.client.HTTPConnection(host)
        connection.request("PATCH", request.target, request.body[: 5 * MIB])
        assert connection.getresponse().status == 202
        connection.close()
        return Reply(status=504)

    with CountingProxy(f"http://{host}") as proxy:
        proxy.intercept = gateway
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await read(store, CONTENT, len(BLOB)) == BLOB
        sent = sum(exchange.request_body_bytes for exchange in proxy.exchanges)
        assert sent == (2 * len(BLOB) - 5 * MIB if kind == "embedded" else 2 * len(BLOB))


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
async def test_a_registry_that_is_busy_for_a_moment_gets_the_blob(method: str, elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        answers: list[Action] = [
            Reply(status=503),
            Reply(status=503, headers={"Retry-After": "0"}),
            Reply(status=429),
            Alter(drop="request"),
            Alter(drop="response"),
            Alter(truncate_request=MIB, reset=True),
        ]
        for number, answer in enumerate(answers):
            blob = BLOB[number:]
            content = Descriptor.of(blob, "application/octet-stream")
            proxy.intercept = when(answer, method=method, times=1)
            async with connected(proxy.host, repository) as store:
                store.uploads.chunk = 3 * MIB if method == "PATCH" else CHUNK
                await store.write(content, from_bytes(blob))
                assert await read(store, content, len(blob)) == blob


async def test_a_small_blob_survives_a_connection_that_breaks(elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        answers: list[Action] = [Alter(drop="request"), Alter(drop="response"), Reply(status=503)]
        for number, answer in enumerate(answers):
            blob = b"small %d" % number
            content = Descriptor.of(blob, "application/octet-stream")
            proxy.intercept = when(answer, method="POST", times=1)
            async with connected(proxy.host, repository) as store:
                await store.write(content, from_bytes(blob))
                assert await read(store, content) == blob
        assert {exchange.method for exchange in proxy.exchanges} == {"POST", "GET"}


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_registry_that_goes_on_failing_is_given_up(method: str, elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = lambda request: Reply(status=500) if request.method == method else None
        async with connected(proxy.host, repository) as store:
            with pytest.raises(RegistryFailure) as failure:
                await store.write(CONTENT, from_bytes(BLOB))
            assert not await store.contains(CONTENT)
        assert failure.value.status == 500
        assert 1 < proxy.count(method) <= 12


async def test_a_registry_is_given_the_time_that_it_asks_for(elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = when(Reply(status=503, headers={"Retry-After": "1"}), method="PUT", times=1)
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
        (refused, asked) = proxy.exchanges[1:3]
        assert asked.started - refused.ended > 0.9
        proxy.intercept = when(Reply(status=503, headers={"Retry-After": "3600"}), method="PUT")
        proxy.reset()
        async with connected(proxy.host, f"{repository}-2") as store:
            with pytest.raises(RegistryFailure, match="it asks to wait 3600 seconds"):
                await store.write(CONTENT, from_bytes(BLOB))
        assert proxy.count("PUT") == 1


async def test_a_source_that_fails_is_not_asked_again_and_again(elsewhere: str, repository: str) -> None:
    """It has its own ways of going on; whoever writes to a registry does not multiply them."""
    opened = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal opened
        opened += 1
        yield BLOB[: 3 * MIB]
        raise Unreachable("the source is gone")

    with CountingProxy(f"http://{elsewhere}") as proxy:
        async with connected(proxy.host, repository) as store:
            with pytest.raises(Unreachable, match="the source is gone"):
                await store.write(CONTENT, from_chunks(chunks))
        assert opened == 1
        assert proxy.count("PUT") <= 1  # it may fail before anything is sent


async def test_what_was_spoiled_on_the_way_is_sent_once_more(elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = when(Alter(corrupt_request=5 * MIB), method="PUT", times=1)
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await read(store, CONTENT, len(BLOB)) == BLOB
        proxy.intercept = lambda request: Alter(corrupt_request=5) if request.method in ("PUT", "PATCH") else None
        proxy.reset()
        other = Descriptor.of(BLOB[1:], "application/octet-stream")
        async with connected(proxy.host, repository) as store:
            with pytest.raises(InvalidContent):
                await store.write(other, from_bytes(BLOB[1:]))
            assert not await store.contains(other)
        assert proxy.count("PUT") == 2


@pytest.mark.parametrize("status", [400, 405, 411, 415, 501])
async def test_a_registry_that_takes_no_body_with_the_last_request_gets_it_before(
    status: int, elsewhere: str, repository: str
) -> None:
    def refuses(request: Request) -> Reply | None:
        return Reply(status=status) if request.method == "PUT" and request.has_body else None

    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = refuses
        async with connected(proxy.host, repository) as store:
            for blob in (BLOB, BLOB[1:]):
                content = Descriptor.of(blob, "application/octet-stream")
                await store.write(content, from_bytes(blob))
                assert await read(store, content, len(blob)) == blob
        # It is not asked again.
        assert proxy.count("PUT") == 3


@pytest.mark.parametrize("refused", ["chunks", "large bodies", "bodies of the last request"])
async def test_what_is_refused_to_several_at_once_is_sent_otherwise_by_all(
    refused: str, elsewhere: str, repository: str
) -> None:
    together = threading.Barrier(4)

    def refuses(request: Request) -> Reply | None:
        size = request.content_length or 0
        status = {
            "chunks": 405 if request.method == "PATCH" else 0,
            "large bodies": 413 if size > MIB else 0,
            "bodies of the last request": 405 if request.method == "PUT" and size else 0,
        }[refused]
        if status and size >= 3 * MIB:
            together.wait(20)
        return Reply(status=status) if status else None

    blobs = [images.noise(f"blob {number}", 4 * MIB) for number in range(4)]
    contents = [Descriptor.of(blob, "application/octet-stream") for blob in blobs]
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = refuses
        async with connected(proxy.host, repository) as store:
            store.uploads.chunk = 3 * MIB if refused == "chunks" else CHUNK
            await asyncio.gather(*map(store.write, contents, map(from_bytes, blobs)))
            for content, blob in zip(contents, blobs, strict=True):
                assert await read(store, content, len(blob)) == blob


async def test_a_registry_that_drops_the_body_of_the_last_request_gets_it_before(
    elsewhere: str, repository: str
) -> None:
    """It then has nothing to show for the digest."""
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = lambda request: (
            error_reply(400, "DIGEST_INVALID") if request.method == "PUT" and request.has_body else None
        )
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await read(store, CONTENT, len(BLOB)) == BLOB


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 415, 500, 501, 503])
async def test_a_mount_that_is_refused_in_any_way_becomes_an_upload(
    status: int, elsewhere: str, repository: str
) -> None:
    small = Descriptor.of(b"small", "application/octet-stream")
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = lambda request: Reply(status=status) if "mount=" in request.query else None
        async with connected(proxy.host, repository) as source:
            target = Repository(source.session, proxy.host, f"{repository}-copy")
            await source.write(CONTENT, from_bytes(BLOB))
            await source.write(small, from_bytes(b"small"))
            assert not await target.mount(CONTENT, source)
            await target.write(CONTENT, from_store(source, CONTENT))
            await target.write(small, from_store(source, small))
            assert await read(target, CONTENT, len(BLOB)) == BLOB


async def test_a_mount_that_is_answered_with_an_upload_uses_that(elsewhere: str, repository: str) -> None:
    with CountingProxy(f"http://{elsewhere}") as proxy:
        async with connected(proxy.host, repository) as source:
            target = Repository(source.session, proxy.host, f"{repository}-copy")
            assert not await target.mount(CONTENT, source)
            await target.write(CONTENT, from_bytes(BLOB))
        assert [exchange.method for exchange in proxy.exchanges] == ["POST", "PUT"]


async def test_a_download_whose_last_byte_has_come_is_complete(elsewhere: str, repository: str) -> None:
    """Nothing is left to ask for, even if the connection ends without a proper farewell."""
    with CountingProxy(f"http://{elsewhere}") as proxy:
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            proxy.reset()
            proxy.intercept = when(
                Alter(remove_headers=("Content-Length",), truncate=len(BLOB)), method="GET", path="/blobs/"
            )
            assert await read(store, CONTENT, len(BLOB)) == BLOB
