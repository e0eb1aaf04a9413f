"""Commands that take several references: one client, answers in order, and the exit code of the worst."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.failing import NOT_FOUND, USAGE
from cli.place import AMD64, ARM64, INDEX, Place
from support.images import make_image
from support.lading import Lading
from support.proxy import CountingProxy
from support.registry import RealRegistry


@pytest.fixture
def three(place: Place) -> list[str]:
    return [place.push("a", AMD64), place.push("b", ARM64), place.push("c", INDEX)]


def test_digests_come_in_order_each_with_its_reference(place: Place, three: list[str]) -> None:
    digests = [one.digest for one in (AMD64, ARM64, INDEX)]
    expected = "".join(f"{digest}  {name}\n" for digest, name in zip(digests, three, strict=True))
    assert place.run("digest", *three) == expected
    assert place.run("digest", "-", stdin="\n".join(three).encode()) == expected
    assert place.run("digest", three[0], "-", stdin=f"\n {three[1]} \n\n{three[2]}\n".encode()) == expected
    assert place.run("digest", *three, "--full") == "".join(f"{place.name}@{digest}\n" for digest in digests)
    lines = place.run("digest", *three, "--format", "json").splitlines()
    assert [json.loads(line)["digest"] for line in lines] == digests
    assert place.run("digest", *three, "--format", "{{ digest }}") == "".join(f"{digest}\n" for digest in digests)


def test_standard_input_without_references_is_nothing_to_do(place: Place) -> None:
    for command in ("digest", "inspect", "tags", "lint"):
        assert place.run(command, "-") == ""


def test_what_fails_is_told_and_the_others_go_on(place: Place, three: list[str]) -> None:
    ran = place.lading.run("digest", three[0], f"{place.name}:none", "a/B:!", three[2], check=False)
    assert ran.returncode == NOT_FOUND
    assert ran.stdout == f"{AMD64.digest}  {three[0]}\n{INDEX.digest}  {three[2]}\n"
    assert ran.stderr.count("error: ") == 2
    assert f"{place.name}:none" in ran.stderr
    assert "a/B:!" in ran.stderr
    assert place.lading.run("digest", three[0], "a/B:!", check=False).returncode == USAGE


def test_standard_input_is_read_once_and_is_text(place: Place, three: list[str]) -> None:
    ran = place.lading.run("digest", "-", "-", check=False)
    assert (ran.returncode, ran.stdout) == (USAGE, "")
    assert "- is there twice" in ran.stderr
    for process in (False, True):
        ran = place.lading.run("digest", "-", stdin=b"\xff\xfe\n", check=False, process=process)
        assert (ran.returncode, ran.stdout) == (USAGE, "")
        assert "not UTF-8 text" in ran.stderr
    ran = place.lading.run("digest", "-", stdin=b"a" * 5000, check=False)
    assert (ran.returncode, ran.stdout) == (USAGE, "")
    assert "line 1 of standard input" in ran.stderr


def test_what_several_names_stand_for(place: Place, three: list[str]) -> None:
    said = place.run("inspect", *three)
    assert said == "\n".join(place.run("inspect", one) for one in three)
    lines = place.run("inspect", *three, "--format", "json").splitlines()
    assert [json.loads(line) for line in lines] == [place.json("inspect", one) for one in three]
    assert place.lading.run("inspect", "--raw", *three, check=False).returncode == USAGE


def test_tags_of_several_repositories_are_whole_names(place: Place, three: list[str], tmp_path: Path) -> None:
    place.run("copy", three[0], f"oci:{tmp_path}/layout:x", "-q")
    layout = f"oci:{tmp_path}/layout"
    expected = "".join(f"{one}\n" for one in (*three, f"{layout}:x"))
    assert place.run("tags", "--sort", "name", place.name, layout) == expected
    digests = place.run("tags", "--digests", "--no-trunc", "--sort", "name", place.name, layout).splitlines()
    assert [line.split() for line in digests][3] == [f"{layout}:x", AMD64.digest]
    assert len(digests) == 4
    found = [json.loads(line) for line in place.run("tags", place.name, layout, "--format", "json").splitlines()]
    assert [(one["repository"], len(one["tags"])) for one in found] == [(place.name, 3), (layout, 1)]
    ran = place.lading.run("tags", place.name, layout, "--points-at", INDEX.digest, check=False)
    assert (ran.returncode, ran.stdout) == (1, f"{three[2]}\n")


def test_findings_of_several_are_told_apart(place: Place, three: list[str]) -> None:
    bad = place.push("bad", make_image("linux/arm64", kind="docker", seed="bad", config={"Labels": {}}))
    several = place.lading.run("lint", *three, bad, check=False)
    alone = {one: place.lading.run("lint", one, check=False) for one in (*three, bad)}
    assert several.returncode == max(ran.returncode for ran in alone.values())
    for one, ran in alone.items():
        for line in ran.stdout.splitlines():
            assert line.strip() in several.stdout
        assert one in several.stdout
    lines = place.lading.run("lint", *three, "--format", "json", check=False).stdout.splitlines()
    assert [json.loads(line)["reference"] for line in lines] == three
    sarif = json.loads(place.lading.run("lint", *three, bad, "--format", "sarif", check=False).stdout)
    assert len(sarif["runs"]) == 1
    found = [
        json.loads(place.lading.run("lint", one, "--format", "sarif", check=False).stdout) for one in (*three, bad)
    ]
    assert sarif["runs"][0]["results"] == [result for one in found for result in one["runs"][0]["results"]]


def test_references_to_delete_come_from_standard_input_and_nobody_is_asked(place: Place, three: list[str]) -> None:
    ran = place.lading.run("delete", "-", stdin="\n".join(three[:2]).encode(), check=False)
    assert ran.returncode == USAGE
    assert "--yes" in ran.stderr
    assert set(place.tags) == {"a", "b", "c"}
    place.run("delete", "-", "--yes", stdin="\n".join(three[:2]).encode())
    assert set(place.tags) == {"c"}


@pytest.mark.parametrize("command", ["digest", "inspect", "lint"])
def test_an_end_that_nobody_waits_for_is_one_without_a_word(command: str, place: Place, three: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        ran = subprocess.run(
            [sys.executable, "-m", "lading", command, *three * 10],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=place.lading.environment,
            check=False,
            timeout=60,
        )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_two_hundred_digests_are_one_request_each_over_few_connections(
    lading: Lading, registry: RealRegistry, place: Place
) -> None:
    place.push("one", AMD64)
    with CountingProxy(registry.url) as proxy:
        name = f"{proxy.host}/{place.repository}:one"
        lading.run("digest", name)
        proxy.reset()
        said = lading.run("digest", "-", stdin=f"{name}\n".encode() * 200).stdout
        assert said == f"{AMD64.digest}  {name}\n" * 200
        assert len(proxy.exchanges) <= 201
        assert proxy.connections <= 16
