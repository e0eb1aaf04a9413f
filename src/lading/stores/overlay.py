"""New content over a store, or over nothing: an edit, a conversion or an artifact before it is copied, as a Store.

This module knows stores and temporary files, and nothing of what the content is for. The store below is only read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lading.errors import InvalidDigest, NotFound, Unsupported, UsageError
from lading.io import scratch
from lading.io.behind import Behind
from lading.io.sources import closing, file_changed, from_file, is_unchanged, open_file
from lading.io.threads import heed, in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT
from lading.model.media_types import OCTET_STREAM
from lading.store import (
    AnyManifest,
    Readable,
    Reader,
    Source,
    Stored,
    Traits,
    fetch_manifest,
    from_bytes,
    from_store,
    is_manifest,
)
from lading.stores.memory import Memory

_SMALL = 64 * 1024
_PIECE = 256 * 1024
"""How much of a file is hashed at once, in bytes: it stays in the memory of the processor."""


class Overlay:
    """A store over another one: what is written is kept here, and everything else is read from below.

    New manifests, tags and small blobs are kept in memory, larger blobs in files. A copy of what is here reads or
    mounts a blob that lives below from there. Use it as an async context manager: its scratch folder is removed at
    the end.

    Args:
        base: the store below; None for nothing below.
        name: what it is called in messages; by default what the store below is called.
        folder: where the files are kept; by default a scratch folder, which is made when it is first needed.
    """

    def __init__(self, base: Readable | None = None, *, name: str | None = None, folder: Path | None = None) -> None:
        self.base = base
        self.name: str = name or (base.name if base is not None else "overlay")
        self._new = Memory(self.name)
        self._sources: dict[Digest, Source] = {}
        self._own_files: dict[Digest, Path] = {}
        self._folder = folder
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        """Nothing is made yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the scratch folder, if there is one."""
        await in_thread(self._stack.close)

    @property
    def folder(self) -> Path:
        """The folder for files that are on their way in; the scratch folder is made where there is none yet.

        Raises:
            LadingError: it cannot be made.
        """
        if self._folder is None:
            with scratch.keeping(self.name):
                self._folder = self._stack.enter_context(scratch.anywhere())
        return self._folder

    @property
    def traits(self) -> Traits:
        """What the store below is like."""
        return (self.base or self._new).traits

    # New content

    async def add(
        self, content: bytes | os.PathLike[str] | AsyncIterator[bytes], media_type: str = OCTET_STREAM
    ) -> Descriptor:
        """Add a blob of which the digest is not known.

        Args:
            content: its bytes; or the path of a file, which is read where it is and has to stay as it is; or a
                stream, which is kept in a file.
            media_type: its media type.

        Returns:
            Its descriptor, with a sha256 digest.

        Raises:
            NotFound: there is no such file.
            Conflict: the file was changed while it was read; code `file-changed`.
            LadingError: a file cannot be read or written.
        """
        if isinstance(content, bytes):
            found = Descriptor.of(content, media_type)
            await self._new.write(found, from_bytes(content))
            return found
        if isinstance(content, os.PathLike):
            path = Path(content)
            digest, size, source = await in_thread(_examined, path)
        else:
            hasher = hashlib.sha256()
            path, size = await self._kept(_hashed(content, hasher.update))
            digest = Digest(f"sha256:{hasher.hexdigest()}")
            self._own_files[digest] = path
            source = from_file(path, path.stat())
        found = Descriptor(media_type=media_type, digest=digest, size=size)
        self.refer(found, source)
        return found

    def refer(self, content: Descriptor, source: Source) -> None:
        """Add a blob that is not kept here, but read from its source each time.

        Args:
            content: what the source gives; it is verified when it is read.
            source: such as `from_store(other, content)`: then a copy mounts the blob from there where it can.
        """
        self._sources[content.digest] = source

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
            InvalidContent: it is said to be a manifest, and is none.
            LadingError: a file cannot be written.
        """
        if is_manifest(content) or content.size <= _SMALL:
            await self._new.write(content, source)
            return
        path, _ = await self._kept(aiter(Reader(content, source())))
        self._own_files[content.digest] = path
        self.refer(content, from_file(path, path.stat()))

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Write a manifest under a tag, or by its digest where there is no name.

        Raises:
            DigestMismatch: its bytes do not have its digest.
            InvalidReference: the name cannot be a tag.
        """
        await self._new.put(manifest, name)

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give a manifest that is here or below a tag; the tag is kept here.

        Raises:
            NotFound: the manifest is neither here nor below.
            InvalidReference: the name cannot be a tag.
        """
        await self._new.put(await self.fetch(content.digest), name)

    async def delete(self, content: Descriptor) -> None:
        """Remove a manifest with its tags, or a blob, that was added here.

        Raises:
            Unsupported: it was not; what is below stays as it is.
            NotFound: it is not here, and there is nothing below.
        """
        if self._sources.pop(content.digest, None) is not None:
            path = self._own_files.pop(content.digest, None)
            if path is not None:
                path.unlink(missing_ok=True)
        elif self.base is None or await self._new.contains(content):
            await self._new.delete(content)
        else:
            raise Unsupported(
                f"{content.digest} cannot be deleted from {self.name}", cause="only what was written over it can be"
            )

    # Reading

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest with a tag or digest, here or else below.

        Raises:
            NotFound: there is none.
        """
        with suppress(NotFound, InvalidDigest):
            return await self._new.resolve(name)
        return await (self.base or self._new).resolve(name)

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """The manifest with this tag or digest, verified and parsed.

        Raises:
            NotFound: there is none.
            InvalidContent: it is larger than `limit` bytes.
        """
        with suppress(NotFound, InvalidDigest):
            return await self._new.fetch(name, limit)
        return await fetch_manifest(self.base or self._new, name, limit)

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob; it is verified while it streams.

        Raises:
            NotFound: it is neither here nor below.
        """
        source = self._sources.get(content.digest)
        if source is not None:
            yield Reader(content, source())
            return
        is_new = await self._new.contains(content)
        async with (self._new if is_new or self.base is None else self.base).open(content) as reader:
            yield reader

    def source(self, content: Descriptor) -> Source:
        """Content as a source for writing it elsewhere; of what lives below, a source of the store below."""
        source = self._sources.get(content.digest)
        if source is not None:
            if source.origin is not None:
                return source
            return Stored(self, content, source.since, is_examined=source.is_examined)
        is_new = self.base is None or self._new.has(content.digest)
        return Stored(self, content) if is_new or self.base is None else from_store(self.base, content)

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is here or below."""
        if content.digest in self._sources or await self._new.contains(content):
            return True
        return self.base is not None and await self.base.contains(content)

    async def tags(self) -> AsyncIterator[str]:
        """The tags of the store below, then those that were given here."""
        seen: set[str] = set()
        if self.base is not None:
            async for tag in self.base.tags():
                seen.add(tag)
                yield tag
        async for tag in self._new.tags():
            if tag not in seen:
                yield tag

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests whose `subject` is this one: those that were written here, then those of the store below."""
        seen: set[Digest] = set()
        async for referrer in self._new.referrers(subject, artifact_type):
            seen.add(referrer.digest)
            yield referrer
        if self.base is not None:
            async for referrer in self.base.referrers(subject, artifact_type):
                if referrer.digest not in seen:
                    yield referrer

    async def _kept(self, chunks: AsyncIterator[bytes]) -> tuple[Path, int]:
        """Write a stream to a new file; returns its path, and its size in bytes."""
        path, size = self.folder / uuid.uuid4().hex, 0
        try:
            with scratch.keeping(self.name):
                file = await in_thread(path.open, "xb")
            with file:

                def add(piece: bytes) -> None:
                    with scratch.keeping(self.name):
                        file.write(piece)

                async with closing(chunks), Behind(add) as added:
                    async for chunk in chunks:
                        size += len(chunk)
                        await added.give(chunk)
                with scratch.keeping(self.name):
                    await in_thread(file.flush)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path, size


def _examined(path: Path) -> tuple[Digest, int, Source]:
    """The digest of a file, its size in bytes, and a source that gives what was hashed, or an error."""
    hasher, size = hashlib.sha256(), 0
    view = memoryview(bytearray(_PIECE))
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is not a file")
        while length := file.readinto(view):  # type: ignore[attr-defined]
            heed()
            hasher.update(view[:length])
            size += length
        if size != status.st_size or not is_unchanged(file, status):
            raise file_changed(path)
    return Digest(f"sha256:{hasher.hexdigest()}"), size, from_file(path, status)


async def _hashed(chunks: AsyncIterator[bytes], update: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    async with closing(chunks):
        async for chunk in chunks:
            update(chunk)
            yield chunk
