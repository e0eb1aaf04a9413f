"""`client.blobs`, on both faces: single blobs in a registry and in a layout."""

import hashlib
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from lading import AsyncClient, Client, Descriptor, Digest
from lading.errors import DigestMismatch, InvalidContent, InvalidDigest, LadingError, NotFound, Unsupported, UsageError
from lading.store import from_bytes
from support.images import make_image
from support.proxy import CountingProxy
from support.registry import RealRegistry

DATA = b"a bill of lading\n" * 1000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
ABSENT = f"sha256:{'0' * 64}"


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as running:
        yield running


@pytest.fixture(params=["registry", "layout"])
def place(request: pytest.FixtureRequest, registry: RealRegistry, repository: str, tmp_path: Path) -> str:
    """A repository, and a layout that does not exist yet."""
    return f"{registry.host}/{repository}" if request.param == "registry" else f"oci:{tmp_path}/layout"


async def stream() -> AsyncIterator[bytes]:
    for start in range(0, len(DATA), 1000):
        yield DATA[start : start + 1000]


def as_file(path: Path) -> Path:
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize(
    "content",
    [
        lambda path: DATA,
        lambda path: bytearray(DATA),
        as_file,
        lambda path: io.BytesIO(DATA),
        lambda path: from_bytes(DATA),
        lambda path: stream,
    ],
    ids=["bytes", "bytearray", "path", "file", "source", "stream"],
)
def test_put_and_get(content: Callable[[Path], bytes], place: str, client: Client, tmp_path: Path) -> None:
    put = client.blobs.put(place, content(tmp_path / "data"), media_type="text/plain")
    assert put == Descriptor(media_type="text/plain", digest=Digest(DIGEST), size=len(DATA))
    assert client.blobs.get(place, put) == DATA
    assert client.blobs.get(place, DIGEST) == DATA
    assert client.blobs.put(place, DATA).digest == DIGEST  # which is there


def test_what_is_left_of_an_open_file_is_put(place: str, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"head" + DATA)
    with path.open("rb") as file:
        file.seek(4)
        assert client.blobs.put(place, file).digest == DIGEST


def test_an_empty_blob(place: str, client: Client) -> None:
    assert client.blobs.get(place, client.blobs.put(place, b"")) == b""


@pytest.mark.parametrize("content", ["a text", 7, None, io.StringIO("a text")])
def test_what_is_no_content_is_refused(content: object, place: str, client: Client) -> None:
    with pytest.raises(UsageError, match="what is to be put as a blob is"):
        client.blobs.put(place, content)  # type: ignore[arg-type]


def test_a_file_that_is_not_there(place: str, client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        client.blobs.put(place, tmp_path / "nothing")


def test_where_only_whole_images_go(client: Client, tmp_path: Path) -> None:
    for place in (f"docker-archive:{tmp_path}/a.tar", "docker-daemon:app:1", "oci-archive:-"):
        with pytest.raises(Unsupported, match="a single blob cannot be put into"):
            client.blobs.put(place, DATA)
    assert list(tmp_path.iterdir()) == []


def test_contains(place: str, client: Client) -> None:
    assert not client.blobs.contains(place, DIGEST)
    put = client.blobs.put(place, DATA)
    assert client.blobs.contains(place, put)
    assert client.blobs.contains(place, DIGEST)
    assert not client.blobs.contains(place, ABSENT)
    with pytest.raises(InvalidDigest):
        client.blobs.contains(place, "latest")


def test_open_gives_chunks_that_are_verified(place: str, client: Client) -> None:
    large = os.urandom(3_000_000)
    put = client.blobs.put(place, large)
    with client.blobs.open(place, put) as reader:
        chunks = list(reader)
    assert len(chunks) > 1
    assert b"".join(chunks) == large
    with client.blobs.open(place, put) as reader:
        assert reader.read() == large
    with client.blobs.open(place, put) as reader, pytest.raises(InvalidContent, match="too large"):
        reader.read(1000)
    with client.blobs.open(place, put) as reader:
        assert large.startswith(next(iter(reader)))  # and no more is read
    assert client.blobs.contains(place, put)


def test_several_blobs_are_open_at_once(place: str, client: Client) -> None:
    blobs = [client.blobs.put(place, os.urandom(2_000_000)) for _ in range(3)]
    with (
        client.blobs.open(place, blobs[0]) as one,
        client.blobs.open(place, blobs[1]) as two,
        client.blobs.open(place, blobs[2]) as three,
    ):
        read = [b"".join(parts) for parts in zip(*([*reader] for reader in (one, two, three)), strict=False)]
    assert read


def test_an_error_in_the_block_leaves_the_client_as_it_was(place: str, client: Client) -> None:
    put = client.blobs.put(place, os.urandom(3_000_000))

    def read_and_fail() -> None:
        with client.blobs.open(place, put) as reader:
            next(iter(reader))
            raise KeyError

    with pytest.raises(KeyError):
        read_and_fail()
    assert client.blobs.contains(place, put)


def test_download(place: str, client: Client, tmp_path: Path) -> None:
    put = client.blobs.put(place, DATA)
    path = tmp_path / "there" / "file"
    path.parent.mkdir()
    assert client.blobs.download(place, put, path) == path
    assert path.read_bytes() == DATA
    path.write_bytes(b"older")
    client.blobs.download(place, DIGEST, str(path))
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]


