"""`lading manifest`: Docker's commands with Docker's arguments and output, and what Docker lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from lading.cli.frame import Group, Option, Options, common, format_option, platform_option
from lading.cli.suggestions import helped
from lading.errors import LadingError, NotFound, UsageError

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.drafts.draft import Draft
    from lading.drafts.operations import Created, Status
    from lading.drafts.push import Pushed
    from lading.store import AnyManifest
    from lading.stores.location import Location


@click.group(cls=Group, short_help="Put images for several platforms under one name")
def manifest() -> None:
    """Put images for several platforms under one name, on Docker's own local store.

    create, annotate, inspect, push and rm are Docker's, so `docker manifest` can be an alias of this.
    """


_ATTESTATIONS = click.option("--no-attestations", is_flag=True, help="Leave out the attestations of an index.")
_PLATFORMS = platform_option(multiple=True, help="What to take from an index. Repeatable; all by default.")
_TYPE = click.option(
    "--type", "type_", type=click.Choice(["auto", "docker", "oci"]), help="What the list is pushed as."
)


@manifest.command(short_help="Make a local list of images")
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@click.option("-a", "--amend", is_flag=True, help="Extend a list that is there; its tags are looked up again.")
@click.option("--replace", is_flag=True, help="Start over where there is a list.")
@_PLATFORMS
@_ATTESTATIONS
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the list. Repeatable.")
@_TYPE
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
    lading manifest create reg.example/app:1.4 reg.example/app:1.4-amd64 reg.example/app:1.4-arm64
    lading manifest create --amend reg.example/app:1.4 reg.example/app:1.4-s390x
    """
    from lading.model.reference import is_tag

    if tags and not push_:
        raise click.UsageError("--tag goes with --push; without it, give the tags to lading manifest push")
    for tag in tags:
        if not is_tag(tag):
            raise UsageError(f"{tag!r} is not a tag", cause="--tag takes tags of the list's own repository")
    pairs = _pairs(annotations)

    async def work(client: AsyncClient) -> tuple[Created, Pushed | None]:
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
        created = await helped(client, manifests, making)
        if not push_:
            return created, None
        _report(options, created)
        click.echo(f"Created manifest list {created.draft.reference}")
        return created, await client.drafts.push(manifest_list, tags=tags)

    created, pushed = options.run(work)
    if pushed is not None:
        _pushed(options, pushed)
        return
    _report(options, created)
    click.echo(f"Created manifest list {created.draft.reference}")


@manifest.command(short_help="Change what a local list says about an image or itself")
@click.argument("manifest_list")
@click.argument("image", metavar="[MANIFEST]", required=False)
@click.option("--os", default="", metavar="OS", help="Operating system.")
@click.option(
    "--arch", default="", metavar="ARCH", help="Architecture; aliases such as x86_64 and armhf are understood."
)
@click.option("--variant", default="", metavar="VARIANT", help="Variant of the architecture.")
@click.option("--os-version", default="", metavar="VERSION", help="Version of the operating system.")
@click.option("--os-features", multiple=True, metavar="FEATURE,...", help="Added to those there are. Repeatable.")
@click.option("--clear", multiple=True, metavar="FIELD", help="Empty os-version, os-features, variant … first.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the entry. Repeatable.")
@click.option("--remove-annotation", multiple=True, metavar="KEY", help="Of the entry. Repeatable.")
@click.option("--index-annotation", multiple=True, metavar="KEY=VALUE", help="Of the list. Repeatable.")
@click.option("--remove-index-annotation", multiple=True, metavar="KEY", help="Of the list. Repeatable.")
@_TYPE
@common(insecure=False)
def annotate(
    options: Options,
    manifest_list: str,
    image: str | None,
    os: str,
    arch: str,
    variant: str,
    os_version: str,
    os_features: tuple[str, ...],
    clear: tuple[str, ...],
    annotations: tuple[str, ...],
    remove_annotation: tuple[str, ...],
    index_annotation: tuple[str, ...],
    remove_index_annotation: tuple[str, ...],
    type_: str | None,
) -> None:
    """Change what the local MANIFEST_LIST says about an image in it, or about itself.

    MANIFEST is named as in create, or by its digest or platform.

    \b
    lading manifest annotate reg.example/app:1.4 reg.example/app:1.4-arm --arch arm --variant v7
    lading manifest annotate reg.example/app:1.4 --index-annotation org.opencontainers.image.version=1.4
    """
    from lading.drafts.edit import annotate as change
    from lading.drafts.store import DraftStore

    if image is None and not (index_annotation or remove_index_annotation or type_):
        raise click.UsageError("name the MANIFEST to annotate, or give --index-annotation for the list itself")
    done = change(
        DraftStore(),
        manifest_list,
        image,
        os=os,
        architecture=arch,
        variant=variant,
        os_version=os_version,
        os_features=[name for names in os_features for name in names.split(",") if name],
        clear=clear,
        annotations=_pairs(annotations),
        remove_annotations=remove_annotation,
        index_annotations=_pairs(index_annotation),
        remove_index_annotations=remove_index_annotation,
        type=type_,  # type: ignore[arg-type]
    )
    for warning in done.warnings:
        options.warn(warning)


