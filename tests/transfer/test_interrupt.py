"""Ctrl-C: over within a second, wherever it comes, with nothing half done to be seen."""

import contextlib
import hashlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images
from support.http import Reply
from support.lading import Lading
from support.process import run
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

MIB = 1024 * 1024
PATIENCE = 100
TRIES = 3
"""On a machine that is busy with something else, the second may be over before the process was awake."""

LAYER = images.make_layer({"large": images.noise("large", 40 * MIB)})
IMAGE = images.make_image(kind="oci", layers=[LAYER])


@pytest.fixture(scope="module")
def source(elsewhere: str) -> str:
    images.push(elsewhere, "app", "1", IMAGE)
    return elsewhere


@pytest.fixture
def slow(source: str) -> Iterator[CountingProxy]:
    """A registry that gives its large blob slowly."""
    with CountingProxy(f"http://{source}") as proxy:
        proxy.intercept = lambda request: Alter(pause=0.01) if images.digest_of(LAYER) in request.path else None
        yield proxy


def interrupted(
    lading: Lading,
    ready: Callable[[int], object],
    *arguments: str,
    stdin: int = subprocess.DEVNULL,
    pass_fds: tuple[int, ...] = (),
) -> str:
    """Run a command, interrupt it as soon as it is where it should be, and return what it said.

    It must be over within a second, with the exit code 130. `ready` is given the number of the process.
    """
    seconds = 0.0
    for _ in range(TRIES):
        process = subprocess.Popen(
            [sys.executable, "-m", "lading", *arguments],
            env=lading.environment,
            stdin=stdin,
            pass_fds=pass_fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            until = time.monotonic() + PATIENCE
            while not ready(process.pid):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.005)
            asked = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=PATIENCE)
            seconds = time.monotonic() - asked
        assert process.returncode == 130, said
        assert out == ""
        assert said.splitlines()[-1] == "interrupted"
        assert "the same command does the rest" in said
        assert "Traceback" not in said
        assert "never" not in said  # a task that was destroyed, a coroutine that was never awaited
        if seconds < second():
            return said
    raise AssertionError(f"it took {seconds:.1f} s")


