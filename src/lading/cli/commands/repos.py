"""`lading repos`: the repositories of a registry."""

from __future__ import annotations

from typing import TypedDict

import click

from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option


class ReposDocument(TypedDict):
    """`lading repos`."""

    registry: str
    repositories: list[str]


@click.command(cls=Command, short_help="List the repositories of a registry")
@click.argument("registry")
@option("--include", multiple=True, metavar="PATTERN", help="Only repositories like this. Repeatable.")
@option("--exclude", multiple=True, metavar="PATTERN", help="No repositories like this. Repeatable.")
@format_option
@common()
def repos(options: Options, registry: str, include: tuple[str, ...], exclude: tuple[str, ...], format_: str) -> None:
    """List the repositories of REGISTRY, where it tells. PATTERN: a glob, re:EXPRESSION, or semver:RANGE.

    \b
    lading repos localhost:5000
    lading repos localhost:5000 --include 'team/*'
    """
    from lading.cli.output import emit
    from lading.registry.auth.scopes import parse_registry

    host = parse_registry(registry)
    names = options.run(lambda client: client.registries.repositories(host, include=include, exclude=exclude))
    document = ReposDocument(registry=host, repositories=names)
    if document["repositories"] or format_ != "text":
        emit(document, format_, lambda: document["repositories"])
    else:
        options.note(f"{host} has no repositories" + (" like that" if include or exclude else ""))
