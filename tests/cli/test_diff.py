"""`lading diff`: what people read, what programs get, what it costs, and how it ends."""

import json
import re
from pathlib import Path

import pytest

from cli.place import AMD64, ARM64, ARMV7, INDEX, Place
from support.images import make_artifact, make_image, make_index, push
from support.lading import Lading
from support.layers import Entry, image, write_layout
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

BASE = "bin/ bin/sh=shell@755 etc/ etc/keep=1"
STATUS = "Package: {}\nStatus: install ok installed\nVersion: {}\nArchitecture: amd64\n"


def packages(*named: tuple[str, str]) -> list[Entry]:
    folders = [Entry(f"{path}/", "5", mode=0o755) for path in ("var", "var/lib", "var/lib/dpkg")]
    text = "\n".join(STATUS.format(*one) for one in named)
    return [*folders, Entry("var/lib/dpkg/status", content=text.encode())]


A = image(
    *(BASE, packages(("openssl", "3.0.14"))),
    "app/ app/main.py=print(1) app/legacy.py=old app/data=moved-along app/run=x@700",
    config={"config": {"Env": ["LOG=debug"], "Labels": {"v": "1"}, "Cmd": ["sh"]}},
)
B = image(
    *(BASE, packages(("openssl", "3.0.15"), ("curl", "8.9.1"))),
    "app/ app/main.py=print(23) app/logo.svg=<svg/> app/moved=moved-along app/run=y@700",
    config={"config": {"Env": ["LOG=info"], "Labels": {"v": "1"}, "ExposedPorts": {"80/tcp": {}}}},
)


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str]:
    return write_layout(tmp_path / "a", A), write_layout(tmp_path / "b", B)


