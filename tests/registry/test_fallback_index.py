"""Lists of referrers under fallback tags, beside other writers, and where registries are not what they say."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from lading import ArtifactFile, AsyncClient, Client
from lading.errors import Conflict, Unsupported
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.tags import fallback_tag
from lading.registry import fallback_index, referrers
from support.fakes import Request
from support.http import Reply
from support.images import list_tags, make_artifact, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.proxy import Action, Alter, CountingProxy, when
from support.registry import RealRegistry

IMAGE = make_image("linux/amd64", kind="oci")
TAG = fallback_tag(Digest(IMAGE.digest))
TYPE = "application/vnd.example.note"


def without_api(
    *, says: bool = False, lists: Reply | None = None, slow: float = 0
) -> Callable[[Request], Action | None]:
    """A registry without the referrers API.

    Args:
        says: whether it says all the same that it has understood a subject.
        lists: what it answers for a list of referrers; by default that there is no such page.
        slow: how long it takes to write a list of referrers, in seconds.
    """

    def intercept(request: Request) -> Action | None:
        if "/referrers/" in request.path:
            return lists or Reply(status=404, body=b"404 page not found")
        if request.method == "PUT" and "/manifests/" in request.path:
            delay = slow if TAG in request.path else 0
            return Alter(delay=delay, remove_headers=() if says else ("OCI-Subject",))
        return None

    return intercept


EMPTY_LIST = Reply(
    status=200,
    headers={"Content-Type": "application/vnd.oci.image.index.v1+json"},
    body=b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
)


@pytest.fixture
def counted(elsewhere: str, repository: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingProxy]:
    """The embedded registry without the referrers API, with an image."""
    monkeypatch.setattr(referrers, "_PAUSES", (0, 0.01))
    monkeypatch.setattr(fallback_index, "_LEAST", 0.01)
    push(elsewhere, repository, "1", IMAGE)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        proxy.intercept = without_api()
        yield proxy


def note(number: int) -> ArtifactFile:
    return ArtifactFile(content=str(number).encode(), title="note")


async def attach(client: AsyncClient, place: str, number: int) -> str:
    return (await client.artifacts.attach(place, note(number), artifact_type=TYPE)).images[0].digest


async def listed(client: AsyncClient, place: str) -> set[str]:
    return {entry.digest for entry in (await client.artifacts.referrers(place)).referrers}


async def test_clients_that_attach_at_once_lose_nothing(counted: CountingProxy, repository: str) -> None:
    counted.intercept = without_api(slow=0.02)
    place = f"{counted.host}/{repository}:1"
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(AsyncClient(remember=False)) for _ in range(8)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attach(client, place, n)) for n, client in enumerate(clients)]
        assert await listed(clients[0], place) == {task.result() for task in tasks}


async def test_tasks_of_one_client_write_together(counted: CountingProxy, repository: str) -> None:
    place = f"{counted.host}/{repository}:1"
    async with AsyncClient() as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(attach(client, place, n)) for n in range(12)]
    async with AsyncClient() as client:
        assert await listed(client, place) == {task.result() for task in tasks}
    assert counted.count("PUT", f"/v2/{repository}/manifests/{TAG}") < 6


async def test_another_writer_that_overwrites_the_list_is_noticed(counted: CountingProxy, repository: str) -> None:
    place = f"{counted.host}/{repository}"
    other = make_artifact("text/x-other", subject=IMAGE)
    push(counted.host, repository, None, other)
    rude = make_index([], kind="oci").document | {
        "manifests": [{"mediaType": other.media_type, "digest": other.digest, "size": other.size}]
    }
    is_done = False

    def intercept(request: Request) -> Action | None:
        nonlocal is_done
        if request.method == "GET" and TAG in request.path and counted.count("PUT", TAG) and not is_done:
            is_done = True
            with Client(remember=False) as client:  # as oras does: what it has not read is lost
                client.put(json.dumps(rude).encode(), f"{counted.host}/{repository}:{TAG}")
        return without_api()(request)

    counted.intercept = intercept
    async with AsyncClient() as client:
        digest = await attach(client, f"{place}:1", 1)
        assert await listed(client, f"{place}:1") == {digest, other.digest}
    assert is_done


@pytest.mark.parametrize("says", [True, False])
async def test_a_registry_that_only_claims_the_api_is_found_out(
    counted: CountingProxy, repository: str, says: bool
) -> None:
    counted.intercept = without_api(says=says, lists=EMPTY_LIST)
    place = f"{counted.host}/{repository}:1"
    notes: list[str] = []
    async with AsyncClient(on_note=notes.append) as client:
        digest = await attach(client, place, 1)
    assert [f"does not list {digest}" in text and TAG in text for text in notes] == [True]
    async with AsyncClient(remember=False, on_note=notes.append) as client:
        (found,) = (await client.artifacts.referrers(place)).referrers
        assert (found.digest, found.listed_by) == (digest, ("fallback-tag",))
        report = await client.copy(place, f"{place}-2", referrers=True)
        assert report.images[0].referrers == 1


async def test_the_word_of_a_registry_is_proved_once(elsewhere: str, repository: str) -> None:
    push(elsewhere, repository, "1", IMAGE)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        place = f"{proxy.host}/{repository}:1"
        async with AsyncClient() as client:
            asked = []
            for number in range(3):
                proxy.reset()
                await attach(client, place, number)
                asked.append(sum("/referrers/" in line for line in proxy.lines))
            # The first time after it was put; later before, for whether it is there.
            assert asked == [1, 1, 1]
            proxy.reset()
            assert not (await client.artifacts.attach(place, note(0), artifact_type=TYPE)).is_new
            assert [exchange.method for exchange in proxy.exchanges] == ["HEAD", "GET"]
        assert TAG not in list_tags(elsewhere, repository)


async def test_what_was_interrupted_before_it_was_listed_is_listed(counted: CountingProxy, repository: str) -> None:
    place = f"{counted.host}/{repository}:1"
    async with AsyncClient() as client:
        counted.intercept = lambda request: (
            Reply(status=400) if request.method == "PUT" and TAG in request.path else without_api()(request)
        )
        with pytest.raises(Exception, match="400"):
            await attach(client, place, 1)
        counted.intercept = without_api()
        assert await listed(client, place) == set()
        assert {await attach(client, place, 1)} == await listed(client, place)


async def test_a_registry_that_answers_with_the_subject_keeps_it(
    counted: CountingProxy, elsewhere: str, repository: str
) -> None:
    """As GitLab's did: it took the fallback tag for the digest in it."""
    push(elsewhere, repository, TAG, IMAGE)
    async with AsyncClient() as client:
        with pytest.raises(Unsupported, match="cannot list what refers to"):
            await attach(client, f"{counted.host}/{repository}:1", 1)
        assert await client.digest(f"{elsewhere}/{repository}:{TAG}") == IMAGE.digest


