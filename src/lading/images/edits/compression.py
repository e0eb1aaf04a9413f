"""Edits of the compression of layers: their contents and their diff IDs stay. Knows images while they are edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.images.convert import ZSTD_ENTRY
from lading.images.edits.edit import Edit
from lading.images.edits.layer_file import WrittenLayer
from lading.images.edits.layer_work import check_compression, check_level, put_in_place, with_layers
from lading.images.edits.rewrite import recompressed
from lading.images.files.layers import LayerContent
from lading.model.media_types import LayerCompression, LayerType

if TYPE_CHECKING:
    from lading.images.edits.editing import Editing
    from lading.images.edits.index_editing import IndexEditing


class Recompress(Edit, frozen=True):
    """Compress the layers of an image in another way. A layer that is compressed so already keeps its bytes."""

    compression: LayerCompression
    level: int | None = None
    """How hard it is tried: 1 to 9 for gzip, 1 to 22 for zstd. With a level, every layer is compressed anew."""

    def __post_init__(self) -> None:
        """Refuse a level that there is not."""
        check_level(self.compression, self.level)

    async def apply(self, image: Editing) -> None:
        """Compress them.

        Raises:
            UsageError: Docker's format has no zstd layers, or zstd cannot be written here.
        """
        check_compression(image, self.compression, self.level)

        async def work(content: LayerContent, kind: LayerType) -> WrittenLayer | None:
            if kind.compression == self.compression and self.level is None:
                return None
            return await recompressed(image.overlay, content, self.compression, level=self.level)

        for layer, written in await with_layers(image, self, work):
            if written is not None:
                put_in_place(layer, written)

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Take the mark of images with zstd layers away, where they have none any more."""
        for position in index.meant if self.compression != "zstd" else ():
            annotations = dict(index.entries[position].get("annotations") or {})
            if annotations.pop(ZSTD_ENTRY, None) is not None:
                index.set_entry_field(position, "annotations", annotations or None)
