"""Where the content of a draft's entries is: on this machine, or in a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from lading.drafts.draft import Draft
from lading.errors import NotFound
from lading.store import Connect, Readable
from lading.stores.location import parse_location
from lading.stores.opening import open_to_read, resolve_location


@asynccontextmanager
async def open_source(location: str) -> AsyncIterator[Readable]:
    """The store on this machine that an entry was taken from.

    Raises:
        NotFound: it is no longer there.
    """
    place = parse_location(location)
    async with open_to_read(place) as store:
        if place.kind == "docker-daemon":
            await resolve_location(store, place)
        yield store


@asynccontextmanager
async def homes_of(draft: Draft, connect: Connect) -> AsyncIterator[list[Readable]]:
    """Where the content of each entry is: on this machine, or in its repository if it is not or no longer here."""
    async with AsyncExitStack() as stack:
        here: dict[str, Readable] = {}
        for location in {entry.location for entry in draft.entries if entry.location}:
            with suppress(NotFound):
                here[location] = await stack.enter_async_context(open_source(location))
        yield [here.get(entry.location) or connect(entry.reference) for entry in draft.entries]
