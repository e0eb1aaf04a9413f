"""Writes `docs/lint/`: a page for each thing that `lading lint` or `lading validate` can find, and one that lists them.

    python docs/describe_lint.py

The words are those of `lading.images.lint.codes` and `lading.images.validation.codes`, and the commands those of
`lading.cli.findings`.
"""

from __future__ import annotations

from pathlib import Path

from lading.cli.findings import worded_code
from lading.images.lint import CODES, Code
from lading.images.validation.codes import ALL, DAMAGE
from lading.images.validation.codes import CODES as MORE

FOLDER = Path(__file__).parent / "lint"
ROOMS = {
    "1": "Which entry is pulled",
    "2": "Platforms",
    "3": "Content",
    "4": "Form",
    "5": "Annotations",
    "6": "What breaks clients",
    "7": "Compared with another release",
    "8": "What only `lading validate` finds, which reads every byte",
}
EVERY = CODES | MORE


def pages() -> dict[str, str]:
    """Every page: its file's name and its text."""
    found = {f"{code.code}.md": _page(code) for code in EVERY.values()}
    return {"README.md": _list(), **found}


def _page(code: Code) -> str:
    return f"""\
# {code.code}: {code.title}

Severity: {code.severity}{_validated(code)}

{code.why}

## What to do

{worded_code(code).remedy}

Where it is meant so: `lading {"validate" if code.code in MORE else "lint"} REF --ignore {code.code}`.
"""


def _validated(code: Code) -> str:
    """What it is to `lading validate`."""
    if code.code not in ALL:
        return ""
    what = "damage" if code.code in DAMAGE else "told" if code.code == "LAD303" else "a disagreement"
    return f". To `lading validate`: {what}"


def _list() -> str:
    lines = [
        "# What `lading lint` and `lading validate` find",
        "",
        "To `lint`, errors make the exit code 1 (`--fail-on` changes that). To `validate`, damage makes it 7, and a",
        "disagreement 1. `--explain CODE` of both prints a page.",
        "",
        "Findings are printed when all has been read, the worst first. Of a list that leads to more than 1,000",
        "entries, `--format text` and `github` print each finding as soon as it is found: what one entry has when that",
        "is read, what only the whole shows at the end, and the count last. What was found before an error is printed,",
        "too. Every few seconds stderr has how many entries have been read. A program is told of each finding as it",
        "comes by `client.lint(…, on_finding=…)`.",
    ]
    for number, title in ROOMS.items():
        codes = [code for code in EVERY.values() if code.code[3] == number]
        lines += ["", f"## {title}", "", "| code | severity | what |", "|---|---|---|"]
        lines += [f"| [{code.code}]({code.code}.md) | {code.severity} | {code.title} |" for code in codes]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
