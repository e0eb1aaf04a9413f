"""Walks over graphs of manifests: each manifest is asked for once, and there is an end to depth, number and size."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.failing import CONTENT, fails, local
from lading.client import AsyncClient
from lading.errors import Conflict, InvalidContent
from lading.model import reach
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT
from lading.model.manifest import parse
from lading.store import from_bytes
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from support import images
from support.fakes import Reply, ScriptedServer, json_reply
from support.http import Request
from support.lading import Lading
from support.proxy import CountingProxy

IMAGE = images.make_image("linux/amd64", kind="oci")
TIMES = 10


def nested(levels: int, times: int = TIMES) -> list[images.Manifest]:
    """An image, and indexes over it of which each lists the one before it so many times."""
    found = [IMAGE]
    for _ in range(levels):
        entries = [images.Entry(found[-1], annotations={"n": str(number)}) for number in range(times)]
        found.append(dataclasses.replace(images.make_index(entries, kind="oci"), children=()))
    return found


def push(host: str, repository: str, manifests: list[images.Manifest]) -> None:
    """Push manifests in their order, the last one under the tag `top`."""
    with images.RegistryClient(host, repository) as client:
        for manifest in manifests:
            client.push("top" if manifest is manifests[-1] else None, manifest)


@pytest.fixture
def counted(elsewhere: str, repository: str) -> Iterator[tuple[CountingProxy, str]]:
    """A proxy in front of a registry with six levels, and what the top of them is called."""
    push(elsewhere, repository, nested(6))
    with CountingProxy(f"http://{elsewhere}") as proxy:
        yield proxy, f"{proxy.host}/{repository}:top"


WALKS = {
    "lint": ("lint", "{top}", "--fail-on", "never"),
    "inspect": ("inspect", "{top}"),
    "validate": ("validate", "{top}"),
    "tree": ("tree", "{top}"),
    "validate referrers": ("validate", "{top}", "--referrers", "--fast"),
    "resolve": ("resolve", "{top}", "--all-clients", "--platform", "linux/amd64"),
    "create": ("manifest", "create", "reg.example/list:1", "{top}"),
    "pull": ("manifest", "pull", "{top}"),
    "copy": ("copy", "{top}", "oci:{place}:1"),
    "copy within": ("copy", "{top}", "{top}-copy"),
    "copy referrers": ("copy", "{top}", "oci:{place}:1", "--referrers"),
    "verify": ("copy", "{top}", "oci:{place}:1", "--verify"),
    "convert": ("copy", "{top}", "oci:{place}:1", "--to", "docker"),
    "delete": ("delete", "--dry-run", "{top}"),
    "manifest inspect": ("manifest", "inspect", "-v", "{top}"),
}


@pytest.mark.parametrize("arguments", WALKS.values(), ids=WALKS.keys())
def test_what_is_listed_many_times_is_asked_for_once(
    arguments: tuple[str, ...], counted: tuple[CountingProxy, str], lading: Lading, tmp_path: Path
) -> None:
    proxy, top = counted
    ran = lading.run(*(text.format(top=top, place=tmp_path / "layout") for text in arguments), check=False)
    assert ran.returncode in (0, 1), ran.stderr
    times = Counter(exchange.line for exchange in proxy.exchanges if exchange.method == "GET")
    assert max(times.values()) == 1, times
    assert len(proxy.exchanges) <= 40


def test_within_a_layout_too(lading: Lading, tmp_path: Path, counted: tuple[CountingProxy, str]) -> None:
    _, top = counted
    place = f"oci:{tmp_path}/layout"
    lading.run("copy", top, f"{place}:1")
    for arguments in (
        ("lint", f"{place}:1", "--fail-on", "never"),
        ("inspect", f"{place}:1"),
        ("tree", f"{place}:1"),
        ("validate", f"{place}:1"),
        ("resolve", f"{place}:1", "--platform", "linux/amd64", "--as", "containerd"),
        ("manifest", "create", "reg.example/list:1", f"{place}:1"),
        ("copy", f"{place}:1", f"oci-archive:{tmp_path}/x.tar:1"),
        ("copy", f"oci-archive:{tmp_path}/x.tar:1", f"{place}:2"),
        ("delete", "--yes", f"{place}:1"),
    ):
        lading.run(*arguments, timeout=20)


def test_an_image_that_is_listed_many_times_is_one(elsewhere: str, repository: str, lading: Lading) -> None:
    push(elsewhere, repository, nested(6))
    with CountingProxy(f"http://{elsewhere}") as proxy:
        ran = lading.run("image", "size", f"{proxy.host}/{repository}:top", "--format", "json")
        assert max(Counter(exchange.line for exchange in proxy.exchanges).values()) == 1
    assert ran.stdout.count(IMAGE.digest) == 1


async def test_what_is_too_large_is_left_alone_where_a_layout_is_looked_through(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout", create=True)
    large = parse(images.make_index([IMAGE], kind="oci", annotations={"n": "x" * SIZE_LIMIT}).content, limit=1 << 24)
    await layout.put(large, "1")
    assert [entry.digest for entry in await layout.roots()] == [large.digest]
    subject = Descriptor(media_type=IMAGE.media_type, digest=Digest(IMAGE.digest), size=IMAGE.size)
    assert [item async for item in layout.referrers(subject)] == []
    # What it lists is kept all the same.
    file = tmp_path / "layout" / "blobs" / "sha256" / IMAGE.digest.partition(":")[2]
    file.write_bytes(IMAGE.content)
    assert (await layout.gc(grace=0)).content == ()
    with pytest.raises(Conflict):
        await layout.delete(subject)


async def test_memory_and_a_layout_know_such_a_graph(tmp_path: Path) -> None:
    memory, layout = Memory("memory"), Layout(tmp_path / "layout", create=True)
    for store in (memory, layout):
        for digest, blob in IMAGE.blobs.items():
            await store.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
        levels = [parse(level.content) for level in nested(12)]
        for level in levels:
            await store.put(level)
        assert await store.contains_all(levels[-1].descriptor)
    assert (await layout.gc(grace=0)).content == ()


async def test_what_leads_to_too_much_is_no_reason_to_remove_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not seen may be referred to: nothing is removed then, until what leads to it is gone."""
    layout = Layout(tmp_path / "layout", create=True)
    small = [parse(images.make_image("linux/amd64", seed=str(n), kind="oci").content) for n in range(4)]
    many = parse(images.make_index([images.Entry(IMAGE, {"n": str(n)}) for n in range(4)], kind="oci").content)
    for manifest in (*small, many):
        await layout.put(manifest, "many" if manifest is many else None)
    blob = b"nothing refers to it"
    await layout.write(Descriptor.of(blob, "application/octet-stream"), from_bytes(blob))
    monkeypatch.setattr(reach, "MANIFESTS", 3)
    before = sorted((tmp_path / "layout").rglob("*"))

    subject = Descriptor(media_type=IMAGE.media_type, digest=Digest(IMAGE.digest), size=IMAGE.size)
    for removing in (layout.gc(grace=0), layout.gc(grace=0, untagged=True), layout.delete(small[0].descriptor)):
        with pytest.raises(InvalidContent, match=f"{many.digest} leads to too many manifests"):
            await removing
    with pytest.raises(InvalidContent, match="leads to too many manifests"):
        assert [item async for item in layout.referrers(subject)]
    assert not await layout.contains_all(many.descriptor)
    assert sorted((tmp_path / "layout").rglob("*")) == before

    await layout.delete(many.descriptor)
    await layout.delete(small[0].descriptor)
    assert [item.digest for item in (await layout.gc(grace=0)).content] == [Digest.of(blob)]


