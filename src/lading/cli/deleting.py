"""Deleting manifests with their tags, or tags alone: `lading delete`, which `lading manifest delete` is, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option
from lading.errors import LadingError

if TYPE_CHECKING:
    from lading.cli.several import Several
    from lading.client import AsyncClient
    from lading.results import Deletion
    from lading.stores.location import Location
    from lading.transfer.guard import Guard
    from lading.transfer.report import Failure


class DeleteDocument(TypedDict):
    """`lading delete`."""

    deleted: list[Deletion]
    untag: bool
    """Whether only tags are removed, and the manifests stay."""
    dry_run: bool
    failed: list[Failure]
    """What could not be deleted."""


@click.command(cls=Command, short_help="Delete a manifest, or only a tag")
@click.argument("references", type=values.location, nargs=-1, required=True, metavar="REFERENCE...")
@click.option("--untag", is_flag=True, help="Remove only the tag, where the registry can; the manifest stays.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; print what would go.")
@click.option("--keep-going", is_flag=True, help="Delete what can be deleted of several.")
@click.option("--if-digest", metavar="DIGEST", help="Delete only what has this digest; registries check, then delete.")
@format_option
@common()
def delete(
    options: Options,
    references: tuple[str, ...],
    untag: bool,
    yes: bool,
    dry_run: bool,
    keep_going: bool,
    if_digest: str | None,
    format_: str,
) -> None:
    """Delete the manifest that REFERENCE names, and with it every tag that names it.

    Shows first which tags those are, and asks; with `--yes` a registry is not
    asked for that. `-` reads references from standard input, one a line.

    \b
    lading delete reg.example/app:old
    lading delete --untag reg.example/app:old
    """
    from lading.cli.output import emit
    from lading.cli.several import Several
    from lading.cli.several import references as named
    from lading.client.tagging import tag_to_remove
    from lading.stores.location import parse_location
    from lading.transfer.guard import Guard

    locations = [parse_location(reference).full() for reference in named(references)]
    guard = Guard.of(if_digest)
    if untag:
        for location in locations:
            tag_to_remove(location)
    if not (yes or dry_run):
        options.need_somebody("nothing was deleted")

    several = Several(keep_going=keep_going and len(locations) > 1)
    is_shown = not yes or dry_run
    # One reference whose deletion is not shown before needs no plan: what the reference names is read at the deletion.
    is_planned = is_shown or untag or len(locations) > 1 or not locations[0].is_registry
    plans = (
        options.run(lambda client: _plan(client, several, locations, guard, untag=untag, is_shown=is_shown))
        if is_planned
        else []
    )
    if plans and not dry_run and not yes:
        _confirm(options, plans, untag)
    done = plans if dry_run else []

    def tell() -> None:
        document = DeleteDocument(deleted=done, untag=untag, dry_run=dry_run, failed=several.failed)
        emit(document, format_, lambda: _deleted(done, untag, dry_run, is_shown=is_shown))

    try:
        if not is_planned:
            options.run(lambda client: _delete(client, several, locations[0], done, if_digest))
        elif not dry_run:
            options.run(lambda client: _carry_out(client, several, plans, done, untag=untag, if_digest=if_digest))
    except LadingError:
        if done:
            tell()  # what is gone, whatever went wrong then
        raise
    for failure in several.failed:
        options.fail(failure)
    tell()
    if several.failed:
        raise click.exceptions.Exit(1)


async def _plan(
    client: AsyncClient, several: Several, locations: list[Location], guard: Guard, *, untag: bool, is_shown: bool
) -> list[Deletion]:
    """What goes with each of these; where that is not shown, a registry is only asked what each names."""
    from lading.client.tagging import tag_to_remove
    from lading.results import Deletion

    found: list[Deletion] = []
    for location in locations:
        with several.each(str(location)):
            if untag:
                digest = await client.digest(location)
                planned = Deletion(reference=location, digest=digest, tags=[tag_to_remove(location)])
            elif location.is_registry and not is_shown:
                tag = location.own_tag
                planned = Deletion(reference=location, digest=await client.digest(location), tags=[tag] if tag else [])
            else:
                planned = await client.deletion(location)
            guard.check(str(location), planned.digest)
            found.append(planned)
    return found


async def _carry_out(
    client: AsyncClient,
    several: Several,
    plans: list[Deletion],
    done: list[Deletion],
    *,
    untag: bool,
    if_digest: str | None,
) -> None:
    """Delete what was planned; what is gone is added to `done`."""
    gone: set[tuple[str, str]] = set()
    for planned in plans:
        location = planned.reference
        with several.each(str(location)):
            if untag:
                await client.untag(location, if_digest=if_digest)
            elif (location.place, planned.digest) not in gone:
                # With a condition it is the tag that has to hold it; without, what was shown is what goes.
                chosen = location if if_digest else location.with_digest(planned.digest)
                await client.delete(chosen, if_digest=if_digest)
                gone.add((location.place, planned.digest))
            done.append(planned)


async def _delete(
    client: AsyncClient, several: Several, location: Location, done: list[Deletion], if_digest: str | None
) -> None:
    with several.each(str(location)):
        done.append(await client.delete(location, if_digest=if_digest))


def _confirm(options: Options, plans: list[Deletion], untag: bool) -> None:
    from lading.cli.output import say

    lines = _deleted(plans, untag, True, is_shown=True)
    say(*lines, err=True)
    options.ask("Delete?", "nothing was deleted")


def _deleted(plans: list[Deletion], untag: bool, future: bool, *, is_shown: bool) -> list[str]:
    from lading.model.text import counted

    lines = []
    for planned in plans:
        if untag:
            verb = "would remove" if future else "removed"
            lines.append(f"{verb} the tag {planned.reference}; {planned.digest} stays")
            continue
        verb, breaks = ("would delete", "would break") if future else ("deleted", "is broken now")
        lines.append(f"{verb} {planned.reference.place}@{planned.digest}")
        if planned.reference.is_registry and not is_shown:
            named = f"the tag {planned.tags[0]} and any other" if planned.tags else "any tag"
            lines.append(f"  and with it {named} that named it")
        elif planned.tags:
            lines.append(f"  and with it the {_plural('tag', planned.tags)} {_listed(planned.tags)}")
        if planned.listed_in:
            breaks = breaks.replace("is broken", "are broken") if len(planned.listed_in) > 1 else breaks
            lists = _plural("list", planned.listed_in, verb=True)
            lines.append(f"  {_listed(planned.listed_in)} {lists} it and {breaks}")
        if planned.referrers:
            count, refer = len(planned.referrers), "refers" if len(planned.referrers) == 1 else "refer"
            stays = "stays" if count == 1 else "stay"
            lines.append(f"  {counted(count, 'artifact')} that {refer} to it {stays}, such as signatures")
    return lines


def _plural(word: str, of: list[str], *, verb: bool = False) -> str:
    return word if (len(of) == 1) != verb else f"{word}s"


def _listed(names: list[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
