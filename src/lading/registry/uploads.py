"""Uploading a blob: in one request, in two, in chunks, or on from where it was interrupted (distribution-spec §Push).

This module knows the protocol's requests; how they get to their host is the session's business. A registry that refuses
one way of uploading is not asked for it again: it gets the blob in the plainest way that it takes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Self
from urllib.parse import quote, urlsplit

from lading.errors import DigestMismatch, LadingError, NotFound, RateLimited, RegistryFailure, Unreachable
from lading.io.sources import Body, Bytes, Source, closing
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import OCTET_STREAM
from lading.registry.call import Send
from lading.registry.failures import is_passing
from lading.registry.http.transport import Response, Stalled
from lading.registry.retries import RETRY_AFTER_LIMIT
from lading.registry.upload_journal import JOURNALED, Journal
from lading.registry.urls import continuation
from lading.store import Reader

SMALL = 64 * 1024
"""The largest blob that is sent along with the first request, in bytes: registries may not want it there."""
HELD = 1024 * 1024
"""The largest blob that is held in memory while it is uploaded, in bytes."""
CHUNK = 256 * 1024 * 1024
"""What is sent with one request at most, in bytes, unless a registry wants less."""
_CHUNK_MIN = 1024 * 1024
_TRIES = 5
_STALLS = 2
"""How often in a row a registry may lie still: each time is minutes."""
_PAUSE = 0.05
_REFUSED = frozenset({400, 404, 405, 411, 413, 415, 501})
_SPOILED = frozenset({"DIGEST_INVALID", "SIZE_INVALID"})
_RANGE = r"(?:bytes=)?0-(\d+)"


class Uploads:
    """What is known of how a repository takes blobs, and the uploads that are open there.

    Args:
        registry: host and port.
        repository: the path within it.
        send: sends a request to the repository.
        chunk: the largest part of a blob that is sent with one request, in bytes; None for `CHUNK`.
        journal: where uploads are remembered for the next run; None for nowhere.
    """

    def __init__(
        self,
        registry: str,
        repository: str,
        send: Send,
        *,
        chunk: int | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal
        self.chunk: int = chunk or CHUNK
        self._registry, self._repository = registry, repository
        self._name = f"{registry}/{repository}"
        self._send_request = send
        self._opened: dict[Digest, str] = {}
        self._takes_post = True
        self._takes_whole = True
        self._takes_chunks = True

    def opened(self, digest: Digest, location: str) -> None:
        """The registry opened an upload for this blob when it was asked for something else; it will be used."""
        self._opened[digest] = location

    def streams(self, content: Descriptor) -> bool:
        """Whether a blob is read while it is sent, and not before."""
        return content.size > HELD

    async def upload(self, content: Descriptor, source: Source) -> None:
        """Upload a blob; what breaks off goes on from where the registry says, or starts anew.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
        """
        state = _Progress(content, source, self._opened.pop(content.digest, None))
        if not self.streams(content):
            is_posted = content.size <= SMALL and self._takes_post and state.location is None
            data = await self._hold(state, opens=state.location is None and not is_posted)
            if is_posted and await self._post(state, data):
                return
        state.is_journaled = content.size >= JOURNALED
        if state.location is not None:
            self._keep(state)
        elif state.is_journaled:
            await self._recall(state)
        try:
            await self._insist(state)
        finally:
            await state.close()

    async def _insist(self, state: _Progress) -> None:
        """Send a blob, as often and in as many ways as it takes."""
        content = state.content
        failures = 0
        while True:
            sent = state.offset
            try:
                await self._send(state)
                self._forget(state)
                return
            except DigestMismatch:
                # Whatever is there by now is no beginning of the right bytes.
                self._forget(state)
                raise
            except LadingError as error:
                if error is state.source_failure:
                    raise  # a source has its own ways of going on
                failures = 0 if state.offset > sent else failures + 1
                if error.code == "immutable" and await self._is_there(content):
                    return  # another client has brought it meanwhile, and it is kept (Nexus)
                if self._adapts(error, state):
                    state.restart()
                elif state.is_spoiled_by(error):
                    state.restart()
                    self._forget(state)
                elif failures < (_STALLS if isinstance(error, Stalled) else _TRIES) and (
                    isinstance(error, _Reopened) or _is_lost(error)
                ):
                    await asyncio.sleep(_pause(error, failures))
                    await self._ask_where(state)
                    if state.location is None and await self._is_there(content):
                        return  # it was only the answer that was lost
                else:
                    raise

    async def _hold(self, state: _Progress, *, opens: bool) -> bytes:
        """Read a blob whole; meanwhile its upload can be opened. It may be sent twice, and is fetched once for that.

        A source that is read so does not wait for the registry, while a request there waits for the source.
        """
        opening = asyncio.ensure_future(self._open()) if opens else None
        try:
            chunks = state.source()
            if state.source.digest != state.content.digest:
                chunks = aiter(Reader(state.content, chunks))
            async with closing(chunks):
                data = b"".join([chunk async for chunk in chunks])
        except BaseException:
            if opening is not None:
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
            raise
        state.source = Bytes(data)
        if opening is not None:
            try:
                state.location, state.least = await opening
            except LadingError as error:
                if not _is_lost(error):
                    raise  # else it is opened once more when it is needed
        return data

    # One try

    async def _send(self, state: _Progress) -> None:
        content = state.content
        if state.location is None:
            state.begin()  # where it comes from may be as far away
            state.location, state.least = await self._open()
            self._keep(state)
        chunk = max(self.chunk, state.least)
        is_asked_for = content.size > chunk or not self._takes_whole or state.was_spoiled
        state.in_chunks = state.offset > 0 or (is_asked_for and self._takes_chunks)
        state.most = chunk if state.in_chunks else content.size
        if not state.in_chunks:
            body = state.source if isinstance(state.source, Bytes) else state.read
            await self._put(state.location, content.digest, body, content.size)
            return
        feed = _Feed(state.read())
        try:
            while state.offset < content.size:
                await self._patch(state, feed, min(chunk, content.size - state.offset))
        finally:
            await feed.close()
        await self._put(state.location, content.digest, b"", None)

    async def _patch(self, state: _Progress, feed: _Feed, size: int) -> None:
        """Send the next bytes (distribution-spec §Pushing a blob in chunks)."""
        assert state.location is not None
        end = state.offset + size
        async with self._request(
            "PATCH",
            state.location,
            headers={"Content-Range": f"{state.offset}-{end - 1}"},
            body=feed.part(size),
            size=size,
            what=self._named(state.content),
        ) as response:
            state.location = _location(response) or state.location
            there = _offset(response)
        self._keep(state)
        if there is not None and 1 < there < end:
            # It kept less than it was sent.
            state.offset = there
            raise _Reopened
        state.offset = end

    async def _open(self) -> tuple[str, int]:
        """Open an upload: where it is, and how many bytes a chunk must have."""
        async with self._request("POST", "blobs/uploads/", body=b"", what=self._name) as response:
            location = _location(response)
            least = response.headers.get("oci-chunk-min-length") or ""
        if not location:
            raise RegistryFailure(f"{self._registry} opened an upload without saying where")
        return location, int(least) if least.isdecimal() else 0

    async def _put(self, location: str, digest: Digest, body: bytes | Body, size: int | None) -> None:
        separator = "&" if "?" in location else "?"
        what = f"{self._name}@{digest}"
        url = f"{location}{separator}digest={quote(digest)}"
        async with self._request("PUT", url, body=body, size=size, what=what) as response:
            said = response.headers.get("docker-content-digest")
        if said and said.partition(":")[0] == digest.algorithm and said != digest:
            raise DigestMismatch(f"{what} was stored with other bytes", cause=f"the registry stored {said}")

    async def _post(self, state: _Progress, data: bytes) -> bool:
        """Upload a small blob with one POST (distribution-spec §Single POST).

        Returns:
            Whether that did it. A registry that does not know this form may have opened an upload, which will be
            used; one that refuses is not asked again.
        """
        content = state.content
        try:
            async with self._request(
                "POST", "blobs/uploads/", query=(("digest", content.digest),), body=data, what=self._named(content)
            ) as response:
                if response.status == 201:
                    return True
                state.location = _location(response)
        except LadingError as error:
            if error.status not in _REFUSED:
                raise
        self._takes_post = False
        return False

    # What was interrupted

    async def _recall(self, state: _Progress) -> None:
        """Go on with what another run has begun."""
        if self._journal is None:
            return
        known = self._journal.find(self._registry, self._repository, state.content.digest)
        if known is not None:
            state.location = known
            await self._ask_where(state)
            self._keep(state)  # other runs see by it that this process goes on with the upload

    async def _ask_where(self, state: _Progress) -> None:
        """Ask how far an upload has come; one that is lost starts anew (distribution-spec §Pushing blobs in chunks)."""
        location, state.offset = state.location, 0
        if location is None:
            return
        try:
            async with self._request("GET", location, what=self._named(state.content)) as response:
                there = _offset(response)
                location = _location(response) or location
        except (Unreachable, RateLimited):
            raise  # it may still be there for the next run
        except LadingError:
            there = None
        # Nothing, and one byte, look the same.
        is_known = there is not None and 1 < there <= state.content.size
        state.location, state.offset = (location, there or 0) if is_known else (None, 0)
        state.was_resumed = is_known
        if state.location is None:
            self._forget(state)

    async def _is_there(self, content: Descriptor) -> bool:
        path = f"blobs/{content.digest}"
        async with self._send_request("HEAD", path, accept=(200, 404), what=self._named(content)) as response:
            return response.status == 200

    def _adapts(self, error: LadingError, state: _Progress) -> bool:
        """Whether the registry refused the way in which it was sent, and there is another.

        Others may have been sent in the same way at the same time, and have found out before.
        """
        if state.location is None or error.code == "immutable":
            return False  # no upload was opened, or it would make no difference
        if error.status == 413 and state.most > _CHUNK_MIN and not state.refused_chunks:
            self.chunk = min(self.chunk, max(_CHUNK_MIN, min(state.most, state.content.size) // 8))
            return True
        if error.registry_code in _SPOILED:
            return False  # it was taken
        if state.in_chunks:
            if (_is_lost(error) and state.offset) or error.status not in {*_REFUSED, 416}:
                return False
            self._takes_chunks, state.refused_chunks = False, True
            return not state.refused_whole
        if error.status not in _REFUSED or error.status == 404:
            return False
        self._takes_whole, state.refused_whole = False, True
        return not state.refused_chunks

    def _keep(self, state: _Progress) -> None:
        if self._journal is not None and state.is_journaled and state.location is not None:
            # Without the host, which the next run finds anew: with TLS or without.
            path = urlsplit(state.location)._replace(scheme="", netloc="").geturl()
            self._journal.keep(self._registry, self._repository, state.content.digest, path)

    def _forget(self, state: _Progress) -> None:
        if self._journal is not None and state.is_journaled:
            self._journal.forget(self._registry, self._repository, state.content.digest)

    def _named(self, content: Descriptor) -> str:
        return f"{self._name}@{content.digest}"

    def _request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **rest: Any
    ) -> AbstractAsyncContextManager[Response]:
        typed = {"Content-Type": OCTET_STREAM} if method != "GET" else {}
        return self._send_request(method, path, push=True, headers=typed | (headers or {}), **rest)


class _Progress:
    """How far one upload has come."""

    def __init__(self, content: Descriptor, source: Source, location: str | None) -> None:
        self.content = content
        self.source = source
        self.source_failure: BaseException | None = None
        """Why the source could not be read to its end, if it could not."""
        self.location = location
        self.offset = 0
        self.least = 0
        self.is_journaled = False
        self.in_chunks = False
        self.most = 0
        """How many bytes one request had at most."""
        self.refused_whole = self.refused_chunks = False
        self.was_resumed = False
        self.was_spoiled = False
        self._begun: _Begun | None = None

    def begin(self) -> None:
        """Get the first bytes already, for the next reading."""
        if self._begun is None and not isinstance(self.source, Bytes):
            self._begun = _Begun(self._reading(0))

    async def close(self) -> None:
        """Close what was begun and is not read."""
        if self._begun is not None:
            await self._begun.aclose()

    async def read(self) -> AsyncIterator[bytes]:
        """The bytes that are missing."""
        begun, self._begun = self._begun, None
        try:
            async with closing(begun or self._reading(self.offset)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:
            self.source_failure = error
            raise

    def _reading(self, start: int) -> AsyncIterator[bytes]:
        # The registry computes the digest. Where it found another one, it is to be known whether the source has that.
        return self.source.since(start) if self.was_spoiled else self.source.sent(start)

    def is_spoiled_by(self, error: LadingError) -> bool:
        """Whether what arrived is something else than what was sent, for the first time.

        It happened on the way, or what was there before was something else; or a file was changed that was examined
        before, which the next try finds out. A registry may also have left out the body of its last request: the next
        try does without one.
        """
        others = self.was_resumed and (error.exit_code == 7 or error.status == 400)
        if self.was_spoiled or not (others or error.registry_code in _SPOILED):
            return False
        self.was_spoiled = True
        return True

    def restart(self) -> None:
        """Nothing of it can be used."""
        self.location, self.offset, self.was_resumed = None, 0, False


class _Reopened(LadingError):
    """A part was to be sent twice; the upload has to be asked where it is."""

    def __init__(self) -> None:
        super().__init__("a part of an upload has to be sent again")


class _Begun:
    """A stream with its first piece on the way already."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._first: asyncio.Future[bytes] | None = asyncio.ensure_future(anext(chunks))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._first is None:
            return await anext(self._chunks)
        first = await self._first
        self._first = None
        return first

    async def aclose(self) -> None:
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        async with closing(self._chunks):
            pass


