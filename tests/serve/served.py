"""The command `lading registry serve` as a process of its own, to be killed."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from support.lading import Lading


class Served:
    """`lading registry serve` over a folder, as a context manager that kills it at the end."""

    def __init__(self, lading: Lading, folder: Path, *args: str) -> None:
        self._command = [sys.executable, "-m", "lading", "registry", "serve", "--address", "127.0.0.1:0"]
        self._command += ["--storage", str(folder), *args]
        self._lading = lading
        self.log = folder.with_name(f"{folder.name}-{id(self)}.log")

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, env=self._lading.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("serving http"), self.log.read_text()
        self.url = line.split()[1]
        self.host = self.url.partition("://")[2]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as the kernel does, in the middle of whatever it is doing."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()

    def stop(self) -> int:
        """End it as people do; gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)
        return self.process.returncode
