"""What differs between two of anything: documents in words, layers aligned, indexes entry by entry, packages, texts."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import AsyncClient, DiffReport
from lading.errors import LadingError, NotFound, UsageError
from lading.images.diff.alignment import aligned
from lading.images.diff.documents import compared, config_changes
from lading.images.diff.packages import kind_of, packages_in
from lading.images.diff.text import content_diff
from lading.model import reach
from support.images import (
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    digest_of,
    make_artifact,
    make_attestation,
    make_image,
    make_index,
    push,
)
from support.images import Entry as IndexEntry
from support.layers import LAYER, Blob, archive, image, write_layout
from support.layers import Entry as TarEntry
from support.parts import need
from support.process import run
from support.registry import RealRegistry

ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
AMD, ARM, S390 = (make_image(f"linux/{name}", kind="oci", seed=name) for name in ("amd64", "arm64", "s390x"))
NEW_ARM = make_image("linux/arm64", kind="oci", seed="new")


async def diff(folder: Path, a: Manifest, b: Manifest, **more: Any) -> DiffReport:
    places = [write_layout(folder / side, *graph(one)) for side, one in (("a", a), ("b", b))]
    async with AsyncClient(remember=False) as client:
        return await client.diff(*places, **more)


def graph(manifest: Manifest) -> list[Manifest]:
    """A manifest and all that it leads to, each once."""
    found = {manifest.digest: manifest}
    todo = [manifest]
    while todo:
        for child in todo.pop().children:
            if child.digest not in found:
                found[child.digest] = child
                todo.append(child)
    return [*found.values()]


def words(report: DiffReport, number: int = 0) -> list[tuple[str, str, Any, Any]]:
    return [(change.scope, change.name, change.a, change.b) for change in report.images[number].changes]


# Documents


def config(run: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"architecture": "amd64", "os": "linux", "config": run, **more}


CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str, Any, Any]]]] = {
    "env": (
        config({"Env": ["A=1", "B=x=y", "C="]}),
        config({"Env": ["A=2", "C=", "D=4"]}),
        [
            ("config.Env.A", "ENV A", "1", "2"),
            ("config.Env.B", "ENV B", "x=y", None),
            ("config.Env.D", "ENV D", None, "4"),
        ],
    ),
    "the order of env": (
        config({"Env": ["A=1", "B=2"]}),
        config({"Env": ["B=2", "A=1"]}),
        [("config.Env", "the order of ENV", ["A=1", "B=2"], ["B=2", "A=1"])],
    ),
    "a name twice": (
        config({"Env": ["A=1", "A=2"]}),
        config({"Env": ["A=2"]}),
        [("config.Env", "config.Env", ["A=1", "A=2"], ["A=2"])],
    ),
    "labels": (
        config({"Labels": {"org.x": "1", "y": "2"}}),
        config({"Labels": {"org.x": "2"}}),
        [('config.Labels["org.x"]', "LABEL org.x", "1", "2"), ("config.Labels.y", "LABEL y", "2", None)],
    ),
    "how it runs": (
        config({"Entrypoint": ["a"], "Cmd": ["b"], "User": "0", "WorkingDir": "/a", "StopSignal": "TERM"}),
        config({"Entrypoint": ["a", "c"], "User": "1", "WorkingDir": "/b", "Shell": ["sh"], "StopSignal": "TERM"}),
        [
            ("config.Entrypoint", "ENTRYPOINT", ["a"], ["a", "c"]),
            ("config.Cmd", "CMD", ["b"], None),
            ("config.User", "USER", "0", "1"),
            ("config.WorkingDir", "WORKDIR", "/a", "/b"),
            ("config.Shell", "SHELL", None, ["sh"]),
        ],
    ),
    "ports and volumes": (
        config({"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/a": {}}}),
        config({"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}}),
        [
            ('config.ExposedPorts["443/tcp"]', "EXPOSE", None, "443/tcp"),
            ('config.Volumes["/a"]', "VOLUME", "/a", None),
        ],
    ),
    "health": (
        config({"Healthcheck": {"Test": ["CMD", "a"], "Interval": 1}}),
        config({"Healthcheck": {"Test": ["CMD", "b"], "Interval": 1, "Retries": 3}}),
        [
            ("config.Healthcheck.Test", "HEALTHCHECK Test", ["CMD", "a"], ["CMD", "b"]),
            ("config.Healthcheck.Retries", "HEALTHCHECK Retries", None, 3),
        ],
    ),
    "what is not known": (
        config({"New": {"Deep": [{"a": 1}, {"a": 2}]}}, **{"os.version": "1", "x y": True}),
        config({"New": {"Deep": [{"a": 1}, {"a": 3}]}}, **{"os.version": "2"}),
        [
            ('["os.version"]', '["os.version"]', "1", "2"),
            ('["x y"]', '["x y"]', True, None),
            ("config.New.Deep[1].a", "config.New.Deep[1].a", 2, 3),
        ],
    ),
    "true is not 1": (config({"X": True}), config({"X": 1}), [("config.X", "config.X", True, 1)]),
    "null is absent": (config({"Cmd": None, "Labels": None}), {"architecture": "amd64", "os": "linux"}, []),
    "no object": (
        config({"Labels": [1]}),
        config({"Labels": {"a": "1"}}),
        [("config.Labels", "config.Labels", [1], {"a": "1"})],
    ),
    "no config": ({"config": 5}, {"config": {}}, [("config", "config", 5, {})]),
    "created and author": (
        config({}, created="1", author="a"),
        config({}, created="2"),
        [("created", "created", "1", "2"), ("author", "author", "a", None)],
    ),
    "history": (
        config({}, history=[{"created": "1", "created_by": "ADD a"}, {"created_by": "RUN /bin/sh -c x # buildkit"}]),
        config({}, history=[{"created": "2", "created_by": "ADD a"}, {"created_by": 'CMD ["b"]', "empty_layer": True}]),
        [
            ("history[0].created", "history[0].created", "1", "2"),
            ("history[1]", "step", "RUN x", None),
            ("history[1]", "step", None, 'CMD ["b"]'),
        ],
    ),
    "no history": (config({}, history={"a": 1}), config({}), [("history", "history", {"a": 1}, None)]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_in_words(name: str) -> None:
    a, b, expected = CONFIGS[name]
    assert [(change.path, change.name, change.a, change.b) for change in config_changes(a, b)] == expected
    assert config_changes(a, a) == []
    back = [(change.path, change.b, change.a) for change in config_changes(b, a)]
    assert sorted(map(str, back)) == sorted(str((path, x, y)) for path, _, x, y in expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab.", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


@given(a=JSON, b=JSON)
def test_documents_that_differ_are_told_and_others_are_not(a: Any, b: Any) -> None:
    found = list(compared({"x": a}, {"x": b}))
    if without_nulls({"x": a}) == without_nulls({"x": b}) and repr(without_nulls(a)) == repr(without_nulls(b)):
        plain = [one for one in found if "null" not in json.dumps(one[1:])]
        assert [one for one in plain if one[1] == one[2]] == []
    else:
        assert found or without_nulls(a) == without_nulls(b) or a in ({}, None) or b in ({}, None)
    assert len({path for path, *_ in found}) == len(found)


@given(a=st.lists(st.sampled_from("abc")), b=st.lists(st.sampled_from("abc")))
def test_alignment_has_every_item_in_order(a: list[str], b: list[str]) -> None:
    rows = aligned(a, b)
    assert [left for left, _ in rows if left is not None] == list(range(len(a)))
    assert [right for _, right in rows if right is not None] == list(range(len(b)))
    assert all(a[left] == b[right] for left, right in rows if left is not None and right is not None)


def test_alignment_ends_soon_whatever_it_is_given() -> None:
    a, b = ["a", *["x"] * 60_000, "a"], ["b", *["x"] * 59_000, "b"]
    assert len(aligned(a, b)) == 60_002 + 59_002
    many = [str(number % 90) for number in range(40_000)]
    assert len(aligned(many, many[::-1])) >= 40_000


# Images


async def test_the_same_is_the_same(tmp_path: Path) -> None:
    one = image("a=1")
    report = await diff(tmp_path, one, one, files=True, packages=True, content=True)
    assert (report.is_same, report.images, report.changes) == (True, (), ())
    assert report.a.digest == report.b.digest == one.digest
    assert report.to_document()["is_same"] is True


async def test_an_image(tmp_path: Path) -> None:
    a = image("base=1", "a=1", config={"config": {"Env": ["LOG=debug"]}})
    b = image("base=1", "a=22", "b=3", config={"config": {"Env": ["LOG=info"]}})
    report = await diff(tmp_path, a, b)
    assert words(report) == [("config", "ENV LOG", "debug", "info"), ("history", "step", None, "step 2")]
    (one,) = report.images
    assert (one.state, one.kind, one.platform) == ("changed", "image", "linux/amd64")
    assert one.layers is not None
    assert [(pair.state, pair.a and pair.a.number, pair.b and pair.b.number) for pair in one.layers.pairs] == [
        ("same", 1, 1),
        ("removed", 2, None),
        ("added", None, 2),
        ("added", None, 3),
    ]
    assert (one.layers.shared, one.layers.base) == (1, 1)
    sizes = [sum(map(len, made.layers)) for made in (a, b)]
    assert one.layers.size == sizes[1] - sizes[0]
    assert (one.files, one.packages, one.contents) == (None, None, None)


async def test_the_same_layer_compressed_otherwise(tmp_path: Path) -> None:
    plain = archive("a=1")
    report = await diff(tmp_path, image(Blob.of(plain)), image(Blob(plain, plain, LAYER)), files=True)
    (one,) = report.images
    assert one.layers is not None
    assert one.files is not None
    assert [pair.state for pair in one.layers.pairs] == ["recompressed"]
    assert one.files.entries == ()
    assert ("manifest", "layers[0].mediaType", f"{LAYER}+gzip", LAYER) in words(report)


async def test_manifests_and_descriptors(tmp_path: Path) -> None:
    base = image("a=1")
    document = base.document
    changed = json.loads(base.content)
    changed["annotations"] = {"org.x": "1"}
    changed["layers"][0]["annotations"] = {"y": "2"}
    changed["new field"] = {"z": [1]}
    changed["subject"] = base.descriptor()
    other = Manifest(json.dumps(changed).encode(), OCI_MANIFEST, "oci", base.platform, base.blobs)
    report = await diff(tmp_path, base, other)
    assert words(report) == [
        ("manifest", '["new field"]', None, {"z": [1]}),
        ("manifest", "subject", None, changed["subject"]),
        ("manifest", "annotation org.x", None, "1"),
        ("manifest", "annotation of layers[0] y", None, "2"),
    ]
    spaced = Manifest(json.dumps(document, indent=4).encode(), OCI_MANIFEST, "oci", base.platform, base.blobs)
    report = await diff(tmp_path / "spaced", base, spaced)
    assert (report.is_same, words(report), report.images[0].state) == (False, [], "changed")


async def test_docker_and_oci(tmp_path: Path) -> None:
    a, b = (make_image(kind=kind, seed="x") for kind in ("docker", "oci"))
    report = await diff(tmp_path, a, b, files=True)
    assert {name for _, name, *_ in words(report)} == {"mediaType", "config.mediaType", "layers[0].mediaType"}
    assert report.images[0].files is not None
    assert report.images[0].files.entries == ()


async def test_artifacts_by_title(tmp_path: Path) -> None:
    a = make_artifact("a/b", {"one": b"1", "two": b"2", "three": b"3"})
    b = make_artifact("a/c", {"two": b"22", "one": b"1", "four": b"4"})
    report = await diff(tmp_path, a, b, files=True)
    (one,) = report.images
    assert one.kind == "artifact"
    assert one.layers is not None
    assert {layer.title: pair.state for pair in one.layers.pairs if (layer := pair.a or pair.b) is not None} == {
        "one": "same",
        "two": "changed",
        "three": "removed",
        "four": "added",
    }
    assert words(report) == [("manifest", "artifactType", "a/b", "a/c")]
    assert report.warnings == ("files are compared of images only, and one of these is an artifact",)
    mixed = await diff(tmp_path / "mixed", a, image("a=1"))
    assert mixed.images[0].kind == "artifact"
    assert (mixed.a.kind, mixed.b.kind) == ("artifact", "image")


async def test_contents_of_artifacts(tmp_path: Path) -> None:
    a = make_artifact("a/b", {"one": b"1\n", "same": b"s", "binary": b"\0"})
    b = make_artifact("a/b", {"one": b"2\n", "same": b"s", "binary": b"\1\0", "large": b"x" * 2_000_000})
    report = await diff(tmp_path, a, b, content=True)
    contents = {one.path: one for one in report.images[0].contents or ()}
    assert {path: one.state for path, one in contents.items()} == {
        "one": "text",
        "binary": "binary",
        "large": "too-large",
    }
    assert contents["one"].lines == ("--- a/one", "+++ b/one", "@@ -1 +1 @@", "-1", "+2")
    assert report.warnings == ()
    some = await diff(tmp_path / "some", a, b, content=True, paths=["one"])
    assert [one.path for one in some.images[0].contents or ()] == ["one"]


async def test_attestations_by_themselves(tmp_path: Path) -> None:
    a, b = (make_attestation(one).manifest for one in (AMD, ARM))
    report = await diff(tmp_path, a, b, files=True, content=True)
    (one,) = report.images
    assert (one.kind, one.files, one.contents, words(report)) == ("attestation", None, None, [])


# Indexes


async def test_indexes_platform_by_platform(tmp_path: Path) -> None:
    a = make_index([AMD, ARM, make_attestation(AMD), make_attestation(ARM)], kind="oci", annotations={"v": "1"})
    b = make_index(
        [NEW_ARM, AMD, S390, make_attestation(NEW_ARM), make_attestation(AMD)], kind="oci", annotations={"v": "2"}
    )
    report = await diff(tmp_path, a, b, files=True)
    assert [(change.scope, change.name) for change in report.changes] == [
        ("index", "annotation v"),
        ("index", "the order of entries"),
    ]
    assert [(one.kind, one.platform, one.state) for one in report.images] == [
        ("image", "linux/arm64", "changed"),
        ("image", "linux/amd64", "same"),
        ("image", "linux/s390x", "added"),
        ("attestation", "linux/arm64", "changed"),
        ("attestation", "linux/amd64", "same"),
    ]
    arm = report.images[0]
    assert words(report) == [("config", "LABEL seed", "arm64", "new")]
    assert arm.files is not None
    assert {entry.path for entry in arm.files.entries} == {"layer-0"}
    attestation = report.images[3].layers
    assert attestation is not None
    assert [(pair.state, pair.a and pair.a.title) for pair in attestation.pairs] == [
        ("changed", "https://slsa.dev/provenance/v1")
    ]


async def test_entries_that_say_something_else(tmp_path: Path) -> None:
    spelled = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    a = make_index([ARM, IndexEntry(AMD, annotations={"x": "1"})], kind="oci")
    b = make_index([IndexEntry(ARM, platform=spelled), IndexEntry(AMD, annotations={"x": "2"})], kind="oci")
    report = await diff(tmp_path, a, b)
    assert [one.state for one in report.images] == ["changed", "changed"]
    assert words(report) == [("descriptor", "platform.variant", None, "v8")]
    assert words(report, 1) == [("descriptor", "annotation x", "1", "2")]


async def test_windows_by_its_build(tmp_path: Path) -> None:
    def windows(version: str) -> Manifest:
        return make_image("windows/amd64", os_version=version, seed=version, kind="oci")

    a = make_index([windows("10.0.17763.1"), windows("10.0.20348.1")], kind="oci")
    b = make_index([windows("10.0.20348.2"), windows("10.0.17763.2")], kind="oci")
    report = await diff(tmp_path, a, b)
    assert [one.state for one in report.images] == ["changed", "changed"]
    assert ("descriptor", 'platform["os.version"]', "10.0.20348.1", "10.0.20348.2") in words(report)


async def test_an_index_within_an_index(tmp_path: Path) -> None:
    a = make_index([make_index([AMD, ARM], kind="oci", annotations={"x": "1"})], kind="oci")
    b = make_index([make_index([AMD, NEW_ARM], kind="oci", annotations={"x": "2"})], kind="oci")
    report = await diff(tmp_path, a, b)
    assert [(one.kind, one.state, one.platform) for one in report.images] == [
        ("index", "changed", None),
        ("image", "same", "linux/amd64"),
        ("image", "changed", "linux/arm64"),
    ]
    assert words(report) == [("index", "annotation x", "1", "2")]


async def test_indexes_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make_index([ARM], kind="oci"), make_index([NEW_ARM], kind="oci")
    for _ in range(20):
        a, b = make_index([a], kind="oci"), make_index([b], kind="oci")
    with pytest.raises(LadingError) as failed:
        await diff(tmp_path / "deep", a, b)
    assert failed.value.code == "graph-too-deep"
    a, b = make_index([ARM], kind="oci"), make_index([NEW_ARM], kind="oci")
    for _ in range(3):
        a, b = make_index([a] * 6, kind="oci"), make_index([b] * 6, kind="oci")
    monkeypatch.setattr(reach, "MANIFESTS", 100)
    with pytest.raises(LadingError) as failed:
        await diff(tmp_path / "wide", a, b)
    assert failed.value.code == "graph-too-large"


async def test_an_index_and_an_image(tmp_path: Path) -> None:
    index = make_index([AMD, ARM], kind="oci")
    report = await diff(tmp_path, index, NEW_ARM)
    assert [(one.platform, one.a, one.b) for one in report.images] == [("linux/arm64", ARM.digest, NEW_ARM.digest)]
    assert "its image for linux/arm64 is compared" in report.warnings[0]
    back = await diff(tmp_path / "back", NEW_ARM, index)
    assert [(one.a, one.b) for one in back.images] == [(NEW_ARM.digest, ARM.digest)]
    same = await diff(tmp_path / "same", index, ARM)
    assert (same.is_same, [one.state for one in same.images]) == (True, ["same"])
    with pytest.raises(NotFound) as failed:
        await diff(tmp_path / "none", index, S390)
    assert failed.value.code == "no-platform"
    kinds = await diff(tmp_path / "kinds", index, make_artifact())
    assert [(change.name, change.a, change.b) for change in kinds.changes] == [("kind", "index", "artifact")]


async def test_platforms(tmp_path: Path) -> None:
    place = write_layout(tmp_path / "one", *graph(make_index([AMD, ARM], kind="oci")))
    other = write_layout(tmp_path / "other", *graph(make_index([AMD, NEW_ARM], kind="oci")))
    async with AsyncClient(remember=False) as client:
        two = await client.diff(place, place, platforms=["linux/amd64", "linux/arm64"])
        assert [(one.a, one.b) for one in two.images] == [(AMD.digest, ARM.digest)]
        assert [name for _, name, *_ in words(two)] == ["architecture", "LABEL seed"]
        assert (await client.diff(place, other, platforms="linux/amd64")).is_same
        assert not (await client.diff(place, other, platforms="linux/arm64")).is_same
        with pytest.raises(UsageError):
            await client.diff(place, other, platforms=["linux/amd64"] * 3)
        with pytest.raises(NotFound):
            await client.diff(place, other, platforms="linux/s390x")


async def test_what_was_an_image_is_an_index(tmp_path: Path) -> None:
    platform = {"os": "linux", "architecture": "arm64"}
    a = make_index([AMD, ARM], kind="oci")
    b = make_index([AMD, IndexEntry(make_index([NEW_ARM], kind="oci"), platform=platform)], kind="oci")
    report = await diff(tmp_path, a, b)
    assert [one.state for one in report.images] == ["same", "changed"]
    assert words(report, 1) == [
        ("descriptor", "mediaType", OCI_MANIFEST, OCI_INDEX),
        ("descriptor", "kind", "image", "index"),
    ]
    with pytest.raises(LadingError) as failed:
        await diff(tmp_path / "image", b, ARM)
    assert failed.value.code == "is-index"


async def test_an_entry_that_is_no_manifest(tmp_path: Path) -> None:
    cache = "application/vnd.buildkit.cacheconfig.v0"
    caches = [Manifest(text, cache, "oci", None, {}) for text in (b"1", b"2")]
    report = await diff(tmp_path, *(make_index([one], kind="oci") for one in caches))
    assert [(one.kind, one.state, one.layers) for one in report.images] == [("artifact", "changed", None)]
    assert report.warnings == ()


def with_config(config: bytes, media_type: str) -> Manifest:
    described = {"mediaType": media_type, "digest": digest_of(config), "size": len(config)}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []}
    return Manifest(json.dumps(document).encode(), OCI_MANIFEST, "oci", None, {digest_of(config): config})


async def test_configs_of_artifacts(tmp_path: Path) -> None:
    helm = "application/vnd.cncf.helm.config.v1+json"
    charts = [with_config(json.dumps({"name": "c", "version": version}).encode(), helm) for version in ("1", "2")]
    assert words(await diff(tmp_path / "json", *charts)) == [("config", "version", "1", "2")]
    binary = [with_config(content, "a/b") for content in (b"\0", b"\1")]
    digests = [digest_of(content) for content in (b"\0", b"\1")]
    assert words(await diff(tmp_path / "bytes", *binary)) == [("config", "digest", *digests)]
    broken = [with_config(content, helm) for content in (b"{", b"[]")]
    digests = [digest_of(content) for content in (b"{", b"[]")]
    assert words(await diff(tmp_path / "broken", *broken)) == [("config", "digest", *digests)]
    document = {"mediaType": ARTIFACT, "artifactType": "a/b", "blobs": []}
    former = Manifest(json.dumps(document).encode(), ARTIFACT, "oci", None, {})
    found = words(await diff(tmp_path / "former", former, charts[0]))
    assert ("manifest", "mediaType", ARTIFACT, OCI_MANIFEST) in found
    assert ("manifest", "config", None, charts[0].document["config"]) in found


async def test_what_is_missing_is_said(tmp_path: Path) -> None:
    places = [
        write_layout(tmp_path / "a", make_index([AMD, ARM], kind="oci"), AMD),
        write_layout(tmp_path / "b", *graph(make_index([AMD, NEW_ARM], kind="oci"))),
    ]
    async with AsyncClient(remember=False) as client:
        report = await client.diff(*places)
    assert [(one.state, one.layers) for one in report.images] == [("same", None), ("changed", None)]
    assert "linux/arm64" in report.warnings[0]
    assert "is not there" in report.warnings[0]


async def test_any_two_places(registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    """A registry, a layout, archives: what differs is the same wherever it is."""
    a, b = image("a=1 b=2", config={"config": {"User": "1"}}), image("a=2 c=3", config={"config": {"User": "2"}})
    push(registry.host, repository, "a", a)
    name = f"{registry.host}/{repository}:a"
    layout = write_layout(tmp_path / "b", b)
    oci, docker = f"oci-archive:{tmp_path}/b.oci:t", f"docker-archive:{tmp_path}/b.tar:app:t"
    async with AsyncClient(remember=False) as client:
        for target in (oci, docker):
            await client.copy(layout, target)
        found = []
        for place in (layout, oci, docker):
            report = await client.diff(name, place, files=True)
            (one,) = report.images
            assert one.files is not None
            users = [change for change in one.changes if change.name == "USER"]
            found.append(([entry.path for entry in one.files.entries], [(user.a, user.b) for user in users]))
        assert found == [(["a", "b", "c"], [("1", "2")])] * 3


# Packages

DPKG = "Package: {0}\nStatus: {2}\nArchitecture: amd64\nVersion: {1}\nDescription: x\n Version: 9\n"
FILES: dict[str, tuple[str, bytes, list[tuple[str, str, str | None]]]] = {
    "dpkg": (
        "var/lib/dpkg/status",
        "\n".join(
            [
                DPKG.format("a", "1:2.0-1", "install ok installed"),
                DPKG.format("gone", "1", "deinstall ok config-files"),
                DPKG.format("b", "3", "hold ok unpacked"),
            ]
        ).encode(),
        [("a", "1:2.0-1", "amd64"), ("b", "3", "amd64")],
    ),
    "distroless": (
        "var/lib/dpkg/status.d/base",
        b"Package: base-files\nVersion: 12\nArchitecture: arm64\n",
        [("base-files", "12", "arm64")],
    ),
    "apk": (
        "lib/apk/db/installed",
        b"C:Q1x\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:a\nZ:P:x\n\nC:Q2\nP:busybox\nV:1.36\nA:x86_64\n\n",
        [("musl", "1.2.5-r0", "x86_64"), ("busybox", "1.36", "x86_64")],
    ),
    "apk, merged": ("usr/lib/apk/db/installed", b"P:a\nV:1\n", [("a", "1", None)]),
    "python": (
        "usr/lib/python3/dist-packages/Foo_Bar-1.0.dist-info/METADATA",
        b"Metadata-Version: 2.1\r\nName: Foo_Bar.x\r\nVersion: 1.0\r\n\r\nVersion: 2\n",
        [("foo-bar-x", "1.0", None)],
    ),
    "egg": ("app/x.egg-info/PKG-INFO", b"Name: x\nVersion: 2\n", [("x", "2", None)]),
    "egg file": ("usr/lib/python2.7/y.egg-info", b"Name: y\nVersion: 3\n", [("y", "3", None)]),
    "npm": (
        "app/node_modules/left-pad/package.json",
        b'{"name":"left-pad","version":"1.3.0"}',
        [("left-pad", "1.3.0", None)],
    ),
    "npm, scoped": ("node_modules/@a/b/package.json", b'{"name":"@a/b","version":"1"}', [("@a/b", "1", None)]),
    "npm, nested": ("node_modules/a/node_modules/b/package.json", b'{"name":"b","version":"2"}', [("b", "2", None)]),
    "npm, within": ("node_modules/a/lib/package.json", b'{"name":"x","version":"2"}', []),
    "npm, no JSON": ("node_modules/a/package.json", b'{"name":', []),
    "npm, no texts": ("node_modules/a/package.json", b'{"name":["a"],"version":1}', []),
    "npm, deep": ("node_modules/a/package.json", b'{"a":' * 100_000, []),
    "sums": ("var/lib/dpkg/status.d/base.md5sums", b"Package: a\nVersion: 1\n", []),
    "elsewhere": ("home/var/lib/dpkg/status", b"Package: a\nVersion: 1\n", []),
    "no version": ("var/lib/dpkg/status", b"Package: a\n", [("a", "", None)]),
    "a long name": ("lib/apk/db/installed", b"P:" + b"x" * 5000 + b"\nV:1\n\nP:a\nV:1\n", [("a", "1", None)]),
    "bytes": ("lib/apk/db/installed", b"\xff\xfe\0P:x\n\nP:\xff\nV:1\n\n\n\n", [("\ufffd", "1", None)]),
    "nothing": ("lib/apk/db/installed", b"", []),
}


@pytest.mark.parametrize("name", FILES)
def test_packages_in_a_file(name: str) -> None:
    path, content, expected = FILES[name]
    assert [one[1:4] for one in packages_in(path, content)] == expected


@given(content=st.binary(max_size=2000), path=st.sampled_from([path for path, *_ in FILES.values()]))
def test_packages_in_any_bytes(content: bytes, path: str) -> None:
    for package in packages_in(path, content):
        assert package.type == kind_of(path)
        assert 0 < len(package.name) <= 256


def test_a_file_without_end_has_no_more_packages_than_can_be() -> None:
    assert len(packages_in("lib/apk/db/installed", b"P:a\n\n" * 200_000)) == 100_000


def tree(**files: str) -> list[TarEntry]:
    paths = {path.replace("__", "/"): text for path, text in files.items()}
    folders = sorted({path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"})
    return [
        *(TarEntry(f"{folder}/", "5", mode=0o755) for folder in folders),
        *(TarEntry(path, content=text.encode()) for path, text in paths.items()),
    ]


async def test_packages_of_images(tmp_path: Path) -> None:
    status = "var/lib/dpkg/status"
    base = {"lib/apk/db/installed": "P:same\nV:1\n", "n/node_modules/a/package.json": '{"name":"a","version":"1"}'}
    a = {
        status: "Package: openssl\nVersion: 3.0.14\n\nPackage: old\nVersion: 1\n",
        "x/y-1.dist-info/METADATA": "Name: y\nVersion: 1\n",
    }
    b = {
        status: "Package: openssl\nVersion: 3.0.15\n\nPackage: curl\nVersion: 8.9.1\n",
        "x/y-2.dist-info/METADATA": "Name: y\nVersion: 2\n",
        "n/node_modules/b/node_modules/a/package.json": '{"name":"a","version":"2"}',
        "moved/node_modules/a/package.json": '{"name":"a","version":"1"}',
    }
    report = await diff(tmp_path, image(tree(**base), tree(**a)), image(tree(**base), tree(**b)), packages=True)
    (one,) = report.images
    assert one.files is None
    assert one.packages is not None
    assert [(package.state, package.type, package.name, package.a, package.b) for package in one.packages] == [
        ("added", "deb", "curl", None, "8.9.1"),
        ("removed", "deb", "old", "1", None),
        ("changed", "deb", "openssl", "3.0.14", "3.0.15"),
        ("added", "npm", "a", None, "1"),
        ("added", "npm", "a", None, "2"),
        ("changed", "python", "y", "1", "2"),
    ]
    files = await diff(tmp_path / "files", image(tree(**base), tree(**a)), image(tree(**base), tree(**b)), files=True)
    assert files.images[0].packages == one.packages


async def test_a_package_that_moved_is_the_same(tmp_path: Path) -> None:
    a, b = (tree(**{f"usr/python{number}/y.dist-info/METADATA": "Name: y\nVersion: 1\n"}) for number in "12")
    report = await diff(tmp_path, image(a), image(b), packages=True)
    assert report.images[0].packages == ()


async def test_a_database_that_is_too_large_is_said(tmp_path: Path) -> None:
    path = "app/node_modules/a/package.json"
    a, b = tree(**{path: '{"name":"a","version":"1"}' + " " * 2_000_000}), tree(**{path: '{"name":"a","version":"2"}'})
    report = await diff(tmp_path, image(a), image(b), packages=True)
    assert report.warnings == (f"the packages in {path} were not compared: the file is too large",)


async def test_rpm_where_its_library_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "var/lib/rpm/rpmdb.sqlite"
    images = [image(tree(**{path: text})) for text in ("no database", "none either")]
    report = await diff(tmp_path, *images, files=True)
    assert report.images[0].packages == ()
    (warning,) = report.warnings
    try:
        import rpm  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        assert warning == "packages of rpm were not compared: the Python library rpm is not installed"
    else:
        assert warning == f"the packages in {path} were not compared: rpm cannot read it"


# Texts


LINES = st.lists(st.sampled_from(["a", "b", "", "c d", "x" * 30]), max_size=30)


@given(a=LINES, b=LINES, ends=st.tuples(st.booleans(), st.booleans()))
def test_a_unified_diff_is_a_patch(
    a: list[str], b: list[str], ends: tuple[bool, bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`patch` makes B of A with it."""
    program = need("patch")
    one, other = (
        "\n".join(lines) + ("\n" if has_end and lines else "") for lines, has_end in zip((a, b), ends, strict=True)
    )
    found = content_diff("f", one.encode(), other.encode())
    assert found.state == "text"
    if one == other:
        assert len(found.lines) == 2
        return
    folder = tmp_path_factory.mktemp("patched")
    (folder / "f").write_text(one)
    run([program, "-p1", "-s", "-d", folder], stdin="\n".join([*found.lines, ""]).encode())
    there = (folder / "f").read_text() if (folder / "f").exists() else ""
    assert there == other


