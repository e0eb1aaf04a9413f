"""`lading image edit`: another config, other annotations, without a build."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli import values
from lading.cli.config_edits import daily_options, label, rare_options
from lading.cli.editing import EditCommand, EditOption, key_value, run_edit, taken_edits, target_options
from lading.cli.layer_edits import layer_edit_options
from lading.cli.options import Options, common

if TYPE_CHECKING:
    from lading.images.edits.annotations import Scope
    from lading.images.edits.edit import Edit


F = TypeVar("F", bound=Callable[..., Any])


def _no_label(name: str) -> Edit:
    from lading.images.edits.config import SetLabel

    return SetLabel(name, None)


def _env(text: str) -> Edit:
    from lading.images.edits.config import SetEnv

    return SetEnv(*key_value(text, "--env"))


def _no_env(name: str) -> Edit:
    from lading.images.edits.config import SetEnv

    return SetEnv(name, None)


def _annotation(text: str) -> Edit:
    from lading.images.edits.annotations import SetAnnotation

    scope, rest = _scoped(text)
    return SetAnnotation(*key_value(rest, "--annotation"), scope)


def _no_annotation(text: str) -> Edit:
    from lading.images.edits.annotations import SetAnnotation

    scope, name = _scoped(text)
    return SetAnnotation(name, None, scope)


def _scoped(text: str) -> tuple[Scope, str]:
    """Whose annotation is meant, and the rest of what was typed."""
    scopes: tuple[Scope, ...] = ("manifest", "index", "descriptor")
    for scope in scopes:
        if text.startswith(f"{scope}:"):
            return scope, text.removeprefix(f"{scope}:")
    return "manifest", text


def _edit_option(name: str, make: Callable[[str], Edit], metavar: str, help: str) -> Callable[[F], F]:
    return click.option(name, cls=EditOption, make=make, metavar=metavar, help=help)


@click.command(cls=EditCommand, short_help="Change config, annotations and layers of an image")
@click.argument("reference", type=values.location, metavar="REF")
@_edit_option("--label", label, "KEY=VALUE", "Set a label.")
@_edit_option("--env", _env, "KEY=VALUE", "Set a variable.")
@_edit_option("--annotation", _annotation, "[SCOPE:]KEY=VALUE", "Set an annotation.")
@target_options
@daily_options
@_edit_option("--remove-label", _no_label, "KEY", "Take a label away.")
@_edit_option("--remove-env", _no_env, "KEY", "Take a variable away.")
@_edit_option("--remove-annotation", _no_annotation, "[SCOPE:]KEY", "Take an annotation away.")
@layer_edit_options
@rare_options
@common(pushes=True)
def edit(options: Options, reference: str, **given: Any) -> None:
    """Change an image, or all images of an index, and write the result to TARGET.

    Edits are applied in their order. SCOPE is manifest (default), index, or descriptor: the entry in the index.

    \b
    lading image edit reg.example/app:1.4 --label team=web -t 1.4-web
    lading image edit reg.example/app:1.4 --env LOG=debug --in-place
    """
    run_edit(options, reference, taken_edits(given), given)
