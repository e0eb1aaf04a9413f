"""The tutorials of oras in the words of lading, with oras reading the result: with and without the referrers API."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.conftest import Tool
from support.artifacts import tree
from support.lading import Lading
from support.process import Ran

CREATED = ("--annotation", "org.opencontainers.image.created=2024-05-01T12:00:00Z")
DOC = "doc/example"

Run = Callable[..., Ran]


@pytest.fixture(params=["docker-registry", "embedded"])
def name(request: pytest.FixtureRequest, repository: str) -> str:
    """A repository in a registry without the referrers API, and in one with it."""
    if request.param == "embedded":
        return f"{request.getfixturevalue('elsewhere')}/{repository}"
    return f"{request.getfixturevalue('registry').host}/{repository}"


@pytest.fixture
def ours(lading: Lading, tmp_path: Path) -> Run:
    """Runs lading in the test's folder."""
    return lambda *words, **more: lading.run(*words, cwd=tmp_path, **more)


@pytest.fixture
def oras(tool: Tool) -> Callable[..., str]:
    """Runs oras in the test's folder, on registries without TLS; gives its standard output."""

    def program(*words: str) -> str:
        plain = ["--from-plain-http", "--to-plain-http"] if words[0] == "cp" else ["--plain-http"]
        return tool("oras", *words, *([] if "--oci-layout" in words else plain)).stdout

    return program


def discovered(oras: Callable[..., str], *words: str) -> Any:
    """What refers to a manifest as oras finds it, with what refers to that: artifact types in types."""

    def below(node: Any) -> Any:
        return [(each["artifactType"], below(each)) for each in node.get("referrers", ())]

    return sorted(below(json.loads(oras("discover", "--format", "json", *words))))


def test_quickstart(name: str, ours: Run, oras: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "artifact.txt").write_text("hello world\n")
    ours(
        *("artifact", "push", f"{name}:v1", "artifact.txt:text/plain"),
        *("--artifact-type", "application/vnd.acme.rocket.config"),
    )
    oras("pull", f"{name}:v1", "-o", "out")
    assert (tmp_path / "out/artifact.txt").read_text() == "hello world\n"
    (tmp_path / "hi.txt").write_text("hello world\n")
    ours("artifact", "attach", f"{name}:v1", "hi.txt", "--artifact-type", DOC)
    assert discovered(oras, f"{name}:v1") == [(DOC, [])]
    shown = ours("tree", f"{name}:v1").stdout
    assert "application/vnd.acme.rocket.config" in shown.splitlines()[0]
    assert DOC in shown.splitlines()[1]


def test_several_files_with_a_config(name: str, ours: Run, oras: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "artifact.txt").write_text("hello world\n")
    (tmp_path / "docs/readme.md").write_text("Docs on this artifact\n")
    (tmp_path / "docs/readme2.md").write_text("More content for this artifact\n")
    (tmp_path / "config.json").write_text('{"doc":"readme.md"}\n')
    config = "config.json:application/vnd.acme.rocket.config.v1+json"
    words = ["artifact.txt:text/plain", "docs/:application/vnd.acme.rocket.docs.layer.v1+tar"]
    ours("artifact", "push", f"{name}:v2", *words, "--config", config, "--artifact-type", "a/rocket")
    oras("pull", f"{name}:v2", "-o", "out", "--config", "back.json")
    assert (tmp_path / "out/back.json").read_text() == (tmp_path / "config.json").read_text()
    (tmp_path / "out/back.json").unlink()
    (tmp_path / "config.json").unlink()
    found = json.loads(oras("manifest", "fetch", f"{name}:v2"))
    assert found["config"]["mediaType"] == config.partition(":")[2]
    assert tree(tmp_path / "out") == {
        path: about for path, about in tree(tmp_path).items() if path.startswith(("docs", "artifact.txt"))
    }


@pytest.mark.parametrize("config", ["config.json", "config.json:application/vnd.a+json", "/dev/null:application/vnd.a"])
def test_a_config(
    lading: Lading, ours: Run, oras: Callable[..., str], registry: Any, repository: str, tmp_path: Path, config: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "hi.txt").write_text("hi")
    name = f"{registry.host}/{repository}"
    ours("artifact", "push", f"{name}:ours", "hi.txt", "--config", config, *CREATED)
    oras("push", f"{name}:theirs", "hi.txt", "--config", config, *CREATED)
    assert oras("resolve", f"{name}:ours") == oras("resolve", f"{name}:theirs")


def test_annotations_from_a_file(name: str, ours: Run, oras: Callable[..., str], tmp_path: Path) -> None:
    said = {"$config": {"hello": "world"}, "$manifest": {"foo": "bar"}, "cake.txt": {"fun": "more cream"}}
    (tmp_path / "annotations.json").write_text(json.dumps(said))
    (tmp_path / "cake.txt").write_text("cake")
    (tmp_path / "juice.txt").write_text("juice")
    ours("artifact", "push", f"{name}:party", "cake.txt", "juice.txt", "--annotation-file", "annotations.json")
    found = json.loads(oras("manifest", "fetch", f"{name}:party"))
    assert found["config"]["annotations"] == said["$config"]
    assert found["annotations"] == said["$manifest"]
    assert [layer["annotations"].get("fun") for layer in found["layers"]] == ["more cream", None]


