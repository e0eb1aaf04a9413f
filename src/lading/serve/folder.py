"""A storage in a folder: every repository is an OCI image layout directory, which other tools read and write.

This module knows the image layout (image-spec image-layout) and nothing of HTTP. The repository `a/b` is the
layout `FOLDER/a/b`; tags are `org.opencontainers.image.ref.name` annotations, and manifests without a tag are
listed in `index.json` too. A layout that another tool has written can be served, and is changed with care:
fields that are not known stay. One process at a time may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import msgspec

from lading.errors import InvalidContent, InvalidDigest, UsageError
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT, Document
from lading.model.manifest import parse
from lading.model.media_types import INDEXES, OCI_INDEX, OCI_MANIFEST
from lading.model.reference import is_tag
from lading.serve.storage import CHUNK, Blob, Repository, StoredManifest, Upload, call, is_repository

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds a tag (image-spec annotations)."""

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_UPLOADS = ".uploads"  # no component of a repository's name begins with a dot
_RESERVED = frozenset({"blobs", "index.json", "oci-layout"})  # components that are files of the layout above
_ESCAPE = "_"  # no component begins with it
_LOCKS = 64  # repositories that share one wait for each other
_ABSENT = (FileNotFoundError, NotADirectoryError)


class Folder:
    """A storage in a folder, which is made if it does not exist.

    Args:
        path: the folder. Repositories are folders in it: `FOLDER/library/alpine/index.json`. A component of a
            repository's name that would be a file of the layout above it (`blobs`, `index.json`,
            `oci-layout`) has an underscore before it. What is not whole yet is in `FOLDER/.uploads`.

        read_only: whether it must exist, and nothing in it is changed.

    Raises:
        UsageError: there can be no such folder, there is none, or it cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.locks = [threading.Lock() for _ in range(_LOCKS)]
        self.states: dict[Path, tuple[_Stamp, _State]] = {}
        self.uploads: set[Path] = set()
        try:
            if read_only:
                os.scandir(self.path).close()
            else:
                (self.path / _UPLOADS).mkdir(parents=True, exist_ok=True)
                probe = self.temporary()
                probe.touch()
                probe.unlink()
        except OSError as error:
            raise UsageError(f"cannot keep a registry in {self.path}", cause=error.strerror) from None

    async def repositories(self) -> Collection[str]:
        """The names of the repositories that exist, in any order."""
        return await asyncio.to_thread(self._walk)

    def repository(self, name: str) -> Repository:
        """The repository with this valid name, whether it exists or not."""
        return _FolderRepository(self.place(name), self)

    async def size(self) -> int:
        """How many bytes it holds, with those of uploads that are not complete."""
        return await asyncio.to_thread(self._measure)

    async def sweep(self, before: float) -> None:
        """Remove what others left of uploads that got nothing since `before` (seconds since the epoch)."""
        await asyncio.to_thread(self._sweep, before)

    def temporary(self) -> Path:
        """A path for a file that is to be moved into place when it is whole."""
        return self.path / _UPLOADS / uuid.uuid4().hex

    def place(self, name: str) -> Path:
        """Where a repository's layout is."""
        parts = (_ESCAPE + part if part in _RESERVED else part for part in name.split("/"))
        return self.path.joinpath(*parts)

    def _measure(self) -> int:
        sizes: dict[tuple[int, int], int] = {}
        for folder, _, files in os.walk(self.path):
            for name in files:
                with contextlib.suppress(*_ABSENT):
                    status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - there are many
                    sizes[status.st_dev, status.st_ino] = status.st_size
        return sum(sizes.values())

    def _sweep(self, before: float) -> None:
        for file in (self.path / _UPLOADS).iterdir():
            with contextlib.suppress(*_ABSENT):
                if file not in self.uploads and file.stat().st_mtime < before:
                    file.unlink()

    def _walk(self) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if name not in _RESERVED and not name.startswith(".")]
            if "index.json" in files and folder != str(self.path):
                parts = Path(folder).relative_to(self.path).parts
                found.append("/".join(part.removeprefix(_ESCAPE) for part in parts))
        return [name for name in found if is_repository(name)]


_Stamp = tuple[int, int, int]


class _State(NamedTuple):
    """What an `index.json` says; never changed in place."""

    document: Document
    media_types: dict[Digest, str]
    tags: dict[str, Digest]


