"""The lading command as a user starts it: a process of its own, in an environment of its own."""

import sys
from collections.abc import Mapping
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

    @property
    def environment(self) -> dict[str, str]:
        """What the command sees; for tests that start the process themselves."""
        own = {"DOCKER_CONFIG": str(self.docker_config), "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
        return bare_environment(self.home) | own | self.env
