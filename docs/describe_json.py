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
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, Union

import msgspec

from lading.cli import documents
from lading.drafts import draft, operations
from lading.images.lint import Report
from lading.images.overview import Overview
from lading.registry.diagnose.check import Checkup
from lading.registry.diagnose.explain import Explanation
from lading.registry.diagnose.pull_limits import PullLimits
from lading.registry.diagnose.settings import ConfigDocument
from lading.transfer.report import CopyReport

COMMANDS: dict[str, type[msgspec.Struct]] = {
    "inspect": Overview,
    "digest": documents.DigestDocument,
    "tag": documents.TagDocument,
    "tags": documents.TagsDocument,
    "repos": documents.ReposDocument,
    "copy": CopyReport,
    "pull": CopyReport,
    "push": CopyReport,
    "resolve": documents.ResolveDocument,
    "lint": Report,
    "delete": documents.DeleteDocument,
    "manifest inspect": documents.ManifestDocument,
    "manifest push": documents.PushDocument,
    "manifest ls": documents.DraftsDocument,
    "registry gc": documents.GarbageDocument,
    "registry check": Checkup,
    "registry limits": PullLimits,
    "registry config": ConfigDocument,
    "login": documents.LoginDocument,
    "logout": documents.LogoutDocument,
    "auth explain": Explanation,
    "auth token": documents.TokenDocument,
    "auth ls": documents.LoginsDocument,
    "auth get": documents.CredentialDocument,
    "version": documents.VersionDocument,
}

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
    return "\n".join([HEAD, *(_section(command, document) for command, document in COMMANDS.items())])


def _section(command: str, document: type[msgspec.Struct]) -> str:
    lines = [f"## `lading {command}`", "", *_table(document)]
    for part in _parts(document):
        lines += ["", f"Each `{part.__name__}`:", "", *_table(part)]
    return "\n".join([*lines, ""])


def _table(struct: type[msgspec.Struct]) -> list[str]:
    meanings = _meanings(struct)
    return [
        "| field | type | |",
        "|---|---|---|",
        *(f"| `{name}` | {_named(kind)} | {meanings.get(name, '')} |" for name, kind in _fields(struct).items()),
    ]


def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    # What the documents import for type checkers only is not in their modules.
    names = {"Draft": draft.Draft, "Status": operations.Status, "Any": Any, "datetime": datetime}
    return typing.get_type_hints(struct, vars(sys.modules[struct.__module__]) | names)


def _meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What is written below each field."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(body, ast.ClassDef)
    meanings = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            assert isinstance(after.value, ast.Constant)
            said = " ".join(str(after.value.value).split())
            meanings[field.target.id] = said.replace("|", "\\|").replace("None", "null")
    return meanings


def _parts(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The structs within a struct, each once, outermost first."""
    for kind in _fields(struct).values():
        for inner in (kind, *typing.get_args(kind)):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield inner
                yield from _parts(inner)


def _named(kind: Any) -> str:
    """A type as JSON has it."""
    simple = {str: "string", int: "integer", bool: "boolean", datetime: "string, RFC 3339", type(None): "null"}
    if kind in simple:
        return simple[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (types.UnionType, Union):
        return " or ".join(_named(argument) for argument in arguments)
    if origin is list:
        return f"list of {_named(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] in (Any, object) else f"object of {_named(arguments[1])}"
    return f"`{kind.__name__}`"


if __name__ == "__main__":
    sys.stdout.write(page())
