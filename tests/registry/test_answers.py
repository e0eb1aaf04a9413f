"""Answers that are not to what was asked: to strangers, to HEAD, and of hosts that a registry sends to."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lading.errors import Denied, LadingError, NotFound, RateLimited, RegistryFailure, Unreachable
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.cache import Cache
from lading.registry.hosts.configuration import Config
from lading.registry.lists import repositories
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import from_bytes, read
from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.images import make_image
from support.lading import Lading

IMAGE = make_image()
CONFIG = next(iter(IMAGE.blobs))
ADA = Credential(username="ada", password="hunter2hunter2", source="the test")
BASIC = "Basic " + base64.b64encode(b"ada:hunter2hunter2").decode()
NOBODY = error_reply(404, "NAME_UNKNOWN", "not known")


def content(request: Request) -> Reply | None:
    """What the registry has: one image, `t/app:1`."""
    name = request.path.rpartition("/")[2]
    if "/manifests/" in request.path and name in ("1", IMAGE.digest):
        return Reply(
            body=IMAGE.content, headers={"Content-Type": IMAGE.media_type, "Docker-Content-Digest": IMAGE.digest}
        )
    if "/blobs/" in request.path and name in IMAGE.blobs:
        return Reply(body=IMAGE.blobs[name])
    if request.path.endswith("/tags/list"):
        return json_reply({"name": "t/app", "tags": ["1"]})
    if request.path == "/v2/_catalog":
        return json_reply({"repositories": ["public", "t/app"]})
    return None


class Shy:
    """A registry that tells strangers something else, and names the way to log in at `/v2/` alone."""

    def __init__(self, to_strangers: Callable[[Request], Reply | None], *, scheme: str = "bearer") -> None:
        self.to_strangers, self.scheme = to_strangers, scheme
        self.takes = BASIC
        self.server = ScriptedServer(self._answer)

    def _answer(self, request: Request) -> Reply | None:
        shown = request.headers.get("Authorization")
        if request.path == "/token":
            if shown != self.takes:
                return error_reply(401, "UNAUTHORIZED", "wrong password")
            return json_reply({"token": "good", "expires_in": 300})
        if shown == ("Bearer good" if self.scheme == "bearer" else self.takes):
            return Reply() if request.path == "/v2/" else content(request)
        challenge = 'Basic realm="r"'
        if self.scheme == "bearer":
            challenge = f'Bearer realm="{self.server.url}/token",service="shy"'
        refusal = error_reply(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge})
        return refusal if request.path == "/v2/" or shown else self.to_strangers(request)


@asynccontextmanager
async def connected(
    server: ScriptedServer, credential: Credential | None = ADA, cache: Cache | None = None
) -> AsyncIterator[tuple[Repository, list[str]]]:
    notes: list[str] = []
    credentials = GivenCredentials(credential) if credential is not None else None
    async with Session(
        credentials=credentials, config=Config(), backoff=0, cache=cache, on_note=notes.append
    ) as session:
        yield Repository(session, server.host, "t/app"), notes


async def listed(names: AsyncIterator[str]) -> list[str]:
    return [name async for name in names]


STRANGE = [
    NOBODY,
    error_reply(403, "DENIED"),
    error_reply(401, "UNAUTHORIZED"),
    error_reply(401, "UNAUTHORIZED", headers={"WWW-Authenticate": "Negotiate"}),
]


class TestStrangers:
    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    @pytest.mark.parametrize("reply", STRANGE, ids=["404", "403", "401", "401-negotiate"])
    async def test_credentials_at_hand_are_shown_before_a_refusal_is_believed(self, reply: Reply, scheme: str) -> None:
        shy = Shy(lambda _: reply, scheme=scheme)
        with shy.server:
            async with connected(shy.server) as (store, notes):
                assert (await store.resolve("1")).digest == IMAGE.digest
                assert (await store.fetch("1")).raw == IMAGE.content
                assert await listed(store.tags()) == ["1"]
                blob = Descriptor(digest=Digest(CONFIG), size=len(IMAGE.blobs[CONFIG]))
                assert await store.contains(blob)
                assert await read(store, blob) == IMAGE.blobs[CONFIG]
                with pytest.raises(NotFound):
                    await store.resolve("2")
            assert shy.server.lines.count("GET /v2/") == 1
            assert notes == []

    @pytest.mark.parametrize("reply", STRANGE[:3], ids=["404", "403", "401"])
    async def test_they_are_shown_before_something_is_written_or_deleted(self, reply: Reply) -> None:
        shy = Shy(lambda _: reply)
        answer = shy.server.script

        def script(request: Request) -> Reply | None:
            allowed = request.headers.get("Authorization") == "Bearer good"
            if allowed and request.method in ("POST", "PUT", "DELETE"):
                return Reply(status=202 if request.method == "DELETE" else 201)
            return answer(request)

        shy.server.script = script
        with shy.server:
            for deed in ("write", "put", "untag"):
                async with connected(shy.server) as (store, _):
                    if deed == "write":
                        await store.write(Descriptor.of(b"new", "text/plain"), from_bytes(b"new"))
                    elif deed == "put":
                        await store.put(parse(IMAGE.content, IMAGE.media_type), "2")
                    else:
                        await store.untag("2")
            methods = [line.split()[0] for line in shy.server.lines if "/v2/t/" in line]
            assert methods == ["POST", "POST", "PUT", "PUT", "DELETE", "DELETE"]

    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    async def test_what_it_asks_for_is_remembered(self, tmp_path: Path, scheme: str) -> None:
        shy = Shy(lambda _: NOBODY, scheme=scheme)
        with shy.server:
            for _ in range(2):
                shy.server.reset()
                async with connected(shy.server, cache=Cache(tmp_path)) as (store, _notes):
                    await store.resolve("1")
            assert shy.server.lines == ["HEAD /v2/t/app/manifests/1"]

    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    async def test_a_list_may_be_shorter_for_strangers(self, scheme: str) -> None:
        def to_strangers(request: Request) -> Reply | None:
            return json_reply({"repositories": ["public"]} if request.path == "/v2/_catalog" else {"tags": []})

        shy = Shy(to_strangers, scheme=scheme)
        with shy.server:
            async with connected(shy.server) as (store, _):
                assert await listed(repositories(store.session, shy.server.host)) == ["public", "t/app"]
                assert await listed(store.tags()) == ["1"]
            async with connected(shy.server, None) as (store, _):
                assert await listed(repositories(store.session, shy.server.host)) == ["public"]

    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    async def test_who_is_refused_sees_what_strangers_see_and_is_told(self, scheme: str) -> None:
        shy = Shy(lambda _: json_reply({"tags": ["public"]}), scheme=scheme)
        shy.takes = "Basic other"
        with shy.server:
            async with connected(shy.server) as (store, notes):
                assert await listed(store.tags()) == ["public"]
                assert await listed(store.tags()) == ["public"]
            assert len(notes) == 1
            assert "refused the credentials from the test" in notes[0]

    async def test_a_token_service_that_cannot_be_reached_shortens_no_list_silently(self) -> None:
        challenge = {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token"'}

        def script(request: Request) -> Reply | None:
            if request.path == "/v2/":
                return Reply(status=401, headers=challenge)
            return content(request) if request.path.endswith("/tags/list") else NOBODY

        with ScriptedServer(script) as server:
            async with connected(server) as (store, notes):
                assert await listed(store.tags()) == ["1"]
                assert "127.0.0.1:1" in notes[0]
            async with connected(server) as (store, _):
                with pytest.raises(LadingError, match=r"127\.0\.0\.1:1"):
                    await store.fetch("1")

    async def test_without_credentials_nothing_more_is_asked(self) -> None:
        with ScriptedServer(content) as server:
            async with connected(server, None) as (store, _):
                await listed(store.tags())
                with pytest.raises(NotFound):
                    await store.fetch("2")
            assert len(server.requests) == 2

    async def test_a_registry_without_logins_is_asked_for_them_once(self, tmp_path: Path) -> None:
        def script(request: Request) -> Reply | None:
            return Reply() if request.path == "/v2/" else content(request)

        with ScriptedServer(script) as server:
            for _ in range(2):
                async with connected(server, cache=Cache(tmp_path)) as (store, _notes):
                    assert await listed(store.tags()) == ["1"]
                    with pytest.raises(NotFound):
                        await store.fetch("2")
            assert server.lines.count("GET /v2/") == 1
            assert not any(request.headers.get("Authorization") for request in server.requests)

    async def test_no_credentials_go_to_a_realm_of_a_private_network(self, tmp_path: Path) -> None:
        """Neither for a challenge that was just heard, nor for one that is remembered."""
        challenge = {"WWW-Authenticate": 'Bearer realm="http://10.0.0.1/token"'}

        def script(request: Request) -> Reply | None:
            return Reply(status=401, headers=challenge) if request.path == "/v2/" else NOBODY

        with ScriptedServer(script) as server:
            for _ in range(2):
                async with connected(server, cache=Cache(tmp_path)) as (store, _notes):
                    with pytest.raises(Denied, match="token service that lading does not ask"):
                        await store.fetch("1")

    @pytest.mark.parametrize("reply", STRANGE[1:], ids=["403", "401", "401-negotiate"])
    async def test_no_error_says_that_credentials_do_not_do_which_were_not_shown(self, reply: Reply) -> None:
        with ScriptedServer(lambda _: reply) as server:
            async with connected(server) as (store, _):
                with pytest.raises(Denied) as caught:
                    await store.fetch("1")
            assert caught.value.code == "credentials-not-shown"
            assert not any(request.headers.get("Authorization") for request in server.requests)


class TestHead:
    @pytest.mark.parametrize("status", [500, 501, 502, 503, 504])
    async def test_a_head_that_fails_is_not_tried_again(self, status: int) -> None:
        def script(request: Request) -> Reply | None:
            return Reply(status=status) if request.method == "HEAD" else content(request)

        with ScriptedServer(script) as server:
            async with connected(server, None) as (store, _):
                await store.resolve("1")
            assert [line.split()[0] for line in server.lines] == ["HEAD", "GET"]

    async def test_a_get_that_decides_is_tried_again(self) -> None:
        times = iter(range(9))

        def script(request: Request) -> Reply | None:
            return Reply(status=503) if next(times) < 3 else content(request)

        with ScriptedServer(script) as server:
            async with connected(server, None) as (store, _):
                assert await store.contains(
                    Descriptor(media_type=IMAGE.media_type, digest=Digest(IMAGE.digest), size=IMAGE.size)
                )
            assert [line.split()[0] for line in server.lines] == ["HEAD", "GET", "GET", "GET"]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 501, 502, 503])
    async def test_a_head_that_fails_decides_nothing(self, status: int) -> None:
        def script(request: Request) -> Reply | None:
            return Reply(status=status) if request.method == "HEAD" else content(request)

        with ScriptedServer(script) as server:
            async with connected(server, None) as (store, _):
                found = await store.resolve("1")
                assert (found.digest, found.size) == (IMAGE.digest, IMAGE.size)
                assert await store.contains(found)
                assert await store.blob_size(Digest(CONFIG)) == len(IMAGE.blobs[CONFIG])
                assert await store.contains(Descriptor(digest=Digest(CONFIG), size=1))
                assert not await store.contains(Descriptor(digest=Digest.of(b"other"), size=1))
                with pytest.raises(NotFound) as caught:
                    await store.resolve("2")
                assert caught.value.code == "manifest-not-found"

    async def test_who_asks_for_fewer_requests_gets_no_second_one(self) -> None:
        with ScriptedServer(lambda _: Reply(status=429, headers={"Retry-After": "9999"})) as server:
            async with connected(server, None) as (store, _):
                with pytest.raises(RateLimited):
                    await store.resolve("1")
            assert len(server.requests) == 1

    async def test_a_proxy_that_asks_for_a_login_is_asked_once(self) -> None:
        with ScriptedServer(lambda _: Reply(status=407)) as proxy:
            sent = Reply(status=307, headers={"Location": f"{proxy.url}/x"})
            for reply, count in ((Reply(status=407), 1), (sent, 1)):
                with ScriptedServer(lambda _, reply=reply: reply) as server:  # type: ignore[misc]
                    async with connected(server, None) as (store, _):
                        with pytest.raises(Unreachable, match="proxy"):
                            await store.resolve("1")
                    assert len(server.requests) == count

    async def test_a_storage_that_signs_only_get(self) -> None:
        with ScriptedServer(
            lambda request: Reply(body=b"x") if request.method == "GET" else Reply(status=403)
        ) as storage:
            sent = Reply(status=307, headers={"Location": f"{storage.url}/x?sig=1"})
            with ScriptedServer(lambda _: sent) as server:
                async with connected(server, None) as (store, _):
                    assert await store.contains(Descriptor(digest=Digest.of(b"x"), size=1))


class TestStorages:
    @pytest.fixture
    def storage(self) -> Iterator[ScriptedServer]:
        xml = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
        with ScriptedServer(lambda _: Reply(status=403, body=xml)) as server:
            yield server

    @asynccontextmanager
    async def sending_to(self, storage: ScriptedServer) -> AsyncIterator[tuple[Repository, ScriptedServer]]:
        shy = Shy(lambda _: NOBODY)
        answer = shy.server.script

        def script(request: Request) -> Reply | None:
            if "/blobs/" in request.path and request.headers.get("Authorization"):
                return Reply(status=307, headers={"Location": f"{storage.url}/x?sig={len(shy.server.requests)}"})
            return answer(request)

        shy.server.script = script
        with shy.server:
            async with connected(shy.server) as (store, _):
                await store.fetch("1")
                shy.server.reset()
                yield store, shy.server

    async def test_its_refusal_is_told_as_its_own(self, storage: ScriptedServer) -> None:
        async with self.sending_to(storage) as (store, server):
            with pytest.raises(Denied) as caught:
                await read(store, Descriptor(digest=Digest(CONFIG), size=1))
            error = caught.value
            assert error.code == "storage-refused"
            assert error.cause is not None
            assert storage.host in error.cause
            assert "AccessDenied: Request has expired" in error.cause
            assert "credentials" not in str(error) + str(error.remedy)
            assert len(server.requests) == len(storage.requests) == 2, "once more, for a fresh address"
            assert len({request.target for request in storage.requests}) == 2
            assert not any(request.headers.get("Authorization") for request in storage.requests)

    @pytest.mark.parametrize("status", [400, 401, 403, 410])
    async def test_an_address_that_has_expired_is_asked_for_again(self, storage: ScriptedServer, status: int) -> None:
        def script(_: Request) -> Reply:
            return Reply(status=status) if len(storage.requests) == 1 else Reply(body=IMAGE.blobs[CONFIG])

        storage.script = script
        async with self.sending_to(storage) as (store, _):
            blob = Descriptor(digest=Digest(CONFIG), size=len(IMAGE.blobs[CONFIG]))
            assert await read(store, blob) == IMAGE.blobs[CONFIG]

    @pytest.mark.parametrize("status, kind", [(404, NotFound), (429, RateLimited), (500, RegistryFailure)])
    async def test_its_other_failures(self, storage: ScriptedServer, status: int, kind: type[LadingError]) -> None:
        storage.script = lambda _: Reply(status=status)
        async with self.sending_to(storage) as (store, _):
            with pytest.raises(kind, match=storage.host):
                await read(store, Descriptor(digest=Digest(CONFIG), size=1))


class TestCommands:
    """The same on the command line, where it is seen by people."""

    def log_in(self, lading: Lading, host: str) -> None:
        (lading.docker_config / "config.json").write_text(json.dumps({"auths": {host: {"auth": BASIC[6:]}}}))

    def test_every_verb_shows_what_is_there(self, lading: Lading) -> None:
        def script(request: Request) -> Reply | None:
            return Reply(status=404) if request.method == "HEAD" else content(request)

        with ScriptedServer(script) as server:
            name = f"{server.host}/t/app"
            assert lading.run("digest", f"{name}:1").stdout.strip() == IMAGE.digest
            assert IMAGE.digest in lading.run("tags", name, "--digests", "--no-trunc").stdout
            assert lading.run("inspect", f"{name}:1").returncode == 0
            lading.run("manifest", "create", f"{name}:list", f"{name}:1")
            assert lading.run("auth", "explain", f"{name}:1").returncode == 0

    def test_a_tag_that_names_nothing_is_listed(self, lading: Lading) -> None:
        def script(request: Request) -> Reply | None:
            return json_reply({"tags": ["0", "1"]}) if request.path.endswith("/tags/list") else content(request)

        with ScriptedServer(script) as server:
            ran = lading.run("tags", f"{server.host}/t/app", "--digests")
            assert [line.split()[0] for line in ran.stdout.splitlines()] == ["TAG", "0", "1"]
            assert "listed, and naming nothing: 0" in ran.stderr

    def test_a_token_is_had_where_only_v2_names_the_way(self, lading: Lading) -> None:
        shy = Shy(lambda _: NOBODY)
        answer = shy.server.script

        def script(request: Request) -> Reply | None:
            return json_reply({"token": "good"}) if request.path == "/token" else answer(request)

        shy.server.script = script
        with shy.server:
            assert lading.run("auth", "token", f"{shy.server.host}/t/app").stdout.strip() == "good"

    def test_a_registry_that_asks_for_logins_by_now_is_asked_again_after_one(self, lading: Lading) -> None:
        shy = Shy(content)
        answer = shy.server.script
        shy.server.script = lambda request: Reply() if request.path == "/v2/" else answer(request)
        with shy.server:
            self.log_in(lading, shy.server.host)
            lading.run("tags", f"{shy.server.host}/t/app")
            shy.server.script, shy.to_strangers = answer, lambda _: NOBODY
            assert lading.run("digest", f"{shy.server.host}/t/app:1", check=False).returncode == 3
            lading.run("login", shy.server.host, "-u", "ada", "--password-stdin", stdin=b"hunter2hunter2")
            lading.run("digest", f"{shy.server.host}/t/app:1")

    def test_an_explanation_says_what_was_sent(self, lading: Lading) -> None:
        for to_strangers, said in [(content, "were not sent"), (lambda _: NOBODY, "are used")]:
            shy = Shy(to_strangers)
            with shy.server:
                self.log_in(lading, shy.server.host)
                ran = lading.run("auth", "explain", f"{shy.server.host}/t/app:1")
                assert f"The credentials marked * {said}" in ran.stdout
                sent = [bool(request.headers.get("Authorization")) for request in shy.server.requests]
                assert any(sent) is (said == "are used")
