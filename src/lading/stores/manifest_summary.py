"""What a manifest refers to: its children and its subject, whatever kind of manifest it is.

This module knows documents, and nothing of where they are. In a manifest of a kind that lading does not know, every
object that looks like a descriptor counts as a child, so that a garbage collection keeps what it points at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lading.errors import DigestMismatch, InvalidContent, InvalidDigest
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, decode
from lading.model.manifest import parse
from lading.model.media_types import MANIFESTS, OCTET_STREAM, SCHEMA1


class Summary(NamedTuple):
    """What a manifest says."""

    as_referrer: Descriptor
    """The manifest as a list of referrers describes it."""
    subject: Digest | None
    children: tuple[Descriptor, ...]


def is_known(media_type: str) -> bool:
    """Whether a media type is that of a manifest of a known kind."""
    return media_type in MANIFESTS or media_type in SCHEMA1


def summarize(raw: bytes, content: Descriptor, what: str = "the manifest") -> Summary:
    """Read a manifest of any kind.

    Args:
        raw: its bytes.
        content: what it must be.
        what: what it is called in an error.

    Raises:
        DigestMismatch: the bytes have another digest.
        InvalidContent: it is of no kind: malformed, schema 1, or no JSON object.
    """
    try:
        manifest = parse(raw, content.media_type or None, digest=content.digest, what=what, limit=len(raw))
    except DigestMismatch:
        raise
    except InvalidContent:
        if not content.media_type or is_known(content.media_type):
            raise
        return _summarize_unknown(decode(raw, what, len(raw)), content)
    children = tuple(child.content for child in manifest.children)
    return Summary(manifest.as_referrer, manifest.subject.digest if manifest.subject else None, children)


def _summarize_unknown(document: Document, content: Descriptor) -> Summary:
    config = document.get("config")
    artifact_type = document.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
    said = {"annotations": document.get("annotations"), "artifactType": artifact_type}
    described = content.content
    for key, value in said.items():
        try:
            described = Descriptor.from_document(described.to_document() | {key: value})
        except InvalidContent:
            continue
    subject = next(_descriptors(document.pop("subject", None)), None)
    return Summary(described, subject.digest if subject else None, tuple(_descriptors(document)))


def _descriptors(value: object) -> Iterator[Descriptor]:
    """All that looks like a descriptor, however deep it is."""
    if isinstance(value, list):
        for item in value:
            yield from _descriptors(item)
    elif isinstance(value, dict):
        media_type, size = value.get("mediaType"), value.get("size")
        try:
            digest = Digest(value["digest"])
        except (InvalidDigest, KeyError, TypeError):
            pass
        else:
            yield Descriptor(
                media_type=media_type if isinstance(media_type, str) and media_type else OCTET_STREAM,
                digest=digest,
                size=size if isinstance(size, int) else 0,
            )
        for item in value.values():
            yield from _descriptors(item)
