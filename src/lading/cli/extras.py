"""Packages that only some commands need, and how this installation gets them: from where it came itself."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

from lading.errors import UsageError

_MODULES = {
    "bcrypt": "serve",
    "botocore": "aws",
    "h11": "serve",
    "jwt": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "yaml": "yaml",
}
"""The modules of the extras in `pyproject.toml`."""


def missing_extra(error: ModuleNotFoundError) -> UsageError | None:
    """What to say of a package that is not installed; None for one that is in no extra."""
    extra = _MODULES.get((error.name or "").partition(".")[0])
    if extra is None:
        return None
    return UsageError(
        f"the extra {extra!r} of lading is not installed",
        cause=f"the package {error.name} is missing",
        remedy=install_line(extra),
        code="extra-missing",
        fields={"extra": extra},
    )


def install_line(extra: str) -> str:
    """The command that installs lading again with an extra, by what installed it, from where it came."""
    what = quote(_requirement(extra))
    home = Path(sys.prefix).as_posix()
    if "/uv/tools/" in home:
        return f"uv tool install --force {what}"
    if "/pipx/venvs/" in home:
        return f"pipx install --force {what}"
    if find_spec("pip") is None:
        return f"uv pip install --python {quote(sys.executable)} {what}"
    return f"{quote(sys.executable)} -m pip install {what}"


def _requirement(extra: str) -> str:
    """What is installed, as pip reads it (PEP 610 has where it came from)."""
    try:
        came = json.loads(distribution("lading").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        came = {}
    url = str(came.get("url") or "")
    if not url:
        return f"lading[{extra}]"
    if url.startswith("file:") and "dir_info" in came:
        return f"{unquote(urlsplit(url).path)}[{extra}]"
    vcs = came.get("vcs_info") or {}
    if vcs:
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    return f"lading[{extra}] @ {url}"
