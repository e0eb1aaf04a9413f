"""`lading tree` and `client.artifacts.tree`: what a name leads to, and what refers to each of it, in any place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.failing import CONTENT, NOT_FOUND, USAGE, fails
from cli.place import short
from lading import AsyncClient, TreeNode
from lading.artifacts.purposes import purpose_of
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.http import Request
from support.images import (
    OCI_INDEX,
    OCI_MANIFEST,
    Entry,
    Manifest,
    RegistryClient,
    digest_of,
    make_artifact,
    make_attestation,
    make_descriptor,
    make_image,
    make_index,
    push,
)
from support.lading import Lading
from support.parts import need
from support.process import bare_environment, run
from support.proxy import CountingProxy
from support.registry import RealRegistry

SBOM, SIGNATURE, SARIF = (
    "application/spdx+json",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/sarif+json",
)
CREATED = {"org.opencontainers.image.created": "2024-05-29T10:00:00Z", "a": "b"}

SBOM_BYTES = b"[]\n"
IMAGES = [make_image(platform, kind="oci", seed=platform) for platform in ("linux/amd64", "linux/arm64")]
ATTESTATIONS = [make_attestation(image) for image in IMAGES]
INDEX = make_index([*IMAGES, *ATTESTATIONS], kind="oci")
BILL = make_artifact(SBOM, {"sbom.json": SBOM_BYTES}, subject=IMAGES[0], annotations=CREATED)
SIGNED_BILL = make_artifact(SIGNATURE, {"s": b"s"}, subject=BILL)
REPORT = make_artifact(SARIF, {"r": b"r"}, subject=INDEX)
COSIGN = make_artifact(SIGNATURE, {"t": b"t"})
TAG = f"sha256-{IMAGES[1].digest[7:]}.sig"


def fill(host: str, repository: str) -> str:
    """An index of two images with attestations. One has an SBOM that is signed, the other one of cosign's tags."""
    push(host, repository, "1", INDEX)
    for artifact in (BILL, SIGNED_BILL, REPORT):
        push(host, repository, None, artifact)
    push(host, repository, TAG, COSIGN)
    return f"{host}/{repository}"


@pytest.fixture
def place(elsewhere: str, repository: str) -> str:
    return fill(elsewhere, repository)


def shape(node: TreeNode) -> dict[str, Any]:
    """A node by the beginning of its digest, with what is below it."""
    below = {
        name: [shape(one) for one in found]
        for name in ("attestations", "children", "referrers")
        if (found := getattr(node, name))
    }
    return {"digest": str(node.digest), **below}


WHOLE: dict[str, Any] = {
    "digest": INDEX.digest,
    "children": [
        {
            "digest": IMAGES[0].digest,
            "attestations": [{"digest": ATTESTATIONS[0].manifest.digest}],
            "referrers": [{"digest": BILL.digest, "referrers": [{"digest": SIGNED_BILL.digest}]}],
        },
        {
            "digest": IMAGES[1].digest,
            "attestations": [{"digest": ATTESTATIONS[1].manifest.digest}],
            "referrers": [{"digest": COSIGN.digest}],
        },
    ],
    "referrers": [{"digest": REPORT.digest}],
}


