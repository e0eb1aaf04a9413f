"""Everything goes wrong on the way: each copy is right or ends in a clear error, and never is one wrong."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.registry.http.rustls import ReqwestTransport
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import background
from lading.stores.layout.layout import Layout
from lading.transfer.operation import copy
from lading.transfer.place import Place
from lading.transfer.report import CopyOptions
from support import images
from support.http import Reply, Request
from support.proxy import Action, Alter, CountingProxy
from support.registry import RealRegistry

COPIES = 64
"""For each kind of fault."""
AT_ONCE = 8
STALL = 0.5
SHARED = images.make_layer({"shared": images.noise("shared", 100_000)})
IMAGES = [
    images.make_image(
        f"linux/{arch}", layers=[SHARED, images.make_layer({"own": images.noise(arch, 20_000)})], seed=arch
    )
    for arch in ("amd64", "arm64/v8")
]
INDEX = images.make_index(IMAGES)
BEFORE = images.make_image(seed="before")

AT = (0, 1, 100, 1000, 30_000)
"""Offsets in bodies, in bytes."""
FAULTS: dict[str, list[Action]] = {
    "drops": [Alter(drop="request"), Alter(drop="response")],
    "resets": [
        Alter(drop="request", reset=True),
        Alter(drop="response", reset=True),
        *(Alter(truncate=at, reset=True) for at in AT),
        *(Alter(truncate_request=at, reset=True) for at in AT),
    ],
    "truncation": [*(Alter(truncate=at) for at in AT), *(Alter(truncate_request=at) for at in AT)],
    "corruption": [*(Alter(corrupt=at) for at in AT), *(Alter(corrupt_request=at) for at in AT)],
    # With and without the work having been done.
    "5xx": [*(Reply(status=status) for status in (500, 502, 503, 504)), Alter(status=500), Alter(status=504)],
    "429": [Reply(status=429), Reply(status=429, headers={"Retry-After": "0"}), Alter(status=429)],
    "slow": [Alter(pause=0.02), Alter(delay=0.05), Alter(delay=2 * STALL)],
    "refusals": [Reply(status=404), Reply(status=403), Reply(status=400), Reply(status=200, body=b"<html>")],
}
RECOVERABLE = ("drops", "resets", "truncation", "5xx", "429", "slow")
"""What a client gets over by itself, unless it goes on and on."""
FAULTS["everything"] = [fault for faults in FAULTS.values() for fault in faults]


class Chaos:
    """Lets a request fail now and then."""

    def __init__(self, seed: str, faults: list[Action], rate: float, met: "Counter[int]") -> None:
        self._random = random.Random(seed)
        self._faults = faults
        self._rate = rate
        self._met = met
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Action | None:
        with self._lock:
            if self._random.random() > self._rate:
                return None
            fault = self._random.choice(self._faults)
            if isinstance(fault, Reply) and fault.status == 200 and request.method != "GET":
                return None  # that something was written, or is there, has to be believed
            self._met[id(fault)] += 1
            return fault


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with background() as url:
        host = url.removeprefix("http://")
        images.push(host, "app", "1", INDEX)
        yield host


def digest_there(host: str, repository: str) -> str:
    """What the tag names; all of it is there, and right."""
    with images.RegistryClient(host, repository) as client:
        digest = client.manifest("1")[2]
        whole = BEFORE if digest == BEFORE.digest else INDEX
        for manifest in (whole, *whole.children):
            assert client.manifest(manifest.digest)[0] == manifest.content
            for blob_digest, blob in manifest.blobs.items():
                assert client.blob(blob_digest) == blob
    return digest


async def digest_in(layout: Layout) -> str:
    """What the tag names; everything in the layout is what its name says, and all of it is there."""
    digest = (await layout.resolve("1")).digest
    whole = BEFORE if digest == BEFORE.digest else INDEX
    there = {f"sha256:{path.name}": path.read_bytes() for path in layout.path.glob("blobs/sha256/*")}
    assert all(images.digest_of(content) == name for name, content in there.items())
    for manifest in (whole, *whole.children):
        assert {manifest.digest, *manifest.blobs} <= there.keys()
    return digest


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_copy_is_right_or_a_clear_error(
    kind: str, source: str, registry: RealRegistry, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    draw = random.Random(kind)
    met: Counter[int] = Counter()
    outcomes: Counter[str] = Counter()

    async def one(number: int) -> None:
        host = draw.choice([registry.host, elsewhere, None])
        rate = draw.choice([0.02, 0.1, 0.25])
        name = f"{repository}-{number}"
        layout = Layout(tmp_path / f"layout{number}", create=True)
        options = CopyOptions(jobs=draw.choice([1, 8]))
        if host is not None:
            await asyncio.to_thread(images.push, host, name, "1", BEFORE)

        async def there() -> str:
            return await (digest_in(layout) if host is None else asyncio.to_thread(digest_there, host, name))

        with CountingProxy(f"http://{source}") as near, CountingProxy(f"http://{host or elsewhere}") as far:
            async with Session(
                backoff=0.002,
                retries=3,
                transport=lambda route: ReqwestTransport(route, stall_timeout=STALL),
            ) as session:
                origin = Place(Repository(session, near.host, "app"), "1")
                target = Place(layout if host is None else Repository(session, far.host, name), "1")
                if host is None:
                    images.push(elsewhere, name, "1", BEFORE)
                    await copy(Place(Repository(session, elsewhere, name), "1"), [target], options)
                near.intercept = Chaos(f"{kind}/{number}/near", FAULTS[kind], rate, met)
                far.intercept = Chaos(f"{kind}/{number}/far", FAULTS[kind], rate, met)
                failure: LadingError | None = None
                try:
                    async with asyncio.timeout(60):
                        await copy(origin, [target], options)
                except LadingError as error:
                    failure = error
                outcomes["right" if failure is None else "failed"] += 1
                if failure is not None:
                    assert failure.message
                    assert failure.exit_code in (1, 3, 4, 5, 6, 7)
                    near.intercept = far.intercept = None
                    # The old image or the new one, if only the last answer was lost; and both whole.
                    await there()
                    await copy(origin, [target], options)
                assert await there() == INDEX.digest

    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(number: int) -> None:
        async with places:
            await one(number)

    async with asyncio.TaskGroup() as group:
        for number in range(COPIES):
            group.create_task(in_turn(number))
    assert outcomes.total() == COPIES
    assert len(met) > 0.8 * len(FAULTS[kind])
    if kind in RECOVERABLE:
        assert outcomes["right"] > 0.8 * COPIES
