"""Manifests and descriptors: read from their exact bytes, or refused with InvalidContent and nothing else."""

import copy
import json
import pickle
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import DigestMismatch, InvalidContent
from lading.model.descriptor import EMPTY, Descriptor, descriptors
from lading.model.digest import Digest
from lading.model.encoding import SIZE_LIMIT, encode_compact, encode_docker
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest, parse
from lading.model.media_types import (
    ACCEPT,
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    DOCKER_SCHEMA1_SIGNED,
    IMAGES,
    INDEXES,
    MANIFESTS,
    OCI_ARTIFACT_MANIFEST,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
)
from lading.model.platform import Platform

Json = dict[str, Any]
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(n: int) -> str:
    return f"sha256:{n:064x}"


def blob(n: int, media_type: str = LAYER, **more: Any) -> Json:
    return {"mediaType": media_type, "digest": digest(n), "size": n, **more}


def image(**more: Any) -> Json:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blob(1, OCI_CONFIG),
        "layers": [blob(2), blob(3)],
    }
    return {key: value for key, value in (document | more).items() if value != "absent"}


def index(**more: Any) -> Json:
    entry = blob(4, OCI_MANIFEST, platform={"architecture": "amd64", "os": "linux"})
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    return {key: value for key, value in (document | more).items() if value != "absent"}


def read(document: Json, media_type: str | None = None) -> Manifest | Index:
    return parse(json.dumps(document).encode(), media_type)


def read_image(document: Json, media_type: str | None = None) -> Manifest:
    manifest = read(document, media_type)
    assert isinstance(manifest, Manifest)
    return manifest


def read_index(document: Json, media_type: str | None = None) -> Index:
    manifest = read(document, media_type)
    assert isinstance(manifest, Index)
    return manifest


# --- descriptors


def test_a_descriptor_and_back() -> None:
    document = {
        "mediaType": LAYER,
        "digest": digest(7),
        "size": 7,
        "urls": ["https://example.com/7"],
        "annotations": {"a": "b"},
        "data": "AAAA",
        "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
        "artifactType": "application/x",
        "new": [1, {"in": "2031"}],
        "extra": "also unknown",
    }
    descriptor = Descriptor.from_document(document)

    assert descriptor.digest == digest(7)
    assert descriptor.platform == Platform("arm", "linux", variant="v7")
    assert descriptor.extra == {"new": [1, {"in": "2031"}], "extra": "also unknown"}
    assert descriptor.to_document() == document
    assert list(descriptor.to_document()) == list(document)
    assert list(descriptor.to_document(size_first=True))[:3] == ["mediaType", "size", "digest"]
    assert descriptor.content == Descriptor(media_type=LAYER, digest=Digest(digest(7)), size=7)


def test_a_platform_keeps_the_fields_that_nobody_knows() -> None:
    document = blob(1, OCI_MANIFEST, platform={"architecture": "amd64", "os": "linux", "abi": {"libc": "musl"}})
    descriptor = Descriptor.from_document(document)

    assert descriptor.platform == Platform("amd64", "linux")
    assert descriptor.to_document() == document
    assert descriptor != Descriptor.from_document(
        blob(1, OCI_MANIFEST, platform={"architecture": "amd64", "os": "linux"})
    )


def test_descriptors_are_values() -> None:
    one = Descriptor.from_document(blob(1, annotations={"a": "b", "c": "d"}))
    same = Descriptor.from_document(blob(1, annotations={"c": "d", "a": "b"}))
    other = Descriptor.from_document(blob(1))

    assert one == same
    assert hash(one) == hash(same) == hash(other)
    assert one != other
    assert one != "descriptor"
    assert len({one, same, other}) == 2
    assert other.content == other
    with pytest.raises(AttributeError):
        one.size = 2  # type: ignore[misc]


def test_a_descriptor_of_bytes() -> None:
    assert EMPTY.to_document() == {
        "mediaType": OCI_EMPTY,
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
        "data": "e30=",
    }
    assert Descriptor.of(b"", LAYER, "sha512").digest.algorithm == "sha512"


def test_null_is_nothing() -> None:
    document = blob(1, urls=None, annotations=None, platform=None, data=None, artifactType=None)

    assert Descriptor.from_document(document) == Descriptor.from_document(blob(1))
    assert Descriptor.from_document({"digest": digest(1), "size": 0}).media_type == ""


