"""An image while it is edited: its manifest, its config and its layers as they are to be.

What is not changed keeps its bytes, and what is changed keeps every field that lading does not know. New content is
put into an overlay; this module knows neither where images are nor what an edit is for.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Hashable, Mapping
from typing import Any

import msgspec

from lading.errors import InvalidContent, Unsupported
from lading.images.edits.field_order import CONFIG, CONTAINER, DESCRIPTOR, MANIFEST, set_field
from lading.io.tasks import Limits, Once
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, encode_like
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import Family, is_docker
from lading.model.platform import Platform
from lading.model.text import counted
from lading.store import from_bytes, read_config
from lading.stores.overlay import Overlay


class EditedLayer(msgspec.Struct, kw_only=True):
    """A layer of an image that is edited."""

    descriptor: Document
    """As it is in the manifest, with every field."""
    diff_id: str
    original: str = ""
    """Its diff ID before all edits; nothing for a layer that was added."""

    @property
    def content(self) -> Descriptor:
        """The descriptor, read."""
        return Descriptor.from_document(self.descriptor, "the layer")

    def replace(self, content: Descriptor, diff_id: str) -> None:
        """Put another blob in its place; what the manifest says of it besides stays.

        Args:
            content: the media type, digest and size of the blob, which is in the overlay.
            diff_id: its diff ID.
        """
        self.descriptor = redescribed(self.descriptor, content)
        self.diff_id = diff_id


class HistoryEntry(msgspec.Struct, kw_only=True):
    """An entry of a config's history with the layer that came of it (image-spec config §history)."""

    document: Document | None
    """As it is in the config; None for a layer of which the history says nothing."""
    layer: EditedLayer | None
    """None where no layer came of it."""


class Editing:
    """An image, or anything else that has a manifest, while edits are applied to it.

    Args:
        overlay: has the image, and gets what is new.
        manifest: its manifest.
        title: what it is called in messages.
        limits: how many blobs may be read and written at once.
        once: what is done to layers, once for all images that are edited together.
    """

    def __init__(
        self,
        overlay: Overlay,
        manifest: Manifest,
        title: str,
        limits: Limits | None = None,
        once: Once | None = None,
    ) -> None:
        self.overlay = overlay
        self.title = title
        self.original = manifest
        self.limits: Limits = limits or Limits()
        self.once: Once = once or Once()
        self.has_found: set[Hashable] = set()
        """The edits that found what they look for."""
        self.algorithm: str = manifest.digest.algorithm
        """Of the digest of the new manifest."""
        self.config_algorithm: str | None = None
        """Of the digest of the new config; None for the one that it has."""
        self.layout: bytes = manifest.raw
        """What the new manifest is laid out like: the beginning of a JSON text."""
        self.data_limit: int | None = None
        """Up to how many bytes the config is embedded in its descriptor; None leaves that as it is."""
        self.manifest: Document = manifest.document
        """The manifest as it is to be, but for its config and layers."""
        self.history: list[HistoryEntry] = []
        """The entries of the history with their layers, from the lowest up."""
        self.notes: list[str] = []
        """What a user should know of what was done: a sentence each."""
        self._read: ImageConfig | None = None
        self._config: Document = {}

    @property
    def is_image(self) -> bool:
        """Whether it has an image config; an artifact has none."""
        return self.original.is_image

    @property
    def family(self) -> Family:
        """Whose words its media types are in."""
        return "docker" if is_docker(self.manifest.get("mediaType") or self.original.media_type) else "oci"

    @property
    def config(self) -> Document:
        """The config as it is to be, but for its diff IDs and its history, which are those of `history`.

        Raises:
            Unsupported: it is no image.
        """
        if self._read is None:
            raise Unsupported(
                f"{self.title} cannot be changed so",
                cause="it is an artifact, which has no image config",
                code="artifact-not-image",
                fields={"reference": self.title},
            )
        return self._config

    @property
    def original_config(self) -> ImageConfig | None:
        """The config as it was; None for what is no image."""
        return self._read

    @property
    def new_config(self) -> Document:
        """The whole config as it is to be, with its diff IDs and its history."""
        self._settle_config()
        return self.config

    @property
    def container(self) -> Document:
        """How a container runs, in Docker's words: a copy of what the config says under `config`."""
        return dict(self.config.get("config") or {})

    @property
    def platform(self) -> Platform:
        """What the image is for, as its config says now."""
        return ImageConfig.parse(encode_like(self.config, b"{}"), f"the config of {self.title}").platform

    @property
    def layers(self) -> list[EditedLayer]:
        """The layers, from the lowest up."""
        return [entry.layer for entry in self.history if entry.layer is not None]

    async def read(self) -> None:
        """Read the config, if it is an image.

        Raises:
            NotFound: the config is not there.
            InvalidContent: it is malformed, or does not go with the manifest.
        """
        if self.is_image:
            self._read = await read_config(self.overlay, self.original)
        if self._read is not None:
            self._config = self._read.document
            self.history = _history(self.title, self._config, self.manifest, self._read)

    def set_config(self, key: str, value: Any) -> None:
        """Give a field of the config a value; None removes it.

        Raises:
            Unsupported: it is no image.
        """
        set_field(self.config, key, value, CONFIG)

    def set_container(self, key: str, value: Any) -> None:
        """Give a field of how a container runs a value, such as `Labels`; None removes it.

        Raises:
            Unsupported: it is no image.
        """
        container = self.container
        set_field(container, key, value, CONTAINER)
        if container or "config" in self.config:
            self.set_config("config", container)

    @property
    def files(self) -> list[Document]:
        """The descriptors of the layers as they are to be: of an image, or of the files of an artifact."""
        if self._read is not None:
            return [layer.descriptor for layer in self.layers]
        found: list[Document] = self.manifest.get("layers") or self.manifest.get("blobs") or []
        return found

    def set_manifest(self, key: str, value: Any) -> None:
        """Give a field of the manifest a value; None removes it.

        Raises:
            Unsupported: Docker's format has no place for it.
        """
        if value is not None:
            self.check_place(key)
        set_field(self.manifest, key, value, MANIFEST)

    def check_place(self, key: str) -> None:
        """Refuse a field that the format of the manifest has no place for.

        Raises:
            Unsupported: Docker's format has none for it.
        """
        if self.family == "docker" and key in ("annotations", "artifactType", "subject"):
            what = {"annotations": "annotations", "artifactType": "an artifact type"}.get(key, "a subject")
            raise Unsupported(
                f"{self.title} cannot have {what}",
                cause="Docker's format has no place for that",
                remedy="make it an OCI image",
                code="docker-has-no-place",
                fields={"reference": self.title, "field": key},
            )

    def add_layer(self, content: Descriptor, diff_id: str, history: Mapping[str, Any]) -> None:
        """Put a layer on top.

        Args:
            content: the media type, digest and size of its blob, which is in the overlay.
            diff_id: its diff ID.
            history: its entry in the history: `created`, `created_by` and the rest. Where the history says nothing of
                the layers below, entries without anything keep it aligned.
        """
        like = self.manifest.get("config") or {}
        document = content.to_document(size_first=list(like).index("size") < list(like).index("digest"))
        for entry in self.history:
            if entry.document is None:
                entry.document = {}
        self.history.append(
            HistoryEntry(document=dict(history), layer=EditedLayer(descriptor=document, diff_id=diff_id))
        )

    async def finish(self) -> Manifest:
        """Encode what was changed, and put it into the overlay.

        Returns:
            The new manifest; the original one where nothing was changed.
        """
        if self._read is not None:
            await self._finish_config(self._read)
            layers = [layer.descriptor for layer in self.layers]
            if layers != (self.manifest.get("layers") or []):
                set_field(self.manifest, "layers", layers, MANIFEST)
        is_changed = self.manifest != self.original.document
        if not is_changed and self.algorithm == self.original.digest.algorithm:
            return self.original
        raw = encode_like(self.manifest, self.layout) if is_changed else self.original.raw
        media_type = self.manifest.get("mediaType") or self.original.media_type
        changed = parse(raw, media_type, digest=Digest.of(raw, self.algorithm), what=self.title)
        if isinstance(changed, Index):
            raise InvalidContent(f"{self.title} would become an index")
        await self.overlay.put(changed)
        return changed

    def _settle_config(self) -> None:
        """Have the config say what `history` is now."""
        config, read = self.config, self._read
        assert read is not None  # as the config was read
        diff_ids = [layer.diff_id for layer in self.layers]
        if diff_ids != list(read.diff_ids):
            rootfs: Document = dict(config.get("rootfs") or {"type": "layers"})
            rootfs["diff_ids"] = diff_ids
            set_field(config, "rootfs", rootfs, CONFIG)
        history = [entry.document for entry in self.history if entry.document is not None]
        if history != list(read.history):
            set_field(config, "history", history, CONFIG)

    async def _finish_config(self, read: ImageConfig) -> None:
        self._settle_config()
        config = self.config
        about = Descriptor.from_document(self.manifest["config"], "the config")
        raw = read.raw if config == read.document else encode_like(config, read.raw)
        new = Descriptor.of(raw, about.media_type, self.config_algorithm or about.digest.algorithm)
        if new.digest != about.digest:
            await self.overlay.write(new, from_bytes(raw))
            self.manifest["config"] = redescribed(self.manifest["config"], new, raw)
        if self.data_limit is not None:
            said = base64.b64encode(raw).decode() if len(raw) <= self.data_limit else None
            set_field(self.manifest["config"], "data", said, DESCRIPTOR)


