"""What commands for artifacts cost in requests, beside oras, through a proxy that counts them."""

import hashlib
import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from support.images import get_manifest, make_artifact, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "docs").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c.json", "docs/x"):
        (folder / name).write_text(name)
    return folder


CREATED = ["--annotation", "org.opencontainers.image.created=2024-05-01T12:00:00Z"]
CASES = {
    "one file": ["a.txt"],
    "several": ["a.txt", "b.txt", "docs"],
    "one content twice": ["a.txt", "x"],
    "nothing": [],
    "a config": ["a.txt", "--config", "c.json", "--artifact-type", "a/b"],
    "tags": ["a.txt"],
}


@pytest.mark.parametrize("case", CASES)
def test_no_more_than_oras_and_again_fewer(
    lading: Lading, files: Path, proxy: CountingProxy, repository: str, case: str
) -> None:
    oras = need("oras")
    (files / "x").write_text("a.txt")

    def ours(tag: str) -> list[str]:
        more = ["--tag", "t1", "--tag", "t2"] if case == "tags" else []
        lading.run(
            *("artifact", "push", f"{proxy.host}/{repository}/ours:{tag}", *CASES[case], *CREATED, *more), cwd=files
        )
        return proxy.lines

    def theirs(tag: str) -> list[str]:
        more = ",t1,t2" if case == "tags" else ""
        words = [f"{proxy.host}/{repository}/theirs:{tag}{more}", *CASES[case], *CREATED, "--plain-http"]
        run([str(oras), "push", *words], cwd=files)
        return proxy.lines

    def counted(push: Callable[[str], list[str]], tag: str) -> list[str]:
        proxy.reset()
        return push(tag)

    found = {
        moment: (counted(ours, tag), counted(theirs, tag))
        for moment, tag in (("first", "1"), ("again", "1"), ("other tag", "2"))
    }
    (files / "a.txt").write_text("changed")
    found["changed"] = (counted(ours, "1"), counted(theirs, "1"))
    for moment, (a, b) in found.items():
        assert len(a) <= len(b), (moment, a, b)
    assert len(found["again"][0]) < len(found["again"][1])
    assert not [line for line in found["again"][0] if not line.startswith("HEAD")]


def test_what_is_unchanged_is_not_uploaded_again(
    lading: Lading, files: Path, proxy: CountingProxy, repository: str
) -> None:
    words = ["artifact", "push", f"{proxy.host}/{repository}:1", "a.txt", "b.txt"]
    lading.run(*words, cwd=files)
    (files / "b.txt").write_text("changed")
    proxy.reset()
    lading.run(*words, cwd=files)
    assert proxy.count("PUT", "/blobs/uploads/") == 1


def test_a_blob_is_one_request(
    lading: Lading, files: Path, registry: RealRegistry, proxy: CountingProxy, repository: str
) -> None:
    put = lading.run("blob", "put", f"{registry.host}/{repository}", "a.txt", cwd=files).stdout.strip()
    name = put.replace(registry.host, proxy.host)
    proxy.reset()
    assert lading.run("blob", "get", name).stdout == "a.txt"
    lading.run("blob", "get", name, "-o", "out", cwd=files)
    assert (files / "out").read_text() == "a.txt"
    assert proxy.lines == [f"GET /v2/{repository}/blobs/{name.rpartition('@')[2]}"] * 2


# Copies, attaching, lists, manifests, blobs and tags

Side = Callable[..., int]


@pytest.fixture(params=["with the API", "without the API"])
def sides(
    request: pytest.FixtureRequest, lading: Lading, files: Path, registry: RealRegistry, repository: str
) -> Iterator[tuple[Side, Side]]:
    """How many requests lading makes, and oras: for words in which `{}` is a repository of its own behind a proxy."""
    need("oras")
    host = request.getfixturevalue("elsewhere") if request.param == "with the API" else registry.host
    image = make_image(kind="oci", seed=repository)
    with CountingProxy(f"http://{host}") as proxy:
        for side in ("ours", "theirs"):
            push(host, f"{repository}/{side}", "1", image)

        def counted(side: str, words: Sequence[str], runs: Callable[[list[str]], object]) -> int:
            proxy.reset()
            runs([word.replace("{}", f"{proxy.host}/{repository}/{side}") for word in words])
            return len(proxy.lines)

        def ours(*words: str) -> int:
            return counted("ours", words, lambda typed: lading.run(*typed, cwd=files))

        def theirs(*words: str) -> int:
            plain = ["--from-plain-http", "--to-plain-http"] if words[0] == "cp" else ["--plain-http"]
            plain = plain[:1] if "--to-oci-layout" in words else plain
            return counted("theirs", words, lambda typed: run(["oras", *typed, *plain], cwd=files))

        yield ours, theirs


