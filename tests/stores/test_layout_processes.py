"""Many processes at one layout, and processes that are killed: nothing is lost, and nothing is half there."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.store import from_bytes
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from lading.transfer.graph import Copier

WRITER = """
import asyncio, sys
sys.path[:0] = [sys.argv[1]]
from lading.io.sources import Source
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.store import from_bytes
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.store import put_manifest
from lading.stores.layout.layout import Layout
from support import images

class Slow(Source):
    def __init__(self, data):
        self.data = data

    async def since(self, start):
        for at in range(start, len(self.data), 65536):
            yield self.data[at : at + 65536]
            await asyncio.sleep(0.002)

async def fill(layout, manifest, *names):
    for child in manifest.children:
        await fill(layout, child)
    for digest, data in manifest.blobs.items():
        content = Descriptor(digest=Digest(digest), size=len(data))
        await layout.write(content, Slow(data))
    await put_manifest(layout, parse(manifest.content, manifest.media_type), names)

async def main():
    layout = Layout(sys.argv[2], create=True)
    print("ready", flush=True)
    sys.stdin.readline()
    shared = images.make_layer({"shared": images.noise("shared", 2_000_000)})
    for name in sys.argv[3:]:
        own = images.make_layer({"own": images.noise(name, 1_500_000)})
        image = images.make_image(layers=[shared, own], seed=name)
        index = images.make_index([image, images.make_image("linux/arm64", layers=[shared], seed=name)])
        await fill(layout, index, name)
        print(name, flush=True)

asyncio.run(main())
"""


def start(path: Path, *names: str) -> "subprocess.Popen[str]":
    tests = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, tests, path, *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(*processes: "subprocess.Popen[str]") -> None:
    """Let them all begin at the same moment."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def end(processes: "list[subprocess.Popen[str]]") -> None:
    for process in processes:
        process.communicate(timeout=100)
        assert process.returncode == 0


async def assert_whole(path: Path, *names: str) -> None:
    """Everything under its final name is what the name says, and every tag leads to all of its content."""
    for file in (path / "blobs").rglob("*"):
        if file.is_file():
            assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    if not (path / "index.json").exists():
        assert not names
        return
    json.loads((path / "index.json").read_bytes())
    layout = Layout(path)
    tags = [tag async for tag in layout.tags()]
    assert set(names) <= set(tags)
    for entry in await layout.entries():
        await Copier(Memory()).copy(layout, entry.content)


@pytest.mark.slow
async def test_sixteen_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "layout"
    names = [[f"p{process}-{image}" for image in range(3)] for process in range(16)]
    processes = [start(path, *own) for own in names]
    go(*processes)
    end(processes)
    await assert_whole(path)
    assert sorted([tag async for tag in Layout(path).tags()]) == sorted(name for own in names for name in own)
    assert len(json.loads((path / "index.json").read_bytes())["manifests"]) == 48
    assert [file.name for file in (path / ".lading").iterdir()] == ["lock"]
    assert (await Layout(path).gc(grace=0)).content == ()


@pytest.mark.slow
async def test_writers_that_are_killed_leave_a_whole_layout(tmp_path: Path) -> None:
    path = tmp_path / "layout"
    chance = random.Random(7)
    written: set[str] = set()
    killed_at_work = 0
    parts: list[Path] = []
    for number in range(40):
        names = [f"n{number}-{image}" for image in range(20)]
        with start(path, *names) as process:
            go(process)
            assert process.stdout is not None
            finished = [process.stdout.readline().strip() for _ in range(chance.randrange(3))]
            in_a_blob = chance.random() < 0.5
            while in_a_blob and not any((path / ".lading").glob("sha256-*")):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            await asyncio.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            finished += process.stdout.read().split()
        killed_at_work += process.returncode == -signal.SIGKILL
        parts += [file for file in (path / ".lading").iterdir() if file.name != "lock"]
        written.update(finished)
        if number % 8 == 7:
            await assert_whole(path, *written)
    assert killed_at_work >= 30
    assert written
    await assert_whole(path, *written)
    assert parts
    await Layout(path).gc(grace=0)
    await assert_whole(path, *written)
    assert [file.name for file in (path / ".lading").iterdir()] == ["lock"]


async def test_writers_and_a_collector_at_once(tmp_path: Path) -> None:
    path = tmp_path / "layout"
    old = Descriptor.of(b"old", "application/octet-stream")
    processes = [start(path, *(f"p{process}-{image}" for image in range(4))) for process in range(4)]
    go(*processes)
    collected: set[str] = set()
    while any(process.poll() is None for process in processes):
        layout = Layout(path, create=True)
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        forgotten = path / "blobs/sha256" / old.digest.hex
        forgotten.write_bytes(b"old")
        os.utime(forgotten, (0, 0))
        collected |= {content.digest for content in (await layout.gc(grace=60)).content}
        await asyncio.sleep(0.01)
    end(processes)
    assert collected == {old.digest}
    with contextlib.suppress(FileNotFoundError):
        (path / "blobs/sha256" / old.digest.hex).unlink()
    await assert_whole(path, *(f"p{process}-{image}" for process in range(4) for image in range(4)))


def test_memory_stays_flat(tmp_path: Path) -> None:
    script = f"""
import asyncio, resource
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.store import from_bytes
from lading.model.digest import Digest
from lading.io.sources import from_chunks
from lading.store import from_store
from lading.stores.layout.layout import Layout
import hashlib
CHUNK, COUNT = bytes(range(256)) * 256, 4096
hasher = hashlib.sha256()
for _ in range(COUNT): hasher.update(CHUNK)
content = Descriptor(digest=Digest("sha256:" + hasher.hexdigest()), size=len(CHUNK) * COUNT)
async def chunks():
    for _ in range(COUNT): yield CHUNK
async def main():
    one, two = Layout({str(tmp_path / "one")!r}, create=True), Layout({str(tmp_path / "two")!r}, create=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await one.write(content, from_chunks(chunks))
    await two.write(content, from_store(one, content))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 24 * 1024  # KiB, for 256 MiB of content


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """What another process works on is left alone: it holds a lock."""

    def write(data: bytes) -> None:
        layout = Layout(tmp_path / "layout", create=True)
        asyncio.run(layout.write(Descriptor(digest=Digest.of(data), size=len(data)), from_bytes(data)))

    write(b"one")
    ours = tmp_path / "layout" / ".lading"
    left, used = ours / ("0" * 32), ours / ("1" * 32)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"

    def holding(path: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    with holding(used) as working, holding(left) as killed:
        for process in (working, killed):
            assert process.stdout is not None
            assert process.stdout.readline()
        killed.kill()
        killed.wait()
        write(b"another")
        assert not left.exists()
        assert used.exists()
        working.communicate(b"\n")
