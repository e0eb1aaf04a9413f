"""WebAssembly components: the names of what one imports and exports (component-model Binary §Import and Export).

This module reads a file that a stranger has written: only these two sections of it, and only their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

_IMPORTS, _EXPORTS = 10, 11
_SECTION_LIMIT = 1024 * 1024
_SECTIONS = 10_000
_NAMES = 4096
_CORE, _MODULE = 0x00, 0x11


class World(msgspec.Struct, frozen=True):
    """What a component needs and gives: names such as `wasi:cli/run@0.2.0`, in their order."""

    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()


def read_world(path: str) -> World | None:
    """Read what a component imports and exports; None where it is malformed. Work for a thread.

    Args:
        path: of the component.
    """
    names: dict[int, list[str]] = {_IMPORTS: [], _EXPORTS: []}
    try:
        with Path(path).open("rb") as file:
            file.seek(8)
            for _ in range(_SECTIONS):
                kind = file.read(1)
                if not kind:
                    break
                size = _size(file)
                if kind[0] not in names:
                    file.seek(size, 1)
                elif size > _SECTION_LIMIT:
                    return None
                else:
                    section = _Section(file.read(size))
                    names[kind[0]] += section.imports() if kind[0] == _IMPORTS else section.exports()
    except (OSError, ValueError, IndexError):
        return None
    return World(tuple(dict.fromkeys(names[_IMPORTS])), tuple(dict.fromkeys(names[_EXPORTS])))


def _size(file: BinaryIO) -> int:
    """An unsigned number in LEB128, as large as a section may be."""
    value = 0
    for shift in range(0, 35, 7):
        byte = file.read(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError("a number is too long")


class _Section:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def imports(self) -> list[str]:
        found = []
        for _ in range(self._count()):
            found.append(self._name())
            self._description(self._byte())
        return found

    def exports(self) -> list[str]:
        found = []
        for _ in range(self._count()):
            found.append(self._name())
            if self._byte() == _CORE:
                self._byte()
            self._number()
            if self._byte():
                self._description(self._byte())
        return found

    def _count(self) -> int:
        count = self._number()
        if count > _NAMES:
            raise ValueError("there are too many names")
        return count

    def _name(self) -> str:
        if self._byte() > 1:
            raise ValueError("a name of a kind that is not known")
        size = self._number()
        self._at += size
        if self._at > len(self._data):
            raise ValueError("a name is cut off")
        return self._data[self._at - size : self._at].decode()

    def _description(self, kind: int) -> None:
        """Go past what says of what type something is."""
        if kind == _CORE:
            if self._byte() != _MODULE:
                raise ValueError("a type of a kind that is not known")
            self._number()
        elif kind in (0x02, 0x03):  # a value or a type: equal to another one, or of a type, or a new resource
            is_equal = self._byte() == 0
            if is_equal or kind == 0x02:
                self._number()
        elif kind in (0x01, 0x04, 0x05):  # a function, a component or an instance
            self._number()
        else:
            raise ValueError("a type of a kind that is not known")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _number(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number is too long")
