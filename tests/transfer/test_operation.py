"""What goes along with a copy, what is chosen, and what is refused."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict, DigestMismatch, LadingError, NotFound, Unsupported, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.serve import Settings, background
from lading.store import from_bytes, put_manifest
from lading.transfer.events import Event, Finished, Progressed, Started, Totals
from lading.transfer.graph import Copier
from stores.test_docker_archive import modern, tar
from support import images
from support.http import Reply, Request
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64/v8", "s390x")
IMAGES = [images.make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ARCHITECTURES]
ATTESTED = images.make_index(
    [IMAGES[0], IMAGES[1], IMAGES[2], images.make_attestation(IMAGES[0]), images.make_attestation(IMAGES[1])],
    kind="oci",
    annotations={"org.example.note": "kept"},
)


def document(host: str, repository: str, name: str) -> images.Document:
    found: images.Document = json.loads(images.get_manifest(host, repository, name)[0])
    return found


async def test_chosen_platforms_come_with_their_attestations_and_all_else_the_index_says(
    client: AsyncClient, elsewhere: str, registry: RealRegistry, repository: str
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    report = await client.copy(
        f"{elsewhere}/{repository}:1", f"{registry.host}/{repository}:1", platforms=["linux/amd64", "linux/s390x"]
    )
    found = document(registry.host, repository, "1")
    kept = [entry["digest"] for entry in found["manifests"]]
    entries = ATTESTED.document["manifests"]
    assert found == ATTESTED.document | {"manifests": [entries[0], entries[2], entries[3]]}
    assert kept[0] == IMAGES[0].digest
    assert report.images[0].original == ATTESTED.digest
    with pytest.raises(LookupError):
        images.get_manifest(registry.host, repository, IMAGES[1].digest)


async def test_all_platforms_leave_the_index_as_it_is(
    client: AsyncClient, elsewhere: str, registry: RealRegistry, repository: str
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    wanted = [f"linux/{arch}" for arch in ARCHITECTURES]
    await client.copy(f"{elsewhere}/{repository}:1", f"{registry.host}/{repository}:1", platforms=wanted)
    assert images.get_manifest(registry.host, repository, "1")[2] == ATTESTED.digest


async def test_a_sparse_copy_keeps_the_index(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    target = f"oci:{tmp_path}/layout:1"
    for platform in ("linux/amd64", "linux/arm64"):
        await client.copy(f"{elsewhere}/{repository}:1", target, platforms=[platform], sparse=True)
        assert ATTESTED.digest.partition(":")[2] in {path.name for path in tmp_path.glob("layout/blobs/sha256/*")}
    there = {path.name for path in tmp_path.glob("layout/blobs/sha256/*")}
    assert [image.digest.partition(":")[2] in there for image in IMAGES] == [True, True, False]


async def test_a_whole_copy_after_a_sparse_one_brings_the_rest(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    source, target = f"{elsewhere}/{repository}:1", f"oci:{tmp_path}/layout:1"
    await client.copy(source, target, platforms=["linux/amd64"], sparse=True)
    reports = [await client.copy(source, target) for _ in range(2)]
    assert [report.copied.manifests > 0 for report in reports] == [True, False]
    await client.copy(target, f"{elsewhere}/{repository}-back:1")
    assert images.get_manifest(elsewhere, f"{repository}-back", IMAGES[2].digest)[0] == IMAGES[2].content
    # So does one that is sparse by name only.
    wanted = [f"linux/{arch}" for arch in ARCHITECTURES]
    await client.copy(source, f"{elsewhere}/{repository}-all:1", platforms=wanted, sparse=True)
    assert images.get_manifest(elsewhere, f"{repository}-all", "1")[2] == ATTESTED.digest


async def test_what_is_missing_below_an_index_in_a_layout_is_brought_again(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    source, target = f"{elsewhere}/{repository}:1", f"oci:{tmp_path}/layout:1"
    await client.copy(source, target)
    blob = tmp_path / "layout/blobs/sha256" / images.digest_of(IMAGES[1].layers[0]).partition(":")[2]
    blob.unlink()
    report = await client.copy(source, target)
    assert blob.exists()
    assert (report.copied.uploaded, [change.state for change in report.images[0].targets]) == (1, ["unchanged"])


async def test_after_a_sparse_copy_to_a_registry_one_that_verifies_brings_the_rest(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    """A registry says only that it has an index, and to ask for each entry would cost as many requests."""
    images.push(elsewhere, repository, "1", ATTESTED)
    with background(settings=Settings(allow_missing=True)) as url:
        host = url.removeprefix("http://")
        source, target = f"{elsewhere}/{repository}:1", f"{host}/{repository}:1"
        report = await client.copy(source, target, platforms=["linux/amd64"], sparse=True)
        assert report.notes == [
            f"3 of the 5 entries of {source} stayed behind: of what is in a registry, only a copy that verifies "
            "brings them later"
        ]
        with pytest.raises(LookupError):
            images.get_manifest(host, repository, IMAGES[2].digest)
        assert (await client.copy(source, target)).copied.manifests == 0
        await client.copy(source, target, verify=True)
        assert images.get_manifest(host, repository, IMAGES[2].digest)[0] == IMAGES[2].content


async def test_a_platform_that_is_not_there_is_said_and_nothing_is_written(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    images.push(elsewhere, repository, "image", IMAGES[0])
    for name in ("1", "image"):
        with pytest.raises(NotFound, match="linux/riscv64"):
            await client.copy(
                f"{elsewhere}/{repository}:{name}", f"{elsewhere}/{repository}-copy:1", platforms=["linux/riscv64"]
            )
    await client.copy(f"{elsewhere}/{repository}:image", f"{elsewhere}/{repository}-copy:2", platforms=["linux/amd64"])
    assert images.list_tags(elsewhere, f"{repository}-copy") == ["2"]


async def test_several_targets_and_tags_in_one_registry_send_each_blob_once(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str
) -> None:
    images.push(registry.host, repository, "1", ATTESTED)
    with CountingProxy(registry.url) as source, CountingProxy(f"http://{elsewhere}") as target:
        report = await client.copy(
            f"{source.host}/{repository}:1",
            f"{target.host}/{repository}/a:1",
            f"{target.host}/{repository}/b:1",
            tags=["latest"],
        )
        blobs = [
            exchange.path for exchange in source.exchanges if exchange.method == "GET" and "/blobs/" in exchange.path
        ]
    assert len(blobs) == len(set(blobs))
    assert report.copied.mounted == report.copied.uploaded
    for name in ("a", "b"):
        for tag in ("1", "latest"):
            assert images.get_manifest(elsewhere, f"{repository}/{name}", tag)[2] == ATTESTED.digest


async def test_referrers_come_along_from_wherever_they_are_kept(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str
) -> None:
    """From the API of one registry to the fallback tags of the other, and back; cosign's tags, too."""
    index = images.make_index(IMAGES, kind="oci")
    signature = images.make_artifact("application/vnd.example.signature", subject=index)
    sbom = images.make_artifact("application/vnd.example.sbom", {"sbom": b"{}"}, subject=IMAGES[1])
    signed_sbom = images.make_artifact("application/vnd.example.signature", {"s": b"s"}, subject=sbom)
    cosign = images.make_image(kind="oci", seed="cosign")
    images.push(elsewhere, repository, "1", index)
    for referrer in (signature, sbom, signed_sbom):
        images.push(elsewhere, repository, None, referrer)
    cosign_tag = f"{index.digest.replace(':', '-')}.sig"
    images.push(elsewhere, repository, cosign_tag, cosign)

    report = await client.copy(f"{elsewhere}/{repository}:1", f"{registry.host}/{repository}:1", referrers=True)
    assert report.images[0].referrers == 4
    assert images.get_manifest(registry.host, repository, cosign_tag)[2] == cosign.digest
    await client.copy(f"{registry.host}/{repository}:1", f"{elsewhere}/{repository}-back:1", referrers=True)
    for host, name in ((registry.host, repository), (elsewhere, f"{repository}-back")):
        store = client.connect(f"{host}/{name}")
        for subject, expected in ((index, signature), (IMAGES[1], sbom), (sbom, signed_sbom)):
            found = [r.digest async for r in store.referrers(await store.resolve(subject.digest))]
            assert found == [expected.digest]

    only = await client.copy(
        f"{elsewhere}/{repository}:1",
        f"{elsewhere}/{repository}-only:1",
        referrers=True,
        artifact_types=["application/vnd.example.sbom"],
    )
    assert only.images[0].referrers == 2


