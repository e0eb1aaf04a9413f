"""Tags that are made of a digest, and tags that somebody may have meant."""

import time

import pytest

from lading.model.digest import Digest
from lading.model.tags import fallback_tag, is_fallback, nearest, subject_of


def test_nearest() -> None:
    assert nearest("3.2O", ["3.19", "3.20", "latest"])[0] == "3.20"
    assert nearest("lates", ["latest", "edge"]) == ["latest"]
    assert nearest("lates", []) == []
    assert nearest("", ["a"]) == []
    assert len(nearest("1.0", [f"1.{n}" for n in range(50)], 4)) == 4


def test_nearest_among_many() -> None:
    started = time.process_time()
    assert nearest("main-4f5e6d7c8b9b", [f"main-{n * 7919:012x}" for n in range(5000)])
    assert time.process_time() - started < 5


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_tags_made_of_a_digest(algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)
    tag = fallback_tag(digest)
    assert tag == f"{algorithm}-{digest.hex[:64]}"
    assert is_fallback(tag)
    signature = f"{algorithm}-{digest.hex}.sig"
    assert subject_of(signature) == digest
    for other in (signature, "latest", "sha256-1234", f"{tag[:-1]}g"):
        assert not is_fallback(other)
    assert subject_of("sha256-1234.sig") is None
