"""`lading lint`: what it prints, for people and for programs, and how it ends."""

import json
import re
import shlex
import shutil
from pathlib import Path
from urllib.parse import unquote

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
        f"                remove it: lading index remove {name}:bad {short(SECOND)}",
        f"LAD203 warning  linux/arm ({short(ARM)}) has no variant. Clients read it as v7.",
        f"                name the variant: lading index annotate --variant v7 {name}:bad {short(ARM)}",
        "1 error, 1 warning",
    ]
    assert (ran.stderr, ran.returncode) == ("", 1)


def test_what_it_says_to_do_is_what_mends_it(lading: Lading, name: str) -> None:
    lading.run("manifest", "pull", f"{name}:bad")
    lading.run("manifest", "remove", f"{name}:bad", short(SECOND))
    lading.run("manifest", "annotate", "--variant", "v7", f"{name}:bad", short(ARM))
    assert lading.run("lint", f"{name}:bad").stdout == f"{name}:bad: nothing found\n"
    lading.run("manifest", "push", f"{name}:bad")
    assert lading.run("lint", "--remote", f"{name}:bad").stdout == f"{name}:bad: nothing found\n"


WINDOWS = make_image("windows/amd64", kind="oci", os_version="10.0.20348.1")
X86 = make_image("linux/x86_64", kind="oci")
MENDED: dict[str, list[Manifest | Entry]] = {
    "LAD101": [FIRST, SECOND, ARM64],
    "LAD101 thrice": [FIRST, SECOND, SECOND],
    "LAD101 of one manifest": [FIRST, FIRST, ARM64],
    "LAD102": [Entry(FIRST, {"os": "unknown", "architecture": "unknown"}), ARM64],
    "LAD104": [Entry(FIRST, {"os": "linux", "architecture": "arm64", "variant": "v8"})],
    "LAD106": [Entry(FIRST, {}), ARM64],
    "LAD201": [X86, ARM64],
    "LAD203": [ARM],
    "LAD204": [make_image("linux/amd64/v1", kind="oci")],
    "LAD204 of arm": [make_image("linux/arm/7", kind="oci")],
    "LAD205": [Entry(WINDOWS, {"os": "windows", "architecture": "amd64"})],
    "LAD404": [make_index([FIRST, ARM64], kind="oci")],
    "LAD601": [make_image("Linux/amd64", kind="oci"), ARM64],
    "LAD602": [Entry(FIRST, {}), ARM64],
}


@pytest.mark.parametrize(
    "kind, is_draft", [*((kind, False) for kind in MENDED), ("LAD101", True), ("LAD106", True), ("LAD203", True)]
)
def test_each_command_it_gives_mends_what_it_found(
    lading: Lading, registry: RealRegistry, repository: str, kind: str, is_draft: bool
) -> None:
    name, code = f"{registry.host}/{repository}:list", kind.split(maxsplit=1)[0]
    index = make_index(MENDED[kind], kind="oci")
    push(registry.host, repository, "list", index)
    if is_draft:
        lading.run("manifest", "pull", name)

    found = lading.run("lint", name, "--select", code, "--fail-on", "never", "--format", "{{ findings[0].remedy }}")
    commands = re.findall("lading ((?:index|manifest) [^,]*)", found.stdout)
    assert commands[0].startswith("manifest ") == (is_draft or kind == "LAD101 of one manifest")
    for command in commands:
        lading.run(*shlex.split(command))

    assert lading.run("lint", name, "--select", code).stdout == f"{name}: nothing found\n"
    left = {entry["digest"] for entry in json.loads(lading.run("manifest", "inspect", name).stdout)["manifests"]}
    assert kind == "LAD102" or FIRST.digest in left or FIRST not in index.children


def test_which_of_a_drafts_entries_is_one_too_many(lading: Lading, registry: RealRegistry, repository: str) -> None:
    name = f"{registry.host}/{repository}"
    for tag in ("a", "b"):
        push(registry.host, repository, tag, FIRST)
    lading.run("manifest", "create", f"{name}:list", f"{name}:a", f"{name}:b")

    remedy = lading.run("lint", f"{name}:list", "--format", "{{ findings[0].remedy }}").stdout.strip()

    assert remedy == f"remove one: lading manifest remove {name}:list {name}:b"
    lading.run(*shlex.split(remedy.partition("lading ")[2]))
    assert lading.run("lint", f"{name}:list").stdout == f"{name}:list: nothing found\n"


