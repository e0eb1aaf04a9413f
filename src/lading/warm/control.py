"""Beginning, asking and ending the warm process, from another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import msgspec

import lading
from lading.errors import Conflict, LadingError, Unsupported
from lading.warm import _AT_START, folder
from lading.warm.client import connect, peer, send
from lading.warm.keeper import Status

PATIENCE = 30.0
"""How long the warm process may take to begin or to end, in seconds."""
_PLACES = ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME")
_SELDOM = ("lading.serve", "lading.warm", "lading.cli.commands.registry.serve", "lading.cli.commands.demo")
_OTHERS = ("asyncio", "jinja2", "pyreqwest.client", "pyreqwest.proxy", "rich.progress", "rich.table", "ssl", "tomllib")
"""What is imported within functions."""


def start(command: list[str]) -> tuple[Status, bool]:
    """Have a warm process: the one that there is, or a new one, which has none of this one's variables.

    Args:
        command: the arguments of the program that make it one.

    Returns:
        What it says of itself, and whether it is new.

    Raises:
        LadingError: it did not begin.
    """
    check()
    if (there := status()) is not None:
        return there, False
    environment = {name: value for name, value in os.environ.items() if name.startswith(_AT_START) or name in _PLACES}
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    process = subprocess.Popen(
        [sys.executable, *flags, "-m", "lading", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    assert process.stderr is not None
    with process.stderr:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if (there := status()) is not None:
                process.returncode = 0  # it goes on: nobody waits for it
                return there, there.pid == process.pid
            if process.poll() not in (None, Conflict.exit_code):
                break  # else another one begins, and is not ready yet
            time.sleep(0.02)
        process.kill()
        said = process.stderr.read().decode(errors="replace").removeprefix("error: ").strip()
    raise LadingError("no warm process began", cause=said or "it was not ready in time")


def check() -> None:
    """See that there can be a warm process here.

    Raises:
        Unsupported: the system has not what it needs.
        LadingError: the user has no folder for it.
    """
    if sys.platform != "linux":
        raise Unsupported(
            "a warm start is for Linux", cause="elsewhere, nobody says who is at the other end of a socket"
        )
    if not folder():
        raise LadingError(
            "there is no folder for the socket", remedy="set XDG_RUNTIME_DIR or HOME to a folder that is yours"
        )


def status() -> Status | None:
    """What the warm process says of itself; None where there is none."""
    connection = connect()
    if connection is None:
        return None
    said = b""
    with suppress(OSError):
        send(connection, b"status")
        while piece := connection.recv(4096):
            said += piece
    connection.close()
    return msgspec.json.decode(said, type=Status) if said else None


def stop() -> bool:
    """End the warm process; commands that it runs go on. False where there is none.

    Raises:
        LadingError: it does not end.
    """
    connection = connect()
    if connection is None:
        return False
    pid, _ = peer(connection)
    connection.close()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while (connection := connect()) is not None:
        there, _ = peer(connection)
        connection.close()
        if there != pid:
            break
        if time.monotonic() > until:
            raise LadingError("the warm process does not end", remedy=f"end it: kill -KILL {pid}")
        time.sleep(0.02)
    return True


def load_everything() -> None:
    """Import what commands use, but for servers.

    Raises:
        LadingError: something of it has begun a thread, which a fork would not have.
    """
    for found in walk_packages(lading.__path__, "lading."):
        if not found.name.startswith(_SELDOM) and not found.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # of an extra that is not installed
                import_module(found.name)
    for name in _OTHERS:
        with suppress(ModuleNotFoundError):
            import_module(name)
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise LadingError("what was imported has begun a thread")
