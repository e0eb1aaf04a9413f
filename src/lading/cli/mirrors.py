"""What the commands of `lading sync` share: how plans and runs are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lading.cli.groups import option
from lading.cli.options import Options

if TYPE_CHECKING:
    from datetime import datetime

    from lading.mirror.plan import Trouble

ONLY = option("--only", multiple=True, metavar="NAME", help="Only the mirror of this name. Repeatable.")


def tell_troubles(options: Options, troubles: Iterable[Trouble]) -> None:
    """Tell what went wrong: each thing once, and a host that is away in one error, whatever is missing because of it.

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
