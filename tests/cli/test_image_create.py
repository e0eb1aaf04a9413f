"""`lading image create`: an image of files, on a base or on none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.images import make_attestation, make_image, make_index, push
from support.lading import Lading
from support.registry import RealRegistry


@pytest.fixture
def files(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    app.mkdir()
    (app / "run").write_text("#!/bin/sh\necho hi\n")
    (app / "run").chmod(0o755)
    return tmp_path


def config_of(lading: Lading, place: str, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lading.run("image", "config", place, *more).stdout)
    return found


def test_on_nothing(lading: Lading, files: Path) -> None:
    place = f"oci:{files}/out:1"
    words = [f"{files}/app:/app", "--platform", "linux/arm64", "--entrypoint", '["/app/run"]', "--env", "A=b"]
    said = lading.run("image", "create", place, *words).stdout
    assert said.startswith(f"{place}@sha256:")
    config = config_of(lading, place)
    assert (config["os"], config["architecture"]) == ("linux", "arm64")
    assert config["config"] == {"Entrypoint": ["/app/run"], "Env": ["A=b"]}
    assert lading.run("image", "cat", place, "/app/run").stdout_bytes.startswith(b"#!/bin/sh")
    again = lading.run("image", "create", f"oci:{files}/again:1", *words).stdout
    assert again.partition("@")[2] == said.partition("@")[2]


@pytest.fixture
def base(registry: RealRegistry, new_repository: Callable[[], str]) -> str:
    """An index for three platforms, with an attestation."""
    repository = new_repository()
    images = [
        make_image(platform, kind="oci", seed=platform) for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7")
    ]
    push(registry.host, repository, "12", make_index([*images, make_attestation(images[0])], kind="oci"))
    return f"{registry.host}/{repository}:12"


def test_from_an_index(lading: Lading, files: Path, base: str) -> None:
    place = f"oci:{files}/out:1"
    lading.run("image", "create", place, f"{files}/app:/app", "--from", base, "--cmd", '["/app/run"]')
    shown = json.loads(lading.run("index", "ls", place, "--format", "json").stdout)
    assert [entry["platform"] for entry in shown["entries"]] == ["linux/amd64", "linux/arm64", "linux/arm/v7"]
    for platform in ("linux/amd64", "linux/arm/v7"):
        assert config_of(lading, place, "--platform", platform)["config"]["Cmd"] == ["/app/run"]
        assert len(config_of(lading, place, "--platform", platform)["history"]) == 2
    raw = json.loads(lading.run("manifest", "get", place, "--platform", "linux/arm64").stdout)
    digest = lading.run("digest", base).stdout.strip()
    assert raw["annotations"] == {
        "org.opencontainers.image.base.digest": digest,
        "org.opencontainers.image.base.name": base,
    }
    assert lading.run("image", "check-base", place).returncode == 0


def test_from_some_platforms(lading: Lading, files: Path, base: str) -> None:
    place = f"oci:{files}/out"
    lading.run(
        "image", "create", f"{place}:two", "--from", base, "--platform", "linux/arm64", "--platform", "linux/amd64"
    )
    shown = json.loads(lading.run("index", "ls", f"{place}:two", "--format", "json").stdout)
    assert [entry["platform"] for entry in shown["entries"]] == ["linux/amd64", "linux/arm64"]
    lading.run("image", "create", f"{place}:one", "--from", base, "--platform", "linux/arm64", "--user", "5")
    assert json.loads(lading.run("manifest", "get", f"{place}:one").stdout)["layers"]
    assert config_of(lading, f"{place}:one")["config"]["User"] == "5"


def test_from_a_docker_image(lading: Lading, files: Path, registry: RealRegistry, repository: str) -> None:
    """Docker's format has no place for annotations: the base is not named, and the format stays."""
    push(registry.host, repository, "1", make_image())
    place = f"{registry.host}/{repository}"
    lading.run("image", "create", f"{place}:2", f"{files}/app:/app", "--from", f"{place}:1")
    assert "docker" in json.loads(lading.run("manifest", "get", f"{place}:2").stdout)["mediaType"]


def test_what_cannot_be_done(lading: Lading, files: Path, base: str) -> None:
    place = f"oci:{files}/out:1"
    for code, *words in (
        (3, "--from", base, "--platform", "windows/amd64"),
        (3, "--from", f"{base}-none"),
        (3, f"{files}/none"),
        (2, "--platform", "linux/amd64", "--platform", "linux/arm64"),
        (2, "--env", "x"),
    ):
        ran = lading.run("image", "create", place, *words, check=False)
        assert (ran.returncode, ran.stdout) == (code, ""), (words, ran.stderr)
    assert not (files / "out").exists()
