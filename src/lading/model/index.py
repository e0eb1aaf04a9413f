"""Indexes: OCI image indexes and Docker manifest lists are one type (image-spec index)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from lading.errors import InvalidContent, UsageError
from lading.model.base import BaseManifest, common_fields
from lading.model.descriptor import Descriptor, descriptors
from lading.model.digest import Digest
from lading.model.encoding import Document, encode_compact, encode_docker, encode_like, respelled
from lading.model.media_types import DOCKER_LIST, INDEXES, OCI_INDEX
from lading.model.platform import Platform
from lading.model.text import counted

ATTESTATION_TYPE = "vnd.docker.reference.type"
ATTESTATION_OF = "vnd.docker.reference.digest"


T = TypeVar("T")


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
        check_kind(media_type, entries, annotations)
        docker = style == "docker" if style else media_type == DOCKER_LIST
        document: Document = {"schemaVersion": 2, "mediaType": media_type}
        document |= {k: v for k, v in (base or {}).items() if k not in ("schemaVersion", "mediaType", "annotations")}
        document["manifests"] = [
            _docker_entry(entry, media_type, strict=style == "docker") if docker else entry.to_document()
            for entry in entries
        ]
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        return _encoded(document, media_type, docker=docker)

    @property
    def spelling(self) -> dict[Descriptor, Document]:
        """How the index spells each of its entries: with the keys in its own order."""
        documents = self.document.get("manifests") or []
        return dict(zip(reversed(self.manifests), reversed(documents), strict=True))

    def changed(
        self,
        manifests: Iterable[Descriptor] | None = None,
        *,
        media_type: str | None = None,
        annotations: Mapping[str, str] | None = None,
        spelling: Mapping[Descriptor, Document] | None = None,
    ) -> Index:
        """The same index with other entries or annotations: whatever else it says stays, in its order.

        Args:
            manifests: the entries, in order; those that it has stay as they are spelled. None for those it has.
            media_type: OCI_INDEX or DOCKER_LIST; None for the one that it has.
            annotations: of the index itself; None for those it has.
            spelling: how entries are spelled that it does not have.

        Returns:
            The changed index, laid out as it was, with a digest of the same algorithm; the very same, byte for byte,
            where nothing is another.

        Raises:
            InvalidContent: the media type is no index, or a Docker list would lose annotations.
        """
        entries = self.manifests if manifests is None else tuple(manifests)
        kind = media_type or self.media_type
        said = self.annotations if annotations is None else annotations
        if (entries, kind, dict(said)) == (self.manifests, self.media_type, dict(self.annotations)):
            return self
        before = self.document
        own = self.spelling if kind == self.media_type else {}
        known = {**(spelling or {}), **own}
        check_kind(kind, (entry for entry in entries if entry not in own), annotations)
        document: Document = {"schemaVersion": 2, "mediaType": kind} | before | {"mediaType": kind}
        document["manifests"] = [known.get(entry) or _spelled(entry, kind) for entry in entries]
        if annotations is not None and dict(annotations) != dict(self.annotations):
            document["annotations"] = dict(sorted(annotations.items()))
        if not said:
            document.pop("annotations", None)
        if kind == self.media_type:
            return _index(encode_like(document, self.raw), document, kind, self.digest.algorithm)
        return _encoded(document, kind, docker=kind == DOCKER_LIST)

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

    def select(
        self, wanted: Iterable[Platform], *, attestations: bool = True, known: Mapping[Digest, Platform] | None = None
    ) -> tuple[Descriptor, ...]:
        """The entries that satisfy any of the platforms, in order, with the attestations of those entries.

        Args:
            wanted: the platforms.
            attestations: whether attestations are given, too.
            known: the platforms of entries that say none, as their configs have them.
        """
        platforms = tuple(wanted)

        def fits(entry: Descriptor) -> bool:
            own = entry.platform or (known or {}).get(entry.digest)
            return own is not None and any(own.satisfies(platform) for platform in platforms)

        taken = {entry.digest for entry in self.images if fits(entry)}
        return tuple(
            entry
            for entry in self.manifests
            if (attestations and attested(entry) in taken if is_attestation(entry) else fits(entry))
        )


def check_kind(media_type: str, entries: Iterable[Descriptor], annotations: Mapping[str, str] | None = None) -> None:
    """Refuse what an index of this media type cannot hold.

    Args:
        media_type: OCI_INDEX or DOCKER_LIST.
        entries: what it is to list.
        annotations: of the index itself.

    Raises:
        InvalidContent: the media type is no index, or a Docker list would lose annotations.
    """
    if media_type not in INDEXES:
        raise InvalidContent(f"{media_type} is not the media type of an index")
    if media_type == DOCKER_LIST and (annotations or any(entry.annotations for entry in entries)):
        raise InvalidContent(
            "a Docker manifest list cannot hold annotations",
            remedy="make it an OCI index",
            code="docker-list-annotations",
        )


def is_attestation(entry: Descriptor) -> bool:
    """Whether an entry of an index attests to another one (BuildKit's attestation storage)."""
    return entry.annotations.get(ATTESTATION_TYPE) == "attestation-manifest"


def attested(entry: Descriptor) -> str | None:
    """The digest of the entry that an attestation is about, or None."""
    return entry.annotations.get(ATTESTATION_OF) if is_attestation(entry) else None


def by_digest(entries: Iterable[T], text: str, said: Callable[[T], Descriptor]) -> list[T]:
    """The entries with a digest, or one that begins so.

    Args:
        entries: the entries.
        text: the digest, or its first six digits or more.
        said: gives what an index says of an entry.
    """
    digest = text.removeprefix("@")
    digits = digest.removeprefix("sha256:")
    if len(digits) < _SHORT:
        return []
    return [
        entry
        for entry in entries
        if (found := said(entry).digest) == digest or found.partition(":")[2].startswith(digits)
    ]


def by_platform(entries: Iterable[T], text: str, said: Callable[[T], Descriptor]) -> list[T]:
    """The images for a platform as it is spelled, or else with its default variant, or else such as satisfy it.

    Args:
        entries: the entries.
        text: the platform.
        said: gives what an index says of an entry.
    """
    try:
        wanted = Platform.parse(text)
    except UsageError:
        return []
    images = [(entry, own) for entry in entries if (own := said(entry).platform) and not attested(said(entry))]
    for fits in (wanted.__eq__, lambda own: own.normalized() == wanted.normalized(), lambda own: own.satisfies(wanted)):
        found = [entry for entry, own in images if fits(own)]
        if found:
            return found
    return []


_SHORT = 6
"""How many digits of a digest are enough to mean it."""


def _encoded(document: Document, media_type: str, *, docker: bool) -> Index:
    return _index(encode_docker(document) if docker else encode_compact(document), document, media_type)


def _index(raw: bytes, document: Document, media_type: str, algorithm: str = "sha256") -> Index:
    return Index(
        raw=raw,
        digest=Digest.of(raw, algorithm),
        media_type=media_type,
        manifests=descriptors(document["manifests"], "the index's manifests"),
        **common_fields(document, "the index"),
    )


def _spelled(entry: Descriptor, media_type: str) -> Document:
    return _docker_entry(entry, media_type, strict=False) if media_type == DOCKER_LIST else entry.to_document()


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
