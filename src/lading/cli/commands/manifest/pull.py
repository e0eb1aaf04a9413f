"""`lading manifest pull`: a local list of one in a registry."""

from __future__ import annotations

import click

from lading.cli.drafts import attestations_option, platforms_option
from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Make a local list of one in a registry")
@click.argument("reference")
@click.argument("manifest_list", required=False)
@click.option("--replace", is_flag=True, help="Overwrite a local list of that name.")
@platforms_option
@attestations_option
@common()
def pull(
    options: Options,
    reference: str,
    manifest_list: str | None,
    replace: bool,
    platforms: tuple[str, ...],
    no_attestations: bool,
) -> None:
    """Make a local list of the one that REFERENCE names in its registry, to change it and push it again.

    \b
    lading manifest pull reg.example/app:1.4
    lading manifest push reg.example/app:1.4 --if-digest origin
    """
    from lading.cli.output import say

    pulled = options.run(
        lambda client: client.drafts.pull(
            reference, manifest_list, replace=replace, platforms=platforms, attestations=not no_attestations
        )
    )
    for warning in pulled.warnings:
        options.warn(warning)
    entries = len(pulled.draft.entries)
    options.note(f"the local list has {'1 entry' if entries == 1 else f'{entries} entries'}")
    say(str(pulled.draft.reference))
