"""Edits of a config: how a container runs, and what the image says of itself (image-spec config §Properties)."""

from __future__ import annotations

from lading.errors import UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing


class SetLabel(Edit, frozen=True):
    """Give the image a label, or take one away."""

    name: str
    value: str | None
    """None takes the label away."""

    async def apply(self, image: Editing) -> None:
        """Labels are written in the order of their names, as Go does."""
        labels = dict(image.container.get("Labels") or {})
        if labels.get(self.name) == self.value:
            return
        if self.value is None:
            del labels[self.name]
        else:
            labels[self.name] = self.value
        image.set_container("Labels", dict(sorted(labels.items())) or None)


class SetEnv(Edit, frozen=True):
    """Give a container a variable, or take one away; one that is there keeps its place."""

    name: str
    value: str | None
    """None takes the variable away."""

    def __post_init__(self) -> None:
        """Refuse a name that no variable can have."""
        if not self.name or "=" in self.name or "\0" in self.name + (self.value or ""):
            raise UsageError(f"{self.name!r} cannot be the name of a variable")

    async def apply(self, image: Editing) -> None:
        """On Windows the case of a name does not count."""
        fold = str.upper if image.config.get("os") == "windows" else str
        old: list[str] = image.container.get("Env") or []
        places = [n for n, said in enumerate(old) if fold(said.partition("=")[0]) == fold(self.name)]
        if self.value is None:
            new = [said for n, said in enumerate(old) if n not in places]
        elif places:
            new = [said for n, said in enumerate(old) if n not in places[1:]]
            new[places[0]] = f"{self.name}={self.value}"
        else:
            new = [*old, f"{self.name}={self.value}"]
        if new != old:
            image.set_container("Env", new or None)
