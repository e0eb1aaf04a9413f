"""Registries as they are reached: `registry check|limits|config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli.frame import Command, Options, common, format_option, place

if TYPE_CHECKING:
    from lading.registry.diagnose.check import Checkup, Finding
    from lading.registry.diagnose.pull_limits import PullLimits
    from lading.registry.diagnose.settings import ConfigDocument, HostDocument


@click.command(cls=Command, short_help="Examine how a registry is reached and what it supports")
@click.argument("what", type=place, metavar="REGISTRY[/REPOSITORY]")
@click.option("--write", is_flag=True, help="Try in REPOSITORY what reading cannot tell: uploads, which are cancelled.")
@format_option
@common(described=True)
def check(options: Options, what: str, write: bool, format_: str) -> None:
    """Examine a registry: address, TLS, login, clock, and what it supports.

    It reads only, unless --write says otherwise; nothing of what is written stays. It ends with 0, or with the
    exit code of the first failure.

    \b
    lading registry check ghcr.io
    lading registry check localhost:5000/team/app --write
    """
    from lading.cli.output import emit

    report = options.run(lambda client: client.check(what, write=write))
    emit(report, format_, lambda: _checkup(report))
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _checkup(report: Checkup) -> str:
    from lading.cli.output import paint

    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    width = max(len(finding.name) for finding in report.findings)

    def line(finding: Finding) -> str:
        state = finding.state.ljust(8)
        colour = colours.get(finding.state)
        head = f"  {finding.name.ljust(width)}  {paint(state, colour) if colour else state} {finding.said}"
        return f"{head}\n  {'':{width}}           {finding.remedy}" if finding.remedy else head

    return "\n".join([report.registry, *map(line, report.findings)])


@click.command(cls=Command, short_help="Show how many pulls a registry still allows")
@click.argument("what", type=place, metavar="REGISTRY|REF", default="docker.io")
@format_option
@common()
def limits(options: Options, what: str, format_: str) -> None:
    """Show how many pulls a registry (docker.io by default) still allows, where it tells.

    Asking counts as no pull.

    \b
    lading registry limits
    lading registry limits ghcr.io/acme/web:1.4
    """
    from lading.cli.output import emit

    found = options.run(lambda client: client.pull_limits(what))
    emit(found, format_, lambda: _limits(found))


def _limits(found: PullLimits) -> str:
    if not found.tells:
        return f"{found.registry} does not tell"
    within = f" in {_duration(found.window)}" if found.window else ""
    lines = [found.registry]
    if found.limit is not None:
        lines.append(f"  limit       {found.limit} pulls{within}")
    if found.remaining is not None:
        lines.append(f"  remaining   {found.remaining}")
    if found.counted_by is not None:
        lines.append(f"  counted by  {found.counted_by}")
    return "\n".join(lines)


def _duration(seconds: int) -> str:
    from lading.cli.output import count

    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return count(seconds // length, unit)
    return count(seconds, "second")


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
    from lading.registry.auth.scopes import parse_registry
    from lading.registry.diagnose.settings import effective

    found = effective(options.config(), parse_registry(host) if host is not None and host != "*" else host)
    emit(found, format_, lambda: _config(found))


def _config(found: ConfigDocument) -> str:
    parts = [f"{found.file}{'' if found.exists else ' (not there)'}"] if len(found.hosts) != 1 else []
    parts += [_host(host) for host in found.hosts]
    if found.aliases and len(found.hosts) != 1:
        width = max(map(len, found.aliases))
        parts.append("\n".join(["aliases", *(f"  {name:{width}}  {name_}" for name, name_ in found.aliases.items())]))
    return "\n".join(parts)


def _host(host: HostDocument) -> str:
    from lading.cli.output import table

    rows = [("SETTING", "VALUE", "FROM"), *((s.name, _value(s.value), s.source) for s in host.settings)]
    return "\n".join([host.host, table(rows, indent="  ")])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text}" for name, text in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)
