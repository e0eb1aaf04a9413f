"""What an image is built on, as its annotations say (image-spec annotations, `org.opencontainers.image.base.*`).

This module reads manifests that are there, and finds no bases.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lading.errors import InvalidDigest, NotFound
from lading.model.digest import Digest
from lading.store import AnyManifest

BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
"""The annotations with the reference of the base, and with the digest of what the reference stood for."""


class StatedBase(msgspec.Struct, frozen=True):
    """What annotations say of a base."""

    name: str | None
    """Its reference."""
    digest: Digest | None
    """The digest that the reference stood for when the image was built: of an image, or of an index."""


def stated_base(manifest: AnyManifest) -> StatedBase | None:
    """What a manifest says that it is built on; None where it says nothing that can be read."""
    name, said = manifest.annotations.get(BASE_NAME), manifest.annotations.get(BASE_DIGEST)
    try:
        digest = Digest(said) if said else None
    except InvalidDigest:
        digest = None
    return StatedBase(name, digest) if name or digest else None


def common_base(manifests: Iterable[AnyManifest], what: str) -> StatedBase:
    """The one base that all of these say they are built on.

    Args:
        manifests: images, and the index that lists them.
        what: what they are called in messages.

    Raises:
        NotFound: none of them says anything, or they say different things.
    """
    stated = list(dict.fromkeys(base for manifest in manifests if (base := stated_base(manifest)) is not None))
    if len(stated) == 1:
        return stated[0]
    names = ", ".join(base.name or str(base.digest) for base in stated[:3])
    raise NotFound(
        f"{what} does not say what it is built on",
        cause=f"its images have different bases: {names}" if stated else f"it has no annotation {BASE_NAME}",
        remedy="name the bases",
        code="no-base-stated",
        fields={"reference": what},
    )
