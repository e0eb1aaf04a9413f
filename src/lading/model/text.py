"""Texts for people: sizes, and excerpts of what strangers wrote."""

from __future__ import annotations

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
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 layer`, `2 layers`.

    Args:
        number: how many there are.
        noun: what there is one of.
        plural: what there are several of; by default with an `s`.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
