"""`lading artifact get`: the files of what refers to an image."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.artifact_files import file_options, write_files
from lading.cli.groups import Command
from lading.cli.options import Options, common, platform_option
from lading.cli.referrers import REFERRERS_IN, referrer_options, wanted_annotations


@click.command(cls=Command, short_help="Write the files of what is attached to an image")
@click.option(
    "--subject", type=values.location, required=True, metavar="REF", help="The image that the artifact is attached to."
)
@referrer_options
@click.option("--latest", is_flag=True, help="Of several, the newest.")
@platform_option(help="Of an index, what is attached to this image.")
@REFERRERS_IN
@file_options
@common()
def get(options: Options, subject: str, **given: Any) -> None:
    """Write the files of the one artifact that is attached to an image, and print their paths.

    \b
    lading artifact get --subject reg.example/app:1 --artifact-type text/spdx -o -
    """
    given["annotations"] = wanted_annotations(given.pop("filter_annotation"))
    write_files(options, lambda client, target, **more: client.artifacts.get(subject, target, **more), given)
