"""`lading index create`: an index of images from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.indexes import (
    duplicates_option,
    nested_option,
    no_attestations_option,
    places,
    read_file,
    run_index,
    scoped_annotations,
    sources,
    sources_platform_option,
    target_option,
    type_option,
    write_metadata,
    written_options,
)
from lading.cli.options import Options, common

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers
    from lading.images.indexes.sources import IndexSource


@click.command(cls=Command, short_help="Make an index of images from anywhere")
@click.argument("reference", required=False, type=values.location, metavar="[TARGET]")
@click.argument("sources_", nargs=-1, metavar="SOURCE...")
@target_option(instead=False)
@click.option("--empty", is_flag=True, help="List nothing: for images that are added later.")
@click.option("--append", is_flag=True, help="Add to the index that TARGET names.")
@sources_platform_option
@click.option("--annotation", "annotations", multiple=True, metavar="[SCOPE:]KEY=VALUE", help="Repeatable.")
@type_option
@no_attestations_option
@nested_option
@duplicates_option
@click.option("--artifact-type", default="", metavar="TYPE", help="Of the index itself.")
@click.option("--subject", metavar="REF", help="What the index refers to, in its own repository.")
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="Sources: descriptors, or lines of names.")
@click.option("--spec", metavar="FILE", help="A manifest-tool YAML: TARGET, tags, annotations, sources.")
@click.option("--template", metavar="REF", help="A name with ARCH, OS, VARIANT: a source for each --platform.")
@click.option("--ignore-missing", is_flag=True, help="Leave out sources that are not there.")
@click.option("--metadata-file", metavar="FILE", help="Write what was made there, as imagetools does.")
@click.option("--no-clobber", is_flag=True, help="Leave tags alone that name something else.")
@written_options
@common(pushes=True)
def create(
    options: Options,
    reference: str | None,
    sources_: tuple[str, ...],
    empty: bool,
    targets: tuple[str, ...],
    files: tuple[str, ...],
    spec: str | None,
    template: str | None,
    annotations: tuple[str, ...],
    metadata_file: str | None,
    no_clobber: bool,
    no_attestations: bool,
    referrers: Referrers,
    type_: str | None,
    format_: str,
    **given: Any,
) -> None:
    """Make the index TARGET of images, artifacts and indexes from anywhere.

    SOURCE: a location, or SOURCE=OS/ARCH[/VARIANT] to say its platform.
    SCOPE: index, manifest-descriptor[OS/ARCH] for entries, manifest[OS/ARCH].

    \b
    lading index create reg.example/app:1 reg.example/app:1-amd64 oci:arm64:1
    lading index create --append reg.example/app:1 ghcr.io/acme/app:s390x -t new
    """
    from lading.images.indexes.spec import from_template, read_spec
    from lading.model.platform import Platform

    target = reference
    scoped = scoped_annotations(annotations)
    own = scoped.own
    more: list[IndexSource] = []
    tags: tuple[str, ...] = ()
    if spec is not None:
        described = read_spec(read_file(spec).decode("utf-8", "replace"), spec)
        # With a file that names it, a first argument is a source like any other.
        target = target or values.location(described.target)
        more, tags, own = list(described.sources), described.tags, described.annotations | own
    if not target:
        raise click.UsageError("name the TARGET" + (", which the file does not say" if spec is not None else ""))
    if template is not None:
        more += from_template(template, [Platform.parse(text) for text in given.pop("platforms")])
        given["platforms"] = ()
    all_sources = [*_from_files(files, target), *more, *sources(sources_)]
    if not all_sources and not empty:
        raise click.UsageError("name a SOURCE, or a file of them with -f or --spec; or say --empty")
    if empty and (all_sources or given["append"]):
        raise click.UsageError(
            "--empty makes an index that lists nothing: it goes with no SOURCE and not with --append"
        )
    there = [target, *places(target, (*tags, *targets))]
    report = run_index(
        options,
        there,
        format_,
        lambda client, on_event: client.indexes.create(
            there,
            all_sources,
            empty=empty,
            annotations=own,
            entry_annotations=scoped.entries,
            manifest_annotations=scoped.manifests,
            attestations=not no_attestations,
            clobber=not no_clobber,
            referrers=referrers,
            type=type_,  # type: ignore[arg-type]
            on_event=on_event,
            **given,
        ),
    )
    if metadata_file is not None and not report.dry_run:
        write_metadata(metadata_file, report, there)


def _from_files(files: tuple[str, ...], target: str) -> list[IndexSource]:
    from lading.images.indexes.spec import read_sources
    from lading.stores.location import parse_location

    location = parse_location(target).full()
    return [source for file in files for source in read_sources(read_file(file), location, file)]
