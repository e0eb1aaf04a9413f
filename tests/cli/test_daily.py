"""The daily verbs, each with all its options, against a real registry."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.failing import CONFLICT, DENIED, NOT_FOUND, USAGE, fails, remote, served, unchanged
from cli.terminal import on_terminal, without_colour
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.http import Request
from support.images import (
    Entry,
    Manifest,
    get_manifest,
    make_artifact,
    make_attestation,
    make_image,
    make_index,
    push,
)
from support.lading import Lading
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

AMD64 = make_image("linux/amd64", kind="oci", seed="amd64", layers=3)
ARM64 = make_image("linux/arm64/v8", kind="oci", seed="arm64")
ARMV7 = make_image("linux/arm/v7", kind="oci", seed="arm")
INDEX = make_index(
    [AMD64, ARM64, make_attestation(AMD64), make_attestation(ARM64)],
    kind="oci",
    annotations={"org.opencontainers.image.version": "1.0"},
)
SIZES = {image.digest: sum(map(len, image.blobs.values())) for image in (AMD64, ARM64, ARMV7)}


@dataclass
class Place:
    """A repository in a real registry."""

    lading: Lading
    host: str
    repository: str

    @property
    def name(self) -> str:
        return f"{self.host}/{self.repository}"

    def push(self, tag: str | None, manifest: Manifest) -> str:
        """Put something there; gives its reference."""
        digest = push(self.host, self.repository, tag, manifest)
        return f"{self.name}:{tag}" if tag else f"{self.name}@{digest}"

    def run(self, *args: str, **more: object) -> str:
        return self.lading.run(*args, **more).stdout  # type: ignore[arg-type]

    def json(self, *args: str) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.run(*args, "--format", "json"))
        return document

    @property
    def tags(self) -> dict[str, str]:
        return remote(self.host, self.repository)


@pytest.fixture
def place(lading: Lading, registry: RealRegistry, repository: str) -> Place:
    return Place(lading, registry.host, repository)


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


# inspect


def test_inspect_an_index(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    total = sum(SIZES[image.digest] for image in (AMD64, ARM64))
    rows = [f"{short(AMD64.digest)}       3  {_size(AMD64)}", f"{short(ARM64.digest)}       1  {_size(ARM64)}"]
    assert place.run("inspect", ref) == "\n".join(
        [
            ref,
            f"  digest     {INDEX.digest}",
            "  type       OCI image index, 2 platforms, 2 attestations",
            f"  size       {total / 1000:.1f} kB in all",
            "",
            "  annotations",
            "    org.opencontainers.image.version=1.0",
            "",
            "  PLATFORM        DIGEST        LAYERS    SIZE",
            f"  linux/amd64     {rows[0]}",
            f"  linux/arm64/v8  {rows[1].replace(_size(ARM64), _size(ARM64).rjust(len(_size(AMD64))))}",
            "",
            "  with 2 attestations, of linux/amd64, linux/arm64/v8",
            "",
        ]
    )


def test_inspect_some_platforms(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    said = place.run("inspect", ref, "--platform", "linux/aarch64")
    assert "type       OCI image index, 1 of 2 platforms, 2 attestations" in said
    assert f"size       {_size(ARM64)} for 1 of 2" in said
    assert "linux/amd64" not in said
    assert "with an attestation, of linux/arm64/v8" in said
    both = place.json("inspect", ref, "--platform", "linux/arm64", "--platform", "linux/amd64")
    assert both["entries"] == place.json("inspect", ref)["entries"]
    says = [f"{ref} has nothing for linux/s390x", "it has linux/amd64, linux/arm64/v8"]
    fails(place.lading, "inspect", ref, "--platform", "linux/s390x", code=NOT_FOUND, says=says)


def test_inspect_an_image(place: Place) -> None:
    image = make_image(
        "linux/amd64",
        config={
            "Cmd": ["serve", "--all"],
            "Entrypoint": ["/bin/app"],
            "Env": ["A=1", "B=2"],
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Labels": {"b": "2", "a": "1"},
            "User": "nobody",
            "WorkingDir": "/srv",
        },
        layers=2,
    )
    ref = place.push("a", image)
    assert place.run("inspect", ref) == "\n".join(
        [
            ref,
            f"  digest     {image.digest}",
            "  type       Docker image manifest",
            "  platform   linux/amd64",
            "  created    2024-01-02",
            f"  size       {_size(image)} in 2 layers",
            "",
            '  entrypoint ["/bin/app"]',
            '  cmd        ["serve", "--all"]',
            "  user       nobody",
            "  workdir    /srv",
            "  ports      443/tcp",
            "             80/tcp",
            "  env        A=1",
            "             B=2",
            "  labels     a=1",
            "             b=2",
            "",
        ]
    )
    assert place.run("inspect", ref, "--platform", "linux/amd64") == place.run("inspect", ref)
    says = [f"{ref} has nothing for linux/arm64", "it is an image for linux/amd64"]
    fails(place.lading, "inspect", ref, "--platform", "linux/arm64", code=NOT_FOUND, says=says)


def test_inspect_windows(place: Place) -> None:
    image = make_image("windows/amd64", os_version="10.0.17763.1817", os_features=["win32k"])
    assert "  platform   windows/amd64 (version 10.0.17763.1817)\n" in place.run("inspect", place.push("a", image))
    said = place.run("inspect", place.push("list", make_index([image])))
    assert f"  windows/amd64 10.0.17763.1817  {short(image.digest)}" in said
    assert "Docker manifest list, 1 platform\n" in said


def test_inspect_an_artifact(place: Place) -> None:
    subject = place.push("a", AMD64)
    ref = place.push("thing", make_artifact(subject=AMD64, annotations={"b": "2", "a": "1"}))
    said = place.run("inspect", ref)
    assert "  type       OCI image manifest of an artifact\n  artifact   application/vnd.example.thing\n" in said
    assert f"  subject    {AMD64.digest}\n" in said
    assert "  annotations\n    a=1\n    b=2\n" in said
    says = [f"{ref} has nothing for linux/amd64", "it is an artifact"]
    fails(place.lading, "inspect", ref, "--platform", "linux/amd64", code=NOT_FOUND, says=says)
    assert place.json("inspect", subject)["kind"] == "image"
    assert place.json("inspect", ref)["kind"] == "artifact"


def test_inspect_what_is_odd(place: Place) -> None:
    """Nested, sparse and empty indexes are content like any other."""
    nested = place.push("nested", make_index([Entry(INDEX, platform={}), ARMV7], kind="oci"))
    said = place.run("inspect", nested)
    assert "type       OCI image index, 2 entries\n" in said
    assert f"  -             {short(INDEX.digest)}       -" in said
    assert "an index with 4 entries\n" in said
    empty = place.push("empty", make_index([], kind="oci"))
    assert "type       OCI image index, 0 platforms\n  size       0 B in all\n" in place.run("inspect", empty)
    sparse = make_index([AMD64, ARM64], kind="oci")

    def script(request: Request) -> Reply | None:
        by_path = {f"/v2/a/b/manifests/{name}": found for name, found in (("x", sparse), (AMD64.digest, AMD64))}
        found = by_path.get(request.path)
        return served(found) if found else error_reply(404, "MANIFEST_UNKNOWN")

    with ScriptedServer(script) as server:
        said = place.run("inspect", f"{server.host}/a/b:x")
    assert f"size       {_size(AMD64)} for 1 of 2\n" in said
    assert f"linux/arm64/v8  {short(ARM64.digest)}       -" in said
    assert said.count("not in this repository") == 1


def test_inspect_whole_digests(place: Place) -> None:
    said = place.run("inspect", place.push("1.0", INDEX), "--no-trunc")
    assert AMD64.digest in said
    assert ARM64.digest in said


def test_inspect_the_exact_bytes(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    assert place.lading.run("inspect", ref, "--raw").stdout_bytes == INDEX.content
    assert place.lading.run("inspect", ref, "--raw", "--platform", "linux/arm64").stdout_bytes == ARM64.content


def test_inspect_as_a_document(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    document = place.json("inspect", ref)
    entries = document.pop("entries")
    assert document == {
        "reference": ref,
        "digest": INDEX.digest,
        "media_type": INDEX.media_type,
        "kind": "index",
        "size": INDEX.size,
        "total_size": SIZES[AMD64.digest] + SIZES[ARM64.digest],
        "entry_count": 2,
        "attestation_count": 2,
        "created": None,
        "artifact_type": None,
        "subject": None,
        "annotations": {"org.opencontainers.image.version": "1.0"},
        "config": {},
    }
    assert isinstance(entries, list)
    assert entries[0] == {
        "digest": AMD64.digest,
        "media_type": AMD64.media_type,
        "size": AMD64.size,
        "platform": "linux/amd64",
        "os_version": None,
        "artifact_type": None,
        "annotations": {},
        "attests": None,
        "state": "present",
        "layers": 3,
        "total_size": SIZES[AMD64.digest],
        "created": None,
    }
    assert [entry["attests"] for entry in entries] == [None, None, AMD64.digest, ARM64.digest]
    assert [entry["state"] for entry in entries] == ["present", "present", "not read", "not read"]


def test_templates(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    assert place.run("inspect", ref, "--format", "{{ digest }}") == f"{INDEX.digest}\n"
    template = "{% for entry in entries if not entry.attests %}{{ entry.platform }}\\t{{ entry.layers }}\\n{% endfor %}"
    assert place.run("inspect", ref, "--format", template) == "linux/amd64\t3\nlinux/arm64/v8\t1\n\n"
    assert json.loads(place.run("inspect", ref, "--format", "{{ annotations | json }}")) == {
        "org.opencontainers.image.version": "1.0"
    }
    assert place.run("digest", ref, "--format", "{{ reference }}") == f"{place.name}@{INDEX.digest}\n"
    assert place.run("tags", place.name, "--format", "{{ tags[0].tag }}") == "1.0\n"


# digest


def test_digest(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    assert place.run("digest", ref) == f"{INDEX.digest}\n"
    assert place.run("digest", f"{place.name}@{INDEX.digest}") == f"{INDEX.digest}\n"
    assert place.run("digest", ref, "--full") == f"{place.name}@{INDEX.digest}\n"
    assert place.run("digest", ref, "--platform", "linux/arm64") == f"{ARM64.digest}\n"
    assert place.run("digest", ref, "--platform", "linux/arm64", "--full") == f"{place.name}@{ARM64.digest}\n"
    assert place.json("digest", ref) == {"reference": f"{place.name}@{INDEX.digest}", "digest": INDEX.digest}
    says = [f"{ref} has nothing for linux/s390x", "it has linux/amd64, linux/arm64/v8"]
    fails(place.lading, "digest", ref, "--platform", "linux/s390x", code=NOT_FOUND, says=says)


def test_digest_of_an_image_for_a_platform(place: Place) -> None:
    ref = place.push("a", ARM64)
    assert place.run("digest", ref, "--platform", "linux/arm64") == f"{ARM64.digest}\n"
    says = [f"{ref} has nothing for linux/amd64", "it is an image for linux/arm64/v8"]
    fails(place.lading, "digest", ref, "--platform", "linux/amd64", code=NOT_FOUND, says=says)


# tag


def test_tag(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    place.push("latest", AMD64)
    assert place.run("tag", ref, "stable", f"{place.name}:latest") == "\n".join(
        [f"{place.name}:stable", f"{place.name}:latest", f"{place.name}@{INDEX.digest}", ""]
    )
    assert place.tags == dict.fromkeys(["1.0", "latest", "stable"], INDEX.digest)


def test_tag_by_digest_quietly(place: Place) -> None:
    by_digest = place.push(None, ARM64)
    assert place.run("tag", "-q", by_digest, "arm") == f"{by_digest}\n"
    assert place.tags == {"arm": ARM64.digest}


def test_tag_dry(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    place.push("latest", AMD64)
    with unchanged(place.lading, place.host, place.repository):
        said = place.run("tag", "--dry-run", ref, "latest", "1.0", "new")
        document = place.json("tag", "--dry-run", ref, "latest")
    assert said == "\n".join(
        [
            f"{place.name}:latest  was {short(AMD64.digest)}",
            f"{place.name}:1.0     names it already",
            f"{place.name}:new     new",
            f"{place.name}@{INDEX.digest}",
            "",
        ]
    )
    change = {"reference": f"{place.name}:latest", "digest": INDEX.digest, "state": "moved", "previous": AMD64.digest}
    assert document == {"digest": INDEX.digest, "tags": [change], "dry_run": True}


def test_tag_if_it_names_this(place: Place) -> None:
    ref = place.push("1.1", INDEX)
    place.push("latest", AMD64)
    place.run("tag", ref, "latest", "--if-digest", AMD64.digest)
    assert place.tags["latest"] == INDEX.digest
    says = [f"{place.name}:latest was not changed", f"it names {INDEX.digest}"]
    fails(place.lading, "tag", ref, "latest", "--if-digest", AMD64.digest, code=CONFLICT, says=says)


def test_tag_in_another_repository(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    other = f"{place.repository}-other"
    assert place.run("tag", ref, f"{place.host}/{other}:x", "y").splitlines()[:2] == [
        f"{place.host}/{other}:x",
        f"{place.name}:y",
    ]
    assert remote(place.host, other) == {"x": INDEX.digest}
    assert get_manifest(place.host, other, ARM64.digest)[0] == ARM64.content
    assert place.run("inspect", f"{place.host}/{other}:x", "--format", "{{ total_size }}").strip() == str(
        SIZES[AMD64.digest] + SIZES[ARM64.digest]
    )


def test_tag_in_another_registry(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    with serving(place.lading) as host:
        place.run("tag", ref, f"{host}/team/app:2.0")
        assert place.run("digest", f"{host}/team/app:2.0") == f"{INDEX.digest}\n"
        assert place.json("inspect", f"{host}/team/app:2.0")["total_size"] == SIZES[AMD64.digest] + SIZES[ARM64.digest]


# tags


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
    edge = {"tag": "edge", "digest": None, "media_type": None}
    assert document == {"repository": versions.name, "tags": [edge]}
    document = versions.json("tags", versions.name, "--include", "edge", "--digests")
    assert document["tags"] == [edge | {"digest": ARM64.digest, "media_type": ARM64.media_type}]
    assert versions.json("tags", versions.name, "--include", "9")["tags"] == []


def test_a_repository_without_tags(place: Place) -> None:
    place.run("delete", "--yes", place.push("a", AMD64))
    ran = place.lading.run("tags", place.name)
    assert (ran.stdout, ran.stderr) == ("", f"{place.name} has no tags\n")


# repos


def test_repos(place: Place, registry: RealRegistry) -> None:
    place.push("a", AMD64)
    push(place.host, f"{place.repository}-other", "a", AMD64)
    listed = place.run("repos", place.host, "--include", f"{place.repository}*")
    assert listed.splitlines() == [place.repository, f"{place.repository}-other"]
    assert place.run("repos", registry.url, "--include", f"{place.repository}*", "--exclude", "*-other").split() == [
        place.repository
    ]
    found = place.run("repos", place.host, "--include", f"re:{place.repository}(-other)?", "--exclude", "semver:*")
    assert found.split() == listed.split()
    document = place.json("repos", place.host, "--include", place.repository)
    assert document == {"registry": place.host, "repositories": [place.repository]}
    none = place.lading.run("repos", place.host, "--include", "nothing-*")
    assert (none.stdout, none.stderr) == ("", f"{place.host} has no repositories like that\n")


def test_repos_page_by_page(lading: Lading) -> None:
    names = [f"team/app-{number}" for number in range(25)]

    def script(request: Request) -> Reply | None:
        last = request.params.get("last", [""])[0]
        start = names.index(last) + 1 if last else 0
        page = names[start : start + 10]
        link = f'</v2/_catalog?last={page[-1]}&n=10>; rel="next"'
        return json_reply({"repositories": page}, headers=(("Link", link),) if page[-1] != names[-1] else ())

    with ScriptedServer(script) as server:
        assert lading.run("repos", server.host).stdout.split() == names
        assert len(server.requests) == 3


# delete


def test_delete_asks(place: Place) -> None:
    ref = place.push("old", AMD64)
    place.run("tag", ref, "also-old")
    place.push("1.0", make_index([AMD64, ARM64]))
    with unchanged(place.lading, place.host, place.repository):
        seen = on_terminal(place.lading, "delete", ref, answers=[("[y/N]", "n\n")])
        assert seen.returncode == 1
        assert "nothing was deleted" in seen.text
        assert on_terminal(place.lading, "delete", ref, answers=[("[y/N]", "\x04")]).returncode == 130
    assert f"would delete {place.name}@{AMD64.digest}\n" in seen.text
    assert "  and with it the tags " in seen.text
    assert "also-old" in seen.text
    assert "  1.0 lists it and would break\n" in seen.text
    seen = on_terminal(place.lading, "delete", ref, answers=[("[y/N]", "y\n")])
    assert seen.returncode == 0
    assert set(place.tags) == {"1.0"}


def test_delete_says_what_went(place: Place) -> None:
    ref = place.push("old", AMD64)
    assert place.run("delete", "--yes", ref) == f"deleted {place.name}@{AMD64.digest}\n  and with it the tag old\n"
    assert place.tags == {}


def test_delete_dry(place: Place) -> None:
    """An index that lists it, however deeply, would break; nothing may be lost silently."""
    ref = place.push("old", AMD64)
    place.push("1.0", make_index([AMD64, ARM64], kind="oci"))
    place.push("outer", make_index([Entry(make_index([AMD64], kind="oci"), platform={}), ARMV7], kind="oci"))
    place.push("unrelated", make_index([ARMV7], kind="oci"))
    with unchanged(place.lading, place.host, place.repository):
        said = place.run("delete", "--dry-run", ref)
        document = place.json("delete", "--dry-run", ref)
    assert said.splitlines()[:2] == [f"would delete {place.name}@{AMD64.digest}", "  and with it the tag old"]
    assert said.splitlines()[2] in (
        "  1.0 and outer list it and would break",
        "  outer and 1.0 list it and would break",
    )
    assert isinstance(document["deleted"], list)
    (deletion,) = document["deleted"]
    assert set(deletion.pop("listed_in")) == {"1.0", "outer"}
    assert document == {
        "deleted": [{"reference": ref, "digest": AMD64.digest, "tags": ["old"]}],
        "untag": False,
        "dry_run": True,
    }


def test_what_a_deletion_takes_is_asked_all_at_once(place: Place, proxy: CountingProxy) -> None:
    place.push("old", AMD64)
    place.run("tag", f"{place.name}:old", *(f"tag-{number}" for number in range(6)))
    for number in range(5):
        place.push(f"list-{number}", make_index([AMD64], kind="oci", annotations={"number": str(number)}))
    proxy.latency = 0.05
    said = place.run("delete", "--dry-run", f"{proxy.host}/{place.repository}:old", "--format", "json")
    assert len(json.loads(said)["deleted"][0]["listed_in"]) == 5
    assert len(proxy.exchanges) == 1 + 1 + 12 + 5
    assert proxy.rounds() <= 6


def test_delete_several(place: Place) -> None:
    """Two tags of one manifest are one deletion."""
    one, two = place.push("one", AMD64), place.push("two", AMD64)
    three = f"{place.name}@{place.push('three', ARM64) and ARM64.digest}"
    place.push("stays", ARMV7)
    said = place.run("delete", "-y", one, two, three)
    assert said.count(f"deleted {place.name}@{ARM64.digest}") == 1
    assert place.tags == {"stays": ARMV7.digest}


def test_delete_if_it_is_this(place: Place) -> None:
    ref = place.push("old", AMD64)
    with unchanged(place.lading, place.host, place.repository):
        says = [f"{ref} was not", f"it names {AMD64.digest}"]
        fails(place.lading, "delete", "-y", ref, "--if-digest", ARM64.digest, code=CONFLICT, says=says)
    place.run("delete", "-y", ref, "--if-digest", AMD64.digest)
    assert place.tags == {}


def test_delete_all_or_nothing_is_found_first(place: Place) -> None:
    ref = place.push("old", AMD64)
    with unchanged(place.lading, place.host, place.repository):
        fails(place.lading, "delete", "-y", ref, f"{place.name}:none", code=NOT_FOUND, says=[f"{place.name}:none"])


def test_untag(place: Place) -> None:
    """Only where the registry can; lading's own can."""
    with serving(place.lading) as host:
        place.run("tag", place.push("1.0", INDEX), f"{host}/app:1.0", f"{host}/app:old")
        digest = place.run("digest", f"{host}/app:old").strip()
        dry = place.run("delete", "--untag", "--dry-run", f"{host}/app:old")
        assert dry == f"would remove the tag {host}/app:old; {digest} stays\n"
        assert place.run("tags", f"{host}/app", "--sort", "name").split() == ["1.0", "old"]
        fails(
            place.lading,
            *("delete", "--untag", "-y", f"{host}/app:old", "--if-digest", AMD64.digest),
            code=CONFLICT,
            says=[f"{host}/app:old"],
        )
        done = place.run("delete", "--untag", "-y", f"{host}/app:old", "--if-digest", digest)
        assert done == f"removed the tag {host}/app:old; {digest} stays\n"
        assert place.run("tags", f"{host}/app").split() == ["1.0"]
        assert place.run("digest", f"{host}/app@{digest}").strip() == digest