@pytest.mark.parametrize(
    "wanted, suffixes",
    [
        (["application/vnd.dev.cosign.simplesigning.v1+json"], ["sig"]),
        (["application/vnd.dev.cosign.artifact.att.v1+json"], ["att"]),
        (["application/spdx+json", "application/vnd.dev.cosign.artifact.sig.v1+json"], ["sbom", "sig"]),
        (["application/vnd.oci.image.config.v1+json"], []),
        ([], ["att", "sbom", "sig"]),
    ],
)
async def test_cosigns_tags_are_chosen_by_what_is_in_them(
    wanted: list[str], suffixes: list[str], client: AsyncClient, elsewhere: str, repository: str
) -> None:
    """As cosign writes them: images by their config, and by their layers what they are."""
    image = IMAGES[0]
    images.push(elsewhere, repository, "1", image)
    prefix = image.digest.replace(":", "-")
    for suffix, layer in (
        ("sig", "application/vnd.dev.cosign.simplesigning.v1+json"),
        ("att", "application/vnd.dsse.envelope.v1+json"),
        ("sbom", "application/spdx+json"),
    ):
        signed = images.make_image(kind="oci", seed=suffix)
        document = signed.document | {"layers": [dict(item, mediaType=layer) for item in signed.document["layers"]]}
        content = json.dumps(document, separators=(",", ":")).encode()
        tagged = images.Manifest(content, signed.media_type, "oci", blobs=signed.blobs)
        images.push(elsewhere, repository, f"{prefix}.{suffix}", tagged)
    target = f"{repository}-copy"
    await client.copy(f"{elsewhere}/{repository}:1", f"{elsewhere}/{target}:1", referrers=True, artifact_types=wanted)
    assert images.list_tags(elsewhere, target) == ["1", *(f"{prefix}.{suffix}" for suffix in suffixes)]


