"""Backups of repositories, and what is restored from them."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from lading import AsyncClient
from lading.artifacts.backups.names import Names
from lading.artifacts.backups.parts import BackupReport, PlannedTag
from lading.errors import Conflict, InvalidContent, InvalidReference, LadingError, NotFound, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.stores.layout.layout import IMAGE_NAME, REF_NAME
from support import images
from support.http import Reply
from support.lading import Lading
from support.parts import need
from support.process import run
from support.proxy import CountingProxy, when

ONE, TWO, ARM, OLD = (
    images.make_image(f"linux/{arch}", kind="oci", seed=seed)
    for seed, arch in (("one", "amd64"), ("two", "amd64"), ("arm", "arm64"), ("old", "amd64"))
)
INDEX = images.make_index([ONE, ARM], kind="oci")
SBOM = images.make_artifact("text/x-sbom", {"sbom.json": b"{}"}, subject=ONE)
SIGNATURE = images.make_artifact("text/x-signature", {"signature": b"signed"})
COSIGN = f"{ONE.digest.replace(':', '-')}.sig"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["docker-registry", "embedded"])
def host(request: pytest.FixtureRequest) -> Any:
    """A registry without the referrers API, and one with it."""
    if request.param == "docker-registry":
        return request.getfixturevalue("registry").host
    return request.getfixturevalue("elsewhere")


@pytest.fixture
def name(host: str, repository: str) -> str:
    """A repository with an index, an image, an SBOM and a signature of cosign's."""
    images.push(host, repository, "1", ONE)
    images.push(host, repository, "latest", INDEX)
    images.push(host, repository, COSIGN, SIGNATURE)
    return f"{host}/{repository}"


async def attach(client: AsyncClient, name: str, artifact: images.Manifest = SBOM) -> None:
    """Push what refers to something; where there is no list of referrers, lading keeps one."""
    registry, _, repository = name.partition("/")
    images.push(registry, repository, None, artifact)
    await client.put(artifact.content, f"{name}@{artifact.digest}")


async def referring(client: AsyncClient, place: str, subject: images.Manifest = ONE) -> list[str]:
    async with client.open(place) as store:
        return [item.digest async for item in store.referrers(Descriptor(digest=Digest(subject.digest), size=0))]


def states(report: BackupReport) -> dict[str, str]:
    return {tag.source.rpartition(":")[2]: tag.state for tag in report.tags}


def names_in(layout: str) -> set[str]:
    document = json.loads(Path(layout, "index.json").read_text())
    return {entry.get("annotations", {}).get(REF_NAME, entry["digest"]) for entry in document["manifests"]}


async def test_a_repository_comes_back_whole(client: AsyncClient, name: str) -> None:
    await attach(client, name)
    report = await client.artifacts.backup(name, "oci:backup", referrers=True)
    assert states(report) == {"1": "new", "latest": "new"}
    assert report.notes == []
    back = report
    for _ in range(2):
        back = await client.artifacts.restore("oci:backup", f"{name}-back")
        for tag in ("1", "latest", COSIGN):
            assert await client.digest(f"{name}-back:{tag}") == await client.digest(f"{name}:{tag}")
        assert await referring(client, f"{name}-back") == [SBOM.digest]
    assert states(back) == {"1": "unchanged", "latest": "unchanged"}
    assert back.copied.uploaded == back.copied.manifests == 0


async def test_what_refers_stays_behind_unless_it_is_asked_for(client: AsyncClient, name: str) -> None:
    await attach(client, name)
    report = await client.artifacts.backup(name, "oci:backup")
    assert "stayed behind" in " ".join(report.notes)
    assert names_in("backup") == {"1", "latest"}
    await client.artifacts.backup(name, "oci:all", referrers=True)
    await client.artifacts.restore("oci:all", f"{name}-back", referrers=False)
    assert await referring(client, f"{name}-back") == []
    assert [info.tag for info in await client.tags(f"{name}-back", sort="name")] == ["1", "latest"]


async def test_again_only_what_is_new_is_downloaded(client: AsyncClient, elsewhere: str, repository: str) -> None:
    images.push(elsewhere, repository, "1", ONE)
    images.push(elsewhere, repository, "old", OLD)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        name = f"{proxy.host}/{repository}"
        await client.artifacts.backup(name, "oci:backup")
        proxy.reset()
        report = await client.artifacts.backup(name, "oci:backup")
        assert states(report) == {"1": "unchanged", "old": "unchanged"}
        assert sorted(line.partition(" ")[0] for line in proxy.lines) == ["GET", "HEAD", "HEAD"]  # list, and each tag
        images.push(elsewhere, repository, "1", TWO)
        images.push(elsewhere, repository, "2", ONE)
        proxy.reset()
        report = await client.artifacts.backup(name, "oci:backup")
        assert states(report) == {"1": "moved", "old": "unchanged", "2": "new"}
        assert report.tags[0].previous == ONE.digest
        # A tag that is new is read at once, the others are asked for what they name; and what one moved to is read.
        assert (proxy.count("GET", "/manifests/"), proxy.count("HEAD", "/manifests/")) == (2, 2)
        assert proxy.count("GET", "/blobs/") == len(TWO.blobs.keys() - ONE.blobs.keys())
    # The old content stays: it has another tag, and would without one.
    assert await client.digest("oci:backup:2") == ONE.digest