@pytest.mark.parametrize(
    "document, said",
    [
        ([], "it is not an object"),
        (None, "it is not an object"),
        ("sha256:", "it is not an object"),
        ({}, "missing required field `digest`"),
        ({"digest": digest(1)}, "missing required field `size`"),
        ({"digest": digest(1), "size": None}, "missing required field `size`"),
        (blob(1, size=-1), "its size is -1"),
        (blob(1, size=2**63), "its size is 9223372036854775808"),
        (blob(1, size=10**4000), "its size is"),
        (blob(1, size=1.0), "size"),
        (blob(1, size="1"), "size"),
        (blob(1, size=True), "size"),
        (blob(1, digest=1), "expected Digest, got int"),
        (blob(1, digest="sha256:1"), "is not a digest"),
        (blob(1, digest="md5:" + "0" * 32), "'md5' is not supported"),
        (blob(1, digest="x" * 100_000), "'xxx"),
        (blob(1, mediaType=1), "mediaType"),
        (blob(1, urls="https://x"), "urls"),
        (blob(1, urls=[None]), "urls"),
        (blob(1, annotations=[]), "annotations"),
        (blob(1, annotations={"a": 1}), "annotations"),
        (blob(1, platform="linux/amd64"), "platform"),
        (blob(1, platform={"os": 1}), "os"),
        (blob(1, platform={"os.features": "a"}), "os.features"),
        (blob(1, data=1), "data"),
    ],
)
def test_what_is_no_descriptor(document: Any, said: str) -> None:
    with pytest.raises(InvalidContent, match=r"^the layer is malformed") as caught:
        Descriptor.from_document(document, "the layer")

    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_largest_size() -> None:
    assert Descriptor.from_document(blob(1, size=2**63 - 1)).size == 2**63 - 1


def test_lists_of_descriptors() -> None:
    assert descriptors(None, "the list") == ()
    assert descriptors([], "the list") == ()
    assert [d.size for d in descriptors([blob(1), blob(2)], "the list")] == [1, 2]
    with pytest.raises(InvalidContent, match="the list is malformed"):
        descriptors({}, "the list")
    with pytest.raises(InvalidContent, match=r"^the list\[1\] is malformed"):
        descriptors([blob(1), None], "the list")


# --- images


@pytest.mark.parametrize("media_type, config", [(OCI_MANIFEST, OCI_CONFIG), (DOCKER_MANIFEST, DOCKER_CONFIG)])
def test_an_image(media_type: str, config: str) -> None:
    raw = json.dumps(image(mediaType=media_type, config=blob(1, config), annotations={"a": "b"})).encode() + b"\n"
    manifest = parse(raw, media_type)

    assert isinstance(manifest, Manifest)
    assert manifest.raw is raw
    assert manifest.digest == Digest.of(raw)
    assert manifest.descriptor == Descriptor.of(raw, media_type)
    assert manifest.size == len(raw)
    assert manifest.media_type == media_type
    assert [child.size for child in manifest.children] == [1, 2, 3]
    assert manifest.total_size == 6
    assert manifest.annotations == {"a": "b"}
    assert manifest.is_image
    assert manifest.document == json.loads(raw)
    manifest.document["layers"].clear()
    assert manifest.document == json.loads(raw)


def test_a_layer_that_comes_twice_is_pulled_once() -> None:
    assert read_image(image(layers=[blob(2), blob(2), blob(3)])).total_size == 6


def test_an_artifact() -> None:
    subject = blob(9, OCI_MANIFEST)
    manifest = read_image(image(config=blob(1, OCI_EMPTY), artifactType="application/sbom", subject=subject))

    assert not manifest.is_image
    assert manifest.artifact_type == "application/sbom"
    assert manifest.subject == Descriptor.from_document(subject)


def test_the_former_artifact_manifest() -> None:
    document = {"mediaType": OCI_ARTIFACT_MANIFEST, "artifactType": "application/x", "blobs": [blob(2)]}
    manifest = read_image(document)

    assert (manifest.config, len(manifest.layers)) == (None, 1)
    assert manifest.media_type == OCI_ARTIFACT_MANIFEST
    assert not manifest.is_image


