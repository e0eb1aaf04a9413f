"""The images in a Docker archive: what `manifest.json` says, and the OCI layout inside where there is one.

This module knows the formats of `docker save` and the files in the archive, and no store. Everything blocks that reads
from the archive: call it in a thread.

An archive of Docker 25 or later has an OCI layout inside: its manifests are taken as they are, with their digests.
For any other image a manifest is made from config and layers, always the same one for the same archive. Layers stay as
they are stored: every Docker pulls layers without compression, so nothing is compressed on the way.
"""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

import msgspec

from lading.errors import DigestMismatch, InvalidContent, NotFound, UsageError
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import decode, encode_compact, respelled
from lading.model.index import Index, respelled_index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    MANIFESTS,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    LayerCompression,
    LayerType,
    is_foreign_layer,
)
from lading.model.reach import Reach, visit
from lading.model.reference import Reference
from lading.store import AnyManifest
from lading.stores.docker.members import Member, Members, shown

IMAGE_NAME = "io.containerd.image.name"
"""The annotation of an entry of `index.json` that holds its full reference."""

_MANIFEST = "manifest.json"
_INDEX = "index.json"
_LAYOUT = "oci-layout"
_NAMED_BY_DIGEST = re.compile(r"(?:.*/|sha256:)?([0-9a-f]{64})(?:\.[a-z0-9.]+)?", re.DOTALL)
_LISTED = 10
_POSITION = r"@[0-9]{1,9}"


class MemberBlob(NamedTuple):
    """A blob that a member of the archive holds."""

    member: Member
    unpack: bool = False
    """Whether the blob is what the member holds without its compression."""


class SavedImage:
    """One image of an archive, with its names.

    Args:
        root: its manifest or index in the layout; None if it has to be made.
        entry: what `manifest.json` says about it, where that is needed.
    """

    def __init__(self, root: Descriptor | None = None, entry: _ArchiveEntry | None = None) -> None:
        self.root = root
        self.names: dict[str, str] = {}
        """As they are written in the archive, by the full reference that each means."""
        self.entry = entry

    @property
    def key(self) -> object:
        """Equal for two images that are the same."""
        return (self.entry.config, self.entry.layers) if self.entry else self.root