async def test_what_is_gone_is_kept_until_it_is_to_be_pruned(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    name = f"{elsewhere}/{repository}"
    for tag, image in {"1": ONE, "2": OLD, "3": TWO}.items():
        images.push(elsewhere, repository, tag, image)
    await attach(client, name, images.make_artifact("text/x-old", subject=OLD))
    images.push(elsewhere, repository, f"{OLD.digest.replace(':', '-')}.sig", SIGNATURE)
    for target in ("oci:backup", "oci-archive:backup.tar"):
        await client.artifacts.backup(name, target, referrers=True)
    images.push(elsewhere, repository, "1", ARM)
    await client.untag(f"{name}:2")
    for file in Path("backup/blobs").rglob("*"):
        os.utime(file, (1, 1))
    for target in ("oci:backup", "oci-archive:backup.tar"):
        planned = await client.artifacts.backup(name, target, referrers=True, prune=True, dry_run=True)
        assert (states(planned), planned.pruned) == ({"1": "moved", "3": "unchanged", "2": "gone"}, 1)
        report = await client.artifacts.backup(name, target, referrers=True)
        assert (states(report)["2"], report.pruned) == ("gone", 0)
        assert await client.digest(f"{target}:2") == OLD.digest
        images.push(elsewhere, repository, "1", TWO)
        pruned = await client.artifacts.backup(name, target, referrers=True, prune=True)
        assert (pruned.pruned, pruned.pruned_bytes > 0) == (1, True)
        images.push(elsewhere, repository, "1", ARM)
        with pytest.raises(NotFound):
            await client.digest(f"{target}:2")
        async with client.open(target) as store:
            # What lost its tag in the run before had been asked to be kept.
            assert {entry.digest for entry in await store.entries()} == {TWO.digest, ONE.digest}  # type: ignore[attr-defined]
            lost = [Descriptor(digest=Digest(digest), size=len(blob)) for digest, blob in OLD.blobs.items()]
            assert not any([await store.contains(blob) for blob in lost if blob.digest not in TWO.blobs])


async def test_several_repositories_have_full_names(client: AsyncClient, name: str) -> None:
    host, _, path = name.partition("/")
    other = f"{name}/other"
    images.push(host, f"{path}/other", "1", TWO)
    report = await client.artifacts.backup([name, other], "oci:backup", referrers=True)
    assert names_in("backup") == {f"{name}:1", f"{name}:latest", f"{name}:{COSIGN}", f"{other}:1"}
    again = await client.artifacts.backup([name, other], "oci:backup", referrers=True)
    assert {tag.state for tag in again.tags} == {"unchanged"}
    # Each has its own tag 1.
    assert await client.digest(f"oci:backup:{other}:1") == TWO.digest
    with pytest.raises(UsageError) as failure:
        await client.artifacts.restore("oci:backup", f"{name}-restored")
    assert failure.value.code == "several-repositories"
    await client.artifacts.restore("oci:backup", f"{host}/from-backup/")
    assert await client.digest(f"{host}/from-backup/{path}/other:1") == TWO.digest
    assert await client.digest(f"{host}/from-backup/{path}:{COSIGN}") == SIGNATURE.digest
    mapped = await client.artifacts.restore("oci:backup", maps={other: f"{name}-mapped"})
    assert [tag.reference for tag in mapped.tags] == [f"{name}-mapped:1"]
    both = await client.artifacts.restore("oci:backup", f"{name}-rest", maps={other: f"{name}-mapped"})
    assert [tag.state for tag in both.tags] == ["unchanged", "new", "new"]
    with pytest.raises(Conflict):
        await client.artifacts.restore("oci:backup", maps={other: f"{name}-one", name: f"{name}-one"})
    with pytest.raises(NotFound):
        await client.artifacts.restore("oci:backup", maps={f"{other}-not": f"{name}-one"})
    assert report.failed == []


async def test_a_layout_stays_that_of_its_first_repository(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    first, second = f"{elsewhere}/{repository}", f"{elsewhere}/{repository}-second"
    images.push(elsewhere, repository, "1", ONE)
    images.push(elsewhere, f"{repository}-second", "1", TWO)
    images.push(elsewhere, f"{repository}-second", "2", ARM)
    await client.artifacts.backup(first, "oci:backup")
    report = await client.artifacts.backup(second, "oci:backup")
    assert states(report) == {"1": "new", "2": "new"}
    assert names_in("backup") == {"1", f"{second}:1", f"{second}:2"}
    images.push(elsewhere, repository, "2", ARM)  # a tag that only the other had, and with the same content
    report = await client.artifacts.backup([second, first], "oci:backup")
    assert [(tag.reference, tag.state) for tag in report.tags][-1] == ("oci:backup:2", "new")
    assert names_in("backup") == {"1", "2", f"{second}:1", f"{second}:2"}
    assert await client.digest("oci:backup:1") == ONE.digest
    restored = await client.artifacts.restore("oci:backup", maps={first: f"{first}-restored"})
    assert states(restored) == {"1": "new", "2": "new"}
    # In another layout, and from there in an archive, names stay what they are.
    await client.artifacts.restore("oci:backup", "oci:second")
    await client.artifacts.backup("oci:second", "oci-archive:third.tar")
    await client.artifacts.restore("oci-archive:third.tar", "oci:fourth")
    assert names_in("fourth") == {f"{first}:1", f"{first}:2", f"{second}:1", f"{second}:2"}


async def test_tags_and_digests_can_be_named(client: AsyncClient, name: str) -> None:
    arm = f"{name}@{ARM.digest}"
    await client.artifacts.backup([f"{name}:1,latest", arm], "oci:backup")
    assert names_in("backup") == {"1", "latest"}
    await client.artifacts.backup(arm, "oci:by-digest")
    assert names_in("by-digest") == {ARM.digest}
    assert (await client.artifacts.restore("oci:by-digest", f"{name}-arm", untagged=True)).copied.manifests == 1
    assert await client.contains(f"{name}-arm@{ARM.digest}")
    await client.artifacts.backup(name, "oci:patterns", include="l*")
    assert names_in("patterns") == {"latest"}
    await client.artifacts.backup(name, "oci:patterns", exclude="l*")
    assert names_in("patterns") == {"1", "latest"}
    assert states(await client.artifacts.restore("oci:backup", f"{name}-some:1")) == {"1": "new"}
    assert states(await client.artifacts.restore("oci:backup:latest", f"{name}-some")) == {"latest": "new"}
    assert states(await client.artifacts.restore("oci:backup", f"{name}-other", include="1")) == {"1": "new"}
    for wanted in (f"{name}:3", f"{name}@sha256:{'0' * 64}"):
        with pytest.raises(NotFound):
            await client.artifacts.backup(wanted, "oci:none")
        assert not Path("none").exists()
    await client.artifacts.restore(f"oci:backup@{ARM.digest}", f"{name}-one")
    await client.artifacts.restore("oci:backup", f"{name}-two@{ARM.digest}")
    await client.artifacts.backup(f"oci:backup@{ARM.digest}", "oci:three")
    for place in (f"{name}-one", f"{name}-two", "oci:three"):
        assert await client.contains(f"{place}@{ARM.digest}")
    await client.artifacts.backup([f"{name}:1", f"{name}-some"], "oci:full")
    some = await client.artifacts.restore(f"oci:full:{name}-some:1", f"{name}-four")
    assert [tag.reference for tag in some.tags] == [f"{name}-four:1"]
    await client.artifacts.backup(f"oci:full:{name}-some:1", "oci:five")
    assert names_in("five") == {"1"}
    await client.artifacts.backup(["oci:backup:1", "oci:backup:latest", "oci:backup:1"], "oci:six")
    assert names_in("six") == {"1", "latest"}
    with pytest.raises(NotFound):
        await client.artifacts.restore("oci:backup", f"{name}-some:3")
    with pytest.raises(InvalidReference):
        await client.artifacts.backup(f"{name},other", "oci:none")


async def test_untagged_manifests_come_where_something_leads_to_them(
    client: AsyncClient, host: str, repository: str
) -> None:
    name = f"{host}/{repository}"
    images.push(host, repository, "1", TWO)
    images.push(host, repository, None, ONE)
    images.push(host, repository, COSIGN, SIGNATURE)
    orphan = f"sha256-{'0' * 64}.sig"
    images.push(host, repository, orphan, images.make_artifact("text/x-orphan"))
    report = await client.artifacts.backup(name, "oci:backup", referrers=True)
    assert names_in("backup") == {"1"}
    assert [note.code for note in report.notes] == ["untagged-left-behind"]  # type: ignore[attr-defined]
    report = await client.artifacts.backup(name, "oci:backup", referrers=True, untagged=True)
    assert names_in("backup") == {"1", ONE.digest, COSIGN, orphan}
    assert "does not list its manifests without a tag" in report.notes[0]
    await client.artifacts.restore("oci:backup", f"{name}-tags")
    assert not await client.contains(f"{name}-tags@{ONE.digest}")
    await client.artifacts.restore("oci:backup", f"{name}-all", untagged=True)
    assert await client.contains(f"{name}-all@{ONE.digest}")
    assert await client.digest(f"{name}-all:{COSIGN}") == SIGNATURE.digest
    assert await client.contains(f"{name}-all:{orphan}")
    # From layout to layout all manifests are known.
    await client.artifacts.backup("oci:backup", "oci-archive:all.tar", referrers=True, untagged=True)
    assert await client.contains(f"oci-archive:all.tar@{ONE.digest}")
    await client.artifacts.backup([name, f"{name}-tags"], "oci:both", untagged=True)
    assert f"{name}@{ONE.digest}" in names_in("both")
    await client.artifacts.restore("oci:both", maps={name: f"{name}-both"}, untagged=True)
    assert await client.contains(f"{name}-both@{ONE.digest}")


async def test_a_plan_comes_first_and_a_dry_run_changes_nothing(client: AsyncClient, name: str) -> None:
    plans: list[Sequence[PlannedTag]] = []

    def planned(tags: Sequence[PlannedTag]) -> None:
        assert not Path("backup").exists()
        plans.append([*tags])

    dry = await client.artifacts.backup(name, "oci:backup", dry_run=True, on_plan=planned)
    assert not Path("backup").exists()
    real = await client.artifacts.backup(name, "oci:backup", on_plan=planned)
    assert dry.tags == real.tags == plans[0] == plans[1]
    assert dry.copied.bytes == real.copied.bytes > 0
    await client.artifacts.backup(f"{name}:1", "oci-archive:backup.tar")
    before = Path("backup.tar").read_bytes()
    for target, count in (("new.tar", 4), ("backup.tar", 3)):
        dry = await client.artifacts.backup(name, f"oci-archive:{target}", dry_run=True, untagged=True, referrers=True)
        assert dry.copied.manifests == count
    assert not Path("new.tar").exists()
    assert Path("backup.tar").read_bytes() == before
    dry = await client.artifacts.restore("oci:backup", f"{name}-back", dry_run=True)
    assert (states(dry), dry.copied.manifests) == ({"1": "new", "latest": "new"}, 3)
    with pytest.raises(NotFound):
        await client.tags(f"{name}-back")


async def test_tags_that_are_there_are_moved_or_left_alone(client: AsyncClient, host: str, repository: str) -> None:
    name = f"{host}/{repository}"
    for tag in ("1", "2", "3", "4"):
        images.push(host, repository, tag, ONE)
    await client.artifacts.backup(name, "oci:backup")
    images.push(host, repository, "1", TWO)
    kept = await client.artifacts.restore("oci:backup", name, clobber=False)
    assert states(kept) == {"1": "kept", "2": "unchanged", "3": "unchanged", "4": "unchanged"}
    assert await client.digest(f"{name}:1") == TWO.digest
    said: list[str] = []
    moved = await client.artifacts.restore(
        "oci:backup", name, on_plan=lambda tags: said.extend(tag.state for tag in tags)
    )
    assert said[0] == states(moved)["1"] == "moved"
    assert moved.tags[0].previous == TWO.digest
    assert await client.digest(f"{name}:1") == ONE.digest


async def test_a_failure_leaves_nothing_half(client: AsyncClient, elsewhere: str, repository: str) -> None:
    images.push(elsewhere, repository, "1", ONE)
    images.push(elsewhere, repository, "2", TWO)
    await client.artifacts.backup(f"{elsewhere}/{repository}:1", "oci-archive:old.tar")
    before = Path("old.tar").read_bytes()
    with CountingProxy(f"http://{elsewhere}") as proxy:
        name = f"{proxy.host}/{repository}"
        proxy.intercept = when(Reply(status=404), path=f"/blobs/{images.digest_of(TWO.layers[0])}")
        for target in ("oci:new", "oci-archive:new.tar", "oci-archive:old.tar"):
            with pytest.raises(NotFound):
                await client.artifacts.backup(name, target)
        assert Path("old.tar").read_bytes() == before
        assert not Path("new.tar").exists()
        assert names_in("new") <= {"1"}
        # Into another layout: a tag that came before the failure keeps its name, which is a short one.
        report = await client.artifacts.backup([name, f"{name}-not"], "oci:several", keep_going=True)
        assert [failure.reference for failure in report.failed] == [f"{name}-not", f"{name}:2"]
        proxy.intercept = None
        proxy.reset()
        await client.artifacts.backup(name, "oci:several/")
        assert names_in("several") == {f"{name}:1", f"{name}:2"}
        assert not any(images.digest_of(ONE.layers[0]) in line for line in proxy.lines)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        back = f"{proxy.host}/{repository}-back"
        proxy.intercept = when(Reply(status=403), method="PUT", path="/manifests/1$")
        report = await client.artifacts.restore("oci:several", back, keep_going=True)
        assert [failure.reference for failure in report.failed] == [f"oci:several:{name}:1"]
        assert [info.tag for info in await client.tags(back)] == ["2"]


async def test_what_is_no_backup_is_refused(client: AsyncClient, name: str, tmp_path: Path) -> None:
    Path("folder").mkdir()
    Path("folder/file").write_text("mine")
    Path("text.tar").write_text("no archive")
    await client.artifacts.backup(name, "oci-archive:backup.tar")
    Path("short.tar").write_bytes(Path("backup.tar").read_bytes()[:2000])
    Path("empty").mkdir()
    await client.artifacts.backup(name, "oci:backup")
    shutil.copytree("backup", "hollow")
    document = json.loads(Path("hollow/index.json").read_text())
    Path("hollow/index.json").write_text(json.dumps(document | {"manifests": []}))
    for source, kind in {
        "oci:folder": InvalidContent,
        "oci:empty": InvalidContent,
        "oci:missing": NotFound,
        "oci:hollow": NotFound,
        "oci:backup:latest:1": NotFound,
        "oci-archive:text.tar": InvalidContent,
        "oci-archive:short.tar": InvalidContent,
        "oci-archive:missing.tar": NotFound,
        f"oci:backup@sha256:{'0' * 64}": NotFound,
        "oci:backup:none": NotFound,
        f"docker-archive:{tmp_path}/backup.tar": UsageError,
        name: UsageError,
    }.items():
        with pytest.raises(kind):
            await client.artifacts.restore(source, f"{name}-back")
    for target in (
        "oci:folder",
        "oci-archive:text.tar",
        "oci-archive:short.tar",
        "oci:new:1",
        "dir:new",
        f"{name}-back",
    ):
        with pytest.raises(LadingError):
            await client.artifacts.backup(name, target)
    for call in (
        client.artifacts.backup([], "oci:new"),
        client.artifacts.backup("oci:backup", "oci:../" + tmp_path.name + "/backup"),
        client.artifacts.restore("oci:backup", "oci:backup"),
        client.artifacts.restore("oci:backup", "dir:new"),
        client.artifacts.restore("oci:backup"),
        client.artifacts.restore("oci:backup", f"{name}-back", maps={name: f"{name}-back"}),
        client.artifacts.backup("dir:folder", "oci:new"),
    ):
        with pytest.raises(UsageError):
            await call
    for call in (
        client.artifacts.backup(name, "oci:new", include="none*"),
        client.artifacts.backup("oci:hollow", "oci:new"),
        client.artifacts.restore("oci:backup", f"{name}-back", exclude="*"),
    ):
        with pytest.raises(NotFound):
            await call
    assert sorted(path.name for path in Path("empty").iterdir()) == []
    assert sorted(path.name for path in Path("folder").iterdir()) == ["file"]
    with pytest.raises(NotFound):
        await client.tags(f"{name}-back")


async def test_a_backup_is_only_read(client: AsyncClient, name: str) -> None:
    await client.artifacts.backup(name, "oci:backup")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in Path("backup").rglob("*")}
    await client.artifacts.restore("oci:backup", f"{name}-back")
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in Path("backup").rglob("*")} == before
    await client.artifacts.restore("oci:backup", "oci:other")
    assert set(Path("backup").rglob("*")) == before.keys()


