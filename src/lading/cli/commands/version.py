"""`lading version`: the versions of lading, of Python and of the machine."""

from __future__ import annotations

from typing import TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


class VersionDocument(TypedDict):
    """`lading version`."""

    version: str
    python: str
    platform: str


@click.command(cls=Command, short_help="Print versions")
@format_option
@common(insecure=False)
def version(_: Options, format_: str) -> None:
    """Print the version of lading, of Python and of the machine."""
    import platform

    from lading._version import __version__
    from lading.cli.output import emit

    document = VersionDocument(version=__version__, python=platform.python_version(), platform=platform.platform())
    emit(document, format_, lambda: "lading {version} (Python {python}, {platform})".format(**document))
