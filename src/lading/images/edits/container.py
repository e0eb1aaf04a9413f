"""Edits of how a container runs: its command, its user, its ports (image-spec config §Properties, `config`).

This module knows configs, and nothing of where images are.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import msgspec

from lading.errors import UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing

_SECOND = 1_000_000_000


class _Arguments(Edit, frozen=True):
    field: ClassVar[str]

    arguments: tuple[str, ...] | str | None
    """The arguments; a text is run by the image's shell, as in a Dockerfile; None takes all of them away."""
    append: bool = False
    """Whether the arguments come after those that are there."""

    def __post_init__(self) -> None:
        """Refuse what is no command."""
        if self.append and not isinstance(self.arguments, tuple):
            raise UsageError("what is appended are arguments, and no text for a shell")
        if self.arguments is not None and not self.arguments:
            raise UsageError(f"{self.field} without arguments is none", remedy="take it away instead")

    async def apply(self, image: Editing) -> None:
        """Change the arguments, and nothing else."""
        old = image.container.get(self.field) or []
        if isinstance(self.arguments, str):
            new = [*shell_of(image), self.arguments]
        else:
            new = [*(old if self.append else ()), *(self.arguments or ())]
        if new != old:
            image.set_container(self.field, new or None)


class SetEntrypoint(_Arguments, frozen=True):
    """What a container runs, whatever arguments it is given. `Cmd`, its default arguments, stays."""

    field: ClassVar[str] = "Entrypoint"


class SetCommand(_Arguments, frozen=True):
    """The default arguments of the entrypoint; without an entrypoint, what a container runs (`Cmd`)."""

    field: ClassVar[str] = "Cmd"


class SetShell(_Arguments, frozen=True):
    """What runs a command that is a text: in Dockerfiles that build on the image, and in later edits."""

    field: ClassVar[str] = "Shell"

    def __post_init__(self) -> None:
        """Refuse a text."""
        super().__post_init__()
        if isinstance(self.arguments, str):
            raise UsageError("a shell has arguments, and is no text")


class SetOnBuild(_Arguments, frozen=True):
    """The instructions of a Dockerfile that are run in builds on top of the image (`OnBuild`)."""

    field: ClassVar[str] = "OnBuild"


class _Text(Edit, frozen=True):
    field: ClassVar[str]

    value: str | None
    """None takes it away."""

    def __post_init__(self) -> None:
        """Refuse what cannot be one."""
        if self.value is not None and (not self.value or "\0" in self.value):
            raise UsageError(f"{self.value!r} cannot be the {self.field} of a container")

    async def apply(self, image: Editing) -> None:
        """Change this field."""
        if (image.container.get(self.field) or None) != self.value:
            image.set_container(self.field, self.value)


class SetUser(_Text, frozen=True):
    """The user that a container runs as: a name or a number, with `:` and a group or without."""

    field: ClassVar[str] = "User"


class SetWorkdir(_Text, frozen=True):
    """The directory that a container begins in (`WorkingDir`)."""

    field: ClassVar[str] = "WorkingDir"


class SetHostname(_Text, frozen=True):
    """The name of a container's machine."""

    field: ClassVar[str] = "Hostname"


class SetStopSignal(_Text, frozen=True):
    """The signal that ends a container: such as `SIGTERM`, `SIGRTMIN+3` or `9`."""

    field: ClassVar[str] = "StopSignal"

    def __post_init__(self) -> None:
        """Refuse what is no signal."""
        super().__post_init__()
        if self.value is not None and not re.fullmatch(r"SIG[A-Z][A-Z0-9]*(?:[+-][0-9]+)?|[0-9]{1,3}", self.value):
            raise UsageError(f"{self.value!r} is no signal", remedy="give one such as SIGTERM or 15")


class SetStopTimeout(Edit, frozen=True):
    """How long a container has to end after the signal, before it is killed (Docker's `StopTimeout`)."""

    seconds: int | None
    """None takes it away."""

    def __post_init__(self) -> None:
        """Refuse what is no length of time."""
        if self.seconds is not None and self.seconds < 0:
            raise UsageError(f"a container cannot end within {self.seconds} seconds")

    async def apply(self, image: Editing) -> None:
        """Change this field."""
        if image.container.get("StopTimeout") != self.seconds:
            image.set_container("StopTimeout", self.seconds)


class SetArgsEscaped(Edit, frozen=True):
    """Whether the command of a Windows container is one text that is escaped already (`ArgsEscaped`)."""

    value: bool | None
    """None takes the field away."""

    async def apply(self, image: Editing) -> None:
        """Change this field."""
        if image.container.get("ArgsEscaped") != self.value:
            image.set_container("ArgsEscaped", self.value)


