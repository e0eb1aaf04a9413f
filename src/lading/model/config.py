"""Image configs: what an image runs, and on what machine (image-spec config)."""

from __future__ import annotations

from typing import Any

import msgspec

from lading.model.descriptor import convert
from lading.model.document import described
from lading.model.encoding import SIZE_LIMIT, Document, decode
from lading.model.platform import Platform
from lading.model.text import counted, excerpt


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An image config over its exact bytes (image-spec config §Properties). Made by `parse`.

    The typed fields are a view of what lading shows; `document` has every field.
    """

    raw: bytes
    platform: Platform
    created: str = ""
    """RFC 3339, as found; empty where it is not said."""
    author: str = ""
    diff_ids: tuple[str, ...] = ()
    """The digests of the layers as they are when they are not compressed, as found, from the lowest layer up."""

    @classmethod
    def parse(cls, raw: bytes, what: str = "the image config", limit: int = SIZE_LIMIT) -> ImageConfig:
        """Read a config. Keys of the platform are found as Go and so every client finds them.

        That is whatever their case, and of several spellings the last.

        Args:
            raw: the exact bytes.
            what: what the config is called in an error.
            limit: the largest size accepted, in bytes.

        Raises:
            InvalidContent: not JSON, or fields of the wrong type.
        """
        document = decode(raw, what, limit)
        folded = {key.casefold(): value for key, value in document.items() if value is not None}
        platform = {key: folded[key] for key in _PLATFORM if key in folded}
        view = convert({key: document.get(key) for key in _View.__struct_fields__}, _View, what)
        return cls(
            raw=raw,
            platform=convert(platform, Platform, what),
            created=view.created,
            author=view.author,
            diff_ids=view.rootfs.diff_ids,
        )

    @property
    def document(self) -> Document:
        """The decoded bytes with every field, in their order: a copy, made each time."""
        return decode(self.raw, limit=len(self.raw))

    @property
    def config(self) -> dict[str, Any]:
        """How a container runs: `Env`, `Cmd`, `Labels` and the rest, in Docker's words; a copy, made each time."""
        return self.document.get("config") or {}

    @property
    def history(self) -> tuple[dict[str, Any], ...]:
        """How each layer came about, from the lowest up; a copy, made each time."""
        return tuple(self.document.get("history") or ())

    def to_document(self) -> dict[str, Any]:
        """The decoded bytes, as `document` has them, with plain numbers."""
        return described(self.document)

    def to_json(self) -> bytes:
        """The exact bytes."""
        return self.raw

    def __repr__(self) -> str:
        """Such as `<ImageConfig linux/amd64 7 layers>`."""
        return f"<ImageConfig {excerpt(str(self.platform))} {counted(len(self.diff_ids), 'layer')}>"


_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class _RootFS(msgspec.Struct):
    diff_ids: tuple[str, ...] = ()


class _View(msgspec.Struct):
    created: str = ""
    author: str = ""
    config: dict[str, Any] = {}
    history: tuple[dict[str, Any], ...] = ()
    rootfs: _RootFS = msgspec.field(default_factory=_RootFS)
