"""`lading login` and `lading logout`: where credentials are kept, and where they come from."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from cli.failing import DENIED, fails, unchanged
from cli.place import AMD64
from cli.terminal import on_terminal
from support.images import (
    push,
)
from support.lading import Lading
from support.registry import RealRegistry


def test_login_from_stdin(lading: Lading, basic_registry: RealRegistry, team: str) -> None:
    host = basic_registry.host
    ran = lading.run("login", host, "-u", "alice", "--password-stdin", stdin=b"secret\n")
    assert ran.stdout == "Login Succeeded\n"
    assert ran.stderr == f"kept in {lading.docker_config / 'config.json'}\n"
    assert lading.run("digest", team).stdout.strip() == AMD64.digest
    assert lading.run("login", "-q", host, "-u", "alice", "--password-stdin", stdin=b"secret").stderr == ""
    assert lading.run("logout", host).stdout == f"Removing login credentials for {host}\n"
    assert lading.run("logout", host).stdout == f"Not logged in to {host}\n"
    fails(lading, "digest", team, code=DENIED, says=[f"{host} did not allow"])


def test_login_with_a_wrong_password_keeps_nothing(lading: Lading, basic_registry: RealRegistry) -> None:
    host = basic_registry.host
    with unchanged(lading):
        says = [f"{host} did not allow a login as alice", "the credentials were refused", f"lading login {host}"]
        ran = fails(lading, "login", host, "-u", "alice", "--password-stdin", code=DENIED, says=says, stdin=b"hunter2")
        assert "hunter2" not in ran.stderr
    lading.run("login", host, "-u", "alice", "--password-stdin", stdin=b"secret")
    with unchanged(lading):
        fails(lading, "login", host, "-u", "alice", "--password-stdin", code=DENIED, says=says, stdin=b"hunter2")
    fails(lading, "login", host, "-u", "alice", "--password-stdin", code=2, says=["the password is empty"])


def test_login_by_hand(lading: Lading, basic_registry: RealRegistry, team: str) -> None:
    answers = [("Username", "alice\n"), ("Password", "secret\n")]
    seen = on_terminal(lading, "login", basic_registry.host, answers=answers)
    assert seen.returncode == 0
    assert seen.text.endswith("Login Succeeded\n")
    assert "secret" not in seen.text
    assert lading.run("digest", team).stdout.strip() == AMD64.digest


def test_login_with_a_password_as_an_argument_warns(lading: Lading, basic_registry: RealRegistry) -> None:
    ran = lading.run("login", basic_registry.host, "-u", "alice", "-p", "secret")
    assert ran.stderr.startswith("warning: a password on the command line can be read by others")


def test_login_with_a_helper(tmp_path: Path, basic_registry: RealRegistry, team: str) -> None:
    """A `credsStore` keeps what there is to keep; the file holds no secret."""
    kept = tmp_path / "kept.json"
    helper = tmp_path / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        f"path = pathlib.Path({str(kept)!r})\n"
        "known = json.loads(path.read_text()) if path.exists() else {}\n"
        "said = sys.stdin.read()\n"
        "if sys.argv[1] == 'store':\n"
        "    known[json.loads(said)['ServerURL']] = json.loads(said)\n"
        "elif sys.argv[1] == 'erase':\n"
        "    known.pop(said.strip(), None)\n"
        "elif said.strip() in known:\n"
        "    print(json.dumps(known[said.strip()]))\n"
        "else:\n"
        "    sys.exit('credentials not found in native keychain')\n"
        "path.write_text(json.dumps(known))\n"
    )
    helper.chmod(0o755)
    lading = Lading(tmp_path / "home", env={"PATH": f"{helper.parent}:{os.environ['PATH']}"})
    config = lading.docker_config / "config.json"
    config.write_text('{"credsStore": "test", "other": 1}')
    host = basic_registry.host
    lading.run("login", host, "-u", "alice", "--password-stdin", stdin=b"secret")
    assert json.loads(kept.read_text())[host]["Secret"] == "secret"
    assert "secret" not in config.read_text()
    assert json.loads(config.read_text())["other"] == 1
    assert lading.run("digest", team).stdout.strip() == AMD64.digest
    lading.run("logout", host)
    assert json.loads(kept.read_text()) == {}


def test_login_with_an_identity_token(lading: Lading) -> None:
    from support.tokens import TokenService

    tokens = TokenService({"alice": "secret"})
    tokens.refresh_tokens["refresh"] = "alice"
    with RealRegistry(auth="token", tokens=tokens) as registry:
        push(registry.host, "team/app", "a", AMD64, auth=("alice", "secret"))
        lading.run("login", registry.host, "--identity-token-stdin", stdin=b"refresh\n")
        assert lading.run("digest", f"{registry.host}/team/app:a").stdout.strip() == AMD64.digest
        with unchanged(lading):
            says = [f"{registry.host} did not allow"]
            fails(lading, "login", registry.host, "--identity-token-stdin", code=DENIED, says=says, stdin=b"revoked")


@pytest.mark.parametrize("registry", ["u:s3cret@reg.example", "u:s3/cret@reg.example/team", "https://u:s3@reg.example"])
def test_a_login_in_the_name_of_the_registry_is_not_repeated(lading: Lading, registry: str) -> None:
    for words in (("login", registry, "-u", "x", "-p", "y"), ("logout", registry), ("auth", "explain", registry)):
        ran = lading.run(*words, check=False)
        assert ran.returncode == 2
        assert "s3" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("process", [False, True])
def test_a_password_that_is_no_text_is_refused_without_being_shown(lading: Lading, process: bool) -> None:
    args = ("login", "-u", "me", "--password-stdin", "127.0.0.1:1")
    ran = lading.run(*args, stdin=b"secret\xff\xfe", check=False, process=process)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "standard input is not UTF-8 text" in ran.stderr
    assert "secret" not in ran.stderr


def test_a_device_is_not_replaced(lading: Lading, basic_registry: RealRegistry, tmp_path: Path) -> None:
    """A secret is neither kept in what takes the place of `/dev/null`, nor lost in silence."""
    if os.geteuid() != 0:
        pytest.skip("only root makes devices, and could replace them")
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    host = basic_registry.host
    words = ["login", host, "--username", "alice", "--password-stdin", "--authfile", str(device)]
    ran = lading.run(*words, stdin=b"secret", check=False)
    assert (ran.returncode, "a device or a pipe" in ran.stderr) == (2, True), ran.stderr
    lading.run("logout", host, "--authfile", str(device))
    assert stat.S_ISCHR(device.lstat().st_mode)
