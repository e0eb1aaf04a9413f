"""`lading auth ls`: what credentials are kept for, and where."""

from __future__ import annotations

from typing import TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


class LoginSummary(TypedDict):
    """Credentials that are kept somewhere."""

    registry: str
    """What they are for: a registry, or a namespace or repository in it."""
    username: str
    """Empty where there is a token only."""
    kept_in: str
    """A path, a variable or a helper."""


class LoginsDocument(TypedDict):
    """`lading auth ls`."""

    logins: list[LoginSummary]


@click.command(cls=Command, short_help="List what credentials are kept for")
@format_option
@common(insecure=False)
def ls(options: Options, format_: str) -> None:
    """List what credentials are kept for, in the order of the places that they are kept in; no secret is printed.

    \b
    lading auth ls
    """
    from lading.cli.output import emit, table

    logins = options.run(lambda client: client.registries.logins())
    document = LoginsDocument(
        logins=[LoginSummary(registry=login.key, username=login.username, kept_in=login.place) for login in logins]
    )

    def text() -> str:
        rows = [[one["registry"], one["username"] or "(a token)", one["kept_in"]] for one in document["logins"]]
        return "\n".join(row[0] for row in rows) if options.quiet else table([["FOR", "USER", "KEPT IN"], *rows])

    if document["logins"] or format_ != "text":
        emit(document, format_, text)
    else:
        options.note("no credentials are kept; log in with: lading login REGISTRY")
