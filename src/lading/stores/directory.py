"""The directory of one image that skopeo and podman call `dir:` (containers-transports(5)), as a Store.

    DIR/version             what the form is
    DIR/manifest.json       the image or index
    DIR/HEX.manifest.json   a manifest that it lists, or that refers to it
    DIR/HEX                 a config or a layer

There are no names. This module knows the files, and nothing of what is in them. What is written goes to a directory
beside, which takes the place of the other one at the end, whole.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from lading.errors import Conflict, InvalidContent, LadingError, NotFound, Unsupported, UsageError, way_on
from lading.io import scratch
from lading.io.behind import Behind
from lading.io.files import open_inside, status_inside, sync_folder, write_file
from lading.io.locks import OnWait, writing
from lading.io.sources import CHUNK, closing
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier, verify
from lading.model.encoding import SIZE_LIMIT
from lading.model.manifest import parse
from lading.store import AnyManifest, Reader, Source, Traits, is_manifest
from lading.stores.location import Location

_VERSION = b"Directory Transport Version: 1.1\n"
_ROOT = "manifest.json"
_ABSENT = (FileNotFoundError, NotADirectoryError)


@asynccontextmanager
async def open_to_read(location: Location) -> AsyncIterator[Directory]:
    """The directory of a location; see `lading.stores.opening`."""
    if not Path(location.path).is_dir():
        raise NotFound(f"the directory {location.path} does not exist", remedy="check its path")
    yield Directory(Path(location.path), str(Location(kind="dir", path=location.path)))


@asynccontextmanager
async def open_to_write(location: Location, on_wait: OnWait | None = None) -> AsyncIterator[NewDirectory]:
    """A new directory in the place of a location; see `lading.stores.opening`.

    Raises:
        UsageError: there can be none.
        Conflict: there is something else.
    """
    target = Path(location.path).resolve()
    name = str(Location(kind="dir", path=location.path))
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is not a directory", remedy="name a directory that is new or empty")
    if not target.parent.is_dir():
        raise UsageError(f"{name} cannot be written", cause=f"there is no directory {target.parent}")
    try:
        async with writing(target, on_wait):
            if target.is_dir() and any(target.iterdir()) and not (target / "version").is_file():
                raise Conflict(
                    f"{target} is not a directory of one image",
                    cause="it has other files",
                    remedy="name a directory that is new or empty",
                )
            with scratch.beside(target) as folder:
                new = folder / "new"
                new.mkdir()
                store = NewDirectory(new, name)
                yield store
                if store.root is not None:
                    await in_thread(_put_in_place, store.root, new, target, folder / "old")
    except OSError as error:
        raise LadingError(f"{name} cannot be written", cause=error.strerror, remedy=way_on(error)) from error


class Directory:
    """A directory of one image, to be read.

    Args:
        path: the directory.
        name: what it is called in messages.
    """

    traits: Traits = Traits()

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.root: Digest | None = None

    async def resolve(self, name: str) -> Descriptor:
        """Find a manifest by its digest; an empty name is the one that the directory is for."""
        return (await self.fetch(name)).descriptor

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """The manifest with this digest; with an empty name, the one that the directory is for."""
        return await in_thread(self._fetch, name, limit)

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob, verified."""
        file = await in_thread(self._open, content.digest)
        with file:
            yield Reader(content, _chunks(file))

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is there, with its size."""
        try:
            file = await in_thread(self._open, content.digest)
        except NotFound:
            return False
        with file:
            return os.fstat(file.fileno()).st_size == content.size

    async def tags(self) -> AsyncIterator[str]:
        """None: nothing has a name there."""
        for name in tuple[str]():
            yield name

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests in the directory that refer to this one."""
        for file in sorted(self.path.glob("*.manifest.json")):
            manifest = parse(await in_thread(self._read, file.name, SIZE_LIMIT), what=str(file))
            if manifest.subject is not None and manifest.subject.digest == subject.digest:
                referrer = manifest.as_referrer
                if artifact_type in (None, referrer.artifact_type):
                    yield referrer

    def _fetch(self, name: str, limit: int) -> AnyManifest:
        what = f"{self.name}@{name}" if name else self.name
        if not name:
            return parse(self._read(_ROOT, limit), what=what)
        digest = Digest(name)
        with self._open(digest) as file:
            raw = file.read(limit + 1)
        return parse(raw, digest=digest, what=what, limit=limit)

    def _open(self, digest: Digest) -> BinaryIO:
        for name in (f"{digest.hex}.manifest.json", digest.hex):
            try:
                return os.fdopen(open_inside(self.path, name), "rb")
            except _ABSENT:
                continue
        try:
            if Digest.of(self._read(_ROOT, SIZE_LIMIT), digest.algorithm) == digest:
                return os.fdopen(open_inside(self.path, _ROOT), "rb")
        except InvalidContent:
            pass
        raise NotFound(f"{self.name}@{digest} does not exist")

    def _read(self, name: str, limit: int) -> bytes:
        try:
            size = status_inside(self.path, name).st_size
            if size > limit:
                raise InvalidContent(f"{self.path / name} is too large", cause=f"{size} bytes, {limit} are allowed")
            with os.fdopen(open_inside(self.path, name), "rb") as file:
                return file.read(limit + 1)
        except _ABSENT:
            raise InvalidContent(
                f"{self.path} is not a directory of one image",
                cause=f"it has no {name}",
                remedy=f"if it is an image layout: {Location(kind='oci', path=str(self.path))}",
            ) from None


class NewDirectory(Directory):
    """A directory of one image that is written. What is put last is what it is for."""

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob: it is there whole, or not at all."""
        if is_manifest(content):
            raw = await Reader(content, source()).read(SIZE_LIMIT)
            await self.put(parse(raw, content.media_type, digest=content.digest, what=str(content.digest)))
            return
        part = self.path / f"{content.digest.hex}.part"
        verifier = Verifier(content.digest, content.size, is_hashed=source.digest != content.digest)
        with part.open("wb") as file:

            def add(chunk: bytes) -> None:
                verifier.update(chunk)
                file.write(chunk)

            async with closing(source()) as chunks, Behind(add) as added:
                async for chunk in chunks:
                    await added.give(chunk)
            verifier.finish()
            await in_thread(_settle, file)
        part.replace(self.path / content.digest.hex)

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Write a manifest; there are no names."""
        if name is not None:
            raise _no_names(self.name)
        verify(manifest.raw, manifest.digest)
        await in_thread(write_file, self.path / f"{manifest.digest.hex}.manifest.json", manifest.raw)
        self.root: Digest | None = manifest.digest

    async def tag(self, content: Descriptor, name: str) -> None:
        """There are no names."""
        raise _no_names(self.name)

    async def delete(self, content: Descriptor) -> None:
        """Nothing is deleted there."""
        raise Unsupported(f"nothing can be deleted from {self.name}", remedy="write another one without it")


def _no_names(name: str) -> UsageError:
    return UsageError(f"nothing has a name in {name}", remedy="write it without one, or to an image layout")


def _put_in_place(root: Digest, new: Path, target: Path, old: Path) -> None:
    (new / f"{root.hex}.manifest.json").replace(new / _ROOT)
    write_file(new / "version", _VERSION)
    sync_folder(new)
    if target.is_dir():
        target.rename(old)
    new.rename(target)
    sync_folder(target.parent)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await in_thread(file.read, CHUNK):
        yield chunk
