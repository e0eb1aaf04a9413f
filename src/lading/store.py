"""Where content lives: the Store protocol, its optional capabilities, and verified reading.

This room knows the model and nothing of HTTP or files. A registry repository, an OCI layout, memory: each is a
Store in a module of its own, and every operation takes any of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

import msgspec

from lading.errors import InvalidContent, NotFound
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier
from lading.model.encoding import SIZE_LIMIT
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import MANIFESTS
from lading.model.reference import Reference

Source = Callable[[], AsyncIterator[bytes]]
"""Content to be written: each call starts reading it anew, from the first byte, so that a write can be tried again."""

AnyManifest = Manifest | Index


class Reader:
    """Content that is verified while it is read. Iterate over it for chunks, or `read` it whole.

    Args:
        content: what it must turn out to be.
        chunks: the bytes as they come.

    The last chunk is handed out only after size and digest have been checked. A reader is read once.
    """

    def __init__(self, content: Descriptor, chunks: AsyncIterator[bytes]) -> None:
        self.content = content
        self._chunks = chunks
        self._verifier = Verifier(content.digest, content.size)
        self._begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the content in chunks of any size.

        Raises:
            DigestMismatch: the content is not what the descriptor says; raised before the last chunk is yielded.
        """
        # A second reading would get what the first has left, and find it verified.
        if self._begun:
            raise RuntimeError(f"{self.content.digest} has been read with this reader; open it again")
        self._begun = True
        held = b""
        async with closing(self._chunks):
            async for chunk in self._chunks:
                if not chunk:
                    continue
                self._verifier.update(chunk)
                if held:
                    yield held
                held = chunk
        self._verifier.finish()
        if held:
            yield held

    async def read(self, limit: int | None = None) -> bytes:
        """Read the whole content.

        Args:
            limit: the largest size accepted, in bytes; None for any.

        Raises:
            InvalidContent: it is larger than `limit`.
            DigestMismatch: the content is not what the descriptor says.
        """
        if limit is not None and self.content.size > limit:
            raise InvalidContent(
                f"{self.content.digest} is too large", cause=f"{self.content.size} bytes, and {limit} are allowed"
            )
        return b"".join([chunk async for chunk in self])


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a store is like, where operations go by it. The defaults are those of a layout on this machine."""

    is_remote: bool = False
    """Whether each question costs a request."""
    takes_indexes: bool = True
    """Whether an index can be written to it; else it takes images of one platform."""
    is_partial: bool = False
    """Whether an index may be there without some of the images it lists, and means those that are there."""
    is_named_by_references: bool = False
    """Whether manifests have whole references for names (`docker.io/library/app:1`); else they have tags."""
    is_mirrored: bool = False
    """Whether manifests and blobs may come from mirrors, which have no lists of referrers."""
    resolves_cheaply: bool = True
    """Whether `resolve` costs little: a container engine has to save the whole image for it."""


@runtime_checkable
class Readable(Protocol):
    """A place where content lives, named by digests and tags (distribution-spec §Definitions), to be read."""

    @property
    def name(self) -> str:
        """What the store is called in messages, such as `docker.io/library/alpine`."""

    @property
    def traits(self) -> Traits:
        """What the store is like."""

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest with a tag or digest.

        Raises:
            NotFound: there is none.
        """

    def open(self, content: Descriptor) -> AbstractAsyncContextManager[Reader]:
        """Read a manifest or blob; it is verified while it streams.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is there, but damaged.
        """

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is there."""

    def tags(self) -> AsyncIterator[str]:
        """All tags, in the store's own order."""

    def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests whose `subject` is this one (distribution-spec §Listing Referrers)."""


@runtime_checkable
class Store(Readable, Protocol):
    """A place where content lives, to be read and written."""

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob, atomically: it is there whole, or not at all.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
        """

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give a manifest that is there a tag; the tag moves if it exists."""

    async def delete(self, content: Descriptor) -> None:
        """Delete a manifest with all its tags, or a blob.

        Raises:
            Unsupported: the store does not delete.
        """


class Connect(Protocol):
    """Gives the store of the repository that a reference names; nothing is sent yet."""

    def __call__(self, reference: Reference, /, *, writing: bool = False) -> Store:
        """The store.

        Args:
            reference: any reference in the repository.
            writing: whether something will be written, so that the first token allows it.
        """


@runtime_checkable
class FetchesManifests(Protocol):
    """A store that answers with a manifest by name in one round trip."""

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """The manifest with this tag or digest, verified and parsed."""


@runtime_checkable
class PutsManifests(Protocol):
    """A store that takes a manifest and its tag in one round trip."""

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Write a manifest under a tag, or by its digest where there is no name."""