def test_a_manifest_is_a_value() -> None:
    raw = json.dumps(image(annotations={"a": "b"})).encode()
    one, same, other = parse(raw), parse(raw), read(image())
    assert one.document["schemaVersion"] == 2

    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert len({one, same, other, read(index()), read(index())}) == 3
    with pytest.raises(AttributeError):
        one.raw = b""  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.annotations["c"] = "d"  # type: ignore[index]
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_what_it_is_called_in_a_debugger() -> None:
    manifest = read_image(image())
    assert repr(manifest) == f"<Manifest {manifest.digest.short} oci 2 layers 6 B>"
    assert repr(manifest.layers[0]) == f"<Descriptor {manifest.layers[0].digest.short} {LAYER} 2 B>"
    odd = msgspec.structs.replace(
        manifest.layers[0], media_type="a\x1b[31m" + "b" * 100, platform=Platform("arm64", "linux"), size=70_450_000
    )
    assert repr(odd) == f"<Descriptor {odd.digest.short} a\\x1b[31m{'b' * 50}… 70.5 MB linux/arm64>"


def test_as_json() -> None:
    raw = b'{"schemaVersion":2, "config":%s,"layers":[],"x":1.50}' % json.dumps(blob(1, OCI_CONFIG)).encode()
    manifest = parse(raw, OCI_MANIFEST)
    assert manifest.to_json() == raw
    assert manifest.to_document() == json.loads(raw)
    assert type(manifest.to_document()["x"]) is float


LAYERS = [Descriptor.of(b"one", LAYER), Descriptor.of(b"two", LAYER)]


def test_an_image_of_blobs() -> None:
    config = Descriptor.of(b"{}", OCI_CONFIG)
    made = Manifest.of(LAYERS, config, annotations={"b": "2", "a": "1"})
    assert made.is_image
    assert (made.config, made.layers, made.annotations) == (config, tuple(LAYERS), {"a": "1", "b": "2"})
    assert list(made.document) == ["schemaVersion", "mediaType", "config", "layers", "annotations"]
    assert parse(made.raw) == made
    assert Manifest.of([], config).layers == ()


def test_an_image_in_dockers_format() -> None:
    config = Descriptor.of(b"{}", DOCKER_CONFIG)
    made = Manifest.of(LAYERS, config, DOCKER_MANIFEST)
    assert made.raw.startswith(b'{\n   "schemaVersion": 2,')
    assert list(made.document["layers"][0]) == ["mediaType", "size", "digest"]
    options: list[dict[str, Any]] = [
        {"annotations": {"a": "b"}},
        {"artifact_type": "a/b"},
        {"subject": made.descriptor},
    ]
    for option in options:
        with pytest.raises(InvalidContent, match="no place"):
            Manifest.of(LAYERS, config, DOCKER_MANIFEST, **option)


def test_an_artifact_of_blobs() -> None:
    subject = Descriptor.of(b"subject", OCI_MANIFEST)
    made = Manifest.of(LAYERS, artifact_type="application/x", subject=subject)
    assert (made.config, made.artifact_type, made.subject) == (EMPTY, "application/x", subject)
    assert list(made.document) == ["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject"]
    # image-spec manifest: an artifact without content has the empty descriptor for its layer, and needs a type.
    assert Manifest.of([], artifact_type="application/x").layers == (EMPTY,)
    with pytest.raises(InvalidContent, match="without a type"):
        Manifest.of(LAYERS)


def test_layers_may_be_absent() -> None:
    for layers in ("absent", None, list[Json]()):
        assert read_image(image(layers=layers)).layers == ()


@pytest.mark.parametrize("config", ["absent", None])
def test_a_config_may_not(config: Any) -> None:
    with pytest.raises(InvalidContent, match="it has no config"):
        read(image(config=config))


def test_building_an_image() -> None:
    docker = image(mediaType=DOCKER_MANIFEST, unknown={"a": 1})

    assert Manifest.build(docker, DOCKER_MANIFEST).raw == encode_docker(docker)
    assert Manifest.build(image(), OCI_MANIFEST).raw == encode_compact(image())
    with pytest.raises(InvalidContent, match="is an index"):
        Manifest.build(index(), OCI_INDEX)
    with pytest.raises(InvalidContent):
        Manifest.build({}, OCI_MANIFEST)


# --- what kind it is


