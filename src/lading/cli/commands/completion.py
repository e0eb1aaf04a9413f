"""`lading completion`: a script for a shell that completes lading's commands."""

from __future__ import annotations

import click

from lading.cli.groups import Command


@click.command(cls=Command, short_help="Print a script for completion in a shell")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes what is typed of lading in a shell: commands, options, hosts, repositories, tags.

    \b
    eval "$(lading completion bash)"
    """
    from lading.cli.completing import script
    from lading.cli.output import say

    say(*script(shell).splitlines())