@runtime_checkable
class Chooses(Protocol):
    """A store that does not hold every manifest."""

    def check_manifest(self, manifest: AnyManifest) -> None:
        """Refuse a manifest that cannot be held, whatever it refers to: before any of that is brought.

        Raises:
            UsageError: it is an index, and only images of one platform are held.
            Unsupported: it is of a kind that is not held.
        """


@runtime_checkable
class Mounts(Protocol):
    """A store that can take a blob from a sibling without its bytes passing through the client."""

    asks_first: bool
    """Whether to ask if a blob is there before mounting it: where that costs less than to mount what is there."""

    async def mount(self, content: Descriptor, source: Readable) -> bool:
        """Take a blob from another store; False where that cannot be done, and nothing has changed then."""


@runtime_checkable
class Claims(Protocol):
    """A store that answers whether it has a blob, and prepares for it where it has not, in one round trip."""

    async def claim(self, content: Descriptor) -> bool:
        """Whether a blob is there; where it is not, the write that follows has a round trip less to go."""


@runtime_checkable
class HasSiblings(Protocol):
    """A store that knows which others it shares content with, without asking anybody."""

    def is_same(self, other: Readable) -> bool:
        """Whether the other is this very place: what one has, both have."""

    def is_sibling(self, other: Readable) -> bool:
        """Whether mounting from the other may work: False where it cannot, or has been refused."""


@runtime_checkable
class SeesAll(Protocol):
    """A store that is asked for much at no cost."""

    async def contains_all(self, content: Descriptor) -> bool:
        """Whether a manifest is there with everything it leads to, but for foreign layers."""


@runtime_checkable
class Measures(Protocol):
    """A store that finds a blob of which only the digest is known."""

    async def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where the store has it and does not say its size.

        Raises:
            NotFound: it is not there.
        """


@runtime_checkable
class GivesSources(Protocol):
    """A store that says how its content is read best for writing it elsewhere."""

    def source(self, content: Descriptor) -> Source:
        """A manifest or blob as a source; of what is read from a store below, a source of that store."""


@runtime_checkable
class OpensAnywhere(Protocol):
    """A store that reads content from any offset on."""

    def open_from(self, content: Descriptor, start: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read a blob from the byte at `start` to its end; it cannot be verified."""


@runtime_checkable
class Resumes(Protocol):
    """A store that keeps the part of a blob that came before a write broke off."""

    async def resumed(self, content: Descriptor) -> int:
        """How many bytes of a blob are kept from an earlier write, from its beginning, not verified yet; 0 for none."""

    async def write(self, content: Descriptor, source: Source, offset: int = 0) -> None:
        """Write a blob of which `offset` bytes are kept already; the source gives what follows those.

        Raises:
            Conflict: what was kept is gone, or somebody else is writing it; write it from the beginning.
            DigestMismatch: the whole is not what the descriptor says; nothing was written, and nothing is kept.
        """


@runtime_checkable
class StartsAnywhere(Protocol):
    """A Source that can also be read from an offset on."""

    def __call__(self) -> AsyncIterator[bytes]:
        """Read from the first byte."""

    def since(self, start: int) -> AsyncIterator[bytes]:
        """Read from the byte at `start`; what comes has not been verified."""


@runtime_checkable
class Untags(Protocol):
    """A store that can remove a tag and leave the manifest."""

    async def untag(self, name: str) -> None:
        """Remove a tag.

        Raises:
            Unsupported: not possible here; nothing was changed.
            NotFound: there is no such tag.
        """


