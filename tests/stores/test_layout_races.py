"""Of several that change one tag of a layout on a condition, one wins: it is compared and written in one step."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict
from lading.model.descriptor import Descriptor
from lading.stores.layout.layout import Layout
from support import images
from support.lading import Lading

Fill = Callable[..., Awaitable[Descriptor]]
OLD, *NEW = [images.make_image(seed=f"race-{number}", kind="oci") for number in range(5)]
ROUNDS = 10


@pytest.fixture
async def layout(tmp_path: Path, fill: Fill) -> Layout:
    layout = Layout(tmp_path / "layout", create=True)
    await fill(layout, OLD, "old")
    for number, image in enumerate(NEW):
        await fill(layout, image, f"new-{number}")
    return layout


async def tag(client: AsyncClient, path: str, number: int, condition: str) -> None:
    await client.tag(f"{path}:new-{number}", f"{path}:race", if_digest=condition)


async def copy(client: AsyncClient, path: str, number: int, condition: str) -> None:
    await client.copy(f"{path}:new-{number}", f"{path}:race", if_digest=condition)


async def put(client: AsyncClient, path: str, number: int, condition: str) -> None:
    await client.put(NEW[number].content, f"{path}:race", if_digest=condition)


async def push_new(client: AsyncClient, path: str, number: int, condition: str) -> None:
    await client.copy(f"{path}:new-{number}", f"{path}:race", clobber=condition != "absent")


async def untag(client: AsyncClient, path: str, number: int, condition: str) -> None:
    await client.untag(f"{path}:race", if_digest=condition)


Change = Callable[[AsyncClient, str, int, str], Awaitable[None]]


async def race(layout: Layout, changes: list[Change], condition: str) -> list[int]:
    """Let every change run in a client of its own at the same time; the numbers of those that were made."""

    async def run(number: int, change: Change) -> bool:
        async with AsyncClient() as client:
            try:
                await change(client, f"oci:{layout.path}", number, condition)
            except Conflict:
                return False
        return True

    won = await asyncio.gather(*(run(number, change) for number, change in enumerate(changes)))
    return [number for number, has_won in enumerate(won) if has_won]


@pytest.mark.parametrize("changes", [[tag] * 4, [copy] * 4, [put] * 4, [tag, copy, put, untag]])
async def test_one_wins_a_tag_that_names_what_all_expect(layout: Layout, changes: list[Change]) -> None:
    for _ in range(ROUNDS):
        await layout.tag(await layout.resolve("old"), "race")
        won = await race(layout, changes, OLD.digest)
        assert len(won) == 1
        names = [name async for name in Layout(layout.path).tags()]
        if changes[won[0]] is untag:
            assert "race" not in names
        else:
            assert (await layout.resolve("race")).digest == NEW[won[0]].digest


@pytest.mark.parametrize("changes", [[tag] * 4, [push_new] * 4, [tag, copy, put, push_new]])
async def test_one_wins_a_tag_that_does_not_exist(layout: Layout, changes: list[Change]) -> None:
    for round_ in range(ROUNDS):
        if round_:
            await layout.untag("race")
        won = await race(layout, changes, "absent")
        assert len(won) == 1
        assert (await layout.resolve("race")).digest == NEW[won[0]].digest


async def test_what_was_tagged_anew_is_not_deleted(layout: Layout) -> None:
    """What `if_digest` is about is the tag: it is looked at while nobody else can move it."""
    old = await layout.resolve("old")
    new = await layout.fetch("new-0")

    def check(name: str, found: object) -> None:
        assert (name, found) == ("old", new.digest)
        raise Conflict("it has moved")

    await layout.put(new, "old")
    with pytest.raises(Conflict, match="it has moved"):
        await layout.delete(old, name="old", check=check)
    assert await layout.contains(old)


def test_one_of_two_processes_wins(lading: Lading, layout: Layout) -> None:
    path = f"oci:{layout.path}"
    for _ in range(4):
        lading.run("tag", f"{path}:old", f"{path}:race")
        command = [sys.executable, "-m", "lading", "tag", "--if-digest", OLD.digest]
        running = [
            subprocess.Popen(
                [*command, f"{path}:new-{number}", f"{path}:race"],
                env=lading.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for number in range(2)
        ]
        assert sorted(process.wait(60) for process in running) == [0, 8]
