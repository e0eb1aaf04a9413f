"""What refers to an image: attached, listed, fetched, deleted; in registries with the API and without, and layouts."""

import json
from pathlib import Path
from typing import Any

import pytest

from lading import Client, Descriptor
from lading.model.digest import Digest
from lading.model.tags import fallback_tag
from support.artifacts import TITLE, packed, pushed
from support.images import make_artifact, make_attestation, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import bare_environment, run
from support.proxy import CountingProxy
from support.registry import RealRegistry

AMD64 = make_image("linux/amd64", kind="oci")
ARM64 = make_image("linux/arm64", kind="oci")
INDEX = make_index([AMD64, ARM64, make_attestation(AMD64)], kind="oci")
TYPE = "application/vnd.example.report"
CREATED = "org.opencontainers.image.created"


@pytest.fixture(params=["api", "fallback", "layout", "archive"])
def place(request: pytest.FixtureRequest, repository: str, tmp_path: Path, lading: Lading) -> str:
    """A place of each kind with an index, called `list`, and an image, called `image`."""
    if request.param in ("api", "fallback"):
        host = request.getfixturevalue("elsewhere" if request.param == "api" else "registry")
        host = host if isinstance(host, str) else host.host
        push(host, repository, "list", INDEX)
        push(host, repository, "image", AMD64)
        return f"{host}/{repository}"
    host = request.getfixturevalue("elsewhere")
    push(host, repository, "list", INDEX)
    place = f"oci:{tmp_path}/layout" if request.param == "layout" else f"oci-archive:{tmp_path}/archive.tar"
    lading.run("copy", f"{host}/{repository}:list", f"{place}:list")
    lading.run("copy", f"{host}/{repository}@{AMD64.digest}", f"{place}:image")
    return place


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_text("all is well")
    return path


def attached(lading: Lading, *args: str, **more: Any) -> str:
    """Attach; gives the digest of the artifact."""
    return (
        lading.run("artifact", "attach", *args, "--artifact-type", TYPE, "-q", **more).stdout.strip().rpartition("@")[2]
    )


def listed(lading: Lading, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lading.run("artifact", "ls", *args, "--format", "json").stdout)[
        "referrers"
    ]
    return found


def test_what_is_attached_is_listed(lading: Lading, place: str, report: Path) -> None:
    ran = lading.run(
        *("artifact", "attach", f"{place}:image", "report.txt:text/plain", "--artifact-type", TYPE),
        *("--annotation", f"{CREATED}=2024-05-01T12:00:00Z", "--annotation", "by=me"),
        cwd=report.parent,
    )
    name, digest = ran.stdout.strip().rsplit("@", 1)
    assert (name, f"Attached to {AMD64.digest}" in ran.stderr) == (place, True)
    (entry,) = listed(lading, f"{place}:image")
    assert (entry["digest"], entry["artifact_type"], entry["created"]) == (digest, TYPE, "2024-05-01T12:00:00Z")
    assert entry["annotations"] == {CREATED: "2024-05-01T12:00:00Z", "by": "me"}
    row = lading.run("artifact", "ls", f"{place}:image").stdout.splitlines()[1]
    assert row.split()[:2] == [digest[7:19], TYPE]
    assert "  2024-05-01  " in row
    assert row.endswith("by=me")
    out = report.parent / "out"
    lading.run("artifact", "pull", f"{place}@{digest}", "-o", str(out))
    assert (out / "report.txt").read_text() == "all is well"


def test_attaching_the_same_again_changes_nothing(lading: Lading, place: str, report: Path) -> None:
    first = attached(lading, f"{place}:image", "report.txt", cwd=report.parent)
    again = lading.run(
        "artifact", "attach", f"{place}@{AMD64.digest}", "report.txt", "--artifact-type", TYPE, cwd=report.parent
    )
    assert again.stdout.strip() == f"{place}@{first}"
    assert "all of it is there already" in again.stderr
    assert f"Attached already to {AMD64.digest}" in again.stderr
    assert [entry["digest"] for entry in listed(lading, f"{place}:image")] == [first]


def test_a_subject_is_an_index_or_one_of_its_images(lading: Lading, place: str, report: Path) -> None:
    whole = attached(lading, f"{place}:list", "report.txt", cwd=report.parent)
    part = attached(lading, f"{place}:list", "report.txt", "--platform", "linux/arm64", cwd=report.parent)
    assert [entry["digest"] for entry in listed(lading, f"{place}:list")] == [whole]
    for words in ([f"{place}:list", "--platform", "linux/arm64"], [f"{place}@{ARM64.digest}"]):
        assert [entry["digest"] for entry in listed(lading, *words)] == [part]
    none = ("artifact", "attach", f"{place}:list", "report.txt", "--artifact-type", TYPE, "--platform", "linux/s390x")
    assert lading.run(*none, cwd=report.parent, check=False).returncode == 3


