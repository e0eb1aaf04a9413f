"""A pull-through cache: a storage that gets what it lacks from another registry, and keeps it.

This module knows what has to be asked again and what never changes, and of the other registry what `Upstream` says.
Content is verified before it is kept. Clients get a blob while it comes, and its last byte once it is verified.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeVar

from lading.errors import LadingError, NotFound, RateLimited, RegistryFailure, Unreachable, Unsupported
from lading.io.sources import closing
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier
from lading.serve.storage.storage import (
    Elsewhere,
    Listed,
    OpenBlob,
    Storage,
    StoredManifest,
    StoredRepository,
    Upload,
    call,
    gathered,
)
from lading.store import AnyManifest

log: logging.Logger = logging.getLogger("lading.serve")

FRESH = 60
"""How long a tag is taken for what it was, in seconds, before the other registry is asked again."""

_PIECE = 256 * 1024  # bytes of a blob that has come that clients do not get yet, at most
_PAUSE = 10  # seconds for which a registry that did not answer is left alone
_LISTS = 256  # lists of referrers that are remembered
_WARNINGS = 10  # warnings that are passed on with one list

T = TypeVar("T")

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)
"""The warnings that came with the answers to what the task asks the other registry."""


def heard(warning: str) -> None:
    """Take note of a warning of the other registry: clients get it with the list that it came with."""
    warnings = _heard.get()
    if warnings is not None and warning not in warnings and len(warnings) < _WARNINGS:
        warnings.append(warning)


def _joined(*warnings: str) -> str:
    return "; ".join(filter(None, warnings))


class Upstream(Protocol):
    """A repository of the other registry; `lading.registry.repository.StoredRepository` is one."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    async def resolve(self, name: str) -> Descriptor:
        """Find a manifest by tag or digest."""

    async def fetch(self, name: str) -> AnyManifest:
        """The manifest with a tag or digest, verified."""

    def tags(self) -> AsyncIterator[str]:
        """All tags."""

    def referrers(self, subject: Descriptor) -> AsyncIterator[Descriptor]:
        """The manifests that refer to one."""

    async def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not said. NotFound where there is none."""

    def open_blob(self, digest: Digest) -> AbstractAsyncContextManager[tuple[int | None, AsyncIterator[bytes]]]:
        """Read a blob: its size in bytes, where it is said, and its bytes, not verified yet."""


class ProxyStorage:
    """A storage in front of another registry, made by `proxy_of`. Nothing can be pushed to it.

    Args:
        cache: keeps what came.
        connect: gives the repository of the other registry for the name of one here; with True, the one to read
            blobs from, which takes longer than the rest.
        name: what the other registry is called.
        fresh: how long a tag is taken for what it was, in seconds.
        clock: gives the time in seconds.
        close: called when the storage is closed.
    """

    def __init__(
        self,
        cache: Storage,
        connect: Callable[[str, bool], Upstream],
        name: str,
        *,
        fresh: float = FRESH,
        clock: Callable[[], float] = time.monotonic,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.cache = cache
        self.connect = connect
        self.name = name
        self.refuses: str = f"this registry is a cache of {name}; push to {name} itself"
        self.fetches: dict[tuple[str, Digest], _Fetch] = {}
        self._asked: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._fresh = fresh
        self._fresh_until: dict[tuple[str, str], float] = {}
        self._away_until = float("-inf")
        self._failure: LadingError | None = None
        self._referrers: OrderedDict[tuple[str, Digest], Listed[Descriptor]] = OrderedDict()
        self._clock = clock
        self._close = close

    async def repositories(self) -> Collection[str]:
        """The names of the repositories of which something has been kept."""
        return await self.cache.repositories()

    def repository(self, name: str) -> StoredRepository:
        """The repository with this valid name."""
        return _ProxyRepository(name, self)

    async def size(self) -> int:
        """How many bytes are kept."""
        return await self.cache.size()

    async def sweep(self, before: float) -> None:
        """Remove what is left of downloads whose process has ended."""
        await self.cache.sweep(before)

    async def close(self) -> None:
        """End all downloads, and close the cache."""
        tasks = [*self._asked.values(), *(fetch.task for fetch in self.fetches.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.cache.close()
        if self._close is not None:
            await self._close()

    async def once(self, repository: str, what: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something once for all requests that need it at the same time; one that is cancelled does not end it."""
        key = repository, what
        task: asyncio.Task[T] | None = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(work())
            task.add_done_callback(lambda ended: _forget(self._asked, key, ended))
        return await asyncio.shield(task)

    def is_fresh(self, repository: str, tag: str) -> bool:
        """Whether a tag was asked for so lately that it need not be again."""
        return self._clock() < self._fresh_until.get((repository, tag), float("-inf"))

    def freshen(self, repository: str, tag: str) -> None:
        """Take note that a tag is now what it is there."""
        now = self._clock()
        self._fresh_until = {key: until for key, until in self._fresh_until.items() if until > now}
        self._fresh_until[repository, tag] = now + self._fresh
        self._away_until = float("-inf")

    @property
    def is_away(self) -> bool:
        """Whether the other registry has just failed to answer."""
        return self._clock() < self._away_until

    def check(self) -> None:
        """Make sure that the other registry is worth asking for what is not here.

        Raises:
            Elsewhere: it was out of reach a moment ago, and is left alone.
        """
        if self.is_away and isinstance(self._failure, Unreachable):
            raise Elsewhere(self._failure)

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the other registry for what is not here.

        Raises:
            NotFound: it does not have it.
            Elsewhere: it failed, or is left alone because it was out of reach a moment ago.
        """
        self.check()
        try:
            return await question()
        except NotFound:
            raise
        except LadingError as error:
            if isinstance(error, Unreachable):
                self.lost(error)
            raise Elsewhere(error) from None

    def lost(self, error: LadingError) -> None:
        """Take note that the other registry does not answer: it is left alone for a while."""
        self._away_until = self._clock() + _PAUSE
        self._failure = error

    def as_it_was(self, what: str, error: LadingError) -> str:
        """What to say of something that is served although the other registry could not be asked for it."""
        log.warning("%s is served as it was, because %s could not be asked: %s", what, self.name, error)
        return f"{what} is served as it was: {self.name} could not be asked"

    def remember(self, name: str, subject: Digest, referrers: Listed[Descriptor]) -> None:
        """Keep a list of referrers in mind, for when the other registry is away."""
        self._referrers[name, subject] = referrers
        self._referrers.move_to_end((name, subject))
        if len(self._referrers) > _LISTS:
            self._referrers.popitem(last=False)

    def remembered(self, name: str, subject: Digest) -> Listed[Descriptor] | None:
        """The list of referrers as it was when it was last asked for; None where it is not in mind."""
        return self._referrers.get((name, subject))


class _ProxyRepository:
    def __init__(self, name: str, proxy: ProxyStorage) -> None:
        self._name = name
        self._proxy = proxy

    @property
    def _cache(self) -> StoredRepository:
        return self._proxy.cache.repository(self._name)

    async def exists(self) -> bool:
        return True  # the other registry has not been asked yet

    async def tags(self) -> Listed[str]:
        return await self._proxy.once(self._name, "tags", self._tags)

    async def referrers(self, subject: Digest) -> Listed[Descriptor]:
        return await self._proxy.once(self._name, f"referrers of {subject}", lambda: self._referrers(subject))

    async def manifest(self, name: str) -> StoredManifest | None:
        if ":" in name:
            known = await self._cache.manifest(name)
            return known or await self._proxy.once(self._name, name, lambda: self._fetch(Digest(name)))
        known = await self._cache.manifest(name)
        if known is not None and self._proxy.is_fresh(self._name, name):
            return known
        return await self._proxy.once(self._name, name, lambda: self._renew(name))

    async def blob(self, digest: Digest) -> OpenBlob | None:
        fetch = self._proxy.fetches.get((self._name, digest))
        if fetch is None:
            known = await self._cache.blob(digest)
            if known is not None:
                return known
            self._proxy.check()
            fetch = self._proxy.fetches.get((self._name, digest)) or _Fetch(self._proxy, self._name, digest)
        try:
            return _Arriving(fetch, await fetch.begin())
        except NotFound:
            return None
        except LadingError as error:
            raise Elsewhere(error) from None

    async def blob_size(self, digest: Digest) -> int | None:
        known = await self._cache.blob_size(digest)
        if known is not None:
            return known
        return await self._proxy.once(self._name, f"size of {digest}", lambda: self._size(digest))

    async def put_manifest(
        self, manifest: StoredManifest, tags: Sequence[str] = (), needs: Collection[Digest] = ()
    ) -> None:
        raise self._refusal()

    async def delete_manifest(self, digest: Digest) -> bool:
        raise self._refusal()

    async def untag(self, tag: str) -> bool:
        raise self._refusal()

    async def mount(self, digest: Digest, source: str) -> bool:
        raise self._refusal()

    async def delete_blob(self, digest: Digest) -> bool:
        raise self._refusal()

    async def upload(self) -> Upload:
        raise self._refusal()

    def _refusal(self) -> Unsupported:
        return Unsupported(self._proxy.refuses)

    # What is done once for all requests that need it at the same time

    async def _tags(self) -> Listed[str]:
        upstream = self._proxy.connect(self._name, False)

        async def listed() -> list[str]:
            return [tag async for tag in upstream.tags()]

        try:
            return await self._listed(listed)
        except NotFound as error:
            raise Elsewhere(error) from None
        except Elsewhere as failure:
            if not _is_away(failure.error) or not (kept := (await self._cache.tags()).items):
                raise
            what = f"the list of tags of {self._name}"
            log.warning("%s is not whole, because %s could not be asked: %s", what, self._proxy.name, failure)
            return Listed(kept, f"{what} has only those that are kept here: {self._proxy.name} could not be asked")

    async def _referrers(self, subject: Digest) -> Listed[Descriptor]:
        """The whole list: without a signature that is not here, an image would look unsigned."""
        upstream = self._proxy.connect(self._name, False)

        async def listed() -> list[Descriptor]:
            return [found async for found in upstream.referrers(Descriptor(digest=subject, size=0))]

        try:
            found = await self._listed(listed)
        except NotFound:
            found = Listed[Descriptor]([])
        except Elsewhere as failure:
            remembered = self._proxy.remembered(self._name, subject)
            if not _is_away(failure.error) or remembered is None:
                raise
            what = f"the list of referrers of {self._name}@{subject}"
            return remembered._replace(warning=_joined(self._proxy.as_it_was(what, failure.error), remembered.warning))
        self._proxy.remember(self._name, subject, found)
        return found

    async def _listed(self, question: Callable[[], Awaitable[list[T]]]) -> Listed[T]:
        """A list of the other registry, with the warnings that came with it: it may not be whole there either."""
        warnings: list[str] = []
        token = _heard.set(warnings)
        try:
            items = await self._proxy.ask(question)
        finally:
            _heard.reset(token)
        return Listed(items, _joined(*warnings))

    async def _size(self, digest: Digest) -> int | None:
        upstream = self._proxy.connect(self._name, False)
        try:
            size = await self._proxy.ask(lambda: upstream.blob_size(digest))
        except NotFound:
            return None
        if size is not None:
            return size
        blob = await self.blob(digest)
        return blob.size if blob is not None else None

    async def _fetch(self, digest: Digest) -> StoredManifest | None:
        """Get a manifest and keep it."""
        upstream = self._proxy.connect(self._name, False)
        try:
            manifest = await self._proxy.ask(lambda: upstream.fetch(digest))
        except NotFound:
            return None
        stored = StoredManifest(manifest.raw, manifest.media_type, manifest.digest)
        await self._cache.put_manifest(stored)
        return stored

    async def _renew(self, tag: str) -> StoredManifest | None:
        """Find out what a tag is now, and get that if it is not here."""
        what = f"{self._name}:{tag}"
        known = await self._cache.manifest(tag)
        if known is not None and self._proxy.is_away:
            return known._replace(warning=f"{what} is served as it was: {self._proxy.name} could not be asked")
        upstream = self._proxy.connect(self._name, False)
        try:
            if known is None:
                manifest = await self._proxy.ask(lambda: upstream.fetch(tag))
                current = StoredManifest(manifest.raw, manifest.media_type, manifest.digest)
            else:
                digest = (await upstream.resolve(tag)).digest
                if digest == known.digest:
                    self._proxy.freshen(self._name, tag)
                    return known
                here = await self._cache.manifest(digest)
                if here is None:
                    manifest = await upstream.fetch(digest)
                    here = StoredManifest(manifest.raw, manifest.media_type, manifest.digest)
                current = here
        except NotFound:
            if known is not None:
                await self._cache.untag(tag)
            return None
        except LadingError as error:
            if known is None or not _is_away(error):
                raise Elsewhere(error) from None
            self._proxy.lost(error)
            return known._replace(warning=self._proxy.as_it_was(what, error))
        await self._cache.put_manifest(current, [tag])
        self._proxy.freshen(self._name, tag)
        return current


def _is_away(error: LadingError) -> bool:
    """Whether a registry may be there again later; a web page in its place is one of its maintenance, or of a login."""
    return isinstance(error, RateLimited | RegistryFailure | Unreachable) or error.code == "no-registry"


class _Fetch:
    """A blob on its way, for all requests that need it. It goes on when their clients have gone, for later ones."""

    def __init__(self, proxy: ProxyStorage, name: str, digest: Digest) -> None:
        loop = asyncio.get_running_loop()
        self._proxy = proxy
        self._name = name
        self._digest = digest
        self._size: asyncio.Future[int] = loop.create_future()
        self._whole: asyncio.Future[None] = loop.create_future()
        self._came = asyncio.Event()
        self._upload: Upload | None = None
        self.task = asyncio.create_task(self._run())
        proxy.fetches[name, digest] = self

    async def begin(self) -> int:
        """Wait until its size is known, and give it, in bytes.

        Raises:
            LadingError: it cannot be had.
        """
        return await asyncio.shield(self._size)

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to, but not including, `stop`, as they come.

        Raises:
            LadingError: it turned out to be wrong, or no more came.
        """
        position = start
        while position < stop and not self._whole.done():
            upload, came = self._upload, self._came
            # The last byte is given away when all of them are known to be right.
            until = min(stop, upload.size, self._size.result() - 1) if upload is not None else 0
            if upload is None or position >= until:
                await came.wait()
                continue
            async with closing(upload.chunks(position)) as chunks:
                async for chunk in chunks:
                    piece = chunk[: until - position]
                    position += len(piece)
                    yield piece
                    if position == until:
                        break
        if position < stop:
            self._whole.result()
            blob = await self._proxy.cache.repository(self._name).blob(self._digest)
            if blob is None:
                raise NotFound(f"{self._name}@{self._digest} has been removed meanwhile")
            with blob:
                async for chunk in blob.chunks(position, stop):
                    yield chunk

    async def _run(self) -> None:
        try:
            size = await self._receive()
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait hear of it
            log.warning("%s@%s could not be had from %s: %s", self._name, self._digest, self._proxy.name, error)
            if isinstance(error, Unreachable) and not self._size.done():
                self._proxy.lost(error)
            for future in (self._size, self._whole):
                if not future.done():
                    future.set_exception(error)
                future.exception()  # it counts as seen, whether a request waits for it or not
        except BaseException:
            self._size.cancel()
            self._whole.cancel()
            raise
        else:
            if not self._size.done():
                self._size.set_result(size)
            self._whole.set_result(None)
        finally:
            del self._proxy.fetches[self._name, self._digest]
            self._came.set()

    async def _receive(self) -> int:
        upload = await self._proxy.cache.repository(self._name).upload()
        try:
            async with self._proxy.connect(self._name, True).open_blob(self._digest) as (size, chunks):
                verifier = Verifier(self._digest, size, f"{self._proxy.name}/{self._name}@{self._digest}")
                if size:
                    self._upload = upload
                    self._size.set_result(size)
                async for piece in gathered(chunks, _PIECE):
                    await asyncio.gather(call(len(piece), verifier.update, piece), upload.append(piece))
                    came, self._came = self._came, asyncio.Event()
                    came.set()
            verifier.finish()
            self._upload = None  # from here on it may be somewhere else
            await upload.commit(self._digest)
            return upload.size
        finally:
            self._upload = None
            await upload.discard()


class _Arriving:
    """A blob that is read while it comes."""

    file: BinaryIO | None = None

    def __init__(self, fetch: _Fetch, size: int) -> None:
        self.size = size
        self._fetch = fetch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._fetch.chunks(start, stop):
                yield chunk
        except LadingError as error:
            raise Elsewhere(error) from None


def _forget(asked: dict[tuple[str, str], asyncio.Task[Any]], key: tuple[str, str], task: asyncio.Task[Any]) -> None:
    del asked[key]
    if not task.cancelled():
        task.exception()  # it counts as seen, whether a request waited for it or not
