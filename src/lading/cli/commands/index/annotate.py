"""`lading index annotate`: what an index says about an entry, or about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lading.cli import values
from lading.cli.drafts import CLEARED, as_text, key_values
from lading.cli.groups import Command
from lading.cli.indexes import places, run_index, target_option, type_option, written_options
from lading.cli.options import Options, common

if TYPE_CHECKING:
    from lading.images.edits.referrers import Referrers


@click.command(cls=Command, short_help="Change what an index says about an entry or itself")
@click.argument("reference", type=values.location, metavar="TARGET")
@click.argument("entry", required=False)
@click.option("--os", default="", metavar="OS", help="Operating system.")
@click.option("--arch", default="", metavar="ARCH", help="Architecture; aliases are understood.")
@click.option("--variant", default="", metavar="VARIANT", help="Variant of the architecture.")
@click.option("--os-version", default="", metavar="VERSION", help="Version of the operating system.")
@click.option("--os-features", multiple=True, metavar="FEATURE,...", help="Added to those there are. Repeatable.")
@click.option("--clear", multiple=True, metavar="FIELD", help="Empty os-version, os-features, variant … first.")
@click.option("--artifact-type", metavar="TYPE", help="Of the entry; empty takes it away.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the entry. Repeatable.")
@click.option("--remove-annotation", multiple=True, metavar="KEY", help="Of the entry. Repeatable.")
@click.option("--index-annotation", multiple=True, metavar="KEY=VALUE", help="Of the index. Repeatable.")
@click.option("--remove-index-annotation", multiple=True, metavar="KEY", help="Of the index. Repeatable.")
@type_option
@target_option(instead=True)
@written_options
@common()
def annotate(
    options: Options,
    reference: str,
    entry: str | None,
    os: str,
    arch: str,
    variant: str,
    os_version: str,
    os_features: tuple[str, ...],
    clear: tuple[str, ...],
    artifact_type: str | None,
    annotations: tuple[str, ...],
    remove_annotation: tuple[str, ...],
    index_annotation: tuple[str, ...],
    remove_index_annotation: tuple[str, ...],
    type_: str | None,
    targets: tuple[str, ...],
    referrers: Referrers,
    if_digest: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Change what the index TARGET says about one of its entries, or about itself.

    ENTRY: a digest or its first digits, a platform, or a position such as @0.

    \b
    lading index annotate reg.example/app:1.4 linux/arm --variant v7
    lading index annotate reg.example/app:1.4 --index-annotation team=web
    """
    from lading.errors import UsageError

    about_index = bool(index_annotation or remove_index_annotation or type_)
    about_entry = bool(os or arch or variant or os_version or os_features or clear or annotations or remove_annotation)
    about_entry = about_entry or artifact_type is not None
    if entry is None and (about_entry or not about_index):
        raise click.UsageError("name the ENTRY to annotate, or give --index-annotation for the index itself")
    if entry is not None and not about_entry:
        raise click.UsageError("say what is to be said of the entry, such as --variant v7 or --annotation KEY=VALUE")
    for given in (os, arch, variant, os_version, *os_features, artifact_type or ""):
        as_text(given)
    if unknown := set(clear) - set(CLEARED):
        raise UsageError(f"{min(unknown)} is no field that can be cleared", cause=f"those are {', '.join(CLEARED)}")
    there, on_entry, on_index = places(reference, targets), key_values(annotations), key_values(index_annotation)
    run_index(
        options,
        there or [reference],
        format_,
        lambda client, on_event: client.indexes.annotate(
            reference,
            entry,
            os=os,
            architecture=arch,
            variant=variant,
            os_version=os_version,
            os_features=[name for names in os_features for name in names.split(",") if name],
            clear=[CLEARED[name] for name in clear],
            artifact_type=artifact_type,
            annotations=on_entry,
            remove_annotations=remove_annotation,
            index_annotations=on_index,
            remove_index_annotations=remove_index_annotation,
            type=type_,  # type: ignore[arg-type]
            targets=there,
            referrers=referrers,
            if_digest=if_digest,
            dry_run=dry_run,
            on_event=on_event,
        ),
    )
