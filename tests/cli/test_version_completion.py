"""`lading version` and `lading completion`."""

import json
import os
import sys
from pathlib import Path

import pytest

from support.lading import Lading
from support.parts import need
from support.process import run


def test_version(lading: Lading) -> None:
    from lading import __version__

    assert lading.run("--version").stdout == f"lading {__version__}\n"
    assert lading.run("version").stdout.startswith(f"lading {__version__} (Python 3.")
    assert json.loads(lading.run("version", "--format", "json").stdout)["version"] == __version__
    assert lading.run("version", "--format", "{{ version }}").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    "typed, offered",
    [("lading ta", {"tag", "tags"}), ("lading manifest pu", {"push", "pull"}), ("lading tags --so", {"--sort"})],
)
def test_completion_in_bash(lading: Lading, tmp_path: Path, typed: str, offered: set[str]) -> None:
    bash = need("bash")
    program = tmp_path / "bin" / "lading"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lading "$@"\n')
    program.chmod(0o755)
    words = " ".join(typed.split())
    script = (
        f'eval "$(lading completion bash)"; COMP_WORDS=({words}); COMP_CWORD={len(typed.split()) - 1}; '
        '_lading_completion lading; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = lading.environment | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    assert set(run([bash, "-c", script], env=environment).stdout.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(lading: Lading, shell: str) -> None:
    assert "_LADING_COMPLETE" in lading.run("completion", shell).stdout
