"""Several tags, names and targets of which one cannot be copied: it is named, and the others come where they may."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from cli.failing import CONFLICT, CONTENT, NOT_FOUND, fails
from lading.client import AsyncClient
from lading.errors import NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.store import from_bytes
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from support import images
from support.http import Reply
from support.lading import Lading
from support.proxy import CountingProxy, when

IMAGES = {name: images.make_image("linux/amd64", kind="oci", seed=name) for name in ("one", "two", "three")}


@pytest.fixture
def source(elsewhere: str, repository: str) -> Iterator[tuple[CountingProxy, str]]:
    """A repository with three tags behind a proxy, of which `two` is listed and names nothing."""
    for tag, image in IMAGES.items():
        images.push(elsewhere, repository, tag, image)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        missing = Reply(status=404, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        proxy.intercept = when(missing, path="/manifests/two$")
        yield proxy, f"{proxy.host}/{repository}"


def test_a_dangling_tag_is_named(source: tuple[CountingProxy, str], lading: Lading, tmp_path: Path) -> None:
    name = source[1]
    says = [f"{name}:two is listed, and there is nothing that it names", "--keep-going"]
    fails(lading, "copy", "--all-tags", name, f"oci:{tmp_path}/new", code=NOT_FOUND, says=says)


def test_the_others_come_with_keep_going(source: tuple[CountingProxy, str], lading: Lading, tmp_path: Path) -> None:
    name = source[1]
    ran = lading.run("copy", "--all-tags", "--keep-going", name, f"oci:{tmp_path}/new", check=False)
    assert ran.returncode == 1
    assert ran.stderr.count("error: ") == 1
    assert f"error: {name}:two is listed, and there is nothing that it names" in ran.stderr
    assert [line.rpartition("@")[0].rpartition(":")[2] for line in ran.stdout.splitlines()] == ["one", "three"]
    report = json.loads(
        lading.run(
            "copy", "--all-tags", "--keep-going", name, f"oci:{tmp_path}/new", "--format", "json", check=False
        ).stdout
    )
    assert [image["source"] for image in report["images"]] == [f"{name}:one", f"{name}:three"]
    assert [(item["reference"], item["code"]) for item in report["failed"]] == [(f"{name}:two", "tag-dangling")]


async def test_and_from_code(source: tuple[CountingProxy, str], client: AsyncClient) -> None:
    name, target = source[1], Memory("memory")
    report = await client.copy(name, target, all_tags=True, keep_going=True)
    assert [failure.reference for failure in report.failed] == [f"{name}:two"]
    assert sorted([tag async for tag in target.tags()]) == ["one", "three"]
    with pytest.raises(NotFound) as raised:
        await client.copy(name, Memory("memory"), all_tags=True)
    assert (raised.value.code, raised.value.fields["source"]) == ("tag-dangling", f"{name}:two")


@pytest.mark.parametrize("broken", ["blob", "manifest", "unknown"])
def test_what_a_tag_leads_to_is_missing(
    broken: str, source: tuple[CountingProxy, str], lading: Lading, tmp_path: Path
) -> None:
    proxy, name = source
    layer = IMAGES["two"].document["layers"][0]["digest"]
    what, answer = {
        "blob": (f"/blobs/{layer}", Reply(status=404)),
        "manifest": (f"/manifests/{IMAGES['two'].digest}", Reply(status=404)),
        "unknown": ("/manifests/two$", Reply(headers=[("Content-Type", "application/xml")], body=b"<a/>")),
    }[broken]
    proxy.intercept = when(answer, path=what)
    code = CONTENT if broken == "unknown" else NOT_FOUND
    fails(lading, "copy", "--all-tags", name, f"oci:{tmp_path}/new", code=code, says=[f"{name}:two"])
    ran = lading.run("copy", "--all-tags", "--keep-going", name, f"oci:{tmp_path}/new", check=False)
    assert (ran.returncode, ran.stdout.count("@sha256:")) == (1, 2)
    assert f"error: {name}:two" in ran.stderr


@pytest.mark.parametrize("kind", ["oci:{place}", "{name}-copy", "docker-archive:{place}:reg.example/app"])
def test_names_that_are_no_tags_are_skipped_and_said(
    kind: str, source: tuple[CountingProxy, str], lading: Lading, tmp_path: Path
) -> None:
    proxy, name = source
    odd = ["a b", "x/y", "app:v1", f"sha256:{'0' * 64}", "-dash", "", f"app@{IMAGES['one'].digest}", "\ud800", "é"]
    listed = json.dumps({"name": "x", "tags": [*odd, "one"]}).encode()
    proxy.intercept = when(Reply(headers=[("Content-Type", "application/json")], body=listed), path="/tags/list$")
    target = kind.format(place=tmp_path / "new", name=name)
    ran = lading.run("copy", "--all-tags", name, target)
    assert ran.stderr.count("stayed behind: its name has no tag") == len(odd)
    assert len(ran.stdout.splitlines()) == 1
    asked = {exchange.path.rpartition("/")[2] for exchange in proxy.exchanges if "/manifests/" in exchange.path}
    assert not asked & {quote(item, "/:@") for item in odd if item != "\ud800"}
    nothing = Reply(headers=[("Content-Type", "application/json")], body=b'{"tags":["a b"]}')
    proxy.intercept = when(nothing, path="/tags/list$")
    fails(lading, "copy", "--all-tags", name, target, code=NOT_FOUND, says=["has no tags"])


def test_one_of_several_targets(
    source: tuple[CountingProxy, str], elsewhere: str, lading: Lading, tmp_path: Path
) -> None:
    proxy, name = source
    proxy.intercept = when(Reply(status=403), method="PUT", path="refused")
    targets = [f"oci:{tmp_path}/new:1", f"{name}-refused:1", f"{name}-other:1"]
    assert lading.run("copy", f"{name}:one", *targets, check=False).returncode == 4
    ran = lading.run("copy", "--keep-going", f"{name}:one", *targets, "--format", "json", check=False)
    assert ran.returncode == 1
    report = json.loads(ran.stdout)
    assert {tag["reference"] for image in report["images"] for tag in image["targets"]} == {targets[0], targets[2]}
    assert [item["reference"] for item in report["failed"]] == [targets[1]]


def test_one_of_several_names(source: tuple[CountingProxy, str], lading: Lading) -> None:
    proxy, name = source
    refusal = Reply(status=409, body=b'{"errors":[{"code":"CONFLICT","message":"immutable"}]}')
    proxy.intercept = when(refusal, method="PUT", path="/manifests/fixed$")
    arguments = ("copy", "--keep-going", f"{name}:one", f"{name}-new:1", "-t", "fixed", "-t", "free")
    ran = lading.run(*arguments, "--format", "json", check=False)
    assert ran.returncode == 1
    report = json.loads(ran.stdout)
    names = {tag["reference"].rpartition(":")[2] for image in report["images"] for tag in image["targets"]}
    assert names == {"1", "free"}
    assert [item["reference"] for item in report["failed"]] == [f"{name}-new:fixed"]


def test_where_nothing_comes_the_exit_code_is_that_of_the_error(
    source: tuple[CountingProxy, str], lading: Lading, tmp_path: Path
) -> None:
    name = source[1]
    targets = [f"oci:{tmp_path}/{number}:1" for number in range(2)]
    fails(lading, "copy", "--keep-going", f"{name}:two", *targets, code=NOT_FOUND, says=["was not found"])
    says = [f"{name}:one was not changed"]
    arguments = ("--keep-going", "--if-digest", "absent")
    fails(lading, "copy", f"{name}:three", f"{name}:one", *arguments, code=CONFLICT, says=says)


@pytest.fixture
async def mixed(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Makes a layout with two images, and something else that has a name."""
    layout = Layout(tmp_path / "mixed", create=True)
    async with AsyncClient() as client:
        for tag in ("one", "two"):
            await client.copy(await _stored(IMAGES[tag]), f"oci:{tmp_path}/mixed:{tag}")

    def make(media_type: str, content: bytes) -> str:
        file = layout.path / "blobs" / "sha256" / images.digest_of(content).partition(":")[2]
        file.write_bytes(content)
        index = json.loads((layout.path / "index.json").read_text())
        entry = images.make_descriptor(content, media_type, "oci")
        index["manifests"].append(entry | {"annotations": {"org.opencontainers.image.ref.name": "doc"}})
        (layout.path / "index.json").write_text(json.dumps(index))
        return f"oci:{layout.path}"

    return make


