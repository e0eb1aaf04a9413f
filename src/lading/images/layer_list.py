"""The layers of an image as a list: what each is, what made it, and which other images have it, too.

This module reads nothing but the config of the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.manifest import Manifest
from lading.model.platform import Platform

if TYPE_CHECKING:
    from lading.images.views import Image


class LayerEntry(Result, msgspec.Struct, frozen=True, kw_only=True):
    """One layer of an image."""

    number: int
    """From 1: the lowest."""
    digest: Digest
    diff_id: Digest
    """The digest of the layer without compression, as the config says."""
    media_type: str
    size: int
    """Of the blob, in bytes."""
    created_by: str | None
    """The command that made it, as the history says."""
    instruction: str | None
    """That command as a Dockerfile has it; None where it is none."""
    platforms: tuple[str, ...] = ()
    """Of an index, the other platforms whose images have the layer."""
    is_shared: bool | None = None
    """Whether the other image has it that was given; None where none was."""


class LayerList(Result, msgspec.Struct, frozen=True, kw_only=True):
    """The layers of an image."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    platform: Platform | None
    size: int
    """Of all layers, each once, in bytes."""
    layers: tuple[LayerEntry, ...]
    """From the lowest up."""
    warnings: tuple[str, ...] = ()


async def layer_list(image: Image, siblings: Iterable[Image], other: Manifest | None) -> LayerList:
    """The layers of an image.

    Args:
        image: the image.
        siblings: the images of the index that it is in, itself among them.
        other: the manifest of an image to compare with.
    """
    config, layers, told = await image.config(), await image.layers(), await image.history()
    steps = {step.number: step for step in told.steps}
    shared = {layer.digest for layer in other.layers} if other is not None else None
    elsewhere = [
        (str(one.platform), {layer.digest for layer in one.manifest.layers})
        for one in siblings
        if one.digest != image.digest and one.platform is not None
    ]
    entries = [
        LayerEntry(
            number=layer.number,
            digest=layer.digest,
            diff_id=layer.diff_id,
            media_type=layer.descriptor.media_type,
            size=layer.descriptor.size,
            created_by=steps[layer.number].created_by,
            instruction=steps[layer.number].instruction,
            platforms=tuple(platform for platform, digests in elsewhere if layer.digest in digests),
            is_shared=layer.digest in shared if shared is not None else None,
        )
        for layer in layers
    ]
    return LayerList(
        reference=image.name,
        digest=image.digest,
        platform=config.platform if config.platform.os else None,
        size=sum({layer.digest: layer.descriptor.size for layer in layers}.values()),
        layers=tuple(entries),
        warnings=told.warnings,
    )
