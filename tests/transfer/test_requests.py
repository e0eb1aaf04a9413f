"""What a copy costs in requests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig
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
        assert sorted(exchange.method for exchange in (*proxy.exchanges, *other.exchanges)) == ["GET", "HEAD"]


@pytest.mark.parametrize("layers", [1, 5])
async def test_a_fresh_copy_within_a_registry_mounts_with_one_request_for_each_blob(
    layers: int, client: AsyncClient, proxy: CountingProxy, new_repository: Callable[[], str]
) -> None:
    image = images.make_image(layers=layers)
    source, target = new_repository(), new_repository()
    images.push(proxy.host, source, "1", image)
    images.push(proxy.host, source, "2", images.make_image(seed="to get to know the registry"))
    await client.copy(f"{proxy.host}/{source}:2", f"{proxy.host}/{target}:2")
    proxy.reset()
    proxy.latency = 0.6
    report = await client.copy(f"{proxy.host}/{source}:1", f"{proxy.host}/{target}:1")
    proxy.latency = 0
    blobs = layers + 1
    assert report.copied.mounted == len(image.blobs) == blobs
    # GET of the manifest by its tag, HEAD of it where it goes, a mount for each blob, PUT of the manifest. Beside the
    # mounts it is found out what the tag names, and that nothing refers to the image: by one list of the tags.
    assert len(proxy.exchanges) == 2 + blobs + 1 + 1 + 1
    assert proxy.count(path=r"/v2/$") == 0
    assert proxy.rounds() == 4


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


@pytest.mark.parametrize("is_index", [False, True])
async def test_a_second_tag_within_a_registry_is_three_requests(
    is_index: bool, client: AsyncClient, proxy: CountingProxy, new_repository: Callable[[], str]
) -> None:
    images_of_it = [images.make_image(f"linux/{arch}", seed=arch, layers=5) for arch in ARCHITECTURES]
    content = images.make_index(images_of_it) if is_index else images_of_it[0]
    source, target = new_repository(), new_repository()
    images.push(proxy.host, source, "1", content)
    await client.copy(f"{proxy.host}/{source}:1", f"{proxy.host}/{target}:1")
    proxy.reset()
    proxy.latency = 0.6
    report = await client.copy(f"{proxy.host}/{source}:1", f"{proxy.host}/{target}:2")
    proxy.latency = 0
    assert report.copied.mounted == report.copied.uploaded == 0
    assert [exchange.method for exchange in proxy.exchanges] == ["GET", "HEAD", "PUT"]


@pytest.mark.parametrize("takes_single_posts", [True, False])
async def test_a_small_blob_costs_three_requests_elsewhere_and_one_where_it_is(
    takes_single_posts: bool, client: AsyncClient, proxy: CountingProxy, other: CountingProxy, repository: str
) -> None:
    # Debian's registry does not take a blob with a single POST, as which configs are sent; the embedded one does.
    source, target = (proxy, other) if takes_single_posts else (other, proxy)
    for_config = 1 if takes_single_posts else 2
    shared = [images.make_layer({f"shared{number}": b"x" * 1000}) for number in range(4)]
    first, second = images.make_image(layers=shared), images.make_image(layers=[*shared[:3], shared[3] + shared[0]])
    images.push(source.host, repository, "1", first)
    images.push(source.host, repository, "2", second)
    source.reset()
    report = await client.copy(f"{source.host}/{repository}:1", f"{target.host}/{repository}-copy:1")
    assert report.copied.uploaded == len(first.blobs) == 5
    assert source.count("GET", "/blobs/") == 5
    assert target.count(path="/blobs/") == for_config + 4 * 2
    target.reset()
    report = await client.copy(f"{source.host}/{repository}:2", f"{target.host}/{repository}-copy:2")
    assert (report.copied.uploaded, report.copied.present) == (2, 3)
    assert target.count(path="/blobs/") == for_config + 2 + 3


@pytest.mark.parametrize("refusal", [400, 403, 405])
async def test_where_nothing_is_mounted_a_small_blob_is_asked_for(
    refusal: int, client: AsyncClient, registry: RealRegistry, other: CountingProxy, repository: str
) -> None:
    other.intercept = lambda request: Reply(status=refusal) if "mount=" in request.query else None
    layers = [images.make_layer({f"{number}": b"x" * 1000}) for number in range(3)]
    images.push(registry.host, repository, "1", images.make_image(layers=layers))
    images.push(registry.host, repository, "2", images.make_image(layers=layers, seed="another"))
    report = await client.copy(f"{registry.host}/{repository}:1", f"{other.host}/{repository}:1")
    assert report.copied.uploaded == 4
    report = await client.copy(f"{registry.host}/{repository}:2", f"{other.host}/{repository}:2")
    assert (report.copied.uploaded, report.copied.present) == (1, 3)


@pytest.mark.parametrize("size", [500_000, 5_000_000])
async def test_an_upload_is_opened_while_the_blob_is_fetched(
    size: int, client: AsyncClient, proxy: CountingProxy, other: CountingProxy, repository: str
) -> None:
    image = images.make_image(layer_size=size)
    images.push(proxy.host, repository, "1", image)
    proxy.reset()
    proxy.latency = other.latency = 0.6
    await client.copy(f"{proxy.host}/{repository}:1", f"{other.host}/{repository}:1")
    (layer,) = (images.digest_of(layer) for layer in image.layers)
    (fetched,) = (exchange for exchange in proxy.exchanges if layer in exchange.path)
    (opened,) = (exchange for exchange in other.exchanges if (exchange.method, exchange.query) == ("POST", ""))
    assert opened.started < fetched.ended
    assert fetched.started < opened.ended


async def test_a_second_tag_elsewhere_is_three_requests(
    client: AsyncClient, registry: RealRegistry, other: CountingProxy, repository: str
) -> None:
    index = images.make_index([images.make_image(f"linux/{arch}", seed=arch) for arch in ARCHITECTURES])
    images.push(registry.host, repository, "1", index)
    await client.copy(f"{registry.host}/{repository}:1", f"{other.host}/{repository}:1")
    other.reset()
    await client.copy(f"{registry.host}/{repository}:1", f"{other.host}/{repository}:2")
    assert other.lines == [
        f"HEAD /v2/{repository}/manifests/{index.digest}",
        f"PUT /v2/{repository}/manifests/2",
    ]


@pytest.mark.parametrize("configured, jobs, most", [(None, 8, 8), (None, 16, 16), (4, 16, 4)])
async def test_as_many_requests_are_under_way_as_jobs_unless_configured(
    configured: int | None, jobs: int, most: int, proxy: CountingProxy, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    images.push(proxy.host, repository, "1", images.make_image(layers=24))
    config = Config({proxy.host: HostConfig(jobs=configured)} if configured is not None else {})
    proxy.reset()
    proxy.latency = 0.4
    async with AsyncClient(docker_config=tmp_path, config=config) as client:
        await client.copy(f"{proxy.host}/{repository}:1", f"{elsewhere}/{repository}:1", jobs=jobs)
    assert proxy.max_in_flight == most


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
