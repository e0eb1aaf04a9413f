"""Running a program to its end, and keeping what it said as bytes and as text."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ran:
    """A finished program."""

    args: tuple[str, ...]
    returncode: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode()

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode()


def run(
    args: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
    merged: bool = False,
) -> Ran:
    """Run a program. With `check`, any other exit code than 0 fails the test and shows what it said.

    With `merged`, stderr goes where stdout goes, as with `2>&1`.
    """
    errors = subprocess.STDOUT if merged else subprocess.PIPE
    said = subprocess.run(
        args, input=stdin, stdout=subprocess.PIPE, stderr=errors, env=env, cwd=cwd, timeout=timeout, check=False
    )
    return checked(Ran(tuple(str(arg) for arg in args), said.returncode, said.stdout, said.stderr or b""), check=check)


def checked(ran: Ran, *, check: bool) -> Ran:
    """With `check`, any other exit code than 0 fails the test and shows what the program said."""
    if check and ran.returncode != 0:
        pytest.fail(
            f"{' '.join(ran.args)} ended with {ran.returncode}\n"
            f"--- stdout\n{ran.stdout_bytes.decode(errors='replace')}\n"
            f"--- stderr\n{ran.stderr_bytes.decode(errors='replace')}"
        )
    return ran


def heed_interrupts() -> None:
    """Let programs that are started here be interrupted, also where a shell ignores it for us (`nohup … &`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def bare_environment(home: Path) -> dict[str, str]:
    """An environment that has nothing of the user's own: no proxies, no credentials, another home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
    }
