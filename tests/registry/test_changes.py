"""A change whose answer leaves open what came of it: it is looked at, and the error says what is there now."""

import http.client
import json
from collections.abc import Callable

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict, DigestMismatch, InvalidContent, RegistryFailure, Unsupported
from lading.model import parse
from lading.registry.repository import Repository
from support.fakes import Reply, Request, error_reply
from support.images import get_manifest, list_tags, make_image, push
from support.lading import Lading
from support.proxy import Alter, CountingProxy, first_of, when
from support.registry import RealRegistry

OLD, NEW = make_image("linux/amd64", seed="old"), make_image("linux/amd64", seed="new")
AT_ONCE = (("Retry-After", "0"),)
DONE_AND_502 = Alter(status=502, set_headers=AT_ONCE)
FALSE = "sha256:" + "f" * 64
TAGGED, BY_DIGEST = "/manifests/[^s][^/]*$", "/manifests/sha256:"


class Place:
    """A repository with a tag `new` and a tag `moves`, behind a proxy that breaks things."""

    def __init__(self, proxy: CountingProxy, registry: RealRegistry, repository: str) -> None:
        self.proxy, self.registry, self.repository = proxy, registry.host, repository
        self.name = f"{proxy.host}/{repository}"
        push(registry.host, repository, "moves", OLD)
        push(registry.host, repository, "new", NEW)

    def store(self, client: AsyncClient) -> Repository:
        store = client.connect(self.name)
        assert isinstance(store, Repository)
        return store

    def named(self, tag: str = "moves") -> str:
        return get_manifest(self.registry, self.repository, tag)[2]


@pytest.fixture
def place(proxy: CountingProxy, registry: RealRegistry, repository: str) -> Place:
    return Place(proxy, registry, repository)