@pytest.mark.parametrize("kind", ["registry", "registry without the API", "layout", "archive"])
async def test_the_whole_tree_in_any_place(
    client: AsyncClient, place: str, kind: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    places = {"layout": f"oci:{tmp_path}/a", "archive": f"oci-archive:{tmp_path}/a.tar"}
    where = {"registry": place, "registry without the API": f"{registry.host}/{repository}"}.get(kind) or places[kind]
    if where != place:
        await client.copy(f"{place}:1", f"{where}:1", referrers=True)
    tree = await client.artifacts.tree(f"{where}:1")
    assert shape(tree.root) == WHOLE
    nodes = {str(node.digest): node for node in tree.walk()}
    assert tree.notes == []
    assert [nodes[image.digest].platform for image in IMAGES] == ["linux/amd64", "linux/arm64"]
    assert nodes[IMAGES[0].digest].total_size == sum(map(len, IMAGES[0].blobs.values()))
    assert nodes[ATTESTATIONS[0].manifest.digest].predicates == ["https://slsa.dev/provenance/v1"]
    bill, signature = nodes[BILL.digest], nodes[COSIGN.digest]
    assert (bill.kind, bill.artifact_type, bill.purpose, bill.created) == (
        "artifact", SBOM, "SBOM", CREATED["org.opencontainers.image.created"],
    )  # fmt: skip
    assert (signature.tag, signature.purpose) == (TAG, "signature")
    assert {node.state for node in tree.walk()} <= {"present", "listed"}
    assert repr(tree).startswith(f"<ArtifactTree {where}:1 index 9 nodes")
    assert repr(bill) == f"<TreeNode {short(BILL.digest)} artifact SBOM 1 below>"


def test_drawn(lading: Lading, place: str) -> None:
    digest = {name: short(one.digest) for name, one in {"index": INDEX, "bill": BILL, "sig": SIGNED_BILL}.items()}
    attests = [short(one.manifest.digest) for one in ATTESTATIONS]
    size = f"{sum(map(len, IMAGES[0].blobs.values()))} B"
    assert lading.run("tree", f"{place}:1").stdout.splitlines() == [
        f"{place}:1  {digest['index']}  index of 2 platforms",
        f"├─ linux/amd64  {short(IMAGES[0].digest)}  {size}",
        f"│  ├─ provenance  {attests[0]}  392 B  https://slsa.dev/provenance/v1",
        "│  └─ referred to by",
        f"│     └─ SBOM  {digest['bill']}  {SBOM}, 2024-05-29",
        f"│        └─ signature  {digest['sig']}  {SIGNATURE}",
        f"├─ linux/arm64  {short(IMAGES[1].digest)}  {size}",
        f"│  ├─ provenance  {attests[1]}  392 B  https://slsa.dev/provenance/v1",
        "│  └─ referred to by",
        f"│     └─ signature  {short(COSIGN.digest)}  3 B  {SIGNATURE}, tag ….sig",
        "└─ referred to by",
        f"   └─ report  {short(REPORT.digest)}  {SARIF}",
    ]
    said = lading.run("tree", f"{place}:1", "--layers", "--annotations", "--no-trunc").stdout
    config = json.loads(IMAGES[0].content)["config"]["digest"]
    assert f"│  ├─ config      {config}  297 B  application/vnd.oci.image.config.v1+json" in said
    assert f"│     └─ SBOM  {BILL.digest}  5 B  {SBOM}, 2024-05-29" in said
    assert "│        ├─ a=b\n" in said
    assert (
        f"├─ file  {digest_of(SBOM_BYTES)}  3 B  sbom.json, application/octet-stream\n│        └─ referred to by"
        in said
    )
    assert f"tag {TAG}" in said
    found = json.loads(lading.run("tree", f"{place}:1", "--format", "json").stdout)
    assert found["root"]["children"][0]["referrers"][0]["artifact_type"] == SBOM
    template = "{% for node in root.referrers %}{{ node.purpose }} {{ node.layers }}{% endfor %}"
    assert lading.run("tree", f"{place}:1", "--format", template).stdout == "report []\n"


def test_an_image_and_an_artifact_alone(lading: Lading, place: str) -> None:
    image = lading.run("tree", f"{place}@{IMAGES[1].digest}").stdout.splitlines()
    assert image[0].endswith(f"  {short(IMAGES[1].digest)}  image, 530 B")
    assert len(image) == 3
    artifact = lading.run("tree", f"{place}@{BILL.digest}").stdout.splitlines()
    assert artifact[0].endswith(f"SBOM, {SBOM}, 5 B")
    assert artifact[1:] == [
        f"├─ subject    {short(IMAGES[0].digest)}",
        f"└─ signature  {short(SIGNED_BILL.digest)}  {SIGNATURE}",
    ]


async def test_what_is_wanted(client: AsyncClient, lading: Lading, place: str, elsewhere: str) -> None:
    async def digests(**wanted: Any) -> list[str]:
        return [str(node.digest) for node in (await client.artifacts.tree(f"{place}:1", **wanted)).walk()]

    images = [image.digest for image in IMAGES]
    attestations = [one.manifest.digest for one in ATTESTATIONS]
    assert await digests(depth=1) == [INDEX.digest, *images, REPORT.digest]
    second = [INDEX.digest, images[0], attestations[0], BILL.digest, images[1], attestations[1], COSIGN.digest]
    assert await digests(depth=2) == [*second, REPORT.digest]
    assert await digests(platforms="linux/arm64") == [
        INDEX.digest, images[1], attestations[1], COSIGN.digest, REPORT.digest,
    ]  # fmt: skip
    bill = [images[0], attestations[0], BILL.digest, SIGNED_BILL.digest, images[1], attestations[1]]
    assert await digests(artifact_types=SBOM) == [INDEX.digest, *bill]
    assert await digests(annotations={"a": "b"}) == [INDEX.digest, *bill]
    assert await digests(annotations={"a": None}) == [INDEX.digest, *bill]
    assert await digests(annotations={"a": "c"}) == [INDEX.digest, *(one for one in bill if one not in _BILLS)]
    assert COSIGN.digest in await digests(artifact_types=[SIGNATURE])
    said = lading.run("tree", f"{place}:1", "--artifact-type", SBOM, "--filter-annotation", "a", "--depth", "2").stdout
    assert short(BILL.digest) in said
    assert short(SIGNED_BILL.digest) not in said
    says = ["has nothing for linux/s390x", "it has linux/amd64, linux/arm64"]
    fails(lading, "tree", f"{place}:1", "--platform", "linux/s390x", code=NOT_FOUND, says=says)
    says = ["has nothing for linux/s390x", "it is an image for linux/amd64"]
    fails(lading, "tree", f"{place}@{images[0]}", "--platform", "linux/s390x", code=NOT_FOUND, says=says)
    fails(lading, "tree", f"{place}:1", "--filter-annotation", "=", code=USAGE, says=["--filter-annotation"])
    fails(lading, "tree", f"{place}:1", "--depth", "0", code=USAGE, says=["--depth"])
    with pytest.raises(Exception, match="no depth of 0"):
        await client.artifacts.tree(f"{place}:1", depth=0)


_BILLS = (BILL.digest, SIGNED_BILL.digest)


async def test_referrers_in_another_place(
    client: AsyncClient, lading: Lading, place: str, elsewhere: str, new_repository: Callable[[], str]
) -> None:
    other = f"{elsewhere}/{new_repository()}"
    await client.copy(f"{place}:1", f"{other}:1")
    async with client.open(other) as store:
        assert [one async for one in store.referrers(await store.resolve(INDEX.digest))] == []
    assert shape((await client.artifacts.tree(f"{other}:1", referrers_in=place)).root) == WHOLE
    assert lading.run("tree", f"{other}:1", "--referrers-in", place).stdout.count("\n") == 12


# What it costs


@pytest.mark.parametrize("is_old", [False, True], ids=["with the API", "without the API"])
def test_no_more_requests_than_others(
    lading: Lading, registry: RealRegistry, elsewhere: str, repository: str, tmp_path: Path, is_old: bool
) -> None:
    host = registry.host if is_old else elsewhere
    fill(host, repository)
    with CountingProxy(f"http://{host}") as proxy:
        name = f"{proxy.host}/{repository}:1"
        lading.run("tree", name)
        lines = list(proxy.lines)
        assert len(lines) == len(set(lines))
        assert len(lines) == (9 if is_old else 16)
        regctl, home = need("regctl"), bare_environment(tmp_path)
        proxy.reset()
        run([regctl, "--host", f"reg={proxy.host},tls=disabled", "artifact", "tree", "--digest-tags", name], env=home)
        assert len(lines) < len(proxy.lines)
    with CountingProxy(f"http://{host}") as proxy:
        # What oras shows, and cosign's tags, which are one question more.
        name = f"{proxy.host}/{repository}@{IMAGES[0].digest}"
        lading.run("tree", name)
        count = len(proxy.lines)
        oras = need("oras")
        proxy.reset()
        run([oras, "discover", "--plain-http", name], env=home)
        assert count == len(proxy.lines) + 1


# What is not as it should be


async def test_what_is_missing_or_damaged(client: AsyncClient, lading: Lading, place: str, tmp_path: Path) -> None:
    await client.copy(f"{place}:1", f"oci:{tmp_path}/a:1", referrers=True)
    (tmp_path / "a/blobs/sha256" / IMAGES[0].digest[7:]).unlink()
    damaged = tmp_path / "a/blobs/sha256" / IMAGES[1].digest[7:]
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes().replace(b"{", b"[", 1))
    ran = lading.run("tree", f"oci:{tmp_path}/a:1")
    lines = ran.stdout.splitlines()
    assert f"├─ linux/amd64  {short(IMAGES[0].digest)}  not there" in lines
    wrong = [line for line in lines if line.startswith(f"└─ linux/arm64  {short(IMAGES[1].digest)}  cannot be read: ")]
    assert len(wrong) == 1
    assert IMAGES[1].digest in wrong[0]
    assert ran.stderr.count("warning: not all that refers to") == ran.stderr.count("\n") == 1


