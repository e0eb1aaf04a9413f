"""`lading index`: indexes made and changed in registries and layouts, beside what other tools make of the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.failing import CONFLICT, CONTENT, NOT_FOUND, USAGE, fails
from cli.place import AMD64, ARM64, ARMV7, INDEX, Place
from lading import AsyncClient
from support.http import Request
from support.images import (
    DOCKER_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
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
from support.layers import image as layered
from support.layers import write_layout
from support.parts import need
from support.process import run
from support.proxy import Action, CountingProxy
from support.registry import RealRegistry

S390X = make_image("linux/s390x", kind="oci", seed="s390x")
DOCKER = [make_image(f"linux/{arch}", seed=f"docker {arch}") for arch in ("amd64", "arm64/v8")]
WINDOWS = make_image("windows/amd64", kind="oci", seed="win", os_version="10.0.17763.1817", os_features=["win32k"])


@pytest.fixture
def place(lading: Lading, registry: RealRegistry, repository: str) -> Place:
    made = Place(lading, registry.host, repository)
    for tag, manifest in {"amd64": AMD64, "arm64": ARM64, "armv7": ARMV7, "index": INDEX}.items():
        made.push(tag, manifest)
    return made


@pytest.fixture(params=["registry", "layout", "archive"])
def where(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Callable[[str], str]:
    """Gives the location of a tag, in each kind of place that holds indexes; `index` and `amd64` are there."""
    if request.param == "registry":
        return lambda tag: f"{place.name}:{tag}"
    to = f"oci:{tmp_path}/layout" if request.param == "layout" else f"oci-archive:{tmp_path}/archive.tar"
    for tag in ("index", "amd64"):
        place.run("copy", "-q", f"{place.name}:{tag}", f"{to}:{tag}")
    return lambda tag: f"{to}:{tag}"


def listed(place: Place, reference: str) -> list[Any]:
    """The platforms that an index lists, attestations by what they are about."""
    entries: Any = place.json("index", "ls", reference)["entries"]
    return [entry["attests"][7:19] if entry["attests"] else entry["platform"] for entry in entries]


def raw(place: Place, reference: str) -> bytes:
    return place.lading.run("inspect", "--raw", reference).stdout.encode()


def document(place: Place, reference: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raw(place, reference))
    return found


def digest(manifest: Manifest) -> str:
    return manifest.digest[7:19]


ATTESTED = [digest(AMD64), digest(ARM64)]


# Creating


def test_an_index_of_images_and_indexes_from_anywhere(
    place: Place, tmp_path: Path, elsewhere: str, new_repository: Callable[[], str]
) -> None:
    other, layout = new_repository(), f"oci:{tmp_path}/layout:a"
    push(place.host, other, "s390x", S390X)
    push(elsewhere, "test/win", "1", WINDOWS)
    place.run("copy", "-q", f"{place.name}:armv7", layout)
    sources = [f"{place.name}:index", f"{place.host}/{other}:s390x", layout, f"{elsewhere}/test/win:1"]
    made = place.lading.run("index", "create", f"{place.name}:multi", *sources, "-t", "latest")
    assert listed(place, f"{place.name}:multi") == [
        *("linux/amd64", "linux/arm64/v8", *ATTESTED, "linux/s390x", "linux/arm/v7", "windows/amd64")
    ]
    entries = document(place, f"{place.name}:multi")["manifests"]
    assert entries[:4] == INDEX.document["manifests"]
    assert entries[6]["platform"] == {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0.17763.1817",
        "os.features": ["win32k"],
    }
    assert place.tags["latest"] == place.tags["multi"]
    assert made.stdout.splitlines() == [f"{place.name}:{tag}@{place.tags['multi']}" for tag in ("multi", "latest")]
    assert "linux/s390x added" in made.stderr
    place.run("copy", "-q", "--verify", f"{place.name}:multi", f"oci:{tmp_path}/all:a")


def test_a_source_that_is_an_index_is_a_copy_byte_for_byte_where_nothing_else_is_asked_for(place: Place) -> None:
    place.run("index", "create", f"{place.name}:copy", f"{place.name}:index")
    assert place.tags["copy"] == INDEX.digest


def test_nested(place: Place, tmp_path: Path) -> None:
    place.run("index", "create", f"{place.name}:nested", f"{place.name}:index", f"{place.name}:armv7", "--nested")
    assert document(place, f"{place.name}:nested")["manifests"][0] == {
        "mediaType": OCI_INDEX,
        "digest": INDEX.digest,
        "size": INDEX.size,
    }
    assert place.json("index", "ls", f"{place.name}:nested")["media_type"] == OCI_INDEX
    below: Any = place.json("index", "ls", "--recursive", f"{place.name}:nested")["entries"]
    assert [(entry["depth"], entry["position"]) for entry in below] == [
        *((0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (0, 1))
    ]
    assert below[1]["index"] == INDEX.digest
    place.run("index", "create", f"oci:{tmp_path}/flat:a", f"{place.name}:nested")
    assert listed(place, f"oci:{tmp_path}/flat:a") == ["linux/amd64", "linux/arm64/v8", *ATTESTED, "linux/arm/v7"]


def test_platforms_and_attestations_of_sources(place: Place) -> None:
    name = f"{place.name}:chosen"
    place.run("index", "create", name, f"{place.name}:index", "--platform", "linux/arm64")
    assert listed(place, name) == ["linux/arm64/v8", digest(ARM64)]
    place.run("index", "create", name, f"{place.name}:index", "--no-attestations")
    assert listed(place, name) == ["linux/amd64", "linux/arm64/v8"]
    args = ("index", "create", name, f"{place.name}:index", "--platform", "linux/s390x")
    fails(place.lading, *args, code=NOT_FOUND, says=["no source has an image for linux/s390x", "linux/amd64"])


@pytest.mark.parametrize(
    "said, platform",
    [
        ("linux/arm/v6", {"architecture": "arm", "os": "linux", "variant": "v6"}),
        ("linux/arm", {"architecture": "arm", "os": "linux", "variant": "v7"}),
        ("linux/armhf", {"architecture": "arm", "os": "linux", "variant": "v7"}),
        ("freebsd/riscv64", {"architecture": "riscv64", "os": "freebsd"}),
    ],
)
def test_the_platform_is_the_one_that_is_said_and_else_that_of_the_config(
    place: Place, said: str, platform: dict[str, str]
) -> None:
    place.run("index", "create", f"{place.name}:said", f"{place.name}:armv7={said}")
    assert document(place, f"{place.name}:said")["manifests"][0]["platform"] == platform


def test_what_the_config_does_not_say_is_told(place: Place) -> None:
    place.push("nothing", make_image("/", kind="oci", seed="nothing"))
    made = place.lading.run("index", "create", f"{place.name}:a", f"{place.name}:nothing")
    assert "nothing does not say for which platform it is" in made.stderr
    assert "platform" not in document(place, f"{place.name}:a")["manifests"][0]


def test_artifacts_have_their_type_and_no_platform(place: Place) -> None:
    place.push("thing", make_artifact("application/vnd.acme.thing", annotations={"a": "b"}))
    place.run("index", "create", f"{place.name}:a", f"{place.name}:thing", f"{place.name}:amd64")
    assert document(place, f"{place.name}:a")["manifests"][0].keys() == {"mediaType", "digest", "size", "artifactType"}
    row = place.run("index", "ls", f"{place.name}:a").splitlines()[1]
    assert "application/vnd.acme.thing" in row or "acme.thing" in row


def test_what_an_index_says_of_itself(place: Place) -> None:
    options = ["--artifact-type", "application/vnd.acme.set", "--subject", "amd64", "--annotation", "b=2"]
    annotations = ["--annotation", "index:a=1", "--annotation", "manifest-descriptor[linux/arm64]:c=x:y"]
    place.run(
        "index", "create", f"{place.name}:a", f"{place.name}:amd64", f"{place.name}:arm64", *options, *annotations
    )
    found = document(place, f"{place.name}:a")
    assert list(found) == ["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"]
    assert found["subject"] == {"mediaType": OCI_MANIFEST, "digest": AMD64.digest, "size": AMD64.size}
    assert found["annotations"] == {"a": "1", "b": "2"}
    assert [entry.get("annotations") for entry in found["manifests"]] == [None, {"c": "x:y"}]
    for wrong in ("manifests:a=b", "index-descriptor:a=b", "index[linux/amd64]:a=b", "nonsense"):
        args = ("index", "create", f"{place.name}:a", f"{place.name}:amd64", "--annotation", wrong)
        fails(place.lading, *args, code=USAGE, says=[f"'{wrong}'"])


def test_the_manifests_of_images_are_annotated(place: Place) -> None:
    annotations = ["--annotation", "manifest,index:a=1", "--annotation", "manifest[linux/arm64]:b=2"]
    place.run("index", "create", f"{place.name}:a", f"{place.name}:index", f"{place.name}:armv7", *annotations)
    found = document(place, f"{place.name}:a")
    images = found["manifests"][:2] + found["manifests"][4:]
    said = [document(place, f"{place.name}@{entry['digest']}")["annotations"] for entry in images]
    assert said == [{"a": "1"}, {"a": "1", "b": "2"}, {"a": "1"}]
    assert found["annotations"] == {"a": "1"}
    about = [entry["annotations"]["vnd.docker.reference.digest"] for entry in found["manifests"][2:4]]
    assert about == [images[0]["digest"], images[1]["digest"]]
    args = ("index", "create", f"{place.name}:b", f"{place.name}:amd64", "--annotation", "manifest[linux/arm64]:b=2")
    fails(place.lading, *args, code=NOT_FOUND, says=["has nothing for linux/arm64"])


def test_an_archive_on_standard_output_is_nothing_else(place: Place, tmp_path: Path) -> None:
    ran = place.lading.run("index", "create", "oci-archive:-", f"{place.name}:amd64", f"{place.name}:arm64")
    (tmp_path / "a.tar").write_bytes(ran.stdout_bytes)
    assert listed(place, f"oci-archive:{tmp_path}/a.tar") == ["linux/amd64", "linux/arm64/v8"]
    args = ("index", "create", "oci-archive:-", f"{place.name}:amd64", "--format", "json")
    fails(place.lading, *args, code=USAGE, says=["--format prints to standard output"])


def test_the_format_is_that_of_what_is_in_it(place: Place) -> None:
    for number, image in enumerate(DOCKER):
        place.push(f"docker{number}", image)
    both = [f"{place.name}:docker0", f"{place.name}:docker1"]
    place.run("index", "create", f"{place.name}:docker", *both)
    assert raw(place, f"{place.name}:docker") == make_index(DOCKER).content
    place.run("index", "create", f"{place.name}:mixed", f"{place.name}:docker0", f"{place.name}:arm64")
    assert document(place, f"{place.name}:mixed")["mediaType"] == OCI_INDEX
    place.run("index", "create", f"{place.name}:oci", *both, "--type", "oci")
    assert document(place, f"{place.name}:oci")["mediaType"] == OCI_INDEX
    place.run("index", "create", f"{place.name}:annotated", *both, "--annotation", "a=b")
    assert document(place, f"{place.name}:annotated")["mediaType"] == OCI_INDEX
    args = ("index", "create", f"{place.name}:none", *both, "--annotation", "a=b", "--type", "docker")
    fails(place.lading, *args, code=1, says=["cannot be a Docker manifest list", "annotations", "--type oci"])
    args = ("index", "create", f"{place.name}:none", f"{place.name}:index", "--type", "docker")
    fails(place.lading, *args, code=1, says=["cannot be a Docker manifest list", "--no-attestations"])
    assert "none" not in place.tags


def test_two_images_for_one_platform_are_refused_unless_that_is_allowed(place: Place) -> None:
    place.push("other", make_image("linux/amd64", kind="oci", seed="other"))
    args = ("index", "create", f"{place.name}:two", f"{place.name}:amd64", f"{place.name}:other")
    fails(place.lading, *args, code=CONFLICT, says=["two images for linux/amd64", digest(AMD64)])
    assert "two" not in place.tags
    place.run(*args, "--allow-duplicate-platforms")
    assert listed(place, f"{place.name}:two") == ["linux/amd64", "linux/amd64"]
    place.run("index", "create", f"{place.name}:once", f"{place.name}:amd64", f"{place.name}:amd64")
    assert listed(place, f"{place.name}:once") == ["linux/amd64"]


def test_an_index_is_made_again_without_anything_being_sent(place: Place) -> None:
    args = ("index", "create", f"{place.name}:multi", f"{place.name}:amd64", f"{place.name}:arm64")
    first = place.run(*args)
    again = place.json(*args)
    assert first.strip() == again["images"][0]["targets"][0]["full"]  # type: ignore[index]
    assert again["images"][0]["targets"][0]["state"] == "unchanged"  # type: ignore[index]


def test_a_tag_that_names_something_else_is_guarded(place: Place) -> None:
    args = ("index", "create", f"{place.name}:amd64", f"{place.name}:arm64")
    for guard in (("--if-digest", "absent"), ("--if-digest", ARM64.digest), ("--no-clobber",)):
        fails(place.lading, *args, *guard, code=CONFLICT, says=[f"{place.name}:amd64"])
    assert place.tags["amd64"] == AMD64.digest
    moved = place.lading.run(*args, "--if-digest", AMD64.digest)
    assert f"{place.name}:amd64 was {AMD64.digest}" in moved.stderr


def test_a_dry_run_prints_the_index_and_writes_nothing(place: Place) -> None:
    args = ("index", "create", f"{place.name}:multi", f"{place.name}:amd64", f"{place.name}:arm64")
    tried = place.lading.run(*args, "--dry-run")
    assert "multi" not in place.tags
    would = re.search(rf"would write {re.escape(place.name)}:multi@(\S+)", tried.stderr)
    assert would is not None
    place.run(*args)
    assert tried.stdout.encode() == raw(place, f"{place.name}:multi") + b"\n"
    assert would[1] == place.tags["multi"]


def test_append(place: Place) -> None:
    fails(
        place.lading,
        "index",
        "create",
        "--append",
        f"{place.name}:none",
        f"{place.name}:amd64",
        code=NOT_FOUND,
        says=[""],
    )
    name = f"{place.name}:index"
    ran = place.lading.run("index", "create", "--append", name, f"{place.name}:armv7", "-t", "latest")
    assert listed(place, name) == ["linux/amd64", "linux/arm64/v8", *ATTESTED, "linux/arm/v7"]
    assert document(place, name)["annotations"] == INDEX.document["annotations"]
    assert place.tags["latest"] == place.tags["index"]
    assert f"{name} was {INDEX.digest}" in ran.stderr


def test_the_metadata_file_of_imagetools(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "metadata.json"
    target = f"{place.host}/{place.repository}-copy:a"
    args = ("index", "create", f"{place.name}:a", f"{place.name}:index", "-t", target, "--metadata-file", str(file))
    place.run(*args, "--dry-run")
    assert not file.exists()
    place.run(*args)
    size, names = INDEX.size, f"{place.name},{place.name}-copy"
    assert file.read_text() == (
        '{\n  "containerimage.descriptor": {\n    "mediaType": "application/vnd.oci.image.index.v1+json",\n'
        f'    "digest": "{INDEX.digest}",\n    "size": {size}\n  }},\n  "image.name": "{names}"\n}}'
    )


def test_files_of_descriptors_and_names(place: Place, tmp_path: Path) -> None:
    one, several, names = tmp_path / "one.json", tmp_path / "several.json", tmp_path / "names"
    descriptor = {**AMD64.descriptor(annotations={"a": "b"}), "platform": {"os": "linux", "architecture": "386"}}
    one.write_text(json.dumps(descriptor))
    several.write_text(json.dumps([descriptor, ARM64.descriptor()]))
    names.write_text(f"# comment\n{ARMV7.digest}\n\n{place.name}:arm64\n")
    files = ("-f", str(one), "-f", str(several), "-f", str(names))
    place.run("index", "create", f"{place.name}:f", *files, f"@{AMD64.digest}")
    assert listed(place, f"{place.name}:f") == ["linux/386", "linux/arm64/v8", "linux/arm/v7", "linux/amd64"]
    assert document(place, f"{place.name}:f")["manifests"][0]["annotations"] == {"a": "b"}
    place.lading.run("index", "create", f"{place.name}:g", "-f", "-", stdin=one.read_bytes())
    assert listed(place, f"{place.name}:g") == ["linux/386"]
    for content, code, says in (
        (json.dumps({**descriptor, "size": 1}), CONTENT, "is not what its descriptor says"),
        (json.dumps({**descriptor, "mediaType": OCI_INDEX}), CONTENT, "is not what its descriptor says"),
        (INDEX.content.decode(), USAGE, "a manifest or an index"),
        ('{"digest": 1}', CONTENT, "malformed"),
        ("[", CONTENT, "JSON"),
        ("", USAGE, "names nothing"),
    ):
        one.write_text(content)
        ran = place.lading.run("index", "create", f"{place.name}:h", "-f", str(one), check=False)
        assert (ran.returncode, says in ran.stderr) == (code, True), ran.stderr
    fails(
        place.lading, "index", "create", f"{place.name}:h", "-f", "nowhere", code=USAGE, says=["nowhere cannot be read"]
    )


SPEC = """
image: {name}:spec
tags: [1.10, "1", on]
annotations: {{version: 1.0, "empty": ""}}
manifests:
  - image: {name}:amd64
    platform: {{architecture: 386, os: linux, osversion: 10.0, osfeatures: [a, b]}}
  - image: {name}:arm64
  - image: {name}:armv7
    platform:
      architecture: arm
      os: linux
      variant:
