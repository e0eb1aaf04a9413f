"""What refers to an image that is edited: it stays, is made anew, or is left out, and what is signed is never moved."""

from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient
from lading.edits import SetLabel
from lading.model.digest import Digest
from lading.transfer.report import Note
from support.images import make_artifact, make_image, make_index, push
from support.lading import Lading
from support.registry import RealRegistry

SBOM, SIGNATURE = "application/spdx+json", "application/vnd.dev.cosign.artifact.sig.v1+json"


@pytest.fixture(params=["registry without the API", "embedded registry", "layout"])
async def place(
    request: pytest.FixtureRequest,
    registry: RealRegistry,
    elsewhere: str,
    repository: str,
    tmp_path: Path,
    client: AsyncClient,
) -> str:
    """An index of two images. The first has an SBOM with a note on that, and a signature; the second an SBOM."""
    images = [make_image(platform, kind="oci", seed=platform) for platform in ("linux/amd64", "linux/arm64")]
    push(elsewhere, repository, "1", make_index(images, kind="oci"))
    first = make_artifact(SBOM, subject=images[0])
    push(elsewhere, repository, None, first)
    push(elsewhere, repository, None, make_artifact("text/note", {"a": b"a"}, subject=first))
    push(elsewhere, repository, None, make_artifact(SIGNATURE, {"s": b"s"}, subject=images[0]))
    push(elsewhere, repository, None, make_artifact(SBOM, {"b": b"b"}, subject=images[1]))
    push(elsewhere, repository, f"sha256-{images[0].digest[7:]}.sig", make_artifact(SIGNATURE, {"t": b"t"}))
    push(elsewhere, repository, f"sha256-{images[0].digest[7:]}.sbom", make_artifact(SBOM, {"u": b"u"}))
    place = {
        "embedded registry": f"{elsewhere}/{repository}",
        "registry without the API": f"{registry.host}/{repository}",
        "layout": f"oci:{tmp_path}/layout",
    }[request.param]
    if request.param != "embedded registry":
        await client.copy(f"{elsewhere}/{repository}:1", f"{place}:1", referrers=True)
    return place


async def referrers(client: AsyncClient, place: str, digest: str) -> list[str]:
    async with client.open(place) as store:
        subject = await store.resolve(digest)
        return sorted([item.artifact_type async for item in store.referrers(subject)])


async def digests(client: AsyncClient, place: str) -> list[Digest]:
    return [entry.digest for entry in (await client.get_index(place)).images]


async def test_copied_to_what_it_becomes(client: AsyncClient, place: str, tmp_path: Path) -> None:
    target = f"oci:{tmp_path}/target"
    report = await client.images.edit(
        f"{place}:1", SetLabel("a", "b"), targets=f"{target}:2", platforms="linux/amd64", referrers="copy"
    )
    old, (new, other) = (await digests(client, f"{place}:1"))[0], await digests(client, f"{target}:2")
    assert await referrers(client, target, new) == [SBOM]
    assert await referrers(client, target, other) == [SBOM]
    async with client.open(target) as store:
        (sbom,) = [item async for item in store.referrers(await store.resolve(new))]
        assert (await client.get(f"{target}@{sbom.digest}")).subject is not None
        assert await referrers(client, target, sbom.digest) == ["text/note"]
        tags = {tag async for tag in store.tags()}
    assert tags >= {f"sha256-{new.hex}.sbom"}
    assert not any(tag.endswith(".sig") or old.hex in tag for tag in tags)
    assert [note for note in report.notes if "2 signatures" in note and "left behind" in note]


async def test_copied_beside_the_image_as_it_was(client: AsyncClient, place: str) -> None:
    old = (await digests(client, f"{place}:1"))[0]
    before = await referrers(client, place, old)
    await client.images.edit(f"{place}:1", SetLabel("a", "b"), targets=f"{place}:2", referrers="copy")
    new, other = await digests(client, f"{place}:2")
    assert await referrers(client, place, new) == [SBOM]
    assert await referrers(client, place, other) == [SBOM]
    assert await referrers(client, place, old) == before == [SBOM, SIGNATURE]


@pytest.mark.parametrize("policy", ["keep", "drop"])
async def test_kept_and_dropped(client: AsyncClient, place: str, policy: Any) -> None:
    old = (await digests(client, f"{place}:1"))[0]
    report = await client.images.edit(f"{place}@{old}", SetLabel("a", "b"), targets=f"{place}:2", referrers=policy)
    digest = report.images[0].digest
    assert await referrers(client, place, digest) == []
    assert await referrers(client, place, old) == [SBOM, SIGNATURE]
    said = [note.code for note in report.notes if isinstance(note, Note)]
    assert said == (["referrers-of-original"] if policy == "keep" else [])


async def test_where_nothing_refers_nothing_is_said(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image(kind="oci"))
    name = f"{registry.host}/{repository}"
    report = await client.images.edit(f"{name}:1", SetLabel("a", "b"), targets=f"{name}:2")
    assert report.notes == []


def test_by_command(lading: Lading, elsewhere: str, repository: str) -> None:
    image = make_image(kind="oci")
    name = f"{elsewhere}/{repository}"
    push(elsewhere, repository, "1", image)
    push(elsewhere, repository, None, make_artifact(SBOM, subject=image))
    said = lading.run("image", "edit", f"{name}:1", "--label", "a=b", "-t", "2").stderr
    assert "1 referrer of" in said
    assert "--referrers copy" in said
    said = lading.run("image", "edit", f"{name}:1", "--label", "a=b", "-t", "3", "--referrers", "copy").stderr
    assert "warning" not in said
