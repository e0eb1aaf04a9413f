"""Manifests of images and artifacts (image-spec manifest, Docker image manifest v2 schema 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from lading.errors import InvalidContent
from lading.model.base import BaseManifest, common_fields
from lading.model.descriptor import EMPTY, Descriptor, descriptors
from lading.model.digest import Digest, verify
from lading.model.encoding import SIZE_LIMIT, Document, decode, encode_compact, encode_docker
from lading.model.index import Index
from lading.model.media_types import (
    IMAGE_CONFIGS,
    IMAGES,
    INDEXES,
    MANIFESTS,
    OCI_ARTIFACT_MANIFEST,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    is_docker,
)
from lading.model.text import counted, excerpt


class Manifest(BaseManifest, frozen=True, kw_only=True):
    """A manifest over its exact bytes. Made by `parse` or `Manifest.build`.

    The typed fields are a view; `raw` is the truth, and `digest` is computed from it.
    """

    config: Descriptor | None = None
    """None only for the former OCI artifact manifest, which has none."""
    layers: tuple[Descriptor, ...] = ()

    @classmethod
    def build(cls, document: Document, media_type: str) -> Manifest:
        """Encode a document in the wire style of its media type and read it back.

        Raises:
            InvalidContent: the document is not an image or artifact manifest.
        """
        raw = encode_docker(document) if is_docker(media_type) else encode_compact(document)
        manifest = parse(raw, media_type)
        if isinstance(manifest, Index):
            raise InvalidContent("the document is an index, not a manifest")
        return manifest

    @classmethod
    def of(
        cls,
        layers: Iterable[Descriptor],
        config: Descriptor = EMPTY,
        media_type: str = OCI_MANIFEST,
        *,
        artifact_type: str = "",
        annotations: Mapping[str, str] | None = None,
        subject: Descriptor | None = None,
    ) -> Manifest:
        """Put blobs together to an image or an artifact (image-spec manifest §Image Manifest Property Descriptions).

        Args:
            layers: the layers or files, in order. An artifact without any has the empty descriptor for its only layer.
            config: the config of an image; by default the empty descriptor, which makes it an artifact.
            media_type: OCI_MANIFEST or DOCKER_MANIFEST.
            artifact_type: the media type that says what kind of artifact it is.
            annotations: of the manifest itself.
            subject: the manifest that this one refers to.

        Raises:
            InvalidContent: an artifact with the empty config has no type; or Docker's format has no place for what is
                asked for.
        """
        docker = is_docker(media_type)
        if docker and (artifact_type or annotations or subject):
            raise InvalidContent("Docker's format has no place for an artifact type, annotations or a subject")
        if config.media_type == OCI_EMPTY and not artifact_type:
            raise InvalidContent(
                "an artifact without a type cannot be told from others",
                cause="its config is the empty descriptor",
                remedy="give it an artifact type, or a config",
            )
        blobs = list(layers)
        if not blobs and config.media_type == OCI_EMPTY:
            blobs = [EMPTY]
        document: Document = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type:
            document["artifactType"] = artifact_type
        document["config"] = config.to_document(size_first=docker)
        document["layers"] = [blob.to_document(size_first=docker) for blob in blobs]
        if subject is not None:
            document["subject"] = subject.to_document()
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        return cls.build(document, media_type)

    @property
    def total_size(self) -> int:
        """What a pull transfers: config and layers, each once, in bytes."""
        return sum({item.digest: item.size for item in self.children}.values())

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """Config first, then layers, in order."""
        return (*([self.config] if self.config else []), *self.layers)

    @property
    def as_referrer(self) -> Descriptor:
        """The descriptor under which it is listed as a referrer (distribution-spec §Listing Referrers).

        It has the annotations and the artifact type, which is that of the config where the manifest has none.
        """
        artifact_type = self.artifact_type or (self.config.media_type if self.config is not None else "")
        return msgspec.structs.replace(self.descriptor, artifact_type=artifact_type, annotations=self.annotations)

    @property
    def is_image(self) -> bool:
        """Whether the config is an image config, and so has a platform."""
        return self.config is not None and self.config.media_type in IMAGE_CONFIGS and not self.artifact_type

    def __repr__(self) -> str:
        """Such as `<Manifest 5a1c09ef31d2 oci 7 layers 70.5 MB>`: with the size of what a pull transfers."""
        return self.shown(counted(len(self.layers), "layer"), self.total_size)


def parse(
    raw: bytes,
    media_type: str | None = None,
    *,
    digest: Digest | None = None,
    what: str = "the manifest",
    limit: int = SIZE_LIMIT,
) -> Manifest | Index:
    """Read any manifest.

    Args:
        raw: the exact bytes.
        media_type: what the registry's `Content-Type` or a descriptor says it is; parameters are ignored.
        digest: what the bytes must hash to, where that is known; otherwise the sha256 of the bytes is taken.
        what: what the manifest is called in an error.
        limit: the largest size accepted, in bytes.

    Raises:
        DigestMismatch: the bytes have another digest.
        InvalidContent: schema 1, an unknown kind, or malformed; nothing malformed gets through as something else.
    """
    if len(raw) <= limit and digest is not None:
        verify(raw, digest, name=what)
    said = (media_type or "").partition(";")[0].strip().lower()
    if said in SCHEMA1:
        raise _schema1(what)
    document = decode(raw, what, limit)
    version = document.get("schemaVersion")
    if "fsLayers" in document or (version == 1 and "signatures" in document):
        raise _schema1(what)
    kind = _kind(document, said, what)
    if kind != OCI_ARTIFACT_MANIFEST and not (type(version) is int and version == 2):
        raise InvalidContent(f"{what} is malformed", cause=f"its schemaVersion is {_shown(version)}, not 2")
    common: dict[str, Any] = {
        "raw": raw,
        "digest": digest or Digest.of(raw),
        "media_type": kind,
        **common_fields(document, what),
    }
    if kind in INDEXES:
        return Index(manifests=descriptors(document.get("manifests"), f"{what}'s manifests"), **common)
    return _manifest(document, kind, common, what)


def _manifest(document: Document, kind: str, common: Mapping[str, Any], what: str) -> Manifest:
    """The manifest of an image or an artifact; the former OCI artifact manifest has blobs, and needs no config."""
    config = document.get("config")
    if config is None and kind in IMAGES:
        raise InvalidContent(f"{what} is malformed", cause="it has no config")
    return Manifest(
        config=Descriptor.from_document(config, f"{what}'s config") if config is not None else None,
        layers=descriptors(document.get("layers" if kind in IMAGES else "blobs"), f"{what}'s layers"),
        **common,
    )


_FIELDS = {
    name.lower(): name
    for name in ("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "blobs")
}


def _kind(document: Document, said: str, what: str) -> str:
    """The media type of a manifest, whose fields must be the fields of its kind.

    Raises:
        InvalidContent: the manifest is ambiguous, or of an unknown kind.
    """
    _check_spelling(document, what)
    inside = document.get("mediaType")
    if inside is not None and not isinstance(inside, str):
        raise InvalidContent(f"{what} is malformed", cause="its mediaType is not a string")
    if "manifests" in document and _is_image_like(document):
        raise InvalidContent(f"{what} is ambiguous", cause="it has both manifests and config or layers")
    if inside and said in MANIFESTS and inside in MANIFESTS and inside != said:
        raise InvalidContent(f"{what} is ambiguous", cause=f"it was sent as {said}, and says it is {inside}")
    kind = _known_kind(document, inside or "", said)
    if kind is None:
        raise InvalidContent(
            f"{what} is of an unknown kind", cause=f"its media type is {_shown(inside or said or 'not given')}"
        )
    _check_fields(document, kind, what)
    return kind


def _check_spelling(document: Document, what: str) -> None:
    # Clients in Go take `Manifests` for `manifests`: what they would see and lading would not is refused.
    odd = next((key for key in document if _FIELDS.get(key.lower(), key) != key), None)
    if odd is not None:
        raise InvalidContent(f"{what} is ambiguous", cause=f"it spells {_FIELDS[odd.lower()]} as {_shown(odd)}")


def _known_kind(document: Document, inside: str, said: str) -> str | None:
    """The media type that a manifest has in it, else the one it was sent with, else the one its fields show."""
    if inside:
        return inside if inside in MANIFESTS else None
    if said in MANIFESTS:
        return said
    if "manifests" in document:
        return OCI_INDEX
    return OCI_MANIFEST if "config" in document else None


def _check_fields(document: Document, kind: str, what: str) -> None:
    if kind not in IMAGES and _is_image_like(document):
        raise InvalidContent(f"{what} is malformed", cause=f"it says it is {kind}, and has config or layers")
    if kind not in INDEXES and "manifests" in document:
        raise InvalidContent(f"{what} is malformed", cause=f"it says it is {kind}, and has manifests")


def _is_image_like(document: Document) -> bool:
    return "config" in document or "layers" in document


def _shown(value: object) -> str:
    return excerpt(value if isinstance(value, str) else repr(value), 100)


def _schema1(what: str) -> InvalidContent:
    return InvalidContent(
        f"{what} is in Docker's schema 1, which lading does not read",
        cause="the format is obsolete, and its digest does not cover the image",
        remedy="push the image again with a current client, or convert it",
        code="docker-schema-1",
    )
