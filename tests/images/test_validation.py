"""Validation: every kind of damage and of disagreement is found where it is, in any place; what is whole is whole."""

import base64
import gzip
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import AsyncClient
from lading.errors import InvalidContent, NotFound, UsageError
from lading.images.validation import ALL, Root, Validation, validate
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.serve import FolderStorage, background
from lading.store import from_bytes
from lading.stores.memory import Memory
from support import images
from support.awkward import CASES
from support.images import (
    DOCKER_MANIFEST,
    IN_TOTO,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Entry,
    Manifest,
    digest_of,
    make_artifact,
    make_attestation,
    make_descriptor,
    make_image,
    make_index,
    push,
)
from support.layers import LAYER, AnyLayer, Blob, archive, image, write_layout, zstd_frame
from support.layers import Entry as File

PLAIN = archive("a=a")
TOP = archive("b=b", 1)


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def codes(found: Validation) -> list[str]:
    return [finding.code for report in found.reports for finding in report.findings]


def messages(found: Validation) -> str:
    return "\n".join(finding.message for report in found.reports for finding in report.findings)


def write_all(folder: Path, root: Manifest, *more: Manifest) -> str:
    """A layout with a manifest, tagged `t`, and all that is below it; returns the location of the tag."""

    def below(manifest: Manifest) -> list[Manifest]:
        return [one for child in manifest.children for one in (child, *below(child))]

    place = write_layout(folder, root, *more, *below(root))
    named = root.descriptor() | {"annotations": {"org.opencontainers.image.ref.name": "t"}}
    listed = [named, *(one.descriptor() for one in more)]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
    return place


def blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


