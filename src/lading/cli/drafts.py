"""What the commands on local manifest lists share: options, and what is told of a list that was made or pushed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from lading.cli.options import Options, platform_option

if TYPE_CHECKING:
    from lading.drafts.draft import Draft
    from lading.drafts.merge import CreatedDraft
    from lading.drafts.push import PushedDraft


CLEARED = {
    "os": "os",
    "arch": "architecture",
    "architecture": "architecture",
    "variant": "variant",
    "os-version": "os_version",
    "os-features": "os_features",
    "features": "features",
}
"""What `--clear` takes, and the name of that field in `Platform`."""
attestations_option: Final = click.option(
    "--no-attestations", is_flag=True, help="Leave out the attestations of an index."
)
platforms_option: Final = platform_option(multiple=True, help="What to take from an index. Repeatable; all by default.")
type_option: Final = click.option(
    "--type", "type_", type=click.Choice(["auto", "docker", "oci"]), help="What the list is pushed as."
)


def local_list(reference: str) -> Draft | None:
    """The local list of this name, if there is one."""
    from lading.drafts.store import DraftStore
    from lading.stores.location import parse_location

    location, store = parse_location(reference), DraftStore()
    name = location.reference if location.is_registry else None
    return store.load(name) if name is not None and store.exists(name) else None


def key_values(texts: Iterable[str]) -> dict[str, str]:
    """The values of an option that takes KEY=VALUE.

    Raises:
        click.UsageError: a text is none.
    """
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{text!r} is not KEY=VALUE")
        pairs[as_text(key)] = as_text(value)
    return pairs


def as_text(given: str) -> str:
    """What was typed, if that is text.

    Raises:
        click.UsageError: it has bytes that are no UTF-8.
    """
    try:
        given.encode()
    except UnicodeEncodeError:
        raise click.UsageError(f"{given!r} is not UTF-8") from None
    return given


def tell_made(options: Options, created: CreatedDraft) -> None:
    """Tell on stderr what became of the images that a list was made of."""
    for warning in created.warnings:
        options.warn(warning)
    for change in created.changes:
        if change.kind != "kept":
            options.note(str(change))


def _serious(pushed: PushedDraft) -> list[tuple[str, str]]:
    """What the list says and clients cannot pull, each with what to do; nothing is read for this."""
    import msgspec

    from lading.cli.findings import worded_finding
    from lading.images.lint import lint, listed_facts

    name = str(msgspec.structs.replace(pushed.reference, digest=None))
    report = lint(listed_facts(name, pushed.index))
    errors = [worded_finding(found, is_draft=True) for found in report.findings if found.severity == "error"]
    return [(f"{found.message} ({found.code})", found.remedy) for found in errors]


def tell_pushed(options: Options, pushed: PushedDraft, format: str = "text") -> None:
    """Print what was pushed, and on stderr what is wrong with it."""
    from lading.cli.output import emit

    for warning in pushed.warnings:
        options.warn(warning)
    for warning, remedy in _serious(pushed):
        options.warn(warning, remedy)

    def text() -> list[str]:
        name = pushed.reference.name
        lines = [
            f"Pushed ref {name}@{entry.digest} with digest: {entry.digest}"
            for entry in pushed.copied
            if not pushed.dry_run
        ]
        return [*lines, pushed.digest]

    if pushed.dry_run and format == "text":
        for entry in pushed.copied:
            options.note(f"would copy {entry.location or entry.reference} to {pushed.reference.name}")
        for tag in pushed.tags:
            options.note(f"would push {pushed.reference.name}:{tag}")
    if pushed.failed:
        from msgspec.structs import replace

        from lading.cli.wording import remedied

        pushed = replace(pushed, failed=tuple(map(remedied, pushed.failed)))
        for failure in pushed.failed:
            options.fail(failure)
    emit(pushed, format, text)
    if pushed.failed:
        raise click.exceptions.Exit(1)
