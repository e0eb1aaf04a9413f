"""Edits of a config: labels, variables, the platform and the author (image-spec config §Properties)."""

from __future__ import annotations

from lading.errors import UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.model.platform import Platform


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


class SetAuthor(Edit, frozen=True):
    """Who made the image (`author`)."""

    value: str | None
    """None takes the author away."""

    async def apply(self, image: Editing) -> None:
        """Change this field."""
        if image.config.get("author") != self.value:
            image.set_config("author", self.value)


class SetPlatform(Edit, frozen=True):
    """What the image is for: in its config, and in the index that lists it.

    What `platform` says of a version or features of the operating system is set; what it does not say stays, unless the
    operating system is another.
    """

    platform: Platform

    def __post_init__(self) -> None:
        """Refuse a platform without an operating system or an architecture."""
        if not self.platform.os or not self.platform.architecture:
            raise UsageError("a platform has an operating system and an architecture, such as linux/arm64")

    async def apply(self, image: Editing) -> None:
        """Change these fields."""
        new = self.platform.to_document()
        gone = {"variant"} | ({"os.version", "os.features"} if image.config.get("os") != self.platform.os else set())
        for key in ("architecture", "os", "variant", "os.version", "os.features"):
            value = new.get(key)
            if (value is not None or key in gone) and image.config.get(key) != value:
                image.set_config(key, value)


class SetOsVersion(Edit, frozen=True):
    """Which version of the operating system the image needs (`os.version`): in its config, and in the index."""

    value: str | None
    """None takes the version away."""

    async def apply(self, image: Editing) -> None:
        """Change this field."""
        if image.config.get("os.version") != self.value:
            image.set_config("os.version", self.value)


class SetOsFeature(Edit, frozen=True):
    """A feature that the operating system must have (`os.features`): in the config, and in the index."""

    name: str
    present: bool = True
    """False takes the feature away."""

    async def apply(self, image: Editing) -> None:
        """Add it at the end, or take it away."""
        features: list[str] = list(image.config.get("os.features") or [])
        if (self.name in features) != self.present:
            others = [name for name in features if name != self.name]
            image.set_config("os.features", ([*others, self.name] if self.present else others) or None)