# login, logout


@pytest.fixture
def team(basic_registry: RealRegistry, repository: str) -> str:
    """An image that only alice may read."""
    push(basic_registry.host, repository, "a", AMD64, auth=("alice", "secret"))
    return f"{basic_registry.host}/{repository}:a"


def test_login_from_stdin(lading: Lading, basic_registry: RealRegistry, team: str) -> None:
    host = basic_registry.host
    ran = lading.run("login", host, "-u", "alice", "--password-stdin", stdin=b"secret\n")
    assert ran.stdout == "Login Succeeded\n"
    assert ran.stderr == f"kept in {lading.docker_config / 'config.json'}\n"
    assert lading.run("digest", team).stdout.strip() == AMD64.digest
    assert lading.run("login", "-q", host, "-u", "alice", "--password-stdin", stdin=b"secret").stderr == ""
    assert lading.run("logout", host).stdout == f"Removing login credentials for {host}\n"
    assert lading.run("logout", host).stdout == f"Not logged in to {host}\n"
    fails(lading, "digest", team, code=DENIED, says=[f"{host} did not allow"])


def test_login_with_a_wrong_password_keeps_nothing(lading: Lading, basic_registry: RealRegistry) -> None:
    host = basic_registry.host
    with unchanged(lading):
        says = [f"{host} did not allow a login as alice", "the credentials were refused", f"lading login {host}"]
        ran = fails(lading, "login", host, "-u", "alice", "--password-stdin", code=DENIED, says=says, stdin=b"hunter2")
        assert "hunter2" not in ran.stderr
    lading.run("login", host, "-u", "alice", "--password-stdin", stdin=b"secret")
    with unchanged(lading):
        fails(lading, "login", host, "-u", "alice", "--password-stdin", code=DENIED, says=says, stdin=b"hunter2")
    fails(lading, "login", host, "-u", "alice", "--password-stdin", code=2, says=["the password is empty"])


