"""`lading lint`: what it prints, for people and for programs, and how it ends."""

import json
from pathlib import Path

import pytest

from cli.failing import NOT_FOUND, USAGE, fails
from support.images import Entry, Manifest, make_image, make_index, push
from support.lading import Lading
from support.proxy import CountingProxy
from support.registry import RealRegistry

FIRST = make_image("linux/amd64", kind="oci", seed="first")
SECOND = make_image("linux/amd64", kind="oci", seed="second")
ARM = make_image("linux/arm", kind="oci", seed="arm")
ARM64 = make_image("linux/arm64/v8", kind="oci", layers=2)
BAD = make_index([FIRST, SECOND, ARM], kind="oci")
MILD = make_index([FIRST, ARM], kind="oci")
GOOD = make_index([FIRST, ARM64], kind="oci")


def short(manifest: Manifest) -> str:
    return manifest.digest.removeprefix("sha256:")[:12]


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    for tag, manifest in {"bad": BAD, "mild": MILD, "good": GOOD}.items():
        push(registry.host, repository, tag, manifest)
    return f"{registry.host}/{repository}"


def test_findings_are_told_worst_first_with_what_to_do(lading: Lading, name: str) -> None:
    ran = lading.run("lint", f"{name}:bad", check=False)

    assert ran.stdout.splitlines() == [
        f"LAD101 error    linux/amd64 is listed twice. Every client takes the first ({short(FIRST)}); {short(SECOND)} "
        "can never be pulled.",
        f"                remove it: lading manifest remove {name}:bad {short(SECOND)}",
        f"LAD203 warning  linux/arm ({short(ARM)}) has no variant. Clients read it as v7.",
        f"                name the variant: lading manifest annotate --variant v7 {name}:bad {short(ARM)}",
        "1 error, 1 warning",
    ]
    assert f"lading manifest pull {name}:bad" in ran.stderr
    assert ran.returncode == 1


def test_what_it_says_to_do_is_what_mends_it(lading: Lading, name: str) -> None:
    lading.run("manifest", "pull", f"{name}:bad")
    lading.run("manifest", "remove", f"{name}:bad", short(SECOND))
    lading.run("manifest", "annotate", "--variant", "v7", f"{name}:bad", short(ARM))
    assert lading.run("lint", f"{name}:bad").stdout == f"{name}:bad: nothing found\n"
    lading.run("manifest", "push", f"{name}:bad")
    assert lading.run("lint", "--remote", f"{name}:bad").stdout == f"{name}:bad: nothing found\n"


def test_a_draft_is_looked_at_before_it_is_pushed(lading: Lading, name: str) -> None:
    lading.run("manifest", "create", f"{name}:new", f"{name}@{FIRST.digest}", f"{name}@{SECOND.digest}")

    ran = lading.run("lint", f"{name}:new", check=False)
    pushed = lading.run("manifest", "push", f"{name}:new", "--dry-run")

    assert "LAD101" in ran.stdout
    assert "local list" in ran.stderr
    assert ran.returncode == 1
    assert f"{short(SECOND)} can never be pulled. (LAD101)" in pushed.stderr


@pytest.mark.parametrize(
    "tag, fail_on, code",
    [("bad", "error", 1), ("bad", "never", 0), ("mild", "error", 0), ("mild", "warning", 1), ("good", "note", 0)],
)
def test_how_bad_it_may_be_is_a_choice(lading: Lading, name: str, tag: str, fail_on: str, code: int) -> None:
    assert lading.run("lint", f"{name}:{tag}", "--fail-on", fail_on, check=False).returncode == code


def test_json_has_every_finding(lading: Lading, name: str) -> None:
    ran = lading.run("lint", f"{name}:bad", "--format", "json", check=False)
    document = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert (document["reference"], document["digest"]) == (f"{name}:bad", BAD.digest)
    assert [
        (found["code"], found["severity"], found["digest"], found["platform"]) for found in document["findings"]
    ] == [
        ("LAD101", "error", SECOND.digest, "linux/amd64"),
        ("LAD203", "warning", ARM.digest, "linux/arm"),
    ]


def test_sarif_is_what_code_scanning_takes(lading: Lading, name: str) -> None:
    log = json.loads(lading.run("lint", f"{name}:bad", "--format", "sarif", check=False).stdout)
    assert log["version"] == "2.1.0"
    (only,) = log["runs"]
    rules = {rule["id"]: rule for rule in only["tool"]["driver"]["rules"]}
    assert [(result["ruleId"], result["level"]) for result in only["results"]] == [
        ("LAD101", "error"),
        ("LAD203", "warning"),
    ]
    assert set(rules) == {"LAD101", "LAD203"}
    for result in only["results"]:
        assert result["message"]["text"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == f"{name}:bad"


def test_github_shows_findings_as_annotations(lading: Lading, name: str) -> None:
    ran = lading.run("lint", f"{name}:bad", "--format", "github", check=False)
    lines = ran.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"]
    escaped = f"{name}:bad".replace(":", "%3A")
    assert lines[0].startswith(f"::error title=LAD101 {escaped}::linux/amd64 is listed twice.")
    assert lading.run("lint", f"{name}:good", "--format", "github").stdout == ""


def test_a_code_is_explained(lading: Lading) -> None:
    said = lading.run("lint", "--explain", "lad101").stdout
    assert said.startswith("LAD101 error: An entry that another one hides\n")
    fails(lading, "lint", "--explain", "LAD999", code=USAGE, says=["there is no finding 'LAD999'"])


def test_mistakes(lading: Lading, name: str) -> None:
    fails(lading, "lint", f"{name}:none", code=NOT_FOUND, says=["was not found"])
    fails(lading, "lint", f"{name}:good", "--against", f"{name}:none", code=NOT_FOUND, says=["was not found"])
    fails(lading, "lint", f"{name}:good", "--select", "LAD9", code=USAGE, says=["there is no finding 'LAD9'"])
    fails(lading, "lint", code=USAGE, says=["missing argument 'REFERENCE'"])


def test_every_blob_is_asked_for_once(lading: Lading, proxy: CountingProxy, repository: str) -> None:
    """The list, two manifests, two configs, and a question for each of five blobs."""
    push(
        proxy.host,
        repository,
        "good",
        make_index([FIRST, ARM64, Entry(FIRST, {"os": "linux", "architecture": "386"})], kind="oci"),
    )
    proxy.reset()
    lading.run("lint", f"{proxy.host}/{repository}:good", "--fail-on", "never")
    asked = [line for line in proxy.lines if line.startswith("HEAD") and "/blobs/" in line]
    assert len(asked) == len(set(asked)) == 5


def test_a_layout_is_looked_at_like_a_registry(lading: Lading, name: str, tmp_path: Path) -> None:
    lading.run("copy", f"{name}:bad", f"oci:{tmp_path / 'layout'}:bad")
    ran = lading.run("lint", f"oci:{tmp_path / 'layout'}:bad", check=False)
    assert (ran.returncode, ran.stdout.count("LAD101")) == (1, 1)
