"""Other people's tools, run the way their users do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.parts import need
from support.process import Ran, bare_environment, run

Tool = Callable[..., Ran]


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """Runs a program by its name, in the test's folder and with a home that is empty."""

    def program(name: str, *args: str | Path, stdin: bytes = b"") -> Ran:
        return run([need(name), *args], cwd=tmp_path, env=bare_environment(tmp_path / "home"), stdin=stdin)

    return program
