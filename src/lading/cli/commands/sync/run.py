"""`lading sync run`: bring mirrors to what their sources have."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lading.cli.copying import PROGRESS
from lading.cli.groups import Command, option
from lading.cli.mirrors import ONLY, tell_report
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.cli.progress import Style
    from lading.client import AsyncClient
    from lading.mirror.plan import MirrorPlan
    from lading.mirror.report import MirrorReport


@click.command(cls=Command, short_help="Bring mirrors to what their sources have")
@click.argument("file", metavar="[FILE]", required=False)
@option("--plan", "plan_file", metavar="PLAN.json", help="Carry out this plan, in place of FILE.")
@ONLY
@option("--shard", metavar="I/N", help="Of N parts, by target, only part I; the first is 0.")
@option("--from-report", metavar="REPORT.json", help="Only what failed or was left in that run.")
@option("--max-failures", metavar="N|P%", help="After so many failures, leave the rest.")
@option("--report", "report_file", metavar="REPORT.json", help="Keep what became of each tag in this file.")
@PROGRESS
@format_option
@common(pushes=True)
def run(
    options: Options,
    file: str | None,
    plan_file: str | None,
    only: tuple[str, ...],
    shard: str | None,
    from_report: str | None,
    max_failures: str | None,
    report_file: str | None,
    progress: Style,
    format_: str,
) -> None:
    """Copy what the mirrors of FILE lack at their targets. Nothing is deleted.

    A tag is changed only if it still names what the plan saw. What fails leaves the rest to be done; the next run goes
    on where this one ended.

    \b
    lading sync run mirror.toml
    lading sync run --plan plan.json --report report.json
    """
    import asyncio

    from lading.cli.progress import shown_progress

    if (file is None) == (plan_file is None):
        raise click.UsageError("name one: a FILE, or a plan with --plan")
    given: dict[str, Any] = {"only": only, "shard": shard, "max_failures": max_failures}
    _check(given, report_file)
    kept = _kept_plan(plan_file) if plan_file is not None else None
    before = _kept_report(from_report) if from_report is not None else None
    interrupted: list[MirrorReport] = []

    async def work(client: AsyncClient) -> MirrorReport:
        plan = kept
        if plan is None:
            plan = await client.mirror.plan(str(file), only=only)
        return await client.mirror.run(
            plan, **given, unfinished=before, on_event=on_event, on_cancelled=interrupted.append
        )

    try:
        with shown_progress(progress, quiet=options.quiet or format_ != "text") as on_event:
            report = options.run(_ended_by_sigterm(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        for report in interrupted:
            tell_report(options, report, format_, report_file)
        raise click.Abort from None
    tell_report(options, report, format_, report_file)
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _check(given: dict[str, Any], report_file: str | None) -> None:
    """Refuse what cannot be meant, before anything is sent."""
    from lading.errors import UsageError
    from lading.mirror.config import Amount
    from lading.mirror.run import Shard

    if given["shard"] is not None:
        Shard.parse(given["shard"])
    if given["max_failures"] is not None:
        try:
            Amount.read(given["max_failures"])
        except ValueError as error:
            raise UsageError(str(error)) from None
    if report_file is not None and not Path(report_file).absolute().parent.is_dir():
        raise UsageError(f"{report_file} cannot be written", cause="there is no such folder", remedy="make it first")


def _kept_plan(path: str) -> MirrorPlan:
    from lading.mirror.plan import MirrorPlan

    return MirrorPlan.from_json(_content(path), path)


def _kept_report(path: str) -> MirrorReport:
    from lading.mirror.report import MirrorReport

    return MirrorReport.from_json(_content(path), path)


def _content(path: str) -> bytes:
    from lading.errors import UsageError

    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=(error.strerror or str(error)).lower()) from None


def _ended_by_sigterm(
    work: Callable[[AsyncClient], Coroutine[Any, Any, MirrorReport]],
) -> Callable[[AsyncClient], Coroutine[Any, Any, MirrorReport]]:
    """The same work; SIGTERM ends it as Ctrl-C does."""

    async def ended(client: AsyncClient) -> MirrorReport:
        import asyncio
        import signal
        import threading

        if threading.current_thread() is not threading.main_thread():
            return await work(client)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await work(client)
        finally:
            loop.remove_signal_handler(signal.SIGTERM)

    return ended
