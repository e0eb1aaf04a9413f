"""OCI archives: of every compression, written reproducibly and whole or not at all, read from pipes too."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import Conflict, DigestMismatch, InvalidContent, LadingError, NotFound, UsageError
from lading.io.tar_stream import Member
from lading.io.tar_writer import SYMLINK, TarWriter, directory
from lading.io.tarball import Compression, compressed, read_tar, sniff
from lading.model.descriptor import Descriptor
from lading.model.manifest import parse
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import background
from lading.store import FetchesManifests, PutsManifests, Readable, Store, fetch_manifest, read
from lading.stores.layout.archive import read_archive, write_archive
from lading.stores.layout.layout import Layout
from lading.stores.memory import Memory
from lading.transfer.graph import Copier
from support import images
from support.parts import need, times

Fill = Callable[..., Awaitable[Descriptor]]
ENDINGS: dict[str, Compression] = {
    ".tar": "none",
    ".tar.gz": "gzip",
    ".tgz": "gzip",
    ".tar.zst": "zstd",
    ".tar.bz2": "bzip2",
    ".tar.xz": "xz",
    ".oci": "none",
}


async def write(path: Path, fill: Fill, manifest: images.Manifest, *names: str) -> None:
    async with write_archive(path) as store:
        await fill(store, manifest, *names)


def members(path: Path) -> list[tarfile.TarInfo]:
    with path.open("rb") as file, read_tar(file, "the archive") as tar:
        return list(tar)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_there_and_back(tmp_path: Path, fill: Fill, index: images.Manifest, ending: str) -> None:
    path = tmp_path / f"app{ending}"
    await write(path, fill, index, "1", "latest")
    assert sniff(path.read_bytes()[:6]) == ENDINGS[ending]
    layout = Layout(tmp_path / "back", create=True)
    async with read_archive(path) as store:
        assert isinstance(store, FetchesManifests)
        assert [tag async for tag in store.tags()] == ["1", "latest"]
        content = await store.resolve("latest")
        assert content.digest == index.digest
        await Copier(layout).copy(store, content, names=["1"])
        blob = parse(index.children[0].content).children[1]
        assert await read(store, blob) == index.children[0].blobs[blob.digest]
        assert not await store.contains(Descriptor.of(b"other", ""))
        assert await store.resolve("") == content
    assert (await layout.fetch("1")).raw == index.content
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [path.name]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, "back"])


async def test_through_a_registry(tmp_path: Path, fill: Fill, index: images.Manifest) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    await write(one, fill, index, "1")
    with background() as url:
        async with Session() as session:
            repository = Repository(session, url.removeprefix("http://"), "app", writing=True)
            async with read_archive(one) as source:
                await Copier(repository).copy(source, await source.resolve(""), names=["1"])
            async with write_archive(two) as target:
                await Copier(target).copy(repository, await repository.resolve("1"), names=["1"])
    assert one.read_bytes() == two.read_bytes()


async def test_equal_content_gives_equal_bytes(
    tmp_path: Path, fill: Fill, index: images.Manifest, image: images.Manifest
) -> None:
    for ending in (".tar", ".tar.gz", ".tar.zst", ".tar.bz2", ".tar.xz"):
        one, two = tmp_path / f"one{ending}", tmp_path / f"two{ending}"
        async with write_archive(one) as store:
            await fill(store, index, "1", "2")
            await fill(store, image, "3")
        await write(two, fill, image, "3")
        await write(two, fill, index, "2", "1")
        assert one.read_bytes() == two.read_bytes()


async def test_referrers_give_equal_bytes_in_any_order(
    tmp_path: Path, fill: Fill, image: images.Manifest, signature: images.Manifest
) -> None:
    other = images.make_artifact("application/vnd.example.sbom", subject=image)
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    async with write_archive(one) as store:
        for item in (signature, other):
            await fill(store, item)
        await fill(store, image, "1")
    await write(two, fill, image, "1")
    for item in (other, signature):
        await write(two, fill, item)
    assert one.read_bytes() == two.read_bytes()


async def test_the_archive_is_plain(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    path = tmp_path / "app.tar"
    await write(path, fill, image, "1")
    digests = sorted([image.digest, *image.blobs])
    found = members(path)
    assert [member.name for member in found] == [
        *(f"blobs/{digest.replace(':', '/')}" for digest in digests),
        "index.json",
        "oci-layout",
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode, m.type) for m in found} == {
        (0, 0, "", "", 0, 0o644, tarfile.REGTYPE)
    }
    data = path.read_bytes()
    assert len(data) == sum(512 + -(-member.size // 512) * 512 for member in found) + 1024
    assert data[-1024:] == bytes(1024)


async def test_what_was_in_the_archive_stays_there(
    tmp_path: Path, fill: Fill, index: images.Manifest, image: images.Manifest
) -> None:
    path = tmp_path / "app.tar.gz"
    path.touch()  # an empty file, as mktemp makes it, is a new archive
    path.chmod(0o600)
    await write(path, fill, index, "1")
    await write(path, fill, image, "2")
    assert path.stat().st_mode & 0o777 == 0o600
    async with read_archive(path) as store:
        assert [tag async for tag in store.tags()] == ["1", "2"]
        for manifest in (index, image):
            await Copier(Memory()).copy(store, await store.resolve(manifest.digest))


async def test_a_failure_leaves_what_was_there(
    tmp_path: Path, fill: Fill, index: images.Manifest, image: images.Manifest
) -> None:
    new, old = tmp_path / "new.tar", tmp_path / "old.tar"
    await write(old, fill, index, "1")
    before = old.read_bytes()

    async def fail(path: Path) -> None:
        async with write_archive(path) as store:
            await fill(store, image, "2")
            raise ConnectionResetError

    for path in (new, old):
        with pytest.raises(ConnectionResetError):
            await fail(path)
    assert old.read_bytes() == before
    assert list(tmp_path.iterdir()) == [old]


async def test_somebody_else_was_faster(
    tmp_path: Path, fill: Fill, index: images.Manifest, image: images.Manifest
) -> None:
    path = tmp_path / "app.tar"

    async def be_slow() -> None:
        async with write_archive(path) as store:
            await fill(store, image, "2")
            with pytest.raises(Conflict, match="being written to already"):
                await write(path, fill, index, "1")
            await write(tmp_path / "other", fill, index, "1")
            (tmp_path / "other").rename(path)  # as a program does that heeds no lock

    with pytest.raises(Conflict, match="changed by somebody else"):
        await be_slow()
    async with read_archive(path) as store:
        assert [tag async for tag in store.tags()] == ["1"]
    assert list(tmp_path.iterdir()) == [path]


async def test_a_symbolic_link_is_followed(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.tar").symlink_to("real/app.tar")
    await write(tmp_path / "link.tar", fill, image, "1")
    assert (tmp_path / "link.tar").is_symlink()
    assert (tmp_path / "real/app.tar").is_file()


async def test_what_cannot_be_opened(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    (tmp_path / "text").write_text("hello, this is no archive")
    (tmp_path / "empty").touch()
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "text", "text")
    for name, error in [
        ("missing", NotFound),
        ("text", InvalidContent),
        ("empty", InvalidContent),
        ("other.tar", InvalidContent),
        (".", UsageError),
    ]:
        with pytest.raises(error):
            async with read_archive(tmp_path / name):
                pass
    before = (tmp_path / "other.tar").read_bytes()
    for name, error in [("nowhere/x.tar", NotFound), ("text", InvalidContent), ("other.tar", InvalidContent)]:
        with pytest.raises(error):
            await write(tmp_path / name, fill, image, "1")
    with pytest.raises(UsageError):
        await write(tmp_path, fill, image, "1")
    assert (tmp_path / "other.tar").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty", "other.tar", "text"]


async def test_names_of_members_in_other_forms(
    tmp_path: Path, image: images.Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "unpacked"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    contents = {image.digest: image.content, **image.blobs}
    listing = {"schemaVersion": 2, "manifests": [{"digest": image.digest, "size": image.size}]}
    for ending in ("", ".gz"):
        path = tmp_path / f"app.tar{ending}"
        with path.open("wb") as file, compressed(file, "gzip" if ending else "none") as out:
            tar = TarWriter(out)
            tar.add(directory("./"))
            tar.add_bytes("./index.json", json.dumps(listing).encode())
            for number, (digest, data) in enumerate(contents.items()):
                name = f"./blobs/{digest.replace(':', '/')}"
                if number % 2:
                    tar.add(
                        Member(
                            name=name,
                            type=SYMLINK,
                            mode=0o777,
                            uid=0,
                            gid=0,
                            size=0,
                            mtime=0,
                            link=f"../../elsewhere/{number}",
                        )
                    )
                    tar.add_bytes(f"elsewhere/{number}", data)
                else:
                    tar.add_bytes(name, data)
            tar.add_bytes("../escaped", b"x")
            tar.close()
        if ending:
            # Unpacking takes the files of a layout, and nothing that a link leads to elsewhere.
            async with read_archive(path) as store:
                assert (await store.resolve("")).digest == image.digest
            assert list((tmp_path / "unpacked").iterdir()) == []
        else:
            async with read_archive(path) as store:
                await Copier(Memory()).copy(store, await store.resolve(""))


async def test_damage_in_an_archive(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    path = tmp_path / "app.tar"
    await write(path, fill, image, "1")
    whole = path.read_bytes()
    at = whole.index(image.content)
    path.write_bytes(whole[:at] + b"[" + whole[at + 1 :])
    async with read_archive(path) as store:
        with pytest.raises(DigestMismatch, match="is damaged"):
            await store.fetch("1")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidContent):
        async with read_archive(path):
            pass


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    image = images.make_image(seed="small")
    listing = {"schemaVersion": 2, "manifests": [{"digest": image.digest, "size": image.size}]}
    made = {}
    for ending, compression in ENDINGS.items():
        out = io.BytesIO()
        with compressed(out, compression) as file:
            tar = TarWriter(file)
            for digest, data in {image.digest: image.content, **image.blobs}.items():
                tar.add_bytes(f"blobs/{digest.replace(':', '/')}", data)
            tar.add_bytes("index.json", json.dumps(listing).encode())
            tar.close()
        made[ending] = out.getvalue()
    return made


@given(ending=st.sampled_from(list(ENDINGS)), where=st.floats(0, 0.999), what=st.binary(max_size=4), cut=st.booleans())
@settings(max_examples=times(50, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_reported(
    tmp_path: Path, small: dict[str, bytes], ending: str, where: float, what: bytes, cut: bool
) -> None:
    data = small[ending]
    at = int(where * len(data))
    path = tmp_path / "app"
    path.write_bytes(data[:at] + what + (b"" if cut else data[at + len(what) :]))

    async def use() -> None:
        async with read_archive(path) as store:
            await Copier(target).copy(store, await store.resolve(""))

    target = Memory()
    with contextlib.suppress(LadingError):
        asyncio.run(use())


async def test_from_a_pipe_and_into_one(tmp_path: Path, fill: Fill, index: images.Manifest) -> None:
    path = tmp_path / "app.tar.gz"
    await write(path, fill, index, "1")
    script = """
