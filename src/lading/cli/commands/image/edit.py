"""`lading image edit`: another config, other annotations, other layers, without a build."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.config_edits import daily_options, first_options, rare_options, removal_options
from lading.cli.editing import EditCommand, run_edit, taken_edits, target_options
from lading.cli.layer_edits import layer_edit_options
from lading.cli.options import Options, common


@click.command(cls=EditCommand, short_help="Change config, annotations and layers of an image")
@click.argument("reference", type=values.location, metavar="REF")
@first_options
@target_options
@daily_options
@removal_options
@layer_edit_options
@rare_options
@common(pushes=True)
def edit(options: Options, reference: str, **given: Any) -> None:
    """Change an image, or all images of an index, and write the result to TARGET.

    Edits are applied in their order. SCOPE is manifest (default), index, or descriptor: the entry in the index.

    \b
    lading image edit reg.example/app:1.4 --label team=web -t 1.4-web
    lading image edit reg.example/app:1.4 --env LOG=debug --in-place
    """
    run_edit(options, reference, taken_edits(given), given)
