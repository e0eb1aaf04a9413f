"""Locations: every form is understood, says itself again, and opens the right store."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Conflict, InvalidContent, InvalidReference, LadingError, NotFound, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.reference import Reference
from lading.stores.location import Location, parse_location, registry_reference
from lading.stores.opening import open_to_read, open_to_write, resolve_location
from support import images

Fill = Callable[..., Awaitable[Descriptor]]
DIGEST = Digest("sha256:" + "ab" * 32)
ALPINE = Reference.parse("alpine:3.20")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("alpine:3.20", Location(kind="registry", reference=ALPINE)),
        ("docker://alpine:3.20", Location(kind="registry", reference=ALPINE)),
        ("localhost:5000/a", Location(kind="registry", reference=Reference("localhost:5000", "a"))),
        ("oci:dir", Location(kind="oci", path="dir")),
        ("oci:../a/dir:v1", Location(kind="oci", path="../a/dir", tag="v1")),
        (f"oci:/dir@{DIGEST}", Location(kind="oci", path="/dir", digest=DIGEST)),
        (f"oci:dir:v1@{DIGEST}", Location(kind="oci", path="dir", tag="v1", digest=DIGEST)),
        ("oci:me@home/dir", Location(kind="oci", path="me@home/dir")),
        ("oci:./dir:app:v1", Location(kind="oci", path="./dir", tag="app:v1")),
        (f"oci:dir:x.y:5000/app@{DIGEST}", Location(kind="oci", path="dir", tag="x.y:5000/app", digest=DIGEST)),
        (f"oci:dir:@{DIGEST}", Location(kind="oci", path="dir", digest=DIGEST)),
        ("oci:dir:@1", Location(kind="oci", path="dir", tag="@1")),
        ("oci:/12:30/dir", Location(kind="oci", path="/12", tag="30/dir")),
        (r"oci:/12\:30/dir:v1", Location(kind="oci", path="/12:30/dir", tag="v1")),
        (r"oci:dir\:colon", Location(kind="oci", path="dir:colon")),
        (r"oci:dir\x", Location(kind="oci", path=r"dir\x")),
        ("oci:./-", Location(kind="oci", path="./-")),
        ("oci-layout://dir:v1", Location(kind="oci", path="dir", tag="v1")),
        ("ocidir:///abs/dir", Location(kind="oci", path="/abs/dir")),
        ("oci-archive:a.tar", Location(kind="oci-archive", path="a.tar")),
        ("oci-archive:/x/a.tar.zst:v1", Location(kind="oci-archive", path="/x/a.tar.zst", tag="v1")),
        ("oci-archive:-", Location(kind="oci-archive", path="-")),
        ("oci-archive:-:v1", Location(kind="oci-archive", path="-", tag="v1")),
        ("docker-archive:a.tar", Location(kind="docker-archive", path="a.tar")),
        ("docker-archive:a.tar:alpine:3.20", Location(kind="docker-archive", path="a.tar", reference=ALPINE)),
        (
            "docker-archive:-:localhost:5000/a/b:v1",
            Location(kind="docker-archive", path="-", reference=Reference.parse("localhost:5000/a/b:v1")),
        ),
        (
            r"docker-archive:a\:b c.tar:alpine:3.20",
            Location(kind="docker-archive", path="a:b c.tar", reference=ALPINE),
        ),
        ("docker-archive:a.tar:@1", Location(kind="docker-archive", path="a.tar", tag="@1")),
        (f"docker-archive:a.tar:@{DIGEST}", Location(kind="docker-archive", path="a.tar", digest=DIGEST)),
        (
            "docker-archive:a.tar:1.27",
            Location(kind="docker-archive", path="a.tar", reference=Reference("docker.io", "library/1.27")),
        ),
        (f"docker-archive:a.tar@{DIGEST}", Location(kind="docker-archive", path="a.tar", digest=DIGEST)),
        (r"docker-archive:12\:30.tar", Location(kind="docker-archive", path="12:30.tar")),
        ("docker-daemon:alpine:3.20", Location(kind="docker-daemon", reference=ALPINE)),
        (f"docker-daemon:{DIGEST}", Location(kind="docker-daemon", digest=DIGEST)),
        (f"docker-daemon:{DIGEST.hex}", Location(kind="docker-daemon", digest=DIGEST)),
        ("dir:a:b", Location(kind="dir", path="a:b")),
        (f"dir:a@{DIGEST}", Location(kind="dir", path="a", digest=DIGEST)),
        # What looks like one of the schemes to somebody else is a reference here.
        ("tarball:foo", Location(kind="registry", reference=Reference.parse("tarball:foo"))),
    ],
)
def test_what_a_text_means(text: str, expected: Location) -> None:
    assert parse_location(text) == expected
    assert parse_location(str(expected)) == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("alpine", "docker.io/library/alpine"),
        ("docker://oci:5000/app", "docker://oci:5000/app"),
        ("oci-layout://dir:v1", "oci:dir:v1"),
        (r"oci:a\:b", r"oci:a\:b"),
        ("oci:a:b:v1", "oci:a:b:v1"),
        ("docker-archive:f.tar:alpine", "docker-archive:f.tar:alpine"),
        (f"docker-daemon:{DIGEST}", f"docker-daemon:{DIGEST}"),
        ("docker-daemon:alpine:1", "docker-daemon:docker.io/library/alpine:1"),
    ],
)
def test_how_it_is_said(text: str, said: str) -> None:
    assert str(parse_location(text)) == said


@pytest.mark.parametrize(
    "text, error, message",
    [
        ("", InvalidReference, "is not a reference"),
        ("Alpine", InvalidReference, "must be lowercase"),
        ("https://example.com/app", InvalidReference, "no scheme"),
        ("docker://", InvalidReference, "it is empty"),
        ("oci:", UsageError, "names no directory"),
        ("oci-archive:", UsageError, "names no file"),
        ("oci::v1", UsageError, "names no directory"),
        (f"oci:@{DIGEST}", UsageError, "names no directory"),
        ("oci:-", UsageError, "standard input"),
        ("oci:-:v1", UsageError, "standard input"),
        ("oci:dir:", InvalidReference, "nothing follows it"),
        ("oci:dir@sha256:" + "a" * 40, InvalidReference, "no digest"),
        ("oci:a\0b", UsageError, "NUL"),
        ("docker-archive:", UsageError, "names no file"),
        ("docker-archive:a.tar:", InvalidReference, "no reference after its colon"),
        ("docker-archive:a.tar:ALPINE", InvalidReference, "must be lowercase"),
        ("docker-archive:a:b c.tar:alpine", InvalidReference, "no reference after its colon"),
        ("docker-daemon:", UsageError, "names no image"),
        ("oci-layout:dir", UsageError, "knows no places that begin with oci-layout:"),
        ("containers-storage:localhost/app", UsageError, "containers-storage:"),
        ("./dir", InvalidReference, "'./dir' is not a reference"),
        ("docker-daemon:sha256:" + "a" * 40, InvalidReference, "no digest"),
    ],
)
def test_what_cannot_be_understood(text: str, error: type[LadingError], message: str) -> None:
    with pytest.raises(error) as raised:
        parse_location(text)
    assert message in str(raised.value)


PATHS = st.text(st.sampled_from("ab/.:@\\-ü 0") | st.characters(exclude_characters="\0"), min_size=1) | st.builds(
    "{}{}".format, st.text("ab/:", max_size=5), st.sampled_from([f"@{DIGEST}", f":{DIGEST}", ":v1", "\\", "\\:"])
)
TAGS = (
    st.none()
    | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
    | st.text(st.sampled_from("ab/.:@\\-ü 01") | st.characters(exclude_characters="\0"), min_size=1)
)
DIGESTS = st.none() | st.just(DIGEST) | st.just(Digest("sha512:" + "cd" * 64))
REFERENCES = st.sampled_from(
    [
        Reference.parse(text)
        for text in ("alpine:1", "oci:5000/a", "docker.io/library/f.tar:x", "[::1]:5000/b/c:1", f"a.b/c:d@{DIGEST}")
    ]
    + [
        Reference.parse_repository(text)
        for text in ("alpine", "docker.io/library/1.27", "docker.io/library/" + "ab" * 32, "oci:5000/a", "a/b")
    ]
)
LOCATIONS = (
    st.builds(Location, kind=st.just("registry"), reference=REFERENCES)
    | st.builds(Location, kind=st.just("oci"), path=PATHS.filter(lambda p: p != "-"), tag=TAGS, digest=DIGESTS)
    | st.builds(Location, kind=st.just("oci-archive"), path=PATHS, tag=TAGS, digest=DIGESTS)
    | st.builds(Location, kind=st.just("docker-archive"), path=PATHS, reference=st.none() | REFERENCES)
    | st.builds(Location, kind=st.just("docker-archive"), path=PATHS, digest=DIGESTS)
    | st.builds(Location, kind=st.just("dir"), path=PATHS.filter(lambda p: p != "-"), digest=DIGESTS)
    | st.builds(Location, kind=st.just("docker-daemon"), reference=REFERENCES)
    | st.builds(Location, kind=st.just("docker-daemon"), digest=DIGESTS.filter(bool))
)


@given(LOCATIONS)
def test_every_location_says_itself(location: Location) -> None:
    assert parse_location(str(location)) == location


@given(
    st.sampled_from(["", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "docker://", "ocidir://"]),
    st.text() | st.text(":@/\\.a1- "),
)
def test_no_text_is_a_surprise(scheme: str, text: str) -> None:
    try:
        location = parse_location(scheme + text)
    except UsageError:
        return
    assert parse_location(str(location)) == location


def test_what_names_the_manifest() -> None:
    assert parse_location("alpine:3.20").name == "3.20"
    assert parse_location("oci:dir").name is None
    assert parse_location("oci:dir:v1").name == "v1"
    assert parse_location(f"oci:dir:v1@{DIGEST}").name == DIGEST
    assert parse_location("docker-archive:a.tar:alpine").name == "alpine"
    assert parse_location("docker-archive:a.tar:x.example/app").name == "x.example/app"
    assert parse_location("alpine").name == "latest"
    assert parse_location("oci-archive:-").is_stream
    assert not parse_location("oci:./-").is_stream
    assert parse_location("alpine").is_registry


@pytest.mark.parametrize("scheme", ["oci", "oci-archive"])
async def test_local_stores_are_opened(
    tmp_path: Path, fill: Fill, image: images.Manifest, index: images.Manifest, scheme: str
) -> None:
    place = f"{scheme}:{tmp_path}/place"
    with pytest.raises(NotFound):
        async with open_to_read(parse_location(place)):
            pass
    async with open_to_write(parse_location(place)) as store:
        content = await fill(store, image, "v1")
    for text in (place, f"{place}:v1", f"{place}@{image.digest}"):
        location = parse_location(text)
        async with open_to_read(location) as store:
            assert store.name == place
            assert await resolve_location(store, location) == content
    async with open_to_write(parse_location(place)) as store:
        await fill(store, index, "v2")
        with pytest.raises(Conflict, match="has 2 manifests"):
            await resolve_location(store, parse_location(place))


async def test_a_registry_is_not_local(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_to_read(parse_location("alpine"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidContent):
        async with open_to_read(parse_location(f"oci:{tmp_path}")):
            pass


@pytest.mark.parametrize(
    "text, place, named, tagged, pinned",
    [
        (
            "alpine",
            "docker.io/library/alpine",
            False,
            "docker.io/library/alpine:2",
            f"docker.io/library/alpine@{DIGEST}",
        ),
        ("x.example/a:1", "x.example/a", True, "x.example/a:2", f"x.example/a@{DIGEST}"),
        ("oci:dir", "oci:dir", False, "oci:dir:2", f"oci:dir@{DIGEST}"),
        ("oci:dir:1", "oci:dir", True, "oci:dir:2", f"oci:dir@{DIGEST}"),
        (f"oci-archive:f@{DIGEST}", "oci-archive:f", True, "oci-archive:f:2", f"oci-archive:f@{DIGEST}"),
        (
            "docker-archive:f:a/b",
            "docker-archive:f",
            False,
            "docker-archive:f:docker.io/a/b:2",
            f"docker-archive:f@{DIGEST}",
        ),
        (
            "docker-daemon:a/b:1",
            "docker-daemon",
            True,
            "docker-daemon:docker.io/a/b:2",
            f"docker-daemon:docker.io/a/b:1@{DIGEST}",
        ),
        (f"docker-daemon:{DIGEST}", "docker-daemon", True, None, f"docker-daemon:{DIGEST}"),
        (f"docker-archive:f@{DIGEST}", "docker-archive:f", True, None, f"docker-archive:f@{DIGEST}"),
        ("dir:f", "dir:f", False, None, f"dir:f@{DIGEST}"),
    ],
)
def test_other_names_in_the_same_place(text: str, place: str, named: bool, tagged: str | None, pinned: str) -> None:
    location = parse_location(text)
    assert location.place == place
    assert location.is_named == named
    assert str(location.with_digest(DIGEST)) == pinned
    assert parse_location(pinned) == location.with_digest(DIGEST)
    if tagged is None:
        with pytest.raises(UsageError, match=r"no repository|nothing has a name"):
            location.with_tag("2")
    else:
        assert str(location.with_tag("2")) == tagged
    with pytest.raises(InvalidReference):
        location.with_tag("a b")


def test_a_reference_alone_is_wanted() -> None:
    assert registry_reference("docker://alpine") == Reference.parse("alpine:latest")
    assert registry_reference(ALPINE) == ALPINE
    with pytest.raises(UsageError, match="not in a registry"):
        registry_reference("oci:dir:v1")


async def test_bare_tags_in_a_docker_archive_are_in_the_repository_that_was_said(
    tmp_path: Path, fill: Fill, image: images.Manifest
) -> None:
    location = parse_location(f"docker-archive:{tmp_path}/a.tar:x.example/app")
    async with open_to_write(location) as store:
        await fill(store, image, "1.0", "other/name:2")
    async with open_to_read(location) as store:
        assert [name async for name in store.tags()] == ["docker.io/other/name:2", "x.example/app:1.0"]
