"""Edits of the times that a config says: when the image was made, and each step of its history.

This module knows configs. It asks no clock: times are given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from lading.errors import NotFound, UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.model.reference import Reference
from lading.model.text import excerpt
from lading.stores.location import AnyLocation, Location

if TYPE_CHECKING:
    from lading.images.edits.base import Base


class SetCreated(Edit, frozen=True):
    """When the image was made (`created`); the history keeps its times."""

    time: datetime | None
    """With a time zone; None takes the time away."""

    def __post_init__(self) -> None:
        """Refuse a time without a time zone."""
        if self.time is not None:
            rfc3339(self.time)

    async def apply(self, image: Editing) -> None:
        """Change this field, unless it says the same time already."""
        said = image.config.get("created")
        if self.time is None:
            if said is not None:
                image.set_config("created", None)
        elif moment_of(said) != self.time:
            image.set_config("created", rfc3339(self.time))


class Times(Edit, frozen=True, kw_only=True):
    """What edits of many times have in common: where a time comes from, and what keeps its own."""

    label: str | None = None
    """The label that has the time (RFC 3339), where none is given."""
    only_later: bool = False
    """Change only times that are later: no time is later then than this."""
    skip: int = 0
    """How many of the lowest layers keep their times: those of the base image."""
    base: Base | AnyLocation | None = None
    """What the image is built on: its layers keep their times. A place is read by `client.images`."""

    @property
    def named_base(self) -> AnyLocation | None:
        """The base, where it is named by its place."""
        return self.base if isinstance(self.base, str | Location | Reference) else None

    def with_base(self, base: Base) -> Edit:
        """The same with what is there."""
        return msgspec.structs.replace(self, base=base)

    async def image_below(self, image: Editing) -> Editing | None:
        """The image that an image is built on; None where no base was named.

        Raises:
            LadingError: it is not built on that.
            UsageError: the base is a place that was not read.
        """
        if self.base is None:
            return None
        if isinstance(self.base, str | Location | Reference):
            raise UsageError(f"the base {self.base} was not read", remedy="give it as a Base, or use client.images")
        below = await self.base.image(image)
        original = image.original_config
        ours = original.diff_ids if original is not None else ()
        self.base.check(image.title, ours, [layer.diff_id for layer in below.layers])
        return below

    async def layers_kept(self, image: Editing) -> int:
        """How many of the lowest layers keep their times."""
        below = await self.image_below(image)
        if below is None:
            return self.skip
        theirs = {layer.diff_id for layer in below.layers}
        own = (number for number, layer in enumerate(image.layers) if layer.original not in theirs)
        return max(self.skip, next(own, len(image.layers)))

    def labelled(self, image: Editing) -> datetime:
        """The time that the label says.

        Raises:
            NotFound: the image has no such label.
            UsageError: what the label says is no time.
        """
        label = self.label or ""
        said = (image.container.get("Labels") or {}).get(label)
        if said is None:
            raise NotFound(
                f"{image.title} has no label {excerpt(label)}",
                code="label-not-found",
                fields={"reference": image.title, "label": label},
            )
        found = moment_of(said)
        if found is None:
            raise UsageError(f"the label {excerpt(label)} of {image.title} is no time: {excerpt(str(said))}")
        return found


class SetConfigTimes(Times, frozen=True, kw_only=True):
    """The times of a config: when the image was made, and the steps of its history that have a time."""

    time: datetime | None = None
    """With a time zone; None for the one in a label."""
    after: datetime | None = None
    """Change only times that are later than this; None for all, or with `only_later` for those later than the time."""

    def __post_init__(self) -> None:
        """Refuse what says no time, or two."""
        if (self.time is None) == (self.label is None):
            raise UsageError("a time is given, or a label that has one")
        for time in (self.time, self.after):
            if time is not None:
                rfc3339(time)

    async def apply(self, image: Editing) -> None:
        """Change the times; a step without one gets none.

        Raises:
            NotFound: the image has no such label.
            LadingError: it is not built on the base.
            UsageError: what the label says is no time.
        """
        time = self.time if self.time is not None else self.labelled(image)
        said = image.config.get("created")
        if self._is_meant(said, time) and said is not None:
            image.set_config("created", rfc3339(time))
        for entry in image.history[await self._steps_kept(image) :]:
            old = (entry.document or {}).get("created")
            if entry.document is not None and old is not None and self._is_meant(old, time):
                entry.document = {**entry.document, "created": rfc3339(time)}

    async def _steps_kept(self, image: Editing) -> int:
        """How many steps of the history keep their times: those of layers that do, and of the base."""
        ends = [number for number, entry in enumerate(image.history, 1) if entry.layer is not None]
        kept = ends[min(self.skip, len(ends)) - 1] if ends and self.skip else 0
        below = await self.image_below(image)
        if below is None:
            return kept
        from lading.images.edits.rebase import steps_of_base

        return max(kept, steps_of_base(image.history, below.history))

    def _is_meant(self, said: object, time: datetime) -> bool:
        """Whether a time is changed: what is none is never later."""
        old = moment_of(said)
        limit = self.after if self.after is not None else time if self.only_later else None
        return old != time and (limit is None or (old is not None and old > limit))


def moment_of(text: object) -> datetime | None:
    """The time that a text in RFC 3339 says; None for what is no time."""
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", str(text), re.ASCII
    )
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        return None


def rfc3339(time: datetime) -> str:
    """A time as configs have it: of UTC, with no more of a second than it has.

    Raises:
        UsageError: it has no time zone, or its year has not four digits.
    """
    if time.tzinfo is None:
        raise UsageError(f"{time} has no time zone")
    try:
        utc = time.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{time} is out of range") from None
    fraction = f".{utc.microsecond:06}".rstrip("0").rstrip(".")
    return f"{utc.strftime('%Y').zfill(4)}{utc.strftime('-%m-%dT%H:%M:%S')}{fraction}Z"
