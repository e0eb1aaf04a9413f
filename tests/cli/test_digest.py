"""`lading digest`, with all its options, against a real registry."""

from cli.failing import NOT_FOUND, fails
from cli.place import ARM64, INDEX, Place


def test_digest(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    assert place.run("digest", ref) == f"{INDEX.digest}\n"
    assert place.run("digest", f"{place.name}@{INDEX.digest}") == f"{INDEX.digest}\n"
    assert place.run("digest", ref, "--full") == f"{place.name}@{INDEX.digest}\n"
    assert place.run("digest", ref, "--platform", "linux/arm64") == f"{ARM64.digest}\n"
    assert place.run("digest", ref, "--platform", "linux/arm64", "--full") == f"{place.name}@{ARM64.digest}\n"
    assert place.json("digest", ref) == {"reference": f"{place.name}@{INDEX.digest}", "digest": INDEX.digest}
    says = [f"{ref} has nothing for linux/s390x", "it has linux/amd64, linux/arm64/v8"]
    fails(place.lading, "digest", ref, "--platform", "linux/s390x", code=NOT_FOUND, says=says)


def test_digest_of_an_image_for_a_platform(place: Place) -> None:
    ref = place.push("a", ARM64)
    assert place.run("digest", ref, "--platform", "linux/arm64") == f"{ARM64.digest}\n"
    says = [f"{ref} has nothing for linux/amd64", "it is an image for linux/arm64/v8"]
    fails(place.lading, "digest", ref, "--platform", "linux/amd64", code=NOT_FOUND, says=says)
