"""The same scripts with `docker manifest` and with `lading manifest`: same output, same digests, same content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from support.docker import DockerCLI
from support.images import (
    Manifest,
    get_manifest,
    list_tags,
    make_artifact,
    make_image,
    make_index,
    push,
)
from support.lading import Lading
from support.process import Ran
from support.registry import RealRegistry


class Tool(Protocol):
    """Either of the two."""

    def run(self, *args: str, check: bool = True) -> Ran: ...


@dataclass
class Script:
    """Images to push first, and commands; `{r}` is the repository with its host, `{o}` another repository."""

    commands: Sequence[str]
    images: dict[str, Manifest]
    others: dict[str, Manifest] | None = None


AMD64 = make_image("linux/amd64", seed="amd64")
ARM64 = make_image("linux/arm64/v8", seed="arm64")
ARMV7 = make_image("linux/arm/v7", seed="arm")
S390X = make_image("linux/s390x", seed="s390x", layers=3)
WINDOWS = make_image("windows/amd64", os_version="10.0.17763.1817", os_features=["win32k"], seed="windows")
LOONG = make_image("linux/loong64", seed="loong")
OCI_AMD64 = make_image("linux/amd64", kind="oci", seed="oci", annotations={"note": "<b> & é"})
OCI_ARM64 = make_image("linux/arm64/v8", kind="oci", seed="oci-arm")
ODD = make_image("linux/amd64", os_version="<&>é\u2028", seed="odd", config={"Labels": {"html": "<a href='x'>&</a>"}})
ARTIFACT = make_artifact()

SCRIPTS = {
    "one image": Script(
        ["create {r}:list {r}:a", "inspect {r}:list", "push {r}:list", "inspect {r}:list", "inspect {r}:a"],
        {"a": AMD64},
    ),
    "many platforms": Script(
        [
            "create {r}:list {r}:a {r}:b {r}:c {r}:d",
            "inspect {r}:list",
            "inspect -v {r}:list",
            "inspect {r}:list {r}:b",
            "inspect --verbose {r}:list {r}:c",
            "push {r}:list",
            "inspect {r}:list",
        ],
        {"a": AMD64, "b": ARM64, "c": ARMV7, "d": S390X},
    ),
    "the registry's list after the local one is gone": Script(
        ["create {r}:list {r}:a {r}:b", "push --purge {r}:list", "inspect {r}:list", "inspect -v {r}:list"],
        {"a": AMD64, "b": WINDOWS},
    ),
    "OCI images": Script(
        [
            "create {r}:list {r}:a {r}:b",
            "inspect {r}:list",
            "inspect -v {r}:list",
            "inspect {r}:list {r}:a",
            "push -p {r}:list",
            "inspect {r}:list",
            "inspect -v {r}:list",
            "inspect -v {r}:a",
        ],
        {"a": OCI_AMD64, "b": OCI_ARM64},
    ),
    "OCI first, Docker second": Script(
        ["create {r}:list {r}:a {r}:b", "inspect {r}:list", "push {r}:list"], {"a": OCI_AMD64, "b": ARM64}
    ),
    "Docker first, OCI second": Script(
        ["create {r}:list {r}:a {r}:b", "inspect {r}:list", "push {r}:list"], {"a": AMD64, "b": OCI_ARM64}
    ),
    "Windows and characters that HTML minds": Script(
        [
            "create {r}:list {r}:a {r}:b",
            "annotate {r}:list {r}:a --os-version <&>é --os-features a,b --os-features c",
            "inspect {r}:list",
            "inspect -v {r}:list",
            "inspect {r}:list {r}:b",
            "push {r}:list",
            "inspect {r}:b",
        ],
        {"a": WINDOWS, "b": ODD},
    ),
    "annotate": Script(
        [
            "create {r}:list {r}:a {r}:b",
            "annotate {r}:list {r}:a --os linux --arch arm64 --variant v8",
            "annotate --variant banana {r}:list {r}:b",
            "annotate --arch=arm --os=linux {r}:list {r}:b",
            "annotate {r}:list {r}:b",
            "inspect {r}:list",
            "push {r}:list",
        ],
        {"a": AMD64, "b": ARM64},
    ),
    "amend": Script(
        [
            "create --amend {r}:list {r}:a",
            "create -a {r}:list {r}:b",
            "inspect {r}:list",
            "create --amend {r}:list {r}:b {r}:c",
            "push {r}:list",
        ],
        {"a": AMD64, "b": ARM64, "c": ARMV7},
    ),
    "sources from another repository": Script(
        ["create {r}:list {o}:a {o}:b", "inspect {r}:list", "push {r}:list", "inspect {r}:list"],
        {},
        {"a": AMD64, "b": OCI_ARM64},
    ),
    "by digest": Script(
        [
            f"create {{r}}:list {{r}}@{AMD64.digest} {{r}}@{ARM64.digest}"
            if AMD64.digest < ARM64.digest
            else f"create {{r}}:list {{r}}@{ARM64.digest} {{r}}@{AMD64.digest}",
            "inspect {r}:list",
            f"annotate {{r}}:list {{r}}@{ARM64.digest} --variant v9",
            "push {r}:list",
        ],
        {"a": AMD64, "b": ARM64},
    ),
    "a platform Docker cannot annotate": Script(
        ["create {r}:list {r}:a", "push {r}:list", "inspect {r}:list"], {"a": LOONG}
    ),
    "several lists": Script(
        ["create {r}:one {r}:a", "create {r}:two {r}:b", "push {r}:one", "rm {r}:one {r}:two"],
        {"a": AMD64, "b": ARM64},
    ),
    "what others pushed": Script(
        ["inspect {r}:list", "inspect -v {r}:list", "inspect {r}:artifact", "inspect -v {r}:artifact"],
        {"list": make_index([AMD64, ARM64, WINDOWS]), "artifact": ARTIFACT},
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_does_the_same_with_both(
    name: str,
    registry: RealRegistry,
    new_repository: Callable[[], str],
    docker: DockerCLI,
    lading: Lading,
) -> None:
    script = SCRIPTS[name]
    theirs = _play(script, docker, registry, new_repository(), ["--insecure"])
    ours = _play(script, lading, registry, new_repository(), [])
    assert ours.said == theirs.said
    assert ours.content == theirs.content


def test_the_store_is_shared(registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    """What either makes, the other lists, annotates, pushes and removes."""
    docker, lading = DockerCLI(tmp_path / "home" / ".docker"), Lading(tmp_path / "home")
    name = f"{registry.host}/{repository}"
    for tag, image in {"a": AMD64, "b": ARM64}.items():
        push(registry.host, repository, tag, image)
    for maker, other, tag in ((docker, lading, "by-docker"), (lading, docker, "by-lading")):
        make, use = _verbs(maker), _verbs(other)
        make("create", f"{name}:{tag}", f"{name}:a")
        use("create", "--amend", f"{name}:{tag}", f"{name}:b")
        use("annotate", f"{name}:{tag}", f"{name}:a", "--os-version", "1.2")
        make("annotate", f"{name}:{tag}", f"{name}:b", "--variant", "v9")
        assert make("inspect", f"{name}:{tag}") == use("inspect", f"{name}:{tag}")
        assert use("push", f"{name}:{tag}") == make("push", f"{name}:{tag}")
        use("rm", f"{name}:{tag}")
        assert list((tmp_path / "home" / ".docker" / "manifests").glob("[!.]*")) == []
    contents = [get_manifest(registry.host, repository, tag)[0] for tag in ("by-docker", "by-lading")]
    assert contents[0] == contents[1]


def test_lading_keeps_the_order_of_its_arguments(registry: RealRegistry, repository: str, lading: Lading) -> None:
    name = f"{registry.host}/{repository}"
    for tag, image in {"a": AMD64, "b": ARM64, "c": ARMV7}.items():
        push(registry.host, repository, tag, image)
    lading.run("manifest", "create", f"{name}:list", f"{name}:c", f"{name}:a", f"{name}:b")
    lading.run("manifest", "push", f"{name}:list")
    expected = make_index([ARMV7, AMD64, ARM64])
    assert get_manifest(registry.host, repository, "list")[2] == expected.digest


@dataclass
class Played:
    """What a script printed, line by line, and what the registry has after it."""

    said: list[tuple[str, int, str]]
    content: dict[str, tuple[str, str]]


def _play(script: Script, tool: Tool, registry: RealRegistry, repository: str, flags: list[str]) -> Played:
    other = f"{repository}-other"
    for tag, image in script.images.items():
        push(registry.host, repository, tag, image)
    for tag, image in (script.others or {}).items():
        push(registry.host, other, tag, image)
    said = []
    for command in script.commands:
        words = [w.format(r=f"{registry.host}/{repository}", o=f"{registry.host}/{other}") for w in command.split()]
        insecure = flags if words[0] in ("create", "inspect", "push") else []
        ran = tool.run("manifest", words[0], *insecure, *words[1:])
        said.append((command, ran.returncode, ran.stdout.replace(repository, "REPOSITORY")))
    content = {}
    for tag in list_tags(registry.host, repository):
        _, media_type, digest = get_manifest(registry.host, repository, tag)
        content[tag] = (media_type, digest)
    return Played(said, content)


def _verbs(tool: Tool) -> Callable[..., str]:
    def run(verb: str, *args: str) -> str:
        insecure = ["--insecure"] if isinstance(tool, DockerCLI) and verb in ("create", "inspect", "push") else []
        return tool.run("manifest", verb, *insecure, *args).stdout

    return run
