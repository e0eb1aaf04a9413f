"""Copying graphs between repositories: children first, each blob once, nothing half done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from lading.errors import LadingError, NotFound
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import background
from lading.transfer.graph import Copier
from support import images
from support.http import Reply
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

SHARED = images.make_layer({"shared": b"x" * 1000})
IMAGES = [images.make_image(f"linux/{arch}", layers=[SHARED], seed=arch) for arch in ("amd64", "arm64", "s390x")]
INDEX = images.make_index(IMAGES)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    with background() as url:
        yield url.removeprefix("http://")


@asynccontextmanager
async def stores(*names: tuple[str, str]) -> AsyncIterator[list[Repository]]:
    async with Session(backoff=0.01) as session:
        yield [Repository(session, host, repository) for host, repository in names]


async def test_an_index_arrives_whole_and_under_its_digest(
    registry: RealRegistry, elsewhere: str, repository: str
) -> None:
    images.push(registry.host, repository, "1", INDEX)
    async with stores((registry.host, repository), (elsewhere, repository)) as (source, target):
        copier = Copier(target)
        await copier.copy(source, await source.resolve("1"), names=["1", "latest"])
        assert (await target.resolve("latest")).digest == INDEX.digest
        # Three configs and one layer that all three share.
        assert (copier.done.uploaded, copier.done.mounted, copier.done.manifests) == (4, 0, 4)
    for image in IMAGES:
        assert images.get_manifest(elsewhere, repository, image.digest)[0] == image.content


async def test_within_a_registry_blobs_are_mounted_and_no_byte_moves(
    registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    first, second = new_repository(), new_repository()
    images.push(registry.host, first, "1", INDEX)
    with CountingProxy(registry.url) as proxy:
        async with stores((proxy.host, first), (proxy.host, second)) as (source, target):
            copier = Copier(target)
            await copier.copy(source, await source.resolve("1"), names=["1"])
            assert (copier.done.uploaded, copier.done.mounted) == (0, 4)
        assert proxy.count("GET", "/blobs/") == 0
        puts = [exchange.path.rpartition("/")[2] for exchange in proxy.exchanges if exchange.method == "PUT"]
        assert puts[-1] == "1"
        assert set(puts[:-1]) == {image.digest for image in IMAGES}


async def test_a_refused_mount_becomes_an_upload(registry: RealRegistry, new_repository: Callable[[], str]) -> None:
    first, second = new_repository(), new_repository()
    images.push(registry.host, first, "1", INDEX)
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = lambda request: Reply(status=403) if "mount=" in request.query else None
        async with stores((proxy.host, first), (proxy.host, second)) as (source, target):
            copier = Copier(target)
            await copier.copy(source, await source.resolve("1"), names=["1"])
            assert (copier.done.uploaded, copier.done.mounted) == (4, 0)
    assert images.get_manifest(registry.host, second, "1")[2] == INDEX.digest


async def test_what_is_there_is_not_brought_again(registry: RealRegistry, elsewhere: str, repository: str) -> None:
    images.push(registry.host, repository, "1", INDEX)
    images.push(elsewhere, repository, "old", IMAGES[0])
    async with stores((registry.host, repository), (elsewhere, repository)) as (source, target):
        copier = Copier(target)
        await copier.copy(source, await source.resolve("1"), names=["1"])
        assert copier.done.uploaded == 2
        assert copier.done.present == 2


async def test_a_child_that_the_source_lacks_leaves_the_tag_alone(
    registry: RealRegistry, elsewhere: str, new_repository: Callable[[], str]
) -> None:
    first, second = new_repository(), new_repository()
    images.push(elsewhere, first, "1", INDEX)
    with images.RegistryClient(elsewhere, first) as client:
        client.delete(IMAGES[1].digest)
    async with stores((elsewhere, first), (registry.host, second)) as (source, target):
        with pytest.raises(NotFound, match=IMAGES[1].digest):
            await Copier(target).copy(source, await source.resolve("1"), names=["1"])
    assert images.list_tags(registry.host, second) == []


async def test_a_copier_goes_on_after_a_failure(
    registry: RealRegistry, elsewhere: str, new_repository: Callable[[], str]
) -> None:
    first, second = new_repository(), new_repository()
    images.push(registry.host, first, "1", INDEX)
    with CountingProxy(registry.url) as proxy:
        async with stores((proxy.host, first), (elsewhere, second)) as (source, target):
            copier = Copier(target)
            found = await source.resolve("1")
            proxy.intercept = when(Alter(corrupt=10), method="GET", path="/blobs/", times=3)
            with pytest.raises(LadingError):
                await copier.copy(source, found, names=["1"])
            proxy.intercept = None
            await copier.copy(source, found, names=["1"])
    assert images.get_manifest(elsewhere, second, "1")[2] == INDEX.digest


async def test_cancelling_a_copy_leaves_no_task_and_no_tag(
    registry: RealRegistry, elsewhere: str, new_repository: Callable[[], str]
) -> None:
    first, second = new_repository(), new_repository()
    images.push(registry.host, first, "1", INDEX)
    with CountingProxy(registry.url, latency=0.2) as proxy:
        async with stores((proxy.host, first), (elsewhere, second)) as (source, target):
            found = await source.resolve("1")
            before = asyncio.all_tasks()
            copying = asyncio.create_task(Copier(target).copy(source, found, names=["1"]))
            await asyncio.sleep(0.3)
            copying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copying
            assert asyncio.all_tasks() == before
    assert images.list_tags(elsewhere, second) == []
