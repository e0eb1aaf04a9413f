"""What other tools for artifacts get wrong, seen there: each as what lading does instead."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import images
from support.artifacts import TITLE, packed, pushed, tree
from support.lading import Lading
from support.registry import RealRegistry


@pytest.fixture(params=["docker-registry", "embedded"])
def host(request: pytest.FixtureRequest) -> Any:
    """A registry without the referrers API and without deletion of tags, and one with both."""
    if request.param == "docker-registry":
        return request.getfixturevalue("registry").host
    return request.getfixturevalue("elsewhere")


def entries(layout: Path) -> Any:
    return json.loads((layout / "index.json").read_bytes())["manifests"]


# What is typed


@pytest.mark.parametrize("words", [["artifact", "frob"], ["artifact"], ["blob", "frob"], ["manifest", "frob", "x"]])
def test_a_command_that_there_is_not_is_no_success(lading: Lading, words: list[str]) -> None:
    ran = lading.run(*words, check=False)
    assert ran.returncode == (0 if len(words) == 1 else 2), ran.stderr


def test_a_tag_that_is_none_is_refused_before_anything_is_sent(
    lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    place = f"{registry.host}/{repository}"
    ran = lading.run("artifact", "push", f"{place}:1", "a", "--tag", "bad tag!", cwd=tmp_path, check=False)
    assert (ran.returncode, "bad tag!" in ran.stderr) == (2, True), ran.stderr
    assert images.list_tags(registry.host, repository) == []
    lading.run("artifact", "push", f"{place}:1", "a", cwd=tmp_path)
    ran = lading.run("tag", f"{place}:1", "good", "bad tag!", check=False)
    assert (ran.returncode, "bad tag!" in ran.stderr) == (2, True), ran.stderr
    assert images.list_tags(registry.host, repository) == ["1"]


@pytest.mark.parametrize("text, said", [(None, "does not exist"), ("{", "as JSON"), ('{"a": {"k": 1}}', "as JSON")])
def test_an_annotation_file_that_is_missing_is_told_from_one_that_is_wrong(
    lading: Lading, tmp_path: Path, text: str | None, said: str
) -> None:
    (tmp_path / "a").write_text("a")
    if text is not None:
        (tmp_path / "said.json").write_text(text)
    words = ["artifact", "push", f"oci:{tmp_path}/l:1", "a", "--annotation-file", "said.json"]
    ran = lading.run(*words, cwd=tmp_path, check=False)
    assert (ran.returncode in (2, 3), "said.json" in ran.stderr) == (True, True), ran.stderr
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../up", "/none"])
def test_a_directory_that_could_not_be_pulled_is_not_pushed(lading: Lading, tmp_path: Path, target: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/link").symlink_to(target)
    ran = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "d", cwd=tmp_path, check=False)
    assert (ran.returncode, "d/link" in ran.stderr) == (7, True), ran.stderr
    assert not (tmp_path / "l").exists()


# What is pulled


def test_files_of_one_name_in_two_folders_are_two(lading: Lading, tmp_path: Path) -> None:
    for name in ("x1", "x2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "x1/f", "x2/f", cwd=tmp_path)
    ran = lading.run("artifact", "pull", f"oci:{tmp_path}/l:1", "-o", f"{tmp_path}/out")
    assert ran.stdout.splitlines() == [f"{tmp_path}/out/x1/f", f"{tmp_path}/out/x2/f"]
    assert ((tmp_path / "out/x1/f").read_text(), (tmp_path / "out/x2/f").read_text()) == ("x1", "x2")


def test_a_folder_that_an_archive_does_not_list_is_made(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, packed("d/sub/deep/x=x d/sub/l->deep/x d/sub/h~d/sub/deep/x"))
    lading.run("artifact", "pull", place, "-o", f"{tmp_path}/out")
    assert {name for name, (kind, _, _) in tree(tmp_path / "out").items() if kind != "directory"} == {
        "d/sub/deep/x",
        "d/sub/l",
        "d/sub/h",
    }


def test_a_list_of_nothing_is_a_list(lading: Lading, tmp_path: Path) -> None:
    words = ["artifact", "pull", "-o", f"{tmp_path}/out", "--format", "json"]
    lading.run("artifact", "push", f"oci:{tmp_path}/l:empty", "--artifact-type", "a/b")
    assert isinstance(json.loads(lading.run(*words, f"oci:{tmp_path}/l:empty").stdout)["files"], list)
    place = pushed(tmp_path, (b"x", {TITLE: "x"}))
    for state in ("written", "kept"):
        files = json.loads(lading.run(*words, place).stdout)["files"]
        assert [(file["title"], file["state"]) for file in files] == [("x", state)]
    lading.run("delete", "-y", f"oci:{tmp_path}/l:empty")
    assert entries(tmp_path / "l") == []


# What is written


def test_a_blob_that_is_there_is_no_word_for_another(
    lading: Lading, host: str, repository: str, tmp_path: Path
) -> None:
    place = f"{host}/{repository}"
    there = images.digest_of(b"there")
    for content, code in ((b"there", 0), (b"other", 7), (b"THERE", 7)):
        ran = lading.run("blob", "put", place, "-", "--digest", there, stdin=content, check=False)
        assert ran.returncode == code, ran.stderr
    assert lading.run("blob", "get", f"{place}@{there}").stdout == "there"


def test_a_blob_that_a_manifest_needs_stays_in_a_layout(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"x", {TITLE: "x"}))
    blob = f"oci:{tmp_path}/hostile@{images.digest_of(b'x')}"
    assert lading.run("blob", "delete", "-y", blob, check=False).returncode == 8
    lading.run("artifact", "pull", place, "-o", f"{tmp_path}/out")


def test_an_entry_that_an_index_has_is_not_added_again(
    lading: Lading, host: str, repository: str, tmp_path: Path
) -> None:
    place = f"{host}/{repository}"
    image, artifact = images.make_image(kind="oci"), images.make_artifact("a/b")
    images.push(host, repository, "image", image)
    images.push(host, repository, "artifact", artifact)
    lading.run("index", "create", f"{place}:1", f"{place}:image", f"{place}:artifact")
    for _ in range(2):
        lading.run("index", "add", f"{place}:1", f"{place}:artifact", f"{place}:image", check=False)
    listed = json.loads(lading.run("manifest", "get", f"{place}:1").stdout)["manifests"]
    assert sorted(entry["digest"] for entry in listed) == sorted([image.digest, artifact.digest])
    assert [entry.get("artifactType") for entry in listed if entry["digest"] == artifact.digest] == ["a/b"]


# What refers to something, and deletion


def test_what_was_deleted_is_in_no_tree(lading: Lading, host: str, repository: str, tmp_path: Path) -> None:
    place = f"{host}/{repository}"
    images.push(host, repository, "1", images.make_image(kind="oci"))
    made = []
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        ran = lading.run("artifact", "attach", f"{place}:1", name, "--artifact-type", f"x/{name}", cwd=tmp_path)
        made.append(ran.stdout.strip())
    for left, one in ((["x/b"], made[0]), ([], made[1])):
        lading.run("manifest", "delete", "-y", one)
        listed = json.loads(lading.run("artifact", "ls", f"{place}:1", "--format", "json").stdout)["referrers"]
        assert [entry["artifact_type"] for entry in listed] == left
        ran = lading.run("tree", f"{place}:1")
        assert "missing" not in ran.stdout
        assert "not there" not in ran.stdout
    lading.run("copy", f"{place}:1", f"oci:{tmp_path}/copied:1", "--referrers")


def test_what_is_chosen_is_chosen_in_every_format(lading: Lading, host: str, repository: str) -> None:
    place = f"{host}/{repository}"
    for tag in ("1.0", "1.1", "dev"):
        images.push(host, repository, tag, images.make_image(kind="oci"))
    words = ["tags", place, "--include", "1.*", "--sort", "name"]
    assert lading.run(*words).stdout.split() == ["1.0", "1.1"]
    assert [one["tag"] for one in json.loads(lading.run(*words, "--format", "json").stdout)["tags"]] == ["1.0", "1.1"]


def test_a_tag_that_could_not_be_removed_names_what_it_named(
    lading: Lading, registry: RealRegistry, repository: str
) -> None:
    """A registry that removes no tags: no other manifest takes the place of the one that the tag names."""
    place = f"{registry.host}/{repository}"
    image = images.make_image(kind="oci")
    for tag in ("1", "2"):
        images.push(registry.host, repository, tag, image)
    ran = lading.run("delete", "--untag", "-y", f"{place}:1", check=False)
    assert ran.returncode == 9, ran.stderr
    assert {lading.run("digest", f"{place}:{tag}").stdout.strip() for tag in ("1", "2")} == {image.digest}


EDITS = """
--label a=b|--env a=b|--annotation a=b|--remove-label a|--remove-env a|--remove-annotation a|--strip-file x
--remove-layer 1|--remove-layer-created-by .*|--file-time 2024-01-01|--reproducible|--compression gzip|--entrypoint a
--user me|--workdir /w|--port 80|--remove-port 80|--volume /v|--remove-volume /v|--cmd a|--clear cmd
--created 2024-01-01|--config-time 2024-01-01|--set-platform linux/arm64|--author me|--onbuild RUN|--no-healthcheck
--remove-buildarg A|--label-to-annotation|--to docker|--to oci|--remove-urls|--data-max 10
--digest-algorithm sha512
"""


@pytest.mark.parametrize("edit", EDITS.strip().replace("\n", "|").split("|"))
def test_an_edit_of_an_artifact_is_done_or_refused(lading: Lading, tmp_path: Path, edit: str) -> None:
    place = pushed(tmp_path, (b"x", {TITLE: "x"}))
    before = entries(tmp_path / "hostile")
    ran = lading.run("image", "edit", place, *edit.split(), "--target", f"oci:{tmp_path}/out:1", check=False)
    assert ran.returncode in (0, 3, 7, 9), ran.stderr
    assert "in a way it should not" not in ran.stderr
    assert entries(tmp_path / "hostile") == before
    if ran.returncode == 0:
        lading.run("manifest", "get", f"oci:{tmp_path}/out:1")
    else:
        assert not (tmp_path / "out").exists()
