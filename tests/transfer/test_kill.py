"""A copy that is killed, and what the next one has to do; and how much memory one takes."""

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lading.serve import background
from support import images
from support.lading import Lading
from support.proxy import CountingProxy
from support.registry import RealRegistry

MIB = 1024 * 1024
KILLS = 15
LARGE = 24 * MIB


@pytest.mark.slow
def test_killed_again_and_again_it_moves_what_was_missing_and_no_more(lading: Lading) -> None:
    """Against a registry that keeps what it has received of an upload; Debian's forgets it."""
    draw = random.Random(7)
    layers = [images.noise(f"large {number}", LARGE) for number in range(3)]
    layers += [images.noise(f"small {number}", 100_000) for number in range(10)]
    config = b"{}"
    document = {
        "schemaVersion": 2,
        "mediaType": images.OCI_MANIFEST,
        "config": images.make_descriptor(config, images.OCI_CONFIG, "oci"),
        "layers": [images.make_descriptor(layer, "application/octet-stream", "oci") for layer in layers],
    }
    image = images.Manifest(
        json.dumps(document).encode(),
        images.OCI_MANIFEST,
        "oci",
        blobs={images.digest_of(blob): blob for blob in (config, *layers)},
    )
    total = sum(map(len, image.blobs.values()))
    with background() as source, background() as target, CountingProxy(source) as near, CountingProxy(target) as far:
        images.push(source.removeprefix("http://"), "app", "1", image)
        command = [sys.executable, "-m", "lading", "copy", f"{near.host}/app:1", f"{far.host}/app:1"]
        killed, host = 0, target.removeprefix("http://")
        for _ in range(KILLS):
            process = subprocess.Popen(
                command, env=lading.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            before = _received(far)
            wanted = draw.uniform(0, 2 * total / KILLS)
            while process.poll() is None and _received(far) < before + wanted:
                time.sleep(0.002)
            killed += process.poll() is None
            process.kill()
            process.wait()
            if process.returncode < 0:
                assert images.list_tags(host, "app") == []
            # What is on its way yet arrives, or is lost; nothing of it is counted for the next run.
            _settle(far)
        subprocess.run(command, env=lading.environment, check=True, capture_output=True)
        assert killed > KILLS // 2
        assert images.get_manifest(host, "app", "1")[2] == image.digest
        # A kill costs what was on its way in both directions; without resuming it would be a blob each time.
        assert _received(far) < total + killed * MIB
        # Of a download that counts which the proxy has sent, and sockets of three connections hold.
        assert sum(exchange.response_bytes for exchange in near.exchanges) < total + killed * 3 * 8 * MIB


def _received(proxy: CountingProxy) -> int:
    return sum(exchange.request_body_bytes for exchange in proxy.exchanges)


def _settle(proxy: CountingProxy) -> None:
    last = -1
    while (now := _received(proxy)) != last:
        last = now
        time.sleep(0.1)


@pytest.mark.slow
def test_memory_stays_flat_however_large_a_blob_is(lading: Lading, registry: RealRegistry, tmp_path: Path) -> None:
    size = 512 * MIB
    layout = tmp_path / "layout"
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    with (blobs / digest.hexdigest()).open("wb") as file:
        file.truncate(size)
    config = b"{}"
    (blobs / hashlib.sha256(config).hexdigest()).write_bytes(config)
    layer = {"mediaType": "application/octet-stream", "digest": f"sha256:{digest.hexdigest()}", "size": size}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": images.OCI_MANIFEST,
            "config": images.make_descriptor(config, images.OCI_CONFIG, "oci"),
            "layers": [layer],
        }
    ).encode()
    described = images.make_descriptor(manifest, images.OCI_MANIFEST, "oci")
    (blobs / described["digest"].partition(":")[2]).write_bytes(manifest)
    entry = {**described, "annotations": {"org.opencontainers.image.ref.name": "1"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    there, back = f"{registry.host}/memory/large:1", f"oci:{tmp_path}/back:1"
    for source, target in ((f"oci:{layout}:1", there), (there, back)):
        # A process of its own starts it: what the tests' own has in memory would be counted with it.
        ran = subprocess.run(
            [sys.executable, "-c", MEASURED, sys.executable, "-m", "lading", "copy", "-q", source, target],
            env=lading.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        peak = int(ran.stdout.splitlines()[-1])
        assert peak < 128 * 1024, f"{peak // 1024} MiB"


MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
