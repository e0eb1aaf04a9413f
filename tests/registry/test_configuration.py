"""lading's own configuration file."""

from pathlib import Path

import platformdirs
import pytest

from lading.errors import Denied, UsageError
from lading.folders import user_folder
from lading.registry.hosts import registries_conf
from lading.registry.hosts.configuration import Alternative, Config
from lading.registry.hosts.settings import HostConfig, Mirror, Override, parse_addresses, parse_headers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_hosts_are_configured_by_name(file: Path) -> None:
    file.write_text('[hosts."10.0.0.5:5000"]\ninsecure = true\njobs = 2\n\n[hosts."ghcr.io"]\n')
    config = Config.load(file)
    assert config.for_host("10.0.0.5:5000") == HostConfig(insecure=True, jobs=2)
    assert config.for_host("ghcr.io") == HostConfig()
    assert config.for_host("elsewhere.example") == HostConfig(insecure=False, ca_file=(), jobs=8)


def test_docker_hub_has_one_configuration(file: Path) -> None:
    file.write_text('[hosts."registry-1.docker.io"]\njobs = 3\n')
    assert Config.load(file).for_host("docker.io").jobs == 3


def test_the_authority_is_found_beside_the_file(file: Path) -> None:
    (file.parent / "ca.pem").write_text("")
    file.write_text('[hosts."a.example"]\nca_file = "ca.pem"\n')
    assert Config.load(file).for_host("a.example").ca_files == (str(file.parent / "ca.pem"),)


def test_a_file_that_is_not_there_is_empty(file: Path) -> None:
    assert Config.load(file).hosts == {}


def test_the_environment_names_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[hosts."a.example"]\njobs = 5\n')
    monkeypatch.setenv("LADING_CONFIG", str(file))
    assert Config.load().for_host("a.example").jobs == 5


def test_the_file_is_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LADING_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lading").mkdir()
    (tmp_path / "lading" / "config.toml").write_text('[hosts."a.example"]\njobs = 6\n')
    assert Config.load().for_host("a.example").jobs == 6