def changed(manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> Manifest:
    """A manifest with another document."""
    document = manifest.document
    change(document)
    return images.Manifest(
        json.dumps(document).encode(),
        manifest.media_type,
        manifest.kind,
        manifest.platform,
        manifest.blobs,
        manifest.children,
    )


async def validated(client: AsyncClient, place: str, **more: Any) -> Validation:
    return await client.validate(place, **more)


# What is whole

ARM = make_image("linux/arm64/v8", kind="oci", layers=2, seed="arm")
AMD = make_image("linux/amd64", kind="oci", layers=2, seed="amd")
ATTESTED = make_index([AMD, ARM, make_attestation(AMD), make_attestation(ARM)], kind="oci")
WHOLE: dict[str, Manifest] = {
    "gzip": image("a=a", "b=b"),
    "no compression": image("a=a", Blob(TOP, TOP, LAYER)),
    "zstd": image("a=a", Blob(zstd_frame(TOP), TOP, f"{LAYER}+zstd")),
    "Docker's": make_image(layers=3),
    "an index": make_index([AMD, ARM], kind="oci"),
    "Docker's list": make_index([make_image("linux/amd64"), make_image("linux/arm64/v8")]),
    "an index with attestations": ATTESTED,
    "an index in an index": make_index([make_index([AMD], kind="oci"), ARM], kind="oci"),
    "an artifact": make_artifact(),
    "an artifact without files": make_artifact(files={}),
    "an artifact in an index": make_index([AMD, Entry(make_artifact(), {})], kind="oci"),
    "one manifest twice": make_index([AMD, AMD], kind="oci"),
    "no history": image("a=a", "b=b", history=[]),
    "empty layers in the history": image("a=a", history=[{"empty_layer": True}, {}, {"empty_layer": True}]),
    "a platform that is not said": make_index([Entry(AMD, {})], kind="oci"),
    "another spelling of the platform": make_index(
        [Entry(ARM, {"os": "linux", "architecture": "aarch64"})], kind="oci"
    ),
    "the same layer twice": image("a=a", "a=a"),
    "no layers": image(),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_whole_is_whole(client: AsyncClient, name: str, tmp_path: Path) -> None:
    place = write_all(tmp_path / "layout", WHOLE[name])
    for fast in (False, True):
        found = await validated(client, place, fast=fast)
        assert messages(found) == ""
        assert (found.verdict, found.is_fast) == ("whole", fast)
        assert found.reports[0].digest == WHOLE[name].digest


# Damage in the bytes


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


HARM: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": cut,
    "longer": lengthen,
    "empty": empty,
    "gone": Path.unlink,
}
PARTS: dict[str, Callable[[], tuple[Manifest, str]]] = {
    "the root": lambda: (ATTESTED, ATTESTED.digest),
    "a manifest": lambda: (ATTESTED, ARM.digest),
    "an attestation": lambda: (ATTESTED, make_attestation(AMD).manifest.digest),
    "a config": lambda: (ATTESTED, digest_of(AMD.config)),
    "a layer": lambda: (ATTESTED, digest_of(AMD.layers[1])),
    "a statement": lambda: (ATTESTED, digest_of(make_attestation(ARM).manifest.layers[0])),
    "a file of an artifact": lambda: (make_artifact(), digest_of(make_artifact().layers[0])),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("part", PARTS)
async def test_damage_of_every_part_is_found_in_a_layout(
    client: AsyncClient, part: str, harm: str, tmp_path: Path
) -> None:
    root, digest = PARTS[part]()
    place = write_all(tmp_path / "layout", root)
    HARM[harm](blob(tmp_path / "layout", digest))

    found = await validated(client, place)

    assert found.verdict == "damaged"
    is_manifest = part in ("the root", "a manifest", "an attestation")
    missing, broken = ("LAD301", "LAD305") if is_manifest else ("LAD302", "LAD801")
    assert codes(found) == [missing if harm == "gone" else broken]
    if part != "the root" or harm not in ("gone", "cut", "longer", "empty"):
        assert {finding.digest for finding in found.reports[0].findings} == {digest}
    fast = await validated(client, place, fast=True)
    is_seen = is_manifest or part == "a config" or harm != "flipped"
    assert fast.verdict == ("damaged" if is_seen else "whole")


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("the root", "an artifact")])
async def test_damage_of_every_part_is_found_in_a_registry(
    client: AsyncClient, part: str, harm: str, tmp_path: Path
) -> None:
    root, digest = PARTS[part]()
    with background(FolderStorage(tmp_path / "registry")) as url:
        host = url.removeprefix("http://")
        push(host, "test/app", "t", root)
        paths = [path for path in (tmp_path / "registry").rglob(digest.partition(":")[2]) if path.is_file()]
        assert paths
        files = {path.stat().st_ino: path for path in paths}  # a file may have several names
        for path in paths if harm == "gone" else files.values():
            HARM[harm](path)
        found = await validated(client, f"{host}/test/app:t")
    assert found.verdict == "damaged"
    assert {finding.digest for finding in found.reports[0].findings} == {digest}


async def test_damage_in_archives_and_directories_is_found(client: AsyncClient, tmp_path: Path) -> None:
    source = write_all(tmp_path / "layout", AMD)
    layer = AMD.layers[0]
    for kind in ("oci-archive", "docker-archive", "dir"):
        place = f"{kind}:{tmp_path / kind}"
        name = "app:t" if kind == "docker-archive" else "t"
        place += "" if kind == "dir" else f":{name}"
        await client.copy(source, place)
        assert (await validated(client, place)).verdict == "whole"
        if kind == "dir":
            flip(tmp_path / kind / digest_of(layer).partition(":")[2])
        else:
            rewrite(tmp_path / kind, layer)
        found = await validated(client, place)
        assert found.verdict == "damaged", kind
        assert "layer 1 of" in messages(found).lower()


