"""`lading artifact push`: what files are told to be, and artifacts as the tools make them that they are for."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lading import ArtifactFile, Client
from support.lading import Lading
from support.parts import need
from support.process import run

CREATED = "org.opencontainers.image.created"
TITLE = "org.opencontainers.image.title"
SPDX = '{"spdxVersion": "SPDX-2.3", "packages": []}'
CHART = """
apiVersion: v2
name: app
version: 1.2.3+build.5
appVersion: 1.10
description: |
  An <app> & more
home: https://app.example
sources: [https://src.example, b]
keywords: [a, 1]
maintainers:
- {name: Al, email: al@app.example}
- name: Bo
annotations: {b: "y", org.opencontainers.image.title: other, org.opencontainers.image.licenses: MIT, a: 1234567.5}
dependencies:
- {name: in, version: ">=1", repository: "https://charts.example", tags: [x], import-values: [{child: a, parent: b}]}
deprecated: true
kubeVersion: ">=1.20"
unknown: x
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "sbom.json").write_text(SPDX)
    (folder / "run.wasm").write_bytes(b"\0asm\x01\0\0\0")
    return folder


def config_of(lading: Lading, place: str) -> Any:
    repository = place.partition("@")[0].rpartition(":")[0]
    digest = manifest(lading, place)["config"]["digest"]
    return json.loads(lading.run("blob", "get", f"{repository}@{digest}").stdout)


def manifest(lading: Lading, place: str) -> Any:
    return json.loads(lading.run("manifest", "get", place).stdout)


def push(lading: Lading, files: Path, *words: str, tag: str = "1") -> tuple[Any, str]:
    """Push into a layout; returns the manifest, and what was said."""
    ran = lading.run("artifact", "push", f"oci:{files.parent}/l:{tag}", *words, cwd=files)
    return manifest(lading, ran.stdout.strip()), ran.stderr


def types(document: Any) -> list[str]:
    return [layer["mediaType"] for layer in document["layers"]]


TAR = "application/vnd.oci.image.layer.v1.tar"


@pytest.mark.parametrize(
    "words, artifact_type, layers",
    [
        (["sbom.json"], "application/spdx+json", ["application/spdx+json"]),
        (["x=-"], "application/spdx+json", ["application/spdx+json"]),
        (["sbom.json", "x=sbom.json"], "application/spdx+json", ["application/spdx+json"] * 2),
        (["sbom.json", "a.txt"], "application/vnd.unknown.artifact.v1", ["application/spdx+json", TAR]),
        (["sbom.json:text/x"], "application/vnd.unknown.artifact.v1", ["text/x"]),
        (["sbom.json", "--artifact-type", "a/b"], "a/b", ["application/spdx+json"]),
        (["sbom.json", "--no-guess"], "application/vnd.unknown.artifact.v1", [TAR]),
        (
            ["run.wasm", "sbom.json"],
            "application/vnd.unknown.artifact.v1",
            ["application/wasm", "application/spdx+json"],
        ),
    ],
)
def test_what_is_said_counts_and_the_rest_is_guessed(
    lading: Lading, files: Path, words: list[str], artifact_type: str, layers: list[str]
) -> None:
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", *words, stdin=SPDX.encode(), cwd=files)
    made = manifest(lading, f"oci:{files}/l:1")
    assert (made["artifactType"], types(made)) == (artifact_type, layers)
    is_guessed = any(layer not in (TAR, "text/x") for layer in layers)
    assert ("--no-guess" in ran.stderr) == is_guessed


def test_a_guess_is_shown_before_anything_goes(lading: Lading, files: Path) -> None:
    planned = lading.run("artifact", "push", f"oci:{files}/l:1", "sbom.json", "--dry-run", cwd=files)
    assert "sbom.json: SPDX SBOM (application/spdx+json)" in planned.stderr
    refused = lading.run(
        "artifact", "push", f"oci:{files}/l:1", "sbom.json", "--if-digest", f"sha256:{'0' * 64}", cwd=files, check=False
    )
    assert (refused.returncode, "SPDX SBOM" in refused.stderr, (files / "l").exists()) == (8, True, False)
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", "sbom.json", "--format", "json", cwd=files)
    said = json.loads(ran.stdout)
    assert said["guesses"] == [
        {"file": "sbom.json", "kind": "SPDX SBOM", "media_type": "application/spdx+json", "whole": True}
    ]
    assert (said["digest"], said["artifact_type"]) == (said["images"][0]["digest"], "application/spdx+json")


