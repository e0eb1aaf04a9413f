"""Help that fits on a screen: `--help` names what finds no room on it, and `--help-all` describes everything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from textwrap import fill

import click

SCREEN = 24
"""How many lines `--help` has at most: as many as a terminal has by default."""
_WHOLE = "lading.help-all"

Records = Sequence[tuple[str, str]]
"""Options or commands, as they are written, each with what it does."""


def is_whole(ctx: click.Context) -> bool:
    """Whether everything is wanted."""
    return bool(ctx.meta.get(_WHOLE))


def show_all(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    """Print the help of a command with everything in it, and end; a callback of an option."""
    if wanted and not ctx.resilient_parsing:
        from lading.cli.output import say

        ctx.meta[_WHOLE] = True
        say(*ctx.get_help().splitlines())
        ctx.exit()


def write(formatter: click.HelpFormatter, sections: Mapping[str, Records], whole: bool) -> None:
    """Write what there is, with what it does; without the room for it, as many of the first as possible.

    Args:
        formatter: has what stands before it.
        sections: the titles, with what is under them, the most important first.
        whole: whether there is room for everything.
    """
    formatter.write_paragraph()
    room = SCREEN - "".join(formatter.buffer).count("\n")
    records = [(title, record) for title, section in sections.items() for record in section]
    text = _written(records, formatter.width)
    for count in range(len(records) - 1, -1, -1):
        if whole or text.count("\n") <= room:
            break
        names = ", ".join(_name(record) for _, record in records[count:] if "--help" not in record[0])
        more = fill(f"More, with --help-all: {names}.", formatter.width, break_on_hyphens=False)
        text = f"{_written(records[:count], formatter.width)}\n{more}\n"
    formatter.write(text)


def _written(records: Sequence[tuple[str, tuple[str, str]]], width: int) -> str:
    """Records under their titles."""
    part = click.HelpFormatter(width=width)
    for title, section in groupby(records, key=itemgetter(0)):
        with part.section(title):
            part.write_dl([record for _, record in section])
    return part.getvalue()


def _name(record: tuple[str, str]) -> str:
    """`--tag` of `-t, --tag TAG`."""
    found = re.findall(r"--[a-z][a-z-]*", record[0])
    return ", ".join(found) or record[0]
