"""The lading command as a user starts it, in an environment of its own: in this process, or in one of its own."""

import atexit
import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from support.process import Ran, bare_environment, checked, run
from support.remedies import wrong

_alone = threading.Lock()
"""Held while a command runs in this process: the environment, the streams and the working directory are its own."""


class Lading:
    """Runs `lading` with `home` as the user's home and `home/.docker` as Docker's configuration."""

    def __init__(self, home: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.docker_config = home / ".docker"
        self.env = dict(env or {})
        self.docker_config.mkdir(parents=True, exist_ok=True)
        if os.environ.get("LADING_TEST_WARM") == "1":
            _warmed(self.environment)

    def run(
        self,
        *args: str,
        check: bool = True,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
        process: bool = False,
        here: bool = False,
        merged: bool = False,
    ) -> Ran:
        """Run a command; with `check`, a failure fails the test and shows what was said.

        The command runs in this process, which saves the start of an interpreter: its streams are pipes, and its
        environment and working directory are its own. It has a process of its own with `process`, where only the start
        of an interpreter heeds its environment, and while another command runs in this one. With `here`, it runs in
        this process although a warm one would be used: it needs what the test has changed in it, or has open.

        With `merged`, stderr goes where stdout goes, as with `2>&1`.
        """
        environment = self.environment | dict(env or {})
        command = [sys.executable, "-m", "lading", *args]
        if not here and _is_for_warm_process(args, environment):
            environment = _warmed(environment)
            process = True
        by_start = _for_interpreter(environment) != _for_interpreter(self._own)
        if process or by_start or not _alone.acquire(blocking=False):
            return run(command, check=check, stdin=stdin, env=environment, cwd=cwd, timeout=timeout, merged=merged)
        # A command that does not end keeps the lock: those after it get processes.
        returncode, stdout, stderr = _run_here(args, stdin, environment, cwd or Path.cwd(), timeout, merged)
        _alone.release()
        ran = checked(Ran(tuple(command), returncode, stdout, stderr), check=check)
        assert not (
            said := wrong(args, ran.stderr + (ran.stdout if "lint" in args and "--format" not in args else ""))
        ), said
        return ran

    def warm(self, idle: str = "10m") -> dict[str, str]:
        """Have a warm process for this environment; gives the variable that has commands use it."""
        self.run("warm", "start", "--idle", idle, process=True)
        return {"LADING_WARM": "1"}

    @contextmanager
    def serve(self, *args: str, address: str = "127.0.0.1:0") -> Iterator["Serving"]:
        """A process of `lading registry serve`, which is ended, if the test has not done so."""
        command = [sys.executable, "-m", "lading", "registry", "serve", "--address", address, *args]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=self.environment, text=True, **pipes) as process:  # type: ignore[call-overload]
            try:
                yield Serving(process)
            finally:
                process.kill()

    @property
    def environment(self) -> dict[str, str]:
        """What the command sees; for tests that start the process themselves."""
        return self._own | self.env

    @property
    def _own(self) -> dict[str, str]:
        own = {"DOCKER_CONFIG": str(self.docker_config), "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
        return bare_environment(self.home) | own


class Serving:
    """A registry that is being served."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.line = process.stdout.readline()
        """What it said when it was ready."""
        self.url = self.line.removeprefix("serving ").strip()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Ask it to end; gives its exit code, and what it said after the first line and on stderr."""
        self.process.send_signal(number)
        rest, errors = self.process.communicate(timeout=30)
        return self.process.returncode, rest, errors


def _is_for_warm_process(args: tuple[str, ...], environment: Mapping[str, str]) -> bool:
    """Whether a command is to run in a warm process; not those that never do, nor where a test changes this process."""
    never = args[:1] in (("demo",), ("login",), ("logout",), ("warm",)) or args[:2] == ("registry", "serve")
    return os.environ.get("LADING_TEST_WARM") == "1" and not never and environment.get("HOME", "") != ""


def _warmed(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which commands are handed to a warm process, which all tests share (`LADING_TEST_WARM=1`)."""
    shared = Path(tempfile.gettempdir()) / f"lading-test-warm-{os.getpid()}"
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or shared)
    with suppress(OSError):
        (shared / "lading").mkdir(mode=0o700, parents=True, exist_ok=True)
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        (runtime / "lading").symlink_to(shared / "lading")
    if not _shared:
        _shared.append(shared)
        command = [sys.executable, "-m", "lading", "warm"]
        run([*command, "start", "--idle", "20m"], env=environment)
        atexit.register(lambda: run([*command, "stop"], env={**environment, "XDG_RUNTIME_DIR": str(shared)}))
    return {**environment, "LADING_WARM": "1"}


_shared: list[Path] = []


def _for_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that Python or the C library reads when a process starts."""
    names = ("PYTHON", "LANG", "LC_", "LD_", "TZ", "TMPDIR")
    return {name: value for name, value in environment.items() if name.startswith(names)}


def _run_here(
    args: tuple[str, ...], stdin: bytes, environment: Mapping[str, str], cwd: Path, timeout: float, merged: bool
) -> tuple[int, bytes, bytes]:
    """Run a command in a thread of this process; returns its exit code, and what it wrote to stdout and stderr."""
    returncode = 1

    def command() -> None:
        nonlocal returncode
        from lading.cli import main

        try:
            returncode = main(args)
        except SystemExit as ended:
            returncode = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()

    with ExitStack() as around:
        around.enter_context(_environment(environment))
        around.enter_context(_working_directory(cwd))
        around.enter_context(_no_logging())
        outputs = around.enter_context(_streams(stdin, merged))
        # A thread of its own, since the test may have an event loop in this one.
        running = threading.Thread(target=command, name=f"lading {' '.join(args)}", daemon=True)
        running.start()
        running.join(timeout)
        if running.is_alive():
            raise subprocess.TimeoutExpired(["lading", *args], timeout)
    return returncode, outputs[0].getvalue(), outputs[1].getvalue()


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Have these environment variables, and no others."""

    def become(wanted: Mapping[str, str]) -> None:
        for name in os.environ.keys() - wanted.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in wanted.items() if os.environ.get(name) != value})

    before = dict(os.environ)
    become(environment)
    try:
        yield
    finally:
        become(before)


@contextmanager
def _working_directory(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _no_logging() -> Iterator[None]:
    """Without the handlers of pytest: what is logged goes where it goes in a program that has set up nothing."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


@contextmanager
def _streams(stdin: bytes, merged: bool) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Have pipes as standard streams, as programs have that the command starts; gives what comes out of two of them.

    With `merged`, all of it comes out of the first.
    """
    outputs = io.BytesIO(), io.BytesIO()
    before = sys.stdin, sys.stdout, sys.stderr
    saved = [os.dup(number) for number in range(3)]
    threads = []
    for number in range(2 if merged else 3):
        reading, writing = os.pipe()
        ours, its = (writing, reading) if number == 0 else (reading, writing)
        os.dup2(its, number)
        os.close(its)
        work, mode = (_feed, "wb") if number == 0 else (_drain, "rb")
        content = io.BytesIO(stdin) if number == 0 else outputs[number - 1]
        threads.append(threading.Thread(target=work, args=(os.fdopen(ours, mode), content), daemon=True))
    if merged:
        os.dup2(1, 2)
    for thread in threads:
        thread.start()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    try:
        yield outputs
    finally:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.close()
        sys.stdin, sys.stdout, sys.stderr = before
        for number, duplicate in enumerate(saved):
            os.dup2(duplicate, number)
            os.close(duplicate)
        for thread in threads:
            thread.join()


def _feed(pipe: BinaryIO, content: BinaryIO) -> None:
    """Write what a command reads, for as long as it does."""
    with suppress(BrokenPipeError), pipe:
        pipe.write(content.read())


def _drain(pipe: BinaryIO, content: BinaryIO) -> None:
    """Read what a command writes."""
    with pipe:
        while piece := os.read(pipe.fileno(), 1 << 16):
            content.write(piece)
