"""`lading registry serve`: a registry that is served until it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from lading.cli import values
from lading.cli.groups import Command, Option
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Serve a registry until interrupted")
@click.option("--address", metavar="HOST:PORT", default="127.0.0.1:5000", help="Where to listen; port 0 picks one.")
@click.option("--storage", default="memory", metavar="memory|FOLDER", help="Where content is kept.")
@click.option("--proxy-of", metavar="REGISTRY", help="Get from there what is not here, and keep it.")
@click.option("--auth", metavar="KIND=FILE", help="Users log in: htpasswd=FILE or token=FILE.")
@click.option("--allow", multiple=True, metavar="USER:GLOB:ACTIONS", help="Who may do what; or @FILE. Repeatable.")
@click.option("--token-key", metavar="FILE", help="Keep the key of tokens over restarts.")
@click.option("--public-url", metavar="URL", help="What clients call it, behind a proxy.")
@click.option("--tls-cert", metavar="FILE", help="Serve with TLS, and this certificate.")
@click.option("--tls-key", metavar="FILE", help="Its private key.")
@click.option("--read-only", is_flag=True, help="Refuse every change.")
@click.option("--allow-missing", is_flag=True, help="Take manifests before what they refer to.")
@click.option("--max-manifest", type=values.size, default="4MiB", metavar="SIZE", help="The largest manifest (4MiB).")
@click.option(
    "--max-uploads",
    cls=Option,
    type=click.IntRange(min=1),
    default=256,
    metavar="N",
    help="Uploads under way at once (256).",
)
@click.option(
    "--min-upload-rate",
    type=values.size,
    default="1KiB",
    metavar="SIZE",
    help="Slower pushes end with 408 (1KiB a second).",
)
@click.option("--max-size", type=values.size, metavar="SIZE", help="All that is kept, such as 50GB.")
@click.option("--upload-expiry", type=values.duration, default="24h", metavar="TIME", help="Forget idle uploads (24h).")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of the log, on stderr.")
@common(verbose_flag=False)
def serve(
    options: Options,
    address: str,
    storage: str,
    proxy_of: str | None,
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
    lading registry serve --auth token=users --allow 'ci:*:push'
    lading registry serve --proxy-of docker.io --storage ./cache
    """
    from lading.cli.output import say
    from lading.serve import Settings, open_storage
    from lading.serve import proxy_of as in_front_of
    from lading.serve import serve as run

    _check_proxy(proxy_of, options.insecure)
    settings = Settings(**given)

    def ready(url: str) -> None:
        _warn(options, address, settings.auth is not None, tls_cert is not None)
        say(f"serving {url}")

    with _logging(log_format, options):
        content = open_storage(storage, read_only=settings.read_only, on_wait=options.warn)
        if proxy_of is not None:
            content = in_front_of(proxy_of, content, insecure=options.insecure)
        run(content, address, settings, tls_cert=tls_cert, tls_key=tls_key, ready=ready)


def _check_proxy(proxy_of: str | None, insecure: bool) -> None:
    """Refuse options that would mean nothing."""
    if proxy_of is None:
        if insecure:
            raise click.UsageError("--insecure is about the registry of --proxy-of")
        return
    pushes = (
        "read_only",
        "allow_missing",
        "max_manifest",
        "max_uploads",
        "min_upload_rate",
        "max_size",
        "upload_expiry",
    )
    for name in pushes:
        if click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is about what is pushed, and with --proxy-of nothing is")


def _warn(options: Options, address: str, guarded: bool, encrypted: bool) -> None:
    """Say what others on the network could do."""
    from lading.registry.urls import is_loopback

    host = address.rpartition(":")[0].strip("[]")
    if is_loopback(host):
        return
    if not guarded:
        options.warn(f"everybody who can reach {host} can read and change everything: see --auth")
    if not encrypted:
        what = "passwords and content" if guarded else "content"
        options.warn(f"{what} can be read on the way to {host}: see --tls-cert")


@contextmanager
def _logging(format: str, options: Options) -> Iterator[None]:
    """Write the log to stderr meanwhile: every request and every failure, or with --quiet only failures."""
    import logging

    from lading.cli.logs import LogHandler
    from lading.serve.access_log import JSONFormatter, TextFormatter

    handler = LogHandler()
    formatter = JSONFormatter if format == "json" else TextFormatter
    handler.setFormatter(formatter(tracebacks=options.verbose))
    ours, servers = (logging.getLogger(name) for name in ("lading", "uvicorn"))
    before = ours.level
    ours.setLevel(logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO)
    for logger in (ours, servers):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (ours, servers):
            logger.removeHandler(handler)
        ours.setLevel(before)