def test_a_dry_run_attaches_nothing(lading: Lading, place: str, report: Path) -> None:
    words = ("artifact", "attach", f"{place}:image", "report.txt", "--artifact-type", TYPE, "--dry-run")
    ran = lading.run(*words, cwd=report.parent)
    assert ("TO DO" in ran.stdout, "Would attach to" in ran.stderr) == (True, True)
    assert "nothing is attached to" in lading.run("artifact", "ls", f"{place}:image").stderr


def test_nothing_is_sent_where_the_subject_is_missing(
    lading: Lading, proxy: CountingProxy, repository: str, report: Path
) -> None:
    push(proxy.host, repository, "1", AMD64)
    proxy.reset()
    for subject in (":none", f"@{ARM64.digest}"):
        words = ("artifact", "attach", f"{proxy.host}/{repository}{subject}", "report.txt", "--artifact-type", TYPE)
        assert lading.run(*words, cwd=report.parent, check=False).returncode == 3
        assert lading.run("artifact", "ls", f"{proxy.host}/{repository}{subject}", check=False).returncode == 3
    assert {exchange.method for exchange in proxy.exchanges} <= {"GET", "HEAD"}


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "there is nothing to attach"),
        (["report.txt"], "--artifact-type"),
        (["report.txt", "--artifact-type", "none"], "no media type"),
    ],
)
def test_what_cannot_be_attached(lading: Lading, place: str, report: Path, words: list[str], said: str) -> None:
    kind = [] if "report.txt" in words else ["--artifact-type", TYPE]
    ran = lading.run("artifact", "attach", f"{place}:image", *words, *kind, cwd=report.parent, check=False)
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr


# Listing


@pytest.fixture
def many(lading: Lading, elsewhere: str, repository: str) -> str:
    """An image with four referrers; of three it is said when they were made."""
    push(elsewhere, repository, "1", AMD64)
    for kind, created in (("spdx", "2024-01-01T00:00:00Z"), ("spdx", "2024-03-01T00:00:00+02:00"), ("note", None)):
        said = {"kind": kind, **({CREATED: created} if created else {})}
        push(elsewhere, repository, None, make_artifact(f"application/{kind}", subject=AMD64, annotations=said))
    return f"{elsewhere}/{repository}:1"


@pytest.mark.parametrize(
    "words, kinds",
    [
        ([], ["2024-03", "2024-01", "-"]),
        (["--reverse"], ["-", "2024-01", "2024-03"]),
        (["--sort", "type"], ["-", "2024-03", "2024-01"]),
        (["--sort", "kind"], ["-", "2024-01", "2024-03"]),
        (["--artifact-type", "*spdx"], ["2024-03", "2024-01"]),
        (["--artifact-type", "application/spdx", "--latest"], ["2024-03"]),
        (["--artifact-type", "application/note", "--artifact-type", "x/y"], ["-"]),
        (["--filter-annotation", "kind=note"], ["-"]),
        (["--filter-annotation", CREATED, "--filter-annotation", "kind"], ["2024-03", "2024-01"]),
        (["--filter-annotation", "kind=none"], []),
        (["--latest"], ["2024-03"]),
    ],
)
def test_referrers_are_chosen_and_ordered(lading: Lading, many: str, words: list[str], kinds: list[str]) -> None:
    found = [(entry["created"] or "-")[:7] for entry in listed(lading, many, *words)]
    if "kind" in words:
        found[1:] = sorted(found[1:])  # equal annotations are in the order of digests
    assert found == kinds


def test_the_newest_has_to_be_told(lading: Lading, elsewhere: str, repository: str, report: Path) -> None:
    push(elsewhere, repository, "1", AMD64)
    place = f"{elsewhere}/{repository}:1"
    for name in ("a", "b"):
        attached(lading, place, f"{name}=report.txt", cwd=report.parent)
    ran = lading.run("artifact", "ls", place, "--latest", check=False)
    assert (ran.returncode, "none of them says when it was made" in ran.stderr) == (8, True)
    assert len(lading.run("artifact", "ls", place, "-q").stdout.splitlines()) == 2


