"""`lading validate`: whether an image is what its digests say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.copying import JOBS, PROGRESS
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.cli.progress import Style
    from lading.images.validation import Validation, ValidationReport

_EXIT_CODES = {"damaged": 7, "disagrees": 1, "whole": 0}


@click.command(cls=Command, short_help="Read every byte, and say what is untrue")
@click.argument("references", nargs=-1, type=values.location, metavar="REFERENCE…")
@click.option("--fast", is_flag=True, help="Download no layers: see that they are there, with their sizes.")
@click.option("--referrers", is_flag=True, help="Signatures, SBOMs and the like, too.")
@click.option("--all-tags", is_flag=True, help="All tags of each repository.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Of all tags only these. Repeatable.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Of all tags not these. Repeatable.")
@platform_option(multiple=True, help="Of an index, only these entries. Repeatable.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Not these findings; LAD3 is all that start so.")
@click.option("--explain", metavar="CODE", help="Print what a code means, and end.")
@JOBS
@PROGRESS
@format_option
@common()
def validate(
    options: Options,
    references: tuple[str, ...],
    fast: bool,
    referrers: bool,
    all_tags: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    platforms: tuple[str, ...],
    ignore: tuple[str, ...],
    explain: str | None,
    jobs: int,
    progress: Style,
    format_: str,
) -> None:
    """Read every byte of images, and compare it with all that is said of it.

    Exit code 7: damaged, missing or malformed. 1: whole, and one thing says other
    than another. Downloads each blob once, whatever has it.

    \b
    lading validate reg.example/app:1.4
    lading validate oci:./layout --all-tags --fast
    """
    from lading.cli.findings import explained, worded_finding
    from lading.cli.output import emit, say
    from lading.cli.progress import shown_progress

    if explain is not None:
        say(*explained(explain))
        return
    if not references:
        raise click.UsageError("Missing argument 'REFERENCE…'")
    if (include or exclude) and not all_tags:
        raise click.UsageError("--include and --exclude choose among all tags: add --all-tags")
    from msgspec.structs import replace

    with shown_progress(progress, quiet=options.quiet or format_ != "text") as on_event:
        found = options.run(
            lambda client: client.validate(
                references,
                platforms=platforms,
                all_tags=all_tags,
                include=include,
                exclude=exclude,
                referrers=referrers,
                fast=fast,
                ignore=ignore,
                jobs=jobs,
                on_event=on_event,
            )
        )
    reports = tuple(replace(report, findings=tuple(map(worded_finding, report.findings))) for report in found.reports)
    found = replace(found, reports=reports)
    emit(found, format_, lambda: _text(found, quiet=options.quiet))
    if code := _EXIT_CODES[found.verdict]:
        raise click.exceptions.Exit(code)


def _text(found: Validation, *, quiet: bool) -> list[str]:
    from lading.cli.findings import lines_of

    lines: list[str] = []
    for report in found.reports:
        lines += [line for item in report.findings for line in lines_of(item)]
        if not quiet:
            lines.append(_verdict(report))
    if not quiet:
        lines.append(_read(found))
    return lines


def _verdict(report: ValidationReport) -> str:
    from lading.cli.output import count

    if report.verdict == "whole":
        return f"{report.reference} is whole"
    said = []
    if report.damage:
        said.append(f"is damaged in {count(len(report.damage), 'place')}")
    if report.disagreements:
        said.append(f"disagrees with itself in {count(len(report.disagreements), 'place')}")
    return f"{report.reference} {' and '.join(said)}"


def _read(found: Validation) -> str:
    from lading.cli.output import count, size

    blobs = f"{count(found.blobs, 'blob')} {'asked for' if found.is_fast else 'read'}"
    return f"{count(found.manifests, 'manifest')} and {blobs}, {size(found.bytes)} downloaded"
