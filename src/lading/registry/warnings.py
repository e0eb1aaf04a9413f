"""What a registry warns of, in the `Warning` header fields of its answers (distribution-spec §Warnings)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lading.registry.failures import clean
from lading.registry.http.transport import UNREADABLE, Response

_LISTED = r"(?:\"(?:\\.|[^\"\\])*\"|[^\",])+"
_WARNING = r"\s*299\s+\S+\s+\"((?:\\.|[^\"\\])*)\""


def texts_of(response: Response) -> Iterator[str]:
    """The texts of an answer's `Warning` fields, each of which may list several (RFC 7234 §5.5), fit to be printed."""
    for value in response.headers.getall("warning"):
        if value == UNREADABLE:
            yield "the registry sent a warning that is not ASCII text"
        for listed in re.findall(_LISTED, value):
            if (match := re.match(_WARNING, listed)) is not None:
                yield clean(re.sub(r"\\(.)", r"\1", match[1]), 1000)
