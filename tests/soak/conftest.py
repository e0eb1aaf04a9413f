"""Two registries, and a client with a home of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.serve import background


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The embedded registry: another registry than `registry`, which takes uploads up where they broke off."""
    with background() as url:
        yield url.removeprefix("http://")


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    """A client whose cache and Docker configuration are empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with AsyncClient(docker_config=tmp_path / "docker") as running:
        yield running
