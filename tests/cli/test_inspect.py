"""`lading inspect`, with all its options, against a real registry."""

import json

from cli.failing import NOT_FOUND, fails, served
from cli.place import AMD64, ARM64, ARMV7, INDEX, SIZES, Place, short
from support.fakes import Reply, ScriptedServer, error_reply
from support.http import Request
from support.images import (
    Entry,
    Manifest,
    make_artifact,
    make_image,
    make_index,
)


def test_inspect_an_index(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    total = sum(SIZES[image.digest] for image in (AMD64, ARM64))
    rows = [f"{short(AMD64.digest)}       3  {_size(AMD64)}", f"{short(ARM64.digest)}       1  {_size(ARM64)}"]
    assert place.run("inspect", ref) == "\n".join(
        [
            ref,
            f"  digest     {INDEX.digest}",
            "  type       OCI image index, 2 platforms, 2 attestations",
            f"  size       {total / 1000:.1f} kB in all",
            "",
            "  annotations",
            "    org.opencontainers.image.version=1.0",
            "",
            "  PLATFORM        DIGEST        LAYERS    SIZE",
            f"  linux/amd64     {rows[0]}",
            f"  linux/arm64/v8  {rows[1].replace(_size(ARM64), _size(ARM64).rjust(len(_size(AMD64))))}",
            "",
            "  with 2 attestations, of linux/amd64, linux/arm64/v8",
            "",
        ]
    )


def test_inspect_some_platforms(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    said = place.run("inspect", ref, "--platform", "linux/aarch64")
    assert "type       OCI image index, 1 of 2 platforms, 2 attestations" in said
    assert f"size       {_size(ARM64)} for 1 of 2" in said
    assert "linux/amd64" not in said
    assert "with an attestation, of linux/arm64/v8" in said
    both = place.json("inspect", ref, "--platform", "linux/arm64", "--platform", "linux/amd64")
    assert both["entries"] == place.json("inspect", ref)["entries"]
    says = [f"{ref} has nothing for linux/s390x", "it has linux/amd64, linux/arm64/v8"]
    fails(place.lading, "inspect", ref, "--platform", "linux/s390x", code=NOT_FOUND, says=says)


def test_inspect_an_image(place: Place) -> None:
    image = make_image(
        "linux/amd64",
        config={
            "Cmd": ["serve", "--all"],
            "Entrypoint": ["/bin/app"],
            "Env": ["A=1", "B=2"],
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Labels": {"b": "2", "a": "1"},
            "User": "nobody",
            "WorkingDir": "/srv",
        },
        layers=2,
    )
    ref = place.push("a", image)
    assert place.run("inspect", ref) == "\n".join(
        [
            ref,
            f"  digest     {image.digest}",
            "  type       Docker image manifest",
            "  platform   linux/amd64",
            "  created    2024-01-02",
            f"  size       {_size(image)} in 2 layers",
            "",
            '  entrypoint ["/bin/app"]',
            '  cmd        ["serve", "--all"]',
            "  user       nobody",
            "  workdir    /srv",
            "  ports      443/tcp",
            "             80/tcp",
            "  env        A=1",
            "             B=2",
            "  labels     a=1",
            "             b=2",
            "",
        ]
    )
    assert place.run("inspect", ref, "--platform", "linux/amd64") == place.run("inspect", ref)
    says = [f"{ref} has nothing for linux/arm64", "it is an image for linux/amd64"]
    fails(place.lading, "inspect", ref, "--platform", "linux/arm64", code=NOT_FOUND, says=says)


def test_inspect_windows(place: Place) -> None:
    image = make_image("windows/amd64", os_version="10.0.17763.1817", os_features=["win32k"])
    assert "  platform   windows/amd64 (version 10.0.17763.1817)\n" in place.run("inspect", place.push("a", image))
    said = place.run("inspect", place.push("list", make_index([image])))
    assert f"  windows/amd64 10.0.17763.1817  {short(image.digest)}" in said
    assert "Docker manifest list, 1 platform\n" in said


def test_inspect_an_artifact(place: Place) -> None:
    subject = place.push("a", AMD64)
    ref = place.push("thing", make_artifact(subject=AMD64, annotations={"b": "2", "a": "1"}))
    said = place.run("inspect", ref)
    assert "  type       OCI image manifest of an artifact\n  artifact   application/vnd.example.thing\n" in said
    assert f"  subject    {AMD64.digest}\n" in said
    assert "  annotations\n    a=1\n    b=2\n" in said
    says = [f"{ref} has nothing for linux/amd64", "it is an artifact"]
    fails(place.lading, "inspect", ref, "--platform", "linux/amd64", code=NOT_FOUND, says=says)
    assert place.json("inspect", subject)["kind"] == "image"
    assert place.json("inspect", ref)["kind"] == "artifact"


def test_inspect_what_is_odd(place: Place) -> None:
    """Nested, sparse and empty indexes are content like any other."""
    nested = place.push("nested", make_index([Entry(INDEX, platform={}), ARMV7], kind="oci"))
    said = place.run("inspect", nested)
    assert "type       OCI image index, 2 entries\n" in said
    assert f"  -             {short(INDEX.digest)}       -" in said
    assert "an index with 4 entries\n" in said
    empty = place.push("empty", make_index([], kind="oci"))
    assert "type       OCI image index, 0 platforms\n  size       0 B in all\n" in place.run("inspect", empty)
    sparse = make_index([AMD64, ARM64], kind="oci")

    def script(request: Request) -> Reply | None:
        by_path = {f"/v2/a/b/manifests/{name}": found for name, found in (("x", sparse), (AMD64.digest, AMD64))}
        found = by_path.get(request.path)
        return served(found) if found else error_reply(404, "MANIFEST_UNKNOWN")

    with ScriptedServer(script) as server:
        said = place.run("inspect", f"{server.host}/a/b:x")
    assert f"size       {_size(AMD64)} for 1 of 2\n" in said
    assert f"linux/arm64/v8  {short(ARM64.digest)}       -" in said
    assert said.count("not in this repository") == 1


def test_inspect_whole_digests(place: Place) -> None:
    said = place.run("inspect", place.push("1.0", INDEX), "--no-trunc")
    assert AMD64.digest in said
    assert ARM64.digest in said


def test_inspect_the_exact_bytes(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    assert place.lading.run("inspect", ref, "--raw").stdout_bytes == INDEX.content
    assert place.lading.run("inspect", ref, "--raw", "--platform", "linux/arm64").stdout_bytes == ARM64.content


def test_inspect_as_a_document(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    document = place.json("inspect", ref)
    entries = document.pop("entries")
    assert document == {
        "reference": ref,
        "digest": INDEX.digest,
        "media_type": INDEX.media_type,
        "kind": "index",
        "size": INDEX.size,
        "total_size": SIZES[AMD64.digest] + SIZES[ARM64.digest],
        "entry_count": 2,
        "attestation_count": 2,
        "created": None,
        "artifact_type": None,
        "subject": None,
        "annotations": {"org.opencontainers.image.version": "1.0"},
        "config": {},
    }
    assert isinstance(entries, list)
    assert entries[0] == {
        "digest": AMD64.digest,
        "media_type": AMD64.media_type,
        "size": AMD64.size,
        "platform": "linux/amd64",
        "os_version": None,
        "artifact_type": None,
        "annotations": {},
        "attests": None,
        "state": "present",
        "layers": 3,
        "total_size": SIZES[AMD64.digest],
        "created": None,
    }
    assert [entry["attests"] for entry in entries] == [None, None, AMD64.digest, ARM64.digest]
    assert [entry["state"] for entry in entries] == ["present", "present", "not read", "not read"]


def test_templates(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    assert place.run("inspect", ref, "--format", "{{ digest }}") == f"{INDEX.digest}\n"
    template = "{% for entry in entries if not entry.attests %}{{ entry.platform }}\\t{{ entry.layers }}\\n{% endfor %}"
    assert place.run("inspect", ref, "--format", template) == "linux/amd64\t3\nlinux/arm64/v8\t1\n\n"
    assert json.loads(place.run("inspect", ref, "--format", "{{ annotations | json }}")) == {
        "org.opencontainers.image.version": "1.0"
    }
    assert place.run("digest", ref, "--format", "{{ reference }}") == f"{place.name}@{INDEX.digest}\n"
    assert place.run("tags", place.name, "--format", "{{ tags[0].tag }}") == "1.0\n"


def _size(image: Manifest) -> str:
    count = sum(map(len, image.blobs.values()))
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"
