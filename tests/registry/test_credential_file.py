"""Docker's credential file: what is in it, the helpers it names, and the environment."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from lading.errors import Denied, LadingError, UsageError
from lading.registry.auth import helpers
from lading.registry.auth.credential_file import CredentialFile
from lading.registry.auth.credentials import Credential
from lading.registry.auth.docker_config import docker_headers
from lading.registry.auth.helpers import Helpers
from lading.registry.auth.lookup import KnownCredentials, default_sources, writable_file

HUB = "https://index.docker.io/v1/"


def auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


class Docker:
    """A folder of Docker's, with helpers on a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "docker"
        self.folder.mkdir()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.environ = {"PATH": f"{self.bin}:/usr/bin:/bin"}

    @property
    def file(self) -> Path:
        return self.folder / "config.json"

    def write(self, document: Any) -> None:
        self.file.write_text(document if isinstance(document, str) else json.dumps(document))

    def helper(self, name: str, script: str) -> Path:
        """A helper; its calls are in the file that is returned."""
        log = self.folder / f"{name}.log"
        program = self.bin / f"docker-credential-{name}"
        program.write_text(f'#!/bin/sh\ninput=$(cat)\necho "$1 $input" >> {log}\n{script}\n')
        program.chmod(0o755)
        return log

    @property
    def keeper(self) -> CredentialFile:
        return CredentialFile(self.file, environ=self.environ)

    @property
    def credentials(self) -> KnownCredentials:
        return KnownCredentials(kept=[self.keeper])


@pytest.fixture
def home(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


ANSWERS = """printf '{"ServerURL":"x","Username":"ada","Secret":"from the helper"}'"""
KNOWS_NOTHING = "echo 'credentials not found in native keychain'; exit 1"


class TestFinding:
    async def test_there_may_be_no_file(self, home: Docker) -> None:
        assert await home.credentials.find("ghcr.io") is None
        assert docker_headers(home.file.parent) == {}

    async def test_an_auth_entry(self, home: Docker) -> None:
        home.write({"auths": {"ghcr.io": {"auth": auth("ada", "se:cret")}}})
        found = await home.credentials.find("ghcr.io")
        assert found == Credential(username="ada", password="se:cret", source=str(home.file))
        assert await home.credentials.find("quay.io") is None

    @pytest.mark.parametrize("line", ["\n", "\r\n"])
    async def test_its_base64_may_be_broken_into_lines(self, home: Docker, line: str) -> None:
        text = auth("ada", "hunter2")
        home.write({"auths": {"a.example": {"auth": text[:4] + line + text[4:] + line}}})
        found = await home.credentials.find("a.example")
        assert found is not None
        assert (found.username, found.password) == ("ada", "hunter2")

    async def test_keys_are_read_as_go_reads_them(self, home: Docker) -> None:
        home.write(
            {
                "Auths": {"a.example": {"Auth": auth("ada", "hunter2")}, "b.example": {"IdentityToken": "t"}},
                "credhelpers": {"c.example": "keeper"},
                "httpheaders": {"X-Team": "a"},
            }
        )
        log = home.helper("keeper", 'echo \'{"Username": "eve", "Secret": "p"}\'')
        found = await home.credentials.find("a.example"), await home.credentials.find("b.example")
        assert [credential and credential.password for credential in found] == ["hunter2", ""]
        assert found[1] is not None
        assert found[1].identity_token == "t"
        await home.credentials.find("c.example")
        assert log.read_text() == "get c.example\n"
        assert docker_headers(home.folder) == {"X-Team": "a"}
        # What is written again loses nothing, and has each key once.
        await home.keeper.store("d.example", Credential(username="eve", password="p"))
        document = json.loads(home.file.read_text())
        assert sorted(document["auths"]) == ["a.example", "b.example", "d.example"]
        assert "Auths" not in document

    async def test_user_and_password_in_plain_words(self, home: Docker) -> None:
        home.write({"auths": {"ghcr.io": {"username": "ada", "password": "secret"}}})
        found = await home.credentials.find("ghcr.io")
        assert found is not None
        assert (found.username, found.password) == ("ada", "secret")

    async def test_tokens(self, home: Docker) -> None:
        home.write(
            {
                "auths": {
                    "a.example": {"auth": auth("ada", ""), "identitytoken": "refresh"},
                    "b.example": {"registrytoken": "bearer"},
                }
            }
        )
        found = await home.credentials.find("a.example")
        assert found is not None
        assert (found.username, found.password, found.identity_token) == ("ada", "", "refresh")
        found = await home.credentials.find("b.example")
        assert found is not None
        assert found.registry_token == "bearer"

    @pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
    async def test_docker_hub_has_a_key_of_its_own(self, home: Docker, name: str) -> None:
        home.write({"auths": {HUB: {"auth": auth("ada", "secret")}}})
        assert await home.credentials.find(name) is not None

    @pytest.mark.parametrize(
        "key", ["https://a.example/v1/", "http://a.example", "https://a.example/v2/", "a.example/"]
    )
    async def test_keys_of_old_are_addresses(self, home: Docker, key: str) -> None:
        home.write({"auths": {key: {"auth": auth("ada", "secret")}}})
        assert await home.credentials.find("a.example") is not None
        assert await home.credentials.find("b.example") is None

    async def test_a_key_may_name_a_namespace(self, home: Docker) -> None:
        home.write(
            {
                "auths": {
                    "a.example": {"auth": auth("host", "x")},
                    "a.example/team": {"auth": auth("team", "x")},
                    "a.example/team/app": {"auth": auth("app", "x")},
                }
            }
        )
        for repository, user in [("team/app", "app"), ("team/b", "team"), ("team2/b", "host"), (None, "host")]:
            found = await home.credentials.find("a.example", repository)
            assert found is not None
            assert found.username == user

    @pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"username": "ada"}, None])
    async def test_an_empty_entry_is_none(self, home: Docker, entry: Any) -> None:
        home.write({"auths": {"ghcr.io": entry}})
        assert await home.credentials.find("ghcr.io") is None

    def test_headers_of_the_users_own(self, home: Docker) -> None:
        home.write({"HttpHeaders": {"X-Meta": "1", "User-Agent": "docker"}})
        assert docker_headers(home.file.parent) == {"X-Meta": "1"}

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            '{"auths": 1}',
            '{"auths": {"a.example": "x"}}',
            '{"auths": {"a.example": {"auth": 1}}}',
            '{"auths": {"a.example": {"auth": "not base64 hunter2"}}}',
            '{"auths": {"a.example": {"auth": "aHVudGVyMg=="}}}',
            '{"credHelpers": {"a.example": 1}}',
            '{"credsStore": 1}',
            "[" * 100_000,
        ],
    )
    async def test_a_corrupt_file_is_an_error_that_shows_no_secret(self, home: Docker, text: str) -> None:
        home.write(text)
        with pytest.raises(UsageError) as caught:
            await home.credentials.find("a.example")
        assert str(home.file) in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_nothing_secret_is_shown(self) -> None:
        credential = Credential(
            username="ada", password="hunter2", identity_token="hunter3", registry_token="hunter4", source="x"
        )
        assert repr(credential) == "<Credential of 'ada' from 'x'>"


