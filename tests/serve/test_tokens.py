"""The token service: distribution's token authentication, in both of its dialects."""

import base64
import datetime
import json
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from lading.errors import UsageError
from lading.serve import Settings, app, background
from serve.accounts import USERS, ask, basic, bearer, htpasswd
from serve.caller import Answer, Caller
from serve.clock import Clock, serving
from support.images import make_image, push
from support.lading import Lading

BOB = {"grant_type": "password", "username": "bob", "password": USERS["bob"]}
RULES = ("alice:*:*", "bob:team/*:pull", "anonymous:public/*:pull")


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return htpasswd(tmp_path / "users")


@pytest.fixture
def settings(users: Path, tmp_path: Path) -> Settings:
    """With a key that is kept, so that refresh tokens are given."""
    return Settings(auth=f"token={users}", allow=RULES, token_key=tmp_path / "key")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def call(settings: Settings, clock: Clock) -> Iterator[Caller]:
    with serving(clock, settings) as caller:
        yield caller


def post(call: Caller, **form: str) -> Answer:
    """Ask as OAuth2 does."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return call("POST", "/v2/token", urllib.parse.urlencode(form), **headers)


def access(answer: Answer) -> Any:
    """What the token in an answer allows, as its text says."""
    assert answer.status == 200, answer
    return jwt.decode(answer.document["access_token"], options={"verify_signature": False})["access"]


def test_answers_as_distribution_says(call: Caller, clock: Clock) -> None:
    answer = ask(call, "repository:team/app:pull,push", user="bob")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    document = answer.document
    assert set(document) == {"token", "access_token", "scope", "expires_in", "issued_at"}
    assert document["token"] == document["access_token"]
    assert document["scope"] == "repository:team/app:pull"
    assert document["expires_in"] == 300
    issued = datetime.datetime.fromisoformat(document["issued_at"]).timestamp()
    assert abs(issued - clock()) < 60


@pytest.mark.parametrize(
    "user, scopes, expected",
    [
        ("alice", ["repository:a:pull,push,delete"], {"a": "pull push delete"}),
        ("alice", ["repository:a:*"], {"a": "* delete pull push"}),
        ("bob", ["repository:team/a:*"], {"team/a": "pull"}),
        ("bob", ["repository:team/a:pull,push", "repository:team/b:pull"], {"team/a": "pull", "team/b": "pull"}),
        ("bob", ["repository:team/a:pull repository:a:pull"], {"team/a": "pull"}),
        ("bob", ["registry:catalog:*"], {"catalog": "*"}),
        (None, ["repository:public/a:pull", "repository:team/a:pull"], {"public/a": "pull"}),
        (None, ["registry:catalog:*"], {"catalog": "*"}),
        ("alice", ["repository(plugin):a:pull", "nonsense", "", "registry:other:*", "repository:a:admin"], {}),
        ("alice", [], {}),
    ],
)
def test_gives_what_is_allowed(call: Caller, user: str | None, scopes: list[str], expected: dict[str, str]) -> None:
    found = {entry["name"]: set(entry["actions"]) - {"*"} for entry in access(ask(call, *scopes, user=user))}
    assert found == {name: set(actions.split()) - {"*"} for name, actions in expected.items()}


def test_both_dialects_give_the_same(call: Caller) -> None:
    scopes = ("repository:team/app:pull", "registry:catalog:*")
    got = access(ask(call, *scopes, user="bob"))
    assert access(post(call, scope=" ".join(scopes), service="lading", client_id="test", **BOB)) == got


class TestRefreshTokens:
    """Clients keep them in the place of the password."""

    @pytest.fixture
    def refresh(self, call: Caller) -> str:
        return str(post(call, access_type="offline", **BOB).document["refresh_token"])

    def test_are_given_to_who_asks(self, call: Caller) -> None:
        assert "refresh_token" in ask(call, user="bob", offline_token="true").document
        assert "refresh_token" in post(call, access_type="offline", **BOB).document
        assert "refresh_token" not in ask(call, user="bob").document
        assert "refresh_token" not in post(call, **BOB).document
        assert "refresh_token" not in ask(call, offline_token="true").document  # of anybody

    def test_give_tokens(self, call: Caller, refresh: str, clock: Clock) -> None:
        clock.ahead = 365 * 24 * 60 * 60
        answer = post(call, grant_type="refresh_token", refresh_token=refresh, scope="repository:team/app:pull,push")
        assert access(answer) == [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
        again = answer.document["refresh_token"]
        assert post(call, grant_type="refresh_token", refresh_token=again).status == 200

    def test_hold_over_a_restart(self, settings: Settings, refresh: str) -> None:
        with background(settings=settings) as url:
            assert post(Caller(url), grant_type="refresh_token", refresh_token=refresh).status == 200

    def test_end_with_the_password(self, call: Caller, refresh: str, users: Path) -> None:
        htpasswd(users, USERS | {"bob": "changed"})
        answer = post(call, grant_type="refresh_token", refresh_token=refresh)
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        htpasswd(users, {"alice": "secret"})
        assert post(call, grant_type="refresh_token", refresh_token=refresh).status == 401

    def test_are_no_access_tokens(self, call: Caller, refresh: str) -> None:
        assert call("GET", "/v2/", authorization=f"Bearer {refresh}").status == 401
        token = ask(call, user="bob").document["token"]
        assert post(call, grant_type="refresh_token", refresh_token=token).status == 401

    def test_are_given_only_if_they_will_hold(self, users: Path) -> None:
        """Without a key that is kept, docker would forget the password for nothing."""
        with background(settings=Settings(auth=f"token={users}")) as url:
            assert "refresh_token" not in ask(Caller(url), user="bob", offline_token="true").document


def test_tokens_expire(call: Caller, clock: Clock) -> None:
    token = bearer(call, "repository:team/app:pull", user="bob")
    clock.ahead = 295
    assert call("GET", "/v2/team/app/tags/list", authorization=token).status == 404
    clock.ahead = 305
    answer = call("GET", "/v2/team/app/tags/list", authorization=token)
    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].endswith('scope="repository:team/app:pull",error="invalid_token"')


def test_tokens_end_with_the_password(call: Caller, users: Path) -> None:
    token = bearer(call, user="bob")
    assert call("GET", "/v2/", authorization=token).status == 200
    htpasswd(users, USERS | {"bob": "changed"})
    assert call("GET", "/v2/", authorization=token).status == 401


def test_tokens_cannot_be_made_up(call: Caller, users: Path, tmp_path: Path) -> None:
    token = bearer(call, "repository:team/app:pull", user="bob").removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["access"][0]["actions"] = ["pull", "push"]
    head, body, signature = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    none = jwt.encode(claims, "", "none")
    other = Settings(auth=f"token={users}", allow=RULES, token_key=tmp_path / "other")
    with background(settings=other) as url:
        foreign = bearer(Caller(url), user="bob").removeprefix("Bearer ")
    for made_up in (f"{head}.{forged}.{signature}", none, f"{head}.{body}.", foreign, "", "x", "a.b.c"):
        assert call("GET", "/v2/", authorization=f"Bearer {made_up}").status == 401, made_up
    assert call("GET", "/v2/", authorization=f"bearer  {token}").status == 200


class TestRefusals:
    def test_of_wrong_passwords(self, call: Caller) -> None:
        for answer in (
            ask(call, user="bob", password="wrong"),
            ask(call, user="carol", password="wrong"),
            call("GET", "/v2/token", authorization="Basic !"),
            call("GET", "/v2/token", authorization=basic("bob").replace("Basic", "Bearer")),
            post(call, grant_type="password", username="bob", password="wrong"),
            post(call, grant_type="password"),
            post(call, grant_type="refresh_token"),
        ):
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"] == 'Basic realm="lading"'
            assert b"wrong" not in answer.body or b"password is wrong" in answer.body

    def test_of_anybody_where_nothing_is_for_anybody(self, users: Path) -> None:
        with background(settings=Settings(auth=f"token={users}")) as url:
            assert ask(Caller(url), "repository:a:pull").status == 401

    def test_of_what_is_no_question(self, call: Caller) -> None:
        assert post(call, grant_type="authorization_code").status == 400
        assert call("POST", "/v2/token", b"\xff").status == 400
        assert call("POST", "/v2/token", "&".join(f"a{n}=1" for n in range(2000))).status == 400
        assert call("POST", "/v2/token", b"a=" + b"x" * 100_000).status == 413
        answer = call("PUT", "/v2/token", b"x")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")

    def test_where_there_are_no_tokens(self, users: Path) -> None:
        with background() as url:
            assert Caller(url)("GET", "/v2/token").status == 404
        with background(settings=Settings(auth=f"htpasswd={users}")) as url:
            assert Caller(url)("GET", "/v2/token", authorization=basic("alice")).status == 404


class TestRealm:
    """Clients are sent to where they came to."""

    def realm(self, call: Caller, **headers: str) -> str:
        challenge = call("GET", "/v2/", **headers).headers["www-authenticate"]
        return str(challenge.split('"')[1])

    def test_is_the_address_that_was_asked(self, call: Caller) -> None:
        assert self.realm(call) == f"{call.url}/v2/token"
        for host in ("registry.example", "registry.example:5000", "[::1]:80"):
            assert self.realm(call, host=host) == f"http://{host}/v2/token"

    @pytest.mark.parametrize("host", ['a"b', "a,b", "", "user@host", "a/b", "host:x"])
    def test_is_nothing_that_is_no_host(self, call: Caller, host: str) -> None:
        assert self.realm(call, host=host) == f"{call.url}/v2/token"

    def test_can_be_said(self, users: Path) -> None:
        for said in ("https://registry.example", "https://registry.example/"):
            with background(settings=Settings(auth=f"token={users}", public_url=said)) as url:
                assert self.realm(Caller(url)) == "https://registry.example/v2/token"


class TestKey:
    def test_is_made_for_its_owner_only(self, settings: Settings, tmp_path: Path) -> None:
        app(settings=settings)
        key = (tmp_path / "key").read_bytes()
        assert len(key.strip()) >= 32
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
        app(settings=settings)
        assert (tmp_path / "key").read_bytes() == key
        assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "users"]

    def test_must_be_one(self, settings: Settings, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("short")
        with pytest.raises(UsageError, match="is too short") as refused:
            app(settings=settings)
        assert "short\n" not in str(refused.value)

    def test_must_have_a_place(self, users: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot keep a key in"):
            app(settings=Settings(auth=f"token={users}", token_key=tmp_path / "missing" / "key"))

    def test_is_better_not_shown(self, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "key").write_text("k" * 40)
        (tmp_path / "key").chmod(0o644)
        app(settings=settings)
        assert "everybody on this machine can read the key" in caplog.text
        assert "kkk" not in caplog.text


def test_lading_logs_in_and_copies(call: Caller, lading: Lading) -> None:
    image = make_image()
    push(call.host, "team/app", "v1", image, auth=("alice", USERS["alice"]))
    lading.run("login", call.host, "-u", "bob", "--password-stdin", stdin=b"hunter2")
    assert lading.run("digest", f"{call.host}/team/app:v1").stdout.strip() == image.digest
    refused = lading.run("tag", f"{call.host}/team/app:v1", "v2", check=False)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "bob may not push to team/app" in refused.stderr
    assert "hunter2" not in refused.stderr
    lading.run("login", call.host, "-u", "alice", "--password-stdin", stdin=b"secret")
    lading.run("copy", "-q", f"{call.host}/team/app:v1", f"{call.host}/mine/app:v1")
    assert lading.run("repos", call.host).stdout.split() == ["mine/app", "team/app"]
    lading.run("delete", "--yes", f"{call.host}/mine/app:v1")


def test_whoever_names_nobody_asks_anonymously(call: Caller, users: Path) -> None:
    answer = call("GET", "/v2/token?scope=repository:public/a:pull", authorization="Basic Og==")
    assert access(answer) == [{"type": "repository", "name": "public/a", "actions": ["pull"]}]
    with background(settings=Settings(auth=f"token={users}")) as url:
        asked = Caller(url)("GET", "/v2/token", authorization="Basic Og==")
        granted = post(Caller(url), grant_type="password", username="", password="")
    for refused in (asked, granted):
        assert (refused.status, refused.document["errors"][0]["message"]) == (401, "log in first")
