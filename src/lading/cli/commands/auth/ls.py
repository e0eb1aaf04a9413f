"""`lading auth ls`: what credentials are kept for, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.registry.auth.credentials import Login


class LoginsDocument(TypedDict):
    """`lading auth ls`."""

    logins: list[Login]


@click.command(cls=Command, short_help="List what credentials are kept for")
@format_option
@common(insecure=False)
def ls(options: Options, format_: str) -> None:
    """List what credentials are kept for, in the order of the places that they are kept in; no secret is printed.

    \b
    lading auth ls
    """
    from lading.cli.output import emit, table

    document = LoginsDocument(logins=options.run(lambda client: client.registries.logins()))

    def text() -> list[str]:
        rows = [[one.registry, one.username or "(a token)", one.kept_in] for one in document["logins"]]
        return [row[0] for row in rows] if options.quiet else table([["FOR", "USER", "KEPT IN"], *rows])

    if document["logins"] or format_ != "text":
        emit(document, format_, text)
    else:
        options.note("no credentials are kept; log in with: lading login REGISTRY")
