"""Findings in the forms that other programs read: GitHub's workflow commands and SARIF 2.1.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from lading._version import __version__
from lading.images.lint import CODES, Code, Finding, LintReport

_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


def to_github(report: LintReport) -> list[str]:
    """Workflow commands, one line for each finding; GitHub Actions shows them as annotations."""
    return [github_command(found) for found in report.findings]


def to_sarif(
    report: LintReport, codes: Mapping[str, Code] = CODES, *, more: Sequence[LintReport] = ()
) -> dict[str, Any]:
    """A SARIF 2.1.0 log with one run, and in it the codes that were found.

    Args:
        report: what was found.
        codes: what is said of each code.
        more: what was found in others, in the same run.
    """
    reports = [report, *more]
    used = [codes[code] for code in sorted({found.code for one in reports for found in one.findings})]
    rules = [
        {
            "id": code.code,
            "shortDescription": {"text": code.title},
            "fullDescription": {"text": code.why},
            "help": {"text": code.remedy},
            "defaultConfiguration": {"level": code.severity},
        }
        for code in used
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                **({} if all(one.is_whole for one in reports) else {"invocations": [{"executionSuccessful": False}]}),
                "tool": {"driver": {"name": "lading", "version": __version__, "rules": rules}},
                "results": [_result(one, found) for one in reports for found in one.findings],
            }
        ],
    }


def _result(report: LintReport, found: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(report.reference, safe="/@")}}}
    if found.digest:
        whole = f"{report.reference}@{found.digest}"
        location["logicalLocations"] = [{"name": found.digest, "kind": "object", "fullyQualifiedName": whole}]
    return {
        "ruleId": found.code,
        "level": found.severity,
        "message": {"text": f"{found.message} {found.remedy}"},
        "locations": [location],
        # What makes two findings of two runs the same one.
        "partialFingerprints": {"lading/v1": f"{found.code}:{found.platform or ''}:{found.digest or ''}"},
    }


def github_command(found: Finding) -> str:
    """The workflow command of a finding of a report."""
    title = _property(f"{found.code} {found.fields['list']}")
    return f"::{_GITHUB[found.severity]} title={title}::{_data(f'{found.message} {found.remedy}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
