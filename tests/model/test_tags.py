"""Tags are chosen by globs and ordered as versions are, whatever a registry calls them."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.model.digest import Digest
from lading.model.tags import (
    TAG_ORDERS,
    choose,
    fallback_tag,
    highest,
    is_fallback,
    nearest,
    order,
    subject_of,
    version_key,
)


def test_the_registrys_order_is_kept() -> None:
    assert order(["b", "a", "10", "9"]) == ["b", "a", "10", "9"]
    assert order(iter(["b", "a"]), "registry") == ["b", "a"]


def test_by_name() -> None:
    assert order(["b", "10", "a", "9", "B"], "name") == ["10", "9", "B", "a", "b"]


def test_versions_in_order_of_precedence() -> None:
    # semver.org §11, with the leading `v` and the missing parts that tags have.
    ascending = [
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
    for shuffled in (ascending[::-1], sorted(ascending), sorted(ascending, key=len)):
        assert order(shuffled, "semver") == ascending


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
        ("nightly", "0.0.1-alpha"),
        ("1.2.3.4", "1.2.3.10"),
        ("1.2.3-rc1+b2", "1.2.3+b1"),
        ("1.2.3-rc1_b2", "1.2.3_b1"),
    ],
)
def test_precedence(less: str, more: str) -> None:
    assert version_key(less) < version_key(more)


def test_missing_parts_are_zero() -> None:
    assert [version_key(tag)[:-1] for tag in ("1", "1.0", "v1.0.0", "1+build")] == [version_key("1.0.0")[:-1]] * 4


_tags = st.sampled_from(["latest", "v", "1..2", "-1", "1-", "1.0-", "v1.0.0-a..b", "1.0.0--", "٣", "1.٣", "1-²", ""])
_versions = st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,2}){0,3}(-[0-9a-z.-]{1,6})?([+_][0-9a-z]{1,3})?", fullmatch=True)
_anything = _tags | _versions | st.text(max_size=8)


@settings(max_examples=200)
@given(st.lists(_anything, max_size=6))
def test_one_order_of_everything(tags: list[str]) -> None:
    ordered = order(tags, "semver")

    assert sorted(ordered) == sorted(tags)
    assert order(tags[::-1], "semver") == ordered
    for less, more in itertools.combinations(ordered, 2):
        assert version_key(less) < version_key(more) or less == more
    assert highest(tags, 100) == [tag for tag in ordered[::-1] if tag in highest([tag], 1)]


@settings(max_examples=80)
@given(
    st.lists(st.integers(0, 10**30), min_size=1, max_size=4), st.lists(st.integers(0, 10**30), min_size=1, max_size=4)
)
def test_numbers_compare_as_numbers(one: list[int], other: list[int]) -> None:
    length = max(len(one), len(other))
    padded = [numbers + [0] * (length - len(numbers)) for numbers in (one, other)]
    keys = [version_key(".".join(map(str, numbers)))[:-1] for numbers in (one, other)]

    assert (keys[0] < keys[1]) == (padded[0] < padded[1])
    assert (keys[0] == keys[1]) == (padded[0] == padded[1])


def test_numbers_of_any_length() -> None:
    # No specification of a registry forbids it to list these, and Python reads no integer of over 4300 digits.
    long, longer = "1" * 5000, "9" * 6000

    assert order([longer, long, "2", f"1-{longer}", f"1-{long}"], "semver") == [
        f"1-{long}",
        f"1-{longer}",
        "2",
        long,
        longer,
    ]
    assert version_key("0" * 5000 + "2")[:-1] == version_key("2")[:-1]


def test_only_ascii_digits_are_numbers() -> None:
    assert highest(["1.٣", "٣", "1.2"], 5) == ["1.2"]


def test_choose() -> None:
    tags = ["1.0", "1.1", "1.1-rc1", "latest", "Latest"]

    assert choose(tags) == tags
    assert choose(tags, ["1.*"]) == ["1.0", "1.1", "1.1-rc1"]
    assert choose(tags, ["1.*", "latest"], ["*-rc*"]) == ["1.0", "1.1", "latest"]
    assert choose(tags, exclude=["*"]) == []
    assert choose(tags, ["1.[!0]"]) == ["1.1"]
    assert choose(tags, ["l*"]) == ["latest"]
    assert choose(tags, ["["]) == []


def test_a_glob_with_many_stars_is_no_trap() -> None:
    started = time.process_time()
    assert choose(["a" * 128] * 100, ["*a" * 30 + "*b"]) == []
    assert time.process_time() - started < 2


def test_highest() -> None:
    assert highest(["latest", "1.9", "1.10", "2.0-rc1", "1"], 2) == ["2.0-rc1", "1.10"]
    assert highest(["latest"], 2) == []
    assert highest(["1"], 0) == []


def test_nearest() -> None:
    assert nearest("3.2O", ["3.19", "3.20", "latest"])[0] == "3.20"
    assert nearest("lates", ["latest", "edge"]) == ["latest"]
    assert nearest("lates", []) == []
    assert nearest("", ["a"]) == []
    assert len(nearest("1.0", [f"1.{n}" for n in range(50)], 4)) == 4


def test_nearest_among_many() -> None:
    started = time.process_time()
    assert nearest("main-4f5e6d7c8b9b", [f"main-{n * 7919:012x}" for n in range(5000)])
    assert time.process_time() - started < 5


def test_the_orders_have_names() -> None:
    assert TAG_ORDERS == ("registry", "name", "semver")


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_tags_made_of_a_digest(algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)
    tag = fallback_tag(digest)
    assert tag == f"{algorithm}-{digest.hex[:64]}"
    assert is_fallback(tag)
    signature = f"{algorithm}-{digest.hex}.sig"
    assert subject_of(signature) == digest
    for other in (signature, "latest", "sha256-1234", f"{tag[:-1]}g"):
        assert not is_fallback(other)
    assert subject_of("sha256-1234.sig") is None
