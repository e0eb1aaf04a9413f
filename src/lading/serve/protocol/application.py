"""The distribution protocol, served from a storage: an ASGI application.

This module knows HTTP and the protocol (distribution-spec), and of the storage what `storage.Storage` says.
It verifies all content before the storage gets it. Requests that come here are allowed: `auth` decides before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, BinaryIO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from lading.errors import InvalidDigest, LadingError, NotFound
from lading.io.sources import closing
from lading.model.digest import ALGORITHMS, Digest
from lading.model.media_types import OCI_INDEX
from lading.model.reference import is_tag
from lading.serve.protocol import manifests, routes
from lading.serve.protocol.problems import Problem, drain, failed_elsewhere, json_response, respond, steady
from lading.serve.protocol.quota import Quota, full_disk
from lading.serve.protocol.upload_sessions import UploadSession, UploadSessions
from lading.serve.settings import Settings
from lading.serve.storage.storage import (
    Elsewhere,
    Incomplete,
    OpenBlob,
    Storage,
    StoredManifest,
    StoredRepository,
    is_repository,
)

log: logging.Logger = logging.getLogger("lading.serve")

ZERO_COPY = "http.response.zerocopysend"
"""ASGI's extension by which a server is given a file instead of its bytes."""

_SENT_AT_ONCE = 4 * 1024 * 1024  # bytes of a file that a server is told to send; so exact is the log
_WARNING_LIMIT = 1000  # characters of a warning, which another registry may have written
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class RegistryApplication:
    """The ASGI application that serves a storage.

    Args:
        storage: what holds the content.
        settings: how it behaves.
        clock: gives the time, in seconds since the epoch.
    """

    def __init__(self, storage: Storage, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._quota = Quota(storage, settings.max_size, clock)
        self._uploads = UploadSessions(storage, settings, self._quota, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        if scope["type"] != "http":
            raise RuntimeError(f"a registry speaks HTTP, not {scope['type']}")
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await respond(response, scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Look for uploads that are too old, and tidy up when the server stops (ASGI lifespan)."""
        sweeping: asyncio.Task[None] | None = None
        while (message := await receive())["type"] == "lifespan.startup":
            if not self._settings.read_only:
                await self._sweep()
                sweeping = asyncio.create_task(self._sweep_often())
            await send({"type": "lifespan.startup.complete"})
        if sweeping is not None:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await self._uploads.sweep(all=True)
        await self._storage.close()
        await send({"type": f"{message['type']}.complete"})

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(self._uploads.interval)
            await self._sweep()

    async def _sweep(self) -> None:
        try:
            await self._uploads.sweep()
        except OSError as error:
            log.warning("uploads that nobody goes on with could not be discarded: %s", error)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._dispatch(request)
        except Problem as problem:
            response = problem.response()
        except ClientDisconnect:
            raise
        except Elsewhere as failure:
            if not isinstance(failure.error, NotFound):
                log.warning("%s %s could not be answered: %s", request.method, routes.shown(request.scope), failure)
            response = failed_elsewhere(failure.error).response()
        except Exception as error:
            refusal = full_disk(error) if isinstance(error, OSError) else None
            if refusal is None:
                what = f"{request.method} {routes.shown(request.scope)} failed"
                if isinstance(error, LadingError):  # which says itself what happened
                    log.error("%s: %s", what, error)  # noqa: TRY400
                else:
                    log.exception("%s", what)
                refusal = Problem(500, "UNKNOWN", "the registry failed; its log says why")
            response = refusal.response()
        await drain(request)
        return response

    async def _dispatch(self, request: Request) -> Response:
        route = routes.find(request.scope)
        if route is None or route.kind not in self._handlers:
            raise Problem(404, "UNSUPPORTED", "there is nothing here; the registry is below /v2/")
        values: dict[str, Any] = dict(route.values)
        if "name" in values and not is_repository(values["name"]):
            raise Problem(400, "NAME_INVALID", f"{values['name']!r} cannot be the name of a repository")
        if "digest" in values:
            values["digest"] = _digest(values["digest"])
        methods = self._handlers[route.kind]
        handler = methods.get(request.method)
        if handler is None:
            allow = {"allow": ", ".join(methods)}
            raise Problem(405, "UNSUPPORTED", f"{request.method} is not for this path", headers=allow)
        return await handler(self, request, **values)

    # ---------------------------------------------------------------- listing

    async def _base(self, request: Request) -> Response:
        return json_response({})

    async def _catalog(self, request: Request) -> Response:
        visible = routes.visible(request.scope)
        names, headers = _page(request, filter(visible, await self._storage.repositories()))
        return json_response({"repositories": names}, headers=headers)

    async def _tags(self, request: Request, name: str) -> Response:
        repository = self._storage.repository(name)
        if not await repository.exists():
            raise Problem(404, "NAME_UNKNOWN", f"there is no repository {name}", {"name": name})
        found = await repository.tags()
        tags, headers = _page(request, found.items)
        return json_response({"name": name, "tags": tags}, headers=headers | _warning(found.warning))

    async def _referrers(self, request: Request, name: str, digest: Digest) -> Response:
        found = await self._storage.repository(name).referrers(digest)
        wanted = request.query_params.get("artifactType")
        entries = [
            referrer.to_document()
            for referrer in sorted(found.items, key=lambda referrer: referrer.digest)
            if not wanted or referrer.artifact_type == wanted
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        headers = {"oci-filters-applied": "artifactType"} if wanted else {}
        return json_response(document, headers=headers | _warning(found.warning), media_type=OCI_INDEX)

    # ---------------------------------------------------------------- manifests

    async def _get_manifest(self, request: Request, name: str, reference: str) -> Response:
        key = _reference(reference)
        manifest = await self._storage.repository(name).manifest(key)
        if manifest is None:
            raise _no_manifest(name, reference)
        headers = {
            "content-type": manifest.media_type,
            "content-length": str(len(manifest.raw)),
            "docker-content-digest": manifest.digest,
        }
        return Response(manifest.raw, headers=headers | _warning(manifest.warning))

    async def _put_manifest(self, request: Request, name: str, reference: str) -> Response:
        key = _reference(reference)
        by_digest = isinstance(key, Digest)
        tags = list(dict.fromkeys(request.query_params.getlist("tag"))) if by_digest else [key]
        for tag in tags:
            if not is_tag(tag):
                raise Problem(400, "TAG_INVALID", f"{tag!r} cannot be a tag", {"tag": tag})
        raw = await self._small_body(request)
        digest = Digest(key) if by_digest else Digest.of(raw)
        repository = self._storage.repository(name)
        said = request.headers.get("content-type", "").partition(";")[0].strip()
        accepted = await manifests.accept(repository, raw, said, digest, allow_missing=self._settings.allow_missing)
        stored = StoredManifest(raw, accepted.media_type, digest)
        async with self._quota.room(len(raw)):
            try:
                await repository.put_manifest(stored, tags, accepted.needs)
            except Incomplete as error:
                raise manifests.incomplete(error.missing) from None
        location = routes.location(request.scope, f"{name}/manifests/{digest}")
        headers = {"location": location, "docker-content-digest": digest}
        if accepted.subject:
            headers["oci-subject"] = accepted.subject
        if by_digest and tags:
            headers["oci-tag"] = ", ".join(tags)
        return Response(status_code=201, headers=headers)

    async def _delete_manifest(self, request: Request, name: str, reference: str) -> Response:
        key = _reference(reference)
        repository = self._storage.repository(name)
        done = repository.delete_manifest(key) if isinstance(key, Digest) else repository.untag(key)
        if not await done:
            raise _no_manifest(name, reference)
        self._quota.changed()
        return Response(status_code=202)

    async def _small_body(self, request: Request) -> bytes:
        """Read the body of a request that pushes a manifest."""
        limit = self._settings.max_manifest
        body = bytearray()
        if int(request.headers.get("content-length", "0")) <= limit:
            async with closing(steady(request, self._settings.min_upload_rate, self._clock)) as parts:
                async for part in parts:
                    body += part
                    if len(body) > limit:
                        break
                else:
                    return bytes(body)
        raise Problem(413, "SIZE_INVALID", f"a manifest may have {limit} bytes at most")

    # ---------------------------------------------------------------- blobs

    async def _get_blob(self, request: Request, name: str, digest: Digest) -> Response:
        repository = self._storage.repository(name)
        headers = {
            "accept-ranges": "bytes",
            "content-type": "application/octet-stream",
            "docker-content-digest": digest,
        }
        if request.method == "HEAD":
            size = await repository.blob_size(digest)
            if size is None:
                raise _no_blob(name, digest)
            return Response(headers=headers | {"content-length": str(size)})
        blob = await repository.blob(digest)
        if blob is None:
            raise _no_blob(name, digest)
        with contextlib.ExitStack() as opened:
            opened.enter_context(blob)
            part = _range(request.headers.get("range", ""), blob.size)
            opened.pop_all()
        start, stop = part or (0, blob.size)
        headers["content-length"] = str(stop - start)
        if part:
            headers["content-range"] = f"bytes {start}-{stop - 1}/{blob.size}"
        return _BlobResponse(blob, start, stop, status_code=206 if part else 200, headers=headers)

    async def _delete_blob(self, request: Request, name: str, digest: Digest) -> Response:
        repository = self._storage.repository(name)
        if await repository.manifest(digest) is not None:
            raise Problem(405, "UNSUPPORTED", f"{digest} is a manifest; delete it as one")
        if not await repository.delete_blob(digest):
            raise _no_blob(name, digest)
        self._quota.changed()
        return Response(status_code=202)

    # ---------------------------------------------------------------- uploads

    async def _start_upload(self, request: Request, name: str) -> Response:
        asked = request.query_params
        if "mount" in asked:
            digest = _digest(asked["mount"])
            if await self._mount(request, self._storage.repository(name), digest, asked.get("from")):
                return _created(request, name, digest)
        expected = _digest(asked["digest"]) if "digest" in asked else None
        algorithm = expected.algorithm if expected else asked.get("digest-algorithm", "sha256")
        if algorithm not in ALGORITHMS:
            raise Problem(400, "DIGEST_INVALID", f"the digest algorithm {algorithm!r} is not supported")
        session = await self._uploads.start(name, algorithm)
        if expected is None:
            return session.response(request, 202)
        async with self._uploads.hold(name, session.id):
            return await self._receive_all(request, session, expected)

    async def _mount(self, request: Request, repository: StoredRepository, digest: Digest, source: str | None) -> bool:
        """Take a blob from another repository: the one named, or any that has it."""
        visible = routes.visible(request.scope)
        sources = await self._storage.repositories() if source is None else [source]
        for candidate in sources:
            if is_repository(candidate) and visible(candidate) and await repository.mount(digest, candidate):
                return True
        return False

    async def _upload_status(self, request: Request, name: str, upload: str) -> Response:
        return self._uploads.find(name, upload).response(request, 204)

    async def _append(self, request: Request, name: str, upload: str) -> Response:
        async with self._uploads.hold(name, upload) as session:
            await self._uploads.receive(session, request)
            return session.response(request, 202)

    async def _finish_upload(self, request: Request, name: str, upload: str) -> Response:
        digest = _digest(request.query_params.get("digest", ""))
        async with self._uploads.hold(name, upload) as session:
            return await self._receive_all(request, session, digest)

    async def _receive_all(self, request: Request, session: UploadSession, digest: Digest) -> Response:
        """Receive what is left of an upload, and make it a blob."""
        if session.upload.size == 0:
            session.start(digest.algorithm)
        await self._uploads.receive(session, request)
        await self._uploads.commit(session, digest)
        return _created(request, session.name, digest)

    async def _cancel_upload(self, request: Request, name: str, upload: str) -> Response:
        async with self._uploads.hold(name, upload) as session:
            await self._uploads.end(session)
        return Response(status_code=204)

    _handlers: Mapping[str, Mapping[str, Callable[..., Awaitable[Response]]]] = {
        "base": {"GET": _base, "HEAD": _base},
        "catalog": {"GET": _catalog, "HEAD": _catalog},
        "tags": {"GET": _tags, "HEAD": _tags},
        "uploads": {"POST": _start_upload},
        "upload": {
            "GET": _upload_status,
            "PATCH": _append,
            "PUT": _finish_upload,
            "DELETE": _cancel_upload,
        },
        "blob": {"GET": _get_blob, "HEAD": _get_blob, "DELETE": _delete_blob},
        "manifest": {
            "GET": _get_manifest,
            "HEAD": _get_manifest,
            "PUT": _put_manifest,
            "DELETE": _delete_manifest,
        },
        "referrers": {"GET": _referrers, "HEAD": _referrers},
    }


class _BlobResponse(StreamingResponse):
    """Part of a blob, which is closed however the response ends.

    A file is handed to a server that can send it without reading it (ASGI, Zero Copy Send).
    """

    def __init__(self, blob: OpenBlob, start: int, stop: int, *, status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(blob.chunks(start, stop), status_code=status_code, headers=headers)
        self._blob = blob
        self._part = range(start, stop, _SENT_AT_ONCE)
        self._file: BinaryIO | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if ZERO_COPY in scope.get("extensions", ()):
            self._file = self._blob.file
        with self._blob, contextlib.suppress(Elsewhere, ConnectionError):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send all of it (Starlette calls this)."""
        if self._file is None:
            return await super().stream_response(send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for offset in self._part:
            count = min(_SENT_AT_ONCE, self._part.stop - offset)
            await send({"type": ZERO_COPY, "file": self._file, "offset": offset, "count": count, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _digest(text: str) -> Digest:
    try:
        return Digest(text)
    except InvalidDigest as error:
        raise Problem(400, "DIGEST_INVALID", str(error), {"digest": text}) from None


def _reference(text: str) -> str:
    """A tag or a digest, as it stands in a path."""
    return _digest(text) if ":" in text else text


def _page(request: Request, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The names after `last`, `n` of them at most, and the header that links to the next ones."""
    asked = request.query_params
    last = asked.get("last", "")
    limit = asked.get("n")
    if limit is not None and not re.fullmatch(r"\d{1,9}", limit, re.ASCII):
        raise Problem(400, "PAGINATION_NUMBER_INVALID", f"n is {limit!r}, not a number", {"n": limit})
    rest = sorted(name for name in names if name > last)
    page = rest if limit is None else rest[: int(limit)]
    if len(page) == len(rest) or not page:
        return page, {}
    query = urllib.parse.urlencode({"n": limit, "last": page[-1]})
    return page, {"link": f'<{request.scope["path"]}?{query}>; rel="next"'}


def _warning(text: str) -> dict[str, str]:
    """The header that tells a client something, if there is anything (distribution-spec §Warnings)."""
    if not text:
        return {}
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[:_WARNING_LIMIT])
    return {"warning": '299 - "{}"'.format(plain.replace("\\", r"\\").replace('"', r"\""))}


def _range(text: str, size: int) -> tuple[int, int] | None:
    """The part of a blob that a Range header asks for (RFC 9110 §14).

    Returns:
        Its first byte and the one after its last; None for the whole, where several parts are asked for or
        another unit than bytes.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1]:
        start, stop = int(found[1]), min(int(found[2] or size) + 1, size)
    else:
        start, stop = max(size - int(found[2]), 0), size
    if start >= stop:
        message = f"the blob has {size} bytes, and none of them in {text}"
        raise Problem(416, "RANGE_INVALID", message, headers={"content-range": f"bytes */{size}"})
    return start, stop


def _created(request: Request, name: str, digest: Digest) -> Response:
    headers = {"location": routes.location(request.scope, f"{name}/blobs/{digest}"), "docker-content-digest": digest}
    return Response(status_code=201, headers=headers)


def _no_manifest(name: str, reference: str) -> Problem:
    return Problem(404, "MANIFEST_UNKNOWN", f"{name} has no manifest {reference}", {"reference": reference})


def _no_blob(name: str, digest: Digest) -> Problem:
    return Problem(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}", {"digest": digest})
