"""Where credentials are looked for: which places, in which order, and which key counts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Denied, UsageError
from lading.registry.auth.credential_file import CredentialFile
from lading.registry.auth.credentials import Credential, depth, rank, split_key
from lading.registry.auth.lookup import KnownCredentials, default_sources, podman_files, writable_file
from registry.test_credential_file import auth

HUB = "https://index.docker.io/v1/"


class User:
    """Somebody with a home, in which credentials are kept in every place there is."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / "bin"
        self.bin.mkdir()
        self.environ = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PATH": f"{self.bin}:/usr/bin:/bin",
        }
        self.authfiles: list[Path] = []

    @property
    def docker(self) -> Path:
        return self.home / ".docker/config.json"

    @property
    def podman(self) -> Path:
        return self.home / "run/containers/auth.json"

    @property
    def podman_at_home(self) -> Path:
        return self.home / ".config/containers/auth.json"

    @property
    def netrc(self) -> Path:
        return self.home / ".netrc"

    def keep(self, path: Path, document: Any = None, **users: str) -> Path:
        """Write a file: a document, or users by key, in which `__` is a slash and `_` a dot."""
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = {key.replace("__", "/").replace("_", "."): user for key, user in users.items()}
        written = document or {"auths": {key: {"auth": auth(user, "secret")} for key, user in keys.items()}}
        path.write_text(written if isinstance(written, str) else json.dumps(written))
        return path

    def helper(self, name: str, script: str) -> Path:
        """A helper; its calls are in the file that is returned."""
        log = self.home / f"{name}.log"
        program = self.bin / f"docker-credential-{name}"
        program.write_text(f'#!/bin/sh\ninput=$(cat)\necho "$1 $input" >> {log}\n{script}\n')
        program.chmod(0o755)
        return log

    @property
    def credentials(self) -> KnownCredentials:
        return default_sources(authfiles=self.authfiles, environ=self.environ)

    async def finds(self, registry: str = "a.example", repository: str | None = None) -> str | None:
        """The user whose credentials are found, without having been told where."""
        found = await self.credentials.find(registry, repository)
        return None if found is None else found.username


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


class TestPlaces:
    async def test_nothing_is_needed(self, user: User) -> None:
        assert await user.finds() is None

    async def test_the_order(self, user: User) -> None:
        """Each place hides all that come after it."""
        user.netrc.write_text("machine a.example login netrc password secret\n")
        assert await user.finds() == "netrc"
        user.keep(user.podman_at_home, a_example="podman at home")
        assert await user.finds() == "podman at home"
        user.keep(user.podman, a_example="podman")
        assert await user.finds() == "podman"
        user.keep(user.docker, a_example="docker")
        assert await user.finds() == "docker"
        user.environ["REGISTRY_AUTH_FILE"] = str(user.keep(user.home / "named.json", a_example="REGISTRY_AUTH_FILE"))
        assert await user.finds() == "REGISTRY_AUTH_FILE"
        document = {"auths": {"a.example": {"auth": auth("DOCKER_AUTH_CONFIG", "secret")}}}
        user.environ["DOCKER_AUTH_CONFIG"] = json.dumps(document)
        assert await user.finds() == "DOCKER_AUTH_CONFIG"
        user.environ |= {"LADING_REGISTRY": "a.example", "LADING_USERNAME": "LADING", "LADING_PASSWORD": "secret"}
        assert await user.finds() == "LADING"
        user.authfiles.append(user.keep(user.home / "given.json", a_example="given"))
        assert await user.finds() == "given"

    async def test_a_place_that_knows_nothing_hides_nothing(self, user: User) -> None:
        user.authfiles.append(user.keep(user.home / "given.json", b_example="given"))
        user.environ |= {"LADING_REGISTRY": "c.example", "LADING_USERNAME": "ada", "LADING_PASSWORD": "secret"}
        user.environ["REGISTRY_AUTH_FILE"] = str(user.home / "absent.json")
        user.keep(user.docker, {"auths": {"a.example": {}}})
        user.keep(user.podman, a_example="podman")
        assert await user.finds() == "podman"

    async def test_where_it_was_found_is_told(self, user: User) -> None:
        user.keep(user.podman, a_example="podman")
        found = await user.credentials.find("a.example")
        assert found is not None
        assert found.source == str(user.podman)
        user.environ |= {"LADING_REGISTRY": "a.example", "LADING_USERNAME": "ada", "LADING_PASSWORD": "secret"}
        found = await user.credentials.find("a.example")
        assert found is not None
        assert found.source == "$LADING_PASSWORD"

    def test_podmans_places(self) -> None:
        import os

        assert podman_files({"HOME": "/home/ada"}) == (
            Path(f"/run/containers/{os.getuid()}/auth.json"),
            Path("/home/ada/.config/containers/auth.json"),
        )
        assert podman_files({"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/7", "XDG_CONFIG_HOME": "/etc/ada"}) == (
            Path("/run/7/containers/auth.json"),
            Path("/etc/ada/containers/auth.json"),
        )

    async def test_podmans_helpers(self, user: User) -> None:
        user.helper("one", """printf '{"ServerURL":"x","Username":"<token>","Secret":"refresh"}'""")
        user.keep(user.podman, {"credHelpers": {"a.example": "one"}})
        found = await user.credentials.find("a.example")
        assert found is not None
        assert (found.username, found.password, found.identity_token) == ("", "", "refresh")

    async def test_docker_auth_config_may_name_a_helper(self, user: User) -> None:
        user.helper("one", """printf '{"ServerURL":"x","Username":"ada","Secret":"x"}'""")
        user.environ["DOCKER_AUTH_CONFIG"] = '{"credHelpers": {"a.example": "one"}}'
        assert await user.finds() == "ada"

    async def test_the_environment_names_dockers_folder(self, user: User) -> None:
        user.keep(user.home / "elsewhere/config.json", a_example="elsewhere")
        user.keep(user.docker, a_example="docker")
        user.environ["DOCKER_CONFIG"] = str(user.home / "elsewhere")
        assert await user.finds() == "elsewhere"


