"""Wherever a reference is read, a location will do: layouts, archives and engines in the commands that look and tag."""

import json
import os
from pathlib import Path

import pytest

from support import images
from support.docker import DockerCLI
from support.lading import Lading
from support.registry import RealRegistry

IMAGES = [images.make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ("amd64", "arm64/v8")]
INDEX = images.make_index(IMAGES, kind="oci")


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    images.push(registry.host, repository, "1", INDEX)
    images.push(registry.host, repository, "arm", IMAGES[1])
    return f"{registry.host}/{repository}"


@pytest.fixture
def places(lading: Lading, name: str, tmp_path: Path) -> dict[str, str]:
    """The index in every kind of place that holds one."""
    for place in ("oci:layout:1", "oci-archive:a.tar:1"):
        lading.run("copy", "-q", f"{name}:1", place, cwd=tmp_path)
    return {
        "docker://": f"docker://{name}:1",
        "oci": "oci:layout:1",
        "oci, the only one": "oci:layout",
        "oci by digest": f"oci:layout@{INDEX.digest}",
        "oci-layout://": "oci-layout://layout:1",
        "ocidir://": "ocidir://layout:1",
        "oci-archive": "oci-archive:a.tar:1",
    }


def test_looking_gives_the_same_everywhere(lading: Lading, places: dict[str, str], tmp_path: Path) -> None:
    for place in places.values():
        assert lading.run("digest", place, cwd=tmp_path).stdout == f"{INDEX.digest}\n"
        assert lading.run("inspect", "--raw", place, cwd=tmp_path).stdout_bytes == INDEX.content
    for place in (places["oci"], places["oci-archive"]):
        arm = lading.run("digest", "--full", "--platform", "linux/arm64", place, cwd=tmp_path).stdout.strip()
        assert arm.endswith(f"@{IMAGES[1].digest}")
        # What is printed is a name that works.
        raw = lading.run("inspect", "--raw", arm, cwd=tmp_path).stdout_bytes
        assert raw == IMAGES[1].content
        found = json.loads(lading.run("inspect", "--format", "json", place, cwd=tmp_path).stdout)
        assert (found["reference"], found["digest"], found["entry_count"]) == (place, INDEX.digest, 2)
        assert [entry["state"] for entry in found["entries"]] == ["present", "present"]
        assert lading.run("manifest", "inspect", "--raw", place, cwd=tmp_path).stdout_bytes == INDEX.content
        wrong = lading.run("inspect", "--platform", "linux/s390x", place, check=False, cwd=tmp_path)
        assert wrong.returncode == 3
        assert f"{place} has nothing for linux/s390x" in wrong.stderr


def test_a_docker_archive_is_looked_at_by_name_by_tag_or_as_the_only_image(
    lading: Lading, name: str, tmp_path: Path
) -> None:
    lading.run("copy", "-q", f"{name}:arm", "docker-archive:a.tar", cwd=tmp_path)
    full = f"docker-archive:a.tar:{name}:arm"
    assert lading.run("tags", "docker-archive:a.tar", cwd=tmp_path).stdout == f"{name}:arm\n"
    assert lading.run("tags", f"docker-archive:a.tar:{name}", cwd=tmp_path).stdout == "arm\n"
    for place in ("docker-archive:a.tar", full, "docker-archive:a.tar:arm", f"docker-archive:a.tar@{IMAGES[1].digest}"):
        assert lading.run("digest", place, cwd=tmp_path).stdout == f"{IMAGES[1].digest}\n"
    pinned = lading.run("digest", "--full", full, cwd=tmp_path).stdout.strip()
    assert lading.run("inspect", "--raw", pinned, cwd=tmp_path).stdout_bytes == IMAGES[1].content
    wrong = lading.run("digest", "docker-archive:a.tar:other", check=False, cwd=tmp_path)
    assert wrong.returncode == 3
    assert f"it has {name}:arm"[:80] in wrong.stderr


def test_an_archive_is_read_from_a_pipe(lading: Lading, places: dict[str, str], tmp_path: Path) -> None:
    archive = (tmp_path / "a.tar").read_bytes()
    assert lading.run("digest", "oci-archive:-:1", stdin=archive).stdout == f"{INDEX.digest}\n"
    refused = lading.run("tag", "oci-archive:-:1", "2", stdin=archive, check=False)
    assert refused.returncode == 9
    assert "cannot be changed" in refused.stderr


