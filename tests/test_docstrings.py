"""The examples in docstrings run."""

import doctest
import importlib
from collections.abc import Iterator

import pytest

from lading import Client
from lading.client import AsyncClient
from lading.images.demo import PLATFORMS, hello
from lading.serve import background
from support.images import make_image, make_index, push

MODULES = ["lading.client", "lading.client.blobs", "lading.client.sync", "lading.model.version"]


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A registry with an index of two platforms, `app:1.0`."""
    with background() as url:
        host = url.removeprefix("http://")
        images = [make_image(platform, kind="oci") for platform in ("linux/amd64", "linux/arm64/v8")]
        index = make_index(images, kind="oci")
        push(host, "app", "1.0", index)
        yield host


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str, registry: str) -> None:
    loaded = importlib.import_module(module)
    ran = doctest.testmod(loaded, extraglobs={"registry": registry, "Client": Client}, optionflags=doctest.ELLIPSIS)
    assert ran.attempted > 0
    assert ran.failed == 0


async def test_the_demo_makes_images_for_all_its_platforms(registry: str) -> None:
    async with AsyncClient() as client:
        for platform in PLATFORMS:
            await hello(platform, "1.0").push(client.connect(f"{registry}/demo"), platform.architecture)
            assert (await client.config(f"{registry}/demo:{platform.architecture}")).platform == platform
