"""What is made of a manifest before it is copied, and places that are stores rather than texts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict, LadingError, NotFound, UsageError
from lading.images.machine import machine
from lading.images.platforms import nearest_image
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.platform import Platform
from lading.store import fetch_manifest, put_manifest
from lading.stores.memory import Memory
from lading.stores.overlay import Overlay
from lading.transfer.operation import copy
from lading.transfer.place import Place
from lading.transfer.report import CopyOptions
from lading.transfer.transform import Graph
from support import images
from support.proxy import CountingProxy
from support.registry import RealRegistry

ARMS = [images.make_image(f"linux/arm/v{number}", seed=f"v{number}") for number in (5, 6, 7)]
OTHERS = [images.make_image(f"linux/{arch}", seed=arch) for arch in ("amd64", "arm64/v8", "s390x")]
INDEX = images.make_index([*OTHERS, *ARMS])


def index_of(*built: images.Manifest) -> Index:
    made = images.make_index(list(built))
    index = parse(made.content, made.media_type)
    assert isinstance(index, Index)
    return index


@pytest.mark.parametrize(
    "name, there, taken",
    [
        ("linux/arm/v7", ARMS, 2),
        ("linux/arm/v8", ARMS, 2),
        ("linux/arm/v6", ARMS, 1),
        ("linux/arm/v6", ARMS[::2], 0),
        ("linux/arm64", OTHERS, 1),
        ("linux/amd64", OTHERS, 0),
    ],
)
async def test_an_engine_gets_the_image_that_is_nearest_to_its_machine(
    name: str, there: list[images.Manifest], taken: int
) -> None:
    found = await nearest_image(Memory(), index_of(*there), Platform.parse(name), "app:1")
    assert found.digest == there[taken].digest


@pytest.mark.parametrize(
    "name, there", [("linux/arm/v5", ARMS[1:]), ("linux/riscv64", OTHERS), ("linux/arm/v7", OTHERS)]
)
async def test_an_engine_gets_nothing_that_its_machine_does_not_run(name: str, there: list[images.Manifest]) -> None:
    with pytest.raises(NotFound, match=f"app:1 has nothing for {name}") as refused:
        await nearest_image(Memory(), index_of(*there), Platform.parse(name), "app:1")
    assert refused.value.fields["platforms"] == [name]


@pytest.mark.parametrize(
    "hardware, taken", [("armv7l", ARMS[2]), ("armv6l", ARMS[1]), ("aarch64", OTHERS[1]), ("x86_64", OTHERS[0])]
)
async def test_pulling_asks_for_what_the_machine_is(
    hardware: str,
    taken: images.Manifest,
    client: AsyncClient,
    elsewhere: str,
    repository: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a Raspberry Pi of 32 bits, `linux/armv7l` was asked for, which nothing is for."""
    monkeypatch.setattr("lading.images.machine.this_machine", lambda: machine("linux", hardware))
    images.push(elsewhere, repository, "1", INDEX)
    report = await client.copy(f"{elsewhere}/{repository}:1", f"docker-archive:{tmp_path}/a.tar:app:1")
    assert (report.images[0].digest, report.images[0].original) == (taken.digest, INDEX.digest)


async def test_transforms_are_applied_in_order_and_a_dry_run_shows_what_comes_out(
    elsewhere: str, client: AsyncClient, repository: str
) -> None:
    images.push(elsewhere, repository, "1", INDEX)
    seen: list[str] = []

    async def first(graph: Graph) -> Graph:
        seen.append(graph.manifest.digest)
        image = await client.get(f"{elsewhere}/{repository}@{OTHERS[0].digest}")
        return graph.changed("only one", manifest=image)

    async def annotated(graph: Graph) -> Graph:
        seen.append(graph.manifest.digest)
        overlay = await graph.resources.enter_async_context(Overlay(graph.store))
        document = {**graph.manifest.document, "annotations": {"a": "b"}}
        changed = parse(json.dumps(document).encode(), graph.manifest.media_type)
        await overlay.put(changed)
        return graph.changed("annotated", manifest=changed, store=overlay)

    source = Place(client.connect(f"{elsewhere}/{repository}"), "1")
    target = Memory("target")
    transforms = (first, annotated)
    planned = await copy(source, [Place(target, "2")], CopyOptions(dry_run=True, transforms=transforms))
    assert [tag async for tag in target.tags()] == []
    done = await copy(source, [Place(target, "2")], CopyOptions(transforms=transforms))
    assert seen == [INDEX.digest, OTHERS[0].digest] * 2
    assert planned.images == done.images
    assert done.notes == ["only one", "annotated"]
    there = await target.fetch("2")
    assert (there.digest, there.annotations) == (done.images[0].digest, {"a": "b"})


