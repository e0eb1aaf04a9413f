"""The distribution protocol, served from a storage: an ASGI application.

This module knows HTTP and the protocol (distribution-spec), and of the storage what `storage.Storage` says.
It verifies everything it is sent before the storage gets it. Errors of clients are `Problem`s here; they leave
as the specification's JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import re
import time
import urllib.parse
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from lading.errors import DigestMismatch, InvalidContent, InvalidDigest
from lading.model.descriptor import Descriptor
from lading.model.digest import ALGORITHMS, Digest, verify
from lading.model.encoding import SIZE_LIMIT, Document, decode
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import MANIFESTS, OCI_INDEX, SCHEMA1, is_foreign_layer
from lading.model.reference import is_tag
from lading.serve.storage import CHUNK, Blob, Repository, Storage, StoredManifest, Upload, call, is_repository

log = logging.getLogger("lading.serve")

_DRAIN_LIMIT = 2 * SIZE_LIMIT  # how much of a refused body is read, so that the client reads the answer
_IDLE = 60 * 60  # seconds after which an upload that nobody goes on with is discarded
_SUBJECTS = 100_000  # how many manifests' subjects are remembered
_HEADERS = {"docker-distribution-api-version": "registry/2.0"}

# The last parts of a path say what it is about, so that a repository may be called `a/blobs/manifests`.
_ROUTES = (
    ("base", re.compile(r"")),
    ("catalog", re.compile(r"_catalog")),
    ("tags", re.compile(r"(?P<name>.+)/tags/list")),
    ("uploads", re.compile(r"(?P<name>.+)/blobs/uploads/?")),
    ("upload", re.compile(r"(?P<name>.+)/blobs/uploads/(?P<upload>[^/]+)")),
    ("blob", re.compile(r"(?P<name>.+)/blobs/(?P<digest>[^/]+)")),
    ("manifest", re.compile(r"(?P<name>.+)/manifests/(?P<reference>[^/]+)")),
    ("referrers", re.compile(r"(?P<name>.+)/referrers/(?P<digest>[^/]+)")),
)
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/(?:\d{1,19}|\*))?")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*", re.ASCII)  # RFC 6838 §4.2
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Problem(Exception):
    """A request that is answered with an error (distribution-spec §Error Codes)."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *details: Document,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer: one error, or one for each detail."""
        error: Document = {"code": self.code, "message": str(self)}
        errors = [error | {"detail": detail} for detail in self.details] or [error]
        return _json({"errors": errors}, status=self.status, headers=self.headers)


