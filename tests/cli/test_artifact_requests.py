"""What pushing an artifact costs in requests, beside oras, through a proxy that counts them."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
    # oras does not look at what a tag names, and cannot say what moved: that is one request for each tag that is set.
    looked = {"other tag": 1, "first": 0, "changed": 0, "again": 0}
    if case == "tags":
        looked = {"other tag": 1, "first": 1, "changed": 2, "again": 0}
    for moment, (a, b) in found.items():
        assert len(a) <= len(b) + looked[moment], (moment, a, b)
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
