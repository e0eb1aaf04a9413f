"""The lading command as a user starts it: a process of its own, in an environment of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.process import Ran, bare_environment, run


class Lading:
    """Runs `python -m lading` with `home` as the user's home and `home/.docker` as Docker's configuration."""

    def __init__(self, home: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.docker_config = home / ".docker"
        self.env = dict(env or {})
        self.docker_config.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        *args: str,
        check: bool = True,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> Ran:
        """Run a command; with `check`, a failure fails the test and shows what was said."""
        return run(
            [sys.executable, "-m", "lading", *args],
            check=check,
            stdin=stdin,
            env=self.environment | dict(env or {}),
            cwd=cwd,
            timeout=timeout,
        )

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
        own = {"DOCKER_CONFIG": str(self.docker_config), "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
        return bare_environment(self.home) | own | self.env


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
