"""What commands that change images share: edits as options, targets, and a dry run that shows what would change."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli import values
from lading.cli.copying import IF_DIGEST, JOBS, NO_CLOBBER, PROGRESS, show_copy
from lading.cli.drafts import as_text
from lading.cli.groups import Command, Option
from lading.cli.options import Options, format_option, platform_option

if TYPE_CHECKING:
    from lading.images.edits.edit import Edit
    from lading.images.edits.report import EditReport, ManifestChange

F = TypeVar("F", bound=Callable[..., Any])
_ORDER = "lading.order"


class EditOption(Option):
    """An option that is an edit: its value is one, made of what was typed.

    Args:
        is_rare: whether it is described only where everything is.
        make: gives the edit for a text; of an option without a value, for an empty one. Raises a click.UsageError or a
            LadingError where the text cannot be read.
    """

    def __init__(self, *args: Any, make: Callable[[str], Edit], is_rare: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("multiple", not kwargs.get("is_flag"))
        super().__init__(*args, is_rare=is_rare, **kwargs)
        self.make = make


class EditCommand(Command):
    """A command with edits for options: they are applied in the order in which they were typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line, and remember in which order options were given."""
        typed = list(args)
        rest = super().parse_args(ctx, args)
        _, _, order = self.make_parser(ctx).parse_args(args=typed)
        ctx.meta[_ORDER] = [param for param in order if isinstance(param, EditOption)]
        return rest


def taken_edits(given: dict[str, Any]) -> list[Edit]:
    """The edits of the command line of an `EditCommand`, in the order in which they were typed.

    Args:
        given: the values of its options; those of edits are taken out.
    """
    ctx = click.get_current_context()
    names = [param.name for param in ctx.command.params if isinstance(param, EditOption) and param.name]
    texts = {name: list(value) if isinstance(value := given.pop(name), tuple) else [""] for name in names}
    return [param.make(as_text(texts[param.name].pop(0))) for param in ctx.meta[_ORDER] if param.name]


def key_value(text: str, option: str) -> tuple[str, str]:
    """The key and the value of `KEY=VALUE`.

    Args:
        text: what was typed.
        option: what the option is called.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError(f"{option}: {text!r} is not KEY=VALUE")
    return key, value


def target_options(function: F) -> F:
    """Add where the result of an edit goes, and how."""
    return _added(function, (_TARGETS, _IN_PLACE, _PLATFORMS, *_HOW[:3], _ATTESTATIONS, REFERRERS, *_HOW[3:]))


def artifact_target_options(function: F) -> F:
    """Add where the result of an edit of an artifact goes, and how."""
    return _added(function, (_TARGETS, _IN_PLACE, _DROP, *_HOW[:3], REFERRERS, *_HOW[3:]))


def new_image_options(function: F) -> F:
    """Add where a new image goes, and how."""
    return _added(function, (_TARGETS, _PLATFORMS, *_HOW))


def _added(function: F, options: Sequence[Callable[[F], F]]) -> F:
    for add in reversed(options):
        function = add(function)
    return function


_TARGETS: Callable[[Any], Any] = click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Where the result goes: a location, or just a tag. Repeatable.",
)
_IN_PLACE: Callable[[Any], Any] = click.option(
    "--in-place", is_flag=True, help="Give the tag of the source to the result, too."
)
_DROP: Callable[[Any], Any] = click.option(
    "--drop-original", is_flag=True, help="In place: delete what it was, unless it is needed."
)
_PLATFORMS: Callable[[Any], Any] = platform_option(multiple=True, help="Of an index, only these images. Repeatable.")
_ATTESTATIONS: Callable[[Any], Any] = click.option(
    "--attestations", type=click.Choice(["keep", "drop"]), default="keep", help="Of edited images: keep or drop (keep)."
)
REFERRERS: Callable[[Any], Any] = click.option(
    "--referrers",
    type=click.Choice(["keep", "copy", "drop"]),
    default="keep",
    help="Such as SBOMs: keep where they are, copy, or drop (keep).",
)
_HOW: tuple[Callable[[Any], Any], ...] = (
    click.option("--dry-run", is_flag=True, help="Write nothing; show what would change."),
    IF_DIGEST,
    NO_CLOBBER,
    JOBS,
    PROGRESS,
    format_option,
)


def run_edit(options: Options, reference: str, edits: Sequence[Edit], given: dict[str, Any]) -> EditReport:
    """Apply edits; see `run_change`.

    Args:
        options: the common flags.
        reference: what is edited.
        edits: what is changed.
        given: the values of `target_options`.
    """
    return run_change(
        options, reference, lambda client, **settings: client.images.edit(reference, *edits, **settings), given
    )


def run_change(
    options: Options,
    reference: str | None,
    change: Callable[..., Coroutine[Any, Any, EditReport]],
    given: dict[str, Any],
) -> EditReport:
    """Change an image, show in a dry run what would change, and print the full name of what was made.

    Args:
        options: the common flags.
        reference: what is changed; None for a new image.
        change: called with the client, and the arguments that `Images.edit` and its like have in common.
        given: the values of `target_options`.
    """
    targets = [beside(reference, text) for text in given.pop("targets")]
    in_place = given.get("in_place", False)
    if in_place and reference is None:
        raise click.UsageError("--in-place: there is no image yet that could be replaced; say -t TARGET")
    if not targets and not in_place:
        raise click.UsageError(
            "say where the result goes: -t TARGET, or --in-place to give the tag of REF to the result"
        )
    format_, style = given.pop("format_"), given.pop("progress")
    given["clobber"] = not given.pop("no_clobber")
    report = show_copy(
        options,
        lambda client, on_event: change(client, targets=targets, on_event=on_event, **given),
        targets,
        format_,
        style,
        dry_run=given["dry_run"],
        plan=_changes,
    )
    for image in report.images:
        for tag in image.targets:
            if tag.state == "moved":
                options.note(f"{tag.reference} {'is' if report.dry_run else 'was'} {tag.previous}")
    if report.dropped is not None:
        options.note(f"{report.dropped} {'would be' if report.dry_run else 'was'} deleted")
    return report


def beside(reference: str | None, text: str) -> str:
    """A location as it was typed; a bare word is a tag beside a reference.

    Args:
        reference: what the tag is beside; None for nothing.
        text: what was typed.
    """
    if reference is None or ":" in text or "/" in text or "@" in text:
        return values.location(text)
    from lading.stores.location import parse_location

    return str(parse_location(reference).full().with_tag(text))


def _changes(report: EditReport) -> list[str]:
    """What an edit changes of manifests and configs, line by line."""
    return [line for change in report.changes for line in _change(change)]


def _change(change: ManifestChange) -> list[str]:
    from lading.cli.json_difference import json_difference
    from lading.cli.output import paint, short

    otherwise = "index" if "manifests" in change.manifest else "artifact" if change.config is None else "image"
    what = str(change.platform) if change.platform is not None else otherwise
    head = paint(f"{what}  {short(change.original)} -> {short(change.digest)}", "bold")
    lines = [head]
    if change.config is not None and change.config_before is not None:
        lines += ["  config", *json_difference(change.config_before, change.config, "    ")]
    return [*lines, "  manifest", *json_difference(change.manifest_before, change.manifest, "    ")]
