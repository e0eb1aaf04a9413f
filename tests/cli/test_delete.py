"""`lading delete`, with all its options, against a real registry."""

import json

from cli.failing import CONFLICT, NOT_FOUND, fails, unchanged
from cli.place import AMD64, ARM64, ARMV7, INDEX, Place, serving
from cli.terminal import on_terminal
from support.images import (
    Entry,
    make_index,
)
from support.proxy import CountingProxy


def test_delete_asks(place: Place) -> None:
    ref = place.push("old", AMD64)
    place.run("tag", ref, "also-old")
    place.push("1.0", make_index([AMD64, ARM64]))
    with unchanged(place.lading, place.host, place.repository):
        seen = on_terminal(place.lading, "delete", ref, answers=[("[y/N]", "n\n")])
        assert seen.returncode == 1
        assert "nothing was deleted" in seen.text
        assert on_terminal(place.lading, "delete", ref, answers=[("[y/N]", "\x04")]).returncode == 130
    assert f"would delete {place.name}@{AMD64.digest}\n" in seen.text
    assert "  and with it the tags " in seen.text
    assert "also-old" in seen.text
    assert "  1.0 lists it and would break\n" in seen.text
    seen = on_terminal(place.lading, "delete", ref, answers=[("[y/N]", "y\n")])
    assert seen.returncode == 0
    assert set(place.tags) == {"1.0"}


def test_delete_says_what_went(place: Place) -> None:
    ref = place.push("old", AMD64)
    said = place.run("delete", "--yes", ref)
    assert said == f"deleted {place.name}@{AMD64.digest}\n  and with it the tag old and any other that named it\n"
    assert place.tags == {}
    by_digest = place.push(None, AMD64)
    assert place.run("delete", "--yes", by_digest) == f"deleted {by_digest}\n  and with it any tag that named it\n"


def test_delete_dry(place: Place) -> None:
    """An index that lists it, however deeply, would break; nothing may be lost silently."""
    ref = place.push("old", AMD64)
    place.push("1.0", make_index([AMD64, ARM64], kind="oci"))
    place.push("outer", make_index([Entry(make_index([AMD64], kind="oci"), platform={}), ARMV7], kind="oci"))
    place.push("unrelated", make_index([ARMV7], kind="oci"))
    with unchanged(place.lading, place.host, place.repository):
        said = place.run("delete", "--dry-run", ref)
        document = place.json("delete", "--dry-run", ref)
    assert said.splitlines()[:2] == [f"would delete {place.name}@{AMD64.digest}", "  and with it the tag old"]
    assert said.splitlines()[2] in (
        "  1.0 and outer list it and would break",
        "  outer and 1.0 list it and would break",
    )
    assert isinstance(document["deleted"], list)
    (deletion,) = document["deleted"]
    assert set(deletion.pop("listed_in")) == {"1.0", "outer"}
    assert document == {
        "deleted": [{"reference": ref, "digest": AMD64.digest, "tags": ["old"], "referrers": []}],
        "untag": False,
        "dry_run": True,
        "failed": [],
    }


def test_what_a_deletion_takes_is_asked_all_at_once(place: Place, proxy: CountingProxy) -> None:
    place.push("old", AMD64)
    place.run("tag", f"{place.name}:old", *(f"tag-{number}" for number in range(6)))
    for number in range(5):
        place.push(f"list-{number}", make_index([AMD64], kind="oci", annotations={"number": str(number)}))
    proxy.latency = 0.05
    said = place.run("delete", "--dry-run", f"{proxy.host}/{place.repository}:old", "--format", "json")
    assert len(json.loads(said)["deleted"][0]["listed_in"]) == 5
    # Last what refers to it: by the API until it is known that there is none, and by the fallback tag.
    assert len(proxy.exchanges) == 1 + 1 + 12 + 5 + 2
    assert proxy.rounds() <= 6


def test_delete_several(place: Place) -> None:
    """Two tags of one manifest are one deletion."""
    one, two = place.push("one", AMD64), place.push("two", AMD64)
    three = f"{place.name}@{place.push('three', ARM64) and ARM64.digest}"
    place.push("stays", ARMV7)
    said = place.run("delete", "-y", one, two, three)
    assert said.count(f"deleted {place.name}@{ARM64.digest}") == 1
    assert place.tags == {"stays": ARMV7.digest}


def test_delete_if_it_is_this(place: Place) -> None:
    ref = place.push("old", AMD64)
    with unchanged(place.lading, place.host, place.repository):
        says = [f"{ref} was not", f"it names {AMD64.digest}"]
        fails(place.lading, "delete", "-y", ref, "--if-digest", ARM64.digest, code=CONFLICT, says=says)
    place.run("delete", "-y", ref, "--if-digest", AMD64.digest)
    assert place.tags == {}


def test_delete_all_or_nothing_is_found_first(place: Place) -> None:
    ref = place.push("old", AMD64)
    with unchanged(place.lading, place.host, place.repository):
        fails(place.lading, "delete", "-y", ref, f"{place.name}:none", code=NOT_FOUND, says=[f"{place.name}:none"])


def test_untag(place: Place) -> None:
    """Only where the registry can; lading's own can."""
    with serving(place.lading) as host:
        place.run("tag", place.push("1.0", INDEX), f"{host}/app:1.0", f"{host}/app:old")
        digest = place.run("digest", f"{host}/app:old").strip()
        dry = place.run("delete", "--untag", "--dry-run", f"{host}/app:old")
        assert dry == f"would remove the tag {host}/app:old; {digest} stays\n"
        assert place.run("tags", f"{host}/app", "--sort", "name").split() == ["1.0", "old"]
        fails(
            place.lading,
            *("delete", "--untag", "-y", f"{host}/app:old", "--if-digest", AMD64.digest),
            code=CONFLICT,
            says=[f"{host}/app:old"],
        )
        done = place.run("delete", "--untag", "-y", f"{host}/app:old", "--if-digest", digest)
        assert done == f"removed the tag {host}/app:old; {digest} stays\n"
        assert place.run("tags", f"{host}/app").split() == ["1.0"]
        assert place.run("digest", f"{host}/app@{digest}").strip() == digest
