"""Registries as such: `registry serve`."""

from __future__ import annotations

import sys
from typing import Any

import click

from lading.cli.frame import Group, Option, Options, common
from lading.cli.units import duration, size


@click.group(cls=Group)
def registry() -> None:
    """Run and examine registries."""


@registry.command(short_help="Serve a registry until interrupted")
@click.option("--address", metavar="HOST:PORT", default="127.0.0.1:5000", help="Where to listen; port 0 picks one.")
@click.option("--storage", default="memory", metavar="memory|FOLDER", help="Where content is kept.")
@click.option("--auth", metavar="KIND=FILE", help="Users log in: htpasswd=FILE or token=FILE.")
@click.option("--allow", multiple=True, metavar="USER:GLOB:ACTIONS", help="Who may do what; or @FILE. Repeatable.")
@click.option("--token-key", metavar="FILE", help="Keep the key of tokens over restarts.")
@click.option("--public-url", metavar="URL", help="What clients call it, behind a proxy.")
@click.option("--tls-cert", metavar="FILE", help="Serve with TLS, and this certificate.")
@click.option("--tls-key", metavar="FILE", help="Its private key.")
@click.option("--read-only", is_flag=True, help="Refuse every change.")
@click.option("--allow-missing", is_flag=True, help="Take manifests before what they refer to.")
@click.option("--max-manifest", type=size, default="4MiB", metavar="SIZE", help="The largest manifest (4MiB).")
@click.option(
    "--max-uploads",
    cls=Option,
    type=click.IntRange(min=1),
    default=256,
    metavar="N",
    help="Uploads under way at once (256).",
)
@click.option("--max-size", type=size, metavar="SIZE", help="All that is kept, such as 50GB.")
@click.option("--upload-expiry", type=duration, default="24h", metavar="TIME", help="Forget idle uploads (24h).")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of the log, on stderr.")
@common(verbose_flag=False, insecure=False)
def serve(
    options: Options,
    address: str,
    storage: str,
    tls_cert: str | None,
    tls_key: str | None,
    log_format: str,
    **given: Any,
) -> None:
    """Serve a registry until it is interrupted.

    In a FOLDER each repository is an OCI image layout. Nothing but this machine can reach the default address.

    FILE has USER:HASH lines, made by htpasswd -B. ACTIONS are pull, push, delete or *. The USER * is everybody who
    logged in, anonymous is anybody.

    \b
    lading registry serve --storage ./registry
    lading registry serve --auth token=users --allow 'ci:*:push' --allow 'anonymous:*:pull'
    """
    from lading.serve import Settings, open_storage
    from lading.serve import serve as run

    _log(log_format, options)
    settings = Settings(**given)
    _warn(options, address, settings.auth is not None, tls_cert is not None)
    run(
        open_storage(storage, read_only=settings.read_only),
        address,
        settings,
        tls_cert=tls_cert,
        tls_key=tls_key,
        ready=lambda url: click.echo(f"serving {url}"),
    )


def _warn(options: Options, address: str, guarded: bool, encrypted: bool) -> None:
    """Say what others on the network could do."""
    from lading.registry.links import is_loopback

    host = address.rpartition(":")[0].strip("[]")
    if not host or is_loopback(host) or (guarded and encrypted):
        return
    if not guarded:
        options.warn(f"everybody who can reach {address} can read and change everything: see --auth")
    if not encrypted:
        what = "passwords and content" if guarded else "content"
        options.warn(f"{what} can be read on the way to {address}: see --tls-cert")


def _log(format: str, options: Options) -> None:
    """Write the log to stderr: every request and every failure, or with --quiet only failures."""
    import logging

    from lading.serve.access_log import JSONFormatter, TextFormatter

    handler = logging.StreamHandler(sys.stderr)
    formatter = JSONFormatter if format == "json" else TextFormatter
    handler.setFormatter(formatter(tracebacks=options.verbose))
    for name in ("lading", "uvicorn"):
        logging.getLogger(name).addHandler(handler)
    logging.getLogger("lading").setLevel(logging.WARNING if options.quiet else logging.INFO)
