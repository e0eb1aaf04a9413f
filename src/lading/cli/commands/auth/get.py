"""`lading auth get`: the credentials for a registry, with their secret."""

from __future__ import annotations

from typing import TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, authfile_option, common, format_option


class CredentialDocument(TypedDict):
    """`lading auth get`."""

    registry: str
    username: str
    """`<token>` where the secret is a token without a user."""
    secret: str
    kind: str
    """`password`, `identity token` or `registry token`."""
    source: str
    """Where they were found."""


@click.command(cls=Command, short_help="Print the credentials for a registry, with their secret")
@click.argument("subject", metavar="REF")
@authfile_option("--authfile", help="Credentials that come before all others.")
@format_option
@common(insecure=False)
def get(options: Options, subject: str, authfile: str | None, format_: str) -> None:
    """Print the credentials that are used for REF, a reference or a registry: its secret is printed, too.

    As text, they have the form that credential helpers use.

    \b
    lading auth get ghcr.io
    """
    from lading.cli.output import emit
    from lading.cli.wording import typed
    from lading.errors import NotFound

    if authfile:
        options.reach["authfile"] = (authfile,)
    found = options.run(lambda client: client.registries.credential(subject))
    if found is None:
        name = typed(subject)
        raise NotFound(
            f"there are no credentials for {subject}",
            remedy=f"log in with: lading login {name}      see what was tried: lading auth explain {name}",
        )
    secret = found.registry_token or found.identity_token or found.password
    username = found.username if found.kind == "password" else "<token>"
    document = CredentialDocument(
        registry=subject, username=username, secret=secret, kind=found.kind, source=found.source
    )

    def text() -> str:
        import json

        return json.dumps({"ServerURL": subject, "Username": username, "Secret": secret})

    emit(document, format_, text)
