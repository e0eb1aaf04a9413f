"""What a mirror is going to do, as a value that can be read, kept and carried out later. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, get_args

import msgspec

from lading.errors import InvalidReference, LadingError, UsageError
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.platform import Platform
from lading.model.reference import check_tag, is_tag
from lading.stores.location import parse_location
from lading.transfer.place import is_digest

VERSION = 1
"""Of the document."""
State = Literal["new", "moved", "referrers", "unchanged", "kept", "vanished"]
"""What becomes of a tag: it is not at the target; it names something else there; it is there, and what refers to it is
looked at again; it is there; it stays as it is though the source has something else, or nothing; its source has gone.
"""
CHANGES: tuple[State, ...] = ("new", "moved", "referrers")
"""The states in which something is written, or may be."""


class HostLimits(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a host while mirroring."""

    jobs: int | None = None
    requests_per_second: float | None = None
    keep_pulls: int | None = None


class Policy(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What goes along with each image."""

    referrers: bool = False
    """Whether what the source lists as referrers is copied."""
    artifact_types: tuple[str, ...] = ()
    """Of referrers only types like these patterns; all, if there are none."""
    digest_tags: bool = False
    """Whether what tags such as `sha256-….sig` name is copied."""
    platforms: tuple[str, ...] = ()
    """Of an index only these platforms; all, if there are none."""
    sparse: bool = False
    """Whether the index stays as it is all the same."""

    @property
    def how(self) -> str:
        """A mark of what is made of a manifest."""
        return " ".join(self.platforms) if not self.sparse else ""

    @property
    def what_refers(self) -> str:
        """A mark of which referrers go along; empty for none."""
        parts = ["lists" if self.referrers else "", "tags" if self.digest_tags else "", *self.artifact_types]
        return " ".join(filter(None, parts))


class Item(Result, msgspec.Struct, frozen=True, kw_only=True):
    """One tag at a target."""

    tag: str
    """The tag; of what has none, its digest."""
    state: State
    digest: Digest | None = None
    """What the tag is to name; null where the source does not have it."""
    original: Digest | None = None
    """What the source has, where that is another: platforms were chosen."""
    previous: Digest | None = None
    """What the tag names at the target."""
    backup: str | None = None
    """The tag that `previous` gets before."""
    because: str = ""
    """Why it is kept."""
    since: datetime | None = None
    """Since when the source is known not to have it."""

    @property
    def source_digest(self) -> Digest | None:
        """What is copied."""
        return self.original or self.digest


class Leg(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What goes from one place to another."""

    mirror: str
    """The mirror's name."""
    source: str
    """The location of the repository, the layout or the archive."""
    target: str
    """The location where it goes."""
    policy: Policy = Policy()
    items: tuple[Item, ...] = ()
    chosen: int = 0
    """How many tags of the source were chosen."""


class Trouble(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What could not be planned or done, while the rest went on."""

    mirror: str
    reference: str
    """What it is about: a source, a target, or a tag of one."""
    code: str
    """Which case it is; see the page on exit codes."""
    exit: int
    """The exit code of the kind."""
    message: str
    cause: str | None = None
    remedy: str | None = None
    fields: dict[str, Any] = {}
    """What it is about, as an error has it."""

    @property
    def registry(self) -> str | None:
        """The host that could not be reached."""
        host = self.fields.get("registry")
        return host if isinstance(host, str) else None

    @classmethod
    def of(cls, error: LadingError, mirror: str, reference: str) -> Self:
        """The trouble that an error is."""
        return cls(
            mirror=mirror,
            reference=reference,
            code=error.code,
            exit=error.exit_code,
            message=error.message,
            cause=error.cause,
            remedy=error.remedy,
            fields=error.fields,
        )


class MirrorPlan(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror is going to do; `client.mirror.plan` makes one, and `client.mirror.run` carries it out."""

    document_fields: ClassVar[tuple[str, ...]] = (
        *("version", "made", "state", "hosts", "legs", "troubles", "requests", "pulls_left", "counts"),
    )

    version: int = VERSION
    made: datetime
    """When it was made."""
    state: str | None = None
    """The name of the state that it goes with."""
    hosts: dict[str, HostLimits] = {}
    legs: tuple[Leg, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    """What could not be planned."""
    requests: int = 0
    """How many requests it took."""
    pulls_left: dict[str, int] = {}
    """By host, how many pulls it said are left."""

    @property
    def counts(self) -> dict[str, int]:
        """How many tags are in each state, and how many could not be planned."""
        states: Counter[str] = Counter(item.state for _, item in self.items())
        return {state: states[state] for state in get_args(State)} | {"failed": len(self.troubles)}

    @property
    def changes(self) -> int:
        """How many tags would be written, or looked at again for what refers to them."""
        return sum(item.state in CHANGES for _, item in self.items())

    @property
    def exit_code(self) -> int:
        """That of what could not be planned, where that is of one kind; 1 where it is of several; else 0."""
        return exit_code_of(trouble.exit for trouble in self.troubles)

    def items(self) -> Iterator[tuple[Leg, Item]]:
        """Every tag, with the leg that it is of."""
        return ((leg, item) for leg in self.legs for item in leg.items)

    @classmethod
    def from_json(cls, raw: bytes, what: str = "the plan") -> Self:
        """Read a plan that was kept.

        Args:
            raw: the JSON.
            what: what it is called in messages.

        Raises:
            UsageError: it is none, or of a version that is not known.
        """
        try:
            version = msgspec.json.decode(raw, type=_Version).version
            if version != VERSION:
                raise UsageError(f"{what} is of version {version}, and {VERSION} is known", remedy="make it again")
            found = msgspec.json.decode(raw, type=cls, dec_hook=_read)
            for leg in found.legs:
                _check(leg)
            return found
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(
                f"{what} is no plan of a mirror", cause=str(error), code="invalid-plan", remedy="make one"
            ) from None


def _check(leg: Leg) -> None:
    """Refuse what no plan says: a file may be from anybody.

    Raises:
        UsageError: it names what cannot be.
    """
    parse_location(leg.source)
    parse_location(leg.target)
    for item in leg.items:
        if not is_tag(item.tag) and not is_digest(item.tag):
            raise InvalidReference(f"{item.tag!r} in the plan is no tag")
        if item.backup is not None:
            check_tag(item.backup)
        if item.state in CHANGES and item.digest is None:
            raise UsageError(f"the plan does not say what the tag {item.tag} is to name")
    for platform in leg.policy.platforms:
        Platform.parse(platform)


class _Version(msgspec.Struct):
    version: int


def _read(kind: type, value: Any) -> Any:
    return kind(value)


def exit_code_of(codes: Iterator[int] | list[int]) -> int:
    """The exit code of several failures: theirs, where all have one; else 1; 0 for none."""
    kinds = set(codes)
    return kinds.pop() if len(kinds) == 1 else int(bool(kinds))
