"""`lading artifact push`: for a platform, into an index, and in the older form of manifests; beside oras and regctl."""

import json
from pathlib import Path
from typing import Any

import pytest

from lading import ArtifactFile, Client
from lading.errors import Conflict
from lading.registry.repository import Repository
from lading.transfer.operation import _Operation
from support.images import make_image, make_index
from support.images import push as push_image
from support.lading import Lading
from support.parts import need
from support.process import run
from support.registry import RealRegistry

CREATED = "org.opencontainers.image.created=2024-05-01T12:00:00Z"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    (folder / "c.json").write_text('{"x":1}')
    return folder


def manifest(lading: Lading, place: str) -> Any:
    return json.loads(lading.run("manifest", "get", place).stdout)


def platforms(lading: Lading, place: str) -> list[str]:
    """What the entries of an index are for, in their order."""
    entries = [entry["platform"] for entry in manifest(lading, place)["manifests"]]
    return ["/".join(one[key] for key in ("os", "architecture", "variant") if key in one) for one in entries]


# The form of the manifest


@pytest.mark.parametrize(
    "words, theirs",
    [
        (["a.txt", "--image-spec", "v1.0"], None),
        (["--image-spec", "v1.0"], None),
        (["a.txt", "--image-spec", "v1.0", "--artifact-type", "a/b"], None),
        (["a.txt", "--image-spec", "v1.0", "--config", "c.json:x/y"], None),
        (["a.txt", "--image-spec", "v1.1", "--config", "c.json", "--artifact-type", "a/b"], None),
        (["a.txt", "--platform", "linux/arm64/v8:10.1"], ["a.txt", "--artifact-platform", "linux/arm64/v8:10.1"]),
        (
            ["--platform", "linux/amd64", "--artifact-type", "a/b"],
            ["--artifact-platform", "linux/amd64", "--artifact-type", "a/b"],
        ),
        (["--config", "c.json", "--artifact-type", "a/b"], None),
        (["--config", "c.json"], None),
        (
            ["a.txt", "--platform", "linux/amd64", "--image-spec", "1.0"],
            ["a.txt", "--artifact-platform", "linux/amd64", "--image-spec", "v1.0"],
        ),
    ],
)
def test_the_form_is_that_of_oras(
    lading: Lading, files: Path, tmp_path: Path, words: list[str], theirs: list[str] | None
) -> None:
    oras = need("oras")
    lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *words, "--annotation", CREATED, cwd=files)
    run([str(oras), "push", "--oci-layout", f"{tmp_path}/o:1", *(theirs or words), "--annotation", CREATED], cwd=files)
    ours, others = (lading.run("manifest", "get", f"oci:{tmp_path}/{name}:1").stdout for name in "lo")
    assert ours == others


@pytest.mark.parametrize(
    "words, said",
    [
        (
            ["--image-spec", "1.0", "--config", "c.json", "--artifact-type", "a/b"],
            "the type of the artifact is that of",
        ),
        (["--image-spec", "1.0", "--platform", "linux/amd64", "--artifact-type", "a/b"], "config with the platform"),
        (["--image-spec", "1.1", "--config", "c.json"], "has an artifact type"),
        (["--platform", "linux/amd64", "--config", "c.json"], "another config was given"),
        (["--platform", "nothing"], "not a platform"),
        (["--image-spec", "2"], "--image-spec"),
        (["--index"], "say which: --platform"),
        (["--index", "--platform", "linux/amd64", "--by-digest"], "leave out --by-digest"),
    ],
)
def test_what_one_manifest_cannot_say_is_refused(
    lading: Lading, files: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    ran = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "a.txt", *words, cwd=files, check=False)
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert not (tmp_path / "l").exists()


def test_when_it_was_made_is_said_only_where_it_is_asked_for(lading: Lading, files: Path, tmp_path: Path) -> None:
    lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "a.txt", "--annotation", CREATED, cwd=files)
    assert manifest(lading, f"oci:{tmp_path}/l:1")["annotations"] == {
        "org.opencontainers.image.created": "2024-05-01T12:00:00Z"
    }


def test_an_artifact_for_a_platform_is_found_by_it(
    lading: Lading, files: Path, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    oras, place = need("oras"), f"{registry.host}/{repository}:1"
    lading.run("artifact", "push", place, "a.txt", "--platform", "linux/arm64", cwd=files)
    lading.run("artifact", "pull", place, "--platform", "linux/arm64", "-o", str(tmp_path / "ours"))
    run([str(oras), "pull", "--plain-http", place, "--platform", "linux/arm64", "-o", str(tmp_path / "out")], cwd=files)
    assert [(tmp_path / name / "a.txt").read_text() for name in ("ours", "out")] == ["a", "a"]
    other = lading.run("artifact", "pull", place, "--platform", "linux/s390x", cwd=tmp_path, check=False)
    assert other.returncode == 3


def test_an_artifact_without_a_tag_is_there_by_its_digest(lading: Lading, files: Path, tmp_path: Path) -> None:
    ran = lading.run("artifact", "push", f"oci:{tmp_path}/l", "a.txt", "--by-digest", cwd=files)
    assert ran.stdout.startswith(f"oci:{tmp_path}/l@sha256:")
    assert manifest(lading, ran.stdout.strip())["layers"]
    refused = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "a.txt", "--by-digest", cwd=files, check=False)
    assert refused.returncode == 2


