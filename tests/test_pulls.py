"""What the clients that are installed here take from lists made at random is what lading says they take."""

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

LISTS = 60
"""Each is pulled once: what a client has already, it does not fetch."""
VARIANTS = {"amd64": ["", "", "v1", "v2", "v3", "v4"], "arm": ["", "v5", "v6", "v7", "v8"], "arm64": ["", "v8", "v9"]}
PLATFORMS = [
    "/".join(["linux", architecture, *([variant] if variant else [])])
    for architecture, variants in VARIANTS.items()
    for variant in variants
] + ["linux/386", "linux/riscv64", "linux/x86_64", "linux/aarch64"]
REQUESTS = [None, *sorted(set(PLATFORMS) - {"linux/x86_64"}), "linux/s390x"]
CLIENTS: dict[str, Callable[[], AbstractContextManager[Puller]]] = {
    "docker": pullers.docker,
    "podman": pullers.podman,
    "skopeo-copy": partial(pullers.skopeo, "copy"),
    "skopeo-inspect": partial(pullers.skopeo, "inspect"),
    "ctr-local": partial(pullers.ctr, "local"),
    "ctr-transfer": partial(pullers.ctr, "transfer"),
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

    def push(self, host: str, repository: str) -> None:
        with RegistryClient(host, repository) as registry:
            registry.push("list", self.top)
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
        image = self._image()
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

    def _image(self) -> Manifest:
        image = make_image(
            self.random.choice(PLATFORMS), kind=self.kind, seed=f"{self.seed}/{len(self.images)}", os_version=None
        )
        self.images.append(image)
        return image

    def _platform(self) -> dict[str, str]:
        names = self.random.choice(PLATFORMS).split("/")
        return dict(zip(("os", "architecture", "variant"), names, strict=False))


async def test_the_prediction_is_what_happens(puller: Puller, registry: RealRegistry, repository: str) -> None:
    wrong = []
    async with AsyncClient() as client:
        for number in range(LISTS):
            made = RandomList(f"list {number}")
            made.push(registry.host, f"{repository}/{number}")
            name = f"{registry.host}/{repository}/{number}:list"
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
