"""The commands copy, pull and push, as a user types them."""

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from support import images
from support.docker import DockerCLI
from support.lading import Lading
from support.process import run
from support.registry import RealRegistry

IMAGES = [images.make_image(f"linux/{arch}", seed=arch) for arch in ("amd64", "arm64/v8")]
INDEX = images.make_index(IMAGES)


@pytest.fixture
def source(registry: RealRegistry, repository: str) -> str:
    images.push(registry.host, repository, "1", INDEX)
    return f"{registry.host}/{repository}"


def test_copy_prints_the_full_name_and_a_summary(lading: Lading, source: str) -> None:
    ran = lading.run("copy", f"{source}:1", f"{source}-copy:1", "-t", "latest")
    assert ran.stdout.splitlines() == [f"{source}-copy:1@{INDEX.digest}", f"{source}-copy:latest@{INDEX.digest}"]
    assert ran.stderr == "Copied 3 manifests and 4 blobs: 0 B sent, 4 mounted\n"
    again = lading.run("copy", f"{source}:1", f"{source}-copy:1")
    assert again.stderr == "Nothing to copy: all of it is there already\n"
    assert lading.run("copy", "-q", f"{source}:1", f"{source}-copy:2").stderr == ""


def test_a_dry_run_prints_the_plan(lading: Lading, source: str, registry: RealRegistry, repository: str) -> None:
    ran = lading.run("copy", "--dry-run", f"{source}:1", f"{source}-copy:1")
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["TO", "DO", "WHAT", "DIGEST", "SIZE", "PLATFORM"]
    assert sorted(line.split()[0] for line in lines[1:8]) == ["copy"] * 3 + ["mount"] * 4
    assert lines[-2:] == [f"{source}-copy:1  new", f"{source}-copy:1@{INDEX.digest}"]
    assert ran.stderr.startswith("Would copy 3 manifests and 4 blobs: 0 B to send, 4 to mount")
    assert images.list_tags(registry.host, f"{repository}-copy") == []


def test_json_has_what_was_copied_mounted_and_skipped(lading: Lading, source: str) -> None:
    lading.run("copy", f"{source}:1", f"{source}-copy:1", "--platform", "linux/amd64")
    ran = lading.run("copy", f"{source}:1", f"{source}-copy:2", "--format", "json")
    assert ran.stderr == ""
    report = json.loads(ran.stdout)
    assert report["images"][0]["digest"] == INDEX.digest
    assert report["images"][0]["targets"][0]["state"] == "new"
    assert report["copied"] == {
        "manifests": 2,
        "uploaded": 0,
        "mounted": 2,
        "present": 1,
        "bytes": 0,
        "mounted_bytes": sum(step["size"] for step in report["steps"] if step["outcome"] == "mounted"),
        "present_bytes": sum(step["size"] for step in report["steps"] if step["outcome"] == "present"),
    }
    assert {step["outcome"] for step in report["steps"]} == {"copied", "mounted", "present"}
    name = lading.run("copy", f"{source}:1", f"{source}-copy:2", "--format", "{{ images[0].targets[0].full }}")
    assert name.stdout == f"{source}-copy:2@{INDEX.digest}\n"


def test_a_template_that_cannot_be_read_is_said_before_anything_is_done(
    lading: Lading, source: str, registry: RealRegistry, repository: str
) -> None:
    ran = lading.run("copy", f"{source}:1", f"{source}-copy:1", "--format", "{{ digest", check=False)
    assert ran.returncode == 2
    assert "template" in ran.stderr
    assert images.list_tags(registry.host, f"{repository}-copy") == []


def test_progress_for_machines_is_json_on_stderr(lading: Lading, source: str, tmp_path: Path) -> None:
    ran = lading.run("copy", "--progress", "json", f"{source}:1", f"oci:{tmp_path}/layout:1")
    events = [json.loads(line) for line in ran.stderr.splitlines()[:-1]]
    assert {event["event"] for event in events} >= {"started", "progressed", "finished", "totals"}
    assert ran.stdout == f"oci:{tmp_path}/layout:1@{INDEX.digest}\n"


def test_progress_on_a_terminal_draws_and_leaves_nothing_behind(lading: Lading, source: str, tmp_path: Path) -> None:
    ran = lading.run("copy", "--progress", "tty", f"{source}:1", f"oci:{tmp_path}/layout:1")
    assert "Copied 3 manifests" in ran.stderr
    assert ran.stdout == f"oci:{tmp_path}/layout:1@{INDEX.digest}\n"


