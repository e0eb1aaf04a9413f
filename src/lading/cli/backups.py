"""What `artifact backup` and `artifact restore` share: the plan before, progress, and what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import click

from lading.cli.copying import LEFT, summary
from lading.cli.options import Options

if TYPE_CHECKING:
    from lading.artifacts.backups.parts import BackupReport, PlannedTag
    from lading.cli.progress import Style


def show_backup(
    options: Options,
    work: Callable[..., Coroutine[Any, Any, BackupReport]],
    format_: str,
    style: Style,
    *,
    target: str | None,
    dry_run: bool,
) -> None:
    """Back up or restore: print what becomes of the tags before anything is written, and say what was done.

    Args:
        options: the common flags.
        work: what is done, with the client, `on_event` and `on_plan`.
        format_: how the report is printed.
        style: how progress is shown.
        target: where to.
        dry_run: whether nothing is written.
    """
    from lading.cli.output import emit, size
    from lading.cli.progress import shown_progress
    from lading.cli.wording import noted, remedied

    is_stream = not dry_run and target is not None and target.startswith("oci-archive:-") and _is_stream(target)
    if is_stream and format_ != "text":
        raise click.UsageError("--format prints to standard output, where the archive goes")
    started = time.monotonic()

    def tell(tags: Sequence[PlannedTag]) -> None:
        if format_ == "text" and not options.quiet:
            _print_plan(tags, err=is_stream)

    with shown_progress(style, quiet=options.quiet or format_ != "text") as on_event:
        report = options.run(
            lambda client: work(client, on_event=on_event, on_plan=tell), left="" if dry_run or is_stream else LEFT
        )
    report.notes[:] = map(noted, report.notes)
    report.failed[:] = map(remedied, report.failed)
    for failure in report.failed:
        options.fail(failure)
    for note in report.notes:
        options.warn(note)
    if format_ == "text":
        options.note(_states(report.tags))
        options.note(summary(report, time.monotonic() - started))
        if report.pruned:
            verb = "Would remove" if dry_run else "Removed"
            options.note(f"{verb} {report.pruned} of the tags that are gone, and {size(report.pruned_bytes)}")
    if format_ != "text" or (options.quiet and not is_stream):
        made = [f"{tag.reference}@{tag.digest}" for tag in report.tags if tag.state in ("new", "moved")]
        emit(report, format_, lambda: made)
    if report.failed:
        raise click.exceptions.Exit(1)


def _is_stream(target: str) -> bool:
    from lading.stores.location import parse_location

    return parse_location(target).is_stream


def _print_plan(tags: Sequence[PlannedTag], *, err: bool) -> None:
    from lading.cli.output import say, short, table

    rows = [
        [
            tag.reference,
            tag.state,
            short(tag.digest) if tag.digest is not None else "",
            f"was {short(tag.previous)}" if tag.state == "moved" and tag.previous is not None else "",
        ]
        for tag in tags
        if tag.state != "unchanged"
    ]
    if rows:
        say(*table([["TAG", "STATE", "DIGEST", ""], *rows]), err=err)


def _states(tags: Sequence[PlannedTag]) -> str:
    """How many tags have each state, such as `2 new, 1 moved, 12 unchanged`."""
    from lading.cli.output import count

    states = ("new", "moved", "unchanged", "kept", "gone")
    counts = {state: sum(tag.state == state for tag in tags) for state in states}
    said = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return f"{count(len(tags), 'tag')}: {said}" if tags else "No tags"
