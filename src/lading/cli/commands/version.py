"""`lading version`: the versions of lading, of Python and of the machine."""

from __future__ import annotations

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


@click.command(cls=Command, short_help="Print versions")
@format_option
@common(insecure=False)
def version(options: Options, format_: str) -> None:
    """Print the version of lading, of Python and of the machine."""
    import platform

    from lading._version import __version__
    from lading.cli.documents import VersionDocument
    from lading.cli.output import emit

    document = VersionDocument(__version__, platform.python_version(), platform.platform())
    emit(document, format_, lambda: f"lading {document.version} (Python {document.python}, {document.platform})")
