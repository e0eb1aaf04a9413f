"""The images of a container engine, through the `docker` or `podman` command, as a Store.

This module knows which commands do what, and nothing of the engine's API: so contexts, DOCKER_HOST and remote hosts
work as they do for the user's own commands.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from types import TracebackType
from typing import BinaryIO, Self

from lading.errors import InvalidContent, LadingError, NotFound, Unsupported, UsageError
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT
from lading.model.manifest import parse
from lading.store import AnyManifest, Reader, Source, Traits, is_manifest
from lading.stores.docker.images import SavedImages
from lading.stores.docker.members import Members
from lading.stores.docker.packing import NewImages, accepted, reference
from lading.stores.docker.program import Program, summary
from lading.stores.location import Location

_LOADED = re.compile(r"^Loaded image(?: ID|\(s\))?: *(\S+?),?$", re.MULTILINE)
_NOT_UNPACKED = re.compile(r"^Error unpacking image.*$", re.MULTILINE)


def open_to_read(location: Location, _: object = None) -> DockerDaemon:
    """The engine of a location; bare tags are in the repository that it names."""
    return DockerDaemon(repository=location.reference.name if location.reference else None)


open_to_write = open_to_read


class DockerDaemon:
    """The images of the engine that the `docker` or `podman` command talks to. Use it as an async context manager.

    Reading: `resolve` has the command save the image, once, and keeps it in a temporary file until the context ends;
    names are what the command takes (`nginx:1.27`, an image ID, `nginx@sha256:…`). The manifests are made or found as
    in a `DockerArchive`.

    Writing: blobs are kept in a temporary file, and the command loads the image when its manifest is written, at once
    with its name where `put` gives it one. What was loaded stays loaded.

    Args:
        program: the command; by default what the environment variable LADING_DOCKER says, else `docker`, else `podman`.
        repository: what a bare tag is in, when an image gets one as its name, such as `ghcr.io/acme/web`.
    """

    traits: Traits = Traits(takes_indexes=False, is_partial=True, is_named_by_references=True, resolves_cheaply=False)

    def __init__(self, program: str | None = None, *, repository: str | None = None) -> None:
        self.repository = repository
        self._wanted = program
        self._program: Program | None = None
        self._new: NewImages | None = None
        self._saved: dict[str, SavedImages] = {}
        self._saving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ids: dict[Digest, str] = {}

    @property
    def name(self) -> str:
        """`docker-daemon`."""
        return "docker-daemon"

    async def __aenter__(self) -> Self:
        """Find the command. The engine is not asked for anything yet.

        Raises:
            UsageError: there is no such command.
        """
        self._program = Program(self._wanted)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the temporary files."""
        for saved in self._saved.values():
            saved.close()
        if self._new is not None:
            self._new.close()

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest of an image, which the engine saves for it if it has not done so in this context.

        Raises:
            NotFound: the engine has no such image.
            Unreachable: the engine does not answer.
            Denied: the engine may not be used.
            UsageError: the name is empty.
        """
        if not name:
            raise UsageError("a container engine has many images", remedy="say which one: docker-daemon:NAME[:TAG]")
        for saved in self._saved.values() if name.startswith("sha256:") else ():
            with suppress(NotFound):
                return await in_thread(saved.find, name)
        try:
            image = await self._find(name)
        except NotFound:
            tagged, _, digest = name.partition("@")
            if not digest or ":" not in tagged.rpartition("/")[2]:
                raise
            # The engine knows the digests of images that it pulled; for other images a manifest is made, which has one.
            content = await self.resolve(tagged)
            if content.digest != digest:
                raise
            return content
        async with self._saving[image]:
            if image not in self._saved:
                self._saved[image] = await self._save(image, name)
        content = await in_thread(self._saved[image].find, "")
        self._ids[content.digest] = image
        return content

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob of an image that was resolved or written in this context, verified.

        Raises:
            NotFound: no such image has it.
        """
        chunks = None
        if self._new is not None and self._new.has(content.digest):
            chunks = self._new.read(content.digest)
        for saved in list(self._saved.values()) if chunks is None else ():
            found = await in_thread(saved.locate, content.digest)
            if found is not None:
                chunks = saved.read(found)
                break
        if chunks is None:
            raise NotFound(f"{content.digest} is in no image that was asked of the container engine")
        async with aclosing(chunks):
            yield Reader(content, chunks)

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is known from this context: the engine is not asked.

        Engines do not say which blobs they have.
        """
        if content.digest in self._ids:
            return True
        if self._new is not None and not is_manifest(content) and self._new.has(content.digest):
            return True
        return any([await in_thread(saved.locate, content.digest) is not None for saved in list(self._saved.values())])

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a blob, which is kept for its image, or the manifest of an image, which is loaded then.

        Raises:
            DigestMismatch: the source is not what the descriptor says; nothing was written.
            UsageError: it is an index, and an engine takes images of a single platform.
            Unsupported: it is no image.
            Unreachable: the engine does not answer.
        """
        if not is_manifest(content):
            await self._archive.write(content, source)
            return
        raw = await Reader(content, source()).read(SIZE_LIMIT)
        await self.put(parse(raw, content.media_type, digest=content.digest, what=str(content.digest)))

    async def put(self, manifest: AnyManifest, name: str | None = None) -> None:
        """Load an image, with a name or without; one that was loaded in this context only gets the name.

        Raises:
            As `write` and `tag`.
        """
        full = None if name is None else reference(name, self.repository)
        if manifest.digest not in self._ids:
            await self._archive.put(manifest)
            if full is not None:
                self._archive.name(manifest.digest, full)
            self._ids[manifest.digest] = await self._load(manifest.digest)
        elif full is not None:
            await self._command.run("tag", self._ids[manifest.digest], str(full))

    def check_manifest(self, manifest: AnyManifest) -> None:
        """Refuse what is no image of a single platform.

        Raises:
            UsageError: it is an index.
            Unsupported: it is no image, or has layers of another kind.
        """
        accepted(manifest, self.name)

    async def tag(self, content: Descriptor, name: str) -> None:
        """Give an image that was written or resolved in this context a name, with the command's `tag`.

        Raises:
            NotFound: it is no such image.
            UsageError: it is no name.
        """
        full = reference(name, self.repository)
        image = self._ids.get(content.digest)
        if image is None:
            raise NotFound(f"{content.digest} is no image that was loaded or asked of the container engine")
        await self._command.run("tag", image, str(full))

    async def tags(self) -> AsyncIterator[str]:
        """The names of all images of the engine, as it writes them.

        Raises:
            Unreachable: the engine does not answer.
        """
        for line in (await self._command.run("images", "--format", "{{.Repository}}:{{.Tag}}")).splitlines():
            if line and "<none>" not in line:
                yield line

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests that were saved with an image of this context and refer to this one."""
        for saved in list(self._saved.values()):
            for referrer in saved.referring(subject.digest):
                if artifact_type in (None, referrer.artifact_type):
                    yield referrer

    async def delete(self, content: Descriptor) -> None:
        """Images of an engine are not deleted here.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(
            "lading deletes nothing from a container engine", remedy=f"{self._command.name} image rm NAME"
        )

    async def untag(self, name: str) -> None:
        """Names are not taken from an engine's images here: the last one would take the image with it.

        Raises:
            Unsupported: always.
        """
        await self.delete(Descriptor(digest=Digest.of(b""), size=0))

    @property
    def _command(self) -> Program:
        if self._program is None:
            raise RuntimeError("use the engine as an async context manager")
        return self._program

    @property
    def _archive(self) -> NewImages:
        if self._new is None:
            self._new = NewImages(self.name)
        return self._new

    async def _find(self, name: str) -> str:
        """The id of an image; a short name is one of Docker Hub's, or else one that podman has made itself."""
        ask = ("image", "inspect", "--format", "{{.Id}}", "--")
        short = name.removeprefix("docker.io/library/")
        if short != name:
            with suppress(NotFound):
                return (await self._command.run(*ask, name)).strip()
        return (await self._command.run(*ask, short)).strip()

    async def _save(self, image: str, name: str) -> SavedImages:
        def work(stream: BinaryIO) -> SavedImages:
            members = Members.from_stream(stream, what)
            try:
                return SavedImages(members)
            except BaseException:
                members.close()
                raise

        what = f"what {self._command.name} saved of {name}"
        return await self._command.read(("save", image), work)

    async def _load(self, digest: Digest) -> str:
        """Have an image loaded; returns what the command calls it."""
        said = await self._command.feed(("load", "--quiet"), lambda file: self._archive.pack(file, only=(digest,)))
        # Docker with containerd's image store says so, and succeeds.
        failed = _NOT_UNPACKED.search(said)
        if failed is not None:
            raise InvalidContent(f"{self._command.name} could not unpack {digest}", cause=summary(failed[0]))
        loaded = _LOADED.search(said)
        if loaded is None:
            raise LadingError(f"{self._command.name} did not load {digest}", cause=summary(said) or None)
        return loaded[1]
