"""Content codings, which lading does not ask for: what comes all the same is read, or named."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from lading.errors import DigestMismatch, InvalidContent, LadingError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.registry.hosts.configuration import Config
from lading.registry.http.openssl import OpenSSLTransport
from lading.registry.http.rustls import ReqwestTransport
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import from_store, read
from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.http import Headers
from support.images import make_image
from support.lading import Lading

IMAGE = make_image()
CONFIG = b'{"architecture":"amd64","os":"linux"}' + b" " * 5000
LAYER = gzip.compress(b"a layer" * 50_000, mtime=0)
BLOBS = {Digest.of(blob): blob for blob in (CONFIG, LAYER)}
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda raw: gzip.compress(raw, mtime=0),
    "x-gzip": lambda raw: gzip.compress(raw[:3]) + gzip.compress(raw[3:]),
    "deflate": zlib.compress,
    "Deflate": lambda raw: zlib.compress(raw)[2:-4],
}


def coded(reply: Reply, coding: str) -> Reply:
    fields = [*Headers.of(reply.headers), ("Content-Encoding", coding)]
    return Reply(status=reply.status, headers=fields, body=CODINGS[coding](reply.body))


def coding_registry(coding: str, *, is_chunked: bool = False) -> ScriptedServer:
    """A registry that codes every answer, also of its token service."""

    def plain(request: Request) -> Reply:
        if request.path == "/token":
            return json_reply({"token": "good"})
        if request.headers.get("Authorization") != "Bearer good":
            challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
            return error_reply(401, "UNAUTHORIZED", headers=challenge)
        name = request.path.rpartition("/")[2]
        if request.path.endswith("/tags/list"):
            return json_reply({"tags": ["1"]})
        if "/manifests/" in request.path and name in ("1", IMAGE.digest):
            headers = {"Content-Type": IMAGE.media_type, "Docker-Content-Digest": IMAGE.digest}
            return Reply(body=IMAGE.content, headers=headers)
        if name in BLOBS:
            return Reply(body=BLOBS[Digest(name)])
        return error_reply(404, "MANIFEST_UNKNOWN", "it is not here")

    def script(request: Request) -> Reply:
        reply = coded(plain(request), coding)
        return Reply(status=reply.status, headers=reply.headers, body=reply.body, chunked=is_chunked)

    server = ScriptedServer(script)
    return server


@pytest.fixture(params=[ReqwestTransport, OpenSSLTransport], ids=["rustls", "openssl"])
def transport(request: pytest.FixtureRequest) -> type[ReqwestTransport | OpenSSLTransport]:
    found: type[ReqwestTransport | OpenSSLTransport] = request.param
    return found


@asynccontextmanager
async def connected(
    server: ScriptedServer, transport: type[ReqwestTransport | OpenSSLTransport] = ReqwestTransport
) -> AsyncIterator[Repository]:
    async with Session(config=Config(), backoff=0, transport=transport) as session:
        yield Repository(session, server.host, "t/app")


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_what_comes_coded_is_read(
    coding: str, is_chunked: bool, transport: type[ReqwestTransport | OpenSSLTransport]
) -> None:
    with coding_registry(coding, is_chunked=is_chunked) as server:
        async with connected(server, transport) as store:
            assert (await store.fetch("1")).raw == IMAGE.content
            found = await store.resolve("1")
            assert (found.digest, found.size) == (IMAGE.digest, IMAGE.size)
            assert await read(store, found) == IMAGE.content
            assert [tag async for tag in store.tags()] == ["1"]
            for digest, blob in BLOBS.items():
                content = Descriptor(digest=digest, size=len(blob))
                assert await read(store, content) == blob
                rest = from_store(store, content).since(1000)
                assert b"".join([chunk async for chunk in rest]) == blob[1000:]
                assert await store.read_part(content, 10, 20) == blob[10:30]
                assert await store.blob_size(digest) == len(blob)
                async with store.open_blob(digest) as (_, chunks):
                    assert b"".join([chunk async for chunk in chunks]) == blob
            with pytest.raises(LadingError) as caught:
                await store.fetch("2")
            assert caught.value.registry_code == "MANIFEST_UNKNOWN"
        assert {request.headers.get("Accept-Encoding") for request in server.requests} == {"identity"}


@pytest.mark.parametrize("coding", ["gzip", "br", "aws-chunked"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_what_is_only_said_to_be_coded_is_taken_as_it_is(coding: str, is_chunked: bool) -> None:
    """Some storages keep a label that a layer was given, and send the layer as it was pushed."""

    def script(request: Request) -> Reply:
        body, status, headers = LAYER, 200, [("Content-Encoding", coding)]
        if asked := request.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            headers.append(("Content-Range", f"bytes {start}-{len(LAYER) - 1}/{len(LAYER)}"))
            body, status = LAYER[start:], 206
        return Reply(status=status, body=body, headers=headers, chunked=is_chunked)

    content = Descriptor(digest=Digest.of(LAYER), size=len(LAYER))
    with ScriptedServer(script) as server:
        async with connected(server) as store:
            assert await read(store, content) == LAYER
            assert b"".join([chunk async for chunk in from_store(store, content).since(1000)]) == LAYER[1000:]
            assert await store.blob_size(content.digest) == len(LAYER)


@pytest.mark.parametrize(
    "body",
    [b"\x1f\x8b no gzip", gzip.compress(CONFIG)[:-9], gzip.compress(b"other" * 1000)],
    ids=["no gzip", "cut off", "something else"],
)
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_what_is_neither_is_named(body: bytes, is_chunked: bool) -> None:
    reply = Reply(body=body, headers={"Content-Encoding": "gzip"}, chunked=is_chunked)
    with ScriptedServer(lambda _: reply) as server:
        async with connected(server) as store:
            content = Descriptor(digest=Digest.of(CONFIG), size=len(CONFIG))
            with pytest.raises((InvalidContent, DigestMismatch)):
                await read(store, content)
            with pytest.raises(InvalidContent):
                await store.fetch("1")


async def test_a_coding_that_cannot_be_undone_is_named() -> None:
    with ScriptedServer(lambda _: Reply(body=b"\x1b\x00", headers={"Content-Encoding": "br"})) as server:
        async with connected(server) as store:
            with pytest.raises(InvalidContent, match="'br'"):
                await store.fetch("1")
            with pytest.raises(InvalidContent, match="'br'"):
                await read(store, Descriptor(digest=Digest.of(CONFIG), size=len(CONFIG)))


async def test_a_web_page_is_one_with_a_coding_too() -> None:
    page = coded(Reply(body=b"<html>a login</html>", headers={"Content-Type": "text/html"}), "gzip")
    with ScriptedServer(lambda _: page) as server:
        async with connected(server) as store:
            with pytest.raises(LadingError, match="is no registry"):
                await store.fetch("1")


async def test_a_small_answer_does_not_grow_without_end() -> None:
    bomb = Reply(body=gzip.compress(b" " * 40_000_000), headers={"Content-Encoding": "gzip"})
    with ScriptedServer(lambda _: bomb) as server:
        async with connected(server) as store:
            with pytest.raises(InvalidContent, match="too large"):
                await store.fetch("1")
            with pytest.raises((InvalidContent, DigestMismatch)):
                await read(store, Descriptor(digest=Digest.of(CONFIG), size=len(CONFIG)))


def test_commands_read_it(lading: Lading) -> None:
    with coding_registry("gzip") as server:
        name = f"{server.host}/t/app"
        assert lading.run("digest", f"{name}:1").stdout.strip() == IMAGE.digest
        assert lading.run("tags", name).stdout.split() == ["1"]
        assert json.loads(lading.run("manifest", "inspect", f"{name}:1").stdout)
