"""A warm start: a process that has everything imported, and forks to run a command that is handed to it.

This module says where that process is, which commands it is for, and what it must have in common with the one that
hands it a command. It knows no commands, and imports next to nothing: every start of the program may ask it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # that of `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence

SWITCH = "LADING_WARM"
"""The variable that says whether commands are handed over, 1 or 0; without it, `warm = true` in the configuration."""
_COLD = (["warm"], ["login"], ["demo"], ["registry", "serve"])
"""Commands that are not handed over: they live long, or ask for a password at the terminal of their session."""
_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "OPENSSL_")
"""How variables begin that Python or a library reads when it starts, and not again."""
_CONFINED = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:")
"""How lines of `/proc/self/status` begin that say what a process may do."""


def is_wanted(arguments: Sequence[str]) -> bool:
    """Whether a command is to be handed over.

    Args:
        arguments: the command line without the program's name.
    """
    said = os.environ.get(SWITCH, "")
    if said not in ("", "1") or "_LADING_COMPLETE" in os.environ:
        return False
    given = list(arguments)
    return not any(given[: len(cold)] == cold for cold in _COLD) and (said == "1" or _is_configured())


def _is_configured() -> bool:
    """Whether the configuration has `warm = true`: a line before its first table."""
    path = os.environ.get("LADING_CONFIG") or f"{_base('CONFIG') or ''}/lading/config.toml"
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # `pathlib` takes longer to import than the rest to run
            for line in file:
                key, _, value = line.partition(b"#")[0].partition(b"=")
                if key.lstrip().startswith(b"["):
                    return False
                if key.strip() == b"warm":
                    return value.strip() == b"true"
    except OSError:
        pass
    return False


def _base(kind: str) -> str:
    """The user's folder for one kind of files, as `lading.folders` finds it; empty where there is none."""
    named = os.environ.get(f"XDG_{kind}_HOME", "").strip()
    home = os.environ.get("HOME", "")
    return named if named.startswith("/") else f"{home}/.{kind.lower()}" if home.startswith("/") else ""


def folder() -> str:
    """The folder of the socket; empty where the user has none. It need not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = runtime if runtime.startswith("/") else _base("CACHE")
    return f"{base}/lading/warm" if base else ""


def address() -> str:
    """The path of the socket for this installation of lading and this interpreter; empty where there is no folder."""
    place = folder()
    number = 0xCBF29CE484222325  # FNV-1a: a name, which proves nothing; `identity` does
    for byte in f"{sys.executable}\0{sys.prefix}\0{__file__}".encode(errors="surrogateescape"):
        number = (number ^ byte) * 0x100000001B3 % 2**64
    return f"{place}/{number:016x}" if place else ""


def open_folder(place: str) -> int | None:
    """A folder, opened to name what is in it; None where it is not the user's, or others may do something in it.

    The path of a socket has room for a hundred characters: below `/proc/self/fd` every path is short.
    """
    try:
        opened = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    status = os.fstat(opened)
    if status.st_uid == os.geteuid() and not status.st_mode & 0o077:
        return opened
    os.close(opened)
    return None


def identity() -> bytes:
    """What two processes have in common if a command does the same in both, but for what is handed over with it.

    The interpreter with its flags, the installation, the variables that are read when it starts, what the process may
    do, its namespaces, and its root.

    Raises:
        OSError: the system does not say it.
    """
    root = os.stat("/")  # noqa: PTH116
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123
        may = [line for line in file if line.decode("latin-1").startswith(_CONFINED)]
    spaces = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "pid", "user", "uts", "ipc")]  # noqa: PTH115
    variables = sorted(item for item in os.environ.items() if item[0].startswith(_AT_START))
    said = (
        (sys.version, sys.executable, sys.prefix, __file__, tuple(sys.flags), sys.warnoptions, sys._xoptions),  # noqa: SLF001
        (getattr(sys.__stdout__, "write_through", False), variables, spaces, root.st_dev, root.st_ino),
    )
    return ascii(said).encode() + b"".join(may)
