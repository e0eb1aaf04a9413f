"""Images with another config: engines run them as they say."""

from pathlib import Path

import pytest

from support.docker import DockerCLI
from support.images import make_busybox, push
from support.lading import Lading
from support.process import run
from support.registry import RealRegistry

WORDS = ["--entrypoint", "busybox echo $GREETING; pwd", "--env", "GREETING=an edit", "--workdir", "/work"]
SAID = "an edit\n/work\n"


@pytest.fixture
def edited(lading: Lading, registry: RealRegistry, repository: str) -> str:
    """An image that runs, with another entrypoint, variable and directory."""
    push(registry.host, repository, "1", make_busybox(seed="configs", kind="oci"))
    name = f"{registry.host}/{repository}"
    lading.run("image", "edit", f"{name}:1", *WORDS, "-t", "2")
    return f"{name}:2"


def test_docker_runs_it(edited: str, engine: DockerCLI) -> None:
    assert engine.run("run", "--rm", "--network=none", edited).stdout == SAID


def test_podman_runs_it(edited: str, podman: Path) -> None:
    run([podman, "pull", "--tls-verify=false", "-q", edited])
    # podman would raise these limits, which not every machine allows.
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    assert run([podman, "run", "--rm", "--network=none", *limits, edited]).stdout == SAID