async def _stored(image: images.Manifest) -> Memory:
    store = Memory("memory")
    for digest, blob in image.blobs.items():
        await store.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
    await store.put(parse(image.content), "1")
    return store


@pytest.mark.parametrize(
    "media_type, content",
    [
        ("application/xml", b"<a/>"),
        ("application/json", b'{"a":1}'),
        ("application/vnd.oci.image.layer.v1.tar+gzip", b"\x1f\x8b"),
        ("application/octet-stream", b"x" * 5_000_000),
    ],
)
def test_what_is_no_manifest_stays_behind_and_is_said(
    media_type: str, content: bytes, mixed: Callable[[str, bytes], str], elsewhere: str, repository: str, lading: Lading
) -> None:
    place, target = mixed(media_type, content), f"{elsewhere}/{repository}"
    for arguments in (("push", place, target), ("copy", "--all-tags", place, target)):
        ran = lading.run(*arguments)
        assert [line.rpartition("@")[0] for line in ran.stdout.splitlines()] == [f"{target}:one", f"{target}:two"]
        assert f"{place}:doc stayed behind: it is no manifest, but {media_type}" in ran.stderr
    fails(lading, "push", f"{place}:doc", target, code=CONTENT, says=["is no manifest", media_type])
    fails(lading, "inspect", f"{place}:doc", code=CONTENT, says=["is no manifest", media_type])
    assert lading.run("digest", f"{place}:doc").stdout.strip() == images.digest_of(content)
    shown = lading.run("tags", "--digests", place).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["one", "two", "doc"]
    lading.run("delete", "--yes", f"{place}:one", f"{place}:two")
    fails(lading, "push", place, target, code=NOT_FOUND, says=["has nothing to copy", "is no manifest"])


