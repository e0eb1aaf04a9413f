"""What a mirror file says, as values. This module knows no file formats, and asks no registry.

The names of keys are those of the fields with hyphens; the text below a field is what `docs/mirror-keys.md` says of its
key.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = r"([0-9]{1,9}[wdhms])+"
_AMOUNT = r"[0-9]{1,9}%?"
_WHOLE = 100
_TEMPLATE = r"[0-9A-Za-z_.-]*\{tag\}[0-9A-Za-z_.-]*"
_MOVES = ("replace", "keep", "fail")
_TAG = "{tag}"

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Duration(timedelta):
    """A length of time, written such as `90d`, `12h` or `1h30m`: weeks, days, hours, minutes, seconds."""

    schema: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": f"^{_DURATION}$",
        "examples": ["7d", "12h", "1h30m"],
    }

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read a duration.

        Raises:
            ValueError: the value is none.
        """
        if not isinstance(value, str) or not re.fullmatch(_DURATION, value):
            raise ValueError(f"{value!r} is no length of time: write such as 90d, 12h or 1h30m")
        try:
            return cls(seconds=sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(\w)", value)))
        except OverflowError:
            raise ValueError(f"{value!r} is longer than can be counted") from None


class Amount(str):
    """So many of something, or so many percent of it: `20` or `10%`."""

    __slots__ = ()
    schema: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": f"^{_AMOUNT}$"}],
        "examples": [20, "10%"],
    }

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read an amount.

        Raises:
            ValueError: the value is none.
        """
        text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
        if not re.fullmatch(_AMOUNT, text) or (text.endswith("%") and int(text[:-1]) > _WHOLE):
            raise ValueError(f"{value!r} is no amount: write such as 20 or '10%'")
        return cls(text)

    def of(self, total: int) -> int:
        """How many of `total` that is; parts of one are not counted."""
        return total * int(self[:-1]) // _WHOLE if self.endswith("%") else int(self)


class OnMove(str):
    """What is done where a tag at the target names something else: `replace`, `keep`, `fail`, `backup:TEMPLATE`."""

    __slots__ = ()
    schema: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": rf"^(replace|keep|fail|backup:{_TEMPLATE})$",
        "examples": [*_MOVES, "backup:bk-{tag}"],
    }

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what to do.

        Raises:
            ValueError: the value says nothing that can be done.
        """
        is_known = isinstance(value, str) and (value in _MOVES or re.fullmatch(f"backup:{_TEMPLATE}", value))
        if not is_known or value == f"backup:{_TAG}":
            raise ValueError(
                f"{value!r} is none of replace, keep, fail and backup:TEMPLATE, such as 'backup:bk-{_TAG}'"
            )
        return cls(value)

    @property
    def action(self) -> str:
        """The word: `replace`, `keep`, `fail` or `backup`."""
        return self.partition(":")[0]

    def backup_tag(self, tag: str) -> str:
        """The tag under which is kept what `tag` named; empty where nothing is kept."""
        return self.partition(":")[2].replace(_TAG, tag)


CUSTOM: dict[type, Any] = {Duration: Duration, Amount: Amount, OnMove: OnMove}
"""The types that read their values themselves."""