class TestHelpers:
    async def test_the_helper_of_a_registry_is_asked(self, home: Docker) -> None:
        home.write({"credHelpers": {"a.example": "one"}, "credsStore": "all"})
        one, everything = home.helper("one", ANSWERS), home.helper("all", KNOWS_NOTHING)
        credentials = home.credentials
        found = await credentials.find("a.example", "x")
        assert found == Credential(username="ada", password="from the helper", source="the credential helper one")
        assert await credentials.find("a.example", "y") == found
        assert await credentials.find("b.example") is None
        assert one.read_text() == "get a.example\n", "once is enough"
        assert everything.read_text() == "get b.example\n"

    async def test_docker_hub_is_asked_for_by_its_key(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        log = home.helper("all", ANSWERS)
        assert await home.credentials.find("docker.io") is not None
        assert log.read_text() == f"get {HUB}\n"

    async def test_an_identity_token(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", """printf '{"ServerURL":"x","Username":"<token>","Secret":"refresh"}'""")
        found = await home.credentials.find("a.example")
        assert found is not None
        assert (found.password, found.identity_token) == ("", "refresh")

    async def test_a_helper_that_is_not_there_is_named(self, home: Docker) -> None:
        home.write({"credsStore": "gone"})
        with pytest.raises(Denied, match="helper gone failed") as caught:
            await home.credentials.find("a.example")
        assert "docker-credential-gone" in (caught.value.cause or "")

    async def test_what_a_helper_complains_of_is_told(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", "echo 'the keyring is locked'; exit 1")
        with pytest.raises(Denied, match="the keyring is locked"):
            await home.credentials.find("a.example")

    @pytest.mark.parametrize(
        "script",
        [
            """echo 'hunter2'; exit 0""",
            """printf '{"Username":"ada"}'""",
            """printf '["hunter2"]'""",
            """printf '{"Username":"ada","Secret":"hunter2"}'; exit 1""",
            """echo 'hunter2' >&2; exit 3""",
            """printf '{"Username":1,"Secret":"hunter2"}'""",
        ],
    )
    async def test_a_broken_helper_spills_nothing(
        self, home: Docker, script: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", script)
        with pytest.raises(Denied) as caught:
            await home.credentials.find("a.example")
        assert "hunter2" not in str(caught.value) + (caught.value.remedy or "")
        assert "hunter2" not in "".join(capfd.readouterr())

    @pytest.mark.parametrize(
        "script, told",
        [
            (
                "echo 'the session ended: sign in again with sso-login' >&2; exit 1",
                "the session ended: sign in again with sso-login",
            ),
            ("echo 'one reason' >&2; echo 'and another' >&2; exit 2", "one reason; and another"),
            (r"printf 'no\033[31m colour\n' >&2; exit 1", "no [31m colour"),
            ("echo 'at https://ada:hunter2@a.example it failed' >&2; exit 1", "at https://***@a.example it failed"),
            ("echo 'the token: hunter2 is no good' >&2; exit 1", "the token: *** is no good"),
            ("echo 'your password hunter2hunter2hunter2hunter2 is old' >&2; exit 1", "your password *** is old"),
            (
                "printf 'Traceback (most recent call last):\n  File x, line 1\nKeyError: no such key\n' >&2; exit 1",
                "KeyError: no such key",
            ),
            ("exit 7", "it ended with status 7"),
        ],
    )
    async def test_what_a_failing_helper_says_is_told_without_secrets(
        self, home: Docker, script: str, told: str
    ) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", script)
        with pytest.raises(Denied) as caught:
            await home.credentials.find("a.example")
        assert caught.value.cause == told
        assert "hunter2" not in str(caught.value)

    async def test_what_a_helper_says_beside_its_answer_is_a_note_without_the_secret(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", f"echo 'your login ends soon: from the helper' >&2; {ANSWERS}")
        notes: list[str] = []
        found = default_sources(docker_config_dir=home.folder, environ=home.environ, on_note=notes.append)
        assert await found.find("a.example") is not None
        assert notes == ["the credential helper all says: your login ends soon: ***"]

    async def test_a_missing_interpreter_is_told_from_a_missing_program(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", "")
        program = home.bin / "docker-credential-all"
        for first, cause in (
            ("#!/nonexistent/python3 -u\n", "its interpreter /nonexistent/python3 is not there"),
            ("#! /usr/bin/env nonexistent-python\n", "nonexistent-python"),
        ):
            program.write_text(first)
            with pytest.raises(Denied) as caught:
                await Helpers(home.environ).get("all", "a.example")
            assert cause in (caught.value.cause or "")
            assert "no program docker" not in str(caught.value)

    @pytest.mark.parametrize("script", ["sleep 600", "sleep 600 >&2 & exec sleep 600"])
    async def test_a_helper_that_lies_still_is_not_waited_for(
        self, home: Docker, script: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(helpers, "HELPER_TIMEOUT", 0.3)
        home.write({"credsStore": "all"})
        home.helper("all", f"echo 'open https://a.example/device and wait' >&2; {script}")
        with pytest.raises(Denied) as caught:
            await home.credentials.find("a.example")
        said = "it did not answer within 0.3 seconds; it said: open https://a.example/device and wait"
        assert caught.value.cause == said

    async def test_what_a_helper_leaves_running_is_not_waited_for(
        self, home: Docker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(helpers, "_GRACE", 0.05)
        home.write({"credsStore": "all"})
        home.helper("all", f"sleep 600 & {ANSWERS}")
        assert await home.credentials.find("a.example") is not None

    async def test_a_helper_without_a_name_is_the_file(self, home: Docker) -> None:
        home.write(
            {
                "credsStore": "all",
                "credHelpers": {"a.example": "", "b.example": ""},
                "auths": {"a.example": {"auth": auth("ada", "secret")}},
            }
        )
        log = home.helper("all", """printf '{"a.example":"eve"}'""")
        found = await home.credentials.find("a.example", "team/app")
        assert found is not None
        assert found.password == "secret"
        assert await home.credentials.find("b.example") is None
        assert not log.exists()
        assert [(login.registry, login.username) for login in await home.keeper.logins()] == [("a.example", "ada")]
        await home.keeper.store("b.example", Credential(username="bob", password="kept"))
        assert json.loads(home.file.read_text())["auths"]["b.example"] == {"auth": auth("bob", "kept")}

    async def test_a_helper_is_no_path(self, home: Docker) -> None:
        home.write({"credsStore": "../../evil"})
        with pytest.raises(Denied, match="no slash"):
            await home.credentials.find("a.example")

    async def test_what_is_in_the_file_counts_where_the_helper_knows_nothing(self, home: Docker) -> None:
        home.write({"credsStore": "all", "auths": {"a.example": {"auth": auth("ada", "secret")}}})
        home.helper("all", KNOWS_NOTHING)
        found = await home.credentials.find("a.example")
        assert found is not None
        assert found.password == "secret"


class TestKeeping:
    ADA = Credential(username="ada", password="secret")

    async def test_credentials_are_kept_in_the_file(self, home: Docker) -> None:
        keeper = home.keeper
        credentials = KnownCredentials(kept=[keeper])
        assert await credentials.find("ghcr.io") is None
        assert await keeper.store("ghcr.io", self.ADA) == str(home.file)
        assert home.file.read_text() == (
            '{\n\t"auths": {\n\t\t"ghcr.io": {\n\t\t\t"auth": "' + auth("ada", "secret") + '"\n\t\t}\n\t}\n}\n'
        )
        assert stat.S_IMODE(home.file.stat().st_mode) == 0o600
        found = await credentials.find("ghcr.io")
        assert found is not None
        assert found.password == "secret"

    async def test_the_folder_is_made(self, tmp_path: Path) -> None:
        await writable_file(docker_config_dir=tmp_path / "new", environ={}).store("docker.io", self.ADA)
        assert list(json.loads((tmp_path / "new" / "config.json").read_text())["auths"]) == [HUB]

    async def test_everything_else_in_the_file_stays(self, home: Docker) -> None:
        home.write('{"zebra": {"b": 1, "a": 2.50}, "auths": {"b.example": {"auth": "x"}}, "aliases": {"é": "ü"}}')
        await home.keeper.store("a.example", self.ADA)
        document = json.loads(home.file.read_text())
        assert list(document) == ["zebra", "auths", "aliases"]
        assert list(document["zebra"]) == ["b", "a"]
        assert list(document["auths"]) == ["b.example", "a.example"]
        assert document["aliases"] == {"é": "ü"}

    async def test_a_link_stays_a_link(self, home: Docker, tmp_path: Path) -> None:
        real = tmp_path / "real.json"
        real.write_text("{}")
        home.file.symlink_to(real)
        await home.keeper.store("a.example", self.ADA)
        assert home.file.is_symlink()
        assert "a.example" in real.read_text()

    async def test_an_identity_token_is_kept_as_docker_does(self, home: Docker) -> None:
        await home.keeper.store("a.example", Credential(username="ada", password="", identity_token="refresh"))
        entry = json.loads(home.file.read_text())["auths"]["a.example"]
        assert entry == {"auth": auth("ada", ""), "identitytoken": "refresh"}
        found = await home.credentials.find("a.example")
        assert found is not None
        assert found.identity_token == "refresh"

    async def test_a_helper_keeps_them_where_there_is_one(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        log = home.helper("all", "")
        assert await home.keeper.store("docker.io", self.ADA) == "the credential helper all"
        action, _, payload = log.read_text().partition(" ")
        assert action == "store"
        assert json.loads(payload) == {"ServerURL": HUB, "Username": "ada", "Secret": "secret"}
        assert json.loads(home.file.read_text()) == {"credsStore": "all", "auths": {HUB: {}}}

    async def test_a_helper_that_fails_changes_nothing(self, home: Docker) -> None:
        home.write({"credsStore": "all"})
        home.helper("all", "exit 1")
        before = home.file.read_bytes()
        with pytest.raises(Denied):
            await home.keeper.store("docker.io", self.ADA)
        assert home.file.read_bytes() == before

    async def test_credentials_are_forgotten(self, home: Docker) -> None:
        home.write({"auths": {"a.example": {"auth": "x"}, "https://a.example/v1/": {}, "b.example": {"auth": "y"}}})
        assert await home.keeper.erase("a.example")
        assert json.loads(home.file.read_text()) == {"auths": {"b.example": {"auth": "y"}}}
        assert not await home.keeper.erase("a.example")

    async def test_what_was_never_known_is_not_written(self, home: Docker) -> None:
        assert not await home.keeper.erase("a.example")
        assert not home.file.exists()

    async def test_a_helper_forgets_them(self, home: Docker) -> None:
        home.write({"credsStore": "all", "auths": {"a.example": {}}})
        log = home.helper("all", f'[ "$1" = get ] && {ANSWERS}; exit 0')
        assert await home.keeper.erase("a.example")
        assert log.read_text() == "get a.example\nerase a.example\n"
        assert json.loads(home.file.read_text()) == {"credsStore": "all", "auths": {}}

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    async def test_a_file_that_cannot_be_written_is_an_error(self, home: Docker) -> None:
        home.folder.chmod(0o500)
        with pytest.raises(LadingError, match="cannot be written"):
            await home.keeper.store("a.example", self.ADA)

    async def test_a_failed_write_leaves_the_old_file(self, home: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
        home.write({"auths": {}})

        def full(self: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(LadingError, match="no space left"):
            await home.keeper.store("a.example", self.ADA)
        assert home.file.read_text() == '{"auths": {}}'
        assert list(home.folder.iterdir()) == [home.file]
