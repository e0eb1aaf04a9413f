"""How large images are: what a pull transfers, and what several share.

This module counts what manifests say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from lading.io.tasks import gather
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.platform import Platform

if TYPE_CHECKING:
    from lading.images.views import Image
    from lading.model.config import ImageConfig


class ImageSize(Result, msgspec.Struct, frozen=True, kw_only=True):
    """How large one image is."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    platform: Platform | None
    layers: int
    size: int
    """What a pull transfers, in bytes: config and layers, each once."""
    unique: int
    """Of that, what no other of the images has."""


class SizeReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """How large images are."""

    images: tuple[ImageSize, ...]
    total: int
    """What all of them need together, in bytes; what several share counts once."""


async def sizes(images: Sequence[Image]) -> SizeReport:
    """How large images are, alone and together.

    Args:
        images: the images.
    """
    configs = await gather(_config(image) for image in images)
    blobs = [{blob.digest: blob.size for blob in image.manifest.children} for image in images]
    owners = Counter(digest for one in blobs for digest in one)
    together = {digest: size for one in blobs for digest, size in one.items()}
    found = []
    for image, one, config in zip(images, blobs, configs, strict=True):
        platform = config.platform if config is not None else None
        found.append(
            ImageSize(
                reference=image.name,
                digest=image.digest,
                platform=platform if platform is not None and platform.os else None,
                layers=len(image.manifest.layers),
                size=sum(one.values()),
                unique=sum(size for digest, size in one.items() if owners[digest] == 1),
            )
        )
    return SizeReport(images=tuple(found), total=sum(together.values()))


async def _config(image: Image) -> ImageConfig | None:
    return await image.config() if image.manifest.is_image else None
