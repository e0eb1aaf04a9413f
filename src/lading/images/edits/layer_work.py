"""What edits of layers share: which layers of an image can be read, and the same work done once for all that share one.

This module knows images while they are edited, and not what is done to their layers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import msgspec

from lading.errors import Conflict, InvalidContent, InvalidDigest, Unsupported, UsageError
from lading.images.convert import ABOUT_ENCODING, no_zstd
from lading.images.edits.editing import EditedLayer, Editing
from lading.images.edits.layer_file import WrittenLayer
from lading.images.files.layers import Layer, LayerContent
from lading.io.sources import from_chunks, in_pieces
from lading.io.tarball import has_zstd
from lading.io.tasks import gather
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import LayerCompression, LayerType
from lading.model.text import excerpt

LEVELS: dict[LayerCompression, range] = {"gzip": range(1, 10), "zstd": range(1, 23), "none": range(0)}
"""The levels of each compression."""
Work = Callable[[LayerContent, LayerType], Awaitable[Any]]
"""What is done to a layer."""


async def with_layers(editing: Editing, key: Hashable, work: Work, *, skip: int = 0) -> list[tuple[EditedLayer, Any]]:
    """Do something to each layer of an image that can be read; layers that images of an index share are read once.

    Foreign layers, which are kept elsewhere, are left alone, and so is what is no tar archive.

    Args:
        editing: the image.
        key: says what is done: the same work has the same one.
        work: does it to one layer.
        skip: how many of the lowest layers are left alone.

    Returns:
        The layers with what came of them, from the lowest up.

    Raises:
        Unsupported: it is an artifact.
    """
    _ = editing.config
    layers = [(number, layer, kind_of(layer)) for number, layer in enumerate(editing.layers, 1)][skip:]
    for number, layer, kind in layers:
        if kind is None or kind.is_foreign:
            what = "a foreign layer, which is kept elsewhere" if kind is not None else layer.content.media_type
            editing.notes.append(f"layer {number} of {editing.title} is left as it is: it is {excerpt(what)}")

    async def one(number: int, layer: EditedLayer, kind: LayerType) -> tuple[EditedLayer, Any]:
        content = layer.content

        async def done() -> Any:
            async with editing.limits.place(content.size):
                return await work(layer_content(editing, number, layer), kind)

        return layer, await editing.once.do((key, content.digest, layer.diff_id, content.media_type), done)

    return await gather(
        one(number, layer, kind) for number, layer, kind in layers if kind is not None and not kind.is_foreign
    )


def kind_of(layer: EditedLayer) -> LayerType | None:
    """What the media type of a layer says; None where it is no layer of an image."""
    return LayerType.parse(layer.content.media_type)


def layer_content(editing: Editing, number: int, layer: EditedLayer) -> LayerContent:
    """Where a layer is, and what it should be.

    Args:
        editing: the image.
        number: of the layer, from 1.
        layer: the layer.
    """
    return LayerContent(
        store=editing.overlay,
        descriptor=layer.content,
        diff_id=layer.diff_id,
        what=f"layer {number} of {editing.title}",
    )


def readable_layers(editing: Editing) -> list[Layer]:
    """All layers of an image, to be read together.

    Raises:
        Unsupported: it is an artifact, or one of them is no tar archive.
        InvalidContent: a diff ID is malformed.
    """
    _ = editing.config
    found = []
    for number, layer in enumerate(editing.layers, 1):
        content = layer.content
        if LayerType.parse(content.media_type) is None:
            raise Unsupported(
                f"the layers of {editing.title} cannot be merged",
                cause=f"layer {number} is {excerpt(content.media_type)}, which is no file system",
                code="layer-not-tar",
                fields={"reference": editing.title, "layer": number, "media_type": content.media_type},
            )
        try:
            diff_id = Digest(layer.diff_id)
        except InvalidDigest as error:
            raise InvalidContent(f"the diff ID of layer {number} is malformed", cause=error.message) from None
        found.append(Layer(number=number, descriptor=content, diff_id=diff_id))
    return found


def put_in_place(layer: EditedLayer, written: WrittenLayer) -> None:
    """Give a layer another blob, with the media type of its family.

    Args:
        layer: the layer.
        written: the blob.
    """
    kind = kind_of(layer)
    assert kind is not None
    media_type = str(LayerType(kind.family, written.compression))
    layer.replace(msgspec.structs.replace(written.content, media_type=media_type), str(written.diff_id))
    annotations = layer.descriptor.get("annotations")
    if annotations is not None:
        kept = {key: value for key, value in annotations.items() if not key.startswith(ABOUT_ENCODING)}
        layer.descriptor["annotations"] = kept
        if not kept and annotations:
            del layer.descriptor["annotations"]


def check_level(compression: LayerCompression, level: int | None) -> None:
    """Raise UsageError where a compression has no such level.

    Args:
        compression: the compression.
        level: the level; None for what is usual.
    """
    if level is not None and level not in LEVELS[compression]:
        levels = LEVELS[compression]
        said = f"its levels are {levels.start} to {levels.stop - 1}" if levels else "it has no levels"
        raise UsageError(f"{compression} has no level {level}", cause=said, code="compression-level")


def check_compression(editing: Editing, compression: LayerCompression, level: int | None) -> None:
    """Raise UsageError where layers of an image cannot have a compression.

    Args:
        editing: the image.
        compression: the compression.
        level: of the compression; None for what is usual.
    """
    check_level(compression, level)
    if compression != "zstd":
        return
    if editing.family == "docker":
        raise no_zstd("the compression gzip")
    if not has_zstd():
        raise UsageError("zstd cannot be written here", remedy="pip install backports.zstd, or use Python 3.14")


async def name_layers(editing: Editing, algorithm: str) -> None:
    """Name the layers of an image by digests of an algorithm; foreign layers, which are kept elsewhere, keep theirs.

    Args:
        editing: the image.
        algorithm: of the digests.

    Raises:
        DigestMismatch: a layer is not what its digest says.
    """

    async def name(layer: EditedLayer) -> None:
        content, kind = layer.content, kind_of(layer)
        if content.digest.algorithm == algorithm or (kind is not None and kind.is_foreign):
            return

        async def named() -> Descriptor:
            found = hashlib.new(algorithm)
            async with editing.limits.place(content.size), editing.overlay.open(content) as reader:
                async for piece in in_pieces(aiter(reader)):
                    await in_thread(found.update, piece)
            new = msgspec.structs.replace(content, digest=Digest(f"{found.name}:{found.hexdigest()}"))
            # No store has it by this name, so that there is nothing to mount.
            editing.overlay.refer(new, from_chunks(editing.overlay.source(content)))
            return new

        layer.replace(await editing.once.do((algorithm, content.digest, content.media_type), named), layer.diff_id)

    await gather(name(layer) for layer in editing.layers)


def drop_layer(editing: Editing, layer: EditedLayer, *, keep_history: bool) -> None:
    """Take a layer away.

    Args:
        editing: the image.
        layer: the layer.
        keep_history: whether the history still says what made it, as a step that no layer came of.
    """
    for number, entry in enumerate(editing.history):
        if entry.layer is layer:
            if keep_history and entry.document is not None:
                entry.layer = None
                entry.document = {**entry.document, "empty_layer": True}
            else:
                del editing.history[number]
            return


def last_one(editing: Editing) -> Conflict:
    """The error that nothing would be left of an image."""
    return Conflict(
        f"nothing would be left of {editing.title}",
        cause="all of its layers would be gone",
        code="nothing-left",
        fields={"reference": editing.title},
    )
