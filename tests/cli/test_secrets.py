"""Nothing leaks, whatever a secret came from: each source of credentials is planted, and everything is searched for it.

The registry of these tests repeats what it was sent, in its errors, its warnings and its headers; what is searched is
what commands print (text, JSON, errors, `--debug`) and every file that they leave. Passwords, keys and identity tokens
are nowhere. What a registry gave for them (tokens) is in the memory between runs, where only its owner can read it.
"""

import base64
import json
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest

from support.certs import Authority
from support.fakes import Reply, Request, ScriptedServer, json_reply
from support.images import make_image
from support.lading import Lading
from support.process import Ran
from support.proxy import Tunnel

IMAGE = make_image(seed="secrets", layers=1)
SECRET = "planted-secret-1f3a9c"
HEADER = "planted-header-77c2d0"
ACCESS, REFRESH = "planted-access-b0d4e1", "planted-refresh-5e1c22"
ACCOUNT = "123456789012"
AMAZON = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
Scheme = Literal["basic", "bearer"]


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


BASIC = basic("ada", SECRET)


@dataclass
class Stage:
    """A registry that repeats what it hears, and lading with a home in which something is planted."""

    lading: Lading
    server: ScriptedServer
    scheme: Scheme = "bearer"
    options: list[str] = field(default_factory=list)
    planted: set[Path] = field(default_factory=set)
    said: str = ""

    @property
    def host(self) -> str:
        return self.server.host

    def answer(self, request: Request) -> Reply | None:
        """What is good is served; what is not is refused, with every word of the request."""
        heard = request.headers.get("Authorization") or ""
        clear = base64.b64decode(heard.removeprefix("Basic ")).decode() if heard.startswith("Basic ") else ""
        echo = f"you said {heard} ({clear}) {list(request.headers)} {request.body.decode('utf-8', 'replace')}"
        warning = '299 - "' + echo.replace("\\", "").replace('"', "'") + '"'
        if request.path == "/token":
            if "/bad" in request.query + request.body.decode():
                return json_reply({"errors": [{"code": "DENIED", "message": echo}], "details": echo}, status=401)
            return json_reply({"token": ACCESS, "refresh_token": REFRESH, "expires_in": 900})
        if not heard:
            challenge = (
                f'Bearer realm="{self.server.url}/token",service="registry"'
                if self.scheme == "bearer"
                else 'Basic realm="registry"'
            )
            return Reply(status=401, headers={"WWW-Authenticate": challenge})
        if "/bad/" in request.path:
            document = {"errors": [{"code": "DENIED", "message": echo, "detail": echo}]}
            return json_reply(document, status=403, headers={"Warning": warning})
        headers = {"Warning": warning, "Docker-Content-Digest": IMAGE.digest, "Content-Type": IMAGE.media_type}
        if "/manifests/" in request.path:
            return Reply(headers=headers, body=IMAGE.content)
        if "/blobs/sha256:" in request.path:
            return Reply(body=IMAGE.blobs[request.path.rpartition("/")[2]])
        return Reply(headers={"Warning": warning})

    def write(self, path: Path, content: str, mode: int = 0o600) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        self.planted.add(path)
        return path

    def config(self, document: object, path: Path | None = None) -> Path:
        return self.write(path or self.lading.docker_config / "config.json", json.dumps(document))

    def helper(self, script: str) -> None:
        self.write(self.lading.home / "bin/docker-credential-loud", f"#!/bin/sh\n{script}\n", 0o755)
        self.lading.env["PATH"] = f"{self.lading.home}/bin:/usr/bin:/bin"

    def run(self, *words: str, code: int | None = 0) -> Ran:
        ran = self.lading.run(*words, check=False)
        self.said += ran.stdout + ran.stderr
        assert code is None or ran.returncode == code, ran.stdout + ran.stderr
        return ran

    def use(self) -> None:
        """What people do with it, where it is allowed and where it is not."""
        good, bad, layout = f"{self.host}/good/app:1", f"{self.host}/bad/app:1", f"oci:{self.lading.home}/layout:1"
        self.run("copy", good, layout, "--debug", *self.options)
        self.run("digest", good, "--debug", "--format", "json", *self.options)
        self.run("digest", bad, "--debug", *self.options, code=4)
        self.run("push", layout, bad, "--debug", *self.options, code=4)
        self.run("auth", "explain", bad, "--debug", "--format", "json", *self.options, code=1)
        self.run("auth", "explain", bad, *self.options, code=1)

    def search(self, *secrets: str) -> None:
        forms = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
        forms |= {base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets}
        for form in forms | {ACCESS, REFRESH}:
            assert form not in self.said, f"{form} was printed:\n{self.said}"
        memory = self.lading.home / ".cache/lading/registries"
        for file in self.lading.home.rglob("*"):
            if not file.is_file() or file in self.planted:
                continue
            content = file.read_bytes().decode("utf-8", "replace")
            for form in forms | {REFRESH}:
                assert form not in content, f"{form} is in {file}"
            if ACCESS in content:
                assert file.parent == memory, f"a token is in {file}"
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                assert stat.S_IMODE(memory.stat().st_mode) == 0o700