def test_tags_that_name_nothing_are_listed(source: tuple[CountingProxy, str], lading: Lading) -> None:
    name = source[1]
    ran = lading.run("tags", "--digests", name)
    listed = {line.split()[0]: line.split()[1] for line in ran.stdout.splitlines()[1:]}
    assert ({*listed}, listed["two"]) == ({*IMAGES}, "-")
    document = json.loads(lading.run("tags", "--digests", name, "--format", "json").stdout)
    found = {item["tag"]: item["digest"] for item in document["tags"]}
    assert found == {tag: image.digest if tag != "two" else None for tag, image in IMAGES.items()}
    points = lading.run("tags", "--points-at", "one", name, check=False)
    assert points.stdout.split() == ["one"]


def test_names_that_are_no_tags_are_listed(source: tuple[CountingProxy, str], lading: Lading) -> None:
    proxy, name = source
    odd = ["a b", "app:v1", f"sha256:{'0' * 64}", "\ud800"]
    listed = json.dumps({"name": "x", "tags": [*odd, "one"]}).encode()
    proxy.intercept = when(Reply(headers=[("Content-Type", "application/json")], body=listed), path="/tags/list$")
    ran = lading.run("tags", "--digests", name, "--format", "json", check=False)
    assert ran.returncode == 1
    found = {item["tag"]: item["digest"] for item in json.loads(ran.stdout)["tags"]}
    assert found == {**dict.fromkeys(odd), "one": IMAGES["one"].digest}
    assert proxy.count(path="/manifests/") == 1
    assert lading.run("delete", "--dry-run", f"{name}:one").returncode == 0


