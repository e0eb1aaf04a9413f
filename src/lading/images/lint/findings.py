"""How findings are made and what things are called in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lading.images.lint.codes import CODES, Action, Finding, Severity
from lading.images.lint.gather import Part
from lading.model.digest import Digest
from lading.model.platform import Platform


def finding(
    code: str,
    message: str,
    part: Part | None = None,
    *,
    digest: Digest | None = None,
    severity: Severity | None = None,
    remedy: str | None = None,
    action: Action | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Finding:
    """Make a finding.

    Args:
        code: one of CODES.
        message: what was found, in one or two sentences.
        part: the entry that it is about.
        digest: the manifest or blob that it is about, where that is not the entry.
        severity: by default the code's.
        remedy: by default the code's.
        action: the step that the remedy takes.
        fields: what the step takes.
    """
    kind = CODES[code]
    if digest is None and part is not None:
        digest = part.entry.digest
    return Finding(
        code=code,
        severity=severity or kind.severity,
        message=message,
        remedy=remedy or kind.remedy,
        action=action if remedy else None,
        fields=dict(fields or {}),
        digest=digest,
        platform=str(part.entry.platform) if part is not None and part.entry.platform is not None else None,
    )


def annotate(part: Part, wanted: Platform) -> dict[str, Any]:
    """The step that makes a list say that an entry is for this platform, as `finding` takes it."""
    said = part.entry.platform or Platform()
    changes = {
        "os": wanted.os if wanted.os != said.os else "",
        "architecture": wanted.architecture if wanted.architecture != said.architecture else "",
        "variant": wanted.variant if wanted.variant != said.variant else "",
        "clear": "variant" if said.variant and not wanted.variant else "",
        "os_version": wanted.os_version if wanted.os_version != said.os_version else "",
    }
    return {"action": "annotate", "fields": {name: value for name, value in changes.items() if value}}


def entry_of(part: Part) -> str:
    """What an entry is called: its platform and the start of its digest."""
    name = short(part.entry.digest)
    if part.is_attestation:
        return f"The attestation {name}"
    return f"{part.platform} ({name})" if part.platform is not None else name


def short(digest: object) -> str:
    """The first 12 hexadecimal digits of a digest."""
    return str(digest).partition(":")[2][:12]