def test_without_reading_layers(lading: Lading, places: tuple[str, str], tmp_path: Path) -> None:
    for folder in ("a", "b"):
        for blob in (tmp_path / folder / "blobs" / "sha256").iterdir():
            if blob.read_bytes().startswith(b"\x1f\x8b"):
                blob.unlink()
    ran = lading.run("diff", *places, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    lines = ran.stdout.splitlines()
    assert lines[:5] == [
        "config     ENV LOG=debug → info",
        '           CMD ["sh"] removed',
        "           EXPOSE 80/tcp added",
        f"layers     1 shared, 2 removed, 2 added: +{sum(map(len, B.layers)) - sum(map(len, A.layers))} B",
        lines[4],
    ]
    assert re.fullmatch(r"  - 2  [0-9a-f]{12}  \d+ B  step 1", lines[4])
    assert len(lines) == 8


def test_files_and_packages(lading: Lading, places: tuple[str, str]) -> None:
    ran = lading.run("diff", *places, "--files", check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    shown = ran.stdout.partition("packages")[2].splitlines()
    assert shown == [
        "   1 added, 1 changed",
        "  + curl     8.9.1            deb",
        "  ~ openssl  3.0.14 → 3.0.15  deb",
        "files      1 added, 3 changed, 1 moved, 1 removed: +83 B",
        "  - /app/legacy.py                 3 B",
        "  + /app/logo.svg                  6 B",
        "  ~ /app/main.py             8 B → 9 B",
        "  > /app/moved                    11 B  from /app/data",
        "  ~ /app/run                       1 B  other content",
        "  ~ /var/lib/dpkg/status  82 B → 161 B",
    ]
    alone = lading.run("diff", *places, "--packages", check=False).stdout
    assert "openssl  3.0.14 → 3.0.15" in alone
    assert "files " not in alone


def test_a_mode_an_owner_a_type_a_link(lading: Lading, tmp_path: Path) -> None:
    a = write_layout(tmp_path / "a", image("m=1@644 o=1 t=1 l->a c#c1.3 d/"))
    b = write_layout(tmp_path / "b", image("m=1@4755 o=1@644,5,6 t/ l->b c#c1.5 d/@700"))
    shown = lading.run("diff", a, b, "--files", check=False).stdout.partition("files ")[2]
    said = {line.split()[1]: line.split(maxsplit=2)[2] for line in shown.splitlines()[1:]}
    assert {path: re.sub(r" +", " ", text) for path, text in said.items()} == {
        "/c": "char device 1:3 → 1:5",
        "/d": "dir mode 755 → 700",
        "/l": "symlink link a → b",
        "/m": "1 B mode 644 → 4755",
        "/o": "1 B owner 0:0 → 5:6",
        "/t": "1 B → dir mode 644 → 755",
    }


def test_content_is_a_patch(lading: Lading, places: tuple[str, str], tmp_path: Path) -> None:
    shown = lading.run("diff", *places, "--content", "--path", "app", check=False).stdout
    assert "--- a/app/main.py\n+++ b/app/main.py\n@@ -1 +1 @@\n-print(1)\n" in shown
    assert "var/lib/dpkg" not in shown
    assert "files " not in shown
    a, b = (
        write_layout(tmp_path / side, image([Entry("f", content=text)])) for side, text in (("1", b"\0"), ("2", b"x"))
    )
    assert "/f differs: binary, 1 B" in lading.run("diff", a, b, "--content", check=False).stdout
    tabs = write_layout(tmp_path / "tabs", image([Entry("f", content=b"\tx\x1b[31m\n")]))
    assert "+       x\\x1b[31m\n" in lading.run("diff", b, tabs, "--content", check=False).stdout


def test_the_same(lading: Lading, places: tuple[str, str], tmp_path: Path) -> None:
    again = write_layout(tmp_path / "again", A)
    ran = lading.run("diff", places[0], again, "--files")
    assert ran.stdout == f"{places[0]} and {again} are the same: {A.digest}\n"
    assert lading.run("diff", again, again).stdout == f"both are the same: {A.digest}\n"
    document = json.loads(lading.run("diff", again, again, "--format", "json").stdout)
    assert (document["is_same"], document["images"], document["a"]["digest"]) == (True, [], A.digest)


def test_the_same_in_other_bytes(lading: Lading, tmp_path: Path) -> None:
    made = image("a=1")
    a = write_layout(tmp_path / "a", made)
    spaced = type(made)(
        json.dumps(made.document, indent=3).encode(), *(made.media_type, made.kind, made.platform, made.blobs)
    )
    b = write_layout(tmp_path / "b", spaced)
    ran = lading.run("diff", a, b, check=False)
    digests = " → ".join(one.digest[7:19] for one in (made, spaced))
    assert (ran.returncode, ran.stdout) == (1, f"bytes      both say the same, in other bytes: {digests}\n")


def test_json_has_everything(lading: Lading, places: tuple[str, str]) -> None:
    ran = lading.run("diff", *places, "--files", "--content", "--format", "json", check=False)
    document = json.loads(ran.stdout)
    (one,) = document["images"]
    assert ran.returncode == 1
    assert one["changes"][0] == {
        "scope": "config",
        "path": "config.Env.LOG",
        "name": "ENV LOG",
        "state": "changed",
        "a": "debug",
        "b": "info",
    }
    moved = next(entry for entry in one["files"]["entries"] if entry["state"] == "moved")
    assert (moved["path"], moved["a"]["path"], moved["b"]["size"]) == ("app/moved", "app/data", 11)
    assert {content["path"]: content["state"] for content in one["contents"]}["app/main.py"] == "text"
    assert [package["name"] for package in one["packages"]] == ["curl", "openssl"]
    template = "{% for one in images %}{{ one.layers.shared }}{% endfor %}"
    assert lading.run("diff", *places, "--format", template, check=False).stdout == "1\n"


def test_long_lists_are_cut(lading: Lading, tmp_path: Path) -> None:
    a = write_layout(tmp_path / "a", image(" ".join(f"f{number}=x" for number in range(80))))
    b = write_layout(tmp_path / "b", image("n=n"))
    shown = lading.run("diff", a, b, "--files", check=False).stdout
    assert shown.endswith("  … and 31 more: --no-trunc\n")
    whole = lading.run("diff", a, b, "--files", "--no-trunc", check=False).stdout
    assert len(whole.splitlines()) > 80
    assert image("n=n").document["layers"][0]["digest"] in lading.run("diff", a, b, "--no-trunc", check=False).stdout


def test_indexes(place: Place) -> None:
    new = make_image("linux/arm64/v8", kind="oci", seed="new")
    one, other = place.push("one", INDEX), place.push("other", make_index([new, ARMV7, AMD64], kind="oci"))
    ran = place.lading.run("diff", one, other, check=False)
    assert ran.returncode == 1
    lines = [re.sub(r"[0-9a-f]{12}", "DIGEST", line) for line in ran.stdout.splitlines()]
    assert lines[:9] == [
        "index      annotation org.opencontainers.image.version=1.0 removed",
        '           the order of entries ["linux/amd64","linux/arm64/v8"] → ["linux/arm64/v8","linux/amd64"]',
        "entries    1 added, 2 removed, 1 changed, 1 the same",
        "  ~ linux/arm64/v8                 DIGEST → DIGEST",
        "  + linux/arm/v7                   DIGEST",
        "  - attestation of linux/amd64     DIGEST",
        "  - attestation of linux/arm64/v8  DIGEST",
        "",
        "linux/arm64/v8",
    ]
    assert lines[9] == "  config     LABEL seed=arm64 → new"


def test_two_platforms_of_one_index(place: Place) -> None:
    name = place.push("list", INDEX)
    ran = place.lading.run("diff", name, name, "--platform", "linux/amd64", "--platform", "linux/arm64", check=False)
    assert "architecture amd64 → arm64" in ran.stdout
    assert place.lading.run("diff", name, name, "--platform", "linux/amd64").returncode == 0
    mixed = place.lading.run("diff", name, place.push("arm", ARM64))
    assert "its image for linux/arm64/v8 is compared" in mixed.stderr
    assert "are the same" in mixed.stdout


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["{a}", "oci:{none}"], 3, "{none} does not exist"),
        (["{a}", "{b}", "--platform", "linux/s390x"], 3, "has nothing for linux/s390x"),
        (["{a}", "{b}", "--platform", "nonsense"], 2, "is not a platform"),
        (["{a}", "{b}", *["--platform", "linux/amd64"] * 3], 2, "of A, then of B"),
        (["{a}", "{b}", "--path", "etc"], 2, "add --files or --content"),
        (["{a}", "{b}", "--times"], 2, "add --files or --content"),
        (["{a}"], 2, "missing argument 'B'"),
        (["{a}", "{b}", "--format", "{{{{ nothing }}}}"], 2, "there is no field 'nothing'"),
        (["", "{b}"], 2, ""),
    ],
)
def test_bad_input(
    words: list[str], code: int, said: str, lading: Lading, places: tuple[str, str], tmp_path: Path
) -> None:
    names = {"a": places[0], "b": places[1], "none": str(tmp_path / "none")}
    failed = lading.run("diff", *(word.format(**names) for word in words), check=False)
    assert (failed.returncode, failed.stdout) == (code, "")
    assert said.format(**names) in failed.stderr