def test_lists_of_referrers_that_are_old(lading: Lading, registry: RealRegistry, repository: str) -> None:
    """The list of a fallback tag has what is gone, and what leads back; the image is listed twice."""
    image = IMAGES[0]
    index = make_index([image, Entry(image, platform={"os": "linux", "architecture": "arm64"})], kind="oci")
    signature = make_artifact(SIGNATURE, {"s": b"s"}, subject=image)
    gone = make_artifact(SBOM, subject=image)
    push(registry.host, repository, "1", index)
    digest = push(registry.host, repository, None, signature)
    push(registry.host, repository, "gone", gone)
    for subject, referrers in ((image, [signature, gone]), (signature, [index])):
        listed = make_index([Entry(one, platform={}) for one in referrers], kind="oci")
        push(registry.host, repository, f"sha256-{subject.digest[7:]}", listed)
    with RegistryClient(registry.host, repository) as direct:
        direct.delete(gone.digest)
    name = f"{registry.host}/{repository}"
    assert lading.run("tree", f"{name}:1").stdout.splitlines()[1:] == [
        f"├─ linux/amd64  {short(image.digest)}  530 B",
        "│  └─ referred to by",
        f"│     ├─ signature  {short(digest)}  3 B  {SIGNATURE}",
        f"│     │  └─ index  {short(index.digest)}  a circle: it is above",
        f"│     └─ referrer   {short(gone.digest)}       not there",
        f"└─ linux/arm64  {short(image.digest)}  530 B  shown above",
    ]


