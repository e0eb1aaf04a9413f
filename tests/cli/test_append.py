"""`lading image append`: archives and files on images, beside what crane and regctl make of the same."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading.model.digest import Digest
from support.images import make_artifact, make_busybox, make_image, make_index, push
from support.lading import Lading
from support.layers import Entry, archive, image, write_layout
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

PLAIN = archive("opt/ opt/tool=tool@755 opt/link->tool opt/hard~opt/tool")
OTHER = archive("usr/ usr/x=x")
EPOCH = "1970-01-01T00:00:00Z"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "site").mkdir(parents=True)
    (folder / "site/index.html").write_text("<p>")
    (folder / "site/x.tmp").write_text("x")
    (folder / "plain.tar").write_bytes(PLAIN)
    (folder / "packed.tar.gz").write_bytes(gzip.compress(OTHER, 1, mtime=0))
    return folder


@pytest.fixture
def base(tmp_path: Path) -> str:
    return write_layout(tmp_path / "base", image("etc/ etc/a=a"))


def document(lading: Lading, place: str, *args: str) -> Any:
    return json.loads(lading.run("inspect", place, "--raw", *args).stdout)


def config(lading: Lading, place: str, *args: str) -> Any:
    return json.loads(lading.run("image", "config", place, *args, "--raw").stdout)


def tree(lading: Lading, place: str, *args: str) -> list[str]:
    return lading.run("image", "ls", place, "-R", *args).stdout.splitlines()


def test_it_adds_a_layer_for_each_file(lading: Lading, files: Path, base: str, tmp_path: Path) -> None:
    before, old = document(lading, base), config(lading, base)
    target = f"oci:{tmp_path / 'out'}:1"
    ran = lading.run("image", "append", base, "plain.tar", "packed.tar.gz", "site:/srv/www", "-t", target, cwd=files)
    name, _, digest = ran.stdout.strip().partition("@")
    assert name == target
    assert digest == lading.run("digest", target).stdout.strip()
    after, new = document(lading, target), config(lading, target)
    assert after["layers"][: len(before["layers"])] == before["layers"]
    packed = (files / "packed.tar.gz").read_bytes()
    assert after["layers"][-2]["digest"] == Digest.of(packed)
    assert {layer["mediaType"] for layer in after["layers"][-3:]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert new["rootfs"]["diff_ids"][-3:-1] == [Digest.of(PLAIN), Digest.of(OTHER)]
    assert [entry["created_by"] for entry in new["history"][-3:]] == [
        "ADD plain.tar / # lading",
        "ADD packed.tar.gz / # lading",
        "COPY site /srv/www # lading",
    ]
    assert {entry["created"] for entry in new["history"][-3:]} == {EPOCH}
    assert new["config"] == old["config"]
    assert tree(lading, target, "srv") == ["srv/www", "srv/www/index.html", "srv/www/x.tmp"]


def test_options(lading: Lading, files: Path, base: str, tmp_path: Path) -> None:
    (tmp_path / "ignore").write_text("*.tmp\n")
    target = f"oci:{tmp_path / 'out'}:1"
    options = ["--owner", "1000:100", "--chmod", "go=rX", "--compression", "zstd:5", "--created-by", "RUN make"]
    options += ["--ignore-file", str(tmp_path / "ignore")]
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    lading.run("image", "append", base, "site:/srv/www", "-t", target, *options, cwd=files, env=epoch)
    assert document(lading, target)["layers"][-1]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    last = config(lading, target)["history"][-1]
    assert last == {"created": "2023-11-14T22:13:20Z", "created_by": "RUN make"}
    entries = json.loads(lading.run("image", "ls", target, "srv", "-R", "--format", "json").stdout)["entries"]
    assert [one["path"] for one in entries] == ["srv/www", "srv/www/index.html"]
    assert (entries[1]["uid"], entries[1]["gid"], entries[1]["mode"], entries[1]["mtime"]) == (
        *(1000, 100),
        0o644,
        1700000000,
    )


@pytest.mark.parametrize("name", ["plain.tar", "packed.tar.gz"])
def test_standard_input_gives_what_a_file_gives(lading: Lading, files: Path, base: str, name: str) -> None:
    lading.run("image", "append", base, name, "-t", "file", "--created-by", "x", cwd=files)
    content = (files / name).read_bytes()
    lading.run("image", "append", base, "-", "-t", "stream", "--created-by", "x", stdin=content)
    place = base.rpartition(":")[0]
    assert lading.run("digest", f"{place}:file").stdout == lading.run("digest", f"{place}:stream").stdout
    layer = document(lading, f"{place}:stream")["layers"][-1]
    if name.endswith("gz"):
        assert layer["digest"] == Digest.of(content)


def test_a_new_image(lading: Lading, files: Path, tmp_path: Path) -> None:
    targets = [f"oci:{tmp_path / 'out'}:{n}" for n in (1, 2)]
    for target in targets:
        ran = lading.run(
            *("image", "append", "scratch", "plain.tar", "-t", target, "--platform", "linux/arm/v7"), cwd=files
        )
        assert "another digest" not in ran.stderr
    found = config(lading, targets[0])
    assert found.pop("history") == [{"created": EPOCH, "created_by": "ADD plain.tar / # lading"}]
    assert found == {
        "created": EPOCH,
        "architecture": "arm",
        "os": "linux",
        "variant": "v7",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest.of(PLAIN)]},
    }
    assert lading.run("digest", targets[0]).stdout == lading.run("digest", targets[1]).stdout
    assert lading.run("validate", targets[0]).returncode == 0


def test_an_index_gets_it_in_each_image(
    lading: Lading, files: Path, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    repository = new_repository()
    images = [make_image(platform, kind="oci", seed=platform) for platform in ("linux/amd64", "linux/arm64")]
    push(registry.host, repository, "1", make_index(images, kind="oci", annotations={"of": "index"}))
    place = f"{registry.host}/{repository}"
    lading.run("image", "append", f"{place}:1", "plain.tar", "-t", "all", cwd=files)
    lading.run("image", "append", f"{place}:1", "plain.tar", "-t", "one", "--platform", "linux/arm64", cwd=files)
    before, all_, one = (document(lading, f"{place}:{tag}") for tag in ("1", "all", "one"))
    assert all_["annotations"] == one["annotations"] == {"of": "index"}
    digests = [[entry["digest"] for entry in index["manifests"]] for index in (before, all_, one)]
    assert [old != new for old, new in zip(digests[0], digests[1], strict=True)] == [True, True]
    assert [old != new for old, new in zip(digests[0], digests[2], strict=True)] == [False, True]
    last = {document(lading, f"{place}@{digest}")["layers"][-1]["digest"] for digest in digests[1]}
    assert len(last) == 1


def test_docker_images_get_docker_layers(lading: Lading, files: Path, registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image(kind="docker"))
    place = f"{registry.host}/{repository}:1"
    lading.run("image", "append", place, "plain.tar", "-t", "2", cwd=files)
    types = {layer["mediaType"] for layer in document(lading, place.replace(":1", ":2"))["layers"]}
    assert types == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
    ran = lading.run("image", "append", place, "plain.tar", "--compression", "zstd", "-t", "3", cwd=files, check=False)
    assert ran.returncode == 9
    assert "--compression gzip" in ran.stderr


def test_peers_find_the_same_diff_ids(
    lading: Lading, files: Path, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    crane, regctl = need("crane"), need("regctl")
    repository = new_repository()
    place = f"{registry.host}/{repository}"
    push(registry.host, repository, "1", make_image(kind="oci"))
    lading.run("image", "append", f"{place}:1", "plain.tar", "packed.tar.gz", "-t", "lading", cwd=files)
    run([crane, "append", "-b", f"{place}:1", "-f", "plain.tar,packed.tar.gz", "-t", f"{place}:crane"], cwd=files)
    run([regctl, "registry", "set", "--tls", "disabled", registry.host])
    (files / "other.tar").write_bytes(OTHER)
    add = ["--layer-add", "tar=plain.tar", "--layer-add", "tar=other.tar"]
    run([regctl, "image", "mod", f"{place}:1", *add, "--create", f"{place}:regctl"], cwd=files)
    ours, crane_s, regctl_s = (config(lading, f"{place}:{tag}") for tag in ("lading", "crane", "regctl"))
    assert ours["rootfs"] == crane_s["rootfs"] == regctl_s["rootfs"]
    # What is compressed already stays as it is.
    assert document(lading, f"{place}:lading")["layers"][-1] == document(lading, f"{place}:crane")["layers"][-1]
    assert run([crane, "validate", "--remote", f"{place}:lading"]).returncode == 0


def test_containers_run_it(
    lading: Lading, registry: RealRegistry, repository: str, podman: Path, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/hello").write_text("#!/bin/sh\necho appended by $(stat -c %u:%g:%Y /srv/app/hello)\n")
    (tmp_path / "app/hello").chmod(0o755)
    (tmp_path / "app/link").symlink_to("hello")
    push(registry.host, repository, "1", make_busybox("/srv/app/link", kind="oci"))
    place = f"{registry.host}/{repository}"
    lading.run("image", "append", f"{place}:1", "app:/srv/app", "--owner", "7:8", "-t", "2", cwd=tmp_path)
    ran = run(
        [
            podman,
            "run",
            "--rm",
            "--network=none",
            "--ulimit=nofile=512:512",
            "--ulimit=nproc=512:512",
            "--tls-verify=false",
            f"{place}:2",
        ],
        check=False,
    )
    assert "appended by 7:8:0" in ran.stdout, ran.stderr


def test_a_dry_run_writes_nothing(lading: Lading, files: Path, base: str) -> None:
    ran = lading.run("image", "append", base, "plain.tar", "-t", "2", "--dry-run", cwd=files)
    assert '"created_by": "ADD plain.tar / # lading"' in ran.stdout
    assert lading.run("digest", base.rpartition(":")[0] + ":2", check=False).returncode == 3


USAGE = {
    "no target": ["plain.tar"],
    "no level": ["plain.tar", "-t", "2", "--compression", "gzip:10"],
    "a level of none": ["plain.tar", "-t", "2", "--compression", "none:1"],
    "no compression": ["plain.tar", "-t", "2", "--compression", "xz"],
    "no owner": ["plain.tar", "-t", "2", "--owner", "me"],
    "a large owner": ["plain.tar", "-t", "2", "--owner", f"{2**32}:0"],
    "no mode": ["site:/x", "-t", "2", "--chmod", "rw"],
    "standard input twice": ["-", "-", "-t", "2"],
    "a place for standard input": ["-:/x", "-t", "2"],
    "no file": [":/x", "-t", "2"],
    "a place outside": ["site:/../x", "-t", "2"],
}


@pytest.mark.parametrize("name", USAGE)
def test_what_was_typed_wrong(lading: Lading, files: Path, base: str, name: str) -> None:
    ran = lading.run("image", "append", base, *USAGE[name], cwd=files, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")


def test_nothing_is_written_where_a_file_is_bad(
    lading: Lading, files: Path, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image(kind="oci"))
    place = f"{registry.host}/{repository}"
    (files / "bad.tar").write_bytes(archive([Entry("a"), Entry("../a")]))
    (files / "text").write_text("text\n" * 200)
    for name, code, said in (
        ("bad.tar", 7, "leads out of the root"),
        ("text", 7, "to put the file itself into the image: text:/PATH"),
        ("none.tar", 3, "does not exist"),
    ):
        ran = lading.run("image", "append", f"{place}:1", "plain.tar", name, "-t", "2", cwd=files, check=False)
        assert (ran.returncode, ran.stdout) == (code, "")
        assert said in ran.stderr
    assert lading.run("digest", f"{place}:2", check=False).returncode == 3


def test_the_base_is_looked_for_before_a_layer_is_made(lading: Lading, files: Path, base: str) -> None:
    (files / "text").write_text("text\n" * 200)
    ran = lading.run("image", "append", base.rpartition(":")[0] + ":none", "text", "-t", "2", cwd=files, check=False)
    assert (ran.returncode, ran.stdout) == (3, "")


def test_an_artifact_gets_no_layer(lading: Lading, files: Path, registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_artifact())
    place = f"{registry.host}/{repository}:1"
    ran = lading.run("image", "append", place, "plain.tar", "-t", "2", cwd=files, check=False)
    assert (ran.returncode, ran.stdout) == (9, "")
    assert "artifact" in ran.stderr


def test_a_directory_where_images_have_a_link_is_said(lading: Lading, files: Path, base: str) -> None:
    (files / "site/bin").mkdir()
    assert "/bin as a directory" in lading.run("image", "append", base, "site", "-t", "2", cwd=files).stderr
    assert "/bin as a directory" in lading.run("image", "append", base, "site:/bin", "-t", "2", cwd=files).stderr
    assert "as a directory" not in lading.run("image", "append", base, "site:/usr", "-t", "2", cwd=files).stderr


def test_an_ignore_file_that_is_none(lading: Lading, files: Path, base: str) -> None:
    (files / "ignore").write_text("[\n")
    ran = lading.run("image", "append", base, "site", "-t", "2", "--ignore-file", "ignore", cwd=files, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    ran = lading.run("image", "append", base, "site", "-t", "2", "--ignore-file", "none", cwd=files, check=False)
    assert ran.returncode == 3


def test_what_it_costs_in_requests(
    lading: Lading, files: Path, registry: RealRegistry, proxy: CountingProxy, repository: str
) -> None:
    push(registry.host, repository, "1", make_image(kind="oci"))
    lading.run("image", "append", f"{proxy.host}/{repository}:1", "plain.tar", "-t", "2", cwd=files)
    # The base and its config; whether something refers to the base, by the API, or by a tag: the list of tags.
    assert len([line for line in proxy.lines if line.startswith("GET")]) == 2 + 2
    # Whether the names are there; two new blobs; the manifest.
    assert len([line for line in proxy.lines if line.startswith("HEAD")]) == 2
    assert len([line for line in proxy.lines if line.startswith(("POST", "PUT"))]) == 5
    proxy.reset()
    lading.run(
        "image", "append", f"{proxy.host}/{repository}:1", "plain.tar", "-t", "2", "--referrers", "drop", cwd=files
    )
    assert len(proxy.lines) == 3