def redescribed(document: Document, content: Descriptor, raw: bytes | None = None) -> Document:
    """A descriptor of other content; its fields keep their order, and what it says besides stays.

    Args:
        document: the descriptor as it was.
        content: the media type, digest and size of the other content.
        raw: the other content itself, for a descriptor that has it embedded; without it none is embedded any more.
    """
    changed = copy.deepcopy(document)
    values = {"mediaType": content.media_type, "digest": str(content.digest), "size": content.size}
    for key, value in values.items():
        if value or key in changed:
            set_field(changed, key, value, DESCRIPTOR)
    if "data" in changed and document.get("digest") != str(content.digest):
        set_field(changed, "data", base64.b64encode(raw).decode() if raw is not None else None, DESCRIPTOR)
    return changed


def _history(title: str, config: Document, manifest: Document, read: ImageConfig) -> list[HistoryEntry]:
    """The entries of a history, each with its layer; layers that it says nothing of are at the end."""
    blobs = manifest.get("layers") or []
    if len(read.diff_ids) != len(blobs):
        said = f"the manifest has {counted(len(blobs), 'layer')}, and the config {len(read.diff_ids)} diff IDs"
        raise InvalidContent(f"{title} is malformed", cause=said, code="wrong-diff-id")
    left = [
        EditedLayer(descriptor=blob, diff_id=said, original=said)
        for blob, said in zip(blobs, read.diff_ids, strict=True)
    ]
    entries: list[HistoryEntry] = []
    for document in config.get("history") or []:
        layer = left.pop(0) if left and document.get("empty_layer") is not True else None
        entries.append(HistoryEntry(document=document, layer=layer))
    return entries + [HistoryEntry(document=None, layer=layer) for layer in left]