async def test_memory_that_leads_to_too_much_is_not_called_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory("memory")
    several = [images.make_image("linux/amd64", seed=str(n), kind="oci") for n in range(4)]
    index = parse(images.make_index(several, kind="oci").content)
    for image in several:
        for digest, blob in image.blobs.items():
            await memory.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
        await memory.put(parse(image.content))
    await memory.put(index)
    assert await memory.contains_all(index.descriptor)
    monkeypatch.setattr(reach, "MANIFESTS", 3)
    assert not await memory.contains_all(index.descriptor)


DEEP = nested(reach.DEPTH + 2, times=1)


@pytest.fixture
async def deep(tmp_path: Path) -> str:
    """A layout whose tag `top` leads through more levels than a walk follows."""
    layout = Layout(tmp_path / "deep", create=True)
    for digest, blob in IMAGE.blobs.items():
        await layout.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
    for level in DEEP:
        await layout.put(parse(level.content), "top" if level is DEEP[-1] else None)
    return f"oci:{tmp_path}/deep:top"


FOLLOWS = {
    "copy": ("copy", "{top}", "oci:{place}:1"),
    "convert": ("copy", "{top}", "oci:{place}:1", "--compression", "none"),
    "resolve": ("resolve", "{top}", "--platform", "linux/amd64", "--as", "containerd"),
    "create": ("manifest", "create", "reg.example/list:1", "{top}"),
}


