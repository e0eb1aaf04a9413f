"""What the commands of `lading sync` share: how plans and runs are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lading.cli.groups import option
from lading.cli.options import Options

if TYPE_CHECKING:
    from datetime import datetime

    from lading.mirror.plan import Trouble
    from lading.mirror.report import ItemReport, MirrorReport

ONLY = option("--only", multiple=True, metavar="NAME", help="Only the mirror of this name. Repeatable.")


def tell_report(
    options: Options, report: MirrorReport, format: str, report_file: str | None = None, *, is_line: bool = False
) -> None:
    """Print what a run did, and what it did not.

    Args:
        options: the common flags.
        report: what the run did.
        format: `text`, `json` or a template.
        report_file: where the report is kept, too.
        is_line: whether a JSON document is one line, because others follow.
    """
    from lading.cli.output import emit, size

    if report_file is not None:
        from lading.io.outputs import write_output

        write_output(Path(report_file), report.to_json() + b"\n")
    tell_troubles(options, report.troubles)
    emit(report, format, lambda: _lines(report.items), is_line=is_line)
    if format == "text":
        seconds = (report.ended - report.started).total_seconds()
        told = [f"{size(report.bytes_written)} written"]
        if report.bytes_mounted:
            told.append(f"{size(report.bytes_mounted)} mounted")
        asked = sum(number for of in report.requests.values() for how, number in of.items() if how != "limited")
        told += [requests(asked + report.plan_requests), *pulls(report.pulls_left)]
        if seconds >= 2:
            told.append(f"{seconds:.1f} s")
        options.note(f"{counted_states(report.counts)}: {', '.join(told)}")


def _lines(items: tuple[ItemReport, ...]) -> list[str]:
    """A line for each tag that was written."""
    from lading.cli.output import short

    rows = []
    for item in items:
        if item.outcome in ("new", "moved", "referrers"):
            was = f", was {short(item.previous)}" if item.outcome == "moved" else ""
            rows.append([item.target, item.outcome, f"{short(item.digest)}{was}"])
    return lines(rows)


def tell_troubles(options: Options, troubles: Iterable[Trouble]) -> None:
    """Tell what went wrong: one error for each trouble, and one for a host that is away, for all that it concerns.

    Args:
        options: the common flags.
        troubles: what went wrong.
    """
    from lading.cli.wording import remedied
    from lading.transfer.report import Failure

    groups: dict[object, list[Trouble]] = {}
    for trouble in troubles:
        is_host = trouble.registry is not None and trouble.code in _OF_HOSTS
        groups.setdefault((trouble.code, trouble.registry) if is_host else id(trouble), []).append(trouble)
    for first, *more in groups.values():
        failure = Failure(
            reference=first.reference,
            code=first.code,
            message=first.message,
            cause=first.cause,
            remedy=first.remedy,
            fields=first.fields,
        )
        failure = remedied(failure)
        if first.registry is not None and first.code in _OF_HOSTS:
            left = f"{first.reference} and {len(more)} more" if more else first.reference
            failure = Failure(
                reference=failure.reference,
                code=failure.code,
                message=f"{failure.message}: {left}" if first.reference not in failure.message else failure.message,
                cause=failure.cause,
                remedy=failure.remedy,
            )
        elif first.reference not in failure.message and first.mirror not in failure.message:
            failure = Failure(
                reference=failure.reference,
                code=failure.code,
                message=f"{first.reference}: {failure.message}",
                cause=failure.cause,
                remedy=failure.remedy,
            )
        options.fail(failure)


_OF_HOSTS = ("unreachable", "connection-refused", "host-given-up", "pulls-kept", "name-not-found", "tls")


def counted_states(counts: Mapping[str, int]) -> str:
    """How many tags are in each state: `12 new, 3 moved, 1,204 unchanged`."""
    words = {"referrers": "looked at again", "failed": "failed", "skipped": "left for later"}
    parts = [f"{number:,} {words.get(state, state)}" for state, number in counts.items() if number]
    return ", ".join(parts) or "nothing to do"


def pulls(left: Mapping[str, int]) -> list[str]:
    """How many pulls hosts say are left."""
    return [f"{host}: {number:,} pulls left" for host, number in left.items()]


def requests(number: int) -> str:
    """How many requests it took."""
    return "1 request" if number == 1 else f"{number:,} requests"


def since(time: datetime | None) -> str:
    """How long ago a tag vanished from its source."""
    from datetime import UTC, datetime

    from lading.cli.output import ago

    if time is None:
        return "from the source"
    said = ago((datetime.now(UTC) - time).total_seconds())
    return f"from the source {said}"


def lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned lines."""
    from lading.cli.output import table

    return table(rows) if rows else []
