"""From every kind of store to every other, and the digest stays what it was."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Store, fetch_manifest, from_bytes, put_manifest, read, read_config
from lading.stores import directory
from lading.stores.docker.archive import DockerArchive, NewDockerArchive
from lading.stores.docker.engine import DockerDaemon
from lading.stores.layout.archive import read_archive, write_archive
from lading.stores.layout.layout import Layout
from lading.stores.location import Location
from lading.stores.memory import Memory
from lading.transfer.graph import Copier
from support import images
from support.docker import DockerCLI
from support.registry import RealRegistry

NAME = "pairs.example/app:1"
IMAGE = images.make_image(layers=2, layer_size=70_000, seed="pairs", kind="oci")
INDEX = images.make_index(
    [IMAGE, images.make_image("linux/arm64/v8", seed="other", kind="oci"), images.make_attestation(IMAGE)], kind="oci"
)
HOLD_INDEXES = [
    "memory",
    "layout",
    "registry",
    "dir",
    *(f"oci-archive.{suffix}" for suffix in ("tar", "tar.gz", "tar.zst", "tar.bz2", "tar.xz")),
]
ALL = [*HOLD_INDEXES, *(f"docker-archive.{suffix}" for suffix in ("tar", "tar.gz", "tar.zst")), "docker-daemon"]


class Places:
    """Opens a store of any kind; what is written to one is there when it is opened again."""

    def __init__(self, folder: Path, registry: RealRegistry, repository: str) -> None:
        self._folder = folder
        self._registry = registry
        self._repository = repository
        self._memories: dict[str, Memory] = {}

    @asynccontextmanager
    async def open(self, kind: str, side: str, *, writing: bool = False) -> AsyncIterator[Any]:
        """`side` tells two of one kind apart."""
        path = self._folder / f"{side}-{kind}"
        if kind == "memory":
            yield self._memories.setdefault(side, Memory())
        elif kind == "layout":
            yield Layout(path, create=writing)
        elif kind == "dir":
            location = Location(kind="dir", path=str(path))
            async with directory.open_to_write(location) if writing else directory.open_to_read(location) as found:
                yield found
        elif kind == "registry":
            async with Session() as session:
                yield Repository(session, self._registry.host, f"{self._repository}-{side}")
        elif kind == "docker-daemon":
            async with DockerDaemon() as daemon:
                yield daemon
        elif kind.startswith("docker-archive"):
            async with NewDockerArchive(path) if writing else DockerArchive(path) as archive:
                yield archive
        else:
            async with write_archive(path) if writing else read_archive(path) as layout:
                yield layout

    def name(self, kind: str) -> str:
        return "" if kind == "dir" else NAME if kind.startswith("docker") else "1"


@pytest.fixture
def places(tmp_path: Path, registry: RealRegistry, repository: str) -> Places:
    return Places(tmp_path, registry, repository)


@pytest.fixture
def daemon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the tests, for the pairs that have one."""
    if "docker-daemon" in request.node.name:
        engine: DockerCLI = request.getfixturevalue("engine")
        monkeypatch.setenv("DOCKER_HOST", engine.daemon)
        monkeypatch.setenv("DOCKER_CONFIG", str(engine.config))


async def copy(source: Store, name: str, target: Store, new: str) -> Digest:
    return (await Copier(target).copy(source, await source.resolve(name), names=[new] if new else [])).digest


async def memory(content: images.Manifest) -> Memory:
    store = Memory()

    async def fill(manifest: images.Manifest, *names: str) -> None:
        for child in manifest.children:
            await fill(child)
        for digest, blob in manifest.blobs.items():
            await store.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
        await put_manifest(store, parse(manifest.content, manifest.media_type), names)

    await fill(content, "1")
    return store


async def everything(store: Store, name: str) -> Manifest | Index:
    """What a name stands for, with all that it leads to read and verified."""

    async def read_all(manifest: Manifest | Index) -> None:
        for child in manifest.children:
            if isinstance(manifest, Index):
                await read_all(await fetch_manifest(store, child.content))
            else:
                await read(store, child)

    found = await fetch_manifest(store, name)
    await read_all(found)
    return found


@pytest.mark.parametrize("source, target", list(product(ALL, ALL)))
@pytest.mark.usefixtures("daemon")
async def test_an_image(source: str, target: str, places: Places) -> None:
    async with places.open(source, "source", writing=True) as store:
        await copy(await memory(IMAGE), "1", store, places.name(source))
    async with places.open(source, "source") as store:
        before = await everything(store, places.name(source))
        async with places.open(target, "target", writing=True) as other:
            await copy(store, places.name(source), other, places.name(target))
    if source != "docker-daemon":
        assert before.raw == IMAGE.content
    async with places.open(target, "target") as store:
        after = await everything(store, places.name(target))
        assert isinstance(before, Manifest)
        assert isinstance(after, Manifest)
        # An engine keeps no manifests; the image is the same all the same.
        if target != "docker-daemon":
            assert after.raw == before.raw
        assert (after.config and after.config.digest) == images.digest_of(IMAGE.config)
        config = await read_config(store, after)
        assert config is not None
        assert len(config.diff_ids) == len(after.layers) == 2


@pytest.mark.parametrize("source, target", list(product(HOLD_INDEXES, HOLD_INDEXES)))
async def test_an_index(source: str, target: str, places: Places) -> None:
    async with places.open(source, "source", writing=True) as store:
        await copy(await memory(INDEX), "1", store, places.name(source))
    async with places.open(source, "source") as store, places.open(target, "target", writing=True) as other:
        assert await copy(store, places.name(source), other, places.name(target)) == INDEX.digest
    async with places.open(target, "target") as store:
        assert (await everything(store, places.name(target))).raw == INDEX.content
