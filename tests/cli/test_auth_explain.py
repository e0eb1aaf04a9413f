"""`lading auth explain`, in the situations that make people ask: what it prints can be read by who never saw it."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import pytest

from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.images import make_image, push
from support.lading import Lading
from support.process import Ran
from support.registry import RealRegistry
from support.tokens import TokenService

USERS = {"ada": "hunter2", "bob": "hunter3"}


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


class User:
    """Somebody who asks, and who keeps credentials here and there."""

    def __init__(self, lading: Lading) -> None:
        self.lading = lading
        self.env: dict[str, str] = {}

    def docker(self, document: Any) -> None:
        (self.lading.docker_config / "config.json").write_text(json.dumps(document))

    def podman(self, document: Any) -> None:
        path = self.lading.home / ".run/containers/auth.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(document))

    def helper(self, name: str, script: str) -> None:
        program = self.lading.home / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        self.env["PATH"] = f"{self.lading.home}:/usr/bin:/bin"

    def run(self, *args: str) -> Ran:
        return self.lading.run("auth", "explain", *args, check=False, env=self.env)

    def asks(self, server: Any, *args: str) -> str:
        """What is explained, with names that are the same every time: and none of it is a secret."""
        ran = self.run(f"{server.host}/team/app", *args)
        document = json.loads(self.run(f"{server.host}/team/app", *args, "--format", "json").stdout)
        assert ran.returncode == (0 if document["outcome"] == "allowed" else 1), ran.stderr
        assert ran.stderr == ""
        assert "hunter" not in ran.stdout + json.dumps(document)
        for user, password in USERS.items():
            assert auth(user, password)["auth"] not in ran.stdout + json.dumps(document)
        text = ran.stdout.replace(server.host, "a.example").replace(str(self.lading.home), "/home/ada")
        text = re.sub(r"http://127\.0\.0\.1:\d+", "https://auth.example", text)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, for \d+ (minutes|seconds) more", "A MOMENT", text)
        return re.sub(r"(?m)^(  [ *]  \S.*?)  +(\S.*)$", r"\1  |  \2", text)


@pytest.fixture
def user(lading: Lading) -> User:
    return User(lading)


def places(**found: str) -> str:
    """The places, each with what was found there; the one that is taken begins with a star."""
    names = {
        "variable": "$LADING_PASSWORD",
        "config": "$DOCKER_AUTH_CONFIG",
        "docker": "/home/ada/.docker/config.json",
        "podman": "/home/ada/.run/containers/auth.json",
        "podman_at_home": "/home/ada/.config/containers/auth.json",
        "aws": "AWS's own credentials",
        "netrc": "/home/ada/.netrc",
    }
    absent = dict.fromkeys(names, "there is no such file")
    absent |= {"variable": "it is not set", "config": "it is not set", "aws": "for registries of Amazon ECR only"}
    lines = ["Credentials were looked for in these places, in this order:"]
    for key, name in names.items():
        text = found.get(key, absent[key])
        place, _, text = text.rpartition(" @ ") if " @ " in text else (name, "", text)
        star = "*" if text.startswith("* ") else " "
        lines.append(f"  {star}  {place.strip()}  |  {text.removeprefix('* ')}")
    return "\n".join(lines)


class TestTenSituations:
    def test_a_registry_that_asks_for_nothing(self, user: User) -> None:
        with RealRegistry() as registry:
            push(registry.host, "team/app", "1", make_image())
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is allowed

{places()}

There are none, so the registry was asked without a login.
a.example asks for no login, and got none.
"""
            )

    def test_a_public_image(self, user: User) -> None:
        with RealRegistry(tokens=TokenService(USERS, anonymous={"team/*": {"pull"}})) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is allowed

{places()}

There are none, so the registry was asked without a login.
a.example asks for a token (Bearer), which https://auth.example/token gives, for the service lading test registry.
It gave a token to somebody without a login:
    asked for  repository:team/app:pull
    granted    repository:team/app:pull
    used until A MOMENT
"""
            )

    def test_a_private_one_without_credentials(self, user: User) -> None:
        with RealRegistry(tokens=TokenService(USERS)) as registry:
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is denied

{places()}

There are none, so the registry was asked without a login.
a.example asks for a token (Bearer), which https://auth.example/token gives, for the service lading test registry.
It was not allowed: no credentials were found for a.example, and anonymous access was refused.

What to do: log in with: lading login a.example
"""
            )

    def test_credentials_that_are_good(self, user: User) -> None:
        with RealRegistry(tokens=TokenService(USERS)) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
            user.docker({"auths": {registry.host: auth("ada", "hunter2")}})
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is allowed

{places(docker="* the password of ada, kept under a.example")}

The credentials marked * are used: no other place has any.
a.example asks for a token (Bearer), which https://auth.example/token gives, for the service lading test registry.
It gave a token to ada:
    asked for  repository:team/app:pull
    granted    repository:team/app:pull
    used until A MOMENT