async def test_what_a_transform_does_not_know_ends_the_copy_before_anything_is_written(
    elsewhere: str, client: AsyncClient, repository: str
) -> None:
    images.push(elsewhere, repository, "1", INDEX)

    async def fails(_: Graph) -> Graph:
        raise LadingError("no way")

    target = Memory("target")
    with pytest.raises(LadingError, match="no way"):
        await copy(
            Place(client.connect(f"{elsewhere}/{repository}"), "1"),
            [Place(target, "1")],
            CopyOptions(transforms=(fails,)),
        )
    assert not await target.contains(parse(INDEX.content, INDEX.media_type).descriptor)


async def test_stores_are_sources_and_targets_like_any_place(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, new_repository: Callable[[], str], tmp_path: Path
) -> None:
    first, second = new_repository(), new_repository()
    images.push(registry.host, first, "1", INDEX)
    memory = Memory("memory")
    report = await client.copy(f"{registry.host}/{first}:1", memory)
    assert (report.images[0].targets[0].reference, report.images[0].targets[0].state) == ("memory:1", "new")
    await client.copy(memory, f"{elsewhere}/{second}:back", Place(memory, "2"), platforms="linux/arm64")
    small = images.get_manifest(elsewhere, second, "back")[2]
    assert (await memory.resolve("2")).digest == small != INDEX.digest
    with pytest.raises(Conflict, match="memory has several manifests"):
        await client.copy(memory, f"oci:{tmp_path}/layout")
    await client.copy(Place(memory, "2"), f"oci:{tmp_path}/layout")
    assert await client.digest(f"oci:{tmp_path}/layout:2") == small
    await client.copy(memory, f"oci:{tmp_path}/all", all_tags=True)
    assert sorted(info.tag for info in await client.tags(f"oci:{tmp_path}/all")) == ["1", "2"]
    with pytest.raises(NotFound, match="empty has no tags"):
        await client.copy(Memory("empty"), memory)


async def test_an_overlay_is_copied_with_what_lives_below(
    client: AsyncClient, proxy: CountingProxy, new_repository: Callable[[], str]
) -> None:
    """As an edit is: a manifest that is new, over blobs that are mounted."""
    first, second = new_repository(), new_repository()
    images.push(proxy.host, first, "1", OTHERS[0])
    store = client.connect(f"{proxy.host}/{first}")
    async with Overlay(store) as overlay:
        manifest = await fetch_manifest(store, "1")
        changed = parse(manifest.raw + b"\n", manifest.media_type)
        await put_manifest(overlay, changed)
        report = await client.copy(Place(overlay, changed.digest), f"{proxy.host}/{second}:1")
    assert (report.copied.mounted, report.copied.uploaded) == (2, 0)
    assert images.get_manifest(proxy.host, second, "1")[0] == changed.raw


async def test_without_a_tag_content_is_there_by_its_digest(
    client: AsyncClient, elsewhere: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    images.push(elsewhere, repository, "1", INDEX)
    source = f"{elsewhere}/{repository}:1"
    for target in (f"{registry.host}/{repository}", f"{registry.host}/{repository}@{INDEX.digest}"):
        report = await client.copy(source, target, by_digest=True)
        (change,) = report.images[0].targets
        assert (change.full, change.state) == (f"{registry.host}/{repository}@{INDEX.digest}", "set")
    assert images.get_manifest(registry.host, repository, INDEX.digest)[0] == INDEX.content
    assert images.list_tags(registry.host, repository) == []
    await client.copy(source, f"oci:{tmp_path}/layout", by_digest=True)
    assert await client.tags(f"oci:{tmp_path}/layout") == []
    assert await client.digest(f"oci:{tmp_path}/layout") == INDEX.digest
    await client.copy(f"oci:{tmp_path}/layout", f"{registry.host}/{repository}/again", by_digest=True)
    assert images.list_tags(registry.host, f"{repository}/again") == []
    refused: list[tuple[str, dict[str, Any]]] = [
        (f"{registry.host}/{repository}:1", {}),
        (f"oci:{tmp_path}/layout:1", {}),
        (f"{registry.host}/{repository}", {"tags": "1"}),
        (f"{registry.host}/{repository}", {"all_tags": True}),
    ]
    for target, given in refused:
        with pytest.raises(UsageError, match="by digest gives no"):
            await client.copy(source, target, by_digest=True, **given)
    with pytest.raises(Conflict, match="cannot be what is copied"):
        await client.copy(source, f"{registry.host}/{repository}@{OTHERS[0].digest}", by_digest=True)


@pytest.mark.parametrize("referrers, asked", [(None, 2), (False, 0)])
async def test_one_question_an_image_finds_what_stays_behind_unless_that_is_wanted(
    referrers: bool | None, asked: int, client: AsyncClient, proxy: CountingProxy, elsewhere: str, repository: str
) -> None:
    images.push(proxy.host, repository, "1", INDEX)
    proxy.reset()
    await client.copy(f"{proxy.host}/{repository}:1", f"{elsewhere}/{repository}:1", referrers=referrers)
    told = [line for line in proxy.lines if "/referrers/" in line or "/tags/list" in line or "sha256-" in line]
    assert len(told) == asked
    assert all(INDEX.digest in line or "/tags/list" in line for line in told)
