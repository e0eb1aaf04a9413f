"""YAML whose scalars all stay texts, so that `1.10` is not 1.1, with the places of what it says.

It takes the extra `yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lading.errors import UsageError
from lading.mirror.positions import Path, Position

_VALUES = 100_000
"""How many values a text may stand for: aliases repeat others, and may repeat without end."""


class YamlText:
    """What a YAML text says: `value`, in lists, dicts and texts, and where.

    `<<` takes keys over from another mapping.

    Args:
        text: the YAML, one document.
        what: what the file is called in messages.

    Raises:
        UsageError: it is no YAML, has a key twice, or is too large.
        ModuleNotFoundError: the package for YAML is not installed.
    """

    def __init__(self, text: str, what: str) -> None:
        import yaml

        self._what = what
        self._places: dict[Path, Position] = {}
        self._count = 0
        self.value: Any = None
        try:
            root = yaml.compose(text, yaml.BaseLoader)
            if root is not None:
                self.value = self._read(root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else None
            raise invalid(what, place, f"this is no YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise invalid(what, None, f"this is no YAML: {' '.join(str(error).split())[:200]}") from None
        except (RecursionError, ValueError):
            raise invalid(what, None, "it is nested too deeply, or no valid YAML") from None

    def locate(self, path: Path) -> Position | None:
        """Where a key, or a value of a list, begins: line and column; of what is not there, the nearest around it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path)

    def _read(self, node: Any, path: Path) -> Any:
        self._count += 1
        if self._count > _VALUES:
            raise invalid(self._what, None, f"it stands for more than {_VALUES:,} values")
        if node.id == "scalar":
            return self._whole(node)
        if node.id == "sequence":
            return [self._placed(child, child, (*path, at)) for at, child in enumerate(node.value)]
        found: dict[str, Any] = {}
        own: set[str] = set()
        for key, value in self._pairs(node):
            if key.id != "scalar":
                raise invalid(self._what, _place(key), "a key has to be a text")
            if self._whole(key) in own:
                raise invalid(self._what, _place(key), f"the key {key.value!r} is there twice")
            own.add(key.value)
            found[key.value] = self._placed(key, value, (*path, key.value))
        for base in self._bases(node):
            said = self._read(base, path)
            if not isinstance(said, dict):
                raise invalid(self._what, _place(base), "'<<' takes a mapping, or a list of them")
            found = said | found
        return found

    def _whole(self, node: Any) -> str:
        """The text of a scalar, once it is sure that it is one: an escape such as `\\ud800` is half of a character."""
        text = str(node.value)
        if any("\ud800" <= one <= "\udfff" for one in text):
            raise invalid(self._what, _place(node), "there is half of a character here")
        return text

    def _placed(self, at: Any, node: Any, path: Path) -> Any:
        self._places.setdefault(path, _place(at))
        return self._read(node, path)

    def _pairs(self, node: Any) -> Iterator[tuple[Any, Any]]:
        return ((key, value) for key, value in node.value if not _is_merge(key))

    def _bases(self, node: Any) -> Iterator[Any]:
        """The mappings that a mapping takes keys over from; those of the first count most."""
        for key, value in node.value:
            if _is_merge(key):
                yield from value.value if value.id == "sequence" else [value]


def _is_merge(key: Any) -> bool:
    return bool(key.id == "scalar" and key.value == "<<" and key.style is None)


def _place(node: Any) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def invalid(what: str, place: Position | None, cause: str, remedy: str | None = None) -> UsageError:
    """The error of a mirror file that is not valid."""
    where = f"line {place[0]}, column {place[1]}: " if place else ""
    fields = {"file": what, "line": place[0] if place else None, "column": place[1] if place else None}
    return UsageError(
        f"{what} is not a valid mirror file",
        cause=f"{where}{cause}",
        remedy=remedy,
        code="invalid-mirror-file",
        fields=fields,
    )
