"""Two layouts on one file system share the files of blobs, and each stays right whatever becomes of the other."""

import errno
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.errors import DigestMismatch
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.store import read
from lading.stores.layout import layout as layouts
from lading.stores.layout.layout import Layout
from lading.transfer.graph import Copier
from support import images

Fill = Callable[..., Awaitable[Descriptor]]


@pytest.fixture
async def source(tmp_path: Path, fill: Fill, index: images.Manifest) -> Layout:
    layout = Layout(tmp_path / "source", create=True)
    await fill(layout, index, "1")
    return layout


def blob(layout: Layout, digest: str) -> Path:
    return layout.path / "blobs" / "sha256" / digest.partition(":")[2]


def blobs_of(manifest: images.Manifest) -> dict[str, bytes]:
    found = dict(manifest.blobs)
    for child in manifest.children:
        found |= blobs_of(child)
    return found


async def test_blobs_are_shared_and_not_copied(source: Layout, tmp_path: Path, index: images.Manifest) -> None:
    async with AsyncClient() as client:
        target = f"oci:{tmp_path}/target:1"
        planned = await client.copy(f"oci:{source.path}:1", target, dry_run=True)
        report = await client.copy(f"oci:{source.path}:1", target)
        again = await client.copy(f"oci:{source.path}:1", f"oci:{tmp_path}/target:2", verify=True)
    blobs = blobs_of(index)
    assert (report.copied.mounted, report.copied.uploaded, report.copied.bytes) == (len(blobs), 0, 0)
    assert planned.copied == report.copied
    assert again.copied.present == len(blobs) + 4
    layout = Layout(tmp_path / "target")
    assert (await layout.resolve("1")).digest == index.digest
    for digest, data in blobs.items():
        assert await read(layout, Descriptor(digest=Digest(digest), size=len(data))) == data


async def test_a_damaged_blob_is_not_handed_on(source: Layout, tmp_path: Path, index: images.Manifest) -> None:
    digest, data = max(blobs_of(index).items(), key=lambda item: len(item[1]))
    blob(source, digest).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    target = Layout(tmp_path / "target", create=True)
    with pytest.raises(DigestMismatch):
        await Copier(target).copy(source, await source.resolve("1"), names=["1"])
    assert not blob(target, digest).exists()
    assert [tag async for tag in target.tags()] == []


async def test_what_is_repaired_in_one_is_another_file_in_the_other(
    source: Layout, tmp_path: Path, index: images.Manifest
) -> None:
    target = Layout(tmp_path / "target", create=True)
    await Copier(target).copy(source, await source.resolve("1"), names=["1"])
    digest, data = max(blobs_of(index).items(), key=lambda item: len(item[1]))
    shared = blob(target, digest)
    shared.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    good = Layout(tmp_path / "good", create=True)
    content = Descriptor(digest=Digest(digest), size=len(data))
    async with AsyncClient() as client:
        blob(source, digest).unlink()
        blob(source, digest).write_bytes(data)
        await client.copy(f"oci:{source.path}:1", f"oci:{target.path}:1", verify=True)
    assert await read(target, content) == data
    assert not await good.contains(content)


@pytest.mark.parametrize("refused", ["by the file system", "by a missing file"])
async def test_what_cannot_be_shared_is_copied(
    refused: str, source: Layout, tmp_path: Path, index: images.Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room_for_links(place: Path, name: str, copy: Path) -> None:
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    target = Layout(tmp_path / "target", create=True)
    content = Descriptor(digest=Digest.of(b"x"), size=1)
    if refused == "by a missing file":
        assert not await target.mount(content, source)
    else:
        monkeypatch.setattr(layouts, "share", no_room_for_links)
        copier = Copier(target)
        await copier.copy(source, await source.resolve("1"), names=["1"])
        assert (copier.done.mounted, copier.done.uploaded) == (0, len(blobs_of(index)))
        assert (await target.resolve("1")).digest == index.digest
    assert [path.name for path in (target.path / ".lading").iterdir()] in ([], ["lock"])


async def test_another_file_system_shares_nothing(source: Layout, index: images.Manifest) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == source.path.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    import tempfile

    with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
        target = Layout(Path(folder) / "target", create=True)
        assert not target.is_sibling(source)
        copier = Copier(target)
        await copier.copy(source, await source.resolve("1"), names=["1"])
        assert copier.done.uploaded == len(blobs_of(index))


async def test_what_was_just_shared_is_not_collected(source: Layout, tmp_path: Path, index: images.Manifest) -> None:
    digest, data = max(blobs_of(index).items(), key=lambda item: len(item[1]))
    os.utime(blob(source, digest), (0, time.time() - 7 * 24 * 3600))
    target = Layout(tmp_path / "target", create=True)
    content = Descriptor(digest=Digest(digest), size=len(data))
    assert await target.mount(content, source)
    assert (await target.gc()).content == ()
    assert await target.contains(content)
