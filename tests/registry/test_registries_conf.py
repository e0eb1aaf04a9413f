"""podman's registries.conf, as podman reads it."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import UsageError
from lading.registry.hosts import registries_conf
from lading.registry.hosts.registries_conf import Endpoint, RegistriesConf, RegistryTable


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a system whose files a test writes."""
    monkeypatch.setattr(registries_conf, "SYSTEM", tmp_path / "etc" / "registries.conf")
    (tmp_path / "etc" / "registries.conf.d").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "containers" / "registries.conf.d").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def system(home: Path) -> Path:
    return registries_conf.SYSTEM


def load(home: Path, **environ: str) -> RegistriesConf:
    return RegistriesConf.load({"HOME": str(home)} | environ)


def test_nothing_is_said_where_there_are_no_files(home: Path) -> None:
    assert load(home) == RegistriesConf()
    assert load(home / "nowhere") == RegistriesConf()


def test_an_entry_with_all_that_it_can_say(home: Path, system: Path) -> None:
    system.write_text("""
        unqualified-search-registries = ["quay.io"]
        short-name-mode = "enforcing"
        [[registry]]
        prefix = "docker.io/library"
        location = "cache.example/hub/library/"
        insecure = true
        blocked = true
        [[registry.mirror]]
        location = "one.example:5000/x"
        insecure = true
        [[registry.mirror]]
        location = "two.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "three.example"
        pull-from-mirror = "tag-only"
    """)
    assert load(home).entries == (
        RegistryTable(
            prefix="docker.io/library",
            origin=Endpoint("cache.example/hub/library", True),
            mirrors=(
                Endpoint("one.example:5000/x", True),
                Endpoint("two.example", pull="digest"),
                Endpoint("three.example", pull="tag"),
            ),
            blocked=True,
            source=str(system),
        ),
    )


def test_mirrors_can_be_for_digests_only(home: Path, system: Path) -> None:
    system.write_text(
        '[[registry]]\nlocation="a.example"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m"'
    )
    assert load(home).entries[0].mirrors == (Endpoint("m", pull="digest"),)


@pytest.mark.parametrize(
    "prefix, name, end",
    [
        ("a.example", "a.example/x", 9),
        ("a.example", "a.example", 9),
        ("a.example", "a.example.org/x", None),
        ("a.example", "a.example:5000/x", None),
        ("a.example/x", "a.example/x/y", 11),
        ("a.example/x", "a.example/xy", None),
        ("*.example", "a.b.example/x", 11),
        ("*.example", "example/x", None),
        ("*.example", "a.org/b.example", None),
    ],
)
def test_what_a_prefix_is_a_prefix_of(prefix: str, name: str, end: int | None) -> None:
    assert RegistryTable(prefix, Endpoint(prefix)).match(name) == end


def test_the_longest_prefix_counts(home: Path, system: Path) -> None:
    system.write_text(
        "".join(f'[[registry]]\nprefix="{p}"\nlocation="l"\n' for p in ("a.b", "a.b/c/d", "*.b", "a.b/c"))
    )
    conf = load(home)
    found = [conf.find(name) for name in ("a.b/c/d/e", "a.b/c/dd", "a.b/x", "x.b/c", "c.org/a.b")]
    assert [entry and entry.prefix for entry in found] == ["a.b/c/d", "a.b/c", "a.b", "*.b", None]


def test_drop_ins_count_over_the_file_and_the_users_over_the_systems(home: Path, system: Path) -> None:
    def say(file: Path, **said: str) -> None:
        file.write_text("".join(f'[[registry]]\nprefix="{host}.org"\nlocation="{to}"\n' for host, to in said.items()))

    user = home / ".config" / "containers"
    say(system, a="file", b="file", c="file", d="file")
    say(system.parent / "registries.conf.d" / "1.conf", b="system", c="system", d="system")
    say(system.parent / "registries.conf.d" / "2.conf", c="later", d="later")
    say(system.parent / "registries.conf.d" / "3.txt", a="not read")
    say(user / "registries.conf.d" / "1.conf", d="user")
    found = {entry.prefix: entry.origin.location for entry in load(home).entries}
    assert found == {"a.org": "file", "b.org": "system", "c.org": "later", "d.org": "user"}

    say(user / "registries.conf", a="own")
    found = {entry.prefix: entry.origin.location for entry in load(home).entries}
    assert found == {"a.org": "own", "d.org": "user"}, "who has a file of their own is not told what the system's says"


