"""Where content lives: the Store protocol, its optional capabilities, and verified reading.

This room knows the model and nothing of HTTP or files. A registry repository, an OCI layout, memory: each is a
Store in a module of its own, and every operation takes any of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec

from lading.errors import DigestMismatch, InvalidContent, LadingError, NotFound
from lading.io.sources import Bytes, Source, closing, from_bytes, from_chunks, from_file
from lading.io.tasks import settle
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier
from lading.model.encoding import SIZE_LIMIT
from lading.model.media_types import MANIFESTS
from lading.model.reference import Reference

if TYPE_CHECKING:
    from lading.model.config import ImageConfig
    from lading.model.index import Index
    from lading.model.manifest import Manifest

    AnyManifest = Manifest | Index

__all__ = [
    "AnyManifest",
    "Check",
    "ChecksGraphs",
    "ChecksManifests",
    "FetchesManifests",
    "GivesSources",
    "HasSiblings",
    "Mounts",
    "PutsManifests",
    "Readable",
    "Reader",
    "Source",
    "Store",
    "Stored",
    "SwapsTags",
    "Traits",
    "Untags",
    "fetch_manifest",
    "from_bytes",
    "from_chunks",
    "from_file",
    "from_store",
    "is_manifest",
    "put_manifest",
    "read",
    "read_config",
]


_HASHED_AT_ONCE = 256 * 1024
"""The largest content that is hashed on the event loop, in bytes: a thread would cost more."""


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
        async with closing(self._verified()) as chunks:
            async for chunk in chunks:
                if held:
                    yield held
                held = chunk
        self._verifier.finish()
        if held:
            yield held

    async def _verified(self) -> AsyncGenerator[bytes, None]:
        """Hand out the chunks, and hash them: in a thread, behind their way, unless they are few."""
        async with closing(self._chunks):
            if self.content.size <= _HASHED_AT_ONCE:
                async for chunk in self._chunks:
                    if chunk:
                        self._verifier.update(chunk)
                        yield chunk
                return
            from lading.io.behind import Behind

            # What is too much is not handed out, however far behind the thread is.
            counted = Verifier(self.content.digest, self.content.size, is_hashed=False)
            async with Behind(self._verifier.update) as hashed:
                async for chunk in self._chunks:
                    if chunk:
                        counted.update(chunk)
                        await hashed.give(chunk)
                        yield chunk

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
                f"{self.content.digest} is too large",
                cause=f"{self.content.size} bytes, and {limit} are allowed",
                code="too-large",
            )
        return b"".join([chunk async for chunk in self])


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a store is like, for operations that depend on it. The defaults are those of a layout on this machine."""

    is_remote: bool = False
    """Whether each question costs a request."""
    takes_indexes: bool = True
    """Whether an index can be written to it; else it takes images of one platform."""
    is_partial: bool = False
    """Whether an index may be there without some of the images that it lists; a copy takes the others."""
    is_named_by_references: bool = False
    """Whether manifests have whole references for names (`docker.io/library/app:1`); else they have tags."""
    takes_names: bool = False
    """Whether a name may be more than a tag, such as `app:1.0` in a layout."""
    is_mirrored: bool = False
    """Whether manifests and blobs may come from mirrors, which have no lists of referrers."""
    lists_under_tags: bool = False
    """Whether it is known that referrers are listed under fallback tags alone: what has no such tag has none."""
    reads_as_it_resolves: bool = False
    """Whether a manifest is read by its tag at the cost of `resolve`."""
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
        """Find the manifest with a tag or digest; an empty name is the only manifest there is, where that can be told.

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


Check = Callable[[str, Digest | None], None]
"""Takes a tag and what it names, None where it does not exist; raises `Conflict` where the tag is not to be changed."""


@runtime_checkable
class SwapsTags(Protocol):
    """A store that looks at what a tag names and changes the tag in one step, whoever else writes to it.

    What a `check` raises leaves the store's tags as they are.
    """

    swaps_tags: bool
    """Always True; it tells such a store from one whose methods have no `check`."""

    async def put(self, manifest: AnyManifest, name: str | None = None, *, check: Check | None = None) -> None:
        """Write a manifest under a tag, or by its digest where there is no name."""

    async def untag(self, name: str, *, check: Check | None = None) -> None:
        """Remove a tag."""

    async def delete(self, content: Descriptor, *, name: str | None = None, check: Check | None = None) -> None:
        """Delete a manifest with all its tags, or a blob; `name` is the tag that is checked."""


@runtime_checkable
class ChecksManifests(Protocol):
    """A store that does not hold manifests of every kind."""

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
        """Take a blob from another store, or from itself: then it says whether it has the blob.

        Returns:
            False where that cannot be done. Nothing has changed then, though the write that follows may be cheaper.
        """


@runtime_checkable
class HasSiblings(Protocol):
    """A store that knows, without a request, which other stores it can share content with."""

    def is_same(self, other: Readable) -> bool:
        """Whether the other is the same place, so that everything in one is in both."""

    def is_sibling(self, other: Readable) -> bool:
        """Whether mounting from the other may work: False where it cannot, or has been refused."""


@runtime_checkable
class Glances(Protocol):
    """A store that tells what it has for less where it may be mistaken: what it does not see may be there.

    That does where what is missing is written, and where it is written again without harm.
    """

    async def glance(self, name: str) -> Descriptor | None:
        """What a tag seems to stand for; None for nothing."""

    async def seems_to_contain(self, content: Descriptor) -> bool:
        """Whether a manifest or blob seems to be there."""


@runtime_checkable
class ChecksGraphs(Protocol):
    """A store that says at no cost whether it has a whole graph."""

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
class OpensByDigest(Protocol):
    """A store that reads a blob of which only the digest is known at the cost of one question."""

    def open_blob(self, digest: Digest) -> AbstractAsyncContextManager[tuple[int | None, AsyncIterator[bytes]]]:
        """Read it.

        Returns:
            Its size in bytes, None where the store does not say it, and its bytes, which have not been verified.

        Raises:
            NotFound: it is not there.
        """


@runtime_checkable
class ReadsParts(Protocol):
    """A store that reads some bytes of a blob at little more than their cost."""

    async def read_part(self, content: Descriptor, start: int, length: int) -> bytes:
        """Read bytes from an offset on; they are not verified, and fewer where the blob ends."""


GivesTags = Callable[[], Awaitable[Collection[str] | None]]
"""Gives all tags of a store; None where they are not known."""


@runtime_checkable
class ListsFewTags(Protocol):
    """A store that gives all its tags at the cost of one question, if there are not too many."""

    async def few_tags(self) -> Sequence[str] | None:
        """All tags; None where there are more than one question gives, or it has no answer."""


@runtime_checkable
class Remembers(Protocol):
    """A store that remembers, without a question, what its tags were given: which may be otherwise by now."""

    def remembered(self, name: str) -> Digest | None:
        """The digest that a tag got last, or that was written by it; None where that is not known."""


ListedIn = Literal["api", "fallback-tag"]
"""Where a registry lists what refers to a manifest: its referrers API, or an index under the fallback tag."""


@runtime_checkable
class ListsReferrers(Protocol):
    """A store that lists referrers in places of its own, and says which of them lists what."""

    async def referrer_lists(
        self,
        subject: Descriptor,
        artifact_type: str | None = None,
        *,
        everywhere: bool = False,
        tags: GivesTags | None = None,
    ) -> Mapping[ListedIn, Sequence[Descriptor]]:
        """What each place lists; one that the store does not have is left out.

        Args:
            subject: the manifest that is referred to.
            artifact_type: a place that can choose lists only referrers of this type; None for all.
            everywhere: whether the fallback tag is asked, too, where the API was seen to list something.
            tags: gives all tags, where they are known: the fallback tag is asked only if it is among them.
        """

    async def delete(self, content: Descriptor, *, manifest: AnyManifest | None = None) -> None:
        """Delete a manifest with all its tags, or a blob; a manifest goes from the lists of referrers first.

        Args:
            content: what is deleted.
            manifest: the manifest, where it has been read already.
        """


@runtime_checkable
class ChecksReferrers(Protocol):
    """A store in which a manifest may be there and not be found by its subject."""

    async def has_referrer(self, manifest: AnyManifest) -> bool:
        """Whether a manifest with a subject is there, and found by that."""


@runtime_checkable
class GivesSources(Protocol):
    """A store that says how its content is read best for writing it elsewhere."""

    def source(self, content: Descriptor) -> Source:
        """A manifest or blob as a source; of what is read from a store below, a source of that store."""


@runtime_checkable
class Untags(Protocol):
    """A store that can remove a tag and leave the manifest."""

    async def untag(self, name: str) -> None:
        """Remove a tag.

        Raises:
            Unsupported: not possible here; nothing was changed.
            NotFound: there is no such tag.
        """


class Stored(Source):
    """Content of a store as a source, verified where it is read from its first byte.

    Args:
        store: which has it.
        content: what is read.
        rest: reads it from an offset on, where the store has a way to; else what comes before is read and left out.
        is_examined: whether `rest` gives what was hashed a moment ago, or an exception.

    Reading raises NotFound where the store does not have it.
    """

    def __init__(
        self,
        store: Readable,
        content: Descriptor,
        rest: Callable[[int], AsyncIterator[bytes]] | None = None,
        *,
        is_examined: bool = False,
    ) -> None:
        self.origin: object = store
        self.digest: str | None = content.digest
        self.is_examined: bool = is_examined and rest is not None
        self._store = store
        self._content = content
        self._rest = rest

    async def since(self, start: int) -> AsyncIterator[bytes]:
        """Read it from the byte at `start`."""
        try:
            if start and self._rest is not None:
                async with closing(self._rest(start)) as rest:
                    async for chunk in rest:
                        yield chunk
                return
            async with self._store.open(self._content) as reader, closing(aiter(reader)) as chunks:
                async for chunk in chunks:
                    if start < len(chunk):
                        yield chunk[start:] if start else chunk
                    start = max(0, start - len(chunk))
        except NotFound as error:
            raise NotFound(
                f"{self._store.name} does not have {self._content.digest}, which a manifest of it lists",
                cause=error.cause,
                remedy="it has to be pushed there again; nothing that needs it was written",
                status=error.status,
                registry_code=error.registry_code,
            ) from error

    def sent(self, start: int) -> AsyncIterator[bytes]:
        """Read it from the byte at `start`, and leave it to the receiver to hash what is examined."""
        return self._rest(start) if self.is_examined and self._rest is not None else self.since(start)


def from_store(store: Readable, content: Descriptor) -> Source:
    """Content of a store as a source for writing it elsewhere.

    Its `origin` is the store that has it: the very one, or one below it. What a descriptor has in itself is taken from
    there (image-spec descriptor §Embedded Content).
    """
    source = store.source(content) if isinstance(store, GivesSources) else Stored(store, content)
    data = _embedded(content)
    return source if data is None else Bytes(data, source.origin)


def is_manifest(content: Descriptor) -> bool:
    """Whether a descriptor points at a manifest (of any kind) rather than a blob."""
    return content.media_type in MANIFESTS


def may_be_manifest(content: Descriptor) -> bool:
    """Whether an entry of an index may be one: its media type is a manifest's, or not said."""
    return not content.media_type or content.media_type in MANIFESTS


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
    if not is_manifest(name) and isinstance(store, FetchesManifests):
        # Where the descriptor does not say that it is a manifest, it is looked for as one all the same.
        found = await store.fetch(name.digest, limit)
        if found.size != name.size:
            raise DigestMismatch(
                f"{store.name}@{name.digest} has another size than its descriptor says",
                cause=f"expected {name.size} bytes, it has {found.size}",
            )
        return found
    from lading.model.manifest import parse

    raw = await read(store, name, limit)
    return parse(raw, name.media_type, digest=name.digest, what=f"{store.name}@{name.digest}", limit=limit)


