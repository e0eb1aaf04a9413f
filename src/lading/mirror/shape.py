"""Whether a document has the shape of a value: its keys, and the words that a value may be. Knows no formats.

`msgspec` sees to the rest; of these it tells neither which key nor which word was meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from lading.mirror.config import CUSTOM
from lading.mirror.positions import Path

T = TypeVar("T")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


class Misshapen(Exception):
    """A document has not the shape that is wanted.

    Args:
        path: where in it.
        cause: what is wrong there.
        remedy: what to do, where that is known.
    """

    def __init__(self, path: Path, cause: str, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.path = path
        self.cause = cause
        self.remedy = remedy


def shaped(document: Any, kind: type[T], *, is_text: bool = False) -> T:
    """A document as a value.

    Args:
        document: lists, dicts and plain values.
        kind: what it is to be: a `msgspec.Struct`.
        is_text: whether all plain values are texts, that may stand for numbers, true and false.

    Raises:
        Misshapen: it has another shape.
    """
    _check(document, inspect.type_info(kind), (), is_text=is_text)
    return _convert(document, kind, (), is_text=is_text)


def _convert(document: Any, kind: type[T], outside: Path, *, is_text: bool) -> T:
    try:
        return msgspec.convert(document, kind, strict=not is_text, dec_hook=_read_custom)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$")
        raise Misshapen((*outside, *_path(where.rstrip("`"))), _worded(said)) from None


def _read_custom(kind: type, value: Any) -> Any:
    return CUSTOM[kind].read(value)


def _path(where: str) -> Path:
    """The path that `msgspec` writes such as `.mirror[0].newest`."""
    return tuple(key or int(index) for key, index in re.findall(r"\.([\w-]+)|\[([0-9]+)\]", where))


def _check(value: Any, kind: Any, path: Path, *, is_text: bool) -> None:
    match kind:
        case inspect.Metadata():
            _check(value, kind.type, path, is_text=is_text)
        case inspect.UnionType():
            _check_any(value, kind.types, path, is_text=is_text)
        case inspect.StructType():
            _check_table(value, kind, path, is_text=is_text)
        case inspect.DictType() if isinstance(value, dict):
            for key, one in value.items():
                _check(one, kind.value_type, (*path, key), is_text=is_text)
                if isinstance(kind.value_type, inspect.StructType):
                    # Of a table in a dict, msgspec would not tell whose it is.
                    _convert(one, kind.value_type.cls, (*path, key), is_text=is_text)
        case inspect.VarTupleType() if isinstance(value, list):
            for at, one in enumerate(value):
                _check(one, kind.item_type, (*path, at), is_text=is_text)
        case inspect.LiteralType() if value not in kind.values:
            words = [str(word) for word in kind.values]
            raise Misshapen(path, f"{value!r} is none of {', '.join(words)}", _meant(value, words))
        case _:
            pass


def _check_any(value: Any, kinds: Sequence[Any], path: Path, *, is_text: bool) -> None:
    """Check against those of several types that a value can be of by its form."""
    forms: dict[type, tuple[type, ...]] = {
        dict: (inspect.StructType, inspect.DictType),
        list: (inspect.VarTupleType,),
        str: (inspect.LiteralType,),
    }
    for kind in kinds:
        inner = kind.type if isinstance(kind, inspect.Metadata) else kind
        if isinstance(inner, forms.get(type(value), ())):
            _check(value, inner, path, is_text=is_text)


def _check_table(value: Any, kind: inspect.StructType, path: Path, *, is_text: bool) -> None:
    if not isinstance(value, dict):
        raise Misshapen(path, f"expected a table, and found {value!r}" if path else "it is no table of keys")
    fields = {field.encode_name: field for field in kind.fields}
    for key, one in value.items():
        if key not in fields:
            raise Misshapen((*path, key), f"there is no key {key!r} here", _meant(key, list(fields)))
        _check(one, fields[key].type, (*path, key), is_text=is_text)
    for name, field in fields.items():
        if field.required and name not in value:
            raise Misshapen(path, f"the key {name!r} is missing")


def _meant(said: Any, words: list[str]) -> str:
    close = get_close_matches(str(said).replace("_", "-").lower(), words, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(words)}"


def _worded(said: str) -> str:
    """What `msgspec` says of a value, in words."""
    if wrong := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", said):
        wanted = [_NAMES.get(name, name) for name in wrong[1].split(" | ") if name != "null"]
        return f"expected {' or '.join(wanted)}, and found {_NAMES.get(wrong[2], wrong[2])}"
    if limit := re.fullmatch(r"Expected `(\w+)` (>=|>) ([\d.]+)", said):
        return f"expected {'at least' if limit[2] == '>=' else 'more than'} {limit[3].removesuffix('.0')}"
    return said