class TestEnvironment:
    @pytest.mark.parametrize("missing", ["LADING_REGISTRY", "LADING_USERNAME"])
    async def test_a_password_needs_to_know_where_it_goes(self, user: User, missing: str) -> None:
        user.environ |= {"LADING_REGISTRY": "a.example", "LADING_USERNAME": "ada", "LADING_PASSWORD": "hunter2"}
        del user.environ[missing]
        with pytest.raises(UsageError, match=f"{missing} is not") as caught:
            await user.finds()
        assert "hunter2" not in f"{caught.value} {caught.value.remedy}"

    async def test_it_goes_nowhere_else(self, user: User) -> None:
        user.environ |= {"LADING_REGISTRY": "a.example/team", "LADING_USERNAME": "ada", "LADING_PASSWORD": "secret"}
        assert await user.finds("a.example", "team/app") == "ada"
        assert await user.finds("a.example", "other") is None
        assert await user.finds("b.example", "team/app") is None

    async def test_it_may_be_an_identity_token(self, user: User) -> None:
        user.environ |= {"LADING_REGISTRY": "a.example", "LADING_USERNAME": "<token>", "LADING_PASSWORD": "refresh"}
        found = await user.credentials.find("a.example")
        assert found is not None
        assert found.identity_token == "refresh"


class TestNetrc:
    async def test_the_port_counts_before_the_host(self, user: User) -> None:
        user.netrc.write_text(
            "machine a.example login host password x\nmachine a.example:5000 login port password x\n"
            "default login everybody password x\n"
        )
        assert await user.finds("a.example:5000") == "port"
        assert await user.finds("a.example:6000") == "host"
        assert await user.finds("b.example") is None, "a default would go to any registry there is"

    @pytest.mark.parametrize("machine", ["docker.io", "index.docker.io", "registry-1.docker.io"])
    async def test_docker_hub(self, user: User, machine: str) -> None:
        user.netrc.write_text(f"machine {machine} login ada password x\n")
        assert await user.finds("docker.io") == "ada"

    async def test_another_file(self, user: User) -> None:
        (user.home / "other").write_text("machine a.example login ada password x\n")
        user.environ["NETRC"] = str(user.home / "other")
        assert await user.finds() == "ada"

    @pytest.mark.parametrize("content", [b"machine a.example login hunter2 passwort x", b"\xff\xfe"])
    async def test_a_corrupt_one_counts_only_where_nothing_else_does(self, user: User, content: bytes) -> None:
        user.netrc.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            await user.finds()
        assert str(user.netrc) in str(caught.value)
        assert "hunter2" not in str(caught.value)
        user.keep(user.docker, a_example="docker")
        assert await user.finds() == "docker"


