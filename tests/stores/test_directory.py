"""The directory of one image that skopeo and podman call `dir:`: each reads what the other writes."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict, DigestMismatch, InvalidContent, LadingError, NotFound, Unsupported, UsageError
from lading.model.descriptor import Descriptor
from lading.stores.layout.layout import Layout
from lading.stores.location import parse_location
from support import images
from support.lading import Lading
from support.parts import need
from support.process import run

Fill = Callable[..., Awaitable[Descriptor]]

IMAGES = [images.make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ("amd64", "arm64")]
INDEX = images.make_index(IMAGES, kind="oci")
SIGNATURE = images.make_artifact("application/vnd.example.signature", {"sig": b"signed"}, subject=INDEX)
CONTENT = pytest.mark.parametrize("content, tag", [(IMAGES[0], "image"), (INDEX, "index")], ids=["image", "index"])


@pytest.fixture(autouse=True)
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill: Fill) -> Path:
    monkeypatch.chdir(tmp_path)
    layout = Layout("in", create=True)
    await fill(layout, INDEX, "index")
    await fill(layout, IMAGES[0], "image")
    await fill(layout, SIGNATURE)
    return tmp_path


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "docker")


@CONTENT
async def test_skopeo_reads_what_lading_writes(client: AsyncClient, content: images.Manifest, tag: str) -> None:
    skopeo = need("skopeo")
    await client.copy(f"oci:in:{tag}", "dir:out:1")
    assert run([skopeo, "inspect", "--raw", "dir:out:1"]).stdout_bytes == content.content
    run([skopeo, "--insecure-policy", "copy", "--all", "dir:out:1", "oci:back:1"])
    assert await client.digest("oci:back:1") == content.digest
    assert Path("out:1/version").read_bytes() == b"Directory Transport Version: 1.1\n"


@CONTENT
async def test_lading_reads_what_skopeo_writes(client: AsyncClient, content: images.Manifest, tag: str) -> None:
    skopeo = need("skopeo")
    run([skopeo, "--insecure-policy", "copy", "--all", f"oci:in:{tag}", "dir:out"])
    assert await client.digest("dir:out") == content.digest
    assert await client.digest("dir:out", platform="linux/amd64") == IMAGES[0].digest
    await client.copy("dir:out", "oci:back:1")
    assert (await client.get("oci:back:1")).raw == content.content
    # Skopeo's is written over, as skopeo does.
    await client.copy("oci:in:image", "dir:out")
    assert await client.digest("dir:out") == IMAGES[0].digest
    assert run([skopeo, "inspect", "--raw", "dir:out"]).stdout_bytes == IMAGES[0].content


def test_from_a_registry_and_back(lading: Lading, elsewhere: str, here: Path) -> None:
    lading.run("push", "oci:in:index", f"{elsewhere}/dir:1", cwd=here)
    assert lading.run("pull", f"{elsewhere}/dir:1", "dir:out", cwd=here).stdout == f"dir:out@{INDEX.digest}\n"
    assert lading.run("digest", "--full", "dir:out", cwd=here).stdout == f"dir:out@{INDEX.digest}\n"
    assert lading.run("inspect", "--raw", f"dir:out@{INDEX.digest}", cwd=here).stdout_bytes == INDEX.content
    assert json.loads(lading.run("inspect", "--format", "json", "dir:out", cwd=here).stdout)["entry_count"] == 2
    assert lading.run("tags", "dir:out", cwd=here).stdout == ""
    pushed = lading.run("push", "dir:out", f"{elsewhere}/dir/back", cwd=here)
    assert pushed.stdout == f"{elsewhere}/dir/back:latest@{INDEX.digest}\n"
    one = lading.run("push", "dir:out", f"{elsewhere}/dir/back:arm", "--platform", "linux/arm64", cwd=here)
    assert f"{elsewhere}/dir/back:arm@" in one.stdout


async def test_an_entry_is_found_by_its_digest_and_a_referrer_goes_along(client: AsyncClient) -> None:
    await client.copy("oci:in:index", "dir:out", referrers=True)
    assert await client.digest("dir:out") == INDEX.digest
    for image in (*IMAGES, SIGNATURE):
        assert (await client.get(f"dir:out@{image.digest}")).raw == image.content
    report = await client.copy("dir:out", "oci:back:1", referrers=True)
    assert report.images[0].referrers == 1


async def test_what_cannot_be_done_there_is_refused(client: AsyncClient, here: Path) -> None:
    await client.copy("oci:in:image", "dir:out")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    for failing, expected in (
        (client.copy("oci:in:index", "dir:out", tags="a"), UsageError),
        (client.copy("oci:in", "dir:out", all_tags=True), UsageError),
        (client.copy("oci:in:index", "dir:out", clobber=False), Conflict),
        (client.copy("oci:in:index", f"dir:out@{IMAGES[1].digest}"), Conflict),
        (client.copy("oci:in:index", "dir:in"), Conflict),
        (client.copy("oci:in:index", "dir:in/index.json"), UsageError),
        (client.copy("oci:in:index", "dir:no/where"), UsageError),
        (client.tag("dir:out", "x"), LadingError),
        (client.delete("dir:out"), Unsupported),
        (client.digest("dir:gone"), NotFound),
        (client.digest("dir:in"), InvalidContent),
        (client.digest(f"dir:out@{INDEX.digest}"), NotFound),
    ):
        with pytest.raises(expected):
            await failing
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before
    assert visible(here) == ["in", "out"]


async def test_damage_is_found_and_links_are_not_followed(client: AsyncClient, here: Path) -> None:
    await client.copy("oci:in:image", "dir:out")
    (layer,) = [Path("out", images.digest_of(layer)[7:]) for layer in IMAGES[0].layers]
    content = layer.read_bytes()
    layer.write_bytes(content[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        await client.copy("dir:out", "oci:back:1")
    layer.unlink()
    (here / "secret").write_bytes(content)
    layer.symlink_to(here / "secret")
    with pytest.raises(InvalidContent, match="is a link"):
        await client.copy("dir:out", "oci:back:1")


@pytest.mark.parametrize("text", ["dir:a:b", "dir:/x/y@z", "dir:out", f"dir:out@{INDEX.digest}", r"dir:a\:b"])
def test_what_a_location_says(text: str) -> None:
    location = parse_location(text)
    assert location.kind == "dir"
    assert location.tag is None
    assert parse_location(str(location)) == location
