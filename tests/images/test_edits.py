"""Edits of images: values that change a config or annotations, and keep everything else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import AsyncClient, Conflict, Image, ImageIndex, NotFound, Unsupported, UsageError
from lading.images.edits.annotations import SetAnnotation
from lading.images.edits.config import SetEnv, SetLabel
from lading.images.edits.field_order import CONFIG, CONTAINER, set_field
from lading.model.manifest import parse
from support.images import Entry, digest_of, make_artifact, make_attestation, make_image, make_index, push
from support.proxy import CountingProxy
from support.registry import RealRegistry

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")
MANY = (
    *PLATFORMS,
    *(f"linux/{name}" for name in ("386", "ppc64le", "riscv64", "mips64le", "loong64", "arm/v5", "arm/v6", "arm")),
)


@pytest.fixture
def app(registry: RealRegistry, repository: str) -> str:
    """An image with fields that lading does not know."""
    push(
        registry.host,
        repository,
        "1",
        make_image(kind="oci", annotations={"a": "1"}, config={"Odd": {"z": 1, "a": [2.50]}}),
    )
    return f"{registry.host}/{repository}:1"


@pytest.fixture
def fleet(registry: RealRegistry, new_repository: Callable[[], str]) -> str:
    """An index of images for several platforms, one with an attestation."""
    repository = new_repository()
    images = [make_image(platform, kind="oci", seed=platform) for platform in PLATFORMS]
    index = make_index([*images, make_attestation(images[1])], kind="oci", annotations={"of": "index"})
    push(registry.host, repository, "1", index)
    return f"{registry.host}/{repository}:1"


async def test_what_is_not_changed_stays(client: AsyncClient, app: str) -> None:
    before = await client.get_manifest(app)
    config = (await client.config(app)).document
    report = await client.images.edit(app, SetLabel("team", "web"), SetEnv("A", "<1>"), targets=app.replace(":1", ":2"))
    after = await client.get_manifest(app.replace(":1", ":2"))
    assert report.images[0].digest == after.digest != before.digest
    changed = (await client.config(app.replace(":1", ":2"))).document
    assert changed["config"].pop("Labels") == {"team": "web"}
    assert changed["config"].pop("Env") == ["A=<1>"]
    assert changed == config
    assert [*after.document] == [*before.document]
    assert (after.layers, after.annotations) == (before.layers, before.annotations)
    assert (await client.get_manifest(app)).digest == before.digest


async def test_without_a_change_the_target_is_made(client: AsyncClient, app: str) -> None:
    target = app.replace(":1", ":same")
    report = await client.images.edit(app, SetLabel("none", None), targets=target)
    assert await client.digest(target) == await client.digest(app)
    assert report.changes == []


async def test_an_index_keeps_what_is_not_meant(client: AsyncClient, fleet: str) -> None:
    before = await client.get_index(fleet)
    target = fleet.replace(":1", ":2")
    for name in ("one", "two"):  # two edits in a row
        await client.images.edit(fleet, SetLabel(name, "x"), targets=target, platforms="linux/arm64")
        fleet = target
    after = await client.get_index(target)
    assert [entry.platform for entry in after.manifests] == [entry.platform for entry in before.manifests]
    moved = [old.digest != new.digest for old, new in zip(before.manifests, after.manifests, strict=True)]
    assert moved == [False, True, False, False, False]
    assert after.annotations == before.annotations
    assert after.attestations[0].annotations["vnd.docker.reference.digest"] == after.manifests[1].digest
    assert (await client.config(target, platform="linux/arm64")).config["Labels"] == {
        "one": "x",
        "seed": "linux/arm64",
        "two": "x",
    }
    assert "one" not in (await client.config(target, platform="linux/amd64")).config.get("Labels", {})


async def test_two_edits_in_a_row_of_twelve_platforms(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    images = [make_image(platform, kind="oci", seed=platform) for platform in MANY]
    push(registry.host, repository, "0", make_index(images, kind="oci"))
    name = f"{registry.host}/{repository}"
    for step in range(2):
        edit = SetLabel(f"step{step}", "done")
        await client.images.edit(
            f"{name}:{step}", edit, targets=f"{name}:{step + 1}", platforms=["linux/s390x", "linux/386"]
        )
    entries = (await client.get_index(f"{name}:2")).images
    assert len(entries) == 12
    changed = [str(e.platform) for e, image in zip(entries, images, strict=True) if e.digest != image.digest]
    assert changed == ["linux/s390x", "linux/386"]
    labels = (await client.config(f"{name}:2", platform="linux/386")).config["Labels"]
    assert labels == {"seed": "linux/386", "step0": "done", "step1": "done"}


async def test_attestations_are_dropped_by_name(client: AsyncClient, fleet: str) -> None:
    report = await client.images.edit(fleet, SetLabel("a", "b"), targets=fleet.replace(":1", ":2"), attestations="drop")
    after = await client.get_index(fleet.replace(":1", ":2"))
    assert (len(after.images), after.attestations) == (4, ())
    assert len(report.changes) == 5


async def test_scopes_of_annotations(client: AsyncClient, fleet: str) -> None:
    target = fleet.replace(":1", ":2")
    edits = [SetAnnotation(scope, "x", scope) for scope in ("manifest", "index", "descriptor")]
    await client.images.edit(fleet, *edits, targets=target, platforms=["linux/s390x"])
    index = await client.get_index(target)
    assert index.annotations == {"of": "index", "index": "x"}
    assert [dict(entry.annotations) for entry in index.images] == [{}, {}, {}, {"descriptor": "x"}]
    image = await client.get_manifest(target, platform="linux/s390x")
    assert image.annotations == {"manifest": "x"}


async def test_values_compose(client: AsyncClient, fleet: str) -> None:
    async with client.images.open_index(fleet) as index:
        assert isinstance(index, ImageIndex)
        edited = index.with_label("a", "1").with_env("B", "2").edited(SetLabel("c", "3"), platforms="linux/amd64")
        report = await client.images.push(edited, fleet.replace(":1", ":2"))
        copied = await client.copy(edited, fleet.replace(":1", ":3"))
    assert len(report.changes) == 2
    assert report.images[0].digest == copied.images[0].digest
    config = await client.config(fleet.replace(":1", ":2"), platform="linux/amd64")
    assert config.config["Labels"] == {"a": "1", "c": "3", "seed": "linux/amd64"}
    async with client.images.open(fleet, platform="linux/arm64") as image:
        assert isinstance(image, Image)
        await client.images.push(image.with_annotation("x", "y"), fleet.replace(":1", ":4"))
    assert (await client.get_manifest(fleet.replace(":1", ":4"))).annotations == {"x": "y"}


async def test_what_cannot_be_done(client: AsyncClient, app: str, fleet: str, registry: RealRegistry) -> None:
    target = app.replace(":1", ":2")
    with pytest.raises(NotFound, match="has nothing for windows/amd64"):
        await client.images.edit(fleet, SetLabel("a", "b"), targets=target, platforms=["linux/amd64", "windows/amd64"])
    with pytest.raises(UsageError, match="nowhere"):
        await client.images.edit(fleet, SetLabel("a", "b"))
    pinned = f"{fleet.rpartition(':')[0]}@{await client.digest(fleet)}"
    with pytest.raises(UsageError, match="names no tag"):
        await client.images.edit(pinned, SetLabel("a", "b"), in_place=True)
    with pytest.raises(UsageError, match="is no index"):
        await client.images.edit(app, SetAnnotation("a", "b", "index"), targets=target)
    assert not await client.contains(target)


async def test_an_artifact_has_annotations_and_no_config(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_artifact())
    place = f"{registry.host}/{repository}:1"
    with pytest.raises(Unsupported, match="cannot be changed so"):
        await client.images.edit(place, SetLabel("a", "b"), in_place=True)
    await client.images.edit(place, SetAnnotation("a", "b"), in_place=True)
    assert (await client.get_manifest(place)).annotations["a"] == "b"


async def test_docker_has_no_place_for_annotations(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    with pytest.raises(Unsupported, match="cannot have annotations"):
        await client.images.edit(f"{registry.host}/{repository}:1", SetAnnotation("a", "b"), in_place=True)


async def test_in_place_loses_nothing(client: AsyncClient, app: str) -> None:
    before = await client.digest(app)
    report = await client.images.edit(app, SetLabel("a", "b"), in_place=True)
    assert report.images[0].targets[0].previous == before
    assert await client.contains(f"{app.rpartition(':')[0]}@{before}")
    with pytest.raises(Conflict):
        await client.images.edit(app, SetLabel("a", "c"), in_place=True, if_digest=before)


async def test_in_place_in_a_layout(client: AsyncClient, app: str, tmp_path: Path) -> None:
    place = f"oci:{tmp_path / 'layout'}:1"
    await client.copy(app, place)
    before = await client.digest(place)
    await client.images.edit(place, SetLabel("a", "b"), in_place=True)
    assert (await client.config(place)).config["Labels"]["a"] == "b"
    assert await client.contains(f"oci:{tmp_path / 'layout'}@{before}")


async def test_one_image_is_edited_once(client: AsyncClient, registry: RealRegistry, repository: str) -> None:
    image = make_image(kind="oci")
    push(
        registry.host,
        repository,
        "1",
        make_index([image, Entry(image, platform={"architecture": "386", "os": "linux"})], kind="oci"),
    )
    place = f"{registry.host}/{repository}:1"
    await client.images.edit(place, SetLabel("a", "b"), in_place=True, platforms="linux/amd64")
    index = await client.get_index(place)
    assert [entry.digest == image.digest for entry in index.manifests] == [False, True]


async def test_requests(client: AsyncClient, app: str, proxy: CountingProxy, registry: RealRegistry) -> None:
    """A manifest and a config are read; a config and a manifest are written; no layer moves."""
    place = app.replace(registry.host, proxy.host)
    await client.images.edit(place, SetLabel("a", "b"), targets=place.replace(":1", ":2"))
    assert proxy.count("GET", "/blobs/") == 1
    assert proxy.count("PUT", "/manifests/") == 1
    assert len(proxy.lines) <= 12, proxy.lines  # four ask whether something refers to the image


def test_a_new_field_goes_where_its_writer_would_have_put_it() -> None:
    oci: dict[str, Any] = {"architecture": "a", "os": "l", "config": {}, "rootfs": {}, "history": []}
    set_field(oci, "created", "x", CONFIG)
    assert next(iter(oci)) == "created"
    crane: dict[str, Any] = {"architecture": "a", "history": [], "os": "l", "rootfs": {}, "config": {}}
    set_field(crane, "created", "x", CONFIG)
    assert [*crane] == ["architecture", "created", "history", "os", "rootfs", "config"]
    set_field(crane, "created", None, CONFIG)
    assert "created" not in crane


@given(
    st.dictionaries(st.sampled_from(["Env", "Cmd", "Labels", "User", "Odd", "Volumes"]), st.integers()),
    st.sampled_from(["Env", "Labels", "WorkingDir", "Unknown"]),
)
def test_setting_a_field_moves_no_other(document: dict[str, int], key: str) -> None:
    others = [name for name in document if name != key]
    set_field(document, key, -1, CONTAINER)
    assert document[key] == -1
    assert [name for name in document if name != key] == others


@pytest.mark.parametrize("layout", ["compact", "docker", "two spaces"])
async def test_the_layout_of_a_document_stays(
    client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str], layout: str
) -> None:
    image = make_image(kind="docker" if layout == "docker" else "oci")
    raw = image.content if layout != "two spaces" else json.dumps(json.loads(image.content), indent=2).encode() + b"\n"
    repository = new_repository()
    push(registry.host, repository, "1", image)
    place = f"{registry.host}/{repository}"
    await client.put(parse(raw, image.media_type), f"{place}:2")
    await client.images.edit(f"{place}:2", SetLabel("a", "b"), in_place=True)
    after = (await client.get_manifest(f"{place}:2")).raw
    old, new = json.loads(raw), json.loads(after)
    text = raw.replace(old["config"]["digest"].encode(), new["config"]["digest"].encode())
    assert after == text.replace(
        b'"size": %d' % old["config"]["size"], b'"size": %d' % new["config"]["size"], 1
    ).replace(b'"size":%d' % old["config"]["size"], b'"size":%d' % new["config"]["size"], 1)
    assert digest_of(after) == (await client.digest(f"{place}:2"))
