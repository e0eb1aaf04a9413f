"""Entries of one manifest that are listed for different things, and texts that cannot be kept."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from lading.drafts.create import add, create
from lading.drafts.draft import Draft
from lading.drafts.pull import pull
from lading.drafts.push import push
from lading.drafts.store import DraftStore
from lading.errors import InvalidContent
from lading.model.reference import Reference
from lading.store import Connect
from support.images import Entry, Manifest, make_artifact, make_attestation, make_image, make_index
from support.images import push as put
from support.lading import Lading

IMAGES = [make_image(f"linux/{name}", kind="oci", seed=name) for name in ("amd64", "arm64")]
SHARED = make_attestation(IMAGES[0]).manifest


@pytest.fixture
def name(elsewhere: str, repository: str) -> str:
    return f"{elsewhere}/{repository}"


@pytest.fixture
def index(name: str) -> Callable[..., str]:
    """Puts an index under a tag; gives its reference."""

    def make(tag: str, *entries: Manifest | Entry, **more: Any) -> str:
        host, _, repository = name.partition("/")
        put(host, repository, tag, make_index(entries, kind="oci", **more))
        return f"{name}:{tag}"

    return make


def about(image: Manifest) -> Entry:
    """An attestation whose bytes are the same for every image."""
    return dataclasses.replace(make_attestation(image), manifest=SHARED)


async def test_attestations_of_equal_bytes_are_entries_each(
    store: DraftStore, connect: Connect, name: str, index: Callable[..., str]
) -> None:
    lists = [index(image.document["config"]["digest"][7:19], image, about(image)) for image in IMAGES]
    made = await create(connect, store, f"{name}:list", lists)
    assert [change.kind for change in made.changes] == ["added"] * 4
    for again in (create(connect, store, f"{name}:list", [], amend=True), add(connect, store, f"{name}:list", lists)):
        done = await again
        assert ([change.kind for change in done.changes], done.draft.entries) == (["kept"] * 4, made.draft.entries)
    assert store.load(Reference.parse(f"{name}:list")).entries == made.draft.entries
    pushed = (await push(connect, store, f"{name}:list")).index
    digests = [IMAGES[0].digest, SHARED.digest, IMAGES[1].digest, SHARED.digest]
    assert [entry.digest for entry in pushed.manifests] == digests
    assert [entry.annotations["vnd.docker.reference.digest"] for entry in pushed.attestations] == [
        image.digest for image in IMAGES
    ]


async def test_an_image_is_an_entry_for_each_platform_that_lists_have_it_for(
    store: DraftStore, connect: Connect, name: str, index: Callable[..., str]
) -> None:
    v7 = {"os": "linux", "architecture": "arm", "variant": "v7"}
    sources = [
        index("plain", IMAGES[0]),
        index("noted", Entry(IMAGES[0], annotations={"note": "again"})),
        index("v7", Entry(IMAGES[0], v7)),
        index("named", Entry(make_artifact(), annotations={"name": "one"})),
        index("other", Entry(make_artifact(), annotations={"name": "other"})),
    ]
    made = await create(connect, store, f"{name}:list", sources)
    assert [str(entry.platform) for entry in made.draft.entries] == ["linux/amd64", "linux/arm/v7", "None", "None"]
    assert [change.kind for change in made.changes] == ["added", "kept", "added", "added", "added"]
    assert store.load(Reference.parse(f"{name}:list")).entries == made.draft.entries


HALF = {"note": "\ud800"}
ODD = make_image("linux/arm64", kind="oci", annotations=HALF)


def odd(name: str, index: Callable[..., str]) -> dict[str, str]:
    host, _, repository = name.partition("/")
    put(host, repository, "manifest", ODD)
    return {
        "of an entry": index("entry", Entry(IMAGES[1], annotations=HALF)),
        "of a manifest": f"{name}:manifest",
        "of a manifest in a list": index("list", ODD),
        "platform": index("platform", Entry(IMAGES[0], {"os": "linux", "architecture": "\udfff"})),
        "of the list": index("index", IMAGES[0], annotations=HALF),
    }


PLACES = ["of an entry", "of a manifest", "of a manifest in a list", "platform"]


@pytest.mark.parametrize("way", ["create", "amend", "replace"])
@pytest.mark.parametrize("where", PLACES)
async def test_half_of_a_character_is_refused_and_nothing_is_written(
    where: str, way: str, store: DraftStore, connect: Connect, name: str, index: Callable[..., str]
) -> None:
    source, target = odd(name, index)[where], f"{name}:made"
    before: list[Draft] = []
    if way != "create":
        good = index("good", IMAGES[0])
        before.append((await create(connect, store, target, [good])).draft)
    with pytest.raises(InvalidContent, match="has a text that cannot be kept") as raised:
        await create(connect, store, target, [source], amend=way == "amend", replace=way == "replace")
    assert (raised.value.code, raised.value.exit_code) == ("not-unicode", 7)
    assert list(store.list()) == before
    assert not any(path.name in ("new", "staged") for path in store.root.rglob("*"))


@pytest.mark.parametrize("where", ["of an entry", "of the list"])
async def test_a_list_that_says_half_of_a_character_is_not_pulled(
    where: str, store: DraftStore, connect: Connect, name: str, index: Callable[..., str]
) -> None:
    with pytest.raises(InvalidContent, match="has a text that cannot be kept"):
        await pull(connect, store, odd(name, index)[where], f"{name}:made")
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "{list}x", "{image}", "--annotation", "a=\udcff"),
        ("annotate", "{list}", "{image}", "--annotation", "\udcff=a"),
        ("annotate", "{list}", "{image}", "--arch", "\udcff"),
        ("annotate", "{list}", "--index-annotation", "a=\udcff"),
    ],
)
def test_what_is_typed_and_is_no_text(
    arguments: tuple[str, ...], name: str, lading: Lading, index: Callable[..., str]
) -> None:
    image = index("1", IMAGES[0])
    lading.run("manifest", "create", f"{name}:list", image)
    before = lading.run("manifest", "ls", "--format", "json").stdout
    ran = lading.run("manifest", *(text.format(list=f"{name}:list", image=image) for text in arguments), check=False)
    assert (ran.returncode, "is not UTF-8" in ran.stderr) == (2, True)
    assert lading.run("manifest", "ls", "--format", "json").stdout == before
