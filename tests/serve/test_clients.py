"""Real clients against the registry, over each storage."""

import json
from pathlib import Path

from serve.caller import Caller
from support.docker import DockerCLI
from support.images import DOCKER_LIST, make_artifact, make_image, make_index, push
from support.parts import need
from support.process import run

INSECURE = ("--src-tls-verify=false", "--dest-tls-verify=false")


def skopeo(*args: str) -> str:
    return run([need("skopeo"), "--insecure-policy", *args]).stdout


class TestSkopeo:
    def test_copies_between_registry_and_layout(self, call: Caller, tmp_path: Path) -> None:
        platforms = ("linux/amd64", "linux/arm64")
        index = make_index([make_image(platform, kind="oci", seed=platform) for platform in platforms], kind="oci")
        push(call.host, "from/here", "v1", index)
        source = f"docker://{call.host}/from/here:v1"
        skopeo("copy", "--all", *INSECURE, source, f"oci:{tmp_path / 'layout'}:v1")
        skopeo("copy", "--all", *INSECURE, f"oci:{tmp_path / 'layout'}:v1", f"docker://{call.host}/to/here:v2")
        assert call("GET", "/v2/to/here/manifests/v2").body == index.content
        for child in index.children:
            assert call("GET", f"/v2/to/here/manifests/{child.digest}").body == child.content
            for digest, blob in child.blobs.items():
                assert call("GET", f"/v2/to/here/blobs/{digest}").body == blob

    def test_copies_within_the_registry(self, call: Caller) -> None:
        image = make_image(kind="docker", layers=3)
        push(call.host, "a", "v1", image)
        skopeo("copy", *INSECURE, f"docker://{call.host}/a:v1", f"docker://{call.host}/b:v1")
        assert call("GET", "/v2/b/manifests/v1").body == image.content

    def test_lists_and_deletes(self, call: Caller) -> None:
        for tag in ("v1", "v2"):
            push(call.host, "a", tag, make_image(seed=tag))
        repository = f"docker://{call.host}/a"
        assert json.loads(skopeo("list-tags", "--tls-verify=false", repository))["Tags"] == ["v1", "v2"]
        skopeo("delete", "--tls-verify=false", f"{repository}:v1")
        assert json.loads(skopeo("list-tags", "--tls-verify=false", repository))["Tags"] == ["v2"]


def test_skopeo_reads_the_folder_itself(call: Caller, folder: Path, tmp_path: Path) -> None:
    if not folder.exists():
        return
    image = make_image(kind="oci")
    push(call.host, "team/app", "v1", image)
    push(call.host, "team/app", None, make_artifact(subject=image))
    layout = folder / "team" / "app"
    assert json.loads(skopeo("inspect", f"oci:{layout}:v1"))["Digest"] == image.digest
    skopeo("copy", f"oci:{layout}:v1", f"dir:{tmp_path / 'copy'}")
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == image.content
    other = make_image(kind="oci", seed="other")
    push(call.host, "other", "v1", other)
    skopeo("copy", f"oci:{folder / 'other'}:v1", f"oci:{layout}:v2")  # behind the registry's back
    assert call("GET", "/v2/team/app/manifests/v2").body == other.content
    assert call("GET", "/v2/team/app/tags/list").document["tags"] == ["v1", "v2"]


def test_docker_makes_manifest_lists(call: Caller, docker: DockerCLI) -> None:
    images = {arch: make_image(f"linux/{arch}", kind="docker", seed=arch) for arch in ("amd64", "arm64")}
    for arch, image in images.items():
        push(call.host, "team/app", arch, image)
        push(call.host, f"elsewhere/{arch}", "v1", image)
    name = f"{call.host}/team/app:v1"
    sources = [f"{call.host}/team/app:amd64", f"{call.host}/elsewhere/arm64:v1"]
    docker.run("manifest", "create", "--insecure", name, *sources)
    docker.run("manifest", "annotate", name, sources[1], "--variant", "v8")
    digest = docker.run("manifest", "push", "--insecure", name).stdout.split()[-1]
    answer = call("GET", f"/v2/team/app/manifests/{digest}")
    assert answer.headers["content-type"] == DOCKER_LIST
    listed = {entry["digest"] for entry in answer.document["manifests"]}
    assert listed == {image.digest for image in images.values()}
    seen = json.loads(docker.run("manifest", "inspect", "--insecure", name).stdout)
    assert seen == answer.document
