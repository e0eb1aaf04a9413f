"""The OCI layout directory: names in all styles, other tools' layouts, damage, resuming, collecting."""

import asyncio
import contextlib
import fcntl
import json
import os
import resource
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import Conflict, DigestMismatch, InvalidContent, LadingError, NotFound
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.model.media_types import OCI_INDEX, OCI_MANIFEST
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import background
from lading.store import Source, from_bytes, from_chunks, from_store, put_manifest, read
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from lading.transfer.graph import Copier
from support import images
from support.parts import need, times

Fill = Callable[..., Awaitable[Descriptor]]

REF_NAME = "org.opencontainers.image.ref.name"
LARGE = images.noise("large", 5_000_000)
BLOB = Descriptor.of(LARGE, "application/octet-stream")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def layout(path: Path) -> Layout:
    return Layout(path, create=True)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    with background() as url:
        yield url.removeprefix("http://")


def index_of(path: Path) -> Any:
    return json.loads((path / "index.json").read_bytes())


def blob(path: Path, digest: str) -> Path:
    return path / "blobs" / digest.replace(":", "/")


def rename_entries(path: Path, *annotations: dict[str, str]) -> None:
    document = index_of(path)
    for entry, names in zip(document["manifests"], annotations, strict=True):
        entry["annotations"] = names
    (path / "index.json").write_text(json.dumps(document))


async def tags(store: Any) -> list[str]:
    return [tag async for tag in store.tags()]


# --- what is in the directory


async def test_the_files_are_those_of_the_specification(
    layout: Layout, path: Path, fill: Fill, index: images.Manifest
) -> None:
    await fill(layout, index, "1", "latest")
    assert json.loads((path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    entry = {"mediaType": OCI_INDEX, "digest": index.digest, "size": index.size}
    assert index_of(path) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry | {"annotations": {REF_NAME: name}} for name in ("1", "latest")],
    }
    files = {str(file.relative_to(path)): file.stat().st_mode & 0o777 for file in path.rglob("*") if file.is_file()}
    contents = [index, *index.children]
    digests = {item.digest for item in contents} | {digest for item in contents for digest in item.blobs}
    umask = os.umask(0)
    os.umask(umask)
    assert files == dict.fromkeys(
        {f"blobs/{digest.replace(':', '/')}" for digest in digests} | {"oci-layout", "index.json", ".lading/lock"},
        0o644 & ~umask,
    )


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
async def test_every_algorithm(layout: Layout, path: Path, image: images.Manifest, algorithm: str) -> None:
    content = Descriptor.of(b"x" * 10, "application/octet-stream", algorithm)
    await layout.write(content, from_bytes(b"x" * 10))
    assert blob(path, content.digest).read_bytes() == b"x" * 10
    manifest = parse(image.content, digest=Digest.of(image.content, algorithm))
    await layout.put(manifest, "1")
    assert (await layout.resolve("1")).digest == manifest.digest
    assert (await layout.fetch("1")).raw == image.content


async def test_what_is_not_known_stays(layout: Layout, path: Path, fill: Fill, image: images.Manifest) -> None:
    first = await fill(layout, image, "1")
    document = index_of(path)
    document |= {"annotations": {"a": "b"}, "x-number": 1.50, "artifactType": "application/x"}
    document["manifests"][0] |= {"x-more": [None, {"y": 1}], "platform": {"os": "linux", "architecture": "amd64"}}
    document["manifests"][0]["annotations"]["c"] = "d"
    (path / "index.json").write_text(json.dumps(document).replace("1.5", "1.50"))

    await fill(layout, images.make_image(seed="new"), "1")
    await layout.tag(first, "2")
    await layout.untag("2")
    kept = index_of(path)["manifests"][0]
    assert kept == {**document["manifests"][0], "annotations": {"c": "d"}}
    assert {k: v for k, v in index_of(path).items() if k != "manifests"} == {
        k: v for k, v in document.items() if k != "manifests"
    }
    assert b"1.50" in (path / "index.json").read_bytes()


