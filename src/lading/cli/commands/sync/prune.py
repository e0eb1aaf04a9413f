"""`lading sync prune`: delete at targets what a mirror file does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli.groups import Command, option
from lading.cli.mirrors import ONLY, lines, tell_troubles
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.mirror.prune import PrunePlan, PruneReport


@click.command(cls=Command, short_help="Delete what a mirror file does not keep")
@click.argument("file", metavar="FILE")
@option("--dry-run", is_flag=True, help="Delete nothing; print what would go.")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@option("--max", metavar="N|P%", help="The most that goes of a repository, in place of the file's.")
@ONLY
@format_option
@common()
def prune(
    options: Options, file: str, dry_run: bool, yes: bool, max: str | None, only: tuple[str, ...], format_: str
) -> None:
    """Delete at the targets of FILE what [mirror.prune] and [[mirror.retain]] do not keep.

    Shows first what goes, and asks. A tag goes only if it still names what was seen, and alone: nothing that another
    tag or an index needs goes with it.

    \b
    lading sync prune mirror.toml --dry-run
    lading sync prune mirror.toml --yes --max 20
    """
    from lading.cli.output import emit, say
    from lading.mirror.prune import planned

    if not (yes or dry_run):
        options.need_somebody("nothing was deleted")
    plan = options.run(lambda client: client.mirror.plan_prune(file, only=only, max=max))
    report = planned(plan)
    if plan.going and not dry_run:
        if not yes:
            say(*_lines(report), err=True)
            options.ask("Delete?", "nothing was deleted")
        report = options.run(lambda client: client.mirror.prune(plan))
    tell_troubles(options, report.failures)
    emit(report, format_, lambda: _lines(report))
    if format_ == "text":
        options.note(_summary(plan, report))
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _lines(report: PruneReport) -> list[str]:
    words = {"planned": "goes", "deleted": "deleted"}
    rows = [[item.target, words[item.outcome], item.because] for item in report.items if item.outcome != "failed"]
    rows += [[f"{item.target}:{item.tag}", "stays", item.because] for item in report.kept]
    return lines(rows)


def _summary(plan: PrunePlan, report: PruneReport) -> str:
    from lading.cli.output import count

    done = sum(item.outcome != "failed" for item in report.items)
    failed = len(report.failures)
    verb = "would go" if report.dry_run else "deleted"
    parts = [f"{count(done, 'tag')} {verb}" if done else f"nothing {'to delete' if not plan.going else 'was deleted'}"]
    parts += [f"{len(report.kept):,} stay"] if report.kept else []
    parts += [f"{failed:,} failed"] if failed else []
    return ", ".join(parts)
