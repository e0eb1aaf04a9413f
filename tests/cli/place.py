"""A repository in a real registry, and images to put there: what the tests of single commands share."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cli.failing import remote
from support.images import (
    Manifest,
    make_attestation,
    make_image,
    make_index,
    push,
)
from support.lading import Lading

AMD64 = make_image("linux/amd64", kind="oci", seed="amd64", layers=3)
ARM64 = make_image("linux/arm64/v8", kind="oci", seed="arm64")
ARMV7 = make_image("linux/arm/v7", kind="oci", seed="arm")
INDEX = make_index(
    [AMD64, ARM64, make_attestation(AMD64), make_attestation(ARM64)],
    kind="oci",
    annotations={"org.opencontainers.image.version": "1.0"},
)
SIZES = {image.digest: sum(map(len, image.blobs.values())) for image in (AMD64, ARM64, ARMV7)}


@dataclass
class Place:
    """A repository in a real registry."""

    lading: Lading
    host: str
    repository: str

    @property
    def name(self) -> str:
        return f"{self.host}/{self.repository}"

    def push(self, tag: str | None, manifest: Manifest) -> str:
        """Put something there; gives its reference."""
        digest = push(self.host, self.repository, tag, manifest)
        return f"{self.name}:{tag}" if tag else f"{self.name}@{digest}"

    def run(self, *args: str, **more: object) -> str:
        return self.lading.run(*args, **more).stdout  # type: ignore[arg-type]

    def json(self, *args: str) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.run(*args, "--format", "json"))
        return document

    @property
    def tags(self) -> dict[str, str]:
        return remote(self.host, self.repository)


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


@contextmanager
def serving(lading: Lading, *args: str, end: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """lading's own registry as a process, ended by a signal, and with nothing to complain about."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lading", "registry", "serve", "-q", "--address", "127.0.0.1:0", *args],
        env=lading.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("serving http://127.0.0.1:")
        yield ready.strip().removeprefix("serving http://")
        process.send_signal(end)
        stdout, stderr = process.communicate(timeout=10)
        assert (process.returncode, stdout, stderr) == (0, "", "")
    finally:
        process.kill()
        process.communicate()