async def test_dangling_entries_and_names_that_are_none(client: AsyncClient, name: str) -> None:
    await client.artifacts.backup(name, "oci:backup")
    index = Path("backup/index.json")
    document = json.loads(index.read_text())
    one = next(entry for entry in document["manifests"] if entry["digest"] == ONE.digest)
    gone = one | {"digest": f"sha256:{'0' * 64}", "annotations": {REF_NAME: "gone"}}
    bad = [
        one | {"annotations": {REF_NAME: text}} for text in ("../../x", "a b", "\x1b[31m", "é:1", "x" * 200, "REG/A:1")
    ]
    index.write_text(json.dumps(document | {"manifests": [*document["manifests"], gone, *bad]}))
    with pytest.raises(NotFound):
        await client.artifacts.restore("oci:backup", f"{name}-back")
    report = await client.artifacts.restore("oci:backup", f"{name}-back", keep_going=True)
    assert [failure.reference for failure in report.failed] == ["oci:backup:gone"]
    assert [info.tag for info in await client.tags(f"{name}-back", sort="name")] == ["1", "latest"]
    assert sum("stayed behind: its name has no tag" in note for note in report.notes) == len(bad)


async def test_two_manifests_with_one_tag_are_told_apart_by_their_repositories(client: AsyncClient, name: str) -> None:
    await client.artifacts.backup(name, "oci:backup")
    index = Path("backup/index.json")
    document = json.loads(index.read_text())
    index.write_text(
        json.dumps(
            document
            | {
                "manifests": [
                    entry | {"annotations": {REF_NAME: "1", IMAGE_NAME: f"reg.example/{number}:1"}}
                    for number, entry in enumerate(document["manifests"])
                ]
            }
        )
    )  # as containerd exports several images
    report = await client.artifacts.restore("oci:backup", f"{name}-back/")
    assert {tag.reference.rpartition("/")[2] for tag in report.tags} == {"0:1", "1:1"}
    index.write_text(
        json.dumps(
            document | {"manifests": [entry | {"annotations": {REF_NAME: "1"}} for entry in document["manifests"]]}
        )
    )
    with pytest.raises(Conflict):
        await client.artifacts.restore("oci:backup", f"{name}-back")


