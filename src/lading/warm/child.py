"""In a child of the warm process: become the process that handed a command over, and run the command.

What cannot be taken over ends the child before anything was done, and the command runs where it came from.
"""

from __future__ import annotations

import ast
import fcntl
import gc
import io
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from lading.warm import identity
from lading.warm.client import MOST_FILES

Run = Callable[[list[str]], int]
"""Runs a command, given its arguments; returns its exit code."""

PATIENCE = 5.0
"""Seconds in which the whole of a message has to come."""
_LARGEST = 8 * 1024 * 1024
NO_COMMAND = 99
"""How a child ends that has run none."""


def serve(connection: socket.socket, run: Run, said: bytes) -> NoReturn:
    """Do what is asked for on a connection, and end this process.

    Args:
        connection: the connection.
        run: runs a command.
        said: the answer to a question about the warm process.
    """
    code = NO_COMMAND
    try:
        connection.settimeout(PATIENCE)
        message, files = _receive(connection)
        if message == b"status":
            connection.sendall(said)
        elif message:
            code = _run(connection, message, files, run)
    finally:
        # Whatever happened before the command began: who handed it over runs it then.
        os._exit(code)


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """A message, and the files that came with it."""
    head, files, _, _ = socket.recv_fds(connection, 8, MOST_FILES + 1)
    length = int.from_bytes(head, "big")
    if len(head) != 8 or length > _LARGEST:
        return b"", files
    message = bytearray()
    while len(message) < length:
        piece = connection.recv(min(1 << 18, length - len(message)))
        if not piece:
            return b"", files
        message += piece
    return bytes(message), files


def _run(connection: socket.socket, message: bytes, files: list[int], run: Run) -> int:
    """Become what the message says, and run its command; returns the exit code, which is sent, too."""
    who, text, environment = message.split(b"\0", 2)
    state: dict[str, Any] = ast.literal_eval(text.decode("ascii"))
    if who != identity() or len(files) != len(state["files"]) + 1:
        return NO_COMMAND
    os.setsid()
    connection = _take_files(connection, files, state["files"])
    _take_limits(state)
    _take_signals(state)
    _take_environment(environment)
    sys.argv, sys.path = [state["arguments"][0], *state["arguments"][1:]], state["path"]
    _make_streams()
    connection.setblocking(True)
    connection.sendall(b"+%d\n" % os.getpid())
    gc.enable()
    gc.set_threshold(100_000, 20, 100)
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with connection, suppress(OSError):  # whoever waited may have gone
        connection.sendall(b"E%d\n" % code)
    return code


def _take_files(connection: socket.socket, files: list[int], numbers: list[int]) -> socket.socket:
    """Have the files open under the numbers that they had, and go to the working directory."""
    folder, *others = files
    os.fchdir(folder)
    above = max(numbers) + 1
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above) for number in others]
    moved = fcntl.fcntl(connection.detach(), fcntl.F_DUPFD_CLOEXEC, above)
    # All else is the warm process's: its lock, and its connections to others.
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and int(name) not in (*high, moved):
            with suppress(OSError):
                os.close(int(name))
    for number, target in zip(high, numbers, strict=True):
        os.dup2(number, target, inheritable=True)
        os.close(number)
    return socket.socket(fileno=moved)


def _take_limits(state: Mapping[str, Any]) -> None:
    """Have the limits, the priority and the mask for new files."""
    os.umask(state["umask"])
    for kind, limits in enumerate(state["limits"]):
        if resource.getrlimit(kind) != limits:
            resource.setrlimit(kind, limits)
    if os.getpriority(os.PRIO_PROCESS, 0) != state["nice"]:
        os.setpriority(os.PRIO_PROCESS, 0, state["nice"])
    if os.sched_getaffinity(0) != set(state["processors"]):
        os.sched_setaffinity(0, state["processors"])


def _take_signals(state: Mapping[str, Any]) -> None:
    """Have signals do what they do in a Python program that was started with these ignored and these blocked."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in state["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, state["blocked"])


def _take_environment(environment: bytes) -> None:
    """Have these variables and no others, for C libraries, too."""
    os.environ.clear()
    for item in environment.split(b"\0")[:-1]:
        name, _, value = item.partition(b"=")
        os.environb[name] = value
    time.tzset()


def _make_streams() -> None:
    """Standard streams as Python makes them when it starts (`Python/pylifecycle.c`, `create_stdio`)."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, f"__{name}__")
        writes = number > 0
        unbuffered = writes and before.write_through
        raw = open(number, "wb" if writes else "rb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        stream = io.TextIOWrapper(
            raw,
            encoding=before.encoding,
            errors=before.errors,
            newline="\n" if writes else None,
            line_buffering=raw.isatty() or number == 2,
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
