"""Images whose layers were put together or compressed in another way: engines make of them what they made before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.test_image_files import ODD, ROOTS, tree
from support.docker import DockerCLI
from support.images import make_busybox, make_image, make_layer, push
from support.lading import Lading
from support.layers import AnyLayer, Entry, archive, image, write_layout
from support.parts import need
from support.process import run
from support.registry import RealRegistry

EDITS = {
    "flat": ["flatten"],
    "squashed": ["squash", "--from", "2"],
    "plain": ["edit", "--compression", "none"],
    "zstd": ["edit", "--compression", "zstd"],
    "new-times": ["edit", "--file-time-max", "1"],
}
DOCKER = ("flat", "squashed", "plain")
"""Docker 20.10 reads no zstd."""
LAYERS: dict[str, list[AnyLayer]] = {
    **{name: list(layers) for name, layers in ROOTS.items()},
    "odd": [*ODD, "parent/ parent/less/ parent/less/more=m d/ d/e=e", "-parent/less d/ !d d/f=f"],
    "hard links": [
        "d/ d/a=a@640 d/b~d/a@640 d/c~d/a@640 x/ x/y=y",
        "-d/b",
        "d/ d/a=new e/ e/f=f e/g~e/f",
        "-x e/ -e/f",
    ],
    "again": ["d/ d/a=a d/s/ d/s/t=t f->d", "-d f=file", "d/@700 d/b=b d/s=file"],
}


def edit(lading: Lading, registry: RealRegistry, repository: str, name: str, *how: str) -> str:
    """An image with these layers, and its edited form beside it; returns the latter's reference."""
    reference = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", image(*LAYERS[name], config={"config": {"Cmd": ["/x"]}}))
    lading.run("image", how[0], reference, *how[1:], "-t", "edited")
    return f"{registry.host}/{repository}:edited"


@pytest.mark.parametrize("how", DOCKER)
@pytest.mark.parametrize("name", LAYERS)
def test_docker_finds_the_same(
    name: str, how: str, lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str
) -> None:
    edited = edit(lading, registry, repository, name, *EDITS[how])
    found = tree(engine.run("export", engine.run("create", edited, timeout=120).stdout.strip()).stdout_bytes)
    assert found == tree(lading.run("image", "export", edited.replace(":edited", ":1")).stdout_bytes)
    assert found


@pytest.mark.parametrize("name", LAYERS)
def test_podman_finds_the_same(
    name: str, lading: Lading, podman: Path, registry: RealRegistry, repository: str
) -> None:
    for how in ("flat", "squashed", "zstd"):
        edited = edit(lading, registry, repository, name, *EDITS[how])
        container = run([podman, "create", "--tls-verify=false", "-q", edited]).stdout.split()[-1]
        found = tree(run([podman, "export", container]).stdout_bytes)
        assert found == tree(lading.run("image", "export", edited.replace(":edited", ":1")).stdout_bytes)
        run([podman, "rm", container])


