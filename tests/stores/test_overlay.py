"""New content over a store: it is kept beside what lives below, and a copy takes each from where it is."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lading.errors import Conflict, DigestMismatch, InvalidContent, NotFound, Unsupported, UsageError
from lading.model.descriptor import Descriptor
from lading.model.manifest import Manifest, parse
from lading.model.media_types import OCI_MANIFEST
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Source, Store, fetch_manifest, from_bytes, from_store, put_manifest, read
from lading.stores.docker.archive import DockerArchive, NewDockerArchive
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from lading.stores.overlay import Overlay
from lading.transfer.graph import Copier
from support import images
from support.proxy import CountingProxy

Fill = Callable[..., Awaitable[Descriptor]]

LAYER = "application/vnd.oci.image.layer.v1.tar"
LARGE = images.noise("a new layer", 300_000)


@pytest.fixture(params=["memory", "layout", "registry"])
async def below(request: pytest.FixtureRequest, tmp_path: Path, repository: str) -> AsyncIterator[Store]:
    """A store to put something over."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield Memory()
        elif request.param == "layout":
            yield Layout(tmp_path / "below", create=True)
        else:
            session = await stack.enter_async_context(Session())
            yield Repository(session, request.getfixturevalue("elsewhere"), repository)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def put_back(path: Path, status: os.stat_result) -> None:
    """Give a file the times that it had before."""
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def with_a_layer(overlay: Overlay, name: str, *tags: str) -> Manifest:
    """An edit: one layer more over what a name stands for."""
    before = await fetch_manifest(overlay, name)
    assert isinstance(before, Manifest)
    layer = await overlay.add(stream(LARGE[:7], LARGE[7:]), LAYER)
    document = before.document | {"layers": [*before.document["layers"], layer.to_document()]}
    after = Manifest.build(document, before.media_type)
    await put_manifest(overlay, after, tags)
    return after


async def test_an_artifact_is_made_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    async with Overlay(name="an artifact") as overlay:
        config = await overlay.add(b"{}", "application/vnd.example.config")
        layers = [await overlay.add(tmp_path / "large"), await overlay.add(stream(b"of ", b"pieces"), "text/plain")]
        assert config == Descriptor.of(b"{}", "application/vnd.example.config")
        assert layers[0] == Descriptor.of(LARGE, "application/octet-stream")
        assert layers[1] == Descriptor.of(b"of pieces", "text/plain")
        for content, data in ((config, b"{}"), (layers[0], LARGE), (layers[1], b"of pieces")):
            assert await overlay.contains(content)
            assert await read(overlay, content) == data
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.to_document()}
        manifest = Manifest.build(document | {"layers": [layer.to_document() for layer in layers]}, OCI_MANIFEST)
        await put_manifest(overlay, manifest, ["1", "latest"])
        assert [tag async for tag in overlay.tags()] == ["1", "latest"]

        target = Memory()
        await Copier(target).copy(overlay, await overlay.resolve("1"), names=["there"])
        assert (await target.fetch("there")).raw == manifest.raw
        assert await read(target, layers[0]) == LARGE


async def test_what_is_nowhere_is_not_found(below: Store, fill: Fill, image: images.Manifest) -> None:
    await fill(below, image, "1")
    absent = Descriptor.of(b"absent", "text/plain")
    for overlay in (Overlay(), Overlay(below)):
        assert not await overlay.contains(absent)
        for name in ("2", absent.digest):
            with pytest.raises(NotFound):
                await overlay.resolve(name)
            with pytest.raises(NotFound):
                await overlay.fetch(name)
        with pytest.raises(NotFound):
            await read(overlay, absent)
        with pytest.raises(NotFound):
            await overlay.tag(Descriptor.of(b"{}", OCI_MANIFEST), "3")


