"""Patterns: which names of a list are meant, tags or repositories, and in which order; the same everywhere.

A pattern is one of

* a glob for the whole name, in which case counts: `1.*`, `team/*`, `[0-9]*`;
* `re:EXPRESSION`, a regular expression for the whole name: `re:v?[0-9]+`;
* `semver:RANGE`, versions of a range: `>=1.2 <2`, `^1.2`, `~1.2`, `1.x`, `*`, and several such with `||` between them.
  A range takes pre-releases only if it names one.

Where suffixes name families (`matcher(…, families=True)`), what follows a version is no pre-release unless its words
say so (`Version.family`): `>=3.18-alpine` takes `3.19-alpine`, and neither `3.19` nor `3.19-slim`; `>=3.18` takes no
suffix at all.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Literal

from lading.arguments import several
from lading.errors import InvalidPattern, UsageError
from lading.model.version import Version, ascending, highest

TagOrder = Literal["registry", "name", "semver", "created"]
Matcher = Callable[[str], bool]
_Bound = tuple[Callable[[Version, Version], bool], Version]

_TERM = r"(>=|<=|>|<|=|\^|~)? *v?((?:[0-9]+|[xX*])(?:\.(?:[0-9]+|[xX*]))*)(-[0-9A-Za-z.-]+)?(?=[ <>=^~]|$)"
_LENGTH_LIMIT = 512
_WHOLE = 3
"""A version of so many numbers means itself in a range; one of fewer means all that begin so."""


def choose(names: Iterable[str], include: Iterable[str] | str = (), exclude: Iterable[str] | str = ()) -> list[str]:
    """The names that match any pattern of `include` (all, if there are none) and none of `exclude`, in their order.

    Args:
        names: tags, or the names of repositories.
        include: patterns, or one.
        exclude: the same.

    Raises:
        InvalidPattern: a pattern cannot be read.
    """
    wanted = [matcher(pattern) for pattern in several(include)]
    unwanted = [matcher(pattern) for pattern in several(exclude)]
    return [
        name
        for name in names
        if (not wanted or any(match(name) for match in wanted)) and not any(match(name) for match in unwanted)
    ]


def listed(
    tags: Iterable[str],
    *,
    include: Iterable[str] | str = (),
    exclude: Iterable[str] | str = (),
    sort: TagOrder | None = None,
    latest: int | None = None,
) -> list[str]:
    """Choose tags and put them in order.

    Args:
        tags: the tags in the registry's order.
        include: only those that match one of these patterns; see the top of this module.
        exclude: none of those that match one of these.
        sort: `registry` keeps the registry's order, and is the default; `name` is alphabetical; `semver` has first what
            is no version, then versions from the lowest to the highest (`lading.model.version`); `created` leaves order
            and number to what knows when the images were made.
        latest: only so many of the highest versions, the highest first.

    Raises:
        InvalidPattern: a pattern cannot be read.
        UsageError: `sort` or `latest` has another value, or they do not go together.
    """
    if sort not in (None, "registry", "name", "semver", "created"):
        raise UsageError(f"tags have no order {sort!r}", remedy="the orders are registry, name, semver and created")
    if latest is not None and (latest < 1 or sort not in (None, "semver", "created")):
        cause = "it has to be at least 1" if latest < 1 else f"the order is {sort}"
        raise UsageError("the latest tags are a number of highest versions, the highest first", cause=cause)
    chosen = choose(tags, include, exclude)
    if latest is not None and sort != "created":
        return highest(chosen, latest)
    if sort == "semver":
        return ascending(chosen)
    return sorted(chosen) if sort == "name" else chosen


def matcher(pattern: str, *, families: bool = False) -> Matcher:
    """The function that says whether a name matches a pattern.

    Args:
        pattern: what to match; see the top of this module.
        families: whether the suffixes of versions name families, so that a range takes one family alone: that of its
            bounds, or the plain versions. Otherwise each suffix is a pre-release, as semantic versioning has it.

    Raises:
        InvalidPattern: the pattern cannot be read.
    """
    if not pattern:
        raise InvalidPattern("an empty pattern matches nothing", remedy="every name is '*'")
    kind, _, text = pattern.partition(":")
    if kind == "re":
        try:
            expression = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise InvalidPattern(f"{text!r} is not a regular expression", cause=str(error)) from None
        return lambda name: expression.fullmatch(name) is not None
    if kind == "semver":
        return _range(text, families=families)
    return lambda name: fnmatchcase(name, pattern)


def _range(text: str, *, families: bool) -> Matcher:
    parts = text.split("||")
    alternatives = [_of_family(part) if families else _within(*_alternative(part)) for part in parts]

    def matches(name: str) -> bool:
        version = Version.from_tag(name)
        return version is not None and any(takes(version) for takes in alternatives)

    return matches


def _within(bounds: list[_Bound], suffixes: list[str]) -> Callable[[Version], bool]:
    def takes(version: Version) -> bool:
        if version.suffix and not suffixes:
            return False
        return all(holds(version, limit) for holds, limit in bounds)

    return takes


def _of_family(text: str) -> Callable[[Version], bool]:
    """The versions of one family within a range; pre-releases among them where one of the bounds is one."""
    bounds, suffixes = _alternative(text)
    named = [Version(suffix, (0,), suffix) for suffix in suffixes]
    wanted = {version.family for version in named} or {""}
    if len(wanted) > 1:
        raise InvalidPattern(
            f"{text.strip()!r} names several families: {', '.join(sorted(name or 'none' for name in wanted))}",
            remedy="write a range for each, with || between them",
        )
    (family,) = wanted
    within = _within(
        [(holds, limit.without_family()) for holds, limit in bounds],
        [version.pre_release for version in named if version.pre_release],
    )
    return lambda version: version.family == family and within(version.without_family())


def _alternative(text: str) -> tuple[list[_Bound], list[str]]:
    """Bounds that all hold, and the suffixes that they name."""
    text = text.strip().replace(",", " ")
    if not text:
        raise InvalidPattern("an empty range takes no version", remedy="every version is 'semver:*'")
    bounds: list[_Bound] = []
    suffixes: list[str] = []
    term = re.compile(_TERM)
    position = 0
    while position < len(text):
        found = term.match(text, position) if len(text) <= _LENGTH_LIMIT else None
        if found is None:
            raise InvalidPattern(
                f"{text[:_LENGTH_LIMIT]!r} is not a range of versions",
                cause="expected such as '>=1.2 <2', '^1.2' or '1.x'",
            )
        bounds.extend(_bounds(found[1] or "", found[2], found[3] or ""))
        suffixes.extend([found[3][1:]] if found[3] else [])
        position = found.end()
        while position < len(text) and text[position] == " ":
            position += 1
    return bounds, suffixes


def _bounds(sign: str, dotted: str, suffix: str) -> list[_Bound]:
    """What one term asks for, such as `^1.2`."""
    numbers: list[int] = []
    parts = dotted.split(".")
    for part in parts:
        if part in "xX*":
            break
        numbers.append(int(part))
    if not numbers:
        return []
    low = _version(numbers, suffix)
    if sign == "^":
        first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        return [(operator.ge, low), (operator.lt, _after(numbers[: first + 1]))]
    if sign == "~":
        return [(operator.ge, low), (operator.lt, _after(numbers[:2]))]
    is_whole = len(numbers) == len(parts) >= _WHOLE
    if sign in ("", "="):
        return [(operator.eq, low)] if is_whole else [(operator.ge, low), (operator.lt, _after(numbers))]
    if sign == ">" and not is_whole:
        return [(operator.ge, _version(_next(numbers)))]
    if sign == "<=" and not is_whole:
        return [(operator.lt, _after(numbers))]
    return [({">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}[sign], low)]


def _version(numbers: list[int], suffix: str = "") -> Version:
    return Version.parse(".".join(map(str, numbers)) + suffix)


def _next(numbers: list[int]) -> list[int]:
    return [*numbers[:-1], numbers[-1] + 1]


def _after(numbers: list[int]) -> Version:
    """The lowest version above all that begin so, pre-releases of it included."""
    return _version(_next(numbers), "-0")
