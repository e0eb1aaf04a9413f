"""`lading manifest`: what it does beyond Docker's own, each command with all its options, against a real registry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from cli.failing import CONFLICT, CONTENT, NOT_FOUND, USAGE, fails, folder_of, local, remote, unchanged
from cli.terminal import on_terminal
from support.images import (
    DOCKER_LIST,
    OCI_INDEX,
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
from support.process import Ran
from support.registry import RealRegistry

AMD64 = make_image("linux/amd64", seed="amd64")
ARM64 = make_image("linux/arm64/v8", seed="arm64")
ARMV7 = make_image("linux/arm/v7", seed="arm")
NEWER = make_image("linux/amd64", seed="newer amd64")
OCI_AMD64 = make_image("linux/amd64", kind="oci", seed="oci amd64")
OCI_ARM64 = make_image("linux/arm64/v8", kind="oci", seed="oci arm64")
BUILT = make_index(
    [OCI_AMD64, OCI_ARM64, make_attestation(OCI_AMD64), make_attestation(OCI_ARM64)],
    kind="oci",
    annotations={"built": "yes"},
)


@dataclass
class Place:
    """A repository with images `a` (amd64), `b` (arm64) and an index with attestations, `built`."""

    lading: Lading
    host: str
    repository: str

    @property
    def name(self) -> str:
        return f"{self.host}/{self.repository}"

    @property
    def made(self) -> str:
        return f"{self.name}:list"

    def push(self, tag: str | None, manifest: Manifest) -> str:
        digest = push(self.host, self.repository, tag, manifest)
        return f"{self.name}:{tag}" if tag else f"{self.name}@{digest}"

    def ran(self, verb: str, *args: str) -> Ran:
        return self.lading.run("manifest", verb, *args)

    def run(self, verb: str, *args: str) -> str:
        return self.ran(verb, *args).stdout

    def create(self, *tags: str, flags: Sequence[str] = ()) -> Ran:
        """Make the list of these tags."""
        return self.ran("create", *flags, self.made, *(f"{self.name}:{tag}" for tag in tags))

    def raw(self, reference: str | None = None) -> dict[str, Any]:
        """The list as it would be pushed."""
        document: dict[str, Any] = json.loads(self.run("inspect", "--raw", reference or self.made))
        return document

    def digests(self) -> list[str]:
        """What is in the list, in order."""
        return [entry["digest"] for entry in self.raw()["manifests"]]

    def there(self, tag: str = "list") -> dict[str, Any]:
        """The list as it is in the registry."""
        document: dict[str, Any] = json.loads(get_manifest(self.host, self.repository, tag)[0])
        return document


@pytest.fixture
def place(lading: Lading, registry: RealRegistry, repository: str) -> Place:
    made = Place(lading, registry.host, repository)
    for tag, manifest in {"a": AMD64, "b": ARM64, "built": BUILT}.items():
        made.push(tag, manifest)
    return made


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


# create


def test_an_index_gives_all_its_images(place: Place) -> None:
    created = place.create("built", "a")
    assert created.stdout == f"Created manifest list {place.made}\n"
    assert place.digests() == [entry.digest for entry in BUILT.children] + [AMD64.digest]
    attestation = place.raw()["manifests"][2]
    assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert attestation["annotations"]["vnd.docker.reference.digest"] == OCI_AMD64.digest
    digest = place.run("push", place.made).strip()
    assert get_manifest(place.host, place.repository, "list")[1:] == (OCI_INDEX, digest)


def test_create_without_attestations(place: Place) -> None:
    place.create("built", flags=["--no-attestations"])
    assert place.digests() == [OCI_AMD64.digest, OCI_ARM64.digest]


def test_create_for_some_platforms(place: Place) -> None:
    place.create("built", flags=["--platform", "linux/aarch64"])
    assert place.digests() == [OCI_ARM64.digest, BUILT.children[3].digest]
    place.create(
        "built", flags=["--replace", "--no-attestations", "--platform", "linux/arm64", "--platform", "linux/amd64"]
    )
    assert place.digests() == [OCI_AMD64.digest, OCI_ARM64.digest]
    create = ("manifest", "create", "--platform", "linux/s390x", f"{place.name}:x", f"{place.name}:built")
    fails(place.lading, *create, code=NOT_FOUND, says=["linux/s390x"])


def test_create_by_tag_and_digest_means_the_digest(place: Place) -> None:
    """Docker fetches the tag, and fails if it has moved."""
    place.run("create", place.made, f"{place.name}:a@{ARM64.digest}")
    assert place.digests() == [ARM64.digest]


def test_create_again_replaces(place: Place) -> None:
    place.create("a", "b")
    place.create("b", flags=["--replace"])
    assert place.digests() == [ARM64.digest]


def test_amend_looks_tags_up_again_and_says_what_changed(place: Place) -> None:
    """Docker keeps the old digest, and says nothing."""
    place.create("a")
    place.push("a", NEWER)
    amended = place.create("b", flags=["--amend"])
    assert place.digests() == [NEWER.digest, ARM64.digest]
    assert amended.stdout == f"Created manifest list {place.made}\n"
    assert amended.stderr.splitlines() == [
        f"{place.name}:a moved from {short(AMD64.digest)} to {short(NEWER.digest)}",
        f"{place.name}:b added ({short(ARM64.digest)})",
    ]
    assert place.ran("create", "-q", "--amend", place.made, f"{place.name}:a").stderr == ""


def test_create_with_annotations(place: Place) -> None:
    """Which a Docker list cannot have."""
    place.create("a", flags=["--annotation", "k=v=w", "--annotation", "empty="])
    assert place.raw()["annotations"] == {"empty": "", "k": "v=w"}
    assert place.raw()["mediaType"] == OCI_INDEX
    place.create("b", flags=["--amend", "--annotation", "k=x"])
    assert place.raw()["annotations"] == {"empty": "", "k": "x"}


@pytest.mark.parametrize("type_, media_type", [("oci", OCI_INDEX), ("docker", DOCKER_LIST), ("auto", DOCKER_LIST)])
def test_create_of_a_type(place: Place, type_: str, media_type: str) -> None:
    place.create("a", flags=["--type", type_])
    place.run("push", place.made)
    assert place.there()["mediaType"] == get_manifest(place.host, place.repository, "list")[1] == media_type


def test_create_and_push_in_one_step(place: Place) -> None:
    created = place.create("a", "b", flags=["--push", "-t", "latest", "--tag", "stable"])
    digest = make_index([AMD64, ARM64]).digest
    assert created.stdout == f"Created manifest list {place.made}\n{digest}\n"
    there = remote(place.host, place.repository)
    assert [there[tag] for tag in ("list", "latest", "stable")] == [digest] * 3


# annotate


def test_annotate_the_platform(place: Place) -> None:
    place.create("a", "b")
    place.run("annotate", place.made, f"{place.name}:a", "--os", "Linux", "--arch", "armhf")
    place.run("annotate", place.made, f"{place.name}:b", "--arch=aarch64", "--variant", "v9", "--os-version", "1.2")
    place.run("annotate", place.made, f"{place.name}:b", "--os-features", "a,b", "--os-features", "c")
    first, second = (entry["platform"] for entry in place.raw()["manifests"])
    assert first == {"architecture": "arm", "os": "linux", "variant": "v7"}
    assert second == {
        "architecture": "arm64",
        "os": "linux",
        "os.version": "1.2",
        "os.features": ["a", "b", "c"],
        "variant": "v9",
    }
    place.run("annotate", place.made, f"{place.name}:b", "--clear", "os-features", "--clear", "os-version")
    place.run("annotate", place.made, f"{place.name}:b", "--clear", "variant", "--os-features", "d")
    assert place.raw()["manifests"][1]["platform"] == {"architecture": "arm64", "os": "linux", "os.features": ["d"]}
    refused = place.lading.run(
        "manifest", "annotate", place.made, f"{place.name}:b", "--clear", "os_version", check=False
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "os_version is no field" in refused.stderr
    assert "os, arch, architecture, variant, os-version, os-features, features" in refused.stderr


def test_annotate_by_digest_and_by_platform(place: Place) -> None:
    place.create("a", "b")
    place.run("annotate", place.made, f"{place.name}@{AMD64.digest}", "--variant", "v2")
    place.run("annotate", place.made, "linux/arm64", "--os-version", "3")
    first, second = (entry["platform"] for entry in place.raw()["manifests"])
    assert (first["variant"], second["os.version"]) == ("v2", "3")


def test_annotate_with_a_platform_nobody_knows(place: Place) -> None:
    """Docker refuses what is not in a list of its own, which is old."""
    place.create("a")
    assert place.ran("annotate", place.made, f"{place.name}:a", "--arch", "loong64").stderr == ""
    warned = place.ran("annotate", place.made, f"{place.name}:a", "--arch", "abacus")
    assert warned.stderr.startswith("warning: linux/abacus ")
    assert place.raw()["manifests"][0]["platform"]["architecture"] == "abacus"


def test_annotations(place: Place) -> None:
    """An index that gets annotations becomes OCI, and says so."""
    place.create("a", "b")
    said = place.ran("annotate", place.made, f"{place.name}:a", "--annotation", "k=v", "--annotation", "l=w").stderr
    assert "OCI" in said
    place.run("annotate", place.made, f"{place.name}:a", "--remove-annotation", "l")
    place.run("annotate", place.made, "--index-annotation", "m=1", "--index-annotation", "n=2")
    place.run("annotate", place.made, "--remove-index-annotation", "n")
    place.run("push", place.made)
    there = place.there()
    assert there["mediaType"] == OCI_INDEX
    assert there["annotations"] == {"m": "1"}
    assert [entry.get("annotations") for entry in there["manifests"]] == [{"k": "v"}, None]


def test_annotate_the_type(place: Place) -> None:
    place.create("a")
    place.run("annotate", place.made, "--type", "oci")
    assert place.raw()["mediaType"] == OCI_INDEX
    place.run("annotate", place.made, "--index-annotation", "a=b")
    with unchanged(place.lading):
        says = [f"{place.made} cannot be a Docker manifest list", "annotations"]
        fails(place.lading, "manifest", "annotate", place.made, "--type", "docker", code=USAGE, says=says)


# inspect


def test_inspect_the_exact_bytes(place: Place) -> None:
    place.create("a", "b")
    expected = make_index([AMD64, ARM64])
    assert place.ran("inspect", "--raw", place.made).stdout_bytes == expected.content
    assert place.ran("inspect", "--raw", place.made, f"{place.name}:b").stdout_bytes == ARM64.content
    assert place.ran("inspect", "--raw", f"{place.name}:built").stdout_bytes == BUILT.content
    assert place.run("inspect", place.made, "--format", "{{ digest }}") == f"{expected.digest}\n"


def test_inspect_as_a_document(place: Place) -> None:
    place.create("a")
    index = make_index([AMD64])
    described = {
        "reference": place.made,
        "digest": index.digest,
        "media_type": DOCKER_LIST,
        "size": index.size,
        "local": True,
        "manifest": index.document,
    }
    assert json.loads(place.run("inspect", place.made, "--format", "json")) == described
    entry = json.loads(place.run("inspect", place.made, f"{place.name}:a", "--format", "json"))
    assert (entry["digest"], entry["local"], entry["manifest"]) == (AMD64.digest, True, AMD64.document)
    there = json.loads(place.run("inspect", f"{place.name}:built", "--format", "json"))
    assert (there["digest"], there["local"], there["manifest"]) == (BUILT.digest, False, BUILT.document)


def test_inspect_what_the_registry_has(place: Place) -> None:
    """The local list hides what is there; `--remote` shows it."""
    place.create("a", flags=["--push"])
    place.create("b", flags=["--replace"])
    assert place.run("inspect", place.made, "--format", "{{ digest }}").strip() == make_index([ARM64]).digest
    assert (
        place.run("inspect", "--remote", place.made, "--format", "{{ digest }}").strip() == make_index([AMD64]).digest
    )


def test_inspect_what_docker_cannot(place: Place) -> None:
    """Nested and sparse indexes, and artifacts among images."""
    nested = place.push("nested", make_index([Entry(BUILT, platform={}), AMD64], kind="oci"))
    assert [entry["digest"] for entry in json.loads(place.run("inspect", nested))["manifests"]] == [
        BUILT.digest,
        AMD64.digest,
    ]
    assert len(json.loads(place.run("inspect", "-v", nested))) == 2
    thing = place.push("thing", make_index([make_artifact(), OCI_AMD64], kind="oci"))
    assert len(json.loads(place.run("inspect", "-v", thing))) == 2


# push


def test_push_under_several_tags(place: Place) -> None:
    place.create("a", "b")
    digest = place.run("push", place.made, "-t", "latest", "--tag", "stable").strip()
    there = remote(place.host, place.repository)
    assert [there[tag] for tag in ("list", "latest", "stable")] == [digest] * 3
    assert place.raw() == place.there()


def test_push_dry(place: Place) -> None:
    elsewhere = f"{place.repository}-other"
    push(place.host, elsewhere, "c", ARMV7)
    place.ran("create", place.made, f"{place.name}:a", f"{place.host}/{elsewhere}:c")
    with unchanged(place.lading, place.host, place.repository):
        ran = place.ran("push", "--dry-run", place.made, "-t", "latest")
        document = json.loads(place.run("push", "--dry-run", place.made, "--format", "json"))
    digest = make_index([AMD64, ARMV7]).digest
    assert ran.stdout == f"{digest}\n"
    assert ran.stderr.splitlines() == [
        f"would copy {place.host}/{elsewhere}:c to {place.name}",
        f"would push {place.made}",
        f"would push {place.name}:latest",
    ]
    assert (document["digest"], document["dry_run"]) == (digest, True)
    assert place.run("push", place.made).splitlines()[-1] == digest


def test_push_as_a_document(place: Place) -> None:
    elsewhere = f"{place.repository}-other"
    push(place.host, elsewhere, "c", ARMV7)
    place.ran("create", place.made, f"{place.name}:a", f"{place.host}/{elsewhere}:c")
    index = make_index([AMD64, ARMV7])
    assert json.loads(place.run("push", place.made, "-t", "latest", "--format", "json")) == {
        "reference": f"{place.made}@{index.digest}",
        "digest": index.digest,
        "media_type": DOCKER_LIST,
        "size": index.size,
        "tags": ["list", "latest"],
        "copied": [f"{place.name}@{ARMV7.digest}"],
        "blobs_mounted": 2,
        "blobs_uploaded": 0,
        "bytes_uploaded": 0,
        "dry_run": False,
        "failed": [],
    }
    assert place.run("push", place.made, "--format", "{{ tags | join(' ') }}") == "list\n"


def test_push_if_it_is_still_what_it_was(place: Place) -> None:
    place.create("a")
    place.run("push", place.made, "--if-digest", "absent")
    first = make_index([AMD64])
    place.run("add", place.made, f"{place.name}:b")
    place.run("push", place.made, "--if-digest", first.digest)
    place.run("remove", place.made, "linux/arm64")
    place.run("push", place.made, "--if-digest", "origin")
    place.push("list", make_index([ARM64]))
    with unchanged(place.lading, place.host, place.repository):
        says = [f"{place.made} was not changed", make_index([ARM64]).digest]
        fails(place.lading, "manifest", "push", place.made, "--if-digest", "origin", code=CONFLICT, says=says)


@pytest.mark.parametrize("flag", ["-p", "--purge"])
def test_push_and_forget(place: Place, flag: str) -> None:
    place.create("a")
    place.run("push", flag, place.made)
    assert not folder_of(place.lading, place.made).exists()
    assert place.run("ls") == ""


# ls


def test_ls(place: Place) -> None:
    none = place.ran("ls")
    assert (none.stdout, none.stderr) == ("", "there are no local manifest lists\n")
    place.create("a", "b")
    place.run("create", f"{place.name}:many", f"{place.name}:a", f"{place.name}:b", f"{place.push('c', ARMV7)}")
    wide = len(f"{place.name}:list")
    assert place.run("ls").splitlines() == [
        f"{'LIST'.ljust(wide)}  ENTRIES  PLATFORMS                    CHANGED",
        f"{place.made}        2  linux/amd64, linux/arm64/v8  just now",
        f"{place.name}:many        3  linux/amd64 and 2 more       just now",
    ]
    assert "linux/amd64, linux/arm64/v8, linux/arm/v7" in place.run("ls", "--no-trunc")
    assert place.run("ls", "-q") == f"{place.made}\n{place.name}:many\n"


def test_ls_with_what_the_registry_has(place: Place) -> None:
    def state() -> str:
        return place.run("ls", "--remote").splitlines()[1].rpartition("  ")[2]

    def document() -> dict[str, Any]:
        (described,) = json.loads(place.run("ls", "--remote", "--format", "json"))["lists"]
        return {key: described[key] for key in ("registry", "registry_digest", "origin")}

    place.create("a", "b")
    assert "IN THE REGISTRY" in place.run("ls", "--remote")
    assert state() == "not there"
    assert document() == {"registry": "absent", "registry_digest": None, "origin": None}
    digest = place.run("push", place.made).strip()
    assert state() == "same"
    assert document() == {"registry": "same", "registry_digest": digest, "origin": digest}
    place.push("a", NEWER)
    place.create("a", flags=["--amend"])
    assert state().startswith("older: 1 entry ")
    assert document() == {"registry": "older", "registry_digest": digest, "origin": digest}
    other = place.push("list", make_index([ARM64])) and make_index([ARM64]).digest
    assert state().startswith("differs: 1 entry ")
    assert document() == {"registry": "differs", "registry_digest": other, "origin": digest}


def test_ls_as_a_document(place: Place) -> None:
    place.create("built", flags=["--platform", "linux/amd64", "--no-attestations", "--annotation", "k=v"])
    (described,) = json.loads(place.run("ls", "--format", "json"))["lists"]
    assert described.pop("changed").endswith("Z")
    assert described == {
        "reference": place.made,
        "media_type": OCI_INDEX,
        "entries": [
            {
                "reference": f"{place.name}@{OCI_AMD64.digest}",
                "digest": OCI_AMD64.digest,
                "media_type": OCI_AMD64.media_type,
                "size": OCI_AMD64.size,
                "platform": "linux/amd64",
                "annotations": {},
            }
        ],
        "annotations": {"k": "v"},
        "origin": None,
        "problem": None,
        "registry": None,
        "registry_digest": None,
    }
    assert place.run("ls", "--format", "{{ lists | length }}") == "1\n"


def test_ls_when_a_registry_cannot_be_asked(place: Place) -> None:
    """The others are answered for all the same."""
    with RealRegistry() as gone:
        push(gone.host, "app", "a", AMD64)
        place.run("create", f"{gone.host}/app:list", f"{gone.host}/app:a")
    place.create("a", flags=["--push"])
    said = place.run("ls", "--remote")
    assert f"not known: {gone.host} could not be reached" in said
    assert said.count("same") == 1


# add, remove, rm


def test_add(place: Place) -> None:
    place.create("a")
    place.push("a", NEWER)
    added = place.ran("add", place.made, f"{place.name}:built", "--platform", "linux/arm64", "--no-attestations")
    assert added.stdout == f"{place.made}\n"
    assert added.stderr == f"{place.name}:built (linux/arm64/v8) added ({short(OCI_ARM64.digest)})\n"
    assert place.digests() == [AMD64.digest, OCI_ARM64.digest]
    assert place.ran("add", "-q", place.made, f"{place.name}:b").stderr == ""


def test_remove(place: Place) -> None:
    place.create("a", "b", "built")
    removed = place.ran("remove", place.made, f"{place.name}:a", f"{place.name}@{OCI_AMD64.digest}")
    assert removed.stdout == f"{place.made}\n"
    assert f"{place.name}:a removed (linux/amd64, {short(AMD64.digest)})\n" in removed.stderr
    # The attestation of what was removed goes with it.
    assert place.digests() == [ARM64.digest, OCI_ARM64.digest, BUILT.children[3].digest]
    before = local(place.lading)
    remove = ("manifest", "remove", place.made, f"{place.name}:b")
    fails(place.lading, *remove, f"{place.name}:none", code=NOT_FOUND, says=[f"{place.name}:none"])
    fails(place.lading, *remove, "linux/arm64", code=USAGE, says=["linux/arm64 means more than one entry"])
    assert local(place.lading) == before


def test_rm(place: Place) -> None:
    place.create("a", flags=["--push"])
    ran = place.ran("rm", place.made)
    assert (ran.stdout, ran.stderr) == ("", "")
    assert local(place.lading) == {}
    assert "list" in remote(place.host, place.repository)


# pull, prune


def test_pull_change_and_push(place: Place) -> None:
    """What separate machines need to build one list."""
    place.push("list", BUILT)
    pulled = place.ran("pull", place.made)
    assert pulled.stdout == f"{place.made}\n"
    assert pulled.stderr == "the local list has 4 entries\n"
    assert place.raw() == BUILT.document
    place.run("add", place.made, f"{place.push('c', ARMV7)}")
    place.run("push", place.made, "--if-digest", "origin")
    there = place.there()
    assert there["annotations"] == {"built": "yes"}
    assert [entry["digest"] for entry in there["manifests"]] == [*(e.digest for e in BUILT.children), ARMV7.digest]


def test_pull_a_part_under_another_name(place: Place) -> None:
    flags = ("--platform", "linux/arm64", "--no-attestations")
    assert place.run("pull", *flags, f"{place.name}:built", place.made) == f"{place.made}\n"
    assert place.digests() == [OCI_ARM64.digest]
    place.run("pull", "-q", "--replace", f"{place.name}:built", place.made)
    assert len(place.digests()) == 4
    pull = ("manifest", "pull", "--platform", "linux/s390x", f"{place.name}:built")
    fails(place.lading, *pull, code=NOT_FOUND, says=["linux/s390x"])
    fails(place.lading, "manifest", "pull", f"{place.name}:a", code=CONTENT, says=[f"{place.name}:a is an image"])


def test_prune(place: Place) -> None:
    """Only what the registry has exactly as it is."""
    assert place.ran("prune", "--yes").stderr == "there is nothing to prune\n"
    place.create("a", flags=["--push"])
    place.run("create", f"{place.name}:unpushed", f"{place.name}:b")
    with unchanged(place.lading):
        assert place.run("prune", "--dry-run") == f"would remove {place.made}\n"
        assert place.ran("prune", "--yes", "--older-than", "1").stderr == "there is nothing to prune\n"
        seen = on_terminal(place.lading, "manifest", "prune", answers=[("[y/N]", "n\n")])
        assert (seen.returncode, "nothing was removed" in seen.text) == (1, True)
    assert f"would remove {place.made}\n" in seen.text
    assert place.run("prune", "-y") == f"removed {place.made}\n"
    assert place.run("ls", "-q") == f"{place.name}:unpushed\n"


def test_prune_by_hand_and_quietly(place: Place) -> None:
    place.create("a", flags=["--push"])
    assert place.run("prune", "-q", "--yes", "--older-than", "0") == f"{place.made}\n"
    place.create("a", flags=["--push"])
    seen = on_terminal(place.lading, "manifest", "prune", answers=[("[y/N]", "y\n")])
    assert seen.text.endswith(f"removed {place.made}\n")
    assert local(place.lading) == {}