@pytest.mark.parametrize(
    "arguments,code",
    [
        (["SOURCE:nope", "SOURCE:2"], 3),
        (["SOURCE:1", "SOURCE:2", "--platform", "linux/riscv64"], 3),
        (["SOURCE:1", "SOURCE:2", "--sparse"], 2),
        (["SOURCE:1", "SOURCE:1", "--if-digest", images.digest_of(b"other")], 8),
        (["SOURCE:1", "localhost:1/nobody:1"], 6),
        (["oci:/nowhere:1", "SOURCE:2"], 3),
    ],
)
def test_each_failure_has_its_exit_code(arguments: list[str], code: int, lading: Lading, source: str) -> None:
    ran = lading.run("copy", *(argument.replace("SOURCE", source) for argument in arguments), check=False)
    assert ran.returncode == code, ran.stderr
    assert ran.stdout == ""
    assert ran.stderr.startswith("error: ")
    assert len(ran.stderr.splitlines()) <= 3


def test_a_tag_that_is_not_there_is_answered_with_the_nearest(lading: Lading, source: str) -> None:
    ran = lading.run("copy", f"{source}:1x", f"{source}:2", check=False)
    assert "the nearest is 1" in ran.stderr


def test_reencoding_says_what_it_costs(lading: Lading, elsewhere: str, repository: str) -> None:
    """Only where something refers to the original; attestations in an index are about its images as they were."""
    source, encoded = f"{elsewhere}/{repository}", ("--to", "oci", "--compression", "none")
    image = images.make_image("linux/amd64", kind="docker")
    images.push(elsewhere, repository, "1", image)
    for target in (f"{source}:2", f"{source}-oci:1"):
        assert "refer" not in lading.run("copy", f"{source}:1", target, *encoded).stderr
    images.push(elsewhere, repository, None, images.make_artifact("text/x", subject=image))
    said = f"1 referrer of {source}:1, such as signatures, refers to it as it was, not to the copy"
    for target in (f"{source}:3", f"{source}-oci:2"):
        assert said in lading.run("copy", f"{source}:1", target, *encoded).stderr
    assert "refer" not in lading.run("copy", f"{source}:1", f"{source}:3", *encoded).stderr
    along = lading.run("copy", f"{source}:1", f"{source}-oci:3", *encoded, "--referrers").stderr
    assert f"1 referrer of {source}:1 refers to {image.digest}, which the copy does not have" in along
    attested = images.make_index([image, images.make_attestation(image)], kind="oci")
    images.push(elsewhere, repository, "index", attested)
    said = f"1 attestation of {source}:index is kept, and about the images as they were"
    assert said in lading.run("copy", f"{source}:index", f"{source}:4", *encoded).stderr