async def read_config(store: Readable, manifest: Manifest) -> ImageConfig | None:
    """Read what a manifest has for a config; None where it has none at all.

    Raises:
        NotFound: the store has the manifest, but not its config.
        InvalidContent: the config is no image config.
    """
    from lading.model.config import ImageConfig

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


async def read_part(store: Readable, content: Descriptor, start: int, length: int) -> bytes:
    """Read some bytes of a blob, which are not verified.

    Args:
        store: which has it.
        content: the blob.
        start: the offset of the first byte.
        length: how many bytes; fewer where the blob ends.

    Raises:
        NotFound: it is not there.
    """
    if isinstance(store, ReadsParts):
        return await store.read_part(content, start, length)
    return await take(from_store(store, content).since(start), length)


async def take(chunks: AsyncIterator[bytes], length: int) -> bytes:
    """The first bytes of a stream, which is closed then.

    Args:
        chunks: the stream.
        length: how many bytes; fewer where it ends.
    """
    taken = bytearray()
    async with closing(chunks):
        async for chunk in chunks:
            taken += chunk
            if len(taken) >= length:
                break
    return bytes(taken[:length])


async def put_manifest(
    store: Store, manifest: AnyManifest, names: Sequence[str] = (), *, check: Check | None = None
) -> None:
    """Write a manifest and give it tags; without tags it is there by its digest.

    Args:
        store: where it goes.
        manifest: the manifest.
        names: the tags.
        check: is called with each tag in the step that sets it, by a store that `SwapsTags`; others do not call it.
    """
    first, rest = (names[0], names[1:]) if names else (None, ())
    if check is not None and isinstance(store, SwapsTags):
        for name in names or (None,):
            await store.put(manifest, name, check=check)
        return
    if isinstance(store, PutsManifests):
        await store.put(manifest, first)
        for name in rest:
            await store.put(manifest, name)
        return
    await store.write(manifest.descriptor, from_bytes(manifest.raw))
    for name in names:
        await store.tag(manifest.descriptor, name)


