"""Indexes: read sparse or full, built in both wire styles, and edited without losing what nobody knows."""

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest

from lading.errors import InvalidContent
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import decode, encode_compact
from lading.model.index import ATTESTATION_OF, ATTESTATION_TYPE, Index, attested, is_attestation
from lading.model.manifest import parse
from lading.model.media_types import DOCKER_LIST, DOCKER_MANIFEST, INDEXES, OCI_INDEX, OCI_MANIFEST
from lading.model.platform import Platform


def digest(n: int) -> Digest:
    return Digest(f"sha256:{n:064x}")


def entry(n: int, platform: str | None = None, **more: Any) -> Descriptor:
    return Descriptor(
        media_type=more.pop("media_type", OCI_MANIFEST),
        digest=digest(n),
        size=n,
        platform=Platform.parse(platform) if platform else None,
        **more,
    )


def attestation(n: int, of: int) -> Descriptor:
    annotations = {ATTESTATION_OF: digest(of), ATTESTATION_TYPE: "attestation-manifest"}
    return entry(n, "unknown/unknown", annotations=annotations)


def read(raw: bytes, media_type: str | None = None) -> Index:
    index = parse(raw, media_type)
    assert isinstance(index, Index)
    return index


DOCKER_VECTOR = Descriptor(
    media_type=DOCKER_MANIFEST,
    digest=Digest("sha256:62e6df75043c166e992c6d16dbcb19d3fd3aa5bfc915a4085015257de7ae4992"),
    size=523,
    platform=Platform("amd64", "linux"),
)


# --- reading


def test_a_full_one() -> None:
    raw = b"""{
   "schemaVersion": 2,
   "mediaType": "%s",
   "manifests": [
      {"mediaType": "%s", "digest": "%s", "size": 1, "platform": {"architecture": "arm64", "os": "linux"}},
      {"mediaType": "%s", "digest": "%s", "size": 2}
   ],
   "annotations": {"a": "b"},
   "artifactType": "application/x",
   "subject": {"mediaType": "%s", "digest": "%s", "size": 3}
}
""" % tuple(
        text.encode() for text in (OCI_INDEX, OCI_MANIFEST, digest(1), OCI_INDEX, digest(2), OCI_MANIFEST, digest(3))
    )
    index = read(raw)

    assert (index.raw, index.digest, index.size) == (raw, Digest.of(raw), len(raw))
    assert index.manifests == (entry(1, "linux/arm64"), entry(2, media_type=OCI_INDEX))
    assert index.children == index.manifests == index.images
    assert index.subject == entry(3)
    assert (index.annotations, index.artifact_type) == ({"a": "b"}, "application/x")
    assert index.descriptor == Descriptor.of(raw, OCI_INDEX)
    assert index.document["manifests"][1]["size"] == 2
    index.document["manifests"].clear()
    assert len(index.document["manifests"]) == 2


@pytest.mark.parametrize("manifests", ['"manifests":[],', '"manifests":null,', ""])
@pytest.mark.parametrize("media_type", sorted(INDEXES))
def test_an_empty_one(manifests: str, media_type: str) -> None:
    index = read(f'{{{manifests}"mediaType":"{media_type}","schemaVersion":2}}'.encode())

    assert (index.manifests, index.images, index.select([Platform.parse("linux/amd64")])) == ((), (), ())


def test_an_index_is_a_value() -> None:
    one = Index.build([entry(1)], annotations={"a": "b"})
    assert one.document["schemaVersion"] == 2

    assert one == Index.build([entry(1)], annotations={"a": "b"}) == read(one.raw)
    assert hash(one) == hash(read(one.raw))
    assert one != Index.build([entry(1)])
    assert len({one, read(one.raw), Index.build([])}) == 2
    with pytest.raises(AttributeError):
        one.manifests = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.annotations["c"] = "d"  # type: ignore[index]
    assert read(one.raw) == one
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_what_it_is_called_in_a_debugger() -> None:
    entries = [entry(1, "linux/amd64"), entry(2, "linux/arm64")]
    about = msgspec.structs.replace(
        entry(3), annotations={ATTESTATION_TYPE: "attestation-manifest", ATTESTATION_OF: digest(1)}
    )
    index = Index.build([*entries, about])
    assert repr(index) == f"<Index {index.digest.short} oci 2 platforms {index.size} B>"
    docker = Index.build([entry(1)], DOCKER_LIST)
    assert repr(docker) == f"<Index {docker.digest.short} docker 1 entry {docker.size} B>"