class TestKeys:
    async def test_the_longest_counts_wherever_it_is(self, user: User) -> None:
        user.keep(user.docker, a_example="docker", a_example__team__app="docker for the app")
        user.keep(user.podman, a_example="podman", a_example__team="podman for the team")
        assert await user.finds("a.example", "team/app") == "docker for the app"
        assert await user.finds("a.example", "team/other") == "podman for the team"
        assert await user.finds("a.example", "other/team") == "docker"

    async def test_what_is_named_for_the_run_counts_before_it(self, user: User) -> None:
        user.keep(user.docker, a_example__team__app="docker for the app")
        user.authfiles.append(user.keep(user.home / "given.json", a_example="given"))
        assert await user.finds("a.example", "team/app") == "given"

    async def test_a_key_of_a_namespace_is_for_nothing_else(self, user: User) -> None:
        user.keep(user.docker, a_example__team="team")
        for repository in ("teams/app", "tea/app", "app/team", None):
            assert await user.finds("a.example", repository) is None

    async def test_a_namespace_comes_before_the_helper_for_all(self, user: User) -> None:
        log = user.helper("all", """printf '{"ServerURL":"x","Username":"helper","Secret":"x"}'""")
        entry = {"auth": auth("team", "x")}
        user.keep(user.docker, {"credsStore": "all", "auths": {"a.example/team": entry, "a.example/kept": {}}})
        assert await user.finds("a.example", "team/app") == "team"
        assert not log.exists()
        assert await user.finds("a.example", "kept/app") == "helper"
        assert log.read_text() == "get a.example/kept\n"

    async def test_a_helper_of_a_namespace(self, user: User) -> None:
        log = user.helper("one", """printf '{"ServerURL":"x","Username":"helper","Secret":"x"}'""")
        user.keep(user.docker, {"credHelpers": {"a.example/team": "one"}})
        assert await user.finds("a.example", "team/app") == "helper"
        assert log.read_text() == "get a.example/team\n"
        assert await user.finds("a.example", "other") is None

    @pytest.mark.parametrize("order", [1, -1])
    async def test_spellings_of_one_key_have_an_order_of_their_own(self, user: User, order: int) -> None:
        spellings = ["https://a.example/v1/", "http://a.example", "A.example", "https://a.example"]
        for expected in ("A.example", "https://a.example", "https://a.example/v1/", "http://a.example"):
            auths = {key: {"auth": auth(key.replace(":", "!"), "x")} for key in spellings[::order]}
            user.keep(user.docker, {"auths": auths})
            assert await user.finds() == expected.replace(":", "!")
            spellings.remove(expected)

    @pytest.mark.parametrize("key", [HUB, "docker.io", "index.docker.io", "https://registry-1.docker.io/v2/"])
    @pytest.mark.parametrize("registry", ["docker.io", "index.docker.io", "registry-1.docker.io"])
    async def test_docker_hub_has_many_names(self, user: User, key: str, registry: str) -> None:
        user.keep(user.podman, {"auths": {key: {"auth": auth("ada", "x")}}})
        assert await user.finds(registry, "library/alpine") == "ada"

    async def test_a_namespace_of_docker_hub(self, user: User) -> None:
        user.keep(
            user.podman, {"auths": {HUB: {"auth": auth("hub", "x")}, "docker.io/acme": {"auth": auth("acme", "x")}}}
        )
        assert await user.finds("docker.io", "acme/web") == "acme"
        assert await user.finds("docker.io", "library/alpine") == "hub"

    @given(st.permutations(["a.example", "https://a.example", "a.example/", "http://A.example/v2/", "a.example/team"]))
    def test_the_order_of_a_file_means_nothing(self, keys: list[str]) -> None:
        def best(keys: list[str]) -> list[str]:
            matching = [(found, key) for key in keys if (found := depth(key, "a.example", "team/app")) is not None]
            return [key for _, key in sorted(matching, key=lambda one: (-one[0], rank(one[1], "a.example")))]

        assert best(keys) == best(sorted(keys))
        assert best(keys)[0] == "a.example/team"

    @given(st.lists(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), min_size=1, max_size=5), st.data())
    def test_a_key_is_about_what_is_below_it(self, path: list[str], data: Any) -> None:
        count = data.draw(st.integers(0, len(path)))
        key = "/".join(["a.example:5000", *path[:count]])
        if path[:count] not in (["v1"], ["v2"]):
            assert depth(key, "a.example:5000", "/".join(path)) == count
            assert split_key(f"https://{key}/") == split_key(key)
        assert depth(f"{key}/no-such-part", "a.example:5000", "/".join(path)) is None


