"""Tags that are made of a digest, and the tags that a misspelt one may stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lading.model.digest import Digest
from lading.model.reference import is_tag

_NOT_TAG = r"[^A-Za-z0-9._-]"
_FALLBACK = r"(?:sha256|sha384|sha512)-[0-9a-f]{64}"
_DIGEST_TAG = r"(sha256|sha384|sha512)-([0-9a-f]{64,128})(\..+)?"
COSIGN_KINDS = ("sig", "att", "sbom")
"""What cosign's tags end with: signatures, attestations, SBOMs."""


def nearest(wanted: str, tags: Iterable[str], count: int = 3) -> list[str]:
    """The tags that are spelled most like another one, the most similar first.

    Args:
        wanted: the tag that was asked for, and is not there.
        tags: those that are there.
        count: how many to give at most.
    """
    from difflib import get_close_matches

    return get_close_matches(wanted, list(tags), n=count, cutoff=0.5)


def tag_in(name: str) -> str | None:
    """The tag in a name of any style: `v1`, `app:v1`, `registry:5000/app:v1`; None where it has none, or a digest."""
    last = name.rpartition("/")[2]
    tag = last.rpartition(":")[2]
    return tag if is_tag(tag) and "@" not in name and (":" in last or "/" not in name) else None


def fallback_tag(digest: Digest) -> str:
    """The tag that lists a subject's referrers (distribution-spec §Referrers Tag Schema)."""
    return re.sub(_NOT_TAG, "-", f"{digest.algorithm[:32]}-{digest.hex[:64]}")


def cosign_tags(digest: Digest) -> list[str]:
    """The tags by which cosign finds a digest's signatures, attestations and SBOMs."""
    return [f"{digest.algorithm}-{digest.hex}.{kind}" for kind in COSIGN_KINDS]


def is_fallback(tag: str) -> bool:
    """Whether a tag is that of a list of referrers; see `fallback_tag`."""
    return re.fullmatch(_FALLBACK, tag) is not None


def subject_of(tag: str) -> Digest | None:
    """The digest that a tag like `sha256-….sig` is made of; None for every other tag."""
    match = re.fullmatch(_DIGEST_TAG, tag)
    if match is None or len(match[2]) != {"sha256": 64, "sha384": 96, "sha512": 128}[match[1]]:
        return None
    return Digest(f"{match[1]}:{match[2]}")
