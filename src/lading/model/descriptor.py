"""Descriptors: what content is, how large, and what its digest is (image-spec descriptor)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

import msgspec

from lading.errors import InvalidContent, LadingError
from lading.model.digest import Digest
from lading.model.encoding import encode_compact
from lading.model.frozen import FrozenDict, frozen
from lading.model.media_types import OCI_EMPTY
from lading.model.platform import Platform
from lading.model.text import excerpt, size_text

T = TypeVar("T")


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Points at content: a manifest, a config, a layer, or any other blob (image-spec descriptor §Properties).

    Two descriptors are equal if all they say is equal; they hash by digest, size and media type.
    """

    media_type: str = msgspec.field(name="mediaType", default="")
    digest: Digest
    size: int
    """In bytes."""
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = FrozenDict()
    data: str = ""
    """The content itself in base64, where it is embedded."""
    platform: Platform | None = None
    artifact_type: str = msgspec.field(name="artifactType", default="")
    extra: Mapping[str, Any] = FrozenDict()
    """Fields that lading does not know, kept as they were; those of the platform are under `platform`."""

    def __post_init__(self) -> None:
        """Copy annotations and unknown fields into dicts that do not change."""
        msgspec.structs.force_setattr(self, "annotations", frozen(self.annotations))
        msgspec.structs.force_setattr(self, "extra", frozen(self.extra))

    @classmethod
    def of(cls, data: bytes, media_type: str, algorithm: str = "sha256") -> Self:
        """Describe content.

        Args:
            data: the content.
            media_type: what it is.
            algorithm: of its digest: `sha256`, `sha384` or `sha512`.

        Raises:
            InvalidDigest: the algorithm is another one.
        """
        return cls(media_type=media_type, digest=Digest.of(data, algorithm), size=len(data))

    @classmethod
    def from_document(cls, document: Any, where: str = "the descriptor") -> Self:
        """Read a descriptor object; `where` names it in an error.

        Raises:
            InvalidContent: a field is missing or of the wrong type, or the digest is malformed.
        """
        if not isinstance(document, dict):
            raise InvalidContent(f"{where} is malformed", cause="it is not an object")
        descriptor = convert({k: v for k, v in document.items() if k in _FIELDS}, cls, where)
        if not 0 <= descriptor.size <= _SIZE_MAX:
            raise InvalidContent(f"{where} is malformed", cause=f"its size is {descriptor.size}"[:_CAUSE_LIMIT])
        extra = {k: v for k, v in document.items() if k not in _FIELDS}
        if descriptor.platform is not None:
            unknown = {k: v for k, v in document["platform"].items() if k not in _PLATFORM_FIELDS}
            extra |= {"platform": unknown} if unknown else {}
        return msgspec.structs.replace(descriptor, extra=extra) if extra else descriptor

    def to_document(self, *, size_first: bool = False) -> dict[str, Any]:
        """The descriptor as a JSON object, in the key order of the OCI Go types.

        Args:
            size_first: Docker's order, with `size` before `digest`.
        """
        document: dict[str, Any] = {"mediaType": self.media_type}
        if size_first:
            document["size"] = self.size
        document["digest"] = str(self.digest)
        document["size"] = self.size
        if self.urls:
            document["urls"] = list(self.urls)
        if self.annotations:
            document["annotations"] = dict(sorted(self.annotations.items()))
        if self.data:
            document["data"] = self.data
        if self.platform is not None:
            document["platform"] = self.platform.to_document()
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        for key, value in self.extra.items():
            if key != "platform":
                document[key] = value
            elif self.platform is not None:
                document[key] |= value
        return document

    def to_json(self) -> bytes:
        """The descriptor as compact JSON, in the wire style of the OCI Go types."""
        return encode_compact(self.to_document())

    def __repr__(self) -> str:
        """Such as `<Descriptor 5a1c09ef31d2 application/vnd.oci.image.manifest.v1+json 1.2 kB linux/arm64/v8>`."""
        platform = f" {excerpt(str(self.platform))}" if self.platform is not None else ""
        kind = excerpt(self.media_type) or "of no media type"
        return f"<Descriptor {self.digest.short} {kind} {size_text(self.size)}{platform}>"

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return isinstance(other, Descriptor) and self.to_document() == other.to_document()

    def __hash__(self) -> int:
        """By the content only."""
        return hash((self.digest, self.size, self.media_type))

    @property
    def content(self) -> Descriptor:
        """Only what names the content: media type, digest and size."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)


_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(Descriptor)) - {"extra"}
_PLATFORM_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(Platform))
_SIZE_MAX = 2**63 - 1
_CAUSE_LIMIT = 200

EMPTY = Descriptor(
    media_type=OCI_EMPTY,
    digest=Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
    size=2,
    data="e30=",
)
"""The empty descriptor (image-spec manifest §Guidance for an Empty Descriptor), with its inline data."""


def convert(document: Any, kind: type[T], where: str) -> T:
    """Read a typed value from a decoded JSON object; null fields count as absent.

    Args:
        document: the decoded JSON.
        kind: the type that is wanted.
        where: what the value is called in an error.

    Raises:
        InvalidContent: the value has not that type; the message says where.
    """
    if isinstance(document, Mapping):
        document = {key: _without_nulls(value) for key, value in document.items() if value is not None}
    try:
        return msgspec.convert(document, kind, dec_hook=_decode)
    except LadingError as error:
        raise InvalidContent(f"{where} is malformed", cause=str(error)[:_CAUSE_LIMIT]) from None
    except (msgspec.ValidationError, RecursionError) as error:
        cause: BaseException = error.__cause__ if isinstance(error.__cause__, LadingError) else error
        raise InvalidContent(f"{where} is malformed", cause=str(cause)[:_CAUSE_LIMIT]) from None


def descriptors(documents: Any, where: str) -> tuple[Descriptor, ...]:
    """Read a list of descriptors; null counts as an empty list.

    Args:
        documents: the decoded JSON.
        where: what the list is called in an error.

    Raises:
        InvalidContent: it is no list, or an item is malformed.
    """
    if documents is None:
        return ()
    if not isinstance(documents, list):
        raise InvalidContent(f"{where} is malformed", cause="it is not a list")
    return tuple(Descriptor.from_document(item, f"{where}[{index}]") for index, item in enumerate(documents))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


def _decode(kind: type[Any], value: Any) -> Any:
    if kind is Digest and isinstance(value, str):
        return Digest(value)
    raise InvalidContent(f"expected {kind.__name__}, got {type(value).__name__}")
