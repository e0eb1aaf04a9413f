"""Layers on images for Windows: the form that they get, what stays as it is, and what is refused."""

import base64
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lading import AsyncClient, Image, InvalidContent, Unsupported
from lading.edits import LayerFrom
from lading.images.edits.edit import Edit
from lading.images.edits.files import MakeReproducible, ReplaceFile, StripFiles
from lading.images.edits.squash import Flatten, Squash
from support.images import make_image, push
from support.lading import Lading
from support.layers import Entry, archive
from support.parts import need
from support.process import run
from support.registry import RealRegistry

WINDOWS = archive(
    [Entry("Files", "5"), Entry("Hives", "5"), Entry("Files/a.txt", content=b"old", pax={"MSWINDOWS.fileattr": "32"})]
)
LONG = "n" * 90 + "/" + "m" * 90
SPARSE = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "app/sparse",
    "GNU.sparse.realsize": "1000",
}
MEMBERS = [
    Entry("./", "5"),
    Entry("app/", "5", mode=0o755, mtime=5),
    Entry("./app/run.exe", content=b"x" * 700, mode=0o755, uid=7, pax={"mtime": "1.50", "SCHILY.xattr.user.a": "b"}),
    Entry("app/hard", "1", link="./app/run.exe"),
    Entry("app/soft", "2", link="../other"),
    Entry(f"app/{LONG}", content=b"long", is_gnu=True),
    Entry("app/größe", content=b"1", pax={"path": "app/größe", "atime": "7.0", "uname": ""}),
    Entry("app/.wh.gone"),
    Entry("app/sparse", content=b"1\n0\n3\n".ljust(512, b"\0") + b"abc", pax=SPARSE),
]


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient() as client:
        yield client


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "windows.tar").write_bytes(WINDOWS)
    (tmp_path / "plain.tar").write_bytes(archive(MEMBERS))
    return tmp_path


async def plain_layers(client: AsyncClient, place: str, platform: str | None = None) -> list[bytes]:
    """The layers of an image that has them without compression."""
    layers = []
    async with client.images.open(place, platform=platform) as image:
        assert isinstance(image, Image)
        for layer in image.manifest.layers:
            async with image.store.open(layer) as reader:
                layers.append(b"".join([chunk async for chunk in reader]))
    return layers