def test_pull_into_a_layout_and_push_from_it(
    lading: Lading, source: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    lading.run("pull", f"{source}:1", f"oci:{tmp_path}/layout")
    images.push(registry.host, repository, "2", IMAGES[0])
    lading.run("pull", f"{source}:2", f"oci:{tmp_path}/layout")
    ran = lading.run("push", f"oci:{tmp_path}/layout", f"{source}-pushed")
    assert images.list_tags(registry.host, f"{repository}-pushed") == ["1", "2"]
    assert sorted(ran.stdout.splitlines()) == [
        f"{source}-pushed:1@{INDEX.digest}",
        f"{source}-pushed:2@{IMAGES[0].digest}",
    ]
    lading.run("push", f"oci:{tmp_path}/layout:1", f"{source}-pushed:other", "-t", "more")
    assert images.list_tags(registry.host, f"{repository}-pushed") == ["1", "2", "more", "other"]


def test_what_stays_behind_is_said_with_the_option_that_brings_it(
    lading: Lading, source: str, elsewhere: str, repository: str
) -> None:
    images.push(elsewhere, repository, "1", IMAGES[0])
    images.push(elsewhere, repository, None, images.make_artifact(subject=IMAGES[0]))
    for words in (["copy"], ["tag"]):
        ran = lading.run(*words, f"{elsewhere}/{repository}:1", f"{source}-{words[0]}:1")
        stayed = f"warning: 1 referrer of {elsewhere}/{repository}:1 stayed behind:"
        assert [line.startswith(stayed) for line in ran.stderr.splitlines() if line.startswith("warning")] == [True]
    ran = lading.run("copy", f"{elsewhere}/{repository}:1", f"{source}-again:1", "--platform", "linux/amd64")
    assert "stayed behind: --referrers brings it along" in ran.stderr


def test_push_by_digest_gives_no_tag(
    lading: Lading, source: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    archive = f"docker-archive:{tmp_path}/image.tar"
    lading.run("pull", f"{source}:1", archive, "--platform", "linux/arm64")
    ran = lading.run("push", "--by-digest", archive, f"{source}-pushed")
    name, _, digest = ran.stdout.strip().rpartition("@")
    assert name == f"{source}-pushed"
    assert images.get_manifest(registry.host, f"{repository}-pushed", digest)[2] == digest
    assert images.list_tags(registry.host, f"{repository}-pushed") == []
    for words in ([f"{source}-pushed:1"], [f"{source}-pushed", "-t", "1"]):
        refused = lading.run("push", "--by-digest", archive, *words, check=False)
        assert refused.returncode == 2
        assert "--by-digest" in refused.stderr


def test_push_of_a_docker_archive_keeps_its_tags(
    lading: Lading, source: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    archive = f"docker-archive:{tmp_path}/image.tar"
    lading.run("pull", f"{source}:1", archive, "--platform", "linux/arm64")
    lading.run("push", archive, f"{source}-pushed")
    assert images.list_tags(registry.host, f"{repository}-pushed") == ["1"]


def test_push_and_pull_tell_registries_from_this_machine(lading: Lading, source: str) -> None:
    ran = lading.run("push", "nginx:1.27", f"{source}:2", check=False)
    assert ran.returncode == 2
    assert "docker-daemon:nginx:1.27" in ran.stderr
    ran = lading.run("pull", f"{source}:1", f"{source}:2", check=False)
    assert ran.returncode == 2
    assert "lading copy" in ran.stderr


def test_pull_without_an_engine_says_where_else_to(lading: Lading, source: str, tmp_path: Path) -> None:
    ran = lading.run("pull", f"{source}:1", env={"PATH": str(tmp_path)}, check=False)
    assert ran.returncode == 2
    assert f"lading pull {source}:1 oci:DIR" in ran.stderr


def test_pull_into_the_engine_and_push_from_it(
    lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str
) -> None:
    image = images.make_busybox(seed="hello")
    images.push(registry.host, repository, "1", images.make_index([image, IMAGES[1]]))
    name = f"{registry.host}/{repository}"
    there = {"DOCKER_HOST": engine.daemon, "PATH": os.environ["PATH"]}
    lading.run("pull", f"{name}:1", env=there)
    assert engine.run("run", "--rm", "--network=none", f"{name}:1").stdout == "hello\n"
    lading.run("push", f"docker-daemon:{name}:1", f"{name}:pushed", "-t", "latest", env=there)
    assert images.list_tags(registry.host, repository) == ["1", "latest", "pushed"]
    pushed = json.loads(images.get_manifest(registry.host, repository, "pushed")[0])
    assert pushed["config"]["digest"] == image.document["config"]["digest"]


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_standard_output_is_the_archive_and_nothing_else(
    kind: str, lading: Lading, source: str, tmp_path: Path
) -> None:
    ran = lading.run("copy", f"{source}:1", f"{kind}:-", "--platform", "linux/amd64")
    assert f"{kind}:-" in ran.stderr
    (tmp_path / "a.tar").write_bytes(ran.stdout_bytes)
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = sum(512 + -(-member.size // 512) * 512 for member in tar)
    assert len(ran.stdout_bytes) - members <= 10240, "there is only the padding of a tar file after the last member"
    piped = lading.run("push", f"{kind}:-", f"{source}-piped:1", stdin=ran.stdout_bytes)
    assert piped.stdout.startswith(f"{source}-piped:1@")
    for words in (("--format", "json"), ("oci:other:1",)):
        refused = lading.run("copy", f"{source}:1", f"{kind}:-", *words, cwd=tmp_path, check=False)
        assert (refused.returncode, refused.stdout_bytes) == (2, b"")
    planned = lading.run("copy", f"{source}:1", f"{kind}:-", "--dry-run", "--format", "json")
    assert json.loads(planned.stdout)["dry_run"]


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_a_reader_that_leaves_early_is_no_success(
    kind: str, lading: Lading, registry: RealRegistry, repository: str
) -> None:
    # More than a pipe holds.
    images.push(registry.host, repository, "large", images.make_image(layer_size=1_000_000))
    source = f"{registry.host}/{repository}:large"
    command = f'"{sys.executable}" -m lading copy {source} {kind}:- | head -c 10; exit ${{PIPESTATUS[0]}}'
    ran = run(["bash", "-c", command], env=lading.environment, check=False)
    assert (ran.returncode, len(ran.stdout_bytes)) == (1, 10)
    assert "Broken pipe" in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    "words, said",
    [
        (["push", "image.tar", "SOURCE:2"], "an archive oci-archive:image.tar or docker-archive:image.tar"),
        (["push", "./image.tar", "SOURCE:2"], "oci-archive:./image.tar"),
        (["push", "folder", "SOURCE:2"], "oci:folder"),
        (["copy", "SOURCE:1", "oci-layout:folder"], "oci:folder"),
        (["copy", "SOURCE:1", "containers-storage:app:1"], "docker-daemon:app:1"),
        (["copy", "--all-tags", "SOURCE:1", "SOURCE-copy"], "leave out the tag: SOURCE"),
        (["copy", "SOURCE:1", "SOURCE:2", "-t", "SOURCE:3"], "one more target"),
        (["copy", "--all-tags", "SOURCE", "SOURCE-copy", "--include", "semver:"], "semver:*"),
        (["copy", "SOURCE:1", "docker-archive:a.tar", "--referrers"], "leave out --referrers"),
        (["copy", "oci:folder:1", "docker-archive:a.tar:1.0"], "REPOSITORY:1.0"),
    ],
)
def test_a_mistake_is_answered_with_what_may_be_meant(
    words: list[str], said: str, lading: Lading, source: str, tmp_path: Path
) -> None:
    (tmp_path / "image.tar").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    if words[1].startswith("oci:"):
        lading.run("copy", "-q", f"{source}:1", "oci:folder:1", cwd=tmp_path)
    ran = lading.run(*(word.replace("SOURCE", source) for word in words), cwd=tmp_path, check=False)
    assert ran.returncode == 2, ran.stderr
    assert said.replace("SOURCE", source) in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    assert not (tmp_path / "a.tar").exists()


def test_a_damaged_layout_is_repaired_the_way_the_error_says(lading: Lading, source: str, tmp_path: Path) -> None:
    lading.run("copy", "-q", f"{source}:1", "oci:layout:1", cwd=tmp_path)
    blob = tmp_path / "layout/blobs/sha256" / images.digest_of(IMAGES[0].layers[0]).partition(":")[2]
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused = lading.run("push", "oci:layout:1", f"{source}-back:1", cwd=tmp_path, check=False)
    assert refused.returncode == 7
    assert "--verify" in refused.stderr
    lading.run("copy", "--verify", f"{source}:1", "oci:layout:1", cwd=tmp_path)
    assert blob.read_bytes() == whole
    lading.run("push", "oci:layout:1", f"{source}-back:1", cwd=tmp_path)


def test_guards_on_the_command_line(lading: Lading, source: str, registry: RealRegistry, repository: str) -> None:
    images.push(registry.host, repository, "2", IMAGES[0])
    kept = lading.run("copy", "--no-clobber", f"{source}:2", f"{source}:1", check=False)
    assert kept.returncode == 8
    wrong = lading.run("copy", "--if-digest", IMAGES[1].digest, f"{source}:2", f"{source}:1", check=False)
    assert (wrong.returncode, INDEX.digest in wrong.stderr) == (8, True)
    assert images.get_manifest(registry.host, repository, "1")[2] == INDEX.digest
    many = lading.run("copy", "--all-tags", "--no-clobber", f"{source}", f"{source}-copy")
    assert "left as" not in many.stderr
    images.push(registry.host, repository, "1", IMAGES[1])
    many = lading.run("copy", "--all-tags", "--no-clobber", f"{source}", f"{source}-copy")
    assert "1 tag left as it is" in many.stderr
    moved = lading.run("copy", "--if-digest", INDEX.digest, f"{source}:2", f"{source}-copy:1", "--jobs", "1")
    assert moved.stdout == f"{source}-copy:1@{IMAGES[0].digest}\n"


def test_no_clobber_keeps_a_name_in_a_docker_archive(lading: Lading, source: str, tmp_path: Path) -> None:
    words = ("copy", f"{source}:1", "docker-archive:a.tar", "--no-clobber")
    lading.run(*words, cwd=tmp_path)
    before = (tmp_path / "a.tar").read_bytes()
    assert "all of it is there already" in lading.run(*words, cwd=tmp_path).stderr
    assert lading.run(*words, "--platform", "linux/arm64", cwd=tmp_path, check=False).returncode == 8
    assert (tmp_path / "a.tar").read_bytes() == before