@pytest.mark.parametrize(
    "document, said, kind",
    [
        (image(), None, OCI_MANIFEST),
        (image(), OCI_MANIFEST, OCI_MANIFEST),
        (image(), "application/vnd.oci.image.manifest.v1+json; charset=utf-8", OCI_MANIFEST),
        (image(), " Application/vnd.OCI.image.manifest.v1+JSON ", OCI_MANIFEST),
        (image(), "application/json", OCI_MANIFEST),
        (image(), "text/plain; charset=utf-8", OCI_MANIFEST),
        (image(mediaType="absent"), None, OCI_MANIFEST),
        (image(mediaType=""), None, OCI_MANIFEST),
        (image(mediaType=None), "application/octet-stream", OCI_MANIFEST),
        (image(mediaType="absent"), DOCKER_MANIFEST, DOCKER_MANIFEST),
        (index(), None, OCI_INDEX),
        (index(mediaType="absent"), None, OCI_INDEX),
        (index(mediaType="absent"), DOCKER_LIST, DOCKER_LIST),
        (index(mediaType=DOCKER_LIST), "", DOCKER_LIST),
        (index(manifests="absent"), None, OCI_INDEX),
        ({"schemaVersion": 2}, OCI_INDEX, OCI_INDEX),
    ],
)
def test_the_kind(document: Json, said: str | None, kind: str) -> None:
    manifest = read(document, said)

    assert manifest.media_type == kind
    assert isinstance(manifest, Index) == (kind in INDEXES)


@pytest.mark.parametrize(
    "document, sent, said",
    [
        (image(), OCI_INDEX, "ambiguous"),
        (image(), DOCKER_MANIFEST, "ambiguous"),
        (index(), OCI_MANIFEST, "ambiguous"),
        (index(), DOCKER_LIST, "ambiguous"),
        (image() | index(), None, "both manifests and config or layers"),
        (index() | image(), OCI_INDEX, "both manifests and config or layers"),
        (image(mediaType="absent", manifests=[]), OCI_MANIFEST, "ambiguous"),
        (image(mediaType="absent"), OCI_INDEX, "has config or layers"),
        (index(mediaType="absent"), OCI_MANIFEST, "has manifests"),
        (index(mediaType="absent", layers=[]), None, "ambiguous"),
        (index(mediaType=OCI_MANIFEST), None, "has manifests"),
        (image(mediaType=OCI_INDEX), None, "has config or layers"),
        (index(mediaType=OCI_ARTIFACT_MANIFEST), None, "has manifests"),
        (image(mediaType=OCI_ARTIFACT_MANIFEST), None, "has config or layers"),
        (image(mediaType=OCI_ARTIFACT_MANIFEST, config="absent"), None, "has config or layers"),
        (image(mediaType="application/x"), OCI_MANIFEST, "of an unknown kind (its media type is application/x)"),
        (image(mediaType=OCI_CONFIG), None, "of an unknown kind"),
        (image(mediaType=["x"]), None, "its mediaType is not a string"),
        (image(mediaType=7), OCI_MANIFEST, "its mediaType is not a string"),
        ({"schemaVersion": 2, "layers": []}, None, "of an unknown kind (its media type is not given)"),
        ({"schemaVersion": 2}, "text/html", "of an unknown kind (its media type is text/html)"),
        ({"errors": []}, "application/json", "of an unknown kind"),
        ({"schemaVersion": 2, "mediaType": "x" * 100_000}, None, "of an unknown kind"),
        ({"schemaVersion": 2, "mediaType": "\x1b[2J\n\ud800"}, None, "of an unknown kind"),
    ],
)
def test_what_could_be_taken_for_something_else(document: Json, sent: str | None, said: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        read(document, sent)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("version", ["absent", None, 1, 3, "2", "x" * 100_000, [], 2.0, True, False])
def test_only_schema_2(version: Any) -> None:
    with pytest.raises(InvalidContent, match="schemaVersion") as caught:
        read(image(schemaVersion=version))
    assert len(str(caught.value)) < 400
    with pytest.raises(InvalidContent, match="schemaVersion"):
        read(index(schemaVersion=version))


def test_schema_1() -> None:
    unsigned = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [{"blobSum": digest(1)}], "history": []}
    signed = unsigned | {"signatures": [{}]}
    for document, media_type in (
        (unsigned, DOCKER_SCHEMA1),
        (signed, DOCKER_SCHEMA1_SIGNED),
        (unsigned, None),
        (signed, "application/json"),
        (signed, OCI_MANIFEST),
        (image(fsLayers=[]), OCI_MANIFEST),
        ({}, DOCKER_SCHEMA1_SIGNED),
    ):
        with pytest.raises(InvalidContent, match="schema 1, which lading does not read") as caught:
            read(document, media_type)
        assert caught.value.code == "docker-schema-1"


