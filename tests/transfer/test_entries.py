"""Entries of an index that are no manifests, or do not say what they are: caches, lists of layers, other things."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.failing import CONTENT, fails
from lading.client import AsyncClient
from lading.errors import NotFound
from support import images
from support.lading import Lading

IMAGE = images.make_image("linux/amd64", kind="oci")
ARM = images.make_image("linux/arm64", kind="oci")
LAYER = IMAGE.layers[0]
CACHE = b'{"layers":[]}'
DOC = b"<a/>"
TYPES = {
    LAYER: "application/vnd.oci.image.layer.v1.tar+gzip",
    CACHE: "application/vnd.buildkit.cacheconfig.v0",
    DOC: "application/xml",
}


def blob(content: bytes, *, typed: bool = True) -> images.Document:
    described = images.make_descriptor(content, TYPES[content], "oci")
    return described if typed else {key: value for key, value in described.items() if key != "mediaType"}


def entry(image: images.Manifest, *, typed: bool = True) -> images.Document:
    described = image.descriptor() | {"platform": image.platform}
    return described if typed else {key: value for key, value in described.items() if key != "mediaType"}


INDEXES = {
    "cache": [blob(LAYER), blob(CACHE)],
    "mixed": [entry(IMAGE), blob(DOC), blob(LAYER)],
    "untyped": [entry(IMAGE), entry(ARM, typed=False), blob(DOC, typed=False)],
}
Put = Callable[[str], str]


def index_of(name: str) -> images.Manifest:
    index = images.make_index([IMAGE, ARM], kind="oci")
    content = json.dumps(index.document | {"manifests": INDEXES[name]}, separators=(",", ":")).encode()
    return dataclasses.replace(index, content=content, blobs={images.digest_of(item): item for item in TYPES})


@pytest.fixture(params=["registry", "layout"])
def put(request: pytest.FixtureRequest, elsewhere: str, repository: str, lading: Lading, tmp_path: Path) -> Put:
    """Puts one of the indexes somewhere; gives its name."""

    def make(name: str) -> str:
        images.push(elsewhere, repository, name, index_of(name))
        reference = f"{elsewhere}/{repository}:{name}"
        if request.param == "registry":
            return reference
        lading.run("copy", reference, f"oci:{tmp_path}/layout:{name}")
        return f"oci:{tmp_path}/layout:{name}"

    return make


@pytest.mark.parametrize("name", INDEXES)
def test_they_are_shown_from_their_descriptors(name: str, put: Put, lading: Lading) -> None:
    place = put(name)
    shown = json.loads(lading.run("inspect", place, "--format", "json").stdout)
    assert [item["state"] for item in shown["entries"]] == ["present"] * len(INDEXES[name])
    sizes = {item["digest"]: item["total_size"] for item in shown["entries"]}
    blobs = [item for item in (LAYER, CACHE, DOC) if images.digest_of(item) in sizes]
    assert [sizes[images.digest_of(item)] for item in blobs] == [len(item) for item in blobs]
    once = {images.digest_of(item): len(item) for item in blobs}
    for image in (IMAGE, ARM):
        once |= {key: len(item) for key, item in image.blobs.items()} if image.digest in sizes else {}
    assert shown["total_size"] == sum(once.values())
    text = lading.run("inspect", place).stdout
    assert "not in this repository" not in text
    assert "in all" in text
    assert all(TYPES[item] in text for item in blobs if name != "untyped")


@pytest.mark.parametrize("name", INDEXES)
def test_they_are_copied_as_what_they_are(
    name: str, put: Put, elsewhere: str, repository: str, lading: Lading, tmp_path: Path
) -> None:
    place = put(name)
    targets = [f"{elsewhere}/{repository}-copy:1", f"oci:{tmp_path}/new:1", f"oci-archive:{tmp_path}/new.tar:1"]
    lading.run("copy", place, *targets)
    for target in targets:
        assert lading.run("inspect", target, "--raw").stdout.encode() == index_of(name).content
        shown = json.loads(lading.run("inspect", target, "--format", "json").stdout)
        assert {item["state"] for item in shown["entries"]} == {"present"}
        for verify in ((), ("--verify",)):
            again = lading.run("copy", place, target, *verify)
            assert again.stderr == "Nothing to copy: all of it is there already\n"


def test_missing_ones_are_told(elsewhere: str, repository: str, lading: Lading) -> None:
    with images.RegistryClient(elsewhere, repository) as client:
        client.push("1", index_of("mixed"))
        client.request("DELETE", f"/blobs/{images.digest_of(DOC)}", expect=202)
    name = f"{elsewhere}/{repository}:1"
    shown = json.loads(lading.run("inspect", name, "--format", "json").stdout)
    assert [item["state"] for item in shown["entries"]] == ["present", "missing", "present"]
    ran = lading.run("lint", name, "--format", "json", check=False)
    missing = [item["digest"] for item in json.loads(ran.stdout)["findings"] if item["code"] == "LAD301"]
    assert missing == [images.digest_of(DOC)]


async def test_an_entry_without_a_media_type_is_found_for_its_platform(put: Put) -> None:
    name = put("untyped")
    async with AsyncClient() as client:
        assert await client.digest(name, platform="linux/arm64") == ARM.digest
        assert (await client.get_manifest(name, platform="linux/arm64")).digest == ARM.digest
        assert str((await client.config(name, platform="linux/arm64")).platform) == "linux/arm64"
        with pytest.raises(NotFound):
            await client.get(name, platform="linux/s390x")


def test_lint_reads_what_does_not_say_what_it_is(put: Put, lading: Lading) -> None:
    found = json.loads(lading.run("lint", put("untyped"), "--format", "json", check=False).stdout)["findings"]
    assert {item["code"] for item in found} <= {"LAD305", "LAD405", "LAD106"}
    assert not [item for item in found if item["code"] == "LAD305" and item["digest"] == ARM.digest]


@pytest.mark.parametrize("name, left", [("mixed", 2), ("untyped", 1)])
def test_a_list_is_made_of_the_manifests_among_them(name: str, left: int, put: Put, lading: Lading) -> None:
    ran = lading.run("manifest", "create", "reg.example/app:list", put(name))
    assert ran.stderr.count("which is no manifest") == left
    made = json.loads(lading.run("manifest", "inspect", "reg.example/app:list").stdout)["manifests"]
    expected = [item["digest"] for item in INDEXES[name] if "platform" in item]
    assert [item["digest"] for item in made] == expected
    assert {item["mediaType"] for item in made} == {images.OCI_MANIFEST}


def test_no_list_is_made_of_a_cache(put: Put, lading: Lading) -> None:
    says = ["lists nothing that is a manifest", "application/vnd.buildkit.cacheconfig.v0"]
    fails(lading, "manifest", "create", "reg.example/app:list", put("cache"), code=CONTENT, says=says)
    assert lading.run("manifest", "ls").stdout == ""


@pytest.mark.parametrize("name", INDEXES)
def test_a_list_with_them_is_pulled_and_pushed_as_it_is(
    name: str, elsewhere: str, repository: str, lading: Lading
) -> None:
    images.push(elsewhere, repository, name, index_of(name))
    source = f"{elsewhere}/{repository}:{name}"
    lading.run("manifest", "pull", source)
    assert lading.run("manifest", "push", source).stdout.strip() == index_of(name).digest
    lading.run("manifest", "pull", source, f"{elsewhere}/{repository}-new:1")
    assert lading.run("manifest", "push", f"{elsewhere}/{repository}-new:1").stdout.endswith(
        index_of(name).digest + "\n"
    )
    shown = json.loads(lading.run("inspect", f"{elsewhere}/{repository}-new:1", "--format", "json").stdout)
    assert {item["state"] for item in shown["entries"]} == {"present"}


def test_they_stay_as_they_are_where_images_are_encoded_anew(put: Put, lading: Lading, tmp_path: Path) -> None:
    lading.run("copy", put("untyped"), f"oci:{tmp_path}/new:1", "--compression", "none")
    made = json.loads(lading.run("inspect", f"oci:{tmp_path}/new:1", "--raw").stdout)["manifests"]
    assert [item["digest"] == old["digest"] for item, old in zip(made, INDEXES["untyped"], strict=True)] == [
        False,
        False,
        True,
    ]