def oras(*args: str) -> str:
    need("oras")
    return run(["oras", *args]).stdout


@pytest.mark.parametrize("output", ["theirs", "theirs.tar"])
async def test_what_oras_backed_up_is_restored_and_gone_on_with(client: AsyncClient, name: str, output: str) -> None:
    await attach(client, name)
    oras("backup", "--plain-http", name, "--include-referrers", "--output", output)
    place = f"oci-archive:{output}" if output.endswith(".tar") else f"oci:{output}"
    report = await client.artifacts.restore(place, f"{name}-back")
    assert states(report) == {"1": "new", "latest": "new"}
    for tag in ("1", "latest", COSIGN):
        assert await client.digest(f"{name}-back:{tag}") == await client.digest(f"{name}:{tag}")
    assert await referring(client, f"{name}-back") == [SBOM.digest]
    registry, _, repository = name.partition("/")
    images.push(registry, repository, "2", TWO)
    report = await client.artifacts.backup(name, place, referrers=True)
    assert states(report) == {"1": "unchanged", "latest": "unchanged", "2": "new"}
    # It is this repository's from now on.
    other = await client.artifacts.backup(f"{name}-back", place)
    assert {tag.state for tag in other.tags} == {"new"}
    assert await client.digest(f"{place}:2") == TWO.digest


