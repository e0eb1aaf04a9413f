"""lading's own configuration file."""

from pathlib import Path

import platformdirs
import pytest

from lading.errors import UsageError
from lading.registry.config import Config, HostConfig, user_folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_hosts_are_configured_by_name(file: Path) -> None:
    file.write_text('[hosts."10.0.0.5:5000"]\ninsecure = true\njobs = 2\n\n[hosts."ghcr.io"]\n')
    config = Config.load(file)
    assert config.for_host("10.0.0.5:5000") == HostConfig(insecure=True, jobs=2)
    assert config.for_host("ghcr.io") == HostConfig()
    assert config.for_host("elsewhere.example") == HostConfig(insecure=False, ca_file=None, jobs=8)


def test_docker_hub_has_one_configuration(file: Path) -> None:
    file.write_text('[hosts."registry-1.docker.io"]\njobs = 3\n')
    assert Config.load(file).for_host("docker.io").jobs == 3


def test_the_authority_is_found_beside_the_file(file: Path) -> None:
    (file.parent / "ca.pem").write_text("")
    file.write_text('[hosts."a.example"]\nca_file = "ca.pem"\n')
    assert Config.load(file).for_host("a.example").ca_file == str(file.parent / "ca.pem")


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
