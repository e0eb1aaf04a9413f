"""Edits of how an image is written down: format, external URLs, embedded content, kinds of digests."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient, Unsupported, UsageError
from lading.edits import (
    RemoveExternalUrls,
    SetAnnotation,
    SetDigestAlgorithm,
    SetFormat,
    SetInlineData,
    SetLabel,
)
from lading.model.manifest import parse
from support.images import Manifest, make_artifact, make_attestation, make_image, make_index, push
from support.lading import Lading
from support.registry import RealRegistry


@pytest.fixture
def place(registry: RealRegistry, new_repository: Callable[[], str]) -> str:
    return f"{registry.host}/{new_repository()}"


def put(place: str, content: Manifest) -> str:
    """Push under the tag 1; gives the whole name."""
    host, _, repository = place.partition("/")
    push(host, repository, "1", content)
    return f"{place}:1"


def pair(kind: Any) -> list[Manifest]:
    return [make_image(p, kind=kind, seed=p) for p in ("linux/amd64", "linux/arm64")]


@pytest.mark.parametrize("format", ["oci", "docker"])
@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("is_index", [False, True], ids=["image", "index"])
async def test_the_format_is_that_of_a_copy(
    client: AsyncClient, place: str, format: Any, kind: Any, is_index: bool
) -> None:
    """Also of an index of which an image has an attestation, which Docker's format has no place for."""
    content = pair(kind)[0]
    if is_index:
        images = pair(kind)
        content = make_index([*images, *([make_attestation(images[0])] if kind == "oci" else [])], kind=kind)
    source = put(place, content)
    copied = await client.copy(source, f"{place}:copied", to=format)
    edited = await client.images.edit(source, SetFormat(format), targets=f"{place}:edited")
    assert edited.images[0].digest == copied.images[0].digest
    assert {note for note in copied.notes if "left out" in note} == {
        note for note in edited.notes if "left out" in note
    }


async def test_the_format_counts_for_the_edits_after_it(client: AsyncClient, place: str) -> None:
    source = put(place, make_index(pair("docker")))
    edits = [SetFormat("oci"), SetAnnotation("a", "b"), SetAnnotation("c", "d", "index"), SetLabel("e", "f")]
    await client.images.edit(source, *edits, targets=f"{place}:2")
    assert (await client.get_index(f"{place}:2")).annotations == {"c": "d"}
    assert (await client.get_manifest(f"{place}:2", platform="linux/arm64")).annotations == {"a": "b"}
    with pytest.raises(Unsupported, match="cannot have annotations"):
        await client.images.edit(f"{place}:2", SetFormat("docker"), SetAnnotation("a", "c"), targets=f"{place}:3")