class _Member(Edit, frozen=True):
    """A key of an object that is used as a set."""

    field: ClassVar[str]

    name: str
    present: bool = True
    """False takes it away."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """How it may be said; the first is how it is written."""
        return (self.name,)

    async def apply(self, image: Editing) -> None:
        """Add it or take it away; the keys are written in their order, as Go does."""
        members: dict[str, Any] = dict(image.container.get(self.field) or {})
        known = [said for said in self.spellings if said in members]
        if bool(known) == self.present:
            return
        for said in known:
            del members[said]
        if self.present:
            members[self.spellings[0]] = {}
        image.set_container(self.field, dict(sorted(members.items())) or None)


class SetPort(_Member, frozen=True):
    """Say that a container listens on a port, or say it no more (`ExposedPorts`): `80`, `80/tcp`, `53/udp`."""

    field: ClassVar[str] = "ExposedPorts"

    def __post_init__(self) -> None:
        """Refuse what is no port."""
        number, _, protocol = self.name.partition("/")
        is_number = bool(re.fullmatch(r"[0-9]{1,5}", number)) and 0 < int(number) < 65536
        if not is_number or ("/" in self.name and protocol not in ("tcp", "udp", "sctp")):
            raise UsageError(f"{self.name!r} is no port", remedy="give one such as 80, 80/tcp or 53/udp")

    @property
    def spellings(self) -> tuple[str, ...]:
        """A port without a protocol is one of TCP."""
        number, _, protocol = self.name.partition("/")
        return (f"{number}/tcp", number) if protocol in ("", "tcp") else (self.name,)


class SetVolume(_Member, frozen=True):
    """Say that a directory is a volume of its own in each container, or say it no more."""

    field: ClassVar[str] = "Volumes"

    def __post_init__(self) -> None:
        """Refuse what is no directory."""
        if not self.name or "\0" in self.name:
            raise UsageError(f"{self.name!r} cannot be a volume")


class SetHealthcheck(Edit, frozen=True, kw_only=True):
    """How it is found out whether a container works (Docker's `Healthcheck`): only what is said here is changed."""

    test: tuple[str, ...] | str | None = None
    """A command and its arguments; a text is run by the container's shell; none at all turns off a base's check."""
    interval: float | None = None
    """Between two checks, in seconds; so are the other times."""
    timeout: float | None = None
    start_period: float | None = None
    """How long a container may take to begin."""
    start_interval: float | None = None
    """Between two checks while it begins."""
    retries: int | None = None
    """How many checks have to fail in a row."""

    def __post_init__(self) -> None:
        """Refuse what is no length of time."""
        times = (self.interval, self.timeout, self.start_period, self.start_interval)
        for value in (*times, self.retries):
            if value is not None and not 0 <= value < 2**33:
                raise UsageError(f"{value} is no time or number of a health check")
        if self.test == "":
            raise UsageError("a health check without a command is none", remedy="take it away instead")

    async def apply(self, image: Editing) -> None:
        """Change these fields, and keep the others."""
        check: dict[str, Any] = dict(image.container.get("Healthcheck") or {})
        if self.test is not None:
            kind = "CMD-SHELL" if isinstance(self.test, str) else "CMD" if self.test else "NONE"
            check["Test"] = [kind, *([self.test] if isinstance(self.test, str) else self.test)]
        for key, value in (
            ("Interval", self.interval),
            ("Timeout", self.timeout),
            ("StartPeriod", self.start_period),
            ("StartInterval", self.start_interval),
        ):
            if value is not None:
                check[key] = round(value * _SECOND)
        if self.retries is not None:
            check["Retries"] = self.retries
        ordered = {key: check[key] for key in _HEALTH if key in check} | check
        if ordered != (image.container.get("Healthcheck") or {}):
            image.set_container("Healthcheck", ordered)


_HEALTH = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


class RemoveHealthcheck(Edit, frozen=True):
    """Take the health check away: containers have the one of the base no more, nor any."""

    async def apply(self, image: Editing) -> None:
        """Remove the field."""
        if image.container.get("Healthcheck") is not None:
            image.set_container("Healthcheck", None)


def shell_of(image: Editing) -> list[str]:
    """What runs a command that is a text: the image's own shell, or the usual one of its operating system."""
    own = image.container.get("Shell")
    if own:
        return list(msgspec.convert(own, list[str]))
    return ["cmd", "/S", "/C"] if image.config.get("os") == "windows" else ["/bin/sh", "-c"]