"""


def test_the_yaml_of_manifest_tool(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "spec.yml"
    file.write_text(SPEC.format(name=place.name))
    made = place.run("index", "create", "--spec", str(file), "-t", "more")
    assert made.split()[0] == f"{place.name}:spec@{place.tags['spec']}"
    assert {tag for tag, named in place.tags.items() if named == place.tags["spec"]} == {
        *("spec", "1.10", "1", "on", "more")
    }
    found = document(place, f"{place.name}:spec")
    assert found["annotations"] == {"version": "1.0", "empty": ""}
    assert [entry["platform"] for entry in found["manifests"]] == [
        {"architecture": "386", "os": "linux", "os.version": "10.0", "os.features": ["a", "b"]},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    place.run("index", "create", f"{place.name}:named", "--spec", str(file))
    assert place.tags["named"] == place.tags["spec"]
    file.write_text(SPEC.format(name=place.name).replace(":arm64", ":missing"))
    fails(place.lading, "index", "create", "--spec", str(file), code=NOT_FOUND, says=[f"{place.name}:missing"])
    skipped = place.lading.run("index", "create", "--spec", str(file), "--ignore-missing")
    assert f"{place.name}:missing was not found, and left out" in skipped.stderr
    assert listed(place, f"{place.name}:spec") == ["linux/386", "linux/arm/v7"]
    file.write_text(f"image: {place.name}:spec\nmanifests: [{{image: {place.name}:missing}}]\n")
    args = ("index", "create", "--spec", str(file), "--ignore-missing")
    fails(place.lading, *args, code=NOT_FOUND, says=["none of the sources was found"])


@pytest.mark.parametrize(
    "text, says",
    [
        ("imag: a\nmanifests: [{image: b}]", "did you mean image?"),
        ("image: a\nmanifests: [{image: b, platform: {arch: c}}]", "manifests[0].platform.arch"),
        ("image: a\nmanifests: []", "it lists no manifests"),
        ("image: a\nmanifests: [{platform: {os: linux}}]", "manifests[0] has no image"),
        ("image: a\nimage: b\nmanifests: [{image: b}]", "image is there twice"),
        ("image: [a]\nmanifests: [{image: b}]", "image is not a text"),
        ("image: a\nmanifests: {image: b}", "manifests is not a list"),
        ("- a", "it is not a mapping"),
        ("a: [", "spec.yml is not valid"),
        ("[" * 5000, "spec.yml is not valid"),
        ("manifests: [{image: b}]", "which the file does not say"),
    ],
)
def test_a_yaml_that_is_wrong_is_refused(lading: Lading, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "spec.yml"
    file.write_text(text)
    ran = lading.run("index", "create", "--spec", str(file), check=False)
    assert (ran.returncode, says in ran.stderr) == (USAGE, True), ran.stderr


def test_the_template_of_manifest_tool(place: Place) -> None:
    for tag, image in {"linux-arm-v7": ARMV7, "linux-amd64-": AMD64}.items():
        place.push(tag, image)
    template = ("--template", f"{place.name}:OS-ARCH-VARIANT")
    platforms = ("--platform", "linux/amd64", "--platform", "linux/arm/v7")
    place.run("index", "create", f"{place.name}:t", *template, *platforms)
    assert listed(place, f"{place.name}:t") == ["linux/amd64", "linux/arm/v7"]
    fails(place.lading, "index", "create", f"{place.name}:t", *template, code=USAGE, says=["no platforms were given"])
    wrong = ("--template", f"{place.name}:a", *platforms)
    fails(place.lading, "index", "create", f"{place.name}:t", *wrong, code=USAGE, says=["is no template"])


def test_what_is_missing_is_said_before_anything_is_sent(place: Place) -> None:
    fails(place.lading, "index", "create", f"{place.name}:a", code=USAGE, says=["name a SOURCE"])
    fails(place.lading, "index", "create", code=USAGE, says=["name the TARGET"])
    fails(
        place.lading,
        "index",
        "create",
        f"{place.name}:a",
        f"{place.name}:none",
        code=NOT_FOUND,
        says=[f"{place.name}:none"],
    )


def test_what_refers_to_sources_comes_along_or_is_said_to_stay(
    place: Place, elsewhere: str, new_repository: Callable[[], str]
) -> None:
    other = f"{elsewhere}/{new_repository()}"
    signature = make_artifact("application/vnd.acme.signature", {"a": b"signed"}, subject=S390X)
    repository = other.partition("/")[2]
    push(elsewhere, repository, "s390x", S390X)
    push(elsewhere, repository, None, signature)
    cosign = f"{S390X.digest.replace(':', '-')}.sig"
    push(elsewhere, repository, cosign, make_artifact("application/vnd.acme.other", {"a": b"cosign"}))
    args = ("index", "create", f"{place.name}:multi", f"{place.name}:amd64", f"{other}:s390x")
    said = place.lading.run(*args)
    assert f"2 referrers of {other}:s390x stayed behind: --referrers copy brings them along" in said.stderr
    assert cosign not in place.tags
    dropped = place.lading.run(*args, "--referrers", "drop", "-t", "again")
    assert "stayed behind" not in dropped.stderr
    place.run(*args, "--referrers", "copy", "-t", "again")
    assert get_manifest(place.host, place.repository, signature.digest)[0] == signature.content
    assert cosign in place.tags
    added = place.lading.run("index", "add", f"{place.name}:index", f"{other}:s390x")
    assert "stayed behind" in added.stderr
    assert "another digest" not in added.stderr  # nothing refers to the index


def test_what_refers_to_the_index_as_it_was_is_said(lading: Lading, elsewhere: str, repository: str) -> None:
    index = make_index([make_image("linux/amd64", kind="oci"), make_image("linux/arm64", kind="oci")], kind="oci")
    push(elsewhere, repository, "1", index)
    push(elsewhere, repository, None, make_artifact("application/vnd.acme.signature", {"a": b"s"}, subject=index))
    said = lading.run("index", "remove", f"{elsewhere}/{repository}:1", "linux/arm64").stderr
    assert f"1 referrer of {elsewhere}/{repository}:1, such as signatures, refers to it as it was" in said


CHANGES = {
    "remove": ["linux/arm64"],
    "filter": ["--platform", "linux/amd64"],
    "annotate": ["linux/arm64", "--variant", "v8"],
    "add": ["oci:{}/more:t"],
}


@pytest.mark.parametrize("verb", CHANGES)
async def test_what_becomes_of_what_refers_to_the_index(
    verb: str, client: AsyncClient, lading: Lading, elsewhere: str, new_repository: Callable[[], str], tmp_path: Path
) -> None:
    """What is signed is never made to refer to something else; the rest is made anew, with what refers to that."""
    sbom, signed = "application/spdx+json", "application/vnd.dev.cosign.artifact.sig.v1+json"
    index = make_index([make_image("linux/amd64", kind="oci"), make_image("linux/arm64", kind="oci")], kind="oci")
    artifact = make_artifact(sbom, subject=index)
    repository = new_repository()
    place = f"{elsewhere}/{repository}"
    push(elsewhere, repository, "1", index)
    for one in (
        artifact,
        make_artifact("text/note", {"a": b"a"}, subject=artifact),
        make_artifact(signed, {"s": b"s"}, subject=index),
    ):
        push(elsewhere, repository, None, one)
    write_layout(tmp_path / "more", layered("a=a", config={"architecture": "s390x"}))
    args = ["index", verb, f"{place}:1", *(word.format(tmp_path) for word in CHANGES[verb])]

    async def referrers(target: str) -> list[str]:
        async with client.open(target) as store:
            subjects = [await store.resolve(await client.digest(target))]
            types = []
            while subjects:
                found = [item async for item in store.referrers(subjects.pop())]
                types += [item.artifact_type for item in found]
                subjects += [item.content for item in found]
        return sorted(types)

    found = {}
    for policy, target in (("keep", "kept"), ("drop", "dropped"), ("copy", f"oci:{tmp_path}/out:1"), ("copy", "new")):
        ran = lading.run(*args, "--referrers", policy, "-t", target)
        found[target] = ran.stderr
        there = target if ":" in target else f"{place}:{target}"
        assert await referrers(there) == ([sbom, "text/note"] if policy == "copy" else []), ran.stderr
    assert "--referrers copy brings what is not signed along" in found["kept"]
    assert "refer" not in found["dropped"]
    assert "1 signature" in found["new"]
    assert "left behind" in found["new"]
    in_place = ["--in-place"] if verb == "filter" else []
    lading.run(*args, "--referrers", "copy", *in_place)
    assert await referrers(f"{place}:1") == [sbom, "text/note"]
    assert await referrers(f"{place}@{index.digest}") == sorted([sbom, signed, "text/note"])


def test_an_empty_one_to_be_added_to(where: Callable[[str], str], place: Place) -> None:
    name = where("empty")
    fails(place.lading, "index", "create", name, f"{place.name}:amd64", "--empty", code=USAGE, says=["no SOURCE"])
    fails(place.lading, "index", "create", name, "--empty", "--append", code=USAGE, says=["--append"])
    made = place.lading.run("index", "create", name, "--empty", "--annotation", "a=b")
    empty = json.loads(raw(place, name))
    assert empty == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
        "annotations": {"a": "b"},
    }
    assert made.stdout.startswith(name)
    assert place.lading.run("index", "ls", name, "--format", "json").returncode == 0
    place.run("index", "add", name, f"{place.name}:amd64")
    assert listed(place, name) == ["linux/amd64"]


# Changing


def test_add_and_remove(where: Callable[[str], str], place: Place) -> None:
    name = where("index")
    added = place.lading.run("index", "add", name, f"{place.name}:armv7")
    assert listed(place, name) == ["linux/amd64", "linux/arm64/v8", *ATTESTED, "linux/arm/v7"]
    assert re.search(rf"index was {INDEX.digest}", added.stderr), added.stderr
    assert "linux/arm/v7 added" in added.stderr
    again = place.lading.run("index", "add", name, f"{place.name}:armv7")
    assert "it stays as it is" in again.stderr
    assert again.stdout == added.stdout
    removed = place.lading.run("index", "remove", name, "linux/arm/v7")
    assert "linux/arm/v7 removed" in removed.stderr
    assert removed.stdout.strip().endswith(f"@{INDEX.digest}")
    assert raw(place, name) == INDEX.content


@pytest.mark.parametrize("entry", ["linux/arm64", "linux/aarch64/v8", ARM64.digest, digest(ARM64), "@1"])
def test_an_entry_is_named_by_platform_digest_or_position(place: Place, entry: str) -> None:
    place.run("index", "remove", f"{place.name}:index", entry)
    assert listed(place, f"{place.name}:index") == ["linux/amd64", digest(AMD64)]


def test_remove_by_platform_takes_all_that_are_for_it(place: Place) -> None:
    armv6 = make_image("linux/arm/v6", kind="oci", seed="v6")
    place.push("arms", make_index([AMD64, ARMV7, armv6], kind="oci"))
    name = f"{place.name}:arms"
    fails(place.lading, "index", "remove", name, "linux/arm/v8", code=NOT_FOUND, says=["has no entry linux/arm/v8"])
    place.run("index", "remove", name, "--platform", "linux/arm")
    assert listed(place, name) == ["linux/amd64"]
    fails(place.lading, "index", "remove", name, "@0", code=CONFLICT, says=["nothing would be left", "lading delete"])
    fails(place.lading, "index", "remove", name, "@1", code=NOT_FOUND, says=["has no entry @1"])
    fails(place.lading, "index", "remove", name, code=USAGE, says=["name an ENTRY"])
    assert listed(place, name) == ["linux/amd64"]


def test_what_means_several_entries_is_refused(place: Place) -> None:
    other = make_image("linux/amd64", kind="oci", seed="twin")
    place.push("twins", make_index([AMD64, other], kind="oci"))
    name = f"{place.name}:twins"
    said = ["means more than one entry", f"@0 ({digest(AMD64)})", f"@1 ({digest(other)})"]
    fails(place.lading, "index", "remove", name, "linux/amd64", code=1, says=said)
    place.run("index", "remove", name, digest(other))
    assert listed(place, name) == ["linux/amd64"]


def test_replace_takes_the_place_of_the_image_and_its_attestations(place: Place) -> None:
    new = make_image("linux/arm64", kind="oci", seed="new arm64")
    place.push("new", make_index([new, make_attestation(new)], kind="oci"))
    name = f"{place.name}:index"
    fails(place.lading, "index", "add", name, f"{place.name}:new", code=CONFLICT, says=["two images", "--replace"])
    place.run("index", "add", "--replace", name, f"{place.name}:new")
    assert listed(place, name) == ["linux/amd64", "linux/arm64", digest(AMD64), digest(new)]


def test_the_next_revision_of_windows_replaces_the_last(place: Place) -> None:
    new = make_image("windows/amd64", kind="oci", seed="new", os_version="10.0.17763.1879", os_features=["win32k"])
    server = make_image("windows/amd64", kind="oci", seed="server", os_version="10.0.20348.1")
    for tag, image in {"win": WINDOWS, "new": new, "server": server}.items():
        place.push(tag, image)
    name = f"{place.name}:windows"
    place.run("index", "create", name, f"{place.name}:win", f"{place.name}:server")
    place.run("index", "add", "--replace", name, f"{place.name}:new")
    assert [entry["digest"] for entry in document(place, name)["manifests"]] == [new.digest, server.digest]


ODD = {
    "schemaVersion": 2,
    "mediaType": OCI_INDEX,
    "x-unknown": {"b": 1.50, "a": [None]},
    "manifests": [
        {"size": AMD64.size, "digest": AMD64.digest, "mediaType": OCI_MANIFEST, "x": {"y": 1}},
        {
            **ARM64.descriptor(),
            "platform": {"os": "linux", "architecture": "arm64", "x-p": True},
            "annotations": {"b": "1", "a": "2"},
        },
    ],
    "subject": AMD64.descriptor(),
    "annotations": {"z": "1", "a": "<&>"},
}


@pytest.mark.parametrize(
    "change",
    [
        ("add", "{0}:odd", "{0}:armv7"),
        ("remove", "{0}:odd", "@1"),
        ("annotate", "{0}:odd", "@0", "--annotation", "new=1"),
        ("filter", "{0}:odd", "--platform", "linux/arm64", "--in-place"),
    ],
)
def test_what_an_index_says_survives_every_change(place: Place, change: tuple[str, ...]) -> None:
    content = json.dumps(ODD, separators=(",", ":"), ensure_ascii=False).replace("<&>", "\\u003c\\u0026\\u003e")
    place.push("odd", Manifest(content.encode(), OCI_INDEX, "oci"))
    place.run("index", *(word.format(place.name) for word in change))
    after = raw(place, f"{place.name}:odd").decode()
    found = json.loads(after)
    assert list(found) == list(ODD)
    assert {key: found[key] for key in ODD if key != "manifests"} == {
        key: ODD[key] for key in ODD if key != "manifests"
    }
    assert '"b":1.5' in after
    assert "\\u003c\\u0026\\u003e" in after
    by_digest = {entry["digest"]: entry for entry in found["manifests"]}
    for entry in ODD["manifests"]:  # type: ignore[attr-defined]
        kept = by_digest.get(entry["digest"])
        if kept is None:
            continue
        kept.get("annotations", {}).pop("new", None)
        assert {key: value for key, value in kept.items() if value != {}} == entry
        if change[0] != "annotate":
            assert list(kept) == list(entry)


def test_filter(where: Callable[[str], str], place: Place) -> None:
    place.run("index", "filter", where("index"), "--platform", "linux/arm64", "-t", "arm")
    assert listed(place, where("arm")) == ["linux/arm64/v8", digest(ARM64)]
    assert raw(place, where("index")) == INDEX.content
    assert document(place, where("arm"))["annotations"] == INDEX.document["annotations"]
    place.run("index", "filter", where("index"), "--no-attestations", "--in-place")
    assert listed(place, where("index")) == ["linux/amd64", "linux/arm64/v8"]
    whole = ("--platform", "linux/amd64", "--platform", "linux/arm64")
    same = place.lading.run("index", "filter", where("index"), *whole, "--in-place")
    assert "it stays as it is" in same.stderr


def test_filter_is_what_copy_takes(place: Place) -> None:
    place.run("index", "filter", f"{place.name}:index", "--platform", "linux/amd64", "-t", "a")
    place.run("copy", f"{place.name}:index", f"{place.name}:b", "--platform", "linux/amd64")
    assert place.tags["a"] == place.tags["b"]


def test_filter_exactly(place: Place) -> None:
    armv6 = make_image("linux/arm/v6", kind="oci", seed="v6")
    place.push("arms", make_index([ARMV7, armv6], kind="oci"))
    name = f"{place.name}:arms"
    place.run("index", "filter", name, "--platform", "linux/arm", "-t", "both")
    assert listed(place, f"{place.name}:both") == ["linux/arm/v7", "linux/arm/v6"]
    place.run("index", "filter", name, "--platform", "linux/arm", "--exact", "-t", "one")
    assert listed(place, f"{place.name}:one") == ["linux/arm/v7"]


@pytest.mark.parametrize("platform", ["all", "linux/s390x", "linux/amd64,linux/arm64"])
def test_filter_never_leaves_nothing(place: Place, platform: str) -> None:
    """crane panics at `all`, and pushes `"manifests":null` where nothing matches."""
    ran = place.lading.run("index", "filter", f"{place.name}:index", "--platform", platform, "--in-place", check=False)
    assert ran.returncode in (USAGE, NOT_FOUND)
    assert place.tags["index"] == INDEX.digest
    for wrong in ((), ("--in-place",), ("--in-place", "-t", "a", "--platform", "linux/amd64")):
        fails(place.lading, "index", "filter", f"{place.name}:index", *wrong, code=USAGE, says=["say "])


def test_annotate(where: Callable[[str], str], place: Place) -> None:
    name = where("index")
    said = ("--variant", "v9", "--os-version", "1.2", "--os-features", "a,b", "--annotation", "a=b")
    place.run("index", "annotate", name, "linux/arm64", *said, "--artifact-type", "a/b")
    entry = document(place, name)["manifests"][1]
    assert entry["platform"] == {
        "architecture": "arm64",
        "os": "linux",
        "os.version": "1.2",
        "os.features": ["a", "b"],
        "variant": "v9",
    }
    assert (entry["annotations"], entry["artifactType"]) == ({"a": "b"}, "a/b")
    clear = ("--clear", "os-version", "--clear", "os-features", "--remove-annotation", "a", "--artifact-type", "")
    place.run("index", "annotate", name, digest(ARM64), *clear, "--variant", "v8")
    assert raw(place, name) == INDEX.content
    place.run("index", "annotate", name, "--index-annotation", "team=web")
    assert document(place, name)["annotations"] == INDEX.document["annotations"] | {"team": "web"}
    remove = ("--remove-index-annotation", "team")
    place.run("index", "annotate", name, *remove)
    assert raw(place, name) == INDEX.content


def test_annotate_needs_something_to_say(place: Place) -> None:
    name = f"{place.name}:index"
    fails(place.lading, "index", "annotate", name, code=USAGE, says=["name the ENTRY"])
    fails(place.lading, "index", "annotate", name, "@0", code=USAGE, says=["say what is to be said"])
    fails(place.lading, "index", "annotate", name, "@0", "--clear", "x", code=USAGE, says=["x is no field"])


def test_a_docker_list_stays_one_and_loses_nothing_unsaid(place: Place) -> None:
    place.push("docker", make_index(DOCKER))
    name = f"{place.name}:docker"
    for args in (("annotate", name, "@0", "--annotation", "a=b"), ("annotate", name, "--index-annotation", "a=b")):
        says = ["cannot be a Docker manifest list", f"lading index annotate --type oci {name}"]
        fails(place.lading, "index", *args, code=1, says=says)
    add = ("index", "add", name, f"{place.name}:index", "--platform", "linux/amd64", "--allow-duplicate-platforms")
    says = ["cannot be a Docker manifest list", "attestations", "lading index add --no-attestations"]
    fails(place.lading, *add, code=1, says=says)
    place.run("index", "annotate", name, "@0", "--variant", "v2")
    assert document(place, name)["mediaType"] == DOCKER_LIST
    assert raw(place, name).startswith(b'{\n   "schemaVersion": 2')
    place.run("index", "annotate", name, "--type", "oci", "--index-annotation", "a=b")
    assert document(place, name)["mediaType"] == OCI_INDEX


def test_the_result_goes_elsewhere_and_the_index_stays(place: Place, tmp_path: Path) -> None:
    target = f"oci:{tmp_path}/layout:a"
    place.run("index", "add", f"{place.name}:index", f"{place.name}:armv7", "-t", "next", "-t", target)
    assert place.tags["index"] == INDEX.digest
    assert listed(place, target) == listed(place, f"{place.name}:next")
    place.run("index", "remove", f"{place.name}@{INDEX.digest}", "@0", "-t", "less")
    assert listed(place, f"{place.name}:less") == ["linux/arm64/v8", digest(ARM64)]
    args = ("index", "remove", f"{place.name}@{INDEX.digest}", "@0")
    fails(place.lading, *args, code=USAGE, says=["names no tag", "-t TARGET"])


def test_only_an_index_is_changed(place: Place) -> None:
    for args in (("add", "{0}:amd64", "{0}:arm64"), ("remove", "{0}:amd64", "@0"), ("ls", "{0}:amd64")):
        words = [word.format(place.name) for word in args]
        fails(place.lading, "index", *words, code=CONTENT, says=["not an index", "lading index create NAME"])


@pytest.mark.parametrize("command", [("add", "{name}:armv7"), ("remove", "@0"), ("annotate", "@0", "--os", "x")])
def test_a_writer_in_between_loses_nothing(place: Place, command: tuple[str, ...], new_repository: Any) -> None:
    """The tag is looked at last: what another client has made of the index meanwhile stays."""
    others = make_index([AMD64, ARM64, ARMV7, S390X], kind="oci")
    push(place.host, place.repository, None, others)

    def meanwhile(request: Request) -> Action | None:
        if request.method == "HEAD" and request.path.endswith("/manifests/index"):
            looks.append(request)
            if len(looks) == 1:
                push(place.host, place.repository, "index", others)
        return None

    looks: list[Request] = []
    with CountingProxy(f"http://{place.host}") as proxy:
        proxy.intercept = meanwhile
        name = f"{proxy.host}/{place.repository}"
        verb, *words = [word.format(name=name) for word in command]
        fails(place.lading, "index", verb, f"{name}:index", *words, code=CONFLICT, says=["changed meanwhile"])
    assert place.tags["index"] == others.digest


def test_if_digest_of_a_change(place: Place) -> None:
    name = f"{place.name}:index"
    args = ("index", "remove", name, "@1", "--if-digest")
    fails(place.lading, *args, AMD64.digest, code=CONFLICT, says=["does not name"])
    assert place.tags["index"] == INDEX.digest
    place.run(*args, INDEX.digest)
    assert listed(place, name) == ["linux/amd64", digest(AMD64)]


# What it costs


def test_requests(place: Place, tmp_path: Path, new_repository: Callable[[], str]) -> None:
    other = new_repository()
    push(place.host, other, "s390x", S390X)
    with CountingProxy(f"http://{place.host}") as proxy:
        name = f"{proxy.host}/{place.repository}"

        def counted(*words: str) -> int:
            proxy.reset()
            place.run("index", *(word.format(name) for word in words))
            return len(proxy.lines)

        counted("ls", "{0}:index")
        assert counted("ls", "{0}:index") == 1
        # Of each source the manifest and the config; and the index.
        assert counted("create", "{0}:two", "{0}:amd64", "{0}:arm64") == 2 * 2 + 1
        assert counted("create", "{0}:two", "{0}:amd64", "{0}:arm64") == 2 * 2 + 1, "made again"
        # An index says itself what there is to say.
        assert counted("create", "{0}:copy", "{0}:index") == 1 + 1
        assert counted("filter", "{0}:index", "--platform", "linux/amd64", "-t", "one", "--referrers", "drop") == 1 + 1
        # The tag is looked at again just before it is set; beside that it is asked what refers to the index as it was:
        # by the API until it is known that there is none, the fallback tag, and three tags of cosign's.
        assert counted("remove", "{0}:two", "@0") == 1 + 2 + 5
        assert counted("annotate", "{0}:two", "@0", "--variant", "v9") == 1 + 2 + 4
        assert counted("add", "{0}:two", "{0}:armv7") == 1 + 2 + 2 + 4
        # From another repository: blobs are mounted, after it was asked for the index and the image; and beside that it
        # is asked what refers to the image as well.
        source = f"{proxy.host}/{other}:s390x"
        blobs = len(S390X.blobs)
        assert counted("add", "{0}:two", source) == 1 + 2 + 2 + blobs + 1 + 2 + 4 + 4


# What others make of the same


@pytest.fixture
def crane(place: Place, tmp_path: Path) -> Callable[..., object]:
    program = need("crane")
    return lambda *args: run([program, *args], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


def test_the_same_bytes_as_crane_where_only_an_index_is_filtered(place: Place, crane: Callable[..., object]) -> None:
    crane("index", "append", f"{place.name}:index", "-m", f"{place.name}:armv7", "-t", f"{place.name}:crane")
    for platforms in (("linux/amd64",), ("linux/arm/v7", "linux/arm64")):
        wanted = [word for platform in platforms for word in ("--platform", platform)]
        attestations = ["--no-attestations"]
        crane("index", "filter", f"{place.name}:crane", *wanted, "-t", f"{place.name}:theirs")
        place.run("index", "filter", f"{place.name}:crane", *wanted, *attestations, "-t", "ours")
        assert raw(place, f"{place.name}:ours") == raw(place, f"{place.name}:theirs")


def test_the_same_bytes_as_crane_where_an_index_is_appended_to_another(
    place: Place, crane: Callable[..., object]
) -> None:
    crane("index", "append", "-m", f"{place.name}:armv7", "-t", f"{place.name}:base")
    crane("index", "append", "-m", f"{place.name}:index", "-t", f"{place.name}:more")
    crane("index", "append", f"{place.name}:base", "-m", f"{place.name}:more", "-t", f"{place.name}:theirs")
    place.run("index", "add", f"{place.name}:base", f"{place.name}:more", "-t", "ours")
    assert raw(place, f"{place.name}:ours") == raw(place, f"{place.name}:theirs")


def test_the_same_bytes_as_regctl(place: Place, tmp_path: Path) -> None:
    regctl = need("regctl")
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    refs = [word for tag in ("amd64", "arm64", "armv7") for word in ("--ref", f"{place.name}:{tag}")]
    more = ["--annotation", "b=2", "--annotation", "a=1", "--artifact-type", "application/vnd.acme.set"]
    host = f"reg={place.host},tls=disabled"
    run([regctl, "--host", host, "index", "create", f"{place.name}:theirs", *refs, *more], env=env)
    sources = [f"{place.name}:{tag}" for tag in ("amd64", "arm64", "armv7")]
    place.run("index", "create", f"{place.name}:ours", *sources, *more)
    assert raw(place, f"{place.name}:ours") == raw(place, f"{place.name}:theirs")
    run([regctl, "--host", host, "index", "delete", f"{place.name}:theirs", "--platform", "linux/arm64"], env=env)
    place.run("index", "remove", f"{place.name}:ours", "linux/arm64")
    assert raw(place, f"{place.name}:ours") == raw(place, f"{place.name}:theirs")
    run([regctl, "--host", host, "index", "add", f"{place.name}:theirs", "--ref", f"{place.name}:arm64"], env=env)
    place.run("index", "add", f"{place.name}:ours", f"{place.name}:arm64")
    assert raw(place, f"{place.name}:ours") == raw(place, f"{place.name}:theirs")


def test_others_read_what_was_made(place: Place, tmp_path: Path) -> None:
    sources = [f"{place.name}:index", f"{place.name}:armv7"]
    place.run("index", "create", f"{place.name}:multi", *sources, "--annotation", "a=b")
    place.run("index", "create", f"oci:{tmp_path}/layout:multi", *sources, "--annotation", "a=b")
    copy: list[str | Path] = [need("skopeo"), "copy", "--all", "--preserve-digests", "--src-tls-verify=false"]
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for number, source in enumerate((f"docker://{place.name}:multi", f"oci:{tmp_path}/layout:multi")):
        run([*copy, source, f"oci:{tmp_path}/theirs{number}:a"], env=env)
        assert raw(place, f"oci:{tmp_path}/theirs{number}:a") == raw(place, f"{place.name}:multi")


# What is hostile


def test_an_index_with_itself_far_down_or_too_much_in_it(place: Place, tmp_path: Path) -> None:
    deep = make_index([AMD64], kind="oci")
    for _ in range(20):
        deep = make_index([Entry(deep, platform={})], kind="oci")
    place.push("deep", deep)
    args = ("index", "create", f"{place.name}:a", f"{place.name}:deep")
    fails(place.lading, *args, code=CONTENT, says=["nested too deeply"])
    fails(place.lading, "index", "ls", "-R", f"{place.name}:deep", code=CONTENT, says=["nested too deeply"])


def test_an_index_of_a_cache_keeps_what_is_no_manifest(place: Place, tmp_path: Path) -> None:
    blob = next(iter(AMD64.blobs))
    entry = {"mediaType": "application/octet-stream", "digest": blob, "size": len(AMD64.blobs[blob])}
    content = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [AMD64.descriptor(), entry]}
    place.push("cache", Manifest(json.dumps(content).encode(), OCI_INDEX, "oci"))
    place.run("index", "add", f"{place.name}:cache", f"{place.name}:arm64")
    place.run("index", "create", f"oci:{tmp_path}/layout:a", f"{place.name}:cache")
    assert document(place, f"oci:{tmp_path}/layout:a")["manifests"][1] == entry


@pytest.mark.parametrize("manifests", ["null", "[]"])
def test_an_index_without_entries_gets_some(place: Place, manifests: str) -> None:
    content = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":{manifests}}}'
    place.lading.run("copy", "-q", f"{place.name}:amd64", f"{place.name}:empty")
    push(place.host, place.repository, "empty", Manifest(content.encode(), OCI_INDEX, "oci"))
    place.run("index", "add", f"{place.name}:empty", f"{place.name}:amd64")
    assert listed(place, f"{place.name}:empty") == ["linux/amd64"]
