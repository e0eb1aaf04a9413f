"""Memory stays flat however much is copied: sources and targets that are made up, and a process that is measured."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import images
from support.http import CHUNK, Connection, Reply, Request, Server, head
from support.lading import Lading
from support.registry import RealRegistry

GIB = 1024**3
MOST = 128 * 1024
"""KiB that the process may take, Python itself and the code among them."""
ZEROS = bytes(CHUNK)
ONE = {"sha256:8479e43911dc45e89f934fe48d01297e16f51d17aa561d4d1c216b1ae0fcddca": 4 * GIB}
"""A blob of zeros: digest and size."""

MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def eight() -> dict[str, int]:
    """Eight blobs of zeros, some 4 GiB together."""
    hasher = hashlib.sha256()
    blobs = {}
    for count in range(GIB // 2 // CHUNK + 8):
        hasher.update(ZEROS)
        if count >= GIB // 2 // CHUNK:
            blobs[f"sha256:{hasher.hexdigest()}"] = (count + 1) * CHUNK
    return blobs


class Zeros(Server):
    """A registry that has an image of blobs of zeros, and takes every upload and forgets it."""

    def __init__(self, blobs: Mapping[str, int]) -> None:
        super().__init__()
        self.blobs = blobs
        self.received = 0
        config = b"{}"
        self.config = {images.digest_of(config): config}
        layers = [
            {"mediaType": "application/octet-stream", "digest": digest, "size": size} for digest, size in blobs.items()
        ]
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": images.OCI_MANIFEST,
                "config": images.make_descriptor(config, images.OCI_CONFIG, "oci"),
                "layers": layers,
            }
        ).encode()

    def answer(self, request: Request, connection: Connection) -> bool:
        name = request.path.rpartition("/")[2]
        if request.method == "GET" and name in self.blobs:
            start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            missing = self.blobs[name] - start
            connection.socket.sendall(head(206 if start else 200, [("Content-Length", str(missing))]))
            while missing:
                missing -= connection.socket.send(ZEROS[:missing])
            return True
        return connection.send(request, self._reply(request, name))

    def _reply(self, request: Request, name: str) -> Reply:
        if request.method in ("GET", "HEAD"):
            is_manifest = "/app/manifests/" in request.path
            body = self.manifest if is_manifest else self.config.get(name)
            if body is None:
                return Reply(status=404)
            kind = images.OCI_MANIFEST if is_manifest else "application/octet-stream"
            headers = {"Content-Type": kind, "Docker-Content-Digest": images.digest_of(body)}
            if request.method == "HEAD":
                headers["Content-Length"] = str(len(body))
            return Reply(headers=headers, body=body)
        if request.method == "PUT" and "/manifests/" in request.path:
            return Reply(status=201)
        size = sum(map(len, request.chunks()))
        self.received += size
        begun = int(name) if name.isdecimal() else 0
        location = {"Location": f"/v2/to/blobs/uploads/{begun + size}", "Range": f"0-{max(begun + size, 1) - 1}"}
        return Reply(status=201 if request.method == "PUT" or "digest=" in request.query else 202, headers=location)


def peak(lading: Lading, *arguments: str) -> int:
    """How much memory a command takes at most, in KiB.

    A process of its own starts it: what the tests' own has in memory would be counted with it.
    """
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, sys.executable, "-m", "lading", *arguments],
        env=lading.environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_a_blob_of_four_gibibytes_from_registry_to_registry(lading: Lading) -> None:
    with Zeros(ONE) as source, Zeros({}) as target:
        assert peak(lading, "copy", "-q", f"{source.host}/app:1", f"{target.host}/to:1") < MOST
        assert target.received == 4 * GIB + len(b"{}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_eight_blobs_at_once_into_a_layout(lading: Lading, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    blobs = eight()
    assert sum(blobs.values()) > 4 * GIB
    parts = layout / ".lading"
    parts.mkdir(parents=True)
    for digest in blobs:
        # Half of it came before, and has to be read again.
        with (parts / digest.replace(":", "-")).open("wb") as file:
            file.truncate(blobs[digest] // 2)
    try:
        with Zeros(blobs) as source:
            assert peak(lading, "copy", "-q", f"{source.host}/app:1", f"oci:{layout}:1") < MOST
        for digest, size in blobs.items():
            assert (layout / "blobs" / digest.replace(":", "/")).stat().st_size == size
    finally:
        shutil.rmtree(layout)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_files_of_an_artifact(lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    """A directory with as many files as one likes, and a file as large as one likes, take what a small file takes."""
    name = f"{registry.host}/{repository}"
    many, large, small = (tmp_path / what for what in ("many", "large", "small"))
    small.write_bytes(b"small")
    with large.open("wb") as file:
        for number in range(384):
            file.write(number.to_bytes(4, "big") * (CHUNK // 4))
    for number in range(15_000):
        path = many / str(number % 100) / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    pushed, pulled = {}, {}
    for what in (small, large, many):
        place = f"{name}:{what.name}"
        pushed[what.name] = peak(lading, "artifact", "push", "-q", place, f"{what.name}={what}")
        pulled[what.name] = peak(lading, "artifact", "pull", "-q", place, "-o", str(tmp_path / "out"))
    for peaks in (pushed, pulled):
        assert max(peaks.values()) < peaks["small"] + 16 * 1024