def test_referrers_of_one_type(name: str, ours: Run, oras: Callable[..., str], tmp_path: Path) -> None:
    ours("artifact", "push", f"{name}:v1", "hello.txt=-", stdin=b"hello")
    for kind in ("application/example", DOC):
        ours("artifact", "attach", f"{name}:v1", "note.txt=-", "--artifact-type", kind, stdin=kind.encode())
    assert discovered(oras, f"{name}:v1") == [("application/example", []), (DOC, [])]
    assert discovered(oras, f"{name}:v1", "--artifact-type", DOC) == [(DOC, [])]
    listed = json.loads(
        ours("artifact", "ls", f"{name}:v1", "--artifact-type", "application/example", "--format", "json").stdout
    )
    (referrer,) = listed["referrers"]
    place = f"{name}@{referrer['digest']}"
    assert ours("artifact", "pull", place, "-o", "-").stdout == "application/example"
    oras("pull", place, "-o", "out")
    assert (tmp_path / "out/note.txt").read_text() == "application/example"


def attach_signed_sbom(ours: Run, oras: Callable[..., str], place: str) -> str:
    """Attach an SBOM, and by oras a signature to that; gives the SBOM's digest."""
    attached = ours(
        "artifact", "attach", place, "sbom.json=-", "--artifact-type", "sbom/example", stdin=b'{"version": 1}'
    )
    sbom = attached.stdout.strip().rpartition("@")[2]
    oras("attach", f"{place.rpartition(':')[0]}@{sbom}", "--artifact-type", "signature/example", *CREATED)
    return sbom


SIGNED: list[tuple[str, list[tuple[str, list[object]]]]] = [("sbom/example", [("signature/example", [])])]


def test_copy_with_referrers(
    name: str, ours: Run, oras: Callable[..., str], registry: Any, elsewhere: str, tmp_path: Path
) -> None:
    ours("artifact", "push", f"{name}:v1", "a.txt=-", stdin=b"a")
    attach_signed_sbom(ours, oras, f"{name}:v1")
    repository = name.partition("/")[2]
    other = f"{elsewhere if registry.host in name else registry.host}/{repository}-copy"
    ours("copy", f"{name}:v1", f"{other}:v1", "--referrers")
    assert discovered(oras, f"{other}:v1") == SIGNED
    # Into an image layout and an archive, and from there to several tags.
    ours("copy", f"{name}:v1", "oci-archive:to-upload.tar:v1", "--referrers")
    assert discovered(oras, "--oci-layout", "to-upload.tar:v1") == SIGNED
    ours("copy", "oci-archive:to-upload.tar:v1", f"{other}2:tag1", f"{other}2:tag2", "--referrers")
    assert discovered(oras, f"{other}2:tag2") == SIGNED
    assert oras("resolve", f"{other}2:tag1") == oras("resolve", f"{name}:v1")
    # What oras copied is found as well.
    oras("cp", "-r", f"{name}:v1", f"{other}3:v1")
    assert "signature/example" in ours("tree", f"{other}3:v1").stdout


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_backup_and_restore(
    name: str, ours: Run, oras: Callable[..., str], registry: Any, elsewhere: str, kind: str
) -> None:
    ours("artifact", "push", f"{name}:v1.2.3", "a.txt=-", "--tag", "v1.2.4", stdin=b"a")
    attach_signed_sbom(ours, oras, f"{name}:v1.2.3")
    ours("artifact", "backup", name, f"{kind}:cli.tar", "--referrers")
    assert discovered(oras, "--oci-layout", "cli.tar:v1.2.3") == SIGNED
    other = f"{elsewhere if registry.host in name else registry.host}/{name.partition('/')[2]}-restored"
    planned = ours("artifact", "restore", f"{kind}:cli.tar", other, "--dry-run").stdout
    assert "v1.2.3" in planned
    ours("artifact", "restore", f"{kind}:cli.tar", other)
    assert discovered(oras, f"{other}:v1.2.4") == SIGNED
    assert {"v1.2.3", "v1.2.4"} <= {*oras("repo", "tags", other).split()}