def test_files_have_titles_without_folders(lading: Lading, files: Path, tmp_path: Path) -> None:
    words = [str(files / "a.txt"), "x/y=b.txt", f"{files.name}/c.json:text/x"]
    lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *words[:1], "--strip-dirs", cwd=tmp_path)
    assert manifest(lading, f"oci:{tmp_path}/l:1")["layers"][0]["annotations"] == {
        "org.opencontainers.image.title": "a.txt"
    }
    again = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *words, "--strip-dirs", cwd=files.parent, check=False)
    assert (again.returncode, "b.txt does not exist" in again.stderr) == (3, True)


# Into an index


@pytest.mark.parametrize("place", ["layout", "registry"])
def test_an_index_has_an_artifact_for_each_platform(
    lading: Lading, files: Path, tmp_path: Path, registry: RealRegistry, repository: str, place: str
) -> None:
    target = f"oci:{tmp_path}/l:tools" if place == "layout" else f"{registry.host}/{repository}:tools"
    made = [
        lading.run("artifact", "push", target, f"tool={file}", "--index", "--platform", platform, cwd=files).stdout
        for platform, file in (("linux/amd64", "a.txt"), ("linux/arm64", "b.txt"))
    ]
    assert made[-1].strip() == f"{target}@{lading.run('digest', target).stdout.strip()}"
    assert platforms(lading, target) == ["linux/amd64", "linux/arm64"]
    assert manifest(lading, target)["manifests"][0]["artifactType"] == "application/vnd.unknown.artifact.v1"
    again = lading.run(
        *("artifact", "push", target, "tool=c.json", "--index", "--platform", "linux/amd64", "--format", "json"),
        cwd=files,
    )
    change = json.loads(again.stdout)["changes"][0]
    assert (change["kind"], change["platform"]) == ("replaced", "linux/amd64")
    assert platforms(lading, target) == ["linux/amd64", "linux/arm64"]
    for platform, text in (("linux/amd64", '{"x":1}'), ("linux/arm64", "b")):
        pulled = lading.run("artifact", "pull", target, "--platform", platform, "-o", "-")
        assert pulled.stdout == text
    same = lading.run("artifact", "push", target, "tool=b.txt", "--index", "--platform", "linux/arm64", cwd=files)
    assert "all of it is there already" in same.stderr


def test_an_index_of_regctl_gets_an_artifact(
    lading: Lading, files: Path, registry: RealRegistry, repository: str
) -> None:
    regctl, place = need("regctl"), f"{registry.host}/{repository}:1"
    run([str(regctl), "registry", "set", registry.host, "--tls", "disabled"], cwd=files, env={"HOME": str(files)})
    words = ["artifact", "put", "--index", "--artifact-type", "a/b", "-p", "linux/amd64", "-f", "a.txt", place]
    run([str(regctl), *words], cwd=files, env={"HOME": str(files)})
    lading.run(
        *("artifact", "push", place, "b.txt", "--index", "--platform", "linux/arm64", "--artifact-type", "a/b"),
        cwd=files,
    )
    assert platforms(lading, place) == ["linux/amd64", "linux/arm64"]
    got = run([str(regctl), "artifact", "get", "-p", "linux/arm64", place], cwd=files, env={"HOME": str(files)})
    assert got.stdout == "b"


def test_what_is_listed_for_the_platform_and_is_something_else_stays(
    lading: Lading, files: Path, registry: RealRegistry, repository: str
) -> None:
    place = f"{registry.host}/{repository}"
    push_image(registry.host, repository, "images", make_index([make_image("linux/amd64", kind="oci")], kind="oci"))
    push_image(registry.host, repository, "image", make_image("linux/amd64", kind="oci"))
    push_image(registry.host, repository, "list", make_index([make_image("linux/amd64")]))
    before = {tag: lading.run("digest", f"{place}:{tag}").stdout for tag in ("images", "image", "list")}
    for tag, code, said in (
        ("images", 8, "take it out first: lading index remove"),
        ("image", 8, "is not an index"),
        ("list", 8, "Docker manifest list"),
    ):
        words = ["artifact", "push", f"{place}:{tag}", "a.txt", "--index", "--platform", "linux/amd64"]
        ran = lading.run(*words, cwd=files, check=False)
        assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr
    lading.run("artifact", "push", f"{place}:images", "a.txt", "--index", "--platform", "linux/arm64", cwd=files)
    assert platforms(lading, f"{place}:images") == ["linux/amd64", "linux/arm64"]
    for tag in ("image", "list"):
        assert lading.run("digest", f"{place}:{tag}").stdout == before[tag]


