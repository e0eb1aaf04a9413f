"""Registries as such: `registry serve`."""

from __future__ import annotations

import click

from lading.cli.frame import Group, Options, common


@click.group(cls=Group)
def registry() -> None:
    """Run and examine registries."""


@registry.command(short_help="Serve a registry until interrupted")
@click.option(
    "--address",
    metavar="HOST:PORT",
    default="127.0.0.1:5000",
    show_default=True,
    help="Where to listen; port 0 picks a free one.",
)
@click.option("--storage", default="memory", show_default=True, metavar="memory|FOLDER", help="Where content is kept.")
@common(insecure=False)
def serve(options: Options, address: str, storage: str) -> None:
    """Serve a registry until it is interrupted.

    In a FOLDER each repository is an OCI image layout. Nothing but this machine can reach the default address.

    \b
    lading registry serve
    lading registry serve --address 127.0.0.1:0 --storage ./registry
    """
    from lading.serve import open_storage
    from lading.serve import serve as run

    run(open_storage(storage), address, ready=lambda url: click.echo(f"serving {url}"))
