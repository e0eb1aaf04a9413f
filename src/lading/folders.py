"""The user's folders: the home, and the folders of lading in it. This module knows no file in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

NOWHERE: Final = Path("/dev/null/home")
"""The home of a user who has none: nothing is there, and nobody can put anything there."""

_BELOW_HOME = {"config": ".config", "cache": ".cache", "state": ".local/state"}


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own folder: `$HOME`, else what the system says of the user; `NOWHERE` where neither says one."""
    if named := environ.get("HOME"):
        return Path(named)
    try:
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except ModuleNotFoundError:
        return Path.home()
    except KeyError:
        return NOWHERE


def user_folder(kind: Literal["config", "cache", "state"]) -> Path:
    """The folder for one kind of the user's files; it need not exist.

    On Linux it is `lading` in `$XDG_CONFIG_HOME`, `$XDG_CACHE_HOME` or `$XDG_STATE_HOME` (by default `~/.config`,
    `~/.cache` and `~/.local/state`, XDG Base Directory Specification); elsewhere where `platformdirs` says.
    """
    if sys.platform == "linux":  # `platformdirs` says the same, and takes longer to import
        named = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
        base = Path(named) if named.startswith("/") else home() / _BELOW_HOME[kind]
        return base / "lading"
    else:  # noqa: RET505  # so that type checkers know which machine they are on
        import platformdirs

        find = {
            "config": platformdirs.user_config_path,
            "cache": platformdirs.user_cache_path,
            "state": platformdirs.user_state_path,
        }[kind]
        return find("lading", appauthor=False)
