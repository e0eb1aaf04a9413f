"""`lading validate`: what it prints and how it ends, what it costs, and what it finds where crane does not."""

import gzip
import json
import shlex
import tracemalloc
from pathlib import Path

import pytest

from cli.place import AMD64, ARM64, INDEX, Place
from lading import AsyncClient
from support.images import (
    Entry,
    Manifest,
    digest_of,
    make_artifact,
    make_attestation,
    make_image,
    make_index,
    make_layer,
    noise,
)
from support.lading import Lading
from support.layers import LAYER, Blob, archive, image, write_layout, zstd_frame
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

PLAIN = archive("a=a")
DAMAGED = image("a=a", Blob(gzip.compress(PLAIN, 1, mtime=0) + b"more", PLAIN))
DISAGREES = make_index([Entry(ARM64, {"os": "linux", "architecture": "amd64"})], kind="oci")


def short(manifest: Manifest) -> str:
    return manifest.digest.removeprefix("sha256:")[:12]


def test_what_is_whole_is_said_to_be_whole(place: Place) -> None:
    name = place.push("1", INDEX)
    ran = place.lading.run("validate", name)
    assert ran.stdout.splitlines()[0] == f"{name} is whole"
    assert ran.stdout.splitlines()[1].startswith("5 manifests and 10 blobs read, ")
    assert ran.stderr == ""
    assert place.lading.run("validate", name, "--quiet").stdout == ""


def test_damage_is_told_with_what_to_do_and_ends_with_7(place: Place) -> None:
    name = place.push("1", DAMAGED)
    ran = place.lading.run("validate", name, check=False)
    assert ran.returncode == 7
    assert ran.stdout.splitlines()[:3] == [
        f"LAD803 error    Layer 2 of {short(DAMAGED)} cannot be unpacked: something follows the gzip data that is not "
        "gzip.",
        "                build the image anew",
        f"{name} is damaged in 1 place",
    ]
    assert len(place.lading.run("validate", name, "--quiet", check=False).stdout.splitlines()) == 2


def test_a_disagreement_ends_with_1_and_the_worst_of_several_counts(place: Place) -> None:
    mild, bad, good = place.push("mild", DISAGREES), place.push("bad", DAMAGED), place.push("good", AMD64)
    ran = place.lading.run("validate", mild, check=False)
    assert ran.returncode == 1
    assert ran.stdout.startswith(f"LAD104 error    linux/amd64 ({short(ARM64)}) holds an image for linux/arm64/v8.\n")
    assert f"{mild} disagrees with itself in 1 place" in ran.stdout
    assert place.lading.run("validate", good, mild, check=False).returncode == 1
    assert place.lading.run("validate", mild, bad, good, check=False).returncode == 7
    assert place.lading.run("validate", place.name, "--all-tags", check=False).returncode == 7
    assert place.lading.run("validate", place.name, "--all-tags", "--exclude", "bad", check=False).returncode == 1
    assert place.lading.run("validate", place.name, "--all-tags", "--ignore", "LAD1", check=False).returncode == 7
    assert place.lading.run("validate", mild, "--ignore", "lad104").returncode == 0


def test_the_document_has_all_of_it(place: Place) -> None:
    name = place.push("1", DAMAGED)
    ran = place.lading.run("validate", name, "--format", "json", check=False)
    assert ran.returncode == 7
    document = json.loads(ran.stdout)
    assert (document["verdict"], document["is_fast"], document["manifests"], document["blobs"]) == (
        "damaged",
        False,
        1,
        3,
    )
    [report] = document["reports"]
    assert (report["reference"], report["digest"], report["verdict"]) == (name, DAMAGED.digest, "damaged")
    [found] = report["findings"]
    assert list(found) == ["code", "severity", "message", "remedy", "digest", "platform"]
    assert found["digest"] == digest_of(DAMAGED.layers[1])
    said = place.lading.run("validate", name, "--format", "{{ reports[0].findings[0].code }}", check=False).stdout
    assert said == "LAD803\n"


def test_what_cannot_be_asked_is_no_verdict(lading: Lading, place: Place) -> None:
    good = place.push("good", AMD64)
    assert lading.run("validate", good, f"{place.name}:none", check=False).returncode == 3
    assert lading.run("validate", "localhost:1/app:1", check=False).returncode == 6
    for words in (
        [],
        [good, "--include", "x"],
        [good, "--all-tags"],
        [good, "--ignore", "LAD2"],
        [good, "--platform", "a/b/c/d"],
    ):
        assert lading.run("validate", *words, check=False).returncode == 2


def test_what_crane_calls_its_options_is_understood(lading: Lading) -> None:
    assert "a reference is in a registry" in lading.run("validate", "--remote", "a/b:1", check=False).stderr
    assert "docker-archive:FILE" in lading.run("validate", "--tarball", "a.tar", check=False).stderr


def test_codes_are_explained_by_both_commands(lading: Lading) -> None:
    for code in ("LAD802", "lad104"):
        said = lading.run("validate", "--explain", code).stdout
        assert said == lading.run("lint", "--explain", code).stdout
        assert said.startswith(f"{code.upper()} error: ")


@pytest.mark.parametrize("said", ["", "+gzip", "+zstd"])
@pytest.mark.parametrize("real", ["", "+gzip", "+zstd"])
def test_what_it_says_to_do_about_a_compression_mends_it(lading: Lading, said: str, real: str, tmp_path: Path) -> None:
    content = {"": PLAIN, "+gzip": gzip.compress(PLAIN, 1, mtime=0), "+zstd": zstd_frame(PLAIN)}[real]
    place = write_layout(tmp_path / "layout", image(Blob(content, PLAIN, LAYER + said)))
    ran = lading.run("validate", place, check=False)
    assert ran.returncode == (said != real)
    if said != real:
        command = shlex.split(ran.stdout.splitlines()[1].partition("lading ")[2])
        lading.run(*command[:-1], f"oci:{tmp_path / 'new'}:t")
        lading.run("validate", f"oci:{tmp_path / 'new'}:t")


