"""What is remembered between runs: how little goes over the wire, and whose tokens nobody else gets."""

import asyncio
import json
import multiprocessing
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient
from lading.errors import Denied, TLSFailure
from lading.registry.auth.challenge import Challenge
from lading.registry.auth.credentials import Credential
from lading.registry.auth.scopes import Scope, Token, granted
from lading.registry.cache import Cache
from lading.registry.repository import Repository
from registry.test_authentication import ALICE, PULL, PUSH, Bearer, get, gives, session
from support.certs import Authority
from support.fakes import Reply, ScriptedServer, json_reply
from support.images import make_image, push
from support.proxy import CountingProxy
from support.registry import RealRegistry
from support.tokens import TokenService

BOB = Credential(username="bob", password="other", source="the test")
ALICE_ANEW = Credential(username="alice", password="changed", source="the test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class Runs:
    """Runs of a program, one after the other, that share a cache."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder
        self.folder = folder / "registries"

    async def get(self, registry: str, *scopes: Scope, credential: Credential | None = ALICE, **options: Any) -> int:
        async with session(credential, cache=Cache(self.cache), **options) as opened:
            return await get(opened, registry, *scopes)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.exists() else []

    @property
    def document(self) -> Any:
        (file,) = self.files
        return json.loads(file.read_text())


@pytest.fixture
def runs(folder: Path) -> Runs:
    return Runs(folder)


async def test_of_a_known_host_several_things_are_asked_at_once(
    folder: Path, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    with CountingProxy(registry.url) as proxy:
        proxy.latency = 0.6
        for rounds in (2, 1):  # the first request to a host finds out how it is spoken to
            proxy.reset()
            async with session(None, cache=Cache(folder)) as opened:
                store = Repository(opened, proxy.host, repository)
                await asyncio.gather(*(store.resolve("1") for _ in range(3)))
            assert (len(proxy.exchanges), proxy.rounds()) == (3, rounds)


class TestTokens:
    async def test_the_second_run_is_one_request(self, runs: Runs) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PUSH)
            assert len(registry.requests) == 3
            await runs.get(registry.host, PULL)
            assert len(registry.requests) == 4
            assert registry.requests[3].headers.get("Authorization") == "Bearer good"

    async def test_so_it_is_with_a_real_registry(self, runs: Runs) -> None:
        with (
            RealRegistry(auth="token") as registry,
            CountingProxy(registry.url, tokens=registry.tokens.url) as proxy,
        ):
            for expected in (3, 1, 1):
                proxy.reset()
                await runs.get(proxy.host, PULL)
                assert proxy.count() == expected

    async def test_so_it_is_with_passwords(self, runs: Runs) -> None:
        with RealRegistry(auth="basic") as registry, CountingProxy(registry.url) as proxy:
            for expected in (2, 1):
                proxy.reset()
                await runs.get(proxy.host, PULL)
                assert proxy.count() == expected

    async def test_another_repository_costs_its_token_only(self, runs: Runs) -> None:
        with RealRegistry(auth="token") as registry, CountingProxy(registry.url, tokens=registry.tokens.url) as proxy:
            await runs.get(proxy.host, PULL)
            proxy.reset()
            await runs.get(proxy.host, Scope("team/other"))
            assert proxy.count() == 2
            proxy.reset()
            await runs.get(proxy.host, PULL)
            assert proxy.count() == 1, "the first one is still there"

    @pytest.mark.parametrize("other", [BOB, ALICE_ANEW, None])
    async def test_nobody_gets_the_token_of_somebody_else(self, runs: Runs, other: Credential | None) -> None:
        with Bearer(
            lambda request: json_reply({"token": (request.headers.get("Authorization") or "nobody")[-8:]})
        ) as registry:
            registry.accepted = {reply["token"] for reply in map(_token_of, (ALICE, other))}
            await runs.get(registry.host, PULL)
            await runs.get(registry.host, PULL, credential=other)
            await runs.get(registry.host, PULL)
            await runs.get(registry.host, PULL, credential=other)
            shown = [request.headers.get("Authorization") for request in registry.requests if request.path == "/v2/"]
        mine, theirs = (f"Bearer {_token_of(credential)['token']}" for credential in (ALICE, other))
        assert shown == [None, mine, theirs, mine, theirs]
        assert len(registry.asked) == 2

    async def test_a_token_is_not_used_beyond_its_life(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        with Bearer(gives(expires_in=60)) as registry:
            await runs.get(registry.host, PULL)
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + 61)
            await runs.get(registry.host, PULL)
            assert len(registry.asked) == 2

    async def test_one_that_is_about_to_end_is_not_kept(self, runs: Runs) -> None:
        with Bearer(gives(expires_in=5)) as registry:
            await runs.get(registry.host, PULL)
            assert runs.document["tokens"] == []

    async def test_one_that_allows_less_than_was_asked_for_is_not_kept(self, runs: Runs) -> None:
        """What is not allowed today may be allowed tomorrow, and must not be remembered as it was."""
        tokens = TokenService({"alice": "secret"}, grants={"alice": {"team/*": {"pull"}}})
        with RealRegistry(tokens=tokens) as registry:
            await runs.get(registry.host, PULL)
            assert len(runs.document["tokens"]) == 1
            await runs.get(registry.host, PUSH)
            await runs.get(registry.host, Scope("other"))
            assert [kept["scopes"] for kept in runs.document["tokens"]] == [["repository:team/app:pull"]]

    async def test_one_that_is_refused_is_replaced_within_the_run(self, runs: Runs) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            registry.accepted, registry.tokens = {"newer"}, gives("newer")
            await runs.get(registry.host, PULL)
            assert len(registry.asked) == 2
            await runs.get(registry.host, PULL)
            assert len(registry.asked) == 2
            assert [kept["value"] for kept in runs.document["tokens"]] == ["newer"]

    async def test_so_is_one_that_no_longer_allows_enough(self, runs: Runs) -> None:
        """A right that was given after the token was: it counts at once."""
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)

            def answer(request: Any) -> Reply:
                if request.path == "/token":
                    return json_reply({"token": "newer"})
                return Reply(status=200 if request.headers.get("Authorization") == "Bearer newer" else 403)

            registry.script = answer
            registry.reset()
            assert await runs.get(registry.host, PULL) == 200
            assert [line.partition("?")[0] for line in registry.lines] == ["GET /v2/", "GET /token", "GET /v2/"]
            registry.script = lambda _: Reply(status=403)
            registry.reset()
            with pytest.raises(Denied):
                await runs.get(registry.host, PULL)

    async def test_no_password_is_in_the_file(self, runs: Runs) -> None:
        refreshing = Credential(username="", password="", identity_token="hunter2", source="the test")
        with Bearer(gives(refresh_token="hunter3", expires_in=600)) as registry:
            await runs.get(registry.host, PULL)
            await runs.get(registry.host, PULL, credential=refreshing)
            (file,) = runs.files
            assert len(runs.document["tokens"]) == 2
        for secret in ("secret", "hunter2", "hunter3", "alice"):
            assert secret not in file.read_text()

    async def test_it_is_for_its_owner_only(self, runs: Runs) -> None:
        before = os.umask(0)
        try:
            with Bearer(gives()) as registry:
                await runs.get(registry.host, PULL)
        finally:
            os.umask(before)
        (file,) = runs.files
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(runs.folder.stat().st_mode) == 0o700

    async def test_nothing_is_written_where_nothing_was_learned(self, runs: Runs) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            (file,) = runs.files
            before = file.stat()
            await runs.get(registry.host, PULL)
            after = file.stat()
            assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    async def test_a_registry_can_be_forgotten(self, runs: Runs) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            Cache(runs.cache).forget(registry.host)
            assert runs.files == []


def _token_of(credential: Credential | None) -> dict[str, str]:
    import base64

    if credential is None:
        return {"token": "nobody"}
    pair = f"{credential.username}:{credential.password}".encode()
    return {"token": f"Basic {base64.b64encode(pair).decode()}"[-8:]}


class TestWhatIsKnownOfAHost:
    async def test_plain_http_is_tried_first_next_time(self, runs: Runs) -> None:
        with ScriptedServer(lambda _: Reply()) as registry:
            await runs.get(registry.host)
            assert registry.connections == 2, "one for TLS, which it does not speak"
            registry.reset()
            await runs.get(registry.host)
            assert registry.connections == 1

    async def test_a_host_that_learned_tls_is_spoken_to_with_it(self, runs: Runs, authority: Authority) -> None:
        with ScriptedServer(lambda _: Reply()) as plain:
            await runs.get(plain.host)
        secure = ScriptedServer(lambda _: Reply(), tls=authority)
        secure._port = plain.port
        with secure:
            assert await runs.get(secure.host, retries=0) == 200
            assert runs.document["scheme"] == "https"

    @pytest.mark.parametrize("status", [301, 400, 426])
    async def test_so_is_one_that_says_so(self, runs: Runs, status: int) -> None:
        """A server in front of both may answer plain HTTP only to say that it wants TLS."""
        with ScriptedServer(lambda _: Reply()) as registry:
            await runs.get(registry.host)
            tried = iter([Reply(status=status, headers={"Location": f"https://{registry.host}/v2/"})])
            registry.script = lambda _: next(tried, None) or Reply()
            assert await runs.get(registry.host) == 200

    async def test_http_is_remembered_for_whom_it_is_allowed(self, folder: Path) -> None:
        from registry.elsewhere import Elsewhere

        with ScriptedServer(lambda _: Reply()) as server:
            elsewhere = Elsewhere({"a.example": server}, plain=frozenset({"a.example"}))
            async with session(insecure=True, cache=Cache(folder), transport=elsewhere) as opened:
                assert await get(opened, "a.example") == 200
            assert Cache(folder).host("a.example").scheme == "http"
            server.reset()
            with pytest.raises(TLSFailure, match="speaks plain HTTP"):
                async with session(cache=Cache(folder), transport=elsewhere, retries=0) as opened:
                    await get(opened, "a.example")
            assert server.requests == []

    async def test_a_new_challenge_is_noticed(self, runs: Runs) -> None:
        with Bearer(gives()) as registry, Bearer(gives("moved")) as moved:
            await runs.get(registry.host, PULL)
            registry.realm, registry.accepted = f"{moved.url}/token", {"moved"}
            assert await runs.get(registry.host, PULL) == 200
            registry.reset()
            assert await runs.get(registry.host, PULL) == 200
            assert registry.lines == ["GET /v2/"]
            registry.script = lambda request: (
                Reply() if (request.headers.get("Authorization") or "").startswith("Basic") else _BASIC
            )
            assert await runs.get(registry.host, PULL) == 200
            registry.reset()
            assert await runs.get(registry.host, PULL) == 200
            assert registry.lines == ["GET /v2/"]

    async def test_a_token_service_that_is_gone_is_no_obstacle(self, runs: Runs, folder: Path) -> None:
        with Bearer(gives()) as registry:
            host = Cache(folder).host(registry.host)
            host.challenge = Challenge("bearer", {"realm": "http://127.0.0.1:1/token", "service": "s"})
            host.scheme = "http"
            (folder / "registries").mkdir(parents=True, mode=0o700)
            host.save()
            assert await runs.get(registry.host, PULL, retries=0) == 200

    async def test_a_token_service_elsewhere_counts_for_those_who_proved_who_they_are(self, folder: Path) -> None:
        elsewhere = Challenge("bearer", {"realm": "https://auth.example/token", "service": "s", "scope": "x"})
        cache = Cache(folder)
        cache.host("127.0.0.1:5000", verified=False).challenge = elsewhere
        cache.host("a.example", verified=True).challenge = elsewhere
        cache.save()
        cache = Cache(folder)
        assert cache.host("127.0.0.1:5000").challenge is None
        assert cache.host("a.example").challenge == elsewhere.bare

    async def test_a_challenge_of_an_insecure_run_is_not_believed_later(self, folder: Path) -> None:
        """Whoever was in between then must not be sent the credentials now."""
        from registry.elsewhere import Elsewhere

        with Bearer(gives()) as evil, Bearer(gives()) as honest:
            evil.realm = "https://evil.example/token"
            transport = Elsewhere({"a.example": evil, "evil.example": evil})
            async with session(insecure=True, cache=Cache(folder), transport=transport) as opened:
                await get(opened, "a.example", PULL)
            assert len(evil.asked) == 1
            evil.reset()
            honest.realm = "https://a.example/token"
            transport = Elsewhere({"a.example": honest, "evil.example": evil})
            async with session(cache=Cache(folder), transport=transport) as opened:
                await get(opened, "a.example", Scope("team/other"))
            assert evil.requests == []

    async def test_it_is_forgotten_after_a_week(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        with Bearer(gives(expires_in=10**8)) as registry:
            await runs.get(registry.host, PULL)
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + 8 * 24 * 3600)
            registry.reset()
            await runs.get(registry.host, PULL)
            assert len(registry.requests) == 3


_BASIC = Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})


class TestFilesThatAreNotOurs:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda file: file.write_bytes(b""),
            lambda file: file.write_bytes(b"\xff" * 100),
            lambda file: file.write_text("[" * 100_000),
            lambda file: file.write_text('{"version": 1}'),
            lambda file: file.write_text(file.read_text().replace('"version":1', '"version":99')),
            lambda file: file.write_text(file.read_text().replace("http", "file")),
            lambda file: file.write_text(file.read_text().replace('"good"', '"a\\r\\nX-Evil: 1"')),
            lambda file: file.write_text(file.read_text() + " " * 2_000_000),
            lambda file: file.chmod(0o644),
            lambda file: file.chmod(0o620),
            lambda file: _replace_by_link(file),
            lambda file: _replace_by_pipe(file),
            lambda file: file.parent.chmod(0o777),
        ],
        ids=lambda _: "",
    )
    async def test_they_are_as_good_as_none(self, runs: Runs, damage: Callable[[Path], object]) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            (file,) = runs.files
            damage(file)
            registry.reset()
            assert await runs.get(registry.host, PULL) == 200
            assert len(registry.requests) == 3

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    async def test_those_of_others_are_not_read(self, runs: Runs) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            (file,) = runs.files
            os.chown(file, 12345, 12345)
            registry.reset()
            assert await runs.get(registry.host, PULL) == 200
            assert len(registry.requests) == 3

    async def test_a_folder_that_is_a_link_is_not_used(self, runs: Runs, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        runs.folder.parent.mkdir()
        runs.folder.symlink_to(tmp_path / "elsewhere")
        with Bearer(gives()) as registry:
            assert await runs.get(registry.host, PULL) == 200
        assert list((tmp_path / "elsewhere").iterdir()) == []

    async def test_a_cache_that_cannot_be_written_is_no_obstacle(self, runs: Runs) -> None:
        runs.folder.parent.mkdir()
        runs.folder.write_text("a file")
        with Bearer(gives()) as registry:
            assert await runs.get(registry.host, PULL) == 200

    async def test_a_link_is_replaced_and_not_written_through(self, runs: Runs, tmp_path: Path) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            (file,) = runs.files
            target = tmp_path / "precious"
            target.write_text("precious")
            file.unlink()
            file.symlink_to(target)
            await runs.get(registry.host, PULL)
            assert not file.is_symlink()
            assert target.read_text() == "precious"

    async def test_there_may_be_none(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with Bearer(gives()) as registry:
            for cache, expected in (("0", 3), ("0", 3), ("", 3), ("", 1)):
                monkeypatch.setenv("LADING_CACHE", cache)
                registry.reset()
                async with session(cache=Cache.of_user()) as opened:
                    await get(opened, registry.host, PULL)
                assert len(registry.requests) == expected

    async def test_what_is_old_goes(self, runs: Runs) -> None:
        with Bearer(gives()) as registry:
            await runs.get(registry.host, PULL)
            old = runs.folder / "old.example.json"
            old.write_text("{}")
            os.utime(old, (0, 0))
            await runs.get(registry.host, Scope("team/other"))
            assert old not in runs.files


class TestClients:
    @pytest.mark.parametrize(
        "remember, variable, kept",
        [(True, "", {"registries", "uploads"}), (True, "0", set()), (False, "", set())],
    )
    async def test_one_that_remembers_nothing_writes_no_file(
        self,
        remember: bool,
        variable: str,
        kept: set[str],
        registry: RealRegistry,
        repository: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Neither tokens, nor what registries are like, nor where an upload was interrupted."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("LADING_CACHE", variable)
        push(registry.host, repository, "1", make_image(layer_size=5 * 1024 * 1024))
        with CountingProxy(registry.url) as proxy:
            proxy.intercept = lambda request: (
                Reply(status=403) if int(request.headers.get("content-length") or 0) > 5 * 1024 * 1024 else None
            )
            async with AsyncClient(remember=remember, docker_config=tmp_path / "docker") as client:
                with pytest.raises(Denied):
                    await client.copy(f"{registry.host}/{repository}:1", f"{proxy.host}/{repository}-copy:1")
        found = {path.name for path in (tmp_path / "cache").glob("lading/*")}
        assert found == kept
        assert kept or not (tmp_path / "cache").exists()


def _replace_by_link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


def _replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _learn(folder: Path, number: int) -> None:
    cache = Cache(folder)
    host = cache.host("a.example")
    for repository in range(5):
        scope = Scope(f"team/{number}-{repository}")
        host.keep(None, Token(f"{number}-{repository}", (scope,), time.time() + 600, "https://a.example/t", "s", ""))
        cache.save()


class TestMany:
    def test_runs_at_once_leave_a_sound_file(self, folder: Path) -> None:
        """Of what they learn at once something may be lost, and nothing is ever broken."""
        _learn(folder, 99)
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_learn, args=(folder, number)) for number in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        found = {token.value for token in Cache(folder).host("a.example").tokens(None)}
        assert len(found) > 5
        assert len({value.partition("-")[0] for value in found}) > 1
        assert [path.name for path in (folder / "registries").iterdir()] == ["a.example.json"], "and no temporary files"

    def test_what_others_learned_meanwhile_stays(self, folder: Path) -> None:
        one, other = Cache(folder), Cache(folder)
        assert one.host("a.example").challenge is other.host("a.example").challenge is None, "both have looked"
        soon = time.time() + 600
        one.host("a.example").keep(None, Token("one", (PULL,), soon, "r", "s", ""))
        other.host("a.example").keep(ALICE.proof, Token("other", (PULL,), soon, "r", "s", ""))
        one.save()
        other.save()
        host = Cache(folder).host("a.example")
        assert [token.value for token in host.tokens(None)] == ["one"]
        assert [token.value for token in host.tokens(ALICE.proof)] == ["other"]

    def test_a_token_that_was_refused_does_not_come_back(self, folder: Path) -> None:
        token = Token("one", (PULL,), time.time() + 600, "r", "s", "")
        cache = Cache(folder)
        cache.host("a.example").keep(None, token)
        cache.save()
        one, other = Cache(folder), Cache(folder)
        one.host("a.example").drop(token)
        one.save()
        other.host("a.example").scheme = "https"
        other.save()
        assert Cache(folder).host("a.example").tokens(None) == []

    def test_the_file_does_not_grow_without_end(self, folder: Path) -> None:
        cache = Cache(folder)
        for number in range(500):
            scope = Scope(f"team/{number}")
            cache.host("a.example").keep(None, Token(f"{number}", (scope,), time.time() + 600 + number, "r", "s", ""))
        cache.save()
        values = {token.value for token in Cache(folder).host("a.example").tokens(None)}
        assert values == {f"{number}" for number in range(300, 500)}


class TestWhatATokenAllows:
    def test_it_says_so_itself(self) -> None:
        service = TokenService()
        access = [
            {"type": "repository", "name": "team/app", "actions": ["pull", "push"]},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
            {"type": "repository", "name": "team/none", "actions": []},
        ]
        assert granted(_token(service.issue("alice", access))) == [PUSH, Scope("", ("*",), "registry:catalog")]
        assert granted(_token(service.issue("alice", []))) == []

    @pytest.mark.parametrize(
        "value", ["opaque", "a.b.c", "..", "e30.e30.e30", "e30.WzFd.e30", "ü.ü.ü", "a." + "W1tb" * 9999 + ".c"]
    )
    def test_or_it_does_not(self, value: str) -> None:
        assert granted(_token(value)) is None


def _token(value: str) -> Token:
    return Token(value, (), 0, "r", "s", "")