class Held:
    """A source of bytes in memory.

    Args:
        data: all of it.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __call__(self) -> AsyncIterator[bytes]:
        """Read them."""
        yield self.data


def from_bytes(data: bytes) -> Source:
    """A source of bytes in memory."""
    return Held(data)


def from_store(store: Readable, content: Descriptor) -> Source:
    """A source that reads from another store, verified; one that can be started anywhere.

    It reads from the store that `reads_from` says: the very one, or the one below it that has the content.
    """
    return store.source(content) if isinstance(store, GivesSources) else Stored(store, content)


def is_verified(source: Source) -> bool:
    """Whether a source verifies what it gives, when it is read from its first byte to its last."""
    return getattr(source, "is_verified", False)


def reads_from(source: Source) -> Readable | None:
    """The store that a source reads from, where that is known."""
    return getattr(source, "store", None)


def since(source: Source, start: int) -> AsyncIterator[bytes]:
    """Read a source from an offset on, the cheapest way it has."""
    if not start:
        return source()
    return source.since(start) if isinstance(source, StartsAnywhere) else skipping(source(), start)


async def skipping(chunks: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """What comes after the first `count` bytes."""
    async with closing(chunks):
        async for chunk in chunks:
            if count < len(chunk):
                yield chunk[count:]
            count = max(0, count - len(chunk))


@asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close a stream at the end, read or not: what it holds open is not left to the garbage collector."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


class Stored:
    """Content of a store as a source, verified where it is read from its first byte.

    Args:
        store: what it is read from.
        content: what is read.
    """

    is_verified = True

    def __init__(self, store: Readable, content: Descriptor) -> None:
        self.store = store
        self._content = content

    async def __call__(self) -> AsyncIterator[bytes]:
        """Read it from the first byte."""
        async with self.store.open(self._content) as reader, closing(aiter(reader)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def since(self, start: int) -> AsyncIterator[bytes]:
        """Read it from the byte at `start`."""
        if not isinstance(self.store, OpensAnywhere):
            async with closing(skipping(self(), start)) as rest:
                async for chunk in rest:
                    yield chunk
            return
        async with self.store.open_from(self._content, start) as chunks:
            async for chunk in chunks:
                yield chunk


def is_manifest(content: Descriptor) -> bool:
    """Whether a descriptor points at a manifest (of any kind) rather than a blob."""
    return content.media_type in MANIFESTS


async def read(store: Readable, content: Descriptor, limit: int = SIZE_LIMIT) -> bytes:
    """Read small content whole, verified.

    Raises:
        InvalidContent: it is larger than `limit` bytes.
    """
    async with store.open(content) as reader:
        return await reader.read(limit)


async def fetch_manifest(store: Readable, name: str | Descriptor, limit: int = SIZE_LIMIT) -> AnyManifest:
    """Read a manifest by tag, digest or descriptor: in one round trip where the store can.

    Raises:
        NotFound: it is not there.
        InvalidContent: it is not a manifest that lading reads.
    """
    if isinstance(name, str):
        if isinstance(store, FetchesManifests):
            return await store.fetch(name, limit)
        name = await store.resolve(name)
    raw = await read(store, name, limit)
    return parse(raw, name.media_type, digest=name.digest, what=f"{store.name}@{name.digest}", limit=limit)


async def read_config(store: Readable, manifest: Manifest) -> ImageConfig | None:
    """Read what a manifest has for a config; None where it has none at all.

    Raises:
        NotFound: the store has the manifest, but not its config.
        InvalidContent: the config is no image config.
    """
    if manifest.config is None:
        return None
    what = f"the config of {store.name}@{manifest.digest}"
    try:
        raw = await read(store, manifest.config)
    except NotFound as error:
        raise NotFound(
            f"{what} was not found",
            cause="the manifest is there, but not all that belongs to it",
            remedy="push the image again",
            status=error.status,
            registry_code=error.registry_code,
        ) from error
    return ImageConfig.parse(raw, what)


async def put_manifest(store: Store, manifest: AnyManifest, names: Sequence[str] = ()) -> None:
    """Write a manifest and give it tags; without tags it is there by its digest."""
    first, rest = (names[0], names[1:]) if names else (None, ())
    if isinstance(store, PutsManifests):
        await store.put(manifest, first)
        for name in rest:
            await store.put(manifest, name)
        return
    await store.write(manifest.descriptor, from_bytes(manifest.raw))
    for name in names:
        await store.tag(manifest.descriptor, name)
