"""`lading tag`, with all its options, against a real registry."""

from cli.failing import CONFLICT, fails, remote, unchanged
from cli.place import AMD64, ARM64, INDEX, SIZES, Place, serving, short
from support.images import (
    get_manifest,
)


def test_tag(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    place.push("latest", AMD64)
    assert place.run("tag", ref, "stable", f"{place.name}:latest") == "\n".join(
        [f"{place.name}:stable", f"{place.name}:latest", f"{place.name}@{INDEX.digest}", ""]
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
    change = {"reference": f"{place.name}:latest", "digest": INDEX.digest, "state": "moved", "previous": AMD64.digest}
    assert document == {"digest": INDEX.digest, "tags": [change], "dry_run": True}


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
    assert place.run("tag", ref, f"{place.host}/{other}:x", "y").splitlines()[:2] == [
        f"{place.host}/{other}:x",
        f"{place.name}:y",
    ]
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
