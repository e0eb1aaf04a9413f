"""Uploads under way: blobs between their first request and their last.

This module knows the requests that bring them, and of the storage that it receives them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response

from lading.io.sources import closing
from lading.model.digest import Digest
from lading.serve.protocol import routes
from lading.serve.protocol.problems import Problem, steady
from lading.serve.protocol.quota import Quota
from lading.serve.settings import Settings
from lading.serve.storage.storage import Storage, Upload, ahead, call, gathered

_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/(?:\d{1,19}|\*))?")
_ACTIVE = 60  # seconds that an upload keeps its place without a request, at most
_PATIENCE = 20.0  # seconds that a client waits for its turn: docker takes a 429 for final
_RETRY_AFTER = 5  # seconds after which a client that was one too many may come again
_SWEEP = 600  # seconds between searches for uploads that are too old


class UploadSessions:
    """All uploads under way.

    Args:
        storage: what receives them.
        settings: how many there may be, and for how long.
        quota: how much they may bring.
        clock: gives the time, in seconds since the epoch.
    """

    def __init__(self, storage: Storage, settings: Settings, quota: Quota, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._settings = settings
        self._quota = quota
        self._clock = clock
        self._sessions: dict[str, UploadSession] = {}
        self._starting = 0
        self._ended = asyncio.Event()
        self._swept = float("-inf")
        self.interval: float = min(settings.upload_expiry / 10, _SWEEP)
        """Seconds between searches for uploads that are too old."""

    async def start(self, name: str, algorithm: str) -> UploadSession:
        """Begin an upload.

        Args:
            name: the repository that it is for.
            algorithm: of the digest that it will probably be given.

        Raises:
            Problem: there are too many.
        """
        await self.sweep()
        await self._take_turn()
        self._starting += 1
        try:
            upload = await self._storage.repository(name).upload()
        finally:
            self._starting -= 1
        session = UploadSession(name, upload, algorithm, self._quota, self._clock)
        self._sessions[session.id] = session
        return session

    def find(self, name: str, id: str) -> UploadSession:
        """The upload to a repository with an ID.

        Raises:
            Problem: there is none, or there was none for too long.
        """
        session = self._sessions.get(id)
        if session is None or session.name != name or self._is_over(session):
            raise _unknown(name, id)
        if session.refusal is not None:
            raise Problem(403, "DENIED", session.refusal)
        return session

    @contextlib.asynccontextmanager
    async def hold(self, name: str, id: str) -> AsyncIterator[UploadSession]:
        """Go on with an upload, which is for one request at a time; raises what `find` and `start` raise."""
        async with self.find(name, id).lock:
            session = self.find(name, id)
            if not self._is_active(session):
                await self._take_turn()
                session.placed_until = self._clock() + _ACTIVE
            session.is_receiving = True
            try:
                yield session
            finally:
                session.is_receiving = False

    async def receive(self, session: UploadSession, request: Request) -> None:
        """Append a chunk; if it turns out to be another than it said, or could not be kept, the upload is lost.

        Raises:
            Problem: it cannot be appended.
        """
        try:
            await session.receive(request, self._settings.min_upload_rate)
        except Problem as problem:
            if problem.status == 408:
                session.placed_until = float("-inf")  # its place is for others; the client may take its turn again
                self._freed()
            if problem.code == "DENIED":  # there is no place: what came gives its own, and its client may ask why
                session.refusal = str(problem)
                await self._discard(session)
            elif problem.code != "BLOB_UPLOAD_INVALID":
                await self.end(session)
            raise
        except OSError as error:
            await self.end(session)
            if isinstance(error, FileNotFoundError):
                raise _unknown(session.name, session.id) from None
            raise

    async def commit(self, session: UploadSession, digest: Digest) -> None:
        """Verify what was received, and make it a blob; in any case the upload is over.

        Raises:
            Problem: it has another digest.
        """
        try:
            await session.commit(digest)
        except FileNotFoundError:
            raise _unknown(session.name, session.id) from None
        finally:
            await self.end(session)

    async def end(self, session: UploadSession) -> None:
        """Forget an upload, complete or not."""
        self._sessions.pop(session.id, None)
        await self._discard(session)

    async def _discard(self, session: UploadSession) -> None:
        await session.upload.discard()
        self._quota.changed()
        self._freed()

    def _freed(self) -> None:
        self._ended.set()  # later requests wait for the next end
        self._ended = asyncio.Event()

    async def sweep(self, *, all: bool = False) -> None:
        """Discard the uploads that have expired, if it is time to look; or `all`, when the registry stops."""
        now = self._clock()
        if not all and 0 <= now - self._swept < self.interval:
            return
        self._swept = now
        for session in list(self._sessions.values()):
            if all or self._is_over(session):
                await self.end(session)
        await self._storage.sweep(now - self._settings.upload_expiry)

    async def _take_turn(self) -> None:
        """Wait until there is room for one more upload, but not for ever."""
        if not self._is_full():  # a place may have come free as time passed: requests that wait go first
            self._freed()
            await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self._is_full():
                    await self._ended.wait()
        if self._is_full():
            message = f"{self._settings.max_uploads} uploads are under way, and no more are taken; try again"
            raise Problem(429, "TOOMANYREQUESTS", message, headers={"retry-after": str(_RETRY_AFTER)})

    def _is_full(self) -> bool:
        active = self._starting + sum(self._is_active(session) for session in self._sessions.values())
        return active >= self._settings.max_uploads

    def _is_active(self, session: UploadSession) -> bool:
        """Whether an upload holds a place."""
        return session.is_receiving or (session.refusal is None and self._clock() < session.placed_until)

    def _is_over(self, session: UploadSession) -> bool:
        patience = self._settings.upload_expiry if session.refusal is None else _ACTIVE
        return not session.lock.locked() and self._clock() - session.used >= patience


class UploadSession:
    """An upload between its first request and its last (distribution-spec §Pushing blobs)."""

    def __init__(self, name: str, upload: Upload, algorithm: str, quota: Quota, clock: Callable[[], float]) -> None:
        self.id: str = uuid.uuid4().hex
        self.name = name
        self.upload = upload
        self.lock: asyncio.Lock = asyncio.Lock()
        self.used: float = clock()
        """When it last got something."""
        self.is_receiving: bool = False
        """Whether a request goes on with it."""
        self.placed_until: float = clock() + _ACTIVE
        """Until when it keeps its place between requests. Content extends that by as long as it may take at the minimum
        rate, or many small requests would keep the place for ever."""
        self.refusal: str | None = None
        """Why it got no place, if so."""
        self._quota = quota
        self._clock = clock
        self.start(algorithm)

    def start(self, algorithm: str) -> None:
        """Choose what is hashed while the content comes in."""
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)

    async def receive(self, request: Request, rate: int) -> None:
        """Append a request's body, which must be where and as long as its headers say, and as fast as `rate`."""
        begin = self.upload.size
        length = self._announced(request)
        await self._quota.check(int(request.headers.get("content-length", "0")))
        async with closing(ahead(gathered(steady(request, rate, self._clock)))) as parts:
            async for data in parts:
                if length is not None and self.upload.size + len(data) > begin + length:
                    raise Problem(400, "SIZE_INVALID", f"more than the {length} bytes of the Content-Range came")
                async with self._quota.room(len(data)):
                    await call(len(data), self._hash.update, data)
                    await self.upload.append(data)
                self.used = self._clock()
                self.placed_until = min(self.placed_until + len(data) / rate, self.used + _ACTIVE)
        if length is not None and self.upload.size != begin + length:
            raise Problem(400, "SIZE_INVALID", f"fewer than the {length} bytes of the Content-Range came")

    async def commit(self, digest: Digest) -> None:
        """Verify the content and make it a blob."""
        if digest.algorithm != self._algorithm:
            self.start(digest.algorithm)
            async for data in self.upload.chunks():
                await call(len(data), self._hash.update, data)
        found = f"{self._algorithm}:{self._hash.hexdigest()}"
        if found != digest:
            raise Problem(400, "DIGEST_INVALID", f"the content has the digest {found}", {"digest": digest})
        await self.upload.commit(digest)

    def response(self, request: Request, status: int) -> Response:
        """Where the upload is, and how far it has come."""
        return Response(status_code=status, headers=self._headers(request))

    def _headers(self, request: Request) -> dict[str, str]:
        return {
            "location": routes.location(request.scope, f"{self.name}/blobs/uploads/{self.id}"),
            "range": f"0-{max(self.upload.size - 1, 0)}",
            "docker-upload-uuid": self.id,
        }

    def _announced(self, request: Request) -> int | None:
        """How long the body is according to its Content-Range, which must begin where the upload ends."""
        text = request.headers.get("content-range")
        if text is None:
            return None
        found = _CONTENT_RANGE.fullmatch(text.strip())
        first, last = (int(found[1]), int(found[2])) if found else (0, -1)
        length = last - first + 1
        said = request.headers.get("content-length")
        if first != self.upload.size or length < 1 or (said is not None and int(said) != length):
            message = f"the Content-Range {text!r} does not continue the {self.upload.size} bytes that are here"
            raise Problem(416, "BLOB_UPLOAD_INVALID", message, headers=self._headers(request))
        return length


def _unknown(name: str, id: str) -> Problem:
    return Problem(404, "BLOB_UPLOAD_UNKNOWN", f"there is no upload {id} to {name}")
