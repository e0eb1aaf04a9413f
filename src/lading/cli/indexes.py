"""What the commands on indexes share: options, sources and targets as they are typed, and the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from lading.cli import values
from lading.cli.drafts import as_text
from lading.cli.editing import REFERRERS
from lading.cli.options import Options, format_option, platform_option

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.images.indexes.report import IndexReport
    from lading.images.indexes.sources import IndexSource
    from lading.transfer.events import OnEvent

F = TypeVar("F", bound=Callable[..., Any])

_PLATFORM = r"(?:[^/=]+/[^/=]+(?:/[^/=]+)?)"
_SCOPED = r"([a-z-]+)(?:\[([^\]]*)\])?"
_SCOPES = ("index", "manifest-descriptor", "manifest")

no_attestations_option: Final = click.option(
    "--no-attestations", is_flag=True, help="Leave out the attestations of images."
)
nested_option: Final = click.option(
    "--nested", is_flag=True, help="List an index among the sources itself, not its entries."
)
duplicates_option: Final = click.option(
    "--allow-duplicate-platforms", is_flag=True, help="Two images for one platform; clients take the first."
)
type_option: Final = click.option(
    "--type", "type_", type=click.Choice(["docker", "oci"]), help="A Docker manifest list, or an OCI index."
)
sources_platform_option: Final = platform_option(
    multiple=True, help="Of an index among the sources, only these images. Repeatable."
)
if_digest_option: Final = click.option(
    "--if-digest", metavar="DIGEST", help="Only if the tag names this now; or `absent`."
)


def target_option(*, instead: bool) -> Callable[[F], F]:
    """Add `-t`: where the result goes.

    Args:
        instead: whether that is in the place of what the command changes otherwise.
    """
    text = "Write the result there, and leave TARGET as it is" if instead else "One more name: a location, or a tag"
    return click.option("-t", "--target", "targets", multiple=True, metavar="TARGET", help=f"{text}. Repeatable.")


def written_options(function: F) -> F:
    """Add what all commands have that write an index."""
    for add in reversed(
        (
            REFERRERS,
            if_digest_option,
            click.option("--dry-run", is_flag=True, help="Write nothing; print the index that would be written."),
            format_option,
        )
    ):
        function = add(function)
    return function


def sources(texts: Iterable[str]) -> list[IndexSource]:
    """The sources that were typed: a location, or SOURCE=OS/ARCH[/VARIANT] where its platform is said, too."""
    from lading.images.indexes.sources import IndexSource

    found: list[IndexSource] = []
    for text in texts:
        place, equals, platform = text.rpartition("=")
        if equals and re.fullmatch(_PLATFORM, platform) and not _is_path(text):
            found.append(IndexSource(values.location(place), platform))
        else:
            found.append(IndexSource(values.location(text)))
    return found


def _is_path(text: str) -> bool:
    """Whether it is the name of a file or folder, with all that looks like a platform."""
    from pathlib import Path

    from lading.errors import LadingError
    from lading.stores.location import parse_location

    try:
        path = parse_location(text).path
    except LadingError:
        return False
    return bool(path) and Path(path).exists()


def places(reference: str, texts: Sequence[str]) -> list[str]:
    """Targets as they were typed; a bare word is a tag beside what the command is about."""
    from lading.model.reference import is_tag
    from lading.stores.location import parse_location

    beside = parse_location(reference).full()
    return [str(beside.with_tag(text)) if is_tag(text) else values.location(text) for text in texts]


class Annotations(NamedTuple):
    """Annotations by what they are of."""

    own: dict[str, str]
    """Of the index itself."""
    entries: dict[str, dict[str, str]]
    """By the platform that an entry is for; by the empty text those of all images."""
    manifests: dict[str, dict[str, str]]
    """Likewise."""


def scoped_annotations(texts: Iterable[str]) -> Annotations:
    """Annotations with their scopes, as `docker buildx imagetools create` takes them: `[SCOPE:]KEY=VALUE`.

    Raises:
        click.UsageError: a text is none, or has another scope.
    """
    found = Annotations({}, {}, {})
    for text in texts:
        name, equals, value = as_text(text).partition("=")
        scopes, colon, key = name.rpartition(":")
        if not colon or "." in scopes or "/" in re.sub(r"\[.*?\]", "", scopes):
            scopes, key = "index", name
        if not key or not equals:
            raise click.UsageError(f"{text!r} is not [SCOPE:]KEY=VALUE")
        for scope in scopes.split(","):
            matched = re.fullmatch(_SCOPED, scope)
            if matched is None or matched[1] not in _SCOPES or (matched[1] == "index" and matched[2] is not None):
                raise click.UsageError(
                    f"{text!r} has a scope that there is not: those are index, manifest-descriptor[OS/ARCH] for "
                    "entries, and manifest[OS/ARCH] for the manifests of images"
                )
            if matched[1] == "index":
                found.own[key] = value
            else:
                of = found.manifests if matched[1] == "manifest" else found.entries
                of.setdefault(matched[2] or "", {})[key] = value
    return found


def run_index(
    options: Options,
    targets: Sequence[str],
    format_: str,
    work: Callable[[AsyncClient, OnEvent | None], Any],
) -> IndexReport:
    """Make or change an index, tell on stderr what became of it, and print its full name.

    Args:
        options: the common flags.
        targets: where the index is written to; the first is what it is called.
        format_: how the answer is printed.
        work: does it.
    """
    from lading.cli.output import emit, emit_json
    from lading.cli.progress import shown_progress
    from lading.cli.wording import noted
    from lading.stores.location import parse_location

    # Standard output is the archive, then, and nothing else.
    is_stream = any(parse_location(target).is_stream for target in targets)
    if is_stream and format_ != "text":
        raise click.UsageError("--format prints to standard output, where the archive goes")
    with shown_progress("auto", quiet=options.quiet or format_ != "text") as on_event:
        report: IndexReport = options.run(lambda client: work(client, on_event))
    for note in report.notes:
        options.warn(noted(note))
    for line in _told(report, targets[0]):
        options.note(line)
    names = list(dict.fromkeys(tag.full for image in report.images for tag in image.targets))
    if report.dry_run and format_ == "text" and not options.quiet:
        emit_json(report.raw)
        for name in names:
            options.note(f"would write {name}")
    elif is_stream and not report.dry_run:
        for name in names:
            options.note(name)
    else:
        emit(report, format_, lambda: names)
    return report


def _told(report: IndexReport, target: str) -> list[str]:
    """What became of the entries, of what was copied for them, and of the tags."""
    lines = [str(change) for change in report.changes if change.kind != "kept"]
    if report.previous is not None and report.is_unchanged:
        lines.append(f"{target} says that already: it stays as it is")
    done = report.copied
    if done.uploaded or done.mounted or done.manifests > 1:
        from lading.cli.copying import summary

        lines.append(summary(report))
    verb = "is" if report.dry_run else "was"
    moved = [tag for image in report.images for tag in image.targets if tag.state == "moved"]
    return lines + [f"{tag.reference} {verb} {tag.previous}" for tag in moved]


def read_file(path: str) -> bytes:
    """The content of a file, or of standard input for `-`.

    Raises:
        UsageError: it cannot be read.
    """
    from lading.errors import UsageError
    from lading.images.indexes.spec import SIZE_LIMIT

    try:
        with click.open_file(path, "rb") as file:
            content: bytes = file.read(SIZE_LIMIT + 1)
            return content
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error.strerror).lower()) from None


def write_metadata(path: str, report: IndexReport, targets: Sequence[str]) -> None:
    """Write what was made into a file, as `docker buildx imagetools create --metadata-file` does.

    Raises:
        LadingError: it cannot be written.
    """
    from pathlib import Path

    from lading.errors import LadingError
    from lading.io.outputs import write_output
    from lading.model.encoding import encode_indented
    from lading.stores.location import parse_location

    names = dict.fromkeys(parse_location(target).place for target in targets)
    document = {
        "containerimage.descriptor": {
            "mediaType": report.media_type,
            "digest": str(report.digest),
            "size": report.size,
        },
        "image.name": ",".join(names),
    }
    try:
        write_output(Path(path), encode_indented(document, "  "))
    except OSError as error:
        raise LadingError(f"{path} cannot be written", cause=str(error.strerror).lower()) from None