def test_login_by_hand(lading: Lading, basic_registry: RealRegistry, team: str) -> None:
    answers = [("Username", "alice\n"), ("Password", "secret\n")]
    seen = on_terminal(lading, "login", basic_registry.host, answers=answers)
    assert seen.returncode == 0
    assert seen.text.endswith("Login Succeeded\n")
    assert "secret" not in seen.text
    assert lading.run("digest", team).stdout.strip() == AMD64.digest


def test_login_with_a_password_as_an_argument_warns(lading: Lading, basic_registry: RealRegistry) -> None:
    ran = lading.run("login", basic_registry.host, "-u", "alice", "-p", "secret")
    assert ran.stderr.startswith("warning: a password on the command line can be read by others")


def test_login_with_a_helper(tmp_path: Path, basic_registry: RealRegistry, team: str) -> None:
    """A `credsStore` keeps what there is to keep; the file holds no secret."""
    kept = tmp_path / "kept.json"
    helper = tmp_path / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        f"path = pathlib.Path({str(kept)!r})\n"
        "known = json.loads(path.read_text()) if path.exists() else {}\n"
        "said = sys.stdin.read()\n"
        "if sys.argv[1] == 'store':\n"
        "    known[json.loads(said)['ServerURL']] = json.loads(said)\n"
        "elif sys.argv[1] == 'erase':\n"
        "    known.pop(said.strip(), None)\n"
        "elif said.strip() in known:\n"
        "    print(json.dumps(known[said.strip()]))\n"
        "else:\n"
        "    sys.exit('credentials not found in native keychain')\n"
        "path.write_text(json.dumps(known))\n"
    )
    helper.chmod(0o755)
    lading = Lading(tmp_path / "home", env={"PATH": f"{helper.parent}:{os.environ['PATH']}"})
    config = lading.docker_config / "config.json"
    config.write_text('{"credsStore": "test", "other": 1}')
    host = basic_registry.host
    lading.run("login", host, "-u", "alice", "--password-stdin", stdin=b"secret")
    assert json.loads(kept.read_text())[host]["Secret"] == "secret"
    assert "secret" not in config.read_text()
    assert json.loads(config.read_text())["other"] == 1
    assert lading.run("digest", team).stdout.strip() == AMD64.digest
    lading.run("logout", host)
    assert json.loads(kept.read_text()) == {}