async def test_an_entry_that_says_more_stays_without_its_name(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    await fill(layout, image, "1", "2", "3")
    document = index_of(path)
    document["manifests"][0]["x-more"] = 1
    (path / "index.json").write_text(json.dumps(document))
    for name in ("1", "2", "3"):
        await layout.untag(name)
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": image.size}
    assert index_of(path)["manifests"] == [entry | {"x-more": 1}]


async def test_nothing_is_written_when_nothing_changes(
    layout: Layout, path: Path, fill: Fill, index: images.Manifest
) -> None:
    await fill(layout, index, "1")
    before = {file: file.stat() for file in path.rglob("*")}
    await fill(Layout(path), index, "1")
    after = {file: file.stat() for file in path.rglob("*")}
    changed = {file.name for file in after if file not in before or after[file].st_mtime_ns != before[file].st_mtime_ns}
    # The children are listed until their index is there again.
    assert changed <= {"index.json", ".lading", "layout"}
    assert [entry["digest"] for entry in index_of(path)["manifests"]] == [index.digest]


# --- names


@pytest.mark.parametrize(
    "names",
    [
        {REF_NAME: "v1"},
        {REF_NAME: "app:v1"},
        {REF_NAME: "localhost:5000/team/app:v1"},
        {REF_NAME: "v1", "io.containerd.image.name": "docker.io/library/app:v1"},
        {"io.containerd.image.name": "docker.io/library/app:v1"},
    ],
)
async def test_a_tag_in_every_style(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest, names: dict[str, str]
) -> None:
    content = await fill(layout, image, "x")
    rename_entries(path, names)
    assert await tags(layout) == ["v1"]
    for name in ("v1", *names.values()):
        assert await layout.resolve(name) == content
    other = await fill(layout, images.make_image(seed="other"), "v1")
    assert await layout.resolve("v1") == other
    await layout.untag("v1")
    assert (await layout.resolve(content.digest)) == content
    assert len(index_of(path)["manifests"]) == 2


async def test_one_tag_in_two_repositories(layout: Layout, path: Path, fill: Fill) -> None:
    first = await fill(layout, images.make_image(seed="a"), "a")
    second = await fill(layout, images.make_image(seed="b"), "b")
    rename_entries(path, {REF_NAME: "one:v1"}, {REF_NAME: "two:v1"})
    assert await tags(layout) == ["one:v1", "two:v1"]
    with pytest.raises(Conflict, match="several") as raised:
        await layout.resolve("v1")
    assert raised.value.remedy == "say which: one:v1 or two:v1"
    assert (await layout.resolve("one:v1"), await layout.resolve("two:v1")) == (first, second)
    with pytest.raises(Conflict):
        await layout.untag("v1")


@pytest.mark.parametrize("name", ["localhost:5000/app", "app@sha256:" + "0" * 64, "a/b"])
async def test_names_without_a_tag(layout: Layout, path: Path, fill: Fill, image: images.Manifest, name: str) -> None:
    content = await fill(layout, image, "x")
    rename_entries(path, {REF_NAME: name})
    assert await tags(layout) == [name]
    assert await layout.resolve(name) == content


async def test_a_wrong_tag_is_told_the_nearest(layout: Layout, fill: Fill, image: images.Manifest) -> None:
    await fill(layout, image, "1.27.1")
    with pytest.raises(NotFound) as raised:
        await layout.resolve("1.27.2")
    assert raised.value.remedy == "the nearest it has: 1.27.1"


async def test_the_only_one(
    layout: Layout, path: Path, fill: Fill, index: images.Manifest, image: images.Manifest, signature: images.Manifest
) -> None:
    await put_manifest(layout, parse(image.content))
    with pytest.raises(NotFound, match="is empty"):
        await Layout(path.parent / "new", create=True).resolve("")
    assert (await layout.resolve("")).digest == image.digest
    await fill(layout, signature)
    assert (await layout.resolve("")).digest == image.digest
    content = await fill(layout, index, "1")
    with pytest.raises(Conflict) as raised:
        await layout.resolve("")
    assert raised.value.cause == f"{image.digest}, 1"
    assert len(await layout.entries()) == 4, "three manifests, and the list of what refers to the image"
    await layout.delete(parse(image.content).descriptor)
    await layout.delete(parse(signature.content).descriptor)
    assert await layout.resolve("") == content


async def test_children_that_are_listed_too(layout: Layout, path: Path, fill: Fill, index: images.Manifest) -> None:
    # As oras does: with their platforms.
    content = await fill(layout, index, "1")
    document = index_of(path)
    document["manifests"] += index.document["manifests"]
    (path / "index.json").write_text(json.dumps(document))
    assert await layout.resolve("") == content
    assert len(await layout.entries()) == 4
    await layout.put(await layout.fetch("1"), "2")
    assert len(index_of(path)["manifests"]) == 5


async def test_many_who_make_one_layout_at_once(path: Path, image: images.Manifest) -> None:
    for number in range(20):
        layouts = [Layout(path / str(number), create=True) for _ in range(4)]
        blobs = {Descriptor.of(data, ""): data for data in (image.config, *image.layers)}
        await asyncio.gather(*(layout.write(*item) for layout in layouts for item in sources(blobs)))
        await asyncio.gather(*(layout.put(parse(image.content), str(n)) for n, layout in enumerate(layouts)))
        assert sorted(await tags(layouts[0])) == ["0", "1", "2", "3"]


def sources(blobs: dict[Descriptor, bytes]) -> list[tuple[Descriptor, Source]]:
    return [(content, from_bytes(data)) for content, data in blobs.items()]


# --- layouts made by hand, and what is none


async def test_a_layout_made_by_hand(path: Path, image: images.Manifest) -> None:
    (path / "blobs/sha256").mkdir(parents=True)
    for digest, data in {image.digest: image.content, **image.blobs}.items():
        blob(path, digest).write_bytes(data)
    entry: dict[str, Any] = {"digest": image.digest, "size": image.size}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry, entry]}))
    layout = Layout(path)
    assert await layout.resolve("") == Descriptor.of(image.content, image.media_type)
    await layout.tag(await layout.resolve(""), "1")
    assert (path / "oci-layout").exists()
    assert "mediaType" not in index_of(path)


