"""What the clients that are installed here take from lists made at random is what lading says they take."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import pytest

from lading import AsyncClient
from lading.model.descriptor import Descriptor
from lading.model.selection import Selection
from support import pullers
from support.images import Entry, Kind, Manifest, RegistryClient, make_attestation, make_image, make_index
from support.pullers import Puller, Took
from support.registry import RealRegistry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LISTS = int(os.environ.get("LADING_TEST_LISTS", "60"))
"""Each is pulled once: what a client has already, it does not fetch."""
VARIANTS = {"amd64": ["", "", "v1", "v2", "v3", "v4"], "arm": ["", "v5", "v6", "v7", "v8"], "arm64": ["", "v8", "v9"]}
PLATFORMS = [
    "/".join(["linux", architecture, *([variant] if variant else [])])
    for architecture, variants in VARIANTS.items()
    for variant in variants
] + ["linux/386", "linux/riscv64", "linux/x86_64", "linux/aarch64"]
ODD_PLATFORMS: list[dict[str, object]] = [
    {"architecture": "amd64"},
    {"os": "linux"},
    {"os": "", "architecture": ""},
    {"architecture": "amd64", "os": "linux", "os.version": "6.1"},
    {"architecture": "amd64", "os": "linux", "os.features": ["sse4"]},
    {"architecture": "arm64", "os": "linux", "variant": "v8.2"},
    {"architecture": "ARM64", "os": "linux", "variant": "V8"},
]
REQUESTS = [
    None,
    *sorted(set(PLATFORMS) - {"linux/x86_64"}),
    *("linux/s390x", "windows/amd64", "amd64", "linux", "linux/arm64/v8.3"),
]
CLIENTS: dict[str, Callable[[], AbstractContextManager[Puller]]] = {
    "docker": pullers.docker,
    "podman": pullers.podman,
    "skopeo-copy": partial(pullers.skopeo, "copy"),
    "skopeo-inspect": partial(pullers.skopeo, "inspect"),
    "ctr-1": partial(pullers.ctr, 1, "local"),
    "ctr-2-local": partial(pullers.ctr, 2, "local"),
    "ctr-2-transfer": partial(pullers.ctr, 2, "transfer"),
}


@pytest.fixture(params=CLIENTS, scope="module")
def puller(request: pytest.FixtureRequest) -> Iterator[Puller]:
    with CLIENTS[request.param]() as running:
        yield running


class RandomList:
    """A list made at random, and the images that it leads to."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.images: list[Manifest] = []
        self.gone: list[Manifest] = []
        self.kind: Kind = self.random.choice(["docker", "oci"])
        self.top = self._list(depth=0)
        self.request = self.random.choice(REQUESTS)
        self.tag = self.random.choice(["1.0", "latest"])

    def push(self, host: str, repository: str) -> None:
        with RegistryClient(host, repository) as registry:
            registry.push(self.tag, self.top)
            for manifest in self.gone:
                registry.delete(manifest.digest)

    def _list(self, depth: int) -> Manifest:
        entries: list[Manifest | Entry] = []
        for _ in range(self.random.randint(1, 5)):
            entries += self._entries(depth)
        return make_index(entries, kind=self.kind)

    def _entries(self, depth: int) -> list[Entry]:
        chance = self.random.random()
        platform = self._platform()
        if chance < 0.08 and depth < 2:
            return [Entry(self._list(depth + 1), platform=self.random.choice([{}, platform]))]
        if chance < 0.11:
            version = f"10.0.{self.random.choice([17763, 20348, 26100])}.1"
            return [Entry(self._image("windows/amd64", os_version=version))]
        image = self._image()
        if chance < 0.15:
            return [Entry(image, platform=self.random.choice(ODD_PLATFORMS))]
        if chance < 0.2:
            return [Entry(image, platform={})]
        if chance < 0.25:
            return [Entry(image, platform=platform)]  # which is not what the image says of itself
        if chance < 0.3 and self.kind == "oci":
            return [Entry(image, annotations={"io.github.containers.compression.zstd": "true"})]
        if chance < 0.35:
            self.gone.append(image)
        if chance > 0.9:
            attestation = make_attestation(image)
            return [Entry(image), attestation]
        return [Entry(image)]

    def _image(self, platform: str | None = None, os_version: str | None = None) -> Manifest:
        seed = f"{self.seed}/{len(self.images)}"
        platform = platform or self.random.choice(PLATFORMS)
        self.images.append(make_image(platform, kind=self.kind, seed=seed, os_version=os_version))
        return self.images[-1]

    def _platform(self) -> dict[str, str]:
        names = self.random.choice(PLATFORMS).split("/")
        return dict(zip(("os", "architecture", "variant"), names, strict=False))


async def test_the_prediction_is_what_happens(puller: Puller, registry: RealRegistry, repository: str) -> None:
    wrong = []
    async with AsyncClient() as client:
        for number in range(LISTS):
            made = RandomList(f"list {number}")
            made.push(registry.host, f"{repository}/{number}")
            name = f"{registry.host}/{repository}/{number}:{made.tag}"
            found = await client.resolve(name, platform=made.request, clients=[puller.client])
            (predicted,) = found.selections
            took = puller.pull(name, made.request, made.images)
            fetched = puller.fetched(made.images) if isinstance(puller, pullers.Ctr) and predicted.is_pulled else None
            if not is_as_predicted(predicted, took, made.images, fetched):
                platforms = [entry.get("platform") for entry in made.top.document["manifests"]]
                wrong.append(
                    f"{number} {made.kind} {made.request} of {platforms}:\n  took {took} and fetched {fetched}\n"
                    f"  not {predicted.outcome} {configs(predicted.taken, made.images)} {predicted.error}"
                )
    assert not wrong, f"{puller.client}:\n" + "\n".join(wrong)


def is_as_predicted(
    predicted: Selection, took: Took, images: Sequence[Manifest], fetched: Sequence[str] | None
) -> bool:
    if fetched is not None and set(fetched) != set(configs(predicted.fetched, images)):
        return False
    if predicted.is_pulled:
        return not took.failed and set(took.images) == set(configs(predicted.taken, images))
    if predicted.error is None:
        return predicted.outcome == "nothing" and not took.failed and not took.images
    printed = took.printed.replace('\\"', '"')
    return took.failed and all(part in printed for part in predicted.error.split("…"))


def configs(entries: Sequence[Descriptor], images: Sequence[Manifest]) -> list[str]:
    by_digest = {image.digest: image.document["config"]["digest"] for image in images}
    return [by_digest.get(str(entry.digest), "?") for entry in entries]
