"""Mirror files: what they say, in TOML and in YAML, and what is said of one that is wrong, with its line and column."""

import pickle
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import UsageError
from lading.mirror.config import Amount, Duration, MirrorFile, Newest, OnMove
from lading.mirror.file import parse_mirror_file, read_mirror_file
from lading.mirror.positions import locate

WHOLE = """\
[defaults]
schedule = "0 */6 * * 1-5"
jitter = "5m"
referrers = ["application/vnd.dev.sigstore.bundle.v0.3+json"]
digest-tags = true
immutable = ["semver:*"]

[hosts."docker.io"]
jobs = 4
requests-per-second = 5
keep-pulls = 20

[[mirror]]
name = "alpine"
from = "docker.io/library/alpine"
to = ["registry.example/hub/alpine", "oci:/srv/mirror"]
tags = ["semver:>=3.19", "latest", "!re:.*-rc.*"]
newest = { count = 3, by = "semver", per = "minor" }
newer-than = "1d12h"
platforms = ["linux/amd64", "linux/arm64"]
verify = { key = "cosign.pub" }
on-move = "backup:bk-{tag}"

[mirror.prune]
vanished = "7d"
keep = ["latest"]

[[mirror.retain]]
match = ["ci-*"]
newest = 10
newer-than = "30d"

[[mirror]]
from = "ghcr.io/acme/**"
to = "registry.example"
every = "6h"
referrers = false
"""
YAML = """\
defaults: &all
  schedule: 0 */6 * * 1-5
  jitter: 5m
  referrers: [application/vnd.dev.sigstore.bundle.v0.3+json]
  digest-tags: true
  immutable: ["semver:*"]
hosts:
  docker.io: {jobs: 4, requests-per-second: 5, keep-pulls: 20}
mirror:
  - name: alpine
    from: docker.io/library/alpine
    to: [registry.example/hub/alpine, "oci:/srv/mirror"]
    tags: ["semver:>=3.19", latest, "!re:.*-rc.*"]
    newest: {count: 3, by: semver, per: minor}
    newer-than: 1d12h
    platforms: [linux/amd64, linux/arm64]
    verify: {key: cosign.pub}
    on-move: backup:bk-{tag}
    prune: {vanished: 7d, keep: [latest]}
    retain:
      - {match: [ci-*], newest: 10, newer-than: 30d}
  - from: ghcr.io/acme/**
    to: registry.example
    every: 6h
    referrers: false
"""
ONE = '[[mirror]]\nfrom = "alpine"\nto = "reg.example/alpine"\n'


def read(text: str, **more: Any) -> MirrorFile:
    return parse_mirror_file(text, "mirror.toml", **more)


def test_all_that_a_file_may_say() -> None:
    file = read(WHOLE)
    alpine, acme = file.settled()

    assert alpine.schedule == "0 */6 * * 1-5"
    assert alpine.jitter == timedelta(minutes=5)
    assert alpine.referrers == ("application/vnd.dev.sigstore.bundle.v0.3+json",)
    assert alpine.newest == Newest(count=3, by="semver", per="minor")
    assert alpine.newer_than == timedelta(days=1, hours=12)
    assert alpine.on_move is not None
    assert alpine.on_move == OnMove("backup:bk-{tag}")
    assert alpine.on_move.action == "backup"
    assert alpine.on_move.backup_tag("1.0") == "bk-1.0"
    assert alpine.prune is not None
    assert alpine.prune.owned_only
    assert (alpine.prune.max.of(45), Amount("7").of(45)) == (4, 7)
    assert alpine.retain[0].newest == 10
    assert (acme.name, acme.schedule, acme.every, acme.referrers) == (
        "ghcr.io/acme/**",
        None,
        timedelta(hours=6),
        False,
    )
    assert (acme.digest_tags, acme.jitter) == (True, timedelta(minutes=5))
    assert (file.hosts["docker.io"].jobs, file.hosts["docker.io"].keep_pulls) == (4, 20)
    assert pickle.loads(pickle.dumps(file)) == file


def test_yaml_has_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "mirror.yml").write_text(YAML)
    (tmp_path / "mirror.toml").write_text("\ufeff" + WHOLE.replace("\n", "\r\n"))

    assert read_mirror_file(tmp_path / "mirror.yml") == read_mirror_file(str(tmp_path / "mirror.toml")) == read(WHOLE)


def test_texts_in_yaml_stay_texts_and_keys_come_from_elsewhere() -> None:
    text = "mirror:\n- &one {from: alpine, to: reg.example/a, tags: [1.10, 010, yes]}\n- {<<: *one, name: b}\n"
    first, second = read(text, is_yaml=True).mirror

    assert first.tags == ("1.10", "010", "yes")
    assert (second.source, second.tags, second.name) == ("alpine", first.tags, "b")


