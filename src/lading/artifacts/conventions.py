"""What is in an artifact beside its files, where a tool has a convention for it: Helm, WASM, ModelPack, Homebrew.

This module knows overlays and the model, and not how a file is told to be of a kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from lading.artifacts.charts import read_chart
from lading.artifacts.kinds import (
    BOTTLE,
    HELM_CONFIG,
    MODEL,
    MODEL_CONFIG,
    MODEL_PATH,
    MODEL_WEIGHT,
    WASM_CONFIG,
    Convention,
    model_format,
)
from lading.artifacts.titles import TITLE
from lading.artifacts.wasm import read_world
from lading.io.sources import CHUNK, file_changed
from lading.io.tarball import decompressed, reading
from lading.io.threads import heed, in_thread
from lading.model.descriptor import Descriptor
from lading.model.encoding import encode_compact
from lading.model.media_types import OCI_CONFIG
from lading.model.platform import Platform
from lading.stores.overlay import Overlay

_REF_NAME = "org.opencontainers.image.ref.name"
_BOTTLE_SYSTEMS = {
    "tahoe": "26",
    "sequoia": "15",
    "sonoma": "14",
    "ventura": "13",
    "monterey": "12",
    "big_sur": "11",
    "catalina": "10.15",
    "mojave": "10.14",
}
"""The versions of macOS by what Homebrew calls them."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a convention makes of files that are layers already."""

    config: Descriptor
    layers: Sequence[Descriptor]
    artifact_type: str = ""
    annotations: Mapping[str, str] = {}
    entry_annotations: Mapping[str, str] = {}
    """Of its entry in an index."""
    has_media_type: bool = True
    """Whether the manifest says its own media type: Helm's does not."""


async def by_convention(
    overlay: Overlay, convention: Convention, path: str, layers: Sequence[Descriptor], times: int
) -> Shape:
    """Make an artifact's config and annotations, and put the config into an overlay.

    Args:
        overlay: has the layers.
        convention: one that has a config of its own.
        path: of the first file.
        layers: the layers, in the order of the files.
        times: when it was made, in seconds since the epoch, where the convention has to say it.

    Raises:
        Conflict: the file is no longer what it was.
    """
    if convention == "helm":
        return await _helm(overlay, path, layers)
    if convention == "wasm":
        return await _wasm(overlay, path, layers, times)
    return await (_model(overlay, layers) if convention == "model" else _bottle(overlay, path, layers[0]))


def bottle_platform(name: str) -> Platform | None:
    """What a bottle is for, by its name; None for all systems, or one that is not known."""
    found = BOTTLE.fullmatch(name)
    tag = found["tag"] if found is not None else ""
    if tag.endswith("_linux"):
        architecture = tag.removesuffix("_linux")
        return Platform(os="linux", architecture=architecture).canonical() if architecture else None
    architecture = "arm64" if tag.startswith("arm64_") else "amd64"
    version = _BOTTLE_SYSTEMS.get(tag.removeprefix("arm64_"))
    return Platform(os="darwin", architecture=architecture, os_version=f"macOS {version}") if version else None


async def _helm(overlay: Overlay, path: str, layers: Sequence[Descriptor]) -> Shape:
    chart = await in_thread(read_chart, path)
    if chart is None:
        raise file_changed(path)
    return Shape(
        config=await overlay.add(chart.config, HELM_CONFIG),
        layers=sorted(layers, key=lambda layer: layer.digest),  # as Helm has them
        annotations=chart.annotations,
        has_media_type=False,
    )


async def _wasm(overlay: Overlay, path: str, layers: Sequence[Descriptor], times: int) -> Shape:
    created = datetime.fromtimestamp(times, UTC).isoformat().replace("+00:00", "Z")
    document: dict[str, Any] = {"created": created, "architecture": "wasm", "os": "wasip1"}
    document["layerDigests"] = [str(layer.digest) for layer in layers]
    if await in_thread(_is_component, path):
        world = await in_thread(read_world, path)
        if world is None:
            raise file_changed(path)
        document["os"] = "wasip2"
        document["component"] = {"exports": list(world.exports), "imports": list(world.imports)}
    return Shape(config=await overlay.add(encode_compact(document), WASM_CONFIG), layers=layers)


async def _model(overlay: Overlay, layers: Sequence[Descriptor]) -> Shape:
    titles = [layer.annotations.get(TITLE, "") for layer in layers]
    formats = [
        model_format(title)
        for title, layer in zip(titles, layers, strict=True)
        if layer.media_type == MODEL_WEIGHT and model_format(title)
    ]
    document = {
        "descriptor": {},
        "modelfs": {"type": "layers", "diffIds": [str(layer.digest) for layer in layers]},
        "config": {"format": formats[0]} if formats else {},
    }
    placed = [
        msgspec.structs.replace(layer, annotations={MODEL_PATH: title, **layer.annotations}) if title else layer
        for title, layer in zip(titles, layers, strict=True)
    ]
    config = await overlay.add(encode_compact(document), MODEL_CONFIG)
    return Shape(config=config, layers=placed, artifact_type=MODEL)


async def _bottle(overlay: Overlay, path: str, layer: Descriptor) -> Shape:
    found, platform = BOTTLE.fullmatch(Path(path).name), bottle_platform(Path(path).name)
    assert found is not None
    assert platform is not None
    diff_id = await in_thread(_diff_id, path)
    rebuild = f".{found['rebuild']}" if found["rebuild"] else ""
    tag = f"{found['version']}.{found['tag']}{rebuild}"
    said = {_REF_NAME: tag, "sh.brew.bottle.digest": layer.digest.hex, "sh.brew.bottle.size": str(layer.size)}
    document = {**platform.to_document(), "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    own = {
        "com.github.package.type": "homebrew_bottle",
        TITLE: f"{found['formula']} {tag}",
        "org.opencontainers.image.version": found["version"],
    }
    config = await overlay.add(encode_compact(document), OCI_CONFIG)
    return Shape(config=config, layers=[layer], annotations={**own, **said}, entry_annotations=said)


def _is_component(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8).endswith(b"\x01\0")


def _diff_id(path: str) -> str:
    hasher = hashlib.sha256()
    with Path(path).open("rb") as file, reading(path), decompressed(file) as (plain, _):
        for piece in iter(partial(plain.read, CHUNK), b""):
            heed()
            hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"
