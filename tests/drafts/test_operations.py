"""What is done with drafts and registries together, against a real registry."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from drafts.entries import tags_of
from lading.drafts.annotate import annotate
from lading.drafts.create import add, create
from lading.drafts.draft import Draft
from lading.drafts.inspect import inspect
from lading.drafts.pull import pull
from lading.drafts.push import push
from lading.drafts.remove import remove
from lading.drafts.status import DraftStatus, prune, status
from lading.drafts.store import DraftStore
from lading.errors import Conflict, InvalidContent, LadingError, NotFound, UsageError
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.hosts.configuration import Config
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Connect, Store, fetch_manifest
from lading.transfer.events import Event, Started, Totals
from support.images import (
    Entry,
    RegistryClient,
    get_manifest,
    list_tags,
    make_artifact,
    make_attestation,
    make_image,
    make_index,
)
from support.images import Manifest as Built
from support.images import push as put
from support.proxy import CountingProxy
from support.registry import RealRegistry

Put = Callable[..., str]


@pytest.fixture
def image(registry: RealRegistry, repository: str) -> Put:
    """Puts an image into the test's repository: tag, platform, and what `make_image` takes. Returns its digest."""

    def put_image(tag: str, platform: str = "linux/amd64", **options: object) -> str:
        return put(registry.host, repository, tag, make_image(platform, **options))  # type: ignore[arg-type]

    return put_image


def load(store: DraftStore, name: str) -> Draft:
    return store.load(Reference.parse(name))


# create


