"""Where in a TOML text its keys and values are, for errors to say so. Python's own reader does not tell.

The text is valid TOML (toml.io, v1.0.0): that is for `tomllib` to see first. So only what separates keys and values is
looked for here, and the values are not understood.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
Position = tuple[int, int]
"""A line and a column, both from 1 on."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BASIC = r'"(?:[^"\\]|\\.)*"'
_LITERAL = r"'[^']*'"
_LONG = r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|' + r"'''.*?'{3,5}(?!')"
_STRING = re.compile(f"{_LONG}|{_BASIC}|{_LITERAL}", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_OTHER = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")
"""A number, a word, or a time, which may have a space before its hours."""


def locate(text: str, path: Path) -> Position | None:
    """Where a key, or a value of a list, begins.

    Args:
        text: valid TOML.
        path: such as `("mirror", 0, "tags", 1)`. Of what the text does not have, the nearest around it is meant.

    Returns:
        Its line and its column; None where nothing of it is there.
    """
    found = _Scanner(text).scan()
    while path and path not in found:
        path = path[:-1]
    if not path:
        return None
    at = found[path]
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Path, int] = {}
        """Where each path begins, in characters."""
        self._counts: dict[Path, int] = {}
        """How many tables each list of tables has so far."""

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._next():
            if self._takes("["):
                table = self._header(is_list=self._takes("["))
            else:
                self._pair(table)
        return self._found

    def _next(self) -> str:
        """The next character that means something; empty at the end."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _takes(self, character: str) -> bool:
        """Whether the next character is this one, which then is behind."""
        is_there = self._next() == character
        self._at += is_there
        return is_there

    def _header(self, *, is_list: bool) -> Path:
        self._next()
        position = self._at
        *outer, last = self._key()
        path: Path = ()
        for key in outer:
            path = self._into((*path, key))
            self._found.setdefault(path, position)
        path = (*path, last)
        self._found.setdefault(path, position)
        if is_list:
            self._counts[path] = self._counts.get(path, 0) + 1
            path = self._into(path)
        self._found[path] = position
        self._at = self._text.index("]", self._at) + 1 + is_list
        return path

    def _into(self, path: Path) -> Path:
        """A path, of a list of tables into the last of them."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _key(self) -> list[str]:
        """A key with its dots, as its parts."""
        parts = [self._part()]
        while self._takes("."):
            self._next()
            parts.append(self._part())
        return parts

    def _part(self) -> str:
        if bare := _BARE.match(self._text, self._at):
            self._at = bare.end()
            return bare[0]
        return self._quoted()

    def _quoted(self) -> str:
        found = _STRING.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        if found[0].startswith("'") or "\\" not in found[0]:
            return found[0][1:-1]
        import tomllib

        return str(tomllib.loads(f"key = {found[0]}")["key"])

    def _pair(self, table: Path) -> None:
        self._next()
        position = self._at
        path = table
        for key in self._key():
            path = (*path, key)
            self._found.setdefault(path, position)
        self._found[path] = position
        self._takes("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._takes("["):
            count = 0
            while not self._takes("]"):
                self._next()
                self._found[*path, count] = self._at
                self._value((*path, count))
                self._takes(",")
                count += 1
        elif self._takes("{"):
            while not self._takes("}"):
                self._pair(path)
                self._takes(",")
        elif self._next() in "'\"":
            found = _STRING.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
        else:
            found = _OTHER.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
