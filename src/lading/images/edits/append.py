"""The edit that puts a new layer on an image, and the images without layers that it may begin with."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from lading.errors import Unsupported
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.images.edits.new_layer import NewLayer
from lading.images.files.layers import LayerContent
from lading.model.descriptor import Descriptor
from lading.model.encoding import Document, encode_compact
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_CONFIG, LayerType
from lading.model.platform import Platform
from lading.store import from_bytes
from lading.stores.memory import Memory


class Append(Edit, frozen=True):
    """Put a new layer on top."""

    layer: NewLayer

    async def apply(self, image: Editing) -> None:
        """Add the layer, with an entry in the history.

        Raises:
            Unsupported: Docker's format has no such layers; or it is an artifact.
        """
        layer = self.layer
        is_from_nothing = not image.layers
        if layer.compression == "zstd" and image.family == "docker":
            raise Unsupported(
                f"{image.title} cannot have a zstd layer",
                cause="Docker's format has none",
                remedy="choose the compression gzip, or make it an OCI image",
                code="zstd-layer-for-docker",
                fields={"reference": image.title},
            )
        image.overlay.refer(layer.descriptor, layer.source)
        layer = await self._fitting(image)
        media_type = str(LayerType(image.family, layer.compression))
        content = msgspec.structs.replace(layer.descriptor, media_type=media_type)
        entry = {"created": moment(layer.created), "created_by": layer.created_by}
        image.add_layer(content, str(layer.diff_id), entry)
        image.notes += layer.notes
        if layer.replaces and not is_from_nothing:
            said = ", ".join(f"/{name}" for name in layer.replaces)
            image.notes.append(
                f"the new layer has {said} as a directory, which is a link in most images: engines put the directory "
                "in its place; /usr is where such files belong"
            )

    async def _fitting(self, image: Editing) -> NewLayer:
        """The layer in the form that the operating system of the image takes."""
        layer = self.layer
        is_windows = image.config.get("os") == "windows"
        # The module is needed for Windows only, but for archives that look as if they were for it.
        if not is_windows and "Files" not in layer.top:
            return layer
        from lading.images.edits.windows_layer import for_windows, is_for_windows

        if is_windows:
            content = LayerContent(store=image.overlay, descriptor=layer.descriptor, what=layer.name)
            return await image.once.do(
                ("windows", layer.descriptor.digest), lambda: for_windows(image.overlay, layer, content)
            )
        if is_for_windows(layer):
            image.notes.append(f"{layer.name} is a layer for Windows, and {image.title} is not")
        return layer


def moment(seconds: int) -> str:
    """A time as configs have it (RFC 3339).

    Args:
        seconds: since the epoch.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def empty_image(platform: Platform, created: int = 0) -> tuple[Memory, Manifest]:
    """An image without layers, in a store of its own (image-spec manifest, config).

    Args:
        platform: what it is for.
        created: when it was made, as its config says, in seconds since the epoch.
    """
    config: Document = {
        "created": moment(created),
        **platform.to_document(),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    raw = encode_compact(config)
    about = Descriptor.of(raw, OCI_CONFIG)
    store = Memory("scratch")
    await store.write(about, from_bytes(raw))
    manifest = Manifest.of([], about)
    await store.put(manifest)
    return store, manifest
