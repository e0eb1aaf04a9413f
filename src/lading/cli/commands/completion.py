"""`lading completion`: a script for a shell that completes lading's commands."""

from __future__ import annotations

import click

from lading.cli.groups import Command


@click.command(cls=Command, short_help="Print a script for completion in a shell")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes lading's commands in a shell.

    \b
    eval "$(lading completion bash)"
    """
    from click.shell_completion import get_completion_class

    from lading.cli import lading
    from lading.cli.output import say

    kind = get_completion_class(shell)
    assert kind is not None
    say(*kind(lading, {}, "lading", "_LADING_COMPLETE").source().splitlines())
