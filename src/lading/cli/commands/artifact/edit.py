"""`lading artifact edit`: another type and other annotations, after the fact."""

from __future__ import annotations

from typing import Any

import click

from lading.cli import values
from lading.cli.artifact_edits import artifact_edit_options
from lading.cli.editing import EditCommand, artifact_target_options, run_change, taken_edits
from lading.cli.options import Options, common


@click.command(cls=EditCommand, short_help="Change annotations and the type of an artifact")
@click.argument("reference", type=values.location, metavar="REF")
@artifact_edit_options
@artifact_target_options
@common(pushes=True)
def edit(options: Options, reference: str, **given: Any) -> None:
    """Change an artifact and write the result, which has another digest, to TARGET; its files stay as they are.

    SCOPE is manifest (default), config, or file[TITLE]. In place, what refers to something needs no tag: the result
    refers to the same.

    \b
    lading artifact edit reg.example/notes:1 --annotation team=web --in-place
    lading artifact edit oci:notes:1 --annotation 'file[a.txt]:lang=en' -t 2
    """
    edits = taken_edits(given)
    run_change(
        options, reference, lambda client, **settings: client.artifacts.edit(reference, *edits, **settings), given
    )
