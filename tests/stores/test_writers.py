"""Archives that are written to more than once, or by two at the same time; and whoever waits for a lock says so."""

import asyncio
import fcntl
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.drafts.draft import Draft
from lading.drafts.store import DraftStore
from lading.errors import Conflict, InvalidContent, Unsupported
from lading.io import locks
from lading.model.manifest import parse
from lading.model.reference import Reference
from lading.store import from_bytes, put_manifest
from lading.stores.layout.layout import Layout
from support import images
from support.lading import Lading
from support.parts import need
from support.process import run

ARCHES = ("amd64", "arm64", "s390x")
IMAGES = {arch: images.make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ARCHES}
KINDS = pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])


@pytest.fixture(autouse=True)
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a layout that has an image for each architecture."""
    monkeypatch.chdir(tmp_path)
    layout = Layout("in", create=True)
    for arch, image in IMAGES.items():
        manifest = parse(image.content, image.media_type)
        for child in manifest.children:
            await layout.write(child, from_bytes(image.blobs[child.digest]))
        await put_manifest(layout, manifest, [arch])
    return tmp_path


async def names(client: AsyncClient, place: str) -> dict[str, str]:
    return {info.tag: info.digest or "" for info in await client.tags(place, digests=True)}


# --- Docker archives that exist


async def test_what_was_in_a_docker_archive_stays(client: AsyncClient, here: Path) -> None:
    for arch in ARCHES:
        await client.copy(f"oci:in:{arch}", f"docker-archive:x.tar:x.example/y:{arch}")
    assert await names(client, "docker-archive:x.tar:x.example/y") == {a: i.digest for a, i in IMAGES.items()}
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []
    # A name that is given to another image leaves the one that had it, which goes if that was its only one.
    report = await client.copy("oci:in:arm64", "docker-archive:x.tar:x.example/y:amd64")
    assert [(tag.state, tag.previous) for tag in report.images[0].targets] == [("moved", IMAGES["amd64"].digest)]
    arm, s390x = IMAGES["arm64"].digest, IMAGES["s390x"].digest
    assert await names(client, "docker-archive:x.tar:x.example/y") == {"amd64": arm, "arm64": arm, "s390x": s390x}
    with tarfile.open("x.tar") as tar:
        assert f"blobs/sha256/{IMAGES['amd64'].digest[7:]}" not in tar.getnames()
    # Of images without a name there is one.
    for arch in ("s390x", "amd64"):
        await client.copy(f"oci:in@{IMAGES[arch].digest}", "docker-archive:x.tar")
    with tarfile.open("x.tar") as tar:
        listed = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert sorted(len(entry["RepoTags"] or ()) for entry in listed) == [0, 1, 2]


async def test_other_programs_read_both(client: AsyncClient) -> None:
    skopeo = need("skopeo")
    for arch in ("amd64", "arm64"):
        await client.copy(f"oci:in:{arch}", f"docker-archive:x.tar:x.example/y:{arch}")
    for arch in ("amd64", "arm64"):
        said = run([skopeo, "inspect", "--config", f"docker-archive:x.tar:x.example/y:{arch}"]).stdout
        assert json.loads(said)["architecture"] == arch


async def test_what_another_program_saved_stays(client: AsyncClient) -> None:
    image = images.make_image("linux/amd64", seed="saved")
    with tarfile.open("x.tar", "w") as tar:
        entry = {"Config": "c.json", "RepoTags": ["saved:1", "saved:2"], "Layers": ["/l.tar"]}
        for name, content in (
            ("c.json", image.config),
            ("l.tar", image.layers[0]),
            ("manifest.json", json.dumps([entry]).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    before = await client.digest("docker-archive:x.tar")
    await client.copy("oci:in:arm64", "docker-archive:x.tar:saved:2")
    assert await names(client, "docker-archive:x.tar:saved") == {"1": before, "2": IMAGES["arm64"].digest}


async def test_an_archive_that_cannot_be_added_to_stays_as_it_is(client: AsyncClient, here: Path) -> None:
    Path("x.tar").write_bytes(b"nothing")
    with pytest.raises(InvalidContent, match="not a tar archive"):
        await client.copy("oci:in:amd64", "docker-archive:x.tar:y:1")
    assert Path("x.tar").read_bytes() == b"nothing"
    # What docker save writes of two platforms.
    Path("x.tar").unlink()
    index = images.make_index([IMAGES["amd64"], IMAGES["arm64"]], kind="oci")
    layout = Layout("in")
    await put_manifest(layout, parse(index.content, index.media_type), ["all"])
    entry = index.descriptor(annotations={"io.containerd.image.name": "docker.io/library/two:1"})
    Path("in/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    with tarfile.open("x.tar", "w") as tar:
        tar.add("in", ".")
        member = tarfile.TarInfo("manifest.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"[]"))
    before = Path("x.tar").read_bytes()
    with pytest.raises(Unsupported, match="2 of its images"):
        await client.copy(f"oci:in@{IMAGES['arm64'].digest}", "docker-archive:x.tar:y:1")
    assert Path("x.tar").read_bytes() == before
    assert sorted(path.name for path in here.iterdir() if path.name != "docker") == ["in", "x.tar"]


async def test_an_empty_file_is_filled(client: AsyncClient) -> None:
    Path("x.tar").touch()
    await client.copy("oci:in:amd64", "docker-archive:x.tar:y:1")
    assert await client.digest("docker-archive:x.tar") == IMAGES["amd64"].digest


@KINDS
async def test_a_guard_is_about_one_name(client: AsyncClient, kind: str) -> None:
    await client.copy("oci:in:amd64", f"{kind}:x.tar:y:1")
    await client.copy("oci:in:arm64", f"{kind}:x.tar:y:2", clobber=False)
    await client.copy("oci:in:s390x", f"{kind}:x.tar:y:3", if_digest="absent")
    before = Path("x.tar").read_bytes()
    for clobber, expected in ((False, None), (True, "absent"), (True, IMAGES["arm64"].digest)):
        with pytest.raises(Conflict):
            await client.copy("oci:in:s390x", f"{kind}:x.tar:y:1", clobber=clobber, if_digest=expected)
    assert Path("x.tar").read_bytes() == before
    await client.copy("oci:in:s390x", f"{kind}:x.tar:y:1", if_digest=IMAGES["amd64"].digest)
    assert len(await names(client, f"{kind}:x.tar")) == 3


# --- two at once


@KINDS
async def test_two_writers_lose_nothing(client: AsyncClient, kind: str, here: Path) -> None:
    await asyncio.gather(*(client.copy(f"oci:in:{arch}", f"{kind}:x.tar:y:{arch}") for arch in ARCHES))
    for arch, image in IMAGES.items():
        assert await client.digest(f"{kind}:x.tar:y:{arch}") == image.digest
    assert sorted(path.name for path in here.iterdir() if path.name != "docker") == ["in", "x.tar"]


@KINDS
async def test_of_two_with_one_guard_one_wins(client: AsyncClient, kind: str) -> None:
    done = await asyncio.gather(
        *(client.copy(f"oci:in:{arch}", f"{kind}:x.tar:y:1", clobber=False) for arch in ARCHES), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in done) == ["Conflict", "Conflict", "CopyReport"]


@contextmanager
def held(path: str) -> Iterator[Callable[[], None]]:
    """Hold a lock as another process does, until the function that is given is called."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.close