def test_copies_with_referrers(sides: tuple[Side, Side]) -> None:
    ours, theirs = sides
    for kind in ("a/b", "a/c"):
        attach = ["{}:1", "a.txt", "--artifact-type", kind, *CREATED]
        # A list under a fallback tag is read again: it would lose what others write at the same time, as with oras.
        assert ours("artifact", "attach", *attach) <= theirs("attach", *attach) + 1
    first = ours("copy", "{}:1", "{}/copy:1", "--referrers")
    assert first <= theirs("cp", "-r", "{}:1", "{}/copy:1")
    again = ours("copy", "{}:1", "{}/copy:1", "--referrers")
    assert again <= theirs("cp", "-r", "{}:1", "{}/copy:1")
    assert again < first / 2
    first = ours("copy", "{}:1", "oci:layout:1", "--referrers")
    assert first <= theirs("cp", "-r", "--to-oci-layout", "{}:1", "their-layout:1")
    # The tags, among which may be some of cosign, of which oras knows nothing.
    again = ours("copy", "{}:1", "oci:layout:1", "--referrers")
    assert again <= theirs("cp", "-r", "--to-oci-layout", "{}:1", "their-layout:1") + 1
    assert again < first


def test_a_referrer_that_a_list_only_claims_is_copied_again(
    lading: Lading, registry: RealRegistry, repository: str
) -> None:
    name, image = f"{registry.host}/{repository}", make_image(kind="oci")
    push(registry.host, repository, "1", image)
    note = make_artifact("a/b", subject=image)
    push(registry.host, repository, note.digest, note)
    push(registry.host, repository, image.digest.replace(":", "-"), make_index([note], kind="oci"))
    lading.run("copy", f"{name}:1", f"{name}/copy:1", "--referrers")
    there = f"http://{registry.host}/v2/{repository}/copy/manifests/{note.digest}"
    with urllib.request.urlopen(urllib.request.Request(there, method="DELETE")) as deleted:
        assert deleted.status == 202
    ran = lading.run("copy", f"{name}:1", f"{name}/copy:1", "--referrers")
    assert "Copied 1 manifest" in ran.stdout + ran.stderr
    assert get_manifest(registry.host, f"{repository}/copy", note.digest)[2] == note.digest


def test_manifests_blobs_and_tags(sides: tuple[Side, Side]) -> None:
    ours, theirs = sides
    assert ours("manifest", "get", "{}:1") <= theirs("manifest", "fetch", "{}:1")
    assert ours("manifest", "head", "{}:1") <= theirs("manifest", "fetch", "{}:1", "--descriptor")
    assert ours("digest", "{}:1") <= theirs("resolve", "{}:1")
    assert ours("tags", "{}") <= theirs("repo", "tags", "{}")
    digest = f"sha256:{hashlib.sha256(b'a.txt').hexdigest()}"
    first, again = (ours("blob", "put", "{}", "a.txt") for _ in range(2))
    assert first <= theirs("blob", "push", "{}", "a.txt")
    assert again <= theirs("blob", "push", "{}", "a.txt")
    assert again < first
    get = [f"{{}}@{digest}", "-o", "got"]
    assert ours("blob", "get", *get) <= theirs("blob", "fetch", *get)
    assert ours("blob", "head", get[0]) <= theirs("blob", "fetch", "--descriptor", get[0])
    assert ours("blob", "delete", get[0], "--yes") <= theirs("blob", "delete", get[0], "--force")


