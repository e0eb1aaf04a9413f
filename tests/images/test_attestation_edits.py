"""Attestations move from the index to what refers to its images, and back."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lading import AsyncClient, UsageError
from lading.edits import AttestationsToReferrers, ReferrersToAttestations, SetLabel
from lading.model.manifest import Manifest
from lading.store import fetch_manifest
from support.images import make_attestation, make_image, make_index, push
from support.lading import Lading
from support.registry import RealRegistry

TYPE = "application/vnd.docker.attestation.manifest.v1+json"


@pytest.fixture
def attested(registry: RealRegistry, new_repository: Callable[[], str]) -> str:
    """An index of two images with an attestation each."""
    repository = new_repository()
    images = [make_image(p, kind="oci", seed=p) for p in ("linux/amd64", "linux/arm64")]
    push(registry.host, repository, "1", make_index([*images, *map(make_attestation, images)], kind="oci"))
    return f"{registry.host}/{repository}"


async def statements(client: AsyncClient, place: str, tag: str) -> dict[str, list[str]]:
    """For each image of an index the digests of the statements that refer to it."""
    found: dict[str, list[str]] = {}
    async with client.open(place.removesuffix(":")) as store:
        for entry in (await client.get_index(f"{place}{tag}")).images:
            said = found[str(entry.platform)] = list[str]()
            async for referrer in store.referrers(entry.content):
                assert referrer.artifact_type == TYPE
                manifest = await fetch_manifest(store, referrer.content)
                assert isinstance(manifest, Manifest)
                assert manifest.subject is not None
                assert manifest.subject.digest == entry.digest
                said += [str(layer.digest) for layer in manifest.layers]
    return found


@pytest.mark.parametrize("where", ["registry without the API", "embedded registry", "layout"])
async def test_there_and_back(client: AsyncClient, attested: str, elsewhere: str, tmp_path: Path, where: str) -> None:
    """A registry without the referrers API has them under the fallback tag; the way back gives the same bytes."""
    place = {
        "registry without the API": f"{attested}:",
        "embedded registry": f"{elsewhere}/{attested.partition('/')[2]}:",
        "layout": f"oci:{tmp_path / 'layout'}:",
    }[where]
    if where != "registry without the API":
        await client.copy(f"{attested}:1", f"{place}1")
    before = await client.get_index(f"{place}1")
    await client.images.edit(f"{place}1", AttestationsToReferrers(), targets=f"{place}2")
    index = await client.get_index(f"{place}2")
    assert index.manifests == before.images
    found = await statements(client, place, "2")
    assert [len(digests) for digests in found.values()] == [1, 1]
    await client.images.edit(f"{place}2", ReferrersToAttestations(), targets=f"{place}3")
    assert await client.digest(f"{place}3") == before.digest
    again = await client.images.edit(f"{place}3", ReferrersToAttestations(), targets=f"{place}3")
    assert again.changes == []


async def test_they_refer_to_the_images_as_they_become(client: AsyncClient, attested: str) -> None:
    edits = [SetLabel("a", "b"), AttestationsToReferrers()]
    await client.images.edit(f"{attested}:1", *edits, targets=f"{attested}:2", platforms="linux/arm64")
    found = await statements(client, f"{attested}:", "2")
    assert [len(digests) for digests in found.values()] == [1, 1]
    await client.images.edit(f"{attested}:2", SetLabel("c", "d"), ReferrersToAttestations(), targets=f"{attested}:3")
    index = await client.get_index(f"{attested}:3")
    about = [entry.annotations["vnd.docker.reference.digest"] for entry in index.attestations]
    assert about == [str(entry.digest) for entry in index.images]


async def test_an_image_has_no_attestations_to_move(client: AsyncClient, attested: str) -> None:
    image = (await client.get_index(f"{attested}:1")).images[0]
    with pytest.raises(UsageError, match="is no index"):
        await client.images.edit(f"{attested}@{image.digest}", AttestationsToReferrers(), targets=f"{attested}:2")


def test_the_command_line(lading: Lading, attested: str) -> None:
    lading.run("image", "edit", f"{attested}:1", "--attestations-to-referrers", "-t", "2")
    lading.run("image", "edit", f"{attested}:2", "--referrers-to-attestations", "-t", "3")
    digests = {lading.run("digest", f"{attested}:{tag}").stdout for tag in ("1", "3")}
    assert len(digests) == 1


async def test_an_archive_of_docker_holds_no_referrers(client: AsyncClient, attested: str, tmp_path: Path) -> None:
    target = f"docker-archive:{tmp_path / 'a.tar'}"
    report = await client.images.edit(
        f"{attested}:1", AttestationsToReferrers(), targets=target, platforms="linux/amd64"
    )
    assert any("holds none" in note for note in report.notes), report.notes
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert len(json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest.json"))) == 1
