"""Answering challenges: which tokens are asked for, how often, of whom, and with whose credentials."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lading.errors import Denied, InvalidContent, LadingError, RateLimited, RegistryFailure
from lading.registry.auth.authentication import Authorization, trusted_realm
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.auth.scopes import CATALOG, Scope
from lading.registry.hosts.configuration import Config
from lading.registry.session import Session
from support.fakes import Reply, ScriptedServer, json_reply
from support.fakes import Request as Received
from support.proxy import CountingProxy
from support.registry import RealRegistry
from support.tokens import TokenService

PULL = Scope("team/app", ("pull",))
PUSH = Scope("team/app", ("pull", "push"))
ALICE = Credential(username="alice", password="secret", source="the test")


def session(credential: Credential | None = ALICE, **options: Any) -> Session:
    credentials = None if credential is None else GivenCredentials(credential)
    given: dict[str, Any] = {"config": Config(), "backoff": 0, "credentials": credentials} | options
    return Session(**given)


async def get(
    opened: Session, registry: str, *scopes: Scope, path: str = "/v2/", accept: Sequence[int] = (200, 404)
) -> int:
    async with opened.request("GET", registry, path, scopes=scopes, accept=accept, what="it") as response:
        return response.status


class Bearer(ScriptedServer):
    """A registry that takes some tokens, and is its own token service at `/token`."""

    def __init__(self, tokens: Callable[[Received], Reply], *, scope: str = "repository:team/app:pull") -> None:
        super().__init__(self._answer)
        self.tokens = tokens
        self.scope = scope
        self.accepted = {"good"}
        self.realm: str | None = None

    def _answer(self, request: Received) -> Reply:
        if request.path == "/token":
            return self.tokens(request)
        if (request.headers.get("Authorization") or "").removeprefix("Bearer ") in self.accepted:
            return Reply(body=b"content")
        realm = self.realm or f"{self.url}/token"
        challenge = f'Bearer realm="{realm}",service="s",scope="{self.scope}"'
        return Reply(status=401, headers={"WWW-Authenticate": challenge})

    @property
    def asked(self) -> list[Received]:
        """The requests for tokens."""
        return [request for request in self.requests if request.path == "/token"]


def gives(token: str = "good", **more: Any) -> Callable[[Received], Reply]:
    return lambda _: json_reply({"token": token} | more)


class TestScopes:
    @pytest.mark.parametrize(
        "scope, text",
        [
            (Scope("a/b"), "repository:a/b:pull"),
            (Scope("a/b", ("push", "delete", "pull")), "repository:a/b:pull,push,delete"),
            (Scope("host:5000/a", ("*",)), "repository:host:5000/a:*"),
            (CATALOG, "registry:catalog:*"),
        ],
    )
    def test_a_scope_and_its_text(self, scope: Scope, text: str) -> None:
        assert str(scope) == text
        parsed = Scope.parse(text)
        assert parsed is not None
        assert str(parsed) == text
        assert parsed.covers(scope._replace(actions=scope.actions[:1]))

    @pytest.mark.parametrize("text", ["", "repository", "repository:a", "repository:a:", ":a:pull"])
    def test_what_is_no_scope(self, text: str) -> None:
        assert Scope.parse(text) is None

    def test_more_covers_less(self) -> None:
        assert PUSH.covers(PULL)
        assert not PULL.covers(PUSH)
        assert not PUSH.covers(Scope("team/other"))


class TestBearer:
    async def test_three_requests_for_the_first_answer_and_one_for_the_next(self) -> None:
        with (
            RealRegistry(auth="token") as registry,
            CountingProxy(registry.url, tokens=registry.tokens.url) as proxy,
        ):
            async with session() as opened:
                assert await get(opened, proxy.host, PULL, path="/v2/team/app/manifests/1") == 404
                assert [line.partition("?")[0] for line in proxy.lines] == [
                    "GET /v2/team/app/manifests/1",
                    "GET /token",
                    "GET /v2/team/app/manifests/1",
                ]
                await get(opened, proxy.host, PULL, path="/v2/team/app/manifests/2")
                assert proxy.count() == 4
            (asked,) = registry.tokens.requests
        assert asked.scopes == ["repository:team/app:pull"]
        assert asked.params["service"] == [registry.tokens.service]
        assert asked.params["account"] == ["alice"]
        assert asked.account == "alice"

    async def test_a_known_challenge_is_answered_before_it_is_made(self) -> None:
        with RealRegistry(auth="token") as registry, CountingProxy(registry.url) as proxy:
            async with session() as opened:
                await get(opened, proxy.host, PULL)
                await get(opened, proxy.host, Scope("team/other"), path="/v2/team/other/manifests/1")
            assert proxy.count() == 3
            assert [asked.scopes for asked in registry.tokens.requests] == [
                ["repository:team/app:pull"],
                ["repository:team/other:pull"],
            ]

    async def test_a_crowd_shares_one_challenge_and_one_token(self) -> None:
        with RealRegistry(auth="token") as registry, CountingProxy(registry.url, latency=0.01) as proxy:
            async with session() as opened:
                path = "/v2/team/app/manifests/1"
                await asyncio.gather(*(get(opened, proxy.host, PULL, path=path) for _ in range(20)))
            assert proxy.count() == 21
            assert len(registry.tokens.requests) == 1

    async def test_a_token_for_more_serves_less(self) -> None:
        with RealRegistry(auth="token") as registry:
            async with session() as opened:
                await get(opened, registry.host, PUSH)
                await get(opened, registry.host, PULL)
                assert len(registry.tokens.requests) == 1
                await get(opened, registry.host, PULL._replace(actions=("delete",)))
                assert len(registry.tokens.requests) == 2

    async def test_one_token_for_several_repositories(self) -> None:
        with RealRegistry(auth="token") as registry:
            async with session() as opened:
                await get(opened, registry.host, PUSH, Scope("team/base"), path="/v2/team/app/manifests/1")
                await get(opened, registry.host, Scope("team/base"), path="/v2/team/base/manifests/1")
            assert [asked.scopes for asked in registry.tokens.requests] == [
                ["repository:team/app:pull,push", "repository:team/base:pull"]
            ]

    async def test_anybody_may_be_allowed(self) -> None:
        tokens = TokenService({"alice": "secret"}, anonymous={"team/*": {"pull"}})
        with RealRegistry(tokens=tokens) as registry:
            async with session(None) as opened:
                assert await get(opened, registry.host, PULL, path="/v2/team/app/manifests/1") == 404
                with pytest.raises(Denied) as caught:
                    await get(opened, registry.host, Scope("other/app"), path="/v2/other/app/manifests/1")
        assert caught.value.message == f"{registry.host} did not allow repository:other/app:pull"
        assert caught.value.cause == f"no credentials were found for {registry.host}, and anonymous access was refused"
        assert caught.value.remedy == f"log in to {registry.host}, or give credentials"
        assert caught.value.code == "no-credentials"
        assert caught.value.fields["subject"] == f"{registry.host}/other/app"

    async def test_what_a_token_does_not_allow_is_not_asked_for_twice(self) -> None:
        tokens = TokenService({"alice": "secret"}, grants={"alice": {"team/*": {"pull"}}})
        with RealRegistry(tokens=tokens) as registry, CountingProxy(registry.url) as proxy:
            async with session() as opened:
                with pytest.raises(Denied) as caught:
                    async with opened.request(
                        "POST", proxy.host, "/v2/team/app/blobs/uploads/", scopes=[PUSH], what="it"
                    ):
                        pass
            assert proxy.count() == 2
            assert len(tokens.requests) == 1
        assert caught.value.message == f"{proxy.host} did not allow repository:team/app:pull,push"
        assert caught.value.cause == "the credentials from the test do not allow it"

    async def test_an_expired_token_is_replaced_beforehand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Bearer(gives(expires_in=100)) as registry:
            async with session() as opened:
                await get(opened, registry.host, PULL)
                now = time.time()
                monkeypatch.setattr("lading.registry.auth.authentication.time.time", lambda: now + 80)
                await get(opened, registry.host, PULL)
                assert len(registry.asked) == 1
                monkeypatch.setattr("lading.registry.auth.authentication.time.time", lambda: now + 95)
                await get(opened, registry.host, PULL)
            assert registry.lines.count("GET /v2/") == 4
            assert len(registry.asked) == 2

    async def test_a_refused_token_is_replaced_once(self) -> None:
        tokens = iter(["first", "second"])
        with Bearer(lambda _: json_reply({"token": next(tokens)})) as registry:
            registry.accepted = {"first", "second"}
            async with session() as opened:
                await get(opened, registry.host, PULL)
                registry.accepted = {"second"}
                assert await get(opened, registry.host, PULL) == 200
                assert len(registry.asked) == 2
                registry.accepted = set()
                registry.tokens = gives("third")
                with pytest.raises(Denied):
                    await get(opened, registry.host, PULL)
                assert len(registry.asked) == 3

    async def test_what_the_registry_asks_for_is_added(self) -> None:
        with Bearer(gives(), scope="repository:team/app:pull repository:team/base:pull") as registry:
            async with session() as opened:
                await get(opened, registry.host, PUSH)
            assert registry.asked[0].params["scope"] == [
                "repository:team/app:pull,push",
                "repository:team/base:pull",
            ]

    async def test_a_service_that_knows_fewer_actions_gets_those_of_the_registry(self) -> None:
        def tokens(request: Received) -> Reply:
            if "delete" in request.params["scope"][0]:
                return Reply(status=400, body=b"Unable to decode repository and actions")
            return json_reply({"token": "good"})

        delete = Scope("team/app", ("pull", "push", "delete"))
        with Bearer(tokens, scope="repository:team/app:pull,push") as registry:
            async with session() as opened:
                assert await get(opened, registry.host, delete) == 200
                assert await get(opened, registry.host, delete) == 200
            assert len(registry.asked) == 2

    @pytest.mark.parametrize("fields", [("token",), ("access_token",), ("token", "access_token")])
    async def test_a_token_has_two_names(self, fields: tuple[str, ...]) -> None:
        tokens = TokenService({"alice": "secret"}, token_fields=fields)
        with RealRegistry(tokens=tokens) as registry:
            async with session() as opened:
                assert await get(opened, registry.host, PULL) == 200

    async def test_a_registry_token_is_used_as_it_is(self) -> None:
        with Bearer(gives("other")) as registry:
            async with session(Credential(username="", password="", registry_token="good")) as opened:
                assert await get(opened, registry.host, PULL) == 200
                assert await get(opened, registry.host, PULL) == 200
            async with session(Credential(username="", password="", registry_token="bad")) as opened:
                registry.accepted.add("other")
                assert await get(opened, registry.host, PULL) == 200
            assert [request.headers.get("Authorization") for request in registry.asked] == [None], "as anybody"


class TestDialects:
    async def test_an_identity_token_is_posted(self) -> None:
        with RealRegistry(auth="token") as registry:
            registry.tokens.refresh_tokens["refresh"] = "alice"
            async with session(Credential(username="", password="", identity_token="refresh")) as opened:
                await get(opened, registry.host, PUSH, path="/v2/team/app/manifests/1")
            (asked,) = registry.tokens.requests
        assert asked.method == "POST"
        assert asked.params == {
            "grant_type": ["refresh_token"],
            "refresh_token": ["refresh"],
            "service": [registry.tokens.service],
            "client_id": ["lading"],
            "scope": ["repository:team/app:pull,push"],
        }
        assert asked.authorization is None

    @pytest.mark.parametrize("status", [404, 405])
    async def test_a_service_without_posts_is_asked_as_of_old(self, status: int) -> None:
        def tokens(request: Received) -> Reply:
            return Reply(status=status) if request.method == "POST" else json_reply({"token": "good"})

        with Bearer(tokens) as registry:
            async with session(Credential(username="alice", password="", identity_token="refresh")) as opened:
                await get(opened, registry.host, PULL)
            assert [request.method for request in registry.asked] == ["POST", "GET"]
            assert _decoded(registry.asked[1]) == "alice:refresh"

    async def test_a_service_that_only_takes_posts_gets_the_password_so(self) -> None:
        def tokens(request: Received) -> Reply:
            return Reply(status=405) if request.method == "GET" else json_reply({"access_token": "good"})

        with Bearer(tokens) as registry:
            async with session() as opened:
                await get(opened, registry.host, PULL)
            assert b"grant_type=password&username=alice&password=secret" in registry.asked[1].body

    async def test_a_refresh_token_in_the_reply_is_used_next(self) -> None:
        with Bearer(gives(refresh_token="refresh")) as registry:
            async with session() as opened:
                await get(opened, registry.host, PULL)
                await get(opened, registry.host, Scope("team/b"))
                registry.tokens = lambda request: (
                    Reply(status=401) if request.method == "POST" else json_reply({"token": "good"})
                )
                await get(opened, registry.host, Scope("team/c"))
                await get(opened, registry.host, Scope("team/d"))
            assert [request.method for request in registry.asked] == ["GET", "POST", "POST", "GET", "GET"]
            assert b"refresh_token=refresh" in registry.asked[1].body


class TestRefusals:
    @pytest.mark.parametrize("status", [401, 403])
    async def test_wrong_credentials_are_told_from_none(self, status: int) -> None:
        reply = json_reply({"details": "incorrect username or password"}, status=status)
        with Bearer(lambda _: reply) as registry:
            async with session() as opened:
                with pytest.raises(Denied) as caught:
                    await get(opened, registry.host, PULL)
            assert caught.value.message == f"{registry.host} did not allow repository:team/app:pull"
            assert caught.value.cause == "the credentials from the test were refused: incorrect username or password"
            assert (caught.value.code, caught.value.fields["registry"]) == ("credentials-refused", registry.host)
            assert caught.value.status == status
            async with session(None) as opened:
                with pytest.raises(Denied, match="no credentials were found"):
                    await get(opened, registry.host, PULL)

    @pytest.mark.parametrize(
        "reply, kind",
        [
            (Reply(status=404), RegistryFailure),
            (Reply(status=307, headers={"Location": "/token"}), RegistryFailure),
            (Reply(body=b"<html>"), InvalidContent),
            (Reply(body=b"[]"), InvalidContent),
            (json_reply({}), InvalidContent),
            (json_reply({"token": ""}), InvalidContent),
            (json_reply({"token": 1}), InvalidContent),
            (json_reply({"token": "a\r\nX-Evil: 1"}), InvalidContent),
            (json_reply({"token": "x" * 2_000_000}), InvalidContent),
            (Reply(body=b"[" * 100_000), InvalidContent),
        ],
        ids=range(10),
    )
    async def test_a_bad_reply_is_an_error(self, reply: Reply, kind: type[LadingError]) -> None:
        with Bearer(lambda _: reply) as registry:
            async with session(None) as opened:
                with pytest.raises(kind):
                    await get(opened, registry.host, PULL)
            assert len(registry.asked) == 1

    @pytest.mark.parametrize("status, kind", [(429, RateLimited), (503, RegistryFailure)])
    async def test_a_busy_service_is_asked_again(self, status: int, kind: type[LadingError]) -> None:
        count = iter(range(100))

        def tokens(_: Received) -> Reply:
            return Reply(status=status) if next(count) < 2 else json_reply({"token": "good"})

        with Bearer(tokens) as registry:
            async with session() as opened:
                assert await get(opened, registry.host, PULL) == 200
            registry.tokens = lambda _: Reply(status=status)
            async with session(retries=1) as opened:
                with pytest.raises(kind, match="token service"):
                    await get(opened, registry.host, PULL)

    @pytest.mark.parametrize("life", [None, 0, -5, "300", True, float("inf"), 1e300, [1]])
    async def test_a_strange_lifetime_is_the_usual_one(self, life: Any) -> None:
        body = json.dumps({"token": "good", "expires_in": life}).encode()
        with Bearer(lambda _: Reply(body=body)) as registry:
            async with session() as opened:
                if life == float("inf"):  # which is no JSON
                    with pytest.raises(InvalidContent):
                        await get(opened, registry.host, PULL)
                    return
                await get(opened, registry.host, PULL)
                await get(opened, registry.host, PULL)
            assert len(registry.asked) == 1

    @pytest.mark.parametrize("challenge", [None, "Negotiate", "Bearer", "=", "Digest realm=x"])
    async def test_a_challenge_nobody_can_answer_is_a_denial(self, challenge: str | None) -> None:
        headers = {"WWW-Authenticate": challenge} if challenge else {}
        with ScriptedServer(lambda _: Reply(status=401, headers=headers)) as registry:
            async with session() as opened:
                with pytest.raises(Denied):
                    await get(opened, registry.host, PULL)
            assert len(registry.requests) == 1


class TestBasic:
    async def test_credentials_are_shown_from_then_on(self) -> None:
        with RealRegistry(auth="basic") as registry, CountingProxy(registry.url) as proxy:
            async with session() as opened:
                assert await get(opened, proxy.host, PULL) == 200
                assert await get(opened, proxy.host, PULL) == 200
            assert proxy.count() == 3

    async def test_wrong_credentials_are_told_from_none(self) -> None:
        with RealRegistry(auth="basic") as registry, CountingProxy(registry.url) as proxy:
            async with session(Credential(username="alice", password="wrong", source="the test")) as opened:
                with pytest.raises(Denied) as caught:
                    await get(opened, proxy.host, PULL)
            assert caught.value.cause == "the credentials from the test were refused"
            assert proxy.count() == 2
            async with session(None) as opened:
                with pytest.raises(Denied, match="no credentials were found"):
                    await get(opened, proxy.host, PULL)

    async def test_an_identity_token_is_no_password(self) -> None:
        with RealRegistry(auth="basic") as registry:
            async with session(Credential(username="", password="", identity_token="refresh")) as opened:
                with pytest.raises(Denied):
                    await get(opened, registry.host, PULL)

    async def test_letters_of_any_kind(self) -> None:
        challenge = Reply(status=401, headers={"WWW-Authenticate": "Basic"})
        with ScriptedServer(lambda r: Reply() if r.headers.get("Authorization") else challenge) as registry:
            async with session(Credential(username="ünï", password="pä:ß")) as opened:
                await get(opened, registry.host)
            assert _decoded(registry.requests[1]) == "ünï:pä:ß"


class TestRealms:
    @pytest.mark.parametrize(
        "realm, base",
        [
            ("https://auth.docker.io/token", "https://registry-1.docker.io"),
            ("https://auth.example/t?x=y#z", "http://a.example"),
            ("http://auth.example/t", "http://a.example"),
            ("http://127.0.0.1:6000/t", "http://127.0.0.1:5000"),
            ("http://localhost:6000/t", "http://127.0.0.1:5000"),
            ("https://10.0.0.5:6000/t", "https://10.0.0.5:5000"),
            ("https://auth.example/t", ""),
        ],
    )
    def test_a_token_service_that_is_asked(self, realm: str, base: str) -> None:
        assert trusted_realm(realm, base, "a.example") == realm.partition("#")[0]

    @pytest.mark.parametrize(
        "realm, base",
        [
            ("http://auth.example/t", "https://a.example"),
            ("http://a.example/t", "https://a.example"),
            ("http://auth.example/t", ""),
            ("https://127.0.0.1/t", "https://a.example"),
            ("https://localhost/t", "https://a.example"),
            ("https://[::1]/t", "https://a.example"),
            ("https://0x7f.1/t", "https://a.example"),
            ("https://169.254.169.254/latest/meta-data", "https://a.example"),
            ("https://10.0.0.6/t", "https://10.0.0.5"),
            ("https://127.0.0.1/t", "https://10.0.0.5"),
            ("https://127.0.0.1/t", ""),
            ("http://127.0.0.2/t", "http://127.0.0.1:5000"),
            ("http://127.0.0.1/t", "http://127.0.0.2:5000"),
            ("http://127.0.0.2/t", "http://localhost:5000"),
            ("http://[::ffff:127.0.0.2]/t", "http://localhost:5000"),
            ("http://169.254.169.254/t", "http://localhost:5000"),
            ("http://[::ffff:169.254.169.254]/t", "http://127.0.0.1:5000"),
            ("http://[fe80::1]/t", "http://10.0.0.5:5000"),
            ("https://user:password@auth.example/t", "https://a.example"),
            ("file:///etc/passwd", "https://a.example"),
            ("/token", "https://a.example"),
            ("lading", "http://127.0.0.1:5000"),
        ],
    )
    def test_a_token_service_that_is_not(self, realm: str, base: str) -> None:
        with pytest.raises(Denied, match="token service that lading does not ask") as caught:
            trusted_realm(realm, base, "a.example")
        assert caught.value.cause

    async def test_a_bad_realm_gets_nothing(self) -> None:
        with ScriptedServer(gives()) as elsewhere, Bearer(gives()) as registry:
            registry.realm = f"https://user@{elsewhere.host}/token"
            async with session() as opened:
                with pytest.raises(Denied, match="does not ask"):
                    await get(opened, registry.host, PULL)
            assert elsewhere.connections == 0
            assert len(registry.requests) == 1


def test_nothing_secret_is_shown() -> None:
    assert repr(Authorization("Bearer hunter2")) == "<Authorization Bearer>"


def _decoded(request: Received) -> str:
    scheme, _, encoded = (request.headers.get("Authorization") or "").partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded).decode()
