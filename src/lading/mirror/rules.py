"""Which tags a mirror takes, which a target keeps, and which rule says so. Pure: it asks no registry and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from lading.arguments import several
from lading.mirror.config import Newest, Retain
from lading.model.patterns import Matcher, matcher
from lading.model.version import Version

Rule = Literal["tags", "newest", "newer-than", "match", "keep"]
Times = Mapping[str, datetime | None]
_Order = Callable[[str], Any]


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a tag, and why."""

    tag: str
    is_taken: bool
    """Whether it is mirrored; of a target's tags, whether it stays."""
    rule: Rule | None
    """The key of the rule that says so; None where no rule names the tag."""
    because: str
    """Why, in words that go on from the tag: `is matched by 'semver:>=3'`."""


class Patterns:
    """A list of patterns as the file has them: those with `!` before them leave out, the others take.

    Args:
        patterns: globs, `re:EXPRESSION` and `semver:RANGE`, where suffixes name families (`lading.model.patterns`).
            Where all of them leave out, or there are none, every other tag is taken.

    Raises:
        InvalidPattern: a pattern cannot be read.
    """

    def __init__(self, patterns: Iterable[str] | str) -> None:
        self._taking: list[tuple[str, Matcher]] = []
        self._leaving: list[tuple[str, Matcher]] = []
        for pattern in several(patterns):
            text = pattern.removeprefix("!")
            (self._taking if text == pattern else self._leaving).append((pattern, matcher(text, families=True)))

    def judge(self, tag: str, rule: Rule = "tags") -> Verdict:
        """What the patterns say of one tag."""
        if left := next((pattern for pattern, match in self._leaving if match(tag)), None):
            return Verdict(tag, is_taken=False, rule=rule, because=f"is left out by {left!r}")
        if not self._taking:
            what = "every tag is taken" if not self._leaving else "every tag is taken that no pattern leaves out"
            return Verdict(tag, is_taken=True, rule=rule, because=f"is taken: {what}")
        if taken := next((pattern for pattern, match in self._taking if match(tag)), None):
            return Verdict(tag, is_taken=True, rule=rule, because=f"is matched by {taken!r}")
        return Verdict(tag, is_taken=False, rule=None, because="is matched by no pattern")


def choose_tags(
    tags: Iterable[str],
    *,
    patterns: Iterable[str] | str = (),
    newest: int | Newest | None = None,
    newer_than: timedelta | None = None,
    times: Times | None = None,
    now: datetime | None = None,
) -> list[Verdict]:
    """Which tags of a source are mirrored: a verdict for each, in their order.

    `newest` and `newer_than` go by what the patterns chose, each on its own, and both have to hold. A tag whose time is
    not known is not taken where the time counts.

    Args:
        tags: all tags of the source.
        patterns: which of them; see `Patterns`.
        newest: so many of these, by version unless the table says otherwise. Tags that are no versions are not counted
            there, and taken.
        newer_than: only those made within this time before `now`.
        times: when the image of each tag was made, with a zone; needed for what `needs_times` gives.
        now: the present time, with a zone; needed for `newer_than`.

    Raises:
        InvalidPattern: a pattern cannot be read.
    """
    chosen = Patterns(patterns)
    verdicts = {tag: chosen.judge(tag) for tag in tags}
    taken = [tag for tag, verdict in verdicts.items() if verdict.is_taken]
    limits = [
        _newest(taken, _table(newest, "semver"), times or {}, is_kept=False),
        _newer(taken, newer_than, times or {}, now, is_kept=False),
    ]
    for limited in limits:
        for verdict in limited:
            if verdicts[verdict.tag].is_taken and not verdict.is_taken:
                verdicts[verdict.tag] = verdict
    return list(verdicts.values())


def needs_times(
    tags: Iterable[str],
    *,
    patterns: Iterable[str] | str = (),
    newest: int | Newest | None = None,
    newer_than: timedelta | None = None,
) -> list[str]:
    """The tags whose times `choose_tags` has to be told for the same rules; where version or name decide, only few.

    Raises:
        InvalidPattern: a pattern cannot be read.
    """
    table = _table(newest, "semver")
    by_time = table is not None and table.by == "created"
    if newer_than is None and not by_time:
        return []
    verdicts = choose_tags(tags, patterns=patterns, newest=None if by_time else newest)
    return [verdict.tag for verdict in verdicts if verdict.is_taken]


