"""The tools that are measured: where they are, and which versions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_VERSIONS = {
    "lading": ["--version"],
    "crane": ["version"],
    "oras": ["version"],
    "regctl": ["version", "--format", "{{.VCSTag}}"],
    "regsync": ["version", "--format", "{{.VCSTag}}"],
    "skopeo": ["--version"],
    "docker": ["--version"],
    "podman": ["--version"],
}


def find_tools(wanted: Iterable[str]) -> dict[str, str]:
    """Where the tools are: beside this Python, in PATH, `$LADING_BENCH_BIN` or `$GOBIN`.

    Args:
        wanted: the names of peers; lading is always wanted.

    Returns:
        The path of each that is installed. Which are not, is printed.
    """
    beside = str(Path(sys.executable).parent)
    places = (beside, *map(os.environ.get, ("LADING_BENCH_BIN", "GOBIN", "PATH")))
    path = os.pathsep.join(filter(None, places))
    found = {tool: shutil.which(tool, path=path) for tool in ("lading", *wanted)}
    for tool, program in found.items():
        if program is None:
            print(f"{tool} is not installed")
    return {tool: program for tool, program in found.items() if program}


def version_of(tool: str, program: str) -> str:
    """The version that a tool says it has."""
    said = subprocess.run([program, *_VERSIONS[tool]], capture_output=True, text=True, check=False).stdout
    words = [word.strip(",v") for word in said.split()]
    return next((word for word in words if word[:1].isdigit()), "?")
