"""What lading is: `version`, `completion`."""

from __future__ import annotations

import click

from lading.cli.frame import Command, common, format_option


@click.command(cls=Command, short_help="Print versions")
@format_option
@common(insecure=False)
def version(options: object, format_: str) -> None:
    """Print the version of lading, of Python and of the machine."""
    import platform

    from lading._version import __version__
    from lading.cli.documents import VersionDocument
    from lading.cli.output import emit

    document = VersionDocument(__version__, platform.python_version(), platform.platform())
    emit(document, format_, lambda: f"lading {document.version} (Python {document.python}, {document.platform})")


@click.command(cls=Command, short_help="Print a script for completion in a shell")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes lading's commands in a shell.

    \b
    eval "$(lading completion bash)"
    """
    from click.shell_completion import get_completion_class

    from lading.cli import lading

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(lading, {}, "lading", "_LADING_COMPLETE").source())