@pytest.mark.parametrize(
    "a, b, state",
    [
        (b"a\n", b"b\n", "text"),
        (b"a\0", b"b", "binary"),
        (b"a", b"\xff", "binary"),
        (None, b"x", "text"),
        (b"x", None, "text"),
        (b"", b"", "text"),
    ],
)
def test_what_is_text(a: bytes | None, b: bytes | None, state: str) -> None:
    assert content_diff("p", a, b).state == state


async def test_contents(tmp_path: Path) -> None:
    large = "x\n" * 600_000
    a = tree(changed="one\ntwo\n", gone="g", binary="\0", same="s", large=large, mode="m")
    b = tree(changed="one\nthree\n", new="n", binary="\0\0", same="s", large=large + "y", mode="m", empty="")
    report = await diff(tmp_path, image(a), image(b), content=True)
    contents = {one.path: one for one in report.images[0].contents or ()}
    assert {path: one.state for path, one in contents.items()} == {
        "changed": "text",
        "gone": "text",
        "binary": "binary",
        "large": "too-large",
        "new": "text",
        "empty": "text",
    }
    assert contents["changed"].lines == ("--- a/changed", "+++ b/changed", "@@ -1,2 +1,2 @@", " one", "-two", "+three")
    assert contents["new"].lines[:2] == ("--- /dev/null", "+++ b/new")
    assert (contents["large"].a_size, contents["large"].b_size) == (len(large), len(large) + 1)
    some = await diff(tmp_path / "some", image(a), image(b), content=True, paths=["n*"])
    assert [one.path for one in some.images[0].contents or ()] == ["new"]