class TestBrokenPlaces:
    async def test_what_cannot_be_read_is_told_when_its_turn_comes(self, user: User) -> None:
        user.keep(user.podman, "{hunter2")
        user.keep(user.docker, a_example="docker")
        assert await user.finds("a.example") == "docker"
        with pytest.raises(UsageError, match=r"containers/auth\.json") as caught:
            await user.finds("b.example")
        assert "hunter2" not in str(caught.value)

    async def test_a_file_given_by_name_has_to_be_there(self, user: User) -> None:
        user.authfiles.append(user.home / "absent.json")
        with pytest.raises(UsageError, match="there is no such file"):
            await user.finds()

    async def test_a_helper_that_fails_is_told(self, user: User) -> None:
        user.keep(user.docker, {"credsStore": "gone"})
        with pytest.raises(Denied, match="helper gone failed"):
            await user.finds()


class TestTheNextBest:
    async def test_it_is_found_when_the_best_was_refused(self, user: User) -> None:
        user.keep(user.docker, a_example="docker")
        user.keep(user.podman, a_example="podman")
        credentials = user.credentials
        refused: list[Credential] = []
        for expected in ("docker", "podman"):
            found = await credentials.find("a.example", "x", refused=refused)
            assert found is not None
            assert found.username == expected
            refused.append(found)
        assert await credentials.find("a.example", "x", refused=refused) is None

    async def test_the_same_ones_from_elsewhere_are_no_better(self, user: User) -> None:
        user.keep(user.docker, a_example="ada")
        user.keep(user.podman, a_example="ada")
        found = await user.credentials.find("a.example")
        assert found is not None
        assert await user.credentials.find("a.example", refused=[found]) is None


class TestKeeping:
    ADA = Credential(username="ada", password="secret")

    async def test_podmans_file_is_written_where_it_is_named(self, user: User) -> None:
        user.environ["REGISTRY_AUTH_FILE"] = str(user.podman)
        keeper = writable_file(environ=user.environ)
        assert await keeper.store("a.example/team", self.ADA) == str(user.podman)
        assert not user.docker.exists()
        assert await user.finds("a.example", "team/app") == "ada"
        assert await user.finds("a.example", "other") is None
        assert await keeper.erase("a.example/team")
        assert await user.finds("a.example", "team/app") is None

    async def test_a_file_given_comes_before_it(self, user: User) -> None:
        user.environ["REGISTRY_AUTH_FILE"] = str(user.podman)
        keeper = writable_file(user.home / "given.json", environ=user.environ)
        assert await keeper.store("a.example", self.ADA) == str(user.home / "given.json")

    async def test_forgetting_a_registry_leaves_its_namespaces(self, user: User) -> None:
        user.keep(user.docker, a_example="host", a_example__team="team")
        assert await CredentialFile(user.docker).erase("a.example")
        assert list(json.loads(user.docker.read_text())["auths"]) == ["a.example/team"]

    async def test_everything_that_is_kept(self, user: User) -> None:
        user.helper(
            "all",
            """case $1 in list) printf '{"b.example":"from the helper"}';; *) exit 1;; esac""",
        )
        user.helper("one", """printf '{"ServerURL":"x","Username":"<token>","Secret":"refresh"}'""")
        entries = {"a.example": {"auth": auth("ada", "x")}, "b.example": {}, "c.example": {}}
        user.keep(user.docker, {"auths": entries, "credsStore": "all", "credHelpers": {"c.example": "one"}})
        logins = await CredentialFile(user.docker, environ=user.environ).logins()
        assert [(login.registry, login.username, login.kept_in) for login in logins] == [
            ("a.example", "ada", str(user.docker)),
            ("b.example", "from the helper", "the credential helper all"),
            ("c.example", "", "the credential helper one"),
        ]