VERBS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "tag": lambda name: ("tag", f"{name}:new", "moves"),
    "copy": lambda name: ("copy", f"{name}:new", f"{name}:moves"),
    "manifest push": lambda name: ("manifest", "push", f"{name}:moves"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_done_and_answered_502_is_said_to_be_done(place: Place, lading: Lading, verb: str) -> None:
    lading.run("manifest", "create", f"{place.name}:moves", f"{place.name}:new")
    place.proxy.reset()
    place.proxy.intercept = when(DONE_AND_502, method="PUT", path=TAGGED)
    ran = lading.run(*VERBS[verb](place.name), check=False)
    assert ran.returncode == 1
    assert place.named() != OLD.digest
    assert f"{place.name}:moves names {place.named()} now, as was wanted" in ran.stderr
    assert "again" not in ran.stderr


def test_what_is_not_done_is_said_not_to_be(place: Place, lading: Lading) -> None:
    place.proxy.intercept = when(Reply(status=502, headers=AT_ONCE), method="PUT", path=TAGGED)
    for tag, seen in (
        ("moves", f"{place.name}:moves names {OLD.digest} now\n"),
        ("absent", ":absent is not there now"),
    ):
        ran = lading.run("tag", f"{place.name}:new", tag, check=False)
        assert ran.returncode == 1
        assert seen in ran.stderr


async def test_a_manifest_that_is_there_by_its_digest_is_there(place: Place, client: AsyncClient) -> None:
    image = make_image("linux/amd64", seed="by digest")
    store = place.store(client)
    for blob in image.blobs.values():
        await client.blobs.put(place.name, blob)
    place.proxy.intercept = when(DONE_AND_502, method="PUT", path=BY_DIGEST)
    await store.put(parse(image.content, image.media_type))
    assert get_manifest(place.registry, place.repository, image.digest)[2] == image.digest


async def test_a_false_digest_is_not_believed(place: Place, client: AsyncClient) -> None:
    place.proxy.intercept = when(Alter(set_headers=(("Docker-Content-Digest", FALSE),)), path=TAGGED)
    with pytest.raises(DigestMismatch) as caught:
        await place.store(client).put(parse(NEW.content, NEW.media_type), "moves")
    assert place.named() == NEW.digest
    assert f"moves names {NEW.digest} now, as was wanted" in (caught.value.cause or "")
    assert caught.value.fields["names"] == NEW.digest
    assert caught.value.message == f"{place.name}:moves was answered with a digest that it does not have"


@pytest.mark.parametrize("then", [None, error_reply(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown")])
async def test_a_tag_that_names_what_came_to_harm_on_the_way_is_told(
    place: Place, client: AsyncClient, then: Reply | None
) -> None:
    marked = make_image("linux/amd64", seed="new", annotations={"note": "aaaaaaaa"})
    flips = Alter(corrupt_request=marked.content.index(b"aaaaaaaa"))
    place.proxy.intercept = first_of(
        when(flips, method="PUT", path=TAGGED, times=1), when(then or flips, method="PUT", path=TAGGED)
    )
    with pytest.raises(DigestMismatch) as caught:
        await place.store(client).put(parse(marked.content, marked.media_type), "moves")
    third = place.named()
    assert third not in (OLD.digest, marked.digest)
    assert f"sent {marked.digest}" in (caught.value.cause or "")
    assert (caught.value.cause or "").endswith(f"moves names {third} now")


async def test_an_immutable_tag_is_no_error_where_it_names_what_it_is_to_name(
    place: Place, client: AsyncClient
) -> None:
    words = "The image tag 'moves' already exists and cannot be overwritten because the tag is immutable."
    place.proxy.intercept = when(error_reply(400, "TAG_INVALID", words), method="PUT", path=TAGGED)
    store = place.store(client)
    with pytest.raises(Conflict) as caught:
        await store.put(parse(NEW.content, NEW.media_type), "moves")
    assert caught.value.message == f"{place.proxy.host} keeps {place.name}:moves as it is"
    assert (caught.value.cause or "").endswith(f"is immutable; {place.name}:moves names {OLD.digest} now")
    assert place.proxy.count("PUT") == 1
    await store.put(parse(OLD.content, OLD.media_type), "moves")  # as an earlier try may have left it


@pytest.mark.parametrize("verb", VERBS)
def test_an_immutable_tag_ends_with_8_in_every_verb(place: Place, lading: Lading, verb: str) -> None:
    lading.run("manifest", "create", f"{place.name}:moves", f"{place.name}:new")
    place.proxy.intercept = when(error_reply(403, "DENIED", "cannot push to protected tag"), method="PUT", path=TAGGED)
    ran = lading.run(*VERBS[verb](place.name), check=False)
    assert ran.returncode == 8
    assert "log in" not in ran.stderr
    assert place.named() == OLD.digest


# Deletions


def test_what_an_earlier_try_deleted_is_deleted(place: Place, lading: Lading) -> None:
    place.proxy.intercept = when(DONE_AND_502, method="DELETE", times=1)
    assert lading.run("delete", f"{place.name}:moves", "--yes").returncode == 0
    assert list_tags(place.registry, place.repository) == ["new"]


def test_a_deletion_that_is_done_and_always_answered_502(place: Place, lading: Lading) -> None:
    def carry_out(request: Request) -> Reply | None:
        if request.method != "DELETE":
            return None
        connection = http.client.HTTPConnection(place.registry)
        connection.request("DELETE", request.target)
        connection.close()
        return Reply(status=502, headers=AT_ONCE)

    place.proxy.intercept = carry_out
    ran = lading.run("delete", f"{place.name}:moves", "--yes", check=False)
    assert ran.returncode == 1
    assert f"{place.name}@{OLD.digest} is gone now, as was wanted" in ran.stderr


async def test_a_deletion_that_is_not_done(place: Place, client: AsyncClient) -> None:
    place.proxy.intercept = when(Reply(status=503, headers=AT_ONCE), method="DELETE")
    store = place.store(client)
    for name, seen in (("moves", f"moves names {OLD.digest} now"), (OLD.digest, f"{OLD.digest} is there now")):
        with pytest.raises(RegistryFailure, match="failed to answer") as caught:
            await (store.untag(name) if name == "moves" else store.delete(await store.resolve(name)))
        assert (caught.value.cause or "").endswith(seen)


async def test_what_keeps_its_tags_keeps_them_from_being_removed(place: Place, client: AsyncClient) -> None:
    words = "The operation is disallowed on this registry, repository or image."
    place.proxy.intercept = when(error_reply(405, "REGISTRY_DISALLOWED_OPERATION", words), method="DELETE")
    with pytest.raises(Conflict, match="keeps"):
        await place.store(client).untag("moves")


async def test_where_it_cannot_be_looked_at_that_is_said(place: Place, client: AsyncClient) -> None:
    place.proxy.intercept = first_of(
        when(Reply(status=500, headers=AT_ONCE), method="PUT"), when(error_reply(403, "DENIED"), method="GET")
    )
    with pytest.raises(RegistryFailure) as caught:
        await place.store(client).put(parse(NEW.content, NEW.media_type), "moves")
    assert "what" in (caught.value.cause or "")
    assert "could not be found out" in (caught.value.cause or "")


async def test_a_plain_refusal_is_not_looked_into(place: Place, client: AsyncClient) -> None:
    place.proxy.intercept = when(error_reply(400, "MANIFEST_INVALID", "no"), method="PUT")
    with pytest.raises(InvalidContent):
        await place.store(client).put(parse(NEW.content, NEW.media_type), "moves")
    assert place.proxy.count("GET") == 0


# Layers that are kept elsewhere


async def test_a_layer_that_is_kept_elsewhere_is_named_and_asked_for_once(place: Place, client: AsyncClient) -> None:
    content = json.loads(NEW.content)
    layer = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": "sha256:" + "1" * 64,
        "size": 5,
        "urls": ["https://layers.example/blob?sig=planted"],
    }
    content["layers"].insert(0, layer)
    with pytest.raises(Unsupported) as caught:
        await client.put(json.dumps(content).encode(), f"{place.name}:foreign")
    assert caught.value.code == "foreign-layer"
    assert f"{layer['digest']} at https://layers.example/blob?sig=***" in caught.value.message
    assert place.proxy.count("PUT") == 1
