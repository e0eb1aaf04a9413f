"""When the turn of a mirror comes."""

from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import UsageError
from lading.mirror.schedule import Schedule

NOON = datetime(2026, 6, 3, 12, 0, tzinfo=UTC)  # a Wednesday
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    "schedule, turn",
    [
        ("* * * * *", (2026, 6, 3, 12, 1)),
        ("*/20 * * * *", (2026, 6, 3, 12, 20)),
        ("5/20 * * * *", (2026, 6, 3, 12, 5)),
        ("0 */6 * * *", (2026, 6, 3, 18, 0)),
        ("0 12 * * *", (2026, 6, 4, 12, 0)),
        ("30 11 * * *", (2026, 6, 4, 11, 30)),
        ("0 0 1 * *", (2026, 7, 1, 0, 0)),
        ("0 0 31 * *", (2026, 7, 31, 0, 0)),
        ("0 0 * * 7", (2026, 6, 7, 0, 0)),
        ("0 0 * * 0", (2026, 6, 7, 0, 0)),
        ("0 0 * * 5-7", (2026, 6, 5, 0, 0)),
        ("0 0 10 * 5", (2026, 6, 5, 0, 0)),  # either of the two
        ("0 0 5-20/5 * 1", (2026, 6, 5, 0, 0)),
        ("0 0 */2 * 1", (2026, 6, 15, 0, 0)),  # both, where one of them counts every day or every other
        ("0 0 29 2 *", (2028, 2, 29, 0, 0)),
        ("15,45 8-9 * 1,12 *", (2026, 12, 1, 8, 15)),
        ("@hourly", (2026, 6, 3, 13, 0)),
        ("@daily", (2026, 6, 4, 0, 0)),
        ("@weekly", (2026, 6, 7, 0, 0)),
        ("@monthly", (2026, 7, 1, 0, 0)),
    ],
)
def test_next_turn(schedule: str, turn: tuple[int, int, int, int, int]) -> None:
    assert Schedule.parse(schedule).after(NOON, UTC) == datetime(*turn, tzinfo=UTC)


def numbers(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """A field of a schedule."""
    number = st.integers(lowest, highest)
    step = st.one_of(st.just(""), st.integers(1, 20).map("/{}".format))
    one = st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}"),
    )
    parts = st.lists(st.builds("{}{}".format, one, step), min_size=1, max_size=3)
    return parts.map(",".join)


def named(field: str, value: int, highest: int) -> bool:
    """Whether a field of a schedule has a number: told another way than in the code."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first == "*":
            first, last = "1" if highest == 31 else "0", str(highest)
        elif not last:
            last = str(highest) if step else first
        if int(first) <= value <= int(last) and (value - int(first)) % int(step or 1) == 0:
            return True
    return False


@given(
    st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 31), st.just("*"), numbers(0, 7)),
    st.integers(0, 6 * 366 * 86400).map(lambda seconds: NOON + timedelta(seconds=seconds)),
)
def test_the_next_turn_is_the_first_minute_that_every_field_has(fields: tuple[str, ...], moment: datetime) -> None:
    minute, hour, day, _, weekday = fields
    found = Schedule.parse(" ".join(fields)).after(moment, UTC)
    assert found is not None
    assert found > moment
    assert found.second == found.microsecond == 0

    def counts(at: datetime) -> bool:
        of_week = any(named(weekday, number, 7) for number in {at.isoweekday() % 7, at.isoweekday()})
        days = [named(day, at.day, 31), of_week]
        is_either = not day.startswith("*") and not weekday.startswith("*")
        return named(minute, at.minute, 59) and named(hour, at.hour, 23) and (any if is_either else all)(days)

    assert counts(found)
    at = moment.replace(second=0, microsecond=0) + MINUTE
    for _ in range(2000):  # a day and more
        if at == found:
            break
        assert not counts(at)
        at += MINUTE


class Summer(tzinfo):
    """A zone whose clocks go from 2 to 3 on the 29th of March, and from 3 to 2 on the 25th of October."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        wall = moment.replace(tzinfo=UTC)
        begins, ends = datetime(2026, 3, 29, 3, tzinfo=UTC), datetime(2026, 10, 25, 3, tzinfo=UTC)
        if wall.replace(minute=0, second=0, microsecond=0) == begins - HOUR:  # no such time
            return HOUR if not moment.fold else 2 * HOUR
        is_second = moment.fold and ends - HOUR <= wall < ends
        return 2 * HOUR if begins <= wall < ends and not is_second else HOUR

    def dst(self, moment: datetime | None) -> timedelta:
        return self.utcoffset(moment) - HOUR

    def tzname(self, moment: datetime | None) -> str:
        return "S"


def turns(schedule: str, moment: datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        turn = Schedule.parse(schedule).after(moment, Summer())
        assert turn is not None
        found.append(f"{turn:%d %H:%M}")
        moment = turn
    return found


def test_clocks_that_are_put_forward_and_back() -> None:
    before_march, before_october = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert turns("30 2 * * *", before_march, 3) == ["29 01:30", "30 00:30", "31 00:30"]
    assert turns("30 2 * * *", before_october, 3) == ["25 00:30", "26 01:30", "27 01:30"]
    hours = turns("0 * * * *", before_october, 18)
    assert hours == [f"24 {hour:02}:00" for hour in range(13, 24)] + [f"25 {hour:02}:00" for hour in range(7)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"),
        *("5-1 * * * *", "*/0 * * * *", "a * * * *", "1,,2 * * * *", "-1 * * * *", "@yearly", "*/x * * * *"),
        *("* * * jan *", "٣ * * * *"),
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(UsageError, match="is no schedule"):
        Schedule.parse(text)


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_a_time_that_never_comes(text: str) -> None:
    with pytest.raises(UsageError, match="never comes"):
        Schedule.parse(text)