def test_a_draft_of_images_on_this_machine_lacks_nothing(lading: Lading, name: str, tmp_path: Path) -> None:
    layout = f"oci:{tmp_path / 'layout'}:it"
    lading.run("copy", f"{name}:good", layout)
    lading.run("manifest", "create", f"{name}-new:list", layout)

    assert lading.run("lint", f"{name}-new:list").stdout == f"{name}-new:list: nothing found\n"

    shutil.rmtree(tmp_path / "layout")
    missing = lading.run("lint", f"{name}-new:list", check=False)
    assert missing.stdout.count("LAD301") == 2


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
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        # A relative one, in whose first segment no colon may be (RFC 3986, 4.2).
        assert (uri.count(":"), unquote(uri)) == (0, f"{name}:bad")


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
    assert f"lading index remove oci:{tmp_path / 'layout'}:bad {short(SECOND)}" in ran.stdout
    twice = make_index([FIRST, FIRST], kind="oci")
    host, _, rest = name.partition("/")
    push(host, rest, "twice", twice)
    lading.run("copy", f"{name}:twice", f"oci:{tmp_path / 'layout'}:twice")
    ran = lading.run("lint", f"oci:{tmp_path / 'layout'}:twice", check=False)
    assert f"lading manifest create REFERENCE oci:{tmp_path / 'layout'}:twice" in ran.stderr


@pytest.mark.parametrize("format", ["text", "github"])
def test_what_is_wrong_with_a_long_list_is_printed_as_it_is_found(
    lading: Lading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Each entry has two faults, of which a short list has the worse one of all entries first."""
    monkeypatch.setattr("lading.cli.commands.lint._LONG", 100)
    monkeypatch.setattr("lading.images.lint.entries._TRIED", 500)

    def lint(count: int) -> list[str]:
        entries = [
            Entry(ARM, {"os": "linux", "architecture": "arm", "variant": f"x{number}"}) for number in range(count)
        ]
        write_layout(tmp_path, make_index(entries, kind="oci"))
        (tmp_path / "blobs" / "sha256" / ARM.digest.removeprefix("sha256:")).unlink()
        ran = lading.run("lint", f"oci:{tmp_path}:it", "--format", format, check=False, here=True)
        assert ran.returncode == 1
        return re.findall("^(?:::[a-z]+ title=)?(LAD[0-9]+)", ran.stdout, re.MULTILINE)

    short = lint(100)
    assert short == sorted(short, key=lambda code: (code != "LAD301", code))
    long = lint(101)
    assert long != sorted(long, key=lambda code: (code != "LAD301", code))
    assert long.count("LAD301") == long.count("LAD204") == 101
    assert "LAD107" in long


def test_of_a_list_that_breaks_off_what_was_found_is_printed(lading: Lading, tmp_path: Path) -> None:
    many = [Entry(FIRST, {"os": "linux", "architecture": f"a{number}"}) for number in range(10_001)]
    deep = make_index(many, kind="oci")
    for _ in range(10):
        deep = make_index([deep], kind="oci")
    write_layout(tmp_path, make_index([ARM, deep], kind="oci"))
    ran = lading.run("lint", f"oci:{tmp_path}:it", check=False)
    assert (ran.returncode, "leads to too many manifests" in ran.stderr) == (7, True)
    assert "LAD203" in ran.stdout
    ran = lading.run("lint", f"oci:{tmp_path}:it", "--format", "json", check=False)
    report = json.loads(ran.stdout)
    assert (ran.returncode, report["is_whole"], report["digest"]) == (7, False, None)
    assert "LAD203" in {found["code"] for found in report["findings"]}
    assert "leads to too many manifests" in ran.stderr
    ran = lading.run("lint", f"oci:{tmp_path}:it", "--format", "sarif", check=False)
    (log,) = json.loads(ran.stdout)["runs"]
    assert (ran.returncode, log["invocations"]) == (7, [{"executionSuccessful": False}])
    assert "LAD203" in {found["ruleId"] for found in log["results"]}


def write_layout(folder: Path, manifest: Manifest) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    waiting = [manifest]
    while waiting:
        here = waiting.pop()
        for digest, content in {here.digest: here.content, **here.blobs}.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(content)
        waiting += {child.digest: child for child in here.children}.values()
    entry = {**manifest.descriptor(), "annotations": {"org.opencontainers.image.ref.name": "it"}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
