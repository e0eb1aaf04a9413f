"""What a run of a mirror did, tag by tag: a value that is written to a file, and read again to do what failed. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal, Self

import msgspec

from lading.errors import UsageError
from lading.mirror.plan import Trouble, exit_code_of
from lading.model.digest import Digest
from lading.model.document import Result

VERSION = 1
Outcome = Literal["new", "moved", "referrers", "unchanged", "kept", "vanished", "skipped", "failed"]
"""What became of a tag: that of the plan, `skipped` where its turn did not come, `failed`."""
OUTCOMES: tuple[Outcome, ...] = (
    "new",
    "moved",
    "referrers",
    "unchanged",
    "kept",
    "vanished",
    "skipped",
    "failed",
)


class ItemReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What became of one tag at a target."""

    mirror: str
    source: str
    """Where it comes from."""
    target: str
    """Its name at the target."""
    outcome: Outcome
    digest: Digest | None = None
    """What the tag is to name."""
    previous: Digest | None = None
    """What it named before."""
    bytes: int = 0
    """How many bytes of blobs were written for it; of tags of one digest, the first has all."""
    mounted: int = 0
    """How many bytes were mounted."""
    seconds: float = 0.0
    """How long it took."""
    error: Trouble | None = None


class MirrorReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a mirror did."""

    version: int = VERSION
    started: datetime
    ended: datetime
    outcome: Literal["done", "partial", "failed", "interrupted"]
    """`partial`: something failed or was skipped, and something was not; `failed`: nothing went well."""
    counts: dict[str, int]
    """How many tags have each outcome."""
    bytes_written: int
    """Of blobs, over all targets."""
    bytes_mounted: int
    requests: dict[str, dict[str, int]]
    """By host, how many of each method were sent; `limited` of them were answered that there are too many."""
    plan_requests: int = 0
    """How many requests the plan took before."""
    pulls_left: dict[str, int]
    """By host, how many pulls it said last are left."""
    items: tuple[ItemReport, ...]

    @property
    def troubles(self) -> list[Trouble]:
        """What failed, and what was skipped for a reason."""
        return [item.error for item in self.items if item.error is not None]

    @property
    def exit_code(self) -> int:
        """0 where all was done; the exit code of what failed, where that is of one kind; else 1."""
        return exit_code_of([trouble.exit for trouble in self.troubles])

    @property
    def unfinished(self) -> set[tuple[str, str]]:
        """The mirrors and targets of what failed or was skipped."""
        return {(item.mirror, item.target) for item in self.items if item.outcome in ("failed", "skipped")}

    @classmethod
    def from_json(cls, raw: bytes, what: str = "the report") -> Self:
        """Read a report that was kept.

        Args:
            raw: the JSON.
            what: what it is called in messages.

        Raises:
            UsageError: it is none, or of another version.
        """
        try:
            found = msgspec.json.decode(raw, type=cls, dec_hook=lambda kind, value: kind(value))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{what} is no report of a mirror", cause=str(error), code="invalid-report") from None
        if found.version != VERSION:
            raise UsageError(f"{what} is of version {found.version}, and {VERSION} is known")
        return found


def counts_of(items: list[ItemReport]) -> dict[str, int]:
    """How many items have each outcome."""
    counts = Counter(item.outcome for item in items)
    return {outcome: counts[outcome] for outcome in OUTCOMES}
