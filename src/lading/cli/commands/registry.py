"""Registries as such: `registry serve`, `registry gc`; those that examine others are in `hosts`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lading.cli.frame import Group, Option, Options, common, format_option
from lading.cli.units import age, duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lading.cli.documents import GarbageDocument
    from lading.serve import Garbage


@click.group(cls=Group, commands_in=dict.fromkeys(("check", "limits", "config"), "lading.cli.commands.hosts"))
def registry() -> None:
    """Run and examine registries."""


@registry.command(short_help="Serve a registry until interrupted")
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
    lading registry serve --auth token=users --allow 'ci:*:push' --allow 'anonymous:*:pull'
    lading registry serve --proxy-of docker.io --storage ./cache
    """
    from lading.serve import Settings, open_storage
    from lading.serve import proxy_of as in_front_of
    from lading.serve import serve as run

    _check_proxy(proxy_of, options.insecure)
    settings = Settings(**given)

    def ready(url: str) -> None:
        _warn(options, address, settings.auth is not None, tls_cert is not None)
        click.echo(f"serving {url}")

    with _logging(log_format, options):
        content = open_storage(storage, read_only=settings.read_only)
        if proxy_of is not None:
            content = in_front_of(proxy_of, content, insecure=options.insecure)
        run(content, address, settings, tls_cert=tls_cert, tls_key=tls_key, ready=ready)


def _check_proxy(proxy_of: str | None, insecure: bool) -> None:
    """Refuse options that would mean nothing."""
    if proxy_of is None:
        if insecure:
            raise click.UsageError("--insecure is about the registry of --proxy-of")
        return
    for name in ("read_only", "allow_missing", "max_manifest", "max_uploads", "max_size", "upload_expiry"):
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

    from lading.serve.access_log import JSONFormatter, TextFormatter

    handler = logging.StreamHandler(sys.stderr)
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


@registry.command(short_help="Remove what nothing refers to from a registry's folder")
@click.argument("folder")
@click.option("--older-than", type=age, default="24h", metavar="TIME", help="Leave what was used more lately (24h).")
@click.option("--untagged", is_flag=True, help="Remove manifests without a tag, too.")
@click.option("--dry-run", is_flag=True, help="Remove nothing; print what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask about manifests without a tag.")
@format_option
@common(verbose_flag=False, insecure=False)
def gc(
    options: Options, folder: str, older_than: float, untagged: bool, dry_run: bool, yes: bool, format_: str
) -> None:
    """Remove what nothing refers to from the FOLDER of a registry, which may be running, or from a layout, oci:DIR.

    Manifests stay, tagged or not, with all that they refer to and all that refers to them. With --untagged, those go
    that have no tag, unless one that stays leads to them.

    \b
    lading registry gc ./registry --dry-run
    lading registry gc ./registry --untagged --older-than 7d --yes
    """
    import asyncio
    from pathlib import Path

    from lading.cli.output import emit
    from lading.errors import NotFound
    from lading.serve import Folder

    layout = folder.startswith("oci:")
    if not layout and not Path(folder).is_dir():
        raise NotFound(f"{folder} does not exist", cause="a registry keeps its content in a folder or in memory")

    def collect(only_look: bool) -> Garbage:
        gc = _of_layout(folder) if layout else Folder(folder, read_only=True).gc
        return asyncio.run(gc(dry_run=only_look, grace=older_than, untagged=untagged))

    if untagged and not (dry_run or yes):
        _ask(options, collect(True))
    found = collect(dry_run)
    document = _document(folder, found, dry_run)
    if format_ == "text":
        if dry_run and found.content and not options.quiet:
            emit(document, format_, lambda: _table(document))
        options.note(_summary(document))
    else:
        emit(document, format_, str)
    for name, error in found.failed:
        options.warn(f"nothing was removed from {name}: {error}")
    if found.failed:
        raise click.exceptions.Exit(found.failed[0][1].exit_code)


def _of_layout(text: str) -> Callable[..., Coroutine[Any, Any, Garbage]]:
    """The collection of a layout's garbage, told like a registry's."""
    from lading.errors import UsageError
    from lading.serve.storage.folder import Garbage
    from lading.stores.layout.layout import Layout
    from lading.stores.location import parse_location

    location = parse_location(text)
    if location.is_named:
        raise UsageError(f"{text} names one manifest", remedy=f"to delete it: lading delete {text}")

    async def gc(**how: Any) -> Garbage:
        found = await Layout(location.path).gc(**how)
        return Garbage(tuple((location.place, item) for item in found.content), found.parts, found.bytes)

    return gc


def _ask(options: Options, going: Garbage) -> None:
    """Ask before manifests go that somebody may know by their digests."""
    from lading.cli.output import count
    from lading.errors import UsageError

    manifests = [f"{name}@{item.digest}" for name, item in going.content if item.media_type]
    if not manifests:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "nothing was removed, because there is nobody to ask",
            cause=f"{count(len(manifests), 'manifest')} would go that may be known by digest",
            remedy="see them with --dry-run; to remove them without being asked: --yes",
        )
    for manifest in manifests:
        click.echo(f"would remove {manifest}", err=True)
    options.ask("Remove?", "nothing was removed")


def _document(folder: str, found: Garbage, dry_run: bool) -> GarbageDocument:
    from lading.cli.documents import GarbageDocument, GarbageItemDocument

    return GarbageDocument(
        folder=folder,
        removed=[
            GarbageItemDocument(
                repository=name, digest=str(item.digest), size=item.size, media_type=item.media_type or None
            )
            for name, item in found.content
        ],
        unfinished=found.unfinished,
        bytes=found.bytes,
        failed={name: str(error) for name, error in found.failed},
        dry_run=dry_run,
    )


def _table(document: GarbageDocument) -> str:
    from lading.cli.output import short, size, table

    rows = [
        [item.repository, "manifest" if item.media_type else "blob", short(item.digest), size(item.size)]
        for item in document.removed
    ]
    return table([["REPOSITORY", "WHAT", "DIGEST", "SIZE"], *rows], right=[3])


def _summary(document: GarbageDocument) -> str:
    from lading.cli.output import count, size

    manifests = sum(item.media_type is not None for item in document.removed)
    blobs = len(document.removed) - manifests
    numbers = {"manifest": manifests, "blob": blobs, "unfinished file": document.unfinished}
    parts = [count(number, noun) for noun, number in numbers.items() if number]
    if not parts:
        return "Nothing to remove"
    what = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return f"{'Would remove' if document.dry_run else 'Removed'} {what}: {size(document.bytes)}"
