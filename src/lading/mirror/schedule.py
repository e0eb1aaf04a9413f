"""When a mirror's turn comes: the five fields of cron, in local time. Pure: it asks no clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

from lading.errors import UsageError

_NAMED = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FIELD = r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?"
_SUNDAYS = (0, 7)
_DAYS = 366 * 9
"""The 29th of February comes within so many days, in every century."""
_LEAP_YEAR = datetime(2000, 1, 1, tzinfo=UTC)


class Schedule(msgspec.Struct, frozen=True):
    """Minutes at which something begins.

    Where the clock is put forward over a minute, that minute's turn comes later by as much; where the clock is put
    back, a minute that comes twice counts once, unless every hour counts.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    """Of the month."""
    months: frozenset[int]
    weekdays: frozenset[int]
    """From Sunday, 0, on."""
    is_either: bool
    """Whether a day counts by either of its two fields: that is so where both are restricted."""

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read minute, hour, day of the month, month and weekday; or `@hourly`, `@daily`, `@weekly`, `@monthly`.

        Raises:
            UsageError: the text is no schedule, or its time never comes.
        """
        fields = _NAMED.get(text, text).split()
        found = [_numbers(field, *limits) for field, limits in zip(fields, _LIMITS, strict=False)]
        if len(fields) != len(_LIMITS) or not all(found):
            raise UsageError(
                f"{text!r} is no schedule",
                remedy="it has minute, hour, day of the month, month and day of the week, such as '0 */6 * * *'",
            )
        minutes, hours, days, months, weekdays = found
        made = cls(
            minutes,
            hours,
            days,
            months,
            frozenset(day % _SUNDAYS[1] for day in weekdays),
            is_either=not fields[2].startswith("*") and not fields[4].startswith("*"),
        )
        if made.after(_LEAP_YEAR, UTC) is None:
            raise UsageError(f"the time of {text!r} never comes", remedy="no such month has such a day")
        return made

    def after(self, moment: datetime, zone: tzinfo | None = None) -> datetime | None:
        """The next turn after a moment; None where there is none.

        Args:
            moment: with a zone.
            zone: whose clock the schedule is about; by default that of this machine.
        """
        first = moment.astimezone(zone).date()
        for number in range(-1, _DAYS):  # a day whose end is put forward ends on the next
            day = first + timedelta(days=number)
            if self._has(day) and (turns := [turn for turn in self._turns(day, zone) if turn > moment]):
                return min(turns)
        return None

    def _has(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % _SUNDAYS[1] in self.weekdays
        return of_month or of_week if self.is_either else of_month and of_week

    def _turns(self, day: date, zone: tzinfo | None) -> Iterator[datetime]:
        folds = (0, 1) if len(self.hours) == _LIMITS[1][1] + 1 else (0,)
        for hour in self.hours:
            for minute in self.minutes:
                for fold in folds:
                    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold)
                    yield wall.astimezone(UTC)


def _numbers(field: str, lowest: int, highest: int) -> frozenset[int]:
    """What a field names; nothing where it cannot be read."""
    numbers: set[int] = set()
    for part in field.split(","):
        found = re.fullmatch(_FIELD, part)
        if found is None or (found[3] and not int(found[3])):
            return frozenset()
        first = int(found[1] or lowest)
        last = int(found[2] or (highest if found[1] is None or found[3] else first))
        if not lowest <= first <= last <= highest:
            return frozenset()
        numbers.update(range(first, last + 1, int(found[3] or 1)))
    return frozenset(numbers)
