"""`Client.blobs`: single blobs in any store: put, get, open, contains, download, delete.

This module only binds; stores do the work, and an overlay finds out what is put.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from lading.client.context import Context
from lading.client.sync_store import SyncReader
from lading.errors import DigestMismatch, LadingError, NotFound, Unsupported, UsageError, way_on
from lading.io.behind import Behind
from lading.io.blocking import Face, blocking
from lading.io.locks import writing
from lading.io.outputs import Stream, check_output, is_stream
from lading.io.sources import closing
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier
from lading.model.media_types import OCTET_STREAM
from lading.store import Glances, HasSiblings, Measures, Mounts, OpensByDigest, Readable, Reader, from_store, read_part
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.overlay import Overlay

_CHUNK = 1024 * 1024


class Blobs:
    """Single blobs of a repository, an image layout or any other store.

    The place is a reference or another location, of which a tag or digest counts for nothing. A blob is given by its
    descriptor, as a manifest has it, or by its digest.

    >>> with Client() as client:
    ...     blob = client.blobs.put(f"{registry}/notes", b"what is new", media_type="text/plain")
    ...     print(blob.size, client.blobs.get(f"{registry}/notes", blob.digest))
    11 b'what is new'

    Args:
        context: what the client shares with its namespaces.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def put(
        self,
        place: AnyLocation,
        data: bytes | os.PathLike[str] | BinaryIO | Callable[[], AsyncIterator[bytes]],
        *,
        media_type: str = OCTET_STREAM,
        digest: Digest | str | None = None,
    ) -> Descriptor:
        """Put a blob into a store, unless it is there (distribution-spec §Pushing blobs).

        Args:
            place: where to; a tag or digest in it is ignored. A layout that does not exist is made.
            data: its bytes; or the path of a file, as `pathlib.Path` has it, which is read where it is; or a file that
                is open for reading bytes, from where it stands to its end; or a source, or another function that begins
                a stream of bytes.
            media_type: what its descriptor says that it is; stores keep it nowhere.
            digest: what it has to be (sha256); otherwise nothing is put.

        Returns:
            Its descriptor, with a sha256 digest.

        Raises:
            NotFound: there is no such file.
            DigestMismatch: the data has another digest than `digest`.
            UsageError: `data` is none of these.
            Unsupported: single blobs are not written there.
        """
        location = _takes_blobs(place)
        async with Overlay(name="the blob to be put") as new:
            content = await new.add(_content(data), media_type)
            if digest is not None and content.digest != Digest(digest):
                raise DigestMismatch(
                    f"what is to be put into {location.place} has another digest", cause=f"it is {content.digest}"
                )
            async with self._context.open(location, writing=True) as store:
                if not await _is_there(store, content):
                    await store.write(content, new.source(content))
        return content

    async def get(self, place: AnyLocation, blob: Descriptor | Digest | str, *, limit: int | None = None) -> bytes:
        """Get a blob whole, verified (distribution-spec §Pulling blobs).

        Args:
            place: where it is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.
            limit: the largest size accepted, in bytes; None for any.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is there, but damaged.
            InvalidContent: it is larger than `limit`.
        """
        async with self.open(place, blob) as reader:
            return await reader.read(limit)

    @asynccontextmanager
    async def open(self, place: AnyLocation, blob: Descriptor | Digest | str) -> AsyncIterator[Reader]:
        """Read a blob in chunks; it is verified while it streams, and the last chunk comes only if it is right.

        Args:
            place: where it is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is there, but damaged.
        """
        async with self._context.open(place, mirrored=True) as store:
            if not isinstance(blob, Descriptor) and isinstance(store, OpensByDigest):
                async with store.open_blob(Digest(blob)) as (size, chunks):
                    if size is not None:
                        yield Reader(Descriptor(digest=Digest(blob), size=size), chunks)
                        return
            async with store.open(await _described(store, blob)) as reader:
                yield reader

    async def describe(self, place: AnyLocation, digest: Digest | str) -> Descriptor:
        """Find a blob by its digest: one request (distribution-spec §Checking if content exists in the registry).

        Args:
            place: where it is; a tag or digest in it is ignored.
            digest: the blob's digest.

        Returns:
            Its descriptor, without a media type, of which stores know nothing.

        Raises:
            NotFound: it is not there.
            Unsupported: the store does not find blobs by their digest, or does not say how large they are.
        """
        async with self._context.open(place, mirrored=True) as store:
            return await _described(store, digest)

    async def read_part(self, place: AnyLocation, blob: Descriptor | Digest | str, start: int, length: int) -> bytes:
        """Read some bytes of a blob, which cannot be verified (distribution-spec §Pulling blobs, RFC 9110 §14.2).

        Args:
            place: where it is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.
            start: the offset of the first byte.
            length: how many bytes; fewer where the blob ends.

        Raises:
            NotFound: it is not there.
        """
        async with self._context.open(place, mirrored=True) as store:
            content = await _described(store, blob)
            within = max(0, min(length, content.size - start))
            return await read_part(store, content, start, within) if within else b""

    async def copy(self, source: AnyLocation, blob: Descriptor | Digest | str, target: AnyLocation) -> Descriptor:
        """Copy a blob from one store to another, unless it is there (distribution-spec §Mounting a blob).

        Within a registry it is mounted where that is allowed, and no byte of it moves.

        Args:
            source: where it is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.
            target: where to; a tag or digest in it is ignored. A layout that does not exist is made.

        Returns:
            Its descriptor.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is there, but damaged; nothing was written.
            Unsupported: single blobs are not written there.
        """
        location = _takes_blobs(target)
        async with self._context.open(source) as origin, self._context.open(location, writing=True) as store:
            content = await _described(origin, blob)
            if not await _is_there(store, content) and not (
                isinstance(store, Mounts)
                and isinstance(store, HasSiblings)
                and store.is_sibling(origin)
                and await store.mount(content, origin)
            ):
                await store.write(content, from_store(origin, content))
            return content

    async def contains(self, place: AnyLocation, blob: Descriptor | Digest | str) -> bool:
        """Whether a blob is in a store; where the place itself does not exist, it is not.

        Args:
            place: where it may be; a tag or digest in it is ignored.
            blob: its descriptor or its digest.
        """
        try:
            async with self._context.open(place) as store:
                if isinstance(blob, Descriptor):
                    return await store.contains(blob)
                await _size(store, Digest(blob))
        except NotFound:
            return False
        return True

    async def download(self, place: AnyLocation, blob: Descriptor | Digest | str, path: os.PathLike[str] | str) -> Path:
        """Write a blob to a file, verified: the file is there whole, or as it was before.

        What was interrupted goes on where it stopped, with the next call: until then the beginning is beside the file.

        Args:
            place: where the blob is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.
            path: the file, which is replaced if it exists; its folder has to be there. A pipe or a device is written
                into.

        Returns:
            The path of the file.

        Raises:
            NotFound: the blob is not there.
            DigestMismatch: it is there, but damaged.
            LadingError: the file cannot be written.
        """
        target = Path(path)
        try:
            if await in_thread(is_stream, target):
                await self._pour(place, blob, target)
                return target
            await in_thread(check_output, target)
            async with self._context.open(place, mirrored=True) as store:
                digest = blob.digest if isinstance(blob, Descriptor) else Digest(blob)
                name = os.fsdecode(os.fsencode(target.name)[:100])
                part = target.with_name(f".{name}.{digest.hex[:32]}.part")
                async with writing(part):
                    await _fetch(store, blob, part)
                    await in_thread(part.replace, target)
        except OSError as error:
            raise LadingError(f"{target} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
        return target

    async def _pour(self, place: AnyLocation, blob: Descriptor | Digest | str, target: Path) -> None:
        with await in_thread(Stream, target) as file:
            async with self.open(place, blob) as reader:
                async for chunk in reader:
                    await in_thread(file.write, chunk)

    async def delete(self, place: AnyLocation, blob: Descriptor | Digest | str) -> None:
        """Delete a blob (distribution-spec §Deleting blobs). A registry does not look whether a manifest refers to it.

        Args:
            place: where it is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.

        Raises:
            NotFound: it is not there.
            Unsupported: the store deletes no blobs.
            Conflict: it is in a layout, and a manifest there refers to it.
        """
        content = blob if isinstance(blob, Descriptor) else Descriptor(digest=Digest(blob), size=0)
        async with self._context.open(place, writing=True) as store:
            await store.delete(content)


def _content(data: object) -> bytes | os.PathLike[str] | AsyncIterator[bytes]:
    if isinstance(data, bytes | os.PathLike):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if callable(data):
        return cast("AsyncIterator[bytes]", data())
    if not hasattr(data, "read") or isinstance(data, io.TextIOBase):
        raise UsageError(
            f"what is to be put as a blob is a {type(data).__name__}",
            remedy="give bytes, a pathlib.Path, or a file that is open for reading bytes",
        )
    return _chunks(cast("BinaryIO", data))


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await in_thread(file.read, _CHUNK):
        yield chunk


async def _described(store: Readable, blob: Descriptor | Digest | str) -> Descriptor:
    if isinstance(blob, Descriptor):
        return blob
    digest = Digest(blob)
    size = await _size(store, digest)
    if size is None:
        raise Unsupported(f"{store.name} does not say how large {digest} is", remedy="give its descriptor")
    return Descriptor(digest=digest, size=size)


async def _size(store: Readable, digest: Digest) -> int | None:
    if not isinstance(store, Measures):
        raise Unsupported(f"{store.name} does not find blobs by their digest alone", remedy="give its descriptor")
    return await store.blob_size(digest)


async def _is_there(store: Readable, content: Descriptor) -> bool:
    return await (store.seems_to_contain if isinstance(store, Glances) else store.contains)(content)


def _takes_blobs(place: AnyLocation) -> Location:
    location = as_location(place)
    if location.is_docker or location.is_stream or not location.has_names:
        raise Unsupported(f"a single blob cannot be put into {location.place}", remedy="copy a whole image there")
    return location


async def _fetch(store: Readable, blob: Descriptor | Digest | str, part: Path) -> None:
    """Write a blob to a file that may have its beginning: one request where that is not there, else its size first."""
    if not isinstance(blob, Descriptor) and isinstance(store, OpensByDigest) and not await in_thread(_is_begun, part):
        digest = Digest(blob)
        async with store.open_blob(digest) as (size, chunks):
            await _complete(Verifier(digest, size, f"{digest} in {store.name}"), part, lambda _: chunks)
        return
    content = await _described(store, blob)
    source = from_store(store, content)
    verifier = Verifier(content.digest, content.size, f"{content.digest} in {store.name}")
    await _complete(verifier, part, source.since, is_verified=source.digest == content.digest)


async def _complete(
    verifier: Verifier, part: Path, rest: Callable[[int], AsyncIterator[bytes]], *, is_verified: bool = False
) -> None:
    """Write to a file what it lacks of a blob; what turns out to be damaged is removed.

    Args:
        verifier: of the blob.
        part: the path of the file.
        rest: reads the blob from an offset on.
        is_verified: whether `rest` verifies what it reads from the first byte on.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with await in_thread(_opened, part, flags) as file:
        await in_thread(_take_in, file, verifier)
        try:
            if verifier.size is None or verifier.seen < verifier.size:
                if is_verified and not verifier.seen:
                    verifier = Verifier(verifier.digest, verifier.size, is_hashed=False)
                add = partial(_add, file, verifier)
                async with closing(rest(verifier.seen)) as pieces, Behind(add, keeps=True) as added:
                    async for piece in pieces:
                        await added.give(piece)
            verifier.finish()
        except BaseException as error:
            if isinstance(error, DigestMismatch) or not verifier.seen:
                part.unlink(missing_ok=True)
            raise
        await in_thread(_settle, file)


def _is_begun(part: Path) -> bool:
    return part.exists() and part.stat().st_size > 0


def _opened(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, flags, 0o666), "r+b")


def _take_in(file: BinaryIO, verifier: Verifier) -> None:
    """Read what is there of a blob; what is more than the whole is left out."""
    if verifier.size is not None and os.fstat(file.fileno()).st_size > verifier.size:
        file.truncate(0)  # it is something else
    while chunk := file.read(_CHUNK):
        verifier.update(chunk)


def _add(file: BinaryIO, verifier: Verifier, piece: bytes) -> None:
    verifier.update(piece)
    file.write(piece)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class SyncBlobs(Face[Blobs]):
    """`Blobs` for programs without an event loop: the same methods, each returning its result."""

    put: Final = blocking(Blobs.put)
    get: Final = blocking(Blobs.get)
    contains: Final = blocking(Blobs.contains)
    describe: Final = blocking(Blobs.describe)
    read_part: Final = blocking(Blobs.read_part)
    copy: Final = blocking(Blobs.copy)
    download: Final = blocking(Blobs.download)
    delete: Final = blocking(Blobs.delete)

    @contextmanager
    def open(self, place: AnyLocation, blob: Descriptor | Digest | str) -> Iterator[SyncReader]:
        """Read a blob in chunks; it is verified while it streams, and the last chunk comes only if it is right.

        Args:
            place: where it is; a tag or digest in it is ignored.
            blob: its descriptor or its digest.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is there, but damaged.
        """
        with self._runner.entered(self._inner.open(place, blob)) as (reader, run):
            yield SyncReader(reader, run)
