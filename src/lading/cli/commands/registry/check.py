"""`lading registry check`: how a registry is reached, and what it supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.registry.diagnose.check import Checkup, Examined


@click.command(cls=Command, short_help="Examine how a registry is reached and what it supports")
@click.argument("what", type=values.location, metavar="REGISTRY[/REPOSITORY]")
@click.option("--write", is_flag=True, help="Try in REPOSITORY what reading cannot tell: uploads, which are cancelled.")
@format_option
@common(described=True)
def check(options: Options, what: str, write: bool, format_: str) -> None:
    """Examine a registry: address, TLS, login, clock, and what it supports.

    It reads only, unless --write says otherwise; nothing of what is written stays. It ends with 0, or with the
    exit code of the first failure.

    \b
    lading registry check ghcr.io
    lading registry check localhost:5000/team/app --write
    """
    from lading.cli.output import emit
    from lading.cli.wording import remedied

    report = options.run(lambda client: client.registries.check(what, write=write))
    report.findings = [remedied(finding) for finding in report.findings]
    emit(report, format_, lambda: _checkup(report))
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _checkup(report: Checkup) -> list[str]:
    from lading.cli.output import paint

    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    width = max(len(finding.name) for finding in report.findings)

    def lines(finding: Examined) -> list[str]:
        state = finding.state.ljust(8)
        colour = colours.get(finding.state)
        head = f"  {finding.name.ljust(width)}  {paint(state, colour) if colour else state} {finding.said}"
        return [head, *([f"  {'':{width}}           {finding.remedy}"] if finding.remedy else [])]

    return [report.registry, *(line for finding in report.findings for line in lines(finding))]
