"""Edited images as values: an image or an index, and the edits that are to be applied to it when it is written.

This module knows views, and neither locations nor how content is copied.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from lading.arguments import several
from lading.images.edits.annotations import Scope, SetAnnotation
from lading.images.edits.apply import Attestations, edit
from lading.images.edits.config import SetEnv, SetLabel
from lading.images.edits.edit import Edit
from lading.images.edits.report import ManifestChange
from lading.images.platforms import what_is_there
from lading.model.platform import Platform
from lading.transfer.transform import Graph, HasGraph


class Editable:
    """What can be edited: each method gives a new value, and nothing is read or written."""

    @abstractmethod
    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The same with edits, after those that it has.

        Args:
            edits: what is changed; an index has them in each of its images, and then in itself.
            platforms: of an index, only the images for these; None for those that were chosen before, at first all.
        """

    def with_label(self, name: str, value: str | None) -> EditedImage:
        """The same with a label in its config; None takes the label away."""
        return self.edited(SetLabel(name, value))

    def with_env(self, name: str, value: str | None) -> EditedImage:
        """The same with a variable of its containers; None takes the variable away.

        Raises:
            UsageError: no variable can have this name.
        """
        return self.edited(SetEnv(name, value))

    def with_annotation(self, name: str, value: str | None, *, scope: Scope = "manifest") -> EditedImage:
        """The same with an annotation; None takes the annotation away.

        Args:
            name: the key.
            value: the value.
            scope: whose: `manifest`, `index`, or `descriptor`, an entry of the index.
        """
        return self.edited(SetAnnotation(name, value, scope))


class EditedImage(Editable):
    """An image or an index with edits. It is a value: it is written by `client.images.push` or `client.copy`.

    Args:
        source: what is edited.
        edits: the edits, in order.
        platforms: of an index, only the images for these.
        attestations: what becomes of the attestations of edited images: `keep` or `drop`.
    """

    def __init__(
        self,
        source: HasGraph,
        edits: tuple[Edit, ...] = (),
        platforms: tuple[Platform, ...] = (),
        attestations: Attestations = "keep",
    ) -> None:
        self.source = source
        self.edits = edits
        self.platforms = platforms
        self.attestations: Attestations = attestations

    def __repr__(self) -> str:
        """Such as `<EditedImage docker.io/library/alpine:3.20 2 edits>`."""
        return f"<EditedImage {self.source.graph().title} {len(self.edits)} edits>"

    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The same with edits, after those that it has; see `Editable.edited`."""
        wanted = self.platforms if platforms is None else parse_platforms(platforms)
        return EditedImage(self.source, (*self.edits, *edits), wanted, self.attestations)

    def graph(self, changes: list[ManifestChange] | None = None) -> Graph:
        """What a copy reads, with the edits as its transform.

        Args:
            changes: gets what the edits have changed, once they were applied.
        """
        graph = self.source.graph()
        transform = edit(self.edits, self.platforms, attestations=self.attestations, changes=changes)
        first = (what_is_there(),) if graph.store.traits.is_partial else ()
        return graph.changed(transforms=(*graph.transforms, *first, transform))


def parse_platforms(platforms: Iterable[Platform | str] | Platform | str) -> tuple[Platform, ...]:
    """Platforms from their texts, or as they are.

    Raises:
        InvalidPlatform: a text is none.
    """
    return tuple(Platform.parse(one) if isinstance(one, str) else one for one in several(platforms))
