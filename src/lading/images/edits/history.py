"""Edits of a history: what the builder was told, which nobody else is to read (image-spec config §history)."""

from __future__ import annotations

import re

from lading.errors import LadingError, NotFound, UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing, HistoryEntry
from lading.model.text import excerpt

_ARG = r"(?:/bin/sh -c #\(nop\)\s+)?ARG (?P<name>[^\s=]+)(?:=.*)?"
_RUN = r"(?s)(?P<run>(?:RUN )?)\|(?P<count>[0-9]{1,4}) (?P<rest>.*)"


class RemoveBuildArg(Edit, frozen=True):
    """Remove a build argument from the history: the step that declares it, and its value in the steps that ran."""

    name: str
    value: str | None = None
    """Only where it has this value; None for any."""
    is_pattern: bool = False
    """Whether the value is a regular expression, which the whole value has to match."""

    def __post_init__(self) -> None:
        """Refuse what is no name or no expression."""
        if not re.fullmatch(r"[^\s=]+", self.name):
            raise UsageError(f"{self.name!r} cannot be the name of a build argument")
        if self.is_pattern:
            try:
                re.compile(self.value or "")
            except re.error as error:
                raise UsageError(f"{self.value!r} is no regular expression", cause=str(error)) from None

    async def apply(self, image: Editing) -> None:
        """Remove it.

        Raises:
            UsageError: a step does not show where its value ends.
        """
        assert image.config is not None  # an artifact has no history, and is refused
        kept: list[HistoryEntry] = []
        for entry in image.history:
            said = (entry.document or {}).get("created_by")
            if not isinstance(said, str) or entry.document is None:
                kept.append(entry)
                continue
            if entry.layer is None and self._declares(said):
                image.has_found.add(self)
                continue
            changed = self._without(said, image)
            if changed != said:
                image.has_found.add(self)
                entry.document = {**entry.document, "created_by": changed}
            kept.append(entry)
        image.history[:] = kept

    def missing(self, title: str) -> LadingError:
        """The error that no step has it."""
        said = self.name if self.value is None else f"{self.name} with this value"
        return NotFound(
            f"no step in the history of {title} has the build argument {excerpt(said)}",
            code="build-argument-not-found",
            fields={"reference": title, "name": self.name},
        )

    def _declares(self, said: str) -> bool:
        """Whether a step is `ARG NAME`, or `ARG NAME=DEFAULT` with a default that is meant."""
        match = re.fullmatch(f"(?s){_ARG}", said)
        return match is not None and match["name"] == self.name

    def _without(self, said: str, image: Editing) -> str:
        """A step without the argument: `RUN |2 A=1 B=2 /bin/sh -c make` has the number of arguments, and each."""
        match = re.fullmatch(_RUN, said)
        if match is None or int(match["count"]) == 0:
            return said
        found = self._place(match["rest"], int(match["count"]), image)
        if found is None:
            return said
        rest = match["rest"][: found[0]] + match["rest"][found[1] :]
        count = int(match["count"]) - 1
        return f"{match['run']}|{count} {rest}" if count else match["run"] + rest

    def _place(self, rest: str, count: int, image: Editing) -> tuple[int, int] | None:
        """Where the argument is, with the space after it; None where the step has none that is meant."""
        if self.value is not None and not self.is_pattern:
            literal = re.search(rf"(?:^|(?<= )){re.escape(f'{self.name}={self.value}')} ", rest)
            return literal.span() if literal is not None else None
        shell = re.search(r"(?:^|(?<= ))(?:/\S+ (?:-\S+ )*-\w*c |cmd /S /C |powershell )", rest)
        said = rest[: shell.start()] if shell is not None else rest
        begins = [match.start() for match in re.finditer(r"(?:^|(?<= ))[A-Za-z_][\w.-]*=", said)]
        mine = next((n for n, at in enumerate(begins) if said.startswith(f"{self.name}=", at)), None)
        if mine is None:
            return None
        if shell is None or len(begins) != count:
            raise UsageError(
                f"a step of {image.title} does not show where the value of {excerpt(self.name)} ends",
                remedy="give the value, too",
                code="build-argument-unclear",
                fields={"reference": image.title, "name": self.name},
            )
        end = begins[mine + 1] if mine + 1 < count else len(said)
        value = said[begins[mine] + len(self.name) + 1 : end].removesuffix(" ")
        is_meant = self.value is None or re.fullmatch(self.value, value) is not None
        return (begins[mine], end) if is_meant else None
