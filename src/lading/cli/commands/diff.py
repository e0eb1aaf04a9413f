"""`lading diff`: what differs between any two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option

if TYPE_CHECKING:
    from lading.images.diff.results import DiffReport


@click.command(cls=Command, short_help="Say what differs between any two")
@click.argument("a", type=values.location)
@click.argument("b", type=values.location)
@click.option("--files", is_flag=True, help="Read the layers: files and packages that differ.")
@click.option("--packages", is_flag=True, help="Packages alone: of dpkg, apk, rpm, Python, npm.")
@click.option("--content", is_flag=True, help="Print what differs in text files, line by line.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Files only here; a glob will do. Repeatable.")
@click.option("--times", is_flag=True, help="Let times of modification count.")
@click.option("--no-trunc", is_flag=True, help="Print digests, texts and lists whole.")
@platform_option(multiple=True, help="The image for this platform; twice: of A, then of B.")
@format_option
@common()
def diff(
    options: Options,
    a: str,
    b: str,
    files: bool,
    packages: bool,
    content: bool,
    paths: tuple[str, ...],
    times: bool,
    no_trunc: bool,
    platforms: tuple[str, ...],
    format_: str,
) -> None:
    """Say what differs between any two of images, indexes and artifacts. Exits with 1 where they differ.

    \b
    lading diff reg.example/app:1.4 reg.example/app:1.5 --files
    lading diff app:1.4 oci:build --content --path etc
    """
    from lading.cli.output import emit

    if len(platforms) > 2:
        raise click.UsageError("--platform is given once, or twice: of A, then of B")
    if (paths or times) and not (files or content):
        raise click.UsageError("--path and --times are about files: add --files or --content")
    report = options.run(
        lambda client: client.diff(
            *(a, b), platforms=platforms, files=files, packages=packages, content=content, paths=paths, times=times
        )
    )
    for warning in report.warnings:
        options.warn(warning)
    emit(report, format_, lambda: _text(report, no_trunc))
    if not report.is_same:
        raise click.exceptions.Exit(1)


def _text(report: DiffReport, whole: bool) -> list[str]:
    from lading.cli.differences import text_of

    return text_of(report, whole)
