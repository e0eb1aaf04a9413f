"""Sources: every one can be read again, and from any byte on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lading.errors import LadingError, NotFound
from lading.io.sources import CHUNK, Source, from_bytes, from_chunks, from_file, in_pieces
from lading.model.descriptor import Descriptor
from lading.store import from_store
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from lading.stores.overlay import Overlay
from support.images import noise

DATA = noise("sources", CHUNK + 5000)
CONTENT = Descriptor.of(DATA, "application/octet-stream")


async def chunks() -> AsyncIterator[bytes]:
    for start in range(0, len(DATA), 70_000):
        yield DATA[start : start + 70_000]


async def collect(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def every_source(folder: Path) -> dict[str, Source]:
    (folder / "file").write_bytes(DATA)
    memory, layout, overlay = Memory(), Layout(folder / "layout", create=True), Overlay()
    for store in (memory, layout):
        await store.write(CONTENT, from_bytes(DATA))
    await overlay.add(folder / "file")
    return {
        "bytes": from_bytes(DATA),
        "file": from_file(folder / "file"),
        "chunks": from_chunks(chunks),
        "memory": from_store(memory, CONTENT),
        "layout": from_store(layout, CONTENT),
        "overlay": from_store(overlay, CONTENT),
        "below": from_store(Overlay(layout), CONTENT),
    }


@pytest.mark.parametrize("kind", ["bytes", "file", "chunks", "memory", "layout", "overlay", "below"])
async def test_a_source_is_read_as_often_and_from_as_far_on_as_one_likes(kind: str, tmp_path: Path) -> None:
    source = (await every_source(tmp_path))[kind]
    for _ in range(2):
        assert await collect(source()) == DATA
    for start in (0, 5, 70_000, CHUNK, len(DATA) - 1, len(DATA)):
        assert await collect(source.since(start)) == DATA[start:]


async def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        await collect(from_file(tmp_path / "none")())
    with pytest.raises(LadingError, match="cannot be read"):
        await collect(from_file(tmp_path)())


async def test_what_comes_is_handed_on_in_larger_pieces() -> None:
    pieces = [piece async for piece in in_pieces(chunks(), 150_000)]
    assert b"".join(pieces) == DATA
    assert {len(piece) for piece in pieces[:-1]} == {210_000}
