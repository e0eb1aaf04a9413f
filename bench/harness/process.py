"""Running a command and measuring it: wall time, CPU time and memory of the process and of all its children."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

# A small process starts the commands: the peak memory that the kernel tells of a process includes that of its parent.
_LAUNCHER = """
import json, os, sys, time
for line in sys.stdin:
    words, environment, folder, log = json.loads(line)
    os.chdir(folder)
    to = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    to += [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    to += [(os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    started = time.perf_counter()
    process = os.posix_spawn(words[0], words, environment, file_actions=to)
    _, status, used = os.wait4(process, 0)
    elapsed = time.perf_counter() - started
    print(json.dumps([status, elapsed, used.ru_utime + used.ru_stime, used.ru_maxrss]), flush=True)
"""

# The library runs in a process that has imported it: a new client, and so new connections, for each run.
_LIBRARY = """
import json, resource, sys, time
from pathlib import Path
from lading import Client
def used():
    return resource.getrusage(resource.RUSAGE_SELF)
for line in sys.stdin:
    code = compile(json.loads(line), "scenario", "exec")
    Path("/proc/self/clear_refs").write_text("5")
    before, started = used(), time.perf_counter()
    try:
        with Client() as client:
            exec(code, {"client": client})
        status = 0
    except Exception as error:
        print(error, file=sys.stderr)
        status = 1
    elapsed, after = time.perf_counter() - started, used()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    status_file = Path("/proc/self/status").read_text()
    print(json.dumps([status, elapsed, cpu, int(status_file.partition("VmHWM:")[2].split()[0])]), flush=True)
"""


class Used(NamedTuple):
    """What one run took: seconds, seconds of CPU, KiB of memory at most."""

    wall: float
    cpu: float
    memory: float


class Failed(Exception):
    """A command or an expression of a scenario failed."""


class Helper:
    """A process that runs one thing after another and says what each took. Used as a context manager."""

    def __init__(self, environment: Mapping[str, str], *, is_library: bool = False) -> None:
        options = ["-c", _LIBRARY] if is_library else ["-S", "-E", "-c", _LAUNCHER]
        self._environment = dict(environment)
        self._process = subprocess.Popen(
            [sys.executable, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def command(self, words: Sequence[str], environment: Mapping[str, str], folder: str, log: str) -> Used:
        """Run a command in a folder; what it says on standard error goes to the file `log`."""
        status, *used = self._ask([list(words), dict(environment), folder, log])
        if status:
            raise Failed(f"{' '.join(words)}\n{_tail(log)}")
        return Used(*used)

    def code(self, code: str) -> Used:
        """Run statements of Python that know a `client`."""
        status, *used = self._ask(code)
        if status:
            raise Failed(code)
        return Used(*used)

    def _ask(self, question: object) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer: list[float] = json.loads(self._process.stdout.readline())
        return answer


def _tail(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # a name is all that is at hand
        return file.read()[-1500:]
