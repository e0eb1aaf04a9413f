"""Edits of the times that a config says: when the image was made, and each step of its history.

This module knows configs. It asks no clock: times are given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lading.errors import NotFound, UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.model.text import excerpt


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


class SetConfigTimes(Edit, frozen=True, kw_only=True):
    """The times of a config: when the image was made, and the steps of its history that have a time."""

    time: datetime | None = None
    """With a time zone; None for the one in a label."""
    label: str | None = None
    """The label that has the time (RFC 3339), where none is given."""
    only_later: bool = False
    """Change only times that are later: no time is later then than this."""
    skip: int = 0
    """How many of the lowest layers keep the times of their steps: those of the base image."""

    def __post_init__(self) -> None:
        """Refuse what says no time, or two."""
        if (self.time is None) == (self.label is None):
            raise UsageError("a time is given, or a label that has one")
        if self.time is not None:
            rfc3339(self.time)

    async def apply(self, image: Editing) -> None:
        """Change the times; a step without one gets none.

        Raises:
            NotFound: the image has no such label.
            UsageError: what the label says is no time.
        """
        time = self.time if self.time is not None else self._labelled(image)
        said = image.config.get("created")
        if self._is_meant(said, time) and said is not None:
            image.set_config("created", rfc3339(time))
        left = min(self.skip, len(image.layers))
        for entry in image.history:
            if left:
                left -= entry.layer is not None
                continue
            old = (entry.document or {}).get("created")
            if entry.document is not None and old is not None and self._is_meant(old, time):
                entry.document = {**entry.document, "created": rfc3339(time)}

    def _labelled(self, image: Editing) -> datetime:
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

    def _is_meant(self, said: object, time: datetime) -> bool:
        """Whether a time is changed: what is none is never later."""
        old = moment_of(said)
        return old != time and (not self.only_later or (old is not None and old > time))


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
