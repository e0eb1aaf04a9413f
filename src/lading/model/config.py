"""Image configs: what an image runs, and on what machine (image-spec config)."""

from __future__ import annotations

from typing import Any

import msgspec

from lading.model.descriptor import convert
from lading.model.encoding import SIZE_LIMIT, Document, decode
from lading.model.platform import Platform


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an image config that lading shows; `raw` and `document` hold all of it."""

    raw: bytes
    document: Document
    platform: Platform
    created: str = ""
    """RFC 3339, as found; empty where it is not said."""
    author: str = ""
    config: dict[str, Any] = {}
    """How a container runs: `Env`, `Cmd`, `Labels` and the rest, in Docker's words."""
    history: tuple[dict[str, Any], ...] = ()
    diff_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, what: str = "the image config", limit: int = SIZE_LIMIT) -> ImageConfig:
        """Read a config. Keys of the platform are found as Go and so every client finds them.

        That is whatever their case, and of several spellings the last.

        Raises:
            InvalidContent: not JSON, or fields of the wrong type.
        """
        document = decode(raw, what, limit)
        folded = {key.casefold(): value for key, value in document.items() if value is not None}
        platform = {key: folded[key] for key in _PLATFORM if key in folded}
        view = convert({key: document.get(key) for key in _View.__struct_fields__}, _View, what)
        return cls(
            raw=raw,
            document=document,
            platform=convert(platform, Platform, what),
            created=view.created,
            author=view.author,
            config=view.config,
            history=view.history,
            diff_ids=view.rootfs.diff_ids,
        )


_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class _RootFS(msgspec.Struct):
    diff_ids: tuple[str, ...] = ()


class _View(msgspec.Struct):
    created: str = ""
    author: str = ""
    config: dict[str, Any] = {}
    history: tuple[dict[str, Any], ...] = ()
    rootfs: _RootFS = msgspec.field(default_factory=_RootFS)
