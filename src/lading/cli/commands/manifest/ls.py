"""`lading manifest ls`: the local lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.drafts.draft import Draft, DraftDocument
    from lading.drafts.status import DraftStatus


class DraftsDocument(TypedDict):
    """`lading manifest ls`."""

    lists: list[DraftDocument]


@click.command(cls=Command, short_help="List the local lists")
@click.option("--remote", is_flag=True, help="Ask the registries whether they have each list, an older one or none.")
@click.option("--no-trunc", is_flag=True, help="Print every platform.")
@format_option
@common()
def ls(options: Options, remote: bool, no_trunc: bool, format_: str) -> None:
    """List the local manifest lists.

    \b
    lading manifest ls
    lading manifest ls --remote --format json
    """
    from lading.cli.output import emit
    from lading.drafts.store import DraftStore

    drafts = DraftStore().list()
    for draft in drafts:
        if draft.problem:
            options.warn(f"{draft.reference} cannot be read: {draft.problem}")
    states: tuple[DraftStatus, ...] = ()
    if remote:
        states = options.run(lambda client: client.drafts.status(drafts))
    by_name = {state.draft.reference: state for state in states}
    document = DraftsDocument(lists=[_described(draft, by_name.get(draft.reference)) for draft in drafts])
    if format_ == "text" and not drafts:
        options.note("there are no local manifest lists")
        return
    emit(document, format_, lambda: _listing(options, drafts, by_name, remote, no_trunc))


def _listing(
    options: Options, drafts: tuple[Draft, ...], states: dict[Any, DraftStatus], remote: bool, whole: bool
) -> list[str]:
    from datetime import UTC, datetime

    from lading.cli.output import ago, table

    if options.quiet:
        return [str(draft.reference) for draft in drafts]
    now = datetime.now(UTC)
    rows = [["LIST", "ENTRIES", "PLATFORMS", "CHANGED", *(["IN THE REGISTRY"] if remote else [])]]
    for draft in drafts:
        names = list(dict.fromkeys(str(platform) for platform in draft.platforms))
        shown = ", ".join(names) if whole or len(names) <= 2 else f"{names[0]} and {len(names) - 1} more"
        age = ago((now - draft.changed).total_seconds()) if draft.changed else "-"
        row = [str(draft.reference), str(len(draft.entries)), (draft.problem and "cannot be read") or shown or "-", age]
        if remote:
            row.append(str(states[draft.reference]))
        rows.append(row)
    return table(rows, right=(1,))


def _described(draft: Draft, status: DraftStatus | None) -> DraftDocument:
    return draft.described_with(status.state, status.digest) if status is not None else draft.described_with()