import asyncio, sys
from lading.stores.layout.archive import read_archive, write_archive
from lading.transfer.graph import Copier
async def main():
    async with read_archive("-") as source, write_archive("-") as target:
        await Copier(target).copy(source, await source.resolve(""), names=["1"])
asyncio.run(main())
"""
    made, plain = tmp_path / "made.tar", tmp_path / "plain.tar"
    shell('set -o pipefail; cat "$0" | "$1" -c "$2" > "$3"', path, sys.executable, script, made)
    await write(plain, fill, index, "1")
    assert made.read_bytes() == plain.read_bytes()
    # What comes after the archive is read too, or the one who writes it would fail.
    padded = 'set -o pipefail; (cat "$0" && head -c 5000000 /dev/zero) | "$1" -c "$2" > "$3"'
    shell(padded, plain, sys.executable, script, made)
    assert made.read_bytes() == plain.read_bytes()


async def test_a_named_pipe(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    path, pipe = tmp_path / "app.tar", tmp_path / "pipe"
    await write(path, fill, image, "1")
    os.mkfifo(pipe)
    writing = asyncio.create_task(asyncio.to_thread(shell, 'cat "$0" > "$1"', path, pipe))
    async with read_archive(pipe) as store:
        assert (await store.fetch("1")).raw == image.content
    await writing


async def test_an_archive_that_is_read_is_not_changed(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    for ending in (".tar", ".tar.gz"):
        path = tmp_path / f"app{ending}"
        await write(path, fill, image, "1")
        async with read_archive(path) as store:
            assert await store.contains(await store.resolve("1"))
            assert isinstance(store, Readable)
            assert not isinstance(store, Store)


# --- other tools


def shell(script: str, *arguments: str | Path) -> None:
    subprocess.run(["bash", "-c", script, *arguments], check=True, timeout=60)


def skopeo(*arguments: str) -> str:
    program = need("skopeo")
    done = subprocess.run(
        [program, "--insecure-policy", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2"])
async def test_skopeo_reads_what_was_written(tmp_path: Path, fill: Fill, index: images.Manifest, ending: str) -> None:
    path = tmp_path / f"app{ending}"
    await write(path, fill, index, "1")
    skopeo("copy", "--all", "--preserve-digests", f"oci-archive:{path}:1", f"dir:{tmp_path}/dir")
    assert (tmp_path / "dir/manifest.json").read_bytes() == index.content


async def test_what_skopeo_wrote_is_read(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    source = images.make_image(kind="oci", layers=2, seed="skopeo")
    await fill(Layout(tmp_path / "layout", create=True), source, "1")
    path = tmp_path / "app.tar"
    skopeo("copy", "--preserve-digests", f"oci:{tmp_path}/layout:1", f"oci-archive:{path}:docker.io/library/app:1")
    memory: Store = Memory()
    async with read_archive(path) as store:
        assert [tag async for tag in store.tags()] == ["1"]
        await Copier(memory).copy(store, await store.resolve("1"), names=["1"])
    assert (await fetch_manifest(memory, "1")).raw == source.content
    await write(path, fill, image, "2")
    async with write_archive(path) as store:
        assert isinstance(store, PutsManifests)
        assert {tag async for tag in store.tags()} == {"1", "2"}


async def test_gnu_tar_unpacks_what_was_written(tmp_path: Path, fill: Fill) -> None:
    # GNU tar checks what it unpacks, and knows nothing of Python's tarfile.
    image = images.make_image(layers=3, seed="tar")
    path = tmp_path / "app.tar.zst"
    await write(path, fill, image, "1")
    (tmp_path / "out").mkdir()
    need("zstd")
    shell('tar --zstd -xf "$0" -C "$1"', path, tmp_path / "out")
    for file in (tmp_path / "out/blobs/sha256").iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    layout: Any = Layout(tmp_path / "out")
    assert (await layout.fetch("1")).raw == image.content


async def test_an_archive_is_written_only_if_something_was(tmp_path: Path, fill: Fill, image: images.Manifest) -> None:
    path = tmp_path / "a.tar"
    async with write_archive(path):
        pass
    assert list(tmp_path.iterdir()) == []
    async with write_archive(path) as store:
        await fill(store, image, "v1")
    before = path.stat()
    async with write_archive(path) as store:
        await fill(store, image, "v1")
    after = path.stat()  # but for the time of the last access: the archive was read
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    async with write_archive(path) as store:
        assert isinstance(store, Layout)
        await store.tag(await store.resolve("v1"), "v2")
        await store.untag("v1")
    async with read_archive(path) as store:
        assert [tag async for tag in store.tags()] == ["v2"]
