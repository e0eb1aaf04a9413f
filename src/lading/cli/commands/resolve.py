"""`lading resolve`: what clients will pull."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.drafts import local_list
from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.model.selection import Selection
    from lading.results import Resolution


@click.command(cls=Command, short_help="Tell which image of a list each client will pull")
@click.argument("reference", type=values.location)
@platform_option(help="What they are asked for; else what their machine is.")
@option("--as", "clients", multiple=True, metavar="CLIENT", help="Only this client. Repeatable.")
@option("--all-clients", is_flag=True, help="One client for each behaviour.")
@option("--host", metavar="OS/ARCH[/VARIANT]", help="Their machine; by default this one.")
@option("--remote", is_flag=True, help="Ask the registry even if there is a local list of this name.")
@option("--no-trunc", is_flag=True, help="Print digests whole.")
@format_option
@common()
def resolve(
    options: Options,
    reference: str,
    platform: str | None,
    clients: tuple[str, ...],
    all_clients: bool,
    host: str | None,
    remote: bool,
    no_trunc: bool,
    format_: str,
) -> None:
    """Tell which image each client takes when it pulls REFERENCE, and why. A local list need not be pushed for it.

    CLIENT is docker, containerd, ctr, podman, buildah or skopeo, with a version (docker@20.10) or a way to work
    (docker+graphdriver), or both.

    \b
    lading resolve reg.example/app:1.4 --platform linux/arm/v7 --all-clients
    lading resolve reg.example/app:1.4 --as docker@20.10
    """
    from lading.cli.output import emit
    from lading.model.selection import every

    if clients and all_clients:
        raise click.UsageError("--as and --all-clients exclude each other")
    draft = None if remote else local_list(reference)
    for warning in draft.warnings if draft is not None else ():
        options.warn(warning)
    who = every() if all_clients else clients or None

    async def ask(client: AsyncClient) -> Resolution:
        what = draft if draft is not None else reference
        return await client.resolve(what, platform=platform, clients=who, host=host)

    found = options.run(ask)
    if draft is not None:
        options.note(f"{found.reference} is a local list; for the registry's: --remote")

    def text() -> list[str]:
        if options.quiet:
            return [(selection.is_pulled and selection.digest) or "-" for selection in found.selections]
        return _one(found.selections[0], no_trunc) if len(found.selections) == 1 else _several(found, no_trunc)

    emit(found, format_, text)
    if not found.is_pulled:
        raise click.exceptions.Exit(1)


def _one(selection: Selection, whole: bool) -> list[str]:
    """The answer of one client, with everything it looked at."""
    from lading.cli.output import paint, short, table

    lines = [f"{paint(selection.client.title, 'cyan')} {_takes(selection)}"]
    if selection.taken:
        lines += [f"  {entry.digest}" for entry in selection.taken]
    lines += [f"  {selection.reason}"] if selection.reason else []
    lines += [f"  it prints: {selection.error}"] if selection.error else []
    if len(selection.candidates) > 1:
        rows = [["RANK", "PLATFORM", "DIGEST", "BECAUSE"]]
        for item in selection.candidates:
            rank = "-" if item.rank is None else str(item.rank)
            rows.append([rank, str(item.entry.platform or "-"), short(item.digest, whole), item.reason])
        lines += ["", *table(rows, right=(0,), indent="  ")]
    return lines


def _takes(selection: Selection) -> str:
    what = " and ".join(str(entry.platform or "an image") for entry in selection.taken)
    if selection.is_pulled:
        return f"takes {what}"
    return f"takes {what}, and fails" if selection.taken else "takes nothing"


def _several(found: Resolution, whole: bool) -> list[str]:
    """A line for each client, and how far they agree."""
    from lading.cli.output import paint, table

    most = _most(found)
    marks = ["*" if not found.is_unanimous and _answer(item) != most else " " for item in found.selections]
    is_marked = "*" in marks
    rows = [[" " if is_marked else "", "CLIENT", "TAKES", "DIGEST", "BECAUSE"]]
    for mark, selection in zip(marks, found.selections, strict=True):
        rows.append([mark if is_marked else "", *_row(selection, whole)])
    lines = table(rows)
    if not is_marked:
        lines = [line[2:] for line in lines]
    text = [lines[0], *(paint(line, "yellow") if line.startswith("*") else line for line in lines[1:])]
    if not found.is_unanimous:
        text.append(_disagreement(found, most))
    return [*text, *_errors(found)]


def _row(selection: Selection, whole: bool) -> list[str]:
    """What one client takes, and why."""
    from lading.cli.output import short

    what = str(selection.taken[0].platform or "an image") if selection.is_pulled else "nothing"
    if len(selection.taken) > 1:
        what += f" and {len(selection.taken) - 1} more"
    digest = short(selection.digest, whole) if selection.is_pulled else "-"
    return [selection.client.title, what, digest, selection.reason]


def _errors(found: Resolution) -> list[str]:
    """What clients print that fail, each message once."""
    says: dict[str, list[str]] = {}
    for selection in found.selections:
        if selection.error:
            says.setdefault(selection.error, []).append(selection.client.title)
    return ["", *(f"{', '.join(who)}: {error}" for error, who in says.items())] if says else []


def _answer(selection: Selection) -> str | None:
    return selection.digest if selection.is_pulled else None


def _most(found: Resolution) -> str | None:
    """What most clients take; where that is none, what the first does."""
    counts = Counter(map(_answer, found.selections))
    best, count = counts.most_common(1)[0]
    return best if count * 2 > len(found.selections) else _answer(found.selections[0])


def _disagreement(found: Resolution, most: str | None) -> str:
    others = [item for item in found.selections if item.is_pulled and _answer(item) != most]
    without = [item for item in found.selections if not item.is_pulled]
    if most is None:
        return f"The clients disagree: {_names(others)} {_verb(others, 'get')} an image, and the rest do not."
    parts = []
    if others:
        images = "another image" if len({_answer(item) for item in others}) == 1 else "other images"
        parts.append(f"{_names(others)} {_verb(others, 'take')} {images} than the rest")
    if without:
        parts.append(f"{_names(without)} {_verb(without, 'get')} none")
    return f"The clients disagree: {'; '.join(parts)}."


def _names(selections: list[Selection]) -> str:
    names = [selection.client.title for selection in selections]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _verb(selections: list[Selection], verb: str) -> str:
    return f"{verb}s" if len(selections) == 1 else verb
