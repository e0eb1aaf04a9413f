"""Nothing in a layout that somebody else prepared leads outside it, and nothing in it is waited for."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest

from lading.errors import InvalidContent
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.store import from_bytes, put_manifest
from lading.stores.layout.layout import Layout
from support import images
from support.lading import Lading

IMAGE = images.make_image(layers=[images.make_layer({"data": images.noise("inside", 3_000_000)})], kind="oci")
LAYER = max(IMAGE.blobs, key=lambda digest: len(IMAGE.blobs[digest])).partition(":")[2]
MANIFEST = IMAGE.digest.partition(":")[2]

LINKS = ("symlink to a file", "dangling symlink", "symlink to a folder", "hard link", "pipe", "socket", "folder")
FILES = (
    "index.json",
    "oci-layout",
    ".lading/lock",
    f".lading/sha256-{LAYER}",
    f"blobs/sha256/{LAYER}",
    f"blobs/sha256/{MANIFEST}",
)
FOLDERS = (".lading", "blobs", "blobs/sha256")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a layout and an archive that have the image; never written to."""
    folder = tmp_path_factory.mktemp("prepared")
    asyncio.run(_layout(folder / "layout"))
    lading = Lading(folder / "home")
    lading.run("copy", f"oci:{folder}/layout:1", f"oci-archive:{folder}/archive.tar:1")
    return folder


async def _layout(path: Path) -> None:
    layout = Layout(path, create=True)
    for digest, data in IMAGE.blobs.items():
        await layout.write(Descriptor(digest=Digest(digest), size=len(data)), from_bytes(data))
    await put_manifest(layout, parse(IMAGE.content, IMAGE.media_type), ("1",))


class Victim:
    """A folder with a file, outside the layout."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.folder = folder
        self.file = folder / "file"
        folder.mkdir()
        self.file.write_bytes(content)
        self.before = self.state()

    def state(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*")}

    def plant(self, kind: str, path: Path) -> None:
        """Put something that leads here, or is waited for, in the place of a file or folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if kind == "symlink to a file":
            path.symlink_to(self.file)
        elif kind == "dangling symlink":
            path.symlink_to(self.folder / "new")
        elif kind == "symlink to a folder":
            path.symlink_to(self.folder)
        elif kind == "hard link":
            path.hardlink_to(self.file)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        else:
            path.mkdir()


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("where", FILES)
@pytest.mark.parametrize("source", ["layout", "archive"])
def test_what_is_written_stays_inside(
    lading: Lading, prepared: Path, tmp_path: Path, source: str, where: str, kind: str
) -> None:
    victim = Victim(tmp_path / "victim", b"x" * 5000)
    target = tmp_path / "target"
    victim.plant(kind, target / where)
    name = f"oci:{prepared}/layout:1" if source == "layout" else f"oci-archive:{prepared}/archive.tar:1"
    ran = lading.run("copy", name, f"oci:{target}:1", check=False, timeout=20)
    assert victim.state() == victim.before
    assert ran.returncode in (0, 7), ran.stderr
    if ran.returncode == 0:
        assert (target / f"blobs/sha256/{LAYER}").read_bytes() == IMAGE.blobs[f"sha256:{LAYER}"]
        assert (target / f"blobs/sha256/{LAYER}").stat().st_nlink == 1 or source == "layout"
    else:
        assert str(target / where) in ran.stderr
    if kind in ("symlink to a file", "symlink to a folder", "pipe", "socket") and where != f".lading/sha256-{LAYER}":
        assert ran.returncode == 7


@pytest.mark.parametrize("where", FOLDERS)
@pytest.mark.parametrize("source", ["layout", "archive"])
def test_no_folder_leads_outside(lading: Lading, prepared: Path, tmp_path: Path, source: str, where: str) -> None:
    victim = Victim(tmp_path / "victim", b"x")
    target = tmp_path / "target"
    victim.plant("symlink to a folder", target / where)
    name = f"oci:{prepared}/layout:1" if source == "layout" else f"oci-archive:{prepared}/archive.tar:1"
    ran = lading.run("copy", name, f"oci:{target}:1", check=False, timeout=20)
    assert victim.state() == victim.before
    assert ran.returncode == 7
    assert f"{target / where} is a link" in ran.stderr


@pytest.mark.parametrize("kind", ["symlink to a file", "pipe", "socket"])
@pytest.mark.parametrize("where", ["index.json", "oci-layout", FILES[-1], FILES[-2]])
def test_what_is_read_is_inside(lading: Lading, prepared: Path, tmp_path: Path, where: str, kind: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(prepared / "layout", source)
    victim = Victim(tmp_path / "victim", (source / where).read_bytes())
    victim.plant(kind, source / where)
    for target in ("oci:target:1", "oci-archive:target.tar:1"):
        ran = lading.run("copy", f"oci:{source}:1", target, check=False, timeout=20, cwd=tmp_path)
        assert ran.returncode == 7, ran.stderr
        assert str(source / where) in ran.stderr


@pytest.mark.parametrize("where", ["blobs", "blobs/sha256"])
def test_no_folder_that_is_read_is_a_link(lading: Lading, prepared: Path, tmp_path: Path, where: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(prepared / "layout", source)
    (source / where).rename(tmp_path / "elsewhere")
    (source / where).symlink_to(tmp_path / "elsewhere")
    ran = lading.run("copy", f"oci:{source}:1", f"oci:{tmp_path}/target:1", check=False)
    assert ran.returncode == 7
    assert f"{source / where} is a link" in ran.stderr


async def test_a_collection_removes_nothing_outside(prepared: Path, tmp_path: Path) -> None:
    for where in FOLDERS:
        source = tmp_path / where.replace("/", "-")
        shutil.copytree(prepared / "layout", source)
        victim = Victim(tmp_path / f"victim-{source.name}", b"x")
        (victim.folder / ("0" * 64)).write_bytes(b"orphan")
        before = victim.state()
        victim.plant("symlink to a folder", source / where)
        with pytest.raises(InvalidContent, match="is a link"):
            await Layout(source).gc(grace=0)
        assert victim.state() == before


def test_a_layout_may_be_a_link_itself(lading: Lading, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    lading.run("copy", f"oci:{prepared}/layout:1", f"oci:{tmp_path}/link:1")
    assert lading.run("digest", f"oci:{tmp_path}/link:1").stdout.strip() == IMAGE.digest
    assert (tmp_path / "real/index.json").is_file()
