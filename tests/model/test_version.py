"""A tag that is a version says what its numbers are, and versions are ordered as semver.org §11 has it."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidVersion, UsageError
from lading.model.version import Version, ascending, highest
from model.strategies import anything, versions


@pytest.mark.parametrize(
    "text, numbers, suffix, build",
    [
        ("1", (1,), "", ""),
        ("v1.2.3-rc.1", (1, 2, 3), "rc.1", ""),
        ("3.18-alpine", (3, 18), "alpine", ""),
        ("2024.01.01.5", (2024, 1, 1, 5), "", ""),
        ("1.2.3-rc1+b-2", (1, 2, 3), "rc1", "b-2"),
        ("1.2.3_b.2_c", (1, 2, 3), "", "b.2_c"),
        ("20240101", (20240101,), "", ""),
        ("1.0--", (1, 0), "-", ""),
    ],
)
def test_what_a_version_says(text: str, numbers: tuple[int, ...], suffix: str, build: str) -> None:
    version = Version.parse(text)

    assert (version.numbers, version.suffix, version.build) == (numbers, suffix, build)
    assert (version.major, version.minor, version.patch) == (*numbers, 0, 0)[:3]
    assert str(version) == text
    assert repr(version) == f"<Version {text}>"
    assert pickle.loads(pickle.dumps(version)) == version


@pytest.mark.parametrize(
    "text", ["latest", "", "v", "V1", "1..2", "-1", "1-", "1.", "1.2-", "1_", "1.٣", "٣", "1-²", " 1", "1\n", "1" * 129]
)
def test_what_is_no_version_says_so(text: str) -> None:
    assert Version.from_tag(text) is None
    with pytest.raises(InvalidVersion, match="is not a version") as error:
        Version.parse(text)
    assert isinstance(error.value, UsageError)
    assert "1.27" in (error.value.remedy or "")


def test_a_version_does_not_change() -> None:
    version = Version.parse("1.2")
    with pytest.raises(AttributeError):
        version.numbers = (2,)  # type: ignore[misc]


def test_other_things_are_not_compared() -> None:
    version = Version.parse("1.2")
    assert version != "1.2"
    with pytest.raises(TypeError):
        version < "1.3"  # type: ignore[operator]  # noqa: B015


@pytest.mark.parametrize(
    "less, more",
    [
        ("1.2.3-rc1", "1.2.3"),
        ("1.2.3-9", "1.2.3-10"),
        ("1.2.3-10", "1.2.3-a"),
        ("1.2.3-a", "1.2.3-a.1"),
        ("1.9", "1.10"),
        ("v1.9", "1.10"),
        ("1.2.3", "1.2.4-rc1"),
        ("1.2.3.4", "1.2.3.10"),
        ("2023.12.31.9", "2024.01.01.5"),
        ("1.2.3-rc1+b2", "1.2.3+b1"),
        ("1.2.3-rc1_b2", "1.2.3_b1"),
    ],
)
def test_precedence(less: str, more: str) -> None:
    lower, higher = Version.parse(less), Version.parse(more)
    assert lower < higher
    assert lower <= higher
    assert higher > lower
    assert higher >= lower
    assert lower != higher


def test_what_does_not_count() -> None:
    for text in ("1", "1.0", "v1.0.0", "01", "1+build", "1_other", "1.0.0.0"):
        assert Version.parse(text) == Version.parse("1.0.0")
        assert hash(Version.parse(text)) == hash(Version.parse("1.0.0"))


@given(versions, versions, versions)
def test_a_total_order(first: str, second: str, third: str) -> None:
    a, b, c = (Version.parse(text) for text in (first, second, third))

    assert (a < b) + (a == b) + (a > b) == 1
    assert (a <= b) == (a < b or a == b)
    assert (a >= b) == (a > b or a == b)
    assert (a < b) == (b > a)
    assert hash(a) == hash(b) or a != b
    if a <= b <= c:
        assert a <= c
    assert min(a, b) <= max(a, b)


@given(versions)
def test_a_round_trip(text: str) -> None:
    version = Version.parse(text)
    assert str(version) == text
    assert Version.parse(str(version)).numbers == version.numbers


@given(st.lists(anything, max_size=6))
def test_one_order_of_all_tags(tags: list[str]) -> None:
    ordered = ascending(tags)

    assert sorted(ordered) == sorted(tags)
    assert ascending(tags[::-1]) == ordered
    found = [Version.from_tag(tag) for tag in ordered]
    whole = [version for version in found if version is not None]
    assert found == [None] * (len(found) - len(whole)) + whole
    assert whole == sorted(whole)
    assert highest(tags, 100) == [str(version) for version in whole[::-1]]


@given(
    st.lists(st.integers(0, 10**30), min_size=1, max_size=4), st.lists(st.integers(0, 10**30), min_size=1, max_size=4)
)
def test_numbers_compare_as_numbers(one: list[int], other: list[int]) -> None:
    length = max(len(one), len(other))
    padded = [numbers + [0] * (length - len(numbers)) for numbers in (one, other)]
    a, b = (Version.parse(".".join(map(str, numbers))) for numbers in (one, other))

    assert (a < b) == (padded[0] < padded[1])
    assert (a == b) == (padded[0] == padded[1])


def test_in_order_of_precedence() -> None:
    # semver.org §11, with the leading `v` and the missing parts that tags have.
    expected = [
        "edge",
        "latest",
        "0.9",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "v1.0.1",
        "1.1-rc1",
        "1.1",
        "v1.2",
        "1.10",
        "2",
        "10.0.0",
        "20240101",
    ]
    for shuffled in (expected[::-1], sorted(expected), sorted(expected, key=len)):
        assert ascending(shuffled) == expected


def test_no_tag_is_too_long_to_be_ordered() -> None:
    # Registries list what no specification allows, and Python reads no integer of over 4300 digits.
    assert ascending(["9" * 6000, "2", "1" * 5000, f"1-{'1' * 5000}"]) == [
        f"1-{'1' * 5000}",
        "1" * 5000,
        "9" * 6000,
        "2",
    ]
    assert Version.parse("9" * 128) > Version.parse("1")


def test_highest() -> None:
    assert highest(["latest", "1.9", "1.10", "2.0-rc1", "1"], 2) == ["2.0-rc1", "1.10"]
    assert highest(["latest"], 2) == []
    assert highest(["1.٣", "٣", "1.2"], 5) == ["1.2"]
    assert highest(["1"], 0) == []