class _Feed:
    """Gives out one stream in parts of the sizes that are asked for."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def part(self, size: int) -> Body:
        """The next bytes, as a body; it can be read once only."""
        is_read = False

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal is_read
            if is_read:
                raise _Reopened
            is_read = True
            missing = size
            while missing:
                data = self._left or await anext(self._chunks, b"")
                if not data:
                    return
                self._left = data[missing:]
                missing -= len(data[:missing])
                yield data[: len(data) - len(self._left)]

        return chunks

    async def close(self) -> None:
        """Close the stream."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


def _location(response: Response) -> str | None:
    return continuation(response.url, response.headers.get("location"))


def _offset(response: Response) -> int | None:
    match = re.fullmatch(_RANGE, (response.headers.get("range") or "").strip())
    return int(match[1]) + 1 if match else None


def _is_lost(error: LadingError) -> bool:
    """Whether it was the upload that failed, and not the blob that was refused."""
    if isinstance(error, NotFound):
        return error.registry_code in ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID")
    if error.retry_after is not None and error.retry_after > _TRIES * RETRY_AFTER_LIMIT:
        return False  # not worth the wait
    is_over = isinstance(error, Unreachable) or error.status == 416
    return is_over or (is_passing(error) and not isinstance(error, RateLimited))


def _pause(error: LadingError, failures: int) -> float:
    """How many seconds to wait before asking: the registry may not have noticed yet that a request broke off."""
    return max(_PAUSE * float(2**failures), min(error.retry_after or 0, RETRY_AFTER_LIMIT))
