"""Credentials that a registry refuses: what is tried instead, what is said of it, and what is not done."""

import base64
from typing import Any

import pytest

from lading.errors import Denied
from lading.registry.auth.credentials import Credential, CredentialSource, GivenCredentials, Login, Offer
from lading.registry.auth.lookup import KnownCredentials
from lading.registry.auth.scopes import Scope
from lading.registry.login import verify
from lading.registry.session import Session
from registry.test_authentication import PULL, PUSH, Bearer, get, session
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.fakes import Request as Received
from support.proxy import CountingProxy
from support.registry import RealRegistry
from support.tokens import TokenService

STALE = Credential(username="alice", password="stale", source="the first place")
ALICE = Credential(username="alice", password="secret", source="the second place")


class Place:
    """A source that has one credential for everything."""

    def __init__(self, credential: Credential | Denied) -> None:
        self.credential = credential
        self.name = self.place = "a place"

    def absence(self, registry: str) -> str:
        return ""

    async def logins(self) -> list[Login]:
        return []

    def offers(self, registry: str, repository: str | None) -> list[Offer]:
        async def load() -> Credential:
            if isinstance(self.credential, Denied):
                raise self.credential
            return self.credential

        return [Offer(registry, 0, self.place, load)]


class Told(list[str]):
    """A session over some credentials, one after the other, and what it tells."""

    def session(self, *credentials: Credential | Denied, **options: Any) -> Session:
        sources: list[CredentialSource] = [Place(credential) for credential in credentials]
        return session(None, credentials=KnownCredentials(sources), on_note=self.append, **options)


@pytest.fixture
def told() -> Told:
    return Told()


PUBLIC = {"team/*": {"pull"}}


class TestTokens:
    async def test_the_next_best_are_taken(self, told: Told) -> None:
        with RealRegistry(tokens=TokenService({"alice": "secret"})) as registry:
            async with told.session(STALE, ALICE) as opened:
                assert await get(opened, registry.host, PULL) == 200
                assert await get(opened, registry.host, PUSH) == 200
            assert [asked.status for asked in registry.tokens.requests] == [401, 200, 200], "and never the others again"
        assert told == [
            f"{registry.host} refused the credentials from the first place (unauthorized: incorrect username or "
            "password); going on with those from the second place"
        ]

    async def test_what_is_public_is_had_as_anybody(self, told: Told) -> None:
        with RealRegistry(tokens=TokenService({"alice": "secret"}, anonymous=PUBLIC)) as registry:
            async with told.session(STALE) as opened:
                assert await get(opened, registry.host, PULL, path="/v2/team/app/manifests/1") == 404
                assert await get(opened, registry.host, PULL, path="/v2/team/app/manifests/2") == 404
            assert len(registry.tokens.requests) == 2
        (sentence,) = told
        assert sentence.endswith("going on without credentials")

    async def test_what_is_not_is_refused_for_the_right_reason(self, told: Told) -> None:
        with RealRegistry(tokens=TokenService({"alice": "secret"}, anonymous=PUBLIC)) as registry:
            async with told.session(STALE) as opened:
                with pytest.raises(Denied) as caught:
                    await get(opened, registry.host, Scope("private/app"), path="/v2/private/app/manifests/1")
        assert caught.value.cause == (
            "the credentials from the first place were refused: unauthorized: incorrect username or password"
        )
        assert caught.value.code == "credentials-refused"
        assert told == [], "the error says it all"

    async def test_good_credentials_that_allow_too_little_are_not_replaced(self, told: Told) -> None:
        """It would be somebody else who acts, without having been asked."""
        other = Credential(username="bob", password="secret", source="the second place")
        users = {"alice": "secret", "bob": "secret"}
        tokens = TokenService(users, grants={"alice": PUBLIC, "bob": {"*": {"*"}}})
        with RealRegistry(tokens=tokens) as registry:
            async with told.session(ALICE, other) as opened:
                with pytest.raises(Denied) as caught:
                    await get(opened, registry.host, Scope("private/app"), path="/v2/private/app/manifests/1")
            assert {asked.account for asked in registry.tokens.requests} == {"alice"}
        assert caught.value.cause is not None
        assert "do not allow it" in caught.value.cause
        assert caught.value.code == "credentials-insufficient"

    async def test_what_is_forbidden_in_one_repository_is_tried_in_the_next(self, told: Told) -> None:
        def tokens(request: Received) -> Reply:
            if request.headers.get("Authorization") is None:
                return json_reply({"token": "good"})
            if "private" in request.query:
                return error_reply(403, "DENIED", "denied")
            return json_reply({"token": "good"})

        with Bearer(tokens) as registry:
            async with told.session(ALICE) as opened:
                await get(opened, registry.host, PULL)
                await get(opened, registry.host, Scope("private/app"))
                await get(opened, registry.host, Scope("team/other"))
            shown = [request.headers.get("Authorization") is not None for request in registry.asked]
        assert shown == [True, True, False, True]
        assert len(told) == 1

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(status=401),
            json_reply({"error": "invalid_grant", "error_description": "Invalid refresh token"}, status=400),
        ],
    )
    async def test_an_identity_token_that_has_ended(self, told: Told, reply: Reply) -> None:
        ended = Credential(username="", password="", identity_token="ended", source="the first place")
        with Bearer(lambda request: reply if request.method == "POST" else json_reply({"token": "good"})) as registry:
            async with told.session(ended) as opened:
                assert await get(opened, registry.host, PULL) == 200
        assert len(told) == 1

    async def test_a_crowd_is_told_once(self, told: Told) -> None:
        import asyncio

        with RealRegistry(tokens=TokenService({"alice": "secret"}, anonymous=PUBLIC)) as registry:
            async with told.session(STALE) as opened:
                await asyncio.gather(*(get(opened, registry.host, PULL) for _ in range(10)))
        assert len(told) == 1