@pytest.mark.parametrize("has_api", [False, True])
async def test_signatures_in_a_registry_do_not_stay_behind_silently(
    has_api: bool, client: AsyncClient, elsewhere: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    host = elsewhere if has_api else registry.host
    name = f"{host}/{repository}"
    index = images.make_index(IMAGES, kind="oci")
    images.push(host, repository, "1", index)
    images.push(host, repository, "2", IMAGES[2])
    images.push(host, repository, f"{index.digest.replace(':', '-')}.sig", IMAGES[2])
    for subject in (index, IMAGES[0], IMAGES[1]):
        signature = images.make_artifact(subject=subject)
        async with client.open(name, writing=True) as store:
            for digest, blob in signature.blobs.items():
                await store.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
            await put_manifest(store, parse(signature.content, signature.media_type))
    layout, archive = f"oci:{tmp_path}/layout", f"docker-archive:{tmp_path}/a.tar:app:1"
    told = "stayed behind: a copy with referrers brings them along"
    cases: list[tuple[str, str, dict[str, Any], list[str]]] = [
        (f"{name}:1", f"{name}-dry:1", {"dry_run": True}, [f"2 referrers of {name}:1 {told}"]),
        (f"{name}:1", f"{name}-copy:1", {}, [f"2 referrers of {name}:1 {told}"]),
        (f"{name}:1", f"{name}-copy:again", {}, []),  # that has been said
        (f"{name}:1", f"{name}:here", {}, []),  # where they are
        (f"{name}:2", layout + ":2", {}, []),  # it has none
        (f"{name}:1", layout + ":1", {}, [f"2 referrers of {name}:1 {told}"]),
        (f"{name}:1", f"{name}-all:1", {"referrers": True}, []),
    ]
    for source, target, options, notes in cases:
        assert (await client.copy(source, target, **options)).notes == notes, (source, target)
    report = await client.copy(f"{name}:1", archive, platforms=["linux/amd64"])
    assert report.notes == [f"2 referrers of {name}:1 stayed behind: docker-archive:{tmp_path}/a.tar holds none"]
    report = await client.copy(name, f"{name}-some", all_tags=True, include=["1", "2"])
    assert len(report.notes) == 1
    assert "signatures or referrers stayed behind: a copy with referrers" in report.notes[0]


async def test_what_refers_to_one_of_many_tags_does_not_stay_behind_silently(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    name, layout = f"{elsewhere}/{repository}", f"oci:{tmp_path}/layout"
    for tag, image in zip("123", IMAGES, strict=False):
        images.push(elsewhere, repository, tag, image)
    for subject in IMAGES[:2]:
        images.push(elsewhere, repository, None, images.make_artifact(subject=subject))
    images.push(elsewhere, repository, "list", images.make_index(IMAGES[:1], kind="oci"))
    images.push(elsewhere, repository, "tagged", images.make_artifact("application/x", subject=IMAGES[1]))
    await client.copy(name, layout, all_tags=True, referrers=True)
    for source, target in ((name, f"{name}-copy"), (layout, f"{name}-back")):
        report = await client.copy(source, target, all_tags=True)
        assert report.notes == ["2 referrers of 2 images stayed behind: a copy with referrers brings them along"]
        assert (await client.copy(source, target, all_tags=True)).notes == []
    images.push(elsewhere, f"{repository}-kept", "1", IMAGES[2])
    report = await client.copy(name, f"{name}-kept", all_tags=True, include=["1"], clobber=False)
    assert report.images[0].targets[0].state == "kept"
    assert report.notes == []


async def test_a_registry_that_does_not_say_what_refers_to_an_image_keeps_no_copy_from_being_made(
    client: AsyncClient, proxy: CountingProxy, new_repository: Callable[[], str]
) -> None:
    source, target = new_repository(), new_repository()
    images.push(proxy.host, source, "1", IMAGES[0])
    images.push(proxy.host, source, f"{IMAGES[0].digest.replace(':', '-')}.sig", IMAGES[1])
    proxy.intercept = lambda request: Reply(status=403) if ".sig" in request.path else None
    report = await client.copy(f"{proxy.host}/{source}:1", f"{proxy.host}/{target}:1")
    assert images.get_manifest(proxy.host, target, "1")[2] == IMAGES[0].digest
    assert len(report.notes) == 1
    assert f"whether something refers to {proxy.host}/{source}:1, such as signatures, was not found" in report.notes[0]


async def test_signatures_in_a_layout_do_not_stay_behind_silently(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    layout, archive = f"oci:{tmp_path}/layout", f"docker-archive:{tmp_path}/a.tar:app:1"
    images.push(elsewhere, repository, "1", IMAGES[0])
    images.push(elsewhere, repository, "2", IMAGES[1])
    images.push(elsewhere, repository, None, images.make_artifact(subject=IMAGES[0]))
    images.push(elsewhere, repository, f"{IMAGES[0].digest.replace(':', '-')}.sig", IMAGES[1])
    await client.copy(f"{elsewhere}/{repository}", layout, all_tags=True, referrers=True)
    for target, way in ((f"{elsewhere}/{repository}-copy:1", "a copy with referrers brings"), (archive, "holds none")):
        report = await client.copy(f"{layout}:1", target)
        assert len(report.notes) == 1
        assert report.notes[0].startswith(f"2 referrers of {layout}:1 stayed behind")
        assert way in report.notes[0]
    for source, target, referrers in (
        (f"{layout}:1", f"{layout}:also-1", False),  # they are there
        (f"{layout}:1", f"{elsewhere}/{repository}-all:1", True),
        (f"{layout}:2", f"{elsewhere}/{repository}-two:2", False),
    ):
        assert (await client.copy(source, target, referrers=referrers)).notes == []


async def test_all_tags_by_pattern(client: AsyncClient, elsewhere: str, repository: str) -> None:
    for tag in ("1.0", "1.1", "1.2-rc1", "2.0", "latest"):
        images.push(elsewhere, repository, tag, IMAGES[0])
    await client.copy(
        f"{elsewhere}/{repository}",
        f"{elsewhere}/{repository}-copy",
        all_tags=True,
        include=["semver:>=1 <2", "late*"],
        exclude=["re:1\\.1"],
    )
    assert images.list_tags(elsewhere, f"{repository}-copy") == ["1.0", "latest"]
    with pytest.raises(NotFound):
        await client.copy(f"{elsewhere}/{repository}", f"{elsewhere}/{repository}-copy", all_tags=True, include=["no*"])


async def test_all_tags_leave_the_targets_own_lists_of_referrers_alone(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    """On registries without the referrers API they are tags."""
    source, target = repository, f"{repository}-copy"
    for name, type_ in ((source, "application/vnd.example.theirs"), (target, "application/vnd.example.ours")):
        images.push(registry.host, name, "1", IMAGES[0])
        signature = images.make_artifact(type_, subject=IMAGES[0])
        async with client.open(f"{registry.host}/{name}", writing=True) as store:
            for digest, blob in signature.blobs.items():
                await store.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
            await put_manifest(store, parse(signature.content, signature.media_type))
    report = await client.copy(f"{registry.host}/{source}", f"{registry.host}/{target}", all_tags=True)
    assert [image.source for image in report.images] == [f"{registry.host}/{source}:1"]
    assert "with signatures or referrers stayed behind" in report.notes[0]

    async def listed() -> set[str]:
        store = client.connect(f"{registry.host}/{target}")
        return {found.artifact_type async for found in store.referrers(await store.resolve("1"))}

    assert await listed() == {"application/vnd.example.ours"}
    await client.copy(f"{registry.host}/{source}", f"{registry.host}/{target}", all_tags=True, referrers=True)
    assert await listed() == {"application/vnd.example.ours", "application/vnd.example.theirs"}


async def test_guards_refuse_before_anything_is_written(client: AsyncClient, elsewhere: str, repository: str) -> None:
    images.push(elsewhere, repository, "1", IMAGES[0])
    images.push(elsewhere, f"{repository}-copy", "1", IMAGES[1])
    source, target = f"{elsewhere}/{repository}:1", f"{elsewhere}/{repository}-copy:1"
    with pytest.raises(Conflict):
        await client.copy(source, target, clobber=False)
    with pytest.raises(Conflict):
        await client.copy(source, target, if_digest=Digest.of(b"other"))
    with pytest.raises(Conflict):
        await client.copy(source, f"{elsewhere}/{repository}-copy@{IMAGES[1].digest}")
    assert images.get_manifest(elsewhere, f"{repository}-copy", "1")[2] == IMAGES[1].digest
    with pytest.raises(LookupError):
        images.get_manifest(elsewhere, f"{repository}-copy", IMAGES[0].digest)
    many = await client.copy(
        f"{elsewhere}/{repository}", f"{elsewhere}/{repository}-copy", all_tags=True, clobber=False
    )
    assert [change.state for change in many.images[0].targets] == ["kept"]
    await client.copy(source, target, if_digest=IMAGES[1].digest)
    assert images.get_manifest(elsewhere, f"{repository}-copy", "1")[2] == IMAGES[0].digest


@pytest.mark.parametrize(
    "options",
    [
        {"include": ["1"]},
        {"sparse": True},
        {"artifact_types": ["a/b"]},
        {"all_tags": True},
        {"tags": ["not a tag"]},
        {"to": "docker", "compression": "zstd"},
    ],
)
async def test_what_does_not_go_together_is_refused(
    options: dict[str, object], client: AsyncClient, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", IMAGES[0])
    with pytest.raises(UsageError):
        await client.copy(f"{elsewhere}/{repository}:1", f"{elsewhere}/{repository}:2", **options)  # type: ignore[arg-type]
    assert images.list_tags(elsewhere, repository) == ["1"]


@pytest.mark.parametrize(
    "given", [{"if_digest": IMAGES[1].digest}, {"clobber": False}], ids=["if-digest", "no-clobber"]
)
async def test_a_tag_that_moves_while_it_is_copied_is_left_alone(
    given: dict[str, Any], client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str
) -> None:
    images.push(registry.host, repository, "1", IMAGES[0])
    if "if_digest" in given:
        images.push(elsewhere, repository, "1", IMAGES[1])
    with CountingProxy(registry.url) as proxy:

        def move(request: Request) -> None:
            if "/blobs/" in request.path:
                images.push(elsewhere, repository, "1", IMAGES[2])

        proxy.intercept = move
        with pytest.raises(Conflict, match="was not changed"):
            await client.copy(f"{proxy.host}/{repository}:1", f"{elsewhere}/{repository}:1", **given)
    assert images.get_manifest(elsewhere, repository, "1")[2] == IMAGES[2].digest


async def test_a_dry_run_writes_nothing_and_says_what_would_be_done(
    client: AsyncClient, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    images.push(registry.host, repository, "1", ATTESTED)
    with CountingProxy(registry.url) as proxy:
        report = await client.copy(f"{proxy.host}/{repository}:1", f"{proxy.host}/{repository}-copy:1", dry_run=True)
        assert {exchange.method for exchange in proxy.exchanges} == {"GET", "HEAD"}
    done = await client.copy(f"{registry.host}/{repository}:1", f"{registry.host}/{repository}-copy:1")
    assert report.dry_run
    assert report.copied == done.copied
    assert {(step.digest, step.outcome) for step in report.steps} == {
        (step.digest, step.outcome) for step in done.steps
    }


@pytest.mark.parametrize(
    "targets,given",
    [
        (["REG/a:1", "REG/b:1"], {"tags": ["latest"]}),
        (["REG/had:1", "REG/b:1"], {}),
        (["REG/a:1", "oci:LAYOUT/one:1", "oci:LAYOUT/two:1"], {}),
        (["REG/a", "REG/b"], {"all_tags": True, "referrers": True}),
        (["REG/a:1", "SAME/b:1"], {"platforms": ["linux/amd64"]}),
        (["REG/a:1", "REG/b:1"], {"compression": "zstd"}),
    ],
)
async def test_a_dry_run_says_of_several_targets_what_is_done_then(
    targets: list[str],
    given: dict[str, Any],
    client: AsyncClient,
    registry: RealRegistry,
    elsewhere: str,
    repository: str,
    tmp_path: Path,
) -> None:
    images.push(registry.host, repository, "1", ATTESTED)
    images.push(registry.host, repository, "2", IMAGES[0])
    images.push(registry.host, repository, None, images.make_artifact(subject=IMAGES[0]))
    images.push(elsewhere, f"{repository}/had", "1", ATTESTED)
    source = f"{registry.host}/{repository}" + ("" if "all_tags" in given else ":1")
    names = [
        target.replace("REG", f"{elsewhere}/{repository}")
        .replace("SAME", f"{registry.host}/{repository}")
        .replace("LAYOUT", str(tmp_path))
        for target in targets
    ]
    planned = await client.copy(source, *names, dry_run=True, **given)
    done = await client.copy(source, *names, **given)
    assert planned.copied == done.copied
    assert planned.images == done.images
    assert sorted((step.digest, step.outcome) for step in planned.steps) == sorted(
        (step.digest, step.outcome) for step in done.steps
    )
    assert done.copied.mounted


async def test_verify_finds_and_repairs_what_a_target_only_claims_to_have(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    source, target = f"{elsewhere}/{repository}:1", f"oci:{tmp_path}/layout:1"
    await client.copy(source, target)
    blob = tmp_path / "layout/blobs/sha256" / images.digest_of(IMAGES[1].layers[0]).partition(":")[2]
    whole = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    await client.copy(source, target, verify=True)
    assert blob.read_bytes() == whole
    blob.chmod(0o644)
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DigestMismatch):
        await client.copy(target, f"{elsewhere}/{repository}-back:1")
    assert images.list_tags(elsewhere, f"{repository}-back") == []


async def test_verify_of_a_registry_reads_it_back(
    client: AsyncClient, proxy: CountingProxy, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", IMAGES[0])
    await client.copy(f"{elsewhere}/{repository}:1", f"{proxy.host}/{repository}:1")
    proxy.reset()
    report = await client.copy(f"{elsewhere}/{repository}:1", f"{proxy.host}/{repository}:1", verify=True)
    assert proxy.count("GET", "/blobs/") == 2
    assert report.copied.present == 3


async def test_verify_writes_again_what_a_registry_only_believes_to_have(client: AsyncClient, elsewhere: str) -> None:
    """A registry with a cache of descriptors answers for blobs that have gone from its storage."""
    images.push(elsewhere, "forgetful", "1", IMAGES[0])
    cache = {"storage": {"cache": {"blobdescriptor": "inmemory"}}}
    with RealRegistry(config=cache) as registry:
        target = f"{registry.host}/forgetful:1"
        await client.copy(f"{elsewhere}/forgetful:1", target)
        blobs = registry.folder / "data/docker/registry/v2/blobs/sha256"
        for blob in (*IMAGES[0].layers, IMAGES[0].config):
            name = images.digest_of(blob).partition(":")[2]
            shutil.rmtree(blobs / name[:2] / name)
        async with client.open(target) as store:
            gone = Descriptor(digest=Digest(images.digest_of(IMAGES[0].layers[0])), size=1)
            assert await store.contains(gone), "it says so"
        for same in (f"{elsewhere}/forgetful:1", f"{registry.host}/forgetful:1"):
            report = await client.copy(same, target, verify=True)
            assert report.copied.uploaded == (2 if same.startswith(elsewhere) else 0)
            assert report.copied.present == (1 if same.startswith(elsewhere) else 3)


@pytest.mark.parametrize("fault", [Alter(truncate=1), Alter(status=500), Reply(status=404), Alter(corrupt=3)])
async def test_verify_says_what_a_registry_does_not_give_out_although_it_was_written_again(
    fault: Alter | Reply, proxy: CountingProxy, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", IMAGES[0])
    proxy.intercept = when(fault, method="GET", path=r"/blobs/sha256")
    async with Session(backoff=0) as session:
        source, target = (Repository(session, host, repository) for host in (elsewhere, proxy.host))
        content = await source.resolve("1")
        with pytest.raises(LadingError, match="says that it has sha256:") as caught:
            await Copier(target, verify=True).copy(source, content, names=["1"])
    assert caught.value.code == "not-given-out"
    assert caught.value.cause
    assert proxy.count("GET", "/blobs/sha256") > 1


async def test_zstd_and_back_change_digests_and_nothing_that_an_image_is(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    source = f"{elsewhere}/{repository}"
    for compression, suffix in (("zstd", "+zstd"), ("none", ""), ("gzip", "+gzip")):
        report = await client.copy(f"{source}:1", f"{source}-copy:{compression}", compression=compression)  # type: ignore[arg-type]
        again = await client.copy(f"{source}:1", f"{source}-copy:{compression}", compression=compression)  # type: ignore[arg-type]
        assert again.images[0].targets[0].state == "unchanged"
        assert bool(report.notes) == (compression != "gzip")
        index = document(elsewhere, f"{repository}-copy", compression)
        assert index["annotations"] == ATTESTED.document["annotations"]
        for entry, image in zip(index["manifests"], IMAGES, strict=False):
            manifest = document(elsewhere, f"{repository}-copy", entry["digest"])
            assert manifest["config"] == image.document["config"]
            assert manifest["layers"][0]["mediaType"].endswith(f"tar{suffix}")
        about = index["manifests"][3]["annotations"]["vnd.docker.reference.digest"]
        assert about == index["manifests"][0]["digest"]
    plain = document(elsewhere, f"{repository}-copy", "none")["manifests"][0]["digest"]
    layer = document(elsewhere, f"{repository}-copy", plain)["layers"][0]
    assert layer["digest"] == images.digest_of(gzip.decompress(IMAGES[0].layers[0]))


async def test_what_was_said_of_the_old_encoding_is_not_said_of_the_new(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    """What lazy pullers look for in a layer is somewhere else now, or not there at all."""
    stale = {
        "containerd.io/snapshot/stargz/toc.digest": images.digest_of(b"toc"),
        "io.containers.estargz.uncompressed-size": "10240",
        "io.github.containers.zstd-chunked.manifest-position": "1:2:3:4",
        "io.github.containers.zstd-chunked.manifest-checksum": images.digest_of(b"toc"),
    }
    document_ = IMAGES[0].document
    document_["layers"][0]["annotations"] = stale | {"org.example.note": "kept"}
    image = replace(IMAGES[0], content=json.dumps(document_).encode())
    index = images.make_index(
        [
            images.Entry(
                image, annotations={"io.github.containers.compression.zstd": "true", "org.example.note": "kept"}
            )
        ],
        kind="oci",
    )
    images.push(elsewhere, repository, "1", index)
    for compression, kept in (("gzip", stale), ("none", {})):
        await client.copy(
            f"{elsewhere}/{repository}:1",
            f"{elsewhere}/{repository}:{compression}",
            compression=compression,  # type: ignore[arg-type]
        )
        entry = document(elsewhere, repository, compression)["manifests"][0]
        layer = document(elsewhere, repository, entry["digest"])["layers"][0]
        assert layer["annotations"] == kept | {"org.example.note": "kept"}
        assert entry["annotations"] == {"org.example.note": "kept"}


async def test_from_one_format_to_the_other_and_back(
    client: AsyncClient, proxy: CountingProxy, repository: str
) -> None:
    index = images.make_index([images.make_image(f"linux/{arch}", seed=arch) for arch in ARCHITECTURES])
    images.push(proxy.host, repository, "1", index)
    proxy.reset()
    source = f"{proxy.host}/{repository}"
    await client.copy(f"{source}:1", f"{source}-oci:1", to="oci")
    assert proxy.count("GET", "/blobs/") == 0  # blobs that stay as they are, are mounted
    oci = document(proxy.host, f"{repository}-oci", "1")
    assert oci["mediaType"] == images.OCI_INDEX
    image = document(proxy.host, f"{repository}-oci", oci["manifests"][0]["digest"])
    assert (image["config"]["mediaType"], image["layers"][0]["mediaType"]) == (images.OCI_CONFIG, images.OCI_LAYER)
    await client.copy(f"{source}-oci:1", f"{source}-back:1", to="docker")
    assert images.get_manifest(proxy.host, f"{repository}-back", "1")[2] == index.digest


async def test_an_index_with_attestations_loses_them_in_dockers_format_and_that_is_said(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", ATTESTED)
    report = await client.copy(f"{elsewhere}/{repository}:1", f"{elsewhere}/{repository}:docker", to="docker")
    assert len(document(elsewhere, repository, "docker")["manifests"]) == 3
    assert any("attestations" in note for note in report.notes)
    artifact = images.make_artifact()
    images.push(elsewhere, repository, "artifact", artifact)
    with pytest.raises(LadingError):
        await client.copy(f"{elsewhere}/{repository}:artifact", f"{elsewhere}/{repository}:no", to="docker")


async def test_through_every_kind_of_place_with_equal_digests(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, new_repository: Callable[[], str], tmp_path: Path
) -> None:
    first, last = new_repository(), new_repository()
    images.push(registry.host, first, "1", ATTESTED)
    way = [
        f"{registry.host}/{first}:1",
        f"oci:{tmp_path}/one:1",
        f"oci-archive:{tmp_path}/two.tar:1",
        f"{elsewhere}/{last}:1",
        f"oci-archive:{tmp_path}/three.tar.gz:1",
        f"oci:{tmp_path}/four:1",
        f"{registry.host}/{last}:1",
    ]
    for source, target in pairwise(way):
        report = await client.copy(source, target)
        assert report.images[0].digest == ATTESTED.digest
    for image in IMAGES:
        assert images.get_manifest(registry.host, last, image.digest)[0] == image.content


async def test_a_docker_archive_takes_one_image_and_gives_it_back(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    image = images.make_image("linux/arm64/v8", kind="docker")
    images.push(elsewhere, repository, "1", images.make_index([images.make_image("linux/amd64"), image]))
    target = f"docker-archive:{tmp_path}/image.tar"
    await client.copy(f"{elsewhere}/{repository}:1", target, platforms=["linux/arm64"])
    report = await client.copy(target, f"{elsewhere}/{repository}:back")
    assert document(elsewhere, repository, "back")["config"]["digest"] == image.document["config"]["digest"]
    assert report.images[0].targets[0].state == "set", "it was there: what the tag named is not worth a question"


async def test_an_archive_of_many_images_is_pushed_under_its_own_tags(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    archive = f"oci-archive:{tmp_path}/images.tar"
    for tag, image in zip(("a", "b", "c"), IMAGES, strict=True):
        images.push(elsewhere, repository, tag, image)
        await client.copy(f"{elsewhere}/{repository}:{tag}", f"{archive}:{tag}")
    await client.copy(archive, f"{elsewhere}/{repository}-many", all_tags=None)
    assert images.list_tags(elsewhere, f"{repository}-many") == ["a", "b", "c"]
    with pytest.raises(LadingError, match="3 manifests"):
        await client.copy(archive, f"{elsewhere}/{repository}-many:one", all_tags=None)


async def test_what_happens_is_told_in_events(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str
) -> None:
    index = images.make_index(
        [images.make_image(f"linux/{arch}", seed=arch, layer_size=300_000) for arch in ARCHITECTURES]
    )
    images.push(registry.host, repository, "1", index)
    events: list[Event] = []
    report = await client.copy(f"{registry.host}/{repository}:1", f"{elsewhere}/{repository}:1", on_event=events.append)
    started = [event for event in events if isinstance(event, Started)]
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(started) == report.copied.uploaded == 6
    assert {event.platform for event in started} == {f"linux/{arch}" for arch in ARCHITECTURES}
    assert len(finished) == 10
    assert [event.done for event in events if isinstance(event, Progressed) and event.done == event.size]
    last = events[-1]
    assert isinstance(last, Totals)
    assert (last.finished, last.done) == (last.contents, last.size)


async def test_a_layer_that_only_its_urls_have_is_left_there(
    client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    image = images.make_image(kind="oci")
    manifest = image.document
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": images.digest_of(b"elsewhere"),
        "size": 9,
        "urls": ["https://example.com/layer"],
    }
    manifest["layers"].append(foreign)
    content = json.dumps(manifest, separators=(",", ":")).encode()
    images.push(elsewhere, repository, "1", images.Manifest(content, image.media_type, "oci", blobs=image.blobs))
    for target in (f"{elsewhere}/{repository}-copy:1", f"oci:{tmp_path}/layout:1", f"oci-archive:{tmp_path}/a.tar:1"):
        report = await client.copy(f"{elsewhere}/{repository}:1", target)
        assert ["https://example.com/layer" in note for note in report.notes] == [True]
        back = await client.copy(target, f"{elsewhere}/{repository}-back:1", verify=True)
        assert back.images[0].digest == images.digest_of(content)
    assert images.get_manifest(elsewhere, f"{repository}-copy", "1")[0] == content
    with pytest.raises(Unsupported, match="not in the registry"):
        await client.copy(f"{elsewhere}/{repository}:1", f"docker-archive:{tmp_path}/image.tar:app:1")
    assert not (tmp_path / "image.tar").exists()


async def test_a_foreign_layer_that_nobody_else_has_is_copied(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    image = images.make_image(kind="oci")
    manifest = image.document
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    content = json.dumps(manifest, separators=(",", ":")).encode()
    images.push(elsewhere, repository, "1", images.Manifest(content, image.media_type, "oci", blobs=image.blobs))
    report = await client.copy(f"{elsewhere}/{repository}:1", f"{elsewhere}/{repository}-copy:1")
    assert report.notes == []
    with images.RegistryClient(elsewhere, f"{repository}-copy") as there:
        assert there.blob(manifest["layers"][0]["digest"]) == image.layers[0]


async def test_a_tag_that_moves_meanwhile_gives_one_image_or_the_other_whole(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str
) -> None:
    images.push(registry.host, repository, "1", IMAGES[0])
    images.push(registry.host, repository, "2", IMAGES[1])
    with CountingProxy(registry.url) as proxy:

        def move(request: object) -> None:
            if getattr(request, "path", "").endswith(IMAGES[0].digest) or "/blobs/" in getattr(request, "path", ""):
                images.push(registry.host, repository, "1", IMAGES[1])

        proxy.intercept = move
        await client.copy(f"{proxy.host}/{repository}:1", f"{elsewhere}/{repository}:1")
    assert images.get_manifest(elsewhere, repository, "1")[2] == IMAGES[0].digest


async def test_the_same_repository_needs_no_blobs(client: AsyncClient, proxy: CountingProxy, repository: str) -> None:
    images.push(proxy.host, repository, "1", ATTESTED)
    proxy.reset()
    await client.copy(f"{proxy.host}/{repository}:1", f"{proxy.host}/{repository}:2", tags=["3"])
    assert proxy.count(path="/blobs/") == 0
    assert proxy.count("PUT") == 2


def test_a_repository_is_a_sibling_within_its_registry() -> None:
    from lading.registry.session import Session

    session = Session()
    one, same, other = (Repository(session, "r.example", name) for name in ("a", "a", "b"))
    far = Repository(session, "s.example", "a")
    assert one.is_same(same)
    assert not one.is_same(other)
    assert one.is_sibling(other)
    assert not one.is_sibling(far)


@pytest.mark.parametrize("with_attestation", [False, True])
async def test_of_an_index_that_an_engine_has_in_part_that_part_is_pushed(
    with_attestation: bool, client: AsyncClient, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    """As Docker with containerd's image store saves what it pulled: the index, and the image that runs here."""
    attestation = ATTESTED.children[3]
    left_out = {IMAGES[1].digest, IMAGES[2].digest, ATTESTED.children[4].digest}
    files = modern(
        ATTESTED, ["app:1"], leave_out=tuple(left_out | (set() if with_attestation else {attestation.digest}))
    )
    (tmp_path / "saved.tar").write_bytes(tar(files))
    source = f"docker-archive:{tmp_path}/saved.tar"
    report = await client.copy(source, f"{elsewhere}/{repository}", all_tags=None)
    assert "only linux/amd64 is there" in report.notes[0]
    pushed = document(elsewhere, repository, "1")
    if with_attestation:
        entries = ATTESTED.document["manifests"]
        assert pushed == ATTESTED.document | {"manifests": [entries[0], entries[3]]}
    else:
        assert pushed == IMAGES[0].document
    again = await client.copy(source, f"{elsewhere}/{repository}", all_tags=None)
    assert [change.state for change in again.images[0].targets] == ["unchanged"]
    chosen = await client.copy(source, f"{elsewhere}/{repository}:chosen", platforms=["linux/amd64"])
    assert chosen.notes == []
    with pytest.raises(NotFound, match="linux/s390x"):
        await client.copy(source, f"{elsewhere}/{repository}:other", platforms=["linux/s390x"])
    # All that is there goes as it is.
    (tmp_path / "whole.tar").write_bytes(tar(modern(ATTESTED, ["app:1"])))
    whole = await client.copy(f"docker-archive:{tmp_path}/whole.tar", f"{elsewhere}/{repository}:whole")
    assert (whole.images[0].digest, whole.notes) == (ATTESTED.digest, [])
