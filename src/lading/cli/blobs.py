"""What the commands for blobs share: how a blob is named, and what is printed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.model.digest import Digest
from lading.model.media_types import OCTET_STREAM

if TYPE_CHECKING:
    from lading.model.descriptor import Descriptor


def named_blob(text: str) -> tuple[str, Digest]:
    """The place of a blob, and its digest: what `REPOSITORY@DIGEST` or `oci:DIR@DIGEST` says.

    Args:
        text: what was typed.
    """
    from lading.stores.location import parse_location

    location = parse_location(text)
    digest = location.pinned
    if digest is None:
        raise click.UsageError(f"{text!r} names no blob: write PLACE@DIGEST, such as reg.example/app@sha256:…")
    return location.place, digest


class BlobDocument(TypedDict):
    """`lading blob put|head|copy`."""

    reference: str
    """The blob: its place and its digest."""
    digest: str
    size: int
    """In bytes."""
    media_type: str
    """What the descriptor says; stores keep it nowhere."""


def blob_document(place: str, content: Descriptor) -> BlobDocument:
    """What is printed of a blob.

    Args:
        place: what it is in.
        content: its descriptor.
    """
    from lading.stores.location import parse_location

    reference = f"{parse_location(place).place}@{content.digest}"
    return BlobDocument(
        reference=reference, digest=content.digest, size=content.size, media_type=content.media_type or OCTET_STREAM
    )