def test_a_guess_from_python_is_told_first(files: Path) -> None:
    told: list[Any] = []
    with Client() as client:
        made = client.artifacts.push(
            f"oci:{files}/l:1", ArtifactFile(content=SPDX.encode(), title="x"), on_guess=told.extend
        )
        plain = client.artifacts.push(f"oci:{files}/l:1", ArtifactFile(content=b"x"), on_guess=told.extend, guess=True)
    assert [guess.kind for guess in told] == ["SPDX SBOM"]
    assert (made.guesses, plain.guesses) == (tuple(told), ())
    assert repr(made).startswith(f"<PushReport {made.digest.short} 1 image")


def test_what_is_attached_is_told_from_its_files(lading: Lading, files: Path) -> None:
    push(lading, files, "a.txt")
    place = f"oci:{files.parent}/l"
    ran = lading.run("artifact", "attach", f"{place}:1", "sbom.json", "--format", "json", cwd=files)
    made = manifest(lading, f"{place}@{json.loads(ran.stdout)['images'][0]['digest']}")
    assert (made["artifactType"], types(made)) == ("application/spdx+json", ["application/spdx+json"])
    assert [guess["kind"] for guess in json.loads(ran.stdout)["guesses"]] == ["SPDX SBOM"]
    again = lading.run("artifact", "attach", f"{place}:1", "sbom.json", cwd=files)
    assert "sbom.json: SPDX SBOM (application/spdx+json)" in again.stderr
    assert "Attached already" in again.stderr
    for words in (["a.txt"], ["sbom.json", "--no-guess"], ["sbom.json", "a.txt"]):
        refused = lading.run("artifact", "attach", f"{place}:1", *words, cwd=files, check=False)
        assert (refused.returncode, "--artifact-type TYPE" in refused.stderr) == (2, True)


# Helm


