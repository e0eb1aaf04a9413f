"""Pulls, backups and restores whose process is killed or interrupted: nothing half, and the next run does the rest."""

import hashlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading import Digest
from support import images
from support.artifacts import TITLE, packed, pushed
from support.lading import Lading
from support.layers import Entry
from support.proxy import Alter, CountingProxy
from support.registry import RealRegistry

MIB = 1024 * 1024
PATIENCE = 100
KILLED = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
LARGE = images.noise("large", 24 * MIB)
"""More than what is on its way between two sockets, and where a proxy stops it."""
GO_ON = "the same command does the rest"


class Held:
    """A proxy that stops a blob in the middle, for as long as this is in use."""

    def __init__(self, proxy: CountingProxy, path: str, methods: tuple[str, ...]) -> None:
        self.proxy = proxy
        self._goes_on = threading.Event()
        hold = Alter(hold=(8 * MIB, self._goes_on))
        proxy.intercept = lambda request: hold if path in request.path and request.method in methods else None

    def __enter__(self) -> None:
        self.proxy.reset()

    def __exit__(self, *_: object) -> None:
        self.proxy.intercept = None
        self._goes_on.set()
        wait_for(lambda: all(one.ended for one in self.proxy.exchanges))
        self.proxy.reset()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def end(lading: Lading, number: int, ready: Callable[[], object], *arguments: str) -> str:
    """Start a command, send it a signal as soon as it is where it should be; returns what it said."""
    command = [sys.executable, "-m", "lading", *arguments]
    with subprocess.Popen(
        command, env=lading.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(ready, process)
        process.send_signal(number)
        out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if number == signal.SIGINT else -number), said
    assert "Traceback" not in said
    assert out == "" or arguments[1] != "pull"
    if number == signal.SIGINT:
        *_, there, last = said.splitlines()
        assert (GO_ON in there, last) == (True, "interrupted"), said
    return said


def has(folder: Path, digest: str, least: int) -> int:
    """Whether so much of a blob is somewhere in a folder; how much there is, in bytes."""
    sizes = (path.stat().st_size for path in folder.rglob(digest.replace(":", "-")) if path.is_file())
    return next((size for size in sizes if size >= least), 0)


@KILLED
@pytest.mark.parametrize("is_directory", [False, True])
def test_a_pull(
    lading: Lading,
    tmp_path: Path,
    registry: RealRegistry,
    repository: str,
    proxy: CountingProxy,
    number: int,
    is_directory: bool,
) -> None:
    content = LARGE[: 12 * MIB]
    members = [Entry("d/a", content=b"a"), Entry("d/x", content=content), Entry("d/z", content=b"z")]
    layer = packed(members) if is_directory else (content, {TITLE: "d/x"})
    place = pushed(f"{registry.host}/{repository}:1", (b"small", {TITLE: "small"}), layer)
    place = place.replace(registry.host, proxy.host)
    out, digest = tmp_path / "out", str(Digest.of(layer[0]))
    out.mkdir()
    (out / "small").write_text("mine")
    command = "artifact", "pull", place, "-o", str(out)
    with Held(proxy, digest, ("GET",)):
        end(lading, number, lambda: has(out, digest, 5 * MIB), *command)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".lading.")] == ["small"]
    assert (out / "small").read_text() == "mine"
    kept = has(tmp_path, digest, 5 * MIB)
    lading.run(*command)
    assert sorted(tree_names(out)) == (["d/a", "d/x", "d/z", "small"] if is_directory else ["d/x", "small"])
    assert ((out / "d/x").read_bytes() == content, (out / "small").read_text()) == (True, "small")
    assert len(proxy.exchanges) <= 3
    (asked,) = [one for one in proxy.exchanges if digest in one.path]
    assert asked.headers.get("Range") == f"bytes={kept}-"
    assert asked.response_bytes == len(layer[0]) - kept


