"""What the command line says of findings: the commands that mend them, for each step and each code."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from lading.cli.wording import typed
from lading.images.lint import CODES, Code, Finding, LintReport

REMEDIES = {
    "LAD101": "Keep one entry for each platform: `lading index remove LIST IMAGE`.",
    "LAD102": "Correct its platform, or remove it: `lading index remove LIST IMAGE`.",
    "LAD103": "See who takes what: `lading resolve LIST --platform OS/ARCH --all-clients`; make the platforms exact.",
    "LAD106": "Say what it is for: `lading index annotate --os OS --arch ARCH LIST IMAGE`.",
    "LAD202": "Correct it with `lading index annotate --os OS --arch ARCH LIST IMAGE`.",
    "LAD203": "Name the variant: `lading index annotate --variant v7 LIST IMAGE`.",
    "LAD205": "Say it: `lading index annotate --os-version 10.0.… LIST IMAGE`.",
    "LAD304": "Build the list again from what is there: `lading index create LIST IMAGE…`.",
    "LAD401": "Bring everything to one family: `lading copy --to oci LIST DST` (digests change, signatures break).",
    "LAD404": "List the images themselves: `lading index add LIST REF` takes apart a list that REF names.",
    "LAD405": "Build the list again from what is there: `lading index create LIST IMAGE…`.",
    "LAD602": "Say what it is for: `lading index annotate --os OS --arch ARCH LIST IMAGE`.",
    "LAD302": "Push the image again: clients send what is lacking; or: `lading copy --verify SRC LIST`.",
    "LAD701": "Build and add it, or say that it is dropped and stop comparing: `--ignore LAD701`.",
    "LAD801": "Write it there anew, from where it is whole: `lading copy --verify SRC LIST`.",
    "LAD805": "Convert the layers to the compression that they have: `lading copy --compression gzip LIST DST`.",
}
"""By code. `LIST` stands for what was looked at, `IMAGE` for the entry."""


_LOCAL = {
    "lading index create LIST": "lading manifest create --replace LIST",
    "lading index ": "lading manifest ",
}
"""What the commands are called that change a local list."""


def worded_code(code: Code) -> Code:
    """A code as `--explain`, SARIF and the pages have it."""
    return replace(code, remedy=REMEDIES.get(code.code, code.remedy))


def worded_report(report: LintReport, *, is_draft: bool = False) -> LintReport:
    """A report whose remedies name the commands; see `worded_finding`."""
    return replace(report, findings=tuple(worded_finding(found, is_draft=is_draft) for found in report.findings))


def worded_finding(found: Finding, *, is_draft: bool = False) -> Finding:
    """A finding whose remedy names the command.

    Args:
        found: the finding.
        is_draft: whether it is about a local list, which has commands of its own.
    """
    of = found.fields
    if found.action is not None:
        command = _command(found.action, of) if is_draft else _command_in_place(found.action, of, found.digest or "")
        return replace(found, remedy=f"{found.remedy}: {command}")
    code = code_of(found.code)
    remedy = REMEDIES.get(found.code)
    if remedy is None or found.remedy != _inner(code.remedy):
        return found
    text = _inner(remedy)
    for ours, local in _LOCAL.items() if is_draft else ():
        text = text.replace(ours, local)
    if "compression" in of:
        text = text.replace("--compression gzip", f"--compression {of['compression']}")
    name = _local(of["list"]) if "lading manifest " in text else typed(of["list"])
    return replace(found, remedy=text.replace("LIST", name).replace("IMAGE", of["image"] or "IMAGE"))


def code_of(name: str) -> Code:
    """A code of lint, or one that only validation finds.

    Raises:
        UsageError: there is no such code.
    """
    from lading.errors import UsageError
    from lading.images.validation.codes import CODES as MORE

    code = CODES.get(name.upper()) or MORE.get(name.upper())
    if code is None:
        raise UsageError(f"there is no finding {name!r}", remedy=f"there are {', '.join([*CODES, *MORE])}")
    return code


def explained(name: str) -> list[str]:
    """What a code means, as lines.

    Raises:
        UsageError: there is no such code.
    """
    from textwrap import wrap

    code = worded_code(code_of(name))
    texts = (f"{code.code} {code.severity}: {code.title}", code.why, code.remedy)
    lines = [["", *wrap(text, 80, break_on_hyphens=False, break_long_words=False)] for text in texts]
    return [line for paragraph in lines for line in paragraph][1:]


def lines_of(found: Finding) -> list[str]:
    """A finding, and below it what to do."""
    from lading.cli.output import paint

    colour = {"error": "red", "warning": "yellow", "note": "cyan"}[found.severity]
    head = f"{found.code} {paint(found.severity.ljust(7), colour)}  "
    return [f"{head}{found.message}", f"{' ' * 16}{found.remedy}"]


def _local(name: str) -> str:
    """What a list is called where `lading manifest` changes it: a list that is in no registry has no such name yet."""
    from lading.stores.location import parse_location

    return typed(name) if parse_location(name).is_registry else "REFERENCE"


def _inner(sentence: str) -> str:
    """A sentence as a part of another one."""
    text = sentence.replace("`", "")
    return text[:1].lower() + text[1:].rstrip(".")


def _command_in_place(action: str, of: dict[str, Any], digest: str) -> str:
    """The command that takes a step on an index where it is."""
    name, short = typed(of["list"]), digest.partition(":")[2][:12]
    if action == "annotate":
        return f"lading index annotate {_annotations(of)} {name} {short or 'ENTRY'}"
    if action == "remove":
        return f"lading index remove {name} {short or 'ENTRY'}"
    if action == "add":
        return f"lading index add {name} {of['image']}, then lading index remove {name} {short}"
    return _command(action, of)


def _annotations(of: dict[str, Any]) -> str:
    options = {"os": "--os", "architecture": "--arch", "variant": "--variant", "clear": "--clear"}
    options["os_version"] = "--os-version"
    return " ".join(f"{option} {typed(of[field])}" for field, option in options.items() if field in of)


def _command(action: str, of: dict[str, Any]) -> str:
    """The command that takes a step on a local list, or on any."""
    name = _local(of["list"])
    where = f"{name} {of['image'] or 'IMAGE'}"
    if action == "annotate":
        return f"lading manifest annotate {_annotations(of)} {where}"
    if action == "resolve":
        return f"lading resolve {typed(of['list'])} --platform {typed(of['platform'])} --all-clients"
    if action == "pull and push":
        begin = f"pull {name}" if name == typed(of["list"]) else f"create {name} {typed(of['list'])}"
        return f"lading manifest {begin}, then lading manifest push {name}"
    return f"lading manifest {action} {where}"
