"""Edits of artifacts as options: what is typed becomes an edit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lading.cli.editing import EditOption, key_value

if TYPE_CHECKING:
    from lading.images.edits.edit import Edit

F = TypeVar("F", bound=Callable[..., Any])
Scope = Literal["manifest", "config", "file"]
_FILE = re.compile(r"file\[(.+?)\](?::|\Z)", re.DOTALL)


def artifact_edit_options(function: F) -> F:
    """Add the edits of artifacts to an `EditCommand`."""
    for name, make, metavar, text in reversed(_EDITS):
        function = click.option(name, cls=EditOption, make=make, metavar=metavar, help=text)(function)
    return function


def _annotation(text: str) -> Edit:
    scope, file, rest = _scoped(text)
    return _set(scope, file, *key_value(rest, "--annotation"))


def _no_annotation(text: str) -> Edit:
    scope, file, name = _scoped(text)
    if not name:
        raise click.UsageError(f"--remove-annotation: {text!r} is no [SCOPE:]KEY")
    return _set(scope, file, name, None)


def _clear(text: str) -> Edit:
    from lading.artifacts.edits import ClearAnnotations

    scope, file, rest = _scoped(text if text.startswith("file[") else f"{text}:")
    if rest:
        raise click.UsageError(f"--clear-annotations: {text!r} is not manifest, config or file[TITLE]")
    return ClearAnnotations(scope, file)


def _type(text: str) -> Edit:
    from lading.artifacts.edits import SetArtifactType

    return SetArtifactType(text or None)


def _set(scope: Scope, file: str | None, name: str, value: str | None) -> Edit:
    from lading.artifacts.edits import SetBlobAnnotation
    from lading.images.edits.annotations import SetAnnotation

    return SetAnnotation(name, value) if scope == "manifest" else SetBlobAnnotation(file, name, value)


def _scoped(text: str) -> tuple[Scope, str | None, str]:
    """Whose annotation is meant, of which file, and the rest of what was typed."""
    if (match := _FILE.match(text)) is not None:
        return "file", match[1], text[match.end() :]
    scopes: tuple[Scope, ...] = ("manifest", "config")
    for scope in scopes:
        if text.startswith(f"{scope}:"):
            return scope, None, text.removeprefix(f"{scope}:")
    return "manifest", None, text


_EDITS: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--annotation", _annotation, "[SCOPE:]KEY=VALUE", "Set an annotation."),
    ("--remove-annotation", _no_annotation, "[SCOPE:]KEY", "Take an annotation away."),
    ("--clear-annotations", _clear, "SCOPE", "Take all away; a file keeps its title."),
    ("--artifact-type", _type, "TYPE", "What the artifact is; empty takes it away."),
)
