"""What manifests and indexes have in common: exact bytes, with typed fields as a view of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lading.model.descriptor import Descriptor, convert
from lading.model.digest import Digest
from lading.model.document import described
from lading.model.encoding import Document, decode
from lading.model.frozen import FrozenDict, frozen
from lading.model.media_types import is_docker
from lading.model.text import size_text


class BaseManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a registry serves under `/manifests/`, over its exact bytes (distribution-spec §Definitions).

    `raw` is the truth, and `digest` is computed from it. Neither changes, nor does anything else of it.
    """

    raw: bytes
    digest: Digest
    media_type: str
    subject: Descriptor | None = None
    """The manifest that this one refers to."""
    artifact_type: str = ""
    annotations: Mapping[str, str] = FrozenDict()

    def __post_init__(self) -> None:
        """Copy the annotations into a dict that does not change."""
        msgspec.structs.force_setattr(self, "annotations", frozen(self.annotations))

    @property
    def document(self) -> Document:
        """The decoded bytes with every field, in their order: a copy, made each time."""
        return decode(self.raw, limit=len(self.raw))

    def to_document(self) -> dict[str, Any]:
        """The decoded bytes, as `document` has them, with plain numbers."""
        return described(self.document)

    def to_json(self) -> bytes:
        """The exact bytes."""
        return self.raw

    @property
    def size(self) -> int:
        """The size of the manifest itself, in bytes."""
        return len(self.raw)

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """What it points at, in order."""
        return ()

    @property
    def descriptor(self) -> Descriptor:
        """A descriptor of this manifest."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)

    @property
    def as_referrer(self) -> Descriptor:
        """The descriptor under which it is listed as a referrer (distribution-spec §Listing Referrers)."""
        return msgspec.structs.replace(self.descriptor, artifact_type=self.artifact_type, annotations=self.annotations)

    def __hash__(self) -> int:
        """By the bytes."""
        return hash(self.digest)

    def shown(self, content: str, size: int) -> str:
        """The `repr`: one line, without bytes."""
        family = "docker" if is_docker(self.media_type) else "oci"
        return f"<{type(self).__name__} {self.digest.short} {family} {content} {size_text(size)}>"


def common_fields(document: Document, what: str) -> dict[str, Any]:
    """The fields that an `Index` and a `Manifest` have in common, read from a decoded document.

    Args:
        document: the decoded manifest.
        what: what it is called in an error.

    Raises:
        InvalidContent: one of them has the wrong type.
    """
    view = convert({key: document.get(key) for key in _View.__struct_fields__}, _View, what)
    subject = document.get("subject")
    return {
        "annotations": view.annotations,
        "artifact_type": view.artifactType,
        "subject": Descriptor.from_document(subject, f"{what}'s subject") if subject is not None else None,
    }


class _View(msgspec.Struct):
    annotations: dict[str, str] = {}
    artifactType: str = ""  # noqa: N815  # as in the document
