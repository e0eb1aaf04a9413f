"""What an error says on the command line. The library names no flags and no commands; here they are, for each code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lading.errors import LadingError

Words = str | Callable[[Mapping[str, Any]], str | None]
"""A text with `{field}`s of an error in it, or what makes one of them."""


def worded(error: LadingError) -> list[str]:
    """An error in up to three lines: what happened, why, and what to do next."""
    message = _said(_MESSAGES, error) or error.message
    remedy = _said(_REMEDIES, error) or error.remedy
    return [line for line in (message, error.cause, remedy) if line]


def _said(words: Mapping[str, Words], error: LadingError) -> str | None:
    wanted = words.get(error.code)
    return wanted.format_map(error.fields) if isinstance(wanted, str) else wanted and wanted(error.fields)


_MESSAGES: dict[str, Words] = {}

_REMEDIES: dict[str, Words] = {
    # Places
    "not-in-a-registry": "bring it there: lading push {location} REFERENCE",
    "read-only-location": "write another: lading copy {location} {kind}:FILE",
    "tag-not-found": lambda of: None if of["nearest"] else f"see them: lading tags {of['store']}",
    "damaged-blob": "copy it here again with --verify, and it is replaced",
    "index-in-docker-archive": "copy the image for one, with --platform, or write an oci-archive",
    # Manifests
    "docker-schema-1": "push the image again with a current client, or convert it with skopeo copy --format v2s2",
    "docker-list-annotations": "make it an OCI index: --type oci",
}
