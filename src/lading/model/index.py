"""Indexes: OCI image indexes and Docker manifest lists are one type (image-spec index)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

from lading.errors import InvalidContent
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, decode, encode_compact, encode_docker
from lading.model.media_types import DOCKER_LIST, INDEXES, OCI_INDEX
from lading.model.platform import Platform

ATTESTATION_TYPE = "vnd.docker.reference.type"
ATTESTATION_OF = "vnd.docker.reference.digest"


class Index(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A list of manifests over its exact bytes. Made by `lading.model.manifest.parse` or `Index.build`."""

    raw: bytes
    digest: Digest
    media_type: str
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: dict[str, str] = {}

    @classmethod
    def build(
        cls,
        manifests: Iterable[Descriptor],
        media_type: str = OCI_INDEX,
        annotations: Mapping[str, str] | None = None,
        *,
        style: Literal["docker", "compact"] | None = None,
        base: Document | None = None,
    ) -> Index:
        """Put descriptors under one name.

        Args:
            manifests: the entries, in order.
            media_type: OCI_INDEX or DOCKER_LIST.
            annotations: of the index itself; a Docker list has none.
            style: `docker` for the bytes of `docker manifest push` (three spaces, `size` before `digest`),
                `compact` for those of the OCI Go types; by default the one that goes with the media type.
            base: the document of an index that is being changed; its other fields are kept, in their order.

        Raises:
            InvalidContent: the media type is no index, or a Docker list would lose annotations.
        """
        entries = tuple(manifests)
        if media_type not in INDEXES:
            raise InvalidContent(f"{media_type} is not the media type of an index")
        if media_type == DOCKER_LIST and (annotations or any(entry.annotations for entry in entries)):
            raise InvalidContent(
                "a Docker manifest list cannot hold annotations", remedy="make it an OCI index: --type oci"
            )
        docker = style == "docker" if style else media_type == DOCKER_LIST
        document: Document = {"schemaVersion": 2, "mediaType": media_type}
        document |= {k: v for k, v in (base or {}).items() if k not in ("schemaVersion", "mediaType", "annotations")}
        document["manifests"] = [
            _docker_entry(entry, media_type) if docker else entry.to_document() for entry in entries
        ]
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        raw = encode_docker(document) if docker else encode_compact(document)
        return cls(
            raw=raw,
            digest=Digest.of(raw),
            media_type=media_type,
            manifests=entries,
            annotations=dict(annotations or {}),
        )

    @cached_property
    def document(self) -> Document:
        """The decoded bytes with every field. Copy it before a change."""
        return decode(self.raw, limit=len(self.raw))

    @property
    def size(self) -> int:
        """The size of the index itself, in bytes."""
        return len(self.raw)

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests listed, in order."""
        return self.manifests

    @property
    def descriptor(self) -> Descriptor:
        """A descriptor of this index."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The entries that are no attestations."""
        return tuple(entry for entry in self.manifests if not is_attestation(entry))

    @property
    def attestations(self) -> tuple[Descriptor, ...]:
        """The entries that attest to another entry (provenance, SBOM), as BuildKit adds them."""
        return tuple(entry for entry in self.manifests if is_attestation(entry))

    def select(self, wanted: Iterable[Platform], *, attestations: bool = True) -> tuple[Descriptor, ...]:
        """The entries that satisfy any of the platforms, in order, with the attestations of those entries."""
        platforms = tuple(wanted)
        taken = {
            entry.digest
            for entry in self.images
            if entry.platform is not None and any(entry.platform.satisfies(p) for p in platforms)
        }
        return tuple(
            entry
            for entry in self.manifests
            if (attestations and attested(entry) in taken if is_attestation(entry) else entry.digest in taken)
        )


def is_attestation(entry: Descriptor) -> bool:
    """Whether an entry of an index attests to another one (BuildKit's attestation storage)."""
    return entry.annotations.get(ATTESTATION_TYPE) == "attestation-manifest"


def attested(entry: Descriptor) -> str | None:
    """The digest of the entry that an attestation is about, or None."""
    return entry.annotations.get(ATTESTATION_OF) if is_attestation(entry) else None


def _docker_entry(entry: Descriptor, media_type: str) -> dict[str, Any]:
    # Docker writes four fields and never `platform.features`; an OCI index may say more, after those.
    document: dict[str, Any] = {
        "mediaType": entry.media_type,
        "size": entry.size,
        "digest": str(entry.digest),
    }
    if entry.platform is not None:
        document["platform"] = msgspec.structs.replace(entry.platform, features=()).to_document()
    elif media_type == DOCKER_LIST:
        document["platform"] = Platform().to_document()
    if media_type == OCI_INDEX:
        document |= {key: value for key, value in entry.to_document().items() if key not in document}
    return document