@manifest.command(short_help="Print a list or a manifest, local or remote")
@click.argument("names", nargs=-1, required=True, metavar="[MANIFEST_LIST] MANIFEST")
@click.option("-v", "--verbose", is_flag=True, help="Print what Docker does: descriptor, platform and manifest.")
@click.option("--raw", is_flag=True, help="Print the exact bytes, as in the registry.")
@click.option("--remote", is_flag=True, help="Ask the registry even if there is a local list of this name.")
@format_option
@common(verbose_flag=False)
def inspect(options: Options, names: tuple[str, ...], verbose: bool, raw: bool, remote: bool, format_: str) -> None:
    """Print a manifest or a list: the local list of that name, else the registry's; or an entry of a local list.

    \b
    lading manifest inspect reg.example/app:1.4
    lading manifest inspect reg.example/app:1.4 --format '{{ digest }}'
    """
    if len(names) > 2:
        raise click.UsageError("give [MANIFEST_LIST] MANIFEST: at most two names")
    if verbose + raw + (format_ != "text") > 1:
        raise click.UsageError("--verbose, --raw and --format exclude each other")
    if remote and len(names) > 1:
        raise click.UsageError("an entry of a local list is local: leave out --remote")
    from lading.drafts.store import DraftStore
    from lading.stores.location import parse_location, registry_reference

    location, store = parse_location(names[0]).full(), DraftStore()
    # A local list has a reference for its name, and what Docker prints has references in it.
    reference = registry_reference(location) if location.is_registry or verbose or len(names) == 2 else None
    if reference is not None and (len(names) == 2 or (not remote and store.exists(reference))):
        draft = _load(store, reference, names)
        for warning in draft.warnings:
            options.warn(warning)
        _show_local(draft, names[1] if len(names) == 2 else None, verbose, raw, format_)
    else:
        _show_remote(options, location, verbose, raw, format_)


