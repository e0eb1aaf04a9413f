"""How answers look, and the only way out for them: nothing else in `cli/` prints.

A line is one line: whatever a text from elsewhere has in it that is no text, a line break too, is shown as an escape.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, BinaryIO, cast

import click

from lading.model.text import json_printable, printable

# A text is marked with colours when it is made, and the marks become escape sequences last of all. No text from
# elsewhere has a mark: it cannot know the number.
_NUMBER = os.urandom(8).hex()
_PLAIN = "plain"


def say(*lines: str, err: bool = False) -> None:
    """Print lines of text.

    Args:
        lines: each is one line, whatever is in it.
        err: whether they go to stderr.
    """
    if lines:
        _write("\n".join([*map(_shown, lines), ""]), err=err)


def _write(text: str, *, err: bool) -> None:
    """Write to stdout; or to stderr, where what cannot be told ends nothing."""
    with suppress(OSError) if err else nullcontext():
        click.echo(text, nl=False, err=err)


def emit(document: Any, format: str, text: Callable[[], str | Iterable[str]], *, is_line: bool = False) -> None:
    """Print an answer.

    Args:
        document: what the answer is: a result, or a dict of such; `--format json` prints all of it.
        format: `text`, `json` or a Jinja2 template over the document's fields.
        text: makes the lines for people, or the one line that there is; called only where they are wanted.
        is_line: whether a JSON document is one line, because there are others beside it.
    """
    if format == "text":
        lines = text()
        say(*([lines] if isinstance(lines, str) else lines))
        return
    from lading.model.document import plain
    from lading.model.encoding import encode_compact, encode_indented

    fields = plain(document)
    if format == "json":
        emit_json(encode_compact(fields) if is_line else encode_indented(fields, "  ", escape_html=False))
        return
    from lading.cli.templates import render

    click.echo(printable(render(format, fields), keep="\n\t"))


def emit_json(document: bytes, *, end: str = "\n", err: bool = False) -> None:
    """Print a JSON document as it is laid out; in its strings, what is no text is escaped as JSON does it.

    Args:
        document: the document.
        end: what comes after it.
        err: whether it goes to stderr.
    """
    _write(f"{json_printable(document.decode())}{end}", err=err)


def emit_bytes(content: bytes) -> None:
    """Print content exactly, with nothing after it; on a terminal what is no text is escaped."""
    if is_terminal():
        click.echo(json_printable(content.decode("utf-8", "surrogateescape")), nl=False)
    else:
        click.echo(content, nl=False)


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def stream() -> BinaryIO:
    """Standard output, for content that is written piece by piece, exactly as it is; no terminal is for that.

    Raises:
        UsageError: it is a terminal.
    """
    if is_terminal():
        raise click.UsageError("this is not for a terminal: name a file, or send it on through a pipe")
    return cast("BinaryIO", sys.stdout.buffer)


def ask(question: str) -> bool:
    """Ask on stderr whether to go on."""
    return click.confirm(_shown(question), err=True)


def ask_for(what: str, *, hidden: bool = False) -> str:
    """Ask on stderr for a text.

    Args:
        what: what is asked for.
        hidden: whether what is typed stays invisible.
    """
    answer: str = click.prompt(_shown(what), hide_input=hidden, err=True)
    return answer


def paint(text: str, colour: str, *, err: bool = False) -> str:
    """Mark a text with a colour where a terminal shows it and nobody asked for none (`NO_COLOR`).

    Args:
        text: the text.
        colour: `cyan`, `green`, `red`, `yellow` or `bold`.
        err: whether it goes to stderr.
    """
    stream = sys.stderr if err else sys.stdout
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"{_mark(colour)}{text}{_mark(_PLAIN)}"


def _mark(colour: str) -> str:
    return f"\ufdd0{_NUMBER}{colour}\ufdd1"


def _shown(line: str) -> str:
    """A line as it is written to a stream: printable, and what `paint` marked in colour."""
    first, *marked = line.split(f"\ufdd0{_NUMBER}")
    parts = [printable(first)]
    for part in marked:
        colour, _, text = part.partition("\ufdd1")
        parts += [_SEQUENCES[colour], printable(text)]
    return "".join(parts)


_SEQUENCES = {
    "cyan": "\x1b[36m",
    "green": "\x1b[32m",
    "red": "\x1b[31m",
    "yellow": "\x1b[33m",
    "bold": "\x1b[1m",
    _PLAIN: "\x1b[0m",
}


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: str = "") -> list[str]:
    """Align columns, a line for each row; the first row is the head.

    Args:
        rows: the cells.
        right: columns that are aligned to the right.
        indent: what each line starts with.
    """
    flush = set(right)
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in flush else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{indent}{'  '.join(cells)}".rstrip())
    return lines


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


def span(seconds: float) -> str:
    """How long something takes, in the largest unit that has a whole number of it: `10 minutes`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return count(int(seconds // length), unit)
    return f"{seconds:g} second{'s' if seconds != 1 else ''}"


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 layer`, `2 layers`."""
    from lading.model.text import counted

    return counted(number, noun)


def short(digest: str | None, whole: bool = False) -> str:
    """A digest as tables show it: 12 hexadecimal digits, or all of it."""
    if digest is None:
        return "-"
    return digest if whole else digest.partition(":")[2][:12]