class SavedImages:
    """All images of an archive.

    Args:
        members: the files in the archive.

    Raises:
        InvalidContent: the archive is malformed.
    """

    def __init__(self, members: Members) -> None:
        self.what: str = members.what
        self._members = members
        self._images: list[SavedImage] = []
        self._listed: list[SavedImage] = []
        """The image of each entry of `manifest.json`."""
        self._manifests: dict[Digest, AnyManifest] = {}
        self._blobs: dict[Digest, MemberBlob] = {}
        self._configs: dict[str, tuple[ImageConfig, Descriptor]] = {}
        self._by_name: dict[str, SavedImage] = {}
        self._by_config: dict[Digest, SavedImage] = {}
        self._lock = threading.Lock()
        if not members.has(_MANIFEST):
            raise self._not_docker()
        entries = self._entries()
        if members.has(_INDEX) and members.has(_LAYOUT):
            self._read_layout()
        for entry in entries:
            self._add(entry)

    @property
    def names(self) -> list[str]:
        """All names in the archive, as they are written there, each once."""
        return list(dict.fromkeys(name for image in self._images for name in image.names.values()))

    def all(self) -> list[tuple[Descriptor, list[str]]]:
        """The manifest or index of each image, with its names: whole references, and as it is what means none."""
        return [(self._root(image), [full_name(name) for name in image.names]) for image in self._images]

    def find(self, name: str) -> Descriptor:
        """The manifest that a name means.

        Args:
            name: a reference as Docker reads it, a bare tag, the digest of a manifest, an image ID, or `@N` for
                position N in `manifest.json`; empty for the only image there is.

        Raises:
            NotFound: there is none.
            UsageError: there are several.
        """
        if not name:
            return self._only(self._images, f"{self.what} has several images")
        if re.fullmatch(_POSITION, name):
            return self._root(self._at(int(name[1:])))
        digest = _digest_of(name)
        if digest is not None and digest == name:
            return self._by_digest(digest)
        full = full_name(name)
        found = [image for image in self._images if full in image.names or name in image.names.values()]
        if not found:
            found = [image for image in self._images if any(_tag_of(known) == name for known in image.names)]
        if found:
            return self._only(found, f"{shown(name)} names several images in {self.what}")
        if digest is not None:
            return self._by_digest(digest)
        raise NotFound(f"{shown(name)} is not in {self.what}", cause=self._what_there_is(self._images))

    def locate(self, digest: Digest) -> bytes | MemberBlob | None:
        """The bytes of a manifest, or the place of a blob in the archive; None if it is not there."""
        found = self._known(digest)
        # The digests of blobs that manifest.json names by other paths are found when manifests are made of them.
        for image in self._images if found is None else ():
            self._root(image)
            found = self._known(digest)
            if found is not None:
                break
        return found

    async def read(self, found: bytes | MemberBlob) -> AsyncGenerator[bytes, None]:
        """The bytes of what was located; this does not block."""
        if isinstance(found, bytes):
            yield found
            return
        async for chunk in self._members.chunks(found.member, unpack=found.unpack):
            yield chunk

    def close(self) -> None:
        """Close the archive."""
        self._members.close()

    def referring(self, subject: Digest) -> list[Descriptor]:
        """The manifests of the layout that have this subject, as a list of referrers describes them."""
        return [
            manifest.as_referrer
            for manifest in self._manifests.values()
            if manifest.subject is not None and manifest.subject.digest == subject
        ]

    # Reading what the archive says

    def _entries(self) -> list[_ArchiveEntry]:
        try:
            documents = msgspec.json.decode(self._members.read(_MANIFEST), type=list[dict[str, Any]])
            return [msgspec.convert(respelled(document, _ENTRY_FIELDS), _ArchiveEntry) for document in documents]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._malformed(f"{_MANIFEST}: {shown(str(error))}") from None

    def _read_layout(self) -> None:
        what = f"{_INDEX} in {self.what}"
        document = respelled_index(decode(self._members.read(_INDEX), what))
        index = parse(encode_compact(document), OCI_INDEX, what=what)
        roots: dict[Digest, SavedImage] = {}
        entered: set[Digest] = set()
        for root in index.children:
            # An image of which the archive has not even the manifest was not saved.
            if root.media_type not in MANIFESTS or not self._members.has(blob_path(root.digest)):
                continue
            image = roots.get(root.digest)
            if image is None:
                image = roots[root.digest] = SavedImage(root.content)
                self._walk(root, image, entered)
            name = root.annotations.get(IMAGE_NAME)
            if name is not None:
                self._name(image, name)
        self._images += roots.values()

    def _walk(self, root: Descriptor, image: SavedImage, entered: set[Digest]) -> None:
        """Read the manifests below a root that are in the archive and not `entered` yet; an index may list others."""

        def within(content: Descriptor, _: int) -> Sequence[Descriptor]:
            manifest = self._saved_manifest(content)
            if manifest is None:
                return ()
            reach.count(manifest.size)
            if isinstance(manifest, Index):
                return manifest.manifests
            if manifest.config is not None:
                self._by_config.setdefault(manifest.config.digest, image)
            return ()

        reach = Reach(f"{root.digest} in {self.what}")
        for _ in visit([root], lambda content: content.digest, within, reach, entered):
            pass

    def _saved_manifest(self, content: Descriptor) -> AnyManifest | None:
        """A manifest that is in the archive; None where it is not."""
        path = blob_path(content.digest)
        manifest = self._manifests.get(content.digest)
        if manifest is None and content.media_type in MANIFESTS and self._members.has(path):
            what = f"{path} in {self.what}"
            manifest = parse(self._members.read(path), content.media_type, digest=content.digest, what=what)
            self._manifests[content.digest] = manifest
        return manifest

    def _add(self, entry: _ArchiveEntry) -> None:
        """Add an entry of `manifest.json`: its names go to an image of the layout, or it is an image of its own."""
        names = entry.tags or []
        images = [self._by_name.get(full_name(name)) for name in names]
        image = next((image for image in images if image is not None and image.root), None)
        if image is None and self._by_config:
            image = self._by_config.get(self._config(entry.config)[1].digest)
        if image is None:
            image = SavedImage(entry=entry)
            self._images.append(image)
        self._listed.append(image)
        for name, owner in zip(names, images, strict=True):
            # Where both say what a name means, the layout is the more exact.
            self._name(owner if owner is not None and owner.root else image, name)

    def _name(self, image: SavedImage, name: str) -> None:
        image.names[full_name(name)] = name
        self._by_name.setdefault(full_name(name), image)

    def _config(self, path: str) -> tuple[ImageConfig, Descriptor]:
        known = self._configs.get(path)
        if known is None:
            raw = self._members.read(path)
            # A config is called by its digest in every form there is.
            named = _NAMED_BY_DIGEST.fullmatch(path)
            if named is not None:
                verify(raw, Digest(f"sha256:{named[1]}"), name=f"{shown(path)} in {self.what}")
            config = ImageConfig.parse(raw, f"{shown(path)} in {self.what}")
            known = self._configs[path] = (config, Descriptor.of(raw, DOCKER_CONFIG))
            self._blobs[known[1].digest] = MemberBlob(self._members.find(path))
        return known

    # Making manifests

    def _root(self, image: SavedImage) -> Descriptor:
        with self._lock:
            if image.root is None:
                assert image.entry is not None
                manifest = self._make(image.entry)
                self._manifests[manifest.digest] = manifest
                image.root = manifest.descriptor
            return image.root

    def _make(self, entry: _ArchiveEntry) -> Manifest:
        config, described = self._config(entry.config)
        paths = entry.layers or ()
        if len(paths) != len(config.diff_ids):
            cause = f"{shown(entry.config)} names {len(config.diff_ids)} layers, and {_MANIFEST} has {len(paths)}"
            raise self._malformed(cause)
        layers = [
            self._layer(path, self._diff_id(text), entry.sources or {})
            for path, text in zip(paths, config.diff_ids, strict=True)
        ]
        # Docker's own formats have no media type for zstd.
        oci = any(layer.kind == "zstd" for layer in layers)
        media_type = OCI_MANIFEST if oci else DOCKER_MANIFEST
        described = msgspec.structs.replace(described, media_type=OCI_CONFIG if oci else DOCKER_CONFIG)
        return Manifest.of((layer.described(oci=oci) for layer in layers), described, media_type)

    def _layer(self, path: str, diff_id: Digest, sources: dict[str, Any]) -> _Layer:
        if diff_id in sources:
            source = Descriptor.from_document(sources[diff_id], f"a source of a layer in {self.what}")
            if is_foreign_layer(source.media_type) and source.urls:
                return _Layer(source, "none", foreign=True)
        member = self._members.find(path)
        kind = self._members.compression(member)
        if kind in ("gzip", "zstd"):
            digest = self._members.digest(member)
            self._blobs[digest] = MemberBlob(member)
            return _Layer(Descriptor(digest=digest, size=member.size), kind)
        size, found = member.size, member.digest
        if kind != "none":
            # Manifests know no other compressions.
            found, size = self._members.unpacked(member)
        if found is not None and found != diff_id:
            raise DigestMismatch(
                f"{shown(path)} in {self.what} does not match its digest",
                cause=f"the config names {diff_id}, the bytes have {found}",
            )
        self._blobs[diff_id] = MemberBlob(member, unpack=kind != "none")
        return _Layer(Descriptor(digest=diff_id, size=size), "none")

    def _diff_id(self, text: str) -> Digest:
        try:
            return Digest(text)
        except UsageError as error:
            raise self._malformed(f"a config names the layer {shown(text)}") from error

    # Finding

    def _known(self, digest: Digest) -> bytes | MemberBlob | None:
        manifest = self._manifests.get(digest)
        if manifest is not None:
            return manifest.raw
        if digest not in self._blobs and self._members.has(blob_path(digest)):
            return MemberBlob(self._members.find(blob_path(digest)))
        return self._blobs.get(digest)

    def _at(self, position: int) -> SavedImage:
        if position >= len(self._listed):
            raise NotFound(
                f"nothing is at @{position} in {self.what}", cause=f"{_MANIFEST} lists {len(self._listed)} images"
            )
        return self._listed[position]

    def _by_digest(self, digest: Digest) -> Descriptor:
        if digest not in self._manifests:
            for image in self._images:
                self._root(image)
        if digest in self._manifests:
            return self._manifests[digest].descriptor
        found = [image for image in self._images if digest == self._image_id(image)]
        found += [self._by_config[digest]] if digest in self._by_config else []
        if not found:
            raise NotFound(f"{digest} is not in {self.what}", cause=self._what_there_is(self._images))
        return self._only(found, f"{digest} is the ID of several images in {self.what}")

    def _image_id(self, image: SavedImage) -> Digest | None:
        return self._config(image.entry.config)[1].digest if image.entry else None

    def _only(self, images: list[SavedImage], several: str) -> Descriptor:
        if not images:
            raise NotFound(f"{self.what} has no images")
        # Two entries may be the same image: then it is clear which one is meant.
        if any(image.key != images[0].key for image in images):
            raise UsageError(
                several,
                cause=self._what_there_is(images),
                remedy="say which one by its whole name, or by its position: @0 is the first",
            )
        return self._root(images[0])

    def _what_there_is(self, images: list[SavedImage]) -> str:
        names = [shown(name) for image in images for name in image.names.values()]
        unnamed = [image for image in images if not image.names]
        names += [str(image.root.digest if image.root else self._image_id(image)) for image in unnamed[:_LISTED]]
        count = len(names) + len(unnamed[_LISTED:])
        more = f" and {count - _LISTED} more" if count > _LISTED else ""
        return f"it has {', '.join(names[:_LISTED])}{more}" if names else "it has no images"

    def _not_docker(self) -> InvalidContent:
        if self._members.has(_INDEX) and self._members.has(_LAYOUT):
            return InvalidContent(
                f"{self.what} is not a Docker archive",
                cause=f"it is an OCI layout without {_MANIFEST}",
                remedy="read it as oci-archive:FILE",
            )
        if self._members.has("repositories"):
            return InvalidContent(
                f"{self.what} is too old",
                cause=f"it has no {_MANIFEST}, as before Docker 1.10",
                remedy="docker load it, and docker save it again",
            )
        return InvalidContent(f"{self.what} is not a Docker archive", cause=f"it has no {_MANIFEST}")

    def _malformed(self, cause: str) -> InvalidContent:
        return InvalidContent(f"{self.what} is malformed", cause=cause)