@pytest.fixture
def stage(lading: Lading) -> Iterator[Stage]:
    with ScriptedServer() as server:
        stage = Stage(lading, server)
        server.script = stage.answer
        yield stage


def authfile(stage: Stage) -> None:
    path = stage.config({"auths": {stage.host: {"auth": BASIC}}}, stage.lading.home / "given.json")
    stage.options = ["--authfile", str(path)]


def header(stage: Stage) -> None:
    stage.config({"auths": {stage.host: {"auth": BASIC}}})
    stage.options = ["--header", f"X-Key: {HEADER}"]


def header_file(stage: Stage) -> None:
    stage.config({"auths": {stage.host: {"auth": BASIC}}})
    stage.options = ["--header", f"@{stage.write(stage.lading.home / 'headers', f'X-Key: {HEADER}')}"]


def variables(stage: Stage) -> None:
    stage.lading.env |= {"LADING_REGISTRY": stage.host, "LADING_USERNAME": "ada", "LADING_PASSWORD": SECRET}


def docker_auth_config(stage: Stage) -> None:
    stage.lading.env["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {stage.host: {"auth": BASIC}}})


def registry_auth_file(stage: Stage) -> None:
    path = stage.config({"auths": {stage.host: {"auth": BASIC}}}, stage.lading.home / "podman.json")
    stage.lading.env["REGISTRY_AUTH_FILE"] = str(path)


def config_json(stage: Stage) -> None:
    entry = {"username": "ada", "password": SECRET}
    stage.config({"auths": {stage.host: entry}, "HttpHeaders": {"X-Meta": HEADER}})


def identity_token(stage: Stage) -> None:
    stage.config({"auths": {stage.host: {"identitytoken": SECRET}}})


def registry_token(stage: Stage) -> None:
    stage.config({"auths": {stage.host: {"registrytoken": SECRET}}})


def helper(stage: Stage) -> None:
    answer = json.dumps({"ServerURL": stage.host, "Username": "ada", "Secret": SECRET})
    stage.config({"credHelpers": {stage.host: "loud"}})
    stage.helper(f"echo 'the password is {SECRET}' >&2; echo '{answer}'")


def helper_for_all(stage: Stage) -> None:
    answer = json.dumps({"ServerURL": stage.host, "Username": "<token>", "Secret": SECRET})
    stage.config({"credsStore": "loud"})
    stage.helper(f"echo 'the token is {SECRET}' >&2; echo '{answer}'")


def auth_json(stage: Stage) -> None:
    stage.config({"auths": {f"{stage.host}": {"auth": BASIC}}}, stage.lading.home / ".run/containers/auth.json")


def netrc(stage: Stage) -> None:
    stage.write(stage.lading.home / ".netrc", f"machine 127.0.0.1\nlogin ada\npassword {SECRET}\n")


def config_toml(stage: Stage) -> None:
    path = stage.config({"auths": {stage.host: {"auth": BASIC}}}, stage.lading.home / ".config/lading/ci.json")
    table = f'[hosts."{stage.host}"]\ncredentials = "{path.name}"\nheaders = {{"X-Key" = "{HEADER}"}}\n'
    stage.write(path.with_name("config.toml"), table)


SOURCES: list[tuple[Callable[[Stage], None], Scheme]] = [
    (authfile, "basic"),
    (header, "bearer"),
    (header_file, "basic"),
    (variables, "bearer"),
    (docker_auth_config, "basic"),
    (registry_auth_file, "bearer"),
    (config_json, "basic"),
    (config_json, "bearer"),
    (identity_token, "bearer"),
    (registry_token, "bearer"),
    (helper, "basic"),
    (helper, "bearer"),
    (helper_for_all, "bearer"),
    (auth_json, "bearer"),
    (netrc, "basic"),
    (config_toml, "bearer"),
]


@pytest.mark.parametrize(
    "source, scheme", [pytest.param(*each, id=f"{each[0].__name__}-{each[1]}") for each in SOURCES]
)
def test_what_is_planted_is_found_nowhere(stage: Stage, source: Callable[[Stage], None], scheme: Scheme) -> None:
    source(stage)
    stage.scheme = scheme
    stage.use()
    stage.run("auth", "ls", "--debug", code=None)
    stage.run("registry", "config", stage.host, code=None)
    stage.run("registry", "check", f"{stage.host}/bad/app", "--debug", *stage.options, code=None)
    stage.search(SECRET, BASIC, HEADER)
    heard = [str(request.headers) + request.body.decode("utf-8", "replace") for request in stage.server.requests]
    assert any(SECRET in one or BASIC in one for one in heard), "it was used"
    if source in (header, header_file, config_json, config_toml):
        assert any(HEADER in one for one in heard)


def test_what_a_helper_says_when_it_fails(stage: Stage) -> None:
    stage.config({"credHelpers": {stage.host: "loud"}})
    for says in (SECRET, f'{{"Secret": "{SECRET}"', f"the secret {SECRET} is not good"):
        stage.helper(f"echo '{SECRET}' >&2; echo '{says}'; exit 1")
        stage.run("digest", f"{stage.host}/bad/app:1", "--debug", code=4)
        stage.run("auth", "explain", f"{stage.host}/bad/app:1", "--format", "json", code=1)
        stage.run("auth", "get", stage.host, "--debug", code=None)
        stage.run("auth", "ls", "--debug", code=None)
    stage.config({"credsStore": "loud"})
    answer = json.dumps({"ServerURL": "x", "Username": "ada", "Secret": SECRET})
    stage.helper(f"echo '{answer}'")  # whatever it is asked
    assert "not what the protocol for helpers asks for" in stage.run("auth", "ls", "--debug", code=4).stderr
    stage.search(SECRET)


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_login_keeps_it_in_one_place_and_says_nothing(stage: Stage, scheme: Scheme) -> None:
    stage.scheme = scheme
    for words, given in (
        (("--password-stdin",), f"{SECRET}\n"),
        (("--password", SECRET), ""),
    ):
        ran = stage.lading.run("login", stage.host, "-u", "ada", *words, "--debug", stdin=given.encode())
        stage.said += ran.stdout + ran.stderr
    kept = stage.lading.docker_config / "config.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    stage.planted.add(kept)
    stage.run("auth", "ls", "--format", "json")
    got = stage.lading.run("auth", "get", stage.host, "--debug")
    assert json.loads(got.stdout)["Secret"] == SECRET
    stage.said += got.stderr
    stage.run("logout", stage.host, "--debug")
    stage.planted.remove(kept)
    stage.search(SECRET, BASIC)


def test_a_login_that_is_refused_keeps_nothing(stage: Stage) -> None:
    stage.scheme = "basic"
    refuse = stage.answer
    stage.server.script = lambda request: (
        refuse(request) if "Authorization" not in dict(request.headers) else bad(request)
    )

    def bad(request: Request) -> Reply:
        return json_reply({"errors": [{"code": "DENIED", "message": f"not {request.headers} {SECRET}"}]}, status=401)

    ran = stage.lading.run(
        "login", stage.host, "-u", "ada", "--password-stdin", "--debug", stdin=SECRET.encode(), check=False
    )
    assert ran.returncode == 4
    stage.said += ran.stdout + ran.stderr
    stage.search(SECRET, BASIC)


def test_tokens_that_are_asked_for_are_on_stdout_alone(stage: Stage) -> None:
    config_json(stage)
    ran = stage.lading.run("auth", "token", f"{stage.host}/good/app", "--debug")
    assert ran.stdout == f"{ACCESS}\n"
    stage.said += ran.stderr
    stage.search(SECRET, HEADER)


def test_a_memory_that_is_off_keeps_no_token(stage: Stage) -> None:
    config_json(stage)
    stage.lading.env["LADING_CACHE"] = "0"
    stage.use()
    stage.search(SECRET, HEADER)
    assert not (stage.lading.home / ".cache/lading/registries").exists()


def test_addresses_with_passwords(stage: Stage) -> None:
    """Where people put them, and where lading takes none: in names, proxies, mirrors, realms and redirects."""
    home = stage.lading.home
    for words in (
        ("digest", f"ada:{SECRET}@{stage.host}/good/app:1"),
        ("digest", f"https://ada:{SECRET}@{stage.host}/good/app:1"),
        ("copy", f"docker://ada:{SECRET}@{stage.host}/good/app:1", f"oci:{home}/x"),
        ("login", f"https://ada:{SECRET}@{stage.host}", "-u", "ada", "-p", "x"),
        ("auth", "explain", f"https://ada:{SECRET}@{stage.host}/good/app"),
        ("registry", "check", f"https://ada:{SECRET}@{stage.host}"),
        ("manifest", "create", f"{stage.host}/a:1", f"ada:{SECRET}@{stage.host}/good/app:1"),
    ):
        ran = stage.run(*words, "--debug", code=None)
        assert ran.returncode == 2, ran.stdout + ran.stderr
    for target in (f"http://ada:{SECRET}@{stage.host}/token", f"http://ada:{SECRET}@[/token"):
        asks = Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="{target}",service="x"'})
        for answer in (asks, Reply(status=307, headers={"Location": target})):
            stage.server.script = partial(_always, answer)
            stage.run("digest", f"{stage.host}/good/app:1", "--debug", code=None)
            stage.run("auth", "explain", f"{stage.host}/good/app:1", "--format", "json", code=None)
            stage.run("registry", "check", stage.host, "--debug", code=None)
    stage.write(
        home / ".config/lading/config.toml", f'[hosts."{stage.host}"]\nmirrors = ["ada:{SECRET}@x.example/y"]\n'
    )
    stage.run("digest", f"{stage.host}/good/app:1", "--debug", code=None)
    stage.run("registry", "config", stage.host, code=None)
    stage.search(SECRET)


def _always(reply: Reply, _: Request) -> Reply:
    return reply


class TestProxies:
    def test_a_password_for_a_proxy(self, stage: Stage, tmp_path: Path) -> None:
        authority = Authority(tmp_path / "authority", names=("registry.example",))
        with ExitStack() as stack:
            there = stack.enter_context(ScriptedServer(lambda _: Reply(), tls=authority))
            tunnel = stack.enter_context(Tunnel(there.host))
            stage.lading.env["HTTPS_PROXY"] = tunnel.url.replace("//", f"//ada:{SECRET}@")
            stage.lading.env["SSL_CERT_FILE"] = str(authority.ca)
            for status in (200, 407, 502):
                tunnel.status = status
                stage.run("digest", "registry.example/good/app:1", "--debug", code=None)
                stage.run("registry", "check", "registry.example", "--debug", code=None)
                stage.run("auth", "explain", "registry.example/good/app", "--format", "json", code=None)
            stage.run("registry", "config", "registry.example", code=None)
            stage.run("registry", "config", "registry.example", "--format", "json", code=None)
            assert tunnel.asked
        stage.lading.env["HTTPS_PROXY"] = f"ftp://ada:{SECRET}@proxy.example"
        stage.run("digest", "registry.example/good/app:1", "--debug", code=2)
        stage.search(SECRET)


class TestAmazon:
    KEY, SESSION, LOGIN = "planted-aws-key-90ab12", "planted-aws-session-3c4d", "planted-ecr-login-5e6f"

    @pytest.mark.parametrize("trouble", [False, True])
    def test_keys_and_logins(self, stage: Stage, tmp_path: Path, trouble: bool) -> None:
        def cloud(request: Request) -> Reply:
            if trouble:
                words = f"The Canonical String was {self.KEY}\n{self.KEY} {request.headers}"
                return json_reply({"__type": "InvalidSignatureException", "message": f"No.\n{words}"}, status=400)
            token = base64.b64encode(f"AWS:{self.LOGIN}".encode()).decode()
            return json_reply({"authorizationData": [{"authorizationToken": token, "expiresAt": 4102444800}]})

        authority = Authority(tmp_path / "authority", names=(AMAZON,))
        stage.scheme = "basic"
        with ExitStack() as stack:
            aws = stack.enter_context(ScriptedServer(cloud))
            there = stack.enter_context(ScriptedServer(stage.answer, tls=authority))
            stage.lading.env |= {
                "HTTPS_PROXY": stack.enter_context(Tunnel(there.host)).url,
                "SSL_CERT_FILE": str(authority.ca),
                "AWS_ENDPOINT_URL": aws.url,
                "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": self.KEY,
                "AWS_SESSION_TOKEN": self.SESSION,
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            code = 4 if trouble else 0
            stage.run("digest", f"{AMAZON}/good/app:1", "--debug", code=code)
            stage.run("digest", f"{AMAZON}/bad/app:1", "--debug", code=4)
            stage.run("auth", "explain", f"{AMAZON}/bad/app", "--format", "json", code=1)
            stage.run("auth", "ls", "--debug")
            stage.run("registry", "check", AMAZON, "--debug", code=None)
        stage.search(self.KEY, self.SESSION)
        assert self.LOGIN not in stage.said
        assert basic("AWS", self.LOGIN) not in stage.said
        kept = [file for file in stage.lading.home.rglob("*") if file.is_file() and self.LOGIN in file.read_text()]
        assert kept == ([] if trouble else [stage.lading.home / f".cache/lading/registries/{AMAZON}.json"])
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in kept)
