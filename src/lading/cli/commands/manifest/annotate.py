"""`lading manifest annotate`: what a local list says about an image, or about itself."""

from __future__ import annotations

import click

from lading.cli.drafts import CLEARED, as_text, key_values, type_option
from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command, short_help="Change what a local list says about an image or itself")
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
@type_option
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
    lading manifest annotate reg.example/app:1.4 linux/arm --variant v7
    lading manifest annotate reg.example/app:1.4 --index-annotation team=web
    """
    from lading.drafts.annotate import annotate as change
    from lading.drafts.store import DraftStore
    from lading.errors import UsageError

    if image is None and not (index_annotation or remove_index_annotation or type_):
        raise click.UsageError("name the MANIFEST to annotate, or give --index-annotation for the list itself")
    for given in (os, arch, variant, os_version, *os_features):
        as_text(given)
    if unknown := set(clear) - set(CLEARED):
        raise UsageError(f"{min(unknown)} is no field that can be cleared", cause=f"those are {', '.join(CLEARED)}")
    done = change(
        DraftStore(on_wait=options.warn),
        manifest_list,
        image,
        os=os,
        architecture=arch,
        variant=variant,
        os_version=os_version,
        os_features=[name for names in os_features for name in names.split(",") if name],
        clear=[CLEARED[name] for name in clear],
        annotations=key_values(annotations),
        remove_annotations=remove_annotation,
        index_annotations=key_values(index_annotation),
        remove_index_annotations=remove_index_annotation,
        type=type_,  # type: ignore[arg-type]
    )
    for warning in done.warnings:
        options.warn(warning)