async def test_a_tag_that_names_something_else_is_left_alone(
    counted: CountingProxy, elsewhere: str, repository: str
) -> None:
    other = make_image("linux/arm64", kind="oci")
    push(elsewhere, repository, TAG, other)
    async with AsyncClient() as client:
        with pytest.raises(Conflict, match="cannot list what refers to") as caught:
            await attach(client, f"{counted.host}/{repository}:1", 1)
        assert caught.value.code == "fallback-tag-taken"
        assert await client.digest(f"{elsewhere}/{repository}:{TAG}") == other.digest


async def test_a_registry_that_keeps_no_list_is_an_error(counted: CountingProxy, repository: str) -> None:
    forgets = Reply(status=404, body=b"{}")
    counted.intercept = lambda request: (
        forgets if request.method == "GET" and TAG in request.path else without_api()(request)
    )
    async with AsyncClient() as client:
        with pytest.raises(Conflict, match="could not be listed") as caught:
            await attach(client, f"{counted.host}/{repository}:1", 1)
        assert caught.value.code == "list-overwritten"
        assert "does not give it out" in (caught.value.cause or "")


async def test_writers_that_never_stop_are_an_error(
    counted: CountingProxy, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_index, "PATIENCE", 0.05)
    number = 0

    def intercept(request: Request) -> Action | None:
        nonlocal number
        if request.method != "GET" or TAG not in request.path:
            return without_api()(request)
        number += 1
        others = make_index([], kind="oci", annotations={"number": str(number)})
        return Reply(status=200, headers={"Content-Type": others.media_type}, body=others.content)

    counted.intercept = intercept
    async with AsyncClient() as client:
        with pytest.raises(Conflict, match="could not be listed") as caught:
            await attach(client, f"{counted.host}/{repository}:1", 1)
        assert "other writers kept changing" in (caught.value.cause or "")


# Deleting


async def test_what_is_deleted_is_listed_no_more(counted: CountingProxy, elsewhere: str, repository: str) -> None:
    place = f"{counted.host}/{repository}"
    async with AsyncClient() as client:
        first, second = [await attach(client, f"{place}:1", n) for n in range(2)]
        await client.delete(f"{place}@{first}")
        index = await client.get(f"{place}:{TAG}")
        assert isinstance(index, Index)
        assert [entry.digest for entry in index.manifests] == [second]
        await client.delete(f"{place}@{second}")
        assert TAG not in list_tags(elsewhere, repository)
        assert await listed(client, f"{place}:1") == set()


async def test_what_cannot_be_deleted_stays_listed(counted: CountingProxy, repository: str) -> None:
    place = f"{counted.host}/{repository}"
    async with AsyncClient() as client:
        digests = [await attach(client, f"{place}:1", n) for n in range(2)]
        refused = when(Reply(status=405), method="DELETE", path=digests[0])
        counted.intercept = lambda request: refused(request) or without_api()(request)
        with pytest.raises(Unsupported):
            await client.delete(f"{place}@{digests[0]}")
        assert await listed(client, f"{place}:1") == set(digests)


@pytest.mark.slow
def test_processes_that_attach_at_once_lose_nothing(lading: Lading, registry: RealRegistry, repository: str) -> None:
    place = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", IMAGE)
    words = [sys.executable, "-m", "lading", "artifact", "attach", place, "--artifact-type", TYPE, "--annotation"]
    running = [
        subprocess.Popen([*words, f"n={number}"], env=lading.environment, stdout=subprocess.PIPE, text=True)
        for number in range(24)
    ]
    made = [process.communicate(timeout=300)[0].strip().rpartition("@")[2] for process in running]
    assert [process.returncode for process in running] == [0] * 24
    assert sorted(lading.run("artifact", "ls", place, "-q", "--no-trunc").stdout.split()) == sorted(made)
    oras = need("oras")
    found = subprocess.run(
        [oras, "discover", "--plain-http", place, "--format", "json"], capture_output=True, check=True, text=True
    )
    assert found.stdout.count(TYPE) == 24
