"""Names in layouts and archives, which are tags, references, with digests, or none: each can be typed back."""

import io
import json
import tarfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.client import AsyncClient
from lading.errors import Conflict, InvalidReference, LadingError, NotFound, UsageError
from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.platform import Platform
from lading.stores.layout.layout import Layout
from lading.stores.location import Location, parse_location
from support import images
from support.lading import Lading
from support.parts import need
from support.process import run

Fill = Callable[..., Awaitable[Descriptor]]

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
ARCHES = ("amd64", "arm64")
IMAGES = [images.make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ARCHES]
OTHER = images.make_image("linux/s390x", kind="oci", seed="other")
FOREIGN = "sha256:" + "ab" * 32


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_layout(path: str, *entries: dict[str, Any]) -> None:
    """A layout with these entries, whatever they are."""
    for image in (*IMAGES, OTHER):
        for digest, content in (*image.blobs.items(), (image.digest, image.content)):
            file = Path(path, "blobs", digest.replace(":", "/"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    Path(path, "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    Path(path, "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


def entry(image: images.Manifest, name: str | None = None, arch: str | None = None, **more: str) -> dict[str, Any]:
    annotations = ({REF_NAME: name} if name is not None else {}) | more
    return (
        image.descriptor()
        | ({"platform": {"os": "linux", "architecture": arch}} if arch else {})
        | ({"annotations": annotations} if annotations else {})
    )


def pack(folder: str, archive: str) -> None:
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname=".")


def docker_archive(path: str, *tags: Sequence[str] | None) -> None:
    """An archive without a layout inside, as Docker before 25 saves: one image for each list of names."""
    with tarfile.open(path, "w") as tar:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        entries = []
        for number, (image, names) in enumerate(zip((*IMAGES, OTHER), tags, strict=False)):
            add(f"{number}.json", image.config)
            add(f"{number}.tar", image.layers[0])
            entries.append({"Config": f"{number}.json", "RepoTags": names, "Layers": [f"{number}.tar"]})
        add("manifest.json", json.dumps(entries).encode())


NAMES = st.sampled_from(
    [
        "v1",
        "app:v1",
        "proxy:v1",
        "ghcr.io/acme/web:1.4",
        "localhost:5000/a/b:v1",
        "ghcr.io/acme/web",
        f"ghcr.io/acme/web@{FOREIGN}",
        f"ghcr.io/acme/web@{IMAGES[1].digest}",
        "v1+build",
        "Team/App:V1",
        "@x",
        "@7",
        "a b",
        "ü:1",
        r"x\:y",
        "a@b",
        ":",
        "v1:",
        "/",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=1, max_size=3, unique=True), st.sampled_from(["in", "in:side", "in:ghcr.io", "-"]))
async def test_every_name_that_is_printed_can_be_typed_back(client: AsyncClient, names: list[str], folder: str) -> None:
    listed = dict(zip(names, (*IMAGES, OTHER), strict=False))
    make_layout(folder, *(entry(image, name) for name, image in listed.items()))
    pack(folder, f"{folder}.tar")
    for kind, path in (("oci", f"./{folder}"), ("oci-archive", f"{folder}.tar")):
        place = Location(kind=kind, path=path)
        infos = await client.tags(place, digests=True)
        assert [info.digest for info in infos] == [image.digest for image in listed.values()]
        for info in infos:
            said = f"{place}:{info.tag}"
            assert await client.digest(said) == info.digest
            assert await client.digest(str(parse_location(said))) == info.digest
        for number, image in enumerate(listed.values()):
            assert await client.digest(f"{place}:@{number}") == image.digest
            assert await client.digest(f"{place}@{image.digest}") == image.digest


@pytest.mark.parametrize(
    "names",
    [
        ["app:1", "app:2"],
        ["ghcr.io/acme/web:1", "docker.io/library/web:1", "web:2"],
        [f"ghcr.io/acme/web@{FOREIGN}", "ghcr.io/acme/web:1"],
        ["1.0", "2.0"],
    ],
)
async def test_every_name_in_a_docker_archive_can_be_typed_back(client: AsyncClient, names: list[str]) -> None:
    docker_archive("a.tar", *([name] for name in names))
    digests = [await client.digest(f"docker-archive:a.tar:@{number}") for number in range(len(names))]
    assert len(set(digests)) == len(names)
    assert [info.tag for info in await client.tags("docker-archive:a.tar")] == names
    for name, digest in zip(names, digests, strict=True):
        assert await client.digest(f"docker-archive:a.tar:{name}") == digest
        assert await client.digest(f"docker-archive:a.tar@{digest}") == digest


async def test_what_has_no_name_has_a_position(client: AsyncClient) -> None:
    make_layout("in", entry(IMAGES[0]), entry(IMAGES[1]))
    docker_archive("a.tar", None, None)
    assert await client.digest("oci:in:@1") == IMAGES[1].digest
    await client.copy("docker-archive:a.tar:@1", "oci:out:1")
    assert (await client.config("oci:out:1")).platform == Platform.parse("linux/arm64")
    for place in ("oci:in", "docker-archive:a.tar"):
        with pytest.raises(NotFound, match=r"nothing.* at @2"):
            await client.digest(f"{place}:@2")
        with pytest.raises(UsageError, match="cannot be written"):
            await client.copy("oci:in:@0", f"{place}:@0")
        with pytest.raises(LadingError, match="names no tag"):
            await client.tag(f"{place}:@0", f"{place}:@1")


async def test_a_target_is_made_where_its_path_ends(client: AsyncClient, here: Path) -> None:
    make_layout("in", entry(IMAGES[0], "v1"))
    for target, folder in (
        ("oci:fresh:kube-api:v1", "fresh"),
        ("oci:new/er:ghcr.io/acme/web:1.4", "new/er"),
        (r"oci:with\:colon:v1", "with:colon"),
        ("oci:with:colon:v2", "with:colon"),  # it exists now
        ("oci:with:colon/inside:v1", "with:colon/inside"),
        ("oci:with:colon/inside:app:v1", "with:colon/inside"),
    ):
        await client.copy("oci:in:v1", target)
        assert Path(folder, "index.json").is_file()
        assert await client.digest(target) == IMAGES[0].digest
    assert (
        sorted(path.name for path in here.iterdir() if path.is_dir())
        == ["docker", "fresh", "in", "new", "with:colon"][not (here / "docker").exists() :]
    )
    await client.copy("oci:in:v1", "oci-archive:a.tar:ghcr.io/acme/web:1.4")
    assert [info.tag for info in await client.tags("oci-archive:a.tar")] == ["1.4"]
    assert await client.digest("oci-archive:a.tar:ghcr.io/acme/web:1.4") == IMAGES[0].digest


async def test_skopeo_reads_names_and_positions_so(client: AsyncClient) -> None:
    skopeo = need("skopeo")
    make_layout("in", entry(IMAGES[0], "v1"))
    await client.copy("oci:in:v1", "oci:fresh:kube-api:v1")
    assert run([skopeo, "inspect", "--raw", "oci:fresh:kube-api:v1"]).stdout_bytes == IMAGES[0].content
    docker_archive("a.tar", None, None)
    config = run([skopeo, "inspect", "--config", "docker-archive:a.tar:@1"]).stdout
    assert json.loads(config)["architecture"] == "arm64"


@pytest.mark.parametrize("name", ["a b", "-x", "a:", "/a", "@x", "x" * 129 + "_"])
async def test_what_is_no_name_is_refused_before_anything_is_written(
    client: AsyncClient, here: Path, name: str
) -> None:
    make_layout("in", entry(IMAGES[0], "v1"))
    with pytest.raises(InvalidReference):
        await client.copy("oci:in:v1", f"oci:out:{name}")
    assert not (here / "out").exists()


async def test_other_names_are_given_moved_and_taken_away(client: AsyncClient) -> None:
    make_layout("in", entry(IMAGES[0], "kube-api:v1"), entry(IMAGES[1], "kube-proxy:v1"))
    await client.tag("oci:in:kube-api:v1", "stable", "oci:in:ghcr.io/acme/web:1")
    await client.tag("oci:in:kube-api:v1", "oci:in:kube-proxy:v1")
    assert await client.digest("oci:in:kube-proxy:v1") == IMAGES[0].digest
    await client.untag("oci:in:kube-proxy:v1")
    assert {info.tag for info in await client.tags("oci:in")} == {"v1", "stable", "1"}
    (change,) = await client.tag("oci:in@" + IMAGES[1].digest, "oci:in:kube-proxy:v1")
    assert str(change.reference) == "oci:in:kube-proxy:v1"
    deleted = await client.delete("oci:in:kube-api:v1")
    assert deleted.digest == IMAGES[0].digest
    assert [info.tag for info in await client.tags("oci:in")] == ["v1"]


async def test_all_names_of_a_layout_are_kept_in_another(client: AsyncClient) -> None:
    names = ["kube-api:v1", "kube-proxy:v1", f"ghcr.io/acme/web@{FOREIGN}"]
    make_layout("in", *(entry(image, name) for image, name in zip((*IMAGES, OTHER), names, strict=True)))
    for target in ("oci:out", "oci-archive:out.tar"):
        await client.copy("oci:in", target, all_tags=True)
        assert {info.tag for info in await client.tags(target)} == set(names)


def test_a_name_without_a_tag_is_not_dropped_silently(lading: Lading, elsewhere: str, here: Path) -> None:
    names = [f"ghcr.io/acme/web@{FOREIGN}", "v1+build"]
    make_layout("in", *(entry(image, name) for image, name in zip((*IMAGES, OTHER), ["v1", *names], strict=True)))
    repository = f"{elsewhere}/stays/behind"
    ran = lading.run("push", "oci:in", repository, cwd=here)
    for name in names:
        assert f"oci:in:{name} stayed behind: its name has no tag; to bring it: lading copy oci:in:{name}" in ran.stderr
    assert ran.stdout == f"{repository}:v1@{IMAGES[0].digest}\n"
    # Alone it is what is meant, as long as nothing was said of tags.
    make_layout("alone", entry(IMAGES[1], names[0]))
    assert ":latest@" in lading.run("push", "oci:alone", repository, cwd=here).stdout
    refused = lading.run("copy", "--all-tags", "oci:alone", repository, cwd=here, check=False)
    assert (refused.returncode, names[0] in refused.stderr) == (3, True)


def test_a_name_that_is_printed_is_one_to_point_at(lading: Lading, here: Path) -> None:
    make_layout("in", entry(IMAGES[0], "kube-api:v1"), entry(IMAGES[1], "kube-proxy:v1"), entry(IMAGES[0], "stable"))
    docker_archive("a.tar", ["app:1", "app:2"], ["app:3"])
    for place, name in (("oci:in", "kube-api:v1"), ("docker-archive:a.tar", "app:1")):
        found = lading.run("tags", place, "--points-at", name, cwd=here).stdout.split()
        assert found == {"oci:in": ["kube-api:v1", "stable"], "docker-archive:a.tar": ["app:1", "app:2"]}[place]


@pytest.mark.parametrize("has_layout", [True, False])
def test_an_archive_that_is_named_by_digest_is_pushed_as_any_other(
    lading: Lading, elsewhere: str, here: Path, has_layout: bool
) -> None:
    name = f"ghcr.io/acme/web@{IMAGES[0].digest}"
    docker_archive("a.tar", [name])
    if has_layout:
        make_layout("in", entry(IMAGES[0], f"@{IMAGES[0].digest}", **{IMAGE_NAME: name}))
        with tarfile.open("a.tar", "a") as tar:
            tar.add("in", arcname=".")
    repository = f"{elsewhere}/exported/{has_layout}".lower()
    pushed = lading.run("push", "docker-archive:a.tar", repository, cwd=here).stdout
    assert pushed.startswith(f"{repository}:latest@")
    assert (IMAGES[0].digest in pushed) == has_layout
    lading.run("copy", "--all-tags", "docker-archive:a.tar", "oci:out", cwd=here)
    assert lading.run("tags", "oci:out", cwd=here).stdout == f"{name}\n"
    assert lading.run("digest", f"oci:out:{name}", cwd=here).stdout.strip() in pushed


@pytest.mark.parametrize("odd", ["UPPER/Case:x y", "V1", "a\nb", "\u202e", ""])
@pytest.mark.parametrize("beside", [[], ["app:1"]])
async def test_a_name_that_means_nothing_stays_in_an_archive_that_is_added_to(
    client: AsyncClient, fill: Fill, odd: str, beside: list[str]
) -> None:
    docker_archive("a.tar", [*beside, odd], ["third:3"])
    await fill(Layout("in", create=True), OTHER, "1")
    await client.copy("oci:in:1", "docker-archive:a.tar:new:2")
    with tarfile.open("a.tar") as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        tags = [sorted(entry["RepoTags"]) for entry in json.load(file)]
    whole = [f"docker.io/library/{name}" for name in beside]
    others = [["docker.io/library/new:2"], ["docker.io/library/third:3"]]
    assert sorted(tags) == sorted([sorted([*whole, odd]), *others])
    for at, tag in enumerate(tags):
        assert (await client.get_manifest(f"docker-archive:a.tar:@{at}")).digest, tag


# --- an index.json that is the list itself


@pytest.mark.parametrize("name", [None, "v1"])
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
async def test_an_index_json_that_lists_platforms_is_an_index(
    client: AsyncClient, elsewhere: str, kind: str, name: str | None
) -> None:
    make_layout("flat", *(entry(image, name, arch) for image, arch in zip(IMAGES, ARCHES, strict=True)))
    pack("flat", "flat.tar")
    place = {"oci": "oci:flat", "oci-archive": "oci-archive:flat.tar"}[kind] + (f":{name}" if name else "")
    raw = Path("flat/index.json").read_bytes()
    index = await client.get(place)
    assert isinstance(index, Index)
    assert index.raw == raw
    assert await client.digest(place, platform="linux/arm64") == IMAGES[1].digest
    # Its digest can be typed back, and it is found by that in a store that was opened anew.
    pinned = str(parse_location(place).with_digest(index.digest))
    assert await client.get(pinned) == index
    repository = f"{elsewhere}/flat/{kind}-{name}".lower()
    await client.copy(place, f"{repository}:all")
    assert images.get_manifest(elsewhere, repository.partition("/")[2], "all")[0] == raw
    await client.copy(place, f"{repository}:arm", platforms="linux/arm64")
    assert [str(found.platform) for found in (await client.get_index(f"{repository}:arm")).manifests] == ["linux/arm64"]
    await client.copy(place, "docker-archive:one.tar:app:1", platforms="linux/arm64")
    assert (await client.config("docker-archive:one.tar:app:1")).platform == Platform.parse("linux/arm64")
    await client.copy(place, "oci:again:v2")
    assert await client.digest("oci:again:v2") == index.digest


async def test_beside_other_names_it_is_made_of_the_entries_of_one_name(client: AsyncClient) -> None:
    make_layout("in", entry(IMAGES[0], "v1", "amd64"), entry(OTHER, "v2"), entry(IMAGES[1], "v1", "arm64"))
    index = await client.get_index("oci:in:v1")
    assert [found.digest for found in index.manifests] == [image.digest for image in IMAGES]
    assert not any(found.annotations for found in index.manifests)
    assert await client.get(f"oci:in@{index.digest}") == index
    assert await client.digest("oci:in:v2") == OTHER.digest


@pytest.mark.parametrize("name", [None, "v1"])
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
@pytest.mark.parametrize("said", [(None, None), ("amd64", None)])
async def test_what_the_entries_do_not_say_their_configs_do(
    client: AsyncClient, elsewhere: str, kind: str, name: str | None, said: tuple[str | None, ...]
) -> None:
    make_layout("flat", *(entry(image, name, arch) for image, arch in zip(IMAGES, said, strict=True)))
    pack("flat", "flat.tar")
    place = {"oci": "oci:flat", "oci-archive": "oci-archive:flat.tar"}[kind] + (f":{name}" if name else "")
    for image, arch in zip(IMAGES, ARCHES, strict=True):
        assert await client.digest(place, platform=f"linux/{arch}") == image.digest
    with pytest.raises(NotFound, match="it has linux/amd64, linux/arm64"):
        await client.digest(place, platform="linux/s390x")
    index = await client.get_index(place)
    assert [str(found.platform) for found in index.manifests] == ["linux/amd64", "linux/arm64"]
    assert await client.get(str(parse_location(place).with_digest(index.digest))) == index
    repository = f"{elsewhere}/silent/{kind}-{name}".lower()
    await client.copy(place, f"{repository}:all")
    assert await client.digest(f"{repository}:all") == index.digest
    await client.copy(place, f"{repository}:arm", platforms="linux/arm64")
    assert [found.digest for found in (await client.get_index(f"{repository}:arm")).manifests] == [IMAGES[1].digest]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(lambda: [entry(IMAGES[0], None, "amd64"), entry(IMAGES[1], None, "amd64")], id="said twice"),
        pytest.param(lambda: [entry(IMAGES[0]), entry(images.make_image("linux/s390x", kind="oci"))], id="not there"),
        pytest.param(lambda: [entry(IMAGES[0]), entry(OTHER) | {"size": 3}, entry(IMAGES[0], "x")], id="named"),
    ],
)
async def test_what_is_no_list_of_platforms_has_to_be_named(
    client: AsyncClient, entries: Callable[[], list[dict[str, Any]]]
) -> None:
    make_layout("in", *entries())
    with pytest.raises(Conflict, match=r"has [23] manifests"):
        await client.digest("oci:in")


async def test_a_config_that_is_damaged_says_no_platform(client: AsyncClient) -> None:
    make_layout("in", *map(entry, IMAGES))
    config = Path("in/blobs", IMAGES[1].document["config"]["digest"].replace(":", "/"))
    config.write_bytes(config.read_bytes().replace(b"arm64", b"amd64"))
    with pytest.raises(Conflict, match="has 2 manifests"):
        await client.digest("oci:in")


async def test_a_layout_beside_a_folder_with_a_colon_in_its_name(client: AsyncClient, fill: Fill) -> None:
    # The shorter path counts, and what is printed of the other one says so.
    await fill(Layout("a", create=True), IMAGES[0], "b:1")
    await fill(Layout("a:b", create=True), IMAGES[1], "1")
    assert await client.digest("oci:a:b:1") == IMAGES[0].digest
    other = Location(kind="oci", path="a:b", tag="1")
    assert str(other) == r"oci:a\:b:1"
    assert await client.digest(str(other)) == IMAGES[1].digest
    assert Layout("a:b").name == r"oci:a\:b"
