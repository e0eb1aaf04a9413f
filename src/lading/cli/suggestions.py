"""A name that is not there: which ones are near it. Shared by all commands that read references."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lading.errors import LadingError, NotFound

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.model.reference import Reference
    from lading.stores.location import AnyLocation

NO_REPOSITORY = "the registry has no such repository, or does not show it to you"


async def suggest(client: AsyncClient, places: Iterable[AnyLocation], error: NotFound) -> None:
    """Where one of the places is the reference that was not found, add to the error which tags are nearest."""
    from lading.stores.location import as_location

    for location in map(as_location, places):
        reference = location.full().reference
        if reference is None or not location.is_registry:
            continue
        if error.message == f"{location.place} was not found" and error.remedy is None:
            error.cause, error.remedy = NO_REPOSITORY, f"see what there is: lading repos {reference.registry}"
        missing = error.message.startswith(f"{reference} was not found")
        if missing and error.remedy is None and reference.digest is None:
            await _suggest(client, reference, error)


async def _suggest(client: AsyncClient, reference: Reference, error: NotFound) -> None:
    from lading.cli.output import count
    from lading.model.tags import nearest

    try:
        names = [info.tag for info in await client.tags(reference)]
    except NotFound:
        error.cause, error.remedy = NO_REPOSITORY, f"see what there is: lading repos {reference.registry}"
        return
    except LadingError:
        return
    if reference.tag in names:
        return
    close = nearest(reference.tag or "", names)
    error.cause = f"the repository has {count(len(names), 'tag')}"
    if close:
        error.cause += f"; the nearest {'are' if len(close) > 1 else 'is'} {', '.join(close)}"
    error.remedy = f"see them: lading tags {reference.name}" if names else None
