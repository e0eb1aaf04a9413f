"""`lading image edit`: every option does what it says, and what it cannot read is refused before anything is done."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.lading import Lading
from support.layers import image, write_layout


@pytest.fixture
def place(tmp_path: Path) -> str:
    return write_layout(tmp_path / "layout", image("a=1", "b=2"))


GOOD: dict[str, tuple[list[str], dict[str, Any]]] = {
    "labels": (["--label", "a=b", "--label", "c=d", "--remove-label", "a"], {"Labels": {"c": "d"}}),
    "variables": (["--env", "A=1", "--env", "B=", "--remove-env", "A"], {"Env": ["B="]}),
    "commands": (
        ["--entrypoint", '["/a"]', "--append-entrypoint", "b", "--cmd", "run it", "--append-cmd", '["now"]'],
        {"Entrypoint": ["/a", "b"], "Cmd": ["/bin/sh", "-c", "run it", "now"]},
    ),
    "shell": (
        ["--shell", '["/bin/bash","-c"]', "--cmd", "x"],
        {"Shell": ["/bin/bash", "-c"], "Cmd": ["/bin/bash", "-c", "x"]},
    ),
    "user": (
        ["--user", "5:6", "--workdir", "/w", "--hostname", "h"],
        {"User": "5:6", "WorkingDir": "/w", "Hostname": "h"},
    ),
    "ports": (["--port", "80", "--port", "53/udp", "--remove-port", "80"], {"ExposedPorts": {"53/udp": {}}}),
    "volumes": (["--volume", "/v", "--volume", "/w", "--remove-volume", "/w"], {"Volumes": {"/v": {}}}),
    "stop": (["--stop-signal", "SIGINT", "--stop-timeout", "90s"], {"StopSignal": "SIGINT", "StopTimeout": 90}),
    "health": (
        ["--health-cmd", '["/ok"]', "--health-interval", "30s", "--health-retries", "3"],
        {"Healthcheck": {"Test": ["CMD", "/ok"], "Interval": 30_000_000_000, "Retries": 3}},
    ),
    "no health": (["--no-healthcheck"], {"Healthcheck": {"Test": ["NONE"]}}),
    "build": (["--onbuild", "RUN x", "--args-escaped", "true"], {"OnBuild": ["RUN x"], "ArgsEscaped": True}),
    "cleared": (["--user", "5", "--cmd", "x", "--clear", "user"], {"Cmd": ["/bin/sh", "-c", "x"]}),
}


@pytest.mark.parametrize("case", GOOD)
def test_how_a_container_runs(lading: Lading, place: str, case: str) -> None:
    words, wanted = GOOD[case]
    lading.run("image", "edit", place, *words, "-t", "2")
    changed = json.loads(lading.run("image", "config", place.rpartition(":")[0] + ":2").stdout)
    assert changed["config"] == wanted


def test_what_the_image_is(lading: Lading, place: str) -> None:
    words = ["--author", "me", "--set-platform", "linux/arm64", "--os-version", "1", "--os-feature", "x"]
    lading.run("image", "edit", place, *words, "--created", "2024-01-02T03:04:05Z", "-t", "2")
    changed = json.loads(lading.run("image", "config", place.rpartition(":")[0] + ":2").stdout)
    assert (changed["author"], changed["architecture"], changed["created"]) == ("me", "arm64", "2024-01-02T03:04:05Z")
    assert (changed["os.version"], changed["os.features"]) == ("1", ["x"])


def test_what_the_manifest_says(lading: Lading, place: str) -> None:
    digest = lading.run("digest", place).stdout.strip()
    words = ["--annotation", "a=b", "--annotation", "c=d", "--remove-annotation", "c", "--base", f"debian:12@{digest}"]
    lading.run(
        "image", "edit", place, "--label", "l=1", "--label-to-annotation", *words, "--data-max", "4096", "-t", "2"
    )
    manifest = json.loads(lading.run("manifest", "get", place.rpartition(":")[0] + ":2").stdout)
    assert manifest["annotations"]["a"] == "b"
    assert "c" not in manifest["annotations"]
    assert manifest["annotations"]["l"] == "1"
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == digest
    assert manifest["config"]["data"]


BAD = [
    *(f"--{name} x" for name in ("label", "env", "annotation", "base", "data-max", "digest-algorithm", "to")),
    *(f"--{name} {value}" for name in ("entrypoint", "cmd") for value in ("[", "[]", "[1]")),
    *(
        f"--{name} x"
        for name in ("shell", "stop-timeout", "health-interval", "health-retries", "args-escaped", "clear")
    ),
    *(f"--{name} never" for name in ("created", "config-time", "config-time-max", "file-time")),
    "--config-time 2024-01-02T03:04:05Z,skip=x",
    "--config-time 2024-01-02T03:04:05Z,after=x",
    "--file-time 1,until=2",
    "--archive-time a.tar",
    "--archive-time-max a.tar=never",
    "--set-platform linux",
    "--port 99999",
    "--env =x",
    "--remove-layer-created-by (",
    "--compression bzip2",
]


@pytest.mark.parametrize("typed", BAD)
def test_what_cannot_be_read_is_refused(lading: Lading, place: str, typed: str) -> None:
    ran = lading.run("image", "edit", place, *typed.split(" ", 1), "-t", "2", check=False)
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert "2" not in lading.run("tags", place.rpartition(":")[0]).stdout.split()
