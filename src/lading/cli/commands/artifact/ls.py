"""`lading artifact ls`: what refers to an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lading.cli import values
from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, platform_option
from lading.cli.referrers import REFERRERS_IN, referrer_options, wanted_annotations

if TYPE_CHECKING:
    from lading.artifacts.referrer_list import ReferrerEntry, ReferrerList

_WIDTH = 60


@click.command(cls=Command, short_help="List what is attached to an image")
@click.argument("subject", type=values.location, metavar="SUBJECT")
@referrer_options
@click.option("--latest", is_flag=True, help="Only the newest of them.")
@click.option(
    "--sort", default="created", metavar="KEY", help="By created (newest first), type, size, digest, or an annotation."
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@platform_option(help="Of an index, what is attached to the image for this platform.")
@click.option("--digest-tags", is_flag=True, help="All tags made of the digest, not only cosign's.")
@REFERRERS_IN
@click.option("--no-trunc", is_flag=True, help="Print digests, types and annotations whole.")
@format_option
@common()
def ls(options: Options, subject: str, no_trunc: bool, format_: str, **given: Any) -> None:
    """List what refers to SUBJECT: signatures, SBOMs and the like, by the registry's list and by cosign's tags.

    \b
    lading artifact ls reg.example/app:1.4
    lading artifact ls reg.example/app:1.4 --artifact-type '*spdx*' --latest
    """
    from lading.cli.output import emit

    given["annotations"] = wanted_annotations(given.pop("filter_annotation"))
    is_chosen = bool(given["artifact_types"] or given["annotations"])
    found = options.run(lambda client: client.artifacts.referrers(subject, **given))
    for note in found.notes:
        options.warn(note)
    if format_ == "text" and not found.referrers:
        options.note(f"nothing{' like that' if is_chosen else ''} is attached to {found.reference}")
        return
    emit(found, format_, lambda: _lines(options, found, no_trunc))


def _lines(options: Options, found: ReferrerList, whole: bool) -> list[str]:
    from lading.cli.output import table

    if options.quiet:
        return [entry.digest for entry in found.referrers]
    head = ["DIGEST", "ARTIFACT TYPE", "SIZE", "CREATED", "LISTED BY", "ANNOTATIONS"]
    return table([head, *(_row(entry, whole) for entry in found.referrers)], right=(2,))


def _row(entry: ReferrerEntry, whole: bool) -> list[str]:
    from lading.cli.output import short, size

    places = [_PLACES[place] for place in entry.listed_by]
    annotations = ", ".join(
        f"{key}={value}" for key, value in entry.annotations.items() if key != "org.opencontainers.image.created"
    )
    if not whole and len(annotations) > _WIDTH:
        annotations = f"{annotations[: _WIDTH - 1]}…"
    return [
        short(entry.digest, whole),
        entry.artifact_type or "-",
        size(entry.size),
        (entry.created or "-") if whole else (entry.created or "-").partition("T")[0],
        ", ".join(places),
        annotations or "-",
    ]


_PLACES = {"api": "API", "fallback-tag": "fallback tag", "cosign-tag": "cosign tag", "subject": "subject"}
