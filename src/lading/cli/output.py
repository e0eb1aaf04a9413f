"""How answers look: documents as JSON or through a template, tables, sizes, times, colour."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

# What a terminal takes for commands, what turns the direction of writing around, and what cannot be encoded.
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_C1 = rb"\xc2[\x80-\x9f]|\x7f"

# Colour is marked with noncharacters, which stand for nothing outside of a program (Unicode §23.7), and becomes escape
# sequences last of all: so no escape sequence of somebody else's ever passes for ours.
_COLOURS = {"cyan": "\ufdd0", "green": "\ufdd1", "red": "\ufdd2", "yellow": "\ufdd3"}
_END = "\ufdd4"


def emit(document: Any, format: str, text: Callable[[], str]) -> None:
    """Print an answer.

    Args:
        document: what the answer is: a result, or a dict of such; `--format json` prints all of it.
        format: `text`, `json` or a Jinja2 template over the document's fields.
        text: makes the text for people; called only where it is wanted.
    """
    if format == "text":
        click.echo(shown(text()))
        return
    from lading.model.document import plain
    from lading.model.encoding import encode_indented

    fields = plain(document)
    if format == "json":
        click.echo(re.sub(_C1, _escaped, encode_indented(fields, "  ", escape_html=False)))
        return
    from lading.cli.templates import render

    click.echo(printable(render(format, fields)))


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found.group().decode())


def printable(text: str) -> str:
    """Text from elsewhere without what a terminal would take for commands."""
    return re.sub(_CONTROL, lambda match: ascii(match.group())[1:-1], text)


def paint(text: str, colour: str, *, err: bool = False) -> str:
    """Mark a text with a colour where a terminal shows it and nobody asked for none (`NO_COLOR`).

    Args:
        text: the text.
        colour: `cyan`, `green`, `red` or `yellow`.
        err: whether it goes to stderr.
    """
    stream = sys.stderr if err else sys.stdout
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"{_COLOURS[colour]}{text}{_END}"


def shown(text: str) -> str:
    """A text as it is written to a stream: printable, and what `paint` marked in colour."""
    text = printable(text)
    for colour, mark in _COLOURS.items():
        text = text.replace(mark, click.style("", fg=colour, reset=False))
    return text.replace(_END, click.style(""))


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: str = "") -> str:
    """Align columns; the first row is the head.

    Args:
        rows: the cells.
        right: columns that are aligned to the right.
        indent: what each line starts with.
    """
    flush = set(right)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in flush else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{indent}{'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def size(count: int | None) -> str:
    """A size in decimal units, as registries show it: `70.5 MB`."""
    from lading.model.text import size_text

    return "-" if count is None else size_text(count)


def ago(seconds: float) -> str:
    """How long ago, in the largest unit that is at least one: `3 hours ago`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 layer`, `2 layers`."""
    from lading.model.text import counted

    return counted(number, noun)


def short(digest: str | None, whole: bool = False) -> str:
    """A digest as tables show it: 12 hexadecimal digits, or all of it."""
    if digest is None:
        return "-"
    return digest if whole else digest.partition(":")[2][:12]