async def test_what_docker_has_no_place_for(client: AsyncClient, place: str) -> None:
    source = put(place, make_index([*pair("oci"), make_artifact()], kind="oci"))
    with pytest.raises(Unsupported, match="cannot be put in Docker's format"):
        await client.images.edit(source, SetFormat("docker"), targets=f"{place}:2")
    # One image of several leaves the index as it is.
    await client.images.edit(source, SetFormat("docker"), targets=f"{place}:2", platforms="linux/arm64")
    index = await client.get_index(f"{place}:2")
    assert ["docker" in kind for kind in (index.media_type, *(entry.media_type for entry in index.manifests))] == [
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("kind", ["oci", "docker"])
async def test_foreign_layers_become_plain_where_they_are(
    client: AsyncClient, place: str, tmp_path: Path, kind: Any
) -> None:
    layout = f"oci:{tmp_path / 'layout'}"
    source = put(place, make_image(kind=kind, layers=2))
    await client.copy(source, f"{layout}:1")
    before = await client.get_manifest(source)
    document = before.document
    plain = document["layers"][0]["mediaType"]
    foreign = plain.replace("layer.v1", "layer.nondistributable.v1").replace("rootfs.diff", "rootfs.foreign.diff")
    for layer in document["layers"]:
        layer |= {"mediaType": foreign, "urls": ["https://example.com/a"]}
    absent = document["layers"][1]["digest"] = "sha256:" + "0" * 64
    made = parse(json.dumps(document).encode(), before.media_type)
    await client.put(made, f"{layout}:foreign")
    report = await client.images.edit(f"{layout}:foreign", RemoveExternalUrls(), targets=f"{layout}:2")
    first, second = (await client.get_manifest(f"{layout}:2")).document["layers"]
    assert (first["mediaType"], "urls" in first) == (plain, False)
    assert (second["mediaType"], second["urls"], second["digest"]) == (foreign, ["https://example.com/a"], absent)
    assert any("keeps its URLs" in note for note in report.notes)


async def test_embedded_content_is_what_the_descriptor_names(client: AsyncClient, place: str) -> None:
    """regctl embeds the index itself in the descriptors of its images."""
    source = put(place, make_index(pair("oci"), kind="oci"))
    await client.images.edit(source, SetInlineData(4096), SetLabel("late", "1"), targets=f"{place}:2")
    index = await client.get_index(f"{place}:2")
    for entry in index.manifests:
        image = await client.get_manifest(f"{place}@{entry.digest}")
        assert base64.b64decode(entry.data) == image.raw
        config = (await client.config(f"{place}@{entry.digest}")).raw
        assert image.config is not None
        assert base64.b64decode(image.config.data) == config
        assert b"late" in config
        assert all(len(base64.b64decode(layer.data)) == layer.size for layer in image.layers)
    await client.images.edit(f"{place}:2", SetInlineData(-1), targets=f"{place}:3")
    assert b'"data"' not in (await client.get_index(f"{place}:3")).raw
    assert b'"data"' not in (await client.get_manifest(f"{place}:3", platform="linux/arm64")).raw
    await client.images.edit(f"{place}:2", SetInlineData(10), targets=f"{place}:4")
    assert await client.digest(f"{place}:4") == await client.digest(f"{place}:3")
    with pytest.raises(UsageError):
        SetInlineData(10**9)
    docker = put(place, pair("docker")[0])
    with pytest.raises(Unsupported, match="cannot have content in descriptors"):
        await client.images.edit(docker, SetInlineData(10), targets=f"{place}:5")


async def test_other_digests_and_back(client: AsyncClient, place: str, tmp_path: Path) -> None:
    source = put(place, make_index(pair("oci"), kind="oci"))
    layout = f"oci:{tmp_path / 'layout'}"
    await client.images.edit(source, SetDigestAlgorithm("sha512"), targets=f"{layout}:1")
    index = await client.get_index(f"{layout}:1")
    assert index.digest.algorithm == "sha512"
    for entry in index.manifests:
        image = await client.get_manifest(f"{layout}@{entry.digest}")
        assert entry.digest.algorithm == "sha512"
        assert image.config is not None
        assert image.config.digest.algorithm == "sha512"
        assert image.layers[0].digest.algorithm == "sha512"
    await client.images.edit(f"{layout}:1", SetDigestAlgorithm("sha256"), targets=f"{layout}:2")
    assert await client.digest(f"{layout}:2") == await client.digest(source)


def test_the_command_line(lading: Lading, place: str) -> None:
    source = put(place, make_index(pair("docker")))
    words = ["--to", "oci", "--remove-urls", "--data-max", "100", "--data-max", "none", "--digest-algorithm", "sha256"]
    lading.run("image", "edit", source, *words, "-t", "2")
    copied = lading.run("copy", "--to", "oci", source, f"{place}:3")
    assert lading.run("digest", f"{place}:2").stdout.strip() in copied.stdout
    for wrong in (["--to", "x"], ["--data-max", "1k"], ["--digest-algorithm", "md5"]):
        assert lading.run("image", "edit", source, *wrong, "-t", "4", check=False).returncode == 2
