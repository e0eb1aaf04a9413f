"""Validation of what other tools write: all of it is whole, and what becomes of a byte that changes is seen."""

import os
from pathlib import Path

import pytest

from interop.conftest import Tool
from support.docker import DockerCLI
from support.images import make_busybox, make_image, make_index, push
from support.lading import Lading
from support.process import run
from support.registry import RealRegistry

IMAGE = make_image("linux/amd64", kind="oci", layers=3, layer_size=20_000, seed="validated")
INDEX = make_index([IMAGE, make_image("linux/arm64/v8", kind="oci", seed="other")], kind="oci")
PATH = {"PATH": os.environ["PATH"]}
SKOPEO = {
    "dir": ("copy", "--all", "dir:new"),
    "layout": ("copy", "--all", "oci:new:1"),
    "archive": ("copy", "oci-archive:new:1"),
    "Docker archive": ("copy", "docker-archive:new:app:1"),
    "zstd": ("copy", "--dest-compress-format", "zstd", "--dest-compress", "oci:new:1"),
    "Docker's format": ("copy", "--format", "v2s2", "dir:new"),
    "no compression": ("copy", "--dest-decompress", "dir:new"),
}


@pytest.mark.parametrize("name", SKOPEO)
def test_what_skopeo_writes(
    name: str, tool: Tool, lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    *options, target = SKOPEO[name]
    push(registry.host, repository, "1", INDEX if "--all" in options else IMAGE)
    source = f"docker://{registry.host}/{repository}:1"
    tool("skopeo", "--insecure-policy", *options, "--src-tls-verify=false", source, target)
    ran = lading.run("validate", target, cwd=tmp_path)
    assert ran.stdout.splitlines()[0].endswith(" is whole")


CRANE = {"oci": "oci:new", "tarball": "docker-archive:new", "legacy": "docker-archive:new"}


@pytest.mark.parametrize("form", CRANE)
def test_what_crane_pulls(
    form: str, tool: Tool, lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    push(registry.host, repository, "1", IMAGE)
    tool("crane", "pull", "--format", form, f"{registry.host}/{repository}:1", "new")
    lading.run("validate", CRANE[form], cwd=tmp_path)


def test_what_umoci_makes(tool: Tool, lading: Lading, tmp_path: Path) -> None:
    tool("umoci", "init", "--layout", "new")
    tool("umoci", "new", "--image", "new:1")
    tool("umoci", "unpack", "--rootless", "--image", "new:1", "bundle")
    (tmp_path / "bundle" / "rootfs" / "file").write_bytes(b"content")
    tool("umoci", "repack", "--image", "new:1", "bundle")
    tool("umoci", "config", "--image", "new:1", "--config.env", "A=1")
    ran = lading.run("validate", "oci:new:1", cwd=tmp_path)
    assert ran.stdout.startswith("oci:new:1 is whole\n")


def test_what_a_container_engine_has(
    engine: DockerCLI, lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    name = f"{registry.host}/{repository}:1"
    push(registry.host, repository, "1", make_busybox(seed="validated"))
    engine.run("pull", name)
    try:
        ran = lading.run("validate", f"docker-daemon:{name}", env={"DOCKER_HOST": engine.daemon, **PATH})
        assert "is whole" in ran.stdout
        engine.run("save", "--output", str(tmp_path / "saved.tar"), name)
    finally:
        engine.run("rmi", name)
    lading.run("validate", f"docker-archive:{tmp_path / 'saved.tar'}")


def test_what_podman_saves(
    podman: Path, lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_busybox(seed="validated"))
    name = f"{registry.host}/{repository}:1"
    run([podman, "pull", "--tls-verify=false", name])
    for form in ("oci-archive", "docker-archive", "oci-dir", "docker-dir"):
        place = tmp_path / form
        run([podman, "save", "--format", form, "--output", str(place), name])
        kind = {"oci-dir": "oci", "docker-dir": "dir"}.get(form, form)
        ran = lading.run("validate", f"{kind}:{place}", check=False)
        # Layers in such a directory are not compressed, and called gzip.
        assert ran.returncode == (1 if form == "docker-dir" else 0), ran.stdout
        assert ("LAD805" in ran.stdout) == (form == "docker-dir")