@pytest.fixture
def helm(tmp_path: Path) -> Any:
    """Runs helm with settings of its own."""
    program = need("helm")
    env = {f"HELM_{name}_HOME": str(tmp_path / "helm" / name) for name in ("CACHE", "CONFIG", "DATA")}
    env |= {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    return lambda *words, cwd=tmp_path: run([str(program), *words], cwd=cwd, env=env)


def chart(files: Path, description: str = CHART) -> Path:
    """The folder of a chart."""
    folder = files / "app"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(description)
    (folder / "values.yaml").write_text("a: 1\n")
    (folder / "charts/in").mkdir(parents=True)
    (folder / "charts/in/Chart.yaml").write_text("apiVersion: v2\nname: in\nversion: 1.0.0\n")
    return folder


def test_a_chart_is_pushed_as_helm_pushes_it(
    lading: Lading, files: Path, helm: Any, elsewhere: str, repository: str
) -> None:
    place = elsewhere.replace("127.0.0.1", "localhost")
    helm("package", str(chart(files)), "-d", str(files))
    package = files / "app-1.2.3+build.5.tgz"
    ran = lading.run("artifact", "push", f"{place}/{repository}/ours/app", str(package))
    assert "Helm chart" in ran.stderr
    assert ran.stdout.startswith(f"{place}/{repository}/ours/app:1.2.3_build.5@sha256:")
    helm("push", str(package), f"oci://{place}/{repository}/theirs", "--plain-http")
    ours, theirs = (manifest(lading, f"{place}/{repository}/{name}/app:1.2.3_build.5") for name in ("ours", "theirs"))
    created = theirs["annotations"].pop(CREATED)
    assert json.dumps(ours) == json.dumps(theirs)
    again = lading.run(
        "artifact", "push", f"{place}/{repository}/again/app", str(package), "--annotation", f"{CREATED}={created}"
    )
    theirs_digest = lading.run("digest", f"{place}/{repository}/theirs/app:1.2.3_build.5").stdout
    assert again.stdout.partition("@")[2] == theirs_digest
    pulled = files / "pulled"
    pulled.mkdir()
    helm("pull", f"oci://{place}/{repository}/ours/app", "--version", "1.2.3+build.5", "--plain-http", cwd=pulled)
    assert (pulled / package.name).read_bytes() == package.read_bytes()
    lading.run("artifact", "pull", f"{place}/{repository}/theirs/app:1.2.3_build.5", "-o", str(files / "out"))
    assert [path.read_bytes() for path in (files / "out").iterdir()] == [package.read_bytes()]


def pack_chart(files: Path, name: str, *texts: tuple[str, str]) -> Path:
    """A packed chart, without helm."""
    import io
    import tarfile

    path = files / name
    with tarfile.open(path, "w:gz") as tar:
        for member, text in texts:
            header = tarfile.TarInfo(member)
            header.size = len(text.encode())
            tar.addfile(header, io.BytesIO(text.encode()))
    return path


def test_the_provenance_of_a_chart_goes_with_it(lading: Lading, files: Path) -> None:
    package = pack_chart(files, "app-1.0.tgz", ("app/Chart.yaml", "name: app\nversion: 1.0.0\n"))
    alone, _ = push(lading, files, package.name)
    assert types(alone) == ["application/vnd.cncf.helm.chart.content.v1.tar+gzip"]
    (files / "app-1.0.tgz.prov").write_text("-----BEGIN PGP SIGNED MESSAGE-----\n")
    both, said = push(lading, files, package.name)
    assert sorted(types(both)) == [
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "application/vnd.cncf.helm.chart.provenance.v1.prov",
    ]
    assert [layer["digest"] for layer in both["layers"]] == sorted(layer["digest"] for layer in both["layers"])
    assert "app-1.0.tgz.prov: Helm provenance file" in said
    named, _ = push(lading, files, "app-1.0.tgz.prov", package.name, "--no-clobber", tag="2")
    assert named == both
    assert "helm looks for this chart under its version" in said
    assert not any("annotations" in layer for layer in both["layers"])


def test_a_chart_of_the_first_version_has_its_dependencies_in_a_file(lading: Lading, files: Path) -> None:
    needs = "dependencies:\n- {name: db, version: 1, repository: r, enabled: true, alias: x}\n"
    texts = (("./app/Chart.yaml", "Name: app\nversion: 1.0.0\nappVersion: yes\n"), ("./app/requirements.yaml", needs))
    pack_chart(files, "app.tgz", *texts)
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", "app.tgz", cwd=files)
    assert config_of(lading, ran.stdout.strip()) == {
        "name": "app",
        "version": "1.0.0",
        "apiVersion": "v1",
        "appVersion": "true",
        "dependencies": [{"name": "db", "version": "1", "repository": "r", "enabled": True, "alias": "x"}],
    }


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "description",
    [
        "name: app\n",
        "version: 1.0.0\n",
        "name: a/b\nversion: 1.0.0\n",
        "- name: app\n",
        "name: [app]\nversion: 1.0.0\n",
        "name: app\nversion: 1.0.0\ndeprecated: 1\n",
        "name: app\nversion: 1.0.0\nsources: x\n",
        "name: app\nversion: 1.0.0\nannotations: [x]\n",
        "name: app\nversion: 1.0.0\nmaintainers: [x]\n",
        "name: app\nversion: .inf\n",
        "{" * 5000,
        "name: app\nversion: 1.0.0\n!!python/object:os.x {}\n",
        "name: app\nversion: 1.0.0\n" + BOMB,
        "name: &a [*a]\nversion: 1.0.0\n",
    ],
)
def test_what_helm_would_not_push_is_a_file(lading: Lading, files: Path, description: str) -> None:
    pack_chart(files, "app.tgz", ("app/Chart.yaml", description))
    made, said = push(lading, files, "app.tgz")
    assert made["artifactType"] == "application/vnd.unknown.artifact.v1"
    assert "made as is usual" not in said


