"""Which tags a mirror takes and which a target keeps, by the rules of a mirror file, and what is said of each."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidPattern
from lading.mirror.config import Duration, Newest, Retain
from lading.mirror.rules import choose_tags, needs_times, retained

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALPINE = ["latest", "3.18", "3.18-alpine", "3.19", "3.19-alpine", "3.19-rc1", "3.19-slim", "3.20-alpine", "4.0-beta.2"]
DAY = timedelta(days=1)


def taken(tags: list[str], **rules: Any) -> list[str]:
    return [verdict.tag for verdict in choose_tags(tags, now=NOW, **rules) if verdict.is_taken]


@pytest.mark.parametrize(
    "patterns, chosen",
    [
        ((), ALPINE),
        ("semver:>=3.18", ["3.18", "3.19"]),
        ("semver:>=3.18-alpine", ["3.18-alpine", "3.19-alpine", "3.20-alpine"]),
        ("semver:>3.18-alpine <3.20", ["3.19-alpine"]),
        ("semver:3.x-alpine || 3.19-slim", ["3.18-alpine", "3.19-alpine", "3.19-slim", "3.20-alpine"]),
        ("semver:>=3.19-0", ["3.19", "3.19-rc1", "4.0-beta.2"]),
        (["semver:*", "latest"], ["latest", "3.18", "3.19"]),
        (["3.*", "!*-alpine", "!re:.*-rc[0-9]+"], ["3.18", "3.19", "3.19-slim"]),
        (["!*-*"], ["latest", "3.18", "3.19"]),
    ],
)
def test_patterns(patterns: list[str] | str, chosen: list[str]) -> None:
    assert taken(ALPINE, patterns=patterns) == chosen


@pytest.mark.parametrize("pattern", ["semver:>=3-alpine <4-slim", "semver:>=3-alpine <4-rc1", "!", "!re:(", ""])
def test_patterns_that_cannot_be_read(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        choose_tags([], patterns=[pattern])


VERSIONS = ["1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.1.1-alpine", "2.0.0-rc1", "2.0.0", "edge"]


@pytest.mark.parametrize(
    "newest, chosen",
    [
        (2, ["2.0.0-rc1", "2.0.0", "edge"]),
        (Newest(count=1, per="major"), ["1.1.1-alpine", "2.0.0", "edge"]),
        (Newest(count=1, per=("minor", "suffix")), ["1.0.1", "1.1.1", "1.1.1-alpine", "2.0.0", "edge"]),
        (Newest(count=1, per="suffix"), ["1.1.1-alpine", "2.0.0", "edge"]),
        (Newest(count=1, by="name"), ["edge"]),
        (Newest(count=1, by="name", per="major"), ["1.1.1-alpine", "2.0.0-rc1", "edge"]),
    ],
)
def test_the_newest(newest: int | Newest, chosen: list[str]) -> None:
    assert taken(VERSIONS, newest=newest) == chosen


def test_what_the_patterns_leave_out_is_not_counted_among_the_newest() -> None:
    assert taken(VERSIONS, patterns=["semver:<2"], newest=1) == ["1.1.1"]


def test_by_time() -> None:
    times = {"a": NOW - 5 * DAY, "b": NOW - DAY, "c": None, "d": NOW - 3 * DAY}

    assert taken(["a", "b", "c", "d", "e"], newest=Newest(count=2, by="created"), times=times) == ["b", "d"]
    assert taken(["a", "b", "c", "d", "e"], newer_than=4 * DAY, times=times) == ["b", "d"]
    assert taken(["a", "b", "c"], newest=1, newer_than=4 * DAY, times=times) == ["b"]


def test_times_are_asked_for_only_where_they_decide() -> None:
    assert needs_times(VERSIONS, newest=3) == []
    assert needs_times(VERSIONS, patterns="1.0.*", newest=Newest(count=1, by="created")) == ["1.0.0", "1.0.1"]
    assert needs_times(VERSIONS, newest=1, newer_than=DAY) == ["2.0.0", "edge"]


def test_each_tag_has_its_reason() -> None:
    tags = ["1.0", "1.1", "1.1-alpine", "1.2-rc1", "old", "edge"]
    verdicts = choose_tags(
        tags,
        patterns=["semver:*", "old", "edge", "!*-rc*"],
        newest=1,
        newer_than=30 * DAY,
        times={"1.1": NOW, "old": NOW - 40 * DAY},
        now=NOW,
    )

    assert {verdict.tag: (verdict.is_taken, verdict.rule, verdict.because) for verdict in verdicts} == {
        "1.0": (False, "newest", "is number 2 of 2 by semver, and the first 1 count"),
        "1.1": (True, "tags", "is matched by 'semver:*'"),
        "1.1-alpine": (False, None, "is matched by no pattern"),
        "1.2-rc1": (False, "tags", "is left out by '!*-rc*'"),
        "old": (False, "newer-than", "was made at 2026-04-22T00:00:00+00:00, before the last 30 days, 0:00:00"),
        "edge": (False, "newer-than", "does not say when it was made"),
    }


def test_what_is_newer_needs_the_present_time() -> None:
    with pytest.raises(ValueError, match="present time"):
        choose_tags(["a"], newer_than=DAY)


def stays(tags: list[str], *rules: Retain, **more: Any) -> list[str]:
    return [verdict.tag for verdict in retained(tags, rules, now=NOW, **more) if verdict.is_taken]


def test_a_target_keeps_what_no_rule_names() -> None:
    times = {"ci-1": NOW - 3 * DAY, "ci-2": NOW - 2 * DAY, "ci-3": NOW - DAY}
    tags = ["ci-1", "ci-2", "ci-3", "ci-x", "1.0"]

    assert stays(tags) == tags
    assert stays(tags, Retain(match="ci-*", newest=1), times=times) == ["ci-3", "ci-x", "1.0"]
    assert stays(tags, Retain(match="ci-*", newest=1), times=times, keep="ci-1") == ["ci-1", "ci-3", "ci-x", "1.0"]
    assert stays(tags, Retain(match=("ci-*", "!ci-1"), newest=1), times=times) == ["ci-1", "ci-3", "ci-x", "1.0"]


def test_within_a_rule_all_has_to_hold_and_of_several_rules_one() -> None:
    times = {f"ci-{age}": NOW - age * DAY for age in range(1, 6)}
    strict = Retain(match="ci-*", newest=3, newer_than=Duration(days=2))

    assert stays(list(times), strict, times=times) == ["ci-1", "ci-2"]
    assert stays(list(times), strict, Retain(match="ci-[45]", newest=1), times=times) == ["ci-1", "ci-2", "ci-4"]
    reasons = {verdict.tag: verdict for verdict in retained(times, [strict], keep=["ci-5"], times=times, now=NOW)}
    assert reasons["ci-4"].because == "is number 4 of 5 by created, and the first 3 count"
    assert reasons["ci-3"].rule == "newer-than"
    assert reasons["ci-5"].rule == "keep"


FAMILIES = ["", "alpine", "slim-bookworm", "debian-12-r3"]
EARLY = ["", "rc1", "beta.2", "m3", "SNAPSHOT", "0", "nightly-20240101"]
numbers = st.tuples(st.integers(0, 2), st.integers(0, 3))
parts = st.tuples(numbers, st.sampled_from(EARLY), st.sampled_from(FAMILIES))


def written(part: tuple[tuple[int, int], str, str]) -> str:
    (major, minor), early, family = part
    return "-".join(filter(None, [f"{major}.{minor}", early, family]))


@given(st.lists(parts, unique=True), numbers, st.sampled_from(FAMILIES))
def test_a_range_takes_the_releases_of_its_family_and_nothing_else(
    made: list[Any], least: tuple[int, int], family: str
) -> None:
    wanted = [written(part) for part in made if part[0] >= least and part[1] == "" and part[2] == family]

    assert taken([written(part) for part in made], patterns=f"semver:>={written((least, '', family))}") == wanted


@given(st.lists(parts, unique=True), st.sampled_from(FAMILIES))
def test_a_range_with_a_pre_release_takes_those_of_its_family(made: list[Any], family: str) -> None:
    wanted = [written(part) for part in made if part[2] == family]

    assert taken([written(part) for part in made], patterns=f"semver:>={written(((0, 0), '0', family))}") == wanted


@given(
    st.lists(numbers, unique=True),
    st.integers(1, 3),
    st.sampled_from(["major", "minor", "suffix"]),
    st.sampled_from(FAMILIES),
)
def test_the_newest_of_each_group(
    made: list[tuple[int, int]], count: int, per: Literal["major", "minor", "suffix"], family: str
) -> None:
    same = {"major": 1, "minor": 2, "suffix": 0}[per]
    higher = {one: [other for other in made if other > one and other[:same] == one[:same]] for one in made}
    wanted = [written((one, "", family)) for one in made if len(higher[one]) < count]

    tags = [written((one, "", family)) for one in made]
    assert taken(tags, newest=Newest(count=count, per=per)) == wanted


ages = st.dictionaries(st.from_regex(r"[ab]-[0-9]{1,2}", fullmatch=True), st.none() | st.integers(0, 9))
rules = st.lists(
    st.tuples(st.sampled_from(["a-*", "b-*", "*", "*1"]), st.integers(1, 3) | st.none(), st.integers(0, 9))
)


@given(ages, rules)
def test_a_target_keeps_what_the_model_keeps(made: dict[str, int | None], said: list[Any]) -> None:
    def holds(tag: str, glob: str, count: int | None, days: int) -> bool:
        age = made[tag]
        matched = [other for other in made if re.fullmatch(glob.replace("*", ".*"), other)]
        if age is None:
            return True
        younger = [one for one in matched if (at := made[one]) is not None and (-at, one) > (-age, tag)]
        return age <= days and (count is None or len(younger) < count)

    wanted = []
    for tag in made:
        naming = [rule for rule in said if re.fullmatch(rule[0].replace("*", ".*"), tag)]
        if not naming or any(holds(tag, *rule) for rule in naming):
            wanted.append(tag)
    times = {tag: None if age is None else NOW - age * DAY for tag, age in made.items()}
    tables = [Retain(match=glob, newest=count, newer_than=Duration(days=days)) for glob, count, days in said]
    assert stays(list(made), *tables, times=times) == wanted