"""
            )

    def test_credentials_that_have_ended_and_a_public_image(self, user: User) -> None:
        with RealRegistry(tokens=TokenService(USERS, anonymous={"team/*": {"pull"}})) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
            user.docker({"auths": {registry.host: auth("ada", "hunter4")}})
            refused = (
                "the password of ada, kept under a.example: refused (unauthorized: incorrect username or password)"
            )
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is allowed

{places(docker=refused)}

None of them can be used, so the registry was asked without a login.
a.example asks for a token (Bearer), which https://auth.example/token gives, for the service lading test registry.
It gave a token to somebody without a login:
    asked for  repository:team/app:pull
    granted    repository:team/app:pull
    used until A MOMENT

What to do: log in again with: lading login a.example
"""
            )

    def test_a_wrong_password(self, user: User) -> None:
        with RealRegistry(auth="basic", users=USERS) as registry:
            user.docker({"auths": {registry.host: auth("ada", "hunter4")}})
            refused = "the password of ada, kept under a.example: refused (unauthorized: authentication required)"
            text = user.asks(registry)
            assert (
                text
                == f"""\
a.example/team/app: access is denied

{places(docker=refused)}

None of them can be used, so the registry was asked without a login.
a.example asks for a user name and a password with every request (Basic).
It was not allowed: the credentials from /home/ada/.docker/config.json were refused.

What to do: log in again with: lading login a.example
"""
            )

    def test_a_helper_that_fails(self, user: User) -> None:
        with RealRegistry(auth="basic", users=USERS) as registry:
            user.docker({"credsStore": "desktop"})
            failed = "the credential helper desktop @ could not be asked: there is no program docker-credential-desktop"
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is denied

{places(docker=failed + " on the PATH")}

None of them can be used, so the registry was asked without a login.
a.example asks for a user name and a password with every request (Basic).
It was not allowed: the credential helper desktop failed (there is no program docker-credential-desktop on the PATH).

What to do: repair it, or take it out of the file that names it (as credsStore, or in credHelpers)
"""
            )

    def test_the_longest_key(self, user: User) -> None:
        with RealRegistry(auth="basic", users=USERS) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
            user.docker({"auths": {registry.host: auth("ada", "hunter2")}})
            user.podman({"auths": {f"{registry.host}/team": auth("bob", "hunter3")}})
            found = places(docker="not asked any more", podman="* the password of bob, kept under a.example/team")
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is allowed

{found}

The credentials marked * are used: its key, a.example/team, names most of team/app.
a.example asks for a user name and a password with every request (Basic).
"""
            )

    def test_credentials_that_allow_too_little(self, user: User) -> None:
        tokens = TokenService(USERS, grants={"ada": {"team/*": {"pull"}}})
        with RealRegistry(tokens=tokens) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("bob", "hunter3"))
            user.docker({"auths": {registry.host: auth("ada", "hunter2")}})
            assert (
                user.asks(registry, "--scope", "pull,push")
                == f"""\
a.example/team/app: access is allowed in part; not allowed: repository:team/app:push

{places(docker="* the password of ada, kept under a.example")}

The credentials marked * are used: no other place has any.
a.example asks for a token (Bearer), which https://auth.example/token gives, for the service lading test registry.
It gave a token to ada:
    asked for  repository:team/app:pull,push
    granted    repository:team/app:pull
    used until A MOMENT

What to do: ask who owns the repository to let you do that, or log in as somebody who may
"""
            )

    def test_variables_before_files(self, user: User) -> None:
        with RealRegistry(auth="basic", users=USERS) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
            user.env |= {"LADING_REGISTRY": registry.host, "LADING_USERNAME": "ada", "LADING_PASSWORD": "hunter2"}
            user.docker({"auths": {registry.host: auth("bob", "hunter3")}})
            found = places(variable="* the password of ada, kept under a.example", docker="not asked any more")
            assert (
                user.asks(registry)
                == f"""\
a.example/team/app: access is allowed

{found}

The credentials marked * are used: of those that have some, its place comes first.
a.example asks for a user name and a password with every request (Basic).
"""
            )

    @pytest.mark.parametrize("password", ["S3CRET", 'hunter"2/ &+ü', "planted-password-99"])
    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    def test_what_a_registry_repeats_of_a_password_is_not_shown(self, user: User, password: str, scheme: str) -> None:
        forms = [
            password,
            quote(password, safe=""),
            quote(quote(password, safe="")),
            quote_plus(password),
            json.dumps(password)[1:-1],
            base64.b64encode(f"ada:{password}".encode()).decode(),
            base64.b64encode(password.encode()).decode(),
            html.escape(password),
        ]
        heard = "; ".join(f"<{form}>" for form in forms)

        def answer(request: Request) -> Reply:
            if request.path == "/token" or (scheme == "basic" and request.headers.get("Authorization")):
                return error_reply(401, "UNAUTHORIZED", f"no such login: {heard}", detail=password)
            asks = f'Bearer realm="{server.url}/token?saw={quote(password)}",service="{quote(password)}"'
            asks = asks if scheme == "bearer" else 'Basic realm="x"'
            return error_reply(401, "UNAUTHORIZED", heard, headers={"WWW-Authenticate": asks})

        with ScriptedServer(answer) as server:
            user.docker({"auths": {server.host: auth("ada", password)}})
            for words in ([], ["--format", "json"]):
                ran = user.run(f"{server.host}/team/app", *words)
                shown = ran.stdout + ran.stderr
                assert "no such login" in shown
                for form in forms:
                    assert form not in shown
                    assert form not in shown.encode().decode("unicode_escape")
        assert any("uthorization" in str(request.headers) for request in server.requests)

    def test_an_identity_token_from_a_helper(self, user: User) -> None:
        tokens = TokenService(USERS)
        tokens.refresh_tokens["hunter5"] = "ada"
        with RealRegistry(tokens=tokens) as registry:
            push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
            user.helper("test", """printf '{"Username":"<token>","Secret":"hunter5"}'""")
            user.docker({"credHelpers": {registry.host: "test"}})
            found = places(docker="the credential helper test @ * an identity token, kept under a.example")
            assert found in user.asks(registry)

    def test_a_registry_that_cannot_be_reached(self, user: User) -> None:
        with ScriptedServer() as server:
            pass
        assert (
            user.asks(server)
            == f"""\
a.example/team/app: access could not be tried

{places()}

There are none, so the registry was asked without a login.
It failed: the connection was refused.

What to do: check that the registry runs, and its port
"""
        )

    def test_a_repository_that_is_not_there(self, user: User) -> None:
        with RealRegistry() as registry:
            text = user.asks(registry)
        assert text.startswith("a.example/team/app: it was not found\n")