async def test_a_subject_that_is_missing(lading: Lading, elsewhere: str, repository: str) -> None:
    push(elsewhere, repository, "1", BILL)
    assert lading.run("tree", f"{elsewhere}/{repository}:1").stdout.splitlines()[1:] == [
        f"└─ subject  {short(IMAGES[0].digest)}  not there"
    ]
    (node,) = (json.loads(lading.run("tree", f"{elsewhere}/{repository}:1", "--format", "json").stdout)["root"],)
    assert (node["subject"], node["subject_state"]) == (IMAGES[0].digest, "missing")


async def test_what_refers_to_what_is_gone(lading: Lading, place: str, elsewhere: str, repository: str) -> None:
    with RegistryClient(elsewhere, repository) as direct:
        direct.delete(INDEX.digest)
    assert lading.run("tree", f"{place}@{INDEX.digest}").stdout.splitlines() == [
        f"{place}@{INDEX.digest}  {short(INDEX.digest)}  not there",
        "└─ referred to by",
        f"   └─ report  {short(REPORT.digest)}  {SARIF}",
    ]
    fails(lading, "tree", f"{place}:1", code=NOT_FOUND, says=["was not found"])
    fails(lading, "tree", f"{place}@{digest_of(b'nothing')}", code=NOT_FOUND, says=["was not found"])


def test_an_attestation_of_nothing_and_a_blob(lading: Lading, elsewhere: str, repository: str) -> None:
    """BuildKit's caches are indexes that list layers."""
    with RegistryClient(elsewhere, repository) as direct:
        direct.put_blob(digest_of(b"layer"), b"layer")
    layer = make_descriptor(b"layer", "application/vnd.oci.image.layer.v1.tar", "oci")
    lost = ATTESTATIONS[0]
    push(elsewhere, repository, None, lost.manifest)
    entry = lost.manifest.descriptor() | {"annotations": lost.annotations}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [layer, entry]}).encode()
    push(elsewhere, repository, "1", Manifest(raw, OCI_INDEX, "oci"))
    said = lading.run("tree", f"{elsewhere}/{repository}:1").stdout
    assert f"├─ blob        {short(digest_of(b'layer'))}    5 B  application/vnd.oci.image.layer.v1.tar\n" in said
    assert f"it is about {IMAGES[0].digest}, which is not listed\n" in said


def test_a_docker_archive(lading: Lading, place: str, tmp_path: Path) -> None:
    lading.run("copy", f"{place}@{IMAGES[0].digest}", f"docker-archive:{tmp_path}/a.tar:app:1")
    assert lading.run("tree", f"docker-archive:{tmp_path}/a.tar").stdout.count("\n") == 1


# Registries that are hostile, or closed