def test_the_environment_names_the_file(home: Path, system: Path, tmp_path: Path) -> None:
    system.write_text('[[registry]]\nlocation="system.example"')
    named = tmp_path / "named.conf"
    named.write_text('[[registry]]\nlocation="named.example"')
    conf = load(home, CONTAINERS_REGISTRIES_CONF=str(named))
    assert [entry.prefix for entry in conf.entries] == ["named.example"]
    with pytest.raises(UsageError, match="there is no such file"):
        load(home, CONTAINERS_REGISTRIES_CONF=str(tmp_path / "none"))


def test_aliases_are_those_that_people_wrote(home: Path, system: Path) -> None:
    folder = system.parent / "registries.conf.d"
    system.write_text('[aliases]\n"app" = "ghcr.io/acme/app"\n"old" = "ghcr.io/acme/old"')
    (folder / "000-shortnames.conf").write_text('[aliases]\n"fedora" = "registry.fedoraproject.org/fedora"')
    (folder / "own.conf").write_text('[aliases]\n"old" = ""')
    assert load(home).aliases == {"app": ("ghcr.io/acme/app", str(system))}


def test_the_first_version_of_the_format(home: Path, system: Path) -> None:
    system.write_text("""
        [registries.search]
        registries = ["quay.io"]
        [registries.insecure]
        registries = ["a.example", "b.example"]
        [registries.block]
        registries = ["b.example"]
    """)
    entries = load(home).entries
    assert [(entry.prefix, entry.origin.insecure, entry.blocked) for entry in entries] == [
        ("a.example", True, False),
        ("b.example", True, True),
    ]


@pytest.mark.parametrize(
    "text, cause",
    [
        ("[[registry", "it is not TOML"),
        ("[registry]\nlocation = 'a'", "[[registry]] is not a list of tables"),
        ("[[registry]]", "neither prefix nor location"),
        ("[[registry]]\nprefix = 'a.example'", "'a.example' has no location"),
        ("[[registry]]\nlocation = 'https://a.example'", "is not HOST[:PORT][/PATH]"),
        ("[[registry]]\nlocation = 1", "location = 1 is not HOST"),
        ("[[registry]]\nprefix = '*.a/b'\nlocation = 'c'", "without port or path"),
        ("[[registry]]\nlocation = 'a'\ninsecure = 'yes'", "insecure = 'yes' is neither true nor false"),
        ("[[registry]]\nlocation = 'a'\n[[registry.mirror]]", "a mirror has no location"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'x'",
            "pull-from-mirror = 'x' is not possible",
        ),
        (
            "[[registry]]\nlocation='a'\nmirror-by-digest-only=true\n"
            "[[registry.mirror]]\nlocation='b'\npull-from-mirror='all'",
            "pull-from-mirror = 'all' is not possible",
        ),
        ("[aliases]\na = 1", "[aliases] is not a table of names"),
        ("[aliases]\na = 'x.example/a:1'", "is not REGISTRY/REPOSITORY"),
    ],
)
def test_what_podman_would_not_take_is_an_error(home: Path, system: Path, text: str, cause: str) -> None:
    system.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(home)
    assert str(system) in caught.value.message
    assert cause in (caught.value.cause or "")


@given(st.text(max_size=200))
def test_whatever_is_in_a_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("conf") / "registries.conf"
    file.write_bytes(f"[[registry]]\n{text}".encode("utf-8", "surrogatepass"))
    with contextlib.suppress(UsageError):
        load(file.parent, CONTAINERS_REGISTRIES_CONF=str(file))
