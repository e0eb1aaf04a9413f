"""Manifests as they are pushed, and as referrers to others: what is accepted, and how they are listed.

This module knows the formats and the storage, and nothing of requests.
"""

from __future__ import annotations

import re

from lading.errors import DigestMismatch, InvalidContent, InvalidDigest
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import Document, decode
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import MANIFESTS, SCHEMA1, is_foreign_layer
from lading.serve.problems import Problem
from lading.serve.storage import Repository, StoredManifest

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*", re.ASCII)  # RFC 6838 §4.2


async def accept(
    repository: Repository, raw: bytes, said: str, digest: Digest, *, allow_missing: bool = False
) -> tuple[str, str | None]:
    """Check a manifest, and that what it points to is there (distribution-spec §Pushing Manifests).

    A kind of manifest that is not known is taken as it is, if it is a JSON object.

    Args:
        repository: where it is pushed to.
        raw: its bytes.
        said: the media type it was sent with, if any.
        digest: the one it must have.
        allow_missing: whether it is taken although what it points to is not there.

    Returns:
        Its media type, and the digest of its subject if it has one.

    Raises:
        Problem: it is not accepted.
    """
    try:
        verify(raw, digest, name="the manifest")
        document = decode(raw, "the manifest", len(raw))
        kind = document.get("mediaType") or said
        if said and kind != said:
            cause = f"it was sent as {said}, and says it is {kind}"
            raise InvalidContent("the manifest is ambiguous", cause=cause)
        if kind and not (isinstance(kind, str) and _MEDIA_TYPE.fullmatch(kind)):
            raise InvalidContent("the manifest is malformed", cause=f"{kind!r} is not a media type")
        if kind and kind not in MANIFESTS | SCHEMA1:
            return kind, subject_of(document)
        manifest = parse(raw, said, digest=digest, limit=len(raw))
    except DigestMismatch as error:
        raise Problem(400, "DIGEST_INVALID", str(error), {"digest": digest}) from None
    except InvalidContent as error:
        raise Problem(400, "MANIFEST_INVALID", str(error)) from None
    missing = [] if allow_missing else await _missing(repository, manifest)
    if missing:
        message = "the manifest refers to content that is not in the repository"
        raise Problem(404, "MANIFEST_BLOB_UNKNOWN", message, *({"digest": item} for item in missing))
    return manifest.media_type, manifest.subject.digest if manifest.subject else None


async def _missing(repository: Repository, manifest: Manifest | Index) -> list[Digest]:
    return [child.digest for child in manifest.children if not await _is_there(repository, manifest, child)]


async def _is_there(repository: Repository, parent: Manifest | Index, child: Descriptor) -> bool:
    if isinstance(parent, Index):
        found = await repository.manifest(child.digest) is not None
        return found or (child.media_type not in MANIFESTS and await _has_blob(repository, child.digest))
    return is_foreign_layer(child.media_type) or await _has_blob(repository, child.digest)


async def _has_blob(repository: Repository, digest: Digest) -> bool:
    blob = await repository.blob(digest)
    if blob is None:
        return False
    with blob:
        return True


def subject_of(document: Document) -> str | None:
    """The digest of the subject of a manifest of any kind, if it has one that is well formed."""
    try:
        return Digest(document["subject"]["digest"])
    except (KeyError, TypeError, InvalidDigest):
        return None


def referrer(manifest: StoredManifest, document: Document) -> Document:
    """The descriptor of a manifest that has a subject (distribution-spec §Listing Referrers)."""
    entry: Document = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.raw),
    }
    if annotations := document.get("annotations"):
        entry["annotations"] = annotations
    config = document.get("config")
    config_type = config.get("mediaType") if isinstance(config, dict) else None
    if artifact_type := document.get("artifactType") or config_type:
        entry["artifactType"] = artifact_type
    return entry


def document_of(raw: bytes) -> Document:
    """A stored manifest, decoded; empty if another tool stored what is none."""
    try:
        return decode(raw, limit=len(raw))
    except InvalidContent:
        return {}
