"""Edits that put layers together: all of an image, or those from one on.

This module knows images while they are edited; what the layers make together is the business of `merge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lading.errors import LadingError, NotFound, Unsupported
from lading.images.edits.edit import Edit
from lading.images.edits.layer_work import check_compression, check_level, drop_layer, kind_of, readable_layers
from lading.images.edits.merge import MergedLayer, merged
from lading.images.files.indexing import Remembered
from lading.images.files.reading import Reading, find_layer
from lading.model.media_types import LayerCompression, LayerType
from lading.model.text import counted, excerpt

if TYPE_CHECKING:
    from lading.images.edits.editing import Editing
    from lading.images.files.layers import Layer


class Flatten(Edit, frozen=True, kw_only=True):
    """Put all layers of an image together to one, sorted, without whiteouts. The config says the rest as before."""

    compression: LayerCompression | None = None
    """Of the new layer; None for that of the lowest layer."""
    level: int | None = None
    """Of the compression; None for what is usual."""
    created: str | None = None
    """When the layer came about, in RFC 3339; None for when the image did."""

    def __post_init__(self) -> None:
        """Refuse a level that there is not."""
        if self.compression is not None:
            check_level(self.compression, self.level)

    async def apply(self, image: Editing) -> None:
        """Put them together, unless there is only one.

        Raises:
            Unsupported: it is an artifact or for Windows, or a layer is no tar archive.
            InvalidContent: a layer is damaged, or one that container engines refuse.
        """
        await _squash(image, readable_layers(image), 0, self, f"lading image flatten {image.original.digest}")


class Squash(Edit, frozen=True, kw_only=True):
    """Put the layers of an image together to one, from one of them to the top. The layers below stay."""

    from_layer: str
    """Its number from 1; its digest or diff ID, or the beginning of one; or a part of the text that says in the history
    what made it: then the lowest of which that is true."""
    compression: LayerCompression | None = None
    """Of the new layer; None for that of the lowest of them."""
    level: int | None = None
    """Of the compression; None for what is usual."""
    created: str | None = None
    """When the layer came about, in RFC 3339; None for when the image did."""

    def __post_init__(self) -> None:
        """Refuse a level that there is not."""
        if self.compression is not None:
            check_level(self.compression, self.level)

    async def apply(self, image: Editing) -> None:
        """Put them together, unless the layer is the topmost.

        Raises:
            Unsupported: it is an artifact or for Windows, or a layer is no tar archive.
            InvalidContent: a layer is damaged, or one that container engines refuse.
        """
        layers = readable_layers(image)
        below = self._below(image, layers)
        if below is None:
            return
        image.has_found.add(self)
        await _squash(
            image, layers, below, self, f"lading: {image.original.digest} squashed from layer {self.from_layer} on"
        )

    def missing(self, title: str) -> LadingError:
        """The error that no image has such a layer."""
        return NotFound(
            f"{title} has no layer {excerpt(self.from_layer)}",
            cause="neither its number nor its digest is that, nor is that in what the history says of it",
            code="layer-not-found",
            fields={"layer": self.from_layer},
        )

    def _below(self, image: Editing, layers: Sequence[Layer]) -> int | None:
        """How many layers stay; None where the layer is not there."""
        try:
            return find_layer(layers, self.from_layer, image.title).number - 1
        except NotFound:
            pass
        made = [entry.document for entry in image.history if entry.layer is not None]
        return next((number for number, said in enumerate(made) if self.from_layer in _created_by(said)), None)


def _created_by(said: Mapping[str, Any] | None) -> str:
    text = (said or {}).get("created_by")
    return text if isinstance(text, str) else ""


async def _squash(image: Editing, layers: Sequence[Layer], below: int, edit: Flatten | Squash, created_by: str) -> None:
    gone = image.layers[below:]
    if len(gone) < 2:
        if gone:
            image.notes.append(f"{image.title} is left as it is: there is only one layer to put together")
        return
    if image.config.get("os") == "windows":
        raise Unsupported(
            f"the layers of {image.title} cannot be put together",
            cause="it is for Windows, whose layers change the registry and files in ways that no other layer can say",
            remedy="leave its layers as they are; of an index, choose the other platforms",
            code="windows-layer",
            fields={"reference": image.title},
        )
    lowest = kind_of(gone[0])
    assert lowest is not None
    compression = edit.compression or lowest.compression
    check_compression(image, compression, edit.level)
    key = (type(edit), below, compression, edit.level, *((layer.digest, layer.diff_id) for layer in layers))

    async def work() -> MergedLayer:
        async with image.limits.place(sum(layer.descriptor.size for layer in layers)):
            reading = Reading(
                image.overlay, layers, Remembered(), name=image.title, digest=image.original.digest, platform=None
            )
            async with reading:
                return await merged(reading, image.overlay, below, compression, level=edit.level)

    made = await image.once.do(key, work)
    image.notes += made.warnings
    for layer in gone:
        drop_layer(image, layer, keep_history=True)
    written, media_type = made.layer, str(LayerType(image.family, made.layer.compression))
    content = msgspec.structs.replace(written.content, media_type=media_type)
    created = edit.created or image.config.get("created")
    history = {"created": created} if isinstance(created, str) else {}
    told = {"created_by": created_by, "comment": f"{counted(len(gone), 'layer')} in one"}
    image.add_layer(content, str(written.diff_id), history | told)
