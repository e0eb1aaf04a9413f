"""Referrers: the manifests whose `subject` is another manifest (distribution-spec §Listing Referrers).

A registry without the referrers API keeps them in an index under a tag made of the subject's digest, the fallback
tag (§Referrers Tag Schema). How a request gets to its host is the session's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from lading.errors import Conflict, NotFound
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.media_types import OCI_INDEX
from lading.model.tags import fallback_tag
from lading.registry import failures, lists
from lading.registry.auth.scopes import Scope
from lading.registry.cache import HostCache
from lading.registry.call import Send
from lading.registry.failures import Refusal
from lading.registry.http.transport import Response
from lading.store import AnyManifest, ListedIn

_TRIES = 5
_EXCERPT = 64 * 1024
_NO_API = frozenset({400, 404, 405, 406, 410, 415, 422, 501})
"""How registries answer that do not know the referrers API."""
_NO_API_CODES = frozenset({"UNSUPPORTED", "NOT_FOUND", "NAME_UNKNOWN", "MANIFEST_UNKNOWN"})


class _NoAPI(Exception):  # it is no failure: the fallback tag is read then
    """The registry has no referrers API."""


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
        self._repository = repository
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
            InvalidContent: the pages of the list go on, and bring nothing new.
        """
        async for entry in self._listed(subject.digest, artifact_type):
            if not artifact_type or entry.artifact_type == artifact_type:
                yield entry

    async def lists(
        self, subject: Descriptor, artifact_type: str | None = None
    ) -> dict[ListedIn, Sequence[Descriptor]]:
        """What the referrers API and the fallback tag list, asked at once; what the registry lacks is left out.

        Args:
            subject: the manifest.
            artifact_type: what the API is asked for; None for all.

        Raises:
            InvalidContent: the pages of a list go on, and bring nothing new.
        """

        async def by_api() -> list[Descriptor] | None:
            try:
                return [entry async for entry in self._by_api(subject.digest, artifact_type)]
            except _NoAPI:
                return None

        async def by_tag() -> list[Descriptor]:
            return [entry async for entry in self._fallback_entries(subject.digest)]

        listed, tagged = await gather([by_api(), by_tag()])
        found: dict[ListedIn, Sequence[Descriptor]] = {} if listed is None else {"api": listed}
        return found | ({"fallback-tag": tagged} if tagged else {})

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
        if manifest.digest not in [known.digest async for known in self._fallback_entries(subject.digest)]:
            raise Conflict(
                f"{self._name}@{manifest.digest} could not be listed as a referrer",
                cause=f"other writers keep changing the tag {tag}",
                remedy="run the command again when they are done",
            )

    async def remove(self, referrer: Digest, subject: Digest) -> None:
        """Take a manifest out of the list under its subject's fallback tag (distribution-spec §Deleting Manifests).

        Args:
            referrer: the manifest, which is in the repository no more.
            subject: what it referred to.

        Raises:
            Conflict: other writers kept overwriting the tag.
        """
        tag = fallback_tag(subject)
        for attempt in range(_TRIES):
            current = await self._fallback(subject)
            left = [known for known in current.manifests if known.digest != referrer] if current is not None else []
            if current is None or len(left) == len(current.manifests):
                return
            index = Index.build(left, OCI_INDEX, current.annotations, base=current.document)
            await self._put(index, tag)
            await asyncio.sleep(0.05 * attempt)
        raise Conflict(
            f"{self._name}@{referrer} is gone, and still listed as a referrer",
            cause=f"other writers keep changing the tag {tag}",
            remedy="run the command again when they are done",
        )

    async def _listed(self, subject: Digest, artifact_type: str | None) -> AsyncIterator[Descriptor]:
        """What the referrers API lists; where there is no such API, what is listed under the fallback tag."""
        try:
            async for entry in self._by_api(subject, artifact_type):
                yield entry
        except _NoAPI:
            async for entry in self._fallback_entries(subject):
                yield entry

    async def _by_api(self, subject: Digest, artifact_type: str | None) -> AsyncIterator[Descriptor]:
        """What the referrers API lists.

        Raises:
            _NoAPI: there is no such API.
        """
        if self._cache.has_no_referrers:
            raise _NoAPI
        path = f"/v2/{self._repository}/referrers/{subject}"
        query = (("artifactType", artifact_type),) if artifact_type else ()
        what = f"the referrers of {self._name}@{subject}"
        lacks_api = False

        def send(where: str, query: lists.Pairs) -> AbstractAsyncContextManager[Response]:
            # GitHub's registry redirects to a web page: 303.
            accept = (200, 303, *_NO_API) if where == path else (200,)
            return self._send("GET", where, scopes=self._scopes, query=query, what=what, accept=accept)

        async def read(response: Response) -> Sequence[Descriptor] | None:
            nonlocal lacks_api
            found = await self._read(response, what)
            lacks_api = found is None
            return found

        async for entry in lists.items(send, path, query, read, what=what, key=lambda entry: entry.digest):
            yield entry
        if lacks_api:
            raise _NoAPI

    async def _read(self, response: Response, what: str) -> Sequence[Descriptor] | None:
        """A page of the referrers API; None where the answer is that there is no such API.

        Raises:
            InvalidContent: it is neither.
            LadingError: it is an error, with the status of a success.
        """
        media_type = (response.headers.get("content-type") or "").lower()
        is_json = OCI_INDEX in media_type or "json" in media_type
        if response.status == 200 and is_json:
            raw = await response.read(lists.PAGE_LIMIT)
            is_error = b'"errors"' in raw and failures.said(raw).code
            if not is_error and (OCI_INDEX in media_type or b'"manifests"' in raw):
                index = parse(raw, OCI_INDEX, what=what, limit=lists.PAGE_LIMIT)
                return index.manifests if isinstance(index, Index) else ()
        else:
            raw = await response.excerpt(_EXCERPT)
        refusal = Refusal(response.status, raw)
        code = failures.said(raw).code
        if response.status == 400 and code == "MANIFEST_INVALID":
            return ()  # Quay answers so where it does not have the subject
        if response.status == 200 and code and code not in _NO_API_CODES:
            raise failures.failure(refusal, method="GET", registry=self._name, what=what)
        # A 404 with a code of its own may mean that the repository is missing, and a 400 that the digest is not liked.
        if response.status in (303, 405, 501) or (response.status == 404 and not code):
            self._cache.has_no_referrers = True
        return None

    async def _fallback_entries(self, subject: Digest) -> AsyncIterator[Descriptor]:
        index = await self._fallback(subject)
        seen: set[Digest] = set()
        for entry in index.manifests if index is not None else ():
            if entry.digest not in seen:
                seen.add(entry.digest)
                yield entry

    async def _fallback(self, subject: Digest) -> Index | None:
        try:
            found = await self._fetch(fallback_tag(subject))
        except NotFound:
            return None
        # Some registries take such a tag for the digest in it and answer with the subject itself.
        return found if isinstance(found, Index) and found.digest != subject else None
