"""Putting a Docker archive together: blobs come in any order, and the bytes of the archive do not depend on it.

This module knows the format, and not where the archive goes. It has the form of Docker 25 and later, an OCI layout
with a `manifest.json`: a Docker with containerd's image store takes the layout, and the manifests keep their digests;
one without takes `manifest.json`, and podman either.

Every Docker reads layers that are plain or gzip; 20.10 does not read zstd. So a layer that is compressed in another
way is in the archive twice: as it is for the layout, and plain for `manifest.json`.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator, Collection, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple, cast

from lading.errors import DigestMismatch, InvalidContent, NotFound, Unsupported, UsageError
from lading.io import scratch
from lading.io.behind import Behind
from lading.io.sources import closing
from lading.io.tar_writer import TarWriter, plain_file
from lading.io.tarball import CHUNK, Compression, decompressed, reading, sniff
from lading.io.threads import in_thread
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, Verifier
from lading.model.encoding import SIZE_LIMIT, encode_compact
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import OCI_INDEX, is_foreign_layer
from lading.model.reference import Reference, is_tag
from lading.store import AnyManifest, Reader, Source, is_manifest
from lading.stores.docker.images import IMAGE_NAME, blob_path, full_name
from lading.stores.docker.members import hashed

_REF_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_BLOCK = 512
_LAYERS = (".tar", "+gzip", ".gzip", "+zstd", ".zstd")
_AS_THEY_ARE: tuple[Compression, ...] = ("none", "gzip")


class NewImages:
    """The images of an archive that is being made, kept in one temporary file until `pack`.

    Args:
        what: what the archive is called in an error.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.images: dict[Digest, _Image] = {}
        with scratch.keeping(what):
            self._file = scratch.file()
        self._end = 0
        self._blobs: dict[Digest, _Region] = {}

    def named(self, name: str) -> Digest | None:
        """The image with a reference, or a digest; an empty name is the only image there is."""
        full = full_name(name)
        found = [
            digest
            for digest, image in self.images.items()
            if name in ("", digest) or any(full == str(known) or name == known.tag for known in image.names)
        ]
        return found[0] if len(found) == 1 else None

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def has(self, digest: Digest) -> bool:
        """Whether a manifest or blob was written."""
        return digest in self.images or digest in self._blobs

    async def write(self, content: Descriptor, source: Source) -> None:
        """Write a blob or a manifest: whole and verified, or not at all.

        Raises:
            DigestMismatch: the source is not what the descriptor says.
            UsageError: it is an index.
            Unsupported: it is no image, or has layers that the archive cannot hold.
            NotFound: a manifest came before what it refers to.
        """
        if is_manifest(content):
            raw = await Reader(content, source()).read(SIZE_LIMIT)
            await self.put(parse(raw, content.media_type, digest=content.digest, what=str(content.digest)))
            return
        # Each write has a region of the file of its own, also two of the same blob at once.
        region = _Region(self._end, content.size)
        self._end += content.size
        verifier = Verifier(content.digest, content.size, is_hashed=source.digest != content.digest)

        def add(chunk: bytes) -> None:
            position = region.offset + verifier.seen
            verifier.update(chunk)
            with scratch.keeping(self.what):
                self._store(chunk, position)

        async with closing(source()) as chunks, Behind(add) as added:
            async for chunk in chunks:
                await added.give(chunk)
        verifier.finish()
        self._blobs[content.digest] = region

    async def put(self, manifest: AnyManifest) -> None:
        """Write the manifest of an image, after everything that it refers to.

        Raises:
            As `write`.
        """
        image = accepted(manifest, self.what)
        if image.digest not in self.images:
            examined = await in_thread(self._examined, image)
            # Another task may have put it meanwhile, and given it names.
            self.images.setdefault(image.digest, examined)

    def name(self, digest: Digest, name: Reference) -> None:
        """Give an image that is here a name, which it takes from any other.

        Raises:
            NotFound: the image is not here.
        """
        if digest not in self.images:
            raise NotFound(f"{digest} is not in {self.what}")
        for image in self.images.values():
            image.names.discard(name)
        self.images[digest].names.add(name)

    def keep_name(self, digest: Digest, name: str) -> None:
        """Leave an image a name that it had, and that is no reference."""
        self.images[digest].other_names.add(name)

    async def read(self, digest: Digest) -> AsyncGenerator[bytes, None]:
        """The bytes of a manifest or blob that was written."""
        if digest in self.images:
            yield self.images[digest].manifest.raw
            return
        region = self._blobs[digest]
        for start in range(0, region.size, CHUNK):
            yield await in_thread(self._piece, region, start, CHUNK)

    def pack(self, file: BinaryIO, only: Collection[Digest] | None = None) -> None:
        """Write the archive: the same images and names give the same bytes. It blocks: call it in a thread.

        Args:
            file: open for writing; it need not seek.
            only: the manifests of the images to write; None for all.
        """
        images = sorted(
            (image for digest, image in self.images.items() if only is None or digest in only),
            key=lambda image: (sorted(map(str, image.names)), image.manifest.digest),
        )
        tar = TarWriter(file)
        tar.add_bytes("oci-layout", encode_compact(_LAYOUT))
        tar.add_bytes("index.json", encode_compact(_index(images)))
        tar.add_bytes("manifest.json", _entries(images))
        files: dict[str, tuple[Digest, int | None]] = {}
        for image in images:
            files[blob_path(image.manifest.digest)] = (image.manifest.digest, None)
            for child in image.manifest.children:
                files[blob_path(child.digest)] = (child.digest, None)
            for layer in image.unpacked.values():
                files.setdefault(blob_path(layer.digest), (layer.of, layer.size))
        for path, (digest, unpacked) in sorted(files.items()):
            if digest in self.images:
                tar.add_bytes(path, self.images[digest].manifest.raw)
            elif unpacked is None:
                tar.add(plain_file(path, self._blobs[digest].size), self._pieces(digest))
            else:
                with decompressed(self._stream(digest)) as (plain, _):
                    tar.add(plain_file(path, unpacked), iter(partial(plain.read, CHUNK), b""))
        tar.close()

    def _store(self, chunk: bytes, position: int) -> None:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._file.fileno(), view, position)
            view, position = view[written:], position + written

    def _examined(self, manifest: Manifest) -> _Image:
        """An image with the layers that `manifest.json` needs without their compression.

        Raises:
            As `write`.
        """
        for child in manifest.children:
            if child.digest not in self._blobs:
                if is_foreign_layer(child.media_type):
                    raise _no_image(manifest, self.what, f"its layer {child.digest} is not in the registry")
                raise NotFound(f"{child.digest} is not in {self.what}", cause=f"{manifest.digest} needs it")
        assert manifest.config is not None
        what = f"the config of {manifest.digest}"
        if manifest.config.size > SIZE_LIMIT:
            raise InvalidContent(f"{what} is too large", cause=f"{SIZE_LIMIT} bytes are allowed")
        raw = b"".join(self._pieces(manifest.config.digest))
        diff_ids = ImageConfig.parse(raw, what).diff_ids
        if len(diff_ids) != len(manifest.layers):
            cause = f"its config names {len(diff_ids)} layers, and it has {len(manifest.layers)}"
            raise InvalidContent(f"{manifest.digest} is malformed", cause=cause)
        image = _Image(manifest, set(), set(), {})
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
            if self._compression(layer.digest) not in _AS_THEY_ARE:
                image.unpacked[layer.digest] = self._unpacked(layer.digest, diff_id)
        return image

    def _compression(self, digest: Digest) -> Compression:
        head = self._piece(self._blobs[digest], 0, _BLOCK)
        return "none" if head[257:262] == b"ustar" else sniff(head)

    def _unpacked(self, digest: Digest, diff_id: str) -> _Plain:
        with reading(f"the layer {digest}"), decompressed(self._stream(digest)) as (plain, _):
            found, size = hashed(iter(partial(plain.read, CHUNK), b""))
        if found != diff_id:
            raise DigestMismatch(
                f"the layer {digest} does not match its config", cause=f"expected {diff_id}, the bytes have {found}"
            )
        return _Plain(found, size, digest)

    def _pieces(self, digest: Digest) -> Iterator[bytes]:
        region = self._blobs[digest]
        return (self._piece(region, start, CHUNK) for start in range(0, region.size, CHUNK))

    def _piece(self, region: _Region, start: int, size: int) -> bytes:
        size = min(size, region.size - start)
        data = os.pread(self._file.fileno(), size, region.offset + start)
        if len(data) != size:
            raise InvalidContent(f"{self.what} cannot be written", cause="a temporary file has become shorter")
        return data

    def _stream(self, digest: Digest) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Joined(self._pieces(digest)), CHUNK))