class Registry:
    """The ASGI application that serves a storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._uploads: dict[str, _Session] = {}
        self._subjects: dict[Digest, str | None] = {}

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
        if scope["method"] == "HEAD":
            response.body = b""
        response.headers.update(_HEADERS)
        log.info("%s %s %s", scope["method"], scope["path"], response.status_code)
        await response(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Discard the uploads that are not complete when the server stops (ASGI lifespan)."""
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        for session in self._uploads.values():
            await session.upload.discard()
        self._uploads.clear()
        await send({"type": f"{message['type']}.complete"})

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._dispatch(request)
        except Problem as problem:
            response = problem.response()
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.scope["path"])
            response = Problem(500, "UNKNOWN", "the registry failed; its log says why").response()
        await _drain(request)
        return response

    async def _dispatch(self, request: Request) -> Response:
        path = request.scope["path"]
        inner = "" if path == "/v2" else path.removeprefix("/v2/")
        if inner == path:
            raise Problem(404, "UNSUPPORTED", "there is nothing here; the registry is below /v2/")
        route, values = _route(inner)
        if (name := values.pop("name", None)) is not None:
            if not is_repository(name):
                raise Problem(400, "NAME_INVALID", f"{name!r} cannot be the name of a repository")
            values["name"] = name
        if "digest" in values:
            values["digest"] = _digest(values["digest"])
        methods = self._handlers[route]
        handler = methods.get(request.method)
        if handler is None:
            allow = {"allow": ", ".join(methods)}
            raise Problem(405, "UNSUPPORTED", f"{request.method} is not for this path", headers=allow)
        return await handler(self, request, **values)

    # ---------------------------------------------------------------- listing

    async def _base(self, request: Request) -> Response:
        return _json({})

    async def _catalog(self, request: Request) -> Response:
        names, headers = _page(request, await self._storage.repositories())
        return _json({"repositories": names}, headers=headers)

    async def _tags(self, request: Request, name: str) -> Response:
        repository = self._storage.repository(name)
        if not await repository.exists():
            raise Problem(404, "NAME_UNKNOWN", f"there is no repository {name}", {"name": name})
        tags, headers = _page(request, await repository.tags())
        return _json({"name": name, "tags": tags}, headers=headers)

    async def _referrers(self, request: Request, name: str, digest: Digest) -> Response:
        repository = self._storage.repository(name)
        wanted = request.query_params.get("artifactType")
        entries = []
        for candidate in sorted(await repository.manifests()):
            if await self._subject(repository, candidate) != digest:
                continue
            manifest = await repository.manifest(candidate)
            if manifest is None:
                continue
            entry = _referrer(manifest, _document(manifest.raw))
            if not wanted or entry.get("artifactType") == wanted:
                entries.append(entry)
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        headers = {"oci-filters-applied": "artifactType"} if wanted else {}
        return _json(document, headers=headers, media_type=OCI_INDEX)

    async def _subject(self, repository: Repository, digest: Digest) -> str | None:
        """The digest of a manifest's subject. It never changes, so it is remembered."""
        if digest not in self._subjects:
            manifest = await repository.manifest(digest)
            if manifest is None:
                return None
            if len(self._subjects) >= _SUBJECTS:
                self._subjects.clear()
            self._subjects[digest] = _subject_of(_document(manifest.raw))
        return self._subjects[digest]

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
        return Response(manifest.raw, headers=headers)

    async def _put_manifest(self, request: Request, name: str, reference: str) -> Response:
        key = _reference(reference)
        by_digest = isinstance(key, Digest)
        tags = list(dict.fromkeys(request.query_params.getlist("tag"))) if by_digest else [key]
        for tag in tags:
            if not is_tag(tag):
                raise Problem(400, "TAG_INVALID", f"{tag!r} cannot be a tag", {"tag": tag})
        raw = await _small_body(request)
        digest = Digest(key) if by_digest else Digest.of(raw)
        repository = self._storage.repository(name)
        said = request.headers.get("content-type", "").partition(";")[0].strip()
        media_type, subject = await _accept(repository, raw, said, digest)
        await repository.put_manifest(StoredManifest(raw, media_type, digest), tags)
        headers = {"location": f"/v2/{name}/manifests/{digest}", "docker-content-digest": digest}
        if subject:
            headers["oci-subject"] = subject
        if by_digest and tags:
            headers["oci-tag"] = ", ".join(tags)
        return Response(status_code=201, headers=headers)

    async def _delete_manifest(self, request: Request, name: str, reference: str) -> Response:
        key = _reference(reference)
        repository = self._storage.repository(name)
        done = repository.delete_manifest(key) if isinstance(key, Digest) else repository.untag(key)
        if not await done:
            raise _no_manifest(name, reference)
        return Response(status_code=202)

    # ---------------------------------------------------------------- blobs

    async def _get_blob(self, request: Request, name: str, digest: Digest) -> Response:
        blob = await self._storage.repository(name).blob(digest)
        if blob is None:
            raise _no_blob(name, digest)
        headers = {
            "accept-ranges": "bytes",
            "content-type": "application/octet-stream",
            "docker-content-digest": digest,
        }
        with contextlib.ExitStack() as opened:
            opened.enter_context(blob)
            if request.method == "HEAD":
                return Response(headers=headers | {"content-length": str(blob.size)})
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
        return Response(status_code=202)

    # ---------------------------------------------------------------- uploads

    async def _start_upload(self, request: Request, name: str) -> Response:
        asked = request.query_params
        repository = self._storage.repository(name)
        if "mount" in asked:
            digest = _digest(asked["mount"])
            if await self._mount(repository, digest, asked.get("from")):
                return _created(name, digest)
        expected = _digest(asked["digest"]) if "digest" in asked else None
        algorithm = expected.algorithm if expected else asked.get("digest-algorithm", "sha256")
        if algorithm not in ALGORITHMS:
            raise Problem(400, "DIGEST_INVALID", f"the digest algorithm {algorithm!r} is not supported")
        await self._discard_abandoned()
        session = _Session(name, await repository.upload(), algorithm)
        if expected is None:
            self._uploads[session.id] = session
            return session.response(202)
        try:
            await session.receive(request)
            await session.commit(expected)
        finally:
            await session.upload.discard()
        return _created(name, expected)

    async def _mount(self, repository: Repository, digest: Digest, source: str | None) -> bool:
        """Take a blob from another repository: the one named, or any that has it."""
        sources = await self._storage.repositories() if source is None else [source]
        for candidate in sources:
            if is_repository(candidate) and await repository.mount(digest, candidate):
                return True
        return False

    async def _upload_status(self, request: Request, name: str, upload: str) -> Response:
        return self._session(name, upload).response(204)

    async def _append(self, request: Request, name: str, upload: str) -> Response:
        session = self._session(name, upload)
        async with session.lock:
            self._session(name, upload)
            await self._receive(session, request)
            return session.response(202)

    async def _finish_upload(self, request: Request, name: str, upload: str) -> Response:
        session = self._session(name, upload)
        digest = _digest(request.query_params.get("digest", ""))
        async with session.lock:
            self._session(name, upload)
            if session.upload.size == 0:
                session.start(digest.algorithm)
            await self._receive(session, request)
            del self._uploads[session.id]
            try:
                await session.commit(digest)
            finally:
                await session.upload.discard()
        return _created(name, digest)

    async def _cancel_upload(self, request: Request, name: str, upload: str) -> Response:
        session = self._session(name, upload)
        async with session.lock:
            self._session(name, upload)
            del self._uploads[session.id]
            await session.upload.discard()
        return Response(status_code=204)

    def _session(self, name: str, upload: str) -> _Session:
        session = self._uploads.get(upload)
        if session is None or session.name != name:
            raise Problem(404, "BLOB_UPLOAD_UNKNOWN", f"there is no upload {upload} to {name}")
        return session

    async def _receive(self, session: _Session, request: Request) -> None:
        """Append a chunk; if it turns out to be another than it said, the upload is lost."""
        try:
            await session.receive(request)
        except Problem as problem:
            if problem.code == "SIZE_INVALID":
                del self._uploads[session.id]
                await session.upload.discard()
            raise

    async def _discard_abandoned(self) -> None:
        too_old = time.monotonic() - _IDLE
        for session in list(self._uploads.values()):
            if session.used < too_old and not session.lock.locked():
                del self._uploads[session.id]
                await session.upload.discard()

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


