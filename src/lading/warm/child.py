"""In a child of the warm process: become the process that handed a command over, and run the command.

A child is forked before there is a command for it, and gets ready: it rehearses, so that the memory that a command
changes is its own by then. One fault for each page of it takes as long as the command itself.

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
from collections.abc import Callable, Iterable, Mapping
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
GO = b"+"
"""What the warm process says when the command may run: nothing was installed anew since it began."""


def wait(line: socket.socket, run: Run, rehearse: Callable[[], object] | None) -> NoReturn:
    """Get a connection from the warm process, do what is asked for on it, and end this process.

    Args:
        line: the way to the warm process, which sends the answer to a question about it, with the connection, and `GO`.
        run: runs a command.
        rehearse: does something like a command; None where there is no time for it.
    """
    code = NO_COMMAND
    try:
        _be_nobody(line)
        if rehearse is not None:
            ast.literal_eval(ascii({"limits": [(-1, -1)], "path": [""]}))
            _take_environment(b"".join(b"%b=%b\0" % item for item in os.environb.items()))
            _make_streams()
            rehearse()
        own = identity()
        said, files, _, _ = socket.recv_fds(line, 4096, 1)
        if files:
            code = serve(socket.socket(fileno=files[0]), line, run, said, own)
    finally:
        # Whatever happened before the command began: who handed it over runs it then.
        os._exit(code)


def serve(connection: socket.socket, line: socket.socket, run: Run, said: bytes, own: bytes) -> int:
    """Do what is asked for on a connection; returns how the process is to end.

    Args:
        connection: the connection.
        line: the way to the warm process.
        run: runs a command.
        said: the answer to a question about the warm process.
        own: the identity of this process.
    """
    connection.settimeout(PATIENCE)
    message, files = _receive(connection)
    if message == b"status":
        connection.sendall(said)
    elif message.startswith(own + b"\0"):
        return _run(connection, line, message[len(own) + 1 :], files, run)
    return NO_COMMAND


def _be_nobody(line: socket.socket) -> None:
    """Have nothing of the warm process but the way to it, and do with signals what programs do."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _close_all_but(line.fileno())


def _close_all_but(*kept: int) -> None:
    """Close the files beyond the standard streams, but for these."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):  # it was open for the listing
                os.close(int(name))


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


def _run(connection: socket.socket, line: socket.socket, message: bytes, files: list[int], run: Run) -> int:
    """Become what the message says, and run its command; returns the exit code, which is sent, too."""
    text, _, environment = message.partition(b"\0")
    state: dict[str, Any] = ast.literal_eval(text.decode("ascii"))
    if len(files) != len(state["files"]) + 1:
        return NO_COMMAND
    os.setsid()
    connection, line = _take_files((connection, line), files, state["files"])
    _take_limits(state)
    _take_signals(state)
    _take_environment(environment)
    sys.argv, sys.path = [state["arguments"][0], *state["arguments"][1:]], state["path"]
    _make_streams()
    connection.setblocking(True)
    with line:
        if line.recv(len(GO)) != GO:
            return NO_COMMAND
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


def _take_files(ours: Iterable[socket.socket], files: list[int], numbers: list[int]) -> list[socket.socket]:
    """Have the files open under the numbers that they had, and go to the working directory.

    Args:
        ours: what stays open beside them, under other numbers.
        files: the working directory, and the files.
        numbers: the numbers that they had.
    """
    folder, *others = files
    os.fchdir(folder)
    above = max(numbers) + 1
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above) for number in others]
    moved = [fcntl.fcntl(one.detach(), fcntl.F_DUPFD_CLOEXEC, above) for one in ours]
    _close_all_but(*high, *moved)
    for number, target in zip(high, numbers, strict=True):
        os.dup2(number, target, inheritable=True)
        os.close(number)
    return [socket.socket(fileno=number) for number in moved]


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
    """Have these signals ignored and these blocked; the others do what they do in a Python program."""
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
