"""`lading tags`: the tags of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from lading.cli import values
from lading.cli.groups import Command, Option, option
from lading.cli.options import Options, common, format_option
from lading.errors import UsageError

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.model.patterns import TagOrder
    from lading.results import TagInfo
    from lading.stores.location import Location


class TagsDocument(TypedDict):
    """`lading tags`."""

    repository: str
    tags: list[TagInfo]


@click.command(cls=Command, short_help="List the tags of a repository")
@click.argument("repositories", type=values.location, nargs=-1, required=True, metavar="REPOSITORY...")
@option("--points-at", metavar="REF", help="Only tags that name the same manifest as this tag or digest.")
@option("--digests", is_flag=True, help="Print what each tag names, too.")
@option("--details", is_flag=True, help="Print when it was made, its platforms and size, too: reads each.")
@option("--include", multiple=True, metavar="PATTERN", help="Only tags like this. Repeatable.")
@option("--exclude", multiple=True, metavar="PATTERN", help="No tags like this. Repeatable.")
@option(
    "--sort",
    type=click.Choice(["registry", "name", "semver", "created"]),
    help="The order; semver goes up, created has the newest first, and reads each.",
)
@option(
    "--latest", cls=Option, type=click.IntRange(min=1), metavar="N", help="Only the N highest versions, or the newest."
)
@option("--no-trunc", is_flag=True, help="Print digests whole.")
@format_option
@common()
def tags(
    options: Options,
    repositories: tuple[str, ...],
    points_at: str | None,
    digests: bool,
    details: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    sort: TagOrder | None,
    latest: int | None,
    no_trunc: bool,
    format_: str,
) -> None:
    """List the tags of REPOSITORY. PATTERN: a glob, re:EXPRESSION, or semver:RANGE.

    `-` reads repositories from standard input, one a line.

    \b
    lading tags reg.example/app --sort semver --latest 5
    lading tags reg.example/app --points-at reg.example/app:stable
    """
    from lading.cli.output import emit, short, table
    from lading.model.digest import ALGORITHMS, Digest

    if latest and sort not in (None, "semver", "created"):
        raise click.UsageError("--latest goes by version or time: leave out --sort, or use --sort semver or created")
    expected = Digest(points_at) if points_at and points_at.partition(":")[0] in ALGORITHMS else None
    several = values.are_several(repositories)

    async def look(client: AsyncClient, repository: str) -> TagsDocument:
        location = _repository(repository)
        wanted: str | None = expected
        if points_at is not None and wanted is None:
            point = await _pointed_at(client, location, points_at)
            wanted = point.pinned or await client.digest(point)
        found = await client.tags(
            location,
            include=include,
            exclude=exclude,
            sort=sort,
            latest=latest,
            digests=digests or wanted is not None,
            details=details,
        )
        chosen = [info for info in found if wanted is None or info.digest == wanted]
        return TagsDocument(repository=str(location), tags=chosen)

    def show(_: str, document: TagsDocument) -> int:
        location = document["repository"]
        before = f"{location}:" if several else ""

        def text() -> list[str]:
            if details and document["tags"] and not options.quiet:
                rows = [[f"{before}{info.tag}", *_details(info, no_trunc)] for info in document["tags"]]
                head = ["TAG", "DIGEST", "CREATED", "SIZE", "PLATFORMS"]
                return table(rows if several else [head, *rows], right=(3,))
            if digests and document["tags"] and not options.quiet:
                rows = [
                    [f"{before}{info.tag}", short(info.digest, no_trunc) if info.digest else "-"]
                    for info in document["tags"]
                ]
                return table(rows if several else [["TAG", "DIGEST"], *rows])
            return [f"{before}{info.tag}" for info in document["tags"]]

        if document["tags"] or format_ != "text":
            emit(document, format_, text, is_line=several)
        elif points_at is None:
            options.note(f"{location} has no tags" + (" like that" if include or exclude or latest else ""))
        is_asked = digests or details or sort == "created" or points_at is not None
        is_whole = not is_asked or _tell(options, document["tags"])
        if points_at is not None and not document["tags"]:
            options.note(f"no tag of {location} names that")
            return 1
        return 0 if is_whole else 1

    if several:
        from lading.cli.several import for_each

        code = for_each(options, repositories, look, show)
    else:
        code = show("", options.run(lambda client: look(client, repositories[0])))
    if code:
        raise click.exceptions.Exit(code)


def _details(info: TagInfo, whole: bool) -> list[str]:
    """Digest, time, size and platforms of what a tag names."""
    from lading.cli.output import short, size

    digest = short(info.digest, whole) if info.digest else "-"
    more = info.details
    if more is None:
        return [digest, "-", "-", "-"]
    made = (more.created or "-") if whole else (more.created or "-").partition("T")[0]
    what = ", ".join(more.platforms) or more.artifact_type or "-"
    return [digest, made, size(more.total_size), what]


def _repository(text: str) -> Location:
    from lading.cli.wording import typed
    from lading.stores.location import parse_location

    location = parse_location(text)
    if location.is_named:
        raise UsageError(
            f"{text} is not a repository",
            cause="it has a tag or a digest",
            remedy=f"which tags name the same: lading tags {typed(location.place)} --points-at {typed(text)}",
        )
    return location


async def _pointed_at(client: AsyncClient, location: Location, name: str) -> Location:
    """What `--points-at` names: a tag of the same repository, or something else."""
    from lading.model.reference import is_tag
    from lading.stores.location import parse_location

    if is_tag(name):
        return location.with_tag(name)
    if not location.is_registry and any(info.tag == name for info in await client.tags(location)):
        return parse_location(f"{location.place}:{name}")
    return parse_location(name).full()


def _tell(options: Options, tags: list[TagInfo]) -> bool:
    """Say of which tags it is not known what they name; returns whether nothing went wrong."""
    if empty := [info.tag for info in tags if not info.digest and not info.problem]:
        options.note(f"listed, and naming nothing: {', '.join(empty)}")
    unknown = [info for info in tags if info.problem]
    for info in unknown:
        options.warn(f"what {info.tag} names cannot be told: {info.problem}")
    return not unknown
