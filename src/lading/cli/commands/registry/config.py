"""`lading registry config`: the settings that count, and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.registry.diagnose.settings import ConfigDocument, HostDocument


@click.command(cls=Command, short_help="Show the settings that count, and where they come from")
@click.argument("host", required=False)
@format_option
@common()
def config(options: Options, host: str | None, format_: str) -> None:
    """Show the settings of HOST, or of every host that is configured, and where each comes from.

    What counts first: options, lading's config.toml, certs.d, registries.conf. Secrets are masked, and nothing
    is sent.

    \b
    lading registry config ghcr.io
    lading registry config --format '{{ file }}'
    """
    from lading.cli.output import emit
    from lading.cli.wording import sourced
    from lading.registry.auth.scopes import parse_registry
    from lading.registry.diagnose.settings import effective

    found = effective(options.config(), parse_registry(host) if host is not None and host != "*" else host)
    for one in found.hosts:
        one.settings[:] = map(sourced, one.settings)
    emit(found, format_, lambda: _config(found))


def _config(found: ConfigDocument) -> list[str]:
    parts = [f"{found.file}{'' if found.exists else ' (not there)'}"] if len(found.hosts) != 1 else []
    parts += [line for host in found.hosts for line in _host(host)]
    if found.aliases and len(found.hosts) != 1:
        width = max(map(len, found.aliases))
        parts += ["aliases", *(f"  {name:{width}}  {name_}" for name, name_ in found.aliases.items())]
    return parts


def _host(host: HostDocument) -> list[str]:
    from lading.cli.output import table

    rows = [("SETTING", "VALUE", "FROM"), *((s.name, _value(s.value), s.source) for s in host.settings)]
    return [host.host, *table(rows, indent="  ")]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text}" for name, text in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)
