"""What a tag must name before it is changed or taken away: looked at first, and once more last."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict, NotFound
from support import images
from support.http import Reply, Request
from support.lading import Lading
from support.proxy import CountingProxy, Intercept, when
from support.registry import RealRegistry

IMAGES = [images.make_image(f"linux/{arch}", seed=arch) for arch in ("amd64", "arm64", "s390x")]
OLD, NEW, OTHER = IMAGES
"""What the tag names, what it is to name, and what somebody else gives it meanwhile."""


@pytest.fixture
def source(registry: RealRegistry, repository: str) -> Iterator[CountingProxy]:
    """A registry that has NEW under the tag `new`."""
    images.push(registry.host, repository, "new", NEW)
    with CountingProxy(registry.url) as running:
        yield running


def meanwhile(action: Callable[[], object], *, path: str, method: str = "GET", after: int = 0) -> Intercept:
    """An intercept that does something before a request is answered: the first such `after` so many."""
    seen = 0
    lock = threading.Lock()

    def intercept(request: Request) -> None:
        nonlocal seen
        with lock:
            if request.method == method and path in request.path:
                seen += 1
                if seen == after + 1:
                    action()

    return intercept


def move(host: str, repository: str, **when: Any) -> Intercept:
    """Somebody else gives the tag `1` to OTHER."""
    return meanwhile(lambda: images.push(host, repository, "1", OTHER), **when)


async def copy(client: AsyncClient, source: str, target: str, guard: str) -> None:
    await client.copy(source, target, if_digest=guard)


async def tag(client: AsyncClient, source: str, target: str, guard: str) -> None:
    await client.tag(source, target, if_digest=guard)


async def push(client: AsyncClient, source: str, target: str, guard: str) -> None:
    await client.drafts.create(target, [source])
    await client.drafts.push(target, if_digest=guard)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("change", [copy, tag, push])
async def test_a_head_that_fails_does_not_mean_that_a_tag_is_free(
    change: Callable[..., Any], status: int, client: AsyncClient, source: CountingProxy, repository: str
) -> None:
    images.push(source.host, repository, "taken", OLD)
    source.intercept = when(Reply(status=status), method="HEAD", path="/manifests/")
    with pytest.raises(Conflict, match="taken was not changed"):
        await change(client, f"{source.host}/{repository}:new", f"{source.host}/{repository}:taken", "absent")
    assert images.get_manifest(source.host, repository, "taken")[2] == OLD.digest


@pytest.mark.parametrize("guard", ["absent", OLD.digest])
@pytest.mark.parametrize("change", [copy, tag, push])
async def test_a_tag_that_moves_while_blobs_are_sent_is_not_overwritten(
    change: Callable[..., Any], guard: str, client: AsyncClient, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    if guard != "absent":
        images.push(elsewhere, repository, "1", OLD)
    source.intercept = move(elsewhere, repository, path="/blobs/")
    with pytest.raises(Conflict, match=f"{elsewhere}/{repository}:1 was not changed") as refused:
        await change(client, f"{source.host}/{repository}:new", f"{elsewhere}/{repository}:1", guard)
    assert OTHER.digest in (refused.value.cause or "")
    assert images.get_manifest(elsewhere, repository, "1")[2] == OTHER.digest
    # All that was brought is of use: the next run has only the tag to set.
    source.intercept = None
    await change(client, f"{source.host}/{repository}:new", f"{elsewhere}/{repository}:2", "absent")


@pytest.mark.parametrize("change", [copy, tag, push])
async def test_a_tag_that_is_removed_meanwhile_is_not_made_again(
    change: Callable[..., Any], client: AsyncClient, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", OLD)

    def remove() -> None:
        with images.RegistryClient(elsewhere, repository) as there:
            there.request("DELETE", "/manifests/1", expect=202)

    source.intercept = meanwhile(remove, path="/blobs/")
    with pytest.raises(Conflict, match="was not changed"):
        await change(client, f"{source.host}/{repository}:new", f"{elsewhere}/{repository}:1", OLD.digest)
    with pytest.raises(LookupError):
        images.get_manifest(elsewhere, repository, "1")


@pytest.mark.parametrize("change", [copy, tag, push])
async def test_what_holds_is_carried_out(
    change: Callable[..., Any], client: AsyncClient, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    for guard in ("absent", None):
        before = guard or images.get_manifest(elsewhere, repository, "1")[2]
        await change(client, f"{source.host}/{repository}:new", f"{elsewhere}/{repository}:1", before)
        if change is push:
            await client.drafts.discard(f"{elsewhere}/{repository}:1")
    assert images.get_manifest(elsewhere, repository, "1")[2]


async def test_tags_of_one_repository_all_have_to_hold(
    client: AsyncClient, proxy: CountingProxy, repository: str
) -> None:
    images.push(proxy.host, repository, "new", NEW)
    images.push(proxy.host, repository, "1", OLD)
    images.push(proxy.host, repository, "2", OTHER)
    with pytest.raises(Conflict, match=":2 was not changed"):
        await client.tag(f"{proxy.host}/{repository}:new", "1", "2", if_digest=OLD.digest)
    assert images.get_manifest(proxy.host, repository, "1")[2] == OLD.digest
    proxy.intercept = move(proxy.host.replace(proxy.host, proxy.host), repository, path="/manifests/new")
    proxy.intercept = None


async def test_a_tag_that_names_something_else_is_not_removed(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    name = f"{elsewhere}/{repository}"
    images.push(elsewhere, repository, "1", OTHER)
    for change in (client.untag, client.delete):
        with pytest.raises(Conflict, match=f"{name}:1 was not changed") as refused:
            await change(f"{name}:1", if_digest=OLD.digest)
        assert OTHER.digest in (refused.value.cause or "")
    assert images.get_manifest(elsewhere, repository, "1")[2] == OTHER.digest
    with pytest.raises(NotFound):
        await client.untag(f"{name}:2", if_digest=OLD.digest)
    await client.untag(f"{name}:1", if_digest=OTHER.digest)
    assert images.list_tags(elsewhere, repository) == []
    await client.delete(f"{name}@{OTHER.digest}", if_digest=OTHER.digest)


async def test_the_tag_is_looked_at_just_before_it_is_removed(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", OLD)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        await client.untag(f"{proxy.host}/{repository}:1", if_digest=OLD.digest)
        assert proxy.lines == [f"HEAD /v2/{repository}/manifests/1", f"DELETE /v2/{repository}/manifests/1"]
        images.push(elsewhere, repository, "1", OLD)
        proxy.reset()
        await client.untag(f"{proxy.host}/{repository}:1")
        assert proxy.lines == [f"DELETE /v2/{repository}/manifests/1"]


@pytest.mark.parametrize("command", ["copy", "tag"])
def test_exit_code_of_a_tag_that_moves_meanwhile(
    command: str, lading: Lading, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", OLD)
    target = f"{elsewhere}/{repository}:1"
    source.intercept = move(elsewhere, repository, path="/blobs/")
    ran = lading.run(command, f"{source.host}/{repository}:new", target, "--if-digest", OLD.digest, check=False)
    assert ran.returncode == 8, ran.stderr
    assert f"{target} was not changed" in ran.stderr
    assert images.get_manifest(elsewhere, repository, "1")[2] == OTHER.digest


@pytest.mark.parametrize("guard", ["absent", "origin", OLD.digest])
def test_exit_code_of_a_list_whose_tag_moves_while_it_is_pushed(
    guard: str, lading: Lading, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    target = f"{elsewhere}/{repository}:1"
    if guard != "absent":
        images.push(elsewhere, repository, "1", OLD)
    if guard == "origin":
        images.push(elsewhere, repository, "1", images.make_index([OLD]))
        lading.run("manifest", "pull", target)
        lading.run("manifest", "add", target, f"{source.host}/{repository}:new")
    else:
        lading.run("manifest", "create", target, f"{source.host}/{repository}:new")
    source.intercept = move(elsewhere, repository, path="/blobs/")
    ran = lading.run("manifest", "push", target, "--if-digest", guard, check=False)
    assert ran.returncode == 8, ran.stderr
    assert f"{target} was not changed" in ran.stderr
    assert images.get_manifest(elsewhere, repository, "1")[2] == OTHER.digest


@pytest.mark.parametrize("how", [("--untag",), ()])
def test_exit_code_of_a_tag_that_moves_before_it_is_removed(
    how: tuple[str, ...], lading: Lading, elsewhere: str, repository: str
) -> None:
    """The command looks first what goes, and the tag moves after that."""
    images.push(elsewhere, repository, "1", OLD)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        # Without --untag the last look reads the manifest, whose subject may have a list that it is in.
        last = {"method": "HEAD", "after": 1} if how else {"method": "GET"}
        proxy.intercept = move(elsewhere, repository, path="/manifests/1", **last)
        name = f"{proxy.host}/{repository}:1"
        ran = lading.run("delete", *how, "--yes", name, "--if-digest", OLD.digest, check=False)
    assert ran.returncode == 8, ran.stderr
    assert f"{name} was not changed" in ran.stderr
    assert images.get_manifest(elsewhere, repository, "1")[2] == OTHER.digest
    assert images.get_manifest(elsewhere, repository, OLD.digest)[0] == OLD.content
