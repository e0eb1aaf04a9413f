"""Building images of files: a layer, a config and a manifest, the same bytes each time.

This module makes values; they are written to a store by whoever wants them there.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import encode_compact
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_CONFIG, LayerType
from lading.model.platform import Platform
from lading.store import Store, from_bytes, put_manifest

_MODE = 0o755


class BuiltImage(msgspec.Struct, frozen=True):
    """An image that is in no store yet: its manifest, and its config and layers."""

    manifest: Manifest
    blobs: tuple[tuple[Descriptor, bytes], ...]
    """Each with its content, the config first."""

    async def push(self, store: Store, tag: str) -> None:
        """Write the image to a store: blobs first, the tag last."""
        for content, data in self.blobs:
            await store.write(content, from_bytes(data))
        await put_manifest(store, self.manifest, [tag])


def build(
    programs: Mapping[str, bytes], platform: Platform, *, config: Mapping[str, Any], created: str, created_by: str
) -> BuiltImage:
    """An image in the OCI format with one layer (image-spec manifest, config, layer).

    The layer is not compressed: what a compressor makes of it differs from machine to machine, and digests with it.

    Args:
        programs: the files of the layer by their paths, without a `/` before them; everybody may execute them.
        platform: what the image is for.
        config: how a container runs: `Entrypoint`, `Env`, `Labels` and the rest.
        created: when it was made, as in RFC 3339.
        created_by: what made it.
    """
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in programs.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), _MODE
            archive.addfile(member, io.BytesIO(content))
    layer = tar.getvalue()
    raw = encode_compact(
        {
            "created": created,
            **platform.to_document(),
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [Digest.of(layer)]},
            "history": [{"created": created, "created_by": created_by}],
        }
    )
    about_config = Descriptor.of(raw, OCI_CONFIG)
    about_layer = Descriptor.of(layer, str(LayerType("oci")))
    manifest = Manifest.of([about_layer], about_config, annotations={"org.opencontainers.image.created": created})
    return BuiltImage(manifest, ((about_config, raw), (about_layer, layer)))