def test_a_download_goes_on_where_it_stopped(
    registry: RealRegistry, repository: str, proxy: CountingProxy, client: Client, tmp_path: Path
) -> None:
    large = os.urandom(3_000_000)
    put = client.blobs.put(f"{registry.host}/{repository}", large)
    path = tmp_path / "file"
    part = tmp_path / f".file.{put.digest.hex[:32]}.part"
    part.write_bytes(large[:2_000_000])
    client.blobs.download(f"{proxy.host}/{repository}", put, path)
    assert path.read_bytes() == large
    assert sum(exchange.response_bytes for exchange in proxy.exchanges) < 1_100_000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("begun", [b"x" * 1000, b"x" * 100_000])
def test_what_was_begun_and_is_damaged_is_not_kept(place: str, client: Client, tmp_path: Path, begun: bytes) -> None:
    put = client.blobs.put(place, DATA)
    path = tmp_path / "there" / "file"
    path.parent.mkdir()
    part = path.with_name(f".file.{put.digest.hex[:32]}.part")
    part.write_bytes(begun)
    if len(begun) < len(DATA):
        with pytest.raises(DigestMismatch):
            client.blobs.download(place, put, path)
        assert list(path.parent.iterdir()) == []
    client.blobs.download(place, put, path)
    assert path.read_bytes() == DATA


def test_a_part_is_no_link(place: str, client: Client, tmp_path: Path) -> None:
    put = client.blobs.put(place, DATA)
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    path = tmp_path / "there" / "file"
    path.parent.mkdir()
    path.with_name(f".file.{put.digest.hex[:32]}.part").symlink_to(outside)
    with pytest.raises(LadingError, match="cannot be written"):
        client.blobs.download(place, put, path)
    assert outside.read_bytes() == b""


def test_describe_and_read_a_part(place: str, client: Client) -> None:
    put = client.blobs.put(place, DATA)
    assert client.blobs.describe(place, DIGEST) == Descriptor(digest=Digest(DIGEST), size=len(DATA))
    assert client.blobs.read_part(place, put, 2, 4) == DATA[2:6]
    assert client.blobs.read_part(place, DIGEST, len(DATA) - 2, 10) == DATA[-2:]
    assert client.blobs.read_part(place, put, len(DATA), 10) == b""
    with pytest.raises(NotFound):
        client.blobs.describe(place, ABSENT)


def test_copy(place: str, client: Client, tmp_path: Path) -> None:
    put = client.blobs.put(place, DATA)
    for target in (f"oci:{tmp_path}/other", f"{place}-other"):
        assert client.blobs.copy(place, DIGEST, target).digest == put.digest
        assert client.blobs.get(target, DIGEST) == DATA
    with pytest.raises(NotFound):
        client.blobs.copy(place, ABSENT, f"oci:{tmp_path}/other")


