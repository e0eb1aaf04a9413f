"""What the embedded registry keeps its content in: the protocol, and a storage in memory.

This module knows digests and bytes, and nothing of HTTP. What it is given has been checked: names of
repositories and tags are valid, content has the digest it is stored under. A repository holds content once,
whether it was pushed as a blob or as a manifest; what is a manifest is recorded beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from types import TracebackType
from typing import BinaryIO, Generic, NamedTuple, ParamSpec, Protocol, Self, TypeVar

from lading.errors import InvalidContent, InvalidReference, LadingError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.reference import Reference
from lading.stores.manifest_summary import Summary, summarize

CHUNK = 1024 * 1024
"""How much of a blob is in memory at once while it is sent or received, in bytes."""

_FEW = 64 * 1024  # bytes that are dealt with faster than a thread begins

P = ParamSpec("P")
T = TypeVar("T")


def is_repository(name: str) -> bool:
    """Whether a text can be the name of a repository (distribution-spec §Pulling manifests)."""
    try:
        return Reference.parse_repository(f"localhost/{name}").repository == name
    except InvalidReference:
        return False


async def call(amount: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what takes longer the more bytes it has to do with: in a thread, unless they are few."""
    if amount < _FEW:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


async def gathered(parts: AsyncIterator[bytes], enough: int = CHUNK) -> AsyncIterator[bytes]:
    """Yield what comes in pieces of at least `enough` bytes; what came before an error is yielded too."""
    held: list[bytes] = []
    size = 0
    try:
        async for part in parts:
            held.append(part)
            size += len(part)
            if size >= enough:
                yield b"".join(held)
                held, size = [], 0
    except Exception:
        yield b"".join(held)
        raise
    if held:
        yield b"".join(held)