def rewrite(path: Path, layer: bytes) -> None:
    """Change one byte of a layer in an archive, compressed or not."""
    with tarfile.open(path) as archive_:
        members = {member.name: member for member in archive_.getmembers() if member.isfile()}
        contents = {name: archive_.extractfile(member).read() for name, member in members.items()}  # type: ignore[union-attr]
    wanted = [name for name, content in contents.items() if content in (layer, gzip.decompress(layer))]
    assert len(wanted) == 1
    member = members[wanted[0]]
    content = bytearray(path.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    path.write_bytes(content)


# Damage in what the bytes say

OTHER = digest_of(b"other")
ROOTS: dict[str, tuple[dict[str, object], str]] = {
    "too few": ({"rootfs": {"type": "layers", "diff_ids": [OTHER]}}, "LAD806"),
    "too many": ({"rootfs": {"type": "layers", "diff_ids": [OTHER] * 3}}, "LAD806"),
    "none": ({"rootfs": {"type": "layers"}}, "LAD806"),
    "no root": ({"rootfs": None}, "LAD806"),
    "another type": ({"rootfs": {"type": "base", "diff_ids": [digest_of(PLAIN), digest_of(TOP)]}}, "LAD806"),
    "no type": ({"rootfs": {"diff_ids": [digest_of(PLAIN), digest_of(TOP)]}}, "LAD806"),
    "wrong": ({"rootfs": {"type": "layers", "diff_ids": [digest_of(PLAIN), OTHER]}}, "LAD802"),
    "swapped": ({"rootfs": {"type": "layers", "diff_ids": [digest_of(TOP), digest_of(PLAIN)]}}, "LAD802"),
    "of the compressed layer": (
        {"rootfs": {"type": "layers", "diff_ids": [digest_of(PLAIN), digest_of(zipped(TOP))]}},
        "LAD802",
    ),
    "no digest": ({"rootfs": {"type": "layers", "diff_ids": [digest_of(PLAIN), "sha256:none"]}}, "LAD806"),
    "of another kind": ({"rootfs": {"type": "layers", "diff_ids": [1, 2]}}, "LAD305"),
    "a list": ({"rootfs": []}, "LAD305"),
}


@pytest.mark.parametrize("name", ROOTS)
async def test_a_config_that_does_not_fit_its_layers_is_damage(client: AsyncClient, name: str, tmp_path: Path) -> None:
    config, code = ROOTS[name]
    found = await validated(client, write_layout(tmp_path, image("a=a", "b=b", config=config)))
    assert found.verdict == "damaged"
    assert code in codes(found)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_diff_ids_of_other_algorithms_are_compared(client: AsyncClient, algorithm: str, tmp_path: Path) -> None:
    from lading.model.digest import Digest

    for content, verdict in ((TOP, "whole"), (b"other", "damaged")):
        diff_ids = [digest_of(PLAIN), Digest.of(content, algorithm)]
        config = {"rootfs": {"type": "layers", "diff_ids": diff_ids}}
        place = write_layout(tmp_path / verdict, image("a=a", "b=b", config=config))
        assert (await validated(client, place)).verdict == verdict


@pytest.mark.parametrize("content", [b"[]", b"null", b"not JSON", b'"text"', b"{", b"\xff\xfe", b'{"a":1,"a":2}', b""])
async def test_a_config_that_is_no_object_is_damage(client: AsyncClient, content: bytes, tmp_path: Path) -> None:
    whole = image("a=a")
    wrong = changed(whole, lambda document: document.update(config=make_descriptor(content, OCI_CONFIG, "oci")))
    wrong.blobs[digest_of(content)] = content  # type: ignore[index]
    found = await validated(client, write_layout(tmp_path, wrong))
    assert (found.verdict, codes(found)) == ("damaged", ["LAD305"])


UNPACKED: dict[str, tuple[AnyLayer, str]] = {
    "zeros after the gzip": (Blob(zipped(TOP) + bytes(512), TOP), "follows the gzip data"),
    "garbage after the gzip": (Blob(zipped(TOP) + b"garbage!", TOP), "follows the gzip data"),
    "a gzip that is cut": (Blob(zipped(TOP)[:-9], TOP), "ends too early"),
    "a gzip with a wrong sum": (Blob(zipped(TOP)[:-8] + bytes(4) + zipped(TOP)[-4:], TOP), "cannot be unpacked"),
    "garbage after the zstd": (Blob(zstd_frame(TOP) + b"garbage!", TOP, f"{LAYER}+zstd"), "follows the zstd data"),
    "bzip2": (Blob(b"BZh91AY&SY" + bytes(40), TOP), "bzip2"),
    "no archive": (Blob.of(b"hello " * 200), "malformed"),
    "an archive that is cut": (Blob.of(archive("b=bbbbbbbb")[:515]), "ends too early"),
    "a wrong checksum": (Blob.of(b"x" + TOP[1:]), "checksum"),
}


@pytest.mark.parametrize("name", UNPACKED)
async def test_a_layer_that_cannot_be_unpacked_is_damage(client: AsyncClient, name: str, tmp_path: Path) -> None:
    layer, words = UNPACKED[name]
    found = await validated(client, write_layout(tmp_path, image("a=a", layer)))
    assert (found.verdict, codes(found)) == ("damaged", ["LAD803"])
    assert words in messages(found)
    assert messages(found).startswith("Layer 2 of ")


async def test_bytes_that_are_damaged_are_not_blamed_on_what_they_are(client: AsyncClient, tmp_path: Path) -> None:
    whole = image("a=a", Blob(zipped(TOP) + b"garbage!", TOP))
    place = write_layout(tmp_path, whole)
    flip(blob(tmp_path, digest_of(whole.layers[1])))
    assert codes(await validated(client, place)) == ["LAD801"]


REFUSED: dict[str, AnyLayer] = {
    "a file twice": "a=1 a=2",
    "a directory twice": "d/ d/",
    "a hard link to nothing": "a~none",
    "a hard link to itself": "a~a",
    "a hard link to a directory": "d/ a~d",
    "a hard link that leads out": "a~../../etc/passwd",
    "a name that leads out": "../../a=a",
    "a loop": "l->m m->l l/x=x",
    "a file for a parent": "x=x x/y=y",
    "a whiteout of no name": "d/.wh.=",
    "a name that is too long": [File("n" * 256, is_gnu=True)],
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_engines_refuse_is_damage(client: AsyncClient, name: str, tmp_path: Path) -> None:
    found = await validated(client, write_layout(tmp_path, image("base=b", REFUSED[name], "top=t")))
    assert (found.verdict, codes(found)) == ("damaged", ["LAD804"])
    assert messages(found).startswith("Layer 2 of ")


async def test_a_hard_link_is_looked_for_in_the_layers_below(client: AsyncClient, tmp_path: Path) -> None:
    assert (await validated(client, write_layout(tmp_path, image("a=a", "b~a")))).verdict == "whole"


async def test_what_is_refused_when_it_is_shown_is_damage(client: AsyncClient, tmp_path: Path) -> None:
    verdicts = {}
    for name, case in CASES.items():
        place = write_layout(tmp_path / name, case)
        found = await validated(client, place)
        verdicts[name] = found.verdict == "damaged"
        try:
            async with client.images.open(place) as opened:
                await opened.files(recursive=True)
        except InvalidContent:
            assert verdicts[name], name
        else:
            assert not verdicts[name], (name, messages(found))
    assert 20 < sum(verdicts.values()) < len(verdicts) - 20


async def test_names_that_are_no_text_are_names(client: AsyncClient, tmp_path: Path) -> None:
    layers = [[File(b"\xff\xfe")], [File(b"\xff\xfe"), File(b"\xff\xfe")]]
    assert (await validated(client, write_layout(tmp_path / "1", image(layers[0])))).verdict == "whole"
    assert codes(await validated(client, write_layout(tmp_path / "2", image(*layers)))) == ["LAD804"]


# Descriptors


def descriptor(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["layers"][1].update(fields)


def entry(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["manifests"][1].update(fields)


DESCRIPTORS: dict[str, tuple[Manifest, Callable[[dict[str, Any]], object], str]] = {
    "the size of a layer": (AMD, descriptor(size=len(AMD.layers[1]) + 1), "LAD304"),
    "no size": (AMD, descriptor(size=0), "LAD304"),
    "the size of a config": (AMD, lambda document: document["config"].update(size=3), "LAD304"),
    "the size of a manifest": (ATTESTED, entry(size=1), "LAD304"),
    "the media type of a manifest": (ATTESTED, entry(mediaType=DOCKER_MANIFEST), "LAD304"),
    "an index that is none": (ATTESTED, entry(mediaType=OCI_INDEX), "LAD304"),
    "embedded content": (AMD, descriptor(data="AAAA"), "LAD808"),
    "embedded content that is none": (AMD, descriptor(data="*"), "LAD808"),
    "embedded content of a manifest": (ATTESTED, entry(data="AAAA"), "LAD808"),
    "a manifest that is not there": (ATTESTED, entry(digest=OTHER), "LAD301"),
    "a layer that is not there": (AMD, descriptor(digest=OTHER), "LAD302"),
    "a config that is not there": (AMD, lambda document: document["config"].update(digest=OTHER), "LAD302"),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
async def test_a_descriptor_that_is_not_its_contents_is_damage(client: AsyncClient, name: str, tmp_path: Path) -> None:
    whole, change, code = DESCRIPTORS[name]
    found = await validated(client, write_all(tmp_path, changed(whole, change)))
    assert found.verdict == "damaged"
    assert set(codes(found)) - {"LAD306"} == {code}  # of a manifest that is not there, the attestation is orphaned


async def test_a_size_that_only_one_of_two_images_has_wrong(client: AsyncClient, tmp_path: Path) -> None:
    wrong = changed(AMD, descriptor(size=len(AMD.layers[1]) + 1))
    index = make_index([AMD, Entry(wrong, {"os": "linux", "architecture": "arm64"})], kind="oci")
    found = await validated(client, write_all(tmp_path, index))
    sized = [finding for finding in found.reports[0].findings if finding.code == "LAD304"]
    assert len(sized) == 1
    assert digest_of(wrong.content)[7:19] in sized[0].message


async def test_content_that_a_descriptor_has_in_itself_need_not_be_there(client: AsyncClient, tmp_path: Path) -> None:
    artifact = make_artifact(files={})
    place = write_all(tmp_path, artifact)
    blob(tmp_path, digest_of(b"{}")).unlink()
    assert (await validated(client, place)).verdict == "whole"


# Disagreement

X86 = {"os": "linux", "architecture": "amd64"}
WINDOWS = make_image("windows/amd64", kind="oci", os_version="10.0.20348.1")


def attestation(about: Manifest, **statement: object) -> Entry:
    """An attestation kept with an image, whose statement has other fields."""
    made = make_attestation(about)
    content = json.dumps(json.loads(made.manifest.layers[0]) | statement).encode()
    config = json.dumps({**X86, "rootfs": {"type": "layers", "diff_ids": [digest_of(content)]}, "config": {}}).encode()

    def change(document: dict[str, Any]) -> None:
        document["layers"] = [make_descriptor(content, IN_TOTO, "oci")]
        document["config"] = make_descriptor(config, OCI_CONFIG, "oci")

    other = changed(made.manifest, change)
    blobs = {digest_of(content): content, digest_of(config): config}
    manifest = images.Manifest(other.content, OCI_MANIFEST, "oci", made.manifest.platform, blobs)
    return Entry(manifest, made.platform, made.annotations)


DISAGREEMENTS: dict[str, tuple[Manifest, str]] = {
    "the architecture": (make_index([Entry(ARM, X86)], kind="oci"), "LAD104"),
    "the operating system": (make_index([Entry(AMD, {**X86, "os": "freebsd"})], kind="oci"), "LAD104"),
    "the variant": (
        make_index(
            [Entry(make_image("linux/arm/v7", kind="oci"), {"os": "linux", "architecture": "arm", "variant": "v6"})],
            kind="oci",
        ),
        "LAD104",
    ),
    "the version of Windows": (
        make_index(
            [Entry(WINDOWS, {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"})], kind="oci"
        ),
        "LAD104",
    ),
    "a platform in an inner index": (
        make_index([make_index([Entry(ARM, X86)], kind="oci")], kind="oci"),
        "LAD104",
    ),
    "an attestation of what is not listed": (make_index([AMD, make_attestation(ARM)], kind="oci"), "LAD306"),
    "an attestation of nothing": (
        make_index(
            [AMD, Entry(make_attestation(AMD).manifest, None, {"vnd.docker.reference.type": "attestation-manifest"})],
            kind="oci",
        ),
        "LAD306",
    ),
    "a statement about another image": (
        make_index([AMD, attestation(AMD, subject=[{"name": "x", "digest": {"sha256": "0" * 64}}])], kind="oci"),
        "LAD809",
    ),
    "a statement about nothing": (make_index([AMD, attestation(AMD, subject=[])], kind="oci"), "LAD809"),
    "a statement that is none": (make_index([AMD, attestation(AMD, subject="x")], kind="oci"), "LAD809"),
    "no compression, called gzip": (image("a=a", Blob(TOP, TOP)), "LAD805"),
    "gzip, called none": (image("a=a", Blob(zipped(TOP), TOP, LAYER)), "LAD805"),
    "gzip, called zstd": (image("a=a", Blob(zipped(TOP), TOP, f"{LAYER}+zstd")), "LAD805"),
    "zstd, called gzip": (image("a=a", Blob(zstd_frame(TOP), TOP)), "LAD805"),
    "too many steps": (image("a=a", history=[{}, {}]), "LAD807"),
    "too few steps": (image("a=a", "b=b", history=[{"empty_layer": True}]), "LAD807"),
    "an artifact type": (
        changed(
            make_index([make_artifact()], kind="oci"),
            lambda document: document["manifests"][0].update(artifactType="application/vnd.example.other"),
        ),
        "LAD810",
    ),
}


@pytest.mark.parametrize("name", DISAGREEMENTS)
async def test_what_disagrees_is_whole(client: AsyncClient, name: str, tmp_path: Path) -> None:
    root, code = DISAGREEMENTS[name]
    place = write_all(tmp_path, root)
    found = await validated(client, place)
    assert (found.verdict, codes(found)) == ("disagrees", [code])
    assert (await validated(client, place, ignore=[code])).verdict == "whole"


async def test_an_attestation_that_two_images_share_is_compared_with_each(client: AsyncClient, tmp_path: Path) -> None:
    made = make_attestation(AMD)
    kept = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": ARM.digest}
    index = make_index([AMD, ARM, made, Entry(made.manifest, None, kept)], kind="oci")
    assert codes(await validated(client, write_all(tmp_path, index))) == ["LAD809"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["subject", "digest", "sha256", "payload", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(content=st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()), signed=st.booleans())
async def test_whatever_a_statement_is_it_is_a_finding(content: bytes, signed: bool) -> None:
    made = make_attestation(AMD)
    kind = "application/vnd.dsse.envelope.v1+json" if signed else IN_TOTO
    manifest = changed(made.manifest, lambda document: document.update(layers=[make_descriptor(content, kind, "oci")]))
    memory = Memory("memory")
    for blob_ in (content, *made.manifest.blobs.values(), *AMD.blobs.values()):
        described = Descriptor(digest=Digest(digest_of(blob_)), size=len(blob_))
        await memory.write(described, from_bytes(blob_))
    index = make_index([AMD, Entry(manifest, made.platform, made.annotations)], kind="oci")
    for one in (AMD, manifest, index):
        await memory.put(parse(one.content))
    found = await validate([Root(store=memory, name="it", manifest=parse(index.content))], frozenset(ALL))
    assert set(codes(found)) == {"LAD802", "LAD809"}


async def test_the_worst_wins(client: AsyncClient, tmp_path: Path) -> None:
    index = make_index([Entry(ARM, X86), AMD], kind="oci")
    place = write_all(tmp_path / "layout", index)
    flip(blob(tmp_path / "layout", digest_of(AMD.layers[0])))
    good = write_all(tmp_path / "good", AMD)
    found = await client.validate([place, good])
    assert [report.verdict for report in found.reports] == ["damaged", "whole"]
    assert found.verdict == "damaged"
    assert codes(found) == ["LAD801", "LAD104"]


# What is elsewhere, and what is of no known type

FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


async def test_a_foreign_layer_that_is_not_there_is_told(client: AsyncClient, tmp_path: Path) -> None:
    whole = image("a=a", Blob(zipped(TOP), TOP, FOREIGN))
    there = write_layout(tmp_path / "there", whole)
    assert (await validated(client, there)).verdict == "whole"
    place = write_layout(tmp_path / "gone", whole)
    blob(tmp_path / "gone", digest_of(whole.layers[1])).unlink()
    for fast in (False, True):
        found = await validated(client, place, fast=fast)
        assert (found.verdict, codes(found)) == ("whole", ["LAD303"])
    flip(blob(tmp_path / "there", digest_of(whole.layers[1])))
    assert codes(await validated(client, there)) == ["LAD801"]


async def test_an_entry_of_no_known_type_is_read_as_bytes(client: AsyncClient, tmp_path: Path) -> None:
    content = b"anything"
    index = make_index([AMD], kind="oci")
    more = make_descriptor(content, "application/vnd.example", "oci")
    index = changed(index, lambda document: document["manifests"].append(more))
    place = write_all(tmp_path, index)
    blob(tmp_path, digest_of(content)).write_bytes(content)
    assert (await validated(client, place)).verdict == "whole"
    flip(blob(tmp_path, digest_of(content)))
    assert codes(await validated(client, place)) == ["LAD801"]


async def test_an_artifact_with_an_images_config_is_no_image(client: AsyncClient, tmp_path: Path) -> None:
    artifact = changed(
        make_artifact(),
        lambda document: (
            document.pop("artifactType"),
            document.update(config=make_descriptor(b"{}", OCI_CONFIG, "oci")),
        ),
    )
    assert (await validated(client, write_all(tmp_path, artifact))).verdict == "whole"


# Referrers

SBOM = make_artifact("application/vnd.example.sbom", {"sbom": b"{}"}, subject=AMD)
SIGNATURE = make_artifact("application/vnd.example.signature", {"signature": b"signed"}, subject=SBOM)


async def test_referrers_are_validated_where_they_are_asked_for(client: AsyncClient, tmp_path: Path) -> None:
    place = write_all(tmp_path, AMD, SBOM, SIGNATURE)
    assert (await validated(client, place)).manifests == 1
    found = await validated(client, place, referrers=True)
    assert (found.verdict, found.manifests) == ("whole", 3)
    flip(blob(tmp_path, digest_of(b"signed")))
    assert (await validated(client, place)).verdict == "whole"
    assert codes(await validated(client, place, referrers=True)) == ["LAD801"]


@pytest.mark.parametrize("about", [AMD, ARM], ids=["whole", "disagrees"])
async def test_signed_statements_in_cosigns_tags_are_validated(
    client: AsyncClient, tmp_path: Path, about: Manifest
) -> None:
    statement = json.dumps({"subject": [{"name": "x", "digest": {"sha256": about.digest.partition(":")[2]}}]})
    payload = base64.b64encode(statement.encode()).decode()
    envelope = json.dumps({"payloadType": IN_TOTO, "payload": payload, "signatures": []}).encode()
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(envelope)]}, "config": {}}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": make_descriptor(config, OCI_CONFIG, "oci"),
        "layers": [make_descriptor(envelope, "application/vnd.dsse.envelope.v1+json", "oci")],
    }
    kept = {digest_of(content): content for content in (config, envelope)}
    attested = Manifest(json.dumps(document).encode(), OCI_MANIFEST, "oci", None, kept)
    place = write_all(tmp_path, AMD, attested)
    listing = json.loads((tmp_path / "index.json").read_text())
    tag = f"{AMD.digest.replace(':', '-')}.att"
    listing["manifests"][1]["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (tmp_path / "index.json").write_text(json.dumps(listing))

    found = await validated(client, place, referrers=True)

    assert found.manifests == 2
    assert found.verdict == ("whole" if about is AMD else "disagrees")
    assert codes(found) == ([] if about is AMD else ["LAD809"])


async def test_a_referrer_that_refers_to_something_else_disagrees(client: AsyncClient) -> None:
    from support.fakes import Reply, ScriptedServer, json_reply
    from support.http import Request

    contents = {digest_of(content): content for content in (AMD.content, SBOM.content, *AMD.blobs.values())}
    contents |= SBOM.blobs

    def answer(request: Request) -> Reply:
        last = request.target.partition("?")[0].rpartition("/")[2]
        if "/referrers/" in request.target:
            listed = [SIGNATURE.descriptor() | {"digest": SBOM.digest, "size": SBOM.size}]
            listed = [] if last != ARM.digest else listed
            return json_reply({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})
        content = ARM.content if last == "t" else contents.get(last) or ARM.blobs.get(last)
        if content is None:
            return Reply(status=404)
        kind = OCI_MANIFEST if "/manifests/" in request.target else "a/b"
        return Reply(headers=[("Content-Type", kind)], body=content)

    with ScriptedServer(answer) as server:
        found = await validated(client, f"{server.host}/test/app:t", referrers=True)
    assert (found.verdict, codes(found)) == ("disagrees", ["LAD811"])


# What is asked for


async def test_only_the_platforms_that_are_asked_for(client: AsyncClient, tmp_path: Path) -> None:
    place = write_all(tmp_path, ATTESTED)
    flip(blob(tmp_path, digest_of(ARM.layers[0])))
    assert (await validated(client, place, platforms="linux/amd64")).verdict == "whole"
    assert (await validated(client, place, platforms=["linux/amd64", "linux/arm64"])).verdict == "damaged"
    for one in (place, f"oci:{tmp_path}@{AMD.digest}"):
        with pytest.raises(NotFound) as raised:
            await validated(client, one, platforms="linux/s390x")
        assert raised.value.code == "no-platform"


async def test_all_tags_are_validated_and_what_they_share_once(client: AsyncClient, tmp_path: Path) -> None:
    place = f"oci:{tmp_path / 'new'}"
    source = write_all(tmp_path / "layout", AMD)
    for tag in ("1", "2", "other"):
        await client.copy(source, f"{place}:{tag}")
    found = await client.validate(place, all_tags=True)
    assert [report.reference for report in found.reports] == [f"{place}:{tag}" for tag in ("1", "2", "other")]
    assert (found.manifests, found.blobs) == (1, 3)
    found = await client.validate(place, all_tags=True, exclude="o*")
    assert len(found.reports) == 2
    with pytest.raises(UsageError):
        await client.validate(f"{place}:1", all_tags=True)
    with pytest.raises(NotFound):
        await client.validate(place, all_tags=True, include="none")


async def test_what_is_not_there_at_all_is_not_found(client: AsyncClient, tmp_path: Path) -> None:
    place = write_all(tmp_path, AMD)
    for one in (f"oci:{tmp_path}:other", f"oci:{tmp_path / 'none'}:t", f"oci:{tmp_path}@{OTHER}"):
        with pytest.raises(NotFound):
            await client.validate([place, one])


async def test_a_code_that_is_none_is_refused_before_anything_is_read(client: AsyncClient) -> None:
    with pytest.raises(UsageError):
        await client.validate("oci:/nowhere:t", ignore="LAD2")


def test_every_code_says_what_it_is() -> None:
    assert sorted(ALL) == list(ALL)
    for code in ALL.values():
        assert code.title
        assert code.why.endswith(".")
        assert code.remedy.endswith(".")


async def test_nothing_is_believed_that_was_remembered(client: AsyncClient, tmp_path: Path) -> None:
    whole = image("a=a", "b=b")
    place = write_layout(tmp_path, whole)
    await client.images.files(place, recursive=True)
    assert (await validated(client, place)).verdict == "whole"
    flip(blob(tmp_path, digest_of(whole.layers[1])))
    assert codes(await validated(client, place)) == ["LAD801"]
