"""Referrers: the manifests whose `subject` is another manifest (distribution-spec §Listing Referrers).

A registry without the referrers API keeps them in an index under a tag made of the subject's digest, the fallback
tag (§Referrers Tag Schema): `fallback_index`. How a request gets to its host is the session's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from lading.errors import LadingError
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
from lading.registry.fallback_index import FallbackIndex
from lading.registry.http.transport import Response
from lading.store import AnyManifest, GivesTags, ListedIn

_PAUSES = (0, 0.25, 1.0)
"""How long to wait before each look at a list that may lag behind, in seconds."""
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
        index: gives the list of a manifest under its fallback tag.
        cache: remembers whether the registry has the referrers API, and whether that lists something.
        on_note: is told that the API does not list what is there.
    """

    def __init__(
        self,
        name: str,
        repository: str,
        *,
        send: Send,
        index: Callable[[Digest], FallbackIndex],
        cache: HostCache,
        on_note: Callable[[str], None] | None = None,
    ) -> None:
        self._name = name
        self._repository = repository
        self._scopes = (Scope(repository, ("pull",)),)
        self._send = send
        self._index = index
        self._cache = cache
        self._on_note = on_note

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
        self,
        subject: Descriptor,
        artifact_type: str | None = None,
        *,
        everywhere: bool = False,
        tags: GivesTags | None = None,
    ) -> dict[ListedIn, Sequence[Descriptor]]:
        """What the referrers API and the fallback tag list, asked at once; what the registry lacks is left out.

        Args:
            subject: the manifest.
            artifact_type: what the API is asked for; None for all.
            everywhere: whether the tag is asked, too, where the API was seen to list something.
            tags: gives all tags, where they are known: the fallback tag is asked only if it is among them.

        Raises:
            InvalidContent: the pages of a list go on, and bring nothing new.
        """

        async def by_api() -> list[Descriptor] | None:
            try:
                return [entry async for entry in self._by_api(subject.digest, artifact_type)]
            except _NoAPI:
                return None

        async def by_tag() -> list[Descriptor]:
            if self._cache.lists_referrers and not everywhere:
                return []
            known = await tags() if tags is not None else None
            if known is not None and fallback_tag(subject.digest) not in known:
                return []
            return [entry async for entry in self._fallback_entries(subject.digest)]

        listed, tagged = await gather([by_api(), by_tag()])
        found: dict[ListedIn, Sequence[Descriptor]] = {} if listed is None else {"api": listed}
        return found | ({"fallback-tag": tagged} if tagged else {})

    async def has(self, manifest: AnyManifest, contains: Callable[[Descriptor], Awaitable[bool]]) -> bool:
        """Whether a manifest is there, and found by its subject.

        Args:
            manifest: the manifest, which has a subject.
            contains: asks whether a manifest is there.
        """
        assert manifest.subject is not None
        if self._cache.lists_referrers:
            # What the API lists is there: one request tells both.
            return await self._is_listed(manifest, manifest.subject)
        if not await contains(manifest.descriptor):
            return False
        return manifest.digest in {entry.digest async for entry in self.of(manifest.subject)}

    async def see_to(self, manifest: AnyManifest, *, is_said: bool) -> None:
        """See that a manifest that was put is found by its subject: the API lists it, or else the fallback tag.

        That the API lists something is looked at once; it is remembered, and the registry's word is believed then.

        Args:
            manifest: the manifest. Nothing is done for one without a subject.
            is_said: whether the registry said that it has understood the subject (distribution-spec §Pushing Manifests
                with Subject).

        Raises:
            Conflict: other writers kept overwriting the list under the fallback tag, or that tag names something else.
            Unsupported: the registry has neither the API nor such tags.
        """
        subject = manifest.subject
        if subject is None or (is_said and self._cache.lists_referrers):
            return
        if is_said or not self._cache.has_no_referrers:
            try:
                if await self._comes_to_be_listed(manifest, subject):
                    return
            except _NoAPI:
                pass
            except LadingError:
                if is_said:
                    return  # the list cannot be had: there is nothing but the registry's word
                raise
            else:
                self._cache.has_no_referrers, self._cache.lists_referrers = True, False
                if self._on_note is not None:
                    self._on_note(
                        f"{self._name} answers what refers to a manifest, and does not list {manifest.digest}: it is "
                        f"listed under the tag {fallback_tag(subject.digest)}, which not every tool reads then"
                    )
        await self._index(subject.digest).change(manifest.digest, manifest.as_referrer)

    async def forget(self, manifest: AnyManifest) -> None:
        """Take a manifest that is to be deleted out of the list under the fallback tag, if it is there."""
        if manifest.subject is not None:
            await self._index(manifest.subject.digest).change(manifest.digest, None)

    async def remember(self, manifest: AnyManifest) -> None:
        """Put a manifest that could not be deleted back into the list under the fallback tag."""
        if manifest.subject is not None:
            await self._index(manifest.subject.digest).change(manifest.digest, manifest.as_referrer)

    async def _comes_to_be_listed(self, manifest: AnyManifest, subject: Descriptor) -> bool:
        """Whether the API lists a manifest, at once or after a while.

        Raises:
            _NoAPI: there is no such API.
        """
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            if await self._is_listed(manifest, subject):
                return True
        return False

    async def _is_listed(self, manifest: AnyManifest, subject: Descriptor) -> bool:
        kind = manifest.as_referrer.artifact_type or None
        return manifest.digest in {entry.digest async for entry in self._by_api(subject.digest, kind)}

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
            self._cache.lists_referrers = True
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
            self._cache.has_no_referrers, self._cache.lists_referrers = True, False
        return None

    async def _fallback_entries(self, subject: Digest) -> AsyncIterator[Descriptor]:
        index = await self._index(subject).read()
        seen: set[Digest] = set()
        for entry in index.manifests if index is not None else ():
            if entry.digest not in seen:
                seen.add(entry.digest)
                yield entry