@pytest.mark.parametrize(
    "more",
    [
        {"config": []},
        {"config": "x"},
        {"config": {}},
        {"layers": {}},
        {"layers": "x"},
        {"layers": [None]},
        {"layers": [[]]},
        {"layers": [{"digest": "../../etc", "size": 1}]},
        {"annotations": []},
        {"annotations": {"a": None, "b": 1}},
        {"artifactType": 1},
        {"subject": []},
        {"subject": {}},
        {"subject": {"digest": digest(1), "size": -1}},
    ],
)
def test_wrong_types(more: Json) -> None:
    with pytest.raises(InvalidContent, match=r"^the manifest"):
        read(image(**more))


def test_an_error_says_where() -> None:
    layers = [blob(1), blob(2, digest="sha256:2")]
    with pytest.raises(InvalidContent, match=r"^reg\.io/a:1's layers\[1\] is malformed \('sha256:2' is not a digest"):
        parse(json.dumps(image(layers=layers)).encode(), what="reg.io/a:1")


# --- digests and limits


def test_the_bytes_must_have_their_digest() -> None:
    raw = json.dumps(image()).encode()

    assert parse(raw, digest=Digest.of(raw, "sha512")).digest == Digest.of(raw, "sha512")
    with pytest.raises(DigestMismatch, match=r"^reg\.io/a:1 does not match its digest"):
        parse(raw + b" ", digest=Digest.of(raw), what="reg.io/a:1")


def test_a_digest_is_checked_before_anything_is_read() -> None:
    with pytest.raises(DigestMismatch):
        parse(b"<html>", digest=Digest.of(b""))


def test_limits() -> None:
    raw = json.dumps(image()).encode()
    padded = raw + b" " * (SIZE_LIMIT - len(raw))

    assert parse(padded).size == SIZE_LIMIT
    with pytest.raises(InvalidContent, match="too large"):
        parse(padded + b" ", digest=Digest.of(padded + b" "))
    larger = parse(padded + b" ", limit=SIZE_LIMIT + 1)
    assert larger.document["schemaVersion"] == 2
    with pytest.raises(InvalidContent, match="nested too deeply"):
        parse(raw[:-1] + b',"x":' + b"[" * 100_000)


def test_a_manifest_of_the_largest_size_takes_a_moment() -> None:
    layers = ",".join([json.dumps(blob(2))] * 24_000)
    raw = json.dumps(image(layers=[])).replace("[]", f"[{layers}]").encode()
    started = time.process_time()

    manifest = parse(raw)

    assert len(raw) > 3_700_000
    assert len(manifest.children) == 24_001
    assert time.process_time() - started < 10


# --- anything at all

_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4) | st.just(2**70)
_json = st.recursive(
    _scalars | st.sampled_from(sorted(MANIFESTS)) | st.builds(blob, st.integers(0, 9)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "subject", "annotations", "artifactType"]
)
_media_types = st.none() | st.sampled_from([*ACCEPT, DOCKER_SCHEMA1, "application/json", ";", ""]) | st.text(max_size=5)
_valid = [
    image(annotations={"a": "b"}, subject=blob(8, OCI_MANIFEST)),
    image(mediaType=DOCKER_MANIFEST, config=blob(1, DOCKER_CONFIG), layers=[blob(2, urls=["https://x"], data="AA==")]),
    image(config=EMPTY.to_document(), artifactType="application/x", unknown=[1, {"a": None}]),
    index(annotations={"a": "b"}, subject=blob(8), artifactType="application/x", unknown=1.50),
    index(mediaType=DOCKER_LIST),
    index(
        manifests=[
            blob(5, OCI_MANIFEST, platform={"architecture": "arm", "os": "linux", "variant": "v7", "x": 1}, y=[]),
            blob(
                6,
                OCI_MANIFEST,
                platform={"architecture": "unknown", "os": "unknown"},
                annotations={
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": digest(5),
                },
            ),
            blob(7, OCI_INDEX),
        ]
    ),
    {"mediaType": OCI_ARTIFACT_MANIFEST, "blobs": [blob(2)]},
]


