"""Tags: choosing and ordering them, and those that are made of a digest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from lading.model.digest import Digest

TagOrder = Literal["registry", "name", "semver"]
TAG_ORDERS: tuple[TagOrder, ...] = ("registry", "name", "semver")

_VERSION = r"v?([0-9]+(?:\.[0-9]+)*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+|_[0-9A-Za-z._-]+)?"
_NOT_TAG = r"[^A-Za-z0-9._-]"
_FALLBACK = r"(?:sha256|sha384|sha512)-[0-9a-f]{64}"
_DIGEST_TAG = r"(sha256|sha384|sha512)-([0-9a-f]{64,128})(\..+)?"
_Key = tuple[object, ...]


def choose(tags: Iterable[str], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
    """The tags that match any of the `include` globs (all, if there are none) and none of the `exclude` globs."""
    return [
        tag
        for tag in tags
        if (not include or any(fnmatchcase(tag, glob) for glob in include))
        and not any(fnmatchcase(tag, glob) for glob in exclude)
    ]


def order(tags: Iterable[str], by: TagOrder = "registry") -> list[str]:
    """Sort tags.

    Args:
        tags: the tags in the registry's order.
        by: `registry` keeps that order, `name` is alphabetical, `semver` puts versions in ascending order of
            precedence (semver.org §11; a leading `v` and missing parts are allowed) after all that are no versions.
    """
    if by == "registry":
        return list(tags)
    return sorted(tags, key=version_key if by == "semver" else None)


def version_key(tag: str) -> _Key:
    """A sort key: tags that are no versions first by name, then versions by precedence."""
    match = re.fullmatch(_VERSION, tag)
    if match is None:
        return (0, (), (), tag)
    numbers = [_number(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == _ZERO:
        numbers.pop()
    # A pre-release comes before its release; its numeric identifiers compare as numbers, and before words.
    pre: tuple[object, ...] = (1,)
    if match[2] is not None:
        pre = (0, *((0, _number(part)) if part.isdigit() else (1, part) for part in match[2].split(".")))
    return (1, tuple(numbers), pre, tag)


def _number(digits: str) -> tuple[int, str]:
    # In the order of the numbers, without making any: Python refuses those of over 4300 digits.
    digits = digits.lstrip("0")
    return len(digits), digits


_ZERO = _number("0")


def nearest(wanted: str, tags: Iterable[str], count: int = 3) -> list[str]:
    """The tags most like `wanted`, best first: for telling somebody what they may have meant."""
    from difflib import get_close_matches

    return get_close_matches(wanted, list(tags), n=count, cutoff=0.5)


def highest(tags: Iterable[str], count: int) -> list[str]:
    """The `count` highest versions among these tags, highest first; tags that are no versions are left out."""
    versions = [tag for tag in tags if re.fullmatch(_VERSION, tag)]
    return sorted(versions, key=version_key, reverse=True)[:count]


def fallback_tag(digest: Digest) -> str:
    """The tag that lists a subject's referrers (distribution-spec §Referrers Tag Schema)."""
    return re.sub(_NOT_TAG, "-", f"{digest.algorithm[:32]}-{digest.hex[:64]}")


def cosign_tags(digest: Digest) -> list[str]:
    """The tags by which cosign finds a digest's signatures, attestations and SBOMs."""
    return [f"{digest.algorithm}-{digest.hex}.{kind}" for kind in ("sig", "att", "sbom")]


def is_fallback(tag: str) -> bool:
    """Whether a tag is that of a list of referrers; see `fallback_tag`."""
    return re.fullmatch(_FALLBACK, tag) is not None


def subject_of(tag: str) -> Digest | None:
    """The digest that a tag like `sha256-….sig` is made of; None for every other tag."""
    match = re.fullmatch(_DIGEST_TAG, tag)
    if match is None or len(match[2]) != {"sha256": 64, "sha384": 96, "sha512": 128}[match[1]]:
        return None
    return Digest(f"{match[1]}:{match[2]}")
