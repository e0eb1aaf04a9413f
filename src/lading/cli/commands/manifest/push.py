"""`lading manifest push`: a local list brought to its registry."""

from __future__ import annotations

import click

from lading.cli.drafts import tell_pushed
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


@click.command(cls=Command, short_help="Push a local list")
@click.argument("manifest_list")
@click.option("-p", "--purge", is_flag=True, help="Remove the local list afterwards.")
@click.option(
    "-t", "--tag", "tags", multiple=True, metavar="TAG", help="Another tag in the same repository. Repeatable."
)
@click.option(
    "--if-digest", metavar="DIGEST", help="Push only if the tag has this digest now; also `absent`, `origin`."
)
@click.option("--keep-going", is_flag=True, help="Set what can be set of several tags.")
@click.option("--dry-run", is_flag=True, help="Send nothing; print the digest that would be pushed.")
@format_option
@common(pushes=True)
def push(
    options: Options,
    manifest_list: str,
    purge: bool,
    tags: tuple[str, ...],
    if_digest: str | None,
    keep_going: bool,
    dry_run: bool,
    format_: str,
) -> None:
    """Push the local MANIFEST_LIST: first what its registry lacks, then the list, its tags last.

    \b
    lading manifest push reg.example/app:1.4 -t latest
    lading manifest push reg.example/app:1.4 --if-digest origin
    """
    pushed = options.run(
        lambda client: client.drafts.push(
            manifest_list, tags=tags, if_digest=if_digest, dry_run=dry_run, purge=purge, keep_going=keep_going
        )
    )
    tell_pushed(options, pushed, format_)
