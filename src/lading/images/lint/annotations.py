"""Rules about annotations: the reserved keys and the form of their values (image-spec annotations)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from lading.errors import LadingError
from lading.images.lint.codes import Finding
from lading.images.lint.findings import entry_of, finding
from lading.images.lint.gather import Facts, Part
from lading.model.digest import Digest
from lading.model.reference import Reference

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_LICENSES = re.compile(r"[A-Za-z0-9.+:() -]+")
_REF_NAME = re.compile(r"[A-Za-z0-9]+(?:[-._:@/+]{1,2}[A-Za-z0-9]+)*")


def _is_time(value: str) -> bool:
    if not _RFC3339.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper().replace(" ", "T")))
    except ValueError:
        return False
    return True


def _is_digest(value: str) -> bool:
    try:
        Digest(value)
    except LadingError:
        return False
    return True


def _is_reference(value: str) -> bool:
    try:
        Reference.parse(value)
    except LadingError:
        return False
    return True


def _is_anything(_: str) -> bool:
    return True


_IMAGE = "org.opencontainers.image."
_FORMS: dict[str, tuple[str, Callable[[str], bool]]] = {
    f"{_IMAGE}created": ("a time as in RFC 3339, such as 2026-01-31T12:00:00Z", _is_time),
    f"{_IMAGE}url": ("a URL", lambda value: bool(_URL.fullmatch(value))),
    f"{_IMAGE}documentation": ("a URL", lambda value: bool(_URL.fullmatch(value))),
    f"{_IMAGE}source": ("a URL", lambda value: bool(_URL.fullmatch(value))),
    f"{_IMAGE}licenses": ("an SPDX license expression", lambda value: bool(_LICENSES.fullmatch(value))),
    f"{_IMAGE}base.digest": ("a digest", _is_digest),
    f"{_IMAGE}base.name": ("a reference", _is_reference),
    f"{_IMAGE}ref.name": ("a tag or name", lambda value: bool(_REF_NAME.fullmatch(value))),
    **{
        f"{_IMAGE}{name}": ("text", _is_anything)
        for name in ("authors", "version", "revision", "vendor", "title", "description")
    },
    "io.github.containers.compression.zstd": ("true, or absent", lambda value: value == "true"),
}
_RESERVED = "org.opencontainers."


def check_annotations(facts: Facts) -> Iterator[Finding]:
    """Reserved annotations of a manifest, of a list's entries and of the manifests they lead to."""
    yield from _check(facts.manifest.annotations, facts.name, None)
    for part in facts.parts:
        if part.manifest is not facts.manifest:
            yield from check_entry_annotations(part)


def check_entry_annotations(part: Part) -> Iterator[Finding]:
    """Reserved annotations of one entry of a list, and of the manifest it leads to."""
    yield from _check(part.entry.annotations, entry_of(part), part)
    if part.manifest is not None:
        inside = {k: v for k, v in part.manifest.annotations.items() if part.entry.annotations.get(k) != v}
        yield from _check(inside, entry_of(part), part)


def _check(annotations: Mapping[str, str], where: str, part: Part | None) -> Iterator[Finding]:
    for key, value in annotations.items():
        if not value:
            continue  # Build tools write what they were not told as empty: that is how they leave it out.
        form = _FORMS.get(key)
        if form is not None:
            expected, is_valid = form
            if not is_valid(value):
                excerpt = value if len(value) <= 60 else f"{value[:60]}…"
                yield finding("LAD501", f"{where}: {key} is {excerpt!r}, and should be {expected}.", part)
        elif key.startswith(_RESERVED) and not key.startswith("org.opencontainers.referrers."):
            message = f"{where}: {key} is under a name that is reserved, and the specification does not have it."
            yield finding("LAD501", message, part)
