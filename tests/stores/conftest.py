"""What tests of stores share: graphs with everything in them, and ways to put them into any store."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.store import Store, from_bytes, put_manifest
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from support import images

Fill = Callable[..., Awaitable[Descriptor]]


@pytest.fixture(scope="session")
def index() -> images.Manifest:
    """An index as BuildKit makes it: two platforms that share a layer, an attestation, and annotations."""
    shared = images.make_layer({"shared": images.noise("shared", 300_000)})
    platforms = [
        images.make_image(platform, kind="oci", layers=[shared], seed=platform)
        for platform in ("linux/amd64", "linux/arm64/v8")
    ]
    return images.make_index(
        [*platforms, images.make_attestation(platforms[0])], kind="oci", annotations={"org.example.note": "whole"}
    )


@pytest.fixture(scope="session")
def image() -> images.Manifest:
    """An image in Docker's formats."""
    return images.make_image("linux/amd64", layers=2, seed="stores")


@pytest.fixture(scope="session")
def signature(image: images.Manifest) -> images.Manifest:
    """An artifact that refers to the image."""
    return images.make_artifact(
        "application/vnd.example.signature", {"sig": b"signed"}, subject=image, annotations={"by": "somebody"}
    )


@pytest.fixture
def fill() -> Fill:
    """Puts a manifest with all that belongs to it into a store, under tags."""
    return _fill


@pytest.fixture(params=["memory", "layout"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty store of each kind that can be written in place."""
    return Memory() if request.param == "memory" else Layout(tmp_path / "layout", create=True)


async def _fill(store: Store, manifest: images.Manifest, *names: str) -> Descriptor:
    for child in manifest.children:
        await _fill(store, child)
    for digest, blob in manifest.blobs.items():
        content = Descriptor(media_type="application/octet-stream", digest=Digest(digest), size=len(blob))
        await store.write(content, from_bytes(blob))
    parsed = parse(manifest.content, manifest.media_type)
    await put_manifest(store, parsed, names)
    return parsed.descriptor


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the verifying of content hashes, piece by piece."""
    counted: list[int] = []

    class Hash:
        def __init__(self, algorithm: str, data: bytes = b"") -> None:
            self._hash = hashlib.new(algorithm)
            self.update(data)

        def update(self, data: bytes) -> None:
            counted.append(len(data))
            self._hash.update(data)

        def hexdigest(self) -> str:
            return self._hash.hexdigest()

    monkeypatch.setattr("lading.model.digest.hashlib", SimpleNamespace(new=Hash))
    return counted
