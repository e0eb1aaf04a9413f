"""What commands that show referrers share: which of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from lading.cli import values
from lading.cli.groups import option

F = TypeVar("F", bound=Callable[..., Any])


ARTIFACT_TYPES = click.option(
    "--artifact-type",
    "artifact_types",
    multiple=True,
    metavar="PATTERN",
    help="Of referrers, only such types. Repeatable.",
)

REFERRERS_IN = option(
    "--referrers-in", type=values.location, metavar="LOCATION", help="Where referrers are, if that is another place."
)


def referrer_options(function: F) -> F:
    """Add which referrers are wanted: `--artifact-type` and `--filter-annotation`."""
    for add in (
        click.option(
            "--filter-annotation", multiple=True, metavar="KEY[=VALUE]", help="Of referrers, only such. Repeatable."
        ),
        ARTIFACT_TYPES,
    ):
        function = add(function)
    return function


def wanted_annotations(texts: Iterable[str]) -> dict[str, str | None]:
    """The annotations that referrers have to have, each with its value; None for any.

    Args:
        texts: the values of `--filter-annotation`: `KEY=VALUE`, or `KEY`.
    """
    wanted: dict[str, str | None] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key:
            raise click.UsageError(f"--filter-annotation: {text!r} is not KEY=VALUE or KEY")
        wanted[key] = value if equals else None
    return wanted
