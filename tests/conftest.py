"""Fixtures every test may ask for. What they give is in `support`."""

import gc
import os
import re
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from lading.client import AsyncClient
from lading.registry.session import Session
from lading.serve import background
from support.certs import Authority
from support.docker import DockerCLI, dockerd
from support.lading import Lading
from support.parts import missing, need, times, to_install
from support.process import bare_environment, heed_interrupts, run
from support.proxy import CountingProxy
from support.registry import RealRegistry

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("lading", deadline=None, max_examples=times(25, 400))
hypothesis.settings.load_profile("lading")


def pytest_configure() -> None:
    heed_interrupts()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without looking for garbage: of what is made, all stays, and nobody need look through it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say last what to install to run the rest."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and (line := to_install(str(one.longrepr) for one in reporter.stats.get("skipped", []))):
        reporter.write_line(line)


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all tests' caches."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def own_cache(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a cache of its own; nothing is in it yet, not even the folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches / uuid.uuid4().hex))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that fail are sent again soon, where a test does not say when."""
    defaults = Session.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "backoff", defaults["backoff"] / 10)


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Iterator[None]:
    """Files are good enough without waiting for the disk."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session")
def registry() -> Iterator[RealRegistry]:
    """A real registry: plain HTTP, no login, deletion allowed. Shared, so use a `repository` of your own."""
    with RealRegistry() as running:
        yield running


@pytest.fixture(scope="session")
def basic_registry() -> Iterator[RealRegistry]:
    """A real registry with Basic authentication, for alice (secret)."""
    with RealRegistry(auth="basic") as running:
        yield running


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The embedded registry: another one than `registry`, which takes uploads up where they broke off."""
    with background() as url:
        yield url.removeprefix("http://")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """A client whose cache and Docker configuration are empty."""
    async with AsyncClient(docker_config=tmp_path / "docker") as running:
        yield running


@pytest.fixture
def proxy(registry: RealRegistry) -> Iterator[CountingProxy]:
    """A counting proxy in front of `registry`."""
    with CountingProxy(registry.url) as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that signs for localhost and 127.0.0.1."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def new_repository(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes names of repositories that no other test uses."""
    used = 0

    def new() -> str:
        nonlocal used
        used += 1
        words = re.sub(r"[^a-z0-9]+", "-", request.node.nodeid.lower()).strip("-")
        return f"test/{words[-100:].strip('-')}-{used}"

    return new


@pytest.fixture
def repository(new_repository: Callable[[], str]) -> str:
    """The name of a repository that no other test uses."""
    return new_repository()


@pytest.fixture
def docker(tmp_path: Path) -> DockerCLI:
    """The docker CLI without a daemon, with a configuration of its own."""
    return DockerCLI(tmp_path / "docker")


@pytest.fixture
def lading(tmp_path: Path) -> Lading:
    """The lading command with a home of its own."""
    return Lading(tmp_path / "home")


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerCLI]:
    """The docker CLI bound to a docker daemon of the tests' own."""
    with dockerd() as running:
        yield running


@pytest.fixture
def podman() -> Iterator[Path]:
    """The podman command with everything in a folder of its own, of which podman wants the path to be short."""
    program = need("podman")
    with tempfile.TemporaryDirectory(prefix="podman-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        wrapper = folder / "podman"
        options = f"--root={name}/root --runroot={name}/run --tmpdir={name}/tmp --storage-driver=vfs"
        wrapper.write_text(
            f'#!/bin/sh\nexec {program} {options} --cgroup-manager=cgroupfs --events-backend=file "$@"\n'
        )
        wrapper.chmod(0o755)
        tried = run([wrapper, "images"], check=False, env=bare_environment(folder))
        if tried.returncode != 0:
            missing(f"podman does not run here: {tried.stderr}")
        yield wrapper