async def test_what_is_new_is_beside_what_is_below(below: Store, fill: Fill, image: images.Manifest) -> None:
    await fill(below, image, "1", "old")
    async with Overlay(below) as overlay:
        assert overlay.name == below.name
        edited = await with_a_layer(overlay, "1", "1", "new")
        assert [tag async for tag in overlay.tags()] == ["1", "old", "new"]
        assert await overlay.resolve("1") == edited.descriptor == await overlay.resolve("new")
        assert await overlay.resolve(edited.digest) == edited.descriptor
        assert (await overlay.fetch("old")).raw == image.content
        assert (await overlay.fetch("new")).raw == edited.raw
        for child in edited.children:
            assert await overlay.contains(child)
            await read(overlay, child)
        await overlay.tag(await overlay.resolve("old"), "again")
        assert (await overlay.resolve("again")).digest == image.digest
    # Nothing of it is below.
    assert [tag async for tag in below.tags()] == ["1", "old"]
    assert (await below.resolve("1")).digest == image.digest
    assert not await below.contains(edited.descriptor)
    assert not await below.contains(edited.layers[-1])


async def test_it_is_like_the_store_below(below: Store, tmp_path: Path) -> None:
    assert Overlay(below).traits == below.traits
    archive = NewDockerArchive(tmp_path / "a.tar")
    assert Overlay(archive).traits.is_named_by_references
    assert not Overlay().traits.is_remote


async def test_referrers_of_both(below: Store, fill: Fill, image: images.Manifest, signature: images.Manifest) -> None:
    subject = await fill(below, image, "1")
    await fill(below, signature)
    another = images.make_artifact("application/vnd.example.sbom", {"sbom": b"{}"}, subject=image)
    overlay = Overlay(below)
    await fill(overlay, another)
    await fill(overlay, signature)
    found = [referrer.digest async for referrer in overlay.referrers(subject)]
    assert sorted(found) == sorted([another.digest, signature.digest])
    assert [r.digest async for r in overlay.referrers(subject, "application/vnd.example.sbom")] == [another.digest]
    assert [r.digest async for r in below.referrers(subject)] == [signature.digest]


async def test_only_what_is_new_is_deleted(below: Store, fill: Fill, image: images.Manifest, scratch: Path) -> None:
    await fill(below, image, "1")
    async with Overlay(below) as overlay:
        edited = await with_a_layer(overlay, "1", "new")
        small = await overlay.add(b"small")
        with pytest.raises(Unsupported):
            await overlay.delete(await below.resolve("1"))
        await overlay.delete(edited.descriptor)
        assert [tag async for tag in overlay.tags()] == ["1"]
        for blob in (edited.layers[-1], small):
            await overlay.delete(blob)
            assert not await overlay.contains(blob)
            with pytest.raises(Unsupported):
                await overlay.delete(blob)
        assert not list(overlay.folder.iterdir())
    assert (await below.resolve("1")).digest == image.digest
    with pytest.raises(NotFound):
        await Overlay().delete(small)


async def test_files_are_kept_in_a_folder_that_goes(scratch: Path) -> None:
    large, small = (Descriptor.of(data, "text/plain") for data in (LARGE, b"small"))
    async with Overlay() as overlay:
        await overlay.write(small, from_bytes(b"small"))
        await overlay.add(b"small")
        assert not list(scratch.iterdir())
        await overlay.write(large, from_bytes(LARGE))
        assert list(scratch.rglob("*"))
        assert await read(overlay, large) == LARGE
        assert await read(overlay, small) == b"small"
    assert not list(scratch.iterdir())


async def test_files_are_kept_in_a_folder_that_is_given(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "mine").mkdir()
    async with Overlay(folder=tmp_path / "mine") as overlay:
        await overlay.write(Descriptor.of(LARGE, "text/plain"), from_bytes(LARGE))
    assert len(list((tmp_path / "mine").iterdir())) == 1
    assert not list(scratch.iterdir())


async def test_what_is_not_what_it_should_be_is_not_kept(scratch: Path) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield LARGE
        raise OSError("it broke off")

    large, small = (Descriptor.of(data, "text/plain") for data in (LARGE, b"small"))
    async with Overlay() as overlay:
        with pytest.raises(DigestMismatch):
            await overlay.write(large, from_bytes(LARGE[::-1]))
        with pytest.raises(DigestMismatch):
            await overlay.write(small, from_bytes(b"other"))
        with pytest.raises(InvalidContent):
            await overlay.write(Descriptor.of(b"<html>", OCI_MANIFEST), from_bytes(b"<html>"))
        with pytest.raises(OSError, match="broke off"):
            await overlay.add(breaks_off())
        assert not await overlay.contains(large)
        assert not await overlay.contains(small)
        assert not list(overlay.folder.iterdir())


