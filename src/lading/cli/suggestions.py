"""A tag that is not there: which ones are near it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.errors import LadingError, NotFound

if TYPE_CHECKING:
    from lading.client import AsyncClient


async def suggest(client: AsyncClient, error: NotFound) -> None:
    """Where an error is about a tag in a registry, add to it which tags are nearest."""
    from lading.cli.output import count
    from lading.cli.wording import typed
    from lading.model.reference import Reference

    if error.code != "manifest-not-found":
        return
    reference = Reference.parse(error.fields["reference"])
    if reference.digest is not None:
        return
    try:
        found = await client.suggest_tags(reference)
    except NotFound as missing:
        error.code, error.fields, error.remedy = missing.code, missing.fields, missing.remedy
        return
    except LadingError:
        return
    if reference.tag in found.nearest:
        return
    error.cause = f"the repository has {count(found.count, 'tag')}"
    if found.nearest:
        error.cause += f"; the nearest {'are' if len(found.nearest) > 1 else 'is'} {', '.join(found.nearest)}"
    error.remedy = f"see them: lading tags {typed(str(found.repository))}" if found.count else None