@pytest.mark.parametrize(
    "change, line, column, cause, remedy",
    [
        ("tagz = 1", 4, 1, "there is no key 'tagz' here", "did you mean 'tags'?"),
        ("newer_than = '9d'", 4, 1, "there is no key 'newer_than' here", "did you mean 'newer-than'?"),
        ("newest = {count = 3, pre = 'minor'}", 4, 22, "there is no key 'pre' here", "did you mean 'per'?"),
        ("newest = {per = 'minor'}", 4, 1, "the key 'count' is missing", None),
        ("newest = {count = 1, per = ['minor', 'mayor']}", 4, 38, "'mayor' is none of", "did you mean 'major'?"),
        ("newest = {count = 1, by = 'age'}", 4, 22, "'age' is none of created, name, semver", None),
        ("newest = 0", 4, 1, "expected at least 1", None),
        ("newest = 'all'", 4, 1, "expected a whole number or a table, and found a text", None),
        ("newer-than = 90", 4, 1, "90 is no length of time", None),
        ("newer-than = '3 days'", 4, 1, "'3 days' is no length of time", None),
        ("newer-than = '999999999w'", 4, 1, "longer than can be counted", None),
        ("tags = ['a', 're:(']", 4, 14, "is not a regular expression", None),
        ("tags = 'semver:new'", 4, 1, "is not a range of versions", None),
        ("immutable = ['']", 4, 14, "an empty pattern", None),
        ("platforms = 'linux'", 4, 1, "linux", None),
        ("platforms = []", 4, 1, "nothing is left", None),
        ("sparse = true", 4, 1, "'platforms' leaves some out", None),
        ("schedule = '60 * * * *'", 4, 1, "'60 * * * *' is no schedule", "it has minute, hour"),
        ("schedule = '*/0 * * * *'", 4, 1, "is no schedule", None),
        ("schedule = '@hourly'\nevery = '6h'", 5, 1, "one is enough", None),
        ("every = '0s'", 4, 1, "more than no time", None),
        ("on-move = 'backup'", 4, 1, "'backup' is none of replace, keep, fail and backup:TEMPLATE", None),
        ("on-move = 'backup:{tag}'", 4, 1, "is none of", None),
        ("verify = {}", 4, 1, "verified by a 'key', or by", None),
        ("verify = {identity = 'a'}", 4, 1, "said together", None),
        ("prune = {max = '101%'}", 4, 10, "'101%' is no amount", None),
        ("prune = {max = true}", 4, 10, "True is no amount", None),
        ("prune = {keep = '['}\nretain = [{match = 'a'}]", 5, 11, "which tags stay", "add 'newest' or 'newer-than'"),
        ("retain = [{match = [], newest = 1}]", 4, 12, "it names no tags", None),
        ("retain = {match = 'a'}", 4, 1, "expected a list, and found a table", None),
        ("[hosts.'reg.example']\njob = 1", 5, 1, "there is no key 'job' here", "did you mean 'jobs'?"),
        ("[hosts.a]\n[hosts.b]\njobs = 'x'", 6, 1, "expected a whole number, and found a text", None),
        ("[hosts.a]\nrequests-per-second = 0", 5, 1, "expected more than 0", None),
        ("[hosts.'a/b']\njobs = 1", 4, 2, "'a/b' is no host", None),
        ("[hosts]\na = 1", 5, 1, "expected a table, and found 1", None),
        ("[[mirror]]\nfrom = 'alpine'\nto = 'reg.example/b'", 5, 1, "two mirrors are called 'alpine'", None),
        ("[[mirror]]\nfrom = 'b'", 4, 3, "the key 'to' is missing", None),
        ("[[mirror]]\nfrom = 'b:1'\nto = 'reg.example/b'\ntags = 'a'", 7, 1, "b:1 is one tag", None),
        ("[[mirror]]\nfrom = 'b'\nto = ['reg.example/b', 'reg.example/b:1']", 6, 24, "may have many", None),
        ("[[mirror]]\nfrom = 'b'\nto = 'docker.io/library/b'", 6, 1, "is where it comes from", None),
        ("[[mirror]]\nfrom = 'b'\nto = []", 6, 1, "it names no place", None),
        ("[[mirror]]\nfrom = 'a b'\nto = 'c'", 5, 1, "'a b' is not a reference", None),
        ("[[mirror]]\nfrom = 'oci:b/**'\nto = 'reg.example/c'", 5, 1, "only registries have", None),
        (f"[[mirror]]\nfrom = 'b'\nto = 'reg.example/c@sha256:{'0' * 64}'", 6, 1, "has a digest", None),
        ("tags = [", 5, 1, "this is no TOML: ", None),
        ("tags = 'a'\ntags = 'b'", 5, 11, "this is no TOML: ", None),
        ("[default]\n", 4, 2, "there is no key 'default' here", "did you mean 'defaults'?"),
    ],
)
def test_what_is_wrong(change: str, line: int, column: int, cause: str, remedy: str | None) -> None:
    with pytest.raises(UsageError) as error:
        read(f"{ONE}{change}\n")

    assert error.value.message == "mirror.toml is not a valid mirror file"
    assert error.value.code == "invalid-mirror-file"
    assert error.value.fields == {"file": "mirror.toml", "line": line, "column": column}
    assert str(error.value.cause).startswith(f"line {line}, column {column}: ")
    assert cause in str(error.value.cause)
    assert (remedy or "") in (error.value.remedy or "")


