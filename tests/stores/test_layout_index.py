"""The `index.json` of a layout: changed by many at once, remembered only while it is the same."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, encode_compact
from lading.store import from_bytes
from lading.stores.layout import index_file
from lading.stores.layout.index_file import IndexFile
from lading.stores.layout.layout import Layout
from lading.stores.layout.listing import Listing, add, plain, untag
from support import images

OTHER = "application/vnd.example.new+json"
NAMES = st.sampled_from(["1", "2", "latest", "docker.io/library/app:1"])
MANIFESTS = [Descriptor.of(bytes([number]), images.OCI_MANIFEST) for number in range(4)]
STEP = st.tuples(st.sampled_from(["add", "untag"]), st.sampled_from(MANIFESTS), NAMES | st.none())


@given(steps=st.lists(STEP, max_size=12), extra=st.dictionaries(st.text(max_size=3), st.none() | st.text()))
def test_what_is_remembered_is_what_is_written(steps: list[Any], extra: dict[str, Any]) -> None:
    listing = Listing(extra | {"schemaVersion": 2, "manifests": [], "z": 1.5})
    for step, content, name in steps:
        documents = listing.documents
        before = json.dumps(documents)
        if step == "add":
            add(documents, plain(content), name)
        elif name is not None:
            untag(documents, name)
        assert json.dumps(listing.documents) == before
        listing = listing.changed(documents)
        again = Listing.read(listing.encode(), "it")
        assert listing.encode() == encode_compact(json.loads(listing.encode()))
        assert again.documents == listing.documents
        assert again.entries == listing.entries
        for word in ("1", "2", "latest"):
            assert again.named(word) == listing.named(word)
            assert len({entry.digest for entry in listing.entries if word in str(entry.annotations.values())}) <= 4
    # A name is that of one manifest only.
    for name in ("1", "2", "latest", "docker.io/library/app:1"):
        assert len({entry.digest for entry in listing.entries if name in entry.annotations.values()}) <= 1


def test_threads_that_read_while_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.json"
    index = IndexFile(tmp_path, "it", lambda: Listing.read(path.read_bytes(), "it"))
    index.write(Listing.empty())
    stamp = index_file._stamp
    is_meanwhile = False

    def stamped(file: Path) -> Any:
        nonlocal is_meanwhile
        found = stamp(file)
        if not is_meanwhile:
            # Another thread reads a file that is too young to be remembered, while this one looks at its status.
            is_meanwhile = True
            os.utime(path)
            index.listing()
        return found

    monkeypatch.setattr(index_file, "_stamp", stamped)
    assert index.listing().entries == ()
    assert is_meanwhile


async def test_a_change_that_fails_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    index = IndexFile(tmp_path, "it", lambda: Listing.read(path.read_bytes(), "it"))
    index.write(Listing.empty())

    def refuse(documents: list[Document]) -> None:
        documents.clear()
        raise NotFound("nothing")

    results = await asyncio.gather(
        index.change(lambda documents: add(documents, plain(MANIFESTS[0]), "1")),
        index.change(refuse),
        index.change(lambda documents: add(documents, plain(MANIFESTS[1]), "2")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), NotFound, type(None)]
    assert Listing.read(path.read_bytes(), "it").tags() == ["1", "2"]


async def test_a_long_list_is_read_once_and_its_entries_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = Listing.read

    def counted(raw: bytes, where: str) -> Listing:
        nonlocal reads
        reads += 1
        return read(raw, where)

    monkeypatch.setattr(Listing, "read", counted)
    layout = Layout(tmp_path / "layout", create=True)
    content = Descriptor.of(images.make_image().content, images.DOCKER_MANIFEST)
    await layout.write(content, from_bytes(images.make_image().content))
    before = reads
    for number in range(20):
        await layout.tag(content, str(number))
        assert (await layout.resolve(str(number))).digest == content.digest
    assert reads == before


async def test_what_another_writes_is_seen_at_once(tmp_path: Path) -> None:
    """However fast they follow each other, and although sizes are equal and inodes come again."""
    one, two = Layout(tmp_path / "layout", create=True), Layout(tmp_path / "layout", create=True)
    image = images.make_image().content
    content = Descriptor.of(image, images.DOCKER_MANIFEST)
    await one.write(content, from_bytes(image))
    for number in range(100, 200):
        writer, reader = (one, two) if number % 2 else (two, one)
        if number > 100:
            await writer.untag(str(number - 1))
        await writer.tag(content, str(number))
        assert [tag async for tag in reader.tags()] == [str(number)]


async def test_a_file_without_fine_times_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utime = os.utime
    monkeypatch.setattr(os, "utime", lambda file, ns=None, **_: utime(file, ns=(10**9, 10**9)) if ns else None)
    one, two = Layout(tmp_path / "layout", create=True), Layout(tmp_path / "layout", create=True)
    image = images.make_image().content
    content = Descriptor.of(image, images.DOCKER_MANIFEST)
    await one.write(content, from_bytes(image))
    await one.tag(content, "1")
    assert [tag async for tag in two.tags()] == ["1"]


async def test_what_a_manifest_of_an_unknown_kind_refers_to_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "layout"
    layout = Layout(path, create=True)
    blobs = [Descriptor.of(data, "application/x-data") for data in (b"near", b"deep", b"forgotten")]
    for blob, data in zip(blobs, (b"near", b"deep", b"forgotten"), strict=True):
        await layout.write(blob, from_bytes(data))
    image = images.make_image(kind="oci")
    document = {
        "x-near": blobs[0].to_document(),
        "x-deep": [{"more": {"digest": blobs[1].digest}}],
        "subject": {"digest": image.digest},
        "annotations": {"a": "b"},
        "config": {"mediaType": "application/x-config"},
    }
    raw = json.dumps(document).encode()
    content = Descriptor.of(raw, OTHER)
    (path / "blobs/sha256" / content.digest.hex).write_bytes(raw)
    index = json.loads((path / "index.json").read_bytes())
    index["manifests"].append(plain(content))
    (path / "index.json").write_text(json.dumps(index))
    gone = await Layout(path).gc(grace=0)
    assert [item.digest for item in gone.content] == [blobs[2].digest]
    subject = Descriptor.of(image.content, image.media_type)
    referrers = [item async for item in Layout(path).referrers(subject)]
    assert [(item.digest, item.artifact_type, item.annotations) for item in referrers] == [
        (content.digest, "application/x-config", {"a": "b"})
    ]


async def test_the_collector_lists_nothing_whose_content_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it is killed between two files."""
    path = tmp_path / "layout"
    layout = Layout(path, create=True)
    for seed in ("kept", "lost"):
        image = images.make_image(kind="oci", seed=seed)
        for digest, data in image.blobs.items():
            await layout.write(Descriptor(digest=Digest(digest), size=len(data)), from_bytes(data))
        manifest = Descriptor.of(image.content, image.media_type)
        await layout.write(manifest, from_bytes(image.content))
        if seed == "kept":
            await layout.tag(manifest, "1")

    def killed(layout: Layout, path: str, before: float, dry_run: bool) -> bool:
        if dry_run:
            return True
        raise RuntimeError("killed")

    monkeypatch.setattr(Layout, "_remove", killed)
    with pytest.raises(RuntimeError):
        await layout.gc(grace=0, untagged=True)
    listed = json.loads((path / "index.json").read_bytes())["manifests"]
    assert [entry["annotations"] for entry in listed] == [{"org.opencontainers.image.ref.name": "1"}]


async def test_an_untagged_manifest_that_is_young_keeps_its_old_blobs(tmp_path: Path) -> None:
    path = tmp_path / "layout"
    layout = Layout(path, create=True)
    image = images.make_image(kind="oci")
    for digest, data in image.blobs.items():
        await layout.write(Descriptor(digest=Digest(digest), size=len(data)), from_bytes(data))
        os.utime(path / "blobs" / digest.replace(":", "/"), (0, 0))
    await layout.write(Descriptor.of(image.content, image.media_type), from_bytes(image.content))
    assert (await layout.gc(untagged=True)).content == ()
    os.utime(path / "blobs" / image.digest.replace(":", "/"), (0, 0))
    assert len((await layout.gc(untagged=True)).content) == 1 + len(image.blobs)
