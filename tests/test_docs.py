"""Every command in README.md and docs/ is run, and prints what the page says it prints.

A page's `console` blocks are typed in order into one shell session's worth of state: a registry at `localhost:5000`
with the images of the demo, a home and a folder of the page's own; at `localhost:5001` nothing is yet. `python` blocks
run against the same registry. With `LADING_UPDATE_DOCS=1` what is printed is written into the page instead.
"""

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.cli.commands.demo import stage
from lading.cli.options import Options
from support import process
from support.lading import Lading
from support.parts import need
from support.process import bare_environment

ROOT = Path(__file__).parent.parent
PLAIN = re.compile(r"[\w ./:@,=+-]+")
"""A command that a shell does nothing with, but to split it at its spaces."""
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    # test_howto.py runs those, which need more than the demo.
    if BLOCK.search(page.read_text()) and page.parent.name != "howto"
)
HOST = "localhost:5000"
OTHER = "localhost:5001"
FIRST_PORT = 5001 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Each process of a parallel run has ports of its own: between looking and listening another one might take them."""


@pytest.fixture
def host() -> Iterator[str]:
    """What `lading demo --keep` serves, at a name as long as the one in the pages: columns must not move."""
    port = free_port(FIRST_PORT)
    with stage(Options(), f"127.0.0.1:{port}"):
        yield f"localhost:{port}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_true(page: Path, host: str, tmp_path: Path) -> None:
    played = play(page, host, tmp_path / "home")
    if os.environ.get("LADING_UPDATE_DOCS"):
        page.write_text(played)
    else:
        assert played == page.read_text()


def play(page: Path, host: str, home: Path, **more: str) -> str:
    """A page with what its commands print, typed in a home of their own; `more` is what the environment has besides."""
    if "htpasswd -" in page.read_text():
        need("htpasswd")
    other = f"localhost:{free_port(int(host.rpartition(':')[2]) + 1)}"
    lading = Lading(home)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = bare_environment(home) | {"PATH": programs, "NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"} | more

    def run(command: list[str]) -> str:
        words = command[-1].split()
        if words[0] == "lading" and PLAIN.fullmatch(command[-1]):
            ran = lading.run(*words[1:], check=False, env=environment, cwd=home, merged=True)
        else:
            ran = process.run(command, check=False, env=environment, cwd=home, merged=True)
        # A copy says how long it took only where that was long.
        said = re.sub(r", \d+\.\d s$", "", ran.stdout, flags=re.MULTILINE)
        return said.replace(host, HOST).replace(other, OTHER).replace(str(home), "/home/you")

    def placed(text: str) -> str:
        return text.replace(OTHER, other).replace(HOST, host)

    def type_in(block: re.Match[str]) -> str:
        kind, content = block.groups()
        if kind == "python":
            said = run([sys.executable, "-c", placed(content)])
            assert "Traceback" not in said, said
            return block.group()
        lines = []
        for command, _ in _commands(content):
            said = run(["bash", "-c", placed(command)])
            assert "in a way it should not" not in said, said
            lines.append(f"$ {command}\n{said}")
        return f"```console\n{''.join(lines)}```"

    return BLOCK.sub(type_in, page.read_text())


def test_there_is_something_to_run() -> None:
    commands = [c for page in PAGES for b in BLOCK.finditer(page.read_text()) for c, _ in _commands(b[2])]
    assert len(commands) > 20
    assert shutil.which("bash")


def _commands(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints; one that ends in a backslash goes on in the next line."""
    found: list[tuple[str, str]] = []
    lines = iter(block.splitlines(keepends=True))
    for line in lines:
        if line.startswith("$ "):
            command = line[2:].rstrip("\n")
            while command.endswith("\\"):
                command += "\n" + next(lines).rstrip("\n")
            found.append((command, ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def free_port(first: int) -> int:
    """The first port of four digits, from `first` on, that nobody listens at."""

    def is_free(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    return next(port for port in range(first, 9999) if is_free(port))