@pytest.mark.parametrize(
    "text, place, cause",
    [
        ("mirror:\n- from: a\n  to: r.example/a\n  tagz: b\n", (4, 3), "there is no key 'tagz' here"),
        ("mirror:\n- from: a\n  to: r.example/a\n  tags: [a, 're:(']\n", (4, 13), "is not a regular expression"),
        ("mirror:\n- {from: a, to: r.example/a, from: b}\n", (2, 30), "the key 'from' is there twice"),
        ("mirror:\n- {from: a\n", (3, 1), "this is no YAML"),
        ("mirror:\n- {<<: a}\n", (2, 8), "'<<' takes a mapping"),
        ("mirror:\n- {[a]: b}\n", (2, 4), "a key has to be a text"),
        ('mirror: "\\ud83d"', (1, 9), "half of a character"),
        ('"\\ud83d": a', (1, 1), "half of a character"),
        ("mirror: &a\n- *a\n", None, "it is nested too deeply"),
        ("mirror: \x00", None, "this is no YAML"),
        ("", None, "mirrors nothing"),
        ("- a", None, "it is no table of keys"),
        ("mirror: " + "[" * 3000, None, "it is nested too deeply"),
        (
            "".join(f"x{at}: &x{at} [{', '.join([f'*x{at - 1}'] * 9 if at else 'a')}]\n" for at in range(9)),
            None,
            "values",
        ),
    ],
)
def test_what_is_wrong_in_yaml(text: str, place: tuple[int, int] | None, cause: str) -> None:
    with pytest.raises(UsageError) as error:
        read(text, is_yaml=True)
    line, column = place or (None, None)
    assert error.value.fields == {"file": "mirror.toml", "line": line, "column": column}
    assert cause in str(error.value.cause)


@pytest.mark.parametrize("content", [b"\xff", b"# " + b"x" * 1024 * 1024, b"a = " + b"[" * 3000, b""])
def test_files_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mirror.toml").write_bytes(content)
    for path in (tmp_path / "mirror.toml", tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="is not a valid mirror file"):
            read_mirror_file(path)


def test_schedules() -> None:
    for schedule in ("*/5 0-6,22 1 * 7", "@daily", "5/10 * * * *"):
        read(f"[defaults]\nschedule = '{schedule}'\n{ONE}")
    with pytest.raises(UsageError):
        read(f"[defaults]\nschedule = '5-1 * * * *'\n{ONE}")


def test_lengths_of_time() -> None:
    assert Duration.read("1w2d3h4m5s") == timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)


keys = st.text("ab-_1", min_size=1, max_size=3)
texts = st.text(st.sampled_from("ab #[]{}=,.'\"\\\n\tä"), max_size=6)
values = st.recursive(
    texts | st.integers(0, 99) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | texts, inner, max_size=3),
    max_leaves=12,
)


def quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(one, one) for one in text) + '"'


def written(value: Any) -> str:
    if isinstance(value, str):
        is_plain = "'" not in value and "\n" not in value and "\t" not in value
        return f"'{value}'" if is_plain else quoted(value)
    if isinstance(value, list):
        return "[ # a ] comment\n" + "".join(f"  {written(one)} ,\n" for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {written(one)}" for key, one in value.items()) + "}"
    return str(value).lower()


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in pairs for found in ((*path, key), *paths(one, (*path, key)))]


@given(st.dictionaries(keys, values, max_size=3), st.dictionaries(keys, st.dictionaries(keys, values), max_size=3))
def test_every_key_and_value_is_found_where_it_is(top: dict[str, Any], tables: dict[str, Any]) -> None:
    tables = {key: value for key, value in tables.items() if key not in top}
    text = "".join(f"{key} = {written(value)} # 'x\n" for key, value in top.items())
    for name, table in tables.items():
        pairs = "".join(f"  {key}={written(value)}\n" for key, value in table.items())
        text += f"\n[ {name} ]\n{pairs}"
    document = tomllib.loads(text)
    assert document == top | tables

    lines = text.split("\n")
    for path in paths(document):
        place = locate(text, path)
        assert place is not None
        rest = lines[place[0] - 1][place[1] - 1 :]
        if isinstance(path[-1], int):
            value: Any = document
            for key in path:
                value = value[key]
            assert rest.startswith(written(value).split("\n")[0])
        else:
            assert re.match(re.escape(path[-1]) + r"|" + re.escape(quoted(path[-1])), rest)


def test_of_what_is_not_there_the_nearest_around_it() -> None:
    assert locate("[a.b]\nc = 1\n[[a.d]]\n[[a.d]]\ne.f = '''\n'''", ("a", "d", 1, "e", "f", "g")) == (5, 1)
    assert locate('x = """\n"a"""" # \n"y\\u0061" = 1979-05-27 07:32:00', ("ya",)) == (3, 1)
    assert locate("a = 1", ("b",)) is None
