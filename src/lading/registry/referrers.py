"""Referrers: manifests that point at another one by `subject` (distribution-spec §Listing Referrers).

Registries without the referrers API keep them in an index under a tag made of the subject's digest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from lading.errors import Conflict, InvalidContent, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.media_types import OCI_INDEX
from lading.model.tags import fallback_tag
from lading.registry import failures
from lading.registry.session import Scope, resolve_location
from lading.registry.urls import next_link
from lading.store import AnyManifest

if TYPE_CHECKING:
    from lading.registry.repository import Repository

_TRIES = 5
_PAGE_LIMIT = 32 * 1024 * 1024
_EXCERPT = 64 * 1024


async def list_referrers(
    repository: Repository, subject: Descriptor, artifact_type: str | None = None
) -> AsyncIterator[Descriptor]:
    """The referrers of a manifest, each once, filtered by artifact type where one is given."""
    path = f"/v2/{repository.repository}/referrers/{subject.digest}"
    query: tuple[tuple[str, str], ...] = (("artifactType", artifact_type),) if artifact_type else ()
    what = f"the referrers of {repository.name}@{subject.digest}"
    seen: set[Digest] = set()
    pages: set[str] = set()
    while True:
        entries: tuple[Descriptor, ...] | None = None
        following = None
        if not repository.session.host_cache(repository.registry).has_no_referrers:
            entries, following = await _page(repository, path, query, what)
        if entries is None:
            entries = await _fallback_entries(repository, subject.digest)
        for entry in entries:
            if entry.digest not in seen and (not artifact_type or entry.artifact_type == artifact_type):
                seen.add(entry.digest)
                yield entry
        if following is None:
            return
        if following in pages:
            raise InvalidContent(f"the pages of {what} go round in a circle", cause=f"{following} came twice")
        pages.add(following)
        path, query = following, ()


async def _page(
    repository: Repository, path: str, query: tuple[tuple[str, str], ...], what: str
) -> tuple[tuple[Descriptor, ...] | None, str | None]:
    """A page of the referrers API, and the address of the next one; None where there is no such API."""
    session, registry = repository.session, repository.registry
    scopes = (Scope(repository.repository, ("pull",)),)
    try:
        # GitHub's registry sends whoever asks to a page for people: 303.
        async with session.request(
            "GET", registry, path, scopes=scopes, query=query, what=what, accept=(200, 303, 404)
        ) as response:
            if response.status != 200 or OCI_INDEX not in (response.headers.get("content-type") or ""):
                # With a code of its own, the API may be there, and the repository is not.
                if response.status == 303 or not failures.said(await response.excerpt(_EXCERPT)).code:
                    session.host_cache(registry).has_no_referrers = response.status != 200
                return None, None
            index = parse(await response.read(_PAGE_LIMIT), OCI_INDEX, what=what, limit=_PAGE_LIMIT)
            link = next_link(response.headers)
            following = resolve_location(response, link) if link else None
            return (index.manifests if isinstance(index, Index) else ()), following
    except InvalidContent as error:
        # Quay says so of a subject that it does not have.
        if error.status == 400 and error.registry_code == "MANIFEST_INVALID":
            return (), None
        raise


async def add_to_fallback(repository: Repository, manifest: AnyManifest) -> None:
    """List a manifest under its subject's fallback tag, and look again: another writer may have been faster.

    Raises:
        Conflict: others kept overwriting the tag.
    """
    subject = manifest.subject
    if subject is None:
        return
    tag = fallback_tag(subject.digest)
    entry = manifest.as_referrer
    for attempt in range(_TRIES):
        current = await _fallback(repository, subject.digest)
        entries = current.manifests if current is not None else ()
        if any(known.digest == manifest.digest for known in entries):
            return
        base = current.document if current is not None else None
        annotations = current.annotations if current is not None else None
        await repository.put(Index.build((*entries, entry), OCI_INDEX, annotations, base=base), tag)
        await asyncio.sleep(0.05 * attempt)
    if not any(known.digest == manifest.digest for known in await _fallback_entries(repository, subject.digest)):
        raise Conflict(
            f"{repository.name}@{manifest.digest} could not be listed as a referrer",
            cause=f"other writers keep changing the tag {tag}",
            remedy="run the command again when they are done",
        )


async def _fallback_entries(repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
    index = await _fallback(repository, subject)
    return index.manifests if index is not None else ()


async def _fallback(repository: Repository, subject: Digest) -> Index | None:
    try:
        found = await repository.fetch(fallback_tag(subject))
    except NotFound:
        return None
    # Some registries take such a tag for the digest in it and answer with the subject itself.
    return found if isinstance(found, Index) and found.digest != subject else None
