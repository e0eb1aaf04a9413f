"""Manifests as they are pushed: what is accepted.

This module knows the formats and the storage, and nothing of requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lading.errors import DigestMismatch, InvalidContent, InvalidDigest
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import Document, decode
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.media_types import MANIFESTS, SCHEMA1, is_foreign_layer, is_media_type
from lading.serve.protocol.problems import Problem
from lading.serve.storage.storage import StoredRepository


async def accept(
    repository: StoredRepository, raw: bytes, said: str, digest: Digest, *, allow_missing: bool = False
) -> Accepted:
    """Check a manifest, and that what it points to is there (distribution-spec §Pushing Manifests).

    A kind of manifest that is not known is taken as it is, if it is a JSON object.

    Args:
        repository: where it is pushed to.
        raw: its bytes.
        said: the media type it was sent with, if any.
        digest: the one it must have.
        allow_missing: whether it is taken although what it points to is not there.

    Raises:
        Problem: it is not accepted.
    """
    try:
        verify(raw, digest, name="the manifest")
        document = decode(raw, "the manifest", len(raw))
        kind = _media_type(document, said)
        if kind and kind not in MANIFESTS | SCHEMA1:
            return Accepted(kind, _subject_of(document), ())
        manifest = parse(raw, said, digest=digest, limit=len(raw))
    except DigestMismatch as error:
        raise Problem(400, "DIGEST_INVALID", str(error), {"digest": digest}) from None
    except InvalidContent as error:
        raise Problem(400, "MANIFEST_INVALID", str(error)) from None
    subject = manifest.subject.digest if manifest.subject else None
    if allow_missing:
        return Accepted(manifest.media_type, subject, ())
    if isinstance(manifest, Index):
        children = dict.fromkeys(child.content for child in manifest.children)
        if missing := [child.digest for child in children if not await _is_there(repository, child)]:
            raise incomplete(missing)
        return Accepted(manifest.media_type, subject, tuple(child.digest for child in children))
    needs = (child.digest for child in manifest.children if not is_foreign_layer(child.media_type))
    return Accepted(manifest.media_type, subject, tuple(needs))


def _media_type(document: Document, said: str) -> str:
    """The media type that a manifest has in it and was sent with; empty where there is none in either place."""
    kind = document.get("mediaType") or said
    if said and kind != said:
        cause = f"it was sent as {said}, and says it is {kind}"
        raise InvalidContent("the manifest is ambiguous", cause=cause)
    if kind and not (isinstance(kind, str) and is_media_type(kind)):
        raise InvalidContent("the manifest is malformed", cause=f"{kind!r} is not a media type")
    return str(kind)


class Accepted(NamedTuple):
    """What was found out about a manifest."""

    media_type: str
    subject: str | None
    """The digest of its subject."""
    needs: tuple[Digest, ...]
    """What has to be there at the moment it is stored."""


def incomplete(missing: Iterable[Digest]) -> Problem:
    """The refusal of a manifest that refers to what is not there."""
    message = "the manifest refers to content that is not in the repository"
    return Problem(404, "MANIFEST_BLOB_UNKNOWN", message, *({"digest": item} for item in missing))


async def _is_there(repository: StoredRepository, child: Descriptor) -> bool:
    """Whether an index's entry is there: as a manifest, or where it is none as a blob."""
    if await repository.manifest(child.digest) is not None:
        return True
    return child.media_type not in MANIFESTS and await repository.blob_size(child.digest) is not None


def _subject_of(document: Document) -> str | None:
    """The digest of the subject of a manifest of any kind, if it has one that is well formed."""
    try:
        return Digest(document["subject"]["digest"])
    except (KeyError, TypeError, InvalidDigest):
        return None
