"""The user's folders of lading: its configuration and its cache. It knows nothing of the files in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal


def user_folder(kind: Literal["config", "cache"]) -> Path:
    """The folder for one kind of the user's files; it need not exist.

    On Linux it is `lading` in `$XDG_CONFIG_HOME` or `$XDG_CACHE_HOME` (by default `~/.config` and `~/.cache`, XDG Base
    Directory Specification); elsewhere where `platformdirs` says.
    """
    if sys.platform == "linux":  # `platformdirs` says the same, and takes longer to import
        named = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
        base = Path(named) if named.startswith("/") else Path.home() / f".{kind}"
        return base / "lading"
    else:  # noqa: RET505  # so that type checkers know which machine they are on
        import platformdirs

        find = platformdirs.user_config_path if kind == "config" else platformdirs.user_cache_path
        return find("lading", appauthor=False)