async def try_names(
    store: Store, manifest: AnyManifest, names: Sequence[str], *, check: Check | None = None
) -> dict[str, LadingError]:
    """Give a manifest tags, all at once, and each of them whatever becomes of the others; see `put_manifest`.

    Returns:
        What came of those that it could not be given.
    """
    outcomes = await settle(put_manifest(store, manifest, (name,), check=check) for name in names)
    return {name: error for name, error in zip(names, outcomes, strict=True) if isinstance(error, LadingError)}


async def put_names(store: Store, manifest: AnyManifest, names: Sequence[str], *, check: Check | None = None) -> None:
    """Give a manifest tags as `try_names` does.

    Raises:
        LadingError: the first failure; `set` and `failed` of its fields are the tags that it has now, and the others.
    """
    failed = await try_names(store, manifest, names, check=check)
    if not failed:
        return
    error = next(iter(failed.values()))
    done = [name for name in names if name not in failed]
    if len(names) > 1:
        said = f"set: {', '.join(done) or 'none'}; not set: {', '.join(failed)}"
        error.cause = f"{error.cause}; {said}" if error.cause else said
    error.fields |= {"set": done, "failed": list(failed)}
    raise error


def _embedded(content: Descriptor) -> bytes | None:
    """What a descriptor has in itself, if that is what it describes."""
    if not content.data:
        return None
    from base64 import b64decode

    try:
        data = b64decode(content.data, validate=True)
    except ValueError:
        return None
    is_it = len(data) == content.size and Digest.of(data, content.digest.algorithm) == content.digest
    return data if is_it else None


def __getattr__(name: str) -> Any:
    # What is only written or resolved needs no manifest to be parsed: the classes are loaded where one is.
    if name == "AnyManifest":
        from lading.model.index import Index
        from lading.model.manifest import Manifest

        return globals().setdefault(name, Manifest | Index)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
