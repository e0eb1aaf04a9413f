"""`lading image flatten`, `squash` and the edits of layers: what is typed, what is printed, how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.images import digest_of, get_manifest, make_artifact, make_image, push
from support.lading import Lading
from support.layers import image, write_layout
from support.registry import RealRegistry

CONFIG = {"created": "2024-05-05T05:05:05Z"}


@pytest.fixture
def place(tmp_path: Path) -> str:
    return write_layout(tmp_path / "layout", image("d/ d/a=a d/b=b", "-d/a d/ d/c=c", "d/ d/b=2", config=CONFIG))


def document(lading: Lading, *command: str) -> Any:
    return json.loads(lading.run("image", *command, "--format", "json").stdout)


def listed(lading: Lading, place: str, *more: str) -> list[str]:
    return lading.run("image", "ls", place, "-R", *more).stdout.split()


def test_flatten(lading: Lading, place: str) -> None:
    ran = lading.run("image", "flatten", place, "-t", "flat", "-t", place.replace(":t", ":other"))
    names = ran.stdout.splitlines()[-2:]
    assert [name.partition("@")[0] for name in names] == [place.replace(":t", ":flat"), place.replace(":t", ":other")]
    assert listed(lading, place.replace(":t", ":flat")) == listed(lading, place) == ["d", "d/b", "d/c"]
    layers = document(lading, "layers", place.replace(":t", ":flat"))
    assert len(layers["layers"]) == 1


def test_squash(lading: Lading, place: str) -> None:
    for named in ("2", "step 1", "tep 1"):
        lading.run("image", "squash", place, "--from", named, "-t", "small")
        assert listed(lading, place.replace(":t", ":small")) == ["d", "d/b", "d/c"]
        assert listed(lading, place.replace(":t", ":small"), "--layer", "2") == ["d", "d/.wh.a", "d/b", "d/c"]


def test_a_dry_run_shows_what_would_change(lading: Lading, place: str) -> None:
    ran = lading.run("image", "flatten", place, "-t", "flat", "--dry-run")
    assert "3 layers in one" in ran.stdout
    assert lading.run("digest", place.replace(":t", ":flat"), check=False).returncode == 3
    made = lading.run("image", "flatten", place, "-t", "flat")
    assert made.stdout.rpartition("@")[2].strip() in ran.stdout


def test_in_place(lading: Lading, place: str) -> None:
    before = lading.run("digest", place).stdout.strip()
    ran = lading.run("image", "edit", place, "--strip-file", "/d/b", "--in-place")
    assert before in ran.stderr
    assert listed(lading, place) == ["d", "d/c"]
    assert lading.run("digest", place.replace(":t", f"@{before}")).stdout.strip() == before


def test_edits_of_layers_in_their_order(lading: Lading, place: str, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    edits = ["--replace-file", f"d/b={tmp_path}/new", "--remove-layer-created-by", "step 0", "--compression", "gzip:9"]
    lading.run("image", "edit", place, *edits, "--file-time", "1970-01-01T00:01:00+00:00,skip=1", "-t", "edited")
    entries = document(lading, "ls", place.replace(":t", ":edited"), "-R")["entries"]
    assert [(entry["path"], entry["mtime"]) for entry in entries] == [("d", 60), ("d/b", 60), ("d/c", 2000)]
    assert lading.run("image", "cat", place.replace(":t", ":edited"), "d/b").stdout == "new"


def test_the_time_of_what_is_made_is_that_of_the_sources(lading: Lading, place: str) -> None:
    epoch = {"SOURCE_DATE_EPOCH": "1500"}
    lading.run("image", "flatten", place, "-t", "flat", env=epoch)
    history = document(lading, "config", place.replace(":t", ":flat"))["history"]
    assert history[-1]["created"] == "1970-01-01T00:25:00Z"
    lading.run("image", "edit", place, "--reproducible", "-t", "edited", env=epoch)
    entries = document(lading, "ls", place.replace(":t", ":edited"), "-R")["entries"]
    assert [entry["mtime"] for entry in entries] == [1500, 1500, 1500]
    wrong = lading.run("image", "flatten", place, "-t", "2", env={"SOURCE_DATE_EPOCH": "today"}, check=False)
    assert wrong.returncode == 2


WRONG = {
    "flatten {place}": 2,
    "flatten {place} -t 2 --compression lzma": 2,
    "flatten {place} -t 2 --compression gzip:x": 2,
    "flatten {place} -t 2 --compression gzip:10": 2,
    "flatten {place} -t 2 --compression none:1": 2,
    "squash {place} -t 2": 2,
    "squash {place} -t 2 --from 2 --compression zstd:99": 2,
    "squash {place} -t 2 --from 4": 3,
    "squash {place} -t 2 --from nothing": 3,
    "edit {place} -t 2 --strip-file /no/such": 3,
    "edit {place} -t 2 --strip-file /": 2,
    "edit {place} -t 2 --strip-file d/../d": 2,
    "edit {place} -t 2 --strip-file *": 8,
    "edit {place} -t 2 --replace-file d/b": 2,
    "edit {place} -t 2 --replace-file d/b=/no/such": 2,
    "edit {place} -t 2 --replace-file d=/dev/null": 1,
    "edit {place} -t 2 --replace-file d/x=/dev/null": 3,
    "edit {place} -t 2 --remove-layer 0": 3,
    "edit {place} -t 2 --remove-layer 9": 3,
    "edit {place} -t 2 --remove-layer-created-by (": 2,
    "edit {place} -t 2 --remove-layer-created-by step": 8,
    "edit {place} -t 2 --file-time yesterday": 2,
    "edit {place} -t 2 --file-time 1,skip=x": 2,
    "edit {place} -t 2 --file-time 1960-01-01": 2,
    "edit {place} -t 2 --compression gzip:0": 2,
    "flatten {artifact} -t 2": 9,
    "squash {artifact} -t 2 --from 1": 9,
    "edit {artifact} -t 2 --strip-file a": 9,
    "edit {docker} -t 2 --compression zstd": 1,
    "flatten {docker} -t 2 --compression zstd": 1,
}


@pytest.mark.parametrize("command", WRONG)
def test_what_cannot_be_done_says_why_and_writes_nothing(
    command: str, lading: Lading, place: str, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "artifact", make_artifact())
    push(registry.host, repository, "docker", make_image(layers=2))
    names = {name: f"{registry.host}/{repository}:{name}" for name in ("artifact", "docker")}
    ran = lading.run("image", *command.format(place=place, **names).split(), check=False)
    assert ran.returncode == WRONG[command], ran.stderr
    assert ran.stdout == ""
    for location in (place.replace(":t", ":2"), f"{registry.host}/{repository}:2"):
        assert lading.run("digest", location, check=False).returncode == 3


def test_what_is_said_of_an_image_survives(lading: Lading, registry: RealRegistry, repository: str) -> None:
    """crane's flatten drops the subject and fields that it does not know, and mixes Docker's types with OCI's."""
    about = make_image(kind="oci", seed="about")
    made = make_image(kind="oci", layers=3, annotations={"a": "1"}, subject=about)
    push(registry.host, repository, "1", made)
    lading.run("image", "flatten", f"{registry.host}/{repository}:1", "-t", "flat")
    raw, media_type = get_manifest(registry.host, repository, "flat")[:2]
    document = json.loads(raw)
    assert document["annotations"] == {"a": "1"}
    assert document["subject"]["digest"] == digest_of(about.content)
    assert [media_type, document["config"]["mediaType"], *(one["mediaType"] for one in document["layers"])] == [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ]