@pytest.mark.parametrize("target", ["oci:ours", "oci-archive:ours.tar"])
async def test_oras_restores_what_was_backed_up(client: AsyncClient, name: str, target: str) -> None:
    await attach(client, name)
    await client.artifacts.backup(name, target, referrers=True)
    oras("restore", "--plain-http", "--input", target.partition(":")[2], f"{name}-back")
    for tag in ("1", "latest", COSIGN):
        assert await client.digest(f"{name}-back:{tag}") == await client.digest(f"{name}:{tag}")
    assert await referring(client, f"{name}-back") == [SBOM.digest]


@pytest.mark.parametrize("with_referrers", [False, True])
async def test_requests_are_fewer_than_those_of_oras(
    client: AsyncClient, host: str, name: str, with_referrers: bool
) -> None:
    registry, _, repository = name.partition("/")
    for tag, image in {"2": TWO, "2.0": TWO, "old": OLD}.items():
        images.push(registry, repository, tag, image)
    await attach(client, name)
    words = ["--include-referrers"] if with_referrers else []
    with CountingProxy(f"http://{host}") as proxy:
        there = f"{proxy.host}/{repository}"
        for is_again in (False, True):
            proxy.reset()
            oras("backup", "--plain-http", there, "--output", "theirs", *words)
            theirs = len(proxy.exchanges)
            proxy.reset()
            await client.artifacts.backup(there, "oci:ours", referrers=with_referrers)
            # They take the tags that are made of digests for tags like any other.
            assert len(proxy.exchanges) < theirs, proxy.lines
            assert proxy.count("GET", "/blobs/") == (0 if is_again else proxy.count("GET", "/blobs/"))
        for is_again in (False, True):
            proxy.reset()
            oras("restore", "--plain-http", "--input", "theirs", f"{there}-theirs")
            theirs = len(proxy.exchanges)
            proxy.reset()
            await client.artifacts.restore("oci:ours", f"{there}-ours")
            assert len(proxy.exchanges) < theirs, proxy.lines
            assert not is_again or proxy.count("PUT") == proxy.count("POST") == 0