async def test_a_file_is_read_where_it_is(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    written = path.stat()
    async with Overlay() as overlay:
        content = await overlay.add(path)
        path.write_bytes(LARGE[::-1])
        with pytest.raises(Conflict, match="was changed while it was read") as changed:
            await read(overlay, content)
        assert changed.value.code == "file-changed"
        # Nobody can tell by its times that it was changed: its digest tells.
        put_back(path, written)
        with pytest.raises(DigestMismatch):
            await read(overlay, content)
        path.unlink()
        with pytest.raises(NotFound, match="file"):
            await read(overlay, content)
        with pytest.raises(NotFound, match="file"):
            await overlay.add(path)
        with pytest.raises(UsageError, match="is not a file"):
            await overlay.add(Path("/dev/null"))
        await overlay.delete(content)
    assert not list(scratch.iterdir())


@pytest.fixture(params=["layout", "docker-registry", "embedded"])
async def target(request: pytest.FixtureRequest, tmp_path: Path, repository: str) -> AsyncIterator[Store]:
    """A store to send something large to."""
    if request.param == "layout":
        yield Layout(tmp_path / "target", create=True)
        return
    registry = request.getfixturevalue("elsewhere" if request.param == "embedded" else "registry")
    host = registry if isinstance(registry, str) else registry.host
    async with Session(backoff=0.01) as session:
        yield Repository(session, host, repository)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_file_that_changes_before_it_is_sent_is_not_sent(tmp_path: Path, target: Store, when: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE * 8)
    async with Overlay() as overlay:
        content = await overlay.add(path)
        source = overlay.source(content)
        if when == "before":
            path.write_bytes(LARGE * 7 + LARGE[::-1])
        else:
            source = Interrupted(source, lambda: path.write_bytes(LARGE * 9))
        with pytest.raises(Conflict, match="was changed while it was read"):
            await target.write(content, source)
        assert not await target.contains(content)


async def test_a_file_that_changes_and_looks_as_before_is_refused(tmp_path: Path, target: Store) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE * 8)
    written = path.stat()
    async with Overlay() as overlay:
        content = await overlay.add(path)
        path.write_bytes(LARGE * 7 + LARGE[::-1])
        put_back(path, written)
        # A registry computes the digest, and so does a layout.
        with pytest.raises(DigestMismatch, match=f"{content.digest} does not match its digest"):
            await target.write(content, overlay.source(content))
        assert not await target.contains(content)


async def test_a_file_is_hashed_once_before_it_is_sent(
    tmp_path: Path, repository: str, elsewhere: str, hashed: list[int]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE * 8)
    async with Overlay() as overlay, Session() as session:
        content = await overlay.add(path)
        await Repository(session, elsewhere, repository).write(content, overlay.source(content))
        assert sum(hashed) < 1000
        # Who reads it gets it verified.
        hashed.clear()
        assert await read(overlay, content) == LARGE * 8
        assert sum(hashed) == content.size