def test_a_guard_is_about_the_index(lading: Lading, files: Path, tmp_path: Path) -> None:
    words = ["artifact", "push", f"oci:{tmp_path}/l:1", "a.txt", "--index", "--platform"]
    lading.run(*words, "linux/amd64", "--if-digest", "absent", cwd=files)
    digest = lading.run("digest", f"oci:{tmp_path}/l:1").stdout.strip()
    for more in (["--if-digest", "absent"], ["--no-clobber"]):
        assert lading.run(*words, "linux/arm64", *more, cwd=files, check=False).returncode == 8
    planned = lading.run(*words, "linux/arm64", "--dry-run", cwd=files)
    assert "TO DO" in planned.stdout
    assert lading.run("digest", f"oci:{tmp_path}/l:1").stdout.strip() == digest
    lading.run(*words, "linux/arm64", "--if-digest", digest, cwd=files)
    assert platforms(lading, f"oci:{tmp_path}/l:1") == ["linux/amd64", "linux/arm64"]


def test_what_others_put_into_the_index_meanwhile_stays(
    files: Path, lading: Lading, registry: RealRegistry, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{registry.host}/{repository}:1"
    words = ["artifact", "push", place, "b.txt", "--index", "--platform"]
    lading.run(*words, "linux/amd64", cwd=files)
    others = ["linux/arm64", "linux/s390x"]
    plan = _Operation._plan

    def planned(self: Any, *args: Any) -> None:
        """Another client is faster, each time that there is one."""
        plan(self, *args)
        if others:
            lading.run(*words, others.pop(), cwd=files, process=True)

    with monkeypatch.context() as patch, Client() as client:
        patch.setattr(_Operation, "_plan", planned)
        made = ArtifactFile(content=files / "a.txt", title="a.txt")
        client.artifacts.push(place, made, index=True, platform="linux/riscv64")
        assert not others
        others.append("linux/386")
        digest = client.digest(place)
        with pytest.raises(Conflict):
            client.artifacts.push(place, made, index=True, platform="linux/ppc64le", if_digest=digest)
    assert sorted(platforms(lading, place)) == [
        "linux/386",
        "linux/amd64",
        "linux/arm64",
        "linux/riscv64",
        "linux/s390x",
    ]


def test_what_others_wrote_over_the_index_is_put_in_again(
    files: Path, lading: Lading, registry: RealRegistry, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{registry.host}/{repository}:1"
    words = ["artifact", "push", place, "b.txt", "--index", "--platform"]
    lading.run(*words, "linux/amd64", cwd=files)
    lading.run("tag", place, "before", cwd=files)
    lading.run(*words[:2], f"{registry.host}/{repository}:before", *words[3:], "linux/arm64", cwd=files)
    put, theirs = Repository.put, Client().get_index(f"{registry.host}/{repository}:before")
    written: list[str] = []

    async def overwritten(self: Any, manifest: Any, name: str | None = None, **given: Any) -> None:
        """Another client looked before, and writes after."""
        await put(self, manifest, name, **given)
        if name == "1" and not written:
            written.append(name)
            await put(self, theirs, name)

    with monkeypatch.context() as patch, Client() as client:
        patch.setattr(Repository, "put", overwritten)
        made = ArtifactFile(content=files / "a.txt", title="a.txt")
        client.artifacts.push(place, made, index=True, platform="linux/riscv64")
    assert written
    assert platforms(lading, place) == ["linux/amd64", "linux/arm64", "linux/riscv64"]


def test_an_index_has_more_tags(lading: Lading, files: Path, tmp_path: Path) -> None:
    place, words = f"oci:{tmp_path}/l", ["a.txt", "--index", "--platform"]
    lading.run("artifact", "push", f"{place}:1", *words, "linux/amd64", "--tag", "a", cwd=files)
    ran = lading.run("artifact", "push", f"{place}:1", *words, "linux/arm64", "--tag", "b", "--tag", "a", cwd=files)
    digests = {lading.run("digest", f"{place}:{tag}").stdout.strip() for tag in ("1", "a", "b")}
    assert len(digests) == 1
    assert [line.partition("@")[0] for line in ran.stdout.split()] == [f"{place}:{tag}" for tag in ("1", "b", "a")]


def test_an_archive_has_an_index_of_artifacts(lading: Lading, files: Path, tmp_path: Path) -> None:
    place = f"oci-archive:{tmp_path}/a.tar:1"
    for platform in ("linux/amd64", "linux/arm64"):
        lading.run("artifact", "push", place, "a.txt", "--index", "--platform", platform, cwd=files)
    assert platforms(lading, place) == ["linux/amd64", "linux/arm64"]
    assert lading.run("artifact", "pull", place, "--platform", "linux/arm64", "-o", "-").stdout == "a"