async def test_what_repositories_share_is_sent_once_to_a_registry(
    client: AsyncClient, host: str, elsewhere: str, repository: str
) -> None:
    for end in ("a", "b", "c"):
        images.push(elsewhere, f"{repository}/{end}", "1", ONE)
    await client.artifacts.backup([f"{elsewhere}/{repository}/{end}" for end in "abc"], "oci:kept")
    with CountingProxy(f"http://{host}") as proxy:
        report = await client.artifacts.restore("oci:kept", f"{proxy.host}/{repository}-restored/")
        sent = [one for one in proxy.exchanges if one.status == 201 and one.query.rpartition("&")[2][:7] == "digest="]
    assert len(sent) == len(ONE.blobs) == report.copied.uploaded
    assert report.copied.mounted == 2 * len(ONE.blobs)
    for end in "abc":
        assert images.get_manifest(host, f"{repository}-restored/{repository}/{end}", "1")[2] == ONE.digest


async def test_what_repositories_share_is_read_once(client: AsyncClient, elsewhere: str, repository: str) -> None:
    for number in range(6):
        for tag, image in {"1": ONE, "1.0": ONE, "latest": INDEX}.items():
            images.push(elsewhere, f"{repository}-{number}", tag, image)
    with CountingProxy(f"http://{elsewhere}") as proxy:
        names = [f"{proxy.host}/{repository}-{number}" for number in range(6)]
        report = await client.artifacts.backup(names, "oci:backup", referrers=False)
        assert proxy.count("GET", "/blobs/") == len({*ONE.blobs, *ARM.blobs}) == report.copied.uploaded
        # Each tag is read once, which tells what it names, too; and the only entry of an index.
        assert proxy.count("HEAD") == 0
        assert proxy.count("GET", "/manifests/") == 18 + len(INDEX.children) - 1
        assert len({exchange.connection for exchange in proxy.exchanges}) <= 16


