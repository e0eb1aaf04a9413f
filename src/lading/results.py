"""What the client's methods return, where it is not a value of the model.

Pure values, without any knowledge of how they come about; `--format json` prints them as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from lading.model.platform import Platform
    from lading.model.selection import Selection


class TagChange(msgspec.Struct, kw_only=True):
    """What became, or would become, of one tag."""

    reference: str
    digest: str
    state: Literal["set", "new", "moved", "unchanged"]
    """`set`: the tag names the digest now, and what it named before was not asked for."""
    previous: str | None = None
    """The digest it named before, where that was asked for."""


class TagInfo(msgspec.Struct, kw_only=True):
    """A tag and, where it was asked for, what it names."""

    tag: str
    digest: str | None = None
    """None where it was not asked for."""
    media_type: str | None = None


class Deletion(msgspec.Struct, kw_only=True):
    """What a deletion takes with it."""

    reference: str
    digest: str
    tags: list[str]
    """Every tag that names the digest, and so is gone with it."""
    listed_in: list[str] = []
    """The tags of every index that lists the digest, directly or in an index of its own, and so would break."""


class Resolution(msgspec.Struct, kw_only=True):
    """What clients take when they pull a name."""

    reference: str
    platform: str | None
    """What they are asked for; None where each asks for what its host is."""
    host: Platform
    """The machine they run on."""
    selections: list[Selection]
    """What each takes, in the order they were given."""

    @property
    def is_pulled(self) -> bool:
        """Whether every client gets an image."""
        return all(selection.is_pulled for selection in self.selections)

    @property
    def is_unanimous(self) -> bool:
        """Whether all clients take the same, be it an image or nothing."""
        return len({selection.digest if selection.is_pulled else None for selection in self.selections}) <= 1