class Interrupted(Source):
    """A source with something that happens after its first chunk."""

    def __init__(self, source: Source, happens: Callable[[], object]) -> None:
        self.digest = source.digest
        self.origin = source.origin
        self._source, self._happens = source, happens

    def since(self, start: int) -> AsyncIterator[bytes]:
        return self._read(self._source.since(start))

    def sent(self, start: int) -> AsyncIterator[bytes]:
        return self._read(self._source.sent(start))

    async def _read(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            self._happens()


async def test_names_that_are_whole_references_are_found_below(
    tmp_path: Path, fill: Fill, image: images.Manifest
) -> None:
    async with NewDockerArchive(tmp_path / "a.tar") as archive:
        await fill(archive, image, "registry.example/app:1")
    async with DockerArchive(tmp_path / "a.tar") as saved, Overlay(saved) as overlay:
        edited = await with_a_layer(overlay, "registry.example/app:1", "2")
        assert (await overlay.resolve("registry.example/app:1")).digest != edited.digest
        assert await overlay.resolve("2") == edited.descriptor


class TestCopied:
    async def test_into_a_sibling_everything_but_the_new_is_mounted(
        self, elsewhere: str, new_repository: Callable[[], str], fill: Fill, image: images.Manifest
    ) -> None:
        with CountingProxy(f"http://{elsewhere}") as proxy:
            async with Session() as session:
                source, target = (Repository(session, proxy.host, new_repository()) for _ in range(2))
                await fill(source, image, "1")
                async with Overlay(source) as overlay:
                    edited = await with_a_layer(overlay, "1")
                    proxy.reset()
                    copier = Copier(target)
                    await copier.copy(overlay, edited, names=["edited"])
                assert (copier.done.mounted, copier.done.uploaded) == (len(edited.children) - 1, 1)
                assert proxy.count("GET", "/blobs/") == 0
                assert await target.resolve("edited") == edited.descriptor
                assert await read(target, edited.layers[-1]) == LARGE

    async def test_into_the_store_below_only_the_new_is_sent(
        self, elsewhere: str, repository: str, fill: Fill, image: images.Manifest
    ) -> None:
        with CountingProxy(f"http://{elsewhere}") as proxy:
            async with Session() as session:
                store = Repository(session, proxy.host, repository)
                await fill(store, image, "1")
                async with Overlay(store) as overlay:
                    edited = await with_a_layer(overlay, "1")
                    proxy.reset()
                    copier = Copier(store)
                    await copier.copy(overlay, edited, names=["edited"])
                assert (copier.done.mounted, copier.done.uploaded) == (0, 1)
                sent = [(e.method, e.path.partition(repository)[2]) for e in proxy.exchanges]
                assert {path for method, path in sent if method == "PUT" and "manifests" in path} == {
                    "/manifests/edited"
                }
                asked = [path for _, path in sent if any(child.digest in path for child in edited.children[:-1])]
                assert asked == []
                assert await store.resolve("edited") == edited.descriptor

    async def test_a_blob_of_another_repository_is_mounted_from_there(
        self, elsewhere: str, new_repository: Callable[[], str], fill: Fill, image: images.Manifest
    ) -> None:
        with CountingProxy(f"http://{elsewhere}") as proxy:
            async with Session() as session:
                base, source, target = (Repository(session, proxy.host, new_repository()) for _ in range(3))
                await fill(source, image, "1")
                layer = Descriptor.of(LARGE, LAYER)
                await base.write(layer, from_bytes(LARGE))
                async with Overlay(source) as overlay:
                    overlay.refer(layer, from_store(base, layer))
                    assert await overlay.contains(layer)
                    assert await read(overlay, layer) == LARGE
                    before = await fetch_manifest(overlay, "1")
                    document = before.document | {"layers": [layer.to_document()]}
                    rebased = Manifest.build(document, before.media_type)
                    proxy.reset()
                    copier = Copier(target)
                    await copier.copy(overlay, rebased, names=["rebased"])
                assert (copier.done.mounted, copier.done.uploaded) == (2, 0)
                assert proxy.count("GET", "/blobs/") == 0
                assert await read(target, layer) == LARGE

    async def test_between_layouts(self, tmp_path: Path, fill: Fill, index: images.Manifest) -> None:
        source, target = Layout(tmp_path / "a", create=True), Layout(tmp_path / "b", create=True)
        await fill(source, index, "1")
        async with Overlay(source) as overlay:
            edited = await with_a_layer(overlay, index.children[0].digest)
            copier = Copier(target)
            await copier.copy(overlay, edited, names=["edited"])
        assert (copier.done.mounted, copier.done.uploaded) == (len(edited.children) - 1, 1)
        assert await read(target, edited.layers[-1]) == LARGE

    async def test_over_an_overlay(self, fill: Fill, image: images.Manifest) -> None:
        bottom = Memory()
        await fill(bottom, image, "1")
        async with Overlay(bottom) as first, Overlay(first) as second:
            once = await with_a_layer(first, "1")
            more = await second.add(b"more")
            document = once.document | {"layers": [*once.document["layers"], more.to_document()]}
            twice = Manifest.build(document, once.media_type)
            target = Memory()
            copier = Copier(target)
            await copier.copy(second, twice, names=["twice"])
        assert (await target.fetch("twice")).raw == twice.raw
        assert (copier.done.mounted, copier.done.uploaded) == (len(image.blobs), 2)
        assert await read(target, more) == b"more"


async def test_a_manifest_is_read_again_as_it_was_written(fill: Fill, image: images.Manifest) -> None:
    overlay = Overlay()
    await fill(overlay, image, "1")
    assert (await overlay.fetch("1")).raw == image.content
    assert parse(await read(overlay, await overlay.resolve("1"))).digest == image.digest
