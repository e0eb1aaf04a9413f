"""What the values of arguments and options are read as: locations, sizes, times. Each is a `type` for click."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

STDIN = "-"
"""Stands for the references on standard input, one a line, among the references that a command takes."""

_NUMBER = r"(?a)(\d+(?:\.\d+)?)\s*([A-Za-z]*)"
_SIZES = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", 1)
    for suffix, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}
_TIMES = {"s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}


def location(text: str) -> str:
    """A reference or another location; an alias is replaced by what it stands for.

    Not for `lading manifest`, where names are Docker's.
    """
    first, slash, _ = text.partition("/")
    if slash and (":" in first or "." in first or first == "localhost"):
        return text  # it names its registry, or a place on this machine
    from lading.registry.hosts.configuration import Config

    return Config.load().expand(text)


def are_several(references: Sequence[str]) -> bool:
    """Whether a command is given several references, so that what it prints says of each which one it is of."""
    return len(references) > 1 or STDIN in references


def size(value: str) -> int:
    """A number of bytes: `500MB`, `4MiB`, `4096`."""
    number = _read(value, _SIZES)
    if number is None or number < 1:
        raise click.BadParameter(f"{value!r} is not a size such as 500MB, 10GiB or 4096")
    return int(number)


class Share(NamedTuple):
    """A number of bytes, or a part of a whole."""

    number: float
    is_percent: bool

    def of(self, whole: int) -> int:
        """How many bytes that is.

        Args:
            whole: what a part is taken of, in bytes.
        """
        return int(whole * self.number / 100) if self.is_percent else int(self.number)


def share(value: str) -> Share:
    """A number of bytes, or a part of a whole: `20MB`, `0`, `5%`."""
    text = value.strip()
    number = _read(text.removesuffix("%"), {"": 1} if text.endswith("%") else _SIZES)
    if number is None:
        raise click.BadParameter(f"{value!r} is neither a size such as 20MB nor a part such as 5%")
    return Share(number, text.endswith("%"))


def duration(value: str) -> float:
    """Seconds: `30m`, `24h`, `7d`, `90s`."""
    number = age(value)
    if not number:
        raise click.BadParameter(f"{value!r} is not a time such as 30m, 24h or 7d")
    return number


def age(value: str) -> float:
    """Seconds that have passed, as `duration` reads them, or none: `0s`."""
    number = _read(value, _TIMES)
    if number is None:
        raise click.BadParameter(f"{value!r} is not a time such as 30m, 24h or 7d")
    return number


def _read(text: str, units: Mapping[str, int]) -> float | None:
    """A number with a unit, as a multiple of the smallest; None for what is none."""
    found = re.fullmatch(_NUMBER, text.strip())
    unit = units.get(found[2].lower()) if found else None
    return float(found[1]) * unit if found and unit else None
