"""`lading logout`: credentials that are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, authfile_option, common, format_option

if TYPE_CHECKING:
    from lading.client import AsyncClient


class LogoutDocument(TypedDict):
    """`lading logout`."""

    registry: str
    removed: bool
    """Whether there was something to forget."""
    left: str | None
    """Where there still are credentials for it, if anywhere."""


@click.command(cls=Command, short_help="Forget credentials")
@click.argument("registry", default="docker.io")
@authfile_option("--authfile", help="The file that they are kept in.")
@format_option
@common(insecure=False)
def logout(options: Options, registry: str, authfile: str | None, format_: str) -> None:
    """Forget the credentials of a REGISTRY (docker.io by default), and the tokens that were got with them.

    \b
    lading logout ghcr.io
    """
    from lading.cli.output import emit
    from lading.errors import LadingError

    async def forget(client: AsyncClient) -> LogoutDocument:
        known = await client.registries.logout(registry, authfile=authfile)
        try:
            left = await client.registries.credential(registry)
        except LadingError:
            left = None  # what is left cannot be read; that is another matter
        return LogoutDocument(registry=registry, removed=known, left=left.source if left is not None else None)

    document = options.run(forget)
    if document["left"] and format_ == "text":
        options.note(f"credentials for {registry} are still in {document['left']}")
    emit(
        document,
        format_,
        lambda: f"{'Removing login credentials for' if document['removed'] else 'Not logged in to'} {registry}",
    )
