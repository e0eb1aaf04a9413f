"""`lading tag`, with all its options, against a real registry."""

import json
from collections.abc import Callable
from pathlib import Path

from cli.failing import CONFLICT, fails, remote, served, unchanged
from cli.place import AMD64, ARM64, INDEX, SIZES, Place, serving, short
from support.fakes import Reply, ScriptedServer, error_reply
from support.http import Request
from support.images import (
    OCI_INDEX,
    OCI_MANIFEST,
    get_manifest,
)
from support.lading import Lading
from support.process import Ran
from support.proxy import CountingProxy


def test_tag(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    place.push("latest", AMD64)
    assert place.run("tag", ref, "stable", f"{place.name}:latest", "1.0") == "\n".join(
        [
            f"{place.name}:stable  new",
            f"{place.name}:latest  was {short(AMD64.digest)}",
            f"{place.name}:1.0     names it already",
            f"{place.name}@{INDEX.digest}",
            "",
        ]
    )
    assert place.tags == dict.fromkeys(["1.0", "latest", "stable"], INDEX.digest)


def test_tag_by_digest_quietly(place: Place) -> None:
    by_digest = place.push(None, ARM64)
    assert place.run("tag", "-q", by_digest, "arm") == f"{by_digest}\n"
    assert place.tags == {"arm": ARM64.digest}


def test_tag_dry(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    place.push("latest", AMD64)
    with unchanged(place.lading, place.host, place.repository):
        said = place.run("tag", "--dry-run", ref, "latest", "1.0", "new")
        document = place.json("tag", "--dry-run", ref, "latest")
    assert said == "\n".join(
        [
            f"{place.name}:latest  was {short(AMD64.digest)}",
            f"{place.name}:1.0     names it already",
            f"{place.name}:new     new",
            f"{place.name}@{INDEX.digest}",
            "",
        ]
    )
    change: dict[str, object] = {
        "reference": f"{place.name}:latest",
        "digest": INDEX.digest,
        "state": "moved",
        "previous": AMD64.digest,
    }
    change |= {"previous_type": OCI_MANIFEST, "previous_platforms": None}
    assert document == {"digest": INDEX.digest, "tags": [change], "dry_run": True, "failed": []}


def test_an_index_that_is_replaced_is_told(place: Place, tmp_path: Path) -> None:
    """Whoever gives an image the name of a list sees that the list is no longer named."""
    place.push("latest", INDEX)
    arm, index = place.push("arm64", ARM64), f"{place.name}@{INDEX.digest}"
    said = place.run("tag", arm, "latest").splitlines()
    assert said[0] == f"{place.name}:latest  was {short(INDEX.digest)}, an index of 2 platforms"
    place.run("tag", index, "latest")
    document = place.run("tag", arm, "latest", "--format", "{{ tags|json }}")
    (change,) = json.loads(document)
    assert (change["state"], change["previous"]) == ("moved", INDEX.digest)
    assert (change["previous_type"], change["previous_platforms"]) == (OCI_INDEX, 2)
    other = f"{place.host}/{place.repository}-other:latest"
    place.run("tag", index, other)
    assert place.run("tag", arm, other).splitlines()[0] == f"{other}  was {short(INDEX.digest)}"
    place.run("copy", index, "oci:layout:latest", cwd=tmp_path)
    place.run("copy", arm, "oci:layout:arm64", cwd=tmp_path)
    said = place.run("tag", "oci:layout:arm64", "latest", cwd=tmp_path).splitlines()
    assert said[0] == f"oci:layout:latest  was {short(INDEX.digest)}, an index of 2 platforms"


def test_a_tag_is_given_where_nobody_says_what_it_was(lading: Lading) -> None:
    """That a name cannot be read is no reason not to set it."""

    def answer(request: Request) -> Reply:
        if request.path.endswith("/locked"):
            return Reply(status=201) if request.method == "PUT" else error_reply(403, "DENIED")
        return served(ARM64)

    with ScriptedServer(answer) as server:
        said = lading.run("tag", f"{server.host}/a/b:arm64", "locked").stdout.splitlines()
        assert said == [f"{server.host}/a/b:locked", f"{server.host}/a/b@{ARM64.digest}"]


def test_tag_if_it_names_this(place: Place) -> None:
    ref = place.push("1.1", INDEX)
    place.push("latest", AMD64)
    place.run("tag", ref, "latest", "--if-digest", AMD64.digest)
    assert place.tags["latest"] == INDEX.digest
    says = [f"{place.name}:latest was not changed", f"it names {INDEX.digest}"]
    fails(place.lading, "tag", ref, "latest", "--if-digest", AMD64.digest, code=CONFLICT, says=says)


def test_tag_in_another_repository(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    other = f"{place.repository}-other"
    said = [line.split() for line in place.run("tag", ref, f"{place.host}/{other}:x", "y").splitlines()]
    assert said[:2] == [[f"{place.host}/{other}:x", "new"], [f"{place.name}:y", "new"]]
    assert remote(place.host, other) == {"x": INDEX.digest}
    assert get_manifest(place.host, other, ARM64.digest)[0] == ARM64.content
    assert place.run("inspect", f"{place.host}/{other}:x", "--format", "{{ total_size }}").strip() == str(
        SIZES[AMD64.digest] + SIZES[ARM64.digest]
    )


def test_tag_in_another_registry(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    with serving(place.lading) as host:
        place.run("tag", ref, f"{host}/team/app:2.0")
        assert place.run("digest", f"{host}/team/app:2.0") == f"{INDEX.digest}\n"
        assert place.json("inspect", f"{host}/team/app:2.0")["total_size"] == SIZES[AMD64.digest] + SIZES[ARM64.digest]


def immutable(*tags: str) -> Callable[[Request], Reply | None]:
    """What a registry says whose tags of these names cannot be changed."""

    def script(request: Request) -> Reply | None:
        refused = request.method == "PUT" and request.path.rpartition("/manifests/")[2] in tags
        return error_reply(409, "DENIED", "tag is immutable") if refused else None

    return script


def test_of_several_tags_those_are_set_that_can_be(place: Place, tmp_path: Path) -> None:
    place.push("1.0", INDEX)
    with CountingProxy(f"http://{place.host}") as proxy:
        proxy.intercept = immutable("kept")
        name = f"{proxy.host}/{place.repository}"
        elsewhere = f"oci:{tmp_path}/layout:x"
        words = ("tag", "--keep-going", f"{name}:1.0", "a", "kept", elsewhere, "b")
        lines = place.lading.run(*words, check=False).stdout.splitlines()
        assert [line.split()[0] for line in lines] == [f"{name}:a", elsewhere, f"{name}:b", f"{name}@{INDEX.digest}"]
        ran = place.lading.run(*words, "--format", "json", check=False)
        assert ran.returncode == 1
        assert f"{name}:kept" in ran.stderr
        assert set(place.tags) == {"1.0", "a", "b"}
        assert place.lading.run("digest", elsewhere).stdout.strip() == INDEX.digest
        document = json.loads(ran.stdout)
        assert [tag["reference"] for tag in document["tags"]] == [f"{name}:a", elsewhere, f"{name}:b"]
        assert [(item["reference"], item["code"]) for item in document["failed"]] == [(f"{name}:kept", "immutable")]
        # Where nothing can be set, it is the failure that it is.
        fails(
            place.lading,
            "tag",
            "--keep-going",
            f"{name}:1.0",
            "kept",
            code=CONFLICT,
            says=[f"keeps {name}:kept as it is"],
        )


def test_the_condition_is_each_tags_own_where_the_others_go_on(place: Place, tmp_path: Path) -> None:
    """The names in a place that is not there fail, too, and so does a place that cannot be written to."""
    ref = place.push("1.0", INDEX)
    place.push("latest", AMD64)
    (tmp_path / "file").write_text("no layout")
    gone = f"oci:{tmp_path}/file:x"
    words = ("tag", "--keep-going", "--if-digest", "absent", ref, "latest", "new", gone, "--format", "json")
    for more in (("--dry-run",), ()):
        ran = place.lading.run(
            *words[: -3 if more else None], *(("--format", "json") if more else ()), *more, check=False
        )
        document = json.loads(ran.stdout)
        assert ran.returncode == 1
        assert [tag["reference"] for tag in document["tags"]] == [f"{place.name}:new"]
        failed = [item["reference"] for item in document["failed"]]
        assert failed == [f"{place.name}:latest", *([] if more else [gone])]
    assert place.tags == {"1.0": INDEX.digest, "latest": AMD64.digest, "new": INDEX.digest}


def test_a_list_is_pushed_under_the_tags_that_can_be_set(place: Place) -> None:
    place.push("1.0", INDEX)
    with CountingProxy(f"http://{place.host}") as proxy:
        name = f"{proxy.host}/{place.repository}"
        place.lading.run("manifest", "create", f"{name}:list", f"{name}:1.0")

        def push(*tags: str, refuses: tuple[str, ...] = (), more: tuple[str, ...] = ()) -> Ran:
            proxy.intercept = immutable(*refuses)
            words = [f"{name}:list", *(word for tag in tags for word in ("-t", tag)), *more, "--format", "json"]
            return place.lading.run("manifest", "push", "--purge", "--keep-going", *words, check=False)

        assert push("a0", refuses=("list", "a0")).returncode == CONFLICT
        for tags, refuses in ((("a1", "b1"), ("list",)), (("a2", "b2"), ("list", "b2")), (("a3", "b3"), ("a3",))):
            ran = push(*tags, refuses=refuses)
            assert ran.returncode == 1
            document = json.loads(ran.stdout)
            assert document["tags"] == [tag for tag in ("list", *tags) if tag not in refuses]
            assert [item["reference"] for item in document["failed"]] == [f"{name}:{tag}" for tag in refuses]
            assert all(f"{name}:{tag}" in ran.stderr for tag in refuses)
            assert set(document["tags"]) <= place.tags.keys()
            assert not place.tags.keys() & set(refuses)
        # What the condition forbids goes under no tag at all.
        assert push("c", more=("--if-digest", "absent")).returncode == CONFLICT
        assert "c" not in place.tags
        assert push("d").returncode == 0
        assert place.lading.run("manifest", "ls", "-q").stdout == "", "and only now it is removed"