def test_cosigns_tags_are_shown_as_such(lading: Lading, registry: RealRegistry, repository: str) -> None:
    place = f"{registry.host}/{repository}"
    push(registry.host, repository, "1", AMD64)
    stem = AMD64.digest.replace(":", "-")
    signature = make_image(kind="oci", seed="signature")  # cosign's have configs of images
    sbom = make_artifact("application/vnd.example.sbom")
    push(registry.host, repository, f"{stem}.sig", signature)
    push(registry.host, repository, f"{stem}.sbom", sbom)
    push(registry.host, repository, f"{stem}.other", make_artifact("text/x-other", subject=AMD64))
    by_type = {entry["artifact_type"]: entry for entry in listed(lading, f"{place}:1")}
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    assert by_type[kind]["digest"] == signature.digest
    assert (by_type[kind]["listed_by"], by_type[kind]["tag"]) == (["cosign-tag"], f"{stem}.sig")
    assert set(by_type) == {kind, "application/vnd.example.sbom"}
    assert len(listed(lading, f"{place}:1", "--digest-tags")) == 3
    assert [entry["tag"] for entry in listed(lading, f"{place}:1", "--artifact-type", "*cosign*sig*")] == [
        f"{stem}.sig"
    ]


def test_a_type_that_a_list_leaves_out_is_that_of_the_config(
    lading: Lading, registry: RealRegistry, repository: str
) -> None:
    place = f"{registry.host}/{repository}"
    push(registry.host, repository, "1", AMD64)
    old = make_artifact("", subject=AMD64)
    push(registry.host, repository, None, old)
    entry = {"mediaType": old.media_type, "digest": old.digest, "size": old.size}
    listing = make_index([], kind="oci").document | {"manifests": [entry, entry]}
    with Client() as client:
        client.put(json.dumps(listing).encode(), f"{place}:{fallback_tag(Digest(AMD64.digest))}")
    (found,) = listed(lading, f"{place}:1")
    assert found["artifact_type"] == "application/vnd.oci.empty.v1+json"
    assert len(listed(lading, f"{place}:1", "--artifact-type", "application/vnd.oci.empty*")) == 1
    lading.run("copy", f"{place}:1", f"{place}-2:1", "--referrers")


# Getting files


def test_the_files_of_one_artifact_are_written(lading: Lading, place: str, report: Path) -> None:
    attached(lading, f"{place}:image", "report.txt", cwd=report.parent)
    words = ("artifact", "get", "--subject", f"{place}:image", "--artifact-type")
    assert lading.run(*words, TYPE, "-o", "-").stdout == "all is well"
    lading.run(*words, "application/*report", "-o", str(report.parent / "out"))
    assert (report.parent / "out/report.txt").read_text() == "all is well"
    none = lading.run(*words, "text/x-none", "-o", "-", check=False)
    assert (none.returncode, "nothing like that is attached" in none.stderr) == (3, True)


def test_of_several_artifacts_none_is_taken_but_the_newest(lading: Lading, many: str, tmp_path: Path) -> None:
    words = ("artifact", "get", "--subject", many, "--artifact-type", "*spdx", "-o", str(tmp_path / "out"))
    ran = lading.run(*words, check=False)
    assert (ran.returncode, "2 artifacts like that" in ran.stderr) == (8, True)
    assert not (tmp_path / "out").exists()
    newest = json.loads(lading.run(*words, "--latest", "--format", "json").stdout)["digest"]
    assert [entry["digest"] for entry in listed(lading, many, "--latest")] == [newest]


@pytest.mark.parametrize(
    "layer",
    [
        (b"x", {TITLE: "../x"}),
        (b"x", {TITLE: "/tmp/lading-x"}),
        (b"x", {TITLE: "GOOD"}),
        (b"x", {TITLE: "good/x"}),
        (b"x", {TITLE: "n" * 300}),
        packed("d/ d/l->/etc"),
        packed("d/ d/h~../good"),
        packed("d/ other/x=x"),
    ],
)
def test_what_is_attached_leads_nowhere_else(
    lading: Lading, tmp_path: Path, layer: tuple[bytes, dict[str, str]]
) -> None:
    image = pushed(tmp_path, (b"image", {}))
    with Client() as client:
        subject = client.get(image)
    described = Descriptor(media_type=subject.media_type, digest=subject.digest, size=len(subject.raw))
    pushed(tmp_path, (b"good", {TITLE: "good"}), layer, subject=described)
    before = sorted(tmp_path.rglob("*"))
    place = f"oci:{tmp_path}/hostile@{subject.digest}"
    ran = lading.run("artifact", "get", "--subject", place, "-o", f"{tmp_path}/out", check=False)
    assert ran.returncode == 7, ran.stderr
    assert sorted(tmp_path.rglob("*")) == before


