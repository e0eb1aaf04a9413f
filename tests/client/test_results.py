"""What the client's methods give back: values with the model's types, and with a form in JSON."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from lading import AsyncClient
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result, plain
from lading.model.encoding import Number
from lading.serve import background
from lading.stores.location import Location
from support.images import make_artifact, make_image, make_index, push
from support.registry import RealRegistry

IMAGE = make_image("linux/amd64", kind="oci")
INDEX = make_index([IMAGE, make_image("linux/arm64/v8", kind="oci")], kind="oci", annotations={"a": "b"})


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient() as client:
        yield client


@pytest.fixture
def app(registry: RealRegistry, repository: str) -> str:
    push(registry.host, repository, "1.0", INDEX)
    push(registry.host, repository, "1.0-amd64", IMAGE)
    return f"{registry.host}/{repository}"


def kinds(value: Any) -> Iterator[type]:
    """The types of everything in a document."""
    yield type(value)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from kinds(key)
            yield from kinds(item)
    if isinstance(value, list):
        for item in value:
            yield from kinds(item)


async def results(client: AsyncClient, app: str) -> list[Result]:
    """One of each."""
    return [
        await client.inspect(f"{app}:1.0"),
        *await client.tags(app),
        *await client.tags(app, digests=True),
        *await client.tag(f"{app}:1.0", "1.0-amd64", "new", dry_run=True),
        await client.deletion(f"{app}:1.0-amd64"),
        await client.lint(f"{app}:1.0"),
        await client.copy(f"{app}:1.0", f"{app}-copy:1.0", dry_run=True),
        await client.registries.check(app),
        await client.registries.explain(app),
        await client.registries.pull_limits(f"{app}:1.0"),
    ]


async def test_a_result_is_a_document_of_plain_values(client: AsyncClient, app: str) -> None:
    for result in await results(client, app):
        document = result.to_document()
        assert set(kinds(document)) <= {dict, list, str, int, float, bool, type(None)}, result
        assert json.loads(result.to_json()) == document
        assert plain([result]) == [document]


async def test_digests_and_references_are_values(client: AsyncClient, app: str) -> None:
    (moved, new) = await client.tag(f"{app}:1.0", "1.0-amd64", "new", dry_run=True)
    assert isinstance(moved.digest, Digest)
    assert isinstance(moved.previous, Digest)
    assert new.previous is None
    assert isinstance(moved.reference, Location)
    assert moved.reference.own_tag == "1.0-amd64"
    overview = await client.inspect(moved.reference)
    assert isinstance(overview.digest, Digest)
    assert isinstance(overview.entries[0].digest, Digest)
    gone = await client.deletion(f"{app}@{IMAGE.digest}")
    assert isinstance(gone.digest, Digest)
    assert gone.reference.pinned == IMAGE.digest
    (image,) = (await client.copy(f"{app}:1.0", f"{app}-copy:1.0", platforms=["linux/amd64"], dry_run=True)).images
    assert isinstance(image.digest, Digest)
    assert isinstance(image.targets[0].digest, Digest)
    assert image.original == Digest(INDEX.digest)


async def test_what_a_tag_names_leads_to_its_referrers(client: AsyncClient) -> None:
    signature = make_artifact(subject=IMAGE)
    with background() as url:
        app = f"{url.removeprefix('http://')}/app"
        push(url.removeprefix("http://"), "app", "1.0", IMAGE)
        push(url.removeprefix("http://"), "app", None, signature)
        (info,) = await client.tags(app, digests=True)
        (unasked,) = await client.tags(app)
        assert info.descriptor is not None
        found = [referrer.digest async for referrer in client.connect(app).referrers(info.descriptor)]

    assert found == [signature.digest]
    assert info.descriptor == Descriptor(
        media_type=IMAGE.media_type, digest=Digest(IMAGE.digest), size=len(IMAGE.content)
    )
    assert (unasked.descriptor, unasked.digest, unasked.media_type) == (None, None, None)


def test_numbers_that_keep_their_spelling_are_numbers() -> None:
    document = plain({"size": Number("1.50"), "list": (1, True, None)})
    assert document == {"size": 1.5, "list": [1, True, None]}
    assert type(document["size"]) is float
