"""Digests are well formed or refused, and content is verified however it is cut."""

import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import DigestMismatch, InvalidDigest
from lading.model.digest import ALGORITHMS, Digest, Verifier, verify

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("algorithm, length", [("sha256", 64), ("sha384", 96), ("sha512", 128)])
def test_the_algorithms(algorithm: str, length: int) -> None:
    digest = Digest.of(b"content", algorithm)

    assert digest == f"{algorithm}:{hashlib.new(algorithm, b'content').hexdigest()}"
    assert Digest(str(digest)) == digest
    assert (digest.algorithm, len(digest.hex), digest.short) == (algorithm, length, digest.hex[:12])
    assert verify(b"content", digest) == b"content"


def test_a_digest_is_a_string() -> None:
    digest = Digest(EMPTY)

    assert digest == EMPTY == Digest.of(b"")
    assert hash(digest) == hash(EMPTY)
    assert Digest(digest) is digest
    assert type(pickle.loads(pickle.dumps(digest))) is Digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        ":" + "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 63 + "٣",
        "SHA256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
        "sha256-" + "a" * 64,
        "sha256:sha256:" + "a" * 64,
        "sha384:" + "a" * 64,
        "sha512:" + "a" * 64,
        "md5:" + "a" * 32,
        "blake3:" + "a" * 64,
        "sha256+b64:" + "a" * 64,
        "../../etc/passwd",
        "sha256:../" + "a" * 61,
    ],
)
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidDigest):
        Digest(text)


def test_an_error_says_what_would_do() -> None:
    with pytest.raises(InvalidDigest, match="algorithm 'md5' is not supported") as caught:
        Digest("md5:" + "a" * 32)
    assert caught.value.remedy == "use one of sha256, sha384, sha512"
    with pytest.raises(InvalidDigest) as caught:
        Digest("nonsense")
    assert caught.value.remedy == "a digest looks like sha256:<64 hex digits>"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha3_256", "nonsense", ""])
def test_no_digest_is_made_that_could_not_be_read_again(algorithm: str) -> None:
    with pytest.raises(InvalidDigest, match="is not supported"):
        Digest.of(b"", algorithm)


@given(st.text(max_size=80) | st.text("sha256:0af+._-\n", max_size=80))
def test_any_text_is_a_digest_or_an_invalid_one(text: str) -> None:
    try:
        digest = Digest(text)
    except InvalidDigest:
        return
    assert digest == text
    assert len(digest.hex) == ALGORITHMS[digest.algorithm]


@given(st.lists(st.binary(max_size=20), max_size=8), st.sampled_from(sorted(ALGORITHMS)), st.booleans())
def test_content_may_be_cut_anywhere(chunks: list[bytes], algorithm: str, sized: bool) -> None:
    whole = b"".join(chunks)
    verifier = Verifier(Digest.of(whole, algorithm), len(whole) if sized else None)

    for chunk in chunks:
        verifier.update(chunk)
    verifier.finish()

    assert verifier.seen == len(whole)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_one_changed_byte_is_noticed(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(DigestMismatch, match="does not match its digest"):
        verify(bytes(damaged), Digest.of(content), len(content))


def test_too_much_is_noticed_as_soon_as_it_comes() -> None:
    verifier = Verifier(Digest.of(b"abc"), 3, "the layer")
    verifier.update(b"ab")

    with pytest.raises(DigestMismatch, match=r"^the layer is larger than it should be \(expected 3 bytes\)$"):
        verifier.update(b"cd")


def test_too_little_is_noticed_at_the_end() -> None:
    verifier = Verifier(Digest.of(b"abc"), 3, "the layer")
    verifier.update(b"ab")

    with pytest.raises(DigestMismatch, match=r"^the layer is not complete \(expected 3 bytes, received 2\)$"):
        verifier.finish()


def test_other_bytes_are_noticed_at_the_end() -> None:
    verifier = Verifier(Digest.of(b"abc"), 3)
    verifier.update(b"abd")

    with pytest.raises(DigestMismatch) as caught:
        verifier.finish()

    assert Digest.of(b"abc") in str(caught.value)
    assert Digest.of(b"abd") in str(caught.value)
    assert caught.value.exit_code == 7


def test_empty_content() -> None:
    Verifier(Digest(EMPTY), 0).finish()
    with pytest.raises(DigestMismatch, match="larger"):
        Verifier(Digest(EMPTY), 0).update(b"x")