class _Region(NamedTuple):
    """A place in the temporary file, in bytes."""

    offset: int
    size: int


class _Plain(NamedTuple):
    """A layer without its compression."""

    digest: Digest
    size: int
    """In bytes."""
    of: Digest
    """The layer as it was written."""


class _Image(NamedTuple):
    manifest: Manifest
    names: set[Reference]
    other_names: set[str]
    """What it was called before, and is no reference."""
    unpacked: dict[Digest, _Plain]
    """The layers that Docker reads only without their compression."""


class _Joined(io.RawIOBase):
    """Chunks as a file that is read forward."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._left or next(self._chunks, b"")
        size = min(len(buffer), len(chunk))
        buffer[:size] = chunk[:size]
        self._left = chunk[size:]
        return size


def accepted(manifest: AnyManifest, what: str) -> Manifest:
    """A manifest, if it is one of an image that a Docker archive can hold.

    Args:
        manifest: the manifest.
        what: what the archive is called in an error.

    Raises:
        UsageError: it is an index.
        Unsupported: it is no image, or has layers of another kind.
    """
    if isinstance(manifest, Index):
        raise UsageError(
            f"{what} cannot hold an index",
            cause="it holds images of a single platform",
            remedy="copy the image for one platform, or write an oci-archive",
            code="index-in-docker-archive",
        )
    if not manifest.is_image or manifest.config is None:
        raise _no_image(manifest, what, "it is an artifact")
    for layer in manifest.layers:
        if not layer.media_type.endswith(_LAYERS):
            raise _no_image(manifest, what, f"it has a layer of the type {layer.media_type}")
    return manifest


def _no_image(manifest: Manifest, what: str, cause: str) -> Unsupported:
    return Unsupported(f"{what} cannot hold {manifest.digest}", cause=cause, remedy="write an oci-archive instead")


def reference(name: str, repository: str | None) -> Reference:
    """The reference that a name means where an image gets it.

    Args:
        name: a reference as Docker reads it, or a bare tag if there is a repository.
        repository: what bare tags are in, such as `ghcr.io/acme/web`.

    Raises:
        InvalidReference: it is no name.
        UsageError: it names a digest, and no tag.
    """
    if repository is not None and is_tag(name):
        return Reference.parse_repository(repository).with_tag(name)
    found = Reference.parse(name)
    if found.tag is None:
        raise UsageError(f"{name} has no tag, and an image can only get a name with a tag")
    return found.with_tag(found.tag)


def _index(images: list[_Image]) -> dict[str, Any]:
    manifests = []
    for image in images:
        plain = image.manifest.descriptor.to_document()
        names = sorted(image.names)
        manifests += [
            plain | {"annotations": {IMAGE_NAME: str(name), _REF_NAME: name.tag}} for name in names if name.tag
        ] or [plain]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}


def _entries(images: list[_Image]) -> bytes:
    entries = []
    for image in images:
        assert image.manifest.config is not None
        digests = (layer.digest for layer in image.manifest.layers)
        plain = (image.unpacked[digest].digest if digest in image.unpacked else digest for digest in digests)
        # Names are whole: podman would take a short one for one of its own.
        entries.append(
            encode_compact(
                {
                    "Config": blob_path(image.manifest.config.digest),
                    "RepoTags": sorted({*map(str, image.names), *image.other_names}) or None,
                    "Layers": [blob_path(digest) for digest in plain],
                }
            )
        )
    return b"[" + b",".join(entries) + b"]"