@manifest.command(short_help="Push a local list")
@click.argument("manifest_list")
@click.option("-p", "--purge", is_flag=True, help="Remove the local list afterwards.")
@click.option(
    "-t", "--tag", "tags", multiple=True, metavar="TAG", help="Another tag in the same repository. Repeatable."
)
@click.option(
    "--if-digest", metavar="DIGEST", help="Push only if the tag has this digest now; also `absent`, `origin`."
)
@click.option("--dry-run", is_flag=True, help="Send nothing; print the digest that would be pushed.")
@format_option
@common(pushes=True)
def push(
    options: Options,
    manifest_list: str,
    purge: bool,
    tags: tuple[str, ...],
    if_digest: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Push the local MANIFEST_LIST: first what its registry lacks, then the list, its tags last.

    \b
    lading manifest push reg.example/app:1.4 -t latest
    lading manifest push reg.example/app:1.4 --if-digest origin
    """
    from lading.model.digest import Digest

    guard: Any = if_digest if if_digest in (None, "absent", "origin") else Digest(if_digest)
    pushed = options.run(
        lambda client: client.drafts.push(manifest_list, tags=tags, if_digest=guard, dry_run=dry_run, purge=purge)
    )
    _pushed(options, pushed, format_)


@manifest.command(short_help="Remove local lists")
@click.argument("manifest_lists", nargs=-1, required=True, metavar="MANIFEST_LIST...")
@common(insecure=False)
def rm(options: Options, manifest_lists: tuple[str, ...]) -> None:
    """Remove local manifest lists. What is in the registry stays: for that there is `lading delete`."""
    from lading.drafts.store import DraftStore
    from lading.stores.location import registry_reference

    missing = DraftStore().remove(registry_reference(name) for name in manifest_lists)
    if missing:
        raise NotFound(
            f"No such manifest: {', '.join(map(str, missing))}",
            cause="there is no local manifest list of this name"
            if len(missing) == 1
            else "there are no local manifest lists of these names",
            remedy="see those there are: lading manifest ls",
        )


@manifest.command(short_help="List the local lists")
@click.option("--remote", is_flag=True, help="Ask the registries whether they have each list, an older one or none.")
@click.option("--no-trunc", is_flag=True, help="Print every platform.")
@format_option
@common()
def ls(options: Options, remote: bool, no_trunc: bool, format_: str) -> None:
    """List the local manifest lists.

    \b
    lading manifest ls
    lading manifest ls --remote --format json
    """
    from lading.cli.documents import DraftsDocument, draft_document
    from lading.cli.output import emit
    from lading.drafts.store import DraftStore

    drafts = DraftStore().list()
    for draft in drafts:
        if draft.problem:
            options.warn(f"{draft.reference} cannot be read: {draft.problem}")
    states: tuple[Status, ...] = ()
    if remote:
        states = options.run(lambda client: client.drafts.status(drafts))
    by_name = {state.draft.reference: state for state in states}
    document = DraftsDocument([draft_document(draft, by_name.get(draft.reference)) for draft in drafts])
    if format_ == "text" and not drafts:
        options.note("there are no local manifest lists")
        return
    emit(document, format_, lambda: _listing(options, drafts, by_name, remote, no_trunc))


@manifest.command(short_help="Add images to a local list")
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@_PLATFORMS
@_ATTESTATIONS
@common()
def add(
    options: Options, manifest_list: str, manifests: tuple[str, ...], platforms: tuple[str, ...], no_attestations: bool
) -> None:
    """Add images to the local MANIFEST_LIST; its other entries stay as they are."""
    added = options.run(
        lambda client: helped(
            client,
            manifests,
            client.drafts.add(manifest_list, manifests, platforms=platforms, attestations=not no_attestations),
        )
    )
    _report(options, added)
    click.echo(added.draft.reference)


@manifest.command(short_help="Remove images from a local list")
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@common(insecure=False)
def remove(options: Options, manifest_list: str, manifests: tuple[str, ...]) -> None:
    """Remove images from the local MANIFEST_LIST, named as in create, or by digest or platform."""
    from lading.drafts.edit import remove as take_out
    from lading.drafts.store import DraftStore

    removed = take_out(DraftStore(), manifest_list, manifests)
    for entry in removed.entries:
        options.note(f"{entry.reference} removed ({entry.platform or 'no platform'}, {entry.digest.short})")
    click.echo(removed.draft.reference)


@manifest.command(short_help="Make a local list of one in a registry")
@click.argument("reference")
@click.argument("manifest_list", required=False)
@click.option("--replace", is_flag=True, help="Overwrite a local list of that name.")
@_PLATFORMS
@_ATTESTATIONS
@common()
def pull(
    options: Options,
    reference: str,
    manifest_list: str | None,
    replace: bool,
    platforms: tuple[str, ...],
    no_attestations: bool,
) -> None:
    """Make a local list of the one that REFERENCE names in its registry, to change it and push it again.

    \b
    lading manifest pull reg.example/app:1.4
    lading manifest push reg.example/app:1.4 --if-digest origin
    """
    pulled = options.run(
        lambda client: helped(
            client,
            [reference],
            client.drafts.pull(
                reference, manifest_list, replace=replace, platforms=platforms, attestations=not no_attestations
            ),
        )
    )
    for warning in pulled.warnings:
        options.warn(warning)
    entries = len(pulled.draft.entries)
    options.note(f"the local list has {'1 entry' if entries == 1 else f'{entries} entries'}")
    click.echo(pulled.draft.reference)


@manifest.command(short_help="Remove the local lists that are pushed")
@click.option(
    "--older-than",
    cls=Option,
    metavar="DAYS",
    type=click.FloatRange(min=0),
    help="Only lists not changed for that long.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; print what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common()
def prune(options: Options, older_than: float | None, dry_run: bool, yes: bool) -> None:
    """Remove the local lists that their registries have exactly as they are."""
    from datetime import timedelta

    age = timedelta(days=older_than) if older_than is not None else None
    if not (dry_run or yes):
        going = options.run(lambda client: client.drafts.prune(older_than=age, dry_run=True))
        if not going:
            options.note("there is nothing to prune")
            return
        if not sys.stdin.isatty():
            raise UsageError(
                "nothing was removed, because there is nobody to ask",
                cause=f"would remove {', '.join(str(name) for name in going)}",
                remedy="to prune without being asked: --yes",
            )
        for name in going:
            click.echo(f"would remove {name}", err=True)
        options.ask("Remove?", "nothing was removed")
    gone = options.run(lambda client: client.drafts.prune(older_than=age, dry_run=dry_run))
    if not gone:
        options.note("there is nothing to prune")
    for name in gone:
        click.echo(name if options.quiet else f"{'would remove' if dry_run else 'removed'} {name}")


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{text!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs


def _report(options: Options, created: Created) -> None:
    for warning in created.warnings:
        options.warn(warning)
    for change in created.changes:
        if change.kind != "kept":
            options.note(str(change))


def _serious(pushed: Pushed) -> list[str]:
    """What the list says that will break for whoever pulls it; nothing is read for this."""
    import msgspec

    from lading.images.lint import lint, listed_facts

    name = str(msgspec.structs.replace(pushed.reference, digest=None))
    report = lint(listed_facts(name, pushed.index))
    errors = [found for found in report.findings if found.severity == "error"]
    return [f"{found.message} ({found.code})\n  {found.remedy}" for found in errors]


def _pushed(options: Options, pushed: Pushed, format: str = "text") -> None:
    from lading.cli.documents import PushDocument
    from lading.cli.output import emit

    for warning in (*pushed.warnings, *_serious(pushed)):
        options.warn(warning)
    document = PushDocument(
        reference=str(pushed.reference),
        digest=pushed.digest,
        media_type=pushed.index.media_type,
        size=pushed.index.size,
        tags=list(pushed.tags),
        copied=[f"{pushed.reference.name}@{entry.digest}" for entry in pushed.copied],
        blobs_mounted=pushed.transfer.mounted,
        blobs_uploaded=pushed.transfer.uploaded,
        bytes_uploaded=pushed.transfer.bytes,
        dry_run=pushed.dry_run,
    )

    def text() -> str:
        name = pushed.reference.name
        lines = [
            f"Pushed ref {name}@{entry.digest} with digest: {entry.digest}"
            for entry in pushed.copied
            if not pushed.dry_run
        ]
        return "\n".join([*lines, pushed.digest])

    if pushed.dry_run and format == "text":
        for entry in pushed.copied:
            options.note(f"would copy {entry.location or entry.reference} to {pushed.reference.name}")
        for tag in pushed.tags:
            options.note(f"would push {pushed.reference.name}:{tag}")
    emit(document, format, text)


def _load(store: Any, reference: Any, names: tuple[str, ...]) -> Draft:
    try:
        draft: Draft = store.load(reference)
    except NotFound as error:
        if len(names) == 2:
            error.remedy = f"see them: lading manifest ls      in the registry: lading manifest inspect {names[1]}"
        raise
    return draft


def _show_local(draft: Draft, image: str | None, verbose: bool, raw: bool, format_: str) -> None:
    from lading.drafts.render import docker_inspect_image, docker_inspect_list, docker_inspect_verbose
    from lading.model.manifest import parse

    out = sys.stdout.buffer
    if image is None:
        if raw:
            out.write(draft.index.raw)
        elif verbose:
            out.write(docker_inspect_verbose(draft.entries))
        elif format_ != "text":
            _emit_manifest(str(draft.reference), draft.index, True, format_)
        else:
            out.write(docker_inspect_list(draft))
        return
    entry = draft.find(image)
    if verbose:
        out.write(docker_inspect_verbose(entry))
        return
    if entry.raw is None and (raw or format_ != "text" or not entry.embedded):
        raise LadingError(
            f"the manifest of {entry.reference} is not in the local store",
            remedy=f"read it from the registry: lading manifest inspect {entry.reference}",
        )
    if format_ != "text" and entry.raw is not None:
        found = parse(entry.raw, entry.descriptor.media_type, digest=entry.digest)
        _emit_manifest(str(entry.reference), found, True, format_)
    else:
        out.write(entry.raw if raw and entry.raw is not None else docker_inspect_image(entry))


def _show_remote(options: Options, location: Location, verbose: bool, raw: bool, format_: str) -> None:
    from lading.drafts.operations import describe
    from lading.drafts.render import docker_inspect_image, docker_inspect_list, docker_inspect_verbose
    from lading.model.index import Index

    out = sys.stdout.buffer
    if verbose:
        found, entries = options.run(lambda client: helped(client, [location], describe(client.connect, location)))
        out.write(docker_inspect_verbose(entries if isinstance(found, Index) else entries[0]))
        return
    found = options.run(lambda client: helped(client, [location], client.get(location)))
    if raw:
        out.write(found.raw)
    elif format_ != "text":
        _emit_manifest(str(location), found, False, format_)
    elif isinstance(found, Index):
        out.write(docker_inspect_list(found))
    else:
        out.write(docker_inspect_image(found.raw))


def _emit_manifest(reference: str, found: AnyManifest, local: bool, format_: str) -> None:
    from lading.cli.documents import ManifestDocument
    from lading.cli.output import emit

    document = ManifestDocument(reference, found.digest, found.media_type, found.size, local, found.document)
    emit(document, format_, lambda: found.digest)


def _listing(options: Options, drafts: tuple[Draft, ...], states: dict[Any, Status], remote: bool, whole: bool) -> str:
    from datetime import UTC, datetime

    from lading.cli.output import ago, table

    if options.quiet:
        return "\n".join(str(draft.reference) for draft in drafts)
    now = datetime.now(UTC)
    rows = [["LIST", "ENTRIES", "PLATFORMS", "CHANGED", *(["IN THE REGISTRY"] if remote else [])]]
    for draft in drafts:
        names = list(dict.fromkeys(str(platform) for platform in draft.platforms))
        shown = ", ".join(names) if whole or len(names) <= 2 else f"{names[0]} and {len(names) - 1} more"
        age = ago((now - draft.changed).total_seconds()) if draft.changed else "-"
        row = [str(draft.reference), str(len(draft.entries)), (draft.problem and "cannot be read") or shown or "-", age]
        if remote:
            row.append(str(states[draft.reference]))
        rows.append(row)
    return table(rows, right=(1,))
