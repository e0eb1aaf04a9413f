"""What a copy costs in requests."""

from collections.abc import Callable, Iterator

import pytest

from lading.client import AsyncClient
from support import images
from support.http import Reply
from support.proxy import CountingProxy
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64/v8", "arm/v7", "s390x", "ppc64le", "riscv64")


@pytest.fixture
def other(elsewhere: str) -> Iterator[CountingProxy]:
    with CountingProxy(f"http://{elsewhere}") as running:
        yield running


@pytest.mark.parametrize("count", [1, 6])
async def test_a_repeated_copy_of_an_index_is_two_requests(
    count: int, client: AsyncClient, proxy: CountingProxy, other: CountingProxy, repository: str
) -> None:
    index = images.make_index([images.make_image(f"linux/{arch}", seed=arch) for arch in ARCHITECTURES[:count]])
    images.push(proxy.host, repository, "1", index)
    for target in (f"{proxy.host}/{repository}-copy:1", f"{other.host}/{repository}:1"):
        await client.copy(f"{proxy.host}/{repository}:1", target)
        proxy.reset()
        other.reset()
        report = await client.copy(f"{proxy.host}/{repository}:1", target)
        assert [change.state for change in report.images[0].targets] == ["unchanged"]
        assert [exchange.method for exchange in (*proxy.exchanges, *other.exchanges)] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("layers", [1, 5])
async def test_a_fresh_copy_within_a_registry_mounts_with_one_request_for_each_blob(
    layers: int, client: AsyncClient, proxy: CountingProxy, new_repository: Callable[[], str]
) -> None:
    image = images.make_image(layers=layers)
    source, target = new_repository(), new_repository()
    images.push(proxy.host, source, "1", image)
    proxy.reset()
    report = await client.copy(f"{proxy.host}/{source}:1", f"{proxy.host}/{target}:1")
    blobs = layers + 1
    assert report.copied.mounted == len(image.blobs) == blobs
    # HEAD of both tags, GET of the manifest, a mount for each blob, PUT of the manifest.
    assert len(proxy.exchanges) == 2 + 1 + blobs + 1
    assert proxy.count(path=r"/v2/$") == 0


async def test_where_mounts_are_refused_a_blob_costs_its_transfer_and_one_question(
    client: AsyncClient, proxy: CountingProxy, new_repository: Callable[[], str]
) -> None:
    image = images.make_image(layers=5, layer_size=100_000)
    source, target = new_repository(), new_repository()
    images.push(proxy.host, source, "1", image)
    proxy.reset()
    proxy.intercept = lambda request: Reply(status=403) if "mount=" in request.query else None
    report = await client.copy(f"{proxy.host}/{source}:1", f"{proxy.host}/{target}:1")
    assert (report.copied.mounted, report.copied.uploaded) == (0, 6)
    assert proxy.count("GET", "/blobs/") == 6


async def test_a_second_tag_elsewhere_is_four_requests(
    client: AsyncClient, registry: RealRegistry, other: CountingProxy, repository: str
) -> None:
    index = images.make_index([images.make_image(f"linux/{arch}", seed=arch) for arch in ARCHITECTURES])
    images.push(registry.host, repository, "1", index)
    await client.copy(f"{registry.host}/{repository}:1", f"{other.host}/{repository}:1")
    other.reset()
    await client.copy(f"{registry.host}/{repository}:1", f"{other.host}/{repository}:2")
    assert other.lines == [
        f"HEAD /v2/{repository}/manifests/2",
        f"HEAD /v2/{repository}/manifests/{index.digest}",
        f"PUT /v2/{repository}/manifests/2",
    ]


async def test_blobs_that_images_share_are_brought_once(
    client: AsyncClient, proxy: CountingProxy, elsewhere: str, repository: str
) -> None:
    shared = images.make_layer({"shared": b"x" * 1000})
    for number in range(10):
        image = images.make_image(layers=[shared], seed=f"{number}")
        images.push(proxy.host, repository, f"{number}", image)
    proxy.reset()
    report = await client.copy(f"{proxy.host}/{repository}", f"{elsewhere}/{repository}", all_tags=True)
    assert len(report.images) == 10
    assert report.copied.uploaded == 11
    assert proxy.count("GET", images.digest_of(shared)) == 1