def test_within_a_registry_no_byte_moves(
    registry: RealRegistry, repository: str, proxy: CountingProxy, client: Client
) -> None:
    client.blobs.put(f"{registry.host}/{repository}", DATA)
    client.blobs.copy(f"{proxy.host}/{repository}", DIGEST, f"{proxy.host}/{repository}-other")
    assert [line for line in proxy.lines if line.startswith(("GET", "PATCH", "PUT"))] == []
    assert client.blobs.get(f"{registry.host}/{repository}-other", DIGEST) == DATA


def test_a_digest_that_is_expected(place: str, client: Client) -> None:
    with pytest.raises(DigestMismatch, match="another digest"):
        client.blobs.put(place, DATA, digest=ABSENT)
    assert not client.blobs.contains(place, DIGEST)
    assert client.blobs.put(place, DATA, digest=DIGEST).digest == DIGEST


def test_a_download_that_fails_leaves_what_was_there(place: str, client: Client, tmp_path: Path) -> None:
    client.blobs.put(place, DATA)
    path = tmp_path / "there" / "file"
    path.parent.mkdir()
    path.write_bytes(b"older")
    with pytest.raises(NotFound):
        client.blobs.download(place, ABSENT, path)
    with pytest.raises(DigestMismatch):
        client.blobs.download(place, Descriptor(digest=Digest(DIGEST), size=7), path)
    assert path.read_bytes() == b"older"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(LadingError, match="cannot be written"):
        client.blobs.download(place, DIGEST, tmp_path / "nowhere" / "file")


def test_delete(place: str, client: Client) -> None:
    put = client.blobs.put(place, DATA)
    client.blobs.delete(place, put)
    assert not client.blobs.contains(place, put)
    client.blobs.put(place, DATA)
    client.blobs.delete(place, DIGEST)
    with pytest.raises(NotFound):
        client.blobs.get(place, put)


def test_what_is_not_there(place: str, client: Client) -> None:
    client.blobs.put(place, b"something else")
    for blob in (ABSENT, Descriptor(digest=Digest(ABSENT), size=7)):
        with pytest.raises(NotFound):
            client.blobs.get(place, blob)


async def test_many_at_once_without_a_thread(registry: RealRegistry, repository: str) -> None:
    import asyncio

    place = f"{registry.host}/{repository}"
    async with AsyncClient() as client:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.blobs.put(place, os.urandom(10_000))) for _ in range(20)]
        for task in tasks:
            assert await client.blobs.contains(place, task.result())
        async with client.blobs.open(place, tasks[0].result()) as reader:
            assert len(b"".join([chunk async for chunk in reader])) == 10_000


def test_what_it_costs(proxy: CountingProxy, repository: str, client: Client) -> None:
    place = f"{proxy.host}/{repository}"
    client.blobs.put(place, DATA)
    assert [request.method for request in proxy.exchanges] == ["HEAD", "POST", "PUT"]
    proxy.reset()
    put = client.blobs.put(place, DATA)
    client.blobs.contains(place, put)
    client.blobs.contains(place, DIGEST)
    assert [request.method for request in proxy.exchanges] == ["HEAD"] * 3
    proxy.reset()
    client.blobs.get(place, put)
    assert [request.method for request in proxy.exchanges] == ["GET"]
    proxy.reset()
    client.blobs.get(place, DIGEST)
    assert [request.method for request in proxy.exchanges] == ["GET"]


def test_an_image_of_ones_own(place: str, client: Client) -> None:
    """A manifest is put after its blobs, and is found again."""
    image = make_image("linux/arm64")
    for data in image.blobs.values():
        client.blobs.put(place, data)
    put = client.put(image.content, f"{place}:1")
    assert put.digest == image.digest
    assert client.get_manifest(f"{place}:1").raw == image.content
    assert str(client.config(f"{place}:1").platform) == "linux/arm64"
