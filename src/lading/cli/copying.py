"""What `copy`, `pull` and `push` share: their options, and a copy with its progress, its notes and its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.groups import Option, option
from lading.cli.options import Options, format_option, platform_option

if TYPE_CHECKING:
    from lading.cli.progress import Style
    from lading.client import AsyncClient
    from lading.transfer.events import OnEvent
    from lading.transfer.graph import Step
    from lading.transfer.report import CopyReport

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound="CopyReport")


IF_DIGEST = option("--if-digest", metavar="DIGEST", help="Change a tag only if it names this now; or `absent`.")
NO_CLOBBER = option("--no-clobber", is_flag=True, help="Leave tags alone that name something else.")
JOBS = option(
    "--jobs",
    cls=Option,
    type=click.IntRange(min=1),
    default=8,
    metavar="N",
    help="How many blobs are under way at once (8).",
)
PROGRESS = option(
    "--progress",
    type=click.Choice(["auto", "tty", "plain", "json", "none"]),
    default="auto",
    metavar="STYLE",
    help="On stderr: auto, tty, plain, json or none.",
)


LEFT = "A tag that is there is whole; the same command does the rest"
"""What there is where something that ends in a copy is interrupted."""


def copy_options(function: F) -> F:
    """Add the options that all three commands have."""
    for add in reversed(
        (
            platform_option(multiple=True, help="Of an index, only these entries. Repeatable."),
            option("--referrers", is_flag=True, help="Signatures, SBOMs and the like, too."),
            option("--dry-run", is_flag=True, help="Write nothing; print what would be done."),
            option("--to", type=click.Choice(["oci", "docker"]), help="Encode manifests so; digests change."),
            option(
                "--compression",
                type=click.Choice(["gzip", "zstd", "none"]),
                help="Compress layers so; digests change.",
            ),
            NO_CLOBBER,
            IF_DIGEST,
            option("--keep-going", is_flag=True, help="Copy what can be copied of several tags or targets."),
            option("--verify", is_flag=True, help="Believe no target: read everything back."),
            JOBS,
            PROGRESS,
            format_option,
        )
    ):
        function = add(function)
    return function


def run_copy(options: Options, source: str, targets: tuple[str, ...], given: dict[str, Any]) -> None:
    """Copy, with progress and notes on stderr, and print the full name of all that was made.

    Args:
        options: the common flags.
        source: where from.
        targets: where to.
        given: the values of the command's other options.
    """
    format_, style = given.pop("format_"), given.pop("progress")
    given["clobber"] = not given.pop("no_clobber")
    given["referrers"] = given["referrers"] or None
    for side, name in (("source", "src_authfile"), ("target", "dst_authfile")):
        if path := given.pop(name, None):
            from lading.registry.auth.lookup import default_sources

            given[f"{side}_credentials"] = default_sources(authfiles=[Path(path)])
    show_copy(
        options,
        lambda client, on_event: client.copy(source, *targets, on_event=on_event, **given),
        targets,
        format_,
        style,
        dry_run=given["dry_run"],
    )


def show_copy(
    options: Options,
    work: Callable[[AsyncClient, OnEvent | None], Coroutine[Any, Any, R]],
    targets: Sequence[str],
    format_: str,
    style: Style,
    *,
    dry_run: bool,
    plan: Callable[[R], list[str]] | None = None,
    told: Callable[[R], str] | None = None,
) -> R:
    """Do what ends in a copy, with progress and notes on stderr, and print the full name of all that was made.

    Args:
        options: the common flags.
        work: what is done; its report is printed.
        targets: where to.
        format_: how the report is printed.
        style: how progress is shown.
        dry_run: whether nothing is written.
        plan: the lines that come first in a dry run; by default what would be copied.
        told: what is said on stderr after the summary.
    """
    from lading.cli.output import emit
    from lading.cli.progress import shown_progress
    from lading.cli.wording import noted, remedied
    from lading.stores.location import parse_location

    # Standard output is the archive, then, and nothing else.
    is_stream = not dry_run and any(parse_location(target).is_stream for target in targets)
    if is_stream and format_ != "text":
        raise click.UsageError("--format prints to standard output, where the archive goes")
    started = time.monotonic()
    with shown_progress(style, quiet=options.quiet or format_ != "text") as on_event:
        left = "" if dry_run or is_stream else LEFT
        report = options.run(lambda client: work(client, on_event), left=left)
    report.notes[:] = map(noted, report.notes)
    report.failed[:] = map(remedied, report.failed)
    for failure in report.failed:
        options.fail(failure)
    for note in report.notes:
        options.warn(note)
    if format_ == "text":
        options.note(summary(report, time.monotonic() - started))
        if told is not None:
            options.note(told(report))
    before = (plan or _plan)(report) if report.dry_run and not options.quiet else []
    if is_stream:
        for name in _names(report):
            options.note(name)
    else:
        emit(report, format_, lambda: [*before, *_names(report)])
    if report.failed:
        raise click.exceptions.Exit(1)
    return report


def summary(report: CopyReport, seconds: float = 0) -> str:
    """One sentence on what was sent, what was there, and what was left out."""
    from lading.cli.output import count, size

    done = report.copied
    blobs = done.uploaded + done.mounted
    left = _left(report)
    if not done.manifests and not blobs:
        moved = any(tag.state in ("new", "moved", "set") for image in report.images for tag in image.targets)
        return f"{'Nothing to send' if moved else 'Nothing to copy'}: all of it is there already{left}"
    parts = [f"{size(done.bytes)} {'to send' if report.dry_run else 'sent'}"]
    if done.mounted:
        parts.append(f"{done.mounted} {'to mount' if report.dry_run else 'mounted'}")
    if done.present:
        parts.append(f"{done.present} already there")
    if seconds >= 2:
        parts.append(f"{seconds:.1f} s")
    verb = "Would copy" if report.dry_run else "Copied"
    return f"{verb} {count(done.manifests, 'manifest')} and {count(blobs, 'blob')}: {', '.join(parts)}{left}"


def _left(report: CopyReport) -> str:
    """The end of the summary: tags that were not changed, and platforms that the copy is limited to."""
    from lading.cli.output import count

    kept = sum(tag.state == "kept" for image in report.images for tag in image.targets)
    left = f"; {count(kept, 'tag')} left as {'it is' if kept == 1 else 'they are'}" if kept else ""
    only = dict.fromkeys(image.platform for image in report.images if image.platform is not None)
    return left + (f"; only for {', '.join(only)}" if only else "")


def _names(report: CopyReport) -> list[str]:
    """The full name of everything that was made."""
    return list(dict.fromkeys(tag.full for image in report.images for tag in image.targets if tag.state != "kept"))


def _plan(report: CopyReport) -> list[str]:
    from lading.cli.output import short, size, table

    words = {"copied": "copy", "mounted": "mount", "present": "there"}
    rows = [
        [words[step.outcome], _kind(step), short(step.digest), size(step.size), step.platform or ""]
        for step in sorted(
            report.steps, key=lambda step: (_RANK[_kind(step)], step.platform or "", step.size, step.digest)
        )
    ]
    changes = [
        f"{tag.reference}  {tag.state}" + (f", was {short(tag.previous)}" if tag.state == "moved" else "")
        for image in report.images
        for tag in image.targets
        if tag.state != "set"
    ]
    head = ["TO DO", "WHAT", "DIGEST", "SIZE", "PLATFORM"]
    return [*(table([head, *rows], right=[3]) if rows else []), *changes]


_RANK = {"blob": 0, "manifest": 1, "index": 2}


def _kind(step: Step) -> str:
    from lading.model.media_types import INDEXES, MANIFESTS

    if step.media_type in INDEXES:
        return "index"
    return "manifest" if step.media_type in MANIFESTS else "blob"