async def test_create_resolves_everything_before_it_writes(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a")
    with pytest.raises(NotFound, match=f"{name}:missing"):
        await create(connect, store, f"{name}:list", [f"{name}:a", f"{name}:missing"])
    assert not store.root.exists()


async def test_an_existing_list_is_refused_before_anything_is_sent(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a")
    await create(connect, store, f"{name}:list", [f"{name}:a"])

    def nowhere(_: Reference, /, *, writing: bool = False) -> Store:
        raise AssertionError("a registry was asked")

    with pytest.raises(Conflict, match="already") as refused:
        await create(nowhere, store, f"{name}:list", [f"{name}:a"])
    assert (refused.value.code, refused.value.fields) == ("draft-exists", {"draft": f"{name}:list", "amend": True})
    with pytest.raises(UsageError, match="not both"):
        await create(nowhere, store, f"{name}:list", [], amend=True, replace=True)
    with pytest.raises(UsageError, match="no image"):
        await create(nowhere, store, f"{name}:other", [])


async def test_replace_starts_over(store: DraftStore, connect: Connect, name: str, image: Put) -> None:
    image("a"), image("b")
    await create(connect, store, f"{name}:list", [f"{name}:a"], annotations={"x": "y"})
    await create(connect, store, f"{name}:list", [f"{name}:b"], replace=True)
    assert (tags_of(load(store, f"{name}:list")), load(store, f"{name}:list").annotations) == (["b"], {})


async def test_one_entry_for_each_reference(store: DraftStore, connect: Connect, name: str, image: Put) -> None:
    image("a"), image("b", seed="")
    sources = [f"{name}:b", f"{name}:a", f"{name}:b"]
    assert tags_of((await create(connect, store, f"{name}:list", sources)).draft) == ["b", "a"]


async def test_a_digest_beside_a_tag_is_what_counts(store: DraftStore, connect: Connect, name: str, image: Put) -> None:
    old = image("a", seed="old")
    new = image("a", seed="new")
    made = await create(connect, store, f"{name}:list", [f"{name}:a@{old}"])
    assert old != new
    assert [(str(entry.reference), entry.digest) for entry in made.draft.entries] == [(f"{name}:a@{old}", old)]


async def test_amend_looks_up_tags_again_and_says_what_changed(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    old, fixed = image("a", seed="old"), image("fixed")
    image("b", "linux/arm64/v8"), image("c", "linux/s390x")
    target = f"{name}:list"
    await create(connect, store, target, [f"{name}:b", f"{name}:a", f"{name}@{fixed}"], annotations={"team": "web"})
    annotate(store, target, f"{name}:a", variant="v3", annotations={"mine": "yes"})
    new = image("a", seed="new")
    image("fixed", seed="moved")
    made = await create(connect, store, target, [f"{name}:c"], amend=True)
    assert {str(change) for change in made.changes} == {
        f"{name}:b kept",
        f"{name}:a moved from {Digest(old).short} to {Digest(new).short}",
        f"{name}:c added ({made.draft.entries[3].digest.short})",
    }
    draft = load(store, target)
    assert [str(entry.reference) for entry in draft.entries] == [
        f"{name}:b",
        f"{name}:a",
        f"{name}@{fixed}",
        f"{name}:c",
    ]
    assert (draft.entries[1].digest, str(draft.entries[1].platform)) == (new, "linux/amd64/v3")
    assert draft.entries[1].descriptor.annotations == {"mine": "yes"}
    assert draft.annotations == {"team": "web"}
    assert load(store, target) == made.draft


async def test_an_override_that_changed_nothing_is_remembered_too(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a", "linux/arm64/v8")
    await create(connect, store, f"{name}:list", [f"{name}:a"])
    annotate(store, f"{name}:list", "a", variant="v8")
    image("a", "linux/arm64")
    made = await create(connect, store, f"{name}:list", [], amend=True)
    assert str(made.draft.entries[0].platform) == "linux/arm64/v8"


async def test_amend_keeps_what_can_no_longer_be_found(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str, image: Put
) -> None:
    digest = image("a")
    image("b", seed="b")
    await create(connect, store, f"{name}:list", [f"{name}:a"])
    with RegistryClient(registry.host, repository) as client:
        client.delete(digest)
    made = await create(connect, store, f"{name}:list", [f"{name}:b"], amend=True)
    assert tags_of(made.draft) == ["a", "b"]
    assert made.warnings == (f"{name}:a is no longer there: its entry stays at {Digest(digest).short}",)
    with pytest.raises(NotFound):
        await create(connect, store, f"{name}:list", [f"{name}:a"], amend=True)


async def test_what_is_removed_meanwhile_stays_removed(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a"), image("b", seed="b"), image("c", seed="c")
    await create(connect, store, f"{name}:list", [f"{name}:a", f"{name}:b"])

    def slowly(reference: Reference, /, *, writing: bool = False) -> Store:
        if store.load(Reference.parse(f"{name}:list")).entries[1:]:
            remove(store, f"{name}:list", ["a"])
        return connect(reference)

    await create(slowly, store, f"{name}:list", [f"{name}:c"], amend=True)
    assert tags_of(load(store, f"{name}:list")) == ["b", "c"]


async def test_amend_makes_a_list_where_there_is_none(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a")
    assert tags_of((await create(connect, store, f"{name}:list", [f"{name}:a"], amend=True)).draft) == ["a"]


@pytest.fixture
def built(registry: RealRegistry, repository: str) -> Callable[[str], list[str]]:
    """Puts an index as buildx makes it at the tag `index`: two images with attestations, one image nested."""

    def build(seed: str) -> list[str]:
        amd, arm = make_image("linux/amd64", kind="oci", seed=seed), make_image("linux/arm64", kind="oci", seed=seed)
        nested = make_index([make_image("linux/s390x", kind="oci", seed=seed)], kind="oci")
        entries: list[Built | Entry] = [
            amd,
            arm,
            make_attestation(amd),
            make_attestation(arm),
            Entry(nested, platform={}),
        ]
        put(registry.host, repository, "index", make_index(entries, kind="oci"))
        children = [amd, arm, make_attestation(amd).manifest, make_attestation(arm).manifest, nested.children[0]]
        return [child.digest for child in children]

    return build


async def test_an_index_is_flattened_with_its_attestations(
    store: DraftStore, connect: Connect, name: str, built: Callable[[str], list[str]]
) -> None:
    digests = built("")
    draft = (await create(connect, store, f"{name}:list", [f"{name}:index"])).draft
    assert [entry.digest for entry in draft.entries] == digests
    assert [str(platform) for platform in draft.platforms] == ["linux/amd64", "linux/arm64", "linux/s390x"]
    assert [str(entry.reference) for entry in draft.entries] == [f"{name}@{digest}" for digest in digests]
    pushed = await push(connect, store, f"{name}:list")
    assert len(pushed.index.attestations) == 2
    assert load(store, f"{name}:list").entries == draft.entries


@pytest.mark.parametrize(
    "platforms, attestations, taken",
    [
        ((), False, [0, 1, 4]),
        (("linux/arm64",), True, [1, 3]),
        (("linux/arm64", "linux/s390x"), False, [1, 4]),
    ],
)
async def test_what_is_taken_of_an_index(
    store: DraftStore,
    connect: Connect,
    name: str,
    built: Callable[[str], list[str]],
    platforms: tuple[str, ...],
    attestations: bool,
    taken: list[int],
) -> None:
    digests = built("")
    made = await create(
        connect, store, f"{name}:list", [f"{name}:index"], platforms=platforms, attestations=attestations
    )
    assert [entry.digest for entry in made.draft.entries] == [digests[number] for number in taken]


async def test_a_platform_that_nothing_is_for(
    store: DraftStore, connect: Connect, name: str, built: Callable[[str], list[str]]
) -> None:
    built("")
    with pytest.raises(NotFound, match="no source has an image for linux/ppc64le"):
        await create(connect, store, f"{name}:list", [f"{name}:index"], platforms=["linux/amd64", "linux/ppc64le"])


async def test_amend_takes_the_same_of_an_index_again(
    store: DraftStore, connect: Connect, name: str, image: Put, built: Callable[[str], list[str]]
) -> None:
    old = built("old")
    image("x")
    image("y")
    taken = {"platforms": ["linux/arm64"]}
    await create(connect, store, f"{name}:list", [f"{name}:x", f"{name}:index"], **taken)  # type: ignore[arg-type]
    await add(connect, store, f"{name}:list", [f"{name}:y"])
    annotate(store, f"{name}:list", "linux/arm64", variant="v9")
    new = built("new")
    made = await create(connect, store, f"{name}:list", [], amend=True)
    assert [entry.digest for entry in made.draft.entries][1:3] == [new[1], new[3]]
    assert len(made.draft.entries) == 4
    assert str(made.draft.entries[1].platform) == "linux/arm64/v9"
    said = [str(change) for change in made.changes if change.kind != "kept"]
    assert said[0] == f"{name}:index (linux/arm64/v9) moved from {Digest(old[1]).short} to {Digest(new[1]).short}"
    assert [line.rpartition(") ")[2].split(" ")[0] for line in said[1:]] == ["added", "removed"]


async def test_a_child_that_is_not_there(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    here, gone = make_image("linux/amd64"), make_image("linux/arm64")
    put(registry.host, repository, None, gone)
    put(registry.host, repository, "index", make_index([here, gone]))
    with RegistryClient(registry.host, repository) as client:
        client.delete(gone.digest)
    for action in (create(connect, store, f"{name}:l", [f"{name}:index"]), pull(connect, store, f"{name}:index")):
        with pytest.raises(NotFound, match=f"lists {gone.digest} for linux/arm64, but does not have it") as refused:
            await action
        assert refused.value.code == "child-missing"
        assert refused.value.fields == {"store": name, "digest": gone.digest, "platform": "linux/arm64"}
    assert not store.root.exists()
    await create(connect, store, f"{name}:l", [f"{name}:index"], platforms=["linux/amd64"])
    listed = json.loads(await inspect(connect, store, f"{name}:index", verbose=True))
    assert ["Raw" in child for child in listed] == [True, False]


async def test_artifacts_have_no_platform(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    put(registry.host, repository, "thing", make_artifact())
    odd = make_image(kind="oci")
    document = odd.document
    with RegistryClient(registry.host, repository) as client:
        text = b"not JSON"
        digest = Digest.of(text)
        client.put_blob(digest, text)
        client.push(None, odd)
        document["config"] = {"mediaType": "application/vnd.example+text", "digest": digest, "size": len(text)}
        content = json.dumps(document).encode()
        client.request("PUT", "/manifests/odd", content, {"Content-Type": odd.media_type}, expect=201)
    made = await create(connect, store, f"{name}:list", [f"{name}:thing", f"{name}:odd"])
    assert [entry.platform for entry in made.draft.entries] == [Platform(), Platform()]


async def test_types(
    store: DraftStore, connect: Connect, name: str, image: Put, built: Callable[[str], list[str]]
) -> None:
    image("a")
    built("")
    made = await create(connect, store, f"{name}:oci", [f"{name}:a"], type="oci")
    assert made.draft.index.media_type == "application/vnd.oci.image.index.v1+json"
    made = await create(connect, store, f"{name}:annotated", [f"{name}:a"], annotations={"a": "b"})
    assert made.draft.index.annotations == {"a": "b"}
    assert made.draft.index.media_type == "application/vnd.oci.image.index.v1+json"
    with pytest.raises(UsageError, match="cannot be a Docker manifest list"):
        await create(connect, store, f"{name}:x", [f"{name}:a"], annotations={"a": "b"}, type="docker")
    with pytest.raises(UsageError) as refused:
        await create(connect, store, f"{name}:x", [f"{name}:index"], type="docker")
    assert "leave out the attestations" in (refused.value.remedy or "")
    made = await create(connect, store, f"{name}:x", [f"{name}:index"], type="docker", attestations=False)
    assert made.draft.index.media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert not store.exists(Reference.parse(f"{name}:nothing"))


async def test_add_and_remove(
    store: DraftStore, connect: Connect, name: str, image: Put, built: Callable[[str], list[str]]
) -> None:
    image("a"), image("b", "linux/s390x")
    built("")
    with pytest.raises(NotFound, match="No such manifest"):
        await add(connect, store, f"{name}:list", [f"{name}:a"])
    await create(connect, store, f"{name}:list", [f"{name}:index"], platforms=["linux/amd64", "linux/arm64"])
    image("c")
    made = await add(connect, store, f"{name}:list", [f"{name}:b"])
    assert [change.kind for change in made.changes] == ["added"]
    gone = remove(store, f"{name}:list", ["linux/amd64"])
    assert [str(entry.platform) for entry in gone.entries] == ["linux/amd64", "unknown/unknown"]
    assert [str(entry.platform) for entry in gone.draft.entries] == ["linux/arm64", "unknown/unknown", "linux/s390x"]
    with pytest.raises(NotFound, match="manifest for image nothing does not exist in"):
        remove(store, f"{name}:list", ["b", "nothing"])
    assert load(store, f"{name}:list") == gone.draft


# push


async def test_tags_dry_run_and_purge(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str, image: Put
) -> None:
    image("a")
    await create(connect, store, f"{name}:list", [f"{name}:a"])
    planned = await push(connect, store, f"{name}:list", tags=["1.0", "1"], dry_run=True)
    assert list_tags(registry.host, repository) == ["a"]
    with pytest.raises(UsageError, match="'x:y' is not a tag"):
        await push(connect, store, f"{name}:list", tags=["x:y"])
    pushed = await push(connect, store, f"{name}:list", tags=["1.0", "1"], purge=True)
    assert pushed.digest == planned.digest == pushed.reference.digest
    assert list_tags(registry.host, repository) == ["1", "1.0", "a", "list"]
    for tag in ("1", "1.0", "list"):
        assert get_manifest(registry.host, repository, tag)[2] == pushed.digest
    assert store.list() == ()


async def test_a_list_named_by_digest_alone_gets_no_tag(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str, image: Put
) -> None:
    digest = image("a")
    await create(connect, store, f"{name}@{digest}", [f"{name}:a"])
    pushed = await push(connect, store, f"{name}@{digest}")
    assert get_manifest(registry.host, repository, pushed.digest)[2] == pushed.digest
    assert list_tags(registry.host, repository) == ["a"]


async def test_if_digest(store: DraftStore, connect: Connect, name: str, image: Put) -> None:
    image("a"), image("b")
    target = f"{name}:list"
    await create(connect, store, target, [f"{name}:a"])
    with pytest.raises(Conflict, match="was not changed"):
        await push(connect, store, target, if_digest=Digest.of(b""))
    first = await push(connect, store, target, if_digest="absent")
    with pytest.raises(Conflict, match="was not changed") as refused:
        await push(connect, store, target, if_digest="absent")
    assert first.digest in (refused.value.cause or "")
    await add(connect, store, target, [f"{name}:b"])
    second = await push(connect, store, target, if_digest=first.digest)
    await push(connect, store, target, if_digest="origin")
    await create(connect, store, f"{name}:other", [f"{name}:b"])
    assert load(store, target).origin == second.digest


async def test_an_empty_list_is_not_pushed(store: DraftStore, connect: Connect, name: str, image: Put) -> None:
    image("a")
    await create(connect, store, f"{name}:list", [f"{name}:a"])
    remove(store, f"{name}:list", ["a"])
    with pytest.raises(NotFound, match="has no entries"):
        await push(connect, store, f"{name}:list")


async def test_a_missing_entry_is_named(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str, image: Put
) -> None:
    digest = image("a")
    image("b", seed="b")
    await create(connect, store, f"{name}:list", [f"{name}:a", f"{name}:b"])
    with RegistryClient(registry.host, repository) as client:
        client.delete(digest)
    with pytest.raises(NotFound, match=f"does not have {name}:a ") as refused:
        await push(connect, store, f"{name}:list")
    assert refused.value.code == "entries-missing"
    assert refused.value.fields == {"draft": f"{name}:list", "entries": [f"{name}:a"]}
    assert list_tags(registry.host, repository) == ["b"]


async def test_content_of_another_registry_is_copied_once(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str
) -> None:
    shared = [make_image("linux/amd64", layers=3), make_image("linux/arm64", layers=3)]
    with RealRegistry() as other, CountingProxy(other.url) as target:
        for image in shared:
            assert image.platform
            put(registry.host, repository, image.platform["architecture"], image)
        sources = [f"{registry.host}/{repository}:{tag}" for tag in ("amd64", "arm64")]
        await create(connect, store, f"{target.host}/x/y:list", sources)
        pushed = await push(connect, store, f"{target.host}/x/y:list")
        assert pushed.transfer.uploaded == 5  # three layers, and two configs
        assert [str(entry.reference) for entry in pushed.copied] == sources
        assert target.lines[-1] == "PUT /v2/x/y/manifests/list"
        for image in shared:
            assert get_manifest(target.host, "x/y", image.digest)[0] == image.content


async def test_what_is_brought_with_a_list_is_told_in_events(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str
) -> None:
    put(registry.host, repository, "a", make_image("linux/amd64", layers=2))
    events: list[Event] = []
    with RealRegistry() as other:
        await create(connect, store, f"{other.host}/x/y:list", [f"{registry.host}/{repository}:a"])
        await push(connect, store, f"{other.host}/x/y:list", on_event=events.append)
    assert len([event for event in events if isinstance(event, Started)]) == 3
    last = events[-1]
    assert isinstance(last, Totals)
    assert (last.contents, last.finished) == (5, 5)  # three blobs, the image and the list


async def test_a_copy_that_fails_names_the_entry_and_pushes_no_list(
    store: DraftStore, connect: Connect, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    source, target = new_repository(), new_repository()
    image = make_image("linux/amd64")
    put(registry.host, source, "a", image)
    await create(connect, store, f"{registry.host}/{target}:list", [f"{registry.host}/{source}:a"])
    with RegistryClient(registry.host, source) as client:
        layer = image.document["layers"][0]["digest"]
        client.request("DELETE", f"/blobs/{layer}", expect=202)
    with pytest.raises(LadingError) as refused:
        await push(connect, store, f"{registry.host}/{target}:list")
    assert f"needed for the entry {registry.host}/{source}:a" in (refused.value.cause or "")
    assert list_tags(registry.host, target) == []


async def test_purge_spares_what_was_changed_meanwhile(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a"), image("b")
    await create(connect, store, f"{name}:list", [f"{name}:a"])

    def meanwhile(reference: Reference, /, *, writing: bool = False) -> Store:
        annotate(store, f"{name}:list", "a", variant="v9")
        return connect(reference, writing=writing)

    pushed = await push(meanwhile, store, f"{name}:list", purge=True)
    assert "was changed while it was pushed" in pushed.warnings[0]
    assert str(pushed.index.manifests[0].platform) != "linux/amd64/v9"
    (entry,) = load(store, f"{name}:list").entries
    assert str(entry.platform) == "linux/amd64/v9"


# pull, status, prune


async def test_pull_extend_push(
    store: DraftStore,
    connect: Connect,
    registry: RealRegistry,
    repository: str,
    name: str,
    image: Put,
    built: Callable[[str], list[str]],
) -> None:
    built("")
    image("more", "linux/ppc64le", kind="oci")
    remote = await fetch_manifest(connect(Reference.parse(f"{name}:index")), "index")
    pulled = (await pull(connect, store, f"{name}:index")).draft
    assert isinstance(remote, Index)
    assert pulled.origin == remote.digest
    assert tuple(entry.descriptor for entry in pulled.entries) == remote.manifests
    assert pulled.index.manifests == remote.manifests
    await add(connect, store, f"{name}:index", [f"{name}:more"])
    pushed = await push(connect, store, f"{name}:index", if_digest="origin")
    content, media_type, _ = get_manifest(registry.host, repository, "index")
    assert (content, media_type) == (pushed.index.raw, "application/vnd.oci.image.index.v1+json")
    assert pushed.index.manifests[:-1] == remote.manifests
    with pytest.raises(Conflict, match="already"):
        await pull(connect, store, f"{name}:index")
    again = await pull(connect, store, f"{name}:index", replace=True)
    assert again.draft.index.digest == pushed.digest
    await pull(connect, store, f"{name}:index", f"{name}:part", platforms=["linux/amd64"], attestations=False)
    assert [str(platform) for platform in load(store, f"{name}:part").platforms] == ["linux/amd64"]


async def test_pull_keeps_every_field(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    subject = make_image(kind="oci", seed="subject")
    put(registry.host, repository, None, subject)
    one = make_artifact()
    index = make_index(
        [Entry(one, annotations={"a": "<"})], kind="oci", annotations={"b": "é"}, artifact_type="x/y", subject=subject
    )
    put(registry.host, repository, "index", index)
    await pull(connect, store, f"{name}:index")
    pushed = await push(connect, store, f"{name}:index")
    assert pushed.index.document == index.document
    assert pushed.index.subject is not None


async def test_pull_of_an_image(store: DraftStore, connect: Connect, name: str, image: Put) -> None:
    image("a")
    with pytest.raises(InvalidContent, match="is an image, not a list"):
        await pull(connect, store, f"{name}:a")


async def test_one_manifest_for_several_platforms(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    image = make_image("linux/arm64")
    twice: list[Built | Entry] = [image, Entry(image, {"architecture": "arm64", "os": "linux", "variant": "v8"}), image]
    put(registry.host, repository, "index", make_index(twice))
    draft = (await pull(connect, store, f"{name}:index")).draft
    assert [str(platform) for platform in draft.platforms] == ["linux/arm64", "linux/arm64/v8"]
    assert load(store, f"{name}:index") == draft


async def test_status_and_prune(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str, image: Put
) -> None:
    for tag, platform in {"a": "linux/amd64", "b": "linux/arm64", "c": "linux/s390x"}.items():
        image(tag, platform)
    for tag in ("absent", "differs", "moved", "older", "same"):
        await create(connect, store, f"{name}:{tag}", [f"{name}:a", f"{name}:b"])
        if tag != "absent":
            await push(connect, store, f"{name}:{tag}")
    await create(connect, store, f"127.0.0.1:1/{repository}:unknown", [f"{name}:a"])
    await add(connect, store, f"{name}:older", [f"{name}:c"])
    put(registry.host, repository, "differs", make_index([make_image("linux/amd64"), make_image("linux/s390x")]))

    put(
        registry.host,
        repository,
        "moved",
        make_index([make_image("linux/amd64", seed="new"), make_image("linux/arm64")]),
    )

    def find(reference: Reference, /, *, writing: bool = False) -> Store:
        if reference.registry == "127.0.0.1:1":
            raise LadingError("nobody is there")
        return connect(reference)

    found = {each.draft.reference.tag: each for each in await status(find, store.list())}
    assert {tag: str(each) for tag, each in found.items()} == {
        "absent": "not there",
        "differs": "differs: 1 entry added, 1 entry removed",
        "moved": "differs: 1 entry moved",
        "older": "older: 1 entry added",
        "same": "same",
        "unknown": "not known: nobody is there",
    }
    assert (found["differs"].added, found["differs"].moved, found["differs"].removed) == (1, 0, 1)
    same = (Reference.parse(f"{name}:same"),)
    assert await prune(find, store, older_than=timedelta(days=1)) == ()
    assert await prune(find, store, dry_run=True) == same
    assert await prune(find, store) == same
    assert await prune(find, store) == ()
    assert str(DraftStatus(store.list()[0], "differs", moved=2)) == "differs: 2 entries moved"


async def test_a_pulled_list_keeps_its_bytes_until_it_is_changed(
    store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str, image: Put
) -> None:
    """Compact, with fields and an order that Docker's writer would not use: what was read is what is pushed."""
    images = [make_image("linux/amd64", kind="oci"), make_image("linux/arm64", kind="oci")]
    index = make_index(images, kind="oci", annotations={"a": "b"})
    put(registry.host, repository, "index", index)
    await pull(connect, store, f"{name}:index")
    assert load(store, f"{name}:index").index.raw == index.content
    (state,) = await status(connect, store.list())
    assert state.state == "same"
    annotate(store, f"{name}:index", "linux/arm64", variant="v8")
    assert load(store, f"{name}:index").index.raw != index.content
    annotate(store, f"{name}:index", "linux/arm64", clear=["variant"])
    assert load(store, f"{name}:index").index.raw == index.content


async def test_a_dry_run_asks_whether_the_guard_holds(
    store: DraftStore, connect: Connect, name: str, image: Put
) -> None:
    image("a", "linux/amd64")
    await create(connect, store, f"{name}:list", [f"{name}:a"])
    await push(connect, store, f"{name}:list", if_digest="absent", dry_run=True)
    with pytest.raises(Conflict):
        await push(connect, store, f"{name}:list", if_digest=Digest.of(b"other"), dry_run=True)


# How much is sent


@pytest.fixture
async def counted() -> AsyncIterator[tuple[CountingProxy, Connect]]:
    """A registry with tokens behind a counting proxy, and a way into it that has no token yet."""
    with (
        RealRegistry(auth="token") as registry,
        CountingProxy(registry.url, tokens=registry.tokens.url, latency=0.5) as proxy,
    ):
        for number in range(8):
            put(registry.host, "team/app", f"t{number}", make_image(seed=str(number)), auth=("alice", "secret"))
        session = Session(
            credentials=GivenCredentials(Credential(username="alice", password="secret")), config=Config()
        )
        async with session:

            def to(reference: Reference, /, *, writing: bool = False) -> Store:
                return Repository(session, reference.registry, reference.repository, writing=writing)

            yield proxy, to


async def test_create_sends_at_most_two_requests_an_image_and_two_for_the_token(
    store: DraftStore, counted: tuple[CountingProxy, Connect]
) -> None:
    proxy, connect = counted
    sources = [f"{proxy.host}/team/app:t{number}" for number in range(8)]
    await create(connect, store, f"{proxy.host}/team/app:list", sources)
    assert len(proxy.exchanges) <= 2 * 8 + 2, proxy.lines
    assert proxy.count("GET", "/manifests/") - 1 <= 8
    assert proxy.rounds() <= 4


async def test_amend_asks_only_for_manifests_where_nothing_moved(
    store: DraftStore, counted: tuple[CountingProxy, Connect]
) -> None:
    proxy, connect = counted
    sources = [f"{proxy.host}/team/app:t{number}" for number in range(8)]
    await create(connect, store, f"{proxy.host}/team/app:list", sources)
    proxy.reset()
    await create(connect, store, f"{proxy.host}/team/app:list", [], amend=True)
    assert (proxy.count(), proxy.count("GET", "/manifests/"), proxy.rounds()) == (8, 8, 1)


async def test_push_to_the_same_repository_is_one_request(
    store: DraftStore, counted: tuple[CountingProxy, Connect]
) -> None:
    proxy, connect = counted
    target = f"{proxy.host}/team/app:list"
    await create(connect, store, target, [f"{proxy.host}/team/app:t{number}" for number in range(3)])
    proxy.reset()
    await push(connect, store, target, dry_run=True)
    assert proxy.lines == []
    await push(connect, store, target)
    with_token = [line for line in proxy.lines if line != "PUT /v2/team/app/manifests/list"]
    assert [line.split("?")[0] for line in with_token] in ([], ["GET /token"])  # the first push asks for more
    proxy.reset()
    await push(connect, store, target, tags=["a", "b"])
    assert sorted(proxy.lines) == [f"PUT /v2/team/app/manifests/{tag}" for tag in ("a", "b", "list")]
    proxy.reset()
    (found,) = await status(connect, store.list())
    assert (found.state, proxy.lines) == ("same", ["HEAD /v2/team/app/manifests/list"])
