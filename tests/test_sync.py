"""Client: the synchronous face, as programs with threads, forks and interpreters of their own use it."""

import copy
import gc
import inspect
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient, Client, LadingError, Place
from lading.artifacts.facade import Artifacts, SyncArtifacts
from lading.client.blobs import Blobs, SyncBlobs
from lading.client.indexes import Indexes, SyncIndexes
from lading.client.registries import Registries, SyncRegistries
from lading.client.sync_store import SyncStore
from lading.drafts.facade import Drafts, SyncDrafts
from lading.errors import UsageError
from lading.images.facade import Images, SyncImages
from lading.images.sync_views import SyncImage, SyncImageIndex
from lading.images.views import Image, ImageIndex
from lading.mirror.facade import Mirrors, SyncMirrors
from lading.store import Store
from support.images import make_image, push
from support.registry import RealRegistry

IN_TURN = """
import sys
from lading import Client

for number in range(8):
    with Client() as client:
        print(client.copy(f"{sys.argv[1]}:1", f"{sys.argv[1]}-copy:{number}").images[0].digest)
"""

AT_ONCE = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from lading import AsyncClient

def copied(number):
    async def main():
        async with AsyncClient() as client:
            return await client.copy(f"{sys.argv[1]}:1", f"{sys.argv[1]}-copy:{number}")
    return asyncio.run(main()).images[0].digest

for _ in range(4):
    with ThreadPoolExecutor(4) as threads:
        for digest in threads.map(copied, range(4)):
            print(digest)
"""

FORKED = """
import os, signal, sys
from lading import Client

def in_child(client):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        print(client.digest(sys.argv[1] + ":1"), flush=True)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0

client = Client()
in_child(client)
print(client.digest(sys.argv[1] + ":1"), flush=True)
in_child(client)
print(client.digest(sys.argv[1] + ":1"), flush=True)

# A child's child, and a client that is made there.
child = os.fork()
if child == 0:
    signal.alarm(40)
    client.digest(sys.argv[1] + ":1")
    in_child(client)
    with Client() as other:
        print(other.copy(sys.argv[1] + ":1", sys.argv[1] + "-copy:1").images[0].digest, flush=True)
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
client.close()
"""

FORKED_ASYNC = """
import asyncio, os, signal, sys
from lading import AsyncClient

async def digest(client):
    print(await client.digest(sys.argv[1] + ":1"), flush=True)

async def closed(client):
    async with client:
        await digest(client)

async def main(client):
    await digest(client)
    child = os.fork()
    if child == 0:
        # The parent's connections are open: the child must not speak on them.
        asyncio.events._set_running_loop(None)
        signal.alarm(20)
        asyncio.new_event_loop().run_until_complete(closed(client))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    await digest(client)
    await client.close()

asyncio.run(main(AsyncClient()))
"""

POOL = """
import multiprocessing, sys
from lading import Client

client = Client()

def digest(tag):
    return str(client.digest(sys.argv[1] + ":" + tag))

if __name__ == "__main__":
    print(digest("1"))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(*pool.map(digest, ["1"] * 4))
    client.close()
