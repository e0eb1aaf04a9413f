"""Content in memory, as a Store: for small content, and for tests.

This module knows the Store protocol, and nothing of files or of what the content is for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from lading.errors import InvalidContent, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import SIZE_LIMIT
from lading.model.manifest import parse
from lading.model.media_types import is_foreign_layer
from lading.model.reach import Reach, visit
from lading.model.reference import check_tag
from lading.store import AnyManifest, Readable, Reader, Source, Traits, is_manifest, may_be_manifest

_CHUNK = 1024 * 1024


class Memory:
    """A store in memory. It belongs to one event loop.

    Args:
        name: what it is called in messages.
    """

    traits: Traits = Traits()

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self._blobs: dict[Digest, bytes] = {}
        self._manifests: dict[Digest, AnyManifest] = {}
        self._tags: dict[str, Digest] = {}

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest with a tag or digest.

        Raises:
            NotFound: there is none.
        """
        return self._find(name).descriptor

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """The manifest with this tag or digest, as it was written.

        Raises:
            NotFound: there is none.
            InvalidContent: it is larger than `limit` bytes.
        """
        manifest = self._find(name)
        return manifest if manifest.size <= limit else parse(manifest.raw, what=self._named(name), limit=limit)

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob.

        Raises:
            NotFound: it is not here.
        """
        data = self._get(content.digest)
        if data is None:
            raise NotFound(f"{self._named(content.digest)} does not exist")
        yield Reader(content, _chunks(data))

    def has(self, digest: Digest) -> bool:
        """Whether a manifest or blob with this digest is here."""
        return digest in self._manifests or digest in self._blobs

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is here."""
        data = self._get(content.digest)
        return data is not None and len(data) == content.size

    async def blob_size(self, digest: Digest) -> int:
        """The size of a blob in bytes.

        Raises:
            NotFound: it is not here.
        """
        data = self._get(digest)
        if data is None:
            raise NotFound(f"{self._named(digest)} does not exist")
        return len(data)

    async def contains_all(self, content: Descriptor) -> bool:
        """Whether a manifest is here with everything it leads to, but for foreign layers."""
        reach = Reach(self._named(content.digest))

        def within(content: Descriptor, _: int) -> Sequence[Descriptor]:
            found = self._manifests.get(content.digest)
            if found is None:
                return ()
            reach.count(found.size)
            wanted.update(found.children)
            return [child for child in found.children if may_be_manifest(child)]

        wanted = {content}
        try:
            for _ in visit([content], lambda content: content.digest, within, reach):
                pass
        except InvalidContent:
            return False
        return all([await self.contains(item) or is_foreign_layer(item.media_type) for item in wanted])

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
            InvalidContent: it is said to be a manifest, and is none.
        """
        if is_manifest(content):
            raw = await Reader(content, source()).read(SIZE_LIMIT)
            await self.put(parse(raw, content.media_type, digest=content.digest, what=self._named(content.digest)))
        else:
            self._blobs[content.digest] = await Reader(content, source()).read()

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Write a manifest under a tag, or by its digest where there is no name.

        Raises:
            DigestMismatch: its bytes do not have its digest.
            InvalidReference: the name cannot be a tag.
        """
        verify(manifest.raw, manifest.digest)
        if name is not None:
            check_tag(name)
        self._manifests[manifest.digest] = manifest
        if name is not None:
            self._tags[name] = manifest.digest

    asks_first = True

    async def mount(self, content: Descriptor, source: Readable) -> bool:
        """Share a blob with another store in memory."""
        if not isinstance(source, Memory) or is_manifest(content):
            return False
        data = source._blobs.get(content.digest)  # noqa: SLF001  # of its own class
        if data is None or len(data) != content.size:
            return False
        self._blobs[content.digest] = data
        return True

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give a manifest that is here a tag; the tag moves if it exists.

        Raises:
            NotFound: the manifest is not here.
            InvalidReference: the name cannot be a tag.
        """
        await self.put(self._find(content.digest), name)

    async def untag(self, name: str) -> None:
        """Remove a tag.

        Raises:
            NotFound: there is no such tag.
        """
        if self._tags.pop(name, None) is None:
            raise NotFound(f"{self._named(name)} does not exist")

    async def tags(self) -> AsyncIterator[str]:
        """All tags, in the order in which they were first given."""
        for tag in tuple(self._tags):
            yield tag

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests whose `subject` is this one, in the order in which they were written."""
        for manifest in tuple(self._manifests.values()):
            if manifest.subject is not None and manifest.subject.digest == subject.digest:
                referrer = manifest.as_referrer
                if not artifact_type or referrer.artifact_type == artifact_type:
                    yield referrer

    async def delete(self, content: Descriptor) -> None:
        """Delete a manifest with all its tags, or a blob.

        Raises:
            NotFound: it is not here.
        """
        if is_manifest(content):
            found = self._manifests.pop(content.digest, None) is not None
            self._tags = {tag: digest for tag, digest in self._tags.items() if digest != content.digest}
        else:
            found = self._blobs.pop(content.digest, None) is not None
        if not found:
            raise NotFound(f"{self._named(content.digest)} does not exist")

    def _find(self, name: str) -> AnyManifest:
        digest = Digest(name) if ":" in name else self._tags.get(name)
        manifest = self._manifests.get(digest) if digest is not None else None
        if manifest is None:
            raise NotFound(f"{self._named(name)} does not exist")
        return manifest

    def _get(self, digest: Digest) -> bytes | None:
        manifest = self._manifests.get(digest)
        return manifest.raw if manifest is not None else self._blobs.get(digest)

    def _named(self, name: str) -> str:
        return f"{self.name}@{name}" if ":" in name else f"{self.name}:{name}"


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]
