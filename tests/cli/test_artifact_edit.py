"""`lading artifact edit` and `client.artifacts.edit`: other annotations and another type, after the fact."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.failing import CONFLICT, CONTENT, NOT_FOUND, UNSUPPORTED, USAGE, fails
from lading import AsyncClient, LadingError
from lading.edits import ClearAnnotations, SetAnnotation, SetArtifactType, SetBlobAnnotation
from lading.model.digest import Digest
from support.images import Manifest, make_artifact, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.registry import RealRegistry

SBOM, SIGNATURE, TITLE = (
    "application/spdx+json",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "org.opencontainers.image.title",
)
IMAGE = make_image("linux/amd64", kind="oci")
NOTES = make_artifact("text/x-notes", {"a.txt": b"a", "b/c": b"c"}, annotations={"z": "1", "a": "2"})
BILL = make_artifact(SBOM, {"sbom.json": b"[]"}, subject=IMAGE, annotations={"a": "b"})


@pytest.fixture(params=["API", "tags", "layout"])
def place(
    request: pytest.FixtureRequest,
    registry: RealRegistry,
    elsewhere: str,
    repository: str,
    tmp_path: Path,
    lading: Lading,
) -> str:
    """An image with an SBOM, and notes."""
    host = registry.host if request.param == "tags" else elsewhere
    push(host, repository, "image", IMAGE)
    push(host, repository, "notes", NOTES)
    place = f"{host}/{repository}"
    if request.param == "API":
        push(host, repository, None, BILL)
        return place
    # lading lists it under the fallback tag.
    push(elsewhere, repository, "image", IMAGE)
    push(elsewhere, repository, None, BILL)
    target = f"oci:{tmp_path}/layout" if request.param == "layout" else place
    lading.run("copy", "--referrers", f"{elsewhere}/{repository}:image", f"{target}:image")
    if target != place:
        lading.run("copy", f"{place}:notes", f"{target}:notes")
    return target


async def document(client: AsyncClient, name: str) -> dict[str, Any]:
    return (await client.get_manifest(name)).document


async def referrers(client: AsyncClient, place: str, subject: Manifest = IMAGE) -> list[str]:
    async with client.open(place) as store:
        return sorted([str(one.digest) async for one in store.referrers(await store.resolve(subject.digest))])


async def test_annotations_and_type(client: AsyncClient, lading: Lading, place: str) -> None:
    before = await document(client, f"{place}:notes")
    ran = lading.run(
        "artifact", "edit", f"{place}:notes", "--annotation", "b=3", "--remove-annotation", "z", "--annotation",
        "file[a.txt]:lang=en", "--annotation", "config:k=v", "--artifact-type", "text/x-other", "-t", "two",
    )  # fmt: skip
    after = await document(client, f"{place}:two")
    assert ran.stdout == f"{place}:two@{await client.digest(f'{place}:two')}\n"
    assert list(after) == list(before)
    assert after["annotations"] == {"a": "2", "b": "3"}
    assert after["artifactType"] == "text/x-other"
    assert after["config"] == before["config"] | {"annotations": {"k": "v"}}
    assert after["layers"][0]["annotations"] == {TITLE: "a.txt", "lang": "en"}
    assert after["layers"][1] == before["layers"][1]
    assert await document(client, f"{place}:notes") == before
    pulled = lading.run("artifact", "pull", f"{place}:two", "-o", "-", "--title", "b/c")
    assert pulled.stdout == "c"


def test_a_dry_run_and_in_place(lading: Lading, place: str) -> None:
    digest = NOTES.digest
    ran = lading.run("artifact", "edit", f"{place}:notes", "--clear-annotations", "manifest", "--in-place", "--dry-run")
    first, *lines, last = ran.stdout.splitlines()
    assert first.startswith(f"artifact  {digest[7:19]} -> ")
    assert any("annotations" in line for line in lines)
    assert f"{place}:notes is {digest}" in ran.stderr
    assert lading.run("digest", f"{place}:notes").stdout.strip() == digest
    fails(
        lading, "artifact", "edit", f"{place}:notes", "--annotation", "x=y", "--in-place", "--if-digest", BILL.digest,
        code=CONFLICT, says=[f"{place}:notes"],
    )  # fmt: skip
    ran = lading.run("artifact", "edit", f"{place}:notes", "--clear-annotations", "manifest", "--in-place")
    assert ran.stdout.splitlines() == [last]
    assert f"{place}:notes was {digest}" in ran.stderr
    assert lading.run("digest", f"{place}@{digest}").stdout.strip() == digest


async def test_a_referrer_in_place(client: AsyncClient, lading: Lading, place: str) -> None:
    """The result refers to the same; what it was stays, and that is said, or goes."""
    ran = lading.run("artifact", "edit", f"{place}@{BILL.digest}", "--annotation", "a=c", "--in-place")
    kept = f"{place}@{BILL.digest} is still there, and refers to {IMAGE.digest[7:19]}"
    assert f"warning: {kept} as the result does: --drop-original takes it away\n" in ran.stderr
    new = ran.stdout.strip()
    assert new.startswith(f"{place}@sha256:")
    assert (await document(client, new))["subject"]["digest"] == IMAGE.digest
    assert await referrers(client, place) == sorted([BILL.digest, new.partition("@")[2]])
    said = ("artifact", "edit", new, "--artifact-type", "text/sbom", "--in-place", "--drop-original")
    ran = lading.run(*said, "--dry-run")
    assert f"{new.partition('@')[2]} would be deleted\n" in ran.stderr
    assert await client.contains(new)
    ran = lading.run(*said)
    assert f"{new.partition('@')[2]} was deleted\n" in ran.stderr
    assert await referrers(client, place) == sorted([BILL.digest, ran.stdout.strip().partition("@")[2]])
    assert not await client.contains(new)
    # Nothing is another: nothing is said, and nothing goes.
    ran = lading.run(
        "artifact", "edit", f"{place}@{BILL.digest}", "--annotation", "a=b", "--in-place", "--drop-original"
    )
    assert "deleted" not in ran.stderr
    assert await client.contains(f"{place}@{BILL.digest}")


async def test_an_original_that_is_needed_stays(client: AsyncClient, lading: Lading, place: str) -> None:
    lading.run("tag", f"{place}:notes", "other")
    said = ("artifact", "edit", f"{place}:notes", "--annotation", "a=c", "--in-place", "--drop-original")
    assert "was not deleted: it has the tag other\n" in lading.run(*said, "--dry-run").stderr
    ran = lading.run(*said)
    assert f"warning: {place}@{NOTES.digest} was not deleted: it has the tag other\n" in ran.stderr
    assert await client.digest(f"{place}:other") == NOTES.digest
    lading.run("tag", f"{place}:other", "notes")
    lading.run("index", "create", f"{place}:list", f"{place}:notes")
    lading.run("tag", f"{place}:image", "other")
    assert "was not deleted: list lists it\n" in lading.run(*said).stderr
    assert await client.contains(f"{place}@{NOTES.digest}")


async def test_what_refers_to_it(client: AsyncClient, lading: Lading, elsewhere: str, repository: str) -> None:
    """What is said of referrers, and done with them, is that of `image edit`."""
    place = f"{elsewhere}/{repository}"
    push(elsewhere, repository, "notes", NOTES)
    note = make_artifact("text/note", subject=NOTES)
    push(elsewhere, repository, None, note)
    push(elsewhere, repository, None, make_artifact(SIGNATURE, {"s": b"s"}, subject=NOTES))
    said = ("artifact", "edit", f"{place}:notes", "--annotation", "a=c", "--in-place")
    ran = lading.run(*said, "--drop-original", "--dry-run")
    assert "2 referrers of " in ran.stderr
    assert "was not deleted: there are referrers of it" in ran.stderr
    ran = lading.run(*said, "--referrers", "copy")
    assert "warning: 1 signature of " in ran.stderr
    async with client.open(place) as store:
        found = [one async for one in store.referrers(await store.resolve("notes"))]
    assert [one.artifact_type for one in found] == ["text/note"]
    assert found[0].digest != note.digest


def test_what_is_refused(lading: Lading, elsewhere: str, repository: str, new_repository: Callable[[], str]) -> None:
    place = f"{elsewhere}/{repository}"
    push(elsewhere, repository, "notes", NOTES)
    push(elsewhere, repository, "image", IMAGE)
    push(elsewhere, repository, "index", make_index([IMAGE], kind="oci"))
    push(elsewhere, repository, "docker", make_image("linux/amd64"))

    def refused(code: int, name: str, *args: str, says: str) -> None:
        fails(lading, "artifact", "edit", name, *args, code=code, says=[says])

    there = ("-t", "x")
    refused(USAGE, f"{place}:notes", "--annotation", "a=b", says="say where the result goes")
    refused(USAGE, f"{place}:notes", "--annotation", "a", *there, says="is not KEY=VALUE")
    refused(USAGE, f"{place}:notes", "--remove-annotation", "file[a.txt]:", *there, says="is no [SCOPE:]KEY")
    refused(
        USAGE, f"{place}:notes", "--clear-annotations", "all", *there, says="is not manifest, config or file[TITLE]"
    )
    refused(USAGE, f"{place}:notes", "--artifact-type", "a b", *there, says="is not a media type")
    refused(USAGE, f"{place}:notes", *there, "--drop-original", says="--drop-original")
    refused(USAGE, f"{place}@{NOTES.digest}", "--in-place", *there, says="names no tag")
    refused(1, f"{place}@{NOTES.digest}", "--in-place", says="names no tag")
    refused(NOT_FOUND, f"{place}:notes", "--annotation", "file[x]:a=b", *there, says="has no file 'x'")
    refused(NOT_FOUND, f"{place}:notes", "--clear-annotations", "file[x]", *there, says="has no file 'x'")
    refused(CONTENT, f"{place}:notes", "--artifact-type", "", *there, says="needs an artifact type")
    refused(CONTENT, f"{place}:index", "--annotation", "a=b", *there, says="is an index, not an artifact")
    refused(UNSUPPORTED, f"{place}:image", "--artifact-type", "text/x", *there, says="is an image")
    refused(UNSUPPORTED, f"{place}:docker", "--annotation", "config:a=b", *there, says="cannot have annotations")
    for title in ("../x", "/x", ""):
        refused(
            USAGE, f"{place}:notes", "--annotation", f"file[a.txt]:{TITLE}={title}", *there, says="cannot be the title"
        )
    refused(
        1, f"{place}:notes", "--annotation", f"file[a.txt]:{TITLE}=b", *there, says="cannot both be in one artifact"
    )
    assert lading.run("tags", place).stdout.split() == ["docker", "image", "index", "notes"]


async def test_files_by_title_or_digest(client: AsyncClient, elsewhere: str, repository: str) -> None:
    place = f"{elsewhere}/{repository}"
    push(elsewhere, repository, "notes", NOTES)
    push(elsewhere, repository, "image", IMAGE)
    layer = (await client.get_manifest(f"{place}:image")).layers[0].digest
    for number, name in enumerate((str(layer), str(layer).replace(":", "-"), layer.short)):
        report = await client.artifacts.edit(
            f"{place}:image", SetBlobAnnotation(name, "n", str(number)), targets=f"{place}:2"
        )
        assert len(report.changes) == 1
        assert (await client.get_manifest(f"{place}:2")).layers[0].annotations == {"n": str(number)}
    report = await client.artifacts.edit(
        f"{place}:notes", SetBlobAnnotation("a.txt", TITLE, "new/name"), SetBlobAnnotation("new/name", "x", "y"),
        ClearAnnotations("file", "new/name"), targets=f"{place}:3",
    )  # fmt: skip
    assert (await client.get_manifest(f"{place}:3")).layers[0].annotations == {TITLE: "new/name"}
    assert report.changes[0].original == Digest(NOTES.digest)
    with pytest.raises(LadingError, match="has no file"):
        await client.artifacts.edit(
            f"{place}:notes", SetBlobAnnotation(str(NOTES.digest), "a", "b"), targets=f"{place}:4"
        )


async def test_a_config_that_says_what_it_is(
    client: AsyncClient, lading: Lading, elsewhere: str, repository: str
) -> None:
    place = f"{elsewhere}/{repository}"
    (lading.home / "config").write_text("{}")
    lading.run("artifact", "push", f"{place}:1", "a=-", "--config", f"{lading.home}/config:text/x-config", stdin=b"a")
    lading.run("artifact", "edit", f"{place}:1", "--artifact-type", "text/x-a", "-t", "2")
    lading.run("artifact", "edit", f"{place}:2", "--artifact-type", "", "-t", "3")
    assert await client.digest(f"{place}:3") == await client.digest(f"{place}:1")
    edits = (SetArtifactType("text/x-a"), SetAnnotation("a", "b"))
    await client.artifacts.edit(f"{place}:1", *edits, targets=[f"{place}:4", f"oci:{lading.home}/new:4"])
    assert await client.digest(f"{place}:4") == await client.digest(f"oci:{lading.home}/new:4")


def test_oras_reads_it(lading: Lading, elsewhere: str, repository: str, tmp_path: Path) -> None:
    oras = need("oras")
    push(elsewhere, repository, "image", IMAGE)
    push(elsewhere, repository, None, BILL)
    name = f"{elsewhere}/{repository}"
    lading.run("artifact", "edit", f"{name}@{BILL.digest}", "--annotation", "seen=yes", "--in-place", "--drop-original")
    found = json.loads(run([oras, "discover", "--plain-http", "--format", "json", f"{name}:image"]).stdout)["referrers"]
    assert [(one["artifactType"], one["annotations"]) for one in found] == [(SBOM, {"a": "b", "seen": "yes"})]
