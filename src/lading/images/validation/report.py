"""What validation tells: a report for each reference, and what all of them come to. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import msgspec

from lading.images.lint import SEVERITIES, addressed
from lading.images.lint.codes import Finding
from lading.images.validation.codes import DAMAGE, DISAGREEMENT
from lading.model.digest import Digest
from lading.model.document import Result

Verdict = Literal["whole", "disagrees", "damaged"]
"""`damaged`: something is missing, malformed or not what its digest says. `disagrees`: all of it is there as its
digests say, and one thing says other than another."""
VERDICTS: tuple[Verdict, ...] = ("damaged", "disagrees", "whole")
"""Worst first."""


class ValidationReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one reference and everything that it leads to."""

    document_fields: ClassVar[tuple[str, ...]] = ("reference", "digest", "verdict", "findings")

    reference: str
    digest: Digest | None
    """Of its manifest; None where that cannot be told."""
    findings: tuple[Finding, ...] = ()
    """Damage first, then disagreements, then what is only told."""

    @property
    def verdict(self) -> Verdict:
        """The worst of what was found."""
        if self.damage:
            return "damaged"
        return "disagrees" if self.disagreements else "whole"

    @property
    def damage(self) -> tuple[Finding, ...]:
        """What is missing, malformed, or not the bytes that a digest names."""
        return tuple(found for found in self.findings if found.code in DAMAGE)

    @property
    def disagreements(self) -> tuple[Finding, ...]:
        """What is whole, and says other than something else does."""
        return tuple(found for found in self.findings if found.code in DISAGREEMENT)


class Validation(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was found about all references, with what was read for it: of what several have, each only once."""

    document_fields: ClassVar[tuple[str, ...]] = ("verdict", "is_fast", "manifests", "blobs", "bytes", "reports")

    reports: tuple[ValidationReport, ...]
    """In the order in which the references were given."""
    is_fast: bool = False
    """Whether layers were only asked for, and not read."""
    manifests: int = 0
    """How many manifests were read, different ones."""
    blobs: int = 0
    """How many blobs were read or asked for, different ones."""
    bytes: int = 0
    """The bytes of the blobs that were read."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all reports."""
        found = {report.verdict for report in self.reports}
        return next((verdict for verdict in VERDICTS if verdict in found), "whole")


def report_of(name: str, digest: Digest | None, found: Iterable[Finding], wanted: frozenset[str]) -> ValidationReport:
    """The report about one reference: each finding once, the worst first, those about one thing together.

    Args:
        name: what the reference is called.
        digest: of its manifest.
        found: what was found.
        wanted: the codes that are told.
    """
    each = {(item.code, item.message, item.digest): addressed(item, name) for item in found if item.code in wanted}
    findings = sorted(each.values(), key=lambda item: (_rank(item), SEVERITIES.index(item.severity), item.code))
    return ValidationReport(reference=name, digest=digest, findings=tuple(findings))


def _rank(found: Finding) -> int:
    return 0 if found.code in DAMAGE else 1 if found.code in DISAGREEMENT else 2