def test_progress_is_told_as_a_copy_tells_it(place: Place) -> None:
    name = place.push("1", AMD64)
    ran = place.lading.run("validate", name, "--progress", "json")
    events = [json.loads(line) for line in ran.stderr.splitlines()]
    assert {event["event"] for event in events} == {"started", "progressed", "finished", "totals"}
    sizes = sum(map(len, AMD64.blobs.values()))
    assert (events[-1]["done"], events[-1]["size"]) == (sizes, sizes)


SHARED = [make_layer({f"base-{number}": noise(f"base {number}", 200)}) for number in range(3)]
OWN = [make_layer({"own": noise(f"own {number}", 200)}) for number in range(4)]
IMAGES = [
    make_image(platform, kind="oci", layers=[*SHARED, own], seed=platform)
    for platform, own in zip(("linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/s390x"), OWN, strict=True)
]
TOGETHER = make_index(
    [*IMAGES, make_index(IMAGES[:2], kind="oci"), make_attestation(IMAGES[0])],
    kind="oci",
)


def test_each_blob_is_downloaded_once_whatever_has_it(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    place = Place(lading, registry.host, repository)
    place.push("list", TOGETHER)
    place.push("same", TOGETHER)
    place.push("one", IMAGES[2])
    name = f"{proxy.host}/{repository}"
    attestation = make_attestation(IMAGES[0]).manifest
    blobs = {digest for one in (*IMAGES, attestation) for digest in one.blobs}
    manifests = [one.digest for one in (*IMAGES, TOGETHER.children[4], attestation)]
    expected = [f"GET /v2/{repository}/blobs/{digest}" for digest in blobs]
    expected += [f"GET /v2/{repository}/manifests/{name}" for name in (*manifests, "list", "same", "one")]

    proxy.reset()
    lading.run("validate", f"{name}:list", f"{name}:same", f"{name}:one")

    assert sorted(proxy.lines) == sorted(expected)

    proxy.reset()
    lading.run("validate", f"{name}:list")
    assert sorted(proxy.lines) == sorted(line for line in expected if not line.endswith(("/same", "/one")))


def test_fast_downloads_configs_and_asks_for_the_rest(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    Place(lading, registry.host, repository).push("list", TOGETHER)
    configs = {digest_of(one.config) for one in (*IMAGES, make_attestation(IMAGES[0]).manifest)}
    others = {digest for one in (*IMAGES, make_attestation(IMAGES[0]).manifest) for digest in one.blobs} - configs

    proxy.reset()
    lading.run("validate", f"{proxy.host}/{repository}:list", "--fast")

    expected = [f"GET /v2/{repository}/blobs/{digest}" for digest in configs]
    expected += [f"HEAD /v2/{repository}/blobs/{digest}" for digest in others]
    assert sorted(line for line in proxy.lines if "/blobs/" in line) == sorted(expected)


def test_a_download_that_breaks_off_goes_on(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    from support.proxy import Alter, when

    big = make_image("linux/amd64", kind="oci", layer_size=300_000)
    Place(lading, registry.host, repository).push("1", big)
    digest = digest_of(big.layers[0])
    proxy.intercept = when(Alter(truncate=100_000), path=digest, times=1)
    lading.run("validate", f"{proxy.host}/{repository}:1")
    assert proxy.count("GET", digest) == 2


def test_bytes_that_change_on_the_way_are_damage(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    from support.proxy import Alter, when

    Place(lading, registry.host, repository).push("1", INDEX)
    digest = digest_of(ARM64.layers[0])
    proxy.intercept = when(Alter(corrupt=20), path=digest)
    ran = lading.run("validate", f"{proxy.host}/{repository}:1", check=False)
    assert ran.returncode == 7
    assert f"LAD801 error    Layer 1 of linux/arm64/v8 ({short(ARM64)}) is not what its digest says" in ran.stdout


CRANE_FAILS: dict[str, Manifest] = {
    "zstd": image("a=a", Blob(zstd_frame(PLAIN), PLAIN, f"{LAYER}+zstd")),
    "no compression": image("a=a", Blob(PLAIN, PLAIN, LAYER)),
    "an artifact": make_artifact(),
    "attestations": make_index([AMD64, make_attestation(AMD64)], kind="oci"),
}


@pytest.mark.parametrize("name", CRANE_FAILS)
def test_what_crane_calls_wrong_and_is_right(place: Place, name: str) -> None:
    reference = place.push("1", CRANE_FAILS[name])
    assert place.lading.run("validate", reference).returncode == 0
    crane = need("crane")
    assert run([crane, "validate", "--remote", reference], check=False).returncode == 1


def test_crane_downloads_each_layer_twice(
    lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    whole = make_image("linux/amd64", kind="oci", layers=3)
    Place(lading, registry.host, repository).push("1", whole)
    reference = f"{proxy.host}/{repository}:1"
    lading.run("validate", reference)
    assert proxy.count("GET", "/blobs/") == 4
    proxy.reset()
    run([need("crane"), "validate", "--remote", reference])
    assert proxy.count("GET", "/blobs/") == 7


async def test_memory_is_flat_however_large_a_layer_is(client: AsyncClient, tmp_path: Path) -> None:
    large = make_layer({"zeros": bytes(64 * 1024 * 1024)})
    place = write_layout(tmp_path, image(Blob(large, gzip.decompress(large))))
    del large
    tracemalloc.start()
    try:
        assert (await client.validate(place)).verdict == "whole"
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
