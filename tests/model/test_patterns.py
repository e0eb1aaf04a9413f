"""Patterns say which names are meant: the same for every list of names."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidPattern, UsageError
from lading.model.patterns import TagOrder, choose, listed, matcher
from lading.model.version import Version
from model.strategies import anything, versions

TAGS = ["latest", "1", "1.2", "1.2.0", "1.2.3", "v1.3.0", "1.3.0-rc.1", "1.10.0", "2.0.0", "2.1", "10.0.0", "nightly-1"]


@pytest.mark.parametrize(
    "pattern, chosen",
    [
        ("1.2*", ["1.2", "1.2.0", "1.2.3"]),
        ("re:v?1\\.[0-9]+", ["1.2"]),
        ("re:night.*", ["nightly-1"]),
        ("semver:>=1.2 <2", ["1.2", "1.2.0", "1.2.3", "v1.3.0", "1.10.0"]),
        ("semver:>=1.2,<1.3", ["1.2", "1.2.0", "1.2.3"]),
        ("semver:^1.2.1", ["1.2.3", "v1.3.0", "1.10.0"]),
        ("semver:~1.2", ["1.2", "1.2.0", "1.2.3"]),
        ("semver:1.2.x", ["1.2", "1.2.0", "1.2.3"]),
        ("semver:1.2.3", ["1.2.3"]),
        ("semver:>=1.3.0-rc.0 <1.4", ["v1.3.0", "1.3.0-rc.1"]),
        ("semver:<=1", ["1", "1.2", "1.2.0", "1.2.3", "v1.3.0", "1.10.0"]),
        ("semver:>2", ["10.0.0"]),
        ("semver:2.x || 10", ["2.0.0", "2.1", "10.0.0"]),
        ("semver:*", ["1", "1.2", "1.2.0", "1.2.3", "v1.3.0", "1.10.0", "2.0.0", "2.1", "10.0.0"]),
    ],
)
def test_a_pattern_takes(pattern: str, chosen: list[str]) -> None:
    assert choose(TAGS, [pattern]) == chosen
    assert choose(TAGS, pattern) == chosen
    assert choose(TAGS, exclude=[pattern]) == [tag for tag in TAGS if tag not in chosen]


@pytest.mark.parametrize(
    "pattern, chosen",
    [
        ("semver:*", ["1.2.3.4", "2024.01.01.5"]),
        ("semver:>2000", ["2024.01.01.5"]),
        ("semver:^2024.1.1", ["2024.01.01.5"]),
        ("semver:1.2.3", []),
        ("semver:1.2.3.4", ["1.2.3.4"]),
        ("semver:1.2.3.x", ["1.2.3.4"]),
        ("semver:~1.2.3.4", ["1.2.3.4"]),
    ],
)
def test_versions_of_four_numbers(pattern: str, chosen: list[str]) -> None:
    assert choose(["1.2.3.4", "2024.01.01.5", "1.2.3.4-rc1"], pattern) == chosen


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "re:(",
        "re:a{99999999999}",
        "semver:",
        "semver:new",
        "semver:>=",
        "semver:1 ||",
        "semver:1.٣",
        "semver:1a",
        f"semver:{'9' * 500}",
        f"semver:{'9' * 5000}",
        f"semver:>{'9' * 128}",
    ],
)
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    with pytest.raises(UsageError) as error:
        choose([], [pattern])
    assert len(str(error.value)) < 1000


def test_globs() -> None:
    tags = ["1.0", "1.1", "1.1-rc1", "latest", "Latest"]

    assert choose(tags) == tags
    assert choose(tags, ["1.*"]) == ["1.0", "1.1", "1.1-rc1"]
    assert choose(tags, ["1.*", "latest"], ["*-rc*"]) == ["1.0", "1.1", "latest"]
    assert choose(tags, exclude=["*"]) == []
    assert choose(tags, ["1.[!0]"]) == ["1.1"]
    assert choose(tags, ["l*"]) == ["latest"]
    assert choose(tags, ["["]) == []


def test_names_with_a_colon_have_globs_too() -> None:
    # In container engines and Docker archives names are whole references.
    assert choose(["nginx:1.27", "redis:7"], ["nginx:*"]) == ["nginx:1.27"]


def test_a_glob_with_many_stars_is_no_trap() -> None:
    started = time.process_time()
    assert choose(["a" * 128] * 100, ["*a" * 30 + "*b"]) == []
    assert time.process_time() - started < 2


_SIGNS = {
    ">=": Version.__ge__,
    "<=": Version.__le__,
    ">": Version.__gt__,
    "<": Version.__lt__,
    "=": Version.__eq__,
}


@given(
    versions,
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2}){2,3}(-[0-9a-z]{1,3})?", fullmatch=True),
    st.sampled_from(sorted(_SIGNS)),
)
def test_ranges_and_the_order_agree(tag: str, limit: str, sign: str) -> None:
    version, bound = Version.parse(tag), Version.parse(limit)
    is_offered = not version.suffix or bool(bound.suffix)

    assert matcher(f"semver:{sign}{limit}")(tag) == (is_offered and _SIGNS[sign](version, bound))
    assert matcher(f"semver:{sign} v{limit}")(tag) == (is_offered and _SIGNS[sign](version, bound))


@given(anything)
def test_every_version_and_nothing_else_is_a_version(tag: str) -> None:
    version = Version.from_tag(tag)
    assert matcher("semver:*")(tag) == (version is not None and not version.suffix)
    assert matcher("semver:>=0-0")(tag) == (version is not None and version >= Version.parse("0-0"))


@given(versions, st.lists(st.integers(0, 99), min_size=1, max_size=3))
def test_what_begins_so_is_one_stretch_of_the_order(tag: str, start: list[int]) -> None:
    version = Version.parse(tag)
    begins = ".".join(map(str, start))
    padded = (*version.numbers, 0, 0, 0)[: len(start)]

    assert matcher(f"semver:{begins}.x")(tag) == (not version.suffix and list(padded) == start)


def test_the_registrys_order_is_kept() -> None:
    assert listed(["b", "a", "10", "9"]) == ["b", "a", "10", "9"]
    assert listed(iter(["b", "a"]), sort="registry") == ["b", "a"]


def test_by_name() -> None:
    assert listed(["b", "10", "a", "9", "B"], sort="name") == ["10", "9", "B", "a", "b"]


def test_by_version() -> None:
    assert listed(["2.0", "edge", "1.10", "1.9"], sort="semver", exclude="2*") == ["edge", "1.9", "1.10"]


def test_the_latest() -> None:
    assert listed(TAGS, latest=2) == ["10.0.0", "2.1"]
    assert listed(TAGS, sort="semver", latest=2, include="semver:<2") == ["1.10.0", "v1.3.0"]


@pytest.mark.parametrize("sort, latest", [("name", 1), ("registry", 1), (None, 0), ("semver", -1), ("age", None)])
def test_what_does_not_go_together(sort: TagOrder | None, latest: int | None) -> None:
    with pytest.raises(UsageError):
        listed(TAGS, sort=sort, latest=latest)


def test_a_pattern_that_cannot_be_read_has_a_kind_of_its_own() -> None:
    with pytest.raises(InvalidPattern):
        listed([], include="re:(")