def test_a_registry_as_a_whole(user: User) -> None:
    with RealRegistry(tokens=TokenService(USERS)) as registry:
        user.docker({"auths": {registry.host: auth("ada", "hunter2")}})
        ran = user.run(registry.host)
        assert ran.stdout.startswith(f"{registry.host}: access is allowed\n")
        assert "asked for  nothing" in ran.stdout


def test_what_an_earlier_run_left(user: User) -> None:
    with RealRegistry(tokens=TokenService(USERS)) as registry:
        push(registry.host, "team/app", "1", make_image(), auth=("ada", "hunter2"))
        user.docker({"auths": {registry.host: auth("ada", "hunter2")}})
        assert "An earlier run" not in user.run(f"{registry.host}/team/app").stdout
        user.lading.run("digest", f"{registry.host}/team/app:1")
        assert "An earlier run left a token that is used until" in user.run(f"{registry.host}/team/app:1").stdout
        registry.tokens.reset()
        user.run(f"{registry.host}/team/app")
        assert len(registry.tokens.requests) == 1, "and it is not used to explain"


def test_a_file_that_cannot_be_read(user: User) -> None:
    (user.lading.docker_config / "config.json").write_text("{hunter2")
    with RealRegistry(auth="basic") as registry:
        ran = user.run(f"{registry.host}/team/app")
        assert ran.returncode == 2
        assert "config.json is not a valid Docker configuration" in ran.stderr
        assert "hunter2" not in ran.stderr


def test_an_opaque_token(user: User) -> None:
    def answer(request: Any) -> Reply:
        if request.path == "/token":
            return json_reply({"token": "hunter2", "expires_in": 60})
        if request.headers.get("Authorization") is None:
            challenge = f'Bearer realm="{server.url}/token",service="s"'
            return Reply(status=401, headers={"WWW-Authenticate": challenge})
        return json_reply({"tags": []})

    with ScriptedServer(answer) as server:
        ran = user.run(f"{server.host}/team/app")
        assert "granted    the token does not say" in ran.stdout
        assert "hunter2" not in ran.stdout


@pytest.mark.parametrize("subject", ["a b", "ghcr.io/UPPER", "localhost:5000/a:b:c"])
def test_what_is_no_reference(user: User, subject: str) -> None:
    assert user.run(subject).returncode == 2


def test_hub_by_its_short_names(lading: Lading) -> None:
    from lading.registry.auth.scopes import parse_subject

    assert parse_subject("alpine") == ("docker.io", "library/alpine", None)
    assert parse_subject("alpine:3.20") == ("docker.io", "library/alpine", "3.20")
    assert parse_subject("docker.io") == ("docker.io", None, None)
    assert parse_subject("localhost:5000") == ("localhost:5000", None, None)
    assert parse_subject("ghcr.io/a/b") == ("ghcr.io", "a/b", None)


def test_the_error_leads_here(lading: Lading, tmp_path: Path) -> None:
    with RealRegistry(auth="basic") as registry:
        ran = lading.run("digest", f"{registry.host}/team/app:1", check=False)
        assert ran.stderr.splitlines()[-1] == (
            f"  log in with: lading login {registry.host}"
            f"      see what was tried: lading auth explain {registry.host}/team/app"
        )


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_a_manifest_of_either_kind_is_found(
    kind: Literal["oci", "docker"], lading: Lading, registry: RealRegistry, repository: str
) -> None:
    """docker-registry does not show an OCI manifest to a client that does not say that it accepts one."""
    push(registry.host, repository, "1", make_image(kind=kind))
    said = lading.run("auth", "explain", f"{registry.host}/{repository}:1").stdout
    assert said.startswith(f"{registry.host}/{repository}:1: access is allowed")
