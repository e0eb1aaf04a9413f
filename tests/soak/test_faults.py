"""Everything goes wrong: each copy is right or ends in a clear error, and never is one wrong."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.errors import DigestMismatch, LadingError, NotFound, Unreachable
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import background
from lading.stores.layout import Layout
from lading.transfer.operation import Place, copy
from lading.transfer.report import CopyOptions
from support import images
from support.http import Reply, Request
from support.proxy import Action, Alter, CountingProxy, when
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64/v8")
SHARED = images.make_layer({"shared": images.noise("shared", 100_000)})
IMAGES = [
    images.make_image(
        f"linux/{arch}", layers=[SHARED, images.make_layer({"own": images.noise(arch, 20_000)})], seed=arch
    )
    for arch in ARCHITECTURES
]
INDEX = images.make_index(IMAGES)
COPIES = 40


class Chaos:
    """Lets a request fail now and then, in one of many ways; the same ways for the same seed."""

    def __init__(self, seed: str, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate

    def __call__(self, request: Request) -> Action | None:
        if self._random.random() > self._rate:
            return None
        at = self._random.choice([0, 1, 100, 1000, 30_000])
        actions: list[Action] = [
            Alter(drop="request"),
            Alter(drop="response"),
            Alter(truncate=at),
            Alter(corrupt=at),
            Alter(delay=0.02),
            Reply(status=500),
            Reply(status=502),
            Reply(status=503),
            Reply(status=429),
            Reply(status=429, headers={"Retry-After": "0"}),
            Reply(status=404),
            # That something was written, or is there, has to be believed.
            Reply(status=200, body=b"{}") if request.method == "GET" else Reply(status=403),
        ]
        return self._random.choice(actions)


@pytest.fixture(scope="module")
def source() -> Iterator[CountingProxy]:
    with background() as url, CountingProxy(url) as proxy:
        images.push(proxy.host, "app", "1", INDEX)
        yield proxy


def check(host: str, repository: str) -> None:
    """Everything is there, and right."""
    with images.RegistryClient(host, repository) as client:
        assert client.manifest("1")[0] == INDEX.content
        for image in IMAGES:
            assert client.manifest(image.digest)[0] == image.content
            for digest, blob in image.blobs.items():
                assert client.blob(digest) == blob


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_a_copy_is_right_or_a_clear_error(
    seed: int, source: CountingProxy, registry: RealRegistry, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    right = failed = 0
    for number in range(COPIES):
        host = draw.choice([registry.host, elsewhere])
        rate = draw.choice([0.02, 0.1, 0.3])
        name = f"{repository}-{number}"
        with CountingProxy(f"http://{host}") as target:
            source.intercept = Chaos(f"{seed}/{number}/source", rate)
            target.intercept = Chaos(f"{seed}/{number}/target", rate)
            async with Session(backoff=0.002, retries=3) as session:
                places = [Place(Repository(session, at.host, where)) for at, where in ((source, "app"), (target, name))]
                places = [Place(place.store, "1") for place in places]
                try:
                    async with asyncio.timeout(30):
                        await copy(places[0], places[1:], CopyOptions(jobs=draw.choice([1, 8])))
                except LadingError:
                    failed += 1
                    if images.list_tags(host, name):
                        check(host, name)  # the tag is set last, and only its answer was lost
                    source.intercept = target.intercept = None
                    await copy(places[0], places[1:], CopyOptions())
                else:
                    right += 1
            check(host, name)
    assert right > 5
    assert failed > 5


async def test_into_a_layout_the_same(source: CountingProxy, tmp_path: Path) -> None:
    for number in range(COPIES):
        layout = Layout(tmp_path / f"layout{number}", create=True)
        async with Session(backoff=0.002, retries=1) as session:
            places = [Place(Repository(session, source.host, "app"), "1"), Place(layout, "1", is_remote=False)]
            source.intercept = Chaos(f"layout/{number}", 0.15)
            try:
                await copy(places[0], places[1:], CopyOptions())
            except LadingError:
                with pytest.raises(NotFound):
                    await layout.resolve("1")
                source.intercept = None
                await copy(places[0], places[1:], CopyOptions())
        for image in IMAGES:
            for digest, blob in image.blobs.items():
                assert (layout.path / "blobs/sha256" / digest.partition(":")[2]).read_bytes() == blob
    source.intercept = None


async def test_a_target_that_dies_leaves_its_tags_and_the_next_run_repairs(
    source: CountingProxy, elsewhere: str, repository: str
) -> None:
    source.intercept = None
    images.push(elsewhere, repository, "1", images.make_image(seed="before"))
    with CountingProxy(f"http://{elsewhere}") as target:
        for after in (0, 2, 5, 9):
            target.intercept = when(Alter(drop="request"), after=after)
            async with Session(backoff=0.002, retries=1) as session:
                with pytest.raises(Unreachable):
                    await copy(
                        Place(Repository(session, source.host, "app"), "1"),
                        [Place(Repository(session, target.host, repository), "1")],
                        CopyOptions(),
                    )
            assert images.get_manifest(elsewhere, repository, "1")[2] == images.make_image(seed="before").digest
        target.intercept = None
        async with Session() as session:
            await copy(
                Place(Repository(session, source.host, "app"), "1"),
                [Place(Repository(session, target.host, repository), "1")],
                CopyOptions(),
            )
    check(elsewhere, repository)


@pytest.mark.parametrize(
    "action,kind,said",
    [
        (Reply(status=404), NotFound, "does not have"),
        (Alter(corrupt=500), DigestMismatch, "does not match its digest"),
        (Reply(status=200, body=b"short"), DigestMismatch, "another size"),
    ],
)
async def test_what_is_wrong_with_the_source_is_said(
    action: Action, kind: type[LadingError], said: str, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    source.intercept = when(action, method="GET", path=images.digest_of(SHARED))
    async with Session(backoff=0.002) as session:
        with pytest.raises(kind, match=said):
            await copy(
                Place(Repository(session, source.host, "app"), "1"),
                [Place(Repository(session, elsewhere, repository), "1")],
                CopyOptions(),
            )
    source.intercept = None
    assert images.list_tags(elsewhere, repository) == []


async def test_cancelling_ends_within_a_second_with_nothing_left(
    source: CountingProxy, elsewhere: str, repository: str
) -> None:
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
        source.intercept = lambda _: Alter(delay=0.15)
        async with Session() as session:
            before = asyncio.all_tasks()
            copying = asyncio.create_task(
                copy(
                    Place(Repository(session, source.host, "app"), "1"),
                    [Place(Repository(session, elsewhere, f"{repository}/{delay}".replace(".", "-")), "1")],
                    CopyOptions(),
                )
            )
            await asyncio.sleep(delay)
            copying.cancel()
            async with asyncio.timeout(1):
                with pytest.raises(asyncio.CancelledError):
                    await copying
            assert asyncio.all_tasks() == before
    source.intercept = None