class TestPasswords:
    async def test_the_next_best_are_taken(self, told: Told) -> None:
        with RealRegistry(auth="basic") as registry, CountingProxy(registry.url) as proxy:
            async with told.session(STALE, ALICE) as opened:
                assert await get(opened, proxy.host, PULL) == 200
                assert await get(opened, proxy.host, PULL) == 200
            assert proxy.count() == 4
        assert len(told) == 1

    async def test_those_remembered_to_be_wanted_may_be_wrong(self, told: Told, tmp_path: Any) -> None:
        """A registry that is open to anybody, and refuses who shows wrong credentials."""
        from lading.registry.cache import Cache

        def answer(request: Received) -> Reply:
            shown = request.headers.get("Authorization")
            closed = request.path == "/v2/closed"
            if _password(shown) == "secret" or (shown is None and not closed):
                return Reply()
            return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

        with ScriptedServer(answer) as registry:
            async with told.session(ALICE, cache=Cache(tmp_path / "cache")) as opened:
                await get(opened, registry.host, path="/v2/closed")
            async with told.session(STALE, cache=Cache(tmp_path / "cache")) as opened:
                assert await get(opened, registry.host) == 200
        assert len(told) == 1

    async def test_a_password_that_has_ended_is_told_from_what_is_forbidden(self, told: Told) -> None:
        """Amazon ECR: what it calls an authorization token is a password, and lasts for twelve hours."""
        words = "Your authorization token has expired. Reauthenticate and try again."

        def answer(request: Received) -> Reply:
            password = _password(request.headers.get("Authorization"))
            if password is None:
                return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if password == "stale":
                return error_reply(403, "DENIED", words)
            return Reply(status=200 if request.path == "/v2/" else 403)

        with ScriptedServer(answer) as registry:
            async with told.session(STALE, ALICE) as opened:
                assert await get(opened, registry.host) == 200
                with pytest.raises(Denied, match="the credentials from the second place do not allow it"):
                    await get(opened, registry.host, path="/v2/other")
        (sentence,) = told
        assert words in sentence


class TestTrouble:
    TROUBLE = Denied("the credential helper gone failed", cause="there is no program", remedy="repair it")

    async def test_what_is_public_is_had_all_the_same(self, told: Told) -> None:
        with RealRegistry(tokens=TokenService(anonymous=PUBLIC)) as registry:
            async with told.session(self.TROUBLE) as opened:
                assert await get(opened, registry.host, PULL, path="/v2/team/app/manifests/1") == 404
        assert told == ["the credential helper gone failed: there is no program; going on without credentials"]

    async def test_what_is_not_is_refused_for_that_reason(self, told: Told) -> None:
        with RealRegistry(auth="basic") as registry:
            async with told.session(self.TROUBLE) as opened:
                with pytest.raises(Denied) as caught:
                    await get(opened, registry.host, PULL)
        assert caught.value.cause == "the credential helper gone failed (there is no program)"
        assert (caught.value.remedy or "").startswith("repair it")
        assert told == []


class TestLogins:
    """What is checked is what was given, and nothing else."""

    @pytest.mark.parametrize("status", [401, 403])
    async def test_access_as_anybody_proves_nothing(self, status: int) -> None:
        def tokens(request: Received) -> Reply:
            anybody = request.headers.get("Authorization") is None
            return json_reply({"token": "good"}) if anybody else Reply(status=status)

        with Bearer(tokens) as registry:
            async with session(None) as opened:
                with pytest.raises(Denied):
                    await verify(opened, registry.host, STALE)

    async def test_nor_with_passwords(self) -> None:
        with RealRegistry(auth="basic") as registry:
            async with session(None) as opened:
                await verify(opened, registry.host, ALICE)
                with pytest.raises(Denied):
                    await verify(opened, registry.host, STALE)


async def test_given_credentials_are_given_once() -> None:
    given = GivenCredentials(ALICE)
    assert await given.find("a.example") == ALICE
    assert await given.find("a.example", refused=[ALICE]) is None


def _password(header: str | None) -> str | None:
    if header is None:
        return None
    return base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")[2]
