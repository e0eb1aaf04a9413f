"""Choosing what is copied: tags by patterns and versions, entries of an index by platform.

Pure: knows the model only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from lading.errors import NotFound, UsageError
from lading.model.index import Index
from lading.model.platform import Platform
from lading.model.tags import version_key

Matcher = Callable[[str], bool]

_VERSION = r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:[+_][0-9A-Za-z._-]+)?"
_TERM = r"(>=|<=|>|<|=|\^|~)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(-[0-9A-Za-z.-]+)?"


def choose_tags(tags: Iterable[str], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
    """The tags that match any pattern of `include` (all, if there are none) and none of `exclude`.

    Args:
        tags: the tags, in any order.
        include: globs (`1.*`), regular expressions that match the whole tag (`re:v[0-9]+`), or ranges of versions
            (`semver:>=1.2 <2`; also `^1.2`, `~1.2`, `1.x` and `||`). A range takes pre-releases only if it names one.
        exclude: the same.

    Raises:
        UsageError: a pattern cannot be read.
    """
    wanted = [matcher(pattern) for pattern in include]
    unwanted = [matcher(pattern) for pattern in exclude]
    return [
        tag
        for tag in tags
        if (not wanted or any(match(tag) for match in wanted)) and not any(match(tag) for match in unwanted)
    ]


def matcher(pattern: str) -> Matcher:
    """What a pattern takes; see `choose_tags`."""
    if not pattern:
        raise UsageError("an empty pattern takes no tag", remedy="every tag is '*'")
    kind, colon, text = pattern.partition(":")
    if colon and kind == "re":
        try:
            expression = re.compile(text)
        except re.error as error:
            raise UsageError(f"{text!r} is not a regular expression", cause=str(error)) from None
        return lambda tag: expression.fullmatch(tag) is not None
    if colon and kind == "semver":
        return _versions(text)
    if colon:
        raise UsageError(
            f"{pattern!r} is no pattern for tags", cause="patterns are globs, re:EXPRESSION or semver:RANGE"
        )
    return lambda tag: fnmatchcase(tag, pattern)


def choose_entries(index: Index, platforms: Sequence[Platform], what: str) -> Index:
    """The index with only the entries for these platforms, and the attestations of those entries.

    Everything else it says stays; an index of which nothing is left out stays as it is, byte for byte.

    Raises:
        NotFound: there is no entry for one of the platforms.
    """
    for platform in platforms:
        if not index.select([platform], attestations=False):
            there = ", ".join(dict.fromkeys(str(entry.platform) for entry in index.images if entry.platform))
            raise NotFound(
                f"{what} has nothing for {platform}",
                cause=f"it has {there}" if there else "none of its entries has a platform",
                remedy="choose one of those with --platform" if there else None,
            )
    chosen = index.select(platforms)
    if len(chosen) == len(index.manifests):
        return index
    return Index.build(chosen, index.media_type, index.annotations, base=index.document)


def _versions(text: str) -> Matcher:
    alternatives = [_alternative(part) for part in text.split("||")]

    def matches(tag: str) -> bool:
        return re.fullmatch(_VERSION, tag) is not None and any(match(tag) for match in alternatives)

    return matches


def _alternative(text: str) -> Matcher:
    """Bounds that all hold."""
    bounds: list[tuple[str, str]] = []
    position = 0
    text = text.strip().replace(",", " ")
    if not text:
        raise UsageError("an empty range takes no version", remedy="every version is 'semver:*'")
    takes_pre = "-" in text
    while position < len(text):
        term = re.compile(_TERM).match(text, position)
        if term is None or (term.end() < len(text) and text[term.end()] not in " <>=^~"):
            raise UsageError(
                f"{text!r} is not a range of versions", cause="expected such as '>=1.2 <2', '^1.2' or '1.x'"
            )
        bounds.extend(_bounds(term[1] or "", [term[2], term[3], term[4]], term[5] or ""))
        position = term.end()
        while position < len(text) and text[position] == " ":
            position += 1

    def matches(tag: str) -> bool:
        found = re.fullmatch(_VERSION, tag)
        if found is None or (found[4] and not takes_pre):
            return False
        return all(_holds(tag, operator, limit) for operator, limit in bounds)

    return matches


def _bounds(operator: str, parts: Sequence[str | None], pre: str) -> list[tuple[str, str]]:
    numbers = []
    for part in parts:
        if part is None or part in "xX*":
            break
        numbers.append(int(part))
    if not numbers:
        return []
    low = ".".join(map(str, [*numbers, 0, 0][:3])) + pre
    if operator == "^":
        first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        return [(">=", low), ("<", _next(numbers[: first + 1]))]
    if operator == "~":
        return [(">=", low), ("<", _next(numbers[:2]))]
    whole = len(numbers) == 3
    if operator in ("", "="):
        return [("=", low)] if whole else [(">=", low), ("<", _next(numbers))]
    if operator == ">" and not whole:
        return [(">=", _next(numbers).removesuffix("-0"))]
    if operator == "<=" and not whole:
        return [("<", _next(numbers))]
    return [(operator, low)]


def _next(numbers: Sequence[int]) -> str:
    """The lowest version above all that begin so, pre-releases of it included."""
    higher = [*numbers[:-1], numbers[-1] + 1]
    return ".".join(map(str, [*higher, 0, 0][:3])) + "-0"


def _holds(tag: str, operator: str, limit: str) -> bool:
    # The last part of the key tells spellings of one version apart.
    found, bound = version_key(tag)[:3], version_key(limit)[:3]
    return {
        ">=": found >= bound,
        "<=": found <= bound,
        ">": found > bound,
        "<": found < bound,
        "=": found == bound,
    }[operator]