def test_as_json() -> None:
    index = Index.build([entry(1)], annotations={"a": "b"})
    assert index.to_json() == index.raw
    assert index.to_document() == json.loads(index.raw) == index.document


# --- building


def test_the_bytes_of_docker() -> None:
    index = Index.build([DOCKER_VECTOR], DOCKER_LIST)

    assert len(index.raw) == 433
    assert index.digest == "sha256:b63e73a11d6d2960d7be1ed939e2289e37fe056e1c89d4b29bd003fb33d37979"
    assert index == Index.build([DOCKER_VECTOR], DOCKER_LIST, style="docker") == read(index.raw)


def test_the_bytes_of_go() -> None:
    index = Index.build([entry(2, "linux/amd64"), entry(1)], annotations={"b": "<", "a": ""})

    assert (
        index.raw
        == (
            f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":['
            f'{{"mediaType":"{OCI_MANIFEST}","digest":"{digest(2)}","size":2,'
            f'"platform":{{"architecture":"amd64","os":"linux"}}}},'
            f'{{"mediaType":"{OCI_MANIFEST}","digest":"{digest(1)}","size":1}}],'
            '"annotations":{"a":"","b":"\\u003c"}}'
        ).encode()
    )
    assert index == read(index.raw)


@pytest.mark.parametrize("media_type", sorted(INDEXES))
@pytest.mark.parametrize("style", ["docker", "compact", None])
def test_what_is_built_is_what_its_bytes_say(media_type: str, style: Any) -> None:
    entries = [
        entry(1, "linux/amd64"),
        entry(2),
        entry(3, urls=("https://x",), data="AA==", artifact_type="application/x", extra={"new": 1}),
        Descriptor.from_document(entry(4).to_document() | {"platform": {"os": "linux", "new": {}, "features": ["a"]}}),
    ]
    for base in (None, {"subject": entry(9).to_document(), "artifactType": "application/x", "new": [1]}):
        index = Index.build(iter(entries), media_type, style=style, base=base)

        assert index == read(index.raw)
        assert index.document == json.loads(index.raw)
        assert (index.subject is not None) == (base is not None)
        assert index.document.get("new") == (base or {}).get("new")


@pytest.mark.parametrize("media_type", sorted(INDEXES))
def test_an_edit_keeps_what_nobody_knows(media_type: str) -> None:
    raw = (
        f'{{"schemaVersion":2,"first":1.50,"mediaType":"{media_type}","manifests":['
        f'{{"mediaType":"{DOCKER_MANIFEST}","size":1,"digest":"{digest(1)}",'
        '"platform":{"architecture":"amd64","os":"windows","os.version":"10","features":["sse4"],"abi":-0},'
        '"urls":["https://x"],"artifactType":"application/x","data":"AA==","one":{"b":1,"a":1e400}}'
        f'],"artifactType":"application/y","last":[null]}}'
    ).encode()
    before = read(raw)
    after = Index.build((*before.manifests, entry(2, "linux/amd64")), media_type, base=before.document)

    assert after.manifests[0] == before.manifests[0]
    assert after.manifests[0].to_document() == decode(raw)["manifests"][0]
    assert after.document | {"manifests": None} == before.document | {"manifests": None}
    assert list(after.document) == ["schemaVersion", "mediaType", "first", "manifests", "artifactType", "last"]
    assert b"1.50" in after.raw
    assert b"1e400" in after.raw
    assert b'"abi": -0' in after.raw or b'"abi":-0' in after.raw
    assert after.artifact_type == "application/y"
    assert read(raw).document == before.document, "the document was changed under the index"
    assert Index.build(after.manifests, media_type, base=after.document) == after


def test_only_the_annotations_that_were_given() -> None:
    before = Index.build([entry(1)], annotations={"a": "b"})

    assert Index.build([], annotations={"c": "d"}, base=before.document).annotations == {"c": "d"}
    assert "annotations" not in Index.build([], base=before.document).document


