"""Referrers where other tools lose them, or show what is gone: many writers at once, lists that are old, deletions."""

import asyncio
import json
from pathlib import Path

import pytest

from lading import ArtifactFile, AsyncClient
from lading.edits import SetAnnotation
from lading.model.digest import Digest
from lading.model.tags import fallback_tag
from support.images import Entry, RegistryClient, make_artifact, make_image, make_index, push
from support.lading import Lading
from support.registry import RealRegistry

SBOM = "application/spdx+json"
IMAGE = make_image("linux/amd64", kind="oci")


@pytest.fixture(params=["tags", "API", "layout"])
async def place(
    request: pytest.FixtureRequest,
    registry: RealRegistry,
    elsewhere: str,
    repository: str,
    tmp_path: Path,
    client: AsyncClient,
) -> str:
    host = registry.host if request.param == "tags" else elsewhere
    push(host, repository, "1", IMAGE)
    place = f"{host}/{repository}"
    if request.param != "layout":
        return place
    await client.copy(f"{place}:1", f"oci:{tmp_path}/layout:1")
    return f"oci:{tmp_path}/layout"


async def referrers(client: AsyncClient, place: str) -> list[str]:
    async with client.open(place) as store:
        return sorted([str(one.digest) async for one in store.referrers(await store.resolve("1"))])


async def attached(place: str, number: int) -> str:
    """Attach something, as a program of its own would."""
    async with AsyncClient() as client:
        file = ArtifactFile(content=b"%d" % number, title="a")
        report = await client.artifacts.attach(f"{place}:1", file, artifact_type=SBOM)
    return str(report.images[0].digest)


async def test_many_writers_at_once_lose_nothing(client: AsyncClient, place: str) -> None:
    made = await asyncio.gather(*(attached(place, number) for number in range(4)))
    assert await referrers(client, place) == sorted(made)


async def test_deletions_and_writers_at_once_lose_nothing_else(client: AsyncClient, place: str) -> None:
    old = [await attached(place, number) for number in range(3)]
    writing = asyncio.ensure_future(attached(place, 9))
    await asyncio.gather(*(client.delete(f"{place}@{digest}") for digest in old[:2]))
    new = await writing
    assert await referrers(client, place) == sorted([old[2], new])
    tree = await client.artifacts.tree(f"{place}:1")
    assert {node.state for node in tree.walk()} <= {"present", "listed"}


async def test_a_list_of_what_is_gone_takes_new_ones(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    """Others delete a referrer and leave the list; the registry takes no list any more of what it has not."""
    push(registry.host, repository, "1", IMAGE)
    place = f"{registry.host}/{repository}"
    gone, stays = await attached(place, 1), await attached(place, 2)
    with RegistryClient(registry.host, repository) as direct:
        direct.delete(gone)
    new = await attached(place, 3)
    assert await referrers(client, place) == sorted([stays, new])


async def test_a_list_that_names_one_twice_has_it_once(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", IMAGE)
    one, other = (make_artifact(SBOM, {"a": content}, subject=IMAGE) for content in (b"1", b"2"))
    listed = make_index([Entry(artifact, platform={}) for artifact in (one, one, other)], kind="oci")
    push(registry.host, repository, fallback_tag(Digest(IMAGE.digest)), listed)
    place = f"{registry.host}/{repository}"
    assert await referrers(client, place) == sorted([one.digest, other.digest])
    assert len((await client.artifacts.tree(f"{place}:1")).root.referrers) == 2
    await client.delete(f"{place}@{one.digest}")
    assert await referrers(client, place) == [other.digest]
    with RegistryClient(registry.host, repository) as direct:
        raw, _, _ = direct.manifest(fallback_tag(Digest(IMAGE.digest)))
    assert json.loads(raw)["manifests"][0]["digest"] == other.digest


async def test_what_is_chosen_is_chosen_in_the_document_too(client: AsyncClient, lading: Lading, place: str) -> None:
    await attached(place, 1)
    found = json.loads(lading.run("tree", f"{place}:1", "--layers", "--format", "json").stdout)["root"]
    assert found["layers"][0]["mediaType"]
    assert found["referrers"][0]["layers"][0]["annotations"] == {"org.opencontainers.image.title": "a"}
    for words in (["--artifact-type", "x/y"], ["--filter-annotation", "x"]):
        assert (
            json.loads(lading.run("tree", f"{place}:1", *words, "--format", "json").stdout)["root"]["referrers"] == []
        )


async def test_an_edit_that_changes_nothing_gives_the_tag_all_the_same(client: AsyncClient, place: str) -> None:
    report = await client.artifacts.edit(f"{place}:1", SetAnnotation("none", None), targets=f"{place}:2")
    assert report.changes == []
    assert await client.digest(f"{place}:2") == IMAGE.digest