@pytest.mark.parametrize("document", ['{"schemaVersion":2,"manifests":null}', '{"manifests":[]}', "{}"])
async def test_an_empty_index_in_every_form(path: Path, fill: Fill, image: images.Manifest, document: str) -> None:
    path.mkdir()
    (path / "index.json").write_text(document)
    layout = Layout(path)
    assert await tags(layout) == []
    await fill(layout, image, "1")
    assert await tags(layout) == ["1"]


async def test_the_keys_of_an_index_are_read_as_go_reads_them(path: Path, fill: Fill, image: images.Manifest) -> None:
    content = await fill(Layout(path, create=True), image, "1")
    text = (path / "index.json").read_text()
    for key in ("schemaVersion", "mediaType", "manifests", "digest", "annotations"):
        text = text.replace(f'"{key}"', f'"{key.title()}"')
    (path / "index.json").write_text(text)
    (path / "oci-layout").write_text('{"ImageLayoutVersion": "1.0.0"}')
    layout = Layout(path)
    assert (await layout.resolve("1")).digest == content.digest
    await layout.tag(content, "2")
    document = json.loads((path / "index.json").read_bytes())
    assert (document["schemaVersion"], len(document["manifests"])) == (2, 2)
    assert "Manifests" not in document


async def test_a_layout_without_an_index(path: Path) -> None:
    path.mkdir()
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    assert await tags(Layout(path)) == []


async def test_what_is_no_layout(path: Path, fill: Fill, image: images.Manifest) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        await Layout(path).resolve("1")
    with pytest.raises(NotFound):
        await fill(Layout(path), image, "1")
    assert not path.exists()
    path.mkdir()
    with pytest.raises(InvalidContent, match="is not an image layout"):
        await Layout(path).check()
    (path / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="is not an image layout"):
        await fill(Layout(path, create=True), image, "1")
    assert [file.name for file in path.iterdir()] == ["notes.txt"]
    with pytest.raises(InvalidContent) as raised:
        await Layout(path / "notes.txt").check()
    assert raised.value.remedy == f"if it is an archive: oci-archive:{path}/notes.txt"


