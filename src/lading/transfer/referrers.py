"""What refers to content: signatures, SBOMs, provenance, wherever a store keeps them.

That is the referrers that the store lists (by its API or the fallback tag), and the tags that cosign makes of a
digest: `sha256-….sig`, `.att`, `.sbom`. Knows stores, and not which ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import suppress

import msgspec

from lading.errors import NotFound, Unsupported
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS
from lading.model.tags import cosign_tags, is_fallback, subject_of
from lading.store import AnyManifest, Readable, fetch_manifest


class Referrer(msgspec.Struct, frozen=True):
    """Something that refers to what is copied."""

    content: Descriptor
    subject: Digest
    tag: str | None = None
    """The tag by which it is found, where it is not listed as a referrer."""


class Finder:
    """Finds what refers to manifests of a store; its tags are listed once.

    Args:
        source: the store.
        artifact_types: only referrers of these types, together with what refers to those; all, if there are none.
            What cosign's tags name has the types that `artifact_types` says.
    """

    def __init__(self, source: Readable, artifact_types: Collection[str] = ()) -> None:
        self._source = source
        self._types = frozenset(artifact_types)
        self._tags: dict[Digest, list[str]] | None = None

    async def of(self, manifest: AnyManifest, entries: Iterable[Descriptor] | None = None) -> list[Referrer]:
        """Everything that refers to a manifest, to the entries of an index, or to what refers to those.

        Args:
            manifest: what is copied.
            entries: those of its entries that are; all, if not given.
        """
        if self._tags is None:
            self._tags = await self._digest_tags()
        children = manifest.manifests if isinstance(manifest, Index) else ()
        subjects = [manifest.descriptor, *(children if entries is None else entries)]
        seen: set[Digest] = {subject.digest for subject in subjects}
        found: list[Referrer] = []
        is_first = True
        while subjects:
            direct = [
                referrer for group in await gather(self._of_one(s, is_first) for s in subjects) for referrer in group
            ]
            subjects = []
            for referrer in direct:
                found.append(referrer)
                if referrer.content.digest not in seen:
                    seen.add(referrer.content.digest)
                    subjects.append(referrer.content)
            is_first = False
        return found

    async def direct(
        self, subject: Descriptor, entries: Iterable[Descriptor], *, with_tags: bool = True
    ) -> set[Digest]:
        """What refers to a manifest and to entries of it, without what refers to that: for a request each.

        Args:
            subject: the manifest.
            entries: the entries.
            with_tags: whether to look for cosign's tags of the manifest, too, for three requests.
        """
        looks = [self._digests_listed(one) for one in (subject, *entries)]
        if with_tags:
            looks += [self._digests_tagged(tag) for tag in cosign_tags(subject.digest)]
        return set[Digest]().union(*await gather(looks))

    async def _digests_listed(self, subject: Descriptor) -> set[Digest]:
        try:
            return {item.digest async for item in self._source.referrers(subject)}
        except (NotFound, Unsupported):
            return set()

    async def _digests_tagged(self, tag: str) -> set[Digest]:
        try:
            return {(await self._source.resolve(tag)).digest}
        except NotFound:
            return set()

    async def _of_one(self, subject: Descriptor, is_first: bool) -> list[Referrer]:
        listed = [Referrer(item.content, subject.digest) async for item in self._listed(subject, is_first)]
        for tag in (self._tags or {}).get(subject.digest, ()):
            with suppress(NotFound):  # it was removed meanwhile
                content = await self._tagged(tag, is_wanted=not is_first or not self._types)
                if content is not None:
                    listed.append(Referrer(content, subject.digest, tag))
        return listed

    async def _tagged(self, tag: str, *, is_wanted: bool) -> Descriptor | None:
        """What one of cosign's tags names, if it is wanted, or of one of the types that are."""
        if is_wanted:
            return await self._source.resolve(tag)
        manifest = await fetch_manifest(self._source, tag)
        return manifest.descriptor if self._types & artifact_types(manifest, tag) else None

    async def _listed(self, subject: Descriptor, is_first: bool) -> AsyncIterator[Descriptor]:
        async for item in self._source.referrers(subject):
            if not is_first or not self._types or item.artifact_type in self._types:
                yield item

    async def _digest_tags(self) -> dict[Digest, list[str]]:
        found: dict[Digest, list[str]] = {}
        try:
            async for tag in self._source.tags():
                subject = subject_of(tag)
                # The list of referrers itself is read by the store.
                if subject is not None and not is_fallback(tag):
                    found.setdefault(subject, []).append(tag)
        except (NotFound, Unsupported):
            return found
        return found


def artifact_types(manifest: AnyManifest, tag: str) -> set[str]:
    """What may be taken for the artifact type of what one of cosign's tags names, which has none of its own.

    That is the type of its config, unless that is an image's, those of its layers, and the one that cosign gives to
    the like where it is listed as a referrer.
    """
    types = {manifest.artifact_type, f"application/vnd.dev.cosign.artifact.{tag.partition('.')[2]}.v1+json"}
    if isinstance(manifest, Manifest):
        config = manifest.config.media_type if manifest.config is not None else ""
        types |= {layer.media_type for layer in manifest.layers} | ({config} - IMAGE_CONFIGS)
    return types - {""}