def listed(plain: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {one.name: one for one in tar}


async def test_files_go_below_files_with_an_owner(client: AsyncClient, files: Path) -> None:
    place, plain = f"oci:{files / 'out'}:1", LayerFrom(path=str(files / "plain.tar"), compression="none")
    await client.images.create(plain, targets=place, platforms="windows/amd64")
    (layer,) = await plain_layers(client, place)
    found = listed(layer)
    assert list(found) == [
        *("Files", "Hives", "Files/app", "Files/app/run.exe", "Files/app/hard", "Files/app/soft"),
        *(f"Files/app/{LONG}", "Files/app/größe", "Files/app/.wh.gone", "Files/app/sparse"),
    ]
    assert [found[name].mode for name in ("Files", "Hives")] == [0o555, 0o555]
    assert [found[name].pax_headers for name in ("Files", "Hives")] == [{}, {}]
    # O:BU G:BU, as ConvertStringSecurityDescriptorToSecurityDescriptor gives it.
    owner = base64.b64encode(bytes.fromhex("01000080140000002400000000000000 00000000".replace(" ", "")
                             + "01020000000000052000000021020000" * 2)).decode()  # fmt: skip
    assert {one.pax_headers.get("MSWINDOWS.rawsd") for name, one in found.items() if "/" in name} == {owner}
    assert found["Files/app/hard"].linkname == "Files/app/run.exe"
    assert found["Files/app/soft"].linkname == "../other"
    program = found["Files/app/run.exe"]
    assert (program.mode, program.uid, program.mtime, program.pax_headers["SCHILY.xattr.user.a"]) == (
        0o755,
        7,
        1.5,
        "b",
    )
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        sparse = tar.extractfile("Files/app/sparse")
        assert sparse is not None
        assert sparse.read() == b"abc".ljust(1000, b"\0")
    assert layer.endswith(bytes(1024))


async def test_a_layer_for_windows_stays_as_it_is(client: AsyncClient, files: Path, lading: Lading) -> None:
    place, windows = f"oci:{files / 'out'}:1", LayerFrom(path=str(files / "windows.tar"), compression="none")
    await client.images.create(windows, targets=place, platforms="windows/amd64")
    assert await plain_layers(client, place) == [WINDOWS]
    report = await client.images.append(None, windows, targets=f"oci:{files / 'out'}:2", platforms="linux/amd64")
    assert any("is a layer for Windows" in str(note) for note in report.notes)
    (files / "mixed.tar").write_bytes(archive("Files/ Files/a=a other=1"))
    ran = lading.run("image", "append", place, "mixed.tar", "-t", "3", check=False, cwd=files)
    assert ran.returncode == 7
    assert "Files at its root" in ran.stderr


async def test_files_on_disk_and_an_index_with_both(client: AsyncClient, files: Path) -> None:
    (files / "site").mkdir()
    (files / "site/index.html").write_text("<p>")
    out = f"oci:{files / 'out'}"
    for name in ("windows", "linux"):
        base = LayerFrom(path=str(files / "windows.tar"), compression="none")
        await client.images.create(base, targets=f"{out}:{name}", platforms=f"{name}/amd64")
    await client.indexes.create(f"{out}:all", [f"{out}:windows", f"{out}:linux"])
    site = LayerFrom(path=str(files / "site"), place="/srv/www", compression="none")
    await client.images.append(f"{out}:all", site, targets=f"{out}:new")
    on_windows = listed((await plain_layers(client, f"{out}:new", "windows/amd64"))[-1])
    on_linux = listed((await plain_layers(client, f"{out}:new", "linux/amd64"))[-1])
    assert list(on_linux) == ["srv", "srv/www", "srv/www/index.html"]
    assert list(on_windows) == ["Files", "Hives", *(f"Files/{name}" for name in on_linux)]
    again = await client.images.append(f"{out}:all", site, targets=f"{out}:again")
    assert again.images[0].digest == await client.digest(f"{out}:new")


async def test_edits_of_the_layers(client: AsyncClient, files: Path) -> None:
    out = f"oci:{files / 'out'}"
    layers = [LayerFrom(path=str(files / name), compression="none") for name in ("windows.tar", "plain.tar")]
    await client.images.create(*layers, targets=f"{out}:1", platforms="windows/amd64")
    for edit in (Flatten(), Squash(from_layer="1")):
        with pytest.raises(Unsupported) as refused:
            await client.images.edit(f"{out}:1", edit, targets=f"{out}:2")
        assert refused.value.code == "windows-layer"
        assert "other platforms" in str(refused.value.remedy)
    edits: list[Edit] = [ReplaceFile("Files/a.txt", b"new"), StripFiles(("Files/app/soft",)), MakeReproducible()]
    await client.images.edit(f"{out}:1", *edits, targets=f"{out}:2")
    first, second = map(listed, await plain_layers(client, f"{out}:2"))
    assert first["Files/a.txt"].size == 3
    assert first["Files/a.txt"].pax_headers["MSWINDOWS.fileattr"] == "32"
    assert "Files/app/soft" not in second
    assert "MSWINDOWS.rawsd" in second["Files/app/run.exe"].pax_headers


def test_looking_into_one(lading: Lading, files: Path) -> None:
    lading.run("image", "create", "oci:out:1", "windows.tar", "--platform", "windows/amd64", cwd=files)
    assert lading.run("image", "ls", "oci:out:1", "-R", cwd=files).stdout.split() == ["Files", "Files/a.txt", "Hives"]
    assert lading.run("image", "cat", "oci:out:1", "/Files/a.txt", cwd=files).stdout == "old"
    assert "is for Windows" in lading.run("image", "export", "oci:out:1", "out.tar", cwd=files).stderr


async def test_a_path_that_leads_out_is_refused(client: AsyncClient, files: Path) -> None:
    (files / "out.tar").write_bytes(archive([Entry("../x", content=b"x")]))
    out = LayerFrom(path=str(files / "out.tar"))
    with pytest.raises(InvalidContent):
        await client.images.create(out, targets=f"oci:{files / 'out'}:1", platforms="windows/amd64")


def test_crane_finds_the_same_diff_id(
    lading: Lading, files: Path, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    crane = need("crane")
    repository = new_repository()
    place = f"{registry.host}/{repository}"
    push(registry.host, repository, "linux", make_image(kind="oci"))
    lading.run("image", "edit", f"{place}:linux", "--set-platform", "windows/amd64", "-t", "1")
    # The root's entry and the targets of hard links, which crane gets wrong, and sparse files are another matter.
    same = [one for one in MEMBERS if one.name != "./" and one.type != "1" and one.name != "app/sparse"]
    more = [
        Entry("app/star", raw={257: b"ustar\x0000", 508: b"tar\0"}),
        Entry("app/old", is_gnu=True, raw={345: b"00000000012\0", 265: b"me", 297: b"us"}),
        Entry("app/times", pax={"mtime": "12", "atime": "-3.250", "ctime": "4", "gname": "gruß", "uid": "3000000"}),
    ]
    (files / "same.tar").write_bytes(archive([*same, *more], end=bytes(10240)))
    lading.run("image", "append", f"{place}:1", "same.tar", "-t", "lading", cwd=files)
    run([crane, "append", "-b", f"{place}:1", "-f", "same.tar", "-t", f"{place}:crane"], cwd=files)
    ours, crane_s = (json.loads(lading.run("image", "config", f"{place}:{tag}", "--raw").stdout)["rootfs"]
                     for tag in ("lading", "crane"))  # fmt: skip
    assert ours == crane_s