# Deleting


def test_what_refers_to_what_is_deleted_is_said(lading: Lading, many: str) -> None:
    said = lading.run("delete", many, "--dry-run").stdout
    assert "3 artifacts that refer to it stay, such as signatures" in said
    document = json.loads(lading.run("delete", many, "--dry-run", "--format", "json").stdout)
    assert len(document["deleted"][0]["referrers"]) == 3


@pytest.mark.parametrize("kind", ["registry", "layout"])
def test_referrers_in_another_place(
    lading: Lading, registry: RealRegistry, repository: str, report: Path, tmp_path: Path, kind: str
) -> None:
    push(registry.host, repository, "image", AMD64)
    image = f"{registry.host}/{repository}:image"
    other = f"{registry.host}/{repository}-own" if kind == "registry" else f"oci:{tmp_path / 'own'}"
    where = ("--referrers-in", other)

    said = lading.run("artifact", "attach", image, "report.txt", "--artifact-type", TYPE, *where, cwd=report.parent)
    digest = said.stdout.strip().rpartition("@")[2]
    assert said.stdout.strip() == f"{other}@{digest}"
    assert listed(lading, image) == []
    (entry,) = listed(lading, image, *where)
    assert (entry["digest"], entry["artifact_type"]) == (digest, TYPE)
    got = lading.run("artifact", "get", "--subject", image, *where, "-o", "-")
    assert got.stdout == "all is well"
    assert digest[7:19] in lading.run("tree", image, *where).stdout
    assert fallback_tag(Digest(AMD64.digest)) not in lading.run("tags", image.rpartition(":")[0]).stdout
    missing = lading.run("artifact", "get", "--subject", image, "-o", "-", check=False)
    assert missing.returncode == 3


def test_referrers_in_another_place_as_regctl_has_them(
    lading: Lading, registry: RealRegistry, repository: str, report: Path
) -> None:
    push(registry.host, repository, "image", AMD64)
    image, other = f"{registry.host}/{repository}:image", f"{registry.host}/{repository}-own"
    env = bare_environment(lading.home)
    regctl = need("regctl")
    run([regctl, "registry", "set", registry.host, "--tls", "disabled"], env=env)
    ours = lading.run(
        "artifact",
        "attach",
        image,
        "report.txt",
        "--artifact-type",
        TYPE,
        "--referrers-in",
        other,
        "-q",
        cwd=report.parent,
    )
    found = run([regctl, "artifact", "get", "--subject", image, "--external", other], env=env)
    assert found.stdout == "all is well"
    run(
        [regctl, "artifact", "put", "--subject", image, "--external", other, "--artifact-type", "by/regctl"],
        env=env,
        stdin=b"theirs",
    )
    types = {entry["artifact_type"] for entry in listed(lading, image, "--referrers-in", other)}
    assert types == {TYPE, "by/regctl"}
    got = ("artifact", "get", "--subject", image, "--referrers-in", other, "--artifact-type", "by/*", "-o", "-")
    assert lading.run(*got).stdout == "theirs"
    assert ours.stdout.startswith(f"{other}@")


def test_an_artifact_type_is_a_pattern_everywhere(lading: Lading, place: str, report: Path, tmp_path: Path) -> None:
    """Each command that chooses referrers by their types takes the same ones."""
    image, wanted = f"{place}:image", set()
    for kind in ("application/vnd.example.report", "application/vnd.example.note", "text/other"):
        said = lading.run("artifact", "attach", image, "report.txt", "--artifact-type", kind, "-q", cwd=report.parent)
        if kind != "text/other":
            wanted.add(said.stdout.strip().rpartition("@")[2])
    pattern = ("--artifact-type", "application/vnd.example.*")

    assert {entry["digest"] for entry in listed(lading, image, *pattern)} == wanted
    tree = json.loads(lading.run("tree", image, *pattern, "--format", "json").stdout)
    assert {node["digest"] for node in tree["root"]["referrers"]} == wanted
    lading.run("copy", image, f"oci:{tmp_path}/copied:1", "--referrers", *pattern)
    assert {entry["digest"] for entry in listed(lading, f"oci:{tmp_path}/copied:1")} == wanted
    if not place.startswith("oci"):
        lading.run("artifact", "backup", image, f"oci:{tmp_path}/kept", "--referrers", *pattern)
        assert {entry["digest"] for entry in listed(lading, f"oci:{tmp_path}/kept:image")} == wanted
