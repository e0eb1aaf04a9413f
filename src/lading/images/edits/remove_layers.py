"""Edits that take layers away, with what the history says of them. Knows images while they are edited."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lading.errors import LadingError, NotFound, UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.layer_work import drop_layer, last_one
from lading.images.files.layers import Layer
from lading.images.files.reading import find_layer
from lading.model.digest import Digest
from lading.model.text import excerpt

if TYPE_CHECKING:
    from lading.images.edits.editing import EditedLayer, Editing


class RemoveLayers(Edit, frozen=True, kw_only=True):
    """Take layers away: one that is named, or all that a command made."""

    layer: str | None = None
    """The number of a layer from 1; or its digest or diff ID, or the beginning of one."""
    created_by: str | None = None
    """A regular expression, found anywhere in the text that says in the history what made a layer."""

    def __post_init__(self) -> None:
        """Refuse an expression that is none, and an edit that names nothing."""
        if (self.layer is None) == (self.created_by is None):
            raise UsageError("layers are removed by their name, or by what made them", remedy="give one of the two")
        try:
            re.compile(self.created_by or "")
        except re.error as error:
            raise UsageError(f"{self.created_by!r} is no regular expression", cause=str(error)) from None

    async def apply(self, image: Editing) -> None:
        """Take them away.

        Raises:
            Conflict: no layer would be left.
            Unsupported: it is an artifact.
        """
        _ = image.config
        found = self._named(image) if self.layer is not None else self._made(image)
        if not found:
            return
        image.has_found.add(self)
        if len(found) == len(image.layers):
            raise last_one(image)
        for layer in found:
            drop_layer(image, layer, keep_history=False)

    def missing(self, title: str) -> LadingError:
        """The error that no image has such a layer."""
        said = f"has no layer {excerpt(self.layer)}" if self.layer is not None else "has no layer that was made by that"
        return NotFound(
            f"{title} {said}",
            cause=f"nothing in the history matches {excerpt(self.created_by)}" if self.created_by is not None else None,
            code="layer-not-found",
            fields={"layer": self.layer, "created_by": self.created_by},
        )

    def _named(self, image: Editing) -> list[EditedLayer]:
        layers = [
            Layer(number=number, descriptor=layer.content, diff_id=Digest(layer.diff_id))
            for number, layer in enumerate(image.layers, 1)
        ]
        try:
            found = find_layer(layers, self.layer or "", image.title)
        except NotFound:
            return []
        return [image.layers[found.number - 1]]

    def _made(self, image: Editing) -> list[EditedLayer]:
        wanted = re.compile(self.created_by or "")
        return [
            entry.layer
            for entry in image.history
            if entry.layer is not None and wanted.search(str((entry.document or {}).get("created_by", "")))
        ]
