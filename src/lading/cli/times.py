"""Times as they are typed, and which of many times get them."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TypedDict

import click

from lading.cli import values


class Times(TypedDict, total=False):
    """What is said of a change of times; see `lading.images.edits.times.Times`."""

    label: str
    only_later: bool
    skip: int
    base: str


def moment(text: str, option: str) -> datetime:
    """A time from RFC 3339, seconds since 1970, or `now`: that is SOURCE_DATE_EPOCH where it is set.

    Args:
        text: what was typed.
        option: what the option is called.
    """
    if text == "now":
        seconds = source_date()
        return datetime.now(UTC).replace(microsecond=0) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    if re.fullmatch(r"[0-9]{1,10}", text):
        return datetime.fromtimestamp(int(text), UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"{option}: {text!r} is no time such as 2024-05-01T12:00:00Z or now, and no number of seconds since 1970"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def times(text: str, option: str, *, only_later: bool) -> tuple[datetime | None, datetime | None, Times]:
    """What `TIME[,after=TIME][,skip=N][,base=REF]` says: the time, after which others change, and the rest.

    Args:
        text: what was typed; a TIME of `label:KEY` is the one in a label.
        option: what the option is called.
        only_later: whether only later times change.
    """
    text, _, base = text.partition(",base=")
    said, *more = text.split(",")
    found = Times(only_later=only_later)
    after = None
    for one in more:
        key, _, value = one.partition("=")
        if key == "after":
            after = moment(value, option)
        elif key == "skip" and value.isdecimal() and value.isascii():
            found["skip"] = int(value)
        elif key == "skip":
            raise click.UsageError(f"{option}: {value!r} is no number of layers")
        else:
            raise click.UsageError(f"{option}: {one!r} is none of after=TIME, skip=N and, at the end, base=REF")
    if base:
        found["base"] = values.location(base)
    if said.startswith("label:"):
        found["label"] = said.removeprefix("label:")
        return None, after, found
    return moment(said, option), after, found


def source_date() -> int | None:
    """What `SOURCE_DATE_EPOCH` says, in seconds since the epoch; None where it says nothing."""
    said = os.environ.get("SOURCE_DATE_EPOCH")
    if not said:
        return None
    if not (said.isdecimal() and said.isascii() and int(said) < 8**11):
        raise click.UsageError(f"SOURCE_DATE_EPOCH is {said!r}, which is no number of seconds since 1970")
    return int(said)


def source_created() -> str | None:
    """What `SOURCE_DATE_EPOCH` says, in RFC 3339; None where it says nothing."""
    seconds = source_date()
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z") if seconds is not None else None