@pytest.mark.parametrize(
    "text, cause",
    [
        ("hosts = [", "it is not TOML"),
        ("colour = 1", "the key 'colour' is unknown"),
        ("hosts = 1", "'hosts' is not a table"),
        ('[hosts]\n"a.example" = 1', 'hosts."a.example" is not a table'),
        ('[hosts."a.example"]\nsecure = true', 'the key hosts."a.example".secure is unknown'),
        ('[hosts."https://a.example"]', 'hosts."https://a.example" is no host'),
        ('[hosts."a.example"]\nrequests_per_second = 0', "requests_per_second: more than 0 is needed"),
        ('[hosts."a.example"]\nrequests_per_second = inf', "requests_per_second: more than 0 is needed"),
        ('[hosts."a.example"]\nchunk_size = "much"', "chunk_size: 'much' is no size"),
        ('[hosts."a.example"]\nchunk_size = "1KiB"', "chunk_size: at least 64KiB is needed"),
        ('[hosts."a.example"]\nkey_file = "config.toml"', "key_file: it is the key of no certificate"),
        ('[hosts."a.example"]\ninsecure = true\nca_file = "config.toml"', "insecure accepts any certificate"),
        ('[hosts."a.example"]\npath_prefix = "/x"', "path_prefix: '/x' is no path of a repository"),
        ('[hosts."a.example"]\nmirrors = ["https://b.example"]', "mirrors: 'https://b.example' is not HOST"),
        ('[hosts."a.example"]\nmirrors = [{location = "b", pull = "x"}]', "mirrors[0].pull: invalid enum value 'x'"),
        ('[hosts."a.example"]\nmirrors = [{lokation = "b"}]', 'hosts."a.example".mirrors[0]: object'),
        ('[hosts."a.example".headers]\n"a b" = "x"', "headers.'a b' is no header field"),
        ('[hosts."a.example".headers]\na = "hunter2\\n"', "headers.'a' is no header field"),
        ("aliases = 1", "'aliases' is not a table of names"),
        ('[aliases]\napp = "ghcr.io"', "aliases.app: 'ghcr.io' is not REGISTRY/REPOSITORY"),
        ('[hosts."a.example"]\njobs = "many"', 'hosts."a.example".jobs: expected `int`, got `str`'),
        ('[hosts."a.example"]\njobs = 0', 'hosts."a.example".jobs: at least 1 is needed'),
        ('[hosts."a.example"]\nca_file = "none.pem"', 'hosts."a.example".ca_file: there is no file'),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_and_key(file: Path, text: str, cause: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        Config.load(file)
    assert str(file) in caught.value.message
    assert cause in (caught.value.cause or "")
    assert "hunter2" not in f"{caught.value} {caught.value.remedy}"


def test_a_key_that_is_misspelled_is_told_the_nearest(file: Path) -> None:
    file.write_text('[hosts."a.example"]\ncafile = "x"')
    with pytest.raises(UsageError) as caught:
        Config.load(file)
    assert caught.value.remedy == "did you mean 'ca_file'?"


def test_a_file_that_cannot_be_read_is_an_error(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        Config.load(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        Config.load(file)


@pytest.mark.parametrize("where", [None, "", " ", "/elsewhere", "~/elsewhere"])
def test_folders_are_where_platformdirs_has_them(where: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
        if where is not None:
            monkeypatch.setenv(name, where)
    assert user_folder("config") == platformdirs.user_config_path("lading", appauthor=False)
    assert user_folder("cache") == platformdirs.user_cache_path("lading", appauthor=False)


def test_everything_that_can_be_said_of_a_host(file: Path) -> None:
    for name in ("ca.pem", "b.pem", "client.pem", "client.key"):
        (file.parent / name).write_text("")
    file.write_text("""
        [hosts."a.example"]
        plain_http = false
        ca_file = ["ca.pem", "b.pem"]
        cert_file = "client.pem"
        key_file = "client.key"
        mirrors = ["b.example", {location = "c.example:5000/hub", pull = "digest"}]
        fallback = false
        path_prefix = "proxy/hub"
        headers = {"X-Team" = "blue"}
        credentials = "none"
        blocked = false
        jobs = 3
        requests_per_second = 2.5
        chunk_size = "8 MiB"
        [hosts."*"]
        jobs = 5
        chunk_size = 1000000
        [aliases]
        app = "ghcr.io/acme/app"
    """)
    config = Config.load(file)
    found = config.for_host("A.example")
    assert found == HostConfig(
        ca_file=tuple(str(file.parent / name) for name in ("ca.pem", "b.pem")),
        cert_file=str(file.parent / "client.pem"),
        key_file=str(file.parent / "client.key"),
        mirrors=("b.example", Mirror("c.example:5000/hub", "digest")),
        fallback=False,
        path_prefix="proxy/hub",
        headers={"X-Team": "blue"},
        credentials="none",
        jobs=3,
        requests_per_second=2.5,
        chunk_size=8 * 2**20,
    )
    assert "blue" not in repr(found)
    assert config.for_host("b.example") == HostConfig(jobs=5, chunk_size=1_000_000)
    settings = config.settings("a.example")
    assert settings["jobs"].source == f'{file}, hosts."a.example"'
    assert settings["blocked"].source == f'{file}, hosts."a.example"'
    assert settings["insecure"].source == "default"
    assert config.settings("b.example")["jobs"].source == f'{file}, hosts."*"'


@pytest.mark.parametrize(
    "text, size", [("64KiB", 65536), ("1M", 1_000_000), ("2mb", 2_000_000), ("1 GiB", 2**30), ("100000", 100_000)]
)
def test_sizes_have_units(file: Path, text: str, size: int) -> None:
    file.write_text(f'[hosts."a.example"]\nchunk_size = "{text}"')
    assert Config.load(file).for_host("a.example").chunk_size == size


class TestPrecedence:
    """What is given, config.toml, certs.d, registries.conf, the default: the first that says something counts."""

    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LADING_CERTS_D", f"{tmp_path / 'user'}:{tmp_path / 'system'}:{tmp_path}")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setattr(registries_conf, "SYSTEM", tmp_path / "registries.conf")

    def certs_d(self, tmp_path: Path, folder: str, host: str, *names: str) -> Path:
        place = tmp_path / folder / host
        place.mkdir(parents=True)
        for name in names:
            (place / name).write_text("")
        return place

    def test_certificates_are_where_docker_has_them(self, file: Path, tmp_path: Path) -> None:
        place = self.certs_d(tmp_path, "system", "a.example:5000", "b.crt", "a.crt", "c.cert", "c.key", "README")
        config = Config.load(file)
        found = config.for_host("a.example:5000")
        assert found.ca_files == (str(place / "a.crt"), str(place / "b.crt"))
        assert (found.cert_file, found.key_file) == (str(place / "c.cert"), str(place / "c.key"))
        assert config.settings("a.example:5000")["ca_file"].source == str(place)
        assert config.for_host("a.example") == HostConfig()

    def test_the_users_folder_comes_first(self, file: Path, tmp_path: Path) -> None:
        self.certs_d(tmp_path, "system", "a.example", "system.crt")
        place = self.certs_d(tmp_path, "user", "a.example", "user.crt")
        assert Config.load(file).for_host("a.example").ca_files == (str(place / "user.crt"),)

    def test_the_folders_are_dockers_and_podmans(self, tmp_path: Path) -> None:
        from lading.registry.hosts.certs_d import folders

        assert [str(folder) for folder in folders({"HOME": "/home/ada"})] == [
            "/home/ada/.config/docker/certs.d",
            "/home/ada/.config/containers/certs.d",
            "/etc/docker/certs.d",
            "/etc/containers/certs.d",
        ]
        # Rootless Docker goes by XDG_CONFIG_HOME.
        assert str(folders({"HOME": "/home/ada", "XDG_CONFIG_HOME": "/x"})[0]) == "/x/docker/certs.d"

    @pytest.mark.parametrize("name, lacks", [("c.cert", "c.key"), ("c.key", "c.cert")])
    def test_a_certificate_needs_its_key(self, file: Path, tmp_path: Path, name: str, lacks: str) -> None:
        self.certs_d(tmp_path, "user", "a.example", name)
        with pytest.raises(UsageError, match=f"has {name} without {lacks}"):
            Config.load(file).for_host("a.example")

    def test_docker_hub_has_three_names(self, file: Path, tmp_path: Path) -> None:
        place = self.certs_d(tmp_path, "user", "registry-1.docker.io", "a.crt")
        assert Config.load(file).for_host("docker.io").ca_files == (str(place / "a.crt"),)

    def test_the_first_that_says_something_counts(self, file: Path, tmp_path: Path) -> None:
        (file.parent / "own.pem").write_text("")
        registries_conf.SYSTEM.write_text("""
            [[registry]]
            location = "a.example"
            insecure = true
            [[registry.mirror]]
            location = "m.example"
            [[registry]]
            location = "b.example"
            insecure = true
        """)
        place = self.certs_d(tmp_path, "system", "a.example", "a.crt", "c.cert", "c.key")
        file.write_text('[hosts."a.example"]\nca_file = "own.pem"\ninsecure = false\nmirrors = []\n')
        config = Config.load(file)
        settings = config.settings("a.example")
        assert settings["ca_file"] == ((str(file.parent / "own.pem"),), f'{file}, hosts."a.example"')
        assert settings["cert_file"] == (str(place / "c.cert"), str(place))
        assert settings["insecure"] == (False, f'{file}, hosts."a.example"')
        assert config.alternatives("a.example", "x", "tag") == (Alternative("a.example", "x"),)
        assert config.settings("b.example")["insecure"] == (True, str(registries_conf.SYSTEM))

        given = Config.load(file, override=Override(ca_file="/given.pem", cert_file="/both.pem"))
        settings = given.settings("a.example")
        assert settings["ca_file"] == (("/given.pem",), "given as ca_file")
        assert settings["cert_file"] == ("/both.pem", "given as cert_file")
        assert settings["key_file"] == (None, "given as cert_file"), "another certificate's key is none of this one's"
        assert given.for_host("a.example", named=False).cert_file == str(place / "c.cert")

    def test_a_config_of_the_programs_own_looks_at_no_file(self, tmp_path: Path) -> None:
        self.certs_d(tmp_path, "user", "a.example", "a.crt")
        assert Config({"a.example": HostConfig(jobs=2)}).for_host("a.example") == HostConfig(jobs=2)

    def test_places_by_podmans_rules(self, file: Path) -> None:
        registries_conf.SYSTEM.write_text("""
            [[registry]]
            prefix = "docker.io"
            location = "docker.io"
            [[registry.mirror]]
            location = "cache.example:5000/hub"
            insecure = true
            [[registry.mirror]]
            location = "digests.example"
            pull-from-mirror = "digest-only"
            [[registry]]
            prefix = "docker.io/acme"
            location = "intern.example/acme"
            insecure = true
            [[registry]]
            prefix = "a.example/secret"
            location = "a.example/secret"
            blocked = true
            [[registry]]
            location = "a.example/lax"
            insecure = true
        """)
        config = Config.load(file)
        hub = Alternative("docker.io", "library/alpine")
        cache = Alternative("cache.example:5000", "hub/library/alpine", True)
        digests = Alternative("digests.example", "library/alpine")
        assert config.alternatives("docker.io", "library/alpine", "tag") == (cache, hub)
        assert config.alternatives("docker.io", "library/alpine", "digest") == (cache, digests, hub)
        assert config.alternatives("docker.io", "library/alpine", None) == (hub,)
        assert config.alternatives("docker.io", "acme/web", "tag") == (Alternative("intern.example", "acme/web", True),)
        assert config.alternatives("docker.io", "acme/web", None) == (Alternative("docker.io", "acme/web"),), (
            "and with TLS"
        )
        assert config.alternatives("a.example", "lax/x", None) == (Alternative("a.example", "lax/x", True),)
        assert config.alternatives("a.example", "x", None) == (Alternative("a.example", "x"),)
        with pytest.raises(Denied, match=r"a\.example is blocked") as caught:
            config.alternatives("a.example", "secret/x", None)
        assert str(registries_conf.SYSTEM) in (caught.value.cause or "")

    def test_places_by_ladings_own(self, file: Path) -> None:
        file.write_text("""
            [hosts."docker.io"]
            mirrors = ["cache.example/hub", {location = "tags.example", pull = "tag"}]
            fallback = false
            [hosts."a.example"]
            path_prefix = "team/x"
            [hosts."b.example"]
            blocked = true
        """)
        config = Config.load(file)
        mirror = Alternative("cache.example", "hub/x")
        assert config.alternatives("docker.io", "x", "tag") == (mirror, Alternative("tags.example", "x"))
        assert config.alternatives("docker.io", "x", "digest") == (mirror,)
        assert config.alternatives("docker.io", "x", None) == (Alternative("docker.io", "x"),)
        assert config.alternatives("a.example", "x", "tag") == (Alternative("a.example", "team/x/x"),)
        with pytest.raises(Denied):
            config.alternatives("b.example", "", None)

    @pytest.mark.parametrize(
        "name, expanded",
        [
            ("app", "ghcr.io/acme/app"),
            ("app:1.0", "ghcr.io/acme/app:1.0"),
            ("app@sha256:00", "ghcr.io/acme/app@sha256:00"),
            ("app:1@sha256:00", "ghcr.io/acme/app:1@sha256:00"),
            ("team/app:1", "quay.io/team/app:1"),
            ("other", "other"),
            ("localhost:5000/app", "localhost:5000/app"),
            ("apps", "apps"),
        ],
    )
    def test_short_names_stand_for_longer_ones(self, file: Path, name: str, expanded: str) -> None:
        registries_conf.SYSTEM.write_text('[aliases]\n"app" = "a.example/not-this"\n"team/app" = "quay.io/team/app"')
        file.write_text('[aliases]\napp = "ghcr.io/acme/app"')
        assert Config.load(file).expand(name) == expanded


class TestGiven:
    """What is given for one run, as people type it."""

    def test_headers(self) -> None:
        lines = ["X-Team: blue", "a.example:5000=Authorization:Bearer x=y ", "Index.docker.io=A: "]
        assert parse_headers(lines) == (
            ("", "X-Team", "blue"),
            ("a.example:5000", "Authorization", "Bearer x=y"),
            ("docker.io", "A", ""),
        )

    @pytest.mark.parametrize("line", ["hunter2", ": hunter2", "a b: hunter2", "a:hunter2\r\nb: c", "=a: hunter2"])
    def test_what_is_no_header_is_not_repeated(self, line: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_headers([line])
        assert "hunter2" not in f"{caught.value}"

    def test_addresses(self) -> None:
        assert parse_addresses(["A.example:443:10.0.0.1", "b:5000:[::1]", "c:1:fe80::1"]) == {
            "a.example:443": "10.0.0.1",
            "b:5000": "::1",
            "c:1": "fe80::1",
        }

    @pytest.mark.parametrize(
        "line",
        ["a.example", "a:443:b", "a:0:1.1.1.1", "a:99999:1.1.1.1", ":1:1.1.1.1", "10.0.0.1:1:1.1.1.1", "a:1:1.1"],
    )
    def test_what_is_no_address_is_an_error(self, line: str) -> None:
        with pytest.raises(UsageError, match="gives no host an address"):
            parse_addresses([line])
