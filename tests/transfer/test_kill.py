"""A copy that is killed: nothing half done is to be seen, and the next one moves what is missing and no more."""

import hashlib
import http.client
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images
from support.http import Request
from support.lading import Lading
from support.parts import times
from support.proxy import CountingProxy
from support.registry import RealRegistry

MIB = 1024 * 1024
KILLS = times(6, 34)
"""In each direction; a target is killed until it is complete, and then there is a new one."""
PATIENCE = 20

CONFIG = b"{}"
SMALL = 50_000
BLOBS = [
    CONFIG,
    *(images.noise(f"small {number}", SMALL) for number in range(6)),
    *(images.noise(f"large {number}", size) for number, size in enumerate((2 * MIB, 9 * MIB, 14 * MIB))),
]
TOTAL = sum(map(len, BLOBS))


def _image() -> images.Manifest:
    config, *layers = BLOBS
    document = {
        "schemaVersion": 2,
        "mediaType": images.OCI_MANIFEST,
        "config": images.make_descriptor(config, images.OCI_CONFIG, "oci"),
        "layers": [images.make_descriptor(layer, "application/octet-stream", "oci") for layer in layers],
    }
    blobs = {images.digest_of(blob): blob for blob in BLOBS}
    return images.Manifest(json.dumps(document).encode(), images.OCI_MANIFEST, "oci", blobs=blobs)


IMAGE = _image()


@pytest.fixture
def source(elsewhere: str) -> Iterator[CountingProxy]:
    images.push(elsewhere, "app", "1", IMAGE)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        yield proxy


class Killer:
    """Copies in a process of its own, and kills that again and again.

    Args:
        lading: the command.
        moved: how many bytes have moved so far.
        there: how many bytes of blobs are in a target; it fails where anything half done is to be seen.
        unasked: how many bytes may be sent although they are there.
    """

    def __init__(
        self, lading: Lading, moved: Callable[[], int], there: Callable[[str], int], *, unasked: int = 0
    ) -> None:
        self.kills = 0
        self.resumed = 0
        self._environment = lading.environment
        self._moved = moved
        self._there = there
        self._unasked = unasked
        self._random = random.Random(7)

    def run(self, source: str, target: Callable[[int], str]) -> None:
        """Kill until there were enough; whatever is complete is complete at the cost of what was missing."""
        number = 0
        while self.kills < KILLS:
            name = target(number)
            killed = 0
            while killed < self._random.randrange(2, 12) and self._is_killed(source, name):
                killed += 1
            self.kills += killed
            self._finish(source, name)
            number += 1

    def _is_killed(self, source: str, target: str) -> bool:
        """Start it, kill it somewhere; whether it had not ended before."""
        wanted = self._moved() + self._random.choice([0, self._random.uniform(0, TOTAL / 3)])
        process = subprocess.Popen(
            self._command(source, target),
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and self._moved() <= wanted:
            time.sleep(0.001)
        time.sleep(self._random.choice([0, self._random.uniform(0, 0.02)]))
        process.kill()
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        self._settled(target)
        return process.returncode != 0

    def _finish(self, source: str, target: str) -> None:
        there = self._settled(target)
        self.resumed += there
        before = self._moved()
        subprocess.run(self._command(source, target), env=self._environment, check=True, capture_output=True)
        assert 0 <= self._moved() - before - (TOTAL - there) <= self._unasked
        assert self._there(target) == TOTAL

    def _command(self, source: str, target: str) -> list[str]:
        return [sys.executable, "-m", "lading", "copy", "-q", source, target]

    def _settled(self, target: str) -> int:
        """What is there when all that was on its way has arrived, or is lost."""
        last, now = -1, self._there(target)
        until = time.monotonic() + PATIENCE
        while now != last:
            assert time.monotonic() < until
            time.sleep(0.05)
            last, now = now, self._there(target)
        return now


def blob_bytes(proxy: CountingProxy) -> int:
    """How many bytes of blobs went through, in either direction."""
    return sum(
        exchange.response_bytes if exchange.method == "GET" else exchange.request_body_bytes
        for exchange in proxy.exchanges
        if "/blobs/" in exchange.path and not (exchange.method == "GET" and "/uploads/" in exchange.path)
    )


def in_registry(host: str, repository: str, cache: Path) -> int:
    """How many bytes of blobs a registry has, whole or of uploads that the next run knows of."""
    connection = http.client.HTTPConnection(host)

    def ask(method: str, path: str) -> http.client.HTTPResponse:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        return response

    found = 0
    missing = set()
    for digest, blob in IMAGE.blobs.items():
        if ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            found += len(blob)
        else:
            missing.add(digest)
    for file in cache.glob("lading/uploads/*.json"):
        entry = json.loads(file.read_bytes())
        if entry["repository"] == repository and entry["digest"] in missing:
            response = ask("GET", entry["location"])
            offset = int((response.headers["Range"] or "0-0").partition("-")[2]) + 1
            found += offset if response.status == 204 and offset > 1 else 0
    if missing:
        assert images.list_tags(host, repository) == []
        assert ask("HEAD", f"/v2/{repository}/manifests/{IMAGE.digest}").status == 404
    connection.close()
    return found


def in_layout(path: Path) -> int:
    """How many bytes of blobs a layout has, whole or in part."""
    there = {file.name: file.read_bytes() for file in path.glob("blobs/sha256/*")}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in there.items())
    wanted = {digest.partition(":")[2]: blob for digest, blob in IMAGE.blobs.items()}
    missing = wanted.keys() - there.keys()
    index = path / "index.json"
    listed = json.loads(index.read_bytes())["manifests"] if index.exists() else []
    if missing:
        assert listed == []
    parts = 0
    for name in missing:
        part = path / ".lading" / f"sha256-{name}"
        if part.exists():
            begun = part.read_bytes()
            assert wanted[name].startswith(begun)
            parts += len(begun)
    return sum(len(content) for name, content in there.items() if name in wanted) + parts


