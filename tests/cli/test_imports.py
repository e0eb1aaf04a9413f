"""A command imports what it uses, and no more: start-up time is a feature."""

import subprocess
import sys
from pathlib import Path

import pytest

from lading.later import LATER
from support.images import make_image, push
from support.lading import Lading
from support.layers import image, write_layout
from support.registry import RealRegistry

HEAVY = {"asyncio", "jinja2", "msgspec", "pyreqwest", "rich", "starlette", "uvicorn"}
if sys.platform == "linux":
    HEAVY |= {"platformdirs"}


def imported(lading: Lading, *args: str) -> set[str]:
    """The top-level modules among HEAVY that a command imports."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lading", *args],
        env=lading.environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines() if "|" in line}
    return names & HEAVY


@pytest.mark.parametrize(
    "args", [("--version",), ("--help",), ("manifest", "--help"), ("inspect", "--help"), ("resolve", "--help")]
)
def test_what_needs_no_registry_imports_nothing_heavy(lading: Lading, args: tuple[str, ...]) -> None:
    assert imported(lading, *args) == set()


@pytest.mark.parametrize(
    "command",
    [
        "digest {r}:1",
        "inspect {r}:1",
        "tags {r}",
        "tag {r}:1 2",
        "manifest inspect {r}:1",
        "manifest create {r}:l {r}:1",
        "copy {r}:1 {r}-copy:1",
    ],
)
def test_a_command_imports_what_requests_need_and_nothing_to_draw_with(
    command: str, lading: Lading, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    words = command.format(r=f"{registry.host}/{repository}").split()
    assert imported(lading, *words) == {"asyncio", "msgspec", "pyreqwest"}


def test_a_digest_loads_what_it_needs(lading: Lading, registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image())
    lading.run("digest", f"{registry.host}/{repository}:1")  # what it speaks is known from now on
    code = (
        "import sys; from lading import later; later.load_later(); from lading.cli import main; main(sys.argv[1:]);"
        "print('', *(name for name, module in sys.modules.items() if not later.is_waiting(module)), sep='\\n')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "digest", f"{registry.host}/{repository}:1"],
        env=lading.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(ran.stdout.splitlines())
    others = {"aiohttp", "botocore", "tomllib", "email", "http", "netrc", "tempfile", "random", "urllib.request"}
    assert names & others == set()
    assert names & LATER == set()
    assert len(names) <= DIGEST_ALL, sorted(names)
    ours = {name for name in names if name.startswith("lading.")}
    assert len(ours) <= DIGEST, sorted(ours)


def test_an_edit_of_a_config_loads_nothing_that_reads_layers(lading: Lading, tmp_path: Path) -> None:
    place = write_layout(tmp_path / "layout", image("a=a"))
    code = (
        "import sys; from lading.cli import main; main(sys.argv[1:]);"
        "print('', *sys.modules, sep='\\n', file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "image", "edit", place, "--label", "a=b", "-t", "2"],
        env=lading.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(ran.stderr.splitlines())
    assert "lading.images.edits.config" in names
    assert {name for name in names if name == "tarfile" or name.startswith("lading.images.files")} == set()


DIGEST = 59
"""How many modules of lading a digest loads at most: each one more costs every command its time."""
DIGEST_ALL = 212
"""How many modules at all, on any Python."""


@pytest.mark.parametrize("args", [("--version",), ("--help",), ("help",), ()])
def test_what_is_known_is_said_without_the_command_line(lading: Lading, args: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-v", "-m", "lading", *args],
        env=lading.environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    names = {line.split("'")[1] for line in ran.stderr.splitlines() if line.startswith("import '")}
    assert {name for name in names if name.startswith("lading")} == {"lading", "lading._version", "lading.quick"}
    assert names & {"typing", "re", "enum", "click"} == set()


def test_drafts_are_local(lading: Lading) -> None:
    assert imported(lading, "manifest", "ls") <= {"asyncio", "msgspec"}


def test_importing_the_library_costs_next_to_nothing() -> None:
    code = "import sys; import lading; print(sorted(set(sys.modules) & {'asyncio', 'msgspec', 'pyreqwest', 'click'}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
