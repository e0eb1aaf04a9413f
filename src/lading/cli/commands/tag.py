"""`lading tag`: more names for an image or index."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command, option
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.results import TagChange
    from lading.transfer.report import Failure


class TagDocument(TypedDict):
    """`lading tag`."""

    digest: str
    """What all the tags name now."""
    tags: list[TagChange]
    dry_run: bool
    failed: list[Failure]
    """With `--keep-going`, the tags that could not be set."""


@click.command(cls=Command, short_help="Give an image or index more tags, without pulling it")
@click.argument("source", type=values.location)
@click.argument("new", nargs=-1, required=True)
@option("--dry-run", is_flag=True, help="Change nothing; print what each tag names now.")
@option(
    "--if-digest",
    metavar="DIGEST",
    help="Only if a tag names this now, or is `absent`; registries check, then set.",
)
@option("--keep-going", is_flag=True, help="Set what can be set of several.")
@format_option
@common(pushes=True)
def tag(
    options: Options,
    source: str,
    new: tuple[str, ...],
    dry_run: bool,
    if_digest: str | None,
    keep_going: bool,
    format_: str,
) -> None:
    """Give SOURCE more tags without pulling it; the digest stays the same.

    NEW is a tag of the same repository, or a reference to another one. Signatures and other referrers do not go to
    another one with it; with `lading copy --referrers` they do.

    \b
    lading tag reg.example/app:1.4.2 1.4 stable
    lading tag reg.example/staging/app:1.4.2 reg.example/app:1.4.2
    """
    from lading.cli.output import emit, paint
    from lading.cli.wording import remedied
    from lading.stores.location import parse_location

    location = parse_location(source).full()
    found = options.run(
        lambda client: client.tag(location, *new, if_digest=if_digest, dry_run=dry_run, keep_going=keep_going)
    )
    changes = [change for change in found if change.failure is None]
    failed = [remedied(change.failure) for change in found if change.failure is not None]
    for failure in failed:
        options.fail(failure)
    document = TagDocument(digest=found[0].digest, tags=changes, dry_run=dry_run, failed=failed)
    full = str(location.with_digest(found[0].digest))

    def text() -> list[str]:
        if options.quiet:
            return [full]
        names = [str(change.reference) for change in changes]
        width = max(map(len, names))
        lines = [
            f"{paint(name.ljust(width), 'cyan')}  {_was(change)}" for name, change in zip(names, changes, strict=True)
        ]
        return [*(line.rstrip() for line in lines), full]

    emit(document, format_, text)
    if failed:
        raise click.exceptions.Exit(1)


def _was(change: TagChange) -> str:
    """What a tag named before."""
    from lading.cli.output import count, short

    if change.state != "moved":
        return {"set": "", "new": "new", "unchanged": "names it already", "failed": ""}[change.state]
    was, images = f"was {short(change.previous)}", change.previous_platforms
    return was if images is None else f"{was}, an index of {count(images, 'platform')}"
