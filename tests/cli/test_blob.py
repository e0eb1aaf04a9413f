"""`lading blob`, and `lading manifest get|put|head|diff|delete`: content as it is, in a registry and in a layout."""

import json
import os
from pathlib import Path

import pytest

from support.images import digest_of, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

DATA = os.urandom(100_000)
DIGEST = digest_of(DATA)
ABSENT = f"sha256:{'0' * 64}"


@pytest.fixture(params=["registry", "layout"])
def place(request: pytest.FixtureRequest, registry: RealRegistry, repository: str, tmp_path: Path) -> str:
    return f"{registry.host}/{repository}" if request.param == "registry" else f"oci:{tmp_path}/layout"


def test_there_and_back(lading: Lading, place: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(DATA)
    assert lading.run("blob", "put", place, str(data)).stdout == f"{place}@{DIGEST}\n"
    assert lading.run("blob", "put", place, "-", stdin=DATA).stdout == f"{place}@{DIGEST}\n"
    assert lading.run("blob", "get", f"{place}@{DIGEST}").stdout_bytes == DATA
    assert lading.run("blob", "get", f"{place}@{DIGEST}", "--range", "10-19").stdout_bytes == DATA[10:20]
    assert lading.run("blob", "head", f"{place}@{DIGEST}").stdout == f"{DIGEST}  {len(DATA)}\n"
    out = tmp_path / "out"
    assert lading.run("blob", "get", f"{place}@{DIGEST}", "-o", str(out)).stdout == ""
    assert out.read_bytes() == DATA
    other = f"oci:{tmp_path}/other"
    assert lading.run("blob", "copy", f"{place}@{DIGEST}", other).stdout == f"{other}@{DIGEST}\n"
    document = json.loads(lading.run("blob", "head", f"{other}@{DIGEST}", "--format", "json").stdout)
    assert document["size"] == len(DATA)
    assert lading.run("blob", "delete", f"{place}@{DIGEST}", "--yes").stdout == f"deleted {place}@{DIGEST}\n"
    ran = lading.run("blob", "head", f"{place}@{DIGEST}", check=False)
    assert (ran.returncode, ran.stdout) == (3, "")


def test_what_cannot_be_done(lading: Lading, place: str, tmp_path: Path) -> None:
    lading.run("blob", "put", place, "-", stdin=DATA)
    for code, *words in (
        (3, "get", f"{place}@{ABSENT}"),
        (3, "get", f"{place}@{ABSENT}", "-o", str(tmp_path / "out")),
        (2, "get", f"{place}:1"),
        (2, "get", f"{place}@{DIGEST}", "--range", "5-4"),
        (3, "put", place, str(tmp_path / "none")),
        (7, "put", place, "-", "--digest", ABSENT),
        (2, "delete", f"{place}@{DIGEST}"),
    ):
        ran = lading.run("blob", *words, check=False, stdin=b"other")
        assert (ran.returncode, ran.stdout) == (code, ""), (words, ran.stderr)
    assert not (tmp_path / "out").exists()
    assert lading.run("blob", "head", f"{place}@{DIGEST}").stdout


def test_what_is_damaged_is_not_printed_to_its_end(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    """regctl prints all of it, and then says that it is wrong."""
    lading.run("blob", "put", f"{registry.host}/{repository}", "-", stdin=DATA)
    proxy.intercept = when(Alter(corrupt=5), method="GET", path="/blobs/")
    ran = lading.run("blob", "get", f"{proxy.host}/{repository}@{DIGEST}", check=False)
    assert ran.returncode == 7
    assert len(ran.stdout_bytes) < len(DATA)


def test_oras_reads_what_is_put(lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    oras = need("oras")
    lading.run("blob", "put", f"{registry.host}/{repository}", "-", stdin=DATA)
    out = tmp_path / "out"
    run([oras, "blob", "fetch", "--plain-http", "-o", out, f"{registry.host}/{repository}@{DIGEST}"])
    assert out.read_bytes() == DATA


def test_manifests_there_and_back(lading: Lading, place: str, tmp_path: Path) -> None:
    image = make_image(kind="oci")
    for blob in image.blobs.values():
        lading.run("blob", "put", place, "-", stdin=blob)
    file = tmp_path / "manifest.json"
    file.write_bytes(image.content)
    assert lading.run("manifest", "put", f"{place}:1", str(file), "--dry-run").stdout == f"{place}:1@{image.digest}\n"
    assert lading.run("manifest", "get", f"{place}:1", check=False).returncode == 3
    assert lading.run("manifest", "put", f"{place}:1", str(file)).stdout == f"{place}:1@{image.digest}\n"
    assert lading.run("manifest", "get", f"{place}:1").stdout_bytes == image.content
    assert lading.run("manifest", "get", f"{place}:1", "-o", str(tmp_path / "out")).stdout == ""
    assert (tmp_path / "out").read_bytes() == image.content
    assert json.loads(lading.run("manifest", "get", f"{place}:1", "--pretty").stdout) == json.loads(image.content)
    said = lading.run("manifest", "head", f"{place}:1").stdout
    assert said == f"{image.digest}  {image.media_type}  {len(image.content)}\n"
    ran = lading.run("manifest", "put", f"{place}:1", str(file), "--if-digest", "absent", check=False)
    assert ran.returncode == 8
    assert lading.run("manifest", "delete", f"{place}:1", "--yes").returncode == 0
    assert lading.run("manifest", "get", f"{place}:1", check=False).returncode == 3


def test_by_digest(lading: Lading, place: str) -> None:
    image = make_image(kind="oci")
    for blob in image.blobs.values():
        lading.run("blob", "put", place, "-", stdin=blob)
    said = lading.run("manifest", "put", place, "-", "--by-digest", stdin=image.content).stdout
    assert said == f"{place}@{image.digest}\n"
    assert lading.run("manifest", "get", said.strip()).stdout_bytes == image.content
    assert lading.run("tags", place, check=False).stdout == ""
    ran = lading.run("manifest", "put", f"{place}:1", "-", "--by-digest", stdin=image.content, check=False)
    assert ran.returncode == 2


def test_what_is_missing_is_named_before_anything_is_sent(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    image = make_image(kind="oci", layers=2)
    ran = lading.run("manifest", "put", f"{proxy.host}/{repository}:1", "-", stdin=image.content, check=False)
    assert ran.returncode == 3
    for digest in image.blobs:
        assert digest in ran.stderr
    assert proxy.count("PUT") == 0


def test_manifest_diff(lading: Lading, registry: RealRegistry, repository: str) -> None:
    name = f"{registry.host}/{repository}"
    images = [make_image(kind="oci", annotations={"a": value}) for value in ("1", "2")]
    for tag, image in zip("12", images, strict=True):
        push(registry.host, repository, tag, image)
    push(registry.host, repository, "index", make_index([images[0]], kind="oci"))
    ran = lading.run("manifest", "diff", f"{name}:1", f"{name}:2", check=False)
    assert ran.returncode == 1
    assert '-    "a": "1"' in ran.stdout
    assert '+    "a": "2"' in ran.stdout
    ran = lading.run("manifest", "diff", f"{name}:1", f"{name}:index", "--platform", "linux/amd64")
    assert (ran.returncode, ran.stdout) == (0, "")
