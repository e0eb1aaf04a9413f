"""`lading lint`: what is wrong with an image or a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, formats

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.drafts.draft import Draft
    from lading.images.lint import Finding, LintReport, Severity


@click.command(cls=Command, short_help="Say what is wrong with an image or a list")
@click.argument("references", type=values.location, nargs=-1, metavar="REFERENCE...")
@click.option("--against", metavar="REF", help="Say which platforms of REF, the last release, are missing.")
@click.option("--select", multiple=True, metavar="CODE", help="Only these; LAD1 is all that start so. Repeatable.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Not these. Repeatable.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "note", "never"]),
    default="error",
    help="What makes the exit code 1, or anything worse.  [default: error]",
)
@click.option("--remote", is_flag=True, help="Look at the registry's even if there is a local list of this name.")
@click.option("--explain", metavar="CODE", help="Print what a code means, and end.")
@formats("github", "sarif")
@common()
def lint(
    options: Options,
    references: tuple[str, ...],
    against: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str,
    remote: bool,
    explain: str | None,
    format_: str,
) -> None:
    """Say what is wrong with an image, an index or a draft, or will surprise whoever pulls it.

    REFERENCE is a draft, a reference or any other location; `-` reads
    references from standard input, one a line.

    \b
    lading lint reg.example/app:1.4
    lading lint reg.example/app:1.5 --against reg.example/app:1.4
    """
    from lading.cli.findings import explained
    from lading.cli.output import say

    if explain is not None:
        say(*explained(explain))
        return
    if not references:
        raise click.UsageError("Missing argument 'REFERENCE'")
    asked = _Asked(options, against, select, ignore, None if fail_on == "never" else fail_on, remote, format_)  # type: ignore[arg-type]
    code = _several(asked, references) if values.are_several(references) else _one(asked, references[0])
    if code:
        raise click.exceptions.Exit(code)


class _Asked(NamedTuple):
    """What is asked of each reference."""

    options: Options
    against: str | None
    select: tuple[str, ...]
    ignore: tuple[str, ...]
    fail_on: Severity | None
    remote: bool
    format: str

    def draft(self, reference: str) -> Draft | None:
        """The local list of this name, if that is what is meant."""
        from lading.cli.drafts import local_list

        return None if self.remote else local_list(reference)

    async def look(self, client: AsyncClient, what: Any, shown: _Shown | None = None) -> LintReport:
        """Look at one."""
        return await client.lint(
            what,
            against=self.against,
            select=self.select,
            ignore=self.ignore,
            on_finding=shown.finding if shown else None,
            on_progress=shown.progress if shown else None,
        )

    def told(self, report: LintReport, *, is_draft: bool) -> int:
        """Say what else there is to know of a report that was printed; the exit code that it makes."""
        if self.format == "text" and not is_draft and any("lading manifest " in one.remedy for one in report.findings):
            self.options.note(_where_to_mend(report.reference))
        return int(report.fails(self.fail_on))


def _one(asked: _Asked, reference: str) -> int:
    """Look at one reference, and print what is found as it is found, if that is much."""
    from lading.cli.findings import worded_report
    from lading.cli.output import emit, say
    from lading.errors import LadingError

    options, format_ = asked.options, asked.format
    draft = asked.draft(reference)
    shown = _Shown(options, format_, is_draft=draft is not None)
    what = reference if draft is None else draft
    try:
        report = options.run(lambda client: asked.look(client, what, shown))
    except LadingError:
        found = shown.flush()
        if found and format_ not in ("text", "github"):
            # Whoever reads the document gets what was found all the same, and the exit code says that it is not all.
            partial = worded_report(_partial(reference, found), is_draft=draft is not None)
            _print_as(format_, partial) if format_ == "sarif" else emit(partial, format_, list)
        raise
    report = worded_report(report, is_draft=draft is not None)
    if draft is not None:
        options.note(f"{report.reference} is a local list; for the registry's: --remote")
    if format_ in ("github", "sarif"):
        if not shown.is_streaming:
            _print_as(format_, report)
    elif not shown.is_streaming:
        emit(report, format_, lambda: text_of(report, quiet=options.quiet))
    elif not options.quiet:
        say(_summary(report))
    return asked.told(report, is_draft=draft is not None)


def _several(asked: _Asked, references: tuple[str, ...]) -> int:
    """Look at several references; each is printed when all of it is known."""
    from lading.cli.findings import worded_report
    from lading.cli.output import emit, paint
    from lading.cli.several import for_each

    printed: list[LintReport] = []

    async def look(client: AsyncClient, reference: str) -> tuple[LintReport, bool]:
        draft = asked.draft(reference)
        report = await asked.look(client, reference if draft is None else draft)
        return worded_report(report, is_draft=draft is not None), draft is not None

    def show(_: str, found: tuple[LintReport, bool]) -> int:
        report, is_draft = found
        printed.append(report)
        if asked.format == "github":
            _print_as("github", report)
        elif asked.format != "sarif":
            lines = text_of(report, quiet=asked.options.quiet)
            # What was found nothing of, its own line says.
            head = [paint(report.reference, "cyan")] if report.findings else []
            indent = "  " if head else ""
            emit(report, asked.format, lambda: [*head, *(f"{indent}{line}" for line in lines)], is_line=True)
        return asked.told(report, is_draft=is_draft)

    code = for_each(asked.options, references, look, show)
    if asked.format == "sarif" and printed:
        _print_as("sarif", *printed)
    return code


class _Shown:
    """Findings as they are shown: worst first at the end; of a long list, and where it breaks off, as they came.

    Args:
        options: the common flags.
        format: what `--format` says; those that are one document have all findings at the end.
        is_draft: whether they are about a local list.
    """

    def __init__(self, options: Options, format: str, *, is_draft: bool) -> None:
        from lading.cli.progress import Count

        self._format = format
        self._is_draft = is_draft
        self._held: list[Finding] = []
        self._count = Count("entries read", quiet=options.quiet or format != "text")
        self.is_streaming = False

    def progress(self, read: int, listed: int) -> None:
        """So many entries have been read, of so many."""
        if listed > _LONG and not self.is_streaming and self._format in ("text", "github"):
            self.flush()
            self.is_streaming = True
        self._count.tell(read, listed)

    def finding(self, found: Finding) -> None:
        """A finding came."""
        if self.is_streaming:
            self._print(found)
        else:
            self._held.append(found)

    def flush(self) -> tuple[Finding, ...]:
        """Print what is held, in lines if that is what is printed; returns it, the worst first."""
        from lading.images.lint import SEVERITIES

        held = tuple(sorted(self._held, key=lambda found: (SEVERITIES.index(found.severity), found.code)))
        if self._format in ("text", "github"):
            for found in held:
                self._print(found)
        self._held.clear()
        return held

    def _print(self, found: Finding) -> None:
        from lading.cli.findings import lines_of, worded_finding
        from lading.cli.output import say
        from lading.images.lint.formats import github_command

        worded = worded_finding(found, is_draft=self._is_draft)
        say(*(lines_of(worded) if self._format == "text" else [github_command(worded)]))


_LONG = 1_000
"""How many entries a list has at most whose findings are put in order before they are printed."""


def _partial(reference: str, found: tuple[Finding, ...]) -> LintReport:
    """The report of what was found before an error."""
    from lading.images.lint import LintReport
    from lading.stores.location import parse_location

    name = str(parse_location(reference).full())
    return LintReport(reference=name, digest=None, findings=found, is_whole=False)


def _where_to_mend(name: str) -> str:
    from lading.cli.wording import typed
    from lading.stores.location import parse_location

    if parse_location(name).is_registry:
        return f"these commands change a local list; make it: lading manifest pull {typed(name)}"
    return f"these commands change a local list; make it: lading manifest create REFERENCE {typed(name)}"


def _print_as(format: str, report: LintReport, *more: LintReport) -> None:
    from lading.cli.findings import worded_code
    from lading.cli.output import emit, say
    from lading.images.lint import CODES
    from lading.images.lint.formats import to_github, to_sarif

    if format == "sarif":
        codes = {name: worded_code(code) for name, code in CODES.items()}
        emit(to_sarif(report, codes, more=more), "json", str)
    else:
        say(*to_github(report))


def text_of(report: LintReport, *, quiet: bool = False) -> list[str]:
    """The findings for people.

    Args:
        report: what was found.
        quiet: without the last line, which counts them.
    """
    from lading.cli.findings import lines_of

    lines = [line for found in report.findings for line in lines_of(found)]
    if not quiet:
        lines.append(_summary(report))
    return lines


def _summary(report: LintReport) -> str:
    from lading.cli.output import count
    from lading.images.lint import SEVERITIES

    counts = [count(report.count(severity), severity) for severity in SEVERITIES if report.count(severity)]
    return ", ".join(counts) if counts else f"{report.reference}: nothing found"
