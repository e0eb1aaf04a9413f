"""Who may do what where: rules, and requests that pass or do not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import UsageError
from lading.serve import MemoryStorage, Settings, Storage, app, background
from lading.serve.auth.access import ACTIONS, Need, Rules, parse_rule
from serve.accounts import USERS, ask, basic, bearer, htpasswd
from serve.caller import Caller
from support.images import digest_of, make_image, push

ALICE = ("alice", USERS["alice"])
RULES = ("alice:*:*", "bob:team/*:pull", "bob:bob/*:push")
CONTENT = b"content"
DIGEST = digest_of(CONTENT)

Authorize = Callable[..., str]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return htpasswd(tmp_path / "users")


@pytest.fixture(params=["htpasswd", "token"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def guarded(storage: Storage, users: Path, kind: str) -> Iterator[Caller]:
    """A registry where alice may do everything; bob may pull from `team/*`, and push to `bob/*`."""
    with background(storage, settings=Settings(auth=f"{kind}={users}", allow=RULES)) as url:
        yield Caller(url)


@pytest.fixture
def authorize(guarded: Caller, kind: str) -> Authorize:
    """Makes the header with which a user may do what scopes say, of what they may do."""

    def make(user: str, *scopes: str) -> str:
        return basic(user) if kind == "htpasswd" else bearer(guarded, *scopes, user=user)

    return make


def test_everything_needs_a_login(guarded: Caller, kind: str) -> None:
    push(guarded.host, "team/app", "v1", make_image(), auth=ALICE)
    paths = ("", "_catalog", "team/app/tags/list", "team/app/manifests/v1", f"team/app/blobs/{DIGEST}")
    for path in paths:
        for header in ({}, {"authorization": "Basic !!!"}, {"authorization": basic("alice", "wrong")}):
            answer = guarded("GET", f"/v2/{path}", **header)
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED"), path
            assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
            assert answer.headers["www-authenticate"].startswith("Basic " if kind == "htpasswd" else "Bearer ")
    answer = guarded("HEAD", "/v2/team/app/manifests/v1")
    assert (answer.status, answer.body) == (401, b"")
    assert guarded("GET", "/elsewhere").status == 404
    assert guarded("GET", "/v2/", authorization=basic("alice")).status == 200  # with tokens, too: for curl
    assert guarded("GET", "/v2/", authorization=basic("alice", "wrong")).status == 401
    assert guarded("GET", "/v2/", authorization="Bearer " + basic("alice")).status == 401


@pytest.mark.parametrize("header", ["Basic Og==", "Basic ", "Basic", "Bearer ", ""])
def test_whoever_names_nobody_is_told_to_log_in(guarded: Caller, header: str) -> None:
    """Not that a password is wrong: some clients send empty credentials where they have none."""
    answer = guarded("GET", "/v2/team/app/tags/list", authorization=header)
    assert (answer.status, answer.document["errors"][0]["message"]) == (401, "log in first")


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("GET", "tags/list", "pull"),
        ("HEAD", "manifests/v1", "pull"),
        ("GET", f"blobs/{DIGEST}", "pull"),
        ("GET", f"referrers/{DIGEST}", "pull"),
        ("POST", "blobs/uploads/", "pull,push"),
        ("GET", "blobs/uploads/1", "pull,push"),
        ("PATCH", "blobs/uploads/1", "pull,push"),
        ("PUT", f"blobs/uploads/1?digest={DIGEST}", "pull,push"),
        ("DELETE", "blobs/uploads/1", "pull,push"),
        ("PUT", "manifests/v1", "pull,push"),
        ("DELETE", "manifests/v1", "delete"),
        ("DELETE", f"blobs/{DIGEST}", "delete"),
    ],
)
def test_challenges_say_what_a_token_must_allow(users: Path, method: str, path: str, scope: str) -> None:
    with background(settings=Settings(auth=f"token={users}")) as url:
        call = Caller(url)
        challenge = call(method, f"/v2/a/b/{path}").headers["www-authenticate"]
        assert challenge == f'Bearer realm="{url}/v2/token",service="lading",scope="repository:a/b:{scope}"'
        weak = bearer(call, "repository:a/b:nothing", "repository:a:pull,push,delete", user="alice")
        assert call(method, f"/v2/a/b/{path}", authorization=weak).headers["www-authenticate"] == (
            f'Bearer realm="{url}/v2/token",service="lading",scope="repository:a/b:{scope}",error="insufficient_scope"'
        )
        good = bearer(call, f"repository:a/b:{scope}", user="alice")
        assert call(method, f"/v2/a/b/{path}", authorization=good).status not in {401, 403}


def test_names_that_are_none_are_in_no_challenge(users: Path) -> None:
    with background(settings=Settings(auth=f"token={users}")) as url:
        answer = Caller(url)("GET", "/v2/a%22,error=%22/manifests/v1")
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == f'Bearer realm="{url}/v2/token",service="lading"'


def test_everybody_may_do_what_rules_say_and_no_more(guarded: Caller, authorize: Authorize) -> None:
    image = make_image()
    push(guarded.host, "team/app", "v1", image, auth=ALICE)
    push(guarded.host, "other", "v1", image, auth=ALICE)
    push(guarded.host, "bob/app", "v1", image, auth=("bob", USERS["bob"]))
    may = {
        ("GET", "team/app/manifests/v1"): 200,
        ("GET", f"team/app/blobs/{digest_of(image.config)}"): 200,
        ("POST", "bob/app/blobs/uploads/"): 202,
        ("GET", "bob/app/tags/list"): 200,
        ("PUT", "team/app/manifests/v1"): 403,
        ("POST", "team/app/blobs/uploads/"): 403,
        ("DELETE", "team/app/manifests/v1"): 403,
        ("DELETE", "bob/app/manifests/v1"): 403,
        ("GET", "other/manifests/v1"): 403,
        ("GET", "nowhere/manifests/v1"): 403,  # whether it exists is not told
        ("GET", f"other/blobs/{digest_of(image.config)}"): 403,
        ("GET", "team/tags/list"): 403,
    }
    for (method, path), status in may.items():
        name = path.partition("/blobs/")[0].partition("/manifests/")[0].partition("/tags/")[0]
        header = authorize("bob", f"repository:{name}:pull,push,delete")
        answer = guarded(method, f"/v2/{path}", authorization=header)
        assert answer.status == status, (method, path)
        if status == 403:
            assert answer.code == "DENIED"
            assert answer.document["errors"][0]["message"].endswith(f" {name}")
            assert "www-authenticate" not in answer.headers
    answer = guarded("GET", "/v2/other/manifests/v1", authorization=authorize("bob"))
    assert answer.document["errors"] == [{"code": "DENIED", "message": "bob may not pull from other"}]
    assert guarded("GET", "/v2/team/app/manifests/v1", authorization=basic("alice")).body == image.content


def test_the_catalog_shows_what_one_may_pull(guarded: Caller, authorize: Authorize) -> None:
    for name in ("bob/app", "other", "team/a", "team/b"):
        push(guarded.host, name, "v1", make_image(), auth=ALICE)
    listing = "registry:catalog:*"
    answer = guarded("GET", "/v2/_catalog", authorization=authorize("alice", listing))
    assert answer.document["repositories"] == ["bob/app", "other", "team/a", "team/b"]
    answer = guarded("GET", "/v2/_catalog?n=2", authorization=authorize("bob", listing))
    assert answer.document["repositories"] == ["bob/app", "team/a"]
    more = guarded("GET", answer.headers["link"].split(">")[0][1:], authorization=authorize("bob", listing))
    assert more.document["repositories"] == ["team/b"]


def test_the_catalog_needs_its_own_scope(users: Path) -> None:
    with background(settings=Settings(auth=f"token={users}", allow=["anonymous:team/*:pull"])) as url:
        call = Caller(url)
        challenge = f'Bearer realm="{url}/v2/token",service="lading",scope="registry:catalog:*"'
        assert call("GET", "/v2/_catalog").headers["www-authenticate"] == challenge
        weak = bearer(call, "repository:team/app:pull")
        assert call("GET", "/v2/_catalog", authorization=weak).status == 401
        assert call("GET", "/v2/_catalog", authorization=bearer(call, "registry:catalog:*")).status == 200


class TestMount:
    """A blob comes from another repository only for whoever may pull from there."""

    def test_from_where_one_may_pull(self, guarded: Caller, authorize: Authorize) -> None:
        self.fill(guarded, authorize, "team/app")
        header = authorize("bob", "repository:bob/app:pull,push", "repository:team/app:pull")
        answer = guarded("POST", f"/v2/bob/app/blobs/uploads/?mount={DIGEST}&from=team/app", authorization=header)
        assert answer.status == 201
        assert guarded("GET", f"/v2/bob/app/blobs/{DIGEST}", authorization=header).body == CONTENT

    def test_from_where_one_may_not_is_an_upload(self, guarded: Caller, authorize: Authorize) -> None:
        """And tells nobody whether the blob is there."""
        self.fill(guarded, authorize, "other")
        header = authorize("bob", "repository:bob/app:pull,push", "repository:other:pull")
        for source in ("&from=other", "&from=nowhere", ""):
            answer = guarded("POST", f"/v2/bob/app/blobs/uploads/?mount={DIGEST}{source}", authorization=header)
            assert answer.status == 202
        assert guarded("HEAD", f"/v2/bob/app/blobs/{DIGEST}", authorization=header).status == 404

    def test_from_anywhere_is_from_where_one_may_pull(self, guarded: Caller, authorize: Authorize) -> None:
        self.fill(guarded, authorize, "other")
        self.fill(guarded, authorize, "team/app")
        header = authorize("bob", "repository:bob/app:pull,push", "repository:team/app:pull")
        answer = guarded("POST", f"/v2/bob/app/blobs/uploads/?mount={DIGEST}", authorization=header)
        assert answer.status == 201

    def test_a_token_must_be_for_both(self, users: Path) -> None:
        with background(settings=Settings(auth=f"token={users}")) as url:
            call = Caller(url)
            self.fill(call, lambda user, *scopes: basic(user), "a")
            path = f"/v2/b/blobs/uploads/?mount={DIGEST}"
            header = bearer(call, "repository:b:pull,push", user="alice")
            assert call("POST", path, authorization=header).status == 202  # a is not what this token is for
            answer = call("POST", f"{path}&from=a", authorization=header)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].endswith(
                'scope="repository:b:pull,push repository:a:pull",error="insufficient_scope"'
            )
            header = bearer(call, "repository:b:pull,push repository:a:pull", user="alice")
            assert call("POST", f"{path}&from=a", authorization=header).status == 201

    @staticmethod
    def fill(call: Caller, authorize: Authorize, name: str) -> None:
        header = authorize("alice", f"repository:{name}:pull,push")
        answer = call("POST", f"/v2/{name}/blobs/uploads/?digest={DIGEST}", CONTENT, authorization=header)
        assert answer.status == 201


def test_a_manifest_refers_to_its_own_repository_only(guarded: Caller, authorize: Authorize) -> None:
    """Nobody gets at a blob of another repository by naming it in a manifest."""
    image = make_image()
    push(guarded.host, "other", "v1", image, auth=ALICE)
    header = authorize("bob", "repository:bob/app:pull,push")
    headers = {"authorization": header, "content-type": image.media_type}
    answer = guarded("PUT", "/v2/bob/app/manifests/v1", image.content, **headers)
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")


class TestAnybody:
    """What needs no login."""

    @pytest.fixture
    def call(self, users: Path) -> Iterator[Caller]:
        rules = ["anonymous:public/*:pull", "bob:bob/*:*"]
        with background(settings=Settings(auth=f"token={users}", allow=["alice:*:*", *rules])) as url:
            for name in ("public/app", "private/app", "bob/app"):
                push(Caller(url).host, name, "v1", make_image(), auth=ALICE)
            yield Caller(url)

    def test_is_asked_to_log_in_first(self, call: Caller) -> None:
        """Or clients that could log in never would: they ask here first."""
        assert call("GET", "/v2/").status == 401
        assert call("GET", "/v2/_catalog").status == 401

    def test_may_pull_with_a_token_or_without(self, call: Caller) -> None:
        token = bearer(call, "repository:public/app:pull,push")
        assert call("GET", "/v2/", authorization=token).status == 200
        assert call("GET", "/v2/public/app/manifests/v1", authorization=token).status == 200
        assert call("GET", "/v2/public/app/manifests/v1").status == 200

    def test_may_nothing_else(self, call: Caller) -> None:
        token = bearer(call, "repository:public/app:pull,push", "repository:private/app:pull")
        for method, path in (("PUT", "public/app/manifests/v2"), ("GET", "private/app/manifests/v1")):
            for header in ({}, {"authorization": token}):
                answer = call(method, f"/v2/{path}", **header)
                assert (answer.status, answer.code) == (401, "UNAUTHORIZED")

    def test_sees_what_is_for_everybody(self, call: Caller) -> None:
        listing = "registry:catalog:*"
        for user, names in ((None, ["public/app"]), ("bob", ["bob/app", "public/app"])):
            answer = call("GET", "/v2/_catalog", authorization=bearer(call, listing, user=user))
            assert answer.document["repositories"] == names

    def test_a_login_that_is_wrong_is_no_anybody(self, call: Caller) -> None:
        assert ask(call, user="alice", password="wrong").status == 401
        header = basic("alice", "wrong")
        assert call("GET", "/v2/public/app/manifests/v1", authorization=header).status == 401


def test_users_who_are_taken_out_are_out(guarded: Caller, authorize: Authorize, users: Path) -> None:
    header = authorize("bob", "repository:bob/app:pull,push")
    assert guarded("POST", "/v2/bob/app/blobs/uploads/", authorization=header).status == 202
    htpasswd(users, {"alice": USERS["alice"]})
    assert guarded("POST", "/v2/bob/app/blobs/uploads/", authorization=header).status == 401


def test_rules_in_a_file_are_followed(users: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    rules = tmp_path / "rules"
    rules.write_text("# who\n\nbob:a:push\n")
    with background(settings=Settings(auth=f"{kind}={users}", allow=[f"@{rules}", "alice:b:pull"])) as url:
        call = Caller(url)
        header = basic("bob") if kind == "htpasswd" else bearer(call, "repository:a:push", user="bob")
        assert call("POST", "/v2/a/blobs/uploads/", authorization=header).status == 202
        rules.write_text("bob:a:everything")
        assert call("POST", "/v2/a/blobs/uploads/", authorization=header).status == 202
        assert f"{rules} has changed and cannot be read" in caplog.text
        rules.write_text("bob:a:pull\n")
        assert call("POST", "/v2/a/blobs/uploads/", authorization=header).status == 403


def test_without_rules_who_logs_in_may_do_everything(users: Path) -> None:
    with background(settings=Settings(auth=f"htpasswd={users}")) as url:
        call, image = Caller(url), make_image()
        push(call.host, "a", "v1", image, auth=("bob", USERS["bob"]))
        assert call("DELETE", f"/v2/a/manifests/{image.digest}", authorization=basic("bob")).status == 202


class TestRules:
    @pytest.mark.parametrize(
        "rule, user, repository, actions",
        [
            ("alice:*:*", "alice", "a/b", "pull push delete"),
            ("alice:*:*", "bob", "a/b", ""),
            ("alice:*:*", None, "a/b", ""),
            ("*:a/*:pull", "bob", "a/b/c", "pull"),
            ("*:a/*:pull", "bob", "a", ""),
            ("*:a/*:pull", None, "a/b", ""),
            ("anonymous:a?:push", None, "ab", "pull push"),
            ("anonymous:a?:push", "bob", "ab", "pull push"),
            ("bob:a[bc]:delete , push", "bob", "ac", "pull push delete"),
            (" bob:a:delete\n", "bob", "a", "delete"),
        ],
    )
    def test_allow(self, rule: str, user: str | None, repository: str, actions: str) -> None:
        assert Rules([rule]).actions(user, repository) == set(actions.split())

    def test_add_up(self) -> None:
        rules = Rules(["*:*:pull", "ci:team/*:push", "ci:team/tmp:delete"])
        assert rules.actions("ci", "team/tmp") == {"pull", "push", "delete"}
        assert rules.actions("ci", "team/app") == {"pull", "push"}
        assert rules.actions("bob", "team/tmp") == {"pull"}

    @pytest.mark.parametrize("text", ["", "alice", "alice:*", "alice::pull", ":*:pull", "alice:*:", "a:b:c:pull"])
    def test_have_a_form(self, text: str) -> None:
        with pytest.raises(UsageError, match="is not a rule"):
            parse_rule(text)

    @pytest.mark.parametrize("actions", ["write", "pull,,push", "pull,PUSH", "admin,*"])
    def test_have_known_actions(self, actions: str) -> None:
        with pytest.raises(UsageError, match="is no action") as refused:
            Rules([f"alice:*:{actions}"])
        assert refused.value.remedy == "actions are pull, push, delete, *"

    def test_in_a_file_name_their_line(self, tmp_path: Path) -> None:
        (tmp_path / "rules").write_text("a:*:pull\n\nb:*\n")
        with pytest.raises(UsageError, match=r"^line 3 of .*rules: 'b:\*' is not a rule"):
            Rules([f"@{tmp_path / 'rules'}"])
        with pytest.raises(UsageError, match="cannot read"):
            Rules([f"@{tmp_path / 'missing'}"])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", "*", "anonymous"]),
                st.sampled_from(["x", "y", "*"]),
                st.sets(st.sampled_from(ACTIONS), min_size=1),
            ),
            min_size=1,
        ),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from(ACTIONS),
    )
    def test_allow_what_one_of_them_allows(
        self, given: list[tuple[str, str, set[str]]], user: str | None, repository: str, action: str
    ) -> None:
        rules = Rules([f"{who}:{where}:{','.join(what)}" for who, where, what in given])
        expected = any(
            (who in (user, "anonymous") or (who == "*" and user is not None))
            and where in {repository, "*"}
            and (action in what or (action == "pull" and "push" in what))
            for who, where, what in given
        )
        assert rules.permits(user, Need("repository", repository, action)) == expected


class TestSettings:
    @pytest.mark.parametrize("auth", ["", "htpasswd", "htpasswd=", "ldap=x", "users"])
    def test_know_two_kinds(self, auth: str) -> None:
        with pytest.raises(UsageError, match="is no kind of authentication"):
            app(settings=Settings(auth=auth))

    def test_must_fit_together(self, users: Path, tmp_path: Path) -> None:
        for settings in (
            Settings(allow=["a:*:*"]),
            Settings(token_key=tmp_path / "key"),
            Settings(public_url="https://a"),
            Settings(auth=f"htpasswd={users}", allow=["anonymous:*:pull"]),
            Settings(auth=f"htpasswd={users}", token_key=tmp_path / "key"),
            Settings(auth=f"htpasswd={users}", public_url="https://a"),
            Settings(auth=f"token={users}", public_url="registry.example"),
        ):
            with pytest.raises(UsageError) as refused:
                app(settings=settings)
            assert refused.value.remedy
        assert not (tmp_path / "key").exists()

    def test_are_positive(self) -> None:
        with pytest.raises(UsageError, match="max_uploads is 0"):
            Settings(max_uploads=0)


def test_what_is_refused_is_not_read(users: Path) -> None:
    """Nothing of it is kept, and the client still gets its answer."""
    storage = MemoryStorage()
    with background(storage, settings=Settings(auth=f"htpasswd={users}")) as url:
        answer = Caller(url)("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", b"x" * 3_000_000)
        assert json.loads(answer.body)["errors"][0]["message"] == "log in first"
        assert Caller(url)("GET", "/v2/_catalog", authorization=basic("alice")).document == {"repositories": []}
