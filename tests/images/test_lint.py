"""What lint finds: each code by an image or list that has it, and nothing in what is good."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lading.client import AsyncClient
from lading.errors import InvalidContent, UsageError
from lading.images.lint import CODES, Finding, LintReport, lint, listed_facts
from lading.images.lint import entries as rules
from lading.model import reach
from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.platform import Platform
from lading.model.selection import PullClient, Selection, select
from support.images import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Entry,
    Manifest,
    digest_of,
    make_artifact,
    make_attestation,
    make_image,
    make_index,
)

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = {"io.github.containers.compression.zstd": "true"}


def image(platform: str, seed: str = "", **options: Any) -> Manifest:
    return make_image(platform, kind="oci", seed=seed, **options)


def changed(manifest: Manifest, **fields: Any) -> Manifest:
    """The same manifest with other fields; what it refers to stays."""
    content = json.dumps(manifest.document | fields, separators=(",", ":")).encode()
    return Manifest(content, manifest.media_type, manifest.kind, manifest.platform, manifest.blobs, manifest.children)


def with_entry(manifest: Manifest, at: int, **fields: Any) -> Manifest:
    """An index with other fields in one of its entries; None removes one."""
    entries = [dict(entry) for entry in manifest.document["manifests"]]
    entries[at] = {key: value for key, value in (entries[at] | fields).items() if value is not None}
    return changed(manifest, manifests=entries)


def of_type(config: str, layer: str) -> Manifest:
    """What other tools keep in registries: a manifest with a config and a layer of their own."""
    document = AMD64.document
    layers = [{**document["layers"][0], "mediaType": layer}]
    return changed(AMD64, config={**document["config"], "mediaType": config}, layers=layers)


AMD64, ARM64 = image("linux/amd64"), image("linux/arm64/v8")
DOCKER = make_image("linux/amd64", kind="docker")
ARTIFACT = make_artifact("application/vnd.example.thing")

FOUND: dict[str, tuple[Manifest, set[str]]] = {
    "two for one platform": (make_index([AMD64, image("linux/amd64", "b")], kind="oci"), {"LAD101"}),
    "one manifest twice": (make_index([AMD64, AMD64, ARM64], kind="oci"), {"LAD101"}),
    "three for one platform": (
        make_index([AMD64, image("linux/amd64", "b"), ARM64, image("linux/amd64", "c")], kind="oci"),
        {"LAD101"},
    ),
    "arm64 and arm64/v8": (
        make_index([image("linux/arm64", "a"), image("linux/arm64/v8", "b")], kind="oci"),
        {"LAD103"},
    ),
    "platform of another architecture": (
        make_index([Entry(ARM64, {"os": "linux", "architecture": "s390x"})], kind="oci"),
        {"LAD104"},
    ),
    "another variant": (
        make_index([Entry(image("linux/arm/v7"), {"os": "linux", "architecture": "arm", "variant": "v6"})], kind="oci"),
        {"LAD104"},
    ),
    "amd64 everywhere": (
        make_index(
            [AMD64, *(Entry(image("linux/amd64", a), {"os": "linux", "architecture": a}) for a in ("arm64", "s390x"))],
            kind="oci",
        ),
        {"LAD105"},
    ),
    "no platform": (make_index([Entry(AMD64, {}), ARM64], kind="oci"), {"LAD106", "LAD602"}),
    "an image for no machine": (
        make_index([Entry(AMD64, {"os": "unknown", "architecture": "unknown"}), ARM64], kind="oci"),
        {"LAD102"},
    ),
    "x86_64": (make_index([image("linux/x86_64"), ARM64], kind="oci"), {"LAD201"}),
    "no such platform": (make_index([image("linux/z80"), ARM64], kind="oci"), {"LAD202"}),
    "arm": (make_index([image("linux/arm")], kind="oci"), {"LAD203"}),
    "amd64/v1": (make_index([image("linux/amd64/v1")], kind="oci"), {"LAD204"}),
    "arm/7": (make_index([image("linux/arm/7")], kind="oci"), {"LAD204"}),
    "arm64/v10": (make_index([image("linux/arm64/v10")], kind="oci"), {"LAD204"}),
    "windows": (make_index([image("windows/amd64")], kind="oci"), {"LAD205"}),
    "wrong size": (with_entry(make_index([AMD64], kind="oci"), 0, size=AMD64.size + 1), {"LAD304"}),
    "wrong media type": (
        with_entry(make_index([AMD64], kind="oci"), 0, mediaType=DOCKER.media_type),
        {"LAD304", "LAD401"},
    ),
    "no manifest": (
        make_index([Manifest(b"{}", AMD64.media_type, "oci", AMD64.platform)], kind="oci"),
        {"LAD305"},
    ),
    "attestation of nothing": (make_index([ARM64, make_attestation(AMD64)], kind="oci"), {"LAD306"}),
    "attestation of nobody": (
        make_index(
            [
                AMD64,
                Entry(
                    make_attestation(AMD64).manifest, annotations={"vnd.docker.reference.type": "attestation-manifest"}
                ),
            ],
            kind="oci",
        ),
        {"LAD306"},
    ),
    "Docker's manifest in an OCI index": (make_index([DOCKER, ARM64], kind="oci"), {"LAD401"}),
    "OCI's manifest in a Docker list": (make_index([DOCKER, ARM64], kind="docker"), {"LAD401"}),
    "OCI's layers in a Docker manifest": (
        changed(DOCKER, layers=[{**DOCKER.document["layers"][0], "mediaType": LAYER}]),
        {"LAD401"},
    ),
    "empty": (make_index([], kind="oci"), {"LAD402"}),
    "huge": (make_index([AMD64], kind="oci", annotations={"note": "x" * (4 << 20)}), {"LAD403"}),
    "nested": (make_index([make_index([AMD64], kind="oci"), ARM64], kind="oci"), {"LAD404"}),
    "no media type": (with_entry(make_index([AMD64, ARM64], kind="oci"), 1, mediaType=None), {"LAD405"}),
    "unknown media type": (with_entry(make_index([AMD64, ARM64], kind="oci"), 1, mediaType="text/plain"), {"LAD405"}),
    "artifact with a platform": (
        make_index([Entry(ARTIFACT, {"os": "linux", "architecture": "amd64"}), ARM64], kind="oci"),
        {"LAD406"},
    ),
    "malformed time": (changed(AMD64, annotations={"org.opencontainers.image.created": "yesterday"}), {"LAD501"}),
    "reserved name": (changed(AMD64, annotations={"org.opencontainers.colour": "red"}), {"LAD501"}),
    "zstd: yes": (make_index([Entry(AMD64, annotations={**ZSTD, next(iter(ZSTD)): "yes"})], kind="oci"), {"LAD501"}),
    "Linux": (make_index([image("Linux/amd64")], kind="oci"), {"LAD201", "LAD601"}),
    "foreign layer": (
        changed(AMD64, layers=[{**AMD64.document["layers"][0], "urls": ["https://elsewhere.example/layer"]}]),
        {"LAD303"},
    ),
}

GOOD: dict[str, Manifest] = {
    "an image": AMD64,
    "a Docker image": DOCKER,
    "an artifact": ARTIFACT,
    "an image for arm": image("linux/arm/v7"),
    "what an official image has": make_index(
        [
            item
            for platform in ["amd64", "arm/v5", "arm/v7", "arm64/v8", "386", "mips64le", "ppc64le", "riscv64", "s390x"]
            for built in [image(f"linux/{platform}", annotations={"org.opencontainers.image.revision": "abc"})]
            for item in (built, make_attestation(built))
        ],
        kind="oci",
        annotations={"org.opencontainers.image.created": "2026-01-02T03:04:05.123456789+02:00"},
    ),
    "a Docker list with Windows": make_index(
        [
            DOCKER,
            make_image("windows/amd64", os_version="10.0.17763.6054", seed="2019"),
            make_image("windows/amd64", os_version="10.0.20348.2582", seed="2022"),
        ]
    ),
    "levels of amd64": make_index([AMD64, image("linux/amd64/v2"), image("linux/amd64/v3"), ARM64], kind="oci"),
    "gzip and zstd": make_index([AMD64, Entry(image("linux/amd64", "z"), annotations=ZSTD)], kind="oci"),
    "one entry": make_index([AMD64], kind="oci"),
    "artifacts only": make_index([Entry(ARTIFACT, {})], kind="oci", artifact_type="application/vnd.example.set"),
    "a signature": of_type(OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json"),
    "a chart": of_type(
        "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    ),
    "a module": of_type("application/vnd.wasm.config.v0+json", "application/wasm"),
    "WebAssembly as Docker and as Go call it": make_index(
        [AMD64, image("wasi/wasm", "a"), image("wasip1/wasm", "b")], kind="oci"
    ),
    "other systems": make_index(
        [image(platform) for platform in ("freebsd/amd64", "freebsd/arm64", "darwin/arm64", "linux/loong64")],
        kind="oci",
    ),
    "every arm": make_index([image(f"linux/{it}") for it in ("arm/v5", "arm/v6", "arm/v7", "arm64")], kind="oci"),
    "every reserved annotation": make_index(
        [AMD64],
        kind="oci",
        annotations={
            "org.opencontainers.image.authors": "somebody",
            "org.opencontainers.image.url": "https://example.com",
            "org.opencontainers.image.documentation": "https://example.com/docs",
            "org.opencontainers.image.source": "git+ssh://git@example.com/a.git",
            "org.opencontainers.image.licenses": "Apache-2.0 OR (MIT AND BSD-3-Clause)",
            "org.opencontainers.image.base.digest": AMD64.digest,
            "org.opencontainers.image.base.name": "docker.io/library/debian:12",
            "org.opencontainers.image.description": "",
            "com.example.anything": "goes",
        },
    ),
}


@pytest.mark.parametrize("name", FOUND)
async def test_what_is_wrong_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    manifest, codes = FOUND[name]

    report = await linted(tmp_path, manifest)

    assert {found.code for found in report.findings} == codes
    for found in report.findings:
        assert found.severity == CODES[found.code].severity or name == "one manifest twice"
        assert found.message.endswith(".")
        assert not {"LIST", "`"} & set(found.remedy.split())


@pytest.mark.parametrize("name", GOOD)
async def test_nothing_is_found_in_what_is_good(name: str, tmp_path: Path) -> None:
    assert (await linted(tmp_path, GOOD[name])).findings == ()


async def test_every_code_is_shown_by_a_test() -> None:
    shown = {code for _, codes in FOUND.values() for code in codes}
    # Those that need more than one document have tests of their own below.
    assert shown | {"LAD107", "LAD301", "LAD302", "LAD701"} == set(CODES)


async def test_what_is_missing_is_named(tmp_path: Path) -> None:
    index = make_index([AMD64, ARM64], kind="oci")
    layer = ARM64.document["layers"][0]["digest"]

    report = await linted(tmp_path, index, without={AMD64.digest, layer})

    assert [(found.code, found.digest, found.platform) for found in report.findings] == [
        ("LAD301", AMD64.digest, "linux/amd64"),
        ("LAD302", layer, "linux/arm64/v8"),
    ]


async def test_the_platforms_of_the_last_release_are_compared(tmp_path: Path) -> None:
    before = make_index([AMD64, ARM64, image("linux/arm/v7")], kind="oci")
    after = make_index([image("linux/amd64", "new"), image("linux/arm64", "new")], kind="oci")
    write_layout(tmp_path, {"before": before, "after": after})

    async with AsyncClient() as client:
        report = await client.lint(f"oci:{tmp_path}:after", against=f"oci:{tmp_path}:before")
        same = await client.lint(f"oci:{tmp_path}:before", against=f"oci:{tmp_path}:before")

    assert [found.code for found in report.findings] == ["LAD701"]
    assert "linux/arm/v7" in report.findings[0].message
    assert same.findings == ()


async def test_findings_are_chosen_by_code(tmp_path: Path) -> None:
    write_layout(tmp_path, {"x": make_index([image("Linux/amd64"), image("linux/arm")], kind="oci")})
    async with AsyncClient() as client:

        async def codes(select: Collection[str] = (), ignore: Collection[str] = ()) -> list[str]:
            report = await client.lint(f"oci:{tmp_path}:x", select=select, ignore=ignore)
            return [found.code for found in report.findings]

        assert await codes() == ["LAD601", "LAD201", "LAD203"]
        assert await codes(select=["LAD2"]) == ["LAD201", "LAD203"]
        assert await codes(select=["LAD2"], ignore=["lad203"]) == ["LAD201"]
        assert await codes(ignore=["LAD"]) == []
        with pytest.raises(UsageError, match="LAD999"):
            await codes(select=["LAD999"])


async def test_the_worst_comes_first_and_decides(tmp_path: Path) -> None:
    report = await linted(tmp_path, make_index([image("linux/arm"), image("Linux/amd64")], kind="oci"))
    assert [found.severity for found in report.findings] == ["error", "warning", "warning"]
    assert [report.fails(severity) for severity in ("error", "note", None)] == [True, True, False]
    mild = await linted(tmp_path, make_index([image("linux/arm")], kind="oci"))
    assert [mild.fails(severity) for severity in ("warning", "error")] == [True, False]


@pytest.mark.parametrize("name", ["FOUND", "nested"])
async def test_what_is_told_as_it_is_found_is_what_the_report_has(name: str, tmp_path: Path) -> None:
    lists = {f"{at}": it for at, (it, _) in enumerate(FOUND.values())}
    if name == "nested":
        lists = {"all": make_index([*lists.values(), *lists.values()], kind="oci")}
    write_layout(tmp_path, lists)
    async with AsyncClient() as client:
        for tag in lists:
            told: list[Finding] = []
            report = await client.lint(f"oci:{tmp_path}:{tag}", on_finding=told.append)
            assert len(told) == len(report.findings)
            assert all(found in report.findings for found in told)


async def test_what_an_entry_has_is_told_before_the_others_are_read(tmp_path: Path) -> None:
    wrong = [image("linux/arm", f"{number}") for number in range(200)]
    write_layout(tmp_path, {"x": make_index(wrong, kind="oci")})
    seen: list[Finding | tuple[int, int]] = []
    async with AsyncClient() as client:
        report = await client.lint(
            f"oci:{tmp_path}:x", on_finding=seen.append, on_progress=lambda *numbers: seen.append(numbers)
        )
    numbers = [item for item in seen if isinstance(item, tuple)]
    assert numbers == [(number, 200) for number in range(201)]
    for number in range(1, 201):
        before = [item for item in seen[: seen.index((number, 200))] if isinstance(item, Finding)]
        assert [found.code for found in before] == ["LAD203"] * number
    assert seen.index((200, 200)) < len(seen) - 1, "who is never pulled shows when all are read"
    assert {found.code for found in report.findings} == {"LAD203", "LAD101"}


async def test_what_was_found_before_the_limit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "MANIFESTS", 100)
    long = make_index([Entry(AMD64, {"os": "linux", "architecture": f"a{number}"}) for number in range(60)])
    deep = make_index([long, changed(long, annotations={"x": "y"})], kind="oci")
    for _ in range(10):
        deep = make_index([deep], kind="oci")
    write_layout(tmp_path, {"x": make_index([image("linux/arm"), deep], kind="oci")})
    told: list[Finding] = []
    async with AsyncClient() as client:
        with pytest.raises(InvalidContent, match="leads to too many manifests"):
            await client.lint(f"oci:{tmp_path}:x", on_finding=told.append)
    assert "LAD203" in {found.code for found in told}


async def linted(folder: Path, manifest: Manifest, *, without: Collection[str] = ()) -> LintReport:
    write_layout(folder, {"it": manifest}, without=without)
    async with AsyncClient() as client:
        return await client.lint(f"oci:{folder}:it")


def write_layout(folder: Path, tagged: dict[str, Manifest], *, without: Collection[str] = ()) -> None:
    """An image layout by hand, in which things can be missing."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for manifest in tagged.values():
        for digest, content in contents(manifest):
            if digest not in without:
                (blobs / digest.removeprefix("sha256:")).write_bytes(content)
    entries = [
        {**manifest.descriptor(), "annotations": {"org.opencontainers.image.ref.name": tag}}
        for tag, manifest in tagged.items()
    ]
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}))


