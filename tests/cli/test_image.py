"""`lading image`: what is in an image, from a registry and from a layout, beside what other tools say of it."""

import io
import json
import os
import random
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.images import Manifest, digest_of, make_image, make_index, push
from support.lading import Lading
from support.layers import LAYER, AnyLayer, Blob, Entry, archive, image, padded, write_layout
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

BASE = "bin/ bin/sh=shell@755 etc/ etc/os-release->../usr/lib/os-release usr/ usr/lib/ usr/lib/os-release=ID=base"
APP = "app/ app/main.py=print(1) etc/ etc/app.conf=port=80@640,0,7 usr/ usr/lib/ usr/lib/x=x usr/lib/y~usr/lib/x"
TOP = "app/ app/main.py=print(2) etc/ -etc/app.conf tmp/@1777 tmp/p| dev/ dev/null#c1.3@666"
HISTORY: list[dict[str, Any]] = [
    {"created": "2024-01-02T03:04:05Z", "created_by": "/bin/sh -c #(nop) ADD file:5a in / "},
    {"created": "2024-01-02T03:04:05Z", "created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
    {"created_by": "RUN |1 VERSION=1 /bin/sh -c make && make install # buildkit", "comment": "buildkit.dockerfile.v0"},
    {"created_by": "COPY . /app # buildkit", "author": "me"},
]


@pytest.fixture
def place(tmp_path: Path) -> str:
    return write_layout(tmp_path / "layout", image(BASE, APP, TOP, history=HISTORY))


def test_ls(lading: Lading, place: str) -> None:
    assert lading.run("image", "ls", place).stdout.split() == ["app", "bin", "dev", "etc", "tmp", "usr"]
    assert lading.run("image", "ls", place, "etc").stdout.split() == ["etc/os-release"]
    assert lading.run("image", "ls", place, "/usr/", "-R").stdout.split() == [
        *("usr/lib", "usr/lib/os-release", "usr/lib/x", "usr/lib/y")
    ]
    assert lading.run("image", "ls", place, "/usr/**/*").stdout.split()[-1] == "usr/lib/y"
    assert lading.run("image", "ls", place, "/*/*.py").stdout == "app/main.py\n"
    assert lading.run("image", "ls", place, "-d", "/usr").stdout == "usr\n"
    assert lading.run("image", "ls", place, "-d", "/").stdout == ".\n"
    assert lading.run("image", "ls", place, "bin/sh").stdout == "bin/sh\n"


def test_ls_long(lading: Lading, place: str) -> None:
    lines = lading.run("image", "ls", place, "-l", "-R").stdout.splitlines()
    assert lines[0].split() == ["MODE", "OWNER", "SIZE", "MODIFIED", "LAYER", "PATH"]
    by_path = {line.partition("  ")[2].rsplit("  ", 1)[1]: line for line in lines[1:]}
    assert by_path["bin/sh"].startswith("-rwxr-xr-x  0:0       5  1970-01-01 00:16  ")
    assert by_path["tmp"].startswith("drwxrwxrwt")
    assert by_path["tmp/p"].startswith("prw-r--r--")
    assert "1:3" in by_path["dev/null"]
    assert "etc/os-release -> ../usr/lib/os-release" in by_path
    assert "usr/lib/y = usr/lib/x" in by_path


def test_ls_json(lading: Lading, place: str) -> None:
    document = json.loads(lading.run("image", "ls", place, "--recursive", "--format", "json").stdout)
    layers = json.loads(lading.run("image", "layers", place, "--format", "json").stdout)["layers"]
    entries = {entry["path"]: entry for entry in document["entries"]}
    assert (document["reference"], document["platform"], document["warnings"]) == (place, "linux/amd64", [])
    assert entries["app/main.py"] == {
        "path": "app/main.py",
        "type": "file",
        "size": 8,
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "mtime": 3000,
        "link": None,
        "hard_link": None,
        "device": None,
        "xattrs": {},
        "layer": layers[2]["digest"],
    }
    assert [entries[path]["type"] for path in ("usr", "etc/os-release", "tmp/p", "dev/null")] == [
        *("dir", "symlink", "fifo", "char")
    ]
    assert entries["usr/lib/y"]["hard_link"] == "usr/lib/x"
    assert entries["bin/sh"]["layer"] == layers[0]["digest"]
    assert {entry["layer"] for entry in document["entries"]} == {layer["digest"] for layer in layers}


def test_one_layer_is_as_in_its_archive(lading: Lading, place: str) -> None:
    listed = lading.run("image", "ls", place, "--layer", "3", "-R").stdout.split()
    assert listed == ["app", "app/main.py", "dev", "dev/null", "etc", "etc/.wh.app.conf", "tmp", "tmp/p"]
    layer = json.loads(lading.run("image", "layers", place, "--format", "json").stdout)["layers"][1]
    for name in (layer["digest"], layer["diff_id"], layer["digest"][7:19], "2"):
        assert lading.run("image", "cat", place, "app/main.py", "--layer", name).stdout == "print(1)"
    none = lading.run("image", "ls", place, "--layer", "4", check=False)
    assert (none.returncode, none.stdout) == (3, "")
    assert "its layers are 1 to 3" in none.stderr


def test_cat(lading: Lading, place: str) -> None:
    assert lading.run("image", "cat", place, "app/main.py").stdout_bytes == b"print(2)"
    assert lading.run("image", "cat", place, "/etc/os-release").stdout_bytes == b"ID=base"
    assert lading.run("image", "cat", place, "usr/lib/y").stdout_bytes == b"x"


@pytest.mark.parametrize(
    "path, code, said",
    [
        ("etc/app.conf", 3, "has no etc/app.conf"),
        ("etc/os-relase", 3, "there is etc/os-release"),
        ("bin/sh/x", 3, "bin/sh is no directory"),
        ("etc", 1, "it is a directory"),
        ("dev/null", 1, "it is a device"),
        ("nothing/*", 3, "has no nothing/*"),
    ],
)
def test_what_is_no_file_is_said(path: str, code: int, said: str, lading: Lading, place: str) -> None:
    failed = lading.run("image", "cat", place, path, check=False)
    assert (failed.returncode, failed.stdout) == (code, "")
    assert said in failed.stderr


def test_links_stay_in_the_image(lading: Lading, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("outside")
    place = write_layout(tmp_path / "l", image(f"a->{secret} b->../../../../../../{secret} c->c d->/e e=inside"))
    for path in ("a", "b", "c"):
        failed = lading.run("image", "cat", place, path, check=False)
        assert (failed.returncode, failed.stdout) == (3, "")
    assert lading.run("image", "cat", place, "d").stdout == "inside"


def test_a_sparse_file_has_its_holes(lading: Lading, tmp_path: Path) -> None:
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000", "GNU.sparse.name": "a"}
    entry = Entry("x", content=padded(b"2\n10\n3\n5000\n2\n") + b"onetw", pax=pax)
    place = write_layout(tmp_path / "layout", image([entry]))
    expected = (bytes(10) + b"one").ljust(5000, b"\0") + b"tw".ljust(4000, b"\0")
    assert lading.run("image", "cat", place, "a").stdout_bytes == expected
    lading.run("image", "export", place, f"{tmp_path}/root/")
    assert (tmp_path / "root" / "a").read_bytes() == expected
    exported = lading.run("image", "export", place).stdout_bytes
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        assert tar.extractfile("a").read() == expected  # type: ignore[union-attr]


# Export


def tar_tree(content: bytes) -> dict[str, tuple[Any, ...]]:
    """What an archive holds, by path: type, permissions, owner, time, link or content."""
    tree = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            body = file.read() if file is not None else member.linkname
            mode = member.mode if not member.issym() else 0o777
            tree[member.name] = (member.type, mode, member.uid, member.gid, int(member.mtime), body)
    return tree


def test_export_as_tar(lading: Lading, place: str, tmp_path: Path) -> None:
    exported = lading.run("image", "export", place)
    assert exported.stderr == ""
    tree = tar_tree(exported.stdout_bytes)
    assert tree["app/main.py"] == (tarfile.REGTYPE, 0o644, 0, 0, 3000, b"print(2)")
    assert tree["usr/lib/y"][0] == tarfile.LNKTYPE
    assert tree["usr/lib/y"][5] == "usr/lib/x"
    assert tree["tmp"][:2] == (tarfile.DIRTYPE, 0o1777)
    assert "etc/app.conf" not in tree
    assert exported.stdout_bytes.endswith(bytes(1024))
    said = lading.run("image", "export", place, str(tmp_path / "root.tar"))
    assert (tmp_path / "root.tar").read_bytes() == exported.stdout_bytes
    assert said.stderr.startswith(f"wrote {len(tree)} files (")
    assert lading.run("image", "export", place, "-").stdout_bytes == exported.stdout_bytes


def test_export_is_what_crane_exports(lading: Lading, registry: RealRegistry, repository: str) -> None:
    crane = need("crane")
    name = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", image(BASE, APP, TOP))
    theirs = tar_tree(run([crane, "export", name, "-"]).stdout_bytes)
    assert tar_tree(lading.run("image", "export", name).stdout_bytes) == theirs


def test_export_into_a_folder(lading: Lading, place: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    done = lading.run("image", "export", place, f"{tmp_path}/root/")
    root = tmp_path / "root"
    assert done.stderr == f"wrote 15 files (21 B) to {root}\n"
    assert (root / "app/main.py").read_text() == "print(2)"
    assert (root / "app/main.py").stat().st_mtime == 3000
    assert (root / "usr").stat().st_mtime == 2000
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "usr/lib/x").samefile(root / "usr/lib/y")
    assert (root / "etc/os-release").readlink() == Path("../usr/lib/os-release")
    assert stat.S_ISFIFO((root / "tmp/p").stat().st_mode)
    assert os.major((root / "dev/null").stat().st_rdev) == 1
    again = lading.run("image", "export", place, str(root), check=False)
    assert (again.returncode, "is not empty" in again.stderr) == (8, True)
    nowhere = lading.run("image", "export", place, f"{tmp_path}/none/root.tar", check=False)
    assert (nowhere.returncode, "there is no folder" in nowhere.stderr) == (3, True)


@pytest.fixture
def as_ordinary_user() -> Iterator[Path]:
    """Be another user than root, with a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # pytest's own folder is not open to others
        Path(name).chmod(0o777)
        yield Path(name)


async def test_an_ordinary_user_is_told_what_is_not_kept(as_ordinary_user: Path) -> None:
    from lading import AsyncClient

    layer = "a=a@644,0,0 s=s@4755,3,0 d/@500 d/f=f dev#c1.3 l->a p|"
    place = write_layout(as_ordinary_user / "layout", image(layer))
    async with AsyncClient(remember=False) as client:
        await client.images.export(place, f"{as_ordinary_user}/first/")  # everything is loaded
        os.setegid(65534)
        os.seteuid(65534)
        try:
            done = await client.images.export(place, f"{as_ordinary_user}/second/")
        finally:
            os.seteuid(0)
            os.setegid(0)
    root = as_ordinary_user / "second"
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == ["a", "d", "d/f", "l", "p", "s"]
    assert {path.lstat().st_uid for path in root.rglob("*")} == {65534}
    assert (root / "s").stat().st_mode & 0o7777 == 0o755
    assert (root / "d").stat().st_mode & 0o7777 == 0o500
    assert done.is_whole
    assert sorted(done.lost) == [
        "a (and 4 more) has an owner that only root sets",
        "dev is a device, which only root makes",
        "s has an owner that only root sets, and so no setuid or setgid",
    ]


def test_a_failed_export_leaves_nothing(lading: Lading, tmp_path: Path) -> None:
    made = image(BASE, Blob(b"\x1f\x8b" + bytes(50), b"", f"{LAYER}+gzip"))
    place = write_layout(tmp_path / "layout", made)
    (tmp_path / "there").mkdir()
    for target in ("root/", "there", "root.tar"):
        failed = lading.run("image", "export", place, f"{tmp_path}/{target}", check=False)
        assert failed.returncode == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "layout", "there"]
    assert not list((tmp_path / "there").iterdir())


def test_nothing_is_written_outside_of_the_folder(lading: Lading, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    escapes = [f"l->{outside} l/pwned=x", "l->../outside l/pwned=x", "/../outside/pwned=x", f"h~{outside}/x"]
    for number, layer in enumerate(escapes):
        place = write_layout(tmp_path / f"layout{number}", image(layer))
        lading.run("image", "export", place, f"{tmp_path}/root{number}/", check=False)
    place = write_layout(tmp_path / "layout", image("l->/x l2->../outside", "l2/pwned=x"))
    lading.run("image", "export", place, f"{tmp_path}/root/")
    assert not list(outside.iterdir())
    assert (tmp_path / "root" / "outside" / "pwned").read_text() == "x"


def test_a_single_layer_is_exported_with_its_whiteouts(lading: Lading, place: str) -> None:
    tree = tar_tree(lading.run("image", "export", place, "--layer", "3").stdout_bytes)
    assert "etc/.wh.app.conf" in tree
    assert "bin" not in tree


# Config, history, layers, size


def test_config(lading: Lading, place: str) -> None:
    raw = lading.run("image", "config", place, "--raw").stdout_bytes
    assert json.loads(raw)["architecture"] == "amd64"
    assert json.loads(lading.run("image", "config", place).stdout) == json.loads(raw)
    assert lading.run("image", "config", place, "--format", "{{ os }}").stdout == "linux\n"


def test_history(lading: Lading, place: str) -> None:
    lines = lading.run("image", "history", place).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["LAYER", "1", "-", "2", "3"]
    assert lines[1].endswith("ADD file:5a in /")
    written = lading.run("image", "history", place, "--format", "dockerfile").stdout
    assert written.splitlines() == [
        *("FROM scratch", "ADD file:5a in /", 'CMD ["sh"]', "RUN make && make install", "COPY . /app")
    ]
    steps = json.loads(lading.run("image", "history", place, "--format", "json").stdout)["steps"]
    assert [step["number"] for step in steps] == [1, None, 2, 3]
    assert steps[3]["author"] == "me"
    assert steps[2]["created_by"] == HISTORY[2]["created_by"]


def test_layers_of_an_index_say_who_else_has_them(lading: Lading, registry: RealRegistry, repository: str) -> None:
    shared = make_image("linux/amd64", layers=1, seed="same").layers[0]
    amd = make_image("linux/amd64", layers=[shared], kind="oci")
    arm = make_image("linux/arm64", layers=[shared, make_image(seed="arm").layers[0]], kind="oci")
    push(registry.host, repository, "1", make_index([amd, arm], kind="oci"))
    name = f"{registry.host}/{repository}:1"
    found = json.loads(
        lading.run(
            "image", "layers", name, "--platform", "linux/arm64", "--shared-with", name, "--format", "json"
        ).stdout
    )
    assert [(layer["platforms"], layer["is_shared"]) for layer in found["layers"]] == [
        (["linux/amd64"], True),
        ([], True),
    ]
    size = json.loads(lading.run("image", "size", name, "--format", "json").stdout)
    one, other = size["images"]
    assert size["total"] == one["size"] + other["size"] - len(shared)
    assert one["unique"] == one["size"] - len(shared)
    assert [image["platform"] for image in size["images"]] == ["linux/amd64", "linux/arm64"]
    assert "linux/arm64" in lading.run("image", "size", name).stdout


def test_sizes_of_an_index_within_an_index(lading: Lading, registry: RealRegistry, repository: str) -> None:
    amd, arm = (make_image(f"linux/{name}", seed=name, kind="oci") for name in ("amd64", "arm64"))
    push(registry.host, repository, "1", make_index([make_index([amd], kind="oci"), arm], kind="oci"))
    found = json.loads(lading.run("image", "size", f"{registry.host}/{repository}:1", "--format", "json").stdout)
    assert [one["digest"] for one in found["images"]] == [amd.digest, arm.digest]
    nested = make_index([amd], kind="oci")
    for _ in range(20):
        nested = make_index([nested], kind="oci")
    push(registry.host, repository, "deep", nested)
    failed = lading.run("image", "size", f"{registry.host}/{repository}:deep", check=False)
    assert (failed.returncode, "nested too deeply" in failed.stderr) == (7, True)


def test_an_index_means_the_image_for_this_machine(lading: Lading, registry: RealRegistry, repository: str) -> None:
    images = [make_image(f"linux/{name}", seed=name, kind="oci") for name in ("s390x", "amd64", "arm64")]
    push(registry.host, repository, "1", make_index(images, kind="oci"))
    listed = lading.run("image", "config", f"{registry.host}/{repository}:1")
    assert "is for 3 platforms: this is linux/" in listed.stderr
    none = lading.run("image", "ls", f"{registry.host}/{repository}:1", "--platform", "linux/riscv64", check=False)
    assert (none.returncode, "it has linux/s390x, linux/amd64, linux/arm64" in none.stderr) == (3, True)


def test_size_says_what_is_reclaimable(lading: Lading, tmp_path: Path) -> None:
    lower = "a=aaaa b=bb c=ccc d/ d/x=xxxxx d/y=y e=eeeeeee f~e"
    upper = "a=A -b h~c -c -d -e"
    place = write_layout(tmp_path / "layout", image(lower, upper))
    found = json.loads(lading.run("image", "size", place, "--files", "--format", "json").stdout)["files"]
    assert [(one["path"], one["size"], one["reason"], one["layer"], one["hidden_by"]) for one in found["hidden"]] == [
        ("d/x", 5, "deleted", 1, 2),
        ("a", 4, "overwritten", 1, 2),
        ("b", 2, "deleted", 1, 2),
        ("d/y", 1, "deleted", 1, 2),
    ]
    assert (found["size"], found["visible"], found["reclaimable"]) == (23, 11, 12)
    assert [(one["path"], one["size"]) for one in found["files"]] == [("f", 7), ("h", 3), ("a", 1)]
    text = lading.run("image", "size", place, "--files", "--top", "1").stdout
    assert "reclaimable  12 B (52.2 %)" in text
    for most, code in (("12B", 0), ("11B", 1), ("60%", 0), ("5%", 1), ("0", 1)):
        assert lading.run("image", "size", place, "--max-reclaimable", most, check=False).returncode == code
    assert lading.run("image", "size", place, "--max-reclaimable", "much", check=False).returncode == 2


def test_a_foreign_layer_that_is_kept_elsewhere_is_said(lading: Lading, tmp_path: Path) -> None:
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    away = Blob.of(archive("w=windows"))
    made = image("a=a", Blob(away.content, away.plain, kind))
    place = write_layout(tmp_path / "layout", made)
    (tmp_path / "layout/blobs" / digest_of(away.content).replace(":", "/")).unlink()
    failed = lading.run("image", "ls", place, check=False)
    assert (failed.returncode, "a foreign layer, which is kept elsewhere" in failed.stderr) == (3, True)
    assert lading.run("image", "ls", place, "--layer", "1").stdout == "a\n"
    other = write_layout(tmp_path / "other", image("a=a"))
    (tmp_path / "other/blobs" / image("a=a").document["layers"][0]["digest"].replace(":", "/")).unlink()
    assert lading.run("image", "cat", other, "a", check=False).returncode == 3


def test_an_artifact_has_no_files(lading: Lading, registry: RealRegistry, repository: str) -> None:
    from support.images import make_artifact

    push(registry.host, repository, "1", make_artifact(files={"a": b"a"}))
    failed = lading.run("image", "ls", f"{registry.host}/{repository}:1", check=False)
    assert (failed.returncode, "it is an artifact" in failed.stderr) == (3, True)


# Requests


@pytest.fixture
def remote(proxy: CountingProxy, registry: RealRegistry, repository: str) -> tuple[str, Manifest]:
    made = image(BASE, APP, TOP)
    push(registry.host, repository, "1", made)
    return f"{proxy.host}/{repository}:1", made


def blobs(proxy: CountingProxy, made: Manifest) -> list[int | str]:
    """Which blobs were asked for: layers by their number, the config."""
    known: dict[str, int | str] = {layer["digest"]: at + 1 for at, layer in enumerate(made.document["layers"])}
    known[made.document["config"]["digest"]] = "config"
    return [name for line in proxy.lines for digest, name in known.items() if digest in line]


@pytest.mark.parametrize(
    "args, needed",
    [
        (("cat", "app/main.py"), [3]),
        (("ls", "tmp/p"), [3]),
        (("cat", "usr/lib/x"), [3, 2]),
        (("ls", "etc"), [1, 2, 3]),
        (("export",), [1, 2, 3]),
        (("cat", "bin/sh"), [3, 2, 1]),
        (("ls", "etc", "--layer", "2"), [2]),
        (("history",), []),
        (("layers",), []),
        (("size",), []),
    ],
)
def test_only_layers_that_matter_are_read_and_each_once(
    args: tuple[str, ...], needed: list[int], lading: Lading, proxy: CountingProxy, remote: tuple[str, Manifest]
) -> None:
    name, made = remote
    command, *rest = args
    lading.run("image", command, name, *rest)
    asked = blobs(proxy, made)
    assert asked[0] == "config"
    assert sorted(map(str, asked[1:])) == sorted(map(str, needed))


def large_layer(seed: int = 1) -> Sequence[Entry]:
    """Files of 20 MB, of which compression leaves half."""
    made = random.Random(seed)
    return [Entry(f"file{number}", content=made.randbytes(500_000).hex().encode()) for number in range(20)]


def test_a_layer_that_was_read_is_not_read_again(
    lading: Lading, proxy: CountingProxy, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    """The next list costs no request for content, the next file one for about a megabyte: also in the next run."""
    layer = list(large_layer())
    made = image(layer, "top=top")
    push(registry.host, repository, "1", made)
    name = f"{proxy.host}/{repository}@{made.digest}"
    listed = lading.run("image", "ls", name, "-l").stdout
    proxy.reset()
    assert lading.run("image", "ls", name, "-l").stdout == listed
    assert proxy.lines == []
    assert lading.run("image", "ls", f"{proxy.host}/{repository}:1", "-l").stdout == listed
    assert len(proxy.lines) == 1
    for entry in (layer[2], layer[19]):
        proxy.reset()
        assert lading.run("image", "cat", name, str(entry.name)).stdout_bytes == entry.content
        (asked,) = proxy.exchanges
        assert asked.status == 206
        first, last = (asked.headers.get("Range") or "").removeprefix("bytes=").split("-")
        assert int(last) - int(first) < 5_000_000
    # Nothing else is taken: what has changed meanwhile, what others could have changed.
    kept = sorted((lading.home / ".cache/lading/images").iterdir())
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    for path in kept:
        path.chmod(0o666)
    proxy.reset()
    assert lading.run("image", "cat", name, "file3").stdout_bytes == layer[3].content
    assert len(blobs(proxy, made)) == 3


def test_a_part_that_has_changed_is_not_given_out(lading: Lading, tmp_path: Path) -> None:
    made = image(list(large_layer(2)))
    place = write_layout(tmp_path / "layout", made)
    lading.run("image", "ls", place)
    blob = tmp_path / "layout/blobs" / made.document["layers"][0]["digest"].replace(":", "/")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    assert lading.run("image", "cat", place, "file0", check=False).returncode == 0  # it is whole
    failed = lading.run("image", "cat", place, "file10", check=False)
    assert (failed.returncode, failed.stdout) == (7, "")


def test_without_a_cache_nothing_is_kept(lading: Lading, proxy: CountingProxy, remote: tuple[str, Manifest]) -> None:
    name, made = remote
    for _ in range(2):
        proxy.reset()
        lading.run("image", "cat", name, "app/main.py", env={"LADING_CACHE": "0"})
        assert blobs(proxy, made) == ["config", 3]
    assert not (lading.home / ".cache/lading/images").exists()


def test_a_layer_that_is_there_twice_is_read_once(
    lading: Lading, proxy: CountingProxy, registry: RealRegistry, repository: str
) -> None:
    same = Blob.of(archive("a=a"))
    made = image(same, "-a b=b", same)
    push(registry.host, repository, "1", made)
    exported = lading.run("image", "export", f"{proxy.host}/{repository}:1").stdout_bytes
    assert sorted(tar_tree(exported)) == ["a", "b"]
    assert proxy.count("GET", "/blobs/") == 3


def test_what_is_hidden_at_the_top_needs_no_more(
    lading: Lading, proxy: CountingProxy, remote: tuple[str, Manifest]
) -> None:
    name, made = remote
    assert lading.run("image", "cat", name, "etc/app.conf", check=False).returncode == 3
    assert blobs(proxy, made) == ["config", 3]


def test_a_parent_that_nobody_says_may_be_a_link_below(lading: Lading, tmp_path: Path) -> None:
    place = write_layout(tmp_path / "layout", image("real/ real/f=old link->real", "real/f=new", "link/f=newest"))
    assert lading.run("image", "cat", place, "real/f").stdout == "newest"
    assert lading.run("image", "cat", place, "link/f").stdout == "newest"


def test_export_into_a_full_file_system_ends_with_what_is_wrong(lading: Lading, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    place = write_layout(tmp_path / "layout", image([Entry(f"f{n}", content=b"x" * 300_000) for n in range(9)]))
    (tmp_path / "small").mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "small")])
    try:
        failed = lading.run("image", "export", place, f"{tmp_path}/small/root/", check=False)
        assert failed.returncode == 1
        assert "No space left on device" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert not list((tmp_path / "small").iterdir())
    finally:
        run(["umount", str(tmp_path / "small")])


REFUSED: dict[str, tuple[Sequence[AnyLayer], str]] = {
    "entry": (["a=a", "d/ d/x=x h~none"], "layer 2, entry h: it is a hard link to none, which is not there"),
    "whiteout": (["d/", "-d/.."], "layer 2, entry d/.wh...: it is a whiteout of no name"),
    "twice": (["a=a a=b"], "layer 1, entry a: it is there twice"),
    "hostile name": ([[Entry("/../\x1b[31m")]], "layer 1, entry /../\\x1b[31m: it leads out of the root"),
    "number": (
        ["z=z", [Entry("a"), Entry("b", raw={108: b"xyz"})]],
        "after entry a: a number in a header is malformed",
    ),
    "checksum": ([[Entry("b", checksum=1)]], "at its first entry: the checksum of a header is wrong"),
    "sparse": (
        [[Entry("a", content=b"x\n", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})]],
        "after entry a: the map of a sparse file ends too early",
    ),
    "cut": (["a=a", Blob.of(archive([Entry("b", content=b"x" * 99)])[:600])], "after entry b: it ends too early"),
    "compression": ([Blob(b"\x1f\x8b" + bytes(50), b"", f"{LAYER}+gzip")], "layer 1 of "),
    "diff ID": ([Blob.of(archive("a=a")), Blob(archive("b=b"), archive("c=c"), LAYER)], "layer 2 of "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_in_which_layer_and_at_which_entry(name: str, lading: Lading, tmp_path: Path) -> None:
    layers, said = REFUSED[name]
    place = write_layout(tmp_path / "layout", image(*layers))
    for command in (
        ["ls", "-R", place],
        ["size", "--files", place],
        ["export", place],
        ["export", place, f"{tmp_path}/new/"],
    ):
        failed = lading.run("image", *command, check=False)
        assert (failed.returncode, failed.stdout) == (7, "")
        assert said in failed.stderr
        assert "layer" in failed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "layout"]


def test_layers_are_kept_while_they_are_exported_and_zeros_stay(
    lading: Lading, proxy: CountingProxy, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    """What is kept without compression has holes for zeros: in files, at their ends and at that of the archive."""
    noise = random.Random(1).randbytes(700_000)
    contents = {
        "zeros": bytes(3_500_000),
        "inside": noise + bytes(5_000_000) + noise,
        "behind": noise + bytes(2_500_000),
        "small": b"s",
        "last": bytes(4_000_000),
    }
    files = [Entry(name, content=content) for name, content in contents.items()]
    lower, upper = archive(files[:3]), archive(files[3:], end=bytes(3 * 1024 * 1024))
    push(registry.host, repository, "1", image(Blob.of(lower), Blob.of(upper)))
    reference = f"{proxy.host}/{repository}:1"
    for _ in ("cold", "again"):
        proxy.reset()
        exported = lading.run("image", "export", reference).stdout_bytes
        assert proxy.count("GET", "/blobs/") <= 3
        tree = tar_tree(exported)
        assert {name: tree[name][-1] for name in contents} == contents
    lading.run("image", "export", reference, f"{tmp_path}/root/")
    assert {name: (tmp_path / "root" / name).read_bytes() for name in contents} == contents
