"""`lading registry limits`: how many pulls a registry still allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.registry.diagnose.pull_limits import PullLimits


@click.command(cls=Command, short_help="Show how many pulls a registry still allows")
@click.argument("what", type=values.location, metavar="REGISTRY|REF", default="docker.io")
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

    found = options.run(lambda client: client.registries.pull_limits(what))
    emit(found, format_, lambda: _limits(found))


def _limits(found: PullLimits) -> list[str]:
    if not found.tells:
        return [f"{found.registry} does not tell"]
    within = f" in {_duration(found.window)}" if found.window else ""
    lines = [found.registry]
    if found.limit is not None:
        lines.append(f"  limit       {found.limit} pulls{within}")
    if found.remaining is not None:
        lines.append(f"  remaining   {found.remaining}")
    if found.counted_by is not None:
        lines.append(f"  counted by  {found.counted_by}")
    return lines


def _duration(seconds: int) -> str:
    from lading.cli.output import count

    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return count(seconds // length, unit)
    return count(seconds, "second")
