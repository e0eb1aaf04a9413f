"""Referrers: the manifests whose `subject` is another manifest (distribution-spec §Listing Referrers).

A registry without the referrers API keeps them in an index under a tag made of the subject's digest, the fallback
tag (§Referrers Tag Schema). How a request gets to its host is the session's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from lading.errors import Conflict, InvalidContent, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.media_types import OCI_INDEX
from lading.model.tags import fallback_tag
from lading.registry import failures
from lading.registry.auth.scopes import Scope
from lading.registry.cache import HostCache
from lading.registry.call import Send
from lading.registry.urls import continuation, next_link
from lading.store import AnyManifest

_TRIES = 5
_PAGE_LIMIT = 32 * 1024 * 1024
_EXCERPT = 64 * 1024


class Referrers:
    """The referrers of the manifests of one repository.

    Args:
        name: `registry/repository`, for messages.
        repository: the path of the repository.
        send: sends a request to the repository.
        fetch: gets a manifest of the repository by tag or digest.
        put: puts a manifest into the repository under a tag.
        cache: remembers whether the registry has the referrers API.
    """

    def __init__(
        self,
        name: str,
        repository: str,
        *,
        send: Send,
        fetch: Callable[[str], Awaitable[AnyManifest]],
        put: Callable[[AnyManifest, str], Awaitable[None]],
        cache: HostCache,
    ) -> None:
        self._name = name
        self._scopes = (Scope(repository, ("pull",)),)
        self._send = send
        self._fetch = fetch
        self._put = put
        self._cache = cache

    async def of(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The referrers of a manifest, each once.

        Args:
            subject: the manifest.
            artifact_type: only referrers of this type; None for all.

        Raises:
            InvalidContent: the pages of the list go round in a circle.
        """
        path = f"referrers/{subject.digest}"
        query: tuple[tuple[str, str], ...] = (("artifactType", artifact_type),) if artifact_type else ()
        what = f"the referrers of {self._name}@{subject.digest}"
        seen: set[Digest] = set()
        pages: set[str] = set()
        while True:
            entries: tuple[Descriptor, ...] | None = None
            following = None
            if not self._cache.has_no_referrers:
                entries, following = await self._page(path, query, what)
            if entries is None:
                entries = await self._fallback_entries(subject.digest)
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

    async def add(self, manifest: AnyManifest) -> None:
        """List a manifest under its subject's fallback tag, and look again: another writer may have been faster.

        Args:
            manifest: the manifest, which is in the repository. Nothing is done for one without a subject.

        Raises:
            Conflict: other writers kept overwriting the tag.
        """
        subject = manifest.subject
        if subject is None:
            return
        tag = fallback_tag(subject.digest)
        entry = manifest.as_referrer
        for attempt in range(_TRIES):
            current = await self._fallback(subject.digest)
            entries = current.manifests if current is not None else ()
            if any(known.digest == manifest.digest for known in entries):
                return
            base = current.document if current is not None else None
            annotations = current.annotations if current is not None else None
            await self._put(Index.build((*entries, entry), OCI_INDEX, annotations, base=base), tag)
            await asyncio.sleep(0.05 * attempt)
        if not any(known.digest == manifest.digest for known in await self._fallback_entries(subject.digest)):
            raise Conflict(
                f"{self._name}@{manifest.digest} could not be listed as a referrer",
                cause=f"other writers keep changing the tag {tag}",
                remedy="run the command again when they are done",
            )

    async def _page(
        self, path: str, query: tuple[tuple[str, str], ...], what: str
    ) -> tuple[tuple[Descriptor, ...] | None, str | None]:
        """A page of the referrers API, and the address of the next page; None and None where there is no such API."""
        try:
            # GitHub's registry redirects to a web page: 303.
            async with self._send(
                "GET", path, scopes=self._scopes, query=query, what=what, accept=(200, 303, 404)
            ) as response:
                if response.status != 200 or OCI_INDEX not in (response.headers.get("content-type") or ""):
                    # A 404 with a code of its own may mean that the repository is missing, and not the API.
                    if response.status == 303 or not failures.said(await response.excerpt(_EXCERPT)).code:
                        self._cache.has_no_referrers = response.status != 200
                    return None, None
                index = parse(await response.read(_PAGE_LIMIT), OCI_INDEX, what=what, limit=_PAGE_LIMIT)
                following = continuation(response.url, next_link(response.headers.getall("link")))
                return (index.manifests if isinstance(index, Index) else ()), following
        except InvalidContent as error:
            # Quay answers so where it does not have the subject.
            if error.status == 400 and error.registry_code == "MANIFEST_INVALID":
                return (), None
            raise

    async def _fallback_entries(self, subject: Digest) -> tuple[Descriptor, ...]:
        index = await self._fallback(subject)
        return index.manifests if index is not None else ()

    async def _fallback(self, subject: Digest) -> Index | None:
        try:
            found = await self._fetch(fallback_tag(subject))
        except NotFound:
            return None
        # Some registries take such a tag for the digest in it and answer with the subject itself.
        return found if isinstance(found, Index) and found.digest != subject else None
