"""The daily verbs: `inspect`, `digest`, `tag`, `tags`, `repos`, `delete`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import click

from lading.cli.frame import Command, Option, Options, common, format_option, place, platform_option
from lading.cli.suggestions import NO_REPOSITORY, helped
from lading.errors import NotFound, UsageError

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.images.overview import Entry, Overview
    from lading.model.reference import Reference
    from lading.results import Deletion, TagInfo
    from lading.stores.location import Location

T = TypeVar("T")


@click.command(cls=Command, short_help="Show what a name stands for: platforms, sizes, annotations")
@click.argument("reference", type=place)
@platform_option(multiple=True, help="Only the entries of an index for this platform. Repeatable.")
@click.option("--no-trunc", is_flag=True, help="Print digests whole.")
@click.option("--raw", is_flag=True, help="Print the manifest's exact bytes instead.")
@format_option
@common()
def inspect(
    options: Options, reference: str, platforms: tuple[str, ...], no_trunc: bool, raw: bool, format_: str
) -> None:
    """Show what REFERENCE names: type, digest, platforms, sizes, annotations, attestations.

    \b
    lading inspect alpine:3.20
    lading inspect alpine:3.20 --format '{{ digest }}'
    """
    from lading.cli.output import emit

    if raw:
        if len(platforms) > 1 or format_ != "text":
            raise click.UsageError("--raw goes with neither --format nor more than one --platform")
        chosen = platforms[0] if platforms else None
        manifest = options.run(lambda client: helped(client, [reference], client.get(reference, platform=chosen)))
        sys.stdout.buffer.write(manifest.raw)
        return
    found = options.run(lambda client: helped(client, [reference], client.inspect(reference, platforms=platforms)))
    emit(found, format_, lambda: _overview(found, len(platforms) > 0, no_trunc))


@click.command(cls=Command, short_help="Print the digest of a name")
@click.argument("reference", type=place)
@platform_option(help="The digest of an index's entry for this platform.")
@click.option("--full", is_flag=True, help="Print REPOSITORY@DIGEST.")
@format_option
@common()
def digest(options: Options, reference: str, platform: str | None, full: bool, format_: str) -> None:
    """Print the digest that REFERENCE names.

    \b
    lading digest alpine:3.20
    lading digest alpine:3.20 --platform linux/arm64
    """
    from lading.cli.documents import DigestDocument
    from lading.cli.output import emit
    from lading.stores.location import parse_location

    location = parse_location(reference).full()
    found = options.run(lambda client: helped(client, [location], client.digest(location, platform=platform)))
    document = DigestDocument(str(location.with_digest(found)), found)
    emit(document, format_, lambda: document.reference if full else found)


@click.command(cls=Command, short_help="Give an image or index more tags, without pulling it")
@click.argument("source", type=place)
@click.argument("new", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Change nothing; print what each tag names now.")
@click.option("--if-digest", metavar="DIGEST", help="Change a tag only if it names this digest now.")
@format_option
@common(pushes=True)
def tag(
    options: Options, source: str, new: tuple[str, ...], dry_run: bool, if_digest: str | None, format_: str
) -> None:
    """Give SOURCE more tags without pulling it; the digest stays the same.

    NEW is a tag of the same repository, or a reference to another one. Signatures and other referrers do not go to
    another one with it; with `lading copy --referrers` they do.

    \b
    lading tag reg.example/app:1.4.2 1.4 stable
    lading tag reg.example/staging/app:1.4.2 reg.example/app:1.4.2
    """
    from lading.cli.documents import TagDocument
    from lading.cli.output import emit, paint, short
    from lading.model.digest import Digest
    from lading.stores.location import parse_location

    location = parse_location(source).full()
    changes = options.run(
        lambda client: helped(client, [location], client.tag(location, *new, if_digest=if_digest, dry_run=dry_run))
    )
    document = TagDocument(changes[0].digest, changes, dry_run)
    full = str(location.with_digest(Digest(document.digest)))

    def text() -> str:
        if options.quiet:
            return full
        width = max(len(change.reference) for change in changes)
        was = {"set": "", "new": "new", "unchanged": "names it already"}
        lines = [
            f"{paint(change.reference.ljust(width), 'cyan')}  " + was.get(change.state, f"was {short(change.previous)}")
            for change in changes
        ]
        return "\n".join([*(line.rstrip() for line in lines), full])

    emit(document, format_, text)


@click.command(cls=Command, short_help="List the tags of a repository")
@click.argument("repository", type=place)
@click.option("--points-at", metavar="REF", help="Only tags that name the same manifest as this tag or digest.")
@click.option("--digests", is_flag=True, help="Print what each tag names, too.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only tags like this. Repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No tags like this. Repeatable.")
@click.option("--sort", type=click.Choice(["registry", "name", "semver"]), help="The order; semver goes up.")
@click.option(
    "--latest", cls=Option, type=click.IntRange(min=1), metavar="N", help="Only the N highest versions, highest first."
)
@click.option("--no-trunc", is_flag=True, help="Print digests whole.")
@format_option
@common()
def tags(
    options: Options,
    repository: str,
    points_at: str | None,
    digests: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    sort: str | None,
    latest: int | None,
    no_trunc: bool,
    format_: str,
) -> None:
    """List the tags of REPOSITORY.

    \b
    lading tags reg.example/app --sort semver --latest 5
    lading tags reg.example/app --points-at reg.example/app:stable
    """
    from lading.cli.documents import TagsDocument
    from lading.cli.output import emit, short, table
    from lading.model.digest import ALGORITHMS, Digest
    from lading.model.reference import is_tag
    from lading.model.tags import choose, highest, order
    from lading.stores.location import parse_location

    location = parse_location(repository)
    if location.is_named:
        raise UsageError(
            f"{repository} is not a repository",
            cause="it has a tag or a digest",
            remedy=f"which tags name the same: lading tags {location.place} --points-at {repository}",
        )
    expected = Digest(points_at) if points_at and points_at.partition(":")[0] in ALGORITHMS else None

    async def look(client: AsyncClient) -> list[TagInfo]:
        wanted: str | None = expected
        if points_at is not None and wanted is None:
            point = location.with_tag(points_at) if is_tag(points_at) else parse_location(points_at).full()
            wanted = point.pinned or await helped(client, [point], client.digest(point))
        try:
            found = await client.tags(location)
        except NotFound as error:
            if location.reference is None or not location.is_registry:
                raise
            raise _no_repository(location.reference, error) from error
        names = choose((info.tag for info in found), include, exclude)
        names = highest(names, latest) if latest else order(names, sort or "registry")  # type: ignore[arg-type]
        if not (digests or wanted):
            by_name = {info.tag: info for info in found}
            return [by_name[name] for name in names]
        infos = await client.tag_digests(location, names)
        return [info for info in infos if wanted is None or info.digest == wanted]

    if latest and sort not in (None, "semver"):
        raise click.UsageError("--latest goes by version: leave out --sort, or use --sort semver")
    document = TagsDocument(str(location), options.run(look))

    def text() -> str:
        if digests and document.tags and not options.quiet:
            rows = [["TAG", "DIGEST"], *([info.tag, short(info.digest, no_trunc)] for info in document.tags)]
            return table(rows)
        return "\n".join(info.tag for info in document.tags)

    if document.tags or format_ != "text":
        emit(document, format_, text)
    elif points_at is None:
        options.note(f"{location} has no tags" + (" like that" if include or exclude or latest else ""))
    if points_at is not None and not document.tags:
        options.note(f"no tag of {location} names that")
        raise click.exceptions.Exit(1)


@click.command(cls=Command, short_help="List the repositories of a registry")
@click.argument("registry")
@click.option("--include", multiple=True, metavar="GLOB", help="Only repositories like this. Repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No repositories like this. Repeatable.")
@format_option
@common()
def repos(options: Options, registry: str, include: tuple[str, ...], exclude: tuple[str, ...], format_: str) -> None:
    """List the repositories of REGISTRY, where it tells.

    \b
    lading repos localhost:5000
    lading repos localhost:5000 --include 'team/*'
    """
    from lading.cli.documents import ReposDocument
    from lading.cli.output import emit
    from lading.model.tags import choose
    from lading.registry.auth.scopes import parse_registry

    host = parse_registry(registry)
    names = options.run(lambda client: client.repositories(host))
    document = ReposDocument(host, choose(names, include, exclude))
    if document.repositories or format_ != "text":
        emit(document, format_, lambda: "\n".join(document.repositories))
    else:
        options.note(f"{host} has no repositories" + (" like that" if include or exclude else ""))


@click.command(cls=Command, short_help="Delete a manifest, or only a tag")
@click.argument("references", type=place, nargs=-1, required=True, metavar="REFERENCE...")
@click.option("--untag", is_flag=True, help="Remove only the tag, where the registry can; the manifest stays.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; print what would go.")
@click.option("--if-digest", metavar="DIGEST", help="Delete only what has this digest.")
@format_option
@common()
def delete(
    options: Options,
    references: tuple[str, ...],
    untag: bool,
    yes: bool,
    dry_run: bool,
    if_digest: str | None,
    format_: str,
) -> None:
    """Delete the manifest that REFERENCE names, and with it every tag that names it.

    Shows first which tags those are, and asks.

    \b
    lading delete reg.example/app:old
    lading delete --untag reg.example/app:old
    """
    from lading.cli.documents import DeleteDocument
    from lading.cli.output import emit
    from lading.client.tagging import expect_digest, tag_to_remove
    from lading.model.digest import Digest
    from lading.results import Deletion
    from lading.stores.location import parse_location

    locations = [parse_location(reference).full() for reference in references]
    expected = Digest(if_digest) if if_digest is not None else None
    tags = [tag_to_remove(location) if untag else "" for location in locations]

    async def plan(client: AsyncClient) -> list[Deletion]:
        found = []
        for location, tag in zip(locations, tags, strict=True):
            if untag:
                digest = await helped(client, [location], client.digest(location))
                found.append(Deletion(reference=str(location), digest=digest, tags=[tag]))
            else:
                found.append(await helped(client, [location], client.deletion(location)))
            if expected is not None:
                expect_digest(location, found[-1].digest, expected)
        return found

    plans = options.run(plan)
    document = DeleteDocument(plans, untag, dry_run)
    if not dry_run:
        if not yes:
            _confirm(options, locations, plans, untag)

        async def carry_out(client: AsyncClient) -> None:
            gone: set[tuple[str, str]] = set()
            for location, planned in zip(locations, plans, strict=True):
                if untag:
                    await client.untag(location)
                elif (location.place, planned.digest) not in gone:
                    await client.delete(location.with_digest(Digest(planned.digest)))
                    gone.add((location.place, planned.digest))

        options.run(carry_out)
    emit(document, format_, lambda: "\n".join(_deleted(locations, plans, untag, dry_run)))


def _confirm(options: Options, locations: list[Location], plans: list[Deletion], untag: bool) -> None:
    from lading.cli.output import shown

    lines = _deleted(locations, plans, untag, True)
    if not sys.stdin.isatty():
        raise UsageError(
            "nothing was deleted, because there is nobody to ask",
            cause="; ".join(line.strip() for line in lines),
            remedy="to delete without being asked: --yes",
        )
    for line in lines:
        click.echo(shown(line), err=True)
    options.ask("Delete?", "nothing was deleted")


def _deleted(locations: list[Location], plans: list[Deletion], untag: bool, future: bool) -> list[str]:
    lines = []
    for location, planned in zip(locations, plans, strict=True):
        if untag:
            verb = "would remove" if future else "removed"
            lines.append(f"{verb} the tag {planned.reference}; {planned.digest} stays")
            continue
        verb, breaks = ("would delete", "would break") if future else ("deleted", "is broken now")
        lines.append(f"{verb} {location.place}@{planned.digest}")
        if planned.tags:
            lines.append(f"  and with it the {_plural('tag', planned.tags)} {_listed(planned.tags)}")
        if planned.listed_in:
            breaks = breaks.replace("is broken", "are broken") if len(planned.listed_in) > 1 else breaks
            lists = _plural("list", planned.listed_in, verb=True)
            lines.append(f"  {_listed(planned.listed_in)} {lists} it and {breaks}")
    return lines


def _plural(word: str, of: list[str], *, verb: bool = False) -> str:
    return word if (len(of) == 1) != verb else f"{word}s"


def _listed(names: list[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _no_repository(repository: Reference, error: NotFound) -> NotFound:
    return NotFound(
        f"{repository.name} was not found",
        cause=NO_REPOSITORY,
        remedy=f"see what there is: lading repos {repository.registry}",
        status=error.status,
        code=error.code,
    )


_KINDS = {
    "application/vnd.oci.image.index.v1+json": "OCI image index",
    "application/vnd.docker.distribution.manifest.list.v2+json": "Docker manifest list",
    "application/vnd.oci.image.manifest.v1+json": "OCI image manifest",
    "application/vnd.docker.distribution.manifest.v2+json": "Docker image manifest",
    "application/vnd.oci.artifact.manifest.v1+json": "OCI artifact manifest",
}


def _overview(found: Overview, filtered: bool, whole: bool) -> str:
    from lading.cli.output import count, paint, short, size, table

    images = [entry for entry in found.entries if entry.attests is None]
    lines = [paint(found.reference, "cyan")]
    kind = _KINDS.get(found.media_type, found.media_type)
    if found.kind == "artifact":
        kind = f"{kind} of an artifact"
    if found.kind == "index":
        shown = f"{len(images)} of {found.entry_count}" if filtered else str(found.entry_count)
        noun = "platform" if all(entry.platform for entry in images) else "entry"
        plural = {"platform": "platforms", "entry": "entries"}[noun]
        kind += f", {shown} {noun if found.entry_count == 1 else plural}"
        if found.attestation_count:
            kind += f", {count(found.attestation_count, 'attestation')}"
    facts = [("digest", found.digest), ("type", kind)]
    if found.kind != "index" and images[0].platform:
        version = f" (version {images[0].os_version})" if images[0].os_version else ""
        facts.append(("platform", images[0].platform + version))
    if found.artifact_type:
        facts.append(("artifact", found.artifact_type))
    if found.subject:
        facts.append(("subject", found.subject))
    if found.created:
        facts.append(("created", found.created.partition("T")[0]))
    missing = sum(entry.state == "missing" for entry in images)
    total = size(found.total_size)
    if found.kind == "index":
        total += f" for {len(images) - missing} of {found.entry_count}" if filtered or missing else " in all"
    else:
        total += f" in {count(images[0].layers or 0, 'layer')}"
    facts.append(("size", total))
    lines += [f"  {name.ljust(10)} {value}" for name, value in facts]
    lines += _annotations(found.annotations)
    if found.kind == "index":
        lines += ["", table([_HEAD, *(_row(entry, whole) for entry in images)], right=(2, 3), indent="  ")]
        lines += _attestations(found.entries)
        for entry in images:
            if entry.annotations:
                lines += ["", f"  annotations of {entry.platform or short(entry.digest)}"]
                lines += [f"    {key}={value}" for key, value in sorted(entry.annotations.items())]
    else:
        lines += _runs(found.config)
    return "\n".join(lines)


_HEAD = ["PLATFORM", "DIGEST", "LAYERS", "SIZE", ""]


def _row(entry: Entry, whole: bool) -> list[str]:
    from lading.cli.output import short, size

    platform = entry.platform or "-"
    if entry.os_version:
        platform += f" {entry.os_version}"
    nested = entry.state == "present" and entry.total_size is None
    note = ""
    if entry.state == "missing":
        note = "not in this repository"
    elif nested:
        note = "an index with " + ("1 entry" if entry.layers == 1 else f"{entry.layers} entries")
    elif entry.artifact_type:
        note = f"artifact {entry.artifact_type}"
    layers = "-" if nested or entry.layers is None else str(entry.layers)
    return [platform, short(entry.digest, whole), layers, size(entry.total_size), note]


def _annotations(annotations: dict[str, str]) -> list[str]:
    if not annotations:
        return []
    return ["", "  annotations", *(f"    {key}={value}" for key, value in sorted(annotations.items()))]


def _attestations(entries: list[Entry]) -> list[str]:
    platforms = {entry.digest: entry.platform for entry in entries if entry.attests is None}
    subjects = [
        platforms.get(entry.attests) or "an entry that is not listed" for entry in entries if entry.attests is not None
    ]
    if not subjects:
        return []
    what = "an attestation" if len(subjects) == 1 else f"{len(subjects)} attestations"
    return ["", f"  with {what}, of {', '.join(dict.fromkeys(subjects))}"]


_RUNS = {
    "Entrypoint": "entrypoint",
    "Cmd": "cmd",
    "User": "user",
    "WorkingDir": "workdir",
    "ExposedPorts": "ports",
    "Env": "env",
    "Labels": "labels",
}


def _runs(config: dict[str, object]) -> list[str]:
    import json

    shown = []
    for key, name in _RUNS.items():
        value = config.get(key)
        if isinstance(value, dict):
            items = sorted(value) if key == "ExposedPorts" else [f"{k}={v}" for k, v in sorted(value.items())]
        elif isinstance(value, list):
            items = [json.dumps(value, ensure_ascii=False)] if key in ("Entrypoint", "Cmd") else value
        else:
            items = [value] if value else []
        shown += [f"  {('' if number else name).ljust(10)} {item}" for number, item in enumerate(items) if value]
    return ["", *shown] if shown else []