COSIGN = "one list of the tags: cosign's signatures are found by their tags, of which oras knows nothing"
TOLD = "one question a tag: it is told what the tag named, which no answer to setting it says"
CHILDREN = "a question for each child, so that a manifest that lacks one is refused before it is sent"
LISTED = "one look at the list under the fallback tag, which other writers may have overwritten"
Row = tuple[str, tuple[str, ...], tuple[str, ...], dict[str, tuple[int, str]]]
"""What is done, lading's words and oras's, and how many requests more that may take, in which registry, and why."""
BOTH, WITH, WITHOUT = "", "with the API", "without the API"
FILE = ("a.txt", "--artifact-type", "a/b", *CREATED)
NOTE = ("--annotation", "x=y", "--artifact-type", "a/d", *CREATED)
TABLE: list[Row] = [
    ("ls of nothing", ("artifact", "ls", "{}:1"), ("discover", "{}:1"), {WITH: (1, COSIGN)}),
    ("ls again", ("artifact", "ls", "{}:1"), ("discover", "{}:1"), {WITH: (1, COSIGN)}),
    ("tree of nothing", ("tree", "{}:1"), ("discover", "{}:1"), {WITH: (1, COSIGN)}),
    ("attach", ("artifact", "attach", "{}:1", *FILE), ("attach", "{}:1", *FILE), {}),
    (
        "attach again",
        ("artifact", "attach", "{}:1", *FILE),
        ("attach", "{}:1", *FILE),
        {WITHOUT: (1, LISTED)},
    ),
    ("attach a note", ("artifact", "attach", "{}:1", *NOTE), ("attach", "{}:1", *NOTE), {}),
    ("ls", ("artifact", "ls", "{}:1"), ("discover", "{}:1"), {}),
    ("ls of a type", ("artifact", "ls", "{}:1", *FILE[1:3]), ("discover", "{}:1", *FILE[1:3]), {}),
    ("tree", ("tree", "{}:1"), ("discover", "{}:1"), {BOTH: (1, COSIGN)}),
    ("tag", ("tag", "{}:1", "two"), ("tag", "{}:1", "two"), {BOTH: (1, TOLD)}),
    ("tag again", ("tag", "{}:1", "two"), ("tag", "{}:1", "two"), {}),
    ("tags", ("tag", "{}:1", "x", "y"), ("tag", "{}:1", "x", "y"), {BOTH: (2, TOLD)}),
    ("tags again", ("tag", "{}:1", "x", "y"), ("tag", "{}:1", "x", "y"), {}),
    ("put", ("manifest", "put", "{}:m", "m.json"), ("manifest", "push", "{}:m", "m.json"), {BOTH: (1, CHILDREN)}),
    ("put again", ("manifest", "put", "{}:m", "m.json"), ("manifest", "push", "{}:m", "m.json"), {}),
    (
        "put elsewhere",
        ("manifest", "put", "{}:n", "m.json"),
        ("manifest", "push", "{}:n", "m.json"),
        {BOTH: (1, CHILDREN)},
    ),
    (
        "index",
        ("index", "create", "{}:all", "{}:1", "{}:arm"),
        ("manifest", "index", "create", "{}:all", "1", "arm"),
        {},
    ),
    (
        "index again",
        ("index", "create", "{}:all", "{}:1", "{}:arm"),
        ("manifest", "index", "create", "{}:all", "1", "arm"),
        {},
    ),
    ("copy", ("copy", "{}:arm", "{}/c:1"), ("cp", "{}:arm", "{}/c:1"), {}),
    ("copy again", ("copy", "{}:arm", "{}/c:1"), ("cp", "{}:arm", "{}/c:1"), {}),
    ("another tag", ("copy", "{}:arm", "{}:2"), ("cp", "{}:arm", "{}:2"), {}),
    ("another tag elsewhere", ("copy", "{}:arm", "{}/c:2"), ("cp", "{}:arm", "{}/c:2"), {}),
    ("backup", ("artifact", "backup", "{}/c", "oci:ours"), ("backup", "{}/c", "-o", "theirs"), {}),
    ("backup again", ("artifact", "backup", "{}/c", "oci:ours"), ("backup", "{}/c", "-o", "theirs"), {}),
    ("delete", ("manifest", "delete", "{}/c:1", "--yes"), ("manifest", "delete", "{}/c:1", "--force"), {}),
    ("delete the subject", ("manifest", "delete", "{}:1", "--yes"), ("manifest", "delete", "{}:1", "--force"), {}),
]
FEWER = ("put", "copy", "index")
"""What is done again with fewer requests than the first time, too."""


