"""Programs as users write them, against real registries: with public names only, which `test_public` looks after."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading import AsyncClient, Client, Digest, UsageError
from programs import artifacts, charm_registry, manifest_lists, retention
from programs.artifacts import File
from support.docker import DockerCLI
from support.images import get_manifest, list_tags, make_artifact, make_image, make_index, push
from support.registry import RealRegistry


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(docker_config=tmp_path / "docker") as running:
        yield running


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    return f"{registry.host}/{repository}"


def test_files_are_pushed_attached_and_pulled(client: Client, name: str, tmp_path: Path) -> None:
    for file, text in {"artifact.txt": "hello\n", "derived.txt": "derived\n", "sbom.json": "{}\n"}.items():
        (tmp_path / file).write_text(text)
    artifacts.push(client, f"{name}:v1", [File(tmp_path / "artifact.txt")])
    food = {"org.dinosaur.tool.food": "avocado"}
    artifacts.push(
        client,
        f"{name}:v2",
        [
            File(tmp_path / "artifact.txt", "application/x-dino", "notes/a.txt", {"creationTime": "now"}),
            File(tmp_path / "sbom.json", "application/vnd.cyclonedx+json"),
        ],
        artifact_type="application/vnd.dinosaur",
        annotations=food,
    )
    derived = artifacts.push(client, f"{name}:derived", [File(tmp_path / "derived.txt")], subject=f"{name}:v1")
    assert [found.digest for found in artifacts.attached(client, f"{name}:v1")] == [derived.digest]
    assert artifacts.attached(client, f"{name}:v1", "application/other") == []
    assert {"v1", "v2", "derived"} <= set(artifacts.tags(client, name))
    pulled = artifacts.pull(client, f"{name}:v2", tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in pulled] == ["notes/a.txt", "sbom.json"]
    assert pulled[0].read_text() == "hello\n"
    only = artifacts.pull(client, f"{name}:v2", tmp_path / "only", media_types=["application/vnd.cyclonedx+json"])
    assert [path.name for path in only] == ["sbom.json"]
    second = client.get_manifest(f"{name}:v2")
    assert (second.artifact_type, second.annotations) == ("application/vnd.dinosaur", food)
    artifacts.push(client, f"{name}:bad", [File(tmp_path / "artifact.txt", title="../outside")])
    with pytest.raises(UsageError, match="leads out"):
        artifacts.pull(client, f"{name}:bad", tmp_path / "out")


def test_blobs_and_manifests_are_uploaded_once(registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    image = make_image()
    with charm_registry.OCIRegistry(registry.host, repository) as there:
        for digest, data in image.blobs.items():
            assert not there.is_blob_already_uploaded(digest)
            (tmp_path / "blob").write_bytes(data)
            assert there.upload_blob(tmp_path / "blob") == digest
            assert there.is_blob_already_uploaded(digest)
        assert not there.is_manifest_already_uploaded(image.digest)
        assert there.upload_manifest(image.content, image.digest) == image.digest
        assert there.is_manifest_already_uploaded(image.digest)
        assert not there.is_manifest_already_uploaded("1")
        there.upload_manifest(image.content, "1")
        assert there.is_manifest_already_uploaded("1")


def test_credentials_are_given(basic_registry: RealRegistry, repository: str) -> None:
    host = basic_registry.host
    with charm_registry.OCIRegistry(host, repository, username="alice", password="secret") as there:
        assert not there.is_manifest_already_uploaded("1")


def test_an_image_of_an_engine_is_pushed_by_digest(
    registry: RealRegistry, repository: str, engine: DockerCLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = f"{registry.host}/{repository}-source:1"
    push(registry.host, f"{repository}-source", "1", make_image())
    engine.run("pull", "-q", image)
    monkeypatch.setenv("DOCKER_HOST", engine.daemon)
    identifier = engine.run("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()
    with charm_registry.OCIRegistry(registry.host, repository) as there:
        handler = charm_registry.ImageHandler(there)
        assert handler.get_image_id("nothing-of-this-name") is None
        digest = handler.get_image_id(image)
        assert digest is not None
        assert not handler.check_in_registry(digest)
        for known_as in (image, identifier, identifier.removeprefix("sha256:")):
            assert handler.upload_from_local(known_as) == digest
        assert handler.check_in_registry(digest)
        assert handler.log
    assert list_tags(registry.host, repository) == []


def test_retention() -> None:
    with RealRegistry() as registry:
        host = registry.host
        for number in range(8):
            push(host, "app", f"1.0.{number}", make_image(seed=str(number)))
        push(host, "app", "1.1.0", make_image("linux/arm64"))
        push(host, "app", "latest", make_image("linux/s390x"))
        listed = make_image("linux/riscv64")
        push(host, "app", "1.0.0-listed", listed)
        push(host, "app", "1.2.0", make_index([listed, make_image("linux/amd64", layers=3)]))
        signed = make_image("linux/ppc64le")
        push(host, "app", "1.0.0-signed", signed)
        with Client() as client:
            push(host, "app", "sbom", sbom := make_artifact(subject=signed))
            client.put(sbom.content, f"{host}/app:sbom")
        push(host, "other", "2.0.0", make_image())
        before = set(list_tags(host, "app"))
        goes = {f"{host}/app:1.0.{number}" for number in range(3)}
        assert set(asyncio.run(retention.run(host, dry_run=True))) == goes
        assert set(list_tags(host, "app")) == before
        assert set(asyncio.run(retention.run(host))) == goes
        assert set(list_tags(host, "app")) == before - {f"1.0.{number}" for number in range(3)}
        assert asyncio.run(retention.run(host)) == []
        # A tag that was moved after the job had looked is left alone.
        with Client() as client:
            looked_at = client.digest(f"{host}/app:1.0.3")
            client.tag(f"{host}/app:1.0.4", "1.0.3")
        assert not asyncio.run(deleted(f"{host}/app:1.0.3", looked_at))
        assert "1.0.3" in list_tags(host, "app")


def test_manifest_lists(client: Client, registry: RealRegistry, repository: str) -> None:
    name = f"{registry.host}/{repository}"
    for arch in ("amd64", "arm64"):
        push(registry.host, repository, arch, make_image(f"linux/{arch}"))
    manifest_lists.create(client, f"{name}:multi", [f"{name}:amd64", f"{name}:arm64"])
    manifest_lists.annotate(client, f"{name}:multi", f"{name}:arm64", variant="v8")
    local = manifest_lists.inspect(client, f"{name}:multi")
    assert [entry["platform"].get("variant") for entry in local["manifests"]] == [None, "v8"]
    digest = manifest_lists.push(client, f"{name}:multi", purge=True)
    raw, *_ = get_manifest(registry.host, repository, "multi")
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == digest
    assert manifest_lists.inspect(client, f"{name}:multi") == json.loads(raw)
    manifest_lists.create(client, f"{name}:other", [f"{name}:amd64"])
    manifest_lists.remove(client, f"{name}:other")
    assert client.drafts.list() == ()


async def deleted(name: str, digest: Digest) -> bool:
    async with AsyncClient() as client:
        return await retention.delete(client, name, digest)