def test_to_a_registry_that_keeps_what_it_has_of_an_upload(
    lading: Lading, source: CountingProxy, elsewhere: str, repository: str
) -> None:
    cache = lading.home / ".cache"
    with CountingProxy(f"http://{elsewhere}") as target:
        killer = Killer(
            lading,
            lambda: blob_bytes(target),
            lambda name: in_registry(elsewhere, name.partition("/")[2].partition(":")[0], cache),
            unasked=len(CONFIG),
        )
        killer.run(f"{source.host}/app:1", lambda number: f"{target.host}/{repository}-{number}:1")
    assert killer.kills >= KILLS
    assert killer.resumed > TOTAL * KILLS / 150


def test_from_a_registry_to_a_layout(lading: Lading, source: CountingProxy, tmp_path: Path) -> None:
    killer = Killer(lading, lambda: blob_bytes(source), lambda name: in_layout(Path(name.split(":")[1])))
    killer.run(f"{source.host}/app:1", lambda number: f"oci:{tmp_path}/layout{number}:1")
    assert killer.kills >= KILLS
    assert killer.resumed > TOTAL * KILLS / 150


def test_from_a_layout_to_a_registry_that_keeps_whole_blobs(
    lading: Lading, elsewhere: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    """Debian's registry forgets a request that broke off."""
    images.push(elsewhere, "app", "1", IMAGE)
    layout = f"oci:{tmp_path}/layout:1"
    lading.run("copy", f"{elsewhere}/app:1", layout)
    cache = lading.home / ".cache"
    with CountingProxy(registry.url) as target:
        killer = Killer(
            lading,
            lambda: blob_bytes(target),
            lambda name: in_registry(registry.host, name.partition("/")[2].partition(":")[0], cache),
            unasked=len(CONFIG) + 6 * SMALL,  # offered in one request, which this registry does not know
        )
        killer.run(layout, lambda number: f"{target.host}/{repository}-{number}:1")
    assert killer.kills >= KILLS
    assert killer.resumed > TOTAL * KILLS / 150


class Gate:
    """Holds up who asks for the largest blob until it opens."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: Request) -> None:
        if images.digest_of(BLOBS[-1]) in request.path:
            self.held.set()
            assert self.opened.wait(60)


def begun(lading: Lading, is_begun: Callable[[], object], *arguments: str) -> "subprocess.Popen[str]":
    """A copy that is under way."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lading", "copy", "-q", *arguments],
        env=lading.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + PATIENCE
    while not is_begun():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    return process


def test_what_a_killed_writer_of_an_archive_left_goes_with_the_next(
    lading: Lading, source: CountingProxy, tmp_path: Path
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    archive = folder / "image.tar"
    others = [folder / f".other.tar.{'0' * 32}", folder / ".image.tar.swp"]
    for other in others:
        other.mkdir()
    for _ in range(2):
        source.intercept = gate = Gate()
        with begun(lading, gate.held.is_set, f"{source.host}/app:1", f"oci-archive:{archive}:1") as process:
            process.kill()
        gate.opened.set()
        assert len(list(folder.iterdir())) == 4
        assert not archive.exists()
    lading.run("copy", f"{source.host}/app:1", f"oci-archive:{archive}:1")
    assert set(folder.iterdir()) == {archive, *others}


def test_what_a_living_writer_has_is_left_to_it(lading: Lading, source: CountingProxy, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    archive = folder / "image.tar"
    source.intercept = gate = Gate()
    with begun(lading, gate.held.is_set, f"{source.host}/app:1", f"oci-archive:{archive}:1") as process:
        its = set(folder.iterdir())
        with begun(lading, lambda: True, f"{source.host}/app:1", f"oci-archive:{archive}:2") as other:
            assert process.poll() is None
            assert set(folder.iterdir()) == its
            gate.opened.set()
            process.communicate(timeout=60)
            other.communicate(timeout=60)
    assert (process.returncode, other.returncode) == (0, 0)
    assert list(folder.iterdir()) == [archive]
    for tag in ("1", "2"):
        lading.run("copy", f"oci-archive:{archive}:{tag}", f"oci:{tmp_path}/layout:{tag}")


def test_what_a_killed_writer_of_a_docker_archive_left_goes_with_the_next(
    lading: Lading, elsewhere: str, tmp_path: Path
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    image = images.make_image(layers=[images.make_layer({"large": images.noise("large", 12 * MIB)})])
    images.push(elsewhere, "docker", "1", image)
    archive = folder / "image.tar.gz"

    def is_packing() -> bool:
        return any(path.stat().st_size for path in folder.glob(".image*/archive"))

    with begun(lading, is_packing, f"{elsewhere}/docker:1", f"docker-archive:{archive}:app:1") as process:
        process.kill()
    assert not archive.exists()
    assert len(list(folder.iterdir())) == 2
    lading.run("copy", f"{elsewhere}/docker:1", f"docker-archive:{archive}:app:1")
    assert list(folder.iterdir()) == [archive]