@pytest.mark.parametrize(
    "number, text",
    [("1.0", "1"), ("1.10", "1.1"), ("123456.5", "123456.5"), ("1234567.5", "1.2345675e+06"), ("0.00001", "1e-05")],
)
def test_a_number_in_a_chart_is_the_text_that_helm_makes_of_it(
    lading: Lading, files: Path, number: str, text: str
) -> None:
    pack_chart(files, "app.tgz", ("app/Chart.yaml", f"name: app\nversion: 1.0.0\nappVersion: {number}\n"))
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", "app.tgz", cwd=files)
    assert config_of(lading, ran.stdout.strip())["appVersion"] == text


# WASM


def component(*sections: tuple[int, bytes]) -> bytes:
    """A component with these sections."""
    return b"\0asm\x0d\0\x01\0" + b"".join(bytes([kind, len(data)]) + data for kind, data in sections)


def name_of(text: str, kind: int = 0) -> bytes:
    return bytes([kind, len(text)]) + text.encode()


IMPORTS = (
    b"\x04"
    + name_of("wasi:io/poll@0.2.0", 1)
    + b"\x05\x00"
    + name_of("run")
    + b"\x01\x81\x01"
    + name_of("t")
    + b"\x03\x00\x02"
    + name_of("m")
    + b"\x00\x11\x00"
)
EXPORTS = b"\x02" + name_of("wasi:cli/run@0.2.0") + b"\x05\x00\x00" + name_of("f") + b"\x01\x00\x01\x01\x00"


def test_a_module_has_the_config_of_its_convention(lading: Lading, files: Path) -> None:
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", "run.wasm", cwd=files)
    made = manifest(lading, ran.stdout.strip())
    assert (made["config"]["mediaType"], types(made)) == ("application/vnd.wasm.config.v0+json", ["application/wasm"])
    assert "artifactType" not in made
    assert config_of(lading, ran.stdout.strip()) == {
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip1",
        "layerDigests": [made["layers"][0]["digest"]],
    }


def test_a_component_says_what_it_imports_and_exports(lading: Lading, files: Path) -> None:
    (files / "c.wasm").write_bytes(component((1, b"skipped"), (10, IMPORTS), (11, EXPORTS)))
    env = {"SOURCE_DATE_EPOCH": "86400"}
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", "c.wasm", cwd=files, env=env)
    found = config_of(lading, ran.stdout.strip())
    assert (found["os"], found["created"]) == ("wasip2", "1970-01-02T00:00:00Z")
    assert found["component"] == {
        "exports": ["wasi:cli/run@0.2.0", "f"],
        "imports": ["wasi:io/poll@0.2.0", "run", "t", "m"],
    }


@pytest.mark.parametrize(
    "sections",
    [
        [(10, b"\x01\x05\x01a")],
        [(10, b"\x01\x00\x09a")],
        [(10, b"\x01" + name_of("a") + b"\x09")],
        [(10, b"\x01" + name_of("a") + b"\x00\x12")],
        [(10, b"\xff\xff\xff\xff\xff\x01")],
        [(11, b"\xff\x7f")],
    ],
)
def test_a_component_that_is_malformed_is_a_file(
    lading: Lading, files: Path, sections: list[tuple[int, bytes]]
) -> None:
    (files / "c.wasm").write_bytes(component(*sections))
    made, _ = push(lading, files, "c.wasm")
    assert (made["artifactType"], types(made)) == ("application/vnd.unknown.artifact.v1", ["application/wasm"])


# Models, modules, bottles


def test_weights_with_what_is_beside_them_are_a_model(lading: Lading, files: Path) -> None:
    (files / "m.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    for name in ("config.json", "README.md"):
        (files / name).write_text("{}")
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", "README.md", "m.safetensors", "config.json", cwd=files)
    made = manifest(lading, ran.stdout.strip())
    assert made["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert [kind.removeprefix("application/vnd.cncf.model.") for kind in types(made)] == [
        "doc.v1.raw",
        "weight.v1.raw",
        "weight.config.v1.raw",
    ]
    assert [layer["annotations"]["org.cncf.model.filepath"] for layer in made["layers"]] == [
        "README.md",
        "m.safetensors",
        "config.json",
    ]
    assert config_of(lading, ran.stdout.strip()) == {
        "descriptor": {},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in made["layers"]]},
        "config": {"format": "safetensors"},
    }
    assert "config.json: part of the model" in ran.stderr
    (files / "data").mkdir()
    other, _ = push(lading, files, "m.safetensors", "data", tag="2")
    assert other["artifactType"] == "application/vnd.unknown.artifact.v1"


