"""Other people's tools, run the way their users do; and a client with a home of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.serve import background
from support.parts import need
from support.process import Ran, bare_environment, run

Tool = Callable[..., Ran]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The embedded registry: another one than `registry`."""
    with background() as url:
        yield url.removeprefix("http://")


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    """A client whose cache and Docker configuration are empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with AsyncClient(docker_config=tmp_path / "docker") as running:
        yield running


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """Runs a program by its name, in the test's folder and with a home that is empty."""

    def program(name: str, *args: str | Path, stdin: bytes = b"") -> Ran:
        return run([need(name), *args], cwd=tmp_path, env=bare_environment(tmp_path / "home"), stdin=stdin)

    return program