async def ahead(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what comes, and let the next piece come while one is dealt with."""
    coming = asyncio.ensure_future(anext(parts, None))
    try:
        while (part := await coming) is not None:
            coming = asyncio.ensure_future(anext(parts, None))
            yield part
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


class StoredManifest(NamedTuple):
    """A manifest as it was pushed."""

    raw: bytes
    media_type: str
    """The media type it was pushed with, and is served with."""
    digest: Digest
    warning: str = ""
    """A warning for the client that gets it; empty for none."""


class Listed(NamedTuple, Generic[T]):
    """What a repository has of one kind."""

    items: Collection[T]
    """In any order."""
    warning: str = ""
    """A warning for the client that gets the list, as that it is not whole; empty for none."""


class Elsewhere(Exception):
    """Another registry, which this one stands in front of, refused something or failed.

    Args:
        error: how.
    """

    def __init__(self, error: LadingError) -> None:
        super().__init__(str(error))
        self.error = error


class Incomplete(Exception):
    """A manifest that needs content which its repository has not.

    Args:
        missing: the digests of that content.
    """

    def __init__(self, missing: Sequence[Digest]) -> None:
        super().__init__(", ".join(missing))
        self.missing: tuple[Digest, ...] = tuple(missing)


class OpenBlob(Protocol):
    """An open blob, as a context manager. It stays readable even if the blob is deleted meanwhile."""

    size: int
    """In bytes."""
    file: BinaryIO | None
    """The file that has these bytes and no others, where there is one."""

    def __enter__(self) -> Self:
        """Begin reading."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End reading."""

    def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to, but not including, `stop`."""


class Upload(Protocol):
    """A blob that is being received. No repository has it until `commit`."""

    size: int
    """How many bytes have been appended so far."""

    async def append(self, data: bytes) -> None:
        """Add bytes at the end."""

    def chunks(self, start: int = 0) -> AsyncIterator[bytes]:
        """Yield what has been appended so far, from the byte at `start` on."""

    async def commit(self, digest: Digest) -> None:
        """Make what was appended a blob of the repository, for good; the caller has verified the digest."""

    async def discard(self) -> None:
        """Forget what was appended. Nothing happens if that was done before, or after `commit`."""


class StoredRepository(Protocol):
    """One repository. It need not exist: it is empty then, and comes into being with its first content."""

    async def exists(self) -> bool:
        """Whether content was ever put here."""

    async def tags(self) -> Listed[str]:
        """All tags."""

    async def referrers(self, subject: Digest) -> Listed[Descriptor]:
        """The manifests that refer to one, with their artifact types and annotations."""

    async def manifest(self, name: str) -> StoredManifest | None:
        """The manifest with a tag or digest."""

    async def put_manifest(
        self, manifest: StoredManifest, tags: Sequence[str] = (), needs: Collection[Digest] = ()
    ) -> None:
        """Store a manifest and point tags to it, all at once, for good.

        Args:
            manifest: the manifest.
            tags: the tags that are to point to it.
            needs: content that must be here at that moment.

        Raises:
            Incomplete: some of that is not; no tag was changed.
        """

    async def delete_manifest(self, digest: Digest) -> bool:
        """Remove a manifest with its tags; False if there is none."""

    async def untag(self, tag: str) -> bool:
        """Remove a tag and leave the manifest; False if there is none."""

    async def blob(self, digest: Digest) -> OpenBlob | None:
        """Open content, whether a blob or a manifest."""

    async def blob_size(self, digest: Digest) -> int | None:
        """The size of content in bytes, None where it is not here. Who asks may be about to refer to it."""

    async def mount(self, digest: Digest, source: str) -> bool:
        """Take a blob from the repository called `source`; False if it has none."""

    async def delete_blob(self, digest: Digest) -> bool:
        """Remove a blob; False if there is none. The caller has made sure that it is no manifest."""

    async def upload(self) -> Upload:
        """Begin to receive a blob."""


class Storage(Protocol):
    """What holds all the content of a registry; used from one event loop at a time.

    `MemoryStorage`, `FolderStorage` and `ProxyStorage` are storages.
    """

    @property
    def refuses(self) -> str | None:
        """Why nothing can be pushed to it; None where something can."""

    async def repositories(self) -> Collection[str]:
        """The names of the repositories that exist, in any order."""

    def repository(self, name: str) -> StoredRepository:
        """The repository with this valid name, whether it exists or not."""

    async def size(self) -> int:
        """How many bytes it holds, with those of uploads that are not complete."""

    async def sweep(self, before: float) -> None:
        """Remove the uploads whose process has ended, and those that got no bytes since `before`.

        Args:
            before: a time, in seconds since the epoch.
        """

    async def close(self) -> None:
        """Let go of everything that is not content. It can be used again."""


class MemoryStorage:
    """A storage in memory: its content is gone when the process ends."""

    refuses = None
    """None: it can always be pushed to."""

    def __init__(self) -> None:
        self._repositories: dict[str, _MemoryRepository] = {}
        self.uploads: set[_MemoryUpload] = set()

    async def repositories(self) -> Collection[str]:
        """The names of the repositories that exist, in any order."""
        return list(self._repositories)

    def repository(self, name: str) -> StoredRepository:
        """The repository with this valid name, whether it exists or not."""
        return self._repositories.get(name) or _MemoryRepository(name, self._repositories, self.uploads)

    async def size(self) -> int:
        """How many bytes it holds, with those of uploads that are not complete."""
        held = {id(data): len(data) for one in self._repositories.values() for data in one.content.values()}
        return sum(held.values()) + sum(upload.size for upload in self.uploads)

    async def sweep(self, before: float) -> None:
        """Nothing is left of uploads that ended."""

    async def close(self) -> None:
        """There is nothing to let go of."""


class _MemoryRepository:
    def __init__(self, name: str, siblings: dict[str, _MemoryRepository], uploads: set[_MemoryUpload]) -> None:
        self._name = name
        self._siblings = siblings
        self.uploads = uploads
        self._manifests: dict[Digest, tuple[StoredManifest, Summary | None]] = {}
        self._tags: dict[str, Digest] = {}
        self.content: dict[Digest, bytes] = {}

    def keep(self, digest: Digest, data: bytes) -> _MemoryRepository:
        """Store content in the repository of this name that exists, which is this one if there was none."""
        existing = self._siblings.setdefault(self._name, self)
        existing.content[digest] = data
        return existing

    async def exists(self) -> bool:
        return self._name in self._siblings

    async def tags(self) -> Listed[str]:
        return Listed(self._tags)

    async def referrers(self, subject: Digest) -> Listed[Descriptor]:
        summaries = [summary for _, summary in self._manifests.values() if summary and summary.subject == subject]
        return Listed([summary.as_referrer for summary in summaries])

    async def manifest(self, name: str) -> StoredManifest | None:
        digest = Digest(name) if ":" in name else self._tags.get(name)
        found = self._manifests.get(digest) if digest is not None else None
        return found[0] if found is not None else None

    async def put_manifest(
        self, manifest: StoredManifest, tags: Sequence[str] = (), needs: Collection[Digest] = ()
    ) -> None:
        content = self._siblings.get(self._name, self).content
        if missing := [digest for digest in needs if digest not in content]:
            raise Incomplete(missing)
        existing = self.keep(manifest.digest, manifest.raw)
        existing._manifests[manifest.digest] = manifest, _summary_of(manifest)  # noqa: SLF001  # of its own class
        existing._tags.update(dict.fromkeys(tags, manifest.digest))  # noqa: SLF001  # of its own class

    async def delete_manifest(self, digest: Digest) -> bool:
        if self._manifests.pop(digest, None) is None:
            return False
        self._tags = {tag: target for tag, target in self._tags.items() if target != digest}
        del self.content[digest]
        return True

    async def untag(self, tag: str) -> bool:
        return self._tags.pop(tag, None) is not None

    async def blob(self, digest: Digest) -> OpenBlob | None:
        data = self.content.get(digest)
        return None if data is None else _MemoryBlob(data)

    async def blob_size(self, digest: Digest) -> int | None:
        data = self.content.get(digest)
        return None if data is None else len(data)

    async def mount(self, digest: Digest, source: str) -> bool:
        sibling = self._siblings.get(source)
        if sibling is None or digest not in sibling.content:
            return False
        self.keep(digest, sibling.content[digest])
        return True

    async def delete_blob(self, digest: Digest) -> bool:
        return self.content.pop(digest, None) is not None

    async def upload(self) -> Upload:
        return _MemoryUpload(self)


class _MemoryBlob:
    file: BinaryIO | None = None

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        for position in range(start, stop, CHUNK):
            yield self._data[position : min(position + CHUNK, stop)]


class _MemoryUpload:
    def __init__(self, repository: _MemoryRepository) -> None:
        self.size = 0
        self._repository = repository
        self._parts: list[bytes] = []
        repository.uploads.add(self)

    async def append(self, data: bytes) -> None:
        self._parts.append(data)
        self.size += len(data)

    async def chunks(self, start: int = 0) -> AsyncIterator[bytes]:
        position = 0
        for part in tuple(self._parts):
            if position + len(part) > start:
                yield part[max(start - position, 0) :]
            position += len(part)

    async def commit(self, digest: Digest) -> None:
        self._repository.keep(digest, b"".join(self._parts))
        await self.discard()

    async def discard(self) -> None:
        self._parts.clear()
        self._repository.uploads.discard(self)


def _summary_of(manifest: StoredManifest) -> Summary | None:
    described = Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=len(manifest.raw))
    try:
        return summarize(manifest.raw, described)
    except InvalidContent:
        return None