def test_a_config_that_is_no_object(lading: Lading, tmp_path: Path) -> None:
    made = image("a=1", config={"config": "text"})
    ran = lading.run("diff", write_layout(tmp_path / "a", made), write_layout(tmp_path / "b", A), check=False)
    assert (ran.returncode, ran.stdout) == (7, "")
    assert "is malformed" in ran.stderr


def test_a_layer_that_engines_refuse(lading: Lading, tmp_path: Path) -> None:
    a, b = write_layout(tmp_path / "a", image("a=1 a=2")), write_layout(tmp_path / "b", image("a=3"))
    assert lading.run("diff", a, b, check=False).returncode == 1
    failed = lading.run("diff", a, b, "--files", check=False)
    assert (failed.returncode, failed.stdout) == (7, "")
    assert "it is there twice" in failed.stderr


def test_artifacts(place: Place) -> None:
    one = place.push("one", make_artifact("a/b", {"readme": b"1", "same": b"2"}))
    other = place.push("other", make_artifact("a/b", {"readme": b"11", "same": b"2"}))
    shown = place.lading.run("diff", one, other, check=False).stdout.splitlines()
    assert shown[0] == "layers     1 shared, 1 changed: +1 B"
    assert re.fullmatch(r"  ~ 1  \w{12} → \w{12}  1 B → 2 B  readme", shown[1])


