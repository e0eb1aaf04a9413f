"""Lint: what is wrong with an image or a list, or will surprise its users.

`gather_facts` reads what there is to know, the rules look at nothing else; `lint` runs them and sorts what they find.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches

import msgspec

from lading.arguments import several
from lading.errors import UsageError
from lading.images.lint.annotations import check_annotations, check_entry_annotations
from lading.images.lint.codes import CODES, SEVERITIES, Code, Finding, Severity
from lading.images.lint.content import check_content, check_part_content, too_large
from lading.images.lint.entries import check_entries
from lading.images.lint.gather import Facts, OnProgress, Part, gather_facts, listed_facts, platforms_of
from lading.images.lint.platforms import check_entry_platform, check_platforms
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result

__all__ = [
    "CODES",
    "SEVERITIES",
    "Code",
    "Facts",
    "Finding",
    "LintReport",
    "OnFinding",
    "OnProgress",
    "Severity",
    "Telling",
    "addressed",
    "gather_facts",
    "lint",
    "lint_unread",
    "listed_facts",
    "platforms_of",
    "wanted_codes",
]

OnFinding = Callable[[Finding], None]
"""Is told of a finding as soon as it is found."""

_RULES = (check_entries, check_platforms, check_content, check_annotations)
_RULES_OF_ENTRIES = (check_entry_platform, check_entry_annotations)


class LintReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What lint found."""

    reference: str
    digest: Digest | None
    """None in a report of what was found before an error ended it."""
    against: str | None = None
    """What it was compared with."""
    findings: tuple[Finding, ...] = ()
    """Worst first, then by code, then as they stand in the list."""
    is_whole: bool = True
    """Whether all of it was looked at: no error ended it before."""

    def count(self, severity: Severity) -> int:
        """How many findings there are of a severity."""
        return sum(found.severity == severity for found in self.findings)

    def fails(self, fail_on: Severity | None) -> bool:
        """Whether there is a finding of this severity or a worse one; never for None."""
        if fail_on is None:
            return False
        bad = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        return any(found.severity in bad for found in self.findings)


def lint(facts: Facts, *, select: Iterable[str] | str = (), ignore: Iterable[str] | str = ()) -> LintReport:
    """Judge what was read.

    Args:
        facts: what was read.
        select: only these codes, or codes that start so (`LAD1`); all where there are none.
        ignore: not these.

    Raises:
        UsageError: there is no such code.
    """
    found = (item for rule in _RULES for item in rule(facts))
    return _report(facts.name, facts.manifest.digest, facts.against, found, wanted_codes(select, ignore))


def lint_unread(
    name: str, content: Descriptor, *, select: Iterable[str] | str = (), ignore: Iterable[str] | str = ()
) -> LintReport:
    """Judge a manifest that is too large to be read.

    Args:
        name: what it is called.
        content: what is known of it.
        select: as `lint` has it.
        ignore: likewise.
    """
    return _report(name, content.digest, None, [too_large(name, content)], wanted_codes(select, ignore))


def wanted_codes(
    select: Iterable[str] | str, ignore: Iterable[str] | str, codes: Collection[str] = CODES
) -> frozenset[str]:
    """The codes that are selected and not ignored.

    Args:
        select: as `lint` has it.
        ignore: likewise.
        codes: all that there are.

    Raises:
        UsageError: there is no such code.
    """
    return (_codes(select, codes) or frozenset(codes)) - _codes(ignore, codes)


def _report(
    name: str, digest: Digest, against: str | None, found: Iterable[Finding], wanted: frozenset[str]
) -> LintReport:
    """What was found of the wanted codes, each once and in order."""
    each = dict.fromkeys(_Told(addressed(item, name)) for item in found if item.code in wanted)
    order = {severity: number for number, severity in enumerate(SEVERITIES)}
    findings = sorted((told.finding for told in each), key=lambda item: (order[item.severity], item.code))
    return LintReport(reference=name, digest=digest, against=against, findings=tuple(findings))


class Telling:
    """Tells what is found as it is found: each finding that is wanted, once.

    What one entry of a list has is told when that is read; what only the whole shows, when all of it is.

    Args:
        name: what is looked at, as `gather_facts` has it.
        on_finding: is told.
        select: as `lint` has it.
        ignore: likewise.

    Raises:
        UsageError: there is no such code.
    """

    def __init__(
        self, name: str, on_finding: OnFinding, *, select: Iterable[str] | str = (), ignore: Iterable[str] | str = ()
    ) -> None:
        self._name = name
        self._on_finding = on_finding
        self._wanted = wanted_codes(select, ignore)
        self._told: set[_Told] = set()

    def part(self, part: Part, is_entry: bool) -> None:
        """Tell what one part has, as `gather_facts` gives it to its `on_part`."""
        rules = (*(_RULES_OF_ENTRIES if is_entry else ()), check_part_content)
        for found in (item for rule in rules for item in rule(part)):
            if found.code in self._wanted:
                self._tell(addressed(found, self._name))

    def report(self, report: LintReport) -> None:
        """Tell what a report has besides."""
        for found in report.findings:
            self._tell(found)

    def _tell(self, found: Finding) -> None:
        if (told := _Told(found)) not in self._told:
            self._told.add(told)
            self._on_finding(found)


class _Told(msgspec.Struct, frozen=True):
    """A finding, which is found again among many others by its code and message."""

    finding: Finding

    def __hash__(self) -> int:
        return hash((self.finding.code, self.finding.message, self.finding.digest))


def addressed(found: Finding, name: str) -> Finding:
    """A finding that knows the list and the entry, with its remedy as a part of a sentence.

    Args:
        found: the finding.
        name: what was looked at.
    """
    fields = {"list": name, "image": found.digest.partition(":")[2][:12] if found.digest else None}
    remedy = found.remedy.replace("`", "")
    return msgspec.structs.replace(
        found, remedy=remedy[:1].lower() + remedy[1:].rstrip("."), fields=fields | found.fields
    )


def _codes(names: Iterable[str] | str, codes: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for name in several(names):
        meant = {code for code in codes if code.startswith(name.upper())} if name else set()
        if not meant:
            raise UsageError(f"there is no finding {name!r}", remedy=_near(name, codes))
        found |= meant
    return frozenset(found)


def _near(name: str, codes: Collection[str]) -> str:
    close = get_close_matches(name.upper(), codes, n=3)
    return (
        f"the nearest are {', '.join(close)}" if close else "codes look like LAD101; LAD1 stands for all that start so"
    )