@pytest.mark.parametrize("command", ["delete --yes", "delete --dry-run", "delete --yes --untag", "tag"])
def test_what_is_in_a_docker_archive_is_not_changed(
    command: str, lading: Lading, name: str, places: dict[str, str], tmp_path: Path
) -> None:
    lading.run("copy", "-q", f"{name}:arm", "docker-archive:d.tar", cwd=tmp_path)
    before = (tmp_path / "d.tar").read_bytes()
    place = f"docker-archive:d.tar:{name}:arm"
    words = [place, "new"] if command == "tag" else [place]
    refused = lading.run(*command.split(), *words, cwd=tmp_path, check=False)
    assert refused.returncode == 9
    assert "docker-archive:d.tar cannot be changed" in refused.stderr
    assert (tmp_path / "d.tar").read_bytes() == before


@pytest.mark.parametrize("place", ["oci:layout", "oci-archive:a.tar"])
def test_tags_are_given_listed_and_taken_away(
    place: str, lading: Lading, name: str, places: dict[str, str], registry: RealRegistry, tmp_path: Path
) -> None:
    def run(*words: str, check: bool = True) -> str:
        ran = lading.run(*words, cwd=tmp_path, check=check)
        assert check or ran.returncode == 8
        return ran.stdout

    assert "would" not in run("tag", "--dry-run", f"{place}:1", "2")
    assert run("tags", place) == "1\n"
    given = run("tag", f"{place}:1", "2", f"{place}:3", f"{name}:from-here")
    assert [line.split() for line in given.splitlines()] == [
        *([given_name, "new"] for given_name in (f"{place}:2", f"{place}:3", f"{name}:from-here")),
        [f"{place}@{INDEX.digest}"],
    ]
    assert images.get_manifest(registry.host, name.partition("/")[2], "from-here")[2] == INDEX.digest
    run("copy", "-q", f"{name}:arm", f"{place}:arm")
    assert sorted(run("tags", place, "--points-at", "2").split()) == ["1", "2", "3"]
    assert run("tags", place, "--digests").splitlines()[-1].split() == ["arm", IMAGES[1].digest[7:19]]
    run("tag", f"{place}:1", "3", "--if-digest", IMAGES[0].digest, check=False)
    assert run("delete", "--untag", "--yes", f"{place}:2").startswith(f"removed the tag {place}:2")
    # An index lists the image: it stays until that has gone.
    run("delete", "--yes", f"{place}:arm", check=False)
    assert run("delete", "--dry-run", f"{place}:1").splitlines()[1].endswith("the tags 1 and 3")
    assert "deleted" in run("delete", "--yes", f"{place}:1")
    assert run("tags", place) == "arm\n"


def test_what_a_layout_does_not_need_any_more_goes_when_it_is_asked_for(
    lading: Lading, name: str, tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        ran = lading.run(*words, cwd=tmp_path)
        return ran.stdout + ran.stderr

    run("copy", f"{name}:1", "oci:layout:1")
    run("copy", f"{name}:arm", "oci:layout:arm")
    run("delete", "--yes", "oci:layout:1")
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    left = {digest.partition(":")[2] for digest in (IMAGES[1].digest, *IMAGES[1].blobs)}
    assert "Nothing to remove" in run("registry", "gc", "oci:layout")
    gone = len(list(blobs.iterdir())) - len(left)
    assert f"Would remove {gone} blobs" in run("registry", "gc", "oci:layout", "--older-than", "0.001s", "--dry-run")
    run("registry", "gc", "oci:layout", "--older-than", "0.001s")
    assert {path.name for path in blobs.iterdir()} == left
    assert lading.run("registry", "gc", "oci:layout:arm", check=False, cwd=tmp_path).returncode == 2
    assert lading.run("registry", "gc", "oci:nowhere", check=False, cwd=tmp_path).returncode == 3


def test_what_cannot_be_changed_in_place_says_what_can_be_done(lading: Lading, name: str, tmp_path: Path) -> None:
    lading.run("copy", "-q", f"{name}:arm", "docker-archive:a.tar", cwd=tmp_path)
    before = (tmp_path / "a.tar").read_bytes()
    for words in (
        ("tag", "docker-archive:a.tar:arm", f"docker-archive:a.tar:{name}:2"),
        ("delete", "-y", "docker-archive:a.tar:arm"),
    ):
        ran = lading.run(*words, check=False, cwd=tmp_path)
        assert ran.returncode == 9, ran.stderr
        assert "write another" in ran.stderr
    assert (tmp_path / "a.tar").read_bytes() == before


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["digest", "oci:nowhere:1"], 3, "nowhere does not exist"),
        (["inspect", "oci:layout:2"], 3, "lading tags oci:layout"),
        (["inspect", "docker-archive:a.tar"], 7, "oci-archive:"),
        (["inspect", "oci:a.tar"], 7, "oci-archive:a.tar"),
        (["tags", "oci:layout:1"], 2, "lading tags oci:layout --points-at"),
        (["tag", "oci:layout:1", "docker-archive:b.tar"], 2, "docker-archive:b.tar:REPOSITORY:TAG"),
        (["tag", "oci:layout:1", "oci:other"], 2, "oci:other:TAG"),
        (["tag", "oci:layout:1", "docker-archive:b.tar:x.example/b:1"], 2, "--platform"),
        (["delete", "--untag", "-y", "oci:layout"], 2, "names no tag"),
        (["manifest", "create", "reg.example/list:1", "oci:nowhere:1"], 3, "nowhere does not exist"),
        (["manifest", "push", "oci:layout:1"], 2, "lading push oci:layout:1"),
        (["manifest", "inspect", "--verbose", "oci:layout:1"], 2, "not in a registry"),
        (["repos", "oci:layout"], 2, "not a registry"),
    ],
)
def test_mistakes_are_explained(
    words: list[str], code: int, said: str, lading: Lading, places: object, tmp_path: Path
) -> None:
    ran = lading.run(*words, check=False, cwd=tmp_path)
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    assert not (tmp_path / "b.tar").exists()