def test_artifacts_for_several_platforms(name: str, ours: Run, oras: Callable[..., str], tmp_path: Path) -> None:
    kind = "application/vnd.acme.tool"

    def push(tag: str, platform: str) -> str:
        words = ["--artifact-type", kind, "--platform", platform]
        pushed = ours("artifact", "push", f"{name}:{tag}", "bin/oras=-", *words, stdin=platform.encode())
        return pushed.stdout.strip().rpartition("@")[2]

    digests = {platform: push(platform.replace("/", "_"), platform) for platform in ("linux/arm64", "linux/amd64")}
    ours("index", "create", f"{name}:v1", *(f"{name}@{digest}" for digest in digests.values()))
    oras("manifest", "index", "create", f"{name}:theirs", *digests.values())
    assert oras("manifest", "fetch", f"{name}:v1") == oras("manifest", "fetch", f"{name}:theirs")
    oras("pull", f"{name}:v1", "--platform", "linux/amd64", "-o", "download")
    assert (tmp_path / "download/bin/oras").read_text() == "linux/amd64"
    assert ours("artifact", "pull", f"{name}:v1", "--platform", "linux/arm64", "-o", "-").stdout == "linux/arm64"
    # One more, one less, and one that is put in directly.
    added = push("darwin_amd64", "darwin/amd64")
    ours("index", "add", f"{name}:v1", f"{name}@{added}")
    oras("manifest", "index", "update", f"{name}:theirs", "--add", added)
    assert oras("manifest", "fetch", f"{name}:v1") == oras("manifest", "fetch", f"{name}:theirs")
    ours("index", "remove", f"{name}:v1", "linux/arm64")
    words = ["--index", "--platform", "windows/amd64", "--artifact-type", kind]
    ours("artifact", "push", f"{name}:v1", "bin/oras=-", *words, stdin=b"windows/amd64")
    for platform in ("darwin/amd64", "windows/amd64"):
        oras("pull", f"{name}:v1", "--platform", platform, "-o", "more")
        assert (tmp_path / "more/bin/oras").read_text() == platform
    listed = json.loads(oras("manifest", "fetch", f"{name}:v1"))["manifests"]
    assert [(each["platform"]["os"], each["artifactType"]) for each in listed] == [
        ("linux", kind),
        ("darwin", kind),
        ("windows", kind),
    ]


def test_documents_say_what_those_of_oras_say(name: str, ours: Run, oras: Callable[..., str], tmp_path: Path) -> None:
    for file in ("sbom.spdx", "vul-scan.json"):
        (tmp_path / file).write_text(file)
    words = ["sbom.spdx:example/sbom", "vul-scan.json:example/vul-scan"]
    pushed = json.loads(
        ours("artifact", "push", f"{name}:1", *words, "--tag", "2", *CREATED, "--format", "json").stdout
    )
    theirs = json.loads(oras("push", f"{name}:1,2", *words, *CREATED, "--format", "json"))
    assert theirs["digest"] in json.dumps(pushed)
    pulled = json.loads(ours("artifact", "pull", f"{name}:1", "-o", "out", "--format", "json").stdout)
    files = json.loads(oras("pull", f"{name}:1", "-o", "their", "--format", "json"))["files"]
    said = [(each["digest"], each["mediaType"], each["size"]) for each in files]
    assert sorted((each["digest"], each["media_type"], each["size"]) for each in pulled["files"]) == sorted(said)
    attached = json.loads(
        ours("artifact", "attach", f"{name}:1", *words, *CREATED, "--artifact-type", "a/b", "--format", "json").stdout
    )
    again = json.loads(oras("attach", f"{name}:1", *words, *CREATED, "--artifact-type", "a/b", "--format", "json"))
    assert again["digest"] in json.dumps(attached)


def test_regctl_beside_lading(name: str, tool: Tool, ours: Run, tmp_path: Path) -> None:
    """What lading pushes and attaches regctl gets and lists, and the other way round."""
    regctl = ("regctl", "--host", f"reg={name.partition('/')[0]},tls=disabled")
    (tmp_path / "d/in").mkdir(parents=True)
    (tmp_path / "d/in/x").write_text("x")
    (tmp_path / "a.txt").write_text("a")
    ours("artifact", "push", f"{name}:ours", "a.txt:text/plain", "d", "--artifact-type", "a/b")
    put = ["--artifact-type", "a/b", "-f", "a.txt", "-m", "text/plain", "-f", "d", "-m", "application/x-tar"]
    tool(*regctl, "artifact", "put", *put, "--file-title", f"{name}:theirs")
    ours("artifact", "pull", f"{name}:theirs", "-o", "out")
    assert tree(tmp_path / "out/d") == tree(tmp_path / "d")
    assert (tmp_path / "out/a.txt").read_text() == "a"
    # It unpacks a directory of oras below its title once more, and so one of lading.
    tool("oras", "push", "--plain-http", f"{name}:oras", "a.txt:text/plain", "d", "--artifact-type", "a/b")
    for tag in ("ours", "oras"):
        (tmp_path / tag).mkdir()
        tool(*regctl, "artifact", "get", f"{name}:{tag}", "-o", tag)
    assert tree(tmp_path / "ours") == tree(tmp_path / "oras")
    assert (tmp_path / "ours/a.txt").read_text() == "a"
    ours("artifact", "attach", f"{name}:ours", "a.txt", "--artifact-type", "by/lading")
    words = ["--artifact-type", "by/regctl", "-f", "a.txt", "-m", "text/plain"]
    tool(*regctl, "artifact", "put", *words, "--subject", f"{name}:ours")
    for listed in (tool(*regctl, "artifact", "list", f"{name}:ours"), ours("artifact", "ls", f"{name}:ours")):
        assert "by/lading" in listed.stdout
        assert "by/regctl" in listed.stdout