class _FolderRepository:
    def __init__(self, path: Path, folder: Folder) -> None:
        self.path = path
        self.folder = folder
        self._index = path / "index.json"
        self._changing = folder.locks[hash(path) % _LOCKS]

    def file(self, digest: Digest) -> Path:
        return self.path / "blobs" / digest.algorithm / digest.hex

    def make(self, algorithm: str) -> None:
        """Make the layout, if it is not there, with the folder for blobs of one algorithm."""
        (self.path / "blobs" / algorithm).mkdir(parents=True, exist_ok=True)
        if self._index.exists():
            return
        with self._changing:
            if not self._index.exists():
                self._replace(self.path / "oci-layout", _LAYOUT)
                self._write_index({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})

    async def exists(self) -> bool:
        return self._index.exists()

    async def tags(self) -> Mapping[str, Digest]:
        return self._state().tags

    async def manifests(self) -> Collection[Digest]:
        return self._state().media_types.keys()

    async def manifest(self, name: str) -> StoredManifest | None:
        state = self._state()
        digest = Digest(name) if ":" in name else state.tags.get(name)
        if digest is None:
            return None
        media_type = state.media_types.get(digest) or await asyncio.to_thread(self._inner_type, digest, state)
        raw = self._read(digest) if media_type else None
        return None if media_type is None or raw is None else StoredManifest(raw, media_type, digest)

    async def put_manifest(self, manifest: StoredManifest, tags: Sequence[str] = ()) -> None:
        await asyncio.to_thread(self._put_manifest, manifest, tags)

    async def delete_manifest(self, digest: Digest) -> bool:
        return await asyncio.to_thread(self._delete_manifest, digest)

    async def untag(self, tag: str) -> bool:
        return await asyncio.to_thread(self._untag, tag)

    async def blob(self, digest: Digest) -> Blob | None:
        try:
            return _FolderBlob(self.file(digest).open("rb"))
        except _ABSENT:
            return None

    async def mount(self, digest: Digest, source: str) -> bool:
        return await asyncio.to_thread(self._mount, digest, self.folder.place(source))

    async def delete_blob(self, digest: Digest) -> bool:
        return _unlink(self.file(digest))

    async def upload(self) -> Upload:
        return _FolderUpload(self)

    def _state(self) -> _State:
        """What `index.json` says now, whoever wrote it."""
        try:
            stamp = _stamp(self._index)
            known = self.folder.states.get(self.path)
            if known is None or known[0] != stamp:
                known = self.folder.states[self.path] = (stamp, _read_index(self._index))
        except _ABSENT:
            return _State({}, {}, {})
        return known[1]

    def _read(self, digest: Digest) -> bytes | None:
        try:
            return self.file(digest).read_bytes()
        except _ABSENT:
            return None

    def _inner_type(self, digest: Digest, state: _State) -> str | None:
        """The media type of a manifest that only an index here lists, as in layouts of other tools."""
        file = self.file(digest)
        if not file.exists() or file.stat().st_size > SIZE_LIMIT:
            return None
        seen: set[Digest] = set()
        waiting = [item for item, media_type in state.media_types.items() if media_type in INDEXES]
        while waiting:
            parent = waiting.pop()
            raw = self._read(parent)
            if parent in seen or raw is None:
                continue
            seen.add(parent)
            try:
                children = parse(raw, digest=parent).children
            except InvalidContent:
                continue
            for child in children:
                if child.digest == digest:
                    return child.media_type
                if child.media_type in INDEXES:
                    waiting.append(child.digest)
        return None

    def _put_manifest(self, manifest: StoredManifest, tags: Sequence[str]) -> None:
        self.make(manifest.digest.algorithm)
        with self._changing:
            self._replace(self.file(manifest.digest), manifest.raw)
            state = self._state()
            moved = [tag for tag in tags if state.tags.get(tag) != manifest.digest]
            if moved or state.media_types.get(manifest.digest) != manifest.media_type:
                self._write_entries(_with_manifest(self._entries(), manifest, moved))

    def _delete_manifest(self, digest: Digest) -> bool:
        with self._changing:
            state = self._state()
            if digest not in state.media_types and self._inner_type(digest, state) is None:
                return False
            entries = self._entries()
            kept = [entry for entry in entries if entry["digest"] != digest]
            if len(kept) != len(entries):
                self._write_entries(kept)
            _unlink(self.file(digest))
            return True

    def _untag(self, tag: str) -> bool:
        with self._changing:
            entries = self._entries()
            found = _untag(entries, tag)
            if found:
                self._write_entries(entries)
            return found

    def _mount(self, digest: Digest, source: Path) -> bool:
        file = source / "blobs" / digest.algorithm / digest.hex
        if not file.is_file():
            return False
        self.make(digest.algorithm)
        target = self.file(digest)
        try:
            target.hardlink_to(file)
        except FileExistsError:
            pass
        except OSError:  # another file system, or one without links
            temporary = self.folder.temporary()
            with file.open("rb") as content, temporary.open("xb") as copy:
                shutil.copyfileobj(content, copy, CHUNK)
            temporary.replace(target)
        return True

    def _entries(self) -> list[Document]:
        """Copies of the entries of `index.json`, to be changed."""
        return [dict(entry) for entry in self._state().document.get("manifests") or ()]

    def _write_entries(self, entries: list[Document]) -> None:
        self._write_index(self._state().document | {"manifests": entries})

    def _write_index(self, document: Document) -> None:
        self._replace(self._index, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
        self.folder.states[self.path] = (_stamp(self._index), _state_of(document))

    def _replace(self, path: Path, data: bytes) -> None:
        temporary = self.folder.temporary()
        with temporary.open("xb") as file:
            file.write(data)
            _sync(file)
        temporary.replace(path)


class _FolderBlob:
    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        self._file.seek(start)
        async for chunk in _read_chunks(self._file, stop - start):
            yield chunk


class _FolderUpload:
    def __init__(self, repository: _FolderRepository) -> None:
        self.size = 0
        self._repository = repository
        self._path = repository.folder.temporary()
        self._path.touch(exist_ok=False)
        repository.folder.uploads.add(self._path)

    async def append(self, data: bytes) -> None:
        await call(len(data), self._write, data)
        self.size += len(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            async for chunk in _read_chunks(file, self.size):
                yield chunk

    async def commit(self, digest: Digest) -> None:
        await asyncio.to_thread(self._commit, digest)

    async def discard(self) -> None:
        _unlink(self._path)
        self._repository.folder.uploads.discard(self._path)

    def _write(self, data: bytes) -> None:
        with self._path.open("r+b") as file:  # not kept open: many may be waiting for their next chunk
            file.seek(self.size)
            file.write(data)

    def _commit(self, digest: Digest) -> None:
        self._repository.make(digest.algorithm)
        with self._path.open("r+b") as file:  # which must be there
            _sync(file)
        self._path.replace(self._repository.file(digest))


async def _read_chunks(file: BinaryIO, length: int) -> AsyncIterator[bytes]:
    while length:
        size = min(length, CHUNK)
        chunk = await call(size, file.read, size)
        if not chunk:
            return
        length -= len(chunk)
        yield chunk


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except _ABSENT:
        return False
    return True


def _read_index(path: Path) -> _State:
    try:
        return _state_of(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
    except (msgspec.DecodeError, InvalidDigest, AttributeError, KeyError, TypeError) as error:
        raise InvalidContent(f"{path} is not the index of an image layout", cause=str(error)) from None


def _state_of(document: Document) -> _State:
    entries: Iterable[Document] = document.get("manifests") or ()
    media_types = {Digest(entry["digest"]): entry.get("mediaType") or OCI_MANIFEST for entry in entries}
    names = {_ref_name(entry): Digest(entry["digest"]) for entry in entries}
    tags = {name: digest for name, digest in names.items() if name and is_tag(name)}
    return _State(document, media_types, tags)


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _ref_name(entry: Document) -> str | None:
    name = (entry.get("annotations") or {}).get(REF_NAME)
    return name if isinstance(name, str) else None


def _with_manifest(entries: list[Document], manifest: StoredManifest, tags: Sequence[str]) -> list[Document]:
    """List a manifest with these tags beside those it has, and take them from the manifests that had them."""
    for tag in tags:
        _untag(entries, tag)
    same = [entry for entry in entries if entry["digest"] == manifest.digest]
    for entry in same:
        entry["mediaType"] = manifest.media_type
    plain = {"mediaType": manifest.media_type, "digest": manifest.digest, "size": len(manifest.raw)}
    free = [entry for entry in same if _ref_name(entry) is None]
    if not same and not tags:
        entries.append(plain)
    for tag in tags:
        if free:
            entry = free.pop()
        else:
            entry = dict(plain)
            entries.append(entry)
        entry["annotations"] = (entry.get("annotations") or {}) | {REF_NAME: tag}
    return entries


def _untag(entries: list[Document], tag: str) -> bool:
    """Take a tag away: its entry goes if its manifest has another one, and otherwise only the annotation."""
    tagged = [entry for entry in entries if _ref_name(entry) == tag]
    for entry in tagged:
        if sum(other["digest"] == entry["digest"] for other in entries) > 1:
            entries[:] = [other for other in entries if other is not entry]
            continue
        annotations = {key: value for key, value in entry["annotations"].items() if key != REF_NAME}
        if annotations:
            entry["annotations"] = annotations
        else:
            del entry["annotations"]
    return bool(tagged)