def scripted(referrers: Callable[[Request], Reply], tags: Reply | None = None) -> Callable[[Request], Reply | None]:
    image = IMAGES[0]

    def answer(request: Request) -> Reply | None:
        if "/manifests/1" in request.target:
            headers = [("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", image.digest)]
            return Reply(headers=headers, body=image.content)
        if "/referrers/" in request.target:
            return referrers(request)
        if "/tags/list" in request.target:
            return tags or json_reply({"name": "app", "tags": ["1"]})
        return None

    return answer


def listing(*digests: str) -> Reply:
    entry = {"mediaType": OCI_MANIFEST, "size": 2, "artifactType": SBOM}
    manifests = [entry | {"digest": digest} for digest in digests]
    return json_reply({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def test_referrers_without_an_end(lading: Lading) -> None:
    def deeper(request: Request) -> Reply:
        return listing(digest_of(request.target.encode()))

    many = listing(*(digest_of(str(number).encode()) for number in range(10_001)))
    with ScriptedServer(scripted(deeper)) as server:
        says = [f"{server.host}/app:1 is nested too deeply", "more than 16 levels"]
        fails(lading, "tree", f"{server.host}/app:1", code=CONTENT, says=says)
        assert len(server.lines) < 25
        assert lading.run("tree", f"{server.host}/app:1", "--depth", "16").stdout.count("SBOM") == 16
    with ScriptedServer(scripted(lambda _: many)) as server:
        says = [f"{server.host}/app:1 leads to too many manifests", "10,000"]
        fails(lading, "tree", f"{server.host}/app:1", code=CONTENT, says=says)
        assert len(server.lines) < 5


def test_tags_that_are_not_listed_are_a_note(lading: Lading) -> None:
    closed = error_reply(403, "DENIED")
    with ScriptedServer(scripted(lambda _: listing(BILL.digest), closed)) as server:
        ran = lading.run("tree", f"{server.host}/app:1", "--depth", "1")
    assert "warning: cosign's tags were not looked for: " in ran.stderr
    assert short(BILL.digest) in ran.stdout
    tags = json_reply({"name": "app", "tags": [f"sha256-{IMAGES[0].digest[7:]}.att"]})
    with ScriptedServer(scripted(lambda _: listing(), tags)) as server:
        ran = lading.run("tree", f"{server.host}/app:1")
    assert ran.stderr == f"warning: the tag sha256-{IMAGES[0].digest[7:]}.att is listed, and names nothing\n"
    broken = json_reply({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": {}})
    with ScriptedServer(scripted(lambda _: broken)) as server:
        ran = lading.run("tree", f"{server.host}/app:1")
    assert f"warning: not all that refers to {server.host}/app:1 is known: " in ran.stderr


@pytest.mark.parametrize(
    "purpose, types, predicates, annotations, tag",
    [
        ("signature", [SIGNATURE], [], {}, None),
        ("signature", ["application/vnd.cncf.notary.signature"], [], {}, None),
        (
            "signature",
            ["application/vnd.dev.sigstore.bundle.v0.3+json"],
            ["https://sigstore.dev/cosign/sign/v1"],
            {},
            None,
        ),
        (
            "signature",
            ["application/vnd.dev.sigstore.bundle.v0.3+json"],
            [],
            {"dev.sigstore.bundle.content": "message-signature"},
            None,
        ),
        ("bundle", ["application/vnd.dev.sigstore.bundle.v0.3+json"], [], {}, None),
        ("SBOM", ["application/vnd.cyclonedx+json"], [], {}, None),
        ("SBOM", ["text/spdx+xml"], [], {}, None),
        ("SBOM", ["x/y"], ["https://spdx.dev/Document/v2.3"], {}, None),
        ("attestation", ["x/y"], ["https://spdx.dev/Document", "https://slsa.dev/provenance/v1"], {}, None),
        ("attestation", ["application/vnd.in-toto+json"], [], {}, None),
        ("attestation", [], ["https://example.com/own"], {}, None),
        ("VEX", ["application/vnd.openvex+json"], [], {}, None),
        ("report", [], ["https://cosign.sigstore.dev/attestation/vuln/v1"], {}, None),
        ("SBOM", ["", "text/plain"], [], {}, "sha256-00.sbom"),
        (None, ["application/vnd.cncf.helm.config.v1+json"], [], {}, None),
    ],
)
def test_what_an_artifact_is_for(
    purpose: str | None, types: list[str], predicates: list[str], annotations: dict[str, str], tag: str | None
) -> None:
    assert purpose_of(types, predicates, annotations, tag) == purpose
