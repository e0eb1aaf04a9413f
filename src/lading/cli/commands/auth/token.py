"""`lading auth token`: a token that a registry takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, scope_option


class TokenDocument(TypedDict):
    """`lading auth token`."""

    token: str
    """A secret."""
    account: str
    """Whose it is; empty for anybody's."""
    scopes: list[str]
    """What was asked for."""
    expires: datetime
    """When lading stops using it, a little before its end."""


@click.command(cls=Command, short_help="Print a token that a registry takes")
@click.argument("subject", metavar="REF")
@scope_option
@format_option
@common()
def token(options: Options, subject: str, scopes: tuple[str, ...], format_: str) -> None:
    """Print a Bearer token for REF, a reference or a registry: a secret, for as long as it lasts.

    \b
    TOKEN=$(lading auth token ghcr.io/acme/web)
    curl -H "Authorization: Bearer $TOKEN" https://ghcr.io/v2/acme/web/tags/list
    """
    from lading.cli.output import emit

    found = options.run(lambda client: client.registries.token(subject, scopes))
    expires = datetime.fromtimestamp(found.expires, UTC)
    document = TokenDocument(
        token=found.value, account=found.account, scopes=[str(scope) for scope in found.scopes], expires=expires
    )
    emit(document, format_, lambda: found.value)
