"""A command on a terminal, with somebody at the keyboard."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from support.lading import Lading

PATIENCE = 20


class Seen(NamedTuple):
    """What came of it."""

    returncode: int
    text: str
    """What the terminal showed."""


def on_terminal(
    lading: Lading, *args: str, answers: Sequence[tuple[str, str]] = (), env: Mapping[str, str] | None = None
) -> Seen:
    """Run a command whose streams all are a terminal.

    `answers` are what to wait for on the screen, and what to type then, one after the other. It is a plain terminal
    if `env` does not say otherwise.
    """
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lading", *args],
        env=lading.environment | {"TERM": "xterm"} | dict(env or {}),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    try:
        screen = b""
        for question, answer in answers:
            screen += _read(leader, until=question.encode())
            os.write(leader, answer.encode())
        screen += _read(leader)
        return Seen(process.wait(PATIENCE), screen.decode().replace("\r\n", "\n"))
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _read(leader: int, *, until: bytes | None = None) -> bytes:
    """What is shown until a text is, or until the end."""
    deadline = time.monotonic() + PATIENCE
    shown = b""
    while until is None or until not in shown:
        ready, _, _ = select.select([leader], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"waited for {until!r}, and saw {shown!r}")
        try:
            piece = os.read(leader, 65536)
        except OSError:  # how Linux says that nobody is at the other end any more
            piece = b""
        if not piece:
            break
        shown += piece
    return shown
