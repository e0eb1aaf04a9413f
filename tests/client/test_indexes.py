"""`client.indexes` and indexes as values, from code: on registries and layouts, one after another and at once."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import AsyncClient, Client, Conflict, Index, IndexSource, NotFound, Unreachable, UsageError
from lading.images.indexes.editing import extended, filtered, without
from lading.images.indexes.entries import GivenEntry
from lading.model.descriptor import Descriptor
from lading.model.manifest import parse
from lading.model.platform import Platform
from lading.stores.homes import Homes
from lading.stores.memory import Memory
from support.images import OCI_INDEX, OCI_MANIFEST, make_attestation, make_image, make_index, push
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64", "s390x", "ppc64le")
IMAGES = [make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ARCHITECTURES]
INDEX = make_index([*IMAGES[:2], make_attestation(IMAGES[0])], kind="oci")


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    """A repository with an index and images for each architecture."""
    push(registry.host, repository, "index", INDEX)
    for arch, image in zip(ARCHITECTURES, IMAGES, strict=True):
        push(registry.host, repository, arch, image)
    return f"{registry.host}/{repository}"


async def platforms(client: AsyncClient, reference: str) -> list[str]:
    return [str(entry.platform) for entry in (await client.indexes.entries(reference)).entries]


async def test_an_index_is_a_value_that_is_written_once(client: AsyncClient, name: str, tmp_path: Path) -> None:
    async with client.images.open_index(f"{name}:index") as index, client.images.open(f"{name}:s390x") as s390x:
        less = index.filter(attestations=False).remove("linux/arm64")
        more = await less.add(s390x)
        assert [str(platform) for platform in more.platforms] == ["linux/amd64", "linux/s390x"]
        assert (await (await more.image("linux/s390x")).config()).platform.architecture == "s390x"
        assert index.digest == INDEX.digest
        labelled = more.with_label("a", "b")
        report = await client.images.push(more, f"oci:{tmp_path}/layout:more", f"{name}:more")
        await client.images.push(labelled, f"{name}:labelled")
    assert report.images[0].digest == more.digest
    assert await platforms(client, f"{name}:more") == ["linux/amd64", "linux/s390x"]
    assert await platforms(client, f"oci:{tmp_path}/layout:more") == ["linux/amd64", "linux/s390x"]
    for platform in ("linux/amd64", "linux/s390x"):
        assert (await client.config(f"{name}:labelled", platform=platform)).config["Labels"]["a"] == "b"


async def test_two_images_for_one_platform_are_added_only_where_that_is_allowed(
    client: AsyncClient, registry: RealRegistry, repository: str, name: str
) -> None:
    push(registry.host, repository, "twin", make_image("linux/amd64", kind="oci", seed="twin"))
    async with client.images.open_index(f"{name}:index") as index, client.images.open(f"{name}:twin") as twin:
        with pytest.raises(Conflict, match="two images for linux/amd64"):
            await index.add(twin)
        assert len((await index.add(twin, allow_duplicate_platforms=True)).platforms) == 3
        replaced = await index.add(twin, replace=True)
    assert [entry.digest for entry in replaced.index.manifests] == [twin.digest, IMAGES[1].digest]


async def test_what_is_not_applied_is_not_added(client: AsyncClient, name: str) -> None:
    async with client.images.open_index(f"{name}:index") as index, client.images.open(f"{name}:s390x") as image:
        with pytest.raises(UsageError, match="edits that are not applied"):
            await index.add(image.with_label("a", "b"))


def test_the_synchronous_face(registry: RealRegistry, name: str) -> None:
    with Client() as client:
        with client.images.open_index(f"{name}:index") as index, client.images.open(f"{name}:ppc64le") as image:
            new = index.filter("linux/amd64").add(image).remove("@0")
            client.images.push(new.edited(), f"{name}:sync")
        made = client.indexes.create(f"{name}:made", [f"{name}:amd64", IndexSource(f"{name}:arm64", "linux/arm64/v9")])
        assert [str(change) for change in made.changes] == [
            f"linux/amd64 added: {IMAGES[0].digest[7:19]}",
            f"linux/arm64/v9 added: {IMAGES[1].digest[7:19]}",
        ]
        assert repr(made) == f"<IndexReport {made.digest.short} 2 changes>"
        listing = client.indexes.entries(f"{name}:sync")
        assert [str(entry.platform) for entry in listing.entries] == ["linux/ppc64le"]
        assert client.indexes.remove(f"{name}:made", "@0", dry_run=True).dry_run
        assert client.digest(f"{name}:made") == made.digest


@pytest.mark.parametrize("kind", ["registry", "layout"])
async def test_writers_at_once_lose_nothing(client: AsyncClient, name: str, tmp_path: Path, kind: str) -> None:
    """Each either adds its image or is told that another was faster; what one has added stays."""
    place = name if kind == "registry" else f"oci:{tmp_path}/layout"
    await client.indexes.create(f"{place}:all", f"{name}:amd64")

    async def add(arch: str) -> int:
        for tries in range(1, 20):
            try:
                await client.indexes.add(f"{place}:all", f"{name}:{arch}")
            except Conflict:
                continue
            return tries
        raise AssertionError

    await asyncio.gather(*map(add, ARCHITECTURES[1:]))
    listed = await platforms(client, f"{place}:all")
    if kind == "layout":  # which looks and changes in one step
        assert sorted(listed) == sorted(f"linux/{arch}" for arch in ARCHITECTURES)
    assert len(listed) == len(set(listed)) > 1


async def test_a_digest_that_is_not_that_of_the_index_is_refused(client: AsyncClient, name: str) -> None:
    """imagetools pushes to the tag then, and says nothing."""
    with pytest.raises(Conflict, match="cannot be what is copied"):
        await client.indexes.create(f"{name}:new@{INDEX.digest}", [f"{name}:amd64"])
    with pytest.raises(NotFound):
        await client.digest(f"{name}:new")


async def test_only_what_is_not_there_is_left_out(client: AsyncClient, name: str) -> None:
    """manifest-tool takes any failure for a source that is not there."""
    with pytest.raises(Unreachable):
        await client.indexes.create(f"{name}:new", [f"{name}:amd64", "localhost:1/app:1"], ignore_missing=True)


async def test_the_subject_is_in_the_repository_of_the_index(client: AsyncClient, name: str) -> None:
    await client.indexes.create(f"{name}:set", f"{name}:amd64", subject=f"@{IMAGES[1].digest}")
    found = await client.get_index(f"{name}:set")
    assert found.subject is not None
    assert (found.subject.digest, found.subject.size) == (IMAGES[1].digest, IMAGES[1].size)
    with pytest.raises(UsageError, match="is not in"):
        await client.indexes.create(f"{name}:set", f"{name}:amd64", subject=f"{name}-other:1")
    with pytest.raises(NotFound):
        await client.indexes.create(f"{name}:set", f"{name}:amd64", subject="nothing")


@pytest.mark.parametrize(
    "call",
    [
        lambda indexes, name: indexes.create(f"{name}:a", []),
        lambda indexes, name: indexes.create([], f"{name}:amd64"),
        lambda indexes, name: indexes.add(f"{name}:index", []),
        lambda indexes, name: indexes.remove(f"{name}:index"),
        lambda indexes, name: indexes.filter(f"{name}:index", "linux/amd64"),
        lambda indexes, name: indexes.filter(f"{name}:index", targets=f"{name}:a"),
        lambda indexes, name: indexes.filter(f"{name}:index", "linux/amd64", targets=f"{name}:a", in_place=True),
        lambda indexes, name: indexes.annotate(f"{name}:index", variant="v8"),
        lambda indexes, name: indexes.annotate(f"{name}:index", "@0", clear="nothing"),
        lambda indexes, name: indexes.create(f"{name}:a", IndexSource(f"{name}:index", "linux/arm")),
        lambda indexes, name: indexes.create(
            f"{name}:index", f"{name}:s390x", append=True, manifest_annotations={"": {"a": "b"}}
        ),
    ],
)
async def test_what_does_not_go_together_is_refused(
    client: AsyncClient, name: str, call: Callable[[Any, str], Any]
) -> None:
    with pytest.raises(UsageError):
        await call(client.indexes, name)


async def test_what_is_known_of_several_stores(client: AsyncClient) -> None:
    one, homes = Memory("one"), Homes("all")
    content = Descriptor.of(b"{}", "application/octet-stream")
    with pytest.raises(NotFound):
        await homes.resolve("latest")
    with pytest.raises(NotFound):
        async with homes.open(content):
            pass
    assert [tag async for tag in homes.tags()] == []
    assert [found async for found in homes.referrers(content)] == []
    homes.add(content, one)
    assert (homes.home_of(content), await homes.contains(content)) == (one, True)
    assert await homes.resolve(content.digest) == content


# Properties

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
DIGESTS = st.integers(0, 2**32).map(lambda number: f"sha256:{number:064x}")
UNKNOWN = st.dictionaries(TEXT.map("x-{}".format), JSON, max_size=2)
ENTRIES = st.builds(
    lambda digest, arch, unknown, order: dict(
        order.permutation(
            [
                ("mediaType", OCI_MANIFEST),
                ("digest", digest),
                ("size", 1),
                ("platform", {"architecture": arch, "os": "linux"}),
                *unknown.items(),
            ]
        )
    ),
    DIGESTS,
    st.sampled_from(ARCHITECTURES),
    UNKNOWN,
    st.builds(lambda seed: Order(seed), st.integers()),
)


class Order:
    def __init__(self, seed: int) -> None:
        import random

        self._random = random.Random(seed)

    def permutation(self, items: list[Any]) -> list[Any]:
        return self._random.sample(items, len(items))


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    entries = draw(st.lists(ENTRIES, min_size=1, max_size=6, unique_by=lambda entry: entry["digest"]))
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, **draw(UNKNOWN), "manifests": entries, **draw(UNKNOWN)}
    indent = draw(st.sampled_from([None, 2, 3]))
    raw = json.dumps(
        document, ensure_ascii=draw(st.booleans()), indent=indent, separators=None if indent else (",", ":")
    )
    found = parse(raw.encode(), OCI_INDEX)
    assert isinstance(found, Index)
    return found


@given(indexes(), st.data())
def test_what_is_left_is_spelled_as_it_was(index: Index, data: st.DataObject) -> None:
    documents = index.document["manifests"]
    gone = data.draw(st.integers(0, len(documents) - 1))
    if len(documents) == 1:
        with pytest.raises(Conflict):
            without(index, [f"@{gone}"], what="it")
        return
    left, changes = without(index, [f"@{gone}"], what="it")
    assert [change.digest for change in changes] == [documents[gone]["digest"]]
    kept = [document for at, document in enumerate(documents) if at != gone]
    assert list(map(list, left.document["manifests"])) == list(map(list, kept))
    assert left.document == {**index.document, "manifests": kept}
    assert list(left.document) == list(index.document)
    entry = GivenEntry(descriptor=index.manifests[gone], document=documents[gone])
    back, _ = extended(left, [entry], allow_duplicates=True, what="it")
    assert back.document["manifests"] == [*kept, documents[gone]]


@given(indexes(), st.sets(st.sampled_from(ARCHITECTURES), min_size=1))
def test_a_filter_keeps_what_is_for_its_platforms(index: Index, wanted: set[str]) -> None:
    there = {entry.platform.architecture for entry in index.manifests if entry.platform}
    chosen = [Platform(os="linux", architecture=arch) for arch in sorted(wanted)]
    if not wanted <= there:
        with pytest.raises(NotFound):
            filtered(index, chosen, what="it")
        return
    left, changes = filtered(index, chosen, what="it")
    assert {entry.platform.architecture for entry in left.manifests if entry.platform} == wanted
    assert len(left.manifests) + len(changes) == len(index.manifests)
    again, nothing = filtered(left, chosen, what="it")
    assert (again, nothing) == (left, [])
    if wanted == there:
        assert left is index
