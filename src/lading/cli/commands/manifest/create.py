"""`lading manifest create`: a local list of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli.drafts import attestations_option, key_values, platforms_option, tell_made, tell_pushed, type_option
from lading.cli.groups import Command
from lading.cli.options import Options, common
from lading.errors import UsageError

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.drafts.merge import CreatedDraft
    from lading.drafts.push import PushedDraft


@click.command(cls=Command, short_help="Make a local list of images")
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@click.option("-a", "--amend", is_flag=True, help="Extend a list that is there; its tags are looked up again.")
@click.option("--replace", is_flag=True, help="Start over where there is a list.")
@platforms_option
@attestations_option
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the list. Repeatable.")
@type_option
@click.option("--push", "push_", is_flag=True, help="Push the list, too.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="With --push, another tag. Repeatable.")
@common(pushes=True)
def create(
    options: Options,
    manifest_list: str,
    manifests: tuple[str, ...],
    amend: bool,
    replace: bool,
    platforms: tuple[str, ...],
    no_attestations: bool,
    annotations: tuple[str, ...],
    type_: str | None,
    push_: bool,
    tags: tuple[str, ...],
) -> None:
    """Make the local MANIFEST_LIST of images, in the order given; an index among them gives all its images.

    \b
    lading manifest create reg.example/app:1 reg.example/app:amd64 oci:arm64:1
    lading manifest create --amend reg.example/app:1 reg.example/app:s390x
    """
    from lading.cli.output import say
    from lading.model.reference import is_tag

    if tags and not push_:
        raise click.UsageError("--tag goes with --push; without it: lading manifest push -t TAG LIST")
    for tag in tags:
        if not is_tag(tag):
            raise UsageError(f"{tag!r} is not a tag", cause="--tag takes tags of the list's own repository")
    pairs = key_values(annotations)

    async def work(client: AsyncClient) -> tuple[CreatedDraft, PushedDraft | None]:
        making = client.drafts.create(
            manifest_list,
            manifests,
            amend=amend,
            replace=replace,
            platforms=platforms,
            attestations=not no_attestations,
            annotations=pairs,
            type=type_,  # type: ignore[arg-type]
        )
        created = await making
        if not push_:
            return created, None
        tell_made(options, created)
        say(f"Created manifest list {created.draft.reference}")
        return created, await client.drafts.push(manifest_list, tags=tags)

    created, pushed = options.run(work)
    if pushed is not None:
        tell_pushed(options, pushed)
        return
    tell_made(options, created)
    say(f"Created manifest list {created.draft.reference}")