@pytest.mark.parametrize(
    "target, lock",
    [
        ("oci:in:new", "in/.lading/lock"),
        ("oci-archive:x.tar:new", ".x.tar.lock"),
        ("docker-archive:x.tar:y:new", ".x.tar.lock"),
    ],
)
async def test_a_wait_for_a_lock_is_told(target: str, lock: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SILENT", 0)
    notes: list[str] = []
    with held(lock) as release:

        def told(note: str) -> None:
            notes.append(note)
            release()

        async with AsyncClient(on_note=told, docker_config=here / "docker") as client:
            await client.copy("oci:in:amd64", target)
            assert await client.digest(target) == IMAGES["amd64"].digest
    (note,) = notes
    assert "waiting for another process" in note
    assert lock in note


async def test_a_wait_for_the_lock_of_a_draft_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SILENT", 0)
    reference = Reference.parse("x.example/app:1")
    DraftStore(here / "drafts").save(Draft(reference=reference))
    (lock,) = (here / "drafts/.lading/locks").iterdir()
    notes: list[str] = []
    with held(str(lock)) as release:

        def told(note: str) -> None:
            notes.append(note)
            release()

        DraftStore(here / "drafts", on_wait=told).remove([reference])
    assert str(lock) in "".join(notes)


def test_the_command_line_tells_it(lading: Lading, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SILENT", 0)
    monkeypatch.setattr("lading.stores.layout.index_file._PATIENCE", 0.02)
    with held("in/.lading/lock"):
        ran = lading.run("tag", "oci:in:amd64", "new", cwd=here, check=False)
    assert ran.returncode == 8
    warning, error, *_ = ran.stderr.splitlines()
    assert warning.startswith("warning: waiting for another process that writes to in: it holds in/.lading/lock")
    assert error.startswith("error: another process has been writing to in for")
