"""Edits of annotations, each with its scope: manifests, the index, or the entries of the index."""

from __future__ import annotations

from typing import Literal

from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.images.edits.index_editing import IndexEditing
from lading.model.encoding import Document

Scope = Literal["manifest", "index", "descriptor"]
"""Whose annotations: those of an image's manifest; of the index; of an entry in the index, the descriptor."""


class SetAnnotation(Edit, frozen=True):
    """Set an annotation, or take one away."""

    name: str
    value: str | None
    """None takes the annotation away."""
    scope: Scope = "manifest"

    @property
    def changes_images(self) -> bool:
        """Whether it is in the manifests of images."""
        return self.scope == "manifest"

    @property
    def changes_index(self) -> bool:
        """Whether it is in the index."""
        return self.scope != "manifest"

    async def apply(self, image: Editing) -> None:
        """Change the manifest of an image or an artifact."""
        if self.scope == "manifest":
            new = self._changed(image.manifest)
            if new is not None:
                image.set_manifest("annotations", new or None)

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Change the index, or its entries of the images that are meant."""
        if self.scope == "index" and (new := self._changed(index.document)) is not None:
            index.set_field("annotations", new or None)
        if self.scope == "descriptor":
            for position in index.meant:
                if (new := self._changed(index.entries[position])) is not None:
                    index.set_entry_field(position, "annotations", new or None)

    def _changed(self, document: Document) -> dict[str, str] | None:
        """The annotations of a document as they are to be; None where they are so already."""
        annotations = dict(document.get("annotations") or {})
        if annotations.get(self.name) == self.value:
            return None
        annotations.pop(self.name, None)
        if self.value is not None:
            annotations[self.name] = self.value
        return dict(sorted(annotations.items()))
