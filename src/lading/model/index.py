"""Indexes: OCI image indexes and Docker manifest lists are one type (image-spec index)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from lading.errors import InvalidContent
from lading.model.base import BaseManifest, common_fields
from lading.model.descriptor import Descriptor, descriptors
from lading.model.digest import Digest
from lading.model.encoding import Document, encode_compact, encode_docker, respelled
from lading.model.media_types import DOCKER_LIST, INDEXES, OCI_INDEX
from lading.model.platform import Platform
from lading.model.text import counted

ATTESTATION_TYPE = "vnd.docker.reference.type"
ATTESTATION_OF = "vnd.docker.reference.digest"


class Index(BaseManifest, frozen=True, kw_only=True):
    """A list of manifests over its exact bytes. Made by `lading.model.manifest.parse` or `Index.build`."""

    manifests: tuple[Descriptor, ...] = ()

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
                `compact` for those of the OCI Go types; by default the one that goes with the media type. What
                Docker never writes (`platform.features`, and in a list all but its four fields of an entry) is
                left out where `docker` is asked for, and kept by default.
            base: the document of an index that is being changed; its other fields are kept, in their order.

        Raises:
            InvalidContent: the media type is no index, or a Docker list would lose annotations.
        """
        entries = tuple(manifests)
        if media_type not in INDEXES:
            raise InvalidContent(f"{media_type} is not the media type of an index")
        if media_type == DOCKER_LIST and (annotations or any(entry.annotations for entry in entries)):
            raise InvalidContent(
                "a Docker manifest list cannot hold annotations",
                remedy="make it an OCI index",
                code="docker-list-annotations",
            )
        docker = style == "docker" if style else media_type == DOCKER_LIST
        document: Document = {"schemaVersion": 2, "mediaType": media_type}
        document |= {k: v for k, v in (base or {}).items() if k not in ("schemaVersion", "mediaType", "annotations")}
        document["manifests"] = [
            _docker_entry(entry, media_type, strict=style == "docker") if docker else entry.to_document()
            for entry in entries
        ]
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        raw = encode_docker(document) if docker else encode_compact(document)
        return cls(
            raw=raw,
            digest=Digest.of(raw),
            media_type=media_type,
            manifests=descriptors(document["manifests"], "the index's manifests"),
            **common_fields(document, "the index"),
        )

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests listed, in order."""
        return self.manifests

    def __repr__(self) -> str:
        """Such as `<Index 98f8ec75657d oci 8 platforms 2.1 kB>`: without attestations, with its own size."""
        images = self.images
        has_all = all(entry.platform not in (None, Platform()) for entry in images)
        return self.shown(counted(len(images), *(("platform",) if has_all else ("entry", "entries"))), self.size)

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
        taken = {entry.digest for entry in self.images if _satisfies_any(entry, platforms)}
        return tuple(
            entry
            for entry in self.manifests
            if (
                attestations and attested(entry) in taken if is_attestation(entry) else _satisfies_any(entry, platforms)
            )
        )


def is_attestation(entry: Descriptor) -> bool:
    """Whether an entry of an index attests to another one (BuildKit's attestation storage)."""
    return entry.annotations.get(ATTESTATION_TYPE) == "attestation-manifest"


def attested(entry: Descriptor) -> str | None:
    """The digest of the entry that an attestation is about, or None."""
    return entry.annotations.get(ATTESTATION_OF) if is_attestation(entry) else None


def _satisfies_any(entry: Descriptor, platforms: tuple[Platform, ...]) -> bool:
    return entry.platform is not None and any(entry.platform.satisfies(wanted) for wanted in platforms)


def _docker_entry(entry: Descriptor, media_type: str, *, strict: bool) -> dict[str, Any]:
    # Docker writes four fields and never `platform.features`; what else there is comes after those.
    whole = entry.to_document()
    document: dict[str, Any] = {
        "mediaType": entry.media_type,
        "size": entry.size,
        "digest": str(entry.digest),
    }
    if entry.platform is not None:
        document["platform"] = whole["platform"]
        if strict:
            document["platform"].pop("features", None)
    elif media_type == DOCKER_LIST:
        document["platform"] = Platform().to_document()
    if media_type == OCI_INDEX or not strict:
        document |= {key: value for key, value in whole.items() if key not in document}
    return document


_FIELDS = ("schemaVersion", "mediaType", "manifests", "annotations", "artifactType", "subject")
_ENTRY_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")
_PLATFORM_FIELDS = ("architecture", "os", "variant", "os.version", "os.features")


def respelled_index(document: Document) -> Document:
    """An `index.json` with its fields spelled as they are specified: people write it, and Go does not heed case."""
    document = dict(respelled(document, _FIELDS))
    listed = document.get("manifests")
    if isinstance(listed, list):
        document["manifests"] = [_respelled_entry(entry) for entry in listed]
    return document


def _respelled_entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    entry = respelled(entry, _ENTRY_FIELDS)
    if isinstance(platform := entry.get("platform"), dict):
        entry["platform"] = respelled(platform, _PLATFORM_FIELDS)
    return entry
