"""Indexes whose entries say no platform: what an image is for, its config says, which is read where it is needed."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import lading
from lading.client import AsyncClient
from lading.errors import DigestMismatch, InvalidContent, NotFound
from lading.images.machine import engine_platform
from lading.model import reach
from support.images import Entry, Manifest, make_artifact, make_image, make_index, push
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

MACHINE = f"linux/{engine_platform().architecture}"
PLATFORMS = ("linux/s390x", MACHINE, "linux/riscv64")
IMAGES = [make_image(platform, kind="oci", seed=platform) for platform in PLATFORMS]
ALL = make_index([Entry(image, {}) for image in IMAGES], kind="oci")
SOME = make_index([IMAGES[0], *(Entry(image, {}) for image in IMAGES[1:])], kind="oci")


@pytest.fixture
def counted(registry: RealRegistry, repository: str) -> Iterator[tuple[CountingProxy, str]]:
    """A registry behind a proxy, and the repository that has the indexes."""
    push(registry.host, repository, "all", ALL)
    push(registry.host, repository, "some", SOME)
    with CountingProxy(registry.url) as proxy:
        yield proxy, f"{proxy.host}/{repository}"


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    monkeypatch.chdir(tmp_path)
    async with AsyncClient(remember=False, docker_config=tmp_path) as client:
        yield client


async def chosen_by_digest(client: AsyncClient, name: str) -> str:
    return await client.digest(name, platform=MACHINE)


async def chosen_by_copy(client: AsyncClient, name: str) -> str:
    await client.copy(name, "oci:layout:1", platforms=MACHINE)
    return (await client.get_index("oci:layout:1")).images[0].digest


async def chosen_for_one_image(client: AsyncClient, name: str) -> str:
    await client.copy(name, "docker-archive:one.tar:app:1", platforms=MACHINE)
    return of_config(await client.get_manifest("docker-archive:one.tar:app:1"))


async def chosen_for_this_machine(client: AsyncClient, name: str) -> str:
    await client.copy(name, "docker-archive:one.tar:app:1")
    return of_config(await client.get_manifest("docker-archive:one.tar:app:1"))


def of_config(manifest: lading.Manifest) -> str:
    assert manifest.config is not None
    return next(image.digest for image in IMAGES if image.document["config"]["digest"] == manifest.config.digest)


async def chosen_to_look_at(client: AsyncClient, name: str) -> str:
    overview = await client.inspect(name, platforms=MACHINE)
    assert len(overview.entries) == 1
    return overview.entries[0].digest or ""


async def chosen_as_a_view(client: AsyncClient, name: str) -> str:
    async with client.images.open(name) as image:
        assert str(image.platform) == MACHINE
        return image.digest


async def chosen_for_a_draft(client: AsyncClient, name: str) -> str:
    created = await client.drafts.create("reg.example/list:1", [name], platforms=MACHINE)
    assert [str(entry.platform) for entry in created.draft.entries] == [MACHINE]
    return created.draft.entries[0].digest


async def chosen_of_a_pulled_draft(client: AsyncClient, name: str) -> str:
    created = await client.drafts.pull(name, "reg.example/list:1", platforms=MACHINE)
    return created.draft.entries[0].digest


CHOSEN = [value for name, value in globals().items() if name.startswith("chosen_")]


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda chosen: chosen.__name__)
@pytest.mark.parametrize("tag", ["all", "some"])
async def test_the_config_says_what_the_entry_does_not(
    client: AsyncClient, counted: tuple[CountingProxy, str], tag: str, chosen: Callable[[AsyncClient, str], object]
) -> None:
    assert await chosen(client, f"{counted[1]}:{tag}") == IMAGES[1].digest  # type: ignore[misc]


async def test_configs_are_asked_only_where_they_are_needed(
    client: AsyncClient, counted: tuple[CountingProxy, str]
) -> None:
    proxy, name = counted

    async def requests(tag: str, platform: str) -> int:
        proxy.reset()
        await client.digest(f"{name}:{tag}", platform=platform)
        return sum(exchange.method == "GET" and "token" not in exchange.line for exchange in proxy.exchanges)

    assert await requests("some", PLATFORMS[0]) == 1, "the list alone"
    assert await requests("some", PLATFORMS[1]) == 1 + 2 * 2, "two entries, and their configs"
    assert await requests("all", PLATFORMS[0]) == 1 + 2 * 3


async def test_what_there_is_is_said(client: AsyncClient, counted: tuple[CountingProxy, str]) -> None:
    for call in (
        client.digest(f"{counted[1]}:all", platform="linux/arm/v5"),
        client.inspect(f"{counted[1]}:all", platforms="linux/arm/v5"),
    ):
        with pytest.raises(NotFound, match="nothing for linux/arm/v5") as raised:
            await call
        assert raised.value.fields["available"] == list(PLATFORMS)


async def test_what_is_no_image_or_not_there_is_passed_over(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    gone = make_image("linux/arm64", kind="oci", seed="gone")
    mixed: list[Manifest | Entry] = [Entry(make_artifact(), {}), Entry(gone, {}), Entry(ALL, {}), Entry(IMAGES[1], {})]
    index = make_index(mixed, kind="oci")
    push(registry.host, repository, "mixed", index)
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = when(Alter(status=404), method="GET", path=gone.digest)
        assert await client.digest(f"{proxy.host}/{repository}:mixed", platform=MACHINE) == IMAGES[1].digest


async def test_content_that_is_another_is_an_error(client: AsyncClient, counted: tuple[CountingProxy, str]) -> None:
    proxy, name = counted
    config = IMAGES[2].document["config"]["digest"]
    proxy.intercept = when(Alter(corrupt=IMAGES[2].config.index(b"riscv64")), method="GET", path=config)
    with pytest.raises(DigestMismatch):
        await client.digest(f"{name}:all", platform=MACHINE)


async def test_there_is_an_end_to_it(
    client: AsyncClient, counted: tuple[CountingProxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "MANIFESTS", 2)
    with pytest.raises(InvalidContent, match="leads to too many manifests"):
        await client.digest(f"{counted[1]}:all", platform=MACHINE)
