"""From locations to stores: a kind of place is a module and a line in a table, and every operation works on it."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest

from lading import AsyncClient
from lading.errors import Unsupported
from lading.model.descriptor import Descriptor
from lading.stores.location import KINDS, Kind, Location, parse_location
from lading.stores.memory import Memory
from lading.stores.opening import open_to_change, open_to_read, open_to_write
from support import images

Fill = Callable[..., Awaitable[Descriptor]]


@pytest.fixture
def memories(monkeypatch: pytest.MonkeyPatch) -> dict[str, Memory]:
    """A new kind of place, whose stores are in memory, each with a name of its own."""
    found: dict[str, Memory] = {}

    @asynccontextmanager
    async def opened(location: Location, _: object = None) -> AsyncIterator[Memory]:
        yield found.setdefault(location.path, Memory(f"memory:{location.path}"))

    module = ModuleType("memories")
    module.__dict__.update(open_to_read=opened, open_to_write=opened)
    monkeypatch.setitem(sys.modules, "memories", module)
    monkeypatch.setitem(KINDS, "memory", Kind(("memory:",), "directory", "tags", "memories"))
    return found


async def test_a_kind_of_place_is_a_line_in_a_table(
    memories: dict[str, Memory], client: AsyncClient, tmp_path: Path, fill: Fill, index: images.Manifest
) -> None:
    memories["a"] = Memory("memory:a")
    await fill(memories["a"], index, "1")
    assert await client.digest("memory:a:1") == index.digest
    await client.copy("memory:a:1", f"oci:{tmp_path}/layout:2")
    await client.copy(f"oci:{tmp_path}/layout:2", "memory:b:2", tags="3")
    assert await client.digest("memory:b:3") == index.digest
    assert [info.tag for info in await client.tags("memory:b")] == ["2", "3"]
    await client.tag("memory:b:2", "4")
    await client.untag("memory:b:2")
    assert [info.tag for info in await client.tags("memory:b")] == ["3", "4"]
    await client.delete("memory:b:3")
    assert await client.tags("memory:b") == []
    assert str(parse_location("memory:b:3")) == "memory:b:3"


async def test_an_empty_name_is_the_only_manifest(
    tmp_path: Path, client: AsyncClient, fill: Fill, image: images.Manifest
) -> None:
    for place in (f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/a.tar", f"docker-archive:{tmp_path}/d.tar"):
        location = parse_location(place)
        async with open_to_write(location) as store:
            await fill(store, image, "app:1" if location.is_docker else "1")
        async with open_to_read(location) as saved:
            assert (await saved.resolve("")).digest == image.digest
        assert await client.digest(place) == image.digest


@pytest.mark.parametrize("place", ["docker-archive:a.tar", "oci-archive:-", "docker-archive:-"])
def test_what_cannot_be_changed_in_place(place: str) -> None:
    with pytest.raises(Unsupported, match="cannot be changed"):
        open_to_change(parse_location(place))
