"""Docker itself: the command line with a configuration of its own, and a daemon when one is needed."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.parts import missing, need
from support.process import Ran, bare_environment, run

NO_DAEMON = "unix:///nonexistent.sock"
PATIENCE = 30


class DockerCLI:
    """The docker CLI with the configuration folder `config` and, if not said otherwise, no daemon."""

    def __init__(self, config: Path, *, daemon: str = NO_DAEMON) -> None:
        self.config = config
        self.daemon = daemon
        self._program = need("docker")
        config.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        *args: str,
        check: bool = True,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Ran:
        environment = bare_environment(self.config) | {
            "DOCKER_CONFIG": str(self.config),
            "DOCKER_HOST": self.daemon,
        }
        return run(
            [self._program, *args],
            check=check,
            stdin=stdin,
            env=environment | dict(env or {}),
            timeout=timeout,
        )

    def login(self, host: str, user: str, password: str) -> None:
        self.run("login", "--username", user, "--password-stdin", host, stdin=password.encode())


@contextmanager
def dockerd(*, storage_driver: str = "vfs") -> Iterator[DockerCLI]:
    """A docker daemon with everything in a folder of its own, and a CLI bound to it. Needs root.

    It has no network for containers (run them with --network=none), and takes plain HTTP from 127.0.0.0/8.
    """
    program = need("dockerd")
    if os.geteuid() != 0:
        missing("dockerd needs root")
    folder = Path(tempfile.mkdtemp(prefix="lading-dockerd-"))
    socket = folder / "docker.sock"
    configuration = folder / "daemon.json"
    configuration.write_text("{}")
    try:
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    program,
                    f"--data-root={folder / 'data'}",
                    f"--exec-root={folder / 'exec'}",
                    f"--pidfile={folder / 'pid'}",
                    f"--host=unix://{socket}",
                    f"--storage-driver={storage_driver}",
                    f"--config-file={configuration}",
                    "--iptables=false",
                    "--ip6tables=false",
                    "--bridge=none",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            docker = DockerCLI(folder / "config", daemon=f"unix://{socket}")
            _await(docker, daemon, folder / "log")
            yield docker
        finally:
            daemon.terminate()
            daemon.wait(timeout=PATIENCE)
            unmount_below(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unmount_below(folder: Path) -> None:
    """What a daemon mounts inside its own folder, where the root is not a shared mount, it leaves behind."""
    mounts = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.is_relative_to(folder)]):
        run(["umount", mount])


def _await(docker: DockerCLI, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and daemon.poll() is None:
        if docker.run("version", check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"dockerd did not start:\n{log.read_text()}")