class _Session:
    """An upload between its first request and its last (distribution-spec §Pushing blobs)."""

    def __init__(self, name: str, upload: Upload, algorithm: str) -> None:
        self.id = uuid.uuid4().hex
        self.name = name
        self.upload = upload
        self.lock = asyncio.Lock()
        self.used = time.monotonic()
        self.start(algorithm)

    def start(self, algorithm: str) -> None:
        """Choose what is hashed while the content comes in."""
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)

    async def receive(self, request: Request) -> None:
        """Append a request's body, which must be where and as long as its headers say."""
        begin = self.upload.size
        length = self._announced(request)
        async for data in _gather(request):
            if length is not None and self.upload.size + len(data) > begin + length:
                raise Problem(400, "SIZE_INVALID", f"more than the {length} bytes of the Content-Range came")
            await call(len(data), self._hash.update, data)
            await self.upload.append(data)
            self.used = time.monotonic()
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

    def response(self, status: int) -> Response:
        """Where the upload is, and how far it has come."""
        return Response(status_code=status, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {
            "location": f"/v2/{self.name}/blobs/uploads/{self.id}",
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
            raise Problem(416, "BLOB_UPLOAD_INVALID", message, headers=self._headers())
        return length


class _BlobResponse(StreamingResponse):
    """Part of a blob, which is closed however the response ends."""

    def __init__(self, blob: Blob, start: int, stop: int, *, status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(blob.chunks(start, stop), status_code=status_code, headers=headers)
        self._blob = blob

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._blob:
            await super().__call__(scope, receive, send)


async def _accept(repository: Repository, raw: bytes, said: str, digest: Digest) -> tuple[str, str | None]:
    """Check a manifest, and that what it points to is there (distribution-spec §Pushing Manifests).

    A kind of manifest that is not known is taken as it is, if it is a JSON object.

    Returns:
        Its media type, and the digest of its subject if it has one.
    """
    try:
        verify(raw, digest, name="the manifest")
        document = decode(raw, "the manifest")
        kind = document.get("mediaType") or said
        if said and kind != said:
            cause = f"it was sent as {said}, and says it is {kind}"
            raise InvalidContent("the manifest is ambiguous", cause=cause)
        if kind and not (isinstance(kind, str) and _MEDIA_TYPE.fullmatch(kind)):
            raise InvalidContent("the manifest is malformed", cause=f"{kind!r} is not a media type")
        if kind and kind not in MANIFESTS | SCHEMA1:
            return kind, _subject_of(document)
        manifest = parse(raw, said, digest=digest)
    except DigestMismatch as error:
        raise Problem(400, "DIGEST_INVALID", str(error), {"digest": digest}) from None
    except InvalidContent as error:
        raise Problem(400, "MANIFEST_INVALID", str(error)) from None
    missing = [child.digest for child in manifest.children if not await _is_there(repository, manifest, child)]
    if missing:
        message = "the manifest refers to content that is not in the repository"
        raise Problem(404, "MANIFEST_BLOB_UNKNOWN", message, *({"digest": item} for item in missing))
    return manifest.media_type, manifest.subject.digest if manifest.subject else None


async def _is_there(repository: Repository, parent: Manifest | Index, child: Descriptor) -> bool:
    if isinstance(parent, Index):
        found = await repository.manifest(child.digest) is not None
        return found or (child.media_type not in MANIFESTS and await _has_blob(repository, child.digest))
    return is_foreign_layer(child.media_type) or await _has_blob(repository, child.digest)


async def _has_blob(repository: Repository, digest: Digest) -> bool:
    blob = await repository.blob(digest)
    if blob is None:
        return False
    with blob:
        return True


def _subject_of(document: Document) -> str | None:
    """The digest of the subject of a manifest of any kind, if it has one that is well formed."""
    try:
        return Digest(document["subject"]["digest"])
    except (KeyError, TypeError, InvalidDigest):
        return None


def _referrer(manifest: StoredManifest, document: Document) -> Document:
    """The descriptor of a manifest that has a subject (distribution-spec §Listing Referrers)."""
    entry: Document = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.raw),
    }
    if annotations := document.get("annotations"):
        entry["annotations"] = annotations
    config = document.get("config")
    config_type = config.get("mediaType") if isinstance(config, dict) else None
    if artifact_type := document.get("artifactType") or config_type:
        entry["artifactType"] = artifact_type
    return entry


def _document(raw: bytes) -> Document:
    """A stored manifest, decoded; empty if another tool stored what is none."""
    try:
        return decode(raw)
    except InvalidContent:
        return {}


async def _gather(request: Request) -> AsyncIterator[bytes]:
    """Yield a request's body in pieces of about CHUNK bytes; what came before a disconnect is yielded too."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size >= CHUNK:
                yield b"".join(parts)
                parts, size = [], 0
    except ClientDisconnect:
        yield b"".join(parts)
        raise
    if parts:
        yield b"".join(parts)


async def _small_body(request: Request) -> bytes:
    """Read the body of a request that pushes a manifest."""
    body = bytearray()
    length = request.headers.get("content-length", "0")
    if int(length) <= SIZE_LIMIT:
        async for part in request.stream():
            body += part
            if len(body) > SIZE_LIMIT:
                break
        else:
            return bytes(body)
    raise Problem(413, "SIZE_INVALID", f"a manifest may have {SIZE_LIMIT} bytes at most")


async def _drain(request: Request) -> None:
    """Read the rest of a body that was refused, so that a client that only then reads gets the answer."""
    if "expect" in request.headers:
        return
    rest = _DRAIN_LIMIT
    with contextlib.suppress(ClientDisconnect, RuntimeError):  # RuntimeError: it had been read to its end
        async for part in request.stream():
            rest -= len(part)
            if rest < 0:
                return


def _route(path: str) -> tuple[str, dict[str, Any]]:
    """Which handlers a path below /v2/ is for, and the values in it."""
    for route, pattern in _ROUTES:
        if found := pattern.fullmatch(path):
            return route, found.groupdict()
    raise Problem(404, "UNSUPPORTED", "the protocol has no such path")


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


def _created(name: str, digest: Digest) -> Response:
    headers = {"location": f"/v2/{name}/blobs/{digest}", "docker-content-digest": digest}
    return Response(status_code=201, headers=headers)


def _no_manifest(name: str, reference: str) -> Problem:
    return Problem(404, "MANIFEST_UNKNOWN", f"{name} has no manifest {reference}", {"reference": reference})


def _no_blob(name: str, digest: Digest) -> Problem:
    return Problem(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}", {"digest": digest})


def _json(
    document: Document,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    content = text.encode("utf-8", "backslashreplace")
    return Response(content, status_code=status, headers={**(headers or {}), "content-type": media_type})