class _ArchiveEntry(msgspec.Struct):
    """An element of `manifest.json`."""

    config: str = msgspec.field(name="Config")
    tags: list[str] | None = msgspec.field(name="RepoTags", default=None)
    layers: list[str] | None = msgspec.field(name="Layers", default=None)
    sources: dict[str, Any] | None = msgspec.field(name="LayerSources", default=None)


_ENTRY_FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(_ArchiveEntry))


class _Layer(NamedTuple):
    content: Descriptor
    kind: LayerCompression
    foreign: bool = False

    def described(self, *, oci: bool) -> Descriptor:
        if self.foreign:
            return self.content
        kind = LayerType("oci" if oci else "docker", self.kind)
        return msgspec.structs.replace(self.content, media_type=str(kind))


def blob_path(digest: Digest) -> str:
    """Where an OCI layout has a blob (image-spec image-layout §Blobs)."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def full_name(name: str) -> str:
    """The reference that a name means to Docker, in full; what is no reference stays as it is."""
    found = _parsed(name)
    return str(found) if found is not None else name


def _parsed(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except UsageError:
        return None


def _digest_of(name: str) -> Digest | None:
    """The digest that a name is, or ends with."""
    try:
        return Digest(name.rpartition("@")[2])
    except UsageError:
        return None


def _tag_of(name: str) -> str | None:
    found = _parsed(name)
    return found.tag if found is not None else None
