"""Texts for people: sizes, and what strangers wrote in a form that is harmless wherever it is shown."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_EXCERPT = 60


def size_text(count: int) -> str:
    """A size in decimal units, as registries show it: `70.5 MB`.

    Args:
        count: the size in bytes.
    """
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def excerpt(text: str, limit: int = _EXCERPT) -> str:
    """The beginning of a text, harmless on a terminal: without control characters, and with `…` where it goes on.

    Args:
        text: what a stranger wrote.
        limit: how many characters there may be.
    """
    shown = printable(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 layer`, `2 layers`.

    Args:
        number: how many there are.
        noun: what there is one of.
        plural: what there are several of; by default with an `s`.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


# What is shown as nothing although it is a letter, a mark or a sign (Unicode's Default_Ignorable_Code_Point, and the
# braille pattern without dots).
_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


def printable(text: str, *, keep: str = "") -> str:
    """A text in which every character that is no text is an escape, such as `\\x1b` or `\\u202e`.

    Such are controls, line and paragraph separators, formats (which turn the direction of writing, or have no width),
    surrogates, and what stands for nothing.

    Args:
        text: what a stranger wrote.
        keep: characters that stay as they are all the same.
    """
    return text.translate({ord(character): ascii(character)[1:-1] for character in _no_text(text, keep)})


def json_printable(text: str, *, keep: str = "\n\t") -> str:
    """JSON in which every character that is no text is escaped as JSON does it: the document stays the same.

    Args:
        text: the JSON text.
        keep: the characters that it is laid out with.
    """
    return text.translate({ord(character): _json_escape(character) for character in _no_text(text, keep)})


def _no_text(text: str, keep: str) -> set[str]:
    if text.isascii() and text.isprintable():
        return set()
    return {c for c in set(text).difference(keep) if not _is_text(c)}


def _is_text(character: str) -> bool:
    if character.isprintable():
        return character not in _INVISIBLE
    return unicodedata.category(character) == "Zs"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def moment(text: str | None) -> datetime | None:
    """When something was made, as annotations and configs say it (RFC 3339); None where it cannot be read.

    Args:
        text: the time; without a zone it is taken for UTC.
    """
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
