"""`lading tags`, with all its options, against a real registry."""

import pytest

from cli.failing import USAGE, fails
from cli.place import AMD64, ARM64, INDEX, SIZES, Place, short
from support.images import make_artifact, make_index
from support.lading import Lading


@pytest.fixture
def versions(place: Place) -> Place:
    """A repository with tags that sort differently by name and as versions."""
    ref = place.push("1.10", AMD64)
    place.run("tag", ref, "1.9", "v2.0-rc.1", "latest")
    arm = place.push("1.2.3", ARM64)
    place.run("tag", arm, "edge")
    return place


def test_tags_in_order(versions: Place) -> None:
    name = versions.name
    everything = {"1.10", "1.9", "v2.0-rc.1", "latest", "1.2.3", "edge"}
    assert set(versions.run("tags", name).split()) == everything
    assert set(versions.run("tags", name, "--sort", "registry").split()) == everything
    assert versions.run("tags", name, "--sort", "name").split() == sorted(everything)
    by_version = ["edge", "latest", "1.2.3", "1.9", "1.10", "v2.0-rc.1"]
    assert versions.run("tags", name, "--sort", "semver").split() == by_version
    assert versions.run("tags", name, "--latest", "2").split() == ["v2.0-rc.1", "1.10"]
    assert versions.run("tags", name, "--latest", "1", "--exclude", "*-rc*", "--sort", "semver") == "1.10\n"


def test_tags_like_this(versions: Place) -> None:
    def tags(*args: str) -> list[str]:
        return versions.run("tags", versions.name, "--sort", "name", *args).split()

    assert tags("--include", "1.*") == ["1.10", "1.2.3", "1.9"]
    assert tags("--include", "1.*", "--include", "l*", "--exclude", "*.9") == ["1.10", "1.2.3", "latest"]
    assert tags("--include", "semver:*") == ["1.10", "1.2.3", "1.9"]
    assert tags("--include", "semver:>=1.9", "--exclude", "re:1\\.[0-9]") == ["1.10"]
    for pattern in ("9*", "semver:9", "re:9"):
        nothing = versions.lading.run("tags", versions.name, "--include", pattern)
        assert (nothing.stdout, nothing.stderr) == ("", f"{versions.name} has no tags like that\n")


@pytest.mark.parametrize("command", ["tags localhost:1/app", "repos localhost:1", "copy --all-tags oci:nowhere oci:b"])
def test_what_is_no_pattern_is_said_before_anything_is_asked(lading: Lading, command: str) -> None:
    fails(lading, *command.split(), "--include", "re:(", code=USAGE, says=["'(' is not a regular expression"])
    fails(lading, *command.split(), "--exclude", "semver:new", code=USAGE, says=["'new' is not a range of versions"])


def test_tags_that_point_at(versions: Place) -> None:
    def tags(point: str) -> list[str]:
        return versions.run("tags", versions.name, "--sort", "name", "--points-at", point).split()

    same = ["1.10", "1.9", "latest", "v2.0-rc.1"]
    assert tags("1.9") == tags(f"{versions.name}:1.9") == tags(AMD64.digest) == same
    assert tags(f"{versions.name}@{ARM64.digest}") == ["1.2.3", "edge"]
    none = versions.lading.run("tags", versions.name, "--points-at", INDEX.digest, check=False)
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr == f"no tag of {versions.name} names that\n"
    assert (
        versions.lading.run("tags", versions.name, "--points-at", "latest", "--include", "e*", check=False).returncode
        == 1
    )


def test_tags_with_digests(versions: Place) -> None:
    rows = ["TAG        DIGEST", f"v2.0-rc.1  {short(AMD64.digest)}", f"1.10       {short(AMD64.digest)}"]
    assert versions.run("tags", versions.name, "--digests", "--latest", "2").splitlines() == rows
    said = versions.run("tags", versions.name, "--digests", "--no-trunc", "--include", "edge")
    assert said.splitlines()[1] == f"edge  {ARM64.digest}"
    assert versions.run("tags", "-q", versions.name, "--digests", "--include", "edge") == "edge\n"


def test_tags_as_a_document(versions: Place) -> None:
    document = versions.json("tags", versions.name, "--include", "edge")
    edge = {"tag": "edge", "digest": None, "media_type": None, "problem": None, "details": None}
    assert document == {"repository": versions.name, "tags": [edge]}
    document = versions.json("tags", versions.name, "--include", "edge", "--digests")
    assert document["tags"] == [edge | {"digest": ARM64.digest, "media_type": ARM64.media_type}]
    assert versions.json("tags", versions.name, "--include", "9")["tags"] == []


def test_a_repository_without_tags(place: Place) -> None:
    place.run("delete", "--yes", place.push("a", AMD64))
    ran = place.lading.run("tags", place.name)
    assert (ran.stdout, ran.stderr) == ("", f"{place.name} has no tags\n")


def test_tags_with_details(place: Place) -> None:
    for tag, made in (("b", "2024-05-01T10:00:00Z"), ("a", "2025-01-01T00:00:00.123456789+02:00"), ("c", "no time")):
        place.push(tag, make_index([AMD64], kind="oci", annotations={"org.opencontainers.image.created": made}))
    place.push("list", INDEX)
    place.push("notes", make_artifact("text/x-notes", {"n": b"n"}))
    shown = place.run("tags", place.name, "--details", "--sort", "created")
    rows = [line.split(maxsplit=1) for line in shown.splitlines()]
    assert rows[0][1].split() == ["DIGEST", "CREATED", "SIZE", "PLATFORMS"]
    assert [tag for tag, _ in rows[1:3]] == ["a", "b"]
    said = {tag: rest.split() for tag, rest in rows[1:]}
    assert said["a"][1] == "2025-01-01"
    assert said["a"][-1] == "linux/amd64"
    assert said["list"][-2:] == ["linux/amd64,", "linux/arm64/v8"]
    assert said["notes"][1:] == ["-", "3", "B", "text/x-notes"]

    assert place.run("tags", place.name, "--sort", "created", "--latest", "1") == "a\n"
    found = {one["tag"]: one["details"] for one in place.json("tags", place.name, "--details")["tags"]}  # type: ignore[attr-defined]
    assert found["b"]["created"] == "2024-05-01T10:00:00Z"
    assert (found["list"]["kind"], found["list"]["platforms"]) == ("index", ["linux/amd64", "linux/arm64/v8"])
    assert found["list"]["total_size"] == SIZES[AMD64.digest] + SIZES[ARM64.digest]
    assert place.json("tags", place.name)["tags"][0]["details"] is None  # type: ignore[index]
