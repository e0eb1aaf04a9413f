"""Moving content from place to place: `copy`, `pull`, `push`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.frame import Command, Option, Options, authfile_option, common, format_option, place, platform_option
from lading.errors import UsageError

if TYPE_CHECKING:
    from lading.transfer.graph import Step
    from lading.transfer.report import CopyReport

F = TypeVar("F", bound=Callable[..., Any])


def _shared(function: F) -> F:
    """The options that all three commands have."""
    for add in reversed(
        (
            platform_option(multiple=True, help="Of an index, only these entries. Repeatable."),
            click.option("--referrers", is_flag=True, help="Signatures, SBOMs and the like, too."),
            click.option("--to", type=click.Choice(["oci", "docker"]), help="Encode manifests so; digests change."),
            click.option(
                "--compression",
                type=click.Choice(["gzip", "zstd", "none"]),
                help="Compress layers so; digests change.",
            ),
            click.option("--no-clobber", is_flag=True, help="Leave tags alone that name something else."),
            click.option("--if-digest", metavar="DIGEST", help="Change a tag only if it names this now."),
            click.option("--verify", is_flag=True, help="Believe no target: read everything back."),
            click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done."),
            click.option(
                "--jobs",
                cls=Option,
                type=click.IntRange(min=1),
                default=8,
                metavar="N",
                help="How many blobs are under way at once (8).",
            ),
            click.option(
                "--progress",
                type=click.Choice(["auto", "tty", "plain", "json", "none"]),
                default="auto",
                metavar="STYLE",
                help="On stderr: auto, tty, plain, json or none.",
            ),
            format_option,
        )
    ):
        function = add(function)
    return function


@click.command(cls=Command, short_help="Copy images, indexes and artifacts from anywhere to anywhere")
@click.argument("source", type=place, metavar="SRC")
@click.argument("targets", type=place, metavar="DST...", nargs=-1, required=True)
@click.option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="One more tag in each target. Repeatable.")
@click.option("--all-tags", is_flag=True, help="Every tag of SRC, under its own name.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Of all tags, only such. Repeatable.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Of all tags, none such. Repeatable.")
@click.option("--sparse", is_flag=True, help="With --platform: keep the index as it is.")
@click.option(
    "--artifact-type", "artifact_types", multiple=True, metavar="TYPE", help="Of referrers, only this type. Repeatable."
)
@_shared
@authfile_option("--src-authfile", help="Credentials for SRC alone.")
@authfile_option("--dst-authfile", help="Credentials for DST alone.")
@common(pushes=True)
def copy(options: Options, source: str, targets: tuple[str, ...], **given: Any) -> None:
    """Copy SRC to each DST with all that it refers to; digests stay the same.

    SRC and DST: references, oci:DIR:TAG, oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME. PATTERN: a glob,
    re:EXPRESSION, or semver:RANGE.

    \b
    lading copy ghcr.io/acme/web:1.4 reg.example/web:1.4 -t latest
    lading copy --all-tags --include 'semver:>=1.2' ghcr.io/acme/web reg.example/web
    """
    _run(options, source, targets, given)


@click.command(cls=Command, short_help="Bring an image to this machine: engine, archive or layout")
@click.argument("reference", type=place, metavar="REF")
@click.argument("location", required=False)
@_shared
@common()
def pull(options: Options, reference: str, location: str | None, **given: Any) -> None:
    """Bring what REF names to LOCATION, by default into the container engine, under the same name.

    Into an engine or a Docker archive comes the image for this machine's platform, unless --platform says otherwise.

    \b
    lading pull alpine:3.20
    lading pull ghcr.io/acme/web:1.4 oci:web:1.4
    """
    from lading.stores.location import parse_location

    here = parse_location(location) if location is not None else None
    if here is not None and here.is_registry:
        raise UsageError(
            f"{location} is in a registry, not on this machine",
            remedy=f"into a directory: oci:{location}    between registries: lading copy {reference} {location}",
        )
    target = location
    if target is None:
        named = parse_location(reference).full().reference
        if named is None or named.digest is not None:
            raise UsageError(
                f"{reference} gives no name for the image in the container engine",
                remedy=f"name it: lading pull {reference} docker-daemon:NAME",
            )
        target = f"docker-daemon:{named}"
    try:
        _run(options, reference, (target,), given)
    except UsageError as error:
        if location is None and "command" in error.message:
            error.remedy = f"say where to instead: lading pull {reference} oci:DIR"
        raise


@click.command(cls=Command, short_help="Bring an image from this machine to a registry")
@click.argument("location")
@click.argument("references", type=place, metavar="REF...", nargs=-1, required=True)
@click.option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="One more tag in each target. Repeatable.")
@_shared
@common(pushes=True)
def push(options: Options, location: str, references: tuple[str, ...], **given: Any) -> None:
    """Bring what LOCATION names to each REF.

    Where neither says a tag, everything in LOCATION keeps the tags that it has there.

    \b
    lading push docker-daemon:nginx:1.27 reg.example/nginx:1.27 -t latest
    lading push oci-archive:images.tar reg.example/app
    """
    from lading.stores.location import parse_location

    if parse_location(location).is_registry:
        from pathlib import Path

        if (path := Path(location)).exists():
            ways = f"oci:{path}" if path.is_dir() else f"docker-archive:{path} or oci-archive:{path}"
            raise UsageError(f"{location} is read as a reference", remedy=f"if what is here is meant: {ways}")
        raise UsageError(
            f"{location} is in a registry, not on this machine",
            remedy=f"from the container engine: docker-daemon:{location}    between registries: lading copy",
        )
    _run(options, location, references, given, own_tags=not given["tags"])


def _run(
    options: Options, source: str, targets: tuple[str, ...], given: dict[str, Any], *, own_tags: bool = False
) -> None:
    from lading.cli.output import emit
    from lading.cli.progress import shown_progress
    from lading.cli.suggestions import helped
    from lading.stores.location import parse_location

    format_, style = given.pop("format_"), given.pop("progress")
    clobber = not given.pop("no_clobber")
    for side, option in (("source", "src_authfile"), ("target", "dst_authfile")):
        if path := given.pop(option, None):
            from lading.registry.auth.lookup import default_sources

            given[f"{side}_credentials"] = default_sources(authfiles=[Path(path)])
    # Standard output is the archive, then, and nothing else.
    is_stream = not given["dry_run"] and any(parse_location(target).is_stream for target in targets)
    if is_stream and format_ != "text":
        raise click.UsageError("--format prints to standard output, where the archive goes")
    started = time.monotonic()
    with shown_progress(style, quiet=options.quiet or format_ != "text") as on_event:
        report = options.run(
            lambda client: helped(
                client,
                [source],
                client.copy(source, *targets, clobber=clobber, own_tags=own_tags, on_event=on_event, **given),
            )
        )
    for note in report.notes:
        options.warn(note)
    if format_ == "text":
        options.note(_summary(report, time.monotonic() - started))
    if is_stream:
        options.note(_names(report, options.quiet))
    else:
        emit(report, format_, lambda: _names(report, options.quiet))


def _summary(report: CopyReport, seconds: float) -> str:
    from lading.cli.output import count, size

    done = report.copied
    blobs = done.uploaded + done.mounted
    kept = sum(tag.state == "kept" for image in report.images for tag in image.targets)
    left = f"; {count(kept, 'tag')} left as {'it is' if kept == 1 else 'they are'}" if kept else ""
    only = dict.fromkeys(image.platform for image in report.images if image.platform is not None)
    left += f"; only for {', '.join(only)}" if only else ""
    if not done.manifests and not blobs:
        moved = any(tag.state in ("new", "moved", "set") for image in report.images for tag in image.targets)
        return f"{'Nothing to send' if moved else 'Nothing to copy'}: all of it is there already{left}"
    parts = [f"{size(done.bytes)} {'to send' if report.dry_run else 'sent'}"]
    if done.mounted:
        parts.append(f"{done.mounted} {'to mount' if report.dry_run else 'mounted'}")
    if done.present:
        parts.append(f"{done.present} already there")
    if seconds >= 2:
        parts.append(f"{seconds:.1f} s")
    verb = "Would copy" if report.dry_run else "Copied"
    return f"{verb} {count(done.manifests, 'manifest')} and {count(blobs, 'blob')}: {', '.join(parts)}{left}"


def _names(report: CopyReport, quiet: bool) -> str:
    """The full name of everything that was made, and before it what a dry run would do."""
    plan = _plan(report) if report.dry_run and not quiet else []
    names = dict.fromkeys(tag.full for image in report.images for tag in image.targets if tag.state != "kept")
    return "\n".join([*plan, *names])


def _plan(report: CopyReport) -> list[str]:
    from lading.cli.output import short, size, table

    words = {"copied": "copy", "mounted": "mount", "present": "there"}
    rows = [
        [words[step.outcome], _kind(step), short(step.digest), size(step.size), step.platform or ""]
        for step in sorted(
            report.steps, key=lambda step: (_RANK[_kind(step)], step.platform or "", step.size, step.digest)
        )
    ]
    changes = [
        f"{tag.reference}  {tag.state}" + (f", was {short(tag.previous)}" if tag.state == "moved" else "")
        for image in report.images
        for tag in image.targets
        if tag.state != "set"
    ]
    head = ["TO DO", "WHAT", "DIGEST", "SIZE", "PLATFORM"]
    return [*([table([head, *rows], right=[3])] if rows else []), *changes]


_RANK = {"blob": 0, "manifest": 1, "index": 2}


def _kind(step: Step) -> str:
    from lading.model.media_types import INDEXES, MANIFESTS

    if step.media_type in INDEXES:
        return "index"
    return "manifest" if step.media_type in MANIFESTS else "blob"
