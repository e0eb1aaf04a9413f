"""Writes `docs/json.md`: what `--format json` prints, from the classes that are printed.

    python docs/describe_json.py > docs/json.md

A field's meaning is the text below it in its class.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Union

from lading.cli.documents import COMMANDS, document_of, fields_of, inner_document
from lading.model.digest import Digest
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.stores.location import Location

HEAD = """\
# What `--format json` prints

One document per command, on stdout, with every field always present. Fields may be added; none is renamed or removed,
and none changes its meaning. `--format TEMPLATE` is a Jinja2 template over the same document, such as
`lading inspect alpine --format '{{ digest }}'`; the filter `json` writes a value as JSON. In what a template prints,
control characters are escaped, since a terminal would obey them.

This page is made by `docs/describe_json.py`.
"""


def page() -> str:
    """All of it."""
    return "\n".join([HEAD, *(_section(command, document_of(command)) for command in COMMANDS)])


def _section(command: str, document: type) -> str:
    lines = [f"## `lading {command}`", "", *_table(document)]
    for part in dict.fromkeys(_parts(document)):
        lines += ["", f"Each `{part.__name__}`:", "", *_table(part)]
    return "\n".join([*lines, ""])


def _table(document: type) -> list[str]:
    meanings = _meanings(document)
    return [
        "| field | type | |",
        "|---|---|---|",
        *(f"| `{name}` | {_named(kind)} | {meanings.get(name, '')} |" for name, kind in fields_of(document).items()),
    ]


def _meanings(document: type) -> dict[str, str]:
    """What is written below each field or property."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(document))).body
    assert isinstance(body, ast.ClassDef)
    meanings = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            assert isinstance(after.value, ast.Constant)
            meanings[field.target.id] = str(after.value.value)
    for part in body.body:
        if isinstance(part, ast.FunctionDef):
            meanings[part.name] = ast.get_docstring(part) or ""
    return {name: " ".join(said.split()).replace("|", "\\|").replace("None", "null") for name, said in meanings.items()}


def _parts(document: type) -> Iterator[type]:
    """The documents within a document, outermost first; what is within itself is gone into once."""
    for kind in fields_of(document).values():
        for part in (kind, *typing.get_args(kind)):
            if (inner := inner_document(part)) is not None:
                yield inner
                if inner is not document:
                    yield from _parts(inner)


def _named(kind: Any) -> str:
    """A type as JSON has it."""
    simple = {int: "integer", bool: "boolean", datetime: "string, RFC 3339", type(None): "null"}
    simple |= {float: "number", Any: "any value"}
    simple |= dict.fromkeys((str, Digest, Location, Platform, Reference), "string")
    if kind in simple:
        return simple[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (types.UnionType, Union):
        return " or ".join(_named(argument) for argument in arguments)
    if origin in (list, tuple):
        return f"list of {_named(arguments[0])}"
    if origin in (dict, Mapping):
        return "object" if arguments[1] in (Any, object) else f"object of {_named(arguments[1])}"
    return f"`{(inner_document(kind) or kind).__name__}`"


if __name__ == "__main__":
    sys.stdout.write(page())
