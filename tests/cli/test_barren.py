"""Where something is missing that others have: a home, a stream, somebody to ask, a file that was named."""

import sys
from pathlib import Path

import pytest

from cli.failing import USAGE, assert_failed
from cli.place import AMD64, INDEX, Place
from support.fakes import Reply, ScriptedServer, json_reply
from support.lading import Lading
from support.parts import need
from support.process import Ran, run
from support.proxy import CountingProxy


def shell(lading: Lading, line: str) -> Ran:
    """Run a line of a shell in which `lading` is the command."""
    text = f'lading() {{ {sys.executable} -m lading "$@"; }}; {line}'
    return run([need("bash"), "-c", text], env=lading.environment, check=False)


@pytest.fixture
def homeless(lading: Lading, monkeypatch: pytest.MonkeyPatch) -> Lading:
    """The command of a user without HOME and without an entry in /etc/passwd."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    lading.env.update(dict.fromkeys(("HOME", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), ""))
    return lading


def test_a_user_without_a_home_reads_and_changes_registries(place: Place, homeless: Lading, tmp_path: Path) -> None:
    ref = place.push("a", AMD64)
    assert place.run("digest", ref, cwd=tmp_path).strip() == AMD64.digest
    place.run("tag", ref, "b", cwd=tmp_path)
    place.run("copy", ref, f"{place.name}:c", cwd=tmp_path)
    assert set(place.tags) == {"a", "b", "c"}
    for command in (
        ["inspect", ref],
        ["resolve", ref],
        ["lint", ref],
        ["auth", "explain", place.name],
        ["registry", "config"],
    ):
        place.run(*command, cwd=tmp_path)
    for command in (["auth", "ls"], ["manifest", "ls"], ["manifest", "prune", "--yes"], ["logout", place.host]):
        place.run(*command, cwd=tmp_path)
    assert sorted(tmp_path.iterdir()) == [homeless.home], "an empty HOME is not the working directory"


def test_a_user_without_a_home_keeps_nothing(homeless: Lading) -> None:
    with ScriptedServer(lambda _: json_reply({})) as server:
        said = homeless.run("login", server.host, "-u", "a", "--password-stdin", stdin=b"b", check=False)
        assert_failed(said, USAGE, ["nowhere to keep credentials", "DOCKER_CONFIG"])
        assert server.requests == []
    said = homeless.run("manifest", "create", "localhost:1/a:l", "oci:nothing", check=False)
    assert said.returncode != 0
    assert "RuntimeError" not in said.stderr


def test_lists_of_a_user_without_a_home(place: Place, homeless: Lading) -> None:
    said = homeless.run("manifest", "create", f"{place.name}:l", place.push("a", AMD64), check=False)
    assert_failed(said, 1, ["nowhere to keep local manifest lists", "has no home", "set HOME"])


def test_nobody_to_ask_is_said_before_anything_is_sent(lading: Lading) -> None:
    with ScriptedServer(lambda _: Reply(status=500)) as server:
        for line, says in {
            f"login {server.host}": "nobody to ask for a user name",
            f"login {server.host} -u a": "nobody to ask for a password",
            f"login {server.host} -u a --password-stdin": "the password is empty",
            f"delete {server.host}/a:1": "nothing was deleted, because there is nobody to ask",
            f"delete --untag {server.host}/a:1": "nothing was deleted, because there is nobody to ask",
            "sync prune mirror.toml": "nothing was deleted, because there is nobody to ask",
            "manifest prune": "nothing was removed, because there is nobody to ask",
            f"registry gc --untagged {lading.home}": "nothing was removed, because there is nobody to ask",
        }.items():
            assert_failed(lading.run(*line.split(), check=False), USAGE, [says])
        said = shell(lading, f"lading delete {server.host}/a:1 <&-")
        assert_failed(said, USAGE, ["nothing was deleted, because there is nobody to ask", "--yes"])
        assert server.requests == []


def test_what_cannot_be_written_is_said(place: Place) -> None:
    ref = place.push("a", AMD64)
    full = ["the answer could not be written", "no space left on device"]
    closed = ["the answer could not be written", "standard output is closed"]
    assert_failed(shell(place.lading, f"lading digest {ref} >/dev/full"), 1, full)
    assert_failed(shell(place.lading, f"lading inspect --raw {ref} >&-"), 1, closed)
    assert_failed(shell(place.lading, "lading --help >/dev/full"), 1, full)


def test_what_cannot_be_told_ends_nothing(place: Place) -> None:
    """Notes and progress go to stderr: a copy does not fail for them, and an error keeps its exit code."""
    ref = place.push("a", AMD64)
    copied = shell(place.lading, f"lading copy --progress plain {ref} {place.name}:b 2>/dev/full")
    assert (copied.returncode, copied.stdout) == (0, f"{place.name}:b@{AMD64.digest}\n")
    assert shell(place.lading, f"lading digest {place.name}:nothing 2>/dev/full; exit $?").returncode == 3
    assert shell(place.lading, f"lading digest {place.name}:nothing >&- 2>&- <&-").returncode == 3


NAMED = {
    "digest localhost:1/a --authfile {none}": "{none} cannot be read",
    "copy localhost:1/a localhost:1/b --authfile {none}": "{none} cannot be read",
    "copy localhost:1/a localhost:1/b --src-authfile {none}": "'{none}' does not exist",
    "logout localhost:1 --authfile {none}": "'{none}' does not exist",
    "auth get localhost:1 --authfile {none}": "'{none}' does not exist",
    "digest localhost:1/a --ca-file {none}": "{none} cannot be used",
    "digest localhost:1/a --cert-file {none}": "{none} cannot be used",
    "digest localhost:1/a --header @{none}": "{none} cannot be read",
    "registry serve --tls-cert {none} --tls-key {none} --address 127.0.0.1:0": "cannot read {none}",
    "registry serve --auth htpasswd={none} --address 127.0.0.1:0": "cannot read {none}",
}


@pytest.mark.parametrize("line", NAMED)
def test_a_file_that_is_named_has_to_be_there(line: str, lading: Lading, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    said = lading.run(*line.format(none=none).split(), check=False)
    assert_failed(said, USAGE, [NAMED[line].format(none=none)])


@pytest.mark.parametrize("variable", ["LADING_CONFIG", "LADING_CERTS_D"])
def test_a_variable_of_lading_names_what_is_there(variable: str, lading: Lading, tmp_path: Path) -> None:
    said = lading.run("digest", "localhost:1/a", env={variable: str(tmp_path / "none")}, check=False)
    assert_failed(said, USAGE, [str(tmp_path / "none"), f"{variable} names it", "unset it"])


@pytest.mark.parametrize("variable", ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "NETRC", "AWS_CONFIG_FILE"])
def test_a_variable_of_others_may_name_nothing(variable: str, place: Place, tmp_path: Path) -> None:
    """As for docker and skopeo: what such a variable names is made by a login."""
    place.run("digest", place.push("a", AMD64), env={variable: str(tmp_path / "none")})


def test_a_login_into_a_file_that_cannot_be_written_asks_nobody(lading: Lading, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    with ScriptedServer(lambda _: json_reply({})) as server:
        words = ["login", server.host, "-u", "a", "--password-stdin", "--authfile"]
        for path in (file / "auth.json", tmp_path):
            said = lading.run(*words, str(path), stdin=b"secret", check=False)
            assert_failed(said, USAGE, [str(path)])
            assert len(said.stderr.splitlines()) == 3, "what, why, and what to do"
        assert server.requests == []
        lading.run(*words, str(tmp_path / "new" / "auth.json"), stdin=b"secret")
    assert (tmp_path / "new" / "auth.json").exists()


def test_two_says_that_nothing_was_sent(place: Place, tmp_path: Path) -> None:
    """What only shows when the source was read is no mistake on the command line."""
    ref = place.push("list", INDEX)
    words = ["copy", ref, "docker-archive:a.tar:app:1", "--platform", "linux/amd64", "--platform", "linux/arm64"]
    said = place.lading.run(*words, check=False, cwd=tmp_path)
    assert_failed(said, 1, [""])
    with CountingProxy(f"http://{place.host}") as proxy:
        said = place.lading.run(*[word.replace(place.host, proxy.host) for word in words], check=False, cwd=tmp_path)
        assert (said.returncode, bool(proxy.exchanges)) in ((1, True), (2, False))
