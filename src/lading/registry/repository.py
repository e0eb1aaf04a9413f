"""A repository in a registry, as a Store (distribution-spec).

This module knows the protocol's requests and their answers. How a request gets to its host (scheme, authentication,
retries, limits) is the session's business, and no concern here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lading.errors import (
    Conflict,
    DigestMismatch,
    InvalidContent,
    InvalidDigest,
    LadingError,
    NotFound,
    Unsupported,
    UsageError,
)
from lading.io.sources import closing
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import SIZE_LIMIT
from lading.model.media_types import ACCEPT, SCHEMA1, is_docker
from lading.model.reference import is_tag
from lading.registry.auth.scopes import Scope
from lading.registry.call import is_doubtful
from lading.registry.host import Host, slots
from lading.registry.http.transport import Headers, Response, coding_of, length_of
from lading.registry.quirks import hosted
from lading.registry.session import Session
from lading.registry.urls import continuation
from lading.store import Readable, Reader, Source, Stored, Traits, is_manifest, take

if TYPE_CHECKING:
    from lading.registry.downloads import Download
    from lading.registry.fallback_index import FallbackIndex
    from lading.registry.referrers import Referrers
    from lading.registry.uploads import Uploads
    from lading.store import AnyManifest, GivesTags, ListedIn

_PUTS = 3
_PAUSE = 0.1
_ACCEPT = ", ".join(ACCEPT)


class Repository:
    """One repository of one registry.

    Args:
        session: carries the requests; several repositories share one.
        registry: host and port, as in `Reference.registry`.
        repository: the path, as in `Reference.repository`.
        writing: whether something will be written: then every request asks for the permission, and one token does.
        mirrored: whether manifests and blobs may come from the registry's mirrors, which may lag behind.

    Raises:
        UsageError: what is configured for the registry is not valid, or what is given is for another one.
    """

    def __init__(
        self, session: Session, registry: str, repository: str, *, writing: bool = False, mirrored: bool = False
    ) -> None:
        session.expect(registry)
        self.session = session
        self.registry = registry
        self.repository = repository
        self._writing = writing
        self._mirrored = mirrored and not writing
        self._refused_mounts: set[str] = set()

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    @property
    def traits(self) -> Traits:
        """It is remote, and may have mirrors; whether it has the referrers API is known once it was asked."""
        no_api = self.session.host_cache(self.registry).has_no_referrers
        counts = hosted(self.registry).counts_pulls
        return Traits(
            is_remote=True, is_mirrored=self._has_mirrors(), lists_under_tags=no_api, reads_as_it_resolves=not counts
        )

    @cached_property
    def uploads(self) -> Uploads:
        """How blobs get there."""
        from lading.registry.uploads import Uploads

        chunk = self.session.config(self.registry).chunk_size
        journal = self.session.cache.uploads
        return Uploads(self.registry, self.repository, self._request, chunk=chunk, journal=journal)

    @cached_property
    def _referrers(self) -> Referrers:
        from lading.registry.referrers import Referrers

        return Referrers(
            self.name,
            self.repository,
            send=self._request,
            index=self._fallback_index,
            cache=self.session.host_cache(self.registry),
            on_note=self.session.on_note,
        )

    def _fallback_index(self, subject: Digest) -> FallbackIndex:
        """The list of a manifest's referrers; the same one for all that the session does at once."""
        from lading.registry.fallback_index import FallbackIndex

        changing: dict[str, FallbackIndex] = self.session.changing
        key = f"{self.name}@{subject}"
        if key not in changing:
            for idle in [other for other, index in changing.items() if index.is_idle]:
                del changing[idle]
            changing[key] = FallbackIndex(
                self.name,
                subject,
                fetch=self.fetch,
                contains=self.contains,
                put=self.put,
                delete=self._delete_manifest,
            )
        return changing[key]

    # Manifests

    async def resolve(self, name: str) -> Descriptor:
        """Find a manifest by tag or digest, with a HEAD request (distribution-spec §Checking if content exists).

        The descriptor repeats what the registry says; nothing has been verified. A registry that does not say it
        in the headers is asked for the manifest itself, and so is one whose HEAD fails.

        Raises:
            NotFound: there is none.
        """
        return await self._resolve(name, surely=True)

    async def glance(self, name: str) -> Descriptor | None:
        """What a tag seems to stand for: a 404 to HEAD is believed."""
        try:
            return await self._resolve(name, surely=False)
        except NotFound:
            return None

    async def _resolve(self, name: str, *, surely: bool) -> Descriptor:
        path, what = f"manifests/{name}", self._named(name)
        with self._looking_for(name):
            headers = await self._head(path, {"Accept": _ACCEPT}, what, surely=surely)
        media_type = (headers.get("content-type") or "").partition(";")[0].strip()
        length = headers.get("content-length") or ""
        digest = _digest_header(headers.get("docker-content-digest"))
        if digest is None or not length.isdigit() or media_type not in ACCEPT or coding_of(headers):
            return (await self.fetch(name)).descriptor
        if ":" in name and digest != name:
            raise DigestMismatch(f"{self._named(name)} was answered with another digest", cause=f"it is {digest}")
        return Descriptor(media_type=media_type, digest=digest, size=int(length))

    async def fetch(self, name: str, limit: int = SIZE_LIMIT, *, scopes: Sequence[Scope] = ()) -> AnyManifest:
        """Get a manifest by tag or digest in one request, verified (distribution-spec §Pulling manifests).

        Args:
            name: a tag or a digest.
            limit: the largest size accepted, in bytes.
            scopes: what a token for this must allow; by default what the repository is opened for.

        Raises:
            NotFound: there is none.
            DigestMismatch: the bytes are not what the name, or the registry's own header, says.
            InvalidContent: not a manifest that lading reads.
        """
        what, accept = self._named(name), {"Accept": _ACCEPT}
        with self._looking_for(name):
            async with self._request("GET", f"manifests/{name}", headers=accept, what=what, scopes=scopes) as response:
                raw = await response.read(limit)
                media_type = response.headers.get("content-type")
                said = response.headers.get("docker-content-digest")
        expected = Digest(name) if ":" in name else _digest_header(said)
        if expected is not None:
            verify(raw, expected, name=what)
        from lading.model.manifest import parse

        return parse(raw, media_type, digest=expected or Digest.of(raw), what=what, limit=limit)

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Put a manifest under a tag, or by its digest (distribution-spec §Pushing Manifests).

        The answer is checked: a registry that stored other bytes is an error. A manifest with a subject is found by
        that afterwards: where the referrers API does not list it, the fallback tag does.

        Raises:
            DigestMismatch: the registry says that it stored something else.
            Conflict: the manifest is there, and could not be listed as a referrer; see `FallbackIndex.change`.
            Unsupported: likewise.
        """
        if name is not None and manifest.digest.algorithm != "sha256":
            # Under a tag alone, a registry would know it by its sha256 digest.
            with suppress(InvalidContent):
                await self._put(manifest, manifest.digest)
        target = name or manifest.digest
        subject: str | None = None
        try:
            subject = await self._put_intact(manifest, target)
        except LadingError as error:
            from lading.registry import changes

            refused = changes.of_foreign_layers(error, manifest, self.registry, self._named(target))
            told = await changes.explained(refused, self._named(target), manifest.digest, partial(self._look, target))
            if told is not None:
                raise told from None
        self.session.host_cache(self.registry).name(self._named(target), str(manifest.digest))
        if manifest.subject is not None:
            await self._referrers.see_to(manifest, is_said=bool(subject))

    def remembered(self, name: str) -> Digest | None:
        """The digest that was put under a tag or digest from here last; it may be otherwise by now."""
        return _digest_header(self.session.host_cache(self.registry).named(self._named(name)))

    async def _put_intact(self, manifest: AnyManifest, target: str) -> str | None:
        """Put a manifest, again where it came to harm on the way; returns the subject that was understood."""
        harmed: DigestMismatch | None = None
        for tries in range(_PUTS, 0, -1):
            if tries < _PUTS:
                await asyncio.sleep(_PAUSE)
            try:
                stored, subject = await self._put(manifest, target)
            except InvalidContent as error:
                # Its digest is right: the registry read it while another client was writing the same manifest.
                if error.registry_code != "DIGEST_INVALID" or tries == 1:
                    raise harmed or error from None
                continue
            except LadingError:
                if harmed is not None:
                    raise harmed from None  # that is why this one was refused
                raise
            # A tag is left with what came to harm on the way only where the registry insists.
            if stored == manifest.digest:
                return subject
            harmed = DigestMismatch(
                f"{self._named(target)} was stored with other bytes",
                cause=f"sent {manifest.digest}, stored {stored} as the registry says",
            )
        assert harmed is not None
        raise harmed

    async def _look(self, name: str) -> Digest | None:
        """The digest of what a name stands for, computed from its bytes; None where there is nothing."""
        what = self._named(name)
        try:
            async with self._request("GET", f"manifests/{name}", headers={"Accept": _ACCEPT}, what=what) as response:
                algorithm = Digest(name).algorithm if ":" in name else "sha256"
                return Digest.of(await response.read(SIZE_LIMIT), algorithm)
        except NotFound:
            return None

    async def _put(self, manifest: AnyManifest, target: str) -> tuple[Digest, str | None]:
        """Put a manifest; returns what was stored, as far as the registry says, and the subject that it understood."""
        async with self._request(
            "PUT",
            f"manifests/{target}",
            push=True,
            headers={"Content-Type": manifest.media_type},
            body=manifest.raw,
            what=self._named(target),
        ) as response:
            said = _digest_header(response.headers.get("docker-content-digest"))
            subject = response.headers.get("oci-subject")
        if said is None or said.algorithm != manifest.digest.algorithm:
            return manifest.digest, subject
        return said, subject

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give a manifest that is here another tag: its bytes are fetched and put again under the new name."""
        await self.put(await self.fetch(content.digest), name)

    async def untag(self, name: str) -> None:
        """Remove a tag and leave the manifest (distribution-spec §Deleting tags).

        Raises:
            Unsupported: the registry cannot; nothing was changed.
            NotFound: there is no such tag.
        """
        if not is_tag(name):
            raise UsageError(f"{name!r} is not a tag")
        try:
            await self._remove(f"manifests/{name}", name)
        except LadingError as error:
            # Registries from before the specification had it take the tag for a malformed digest.
            if error.status not in (400, 405, 501) or isinstance(error, Conflict):
                raise
            raise Unsupported(
                f"{self.registry} cannot remove the tag {name} by itself; nothing was changed",
                cause=error.cause,
                remedy="the manifest can be deleted, with all its tags",
                code="tag-not-removable",
                fields={"registry": self.registry, "reference": self._named(name)},
                status=error.status,
                registry_code=error.registry_code,
            ) from error

    # Any content

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob, verified; a download that breaks off goes on where it stopped.

        Raises:
            NotFound: it is not here.
        """
        path = f"{_kind(content)}/{content.digest}"
        what = self._named(content.digest)
        headers = {"Accept": f"{content.media_type}, {_ACCEPT}"} if is_manifest(content) else {}
        async with self._request("GET", path, headers=headers, what=what) as response:
            download = self._download(content)
            plain = await download.is_plain(response)
            length = length_of(response.headers)
            if plain and length is not None and length != content.size:
                raise DigestMismatch(
                    f"{what} has another size than its descriptor says",
                    cause=f"expected {content.size} bytes, the registry has {length}",
                )
            yield Reader(content, download.resumed(response, plain=plain))

    def source(self, content: Descriptor) -> Source:
        """A manifest or blob as a source; a blob is read from an offset by its range (distribution-spec §Pulling)."""
        return Stored(self, content, self._download(content).rest)

    async def read_part(self, content: Descriptor, start: int, length: int) -> bytes:
        """Read some bytes of a blob by one request for their range (RFC 9110 §14.2); they are not verified.

        A registry that sends the whole blob all the same is heard as far as it takes.
        """
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        what = self._named(content.digest)
        async with self._request("GET", f"blobs/{content.digest}", headers=headers, what=what) as response:
            if await self._download(content).is_plain(response):
                skipped = start if response.status == 200 else 0
                return (await take(response.chunks(), skipped + length))[skipped:]
        async with closing(self._download(content).rest(start, whole=True)) as rest:
            return await take(rest, length)

    @asynccontextmanager
    async def open_blob(self, digest: Digest) -> AsyncIterator[tuple[int | None, AsyncIterator[bytes]]]:
        """Read a blob of which only the digest is known; a download that breaks off goes on where it stopped.

        Returns:
            Its size in bytes, None where the registry does not say it, and its bytes, which have not been verified.

        Raises:
            NotFound: it is not here.
        """
        content = Descriptor(digest=digest, size=0)
        path, what = f"blobs/{digest}", self._named(digest)
        async with self._request("GET", path, what=what) as response:
            download = self._download(content)
            plain = await download.is_plain(response)
            size = length_of(response.headers) if plain else None
            if size:
                # Where a download breaks off, its size tells whether something is missing.
                download = self._download(Descriptor(digest=digest, size=size))
            async with closing(download.resumed(response, plain=plain)) as chunks:
                yield size, chunks

    async def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes, by a HEAD request; None where the registry does not say it.

        Raises:
            NotFound: it is not here.
        """
        headers = await self._head(f"blobs/{digest}", {}, self._named(digest), surely=True)
        if coding_of(headers):
            return (await self._download(Descriptor(digest=digest, size=0)).measured())[0]
        return length_of(headers)

    async def contains(self, content: Descriptor) -> bool:
        """Ask with HEAD whether a manifest or blob is here; where that fails, GET decides."""
        return await self._contains(content, surely=True)

    async def seems_to_contain(self, content: Descriptor) -> bool:
        """Ask with HEAD whether a manifest or blob is here; a 404 is believed."""
        return await self._contains(content, surely=False)

    async def _contains(self, content: Descriptor, *, surely: bool) -> bool:
        headers = {"Accept": f"{content.media_type}, {_ACCEPT}"} if is_manifest(content) else {}
        try:
            await self._head(f"{_kind(content)}/{content.digest}", headers, self._named(content.digest), surely=surely)
        except NotFound:
            return False
        return True

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob; an upload that breaks off goes on where it stopped, or starts anew.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
        """
        if is_manifest(content):
            raw = b"".join([chunk async for chunk in source()])
            from lading.model.manifest import parse

            await self.put(parse(raw, content.media_type, digest=content.digest))
            return
        # What streams from one registry to another takes slots at both, in one order: see `host.slots`.
        origin = source.origin
        hosts = [*self._blob_hosts(), *(origin._blob_hosts() if isinstance(origin, Repository) else ())]  # noqa: SLF001  # of its own class
        async with slots(hosts if len(hosts) > 1 and self.uploads.streams(content) else ()):
            await self.uploads.upload(content, source)

    def _has_mirrors(self) -> bool:
        hosts = self.session.blob_hosts
        return self._mirrored and self._blob_hosts() != hosts(self.registry, self.repository, mirrors=False)

    def _blob_hosts(self) -> list[Host]:
        return self.session.blob_hosts(self.registry, self.repository, mirrors=self._mirrored)

    def is_same(self, other: Readable) -> bool:
        """Whether the other is this repository: what one has, both have."""
        return isinstance(other, Repository) and other.name == self.name

    def is_sibling(self, other: Readable) -> bool:
        """Whether mounting from the other may work: it is in this registry, and has not been refused."""
        return (
            isinstance(other, Repository)
            and other.registry == self.registry
            and other.repository not in self._refused_mounts
        )

    asks_first = False

    async def mount(self, content: Descriptor, source: Readable) -> bool:
        """Take a blob from another repository of this registry (distribution-spec §Mounting a blob), or from this one.

        From this one it takes what is here already; where the blob is not here, the registry opens an upload in the
        same request, for the write that follows.

        Returns:
            False where the registry will not, or the source is somewhere else.
        """
        if not isinstance(source, Repository) or source.registry != self.registry or is_manifest(content):
            return False
        if source.repository == self.repository:
            return await self._take(content)
        try:
            if await self._mount(content, source.repository):
                return True
        except LadingError as error:
            # However it is refused, or fails: an upload may still be taken.
            if error.status is None or error.status == 429:
                raise
        self._refused_mounts.add(source.repository)
        return False

    async def _take(self, content: Descriptor) -> bool:
        """Mount a blob from this repository; a registry without mounts opens an upload for what it has, too."""
        if self.repository not in self._refused_mounts:
            try:
                return await self._mount(content, self.repository)
            except LadingError as error:
                if error.status is None or error.status == 429:
                    raise
            self._refused_mounts.add(self.repository)
        return await self.seems_to_contain(content)

    async def _mount(self, content: Descriptor, repository: str) -> bool:
        pull = () if repository == self.repository else (Scope(repository, ("pull",)),)
        async with self._request(
            "POST",
            "blobs/uploads/",
            scopes=(Scope(self.repository, ("pull", "push")), *pull),
            query=(("mount", content.digest), ("from", repository)),
            body=b"",
            what=f"{self.name}@{content.digest}",
        ) as response:
            if response.status == 201:
                return True
            # The registry opened an upload instead; the write that follows uses it.
            location = continuation(response.url, response.headers.get("location"))
            if location is not None:
                self.uploads.opened(content.digest, location)
        return False

    async def delete(self, content: Descriptor, *, manifest: AnyManifest | None = None) -> None:
        """Delete a manifest with all its tags, or a blob (distribution-spec §Deleting).

        A manifest with a subject is taken out of the list under that's fallback tag first, if it is there.

        Args:
            content: what is deleted.
            manifest: the manifest, where it has been read already; else it is read, to see whether it has a subject.

        Raises:
            Unsupported: the registry does not delete.
            NotFound: it is not here.
        """
        if not is_manifest(content) or is_docker(content.media_type):
            await self._delete_manifest(content)
            return
        with suppress(InvalidContent, NotFound):
            # With one token: that of what follows.
            manifest = manifest or await self.fetch(content.digest, scopes=self._delete_scopes())
        if manifest is None or manifest.subject is None:
            await self._delete_manifest(content)
            return
        await self._referrers.forget(manifest)
        try:
            await self._delete_manifest(content)
        except NotFound:
            raise
        except LadingError:
            await self._referrers.remember(manifest)
            raise

    async def _delete_manifest(self, content: Descriptor) -> None:
        try:
            await self._delete(content)
        except Conflict as error:
            if error.registry_code != "GOOGLE_MANIFEST_DANGLING_TAG":
                raise
            # Google's registry deletes no manifest that a tag names: the tags go first.
            async for name in self._names_of(content):
                await self.untag(name)
            await self._delete(content)

    # Lists

    async def tags(self) -> AsyncIterator[str]:
        """All tags in the registry's order, page after page (distribution-spec §Listing Tags).

        Raises:
            NotFound: there is no such repository.
        """
        from lading.registry import lists

        try:
            async for name in lists.tags(self.session, self.registry, self.repository, self._scopes()):
                yield name
        except NotFound as error:
            error.code, error.remedy = "repository-not-found", "see which repositories the registry shows"
            error.fields["repository"] = self.repository
            raise

    async def few_tags(self) -> Sequence[str] | None:
        """All tags, at the cost of one request; None where there are more than that gives, or it fails."""
        from lading.registry import lists

        try:
            return await lists.few_tags(self.session, self.registry, self.repository, self._scopes())
        except LadingError:
            return None

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests that refer to this one (distribution-spec §Listing Referrers), each once.

        On a registry without the referrers API the fallback tag is read.
        """
        async for referrer in self._referrers.of(subject, artifact_type):
            yield referrer

    async def referrer_lists(
        self,
        subject: Descriptor,
        artifact_type: str | None = None,
        *,
        everywhere: bool = False,
        tags: GivesTags | None = None,
    ) -> Mapping[ListedIn, Sequence[Descriptor]]:
        """What the referrers API and the fallback tag list; the API is left out where there is none."""
        return await self._referrers.lists(subject, artifact_type, everywhere=everywhere, tags=tags)

    async def has_referrer(self, manifest: AnyManifest) -> bool:
        """Whether a manifest with a subject is here, and found by that: an interrupted write may have left it unlisted.

        Costs one request where the API was seen to list something, else two, where the manifest is here.
        """
        return await self._referrers.has(manifest, self.seems_to_contain)

    # The rest

    @contextmanager
    def _looking_for(self, name: str) -> Iterator[None]:
        """Say of a manifest that is not found which it is."""
        try:
            yield
        except NotFound as error:
            if error.code == NotFound.code:
                error.code = "manifest-not-found"
                error.fields |= {"repository": self.repository, "reference": self._named(name)}
            raise

    def _request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        push: bool = False,
        scopes: Sequence[Scope] = (),
        **rest: Any,
    ) -> AbstractAsyncContextManager[Response]:
        if not path.startswith(("/", "http:", "https:")):
            # A name that a registry lists may be anything that JSON can have.
            path = f"/v2/{self.repository}/{quote(path, '/:@', errors='surrogatepass')}"
        return self.session.request(
            method,
            self.registry,
            path,
            scopes=scopes or self._scopes(push=push),
            mirrors=self._mirrored and method in ("GET", "HEAD"),
            what=what,
            **rest,
        )

    async def _head(self, path: str, headers: Mapping[str, str], what: str, *, surely: bool) -> Headers:
        """The header fields of a manifest or a blob, by HEAD. A HEAD that fails decides nothing: GET does.

        Args:
            path: which it is.
            headers: of the request.
            what: the same, for messages.
            surely: whether it matters that what HEAD does not find is really not there.
        """
        try:
            async with self._request("HEAD", path, headers=headers, what=what, is_tentative=True) as response:
                return response.headers
        except LadingError as error:
            if not is_doubtful(error) or (isinstance(error, NotFound) and not surely):
                raise
        async with self._request("GET", path, headers=headers, what=what) as response:
            return response.headers

    async def _delete(self, content: Descriptor) -> None:
        try:
            await self._remove(f"{_kind(content)}/{content.digest}", content.digest)
        except Unsupported as error:
            error.remedy = hosted(self.registry).deletion
            raise

    async def _remove(self, path: str, name: str) -> None:
        """Delete a tag, a manifest or a blob; where it is in doubt whether that was done, it is looked at."""
        what = self._named(name)

        async def look() -> Digest | None:
            if path.startswith("manifests/"):
                return await self._look(name)
            try:
                await self._head(path, {}, what, surely=True)
            except NotFound:
                return None
            return Digest(name)

        try:
            async with self._request("DELETE", path, scopes=self._delete_scopes(), what=what):
                return
        except LadingError as error:
            from lading.registry import changes

            told = await changes.explained(error, what, None, look)
            if told is not None:
                raise told from None

    async def _names_of(self, content: Descriptor) -> AsyncIterator[str]:
        """The tags that name a manifest; Google's registry says that in its list of tags."""
        from lading.registry import lists

        names = lists.tags(self.session, self.registry, self.repository, self._scopes(), of=content.digest)
        for name in [name async for name in names]:
            yield name

    def _scopes(self, *, push: bool = False) -> tuple[Scope, ...]:
        return (Scope(self.repository, ("pull", "push") if push or self._writing else ("pull",)),)

    def _delete_scopes(self) -> tuple[Scope, ...]:
        return (Scope(self.repository, hosted(self.registry).delete_actions),)

    def _named(self, name: str) -> str:
        return f"{self.name}@{name}" if ":" in name else f"{self.name}:{name}"

    def _download(self, content: Descriptor) -> Download:
        from lading.registry.downloads import Download

        path = f"{_kind(content)}/{content.digest}"
        return Download(self._request, path, content, self._named(content.digest))


def _kind(content: Descriptor) -> str:
    return "manifests" if is_manifest(content) or content.media_type in SCHEMA1 else "blobs"


def _digest_header(text: str | None) -> Digest | None:
    try:
        return Digest(text.strip()) if text else None
    except InvalidDigest:
        return None