class _Table(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """A table of the file."""


Per = Literal["major", "minor", "suffix"]


class Newest(_Table, frozen=True, kw_only=True):
    """How many tags to take, of those that the patterns chose: the first in an order."""

    count: Positive
    """How many, in each group."""
    by: Literal["semver", "created", "name"] | None = None
    """The order, the last first: `semver` goes by version (by default in mirrors), and leaves tags alone that are none;
    `created` by the time that images say they were made (by default in `retain`); `name` by alphabet."""
    per: Per | tuple[Per, ...] = ()
    """What makes a group: versions with the same first number, the same two, or suffixes of one family; or several of
    these at once. Tags that are no versions are one group."""


class Verify(_Table, frozen=True, kw_only=True):
    """Whose signature an image has to have: that of a key, or that of an identity."""

    key: str | None = None
    """The file of a public key."""
    identity: str | None = None
    """Whom a certificate is for, such as `ci@acme.example`."""
    issuer: str | None = None
    """Who vouches for the identity: the address of the issuer."""


class Policy(_Table, frozen=True, kw_only=True):
    """What may be said for all mirrors in `[defaults]`, and for one."""

    schedule: str | None = None
    """When: minute, hour, day of the month, month, day of the week, as cron has them; or `@hourly`, `@daily`,
    `@weekly`, `@monthly`."""
    every: Duration | None = None
    """How often, in place of a schedule."""
    jitter: Duration | None = None
    """At most so much later than that, at random, so that not all begin at once."""
    referrers: bool | tuple[str, ...] | None = None
    """Whether what refers to an image goes along: all of it, or artifact types like these patterns, such as
    `application/spdx*`."""
    digest_tags: bool | None = None
    """Whether tags such as `sha256-….sig` go along with the image whose digest they have."""
    immutable: str | tuple[str, ...] | None = None
    """Patterns of tags that never move: such a tag is not asked for again once it is mirrored."""
    platforms: str | tuple[str, ...] | None = None
    """Only these platforms, such as `linux/amd64`; an index is written anew without the others, and has another digest
    then."""
    sparse: bool | None = None
    """Keep the index as it is, though not all of its platforms are there; not every registry takes that."""
    verify: Verify | None = None
    """The signature that an image has to have before it is copied."""
    on_move: OnMove | None = None
    """What is done where a tag at the target names something else: `replace` it (by default), `keep` it, `fail`, or
    `backup:TEMPLATE`, which keeps it under another tag, such as `backup:bk-{tag}`."""
    optional: bool | None = None
    """Whether it is all right that no tag is chosen."""


class Host(_Table, frozen=True, kw_only=True):
    """What holds for a host while mirroring, beside its settings in `config.toml`."""

    jobs: Positive | None = None
    """How many requests may be under way at once."""
    requests_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """How many requests may begin in a second."""
    keep_pulls: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How many pulls of the limit that the host tells of are left for others."""


class Prune(_Table, frozen=True, kw_only=True):
    """What is deleted at the target. Without this table, nothing is."""

    vanished: Duration | None = None
    """How long a tag stays after it has gone from the source; without it, it stays."""
    owned_only: bool = True
    """Whether only tags are deleted that this mirror has written."""
    max: Amount = msgspec.field(default_factory=lambda: Amount("10%"))
    """The most that one run deletes of a repository, by default 10%; where it would be more, nothing is."""
    keep: str | tuple[str, ...] = ()
    """Patterns of tags that are never deleted."""


class Retain(_Table, frozen=True, kw_only=True):
    """Which tags at the target stay. A tag that no `match` names is let be; one that several name stays by any."""

    match: str | tuple[str, ...]
    """Patterns of the tags that this is about."""
    newest: Positive | Newest | None = None
    """A tag stays if it is one of the newest: so many of them, or a table."""
    newer_than: Duration | None = None
    """A tag stays if its image was made within this time. Where both are said, both have to hold."""


class Mirror(Policy, frozen=True, kw_only=True):
    """What is mirrored, and where to."""

    source: str = msgspec.field(name="from")
    """A repository, a tag in one, a layout or an archive; `REGISTRY/PATH/**` is every repository below the path, and
    `REGISTRY/**` every one of the registry."""
    to: str | tuple[str, ...]
    """Where to, one place or several: a repository, a layout or an archive; of many repositories what their names begin
    with."""
    name: str = ""
    """What it is called; by default what is in `from`."""
    tags: str | tuple[str, ...] = ()
    """Patterns: globs, `re:EXPRESSION`, `semver:RANGE`; what one with `!` before it matches is left out. By default
    every tag."""
    newest: Positive | Newest | None = None
    """Of the chosen tags the newest alone: so many of them, or a table."""
    newer_than: Duration | None = None
    """Of the chosen tags those whose images were made within this time."""
    prune: Prune | None = None
    """What is deleted at the target; without it, nothing is."""
    retain: tuple[Retain, ...] = ()
    """Which tags at the target stay."""


class MirrorFile(_Table, frozen=True, kw_only=True):
    """All that a mirror file says."""

    defaults: Policy = Policy()
    """What holds for every mirror that does not say otherwise."""
    hosts: dict[str, Host] = {}
    """By name: `[hosts."docker.io"]`."""
    mirror: tuple[Mirror, ...] = ()
    """The mirrors; at least one."""

    def settled(self) -> tuple[Mirror, ...]:
        """The mirrors, each with a name, and with what `defaults` says where it says nothing itself."""
        said = {name: getattr(self.defaults, name) for name in Policy.__struct_fields__}
        return tuple(
            msgspec.structs.replace(
                one,
                name=one.name or one.source,
                **{name: value for name, value in _timed(said, one).items() if getattr(one, name) is None},
            )
            for one in self.mirror
        )


def _timed(defaults: dict[str, Any], mirror: Mirror) -> dict[str, Any]:
    """The defaults without a schedule for a mirror that says when itself: there is one way to say so."""
    if mirror.schedule is None and mirror.every is None:
        return defaults
    return defaults | {"schedule": None, "every": None}