def tree_names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def source(elsewhere: str, repository: str) -> Iterator[CountingProxy]:
    """A repository with a small artifact, and one with a large blob."""
    images.push(elsewhere, repository, "small", images.make_artifact("a/b", {"a": b"a"}))
    images.push(elsewhere, repository, "large", images.make_artifact("a/b", {"b": b"b", "large": LARGE}))
    with CountingProxy(f"http://{elsewhere}") as proxy:
        yield proxy


@KILLED
def test_a_backup(lading: Lading, tmp_path: Path, source: CountingProxy, repository: str, number: int) -> None:
    layout, digest = tmp_path / "backup", images.digest_of(LARGE)
    command = "artifact", "backup", f"{source.host}/{repository}", f"oci:{layout}"
    small = [layout / "blobs/sha256" / hashlib.sha256(content).hexdigest() for content in (b"a", b"b")]

    def ready() -> bool:
        return bool(has(layout, digest, 5 * MIB)) and all(blob.exists() for blob in small)

    with Held(source, digest, ("GET",)):
        end(lading, number, ready, *command)
    assert tags_in(layout) <= {"small"}
    for blob in layout.glob("blobs/sha256/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    kept = has(layout, digest, 5 * MIB)
    lading.run(*command)
    assert tags_in(layout) == {"small", "large"}
    (asked,) = [one for one in source.exchanges if "/blobs/" in one.path]
    assert (asked.headers.get("Range"), asked.response_bytes) == (f"bytes={kept}-", len(LARGE) - kept)
    lading.run("validate", f"oci:{layout}:large")


@KILLED
def test_a_backup_into_an_archive(
    lading: Lading, tmp_path: Path, source: CountingProxy, repository: str, number: int
) -> None:
    archive, digest = tmp_path / "in/backup.tar", images.digest_of(LARGE)
    archive.parent.mkdir()
    lading.run("artifact", "backup", f"{source.host}/{repository}:small", f"oci-archive:{archive}")
    before = archive.read_bytes()
    command = "artifact", "backup", f"{source.host}/{repository}", f"oci-archive:{archive}"
    with Held(source, digest, ("GET",)):
        end(lading, number, lambda: source.count("GET", digest), *command)
    assert archive.read_bytes() == before
    lading.run(*command)
    assert [path.name for path in archive.parent.iterdir()] == ["backup.tar"]
    lading.run("validate", f"oci-archive:{archive}:large")


@KILLED
def test_a_restore(
    lading: Lading, tmp_path: Path, source: CountingProxy, elsewhere: str, repository: str, number: int
) -> None:
    layout, digest, back = tmp_path / "backup", images.digest_of(LARGE), f"{repository}-back"
    lading.run("artifact", "backup", f"{source.host}/{repository}", f"oci:{layout}")
    command = "artifact", "restore", f"oci:{layout}", f"{source.host}/{back}"

    def sent() -> int:
        return sum(one.request_body_bytes for one in source.exchanges if one.method in ("PATCH", "PUT"))

    def ready() -> bool:
        return sent() >= 8 * MIB - 65536 and is_there(b"a") and is_there(b"b")

    def is_there(content: bytes) -> bool:
        return status(elsewhere, f"/v2/{back}/blobs/{images.digest_of(content)}") == 200

    with Held(source, "/uploads/", ("PATCH", "PUT")):
        end(lading, number, ready, *command)
    assert set(images.list_tags(elsewhere, back)) <= {"small"}
    assert status(elsewhere, f"/v2/{back}/blobs/{digest}") == 404
    lading.run(*command)
    assert 0 < sent() <= len(LARGE) - 5 * MIB
    assert set(images.list_tags(elsewhere, back)) == {"small", "large"}
    lading.run("validate", f"{elsewhere}/{back}:large")


def status(host: str, path: str) -> int:
    connection = http.client.HTTPConnection(host)
    connection.request("HEAD", path)
    found = connection.getresponse().status
    connection.close()
    return found


def tags_in(layout: Path) -> set[str]:
    listed = json.loads((layout / "index.json").read_bytes())["manifests"]
    return {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in listed}