async def test_a_version_that_is_not_known(layout: Layout, path: Path, fill: Fill, image: images.Manifest) -> None:
    await fill(layout, image, "1")
    (path / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(InvalidContent, match="version that lading does not read"):
        await Layout(path).resolve("1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["digest", "size"]), inner),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {"digest": st.just("sha256:" + "a" * 64) | JSON, "size": st.just(3) | JSON},
    optional={
        "mediaType": st.sampled_from([OCI_MANIFEST, OCI_INDEX]) | JSON,
        "annotations": st.just({REF_NAME: "v1"}) | st.dictionaries(st.just(REF_NAME), JSON) | JSON,
        "platform": JSON,
        "urls": JSON,
    },
)
INDEX = st.fixed_dictionaries(
    {"manifests": st.lists(ENTRY | JSON, max_size=3) | JSON},
    optional={"schemaVersion": st.just(2) | JSON, "mediaType": st.just(OCI_INDEX) | JSON},
)
JUNK = (
    st.binary(max_size=40)
    | JSON.map(lambda value: json.dumps(value).encode())
    | INDEX.map(lambda value: json.dumps(value).encode())
)


@given(junk=JUNK, version=st.just(b'{"imageLayoutVersion":"1.0.0"}') | st.binary(max_size=9))
@settings(max_examples=times(50, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_junk_is_reported_and_never_a_surprise(tmp_path: Path, junk: bytes, version: bytes) -> None:
    path = tmp_path / "junk"
    (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (path / "oci-layout").write_bytes(version)
    (path / "index.json").write_bytes(junk)
    os.utime(path / "index.json", (0, 0))
    blob(path, "sha256:" + "a" * 64).write_bytes(b"{}\n")
    subject = Descriptor.of(b"x", OCI_MANIFEST)

    async def use() -> None:
        layout = Layout(path)
        image = parse(images.make_image().content)
        for step in (
            lambda: layout.resolve("v1"),
            lambda: layout.resolve(""),
            lambda: collect(layout.tags()),
            lambda: collect(layout.referrers(subject)),
            lambda: layout.put(image, "v1"),
            lambda: layout.untag("v1"),
            lambda: layout.gc(dry_run=True),
        ):
            with contextlib.suppress(InvalidContent, NotFound, Conflict):
                await step()

    asyncio.run(use())


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


# --- damage


@pytest.mark.parametrize("wrong", ["flipped", "shorter", "longer", "gone"])
async def test_a_damaged_blob_is_noticed_and_replaced(
    layout: Layout, path: Path, fill: Fill, index: images.Manifest, wrong: str
) -> None:
    await fill(layout, index, "1")
    content = parse(index.children[0].content).children[1]
    file = blob(path, content.digest)
    good = file.read_bytes()
    damage = {"flipped": good[:-1] + bytes([good[-1] ^ 1]), "shorter": good[:-1], "longer": good + b"x"}
    if wrong == "gone":
        file.unlink()
    else:
        file.write_bytes(damage[wrong])

    reading = Layout(path)
    with pytest.raises(NotFound if wrong == "gone" else DigestMismatch) as raised:
        async with reading.open(content) as reader:
            await reader.read()
    assert str(file) in str(raised.value)
    assert not await reading.contains(content)  # it has been read
    assert not await Layout(path, verify=True).contains(content)
    assert await Layout(path).contains(content) == (wrong == "flipped")

    await fill(Layout(path, verify=True), index, "1")
    assert file.read_bytes() == good
    assert await Layout(path, verify=True).contains(content)


async def test_a_damaged_manifest_is_replaced_without_being_asked(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    content = await fill(layout, image, "1")
    blob(path, image.digest).write_bytes(image.content[:-1] + b" ")
    again = Layout(path)
    for broken in (again.fetch("1"), collect(again.referrers(BLOB)), again.gc(grace=0)):
        with pytest.raises(DigestMismatch, match="is damaged"):
            await broken
    assert not await again.contains(content)
    await fill(again, image, "1")
    assert (await again.fetch("1")).raw == image.content


async def test_a_manifest_whose_file_is_missing(layout: Layout, path: Path, fill: Fill, image: images.Manifest) -> None:
    await fill(layout, image, "1")
    blob(path, image.digest).unlink()
    with pytest.raises(NotFound) as raised:
        await Layout(path).resolve("1")
    assert raised.value.cause == f"there is no file {blob(path, image.digest)}"
    assert [item async for item in Layout(path).referrers(BLOB)] == []


async def test_a_foreign_layer_is_where_its_address_says(layout: Layout, fill: Fill, image: images.Manifest) -> None:
    await fill(layout, image, "1")
    foreign = Descriptor(
        media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        digest=BLOB.digest,
        size=BLOB.size,
        urls=("https://example.com/layer",),
    )
    with pytest.raises(NotFound) as raised:
        async with layout.open(foreign):
            pass
    assert raised.value.remedy == "it is a foreign layer; its content is at https://example.com/layer"


async def test_a_blob_that_is_no_file(layout: Layout, path: Path, fill: Fill, image: images.Manifest) -> None:
    await fill(layout, image, "1")
    blob(path, BLOB.digest).mkdir()
    pipe = Descriptor.of(b"pipe", "")
    os.mkfifo(blob(path, pipe.digest))
    for content in (BLOB, pipe):
        with pytest.raises(InvalidContent, match="is not a file"):
            async with layout.open(content):
                pass


async def test_a_directory_that_cannot_be_written(path: Path, fill: Fill, image: images.Manifest) -> None:
    path.mkdir()
    (path / "blobs").write_text("in the way")
    with pytest.raises(LadingError, match="cannot"):
        await fill(Layout(path, create=True), image, "1")


async def test_no_room_for_a_blob(layout: Layout, path: Path, fill: Fill, image: images.Manifest) -> None:
    await fill(layout, image, "1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(LadingError, match=r"cannot use .*File too large"):
            await layout.write(BLOB, from_bytes(LARGE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in (path / ".lading").iterdir()] == ["lock"]
    assert not await layout.contains(BLOB)
    await layout.write(BLOB, from_bytes(LARGE))
    assert await layout.contains(BLOB)


async def test_what_was_verified_to_be_something_else_is_verified(layout: Layout, path: Path) -> None:
    other = Descriptor.of(LARGE[::-1], BLOB.media_type)
    shelf = Memory()
    await shelf.write(other, from_bytes(LARGE[::-1]))
    with pytest.raises(DigestMismatch, match=f"{BLOB.digest} does not match its digest"):
        await layout.write(BLOB, from_store(shelf, other))
    with pytest.raises(DigestMismatch, match="is not complete"):
        await layout.write(msgspec.structs.replace(other, size=other.size + 1), from_store(shelf, other))
    assert not [entry for entry in path.rglob("*") if entry.is_file() and entry.stat().st_size > 1000]
    await layout.write(other, from_store(shelf, other))
    assert (path / "blobs" / str(other.digest).replace(":", "/")).read_bytes() == LARGE[::-1]


async def test_a_copy_is_hashed_once_on_its_way(layout: Layout, hashed: list[int]) -> None:
    shelf = Memory()
    await shelf.write(BLOB, from_bytes(LARGE))
    hashed.clear()
    await layout.write(BLOB, from_store(shelf, BLOB))
    assert sum(hashed) == BLOB.size


# --- resuming


class Broken(Source):
    """Gives bytes up to `stop`, and then fails, if it is to; remembers from where it was read."""

    def __init__(self, data: bytes, stop: int | None = None) -> None:
        self.data = data
        self.stop = stop
        self.asked: list[int] = []

    async def since(self, start: int) -> AsyncIterator[bytes]:
        self.asked.append(start)
        stop = len(self.data) if self.stop is None else self.stop
        for at in range(start, stop, 10_000):
            yield self.data[at : min(at + 10_000, stop)]
        if self.stop is not None:
            raise ConnectionResetError


def part_of(path: Path) -> Path:
    """Where what has come of a blob is kept."""
    return path / ".lading" / BLOB.digest.replace(":", "-")


async def test_a_write_that_broke_off_goes_on_where_it_was(layout: Layout, path: Path) -> None:
    for begin, stop in ((0, 3_000_000), (3_000_000, 4_000_000)):
        source = Broken(LARGE, stop)
        with pytest.raises(ConnectionResetError):
            await Layout(path, create=True).write(BLOB, source)
        assert source.asked == [begin]
        assert not blob(path, BLOB.digest).exists()
        assert part_of(path).stat().st_size == stop
    source = Broken(LARGE)
    await layout.write(BLOB, source)
    assert source.asked == [4_000_000]
    assert await read(layout, BLOB, BLOB.size) == LARGE
    assert [file.name for file in (path / ".lading").iterdir()] == ["lock"]


async def test_all_had_come_and_only_the_name_was_missing(layout: Layout, path: Path) -> None:
    (path / ".lading").mkdir(parents=True)
    part_of(path).write_bytes(LARGE)
    source = Broken(LARGE)
    await layout.write(BLOB, source)
    assert source.asked == []
    assert await layout.contains(BLOB)


async def test_a_part_that_is_wrong_is_not_kept(layout: Layout, path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        await layout.write(BLOB, Broken(LARGE[::-1], 3_000_000))
    source = Broken(LARGE)
    await layout.write(BLOB, source)
    assert source.asked == [3_000_000, 0]
    assert blob(path, BLOB.digest).read_bytes() == LARGE


async def test_a_source_that_is_wrong_leaves_no_part(layout: Layout, path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        await layout.write(BLOB, Broken(LARGE, 3_000_000))
    source = Broken(LARGE[::-1])
    with pytest.raises(DigestMismatch):
        await layout.write(BLOB, source)
    assert source.asked == [3_000_000, 0]
    assert [file.name for file in (path / ".lading").iterdir()] == ["lock"]
    assert not await layout.contains(BLOB)


async def test_a_part_that_another_has_taken_meanwhile(
    layout: Layout, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.stores.layout.layout.part_size", lambda folder, digest: 3_000_000)
    source = Broken(LARGE)
    await layout.write(BLOB, source)
    assert source.asked == [0]
    assert blob(path, BLOB.digest).read_bytes() == LARGE


async def test_two_who_write_the_same_blob(layout: Layout, path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield LARGE[:2_000_000]
        begun.set()
        await go_on.wait()
        yield LARGE[2_000_000:]

    first = asyncio.create_task(layout.write(BLOB, from_chunks(slow)))
    await begun.wait()
    source = Broken(LARGE)
    await Layout(path).write(BLOB, source)
    assert source.asked == [0]
    go_on.set()
    await first
    assert blob(path, BLOB.digest).read_bytes() == LARGE
    assert [file.name for file in (path / ".lading").iterdir()] == ["lock"]


async def test_a_part_that_is_longer_than_the_blob(layout: Layout, path: Path) -> None:
    (path / ".lading").mkdir(parents=True)
    part_of(path).write_bytes(LARGE + b"more")
    source = Broken(LARGE)
    await layout.write(BLOB, source)
    assert source.asked == [0]
    assert blob(path, BLOB.digest).read_bytes() == LARGE


async def test_a_part_that_became_the_blob_meanwhile_is_left_alone(
    layout: Layout, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    await layout.write(Descriptor.of(b"x", ""), from_bytes(b"x"))
    part = part_of(path)
    part.write_bytes(LARGE)
    lock = fcntl.flock

    def be_late(handle: int, operation: int) -> None:
        if part.exists() and part.stat().st_size:
            part.rename(blob(path, BLOB.digest))
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", be_late)
    with pytest.raises(ConnectionResetError):
        await layout.write(BLOB, Broken(LARGE, 2_000_000))
    assert blob(path, BLOB.digest).read_bytes() == LARGE


async def test_a_cancelled_write_keeps_its_part_and_leaves_no_task(layout: Layout) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE[:2_000_000]
        begun.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    writing = asyncio.create_task(layout.write(BLOB, from_chunks(endless)))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert asyncio.all_tasks() == before
    assert part_of(layout.path).stat().st_size == 2_000_000


async def test_what_runs_in_a_thread_has_ended_when_a_cancelled_caller_goes_on() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    running = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


async def test_waiting_for_the_lock_can_be_cancelled(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    await fill(layout, image, "1")
    with (path / ".lading/lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = asyncio.create_task(layout.untag("1"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting  # although nobody gives the lock back
        assert (await layout.resolve("1")).digest == image.digest  # readers do not wait
    await layout.untag("1")


# --- deleting and collecting


async def test_what_is_referred_to_is_not_deleted(layout: Layout, fill: Fill, index: images.Manifest) -> None:
    content = await fill(layout, index, "1")
    child = parse(index.children[0].content)
    for item in (child.descriptor, *child.children):
        with pytest.raises(Conflict, match="cannot be deleted"):
            await layout.delete(item)
    await layout.delete(content)
    await layout.delete(child.descriptor)
    assert not await layout.contains(child.descriptor)


async def test_only_what_nothing_refers_to_is_collected(
    layout: Layout,
    path: Path,
    fill: Fill,
    index: images.Manifest,
    image: images.Manifest,
    signature: images.Manifest,
) -> None:
    await fill(layout, index, "1")
    await fill(layout, image, "2")
    unlisted = await fill(layout, signature)
    document = index_of(path)
    document["manifests"] = [entry for entry in document["manifests"] if entry["digest"] != unlisted.digest]
    (path / "index.json").write_text(json.dumps(document))
    await layout.write(BLOB, from_bytes(LARGE))
    (path / ".lading/abandoned").write_bytes(b"1234")
    (path / "blobs/sha256/README").write_text("mine")
    before = sorted(path.rglob("*"))

    assert (await layout.gc()).content == ()
    assert (await layout.gc(dry_run=True)).content == ()
    planned = await layout.gc(dry_run=True, grace=0)
    assert (planned.content, planned.bytes, planned.parts) == (
        (Descriptor(digest=BLOB.digest, size=BLOB.size),),
        BLOB.size + 4,
        1,
    )
    assert sorted(path.rglob("*")) == before
    assert await layout.gc(grace=0) == planned
    gone = {blob(path, BLOB.digest), path / ".lading/abandoned"}
    assert sorted(path.rglob("*")) == sorted(set(before) - gone)
    assert (await layout.gc(grace=0)).content == ()


async def test_what_lost_its_tag_stays_until_it_is_asked_away(layout: Layout, path: Path, fill: Fill) -> None:
    first, second = images.make_image(seed="first"), images.make_image(seed="second")
    content = await fill(layout, first, "1")
    await fill(layout, second, "1")
    assert (await layout.gc(grace=0)).content == ()
    gone = {item.digest for item in (await layout.gc(grace=0, untagged=True)).content}
    assert gone == {first.digest, *first.blobs}
    assert [entry["digest"] for entry in index_of(path)["manifests"]] == [second.digest]
    assert not await layout.contains(content)


async def test_what_was_asked_for_of_late_is_not_collected(layout: Layout, path: Path) -> None:
    await layout.write(BLOB, from_bytes(LARGE))
    os.utime(blob(path, BLOB.digest), (0, 0))
    assert len((await layout.gc(dry_run=True)).content) == 1
    assert await layout.contains(BLOB)
    assert (await layout.gc()).content == ()


# --- referrers, for tools that look for them under a tag


def listed_referrers(path: Path, subject: images.Manifest) -> list[str] | None:
    """What is listed under the fallback tag of a manifest."""
    tag = subject.digest.replace(":", "-")
    found = [entry for entry in index_of(path)["manifests"] if (entry.get("annotations") or {}).get(REF_NAME) == tag]
    if not found:
        return None
    assert len(found) == 1
    assert found[0]["mediaType"] == OCI_INDEX
    return [entry["digest"] for entry in json.loads(blob(path, found[0]["digest"]).read_bytes())["manifests"]]


def artifacts(subject: images.Manifest, count: int) -> list[images.Manifest]:
    made = [
        images.make_artifact("application/vnd.example.note", {"n": str(n).encode()}, subject=subject)
        for n in range(count)
    ]
    return sorted(made, key=lambda artifact: artifact.digest)


async def test_referrers_are_listed_under_the_fallback_tag_too(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    notes = artifacts(image, 4)
    await fill(layout, image, "1")
    await asyncio.gather(*(fill(layout, note) for note in notes))
    assert listed_referrers(path, image) == [note.digest for note in notes]
    entry = next(entry for entry in await layout.entries() if "sha256-" in str(entry.annotations))
    first = parse(blob(path, entry.digest).read_bytes()).document["manifests"][0]
    assert first["artifactType"] == "application/vnd.example.note"
    # It is no content that somebody put there.
    assert await tags(layout) == ["1"]
    assert (await layout.resolve("")).digest == image.digest
    assert (await layout.gc(grace=0)).bytes > 0, "the shorter lists"
    assert listed_referrers(path, image) == [note.digest for note in notes]


async def test_a_referrer_that_is_deleted_is_listed_no_more(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    one, two = artifacts(image, 2)
    contents = [await fill(layout, item) for item in (one, two)]
    await layout.delete(contents[0])
    assert listed_referrers(path, image) == [two.digest]
    await layout.delete(contents[1])
    assert listed_referrers(path, image) is None


async def test_lists_of_referrers_go_with_what_they_are_about(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    other = images.make_image(seed="other")
    notes = [*artifacts(image, 1), *artifacts(other, 1)]
    await fill(layout, image, "1")
    await fill(layout, other, "2")
    for note in notes:
        await fill(layout, note)
    await layout.untag("2")
    assert (await layout.gc(grace=0)).content == ()
    gone = {item.digest for item in (await layout.gc(grace=0, untagged=True)).content}
    assert {other.digest, notes[1].digest} < gone
    assert listed_referrers(path, image) == [notes[0].digest]
    assert listed_referrers(path, other) is None
    assert [item.digest async for item in layout.referrers(parse(image.content).descriptor)] == [notes[0].digest]


async def test_a_list_of_referrers_that_is_damaged_is_made_again(
    layout: Layout, path: Path, fill: Fill, image: images.Manifest
) -> None:
    one, two = artifacts(image, 2)
    await fill(layout, one)
    entry = next(entry for entry in index_of(path)["manifests"] if "annotations" in entry)
    blob(path, entry["digest"]).write_bytes(b"{")
    await fill(layout, two)
    assert listed_referrers(path, image) == [two.digest]


# --- other stores and other tools


@pytest.mark.parametrize("kind", ["memory", "registry"])
async def test_there_and_back(
    layout: Layout,
    path: Path,
    elsewhere: str,
    repository: str,
    fill: Fill,
    index: images.Manifest,
    signature: images.Manifest,
    kind: str,
) -> None:
    async with Session() as session:
        other = Memory() if kind == "memory" else Repository(session, elsewhere, repository, writing=True)
        await fill(layout, index, "1")
        content = await layout.resolve("1")
        await Copier(other).copy(layout, content, names=["2"])
        assert await other.resolve("2") == content
        back = Layout(path.parent / "back", create=True)
        copier = Copier(back)
        await copier.copy(other, content, names=["1"])
        assert copier.done.manifests == 4
    files = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for name, data in files.items():
        assert (back.path / name).read_bytes() == data


def skopeo(*arguments: str) -> str:
    program = need("skopeo")
    done = subprocess.run(
        [program, "--insecure-policy", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_skopeo_reads_what_was_written(layout: Layout, path: Path, fill: Fill, index: images.Manifest) -> None:
    await fill(layout, index, "1")
    skopeo("copy", "--all", "--preserve-digests", f"oci:{path}:1", f"dir:{path}-dir")
    assert (path.parent / "layout-dir/manifest.json").read_bytes() == index.content
    assert json.loads(skopeo("inspect", "--raw", f"oci:{path}")) == index.document


async def test_what_skopeo_wrote_is_read_and_changed(path: Path, fill: Fill, registry: Any, repository: str) -> None:
    image = images.make_image(kind="oci", layers=2, seed="skopeo")
    images.push(registry.host, repository, "1", image)
    for tag in ("1", "two"):
        skopeo(
            "copy", "--src-tls-verify=false", "--preserve-digests", f"docker://{registry.host}/{repository}:1",
            f"oci:{path}:{tag}",
        )  # fmt: skip
    layout = Layout(path)
    assert await tags(layout) == ["1", "two"]
    assert (await layout.fetch("two")).raw == image.content
    await layout.untag("two")
    await fill(layout, images.make_image(kind="oci", seed="added"), "added")
    assert json.loads(skopeo("inspect", "--raw", f"oci:{path}:added"))["schemaVersion"] == 2
    memory = Memory()
    await Copier(memory).copy(layout, await layout.resolve("1"), names=["1"])
    assert (await memory.fetch("1")).raw == image.content