def test_a_list_is_made_of_what_is_on_this_machine_and_pushed_with_it(
    lading: Lading, name: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        ran = lading.run(*words, cwd=tmp_path)
        return ran.stdout + ran.stderr

    run("copy", f"{name}:1", "oci:layout:both")
    run("copy", f"{name}:arm", "docker-archive:arm.tar")
    target = f"{registry.host}/{repository}-made:1"
    said = run("manifest", "create", target, "oci:layout:both", "--platform", "linux/amd64")
    assert f"oci:{tmp_path}/layout:both (linux/amd64) added" in said
    run("manifest", "add", target, "docker-archive:arm.tar")
    run("manifest", "annotate", target, "docker-archive:arm.tar", "--os-features", "sse4")
    assert images.list_tags(registry.host, f"{repository}-made") == []
    assert f"would copy docker-archive:{tmp_path}/arm.tar" in run("manifest", "push", "--dry-run", target)
    # It is pushed from anywhere.
    lading.run("manifest", "push", target)
    pushed = json.loads(images.get_manifest(registry.host, f"{repository}-made", "1")[0])
    assert [entry["digest"] for entry in pushed["manifests"]] == [image.digest for image in IMAGES]
    assert pushed["manifests"][1]["platform"]["os.features"] == ["sse4"]
    for image in IMAGES:
        assert images.get_manifest(registry.host, f"{repository}-made", image.digest)[0] == image.content
    # What is in the registry is not needed here any more.
    (tmp_path / "arm.tar").unlink()
    lading.run("manifest", "push", target)
    missing = lading.run("manifest", "create", f"{target}-2", "docker-archive:arm.tar", check=False, cwd=tmp_path)
    assert missing.returncode == 3


def test_an_engine_is_looked_at_and_tagged(
    lading: Lading, engine: DockerCLI, name: str, registry: RealRegistry
) -> None:
    image = images.make_busybox(seed="looked at")
    images.push(registry.host, name.partition("/")[2], "engine", image)
    there = {"DOCKER_HOST": engine.daemon, "PATH": os.environ["PATH"]}

    def run(*words: str, check: bool = True) -> str:
        return lading.run(*words, env=there, check=check).stdout

    run("pull", "-q", f"{name}:engine", "docker-daemon:looked/at:1")
    found = json.loads(run("inspect", "docker-daemon:looked/at:1", "--format", "json"))
    assert found["entries"][0]["platform"] == "linux/amd64"
    pinned = run("digest", "--full", "docker-daemon:looked/at:1").strip()
    assert pinned == f"docker-daemon:docker.io/looked/at:1@{found['digest']}"
    assert run("digest", pinned).strip() == found["digest"]
    for identity in (image.document["config"]["digest"], image.document["config"]["digest"].removeprefix("sha256:")):
        assert run("digest", f"docker-daemon:{identity}").strip() == found["digest"]
    assert run("tag", "docker-daemon:looked/at:1", "2").split()[0] == "docker-daemon:docker.io/looked/at:2"
    assert sorted(run("tags", "docker-daemon:looked/at").split()) == ["1", "2"]
    assert engine.run("run", "--rm", "--network=none", "looked/at:2").stdout == "looked at\n"
    for words in (
        ("delete", "-y", "docker-daemon:looked/at:1"),
        ("delete", "--untag", "-y", "docker-daemon:looked/at:1"),
    ):
        ran = lading.run(*words, env=there, check=False)
        assert (ran.returncode, "docker image rm" in ran.stderr) == (9, True)
    missing = lading.run("inspect", "docker-daemon:looked/nowhere:1", env=there, check=False)
    assert missing.returncode == 3
    assert "docker images" in missing.stderr