def retained(
    tags: Iterable[str],
    rules: Sequence[Retain],
    *,
    keep: Iterable[str] | str = (),
    times: Times | None = None,
    now: datetime | None = None,
) -> list[Verdict]:
    """Which tags of a target stay: a verdict for each, in their order.

    A tag stays that no rule names, that `keep` names, or that any of the rules which name it keeps; and one whose time
    is not known, where the time counts. Within a rule, `newest` and `newer_than` both have to hold.

    Args:
        tags: all tags of the target.
        rules: which of them stay; `newest` goes by time unless its table says otherwise.
        keep: patterns of tags that stay whatever the rules say.
        times: when the image of each tag was made, with a zone.
        now: the present time, with a zone; needed where a rule has `newer_than`.

    Raises:
        InvalidPattern: a pattern cannot be read.
    """
    tags = list(dict.fromkeys(tags))
    found: dict[str, Verdict] = {}
    for rule in rules:
        patterns = Patterns(rule.match)
        named = [tag for tag in tags if patterns.judge(tag).is_taken]
        verdicts = {tag: patterns.judge(tag, "match") for tag in named}
        for verdict in (
            *_newest(named, _table(rule.newest, "created"), times or {}, is_kept=True),
            *_newer(named, rule.newer_than, times or {}, now, is_kept=True),
        ):
            if verdicts[verdict.tag].is_taken:
                verdicts[verdict.tag] = verdict
        for tag, verdict in verdicts.items():
            if tag not in found or not found[tag].is_taken:
                found[tag] = verdict
    protected = Patterns(several(keep)) if several(keep) else None
    return [_last_word(tag, found.get(tag), protected) for tag in tags]


def _last_word(tag: str, verdict: Verdict | None, protected: Patterns | None) -> Verdict:
    """What becomes of a tag of a target, whatever the rules say of it."""
    if verdict is None:
        return Verdict(tag, is_taken=True, rule=None, because="is named by no rule")
    if not verdict.is_taken and protected is not None and (kept := protected.judge(tag, "keep")).is_taken:
        return kept
    return verdict


def _table(newest: int | Newest | None, by: Literal["semver", "created"]) -> Newest | None:
    """The table that a number stands for, or that says no order."""
    if newest is None:
        return None
    table = Newest(count=newest) if isinstance(newest, int) else newest
    return msgspec.structs.replace(table, by=table.by or by)


def _newest(tags: Sequence[str], table: Newest | None, times: Times, *, is_kept: bool) -> list[Verdict]:
    """What `newest` says of tags; of those whose place in the order is not known, what `is_kept` says."""
    if table is None:
        return []
    order = _order(table, times)
    groups: dict[tuple[object, ...], list[str]] = {}
    verdicts: list[Verdict] = []
    for tag in tags:
        if order(tag) is not None:
            groups.setdefault(_group(tag, table), []).append(tag)
        elif table.by == "semver":
            verdicts.append(Verdict(tag, is_taken=True, rule="newest", because="is no version, and is not counted"))
        else:
            because = "does not say when it was made"
            verdicts.append(Verdict(tag, is_taken=is_kept, rule="newest", because=because))
    for group in groups.values():
        ranked = sorted(group, key=lambda tag: (order(tag), tag), reverse=True)
        for place, tag in enumerate(ranked, 1):
            within = f" of {len(ranked)} by {table.by}{_within(tag, table)}"
            because = f"is number {place}{within}, and the first {table.count} count"
            verdicts.append(Verdict(tag, is_taken=place <= table.count, rule="newest", because=because))
    return verdicts


def _order(table: Newest, times: Times) -> _Order:
    """What tags are ordered by; it gives None for a tag that has no place."""

    def by_version(tag: str) -> Any:
        version = Version.from_tag(tag)
        return None if version is None else version.without_family().precedence

    orders: dict[str | None, _Order] = {"semver": by_version, "created": times.get, "name": str}
    return orders[table.by]


def _group(tag: str, table: Newest) -> tuple[object, ...]:
    version = Version.from_tag(tag)
    if version is None:
        return ()
    parts = {"major": version.major, "minor": (version.major, version.minor), "suffix": version.family}
    return ("version", *(parts[part] for part in several(table.per))) if table.per else ()


def _within(tag: str, table: Newest) -> str:
    """The group of a tag in words."""
    version = Version.from_tag(tag)
    if not table.per or version is None:
        return ""
    words = {
        "major": f"major {version.major}",
        "minor": f"minor {version.major}.{version.minor}",
        "suffix": f"suffix {version.family}" if version.family else "no suffix",
    }
    return f" in {', '.join(words[part] for part in several(table.per))}"


def _newer(
    tags: Sequence[str], newer_than: timedelta | None, times: Times, now: datetime | None, *, is_kept: bool
) -> list[Verdict]:
    if newer_than is None:
        return []
    if now is None:
        raise ValueError("the present time is needed to say what is newer")
    verdicts = []
    for tag in tags:
        made = times.get(tag)
        is_newer = is_kept if made is None else now - made <= newer_than
        said = "does not say when it was made"
        if made is not None:
            said = f"was made at {made.isoformat()}, {'in' if is_newer else 'before'} the last {newer_than}"
        verdicts.append(Verdict(tag, is_taken=is_newer, rule="newer-than", because=said))
    return verdicts
