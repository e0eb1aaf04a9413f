"""Real clients log in, and do what they may and nothing else: with Basic, and with the registry's own tokens."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.serve import Settings, background
from serve.accounts import USERS, htpasswd
from serve.caller import Caller
from support.docker import DockerCLI
from support.images import get_manifest, make_busybox, make_image, push
from support.parts import find, need
from support.process import Ran, bare_environment, run

ALICE = ("alice", USERS["alice"])
RULES = ("alice:*:*", "bob:team/*:pull")

Run = Callable[..., Ran]


@pytest.fixture(params=["htpasswd", "token"])
def auth(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}={htpasswd(tmp_path / 'users')}"


@pytest.fixture
def call(auth: str, tmp_path: Path) -> Iterator[Caller]:
    """A registry where alice may do everything, and bob pull from `team`."""
    key = tmp_path / "key" if auth.startswith("token") else None
    with background(settings=Settings(auth=auth, allow=RULES, token_key=key)) as url:
        yield Caller(url)


@pytest.fixture
def client(tmp_path: Path) -> Run:
    """Runs a client with a home of its own; those that no distribution has are left out where they are not."""

    def run_client(name: str, *args: str, check: bool = True) -> Ran:
        program = find(name)
        if program is None:
            pytest.skip(f"{name} is not on this machine")
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment = bare_environment(home) | {"DOCKER_CONFIG": str(home), "REGCTL_CONFIG": str(home / "regctl")}
        return run([program, *args], env=environment, cwd=home, check=check)

    return run_client


def digest_at(call: Caller, repository: str, tag: str) -> str:
    return get_manifest(call.host, repository, tag, auth=ALICE)[2]


class TestDocker:
    def test_pushes_pulls_and_runs(self, call: Caller, engine: DockerCLI, repository: str) -> None:
        push(call.host, repository, "v1", make_busybox(seed="behind a login"), auth=ALICE)
        name = f"{call.host}/{repository}"
        engine.login(call.host, *ALICE)
        engine.run("pull", f"{name}:v1")
        assert engine.run("run", "--rm", "--network=none", f"{name}:v1").stdout == "behind a login\n"
        engine.run("tag", f"{name}:v1", f"{name}-too:v2")  # another repository: layers are mounted
        said = engine.run("push", f"{name}-too:v2").stdout
        assert digest_at(call, f"{repository}-too", "v2") in said
        engine.run("logout", call.host)
        refused = engine.run("pull", f"{name}:v1", check=False)
        assert refused.returncode == 1
        assert "unauthorized" in refused.stderr or "no basic auth credentials" in refused.stderr

    def test_wrong_passwords_and_missing_rights(self, call: Caller, engine: DockerCLI) -> None:
        push(call.host, "team/app", "v1", make_busybox(), auth=ALICE)
        push(call.host, "other/app", "v1", make_busybox(), auth=ALICE)
        wrong = engine.run("login", "-u", "bob", "--password-stdin", call.host, stdin=b"wrong", check=False)
        assert wrong.returncode == 1
        assert "401 Unauthorized" in wrong.stderr or "the user name or the password is wrong" in wrong.stderr
        engine.login(call.host, "bob", USERS["bob"])
        engine.run("pull", f"{call.host}/team/app:v1")
        refused = engine.run("push", f"{call.host}/team/app:v1", check=False)
        assert "denied: bob may not push to team/app" in refused.stderr + refused.stdout
        refused = engine.run("pull", f"{call.host}/other/app:v1", check=False)
        assert "denied: bob may not pull from other/app" in refused.stderr
        engine.run("logout", call.host)

    def test_stays_logged_in_over_a_restart(self, auth: str, tmp_path: Path, docker: DockerCLI) -> None:
        """With tokens, docker forgets the password for a refresh token: the key must be the same."""
        settings = Settings(auth=auth, token_key=tmp_path / "key" if auth.startswith("token") else None)
        with background(settings=settings) as url:
            address = Caller(url).host
            docker.login(address, *ALICE)
        kept = json.loads((docker.config / "config.json").read_text())["auths"][address]
        assert ("identitytoken" in kept) == auth.startswith("token")
        with background(address=address, settings=settings):
            image = make_image()
            push(address, "team/app", "v1", image, auth=ALICE)
            seen = docker.run("manifest", "inspect", "--insecure", "--verbose", f"{address}/team/app:v1").stdout
            assert json.loads(seen)["Descriptor"]["digest"] == image.digest


def test_docker_and_skopeo_pull_what_is_for_anybody(engine: DockerCLI, tmp_path: Path, repository: str) -> None:
    settings = Settings(auth=f"token={htpasswd(tmp_path / 'users')}", allow=["alice:*:*", "anonymous:test/*:pull"])
    with background(settings=settings) as url:
        host = Caller(url).host
        for name in (repository, "private"):
            push(host, name, "v1", make_busybox(seed="for anybody"), auth=ALICE)
        assert "may require 'docker login'" in engine.run("pull", f"{host}/private:v1", check=False).stderr
        engine.run("pull", f"{host}/{repository}:v1")
        refused = engine.run("push", f"{host}/{repository}:v1", check=False)
        assert "unauthorized: log in first" in refused.stderr + refused.stdout
        run([need("skopeo"), "inspect", "--tls-verify=false", f"docker://{host}/{repository}:v1"])


def test_podman(call: Caller, podman: Path, repository: str) -> None:
    push(call.host, repository, "v1", make_busybox(seed="with podman"), auth=ALICE)
    name = f"{call.host}/{repository}"
    authfile = f"--authfile={podman.parent / 'auth.json'}"
    login = ["login", "--tls-verify=false", authfile, "--username", "alice", "--password-stdin", call.host]
    wrong = run([podman, *login], stdin=b"wrong", check=False)
    assert wrong.returncode == 125
    assert "invalid username/password" in wrong.stderr
    run([podman, *login], stdin=USERS["alice"].encode())
    run([podman, "pull", "--tls-verify=false", authfile, f"{name}:v1"])
    run([podman, "tag", f"{name}:v1", f"{name}-too:v2"])
    file = podman.parent / "digest"
    run([podman, "push", "--tls-verify=false", authfile, f"--digestfile={file}", f"{name}-too:v2"])
    assert file.read_text() == digest_at(call, f"{repository}-too", "v2")


def test_skopeo(call: Caller) -> None:
    skopeo, image = need("skopeo"), make_image(kind="oci", layers=2)
    push(call.host, "team/app", "v1", image, auth=ALICE)
    there, here = f"docker://{call.host}/team/app:v1", f"docker://{call.host}/mine/app:v2"
    flags = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    run(
        [
            skopeo,
            "--insecure-policy",
            "copy",
            *flags,
            "--src-creds=bob:hunter2",
            "--dest-creds=alice:secret",
            there,
            here,
        ]
    )
    assert digest_at(call, "mine/app", "v2") == image.digest
    denied = run(
        [skopeo, "list-tags", "--tls-verify=false", "--creds=bob:hunter2", here.rpartition(":")[0]], check=False
    )
    assert "403 (Forbidden)" in denied.stderr
    assert "unauthorized" in run([skopeo, "inspect", "--tls-verify=false", there], check=False).stderr
    run([skopeo, "delete", "--tls-verify=false", "--creds=alice:secret", here])
    tags = run([skopeo, "list-tags", "--tls-verify=false", "--creds=alice:secret", here.rpartition(":")[0]]).stdout
    assert json.loads(tags)["Tags"] == []


def test_crane(call: Caller, client: Run) -> None:
    image = make_image(layers=3)
    push(call.host, "team/app", "v1", image, auth=ALICE)
    client("crane", "auth", "login", call.host, "-u", "alice", "-p", USERS["alice"])
    client("crane", "copy", "--insecure", f"{call.host}/team/app:v1", f"{call.host}/mine/app:v1")
    assert client("crane", "digest", "--insecure", f"{call.host}/mine/app:v1").stdout.strip() == image.digest
    assert client("crane", "catalog", "--insecure", call.host).stdout.split() == ["mine/app", "team/app"]
    client("crane", "delete", "--insecure", f"{call.host}/mine/app@{image.digest}")
    assert client("crane", "ls", "--insecure", f"{call.host}/mine/app").stdout == ""
    client("crane", "auth", "login", call.host, "-u", "bob", "-p", USERS["bob"])
    assert client("crane", "catalog", "--insecure", call.host).stdout.split() == ["team/app"]
    refused = client("crane", "tag", "--insecure", f"{call.host}/team/app:v1", "v2", check=False)
    assert "DENIED: bob may not push to team/app" in refused.stderr


def test_oras(call: Caller, client: Run, tmp_path: Path) -> None:
    client("oras", "version")
    (tmp_path / "home" / "file").write_text("content")
    client("oras", "login", "--plain-http", call.host, "-u", "alice", "-p", USERS["alice"])
    client("oras", "push", "--plain-http", f"{call.host}/team/artifact:v1", "file:text/plain")
    client("oras", "attach", "--plain-http", "--artifact-type=a/b", f"{call.host}/team/artifact:v1", "file:text/plain")
    found = client("oras", "discover", "--plain-http", "--format=json", f"{call.host}/team/artifact:v1").stdout
    assert len(json.loads(found)["referrers"]) == 1
    client(
        "oras",
        "copy",
        "-r",
        "--from-plain-http",
        "--to-plain-http",
        f"{call.host}/team/artifact:v1",
        f"{call.host}/mine/artifact:v1",
    )
    assert digest_at(call, "mine/artifact", "v1") == digest_at(call, "team/artifact", "v1")
    client("oras", "login", "--plain-http", call.host, "-u", "bob", "-p", USERS["bob"])
    client("oras", "pull", "--plain-http", f"{call.host}/team/artifact:v1", "-o", "out")
    assert (tmp_path / "home" / "out" / "file").read_text() == "content"
    refused = client("oras", "push", "--plain-http", f"{call.host}/team/artifact:v2", "file:text/plain", check=False)
    assert "bob may not push to team/artifact" in refused.stderr


def test_regctl(call: Caller, client: Run) -> None:
    image = make_image(kind="oci", layers=2)
    push(call.host, "team/app", "v1", image, auth=ALICE)
    client("regctl", "registry", "set", "--tls=disabled", "--skip-check", call.host)
    client("regctl", "registry", "login", call.host, "-u", "alice", "-p", USERS["alice"])
    client("regctl", "image", "copy", f"{call.host}/team/app:v1", f"{call.host}/mine/app:v1")
    assert client("regctl", "image", "digest", f"{call.host}/mine/app:v1").stdout.strip() == image.digest
    client("regctl", "tag", "delete", f"{call.host}/mine/app:v1")
    assert client("regctl", "repo", "ls", call.host).stdout.split() == ["mine/app", "team/app"]
    client("regctl", "registry", "login", call.host, "-u", "bob", "-p", USERS["bob"])
    refused = client("regctl", "image", "copy", f"{call.host}/team/app:v1", f"{call.host}/team/app:v2", check=False)
    assert refused.returncode != 0
    assert "403" in refused.stderr or "denied" in refused.stderr.lower()