def test_on_the_command_line(lading: Lading, name: str, tmp_path: Path) -> None:
    ran = lading.run("artifact", "backup", name, "oci:backup", "--referrers", cwd=tmp_path)
    short = {tag: image.digest[7:19] for tag, image in (("1", ONE), ("latest", INDEX))}
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert lines[0] == ["TAG", "STATE", "DIGEST"]
    assert sorted(lines[1:]) == [["oci:backup:1", "new", short["1"]], ["oci:backup:latest", "new", short["latest"]]]
    assert "2 tags: 2 new" in ran.stderr
    registry, _, repository = name.partition("/")
    images.push(registry, repository, "1", TWO)
    moved = lading.run("artifact", "backup", name, "oci:backup", cwd=tmp_path)
    assert moved.stdout.splitlines()[1].split() == ["oci:backup:1", "moved", TWO.digest[7:19], "was", short["1"]]
    quiet = lading.run("artifact", "restore", "oci:backup", f"{name}-back", "-q", cwd=tmp_path)
    assert quiet.stdout.splitlines() == [f"{name}-back:1@{TWO.digest}", f"{name}-back:latest@{INDEX.digest}"]
    assert quiet.stderr == ""
    document = lading.run("artifact", "restore", "oci:backup", f"{name}-back", "--format", "json", cwd=tmp_path).stdout
    assert [tag["state"] for tag in json.loads(document)["tags"]] == ["unchanged", "unchanged"]
    mapped = lading.run("artifact", "restore", "oci:backup", "--map", f"{name}={name}-map", "--dry-run", cwd=tmp_path)
    assert "Would copy" in mapped.stderr
    archive = lading.run("artifact", "backup", name, "oci-archive:-", cwd=tmp_path)
    assert b"index.json" in archive.stdout_bytes
    gone = lading.run("artifact", "backup", f"{name}:1", "oci:backup", "--prune", "--include", "1", cwd=tmp_path)
    assert gone.returncode == 0
    for code, words in (
        (2, ("restore", "oci:backup", name, "--map", "old")),
        (2, ("restore", "oci:backup")),
        (2, ("backup", name, f"{name}-back")),
        (2, ("backup", name, "oci-archive:-", "--format", "json")),
        (3, ("backup", f"{name}-none", "oci:none")),
        (3, ("backup", f"{name}:none,1", "oci:none")),
        (1, ("backup", f"{name}:none,1", "oci:some", "--keep-going")),
        (3, ("restore", "oci:none", name)),
        (7, ("restore", f"oci:{tmp_path}", name)),
    ):
        assert lading.run("artifact", *words, cwd=tmp_path, check=False).returncode == code, words


NAMES = strategies.lists(
    strategies.tuples(
        strategies.sampled_from([None, "reg.example/a", "reg.example/b"]),
        strategies.sampled_from(["1", "2"]),
        strategies.booleans(),
        strategies.sampled_from([image.digest for image in (ONE, TWO)]),
    ),
    max_size=6,
    unique_by=lambda entry: entry[:2],
)


