"""The merged file system of an image, beside what Docker, podman and crane export of it."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from support.docker import DockerCLI
from support.images import make_busybox, push
from support.lading import Lading
from support.layers import Entry, image
from support.parts import need
from support.process import run
from support.registry import RealRegistry

ENGINE = (".dockerenv", "dev", "etc", "proc", "sys", "run")
"""What an engine puts into a container of its own."""
BUSYBOX = make_busybox(seed="files").layers
ROOTS = {
    "busybox": ["bin/ bin/a=a bin/b~bin/a s->bin/a", "bin/ bin/a=new", "-s x/ x/y=y@4755,3,4"],
    "whiteouts": [
        "d/@711,3,4 d/x=x d/sub/ d/sub/old=old e/ e/f=f g/ g/h=h",
        "-d/x d/ d/new=new e/ !e e/n=n -g",
        "d/sub/ d/sub/more=more g/ g/i=i",
    ],
    "links": [
        "a=a@640,3,4 b~a c~b d/ d/e~c s->a l->d z->/nowhere",
        "a=1 b~a",
    ],
    "types": [
        "d/ d/x=x f=f l->d w/ w/x=x p|@600 c#c5.1@620,0,5",
        "d=file f/ f/y=y l/@700 l/n=n w->f",
        "t/@1777 u=x@4755,3,0 g=x@2755,0,3",
    ],
}
LONG = "/".join(["x" * 49] * 5)
PARENTS = [LONG, LONG.replace("x", "y"), "parent/less/file"]
# Docker's vfs gives directories that no layer has an entry for another mode than all others do.
FOLDERS = [path[:at] for path in PARENTS for at, letter in enumerate(path) if letter == "/"]
ODD = [
    [
        *(Entry("n", "5", mode=0o755, pax={"path": folder}) for folder in FOLDERS),
        Entry("a", content=b"a", pax={"uid": "3000000", "gid": "2097153", "mtime": "5.5"}),
        Entry("n", content=b"n", pax={"path": LONG}),
        Entry(LONG.replace("x", "y"), content=b"y", is_gnu=True),
        Entry(b"caf\xe9", content=b"c"),
        Entry("parent/less/file", content=b"f", mode=0o600),
        Entry("s", "2", pax={"linkpath": LONG}),
        Entry("back\\slash ", content=b"b"),
    ]
]


def tree(content: bytes) -> dict[str, tuple[object, ...]]:
    """What an export holds, without what is the engine's: hard links by the content that they lead to."""
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(content), errors="surrogateescape") as tar:
        for member in tar:
            name = member.name.strip("/").removeprefix("./")
            if name.partition("/")[0] in ENGINE or name in ("", "."):
                continue
            body = member.linkname if member.issym() else b""
            if member.isreg() or member.islnk():
                file = tar.extractfile(member)
                assert file is not None
                body = file.read()
            kind = "0" if member.islnk() else member.type.decode()
            mode = None if member.issym() else member.mode & 0o7777
            time = None if member.isdir() else int(member.mtime)
            device = (member.devmajor, member.devminor) if member.ischr() else None
            found[name] = (kind, mode, member.uid, member.gid, time, body, device)
    return found


@pytest.mark.parametrize("name", [*ROOTS, "odd"])
def test_docker_exports_the_same(
    name: str, lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str
) -> None:
    reference = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", image(*(ROOTS.get(name) or ODD), config={"config": {"Cmd": ["/x"]}}))
    container = engine.run("create", reference, timeout=120).stdout.strip()
    theirs = tree(engine.run("export", container).stdout_bytes)
    assert tree(lading.run("image", "export", reference).stdout_bytes) == theirs
    assert theirs


@pytest.mark.parametrize("name", [*ROOTS, "odd"])
def test_podman_exports_the_same(
    name: str, lading: Lading, podman: Path, registry: RealRegistry, repository: str
) -> None:
    reference = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", image(*(ROOTS.get(name) or ODD), config={"config": {"Cmd": ["/x"]}}))
    container = run([podman, "create", "--tls-verify=false", "-q", reference]).stdout.split()[-1]
    theirs = tree(run([podman, "export", container]).stdout_bytes)
    assert tree(lading.run("image", "export", reference).stdout_bytes) == theirs
    assert theirs


def test_umoci_unpacks_the_same(lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    umoci = need("umoci")
    push(registry.host, repository, "1", image(*ROOTS["whiteouts"]))
    lading.run("copy", f"{registry.host}/{repository}:1", f"oci:{tmp_path}/layout:1")
    run([umoci, "raw", "unpack", "--image", f"{tmp_path}/layout:1", str(tmp_path / "theirs")])
    lading.run("image", "export", f"oci:{tmp_path}/layout:1", f"{tmp_path}/ours/")

    def listed(folder: Path) -> dict[str, tuple[int, int, int]]:
        paths = sorted(folder.rglob("*"))
        return {
            path.relative_to(folder).as_posix(): (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_gid)
            for path in paths
        }

    assert listed(tmp_path / "ours") == listed(tmp_path / "theirs")


PAIRS = [("busybox", "whiteouts"), ("whiteouts", "types"), ("types", "links"), ("links", "odd")]


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_two_images_differ_in_what_podman_exports_of_them(
    names: tuple[str, str], lading: Lading, podman: Path, registry: RealRegistry, repository: str
) -> None:
    references, trees = [], []
    for number, name in enumerate(names):
        references.append(f"{registry.host}/{repository}:{number}")
        made = image(*(ROOTS.get(name) or ODD), config={"config": {"Cmd": ["/x"]}})
        push(registry.host, repository, str(number), made)
        container = run([podman, "create", "--tls-verify=false", "-q", references[-1]]).stdout.split()[-1]
        # Times do not count, and a directory has the mode that its layer says only where it has an entry.
        exported = tree(run([podman, "export", container]).stdout_bytes)
        trees.append({path: (*seen[:4], *seen[5:]) for path, seen in exported.items()})
    said = lading.run("diff", *references, "--files", "--format", "json", check=False)
    ours: dict[str, str] = {}
    for entry in json.loads(said.stdout)["images"][0]["files"]["entries"]:
        if entry["state"] == "moved":
            ours |= {entry["path"]: "added", entry["a"]["path"]: "removed"}
        else:
            ours[entry["path"]] = entry["state"]
    a, b = trees
    truth = {path: "added" if path not in a else "removed" if path not in b else "changed" for path in {*a, *b}}
    assert {path: state for path, state in ours.items() if path != "." and path.partition("/")[0] not in ENGINE} == {
        path: state for path, state in truth.items() if a.get(path) != b.get(path)
    }


def test_an_engine_has_the_same_files_in_layers_compressed_otherwise(
    lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str
) -> None:
    lading.env["DOCKER_HOST"] = engine.daemon
    reference = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", image(*ROOTS["whiteouts"], config={"config": {"Cmd": ["/x"]}}))
    engine.run("pull", reference)
    said = lading.run("diff", reference, f"docker-daemon:{reference}", "--files", "--format", "json", check=False)
    (one,) = json.loads(said.stdout)["images"]
    assert {pair["state"] for pair in one["layers"]["pairs"]} == {"recompressed"}
    assert (one["files"]["entries"], one["packages"]) == ([], [])
    assert not [change for change in one["changes"] if change["scope"] in ("config", "history")]