@pytest.mark.parametrize("arguments", FOLLOWS.values(), ids=FOLLOWS.keys())
def test_depth_has_an_end(arguments: tuple[str, ...], deep: str, lading: Lading, tmp_path: Path) -> None:
    before = local(lading)
    said = [text.format(top=deep, place=tmp_path / "new") for text in arguments]
    fails(lading, *said, code=CONTENT, says=["is nested too deeply", "more than 16 levels"])
    assert local(lading) == before
    assert not (tmp_path / "new" / "index.json").exists() or b"1" not in (tmp_path / "new" / "index.json").read_bytes()


def test_lint_and_validation_find_what_is_too_deep(deep: str, lading: Lading) -> None:
    found = json.loads(lading.run("lint", deep, "--format", "json", check=False).stdout)["findings"]
    [report] = json.loads(lading.run("validate", deep, "--format", "json", check=False).stdout)["reports"]
    assert report["verdict"] == "damaged"
    assert [item["code"] for item in report["findings"]] == ["LAD305"]
    assert "more than 16 levels" in report["findings"][0]["message"]
    assert any(item["code"] == "LAD305" and "more than 16 levels" in item["message"] for item in found)


@pytest.mark.parametrize(
    "arguments", [*FOLLOWS.values(), ("lint", "{top}"), ("inspect", "{top}"), ("validate", "{top}")]
)
@pytest.mark.parametrize("limit", ["MANIFESTS", "BYTES"])
def test_number_and_size_have_an_end(
    arguments: tuple[str, ...],
    limit: str,
    elsewhere: str,
    repository: str,
    lading: Lading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = [images.make_image("linux/amd64", seed=str(number), kind="oci") for number in range(4)]
    inner = images.make_index(several, kind="oci")
    images.push(elsewhere, repository, "top", images.make_index([inner, images.Entry(inner, platform={})], kind="oci"))
    monkeypatch.setattr(reach, limit, 3 if limit == "MANIFESTS" else inner.size)
    monkeypatch.setattr(reach, limit, 0 if arguments[0] == "inspect" else getattr(reach, limit))
    if arguments[0] == "resolve" and limit == "MANIFESTS":
        monkeypatch.setattr(reach, limit, 1)
    said = [text.format(top=f"{elsewhere}/{repository}:top", place=tmp_path / "new") for text in arguments]
    before = local(lading)
    ran = lading.run(*said, check=False)
    assert ran.returncode == CONTENT
    assert f"{elsewhere}/{repository}" in ran.stderr
    assert ("leads to too many manifests" if limit == "MANIFESTS" else "that are too large together") in ran.stderr
    assert local(lading) == before


async def test_the_error_has_a_code_and_fields(
    elsewhere: str, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{elsewhere}/{repository}:top"
    images.push(elsewhere, repository, "top", images.make_index([IMAGE], kind="oci"))
    monkeypatch.setattr(reach, "MANIFESTS", 0)
    async with AsyncClient() as client:
        with pytest.raises(InvalidContent) as raised:
            await client.inspect(name)
    assert (raised.value.code, raised.value.fields) == ("graph-too-large", {"reference": name, "limit": 0})


def test_what_is_listed_is_counted_before_any_of_it_is_asked_for(lading: Lading, tmp_path: Path) -> None:
    entries = [{**IMAGE.descriptor(), "digest": images.digest_of(b"%d" % n)} for n in range(reach.MANIFESTS + 1)]
    listed = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": entries}).encode()

    def script(request: Request) -> Reply | None:
        if request.path.endswith("/manifests/top"):
            return Reply(headers=[("Content-Type", images.OCI_INDEX)], body=listed)
        return None

    with ScriptedServer(script) as server:
        for arguments in (
            ("lint",),
            ("inspect",),
            ("tree",),
            ("validate",),
            ("manifest", "create", "reg.example/list:1"),
        ):
            fails(lading, *arguments, f"{server.host}/app:top", code=CONTENT, says=["leads to too many manifests"])
        assert {line.partition(" ")[2] for line in server.lines} <= {"/v2/app/manifests/top", "/v2/"}


@pytest.mark.parametrize("verb", ["lint", "validate", "inspect", "copy", "create"])
async def test_a_manifest_that_is_too_large(verb: str, lading: Lading, tmp_path: Path) -> None:
    size = SIZE_LIMIT + 1
    large = parse(images.make_index([IMAGE], kind="oci", annotations={"note": "x" * size}).content, limit=2 * size)
    await Layout(tmp_path / "large", create=True).put(large, "1")
    name = f"oci:{tmp_path}/large:1"
    if verb in ("lint", "validate"):
        ran = lading.run(verb, name, check=False)
        code = 1 if verb == "lint" else CONTENT
        assert (ran.returncode, ran.stdout.splitlines()[0].split()[:2]) == (code, ["LAD403", "error"])
        assert f"{name} has {large.size:,} bytes; registries take {SIZE_LIMIT:,}." in ran.stdout
        return
    arguments = {
        "inspect": ("inspect", name),
        "copy": ("copy", name, f"oci:{tmp_path}/new:1"),
        "create": ("manifest", "create", "reg.example/list:1", name),
    }
    fails(lading, *arguments[verb], code=CONTENT, says=["is too large", f"{SIZE_LIMIT} are allowed"])


def a_registry_whose_referrers(refer: Callable[[str], str]) -> Callable[[Request], Reply | None]:
    """A registry with one image, which says of each digest that something refers to it."""

    def script(request: Request) -> Reply | None:
        kind, _, name = request.path.removeprefix("/v2/app/").partition("/")
        if kind == "manifests" and name in ("1", IMAGE.digest):
            return Reply(headers=[("Content-Type", IMAGE.media_type)], body=IMAGE.content)
        if kind == "blobs" and name in IMAGE.blobs:
            return Reply(body=IMAGE.blobs[name])
        if kind == "referrers":
            entry = {**IMAGE.descriptor(), "digest": refer(name)}
            index = {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": [entry]}
            return json_reply(index, headers=[("Content-Type", images.OCI_INDEX)])
        return None

    return script


def test_referrers_that_refer_to_themselves_are_followed_once(lading: Lading, tmp_path: Path) -> None:
    with ScriptedServer(a_registry_whose_referrers(lambda digest: digest)) as server:
        ran = lading.run("copy", "--referrers", f"{server.host}/app:1", f"oci:{tmp_path}/new:1")
        assert ran.stdout.strip().endswith(IMAGE.digest)
        assert sum("/referrers/" in line for line in server.lines) == 1


def test_referrers_of_referrers_have_an_end(lading: Lading, tmp_path: Path) -> None:
    def another(digest: str) -> str:
        return images.digest_of(digest.encode())

    with ScriptedServer(a_registry_whose_referrers(another)) as server:
        name = f"{server.host}/app:1"
        says = ["is nested too deeply", "more than 16 levels"]
        fails(lading, "copy", "--referrers", name, f"oci:{tmp_path}/new:1", code=CONTENT, says=says)
        assert sum("/referrers/" in line for line in server.lines) <= reach.DEPTH + 2