def test_what_opentofu_installs_is_as_it_wants_it(lading: Lading, files: Path) -> None:
    for name, member in (("m.zip", "main.tf"), ("terraform-provider-tls_4.0.6_linux_arm.zip", "x")):
        with zipfile.ZipFile(files / name, "w") as archive:
            archive.writestr(member, "x")
    module, _ = push(lading, files, "m.zip")
    assert (module["artifactType"], types(module)) == ("application/vnd.opentofu.modulepkg", ["archive/zip"])
    place = f"oci:{files}/p:4.0.6"
    lading.run("artifact", "push", place, "terraform-provider-tls_4.0.6_linux_arm.zip", "--index", cwd=files)
    index = manifest(lading, place)
    assert index["artifactType"] == "application/vnd.opentofu.provider"
    (entry,) = index["manifests"]
    assert entry["artifactType"] == "application/vnd.opentofu.provider-target"
    assert entry["platform"] == {"architecture": "arm", "os": "linux"}
    target = manifest(lading, f"oci:{files}/p@{entry['digest']}")
    assert (target["artifactType"], types(target)) == (entry["artifactType"], ["archive/zip"])


@pytest.mark.parametrize(
    "name, platform",
    [
        ("jq--1.7.1.arm64_sonoma.bottle.tar.gz", {"architecture": "arm64", "os": "darwin", "os.version": "macOS 14"}),
        ("jq--1.7.1.x86_64_linux.bottle.2.tar.gz", {"architecture": "amd64", "os": "linux"}),
        ("jq--1.7.1.all.bottle.tar.gz", None),
    ],
)
def test_a_bottle_says_what_brew_looks_for(
    lading: Lading, files: Path, name: str, platform: dict[str, str] | None
) -> None:
    path = pack_chart(files, name, ("jq/1.7.1/bin/jq", "x"))
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", name, cwd=files)
    made = manifest(lading, ran.stdout.strip())
    assert types(made) == ["application/vnd.oci.image.layer.v1.tar+gzip"]
    if platform is None:
        assert made["artifactType"] == "application/vnd.unknown.artifact.v1"
        return
    config = config_of(lading, ran.stdout.strip())
    assert {key: config[key] for key in platform} == platform
    assert config["rootfs"]["diff_ids"][0].startswith("sha256:")
    said = made["annotations"]
    assert said["sh.brew.bottle.size"] == str(path.stat().st_size)
    assert said["org.opencontainers.image.ref.name"] == name.removeprefix("jq--").replace(".bottle", "")[:-7]


def test_an_index_of_bottles_says_of_each_what_brew_looks_for(lading: Lading, files: Path) -> None:
    place = f"oci:{files}/l:1.7.1"
    for system in ("arm64_sonoma", "x86_64_linux"):
        pack_chart(files, f"jq--1.7.1.{system}.bottle.tar.gz", ("jq/1.7.1/bin/jq", system))
        lading.run("artifact", "push", place, f"jq--1.7.1.{system}.bottle.tar.gz", "--index", cwd=files)
    entries = manifest(lading, place)["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries] == [
        "1.7.1.arm64_sonoma",
        "1.7.1.x86_64_linux",
    ]
    assert [entry["platform"]["os"] for entry in entries] == ["darwin", "linux"]


def test_a_bottle_that_is_damaged_is_refused(lading: Lading, files: Path) -> None:
    name = "jq--1.7.1.arm64_sonoma.bottle.tar.gz"
    (files / name).write_bytes(b"\x1f\x8b and no more")
    ran = lading.run("artifact", "push", f"oci:{files}/l:1", name, cwd=files, check=False)
    assert (ran.returncode, "damaged" in ran.stderr, (files / "l").exists()) == (7, True, False)
    push(lading, files, name, "--no-guess")