def test_docker_writes_four_fields() -> None:
    more = Descriptor.from_document(
        DOCKER_VECTOR.to_document()
        | {"urls": ["https://x"], "artifactType": "x", "data": "AA==", "new": 1}
        | {"platform": {"architecture": "amd64", "os": "linux", "features": ["sse4"]}}
    )

    assert Index.build([more], DOCKER_LIST, style="docker").raw == Index.build([DOCKER_VECTOR], DOCKER_LIST).raw
    kept = Index.build([more], DOCKER_LIST).document["manifests"][0]
    assert list(kept) == ["mediaType", "size", "digest", "platform", "urls", "data", "artifactType", "new"]
    assert kept["platform"]["features"] == ["sse4"]


def test_docker_always_writes_a_platform() -> None:
    document = Index.build([entry(1)], DOCKER_LIST).document

    assert document["manifests"][0]["platform"] == {"architecture": "", "os": ""}
    assert "platform" not in Index.build([entry(1)], OCI_INDEX, style="docker").document["manifests"][0]


def test_a_docker_list_refuses_annotations() -> None:
    for entries, annotations in (([entry(1)], {"a": "b"}), ([attestation(2, 1)], None)):
        with pytest.raises(InvalidContent, match="cannot hold annotations") as caught:
            Index.build(entries, DOCKER_LIST, annotations)
        assert (caught.value.remedy, caught.value.code) == ("make it an OCI index", "docker-list-annotations")
    assert Index.build([entry(1)], DOCKER_LIST, {}).annotations == {}


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, "", "application/json"])
def test_only_an_index_is_built(media_type: str) -> None:
    with pytest.raises(InvalidContent, match="is not the media type of an index"):
        Index.build([], media_type)


@pytest.mark.parametrize("base", [{"subject": []}, {"artifactType": 1}])
def test_a_base_that_is_malformed(base: dict[str, Any]) -> None:
    with pytest.raises(InvalidContent, match=r"^the index"):
        Index.build([], base=base)


def test_rare_characters_in_annotations() -> None:
    index = Index.build([entry(1, annotations={"\ud800": "é\u2028<"})], annotations={"\x00": "😀"})

    assert read(index.raw) == index
    assert encode_compact(index.document) == index.raw


# --- choosing


AMD64, ARM64, ARM_V6, ARM_V7 = "linux/amd64", "linux/arm64/v8", "linux/arm/v6", "linux/arm/v7"


def _select(index: Index, *platforms: str, **options: Any) -> list[int]:
    return [found.size for found in index.select([Platform.parse(text) for text in platforms], **options)]


def test_select() -> None:
    index = Index.build(
        [
            entry(1, AMD64),
            attestation(2, of=1),
            entry(3, ARM64),
            attestation(4, of=3),
            entry(5, ARM_V6),
            entry(6, ARM_V7),
            entry(7),
            attestation(8, of=99),
        ]
    )

    assert _select(index, AMD64) == [1, 2]
    assert _select(index, AMD64, attestations=False) == [1]
    assert _select(index, "linux/arm64", AMD64) == [1, 2, 3, 4]
    assert _select(index, "linux/arm") == [5, 6]
    assert _select(index, "linux/arm/v7") == [6]
    assert _select(index, "linux/s390x") == []
    assert _select(index, "unknown/unknown") == []
    assert _select(index) == []
    assert [found.size for found in index.images] == [1, 3, 5, 6, 7]
    assert [found.size for found in index.attestations] == [2, 4, 8]


def test_select_where_two_platforms_share_a_manifest() -> None:
    index = Index.build([entry(1, ARM_V6), entry(1, ARM_V7), attestation(2, of=1)])

    chosen = index.select([Platform.parse(ARM_V7)])

    assert [str(found.platform) for found in chosen] == [ARM_V7, "unknown/unknown"]


def test_attestations() -> None:
    assert is_attestation(attestation(2, of=1))
    assert attested(attestation(2, of=1)) == digest(1)
    assert attested(entry(1, annotations={ATTESTATION_OF: digest(1)})) is None
    assert attested(entry(1, annotations={ATTESTATION_TYPE: "attestation-manifest"})) is None
    assert not is_attestation(entry(1, "unknown/unknown"))
