"""`lading manifest inspect`: a list or a manifest, local or remote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option
from lading.errors import NotFound

if TYPE_CHECKING:
    from lading.drafts.draft import Draft
    from lading.store import AnyManifest
    from lading.stores.location import Location


class ManifestDocument(TypedDict):
    """`lading manifest inspect`."""

    reference: str
    digest: str
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""
    local: bool
    """Whether it is a local list, or of one."""
    manifest: dict[str, Any]
    """The manifest, decoded."""


@click.command(cls=Command, short_help="Print a list or a manifest, local or remote")
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

    first = next(iter(names))
    location, store = parse_location(first).full(), DraftStore()
    # A local list has a reference for its name, and what Docker prints has references in it.
    reference = registry_reference(location) if location.is_registry or verbose or len(names) == 2 else None
    if reference is not None and (len(names) == 2 or (not remote and store.exists(reference))):
        draft = _load(store, reference, names)
        for warning in draft.warnings:
            options.warn(warning)
        _show_local(draft, names[1] if len(names) == 2 else None, verbose, raw, format_)
    else:
        _show_remote(options, location, verbose, raw, format_)


def _load(store: Any, reference: Any, names: tuple[str, ...]) -> Draft:
    try:
        draft: Draft = store.load(reference)
    except NotFound as error:
        if len(names) == 2:
            error.fields["image"] = names[1]
        raise
    return draft


def _show_local(draft: Draft, image: str | None, verbose: bool, raw: bool, format_: str) -> None:
    from lading.cli.output import emit_bytes, emit_json
    from lading.drafts.docker_inspect import inspect_draft

    if not raw and format_ == "text":
        emit_json(inspect_draft(draft, image, verbose=verbose), end="")
        return
    entry = draft.find(image) if image is not None else None
    found = draft.index if entry is None else entry.manifest()
    if raw:
        emit_bytes(found.raw)
    else:
        _emit_manifest(str(draft.reference if entry is None else entry.reference), found, True, format_)


def _show_remote(options: Options, location: Location, verbose: bool, raw: bool, format_: str) -> None:
    from lading.cli.output import emit_bytes, emit_json

    if verbose:
        from lading.drafts.inspect import inspect_remote_verbose

        emit_json(options.run(lambda client: inspect_remote_verbose(client.connect, location)), end="")
        return
    found = options.run(lambda client: client.get(location))
    if raw:
        emit_bytes(found.raw)
    elif format_ != "text":
        _emit_manifest(str(location), found, False, format_)
    else:
        from lading.drafts.docker_inspect import docker_inspect

        emit_json(docker_inspect(found), end="")


def _emit_manifest(reference: str, found: AnyManifest, local: bool, format_: str) -> None:
    from lading.cli.output import emit

    document = ManifestDocument(
        reference=reference,
        digest=found.digest,
        media_type=found.media_type,
        size=found.size,
        local=local,
        manifest=found.document,
    )
    emit(document, format_, lambda: found.digest)
