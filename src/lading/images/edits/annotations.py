"""Edits of annotations, each with its scope: manifests, the index, or the entries of the index."""

from __future__ import annotations

from typing import Literal

from lading.errors import UsageError
from lading.images.bases import BASE_DIGEST, BASE_NAME
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.images.edits.index_editing import IndexEditing
from lading.model.digest import Digest
from lading.model.encoding import Document
from lading.model.index import Index, is_attestation
from lading.model.reference import Reference
from lading.store import fetch_manifest, may_be_manifest

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


class LabelsToAnnotations(Edit, frozen=True):
    """Make annotations of the manifest of all labels that the config has; the labels stay."""

    async def apply(self, image: Editing) -> None:
        """Add the annotations; one of the same name gets the label's value.

        Raises:
            Unsupported: Docker's format has no place for annotations.
        """
        for name, value in (image.container.get("Labels") or {}).items():
            await SetAnnotation(name, str(value)).apply(image)


class PromoteAnnotations(Edit, frozen=True):
    """Annotate the index with the annotations that the manifests of all its images have with one value."""

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Add them; those of the images stay. Attestations and artifacts are no images."""
        listed = [
            await fetch_manifest(index.overlay, entry.content)
            for entry in index.listed
            if may_be_manifest(entry) and not is_attestation(entry)
        ]
        said = [set(one.annotations.items()) for one in listed if isinstance(one, Index) or one.is_image]
        common = said[0].intersection(*said) if said else set[tuple[str, str]]()
        for name, value in sorted(common):
            await SetAnnotation(name, value, "index").apply_to_index(index)


class SetBase(Edit, frozen=True):
    """Say what an image is built on: in its annotations, and in those of the index that lists it.

    These are the annotations `org.opencontainers.image.base.*` (image-spec annotations).
    """

    name: str
    """The base's reference, with a tag."""
    digest: str
    """The digest of the base's manifest."""
    is_needed: bool = True
    """False leaves out what Docker's format has no place for."""

    def __post_init__(self) -> None:
        """Refuse what is no reference or no digest."""
        if Reference.parse(self.name).digest is not None:
            raise UsageError(f"the base {self.name!r} has a digest already")
        Digest(self.digest)

    async def apply(self, image: Editing) -> None:
        """Annotate the manifest."""
        if self.is_needed or image.family == "oci":
            for edit in self._annotations("manifest"):
                await edit.apply(image)

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Annotate the index, if all of its images have this base now."""
        if index.is_whole and (self.is_needed or not index.is_docker):
            for edit in self._annotations("index"):
                await edit.apply_to_index(index)

    def _annotations(self, scope: Scope) -> tuple[SetAnnotation, SetAnnotation]:
        return (
            SetAnnotation(BASE_DIGEST, self.digest, scope),
            SetAnnotation(BASE_NAME, self.name, scope),
        )