@given(NAMES)
def test_every_tag_is_of_one_repository(entries: list[tuple[str | None, str, bool, str]]) -> None:
    listed = []
    for repository, tag, is_bare, digest in entries:
        full = f"{repository}:{tag}"
        annotations = {REF_NAME: tag}
        if repository is not None:
            annotations = {REF_NAME: tag, IMAGE_NAME: full} if is_bare else {REF_NAME: full}
        listed.append(Descriptor(digest=Digest(digest), size=1, annotations=annotations))
    names = Names(listed)
    owners = {repository for repository, _, is_bare, _ in entries if repository is not None and is_bare}
    found = {(group.repository, tag) for group in names.groups.values() for tag in group.names}
    owner = owners.pop() if len(owners) == 1 else None
    assert found == {(repository or owner, tag) for repository, tag, *_ in entries}
    for group in names.groups.values():
        if group.repository is None and any(other.is_bare for other in names.groups.values() if other.repository):
            with pytest.raises(Conflict):
                names.to_write(None, alone=True)
            continue
        kept, is_bare = names.to_write(group.repository, alone=True)
        assert kept is group
        assert is_bare == (group.is_bare or group.repository is None)
    assert names.to_write("reg.example/c", alone=True)[1] == (names.groups.keys() <= {None})
    assert not names.to_write("reg.example/c", alone=False)[1]


async def test_in_a_layout_of_several_repositories_only_what_was_named_is_pruned(
    client: AsyncClient, elsewhere: str, repository: str
) -> None:
    first, second = f"{elsewhere}/{repository}", f"{elsewhere}/{repository}-second"
    for path in (repository, f"{repository}-second"):
        for tag, image in {"1": ONE, "2": TWO}.items():
            images.push(elsewhere, path, tag, image)
    await client.artifacts.backup([first, second], "oci:backup")
    for name in (first, second):
        await client.untag(f"{name}:2")
    lines: list[str] = []
    report = await client.artifacts.backup(
        first, "oci:backup", prune=True, on_plan=lambda tags: lines.extend(tag.reference for tag in tags)
    )
    assert (report.pruned, lines) == (1, [f"oci:backup:{first}:1", f"oci:backup:{first}:2"])
    assert names_in("backup") == {f"{first}:1", f"{second}:1", f"{second}:2"}
    # What the other repository still has stays with what refers to it, also where only an index leads to it.
    for path in (repository, f"{repository}-second"):
        images.push(elsewhere, path, "arm", ARM)
        images.push(elsewhere, path, f"{ARM.digest.replace(':', '-')}.sig", SIGNATURE)
        await attach(client, f"{elsewhere}/{path}", images.make_artifact("text/x-arm", subject=ARM))
    images.push(elsewhere, f"{repository}-second", "index", INDEX)
    await client.artifacts.backup([first, second], "oci:backup", referrers=True)
    before = names_in("backup")
    for name in (first, second):
        await client.untag(f"{name}:arm")
        await client.artifacts.backup(name, "oci:backup", referrers=True, prune=True)
    gone = {f"{first}:arm", f"{second}:arm", f"{second}:2"}
    assert names_in("backup") == before - gone | {ARM.digest}
    assert len(await referring(client, "oci:backup", ARM)) == 1
    # What lost its last tag is not known to be of either.
    await client.untag(f"oci:backup:{second}:index")
    restored = await client.artifacts.restore("oci:backup", f"{elsewhere}/{repository}-back/", untagged=True)
    assert any("it is not known whose" in note for note in restored.notes)
    copied = await client.artifacts.backup("oci:backup", "oci:other", untagged=True)
    assert any("it is not known whose" in note for note in copied.notes)
    with pytest.raises(UsageError):
        await client.artifacts.backup("oci:backup", f"oci:{Path.cwd()}/backup")


async def test_two_tags_never_become_one_name(client: AsyncClient, elsewhere: str, repository: str) -> None:
    images.push(elsewhere, repository, "1", ONE)
    await client.artifacts.backup(f"{elsewhere}/{repository}", "oci:named")
    for folder, image in (("first", TWO), ("second", ARM)):
        images.push(elsewhere, f"{repository}-more", "1", image)
        await client.copy(f"{elsewhere}/{repository}-more:1", f"oci:{folder}:1")  # which says no repository
    for sources, target in ((["oci:first", "oci:second"], "oci:both"), (["oci:first"], "oci:named")):
        with pytest.raises(Conflict):
            await client.artifacts.backup(sources, target)
    with pytest.raises(Conflict):
        await client.artifacts.restore("oci:first", "oci:named")
    with pytest.raises(UsageError):
        await client.artifacts.restore("oci:first", f"{elsewhere}/")
    assert await client.digest("oci:named:1") == ONE.digest
    assert not Path("both").exists()
    await client.artifacts.restore("oci:named", f"{elsewhere}/")
    await client.artifacts.restore("oci:first", "oci:more")
    assert names_in("more") == {"1"}
