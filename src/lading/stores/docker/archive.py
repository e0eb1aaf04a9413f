"""Docker archives, as `docker save` writes and `docker load` reads them, as a Store.

This module knows where an archive comes from and where it goes; what is in one is known to `_docker_images` and
`_docker_archives`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from lading.errors import LadingError, NotFound, Unsupported, UsageError, way_on
from lading.io.locks import OnWait, writing
from lading.io.scratch import beside
from lading.io.tarball import Compression, compressed, compression_for
from lading.io.threads import in_thread, reader, writer
from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.reference import Reference
from lading.store import AnyManifest, Reader, Source, Traits, fetch_manifest, from_store
from lading.stores.docker.images import SavedImages, full_name
from lading.stores.docker.members import Members
from lading.stores.docker.packing import NewImages, accepted, reference
from lading.stores.location import Location

TRAITS = Traits(takes_indexes=False, is_partial=True, is_named_by_references=True)


def open_to_read(location: Location) -> DockerArchive:
    """The archive of a location; see `lading.stores.opening`."""
    return DockerArchive(location.path)


def open_to_write(location: Location, on_wait: OnWait | None = None) -> NewDockerArchive:
    """The archive of a location, which is made where there is none; bare tags are in the repository that it names."""
    repository = location.reference.name if location.reference else None
    return NewDockerArchive(location.path, repository=repository, on_wait=on_wait)


class DockerArchive:
    """A Docker archive that is read. Use it as an async context manager.

    It understands what any Docker, podman, skopeo and crane write, compressed in any way; a file is read where it is,
    standard input in one pass. `resolve` takes a name as it is in the archive, the reference that it means, a bare
    tag, the digest of a manifest, an image ID and a position (`@N`); an empty name is the only image there is.

    Manifests: an archive with an OCI layout inside (Docker 25 and later) has them, and an index may list manifests that
    were not saved. For other archives a manifest is made from config and layers, always
    the same one: a Docker manifest, or an OCI manifest if a layer is zstd. Layers are as in the archive, usually not
    compressed (`application/vnd.docker.image.rootfs.diff.tar`), which every Docker and podman pulls; only bzip2 and
    xz, for which there is no media type, are taken off.

    Args:
        path: of the file, or `-` for standard input.
    """

    traits = TRAITS

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path | None = None if path == "-" else Path(path)
        self._images: SavedImages | None = None

    @property
    def name(self) -> str:
        """`docker-archive:PATH`."""
        return str(Location(kind="docker-archive", path=str(self.path or "-")))

    async def __aenter__(self) -> Self:
        """Look at the archive.

        Raises:
            NotFound: there is no such file.
            InvalidContent: it is not a Docker archive, or damaged.
            UsageError: it cannot be read, whatever is in it.
        """
        self._images = await in_thread(self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._images is not None:
            self._images.close()

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest that a name means; empty is the only image there is.

        Raises:
            NotFound: there is none; the cause says what there is.
            UsageError: there are several.
            InvalidContent: the archive is malformed.
        """
        return await in_thread(self._saved.find, name)

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob, verified.

        Raises:
            NotFound: it is not in the archive.
        """
        found = await in_thread(self._saved.locate, content.digest)
        if found is None:
            raise NotFound(f"{content.digest} is not in {self.name}")
        async with aclosing(self._saved.read(found)) as chunks:
            yield Reader(content, chunks)

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is in the archive."""
        return await in_thread(self._saved.locate, content.digest) is not None

    async def tags(self) -> AsyncIterator[str]:
        """All names of images (`RepoTags`) as they are written in the archive: references, or bare tags."""
        for name in self._saved.names:
            yield name

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests in the archive's OCI layout that refer to this one; none where it has no layout."""
        for referrer in self._saved.referring(subject.digest):
            if artifact_type in (None, referrer.artifact_type):
                yield referrer

    def images(self) -> list[tuple[Descriptor, list[str]]]:
        """The manifest or index of each image, with its names, in full where they are references; this blocks."""
        return self._saved.all()

    @property
    def _saved(self) -> SavedImages:
        if self._images is None:
            raise RuntimeError("use the archive as an async context manager")
        return self._images

    def _look(self) -> SavedImages:
        try:
            members = self._members()
        except FileNotFoundError:
            raise NotFound(f"the file {self.path} does not exist", remedy="check its path") from None
        except OSError as error:
            kind = UsageError if isinstance(error, IsADirectoryError) else LadingError
            raise kind(f"{self.name} cannot be read", cause=error.strerror, remedy=way_on(error)) from None
        try:
            return SavedImages(members)
        except BaseException:
            members.close()
            raise

    def _members(self) -> Members:
        if self.path is not None:
            return Members.from_path(self.path, self.name)
        if sys.stdin.isatty():
            raise UsageError("standard input is a terminal", remedy="give it an archive: docker save IMAGE | lading …")
        return Members.from_stream(reader(sys.stdin.fileno()), self.name)


