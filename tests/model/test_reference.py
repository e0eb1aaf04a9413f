"""References are read as Docker reads them: every row of its table, and nothing else gets through."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.errors import InvalidReference, UsageError
from lading.model.digest import Digest
from lading.model.reference import Reference, is_tag

HEX = "62e6df75043c166e992c6d16dbcb19d3fd3aa5bfc915a4085015257de7ae4992"
SHA256 = f"sha256:{HEX}"
SHA384 = f"sha384:{'0a' * 48}"
SHA512 = f"sha512:{'f1' * 64}"


@pytest.mark.parametrize(
    "text, full",
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("library/alpine", "docker.io/library/alpine:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/user/app:1", "docker.io/user/app:1"),
        ("alpine:3.19", "docker.io/library/alpine:3.19"),
        ("registry-1.docker.io/library/alpine", "registry-1.docker.io/library/alpine:latest"),
        ("user/app", "docker.io/user/app:latest"),
        ("myreg/app", "docker.io/myreg/app:latest"),
        ("a/b/c", "docker.io/a/b/c:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("myreg:5000/app", "myreg:5000/app:latest"),
        ("myreg:5000", "docker.io/library/myreg:5000"),
        ("host:5000/app:5000", "host:5000/app:5000"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:db8::1]/app", "[2001:db8::1]/app:latest"),
        ("reg.io:99999/a", "reg.io:99999/a:latest"),
        ("alpine@" + SHA256, "docker.io/library/alpine@" + SHA256),
        ("alpine:3.19@" + SHA256, "docker.io/library/alpine:3.19@" + SHA256),
        ("a@" + SHA512, "docker.io/library/a@" + SHA512),
        ("a@" + SHA384, "docker.io/library/a@" + SHA384),
        ("UPPER/x", "UPPER/x:latest"),
        ("MyReg/app", "MyReg/app:latest"),
        ("LOCALHOST/app", "LOCALHOST/app:latest"),
        ("a.b", "docker.io/library/a.b:latest"),
        ("a.b/c", "a.b/c:latest"),
        ("docker.io", "docker.io/library/docker.io:latest"),
        ("app:Tag_1.0-RC", "docker.io/library/app:Tag_1.0-RC"),
        ("a__b/c", "docker.io/a__b/c:latest"),
        ("a--b/c", "docker.io/a--b/c:latest"),
        (SHA256, f"docker.io/library/sha256:{HEX}"),
        (f"reg.io/{HEX}", f"reg.io/{HEX}:latest"),
        (f"{HEX}:1", f"docker.io/library/{HEX}:1"),
    ],
)
def test_docker_reads_these(text: str, full: str) -> None:
    reference = Reference.parse(text)

    assert str(reference) == full
    assert Reference.parse(full) == reference


@pytest.mark.parametrize(
    "text, said",
    [
        ("Alpine", "repository name (library/Alpine) must be lowercase"),
        ("user/App", "repository name (user/App) must be lowercase"),
        ("user/App:1@" + SHA256, "repository name (user/App) must be lowercase"),
        ("UPPER/X", "repository name (X) must be lowercase"),
        ("::1/app", "expected [REGISTRY/]REPOSITORY[:TAG][@DIGEST]"),
        ("reg.io:/a", "expected [REGISTRY/]REPOSITORY[:TAG][@DIGEST]"),
        ("docker.io/", "nothing follows the last '/'"),
        ("https://docker.io/alpine", "a reference has no scheme"),
        ("app:", "nothing follows the last ':'"),
        ("app@", "nothing follows the last '@'"),
        ("app:@" + SHA256, "expected"),
        ("app:.bad", "expected"),
        ("app:-bad", "expected"),
        ("a b", "it has a space in it"),
        (" a", "it has a space in it"),
        ("a\n", "it has a space in it"),
        ("", "it is empty"),
        ("ä/b", "expected"),
        ("a___b/c", "expected"),
        ("a..b/c", "expected"),
        ("-a/b", "expected"),
        ("a-/b", "expected"),
        ("reg.io/_a", "expected"),
        ("a//b", "expected"),
        ("/a", "expected"),
        ("reg_io.net/a", "expected"),
        ("-reg.io/a", "expected"),
        ("[::g]/a", "expected"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a@sha256:" + HEX.upper(), "sha256 takes 64 lower-case hex digits"),
        ("a@SHA256:" + HEX, "is not a digest"),
        ("a@sha256:abcd", "expected"),
        ("x@md5:0123", "expected"),
        ("a@blake3:" + HEX, "the digest algorithm 'blake3' is not supported"),
        (f"a@{SHA256}@{SHA256}", "expected"),
        (f"a@{SHA256}:tag", "expected"),
    ],
)
def test_docker_refuses_these(text: str, said: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)

    assert said in str(caught.value)
    assert repr(text) in caught.value.message
    assert isinstance(caught.value, UsageError)


def test_parts() -> None:
    reference = Reference.parse(f"localhost:5000/a/b:1.0@{SHA256}")

    assert reference.registry == "localhost:5000"
    assert reference.repository == "a/b"
    assert reference.name == "localhost:5000/a/b"
    assert (reference.tag, reference.digest) == ("1.0", SHA256)
    assert reference.locator == SHA256
    assert Reference.parse("a:1").locator == "1"


def test_a_repository_gets_no_tag() -> None:
    repository = Reference.parse_repository("alpine")

    assert (repository.tag, repository.digest) == (None, None)
    assert str(repository) == "docker.io/library/alpine"
    assert repository.locator == "latest"
    assert Reference.parse_repository("alpine:3").tag == "3"
    assert Reference.parse_repository(str(repository)) == repository


def test_a_tag_and_a_digest_replace_each_other() -> None:
    reference = Reference.parse("alpine:3")

    assert str(reference.with_digest(Digest(SHA256))) == f"docker.io/library/alpine@{SHA256}"
    assert str(reference.with_digest(Digest(SHA256)).with_tag("4")) == "docker.io/library/alpine:4"
    with pytest.raises(InvalidReference, match="is not a tag"):
        reference.with_tag("no/tag")


def test_a_reference_is_a_value() -> None:
    assert Reference.parse("alpine") == Reference.parse("docker.io/library/alpine:latest")
    assert len({Reference.parse("alpine"), Reference.parse("library/alpine"), Reference.parse("b")}) == 2
    assert min(Reference.parse("b"), Reference.parse("a")).repository == "library/a"


def test_a_tag_has_at_most_128_characters() -> None:
    assert Reference.parse("a:" + "t" * 128).tag == "t" * 128
    assert is_tag("t" * 128)
    assert not is_tag("t" * 129)
    with pytest.raises(InvalidReference):
        Reference.parse("a:" + "t" * 129)


@pytest.mark.parametrize("text", ["", ".a", "-a", "a/b", "a:b", "a@b", "é", "a\n", "٣", "a b"])
def test_what_is_no_tag(text: str) -> None:
    assert not is_tag(text)


def test_a_path_has_at_most_255_characters() -> None:
    # The registry does not count; the `library/` that is put before a bare name does.
    assert len(Reference.parse("reg.io/" + "a" * 255).repository) == 255
    assert len(Reference.parse("a" * 247).repository) == 255
    for text in ("reg.io/" + "a" * 256, "a" * 248, "a/" + "b" * 254):
        with pytest.raises(InvalidReference, match="must not be more than 255 characters"):
            Reference.parse(text)


_component = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}", fullmatch=True)
_path = st.lists(_component, min_size=1, max_size=4).map("/".join)
_host = st.sampled_from(["docker.io", "localhost", "localhost:1", "reg.io", "a.b:443", "[::1]", "[fe80::1]:5", "A"])
_tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
_digest = st.sampled_from([SHA256, SHA384, SHA512])


@given(st.none() | _host, _path, st.none() | _tag, st.none() | _digest)
def test_text_and_back(host: str | None, path: str, tag: str | None, digest: str | None) -> None:
    if host is None:
        path = path.replace(".", "0")  # a dot before the first slash would make it a registry
    text = (f"{host}/" if host else "") + path + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text)

    assert Reference.parse(str(reference)) == reference
    assert reference.repository.endswith(path.partition("/")[2] or path)
    assert reference.digest == digest
    assert reference.tag == (tag if tag or digest else "latest")


@given(st.text(max_size=40) | st.text("aA0./:@-_[] \nİß٣\0\ud800sha256", max_size=60))
@example("a@" + "é" * 64)
@example("İ")
@example("\ud800/\udfff")
def test_any_text_is_a_reference_or_an_invalid_one(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return
    assert Reference.parse(str(reference)) == reference
    assert str(reference).isascii()


@pytest.mark.parametrize("unit", ["a", "a.", "a-", "-", "_", "a/", ":", "@", "[", "A", "a:", "__", "0a.b-"])
def test_long_texts_are_refused_at_once(unit: str) -> None:
    for text in (unit * 100_000, "reg.io/" + unit * 100_000 + "!", unit * 100_000 + "/!"):
        with pytest.raises(InvalidReference):
            Reference.parse(text)
