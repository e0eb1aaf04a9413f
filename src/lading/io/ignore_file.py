"""Ignore files, in the syntax of `.dockerignore`: which paths below a folder are left out. Reads no files itself.

The rules are those of Docker: the last pattern that matches a path, or a directory above it, counts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from lading.errors import InvalidPattern


class Ignore:
    """Which paths are left out.

    Args:
        lines: of the file: a pattern each, with `*`, `?` and `[…]` within a part of a path, and `**` for any number of
            parts; `!` before a pattern takes paths in again. Lines that begin with `#` are comments.

    Raises:
        InvalidPattern: a line is no pattern.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for number, line in enumerate(lines):
            text = line.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") if number == 0 else line
            if text.startswith("#") or not text.strip():
                continue
            pattern = text.strip()
            is_kept = pattern.startswith("!")
            pattern = pattern[1:].strip() if is_kept else pattern
            if not pattern:
                raise _no_pattern(line, "nothing follows the !")
            cleaned = posixpath.normpath(pattern)
            cleaned = cleaned.lstrip("/") or "."
            self._rules.append((is_kept, re.compile(f"(?s:{_expression(cleaned, line)})")))
        self._takes_in = any(is_kept for is_kept, _ in self._rules)

    def __contains__(self, path: str) -> bool:
        """Whether a path is left out.

        Args:
            path: below the folder, with slashes and without one at its beginning or end.
        """
        parts = path.split("/")
        above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        is_out = False
        for is_kept, rule in self._rules:
            if is_kept == is_out and any(rule.fullmatch(one) for one in above):
                is_out = not is_kept
        return is_out

    @property
    def takes_in(self) -> bool:
        """Whether something below a directory that is left out may be taken in again."""
        return self._takes_in


def _expression(pattern: str, line: str) -> str:
    """A cleaned pattern as a regular expression."""
    said, at, end = "", 0, len(pattern)
    while at < end:
        character = pattern[at]
        at += 1
        if character == "*":
            if pattern.startswith("*", at):
                at += 1
                at += pattern.startswith("/", at)
                said += ".*" if at == end else _any_parts(said, pattern, at)
            else:
                said += "[^/]*"
        elif character == "?":
            said += "[^/]"
        elif character == "[":
            found, at = _class(pattern, at, line)
            said += found
        elif character == "\\":
            if at == end:
                raise _no_pattern(line, "nothing follows the backslash at its end")
            said += re.escape(pattern[at])
            at += 1
        else:
            said += re.escape(character)
    return said


def _any_parts(said: str, pattern: str, at: int) -> str:
    """What `**` means before something else; at the beginning of a plain name, it may end within a part."""
    is_suffix = not said and pattern[at - 1] == "*" and not re.search(r"[*?\[\]\\]", pattern[at:])
    return ".*" if is_suffix else "(?:.*/)?"


def _class(pattern: str, at: int, line: str) -> tuple[str, int]:
    """A class of characters, from after its `[`, and where it ends (Go path/filepath Match)."""
    negated = pattern.startswith("^", at)
    at += negated
    said = ""
    while True:
        if at < len(pattern) and pattern[at] == "]" and said:
            return f"[{'^' if negated else ''}{said}]", at + 1
        low, at = _member(pattern, at, line)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1, line)
        if low > high:
            raise _no_pattern(line, f"the range {low}-{high} is empty")
        said += f"{re.escape(low)}-{re.escape(high)}"


def _member(pattern: str, at: int, line: str) -> tuple[str, int]:
    escaped = pattern.startswith("\\", at)
    at += escaped
    if at >= len(pattern) or (pattern[at] in "-]" and not escaped):
        raise _no_pattern(line, "a class of characters is malformed")
    return pattern[at], at + 1


def _no_pattern(line: str, cause: str) -> InvalidPattern:
    return InvalidPattern(f"{line.strip()!r} is no pattern for paths", cause=cause)
