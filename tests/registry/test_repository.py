"""A repository as a Store, over HTTP: Debian's registry and the embedded one, and registries that misbehave."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from lading.errors import DigestMismatch, InvalidContent, LadingError, NotFound, Unsupported
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.tags import fallback_tag
from lading.registry.lists import repositories
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import background
from lading.store import (
    FetchesManifests,
    Mounts,
    PutsManifests,
    Source,
    Untags,
    from_bytes,
    from_chunks,
    from_store,
    read,
)
from lading.stores.overlay import Overlay
from support import images
from support.fakes import ScriptedServer, error_reply, json_reply
from support.http import Reply, Request
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

BLOB = b"some content of a blob\n" * 5000
CONTENT = Descriptor.of(BLOB, "application/octet-stream")


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    with background() as url:
        yield url.removeprefix("http://")


@pytest.fixture(params=["docker-registry", "embedded"])
def host(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        found: str = request.getfixturevalue("embedded")
        return found
    registry: RealRegistry = request.getfixturevalue("registry")
    return registry.host


@asynccontextmanager
async def connected(host: str, repository: str) -> AsyncIterator[Repository]:
    async with Session(backoff=0.01) as session:
        yield Repository(session, host, repository)


async def collect(items: AsyncIterator[str]) -> list[str]:
    return [item async for item in items]


def image_of(manifest: images.Manifest) -> Manifest:
    found = parse(manifest.content, manifest.media_type)
    assert isinstance(found, Manifest)
    return found


async def test_a_manifest_by_tag_and_by_digest(host: str, repository: str) -> None:
    pushed = images.make_image("linux/arm64/v8", kind="oci", annotations={"a": "<b>"})
    images.push(host, repository, "1", pushed)
    async with connected(host, repository) as store:
        assert store.name == f"{host}/{repository}"
        found = await store.resolve("1")
        assert (found.digest, found.size, found.media_type) == (pushed.digest, pushed.size, pushed.media_type)
        assert await store.resolve(pushed.digest) == found
        fetched = await store.fetch("1")
        assert fetched.raw == pushed.content
        assert (await store.fetch(pushed.digest)).raw == pushed.content
        assert await store.contains(found)
        assert await read(store, found) == pushed.content
        for name in ("nope", Digest.of(b"nope")):
            with pytest.raises(NotFound):
                await store.resolve(name)
            with pytest.raises(NotFound):
                await store.fetch(name)


async def test_a_manifest_under_another_digest_keeps_that_where_the_registry_does(host: str, repository: str) -> None:
    """With a tag alone, registries know it by sha256 only; docker-registry knows no other at all."""
    pushed = images.make_image(kind="oci")
    images.push(host, repository, "1", pushed)
    digest = Digest.of(pushed.content, "sha512")
    async with connected(host, repository) as store:
        await store.put(parse(pushed.content, pushed.media_type, digest=digest), "2")
        assert (await store.resolve("2")).digest == pushed.digest
        if await store.contains(Descriptor(media_type=pushed.media_type, digest=digest, size=pushed.size)):
            assert (await store.fetch(digest)).raw == pushed.content
        else:
            with pytest.raises(LadingError):
                await store.put(parse(pushed.content, pushed.media_type, digest=digest))


async def test_a_manifest_is_put_byte_for_byte_and_tagged(host: str, repository: str) -> None:
    pushed = images.make_image(kind="docker")
    images.push(host, repository, "1", pushed)
    async with connected(host, repository) as store:
        manifest = await store.fetch("1")
        await store.put(manifest, "2")
        await store.tag(manifest.descriptor, "3")
        assert sorted(await collect(store.tags())) == ["1", "2", "3"]
    for tag in ("2", "3"):
        assert images.get_manifest(host, repository, tag) == (pushed.content, pushed.media_type, pushed.digest)


async def test_a_blob_there_and_back(host: str, repository: str) -> None:
    async with connected(host, repository) as store:
        assert not await store.contains(CONTENT)
        with pytest.raises(NotFound):
            await read(store, CONTENT)
        await store.write(CONTENT, from_bytes(BLOB))
        assert await store.contains(CONTENT)
        assert await read(store, CONTENT) == BLOB
        for start in (5, len(BLOB) - 3):
            rest = from_store(store, CONTENT).since(start)
            assert b"".join([chunk async for chunk in rest]) == BLOB[start:]


async def test_a_blob_in_one_stream_of_unknown_length(host: str, repository: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(BLOB), 1000):
            yield BLOB[start : start + 1000]

    async with connected(host, repository) as store, Overlay() as overlay:
        content = await overlay.add(chunks())
        assert content == CONTENT
        await store.write(content, from_store(overlay, content))
        assert await read(store, CONTENT) == BLOB


async def test_a_small_blob_is_one_request_where_the_registry_knows_how(
    embedded: str, registry: RealRegistry, repository: str
) -> None:
    data = b"a config, say"
    content = Descriptor.of(data, "application/octet-stream")
    for host, expected in ((embedded, ["POST"]), (registry.host, ["POST", "PUT"])):
        with CountingProxy(f"http://{host}") as proxy:
            async with connected(proxy.host, repository) as store:
                await store.write(content, from_bytes(data))
                assert await read(store, content) == data
            assert [exchange.method for exchange in proxy.exchanges] == [*expected, "GET"]


@pytest.mark.parametrize("status", [400, 404, 405, 413])
async def test_a_registry_that_refuses_a_whole_blob_gets_it_the_other_way(
    status: int, embedded: str, repository: str
) -> None:
    with CountingProxy(f"http://{embedded}") as proxy:
        proxy.intercept = lambda request: (
            Reply(status=status) if request.method == "POST" and "digest=" in request.query else None
        )
        async with connected(proxy.host, repository) as store:
            for data in (b"one", b"two"):
                await store.write(Descriptor.of(data, "application/octet-stream"), from_bytes(data))
                assert await store.contains(Descriptor.of(data, "application/octet-stream"))
        posts = [exchange.query for exchange in proxy.exchanges if exchange.method == "POST"]
        assert len([query for query in posts if "digest=" in query]) == 1


async def test_an_empty_blob(host: str, repository: str) -> None:
    empty = Descriptor.of(b"", "application/octet-stream")
    async with connected(host, repository) as store:
        await store.write(empty, from_bytes(b""))
        assert await read(store, empty) == b""


async def test_the_wrong_bytes_are_not_written(host: str, repository: str) -> None:
    other = Descriptor.of(b"x" * len(BLOB), "application/octet-stream")
    async with connected(host, repository) as store:
        with pytest.raises(LadingError) as caught:
            await store.write(other, from_bytes(BLOB))
        assert caught.value.exit_code == 7
        assert not await store.contains(other)


async def test_a_mount_takes_no_bytes_along(registry: RealRegistry, new_repository: Callable[[], str]) -> None:
    first, second = new_repository(), new_repository()
    with CountingProxy(registry.url) as proxy:
        async with Session() as session:
            source, target = Repository(session, proxy.host, first), Repository(session, proxy.host, second)
            await source.write(CONTENT, from_bytes(BLOB))
            proxy.reset()
            assert await target.mount(CONTENT, source)
            assert await target.contains(CONTENT)
            assert sum(exchange.request_body_bytes + exchange.response_bytes for exchange in proxy.exchanges) == 0


async def test_a_refused_mount_becomes_an_upload_without_another_post(
    registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    with CountingProxy(registry.url) as proxy:
        async with Session() as session:
            # The source lacks the blob, so the registry opens an upload instead.
            empty, target = (Repository(session, proxy.host, new_repository()) for _ in range(2))
            assert not await target.mount(CONTENT, empty)
            await target.write(CONTENT, from_bytes(BLOB))
            assert await target.contains(CONTENT)
        assert proxy.count("POST") == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_a_mount_that_is_denied_is_no_failure(status: int, registry: RealRegistry, repository: str) -> None:
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = lambda request: Reply(status=status) if "mount=" in request.query else None
        async with Session() as session:
            source, target = Repository(session, proxy.host, "a"), Repository(session, proxy.host, repository)
            assert not await target.mount(CONTENT, source)
            await target.write(CONTENT, from_bytes(BLOB))
            assert await target.contains(CONTENT)


async def test_a_download_that_breaks_off_goes_on_where_it_stopped(registry: RealRegistry, repository: str) -> None:
    with CountingProxy(registry.url) as proxy:
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            proxy.reset()
            proxy.intercept = when(Alter(truncate=70_000), method="GET", times=1)
            assert await read(store, CONTENT) == BLOB
        gets = [exchange for exchange in proxy.exchanges if exchange.method == "GET"]
        assert (gets[1].headers.get("range") or "").startswith("bytes=")
        assert gets[1].response_bytes < len(BLOB)


async def test_damaged_content_never_gets_through(registry: RealRegistry, repository: str) -> None:
    pushed = images.make_image()
    images.push(registry.host, repository, "1", pushed)
    with CountingProxy(registry.url) as proxy:
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            proxy.intercept = when(Alter(corrupt=100), method="GET")
            with pytest.raises(DigestMismatch):
                await read(store, CONTENT)
            for name in ("1", pushed.digest):
                with pytest.raises(InvalidContent):
                    await store.fetch(name)


async def test_a_copy_of_damaged_content_leaves_nothing(
    registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    first, second = new_repository(), new_repository()
    with CountingProxy(registry.url) as proxy:
        async with Session(backoff=0.01) as session:
            source, target = Repository(session, proxy.host, first), Repository(session, registry.host, second)
            await source.write(CONTENT, from_bytes(BLOB))
            proxy.intercept = when(Alter(corrupt=100), method="GET")
            with pytest.raises(DigestMismatch):
                await target.write(CONTENT, from_store(source, CONTENT))
            assert not await target.contains(CONTENT)


async def test_an_upload_that_is_lost_starts_anew(registry: RealRegistry, repository: str) -> None:
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = when(error_reply(404, "BLOB_UPLOAD_UNKNOWN", "no such upload"), method="PUT", times=1)
        async with connected(proxy.host, repository) as store:
            await store.write(CONTENT, from_bytes(BLOB))
            assert await store.contains(CONTENT)
        assert proxy.count("POST") == 2


async def test_deleting_takes_a_manifest_with_its_tags(host: str, repository: str) -> None:
    pushed = images.make_image()
    for tag in ("1", "2"):
        images.push(host, repository, tag, pushed)
    async with connected(host, repository) as store:
        await store.delete(await store.resolve("1"))
        for tag in ("1", "2"):
            with pytest.raises(NotFound):
                await store.resolve(tag)


async def test_untagging_leaves_the_manifest(embedded: str, repository: str) -> None:
    pushed = images.make_image()
    for tag in ("1", "2"):
        images.push(embedded, repository, tag, pushed)
    async with connected(embedded, repository) as store:
        await store.untag("1")
        assert await collect(store.tags()) == ["2"]
        assert (await store.resolve("2")).digest == pushed.digest
        with pytest.raises(NotFound):
            await store.untag("1")


async def test_untagging_where_the_registry_cannot_changes_nothing(registry: RealRegistry, repository: str) -> None:
    images.push(registry.host, repository, "1", images.make_image())
    async with connected(registry.host, repository) as store:
        with pytest.raises(Unsupported):
            await store.untag("1")
        assert await collect(store.tags()) == ["1"]


async def test_deleting_where_it_is_switched_off_is_unsupported(repository: str) -> None:
    with RealRegistry(delete=False) as registry:
        images.push(registry.host, repository, "1", images.make_image())
        async with connected(registry.host, repository) as store:
            with pytest.raises(Unsupported):
                await store.delete(await store.resolve("1"))


async def test_tags_and_repositories_page_by_page() -> None:
    tags = [f"tag-{number}" for number in range(7)]

    def paged(key: str, items: list[str], absolute: str) -> Callable[[Request], Reply]:
        def answer(request: Request) -> Reply:
            last = request.params.get("last")
            start = items.index(last[0]) + 1 if last else 0
            page = items[start : start + 3]
            headers = {}
            if start + 3 < len(items):
                headers["Link"] = f'<{absolute}{request.path}?n=3&last={page[-1]}>; rel="next"'
            return json_reply({key: page, "name": "x"}, headers=headers)

        return answer

    for absolute in (True, False):
        with ScriptedServer(lambda request: script(request)) as server:
            base = f"http://{server.host}" if absolute else ""
            list_tags, list_repos = paged("tags", tags, base), paged("repositories", tags, base)

            def script(
                request: Request,
                list_tags: Callable[[Request], Reply] = list_tags,
                list_repos: Callable[[Request], Reply] = list_repos,
            ) -> Reply:
                return list_repos(request) if "_catalog" in request.path else list_tags(request)

            async with Session() as session:
                assert await collect(Repository(session, server.host, "x").tags()) == tags
                assert await collect(repositories(session, server.host)) == tags


async def test_pages_elsewhere_or_in_a_circle_are_refused() -> None:
    with ScriptedServer(lambda _: None) as elsewhere:
        for link in (f"http://{elsewhere.host}/v2/x/tags/list", "/v2/x/tags/list"):
            reply = json_reply({"name": "x", "tags": ["1"]}, headers={"Link": f'<{link}>; rel="next"'})
            with ScriptedServer(lambda _, reply=reply: reply) as server:  # type: ignore[misc]
                async with connected(server.host, "x") as store:
                    with pytest.raises(LadingError):
                        await collect(store.tags())
        assert elsewhere.requests == []


async def test_a_repository_without_tags() -> None:
    with ScriptedServer(lambda _: json_reply({"name": "x", "tags": None})) as server:
        async with connected(server.host, "x") as store:
            assert await collect(store.tags()) == []


async def test_an_upload_location_elsewhere_is_refused() -> None:
    with ScriptedServer(lambda _: Reply(status=201)) as elsewhere:
        location = f"http://{elsewhere.host}/v2/x/blobs/uploads/1"
        with ScriptedServer(lambda _: Reply(status=202, headers={"Location": location})) as server:
            async with connected(server.host, "x") as store:
                with pytest.raises(LadingError):
                    await store.write(CONTENT, from_bytes(BLOB))
        assert elsewhere.requests == []


async def test_a_head_that_says_nothing_is_followed_by_a_get() -> None:
    manifest = images.make_image()

    def script(request: Request) -> Reply:
        return Reply(
            status=200,
            headers={"Content-Type": manifest.media_type},
            body=b"" if request.method == "HEAD" else manifest.content,
        )

    with ScriptedServer(script) as server:
        async with connected(server.host, "x") as store:
            assert (await store.resolve("1")).digest == manifest.digest


async def test_a_registry_that_answers_with_another_manifest_is_not_believed() -> None:
    asked, answered = images.make_image(seed="asked"), images.make_image(seed="answered")
    headers = {"Content-Type": answered.media_type, "Docker-Content-Digest": answered.digest}
    with ScriptedServer(lambda _: Reply(status=200, headers=headers, body=answered.content)) as server:
        async with connected(server.host, "x") as store:
            with pytest.raises(DigestMismatch):
                await store.fetch(asked.digest)
            with pytest.raises(DigestMismatch):
                await store.resolve(asked.digest)


async def test_a_manifest_that_was_spoiled_on_the_way_does_not_keep_the_tag(embedded: str, repository: str) -> None:
    index = images.make_index([images.make_image()], kind="oci", annotations={"org.example.note": "whole"})
    images.push(embedded, repository, None, index)
    with CountingProxy(f"http://{embedded}") as proxy:
        proxy.intercept = when(Alter(corrupt_request=index.content.index(b"whole")), method="PUT", times=1)
        async with connected(proxy.host, repository) as store:
            await store.put(parse(index.content, index.media_type), "1")
    assert images.get_manifest(embedded, repository, "1")[0] == index.content


async def test_a_registry_that_stores_other_bytes_is_caught() -> None:
    manifest = image_of(images.make_image())
    with ScriptedServer(lambda _: Reply(status=201, headers={"Docker-Content-Digest": Digest.of(b"other")})) as server:
        async with connected(server.host, "x") as store:
            with pytest.raises(DigestMismatch):
                await store.put(manifest, "1")


async def test_a_manifest_that_others_write_at_the_same_time_is_put_again(embedded: str, repository: str) -> None:
    # Registries on a plain file system read what another request has half written, and find another digest.
    config_only = images.make_image(layers=0)
    images.push(embedded, repository, "0", config_only)
    refusal = error_reply(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
    with CountingProxy(f"http://{embedded}") as proxy:
        async with connected(proxy.host, repository) as store:
            proxy.intercept = when(refusal, method="PUT", times=2)
            await store.put(image_of(config_only), "1")
            assert (await store.resolve("1")).digest == config_only.digest
            proxy.intercept = when(refusal, method="PUT")
            with pytest.raises(InvalidContent, match="did not match uploaded content"):
                await store.put(image_of(config_only), "2")


async def test_sha512_is_verified_with_sha512(embedded: str, repository: str) -> None:
    content = Descriptor.of(BLOB, "application/octet-stream", "sha512")
    assert content.digest.hex == hashlib.sha512(BLOB).hexdigest()
    async with connected(embedded, repository) as store:
        await store.write(content, from_bytes(BLOB))
        assert await read(store, content) == BLOB


async def test_referrers(host: str, repository: str) -> None:
    """By the API where the registry has it, else by the fallback tag; each once, filtered by type."""
    subject = images.make_image(kind="oci")
    images.push(host, repository, "1", subject)
    referrers = [
        images.make_artifact(f"application/vnd.example.{kind}", subject=subject, annotations={"kind": kind})
        for kind in ("signature", "sbom")
    ]
    async with connected(host, repository) as store:
        target = await store.resolve("1")
        assert [r async for r in store.referrers(target)] == []
        for referrer in referrers:
            for content in referrer.blobs.values():
                await store.write(Descriptor.of(content, "application/octet-stream"), from_bytes(content))
            for _ in range(2):
                await store.put(image_of(referrer))
        found = [r async for r in store.referrers(target)]
        assert {r.digest for r in found} == {r.digest for r in referrers}
        assert {r.annotations["kind"] for r in found} == {"signature", "sbom"}
        only = [r async for r in store.referrers(target, "application/vnd.example.sbom")]
        assert [r.digest for r in only] == [referrers[1].digest]


async def test_a_referrer_that_is_deleted_is_listed_no_more(registry: RealRegistry, repository: str) -> None:
    """The list under the fallback tag is kept without it; one that was not listed changes nothing."""
    subject = images.make_image(kind="oci")
    images.push(registry.host, repository, "1", subject)
    first, second, unlisted = (images.make_artifact(f"text/x-{n}", subject=subject) for n in range(3))
    images.push(registry.host, repository, "unlisted", unlisted)
    async with connected(registry.host, repository) as store:
        for referrer in (first, second):
            images.push(registry.host, repository, None, referrer)
            await store.put(image_of(referrer))
        target = await store.resolve("1")
        await store.delete(await store.resolve(first.digest))
        assert [r.digest async for r in store.referrers(target)] == [second.digest]
        before = await store.resolve(fallback_tag(Digest(subject.digest)))
        await store.delete(await store.resolve("unlisted"))
        assert await store.resolve(fallback_tag(Digest(subject.digest))) == before
        await store.delete(await store.resolve(second.digest))
        assert [r async for r in store.referrers(target)] == []


async def test_a_fallback_tag_that_is_the_subject_itself_is_no_list(registry: RealRegistry, repository: str) -> None:
    subject = images.make_index([images.make_image()], kind="oci")
    images.push(registry.host, repository, "1", subject)
    images.push(registry.host, repository, fallback_tag(Digest(subject.digest)), subject)
    async with connected(registry.host, repository) as store:
        assert [r async for r in store.referrers(await store.resolve("1"))] == []


async def test_a_repository_can_what_its_capabilities_say(host: str, repository: str) -> None:
    async with connected(host, repository) as store:
        for capability in (FetchesManifests, PutsManifests, Mounts, Untags):
            assert isinstance(store, capability)


async def test_indexes_nested_and_sparse_are_read_as_they_are(embedded: str, repository: str) -> None:
    inner = images.make_index([images.make_image()], kind="oci")
    outer = images.make_index([inner], kind="oci")
    images.push(embedded, repository, "nested", outer)
    async with connected(embedded, repository) as store:
        found = await store.fetch("nested")
        assert isinstance(found, Index)
        assert found.manifests[0].media_type == inner.media_type


def failing(after: int) -> Source:
    async def chunks() -> AsyncIterator[bytes]:
        yield BLOB[:after]
        raise InvalidContent("the source is damaged")

    return from_chunks(chunks)


async def test_a_source_that_fails_ends_the_upload(host: str, repository: str) -> None:
    async with connected(host, repository) as store:
        with pytest.raises(InvalidContent, match="the source is damaged"):
            await store.write(CONTENT, failing(1000))
        assert not await store.contains(CONTENT)