def _check(raw: bytes, media_type: str | None) -> None:
    """Bytes are refused with InvalidContent, or are a manifest that holds together."""
    try:
        manifest = parse(raw, media_type)
    except InvalidContent:
        return
    assert (manifest.raw, manifest.digest) == (raw, Digest.of(raw))
    assert manifest.media_type in MANIFESTS
    assert parse(raw, manifest.media_type) == manifest
    assert hash(parse(raw, manifest.media_type)) == hash(manifest)
    assert all(0 <= child.size < 2**63 and Digest(str(child.digest)) for child in manifest.children)
    assert all(Descriptor.from_document(child.to_document()) == child for child in manifest.children)
    if isinstance(manifest, Index):
        _check_index(manifest)
    else:
        assert manifest.config is not None or manifest.media_type not in IMAGES
        assert 0 <= manifest.total_size <= sum(child.size for child in manifest.children)


def _check_index(manifest: Index) -> None:
    assert len(manifest.images) + len(manifest.attestations) == len(manifest.manifests)
    for entry in manifest.manifests:
        assert is_attestation(entry) or attested(entry) is None
    wanted = [entry.platform for entry in manifest.images if entry.platform is not None]
    assert set(manifest.select(wanted)) <= set(manifest.manifests)
    for media_type in INDEXES:
        try:
            built = Index.build(manifest.manifests, media_type, manifest.annotations, base=manifest.document)
        except InvalidContent:
            assert media_type == DOCKER_LIST
            continue
        assert parse(built.raw) == built
        assert built.subject == manifest.subject
        assert set(manifest.document) - set(built.document) <= {"annotations"}
        for before, after in zip(manifest.manifests, built.manifests, strict=True):
            assert before.to_document() | {"platform": None} == after.to_document() | {"platform": None}


@given(st.binary(max_size=50), _media_types)
def test_any_bytes(raw: bytes, media_type: str | None) -> None:
    _check(raw, media_type)


@given(st.dictionaries(_fields, _json, max_size=5), st.booleans(), _media_types)
def test_any_json(document: Json, versioned: bool, media_type: str | None) -> None:
    _check(json.dumps({"schemaVersion": 2} | document if versioned else document).encode(), media_type)


@given(st.data())
def test_valid_manifests_with_changes(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(_valid)))
    for _ in range(data.draw(st.integers(0, 2))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys)) if keys else None
            inner = place[key] if key is not None else None
            if not isinstance(inner, (dict, list)) or data.draw(st.booleans()):
                break
            place = inner
        if key is None:
            continue
        if data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(_json)
    _check(json.dumps(document).encode(), data.draw(st.none() | st.sampled_from(ACCEPT)))


@given(st.sampled_from(_valid), st.data())
def test_valid_manifests_with_damaged_bytes(document: Json, data: st.DataObject) -> None:
    raw = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _check(bytes(raw), None)


def test_the_valid_ones_are_valid() -> None:
    for document in _valid:
        raw = json.dumps(document).encode()
        assert parse(raw).document == document
        _check(raw, None)


@pytest.mark.parametrize("name", ["Manifests", "LAYERS", "Config", "mediatype", "SchemaVersion", "Subject"])
def test_a_field_in_another_case_is_ambiguous(name: str) -> None:
    """Clients in Go would take it for the field."""
    raw = b'{"schemaVersion":2,"manifests":[],"%s":null}' % name.encode()
    with pytest.raises(InvalidContent, match="ambiguous"):
        parse(raw, OCI_INDEX)


def test_a_referrer_is_listed_with_its_annotations_and_its_kind() -> None:
    signature = parse(encode_compact(image(artifactType="a/signature", annotations={"by": "me"})))
    listed = signature.as_referrer
    assert (listed.digest, listed.size) == (signature.digest, signature.size)
    assert (listed.artifact_type, listed.annotations) == ("a/signature", {"by": "me"})
    # Where the manifest does not say, its config does; an index has none.
    assert parse(encode_compact(image())).as_referrer.artifact_type == OCI_CONFIG
    assert parse(encode_compact(index())).as_referrer.artifact_type == ""
