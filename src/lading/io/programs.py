"""Why a program that is there by its name could not be started: for users of programs of other people."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def why_not_found(program: str, environ: Mapping[str, str]) -> str:
    """Why the operating system says that a program is not there: it is itself missing, or what is to run it.

    Args:
        program: its name or path.
        environ: the environment variables, `PATH` among them.
    """
    found = shutil.which(program, path=environ.get("PATH"))
    if found is None:
        return f"there is no program {program} on the PATH"
    with Path(found).open("rb") as file:
        first = file.readline(200)
    if not first.startswith(b"#!"):
        return "the loader that it is made for is not there"
    interpreter = (first[2:].decode("utf-8", "replace").split() or [""])[0]
    return f"its interpreter {interpreter} is not there"