# Requests


def test_what_it_costs(lading: Lading, registry: RealRegistry, repository: str) -> None:
    """Two of one digest cost a request each; of images the configs are read; of layers each that differs, once."""
    for tag, made in (("a", A), ("b", B), ("again", A)):
        push(registry.host, repository, tag, made)
    with CountingProxy(registry.url) as proxy:
        a, b, again = (f"{proxy.host}/{repository}:{tag}" for tag in ("a", "b", "again"))
        lading.run("digest", a)

        def cost(*words: str) -> list[str]:
            proxy.reset()
            lading.run("diff", *words, check=False)
            return [line.replace(f"/v2/{repository}/", "") for line in proxy.lines]

        assert sorted(cost(a, again)) == ["GET manifests/a", "GET manifests/again"]
        found = cost(a, b)
        assert [line.split("/")[0] for line in found] == ["GET manifests"] * 2 + ["GET blobs"] * 2
        layers = {layer["digest"] for made in (A, B) for layer in made.document["layers"]}
        found = cost(a, b, "--files")
        assert sorted(line for line in found if "blobs" in line) == sorted(f"GET blobs/{digest}" for digest in layers)
        databases = [made.document["layers"][1]["digest"] for made in (A, B)]
        for words in (["--files"], ["--packages"]):
            found = cost(a, b, *words)
            assert sorted(found[2:]) == sorted(f"GET blobs/{digest}" for digest in databases), "to parse them"
        assert len(cost(a, b, "--files", "--path", "app")) == 4


def test_indexes_cost_three_round_trips(lading: Lading, registry: RealRegistry, repository: str) -> None:
    """The indexes, the manifests that differ, their configs; what is the same is not read."""
    for tag in ("a", "b"):
        images = [make_image(f"linux/{name}", kind="oci", seed=f"{name}{tag}") for name in ("amd64", "arm64", "s390x")]
        push(registry.host, repository, tag, make_index([*images, ARMV7], kind="oci"))
    with CountingProxy(registry.url) as proxy:
        a, b = (f"{proxy.host}/{repository}:{tag}" for tag in ("a", "b"))
        lading.run("digest", a)
        proxy.reset()
        proxy.latency = 0.5
        assert lading.run("diff", a, b, check=False).returncode == 1
        assert (len(proxy.lines), proxy.rounds()) == (2 + 6 + 6, 3)


def test_what_podman_sees_differs_in_the_same(
    lading: Lading, podman: Path, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    """`podman diff` names the paths that were added, changed and deleted between two images."""
    layers = ["d/ d/x=x d/y=y e=e", "d/ d/x=2 d/new=n -e m=m@700"]
    names = [f"{registry.host}/{repository}:{tag}" for tag in ("a", "b")]
    for name, made in zip(names, (image(layers[0]), image(*layers)), strict=True):
        push(registry.host, repository, name.rpartition(":")[2], made)
        run([podman, "pull", "--tls-verify=false", "-q", name])
    theirs = json.loads(run([podman, "diff", "--format", "json", names[1], names[0]]).stdout)
    document = json.loads(lading.run("diff", *names, "--files", "--format", "json", check=False).stdout)
    ours: dict[str, set[str]] = {"added": set(), "changed": set(), "removed": set()}
    for entry in document["images"][0]["files"]["entries"]:
        ours[entry["state"]].add(f"/{entry['path']}")
    said = {state: set(theirs.get(name, [])) for state, name in (("added", "added"), ("removed", "deleted"))}
    assert said == {"added": ours["added"], "removed": ours["removed"]}
    assert ours["changed"] <= set(theirs["changed"])
