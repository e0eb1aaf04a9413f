"""The how-to pages: their commands are run, print what the pages say, and what comes of them runs."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.serve import background
from support.lading import Lading
from support.parts import missing
from support.process import run
from test_docs import FIRST_PORT, ROOT, free_port, play

PAGE = ROOT / "docs" / "howto" / "python-program.md"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def host() -> Iterator[str]:
    """A registry at a name as long as the one in the page."""
    with background(address=f"127.0.0.1:{free_port(FIRST_PORT)}") as url:
        yield url.removeprefix("http://").replace("127.0.0.1", "localhost")


@pytest.fixture
def base(host: str, lading: Lading, tmp_path: Path) -> str:
    """An image with the Python of this machine, and what is said to be one for another architecture."""
    if not PYTHON.exists():
        missing("there is no Python of the system here (Debian package python3-minimal)")
    root = tmp_path / "root"
    asked = "import sys, sysconfig; print(sys.version_info[1], sysconfig.get_path('stdlib'))"
    _, library = run([PYTHON, "-c", asked]).stdout.split()
    for word in run(["ldd", PYTHON]).stdout.split():
        if word.startswith("/"):
            _put(Path(word), root)
    _put(PYTHON, root)
    left_out = shutil.ignore_patterns("__pycache__", "test", "dist-packages", "lib2to3", "config-*", "ensurepip")
    shutil.copytree(library, root / library[1:], ignore=left_out, symlinks=True)
    name = f"{host}/base/python"
    for platform in ("amd64", "arm64"):
        lading.run(
            "image", "append", "scratch", f"{root}:/", "--platform", f"linux/{platform}", "-t", f"{name}:{platform}"
        )
    lading.run("index", "create", f"{name}:3", f"{name}:amd64", f"{name}:arm64")
    return f"{name}:3"


def _put(file: Path, root: Path) -> None:
    """Copy a file to where it is found, whatever links lead there."""
    target = root / file.as_posix()[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file.resolve(), target)


def test_a_python_program_is_put_into_an_image_and_runs(host: str, base: str, podman: Path, tmp_path: Path) -> None:
    # The digests are those of the Python of this machine.
    played = DIGEST.sub("sha256:…", play(PAGE, host, tmp_path / "typed"))
    if os.environ.get("LADING_UPDATE_DOCS"):
        PAGE.write_text(played)
    assert played == PAGE.read_text()
    # podman would raise these limits, which not every machine allows.
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    for words, printed in ((), "Hello, world!\n"), (("podman",), "Hello, podman!\n"):
        ran = run(
            [
                podman,
                "run",
                "--rm",
                "--quiet",
                "--tls-verify=false",
                "--network=none",
                *limits,
                f"{host}/me/hello:1.0",
                *words,
            ],
            timeout=120,
        )
        assert ran.stdout == printed