def test_login_with_an_identity_token(lading: Lading) -> None:
    from support.tokens import TokenService

    tokens = TokenService({"alice": "secret"})
    tokens.refresh_tokens["refresh"] = "alice"
    with RealRegistry(auth="token", tokens=tokens) as registry:
        push(registry.host, "team/app", "a", AMD64, auth=("alice", "secret"))
        lading.run("login", registry.host, "--identity-token-stdin", stdin=b"refresh\n")
        assert lading.run("digest", f"{registry.host}/team/app:a").stdout.strip() == AMD64.digest
        with unchanged(lading):
            says = [f"{registry.host} did not allow"]
            fails(lading, "login", registry.host, "--identity-token-stdin", code=DENIED, says=says, stdin=b"revoked")


# registry serve


@contextmanager
def serving(lading: Lading, *args: str, end: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """lading's own registry as a process, ended by a signal, and with nothing to complain about."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lading", "registry", "serve", "-q", "--address", "127.0.0.1:0", *args],
        env=lading.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("serving http://127.0.0.1:")
        yield ready.strip().removeprefix("serving http://")
        process.send_signal(end)
        stdout, stderr = process.communicate(timeout=10)
        assert (process.returncode, stdout, stderr) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_serve_a_folder(place: Place, tmp_path: Path) -> None:
    ref = place.push("1.0", INDEX)
    folder = tmp_path / "registry"
    with serving(place.lading, "--storage", str(folder)) as host:
        place.run("tag", ref, f"{host}/app:1.0")
    with serving(place.lading, "--storage", str(folder)) as host:
        assert place.run("digest", f"{host}/app:1.0") == f"{INDEX.digest}\n"
        assert place.run("repos", host) == "app\n"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_interrupted(lading: Lading, end: signal.Signals) -> None:
    with serving(lading, end=end) as host:
        assert lading.run("repos", host).stdout == ""


# version, completion


def test_version(lading: Lading) -> None:
    from lading import __version__

    assert lading.run("--version").stdout == f"lading {__version__}\n"
    assert lading.run("version").stdout.startswith(f"lading {__version__} (Python 3.")
    assert json.loads(lading.run("version", "--format", "json").stdout)["version"] == __version__
    assert lading.run("version", "--format", "{{ version }}").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    "typed, offered",
    [("lading ta", {"tag", "tags"}), ("lading manifest pu", {"push", "pull"}), ("lading tags --so", {"--sort"})],
)
def test_completion_in_bash(lading: Lading, tmp_path: Path, typed: str, offered: set[str]) -> None:
    bash = need("bash")
    program = tmp_path / "bin" / "lading"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lading "$@"\n')
    program.chmod(0o755)
    words = " ".join(typed.split())
    script = (
        f'eval "$(lading completion bash)"; COMP_WORDS=({words}); COMP_CWORD={len(typed.split()) - 1}; '
        '_lading_completion lading; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = lading.environment | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    assert set(run([bash, "-c", script], env=environment).stdout.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(lading: Lading, shell: str) -> None:
    assert "_LADING_COMPLETE" in lading.run("completion", shell).stdout


# Terminals, pipes and signals


def test_a_terminal_changes_nothing_but_colour(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    for command in (
        ["inspect", ref],
        ["tags", place.name, "--digests"],
        ["tag", "--dry-run", ref, "new"],
    ):
        piped = place.run(*command)
        assert on_terminal(place.lading, *command).text == piped
        coloured = on_terminal(place.lading, *command, env={"NO_COLOR": ""}).text
        assert without_colour(coloured) == piped
        assert ("\x1b[" in coloured) == (command[0] in ("inspect", "tag"))
        assert on_terminal(place.lading, *command, env={"NO_COLOR": "", "TERM": "dumb"}).text == piped


def test_documents_have_no_colour(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    for format_ in ("json", "{{ reference }} {{ digest }}"):
        seen = on_terminal(place.lading, "inspect", ref, "--format", format_, env={"NO_COLOR": ""})
        assert seen.text == place.run("inspect", ref, "--format", format_)


def test_errors_in_colour(lading: Lading) -> None:
    assert on_terminal(lading, "digest", "App", env={"NO_COLOR": ""}).text.startswith("\x1b[31merror:\x1b[0m 'App'")
    assert on_terminal(lading, "digest", "App").text.startswith("error: 'App'")


HOSTILE = "\x1b]0;title\x07\x1b[31mred\x9b1m\x7f\u202edrowssap\r\x08"


def test_nobody_elses_control_characters_reach_a_terminal(place: Place) -> None:
    """Not in an annotation, not in a label, not in what a registry says; and in JSON escaped as JSON does."""
    image = make_image(kind="oci", annotations={HOSTILE: HOSTILE}, config={"Labels": {"a": HOSTILE}})
    ref = place.push("a", image)
    listed = place.push("list", make_index([Entry(image, annotations={"k": HOSTILE})], kind="oci"))
    for command in (
        ["inspect", ref],
        ["inspect", listed],
        ["inspect", ref, "--format", "json"],
        ["inspect", ref, "--format", "{{ config.Labels.a }}"],
        ["manifest", "create", f"{place.name}:l", ref],
        ["manifest", "inspect", ref, "--format", "json"],
    ):
        ran = place.lading.run(*command)
        for text in (ran.stdout, ran.stderr):
            assert not [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F], command
    assert json.loads(place.run("inspect", ref, "--format", "json"))["annotations"] == {HOSTILE: HOSTILE}
    assert "\u202e" not in place.run("inspect", ref)
    assert r"\x1b]0;title\x07\x1b[31mred\x9b1m\x7f\u202edrowssap\r\x08" in place.run("inspect", ref)
    assert "\x1b[31mred" not in on_terminal(place.lading, "inspect", ref, env={"NO_COLOR": ""}).text


def test_what_a_registry_says_is_cleaned(lading: Lading) -> None:
    headers = (("Warning", '299 - "beware of this"'),)
    with ScriptedServer(lambda _: error_reply(403, "DENIED\x1b[1m", HOSTILE, headers=headers)) as server:
        ran = lading.run("manifest", "inspect", f"{server.host}/a/b:x", check=False)
    assert "\x1b" not in ran.stderr
    assert f"warning: {server.host} says: beware of this\n" in ran.stderr
    assert ran.stderr.count("warning:") == 1


def test_whoever_has_seen_enough(place: Place) -> None:
    ref = place.push("tag-0", AMD64)
    place.run("tag", ref, *(f"tag-{number}" for number in range(1, 30)))
    command = f"{sys.executable} -m lading tags {place.name} | head -n 1; echo ${{PIPESTATUS[0]}}"
    ran = run([need("bash"), "-c", command], env=place.lading.environment)
    assert ran.stdout.splitlines()[1] == "0"
    assert ran.stderr == ""
    closed = subprocess.run(
        [sys.executable, "-m", "lading", "inspect", ref],
        env=place.lading.environment,
        stdout=_closed_pipe(),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_a_closed_stdout_and_a_poor_encoding(place: Place) -> None:
    ref = place.push("a", make_image(kind="oci", annotations={"k": "…"}))
    ran = run([need("bash"), "-c", f"{sys.executable} -m lading inspect {ref} >&-"], env=place.lading.environment)
    assert ran.stderr == ""
    assert "k=\\u2026" in place.lading.run("inspect", ref, env={"PYTHONIOENCODING": "latin-1"}).stdout


def test_ctrl_c_ends_it_at_once(lading: Lading) -> None:
    over = threading.Event()

    def answer(_: Request) -> Reply:
        over.wait(120)
        return Reply()

    with ScriptedServer(answer) as server:
        for command in (
            ["digest", f"{server.host}/a/b:x"],
            ["manifest", "create", f"{server.host}/a/b:l", f"{server.host}/a/b:x"],
        ):
            server.reset()
            process = subprocess.Popen(
                [sys.executable, "-m", "lading", *command],
                env=lading.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            while not server.requests and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)  # although no answer comes
            assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
        over.set()


@pytest.mark.parametrize("flag", ["--verbose", "--debug"])
def test_requests_are_shown(place: Place, flag: str) -> None:
    ran = place.lading.run("digest", flag, place.push("a", AMD64))
    assert ran.stdout == f"{AMD64.digest}\n"
    assert f"HEAD http://{place.host}/v2/{place.repository}/manifests/a 200" in ran.stderr


def test_debug_shows_where_an_error_came_from(lading: Lading) -> None:
    ran = lading.run("digest", "App", "--debug", check=False)
    assert "Traceback" in ran.stderr
    assert ran.stderr.splitlines()[-2].startswith("error: 'App'")


def test_requests_are_shown_without_passwords(lading: Lading, basic_registry: RealRegistry, team: str) -> None:
    lading.run("login", basic_registry.host, "-u", "alice", "--password-stdin", stdin=b"secret")
    ran = lading.run("digest", "--debug", team)
    assert "secret" not in ran.stderr.replace(team, "")
    assert "YWxpY2U6c2VjcmV0" not in ran.stderr


def _closed_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


def _size(image: Manifest) -> str:
    count = sum(map(len, image.blobs.values()))
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"