@pytest.mark.parametrize("how", ["flat", "squashed", "plain"])
def test_umoci_finds_the_same(
    how: str, lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    umoci = need("umoci")

    def listed(folder: Path) -> dict[str, tuple[int, int, int]]:
        paths = sorted(folder.rglob("*"))
        return {
            path.relative_to(folder).as_posix(): (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_gid)
            for path in paths
        }

    for name in ("whiteouts", "hard links", "again"):
        edited = edit(lading, registry, repository, name, *EDITS[how])
        for reference, number in ((edited, "after"), (edited.replace(":edited", ":1"), "before")):
            lading.run("copy", reference, f"oci:{tmp_path}/{name}:{number}")
            run([umoci, "raw", "unpack", "--image", f"{tmp_path}/{name}:{number}", str(tmp_path / f"{name}-{number}")])
        assert listed(tmp_path / f"{name}-after") == listed(tmp_path / f"{name}-before")


SCRIPT = "cat /app/say; test ! -e /srv/gone && echo gone; busybox ls /srv"
SAID = "two\ngone\nkept\n"


@pytest.fixture
def runs(registry: RealRegistry, repository: str) -> str:
    """An image that runs, of which the topmost layer changes and deletes what is below."""
    base = make_busybox(seed="layers", kind="oci")
    layers = [
        *base.layers,
        make_layer({"app/": b"", "app/say": b"one\n", "srv/": b"", "srv/gone": b"x", "srv/kept": b"k"}),
        make_layer({"app/": b"", "app/say": b"two\n", "srv/": b"", "srv/.wh.gone": b""}),
    ]
    assert base.platform is not None
    config = {"Cmd": ["/bin/sh", "-c", SCRIPT], "Env": ["PATH=/bin"]}
    made = make_image(f"linux/{base.platform['architecture']}", kind="oci", layers=layers, config=config)
    push(registry.host, repository, "1", made)
    return f"{registry.host}/{repository}:1"


@pytest.mark.parametrize("how", DOCKER)
def test_docker_runs_them(how: str, lading: Lading, engine: DockerCLI, runs: str) -> None:
    lading.run("image", EDITS[how][0], runs, *EDITS[how][1:], "-t", "edited")
    ran = engine.run("run", "--rm", "--network=none", runs.replace(":1", ":edited"))
    assert ran.stdout == SAID


def test_podman_runs_them(lading: Lading, podman: Path, runs: str) -> None:
    for how, said in EDITS.items():
        lading.run("image", said[0], runs, *said[1:], "-t", how)
        name = runs.replace(":1", f":{how}")
        run([podman, "pull", "--tls-verify=false", "-q", name])
        # podman would raise these limits, which not every machine allows.
        limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
        ran = run([podman, "run", "--rm", "--network=none", *limits, name])
        assert ran.stdout == SAID


def test_both_run_a_rebased_one(
    lading: Lading, engine: DockerCLI, podman: Path, registry: RealRegistry, repository: str, runs: str
) -> None:
    """The old base is the layer that has busybox; the new one has another busybox, and a file more."""
    old = make_busybox(seed="layers", kind="oci")
    more = make_layer({"srv/": b"", "srv/new": b"n"})
    new = make_image(
        f"linux/{old.platform['architecture']}" if old.platform else "linux/amd64",
        kind="oci",
        layers=[*make_busybox(seed="another", kind="oci").layers, more],
    )
    for tag, base in (("old", old), ("new", new)):
        push(registry.host, repository, tag, base)
    place = runs.removesuffix(":1")
    lading.run("image", "rebase", runs, "--old-base", f"{place}:old", "--new-base", f"{place}:new", "-t", "rebased")
    said = "two\ngone\nkept\nnew\n"
    assert engine.run("run", "--rm", "--network=none", f"{place}:rebased").stdout == said
    run([podman, "pull", "--tls-verify=false", "-q", f"{place}:rebased"])
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    assert run([podman, "run", "--rm", "--network=none", *limits, f"{place}:rebased"]).stdout == said


BESIDE = {
    "strip": (["--layer-strip-file", "/d/a"], ["--strip-file", "/d/a"]),
    "strip a directory": (["--layer-strip-file", "/d"], ["--strip-file", "/d"]),
    "times": (["--layer-time", "set=2001-01-01T00:00:00Z"], ["--file-time", "2001-01-01T00:00:00Z"]),
    "latest time": (
        ["--layer-time", "set=1970-01-01T00:25:00Z,after=1970-01-01T00:25:00Z"],
        ["--file-time-max", "1970-01-01T00:25:00Z"],
    ),
    "but for the base": (
        ["--layer-time", "set=2001-01-01T00:00:00Z,base-layers=1"],
        ["--file-time", "2001-01-01T00:00:00Z,skip=1"],
    ),
    "a layer by its history": (["--layer-rm-created-by", "^step 1"], ["--remove-layer-created-by", "^step 1"]),
    "the second layer": (["--layer-rm-index", "1"], ["--remove-layer", "2"]),
    "reproducible": (["--reproducible"], ["--reproducible"]),
    "compression": (["--layer-compress", "zstd"], ["--compression", "zstd"]),
    "but for a named base": (
        ["--layer-time", "set=2001-01-01T00:00:00Z,base-ref=ocidir://{base}:t"],
        ["--file-time", "2001-01-01T00:00:00Z,base=oci:{base}:t"],
    ),
    "the config but for a named base": (
        ["--config-time", "set=2001-01-01T00:00:00Z,base-ref=ocidir://{base}:t"],
        ["--config-time", "2001-01-01T00:00:00Z,base=oci:{base}:t"],
    ),
    "later than another time": (
        ["--time", "set=1970-01-01T00:25:00Z,after=1970-01-01T00:30:00Z"],
        ["--config-time", "1500,after=1800", "--file-time", "1500,after=1800"],
    ),
    "a label's time": (["--layer-time", "from-label=at"], ["--file-time", "label:at"]),
    "an archive in a layer": (
        ["--file-tar-time", "filename=in.tar,set=2001-01-01T00:00:00Z"],
        ["--archive-time", "in.tar=2001-01-01T00:00:00Z"],
    ),
    "later times in an archive": (
        ["--file-tar-time", "filename=in.tar,set=1970-01-01T00:25:00Z,after=1970-01-01T00:25:00Z,base-layers=1"],
        ["--archive-time-max", "/in.tar=1500,skip=1"],
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_the_same_diff_ids_as_regctl(name: str, lading: Lading, tmp_path: Path) -> None:
    """Of layers as Go programs write them; of others, regctl writes every header anew."""
    theirs, ours = BESIDE[name]
    owner = {265: b"user", 297: b"group"}
    first = [Entry("d/", "5", mode=0o755), Entry("d/a", content=b"a" * 700), Entry("b", content=b"b", raw=owner)]
    inside = Entry("in.tar", content=archive([Entry("x", content=b"x"), Entry("y", content=b"y", mtime=1700)]))
    created = "2024-01-02T03:04:05Z"
    steps: list[dict[str, object]] = [{"created": created, "created_by": f"step {number}"} for number in range(3)]
    steps.insert(1, {"created": created, "created_by": "CMD x", "empty_layer": True})
    config = {"created": created, "config": {"Labels": {"at": "2001-01-01T00:00:00Z"}}}
    top = [Entry("f", content=b"f"), Entry("g", "1", link="f"), inside]
    place = write_layout(tmp_path / "layout", image(first, "d/ d/c=c e->d/a", top, history=steps, config=config))
    write_layout(tmp_path / "base", image(first, history=steps[:2], config=config))
    theirs, ours = ([word.replace("{base}", f"{tmp_path}/base") for word in words] for words in (theirs, ours))
    run([need("regctl"), "image", "mod", f"ocidir://{tmp_path}/layout:t", *theirs, "--create", "theirs"])
    lading.run("image", "edit", place, *ours, "-t", "ours")

    def said(tag: str) -> tuple[object, ...]:
        ran = lading.run("image", "config", place.replace(":t", f":{tag}"), "--raw")
        found = json.loads(ran.stdout)
        return found["rootfs"], found["created"], found["history"]

    assert said("ours") == said("theirs") != said("t") or name == "compression"


@pytest.mark.parametrize("name", ROOTS)
def test_crane_reads_flat_images(name: str, lading: Lading, registry: RealRegistry, repository: str) -> None:
    flat = edit(lading, registry, repository, name, "flatten")
    theirs = run([need("crane"), "export", "--insecure", flat, "-"]).stdout_bytes
    assert tree(theirs) == tree(lading.run("image", "export", flat.replace(":edited", ":1")).stdout_bytes)