def contents(manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    yield digest_of(manifest.content), manifest.content
    yield from manifest.blobs.items()
    for child in manifest.children:
        yield from contents(child)


def test_of_a_list_that_is_too_long_the_first_platforms_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    platforms = [Platform(os="linux", architecture=name) for name in ("amd64", "arm64", "s390x")]
    entries = [Descriptor.of(text.encode(), OCI_MANIFEST) for text in "abc"]
    said = [msgspec.structs.replace(entry, platform=of) for entry, of in zip(entries, platforms, strict=True)]
    hidden = [msgspec.structs.replace(entry, platform=platforms[0]) for entry in entries[1:]]
    facts = listed_facts("list", Index.build([*said, *hidden]))
    assert {found.code for found in lint(facts).findings} == {"LAD101"}
    monkeypatch.setattr(f"{rules.__name__}._TRIED", 10)
    found = lint(facts).findings
    assert [(item.code, item.platform) for item in found] == [("LAD101", "linux/amd64")] * 2 + [("LAD107", None)]
    assert found[-1].message == "list has 5 entries: 2 of 3 platforms were tried with clients."


def test_each_client_is_asked_for_a_platform_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str | None, Platform, str]] = []

    def counting(*args: Any, as_: PullClient, host: Platform, **options: Any) -> Selection:
        asked.append((args[1], host, str(as_)))
        return select(*args, as_=as_, host=host, **options)

    monkeypatch.setattr(rules, "select", counting)
    platforms = [Platform(os="linux", architecture="arm64", variant=variant) for variant in ("", "v8")]
    entries = [Descriptor.of(text.encode(), OCI_MANIFEST) for text in "ab"]
    said = [msgspec.structs.replace(entry, platform=of) for entry, of in zip(entries, platforms, strict=True)]
    assert {found.code for found in lint(listed_facts("list", Index.build(said))).findings} == {"LAD103"}
    assert len(asked) == len(set(asked)) > 0