async def test_a_layout_with_a_damaged_file_lists_the_others(tmp_path: Path, lading: Lading) -> None:
    place = f"oci:{tmp_path}/layout"
    async with AsyncClient() as client:
        for tag, image in IMAGES.items():
            await client.copy(await _stored(image), f"{place}:{tag}")
    (tmp_path / "layout" / "blobs" / "sha256" / IMAGES["two"].digest.partition(":")[2]).write_bytes(b"{")
    ran = lading.run("tags", "--digests", place, check=False)
    assert (ran.returncode, [line.split()[0] for line in ran.stdout.splitlines()[1:]]) == (1, list(IMAGES))
    assert "warning: what two names cannot be told" in ran.stderr
    new = f"oci:{tmp_path}/new"
    ran = lading.run("copy", "--all-tags", "--keep-going", place, new, check=False)
    assert (ran.returncode, {*lading.run("tags", new).stdout.split()}) == (1, {"one", "three"})
    assert f"{place}:two" in ran.stderr


def test_of_several_deletions_what_can_go_goes(source: tuple[CountingProxy, str], lading: Lading) -> None:
    proxy, name = source
    names = [f"{name}:{tag}" for tag in IMAGES]
    fails(lading, "delete", "--yes", *names, code=NOT_FOUND, says=[f"{name}:two was not found"])
    ran = lading.run("delete", "--yes", "--keep-going", *names, "--format", "json", check=False)
    assert ran.returncode == 1
    document = json.loads(ran.stdout)
    assert [item["reference"] for item in document["deleted"]] == [names[0], names[2]]
    assert [(item["reference"], item["code"]) for item in document["failed"]] == [(names[1], "manifest-not-found")]
    proxy.intercept = None
    assert lading.run("tags", name).stdout.split() == ["two"]
    fails(lading, "delete", "--yes", "--keep-going", f"{name}:none", code=NOT_FOUND, says=[f"{name}:none"])


def test_what_is_gone_is_told_where_a_deletion_breaks_off(source: tuple[CountingProxy, str], lading: Lading) -> None:
    proxy, name = source
    proxy.intercept = when(Reply(status=403), method="DELETE", path=IMAGES["two"].digest)
    names = [f"{name}:{tag}" for tag in IMAGES]
    ran = lading.run("delete", "--yes", *names, check=False)
    assert ran.returncode == 4
    assert ran.stdout.splitlines()[0] == f"deleted {name}@{IMAGES['one'].digest}"
    assert ran.stdout.count("deleted") == 1
    ran = lading.run("delete", "--yes", "--keep-going", *names[1:], check=False)
    assert (ran.returncode, ran.stdout.count("deleted"), ran.stderr.count("error: ")) == (1, 1, 1)


@pytest.mark.parametrize("verb", ["tag", "manifest push", "copy"])
def test_of_several_tags_those_that_can_be_set_are(
    verb: str, source: tuple[CountingProxy, str], lading: Lading
) -> None:
    proxy, name = source
    refusal = Reply(status=409, body=b'{"errors":[{"code":"CONFLICT","message":"immutable"}]}')
    proxy.intercept = when(refusal, method="PUT", path="/manifests/fixed$")
    lading.run("manifest", "create", f"{name}:list", f"{name}:one")
    arguments = {
        "tag": ("tag", f"{name}:one", "first", "fixed", "last"),
        "manifest push": ("manifest", "push", f"{name}:list", "-t", "first", "-t", "fixed", "-t", "last"),
        "copy": ("copy", f"{name}:one", f"{name}:new", "-t", "first", "-t", "fixed", "-t", "last"),
    }
    ran = lading.run(*arguments[verb], check=False)
    assert ran.returncode == CONFLICT
    assert f"{name}:fixed" in ran.stderr
    assert "set: first, last; not set: fixed" in ran.stderr
    assert {"first", "last"} <= set(lading.run("tags", name).stdout.split())