def second() -> float:
    """A second; on a machine that is busy with something else, what twenty starts of an interpreter take."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
    return max(1, 20 * (time.monotonic() - begun))


def received(proxy: CountingProxy, least: int) -> Callable[[int], bool]:
    return lambda _: sum(exchange.response_bytes for exchange in proxy.exchanges) > least


def test_between_registries(lading: Lading, slow: CountingProxy, registry: RealRegistry, repository: str) -> None:
    target = f"{registry.host}/{repository}:1"
    interrupted(lading, received(slow, MIB), "copy", f"{slow.host}/app:1", target)
    assert images.list_tags(registry.host, repository) == []
    slow.intercept = None
    lading.run("copy", f"{slow.host}/app:1", target)


def test_into_a_layout(lading: Lading, slow: CountingProxy, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    interrupted(lading, received(slow, 3 * MIB), "copy", f"{slow.host}/app:1", f"oci:{layout}:1")
    assert json.loads((layout / "index.json").read_bytes())["manifests"] == []
    for file in layout.glob("blobs/sha256/*"):
        assert images.digest_of(file.read_bytes()) == f"sha256:{file.name}"
    kept = (layout / ".lading" / images.digest_of(LAYER).replace(":", "-")).stat().st_size
    assert kept >= MIB
    slow.reset()
    slow.intercept = None
    lading.run("copy", f"{slow.host}/app:1", f"oci:{layout}:1")
    assert sum(exchange.response_bytes for exchange in slow.exchanges) < len(LAYER) - kept + 10_000


@pytest.mark.parametrize("answer", [Reply(status=503, headers={"Retry-After": "20"}), Reply(delay=3)])
def test_while_a_registry_does_not_answer(answer: Reply, lading: Lading, source: str, tmp_path: Path) -> None:
    with CountingProxy(f"http://{source}") as proxy:
        proxy.intercept = when(answer, path="/blobs/")
        interrupted(
            lading, lambda _: proxy.count("GET", "/blobs/"), "copy", f"{proxy.host}/app:1", f"oci:{tmp_path}/layout:1"
        )


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_while_an_archive_is_packed(kind: str, lading: Lading, source: str, tmp_path: Path) -> None:
    target = tmp_path / "image.tar.bz2"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"[]"))
    there = out.getvalue()
    for before in (None, there):
        if before is not None and kind == "docker-archive":
            target.write_bytes(before)
        interrupted(
            lading,
            lambda _: any(path.stat().st_size for path in packing(tmp_path)),
            "copy",
            f"{source}/app:1",
            f"{kind}:{target}:app:1" if kind == "docker-archive" else f"{kind}:{target}:1",
        )
        left = [path for path in tmp_path.iterdir() if path.name.startswith(".image")]
        assert left == []
        assert target.exists() == (before is not None and kind == "docker-archive")
    assert kind == "oci-archive" or target.read_bytes() == there


def packing(folder: Path) -> list[Path]:
    """The archive that is being written, under a name that nobody looks for."""
    return list(folder.glob(".image*/archive"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive, which takes a while to unpack; it is a Docker archive, too."""
    path = tmp_path_factory.mktemp("packed") / "image.tar.bz2"
    (layer,) = IMAGE.document["layers"]
    blobs = {f"blobs/{digest.replace(':', '/')}": blob for digest, blob in IMAGE.blobs.items()}
    entry = {**IMAGE.descriptor(), "annotations": {"org.opencontainers.image.ref.name": "1"}}
    config = IMAGE.document["config"]["digest"]
    saved = {"Config": f"blobs/{config.replace(':', '/')}", "RepoTags": ["app:1"], "Layers": [
        f"blobs/{layer['digest'].replace(':', '/')}"
    ]}  # fmt: skip
    files = {
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        "manifest.json": json.dumps([saved]).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        f"blobs/{IMAGE.digest.replace(':', '/')}": IMAGE.content,
        **blobs,
    }
    with tarfile.open(path, "w:bz2", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_while_an_archive_is_unpacked(kind: str, lading: Lading, packed: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    lading.env["TMPDIR"] = str(temporary)
    interrupted(
        lading,
        lambda pid: any(temporary.iterdir()) if kind == "oci-archive" else has_open(pid, packed),
        "copy",
        f"{kind}:{packed}",
        f"oci:{tmp_path}/layout:1",
    )
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "layout").exists()


def test_while_a_layer_is_encoded_anew(lading: Lading, tmp_path: Path) -> None:
    layout, temporary = tmp_path / "layout", tmp_path / "temporary"
    temporary.mkdir()
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    size, hasher = 512 * MIB, hashlib.sha256()
    for _ in range(size // MIB):
        hasher.update(bytes(MIB))
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": f"sha256:{hasher.hexdigest()}",
        "size": size,
    }
    described = images.make_descriptor(config, images.OCI_CONFIG, "oci")
    manifest = json.dumps({"schemaVersion": 2, "config": described, "layers": [layer]}).encode()
    entry = images.make_descriptor(manifest, images.OCI_MANIFEST, "oci")
    for content in (config, manifest):
        (blobs / hashlib.sha256(content).hexdigest()).write_bytes(content)
    with (blobs / hasher.hexdigest()).open("wb") as file:
        file.truncate(size)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    lading.env["TMPDIR"] = str(temporary)
    interrupted(
        lading,
        lambda _: any(path.stat().st_size for path in temporary.glob("*/*.gzip")),
        "copy",
        f"oci:{layout}",
        f"oci:{tmp_path}/target:1",
        "--compression",
        "gzip",
    )
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_while_nobody_fills_or_empties_a_pipe(kind: str, lading: Lading, source: str, tmp_path: Path) -> None:
    reading, filling = os.pipe()
    begun = 0

    def reads(pid: int) -> bool:
        """Whether the process has taken the beginning of an archive, and so waits for the rest."""
        nonlocal begun
        if pid != begun:
            begun = pid
            os.write(filling, tarfile.TarInfo("blobs").tobuf())
        return not pending(reading)

    interrupted(
        lading,
        reads,
        "copy",
        f"{kind}:-",
        f"oci:{tmp_path}/layout:1",
        stdin=reading,
    )
    with CountingProxy(f"http://{source}") as proxy:
        target = f"{kind}:/dev/fd/{filling}"
        # A pipe takes 64 KiB, and not what the image has.
        interrupted(
            lading,
            lambda pid: received(proxy, len(LAYER))(pid) and pending(reading),
            "copy",
            f"{proxy.host}/app:1",
            f"{target}:app:1" if kind == "docker-archive" else target,
            pass_fds=(filling,),
        )
    os.close(reading)
    os.close(filling)


def test_while_the_signal_comes_to_another_thread(lading: Lading, tmp_path: Path) -> None:
    """It interrupts no wait of the main thread then; nor does one that comes just before that begins to wait."""
    code = """
import os, select, signal, sys, threading, time
from lading.cli import main

reading, writing = os.pipe()
os.dup2(reading, 0)
os.write(writing, bytes(512))

def interrupt():
    while select.select([0], [], [], 0)[0]:
        time.sleep(0.01)
    time.sleep(0.2)  # the main thread waits by then
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
sys.exit(main(["copy", "oci-archive:-", "oci:layout:1"]))
"""
    ran = run([sys.executable, "-c", code], check=False, env=lading.environment, cwd=tmp_path, timeout=30)
    assert (ran.returncode, ran.stderr.splitlines()[1:]) == (130, ["interrupted"])


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has opened a file."""
    with contextlib.suppress(FileNotFoundError):  # what is closed meanwhile
        return any(file.readlink() == path for file in Path(f"/proc/{pid}/fd").iterdir())
    return False


def pending(pipe: int) -> bool:
    return bool(select.select([pipe], [], [], 0)[0])
