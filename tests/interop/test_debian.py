"""The merged file system of a real image, a Debian root in layers: equal to what engines unpack and export."""

import hashlib
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.docker import DockerCLI
from support.images import push
from support.lading import Lading
from support.layers import Blob, Entry, archive, entries, image, tree
from support.parts import missing, need
from support.process import run
from support.registry import RealRegistry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
ENGINE = (".dockerenv", "dev", "proc", "run", "sys", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf")
"""What an engine puts into a container of its own."""
LATER = [
    *entries("-usr/share/doc -etc/passwd- usr/ usr/share/ usr/share/locale/ !usr/share/locale opt/@2775,0,50"),
    *entries(
        "usr/share/locale/locale.alias=none opt/app=app@4755,1000,1000 opt/same~opt/app@4755,1000,1000"
        " opt/link->/usr/bin/env"
    ),
    Entry("opt/long", content=b"x" * 100, pax={"path": "opt/" + "n" * 200}),
    Entry("etc/", "5", mode=0o755),
    Entry("etc/issue", content=b"another", mtime=1_700_000_000),
    Entry("var/", "5", mode=0o755),
    Entry("var/log", "2", link="../srv"),
]


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> list[Blob]:
    """A Debian root as it is unpacked and configured, and a layer that changes it."""
    program = need("debootstrap")
    if os.geteuid() != 0:
        missing("debootstrap needs root")
    root = tmp_path_factory.mktemp("debian") / "root"
    made = run([program, "--variant=minbase", "stable", root], check=False, timeout=300)
    if made.returncode:
        pytest.skip(f"debootstrap makes no Debian root here: {made.stdout.splitlines()[-1:]}")
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    os.setxattr(root / "usr/bin/env", "security.capability", CAPABILITY)
    run(
        [
            "tar",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--format=pax",
            "-C",
            root,
            "-cf",
            f"{root}.tar",
            ".",
        ]
    )
    return [Blob.of(Path(f"{root}.tar").read_bytes()), Blob.of(archive(LATER, 1))]


def exported(write: Callable[[Path], object], path: Path) -> dict[str, tuple[object, ...]]:
    """What an archive holds that is not the engine's; hard links by what they lead to."""
    write(path)
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(path, errors="surrogateescape") as tar:
        for member in tar:
            name = member.name.strip("/").removeprefix("./")
            if name in ("", ".", "etc") or any(f"{name}/".startswith(f"{one}/") for one in ENGINE):
                continue
            content: object = member.linkname if member.issym() else None
            if member.isreg() or member.islnk():
                file = tar.extractfile(member)
                assert file is not None
                content = hashlib.sha256(file.read()).hexdigest()
            described = tar.getmember(member.linkname) if member.islnk() else member
            found[name] = (
                described.type,
                None if member.issym() else described.mode & 0o7777,
                (described.uid, described.gid),
                None if member.isdir() else int(described.mtime),
                content,
                described.pax_headers.get("SCHILY.xattr.security.capability"),
                (member.devmajor, member.devminor) if member.ischr() or member.isblk() else None,
            )
    return found


def test_a_debian_root_is_what_engines_make_of_it(
    layers: list[Blob],
    lading: Lading,
    engine: DockerCLI,
    podman: Path,
    registry: RealRegistry,
    repository: str,
    tmp_path: Path,
) -> None:
    reference = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", image(*layers, config={"config": {"Cmd": ["/x"]}}))
    ours = exported(lambda path: lading.run("image", "export", reference, str(path)), tmp_path / "ours.tar")
    assert len(ours) > 4000
    assert "usr/share/doc" not in ours

    container = engine.run("create", reference, timeout=120).stdout.strip()
    theirs = exported(lambda path: engine.run("export", "-o", str(path), container), tmp_path / "docker.tar")
    assert differing(ours, theirs) == {}

    container = run([podman, "create", "--tls-verify=false", "-q", reference], timeout=120).stdout.split()[-1]
    theirs = exported(lambda path: run([podman, "export", "-o", path, container]), tmp_path / "podman.tar")
    assert differing(ours, theirs) == {}

    umoci = need("umoci")
    lading.run("copy", reference, f"oci:{tmp_path}/layout:1")
    run([umoci, "raw", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "theirs"], timeout=120)
    lading.run("image", "export", reference, f"{tmp_path}/folder/")
    assert lines(tree(tmp_path / "folder"), tree(tmp_path / "theirs")) == []


def differing(
    ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]
) -> dict[str, tuple[object, object]]:
    """The paths that are not the same, with both: shorter to read than two thousand lines."""
    paths = sorted(ours.keys() | theirs.keys())
    return {path: (ours.get(path), theirs.get(path)) for path in paths if ours.get(path) != theirs.get(path)}


def lines(ours: str, theirs: str) -> list[str]:
    return sorted(set(ours.splitlines()) ^ set(theirs.splitlines()))