def test_no_more_requests_than_oras(
    sides: tuple[Side, Side], request: pytest.FixtureRequest, files: Path, registry: RealRegistry, repository: str
) -> None:
    ours, theirs = sides
    kind = request.node.callspec.params["sides"]
    host = request.getfixturevalue("elsewhere") if kind == WITH else registry.host
    image, other = make_image(kind="oci", seed=repository), make_image("linux/arm64", kind="oci", seed="arm")
    changed = make_image(kind="oci", seed=repository, annotations={"changed": "yes"})
    (files / "m.json").write_bytes(changed.content)
    for side in ("ours", "theirs"):
        push(host, f"{repository}/{side}", "arm", other)
    assert changed.blobs.keys() == image.blobs.keys()
    counts: dict[str, int] = {}
    wrong: list[str] = []
    for name, mine, its, more in TABLE:
        counts[name], most = ours(*mine), theirs(*its)
        allowed, why = more.get(kind, more.get(BOTH, (0, "")))
        if counts[name] > most + allowed:
            wrong.append(f"{name}: {counts[name]}, oras {most}" + (f" and {allowed} for {why}" if allowed else ""))
    assert not wrong
    for name in FEWER:
        assert counts[f"{name} again"] <= counts[name]


def test_a_tag_that_moved_meanwhile_is_noticed_whatever_is_remembered(
    lading: Lading, files: Path, registry: RealRegistry, repository: str
) -> None:
    name = f"{registry.host}/{repository}"
    other = make_image(kind="oci", seed="other")
    lading.run("artifact", "push", f"{name}:1", "a.txt", cwd=files)
    push(registry.host, repository, "1", other)
    ran = lading.run("artifact", "push", f"{name}:1", "a.txt", "--format", "json", cwd=files)
    assert other.digest in ran.stdout, "which is what the tag named"
    pushed = get_manifest(registry.host, repository, "1")[2]
    assert pushed != other.digest
    there = f"http://{registry.host}/v2/{repository}/manifests/{pushed}"
    with urllib.request.urlopen(urllib.request.Request(there, method="DELETE")) as deleted:
        assert deleted.status == 202
    lading.run("artifact", "push", f"{name}:1", "a.txt", cwd=files)
    assert get_manifest(registry.host, repository, "1")[2] == pushed


def test_an_artifact_for_a_platform(sides: tuple[Side, Side]) -> None:
    ours, _ = sides
    for platform in ("linux/amd64", "linux/arm64"):
        words = ["artifact", "push", "{}:all", "a.txt", "--index", "--platform", platform]
        ours(*words)
    pull = ["{}:all", "--platform", "linux/arm64", "-o", "out"]
    first, again = ours("artifact", "pull", *pull), ours("artifact", "pull", *pull)
    assert (first, again) == (3, 2)
    assert ours("manifest", "get", *pull[:3]) == 2
    assert ours("digest", *pull[:3]) == 1


@pytest.mark.parametrize("has_api", [True, False])
@pytest.mark.parametrize("missing", ["first", "last", "all"])
def test_what_a_manifest_lacks_is_named(
    lading: Lading, files: Path, registry: RealRegistry, elsewhere: str, repository: str, missing: str, has_api: bool
) -> None:
    name = f"{elsewhere if has_api else registry.host}/{repository}"
    artifact = make_artifact("a/b", {"x": repository.encode()})
    (files / "m.json").write_bytes(artifact.content)
    document = json.loads(artifact.content)
    blobs = [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
    there = {"first": blobs[1:], "last": blobs[:-1], "all": []}[missing]
    for digest in there:
        (files / "blob").write_bytes(artifact.blobs[digest])
        lading.run("blob", "put", name, "blob", cwd=files)
    ran = lading.run("manifest", "put", f"{name}:1", "m.json", cwd=files, check=False)
    assert ran.returncode == 3
    assert [digest for digest in blobs if digest in ran.stderr] == [digest for digest in blobs if digest not in there]
    assert lading.run("digest", f"{name}:1", check=False).returncode == 3