"""


def run(script: str, registry: RealRegistry, repository: str) -> int:
    """Run a program that prints an image's digest; returns how often it did."""
    image = make_image(layers=5)
    push(registry.host, repository, "1", image)
    ran = subprocess.run(
        [sys.executable, "-c", script, f"{registry.host}/{repository}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    assert set(ran.stdout.split()) == {image.digest}
    return len(ran.stdout.split())


def test_one_client_after_another(registry: RealRegistry, repository: str) -> None:
    run(IN_TURN, registry, repository)


def test_clients_in_threads_that_come_and_go(registry: RealRegistry, repository: str) -> None:
    run(AT_ONCE, registry, repository)


def test_a_client_before_and_after_forks(registry: RealRegistry, repository: str) -> None:
    assert run(FORKED, registry, repository) == 6


def test_an_asynchronous_client_before_and_after_a_fork(registry: RealRegistry, repository: str) -> None:
    assert run(FORKED_ASYNC, registry, repository) == 3


def test_a_client_in_a_pool_of_forked_processes(registry: RealRegistry, repository: str) -> None:
    assert run(POOL, registry, repository) == 5


def test_the_first_calls_of_many_threads_share_one_loop(registry: RealRegistry, repository: str) -> None:
    digest = push(registry.host, repository, "1", make_image())
    before = _lading_threads()
    for _ in range(10):
        client = Client()
        start = threading.Barrier(16)

        def first_call(client: Client = client, start: threading.Barrier = start) -> str:
            start.wait()
            return str(client.digest(f"{registry.host}/{repository}:1"))

        with ThreadPoolExecutor(16) as threads:
            asked = [threads.submit(first_call) for _ in range(16)]
        assert {task.result() for task in asked} == {digest}
        assert len(_lading_threads() - before) == 1
        client.close()
        assert _lading_threads() == before


def test_closing_ends_the_calls_of_other_threads(registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image())
    name = f"{registry.host}/{repository}:1"
    client = Client()
    entered, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        entered.set()
        go_on.wait(20)

    with ThreadPoolExecutor(2) as threads:
        copying = threads.submit(client.copy, name, f"{name}-copy", on_event=wait)
        assert entered.wait(20)
        closing = threads.submit(client.close)
        go_on.set()
        closing.result(20)
        error = copying.exception(20)
    assert error is None or isinstance(error, LadingError)
    assert client.digest(name)  # it can be used again
    client.close()


def test_what_is_half_read_when_the_client_closes_brings_nothing_back(registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image())
    before = _lading_threads()
    client = Client()
    with client.open(f"{registry.host}/{repository}") as store:
        tags = store.tags()
        assert next(tags) == "1"
    client.close()
    del tags, store
    gc.collect()
    assert _lading_threads() == before


def test_the_thread_of_a_client_that_nothing_refers_to_ends(registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image())
    before = _lading_threads()
    client = Client()
    assert client.digest(f"{registry.host}/{repository}:1")
    (thread,) = _lading_threads() - before
    del client
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
def test_what_a_callback_raises_comes_to_who_called(
    error: type[BaseException], registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    name = f"{registry.host}/{repository}:1"

    def fail(_: object) -> None:
        raise error("enough")

    with Client() as client:
        with pytest.raises((error, BaseExceptionGroup)):
            client.copy(name, f"{name}-copy", on_event=fail)
        assert client.digest(name)


def test_a_callback_cannot_wait_for_its_own_client(registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image())
    name = f"{registry.host}/{repository}:1"
    with Client() as client:

        def ask(_: object) -> None:
            client.digest(name)

        with pytest.raises(UsageError, match="would wait for itself"):
            client.copy(name, f"{name}-copy", on_event=ask)
        assert client.digest(name)


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_neither_pickled_nor_copied(make: Callable[[], object], take: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="a client cannot be pickled or copied"):
        take(make())


@pytest.mark.parametrize(
    "face, behind",
    [
        (Client, AsyncClient),
        (SyncDrafts, Drafts),
        (SyncRegistries, Registries),
        (SyncBlobs, Blobs),
        (SyncIndexes, Indexes),
        (SyncStore, Store),
        (SyncImages, Images),
        (SyncArtifacts, Artifacts),
        (SyncMirrors, Mirrors),
        (SyncImage, Image),
        (SyncImageIndex, ImageIndex),
    ],
)
def test_both_faces_have_the_same_methods_with_the_same_parameters(face: type, behind: type) -> None:
    names = {name for name in {*dir(face), *dir(behind)} if not name.startswith("_")}
    names -= {"store"} if face is SyncStore else set()  # the asynchronous one itself
    assert names
    for name in names:
        ours, theirs = getattr(face, name), getattr(behind, name)
        if isinstance(theirs, property):
            assert isinstance(ours, property)
            continue
        assert inspect.signature(ours).replace(return_annotation=None) == inspect.signature(theirs).replace(
            return_annotation=None
        )
        assert ours.__name__ == name
        # What only makes a value is one and the same for both.
        assert ours is theirs or ours.__qualname__.startswith("Sync" if face is not Client else "Client.")
        assert ours.__doc__


def test_both_clients_are_made_of_the_same() -> None:
    assert inspect.signature(Client) == inspect.signature(AsyncClient)


def test_a_method_shows_its_parameters() -> None:
    with Client() as client:
        assert list(inspect.signature(client.copy).parameters)[:3] == ["source", "targets", "tags"]
        assert list(inspect.signature(Client.copy).parameters)[:3] == ["self", "source", "targets"]
        assert list(inspect.signature(client.drafts.annotate).parameters)[:3] == ["target", "image", "os"]
        assert not inspect.iscoroutinefunction(client.copy)


def _lading_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "lading"}


def test_a_store_is_copied_from_and_to(registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    """Also its synchronous face: it would wait for the thread that the copy runs on."""
    image = make_image()
    push(registry.host, repository, "1", image)
    with Client(docker_config=tmp_path / "docker") as client:
        face: Any = client.connect(f"{registry.host}/{repository}")
        for number, given in enumerate((face, face.store)):
            with client.open(f"oci:{tmp_path}/layout{number}", writing=True) as layout:
                target: Any = layout if given is face else layout.store
                client.copy(Place(given, "1"), target)
                assert layout.resolve("1").digest == image.digest
            client.copy(f"oci:{tmp_path}/layout{number}:1", Place(given, f"back{number}"))
        tags = client.tags(f"{registry.host}/{repository}", sort="name")
        assert [info.tag for info in tags] == ["1", "back0", "back1"]