class NewDockerArchive:
    """A Docker archive that is written to. Use it as an async context manager.

    Everything is put in place when the context ends without an exception, under its name in one step; otherwise no
    trace is left. The images that were in it stay, unless what is written takes all their names; of images without a
    name there is one. Who writes to it at the same time waits, and finds what was written.

    Equal images and names give equal bytes. Names are references; the suffix of the file (`.tar.gz`, `.tar.zst`) tells
    the compression of the whole.

    Args:
        path: of the file, which is made where there is none; or `-` for standard output.
        repository: what a bare tag is in, when an image gets one as its name, such as `ghcr.io/acme/web`.
        on_wait: is told when another process has been writing to it for some seconds.
    """

    traits = TRAITS

    def __init__(
        self, path: str | os.PathLike[str], *, repository: str | None = None, on_wait: OnWait | None = None
    ) -> None:
        self.path: Path | None = None if path == "-" else Path(path)
        self.repository = repository
        self._images: NewImages | None = None
        self._before: DockerArchive | None = None
        self._on_wait = on_wait
        self._stack = AsyncExitStack()

    @property
    def name(self) -> str:
        """`docker-archive:PATH`."""
        return str(Location(kind="docker-archive", path=str(self.path or "-")))

    async def __aenter__(self) -> Self:
        """Begin the archive, or look at what is in it.

        Raises:
            UsageError: it cannot be written, whatever is in it.
            InvalidContent: there is a file that is no Docker archive, or damaged.
            Conflict: another process has been writing to it for ten minutes.
        """
        self._check_place()
        async with AsyncExitStack() as stack:
            if self.path is not None and (self.path.is_file() or not self.path.exists()):
                path = self.path.resolve()
                try:
                    await stack.enter_async_context(writing(path, self._on_wait))
                except OSError as error:
                    raise LadingError(
                        f"{self.name} cannot be written", cause=error.strerror, remedy=way_on(error)
                    ) from None
                if path.exists() and path.stat().st_size:
                    self._before = await stack.enter_async_context(DockerArchive(path))
            self._images = NewImages(self.name)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the archive in place, unless something went wrong or it has no images."""
        try:
            if self._new.images and kind is None:
                if self._before is not None:
                    await self._keep(self._before)
                await in_thread(self._put_in_place)
        finally:
            self._new.close()
            await self._stack.aclose()

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest of an image by its name; empty is the only image that was written.

        Raises:
            NotFound: there is none, or several.
        """
        digest = self._new.named(name)
        if digest is None and name and self._before is not None:
            return await self._before.resolve(name)
        if digest is None:
            raise NotFound(f"{name} is not in {self.name}")
        return self._new.images[digest].manifest.descriptor

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob that was written, verified.

        Raises:
            NotFound: it was not.
        """
        if not self._new.has(content.digest):
            raise NotFound(f"{content.digest} is not in {self.name}")
        async with aclosing(self._new.read(content.digest)) as chunks:
            yield Reader(content, chunks)

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob was written."""
        return self._new.has(content.digest)

    async def tags(self) -> AsyncIterator[str]:
        """All names that were given or stay, in order."""
        names = {str(name) for image in self._new.images.values() for name in image.names}
        if self._before is not None:
            names |= {full_name(name) async for name in self._before.tags()}
        for name in sorted(names):
            yield name

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """None: manifests with a subject are no images, and not written here."""
        for referrer in tuple[Descriptor]():
            yield referrer

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a manifest or blob.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
            UsageError: it is an index, and an archive holds images of a single platform.
            Unsupported: it is no image.
        """
        await self._new.write(content, source)

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Write the manifest of an image, with a name or without.

        Raises:
            As `write` and `tag`.
        """
        full = None if name is None else reference(name, self.repository)
        await self._new.put(manifest)
        if full is not None:
            self._new.name(manifest.digest, full)

    def check_manifest(self, manifest: AnyManifest) -> None:
        """Refuse what is no image of a single platform.

        Raises:
            UsageError: it is an index.
            Unsupported: it is no image, or has layers of another kind.
        """
        accepted(manifest, self.name)

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give an image that was written a name (`RepoTags`), which it takes from any other.

        Args:
            content: the manifest.
            name: a reference as Docker reads it, or a bare tag if the archive has a `repository`.

        Raises:
            NotFound: the image was not written.
            UsageError: it is no name.
        """
        self._new.name(content.digest, reference(name, self.repository))

    async def delete(self, content: Descriptor) -> None:
        """Archives do not delete.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"nothing can be deleted from {self.name}", remedy="write another archive without it")

    @property
    def _new(self) -> NewImages:
        if self._images is None:
            raise RuntimeError("use the archive as an async context manager")
        return self._images

    def _check_place(self) -> None:
        """Find out before anything is transferred what would go wrong after it."""
        if self.path is None:
            if sys.stdout.isatty():
                raise UsageError("standard output is a terminal", remedy="redirect it to a file, or name one")
        elif self.path.is_dir():
            raise UsageError(f"{self.path} is a directory", remedy="name the file that the archive is to be")
        elif not self.path.absolute().parent.is_dir():
            raise UsageError(f"{self.path} cannot be written", cause=f"there is no directory {self.path.parent}")

    async def _keep(self, before: DockerArchive) -> None:
        """Take along the images that were in the archive, but for those of which all names are given to others.

        Raises:
            Unsupported: one of them is an index of which several images are there.
        """
        new = self._new.images.values()
        taken = {str(name) for image in new for name in image.names}
        is_nameless = any(not image.names for image in new)
        for content, names in await in_thread(before.images):
            left = [name for name in names if name not in taken]
            if left or not (names or is_nameless):
                await self._take(before, content, left)

    async def _take(self, before: DockerArchive, content: Descriptor, names: Iterable[str]) -> None:
        manifest = await fetch_manifest(before, content)
        if isinstance(manifest, Index):
            there = [entry for entry in manifest.images if await before.contains(entry)]
            if len(there) != 1:
                raise Unsupported(
                    f"nothing can be added to {self.name}",
                    cause=f"it has the index {manifest.digest}, with {len(there)} of its images",
                    remedy="write another archive, or an oci-archive",
                )
            manifest = await fetch_manifest(before, there[0])
        for child in manifest.children:
            # Where a foreign layer is kept elsewhere, `put` refuses the image.
            if not self._new.has(child.digest) and await before.contains(child):
                await self._new.write(child.content, from_store(before, child))
        await self._new.put(manifest)
        for name in names:
            try:
                self._new.name(manifest.digest, Reference.parse(name))
            except UsageError:
                self._new.keep_name(manifest.digest, name)

    def _put_in_place(self) -> None:
        try:
            if self.path is None:
                self._pack(writer(sys.stdout.fileno()), "none")
            elif self.path.exists() and not self.path.is_file():
                with self.path.open("wb", buffering=0) as pipe:
                    self._pack(writer(pipe.fileno()), "none")
            else:
                self._replace(self.path.resolve())
        except OSError as error:
            raise LadingError(f"{self.name} cannot be written", cause=error.strerror, remedy=way_on(error)) from None

    def _replace(self, path: Path) -> None:
        with beside(path) as folder:
            temporary = folder / "archive"
            with temporary.open("xb") as file:
                self._pack(file, compression_for(path.name))
                os.fsync(file.fileno())
            temporary.replace(path)

    def _pack(self, file: BinaryIO, compression: Compression) -> None:
        with compressed(file, compression) as packed:
            self._new.pack(packed)
        file.flush()
