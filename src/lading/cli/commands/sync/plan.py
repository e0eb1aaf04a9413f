"""`lading sync plan`: what a mirror would change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lading.cli.groups import Command, option
from lading.cli.mirrors import ONLY, counted_states, lines, pulls, requests, since, tell_troubles
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.mirror.plan import Item, MirrorPlan
    from lading.mirror.rules import Verdict


@click.command(cls=Command, short_help="Show what a mirror would change")
@click.argument("file", metavar="FILE")
@option("--check", is_flag=True, help="End with 1 if something would change.")
@option("--explain", metavar="TAG", help="Say which rule takes this tag or leaves it out, and nothing else.")
@option("--out", metavar="PLAN.json", help="Keep the plan in this file, for: lading sync run --plan PLAN.json")
@ONLY
@format_option
@common()
def plan(
    options: Options,
    file: str,
    check: bool,
    explain: str | None,
    out: str | None,
    only: tuple[str, ...],
    format_: str,
) -> None:
    """Show what the mirrors of FILE would change. Nothing is written but the plan.

    \b
    lading sync plan mirror.toml
    lading sync plan mirror.toml --explain 3.18
    """
    from lading.cli.output import emit

    if explain is not None:
        if check or out or format_ != "text":
            raise click.UsageError("--explain goes with --only alone")
        _explain(options, file, explain, only)
        return
    found = options.run(lambda client: client.mirror.plan(file, only=only))
    if out is not None:
        from lading.io.outputs import write_output

        write_output(Path(out), found.to_json() + b"\n")
    tell_troubles(options, found.troubles)
    emit(found, format_, lambda: _lines(found))
    if format_ == "text":
        told = [requests(found.requests), *pulls(found.pulls_left)]
        options.note(f"{counted_states(found.counts)}: {'; '.join(told)}")
    if found.troubles:
        raise click.exceptions.Exit(found.exit_code)
    if check and found.changes:
        raise click.exceptions.Exit(1)


def _lines(found: MirrorPlan) -> list[str]:
    """A line for each tag that does not simply stay."""
    from lading.mirror.run import title

    return lines(
        [[title(leg, item.tag), item.state, _said(item)] for leg, item in found.items() if item.state != "unchanged"]
    )


def _said(item: Item) -> str:
    from lading.cli.output import short

    digest, was = short(item.digest), short(item.previous)
    if item.state == "moved":
        return f"{digest}, was {was}" + (f", which stays as {item.backup}" if item.backup else "")
    if item.state == "kept":
        return f"names {was}, and the source has {digest}: {item.because}"
    if item.state == "vanished":
        return f"{since(item.since)}, and stays"
    if item.state == "referrers":
        return f"{digest}, what refers to it is looked at again"
    return digest


def _explain(options: Options, file: str, tag: str, only: tuple[str, ...]) -> None:
    from lading.cli.output import say

    found = options.run(lambda client: client.mirror.explain(file, only=only))
    rows = [[source, _verdict(verdicts, tag)] for source, verdicts in found.items()]
    say(*lines(rows))


def _verdict(verdicts: list[Verdict], tag: str) -> str:
    verdict = next((one for one in verdicts if one.tag == tag), None)
    if verdict is None:
        return f"has no {tag}"
    rule = f" ({verdict.rule})" if verdict.rule else ""
    return f"{'takes' if verdict.is_taken else 'leaves'} {tag}: it {verdict.because}{rule}"
