"""Manifests as they are: get, get_manifest, get_index, contains and put, and the stores behind `Client.open`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading import Client, Index, Manifest, Place
from lading.errors import Conflict, DigestMismatch, InvalidContent, NotFound, Unsupported
from lading.store import from_bytes
from support.images import Manifest as Built
from support.images import get_manifest, list_tags, make_artifact, make_image, make_index, push
from support.proxy import CountingProxy
from support.registry import RealRegistry


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as running:
        yield running


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    return f"{registry.host}/{repository}"


@pytest.fixture
def image(registry: RealRegistry, repository: str) -> Built:
    built = make_image()
    push(registry.host, repository, "1", built)
    return built


@pytest.fixture
def index(registry: RealRegistry, repository: str) -> Built:
    built = make_index([make_image("linux/amd64"), make_image("linux/arm64")])
    push(registry.host, repository, "multi", built)
    return built


def test_each_kind_by_its_own_method(client: Client, name: str, image: Built, index: Built) -> None:
    assert client.get_manifest(f"{name}:1").digest == image.digest
    found = client.get_index(f"{name}:multi")
    assert found.digest == index.digest
    arm = client.get_manifest(f"{name}:multi", platform="linux/arm64")
    assert arm.digest == found.manifests[1].digest
    assert isinstance(client.get(f"{name}:1"), Manifest)
    assert isinstance(client.get(f"{name}:multi"), Index)


def test_the_other_kind_is_an_error(client: Client, name: str, image: Built, index: Built) -> None:
    with pytest.raises(InvalidContent, match=f"{name}:multi is an index, not the manifest of an image") as an_index:
        client.get_manifest(f"{name}:multi")
    assert an_index.value.code == "is-index"
    with pytest.raises(InvalidContent, match=f"{name}:1 is the manifest of an image, not an index") as an_image:
        client.get_index(f"{name}:1")
    assert an_image.value.code == "is-no-index"


def test_contains(client: Client, name: str, image: Built, tmp_path: Path) -> None:
    assert client.contains(f"{name}:1")
    assert client.contains(f"{name}@{image.digest}")
    assert not client.contains(f"{name}:2")
    assert not client.contains(f"{name}@sha256:{'0' * 64}")
    assert not client.contains(f"{name}/nothing:1")
    assert not client.contains(f"oci:{tmp_path}/nothing:1")


def test_contains_is_one_question(
    proxy: CountingProxy, registry: RealRegistry, repository: str, client: Client
) -> None:
    push(registry.host, repository, "1", make_image())
    assert client.contains(f"{proxy.host}/{repository}:1")
    assert [exchange.method for exchange in proxy.exchanges] == ["HEAD"]


def test_put_a_manifest_as_it_is(client: Client, registry: RealRegistry, repository: str, image: Built) -> None:
    name = f"{registry.host}/{repository}"
    put = client.put(client.get(f"{name}:1"), f"{name}:2")
    assert put.digest == image.digest
    assert get_manifest(registry.host, repository, "2")[0] == image.content
    raw = json.dumps(image.document, indent=1).encode()
    put = client.put(raw, f"{name}:3")
    assert client.get(f"{name}:3").raw == raw
    assert (put.media_type, put.size) == (image.media_type, len(raw))


def test_put_without_a_tag(client: Client, registry: RealRegistry, repository: str, image: Built) -> None:
    name = f"{registry.host}/{repository}"
    other = Manifest.build(image.document | {"annotations": {"a": "b"}}, image.media_type)
    client.put(other, f"{name}@{other.digest}")
    assert client.contains(f"{name}@{other.digest}")
    assert list_tags(registry.host, repository) == ["1"]


def test_put_something_else_than_the_digest_says(client: Client, name: str, image: Built) -> None:
    with pytest.raises(DigestMismatch, match="has another digest"):
        client.put(image.content, f"{name}:2@sha256:{'0' * 64}")
    assert not client.contains(f"{name}:2")


def test_put_only_where_nothing_has_changed(client: Client, name: str, image: Built) -> None:
    other = Manifest.build(image.document | {"annotations": {"a": "b"}}, image.media_type)
    with pytest.raises(Conflict):
        client.put(other, f"{name}:1", if_digest=other.digest)
    with pytest.raises(Conflict):
        client.put(other, f"{name}:1", if_digest="absent")
    assert client.digest(f"{name}:1") == image.digest
    client.put(other, f"{name}:1", if_digest=image.digest)
    assert client.digest(f"{name}:1") == other.digest
    client.put(other, f"{name}:new", if_digest="absent")
    assert client.digest(f"{name}:new") == other.digest


def test_put_what_is_not_whole(client: Client, name: str, tmp_path: Path) -> None:
    for place in (name, f"oci:{tmp_path}/layout"):
        for built in (make_image(), make_index([make_image()])):
            with pytest.raises(NotFound):
                client.put(built.content, f"{place}:1")
            assert not client.contains(f"{place}:1")
    with pytest.raises(InvalidContent):
        client.put(b"{}", f"{name}:1")


def test_put_into_a_layout(client: Client, name: str, image: Built, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/layout"
    for data in image.blobs.values():
        client.blobs.put(place, data)
    client.put(image.content, f"{place}:1")
    assert client.get_manifest(f"{place}:1").raw == image.content


def test_put_where_only_whole_images_go(client: Client, image: Built, tmp_path: Path) -> None:
    for place in (f"docker-archive:{tmp_path}/a.tar:app:1", "docker-daemon:app:1"):
        with pytest.raises(Unsupported):
            client.put(image.content, place)


def test_a_store_is_used_without_an_event_loop(client: Client, registry: RealRegistry, repository: str) -> None:
    name = f"{registry.host}/{repository}"
    image = make_image()
    push(registry.host, repository, "1", image)
    sbom = make_artifact(artifact_type="application/sbom", subject=image)
    push(registry.host, repository, "sbom", sbom)
    with client.open(name, writing=True) as store:
        assert store.name == name
        found = store.resolve("1")
        assert found.digest == image.digest
        assert store.contains(found)
        with store.open(found) as reader:
            assert reader.content == found
            assert reader.read() == image.content
        assert sorted(store.tags()) == ["1", "sbom"]
        assert next(store.tags()) in ("1", "sbom")
        client.put(sbom.content, f"{name}:sbom")  # which lists it for a registry without the referrers API
        assert [each.digest for each in store.referrers(found)] == [sbom.digest]
        assert list(store.referrers(found, "application/other")) == []
        store.tag(found, "2")
        layer = client.get_manifest(f"{name}:1").layers[0]
        with store.open(layer) as reader:
            data = b"".join(reader)
        store.write(layer, from_bytes(data))
        with pytest.raises(NotFound):
            store.resolve("3")
        store.delete(store.resolve("sbom"))
    assert client.digest(f"{name}:2") == image.digest
    assert client.connect(name).resolve("2") == found


def test_a_store_that_does_not_open(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound), client.open(f"oci:{tmp_path}/nothing"):
        pass


def test_an_archive_is_written_when_the_block_ends_and_only_if_it_ends_well(
    client: Client, name: str, image: Built, tmp_path: Path
) -> None:
    manifest = client.get_manifest(f"{name}:1")
    path = tmp_path / "archive.tar"

    def fill() -> None:
        with client.open(f"oci-archive:{path}", writing=True) as archive, client.open(name) as source:
            for blob in (manifest.children[0], *manifest.layers):
                with source.open(blob) as reader:
                    archive.write(blob, from_bytes(reader.read()))
            archive.write(manifest.descriptor, from_bytes(manifest.raw))
            archive.tag(manifest.descriptor, "1")
            if "2" in done:
                return
            raise KeyError

    done: list[str] = []
    with pytest.raises(KeyError):
        fill()
    assert not path.exists()
    done.append("2")
    fill()
    assert client.get(f"oci-archive:{path}:1").digest == image.digest


def test_stores_are_copied_between(client: Client, name: str, image: Built, tmp_path: Path) -> None:
    with client.open(name) as source, client.open(f"oci:{tmp_path}/layout", writing=True) as target:
        client.copy(Place(source.store, "1"), Place(target.store, "2"))
        assert target.resolve("2").digest == image.digest
        client.copy(Place(target.store, "2"), f"{name}:3")
    assert client.digest(f"{name}:3") == image.digest