# An independent truth


def walked(root: Path) -> dict[str, tuple[Any, ...]]:
    """A tree on the disk, by path: without what only a file system knows."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        body: object = None
        if path.is_symlink():
            body = path.readlink().as_posix()
        elif path.is_file():
            body = path.read_bytes()
        kind = status.st_mode >> 12
        mode = None if path.is_symlink() else status.st_mode & 0o7777
        found[path.relative_to(root).as_posix()] = (kind, mode, status.st_uid, status.st_gid, body)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks owners")
async def test_what_umoci_unpacks_differs_in_the_same(tmp_path: Path) -> None:
    umoci = need("umoci")
    base = "bin/ bin/sh=shell@755 etc/ etc/a=1 etc/b=2 etc/c->a old/ old/x=x old/y/ old/y/z=z u=same@4755"
    sides: Sequence[Sequence[str]] = (
        [base, "app/ app/main=1 app/data=1234 etc/ etc/b=22", "-old/x etc/ etc/a=3@600,5,6"],
        [base, "app/ app/main=2 app/data=5678 n/ n/x=x", "-old/y !bin bin/@700 bin/ash=a etc/ etc/c->b u=same@755"],
    )
    trees = []
    for side, layers in zip("ab", sides, strict=True):
        write_layout(tmp_path / side, image(*layers))
        run([umoci, "raw", "unpack", "--image", f"{tmp_path}/{side}:t", str(tmp_path / f"{side}-root")])
        trees.append(walked(tmp_path / f"{side}-root"))
    a, b = trees
    async with AsyncClient(remember=False) as client:
        report = await client.diff(f"oci:{tmp_path}/a:t", f"oci:{tmp_path}/b:t", files=True)
    files = report.images[0].files
    assert files is not None
    told = {entry.path: entry.state for entry in files.entries if entry.state != "moved"}
    for entry in files.entries:
        if entry.state == "moved":
            assert entry.a is not None
            told |= {entry.path: "added", entry.a.path: "removed"}
    truth = {path: "added" if path not in a else "removed" if path not in b else "changed" for path in {*a, *b}}
    assert told == {path: state for path, state in truth.items() if a.get(path) != b.get(path)}
    assert told["app/data"] == "changed"
