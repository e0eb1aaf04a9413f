"""Image layouts and OCI archives: what one tool writes the other reads, and digests stay the same."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from interop.conftest import Tool
from lading.client import AsyncClient
from support import images
from support.registry import RealRegistry

SHARED = images.make_layer({"shared": images.noise("shared", 100_000)})
IMAGES = [
    images.make_image(
        platform, kind="oci", layers=[SHARED, images.make_layer({"own": platform.encode()})], seed=platform
    )
    for platform in ("linux/amd64", "linux/arm64/v8")
]
INDEX = images.make_index(
    [*IMAGES, images.make_attestation(IMAGES[0])], kind="oci", annotations={"org.example.note": "kept"}
)
CONTENT = pytest.mark.parametrize("content", [INDEX, IMAGES[0]], ids=["index", "image"])
TOOLS = pytest.mark.parametrize("name", ["crane", "oras", "regctl", "skopeo"])


def write(tool: Tool, name: str, host: str, source: str, folder: str, tag: str) -> str:
    """Have a tool bring something from a registry to a layout; returns the location of it."""
    if name == "crane":
        tool("crane", "pull", "--insecure", "--format=oci", source, folder)
        return f"oci:{folder}"  # it keeps no names
    if name == "oras":
        tool("oras", "copy", "--from-plain-http", "--to-oci-layout", source, f"{folder}:{tag}")
        return f"oci:{folder}:{tag}"
    if name == "regctl":
        tool("regctl", "--host", f"reg={host},tls=disabled", "image", "copy", source, f"ocidir://{folder}:{tag}")
        return f"ocidir://{folder}:{tag}"
    skopeo = ("skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false")
    tool(*skopeo, f"docker://{source}", f"oci:{folder}:{tag}")
    return f"oci:{folder}:{tag}"


def push(tool: Tool, name: str, host: str, folder: str, tag: str, target: str) -> None:
    """Have a tool bring something from a layout to a registry."""
    if name == "crane":
        tool("crane", "push", "--insecure", folder, target)
    elif name == "oras":
        tool("oras", "copy", "--from-oci-layout", "--to-plain-http", f"{folder}:{tag}", target)
    elif name == "regctl":
        tool("regctl", "--host", f"reg={host},tls=disabled", "image", "copy", f"ocidir://{folder}:{tag}", target)
    else:
        skopeo = ("skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false")
        tool(*skopeo, f"oci:{folder}:{tag}", f"docker://{target}")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@CONTENT
@TOOLS
async def test_lading_reads_what_they_write(
    name: str,
    content: images.Manifest,
    tool: Tool,
    client: AsyncClient,
    registry: RealRegistry,
    elsewhere: str,
    repository: str,
) -> None:
    images.push(registry.host, repository, "1", content)
    place = write(tool, name, registry.host, f"{registry.host}/{repository}:1", "layout", "v1")
    assert await client.digest(place) == content.digest
    # The registry takes nothing whose parts are missing or damaged.
    await client.copy(place, f"{elsewhere}/{repository}:1")
    assert images.get_manifest(elsewhere, repository, "1")[0] == content.content


@CONTENT
@TOOLS
async def test_they_read_what_lading_writes(
    name: str,
    content: images.Manifest,
    tool: Tool,
    client: AsyncClient,
    registry: RealRegistry,
    elsewhere: str,
    repository: str,
) -> None:
    images.push(elsewhere, repository, "1", content)
    await client.copy(f"{elsewhere}/{repository}:1", "oci:layout:v1")
    push(tool, name, registry.host, "layout", "v1", f"{registry.host}/{repository}:1")
    assert images.get_manifest(registry.host, repository, "1")[0] == content.content


@pytest.mark.parametrize("name", ["oras", "regctl", "skopeo"])
async def test_both_write_one_layout_and_lose_nothing(
    name: str, tool: Tool, client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    source = f"{registry.host}/{repository}"
    images.push(registry.host, repository, "1", INDEX)
    images.push(registry.host, repository, "2", IMAGES[1])
    await client.copy(f"{source}:1", "oci:layout:ours")
    write(tool, name, registry.host, f"{source}:2", "layout", "theirs")
    await client.tag("oci:layout:theirs", "both")
    await client.copy(f"{source}:2", "oci:layout:more")
    write(tool, name, registry.host, f"{source}:1", "layout", "again")
    found = {info.tag: info.digest for info in await client.tags("oci:layout", digests=True)}
    assert found == {
        "ours": INDEX.digest,
        "theirs": IMAGES[1].digest,
        "both": IMAGES[1].digest,
        "more": IMAGES[1].digest,
        "again": INDEX.digest,
    }
    report = await client.copy("oci:layout", f"{source}-back", all_tags=True)
    assert len(report.images) == 5


async def test_archives_there_and_back(
    tool: Tool, client: AsyncClient, registry: RealRegistry, repository: str, here: Path
) -> None:
    source = f"{registry.host}/{repository}"
    images.push(registry.host, repository, "1", INDEX)
    skopeo = ("skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false")
    tool(*skopeo, f"docker://{source}:1", "oci-archive:theirs.tar:v1")
    assert await client.digest("oci-archive:theirs.tar:v1") == INDEX.digest
    await client.copy("oci-archive:theirs.tar:v1", f"{source}:from-theirs")
    for suffix in ("tar", "tar.gz"):
        await client.copy(f"{source}:1", f"oci-archive:ours.{suffix}:v1")
        tool(*skopeo, f"oci-archive:ours.{suffix}:v1", f"docker://{source}:{suffix}")
        assert images.get_manifest(registry.host, repository, suffix)[2] == INDEX.digest
    regctl = ("regctl", "--host", f"reg={registry.host},tls=disabled", "image")
    tool(*regctl, "export", f"{source}:1", "regctl.tar")
    assert await client.digest("oci-archive:regctl.tar") == INDEX.digest
    tool(*regctl, "import", f"{source}:imported", "ours.tar")
    assert images.get_manifest(registry.host, repository, "imported")[2] == INDEX.digest
    await client.copy("oci-archive:regctl.tar", f"{source}:exported")


async def test_an_artifact_of_oras_stays_one(
    tool: Tool, client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str, here: Path
) -> None:
    (here / "notes.txt").write_text("kept\n")
    oras = ("oras", "push", "--plain-http", "--artifact-type", "application/vnd.example.notes")
    tool(*oras, f"{registry.host}/{repository}:1", "notes.txt")
    digest = images.get_manifest(registry.host, repository, "1")[2]
    await client.copy(f"{registry.host}/{repository}:1", "oci:layout:1", f"{elsewhere}/{repository}:1")
    assert images.get_manifest(elsewhere, repository, "1")[2] == digest
    for number, words in enumerate((("--oci-layout", "layout:1"), ("--plain-http", f"{elsewhere}/{repository}:1"))):
        tool("oras", "pull", "-o", f"out{number}", *words)
        assert (here / f"out{number}" / "notes.txt").read_text() == "kept\n"


@pytest.mark.parametrize("kept", ["api", "fallback"])
async def test_referrers_are_found_by_all_of_them(
    kept: str, tool: Tool, client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str, here: Path
) -> None:
    """Attached by oras, brought along through a layout, found by oras and regctl again, and the other way round."""
    host, other = (elsewhere, registry.host) if kept == "api" else (registry.host, elsewhere)
    images.push(host, repository, "1", IMAGES[0])
    (here / "sbom.json").write_text("{}")
    oras = ("oras", "attach", "--plain-http", "--artifact-type", "application/vnd.example.sbom")
    tool(*oras, f"{host}/{repository}:1", "sbom.json")
    await client.copy(f"{host}/{repository}:1", "oci:layout:1", referrers=True)
    assert "application/vnd.example.sbom" in tool("oras", "discover", "--oci-layout", "layout:1").stdout
    assert "application/vnd.example.sbom" in tool("regctl", "artifact", "list", "ocidir://layout:1").stdout
    await client.copy("oci:layout:1", f"{other}/{repository}:1", referrers=True)
    assert "application/vnd.example.sbom" in tool("oras", "discover", "--plain-http", f"{other}/{repository}:1").stdout
    regctl = ("regctl", "--host", f"reg={other},tls=disabled")
    assert "application/vnd.example.sbom" in tool(*regctl, "artifact", "list", f"{other}/{repository}:1").stdout
    # What regctl and oras write to a layout, lading brings along.
    tool(*regctl, "image", "copy", "--referrers", f"{other}/{repository}:1", "ocidir://regctl:1")
    tool("oras", "copy", "-r", "--from-plain-http", "--to-oci-layout", f"{other}/{repository}:1", "oras:1")
    for name in ("regctl", "oras"):
        # Without a tag, too: what refers to the image is no other image.
        report = await client.copy(f"oci:{name}", f"{other}/{repository}-{name}:1", referrers=True)
        assert report.images[0].referrers == 1
        found = tool("oras", "discover", "--plain-http", f"{other}/{repository}-{name}:1").stdout
        assert "application/vnd.example.sbom" in found


@pytest.mark.parametrize("order", [["regctl", "oras", "lading"], ["lading", "oras", "regctl"]])
async def test_referrers_that_all_of_them_write_to_one_layout(
    order: list[str], tool: Tool, client: AsyncClient, registry: RealRegistry, repository: str, here: Path
) -> None:
    """One after another attaches something to an image in a layout; each finds what there is, and lading all of it."""
    images.push(registry.host, repository, "1", IMAGES[0])
    images.push(
        registry.host, repository, "note", images.make_artifact("application/vnd.example.lading", subject=IMAGES[0])
    )
    (here / "note.txt").write_text("a note")
    await client.copy(f"{registry.host}/{repository}:1", "oci:layout:1")
    for name in order:
        kind = f"application/vnd.example.{name}"
        if name == "lading":
            await client.copy(f"{registry.host}/{repository}:note", "oci:layout:note")
        elif name == "oras":
            tool("oras", "attach", "--oci-layout", "--artifact-type", kind, "layout:1", "note.txt")
        else:
            put = ("regctl", "artifact", "put", "--artifact-type", kind, "-f", "note.txt")
            tool(*put, "--subject", "ocidir://layout:1", "-m", "text/plain")
    report = await client.copy("oci:layout:1", "oci:copy:1", referrers=True)
    assert report.images[0].referrers == 3
    for where in ("layout", "copy"):
        found = tool("regctl", "artifact", "list", f"ocidir://{where}:1").stdout
        seen = {name for name in order if f"application/vnd.example.{name}" in found}
        # What oras writes to a layout is not under a tag.
        assert seen >= ({"lading", "regctl"} if where == "layout" else set(order))
        found = tool("oras", "discover", "--oci-layout", f"{where}:1").stdout
        assert all(f"application/vnd.example.{name}" in found for name in order)


async def test_what_buildx_exports_is_read_by_its_names(
    client: AsyncClient, registry: RealRegistry, repository: str, here: Path
) -> None:
    """Made by hand, as `docker buildx build --output type=oci` writes it: full names beside tags, and attestations."""
    descriptor = INDEX.descriptor(
        annotations={
            "io.containerd.image.name": "docker.io/library/app:1.0",
            "org.opencontainers.image.created": "2024-05-29T00:00:00Z",
            "org.opencontainers.image.ref.name": "1.0",
        }
    )
    files = {
        "index.json": json.dumps(
            {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": [descriptor]}
        ).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }

    def add(manifest: images.Manifest) -> None:
        for content in (manifest.content, *manifest.blobs.values()):
            files[f"blobs/sha256/{images.digest_of(content).partition(':')[2]}"] = content
        for child in manifest.children:
            add(child)

    add(INDEX)
    with tarfile.open(here / "buildx.tar", "w") as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for name in ("", ":1.0", f"@{INDEX.digest}"):
        assert await client.digest(f"oci-archive:buildx.tar{name}") == INDEX.digest
    report = await client.copy("oci-archive:buildx.tar", f"{registry.host}/{repository}", all_tags=None)
    assert report.images[0].targets[0].reference == f"{registry.host}/{repository}:1.0"
    assert images.get_manifest(registry.host, repository, "1.0")[2] == INDEX.digest
